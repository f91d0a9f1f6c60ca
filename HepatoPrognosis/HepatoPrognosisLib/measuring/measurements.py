"""What a pair of images tells of a patient: mortality by three models, points, change and scores.

`measure_pair` is the whole second half of the pipeline: it runs no network and is run again after every edit of a mask
and every change of a clinical value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PrognosisLib.findings import Findings, Mask, Measurement
from PrognosisLib.scores import ACLF_SCORES, LIVER_SCORES, score_rows
from PrognosisLib.wording import result_text

from ..labels import IN_TEXT, LIVER
from ..settings import HepatoSettings
from .change import change_flags, change_rows
from .curves import group_curves, survival_curves
from .evidence import PairEvidence
from .inputs import frame_rows, input_flags
from .outlook import BEST, NO_LIVER, NO_SCORE, Patient, group_rows, mortality_rows
from .points import nomogram_curves, points_rows
from .readout import HepatoReadout

SCORES = LIVER_SCORES + ACLF_SCORES


def measure_pair(
    masks: Mapping[str, Mask],
    clinical: Mapping[str, Any],
    readout: HepatoReadout,
    settings: HepatoSettings,
    frames: Mapping[str, int] | None = None,
) -> Findings:
    """All rows, flags, curves and the summary that the masks and the clinical values allow.

    Args:
        masks: by segment name (labels.SEGMENTS); the liver's has the network's readings as its evidence.
        clinical: checked clinical values of admission.
        frames: number of frames of the images that are chosen now, by role.
    """
    filled = {name: mask for name, mask in masks.items() if not mask.is_empty}
    liver = filled.get(LIVER)
    evidence = None if liver is None else PairEvidence.from_text(liver.evidence)
    patient = Patient.of(clinical, evidence)
    why, days = NO_LIVER if liver is None else NO_SCORE, settings.mortality_days
    rows = mortality_rows(patient, readout, days, why)
    rows += group_rows(patient, readout)
    rows += frame_rows(filled, evidence, frames or {}) + change_rows(filled, evidence)
    rows += points_rows(patient, readout, days)
    rows += score_rows(clinical, SCORES)
    curves = (
        *survival_curves(patient, readout),
        *group_curves(patient, readout),
        *nomogram_curves(patient, readout, days),
    )
    flags = (*input_flags(evidence, frames or {}, settings), *change_flags(filled, evidence))
    found = Findings("hepato", measurements=tuple(rows), flags=flags, curves=curves)
    return Findings("hepato", (), found.measurements, flags, curves, summary=summary(found))


def summary(found: Findings) -> str:
    """One or two sentences: mortality by the most complete model, the risk group, and whether there are flags."""
    rows: list[Measurement | None] = [found.measurement(f"{name}_mortality") for name in BEST]
    best = next((row for row in rows if row is not None and row.value is not None), None)
    if best is None:
        text = "The mortality could not be predicted: there is neither a reading of an image nor a clinical value."
    else:
        label = "; simulated cohort" if best.simulated else ""
        words = IN_TEXT[best.key.removesuffix("_mortality")]
        days = best.label.rsplit(": ", 1)[1]
        text = (
            f"{days[0].upper()}{days[1:]} {result_text(best)} by the {words}; {found.value('risk_group')} risk{label}."
        )
    if any(one.severity != "info" for one in found.flags):
        text += " See the flags."
    return text
