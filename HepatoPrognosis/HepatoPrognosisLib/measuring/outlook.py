"""Mortality by the three models side by side, the patient's risk group, and what competes with death in it.

Models that were fitted on a simulated cohort say so in every row and curve.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from PrognosisLib.findings import Interval, Measurement
from PrognosisLib.risk import CoxModel

from ..labels import HORIZON_DAYS, IN_TEXT, MODELS
from ..predictors import SIAMESE_CHANGE, SIAMESE_T0, clinical_predictors, siamese_predictors
from .evidence import PairEvidence
from .readout import HepatoReadout

RISK = "Mortality by three models"
COMPETING = "Patients of the same risk group"
NO_SCORE = "needs what the network read; run the segmentation with Apply"
NO_LIVER = "no liver was found, so the network read nothing"
# Huang et al., Ann Med 2025;57:2551819: 82 patients of the validation set. The clinical model's figures are not known.
PUBLISHED_N = 82
PUBLISHED = {"siamese": "C-index 0.795, AUC 0.851", "combined": "C-index 0.834, AUC 0.892"}
Z_95 = 1.959963984540054
BEST = ("combined", "siamese", "clinical")  # the most complete one first


@dataclass(frozen=True)
class Patient:
    """What the models know of a patient.

    Args:
        clinical, siamese: predictors by name; empty where nothing is known.
        spread: standard deviation of the network's reading.
    """

    clinical: Mapping[str, float]
    siamese: Mapping[str, float]
    spread: float = 0.0

    @classmethod
    def of(cls, clinical: Mapping[str, Any], evidence: PairEvidence | None) -> Patient:
        """From checked clinical values and what the network read, if it did."""
        if evidence is None:
            return cls(clinical_predictors(clinical), {})
        readings = siamese_predictors(evidence.score_t0, evidence.score_pair)
        spread = evidence.spread_t0 if evidence.score_pair is None else evidence.spread_pair
        return cls(clinical_predictors(clinical), readings, spread)

    def values_for(self, model: CoxModel) -> dict[str, float]:
        """The predictors that the model uses and that are known."""
        names = {one.name for one in model.predictors}
        return {name: value for name, value in {**self.siamese, **self.clinical}.items() if name in names}

    def lacks(self, name: str, model: CoxModel) -> str:
        """Why the model `name` cannot be used; empty where it can."""
        if name != "clinical" and not self.siamese:
            return NO_SCORE
        values = self.values_for(model)
        if name != "siamese" and not set(values) - set(self.siamese):
            wanted = [one.label for one in model.predictors if one.name not in (SIAMESE_T0.name, SIAMESE_CHANGE.name)]
            return f"needs at least one of: {', '.join(wanted)}"
        return ""


def survival(patient: Patient, model: CoxModel, days: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Survival (d,) with its interval: the model's own, at both ends of what the network's reading may be."""
    values = patient.values_for(model)
    curve, lower, upper = model.predict_survival(values, days)
    moved = SIAMESE_CHANGE.name if SIAMESE_CHANGE.name in values else SIAMESE_T0.name
    if patient.spread > 0 and moved in values:
        reach = Z_95 * patient.spread
        ends = [model.predict_survival({**values, moved: values[moved] + side * reach}, days) for side in (-1, 1)]
        lower, upper = (np.stack([one[k] for one in ends]) for k in (1, 2))
        lower, upper = lower.min(axis=0), upper.max(axis=0)
    return curve, lower, upper


def best_model(patient: Patient, readout: HepatoReadout) -> str | None:
    """The most complete model that can be used; None where none can."""
    return next((name for name in BEST if not patient.lacks(name, readout.models[name])), None)


def variant_of(name: str, patient: Patient) -> str:
    """The name of labels.VARIANTS whose risk groups a prediction by the model `name` belongs to."""
    return name if name == "clinical" or SIAMESE_CHANGE.name in patient.siamese else f"{name}_t0"


def own_group(patient: Patient, readout: HepatoReadout) -> tuple[str, str, float] | None:
    """Variant of the most complete model that can be used, risk group, and 30-day mortality, 0 to 1; or None."""
    name = best_model(patient, readout)
    if name is None:
        return None
    chance = 1.0 - float(survival(patient, readout.models[name], np.array([HORIZON_DAYS]))[0][0])
    variant = variant_of(name, patient)
    return variant, readout.group_of(variant, chance), chance


def mortality_rows(patient: Patient, readout: HepatoReadout, days: float, why: str = NO_SCORE) -> list[Measurement]:
    """The network's reading, and mortality until `days` after T0 by each model; `why` there is no reading."""
    rows = [_score_row(patient, readout, why)]
    for name in MODELS:
        rows.append(_model_row(name, patient, readout, days, why))
    return rows


def _score_row(patient: Patient, readout: HepatoReadout, why: str) -> Measurement:
    value = sum(patient.siamese.values()) if patient.siamese else None
    both = SIAMESE_CHANGE.name in patient.siamese
    note = why if value is None else "read from T0 and T1" if both else "read from T0 alone"
    reach = Z_95 * patient.spread
    return Measurement(
        "siamese_score",
        "Siamese score",
        value,
        interval=Interval(value - reach, value + reach) if value is not None and reach > 0 else None,
        method="log hazard by the Siamese U-Net, whose encoder is the same for both images",
        note=note,
        group=RISK,
        simulated=readout.simulated,
    )


def _model_row(name: str, patient: Patient, readout: HepatoReadout, days: float, why: str) -> Measurement:
    model = readout.models[name]
    said = f"{PUBLISHED[name]} in {PUBLISHED_N} patients" if name in PUBLISHED else "below the others, p < 0.01"
    method = (
        f"Cox model of {len(model.predictors)} predictors, n = {model.n}, {model.events} deaths; mortality as it would "
        f"be without transplants, of patients who are alive on day 5; 95 % interval; published: {said} (published, "
        "other data)"
    )
    key, label = f"{name}_mortality", f"{MODELS[name]}: {days:g}-day mortality"
    lacking = patient.lacks(name, model)
    if lacking:
        lacking = why if lacking == NO_SCORE else lacking
        return Measurement(key, label, None, "%", None, method, lacking, RISK, simulated=readout.simulated)
    curve, lower, upper = (100.0 * (1.0 - one[0]) for one in survival(patient, model, np.array([days])))
    parts = [figures_note(model), model.note(patient.values_for(model)), "not for clinical use"]
    note = "; ".join(part for part in parts if part)
    ends = Interval(float(upper), float(lower))
    return Measurement(key, label, float(curve), "%", ends, method, note, RISK, simulated=readout.simulated)


def figures_note(model: CoxModel) -> str:
    """C-index and AUC of a model on its test cohort, with the best possible ones where they are known."""
    figures = model.performance
    if "c_index" not in figures:
        return ""
    parts = []
    for key, label in (("c_index", "C-index"), ("auc_30", f"AUC at {HORIZON_DAYS:g} days")):
        if key in figures:
            best = figures.get(f"{key}_oracle")
            parts.append(
                f"{label} {figures[key]['value']:.2f}" + (f", best possible {best['value']:.2f}" if best else "")
            )
    who = "simulated patients" if model.simulated else "patients"
    return f"{'; '.join(parts)} in {figures['test_n']} {who}"


def group_rows(patient: Patient, readout: HepatoReadout) -> list[Measurement]:
    """The risk group by the most complete model, and what became of the cohort's patients in that group."""
    own = own_group(patient, readout)
    if own is None:
        return []
    variant, group, chance = own
    low, high = readout.cuts[variant]
    those = readout.groups[variant][group]
    model = IN_TEXT[variant.removesuffix("_t0")] + (" without T1" if variant.endswith("_t0") else "")
    rows = [
        Measurement(
            "risk_group",
            "Risk group",
            group,
            method=f"30-day mortality by the {model}: low under {100 * low:.0f} %, high from "
            f"{100 * high:.0f} % on; each is a third of its cohort",
            note=f"by {100 * chance:.0f} %",
            group=COMPETING,
            simulated=readout.simulated,
        )
    ]
    for key, label, band in (
        ("group_died", "Died within 30 days", those.died),
        ("group_transplanted", "Transplanted within 30 days", those.transplanted),
    ):
        value, lower, upper = (
            100.0 * float(np.interp(HORIZON_DAYS, readout.days, one)) for one in (band.value, band.lower, band.upper)
        )
        rows.append(
            Measurement(
                key,
                label,
                value,
                "%",
                Interval(lower, upper),
                f"Aalen-Johansen estimate in the {those.n} patients of the group",
                "deaths as they occur while some are transplanted first, so fewer than without transplants",
                COMPETING,
                simulated=readout.simulated,
            )
        )
    return rows
