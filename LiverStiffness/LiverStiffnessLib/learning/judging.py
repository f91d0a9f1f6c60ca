"""One row for each examination: what the bundle's readings say of it, beside its masks' figures and outcomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from PrognosisLib.cohort import CohortCase
from PrognosisLib.errors import InputError
from PrognosisLib.evaluation.estimates import Estimate
from PrognosisLib.findings import Findings
from PrognosisLib.scores import FIBROSIS_SCORES, score_rows
from PrognosisLib.validation import BINARY, Endpoint, Score
from PrognosisLib.validation.cases import cohort_columns, predictions_of
from PrognosisLib.validation.section import Run, Section

from ..endpoints import MAIN_KPA, MASKS
from ..labels import THRESHOLDS_KPA
from ..measuring.measurements import stiffness_rows
from ..measuring.readout import Readout, model_name
from .collecting import Collected

PROTOCOL_FIGURES = ("auc", "sensitivity", "specificity", "accuracy")


def judged_rows(
    found: Sequence[Collected],
    cases: Sequence[CohortCase],
    clinical: Mapping[str, dict[str, Any] | InputError],
    readout: Readout,
) -> tuple[list[dict[str, Any]], set[str]]:
    """A row for each case, and the columns that come from a simulated cohort."""
    rows, simulated = [], set()
    for one, case in zip(found, cases, strict=True):
        row: dict[str, Any] = {"case": case.case, "patient": case.patient, **_mask_columns(one)}
        values = clinical[case.case]
        if isinstance(values, InputError):
            row["error"] = str(values)
            values = {}
        measured = score_rows(values, FIBROSIS_SCORES)
        if one.slices:
            name = model_name(one.slices)
            model = readout.models[name]
            reading = model.read(one.slices, one.covariates[model.sequences[0]])
            measured += stiffness_rows(reading, name, readout, MAIN_KPA)
        told, columns = predictions_of(Findings("stiffness", measurements=tuple(measured)))
        row |= told
        rows.append({**row, **cohort_columns(case, row, values)})
        simulated |= columns
    return rows, simulated


def _mask_columns(one: Collected) -> dict[str, Any]:
    """Dice by sequence; volumes of the image that carries the segmentation, which is the T2 where there is one."""
    found: dict[str, Any] = {}
    by_sequence = {row["sequence"]: row for row in one.rows}
    for sequence, row in by_sequence.items():
        for key, _ in MASKS:
            if f"{key}_dice" in row:
                found[f"{sequence.lower()}_{key}_dice"] = row[f"{key}_dice"]
    main = by_sequence.get("T2") or by_sequence.get("T1") or {}
    for key, _ in MASKS:
        if f"{key}_ml" in main:
            found[f"{key}_volume"] = main[f"{key}_ml"]
        if main.get(f"{key}_true_ml"):  # without labels the truth is 0, as it is for an organ that is not there
            found[f"{key}_true_ml"] = main[f"{key}_true_ml"]
    return found


def protocol_section(protocols: Mapping[str, Any], run: Run) -> Section:
    """The three protocols' figures at each threshold as a section of the report."""
    title = "Readings fitted anew to this cohort, in three protocols"
    section = Section(Endpoint("protocols", title, BINARY, (Score("mre_kpa", "Reading"),), outcome="mre_kpa"), run)
    for kpa in THRESHOLDS_KPA:
        for name, groups in protocols.items():
            one = groups["all"][f"{kpa:g}"]
            score = replace(section.endpoint.scores[0], label=f"{kpa:.1f} kPa or more, {name}")
            for figure in PROTOCOL_FIGURES:
                if figure in one:
                    ends = Estimate(*(one[figure][part] for part in ("value", "lower", "upper")))
                    section.add(figure, score, ends, one["n"], one["positive"])
    section.remarks.append("Adults and children apart are in protocols.csv.")
    run.say("protocols")
    return section
