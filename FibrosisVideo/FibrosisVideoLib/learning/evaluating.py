"""A bundle on the cases of a cohort: each cine through the pipeline, beside its outlines and its stage."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from PrognosisLib.cohort import CohortCase
from PrognosisLib.errors import InputError
from PrognosisLib.evaluation.segmentation import dice
from PrognosisLib.findings import Mask
from PrognosisLib.images.cine.cine import Cine
from PrognosisLib.images.cine.reading import read_cine
from PrognosisLib.images.readers import read_volume
from PrognosisLib.pipeline import Case
from PrognosisLib.validation.cases import cohort_columns, predictions_of
from PrognosisLib.volume import resample

from ..endpoints import AT_LEAST_F3, EXPECTED_STAGE, OUTCOME, TRUE_AT_LEAST_F3, column_of
from ..labels import LIVER, MODELS, PRODUCT, STAGES
from ..measuring.evidence import CineEvidence
from ..measuring.reading import usable_windows
from ..settings import default_settings
from .own_cohort import stage_of
from .scoring import Scored
from .validation import figures

if TYPE_CHECKING:
    from ..pipeline import FibrosisPipeline

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class JudgedCine:
    """A cine's row, the columns in it that come from a simulated cohort, and the windows' scores by model."""

    row: dict[str, Any]
    simulated: set[str] = field(default_factory=set)
    scored: Mapping[str, Scored] = field(default_factory=dict)


def check_stages(cases: Sequence[CohortCase], name: str) -> None:
    """Raises InputError where the cohort file of that name tells no stage, or a wrong one."""
    told = [case for case in cases if str(case.values.get(OUTCOME, "")).strip()]
    if not told:
        raise InputError(f"'{name}' has no column 'stage' with values; add the biopsy stage of each case.")
    for case in told:
        stage_of(case)


def judged_case(pipeline: FibrosisPipeline, case: CohortCase, clinical: Mapping[str, Any] | InputError) -> JudgedCine:
    """Overlap, all measurements, outcome and the cohort's columns. What a case fails by is its "error"; values that are
    unfit leave out what needs them."""
    row: dict[str, Any] = {"case": case.case, "patient": case.patient}
    if str(case.values.get(OUTCOME, "")).strip():
        row[OUTCOME] = stage_of(case)
    values = clinical
    if isinstance(clinical, InputError):
        row["error"], values = str(clinical), {}
    simulated: set[str] = set()
    scored: Mapping[str, Scored] = {}
    try:
        cine = read_cine(case.files["cine"])
        given = Case({"cine": cine}, values, {**default_settings(), "heat_map": False})
        masks = {mask.name: mask for mask in pipeline.segment(given).masks}
        scored = _scores(masks.get(LIVER))
        told, simulated = predictions_of(pipeline.measure(given, masks))
        row |= told
        if "labels" in case.files:
            row["liver_dice"] = round(_liver_dice(case.files["labels"], masks.get(LIVER), cine), 4)
    except InputError as error:
        row["error"] = str(error)
    row |= _of_stages(row, case.values)
    if "stage_f0" in simulated:
        simulated = simulated | {AT_LEAST_F3, EXPECTED_STAGE}
    logger.info("%s: %s", case.case, row.get("error") or row.get(column_of(PRODUCT)))
    return JudgedCine({**row, **cohort_columns(case, row, clinical)}, simulated, scored)


def _scores(mask: Mask | None) -> dict[str, Scored]:
    """Of the windows that the product reads."""
    evidence = None if mask is None else CineEvidence.from_text(mask.evidence)
    windows = [] if evidence is None else usable_windows(evidence)
    return {model: Scored(np.array([one.scores[model] for one in windows], float)) for model in MODELS}


def _of_stages(row: Mapping[str, Any], known: Mapping[str, str]) -> dict[str, float]:
    """What endpoints.py needs of the stages' probabilities, in percent, and of those of a simulated cohort (0..1)."""
    found = {}
    percent = [row.get(f"stage_{stage.lower()}") for stage in STAGES]
    if None not in percent:
        found[AT_LEAST_F3] = percent[3] + percent[4]
        found[EXPECTED_STAGE] = float(np.dot(range(5), percent)) / 100.0
    best = [str(known.get(f"true_f{stage}", "")).strip() for stage in (3, 4)]
    if all(best):
        found[TRUE_AT_LEAST_F3] = float(best[0]) + float(best[1])
    return found


def _liver_dice(labels: Path, mask: Mask | None, cine: Cine) -> float:
    """Overlap with the outlines of all frames, on the networks' lattice; 0 where no liver was found."""
    if mask is None:
        return 0.0
    truth = read_volume(labels, "labels")
    drawn = resample(truth.array, cine.grid.ijk_to_ras, mask.grid, nearest=True)
    return dice(mask.full(), drawn)


def points_of(pipeline: FibrosisPipeline) -> dict[str, float]:
    """From which probability each network's answer is yes: as chosen in the folds of its training."""
    folds = pipeline.bundle.metadata["measured"].get("folds", {})
    points = {model: float(folds[model]["point"]) for model in MODELS if "point" in folds.get(model, {})}
    return {**points, PRODUCT: pipeline.readout.decision}


def paper_figures(judged: Sequence[JudgedCine], points: Mapping[str, float]) -> dict[str, Any]:
    """The table of the model card on these cines: networks and clinical tests with the share of the best possible."""
    rows = [one.row for one in judged if OUTCOME in one.row]
    chances = {model: np.array([row.get(column_of(model), np.nan) for row in rows], float) / 100 for model in MODELS}
    best = [str(row.get("true_significant", "")).strip() for row in rows]
    oracle = np.array([float(text) for text in best]) if rows and all(best) else None
    known = {model: points.get(model, points[PRODUCT]) for model in MODELS}
    stages = np.array([row[OUTCOME] for row in rows], int)
    return figures(chances, stages, known, oracle, rows)
