"""Readouts fitted anew to a cohort in three protocols: folds of patients, later years, one site left out.

The networks stay as they are. Every cine is judged by thresholds on the score, and at a probability, that were chosen
on others: no patient is ever on both sides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from PrognosisLib.errors import InputError
from PrognosisLib.evaluation.discrimination import auc, compare_auc
from PrognosisLib.evaluation.protocols import Protocol, protocols, teachers_of
from PrognosisLib.evaluation.thresholds import best_point, point_figures
from PrognosisLib.validation import BINARY, Endpoint, Score
from PrognosisLib.validation.section import Run, Section
from PrognosisLib.validation.table import Table

from ..endpoints import OUTCOME, column_of
from ..labels import MODELS, PRODUCT, SIGNIFICANT
from .evaluating import JudgedCine
from .fitting import chances_of
from .scoring import Scored, fit_readout

FEWEST, FEWEST_EACH = 60, 10  # cines with a stage, and with or without F2 or higher


def protocol_section(judged: Sequence[JudgedCine], run: Run) -> Section:
    """Figures of all three networks in each protocol that the cohort's columns allow; remarks say what is left out."""
    title = "Significant fibrosis, readouts fitted anew to this cohort"
    section = Section(Endpoint("protocols", title, BINARY, (Score(OUTCOME, "Readout"),), outcome=OUTCOME), run)
    used = [one for one in judged if OUTCOME in one.row and one.scored and len(one.scored[PRODUCT].windows)]
    stages = np.array([one.row[OUTCOME] for one in used], int)
    rarer = int(min((stages >= SIGNIFICANT).sum(), (stages < SIGNIFICANT).sum()))
    if len(used) < FEWEST or rarer < FEWEST_EACH:
        section.remarks.append(
            f"No protocols: {len(used)} cines with a stage were read, {rarer} of the rarer kind; {FEWEST} and "
            f"{FEWEST_EACH} are needed."
        )
        return section
    run.say("protocols")
    table = Table([one.row for one in used])
    scored = {model: [one.scored[model] for one in used] for model in MODELS}
    for protocol in protocols(table.patients, table.numbers("year"), table.texts("site"), seed=run.seed):
        found = section.attempt(protocol.name, lambda one=protocol: read_anew(one, scored, stages, table.patients))
        if found is not None:
            _add(section, protocol, found, stages)
    return section


def read_anew(
    protocol: Protocol, scored: Mapping[str, Sequence[Scored]], stages: np.ndarray, patients: np.ndarray
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By model P(F >= 2) (n,) of each cine and the point (n,) from which it counts, NaN where a cine only teaches.

    Raises:
        InputError: those who teach are all of one stage.
    """
    found = {model: (np.full(len(stages), np.nan), np.full(len(stages), np.nan)) for model in scored}
    for group in range(int(protocol.groups.max()) + 1):
        judged = np.flatnonzero(protocol.groups == group)
        teaching = np.flatnonzero(teachers_of(protocol.groups, patients, group))
        if len(np.unique(stages[teaching])) < 2:
            raise InputError("the cines that teach are all of one stage.")
        for model, all_scores in scored.items():
            readout = fit_readout([all_scores[n] for n in teaching], stages[teaching], 0.0)
            known = chances_of(readout, [all_scores[n] for n in teaching])
            chances, points = found[model]
            chances[judged] = chances_of(readout, [all_scores[n] for n in judged])
            points[judged] = best_point(stages[teaching] >= SIGNIFICANT, known)
    return found


def _add(
    section: Section, protocol: Protocol, found: Mapping[str, tuple[np.ndarray, np.ndarray]], stages: np.ndarray
) -> None:
    """Rows of one protocol: areas, figures at the point, and how far the product is ahead."""
    scores = {model: Score(column_of(model), f"{name}, {protocol.name}", chance=True) for model, name in MODELS.items()}
    rows = np.isfinite(found[PRODUCT][0])
    y = (stages[rows] >= SIGNIFICANT).astype(int)
    n, events = len(y), int(y.sum())
    if min(events, n - events) < 2:
        section.remarks.append(f"{protocol.name}: {events} of {n} cines have F2 or higher, too few for an area.")
        return
    note = f"judged: {protocol.judged}"
    for model, (chances, points) in found.items():
        section.add("auc", scores[model], auc(y, chances[rows]), n, events, note=note)
        for name, value in point_figures(y, (chances >= points)[rows].astype(int)).items():
            section.add(name, scores[model], value, n, events, note=note)
        if model != PRODUCT:
            ahead = compare_auc(y, found[PRODUCT][0][rows], chances[rows])
            section.add("auc_difference", scores[PRODUCT], ahead, n, events, against=scores[model], note=note)
