"""From what a run found, and what a cohort says of a case, to a row of the table that is judged."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..batch.cases import read_csv
from ..clinical import check_clinical, read_clinical
from ..cohort import CohortCase
from ..errors import InputError
from ..findings import Findings
from ..systems import System


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


def cohort_columns(case: CohortCase, row: Mapping[str, Any]) -> dict[str, str]:
    """What the cohort says of a case beside what `row` has already: outcomes, age, site, year ..."""
    return {key: text for key, text in case.values.items() if key and text != "" and key not in row}
