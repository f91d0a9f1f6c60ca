"""`prognosis evaluate SYSTEM --results`: the report of a table that a batch has written, without any image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..systems import System
from .cases import joined_rows
from .refitting import refit_sections
from .report import Subject, run_of, write_validation
from .study import Study


def evaluate_results(
    system: System, results: Path, output: Path, cohort: Path | None = None, bundle: Path | None = None
) -> list[Path]:
    """Judge the predictions of a results table against its outcomes, or those of a cohort file with the same cases.

    Args:
        results: a batch's results.csv.
        bundle: the one that the batch was run with, for its facts; the table does not name it. The system's own where
            it is left out, and then the report names none.

    Raises:
        InputError: the system has no endpoints, or a file cannot be read.
    """
    study = study_of_system(system)
    rows = joined_rows(system, results, cohort)
    made_with = system.load_bundle(bundle) if bundle is not None or study.models else None
    told = {}
    if bundle is not None:
        told = {"bundle": made_with.identity, "training": made_with.metadata["training"], "card": made_with.card}
    subject = Subject(
        **told,
        simulated_columns=simulated_columns(rows),
        simulated_cohort=any(str(row.get("simulated", "")).lower() in ("yes", "true", "1") for row in rows),
    )
    run = run_of(subject)
    extra = refit_sections(rows, study, made_with, run, system.clinical_fields) if study.models else []
    return write_validation(output, study, rows, subject, tables={"cases.csv": rows}, extra=extra, run=run)


def study_of_system(system: System) -> Study:
    """What a system is judged by. Raises InputError where it has declared nothing."""
    from importlib.util import find_spec

    if find_spec(f"{system.module}Lib.endpoints") is None:
        raise InputError(f"{system.module} does not say what it is judged by; choose another system.")
    return system.library("endpoints").STUDY


def simulated_columns(rows: Sequence[dict[str, Any]]) -> frozenset[str]:
    """The columns that a batch marks as values of models that were trained on a simulated cohort."""
    texts = {str(row.get("simulated_cohort") or "") for row in rows}
    return frozenset(name.strip() for text in texts for name in text.split(";") if name.strip())
