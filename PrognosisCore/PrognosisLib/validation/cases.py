"""From what a run found, and what a cohort says of a case, to a row of the table that is judged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..batch.cases import read_csv
from ..clinical import check_clinical, check_value, read_clinical
from ..clinical_fields import ClinicalField
from ..cohort import CohortCase
from ..errors import InputError
from ..findings import Findings
from ..systems import System
from .table import is_missing, read_table


def clinical_values(system: System, cohort: Path) -> dict[str, dict[str, Any] | InputError]:
    """Checked clinical values of each case, from the cohort's columns and the file that it names; columns win.

    A case whose values are unfit has the error in their place.

    Raises:
        InputError: the cohort cannot be read.
    """
    found: dict[str, dict[str, Any] | InputError] = {}
    for case in read_csv(system, cohort).cases:
        try:
            from_file = read_clinical(case.clinical_file) if case.clinical_file else {}
            found[case.name] = check_clinical({**from_file, **case.clinical}, system.clinical_fields)
        except InputError as error:
            found[case.name] = error
    return found


def typed_clinical(row: Mapping[str, Any], fields: Iterable[ClinicalField]) -> dict[str, Any]:
    """The clinical values of a table's row, in the fields' own units: numbers, yes or no, or a choice's word.

    Raises:
        InputError: a value is out of range or of the wrong type.
    """
    found = {}
    for one in fields:
        value = row.get(one.key)
        if is_missing(value) and not (isinstance(value, str) and value.strip().lower() in one.choices):
            continue
        try:
            found[one.key] = check_value(_plain(value, one), replace(one, sure=None))
        except InputError as error:
            raise InputError(f"Case '{row['case']}': {error}") from None
    return found


def _plain(value: Any, one: ClinicalField) -> Any:
    """A text of a table as the value that it stands for."""
    if one.kind == "choice" or not isinstance(value, str):
        return value
    word = value.strip().lower()
    if one.kind == "yes/no":
        return {"1": True, "0": False, "true": True, "false": False}.get(word, word)
    try:
        return float(word)
    except ValueError:
        return value


def predictions_of(findings: Findings) -> tuple[dict[str, Any], set[str]]:
    """Values by the measurements' keys, with `KEY_lower` and `KEY_upper`, as a batch's table has them, and the keys of
    those that come from a simulated cohort."""
    row: dict[str, Any] = {}
    for one in findings.measurements:
        if one.value is not None:
            row[one.key] = one.value
            if one.interval is not None:
                row |= {f"{one.key}_lower": one.interval.lower, f"{one.key}_upper": one.interval.upper}
    return row, {one.key for one in findings.measurements if one.simulated}


def cohort_columns(
    case: CohortCase, row: Mapping[str, Any], clinical: Mapping[str, Any] | InputError
) -> dict[str, Any]:
    """What is known of a case beside what `row` has already: clinical values, outcomes, site, year ..."""
    known = {} if isinstance(clinical, InputError) else dict(clinical)
    told = {key: text for key, text in case.values.items() if key and text != ""}
    return {key: value for key, value in {**told, **known}.items() if key not in row}


def joined_rows(system: System, results: Path, cohort: Path | None = None) -> list[dict[str, Any]]:
    """The rows of a results table, with what a cohort file says of the same cases where the table lacks it.

    Clinical values are read as a batch reads them; where the cohort names no images they are plain numbers in the
    fields' own units.

    Raises:
        InputError: a file cannot be read, or the cohort has none of the table's cases.
    """
    rows = read_table(results, cohort)
    if cohort is None or not any(role.name in rows[0] for role in system.roles):
        return rows
    clinical = clinical_values(system, cohort)
    for row in rows:
        values = clinical.get(row["case"], {})
        if not isinstance(values, InputError):
            row |= values
    return rows
