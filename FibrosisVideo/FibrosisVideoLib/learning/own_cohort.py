"""A user's own cines with biopsy stages, for the classifiers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from PrognosisLib.clinical import read_clinical
from PrognosisLib.cohort import CohortCase, read_cohort, split_by_patient
from PrognosisLib.errors import InputError
from PrognosisLib.framewise.frames import lattice_frames
from PrognosisLib.framewise.lattice import FrameLattice
from PrognosisLib.images.cine.checks import check_cine
from PrognosisLib.images.cine.reading import read_cine
from PrognosisLib.images.cine.screen import find_screen

from ..labels import SIGNIFICANT, STAGES
from ..networks.reading import kept_frames
from ..pipeline import FEWEST_FRAMES
from .taught import UNKNOWN_SIGNS, TaughtCine, reached_by
from .teaching import liver_shares, usable_frames

if TYPE_CHECKING:
    from torch import nn

CINE = ("cine",)
FEWEST_PATIENTS, FEWEST_EACH = 40, 10


class OwnCases(NamedTuple):
    """Cases that teach, and those held out."""

    teaching: Sequence[CohortCase]
    keeping: Sequence[CohortCase]


def own_cases(cohort: Path, validation: str) -> OwnCases:
    """The cases of a cohort file, with a stage each; no cine is read.

    Raises:
        InputError: a stage is missing or wrong, two patients share a cine, or there are too few patients of a kind.
    """
    cases = read_cohort(cohort, CINE, optional=("clinical",))
    held = [name.strip() for name in validation.split(",") if name.strip()]
    found = OwnCases(*split_by_patient(cases, held, CINE))
    for case in found.keeping:
        stage_of(case)
    check_counts(found.teaching)
    return found


def own_cines(cases: OwnCases, segmenter: nn.Module) -> tuple[list[TaughtCine], list[TaughtCine], list[dict[str, Any]]]:
    """Cines for training, cines held out, and the clinical values of those held out.

    Raises:
        InputError: a cine or a clinical file cannot be read.
    """
    taught, kept = ([_taught(case, segmenter) for case in part] for part in cases)
    return taught, kept, [clinical_of(case) for case in cases.keeping]


def check_counts(cases: Sequence[CohortCase]) -> None:
    """Raises InputError where patients with or without significant fibrosis are too few to learn from."""
    stages = {case.patient: stage_of(case) for case in cases}
    positive = sum(stage >= SIGNIFICANT for stage in stages.values())
    if len(stages) < FEWEST_PATIENTS or min(positive, len(stages) - positive) < FEWEST_EACH:
        raise InputError(
            f"The cohort has {len(stages)} patients for training, {positive} of them with F2 or higher; at least "
            f"{FEWEST_PATIENTS} and {FEWEST_EACH} of either kind are needed: add cases."
        )


def stage_of(case: CohortCase) -> int:
    """Column stage, 0 to 4 or F0 to F4.

    Raises:
        InputError: it is neither.
    """
    text = str(case.values.get("stage", "")).strip().upper().removeprefix("F")
    if text not in [stage[1:] for stage in STAGES]:
        raise InputError(f"Case '{case.case}': stage is '{case.values.get('stage', '')}'; give 0 to 4 or F0 to F4.")
    return int(text)


def clinical_of(case: CohortCase) -> dict[str, Any]:
    """The case's clinical values: of its file, or of the cohort's own columns."""
    return read_clinical(case.files["clinical"]) if "clinical" in case.files else dict(case.values)


def _taught(case: CohortCase, segmenter: nn.Module) -> TaughtCine:
    cine = read_cine(case.files["cine"])
    screen = find_screen(cine)
    check_cine(cine, screen, FEWEST_FRAMES)
    wanted, kept = set(kept_frames(cine).tolist()), []
    for numbers, frames in lattice_frames(cine, screen, FrameLattice.of(cine, screen)):
        kept += [frame for number, frame in zip(numbers, frames, strict=True) if number in wanted]
    gray = np.clip(np.rint(np.stack(kept)), 0, 255).astype(np.uint8)
    share = liver_shares(segmenter, gray)
    stage, usable = stage_of(case), usable_frames(gray, share)
    return TaughtCine(gray, share, usable, stage, reached_by(stage), UNKNOWN_SIGNS, case.patient)
