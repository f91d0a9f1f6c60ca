"""What the masks of an examination measure: stiffness, volumes and scores; for whoever drew the masks.

`measure_examination` is the whole second half of the pipeline: it runs no network and is run again after every edit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from PrognosisLib.findings import Curve, Findings, Flag, Interval, Mask, Measurement
from PrognosisLib.scores import FIBROSIS_SCORES, score_rows
from PrognosisLib.scores.stiffness import MRE_SOURCE, child_note, measured_rows, mre_stage
from PrognosisLib.volume_interval import volume_interval
from PrognosisLib.wording import result_text

from ..labels import THRESHOLDS_KPA
from .evidence import from_text, slice_inputs
from .mask_flags import mask_flags
from .ordinal import Reading, SliceInput, covariates_of
from .readout import Readout, model_name, threshold_key

if TYPE_CHECKING:
    from ..pipeline import StiffnessSettings

LIVER, SPLEEN, ASCITES = "Liver", "Spleen", "Ascites"
STIFFNESS, VOLUMES = "Stiffness by MR elastography, estimated", "Volumes"
NO_FEATURES = "needs the network's features; run the segmentation with Apply"
NO_LIVER = "no liver was found"
ASCITES_NOTE = "a rough estimate: thin layers are often missed; see the model card"
# DeepLiverNet 2.0, ten-fold cross-validation; the interval is published for 3.0 kPa only.
PUBLISHED = "published AUROC at 3 kPa 0.83 (0.82-0.84) in 4,695 examinations (published, other data)"
SEQUENCE_WORDS = {"both": "T2 and T1", "t2": "T2 alone", "t1": "T1 alone"}


def measure_examination(
    masks: Mapping[str, Mask], clinical: Mapping[str, Any], readout: Readout, settings: StiffnessSettings
) -> Findings:
    """All rows, flags, curves and the summary that the masks and the clinical values allow.

    Args:
        masks: by segment name, on the grid of the first image.
    """
    liver = _filled(masks, LIVER)
    rows: list[Measurement] = []
    curves: tuple[Curve, ...] = ()
    flags: list[Flag] = []
    if liver is None:
        rows += _without_reading(NO_LIVER, readout)
    else:
        flags = mask_flags(masks)
        inputs = slice_inputs(liver, from_text(liver.evidence))
        if inputs:
            name = model_name(inputs)
            reading = readout.models[name].read(inputs, _covariates(masks))
            rows += stiffness_rows(reading, name, readout, settings.decision_kpa, clinical.get("age"))
            curves = (*_probability_curves(reading, readout), *_weight_curves(reading, inputs, liver, readout))
            if name != "both":
                flags.append(one_sequence_flag(name))
        else:
            rows += _without_reading(NO_FEATURES, readout)
        rows += volume_rows(masks, readout.boundary_mm)
    rows += measured_rows(clinical, settings.swe_f2_kpa, settings.swe_f3_kpa)
    rows += score_rows(clinical, FIBROSIS_SCORES)
    found = Findings("stiffness", measurements=tuple(rows), flags=tuple(flags), curves=curves)
    return Findings("stiffness", (), found.measurements, found.flags, curves, summary=summary(found, settings))


def _filled(masks: Mapping[str, Mask], name: str) -> Mask | None:
    mask = masks.get(name)
    return None if mask is None or mask.is_empty else mask


def _covariates(masks: Mapping[str, Mask]) -> np.ndarray:
    liver, spleen, fluid = (_filled(masks, name) for name in (LIVER, SPLEEN, ASCITES))
    spleen_ml = None if spleen is None else spleen.voxel_volume_ml
    return covariates_of(spleen_ml, liver.voxel_volume_ml, 0.0 if fluid is None else fluid.voxel_volume_ml)


def stiffness_rows(
    reading: Reading, name: str, readout: Readout, decision_kpa: float, age: float | None = None
) -> list[Measurement]:
    """Expected stiffness, its published class, and the five probabilities."""
    source = f"read from {SEQUENCE_WORDS[name]}"
    rows = [
        Measurement(
            "expected_stiffness",
            "Expected stiffness",
            reading.kpa,
            "kPa",
            reading.kpa_interval,
            f"median of what MR elastography would measure, {source}; 95 % prediction interval",
            group=STIFFNESS,
            simulated=readout.simulated,
        ),
        Measurement(
            "stiffness_class",
            "Published class of that stiffness",
            mre_stage(reading.kpa),
            method=MRE_SOURCE,
            note="the interval may span several classes" + child_note(age),
            group=STIFFNESS,
            simulated=readout.simulated,
        ),
    ]
    for threshold, chance, ends in zip(THRESHOLDS_KPA, reading.probabilities, reading.intervals, strict=True):
        method = f"network with ordinal output, {source}; interval from its slices and from refits; {PUBLISHED}"
        rows.append(
            Measurement(
                threshold_key(threshold),
                f"Probability of {threshold:.1f} kPa or more",
                100.0 * float(chance),
                "%",
                Interval(100.0 * ends.lower, 100.0 * ends.upper),
                method,
                _figures(readout, name, threshold),
                STIFFNESS,
                simulated=readout.simulated,
            )
        )
    rows.append(_decision_row(reading, name, readout, decision_kpa))
    return rows


def _figures(readout: Readout, name: str, threshold: float) -> str:
    figure = readout.figure(name, threshold)
    if "auc" not in figure:  # hardly a test patient on one side of the threshold
        return ""
    best = f", best possible {figure['auc_oracle']['value']:.2f}" if "auc_oracle" in figure else ""
    who = "simulated patients" if readout.simulated else "patients"
    return f"AUROC {figure['auc']['value']:.2f}{best} in {figure['n']} {who}"


def _decision_row(reading: Reading, name: str, readout: Readout, threshold: float) -> Measurement:
    """Whether the probability reaches the point that was chosen on the patients it was fitted to."""
    key, label = "decision", f"At or over {threshold:.1f} kPa"
    figure = readout.figure(name, threshold)
    chance = float(reading.probabilities[THRESHOLDS_KPA.index(threshold)])
    point = figure.get("point", 0.5)
    parts = [
        f"{word} {100 * figure[word]['value']:.0f} % ({100 * figure[word]['lower']:.0f} to "
        f"{100 * figure[word]['upper']:.0f})"
        for word in ("sensitivity", "specificity")
        if word in figure
    ]
    who = "simulated patients" if readout.simulated else "patients"
    note = f"{', '.join(parts)} in {figure['n']} {who}" if parts else ""
    chosen = ", the point with the largest sum of sensitivity and specificity" if "point" in figure else ""
    method = f"probability of at least {100 * point:.0f} %{chosen}"
    value = "yes" if chance >= point else "no"
    return Measurement(key, label, value, "", None, method, note, STIFFNESS, simulated=readout.simulated)


def _without_reading(why: str, readout: Readout) -> list[Measurement]:
    labels = {"expected_stiffness": ("Expected stiffness", "kPa")}
    labels |= {threshold_key(t): (f"Probability of {t:.1f} kPa or more", "%") for t in THRESHOLDS_KPA}
    return [
        Measurement(key, label, None, unit, note=why, group=STIFFNESS, simulated=readout.simulated)
        for key, (label, unit) in labels.items()
    ]


def volume_rows(masks: Mapping[str, Mask], boundary_mm: float) -> list[Measurement]:
    """Volumes of the segments that there are; a click shows the middle of each."""
    rows = []
    for key, name in (("liver_volume", LIVER), ("spleen_volume", SPLEEN), ("ascites_volume", ASCITES)):
        mask = _filled(masks, name)
        if mask is not None:
            ends = volume_interval(mask, boundary_mm)
            place = mask.middle_ras
            note = ASCITES_NOTE if name == ASCITES else ""
            rows.append(
                Measurement(key, f"{name} volume", mask.voxel_volume_ml, "mL", *ends, note, VOLUMES, place=place)
            )
    if _filled(masks, SPLEEN) is None:
        note = "no filled segment named Spleen"
        rows.append(Measurement("spleen_volume", "Spleen volume", None, "mL", note=note, group=VOLUMES))
    return rows


def one_sequence_flag(name: str) -> Flag:
    missing = "T1" if name == "t2" else "T2"
    return Flag(
        "one_sequence",
        "info",
        f"The stiffness was read from {SEQUENCE_WORDS[name]}, so its interval is wider; add the {missing}-weighted "
        "image of the same examination if there is one.",
    )


def _probability_curves(reading: Reading, readout: Readout) -> tuple[Curve, ...]:
    """Probability against threshold."""
    lower, upper = (np.array([100 * getattr(one, end) for one in reading.intervals]) for end in ("lower", "upper"))
    return (
        Curve(
            "Stiffness",
            "Probability of at least",
            np.array(THRESHOLDS_KPA),
            100.0 * reading.probabilities,
            "kPa",
            "%",
            lower,
            upper,
            emphasized=True,
            simulated=readout.simulated,
        ),
    )


def _weight_curves(
    reading: Reading, inputs: Mapping[str, SliceInput], liver: Mask, readout: Readout
) -> tuple[Curve, ...]:
    """Attention of each slice against its position along the patient."""
    evidence = from_text(liver.evidence)
    curves = []
    for name, weights in reading.weights.items():
        lattice, used = evidence[name].ijk_to_ras, inputs[name].used
        k, j, i = evidence[name].shape
        middle = lattice @ np.array([(i - 1) / 2, (j - 1) / 2, 0.0, 1.0])
        heights = middle[2] + lattice[2, 2] * np.arange(k)
        order = np.argsort(heights[used])
        curves.append(
            Curve(
                "Slice weights",
                f"Weight of the {name} slices",
                heights[used][order],
                100.0 * weights[used][order],
                "Position (mm, superior)",
                "%",
                emphasized=name == "T2",
                simulated=readout.simulated,
            )
        )
    return tuple(curves)


def summary(found: Findings, settings: StiffnessSettings) -> str:
    """One or two sentences: expected stiffness with its class, and the probability at the chosen threshold."""
    size, chance = found.measurement("expected_stiffness"), found.measurement(threshold_key(settings.decision_kpa))
    if size is None or size.value is None or chance is None:
        text = "The stiffness could not be read."
    else:
        label = "; simulated cohort" if size.simulated else ""
        text = (
            f"Expected stiffness {result_text(size)} ({found.value('stiffness_class')}). Probability of "
            f"{settings.decision_kpa:.1f} kPa or more: {result_text(chance)}{label}."
        )
    if any(one.severity != "info" for one in found.flags):
        text += " See the flags."
    return text
