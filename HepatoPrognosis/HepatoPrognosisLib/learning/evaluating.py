"""A bundle on the cases of a cohort: each through the pipeline, beside its outlines and its outcome."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
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

from ..comparing.pair_checks import SEGMENT
from ..labels import HORIZON_DAYS
from ..measuring.evidence import PairEvidence
from ..settings import default_settings
from ..simulation.oracle import KNOWN
from .groups import dice_figures
from .outcomes_table import STATES, with_readings
from .own_cohort import LABELS, ROLES, labels_of, outcome_of, table_of_cases
from .validation import evaluate

if TYPE_CHECKING:
    from ..measuring.readout import HepatoReadout
    from ..pipeline import HepatoPipeline

logger = logging.getLogger(__name__)
SCORES = ("score_t0", "score_pair")  # of the network, in the rows


def judged_case(
    pipeline: HepatoPipeline, case: CohortCase, clinical: Mapping[str, Any] | InputError
) -> tuple[dict[str, Any], set[str]]:
    """One row of everything: overlaps, all measurements, the network's readings, the outcome and the cohort's columns.

    Returns:
        the row, and its columns that come from a simulated cohort. What keeps a case from being run is its "error".
    """
    row: dict[str, Any] = {"case": case.case, "patient": case.patient}
    simulated: set[str] = set()
    try:
        if isinstance(clinical, InputError):
            raise clinical
        films = {role: read_cine(case.files[role]) for role in ROLES if role in case.files}
        given = Case(films, clinical, default_settings())
        found = pipeline.segment(given)
        masks = {mask.name: mask for mask in found.masks}
        row |= _overlaps(case, films, masks, found.provenance["frames"])
        row |= _readings(masks)
        values, simulated = predictions_of(pipeline.measure(given, masks))
        row |= values
    except InputError as error:
        row["error"] = str(error)
    return {**row, **_outcome(case.values), **cohort_columns(case, row, clinical)}, simulated


def _overlaps(
    case: CohortCase, films: Mapping[str, Cine], masks: Mapping[str, Mask], frames: Mapping[str, Mapping[str, int]]
) -> dict[str, float]:
    """Dice in the frame that was read, on its own pixels; 0 where no liver was found."""
    found = {}
    for role, column in zip(ROLES, LABELS, strict=True):
        if role in films and column in case.files:
            number = frames[role]["read"] - 1
            truth = labels_of(read_volume(case.files[column], "labels").array, films[role], number, case.case, role)
            mask = masks.get(SEGMENT[role])
            drawn = np.zeros(truth.shape, bool) if mask is None else mask.full()[number]
            found[f"{role}_dice"] = round(dice(drawn, truth), 4)
    return found


def _readings(masks: Mapping[str, Mask]) -> dict[str, float]:
    mask = masks.get(SEGMENT["t0"])
    evidence = None if mask is None else PairEvidence.from_text(mask.evidence)
    if evidence is None:
        return {}
    values = {name: getattr(evidence, name) for name in SCORES}
    return {name: round(float(value), 5) for name, value in values.items() if value is not None}


def _outcome(values: Mapping[str, str]) -> dict[str, int]:
    """Whether the patient died, and whether within 30 days where that is known."""
    status = outcome_of(values)
    if status not in [str(one) for one in STATES]:
        return {}
    died = int(status == "1")
    try:
        days = float(values.get("days", ""))
    except ValueError:
        return {"died": died}
    early = {"died_30": int(died and days <= HORIZON_DAYS)} if died or days >= HORIZON_DAYS else {}
    return {"died": died, **early}


def paper_figures(
    readout: HepatoReadout,
    rows: Sequence[Mapping[str, Any]],
    cases: Sequence[CohortCase],
    clinical: Mapping[str, Any],
) -> dict[str, Any]:
    """Dice of both images, and the table of the three models with their paired tests where outcomes suffice."""
    figures: dict[str, Any] = {}
    overlaps = {role: np.array([row[f"{role}_dice"] for row in rows if f"{role}_dice" in row]) for role in ROLES}
    figures["masks"] = {role: dice_figures(values) for role, values in overlaps.items() if len(values)}
    needed = {*SCORES, "died", "days"}
    read = [(case, row) for case, row in zip(cases, rows, strict=True) if needed <= set(row)]
    try:
        table = table_of_cases([case for case, _ in read], clinical)
        readings = ([row[name] for _, row in read] for name in SCORES)
        figures["three models"] = evaluate(readout, with_readings(with_oracles(table, read), *readings))
    except InputError as error:
        logger.warning("no figures of the three models: %s", error)
    return figures


def with_oracles(table: Any, read: Sequence[tuple[CohortCase, Mapping[str, Any]]]) -> Any:
    """The table with the best possible mortalities where the cohort has those of all cases (columns true_...)."""
    for name in KNOWN:
        values = [str(case.values.get(f"true_{name}", "")).strip() for case, _ in read]
        if values and all(values):
            table[f"oracle_{name}"] = [float(value) for value in values]
    return table
