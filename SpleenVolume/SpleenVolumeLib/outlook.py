"""What a spleen volume may mean: the high or low group, published survival beside it, and modeled risks.

Where the models were fitted on a simulated cohort, as those that ship were, every row and curve from them says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from PrognosisLib.errors import InputError
from PrognosisLib.findings import SIMULATED, Curve, Flag, Interval, Measurement
from PrognosisLib.risk import CoxModel, LogisticModel

from .outcomes import FOLLOW_UP_MONTHS, group_curves, predictor_values

RISK = "Risk"
SURVIVAL_CHART = "Survival after TACE"
SURVIVAL_MONTHS = (12, 24)
PUBLISHED_MONTHS = {"high": 10.9, "low": 22.0}
PUBLISHED_SOURCE = "Mueller et al., Eur Radiol 2022;32:6302-6313"
OFFERED_CUTOFF = "532 mL is the median of Cancers 2022;14:3574"


def group_rows(volume_ml: float, interval: Interval | None, settings: Mapping[str, Any]) -> list[Measurement]:
    """The group by settings["cutoff_mL"], and the published median survival of both groups beside it.

    Raises:
        InputError: the cut-off is not a positive volume.
    """
    cutoff = settings.get("cutoff_mL")
    published = [_published_row(group) for group in PUBLISHED_MONTHS]
    if cutoff is None:
        note = f"no cut-off set; {OFFERED_CUTOFF}"
        return [Measurement("spleen_group", "Spleen volume group", None, note=note, group=RISK), *published]
    if isinstance(cutoff, (bool, str)) or not 0 < cutoff < float("inf"):
        raise InputError(f"The spleen volume cut-off {cutoff} is not a volume; set a number of mL above 0, or none.")
    note = f"set by the user; {OFFERED_CUTOFF}"
    if interval is not None and interval.lower <= cutoff <= interval.upper:
        note = f"uncertain: the volume's interval holds the cut-off; {note}"
    group = "high" if volume_ml > cutoff else "low"
    method = f"spleen volume above {cutoff:g} mL is high"
    return [Measurement("spleen_group", "Spleen volume group", group, method=method, note=note, group=RISK), *published]


def _published_row(group: str) -> Measurement:
    return Measurement(
        f"published_survival_{group}",
        f"Published median survival, {group} spleen volume",
        PUBLISHED_MONTHS[group],
        "months",
        method=f"{PUBLISHED_SOURCE}; high against low p = 0.001",
        note="published, other data; n = 327 in all, size of the groups and their cut-off not known to us; "
        "not an estimate for this patient",
        group=RISK,
    )


def risk_rows(
    volume_ml: float,
    interval: Interval | None,
    clinical: Mapping[str, Any],
    models: Mapping[str, Mapping[str, Any]],
) -> list[Measurement]:
    """Survival and decompensation from the volume and what is known of the patient, with intervals.

    An interval holds the models' own 95 % interval at both ends of the volume's interval.
    """
    survival = CoxModel.from_dict(models["survival"])
    decompensation = LogisticModel.from_dict(models["decompensation"])
    ends = [volume_ml] if interval is None else [volume_ml, max(interval.lower, 0.1), interval.upper]
    cases = [predictor_values(end, clinical) for end in ends]
    rows = []
    for months in SURVIVAL_MONTHS:
        if months > survival.times[-1]:
            rows.append(_too_late_row(months, survival))
            continue
        estimate, spread = _over(
            cases, lambda case, t=months: [float(v[0]) for v in survival.predict_survival(case, [t])]
        )
        label = f"Survival at {months} months"
        rows.append(_model_row(f"survival_{months}_months", label, estimate, spread, survival, cases[0], "c_index"))
    estimate, spread = _over(cases, decompensation.predict)
    label = "Hepatic decompensation within 3 months of TACE"
    rows.append(_model_row("decompensation_risk", label, estimate, spread, decompensation, cases[0], "auc"))
    return rows


def _too_late_row(months: int, model: CoxModel) -> Measurement:
    note = f"the model's cohort was followed for {model.times[-1]:.0f} months only"
    label = f"Survival at {months} months"
    return Measurement(f"survival_{months}_months", label, None, "%", note=note, group=RISK, simulated=model.simulated)


def _over(
    cases: Sequence[Mapping[str, float]], predict: Callable[[Mapping[str, float]], Sequence[float]]
) -> tuple[float, Interval]:
    """The estimate of the first case and the widest interval of all, in percent."""
    found = 100.0 * np.array([predict(case) for case in cases])
    return float(found[0, 0]), Interval(float(found[:, 1].min()), float(found[:, 2].max()))


def _model_row(
    key: str,
    label: str,
    percent: float,
    interval: Interval,
    model: CoxModel | LogisticModel,
    case: Mapping[str, float],
    figure: str,
) -> Measurement:
    kind = "Cox model" if isinstance(model, CoxModel) else "logistic model"
    method = f"{kind} of {len(model.predictors)} predictors, n = {model.n}, {model.events} events; 95 % interval"
    tested = model.performance.get(figure)
    if tested:
        name = {"c_index": "C-index", "auc": "AUC"}[figure]
        where = model.performance.get("test_cohort", model.cohort["name"])
        method += f"; {name} {tested['value']:.2f} on {model.performance.get('test_n', '?')} others of the {where}"
    note = "; ".join(part for part in (model.note(case), "not for clinical use") if part)
    return Measurement(key, label, percent, "%", interval, method, note, RISK, model.simulated)


def survival_curves(
    volume_ml: float, clinical: Mapping[str, Any], settings: Mapping[str, Any], models: Mapping[str, Mapping[str, Any]]
) -> list[Curve]:
    """The patient's own curve, and where a cut-off is set the two groups' of the simulated cohort."""
    model = CoxModel.from_dict(models["survival"])
    months = np.linspace(0.0, min(float(FOLLOW_UP_MONTHS), float(model.times[-1])), 121)
    own = model.predict_survival(predictor_values(volume_ml, clinical), months)
    axes = {"chart": SURVIVAL_CHART, "x_label": "Months after the CT", "y_label": "Survival"}
    curves = [
        Curve(
            name=f"This patient, spleen {volume_ml:.0f} mL",
            x=months,
            y=own[0],
            lower=own[1],
            upper=own[2],
            emphasized=True,
            simulated=model.simulated,
            **axes,
        )
    ]
    cutoff = settings.get("cutoff_mL")
    groups = group_curves(cutoff, models["groups"]) if cutoff is not None else {}
    for name, curve in groups.items():
        sign = ">" if name == "high" else "≤"
        curves.append(
            Curve(
                name=f"{name.capitalize()} group, {sign} {cutoff:g} mL, n = {curve.n}",
                x=curve.months,
                y=curve.survival,
                lower=curve.lower,
                upper=curve.upper,
                step=True,
                simulated=models["groups"]["cohort"]["simulated"],
                **axes,
            )
        )
    return curves


def summary(rows: Sequence[Measurement], flags: Sequence[Flag]) -> str:
    """The findings in a few plain sentences: size, group, modeled outlook, and what to check first."""
    found = {row.key: row for row in rows}
    size, enlarged, group = (found.get(key) for key in ("spleen_volume", "spleen_enlarged", "spleen_group"))
    sentences = [f"The spleen has {size.value:.0f} mL{_range(size)} and is {_size_word(enlarged)}."]
    if group is not None and group.value is not None:
        sentences.append(f"That is the {group.value} group ({group.method}).")
    elif group is not None:
        sentences.append(f"No volume group: {group.note}.")
    survival, risk = found.get("survival_12_months"), found.get("decompensation_risk")
    if survival is not None and survival.value is not None and risk is not None:
        source = f" ({SIMULATED}, research and teaching only)" if survival.simulated or risk.simulated else ""
        sentences.append(
            f"Modeled survival at 12 months {survival.value:.0f} %{_range(survival)}, decompensation after TACE "
            f"{risk.value:.0f} %{_range(risk)}{source}."
        )
    if flags:
        sentences.append(f"Check the mask first, for {len(flags)} reason{'s' * (len(flags) > 1)}: {flags[0].message}")
    return " ".join(sentences)


def _range(row: Measurement) -> str:
    return "" if row.interval is None else f" ({row.interval.lower:.0f} to {row.interval.upper:.0f})"


def _size_word(enlarged: Measurement) -> str:
    if enlarged.value == "yes":
        return "enlarged"
    return "smaller than normal" if "below" in enlarged.note else "not enlarged"
