"""A table of cases with predictions and outcomes: read, joined with the cohort, and taken apart into columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ..cohort import read_rows
from ..errors import InputError
from .study import Subgroup

MISSING = ("", "na", "nan", "none", "null", "not available")
WORDS = {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0, "inf": np.inf, "-inf": -np.inf}
FAILED = "failed"


class Table:
    """Rows by case; columns as arrays.

    Args:
        rows: values or texts by column, with "case" and, where it is known, "patient". Those of failed cases (a batch's
            "status", or an "error") are told, and judged by what they have.
    """

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self.rows = [dict(row) for row in rows]
        self.failed = [row for row in self.rows if row.get("status") == FAILED or row.get("error")]

    def __len__(self) -> int:
        return len(self.rows)

    def __contains__(self, column: str) -> bool:
        """Whether any row has a value there."""
        return any(not is_missing(row.get(column)) for row in self.rows)

    @property
    def patients(self) -> np.ndarray:
        """Patient of each row (n,), as text; the case where it is not told."""
        return np.array([str(row.get("patient") or row["case"]).strip() for row in self.rows])

    def numbers(self, column: str) -> np.ndarray:
        """A column as floats (n,), NaN where there is no value; yes and no are 1 and 0.

        Raises:
            InputError: a value is no number.
        """
        return np.array([self._number(row, column) for row in self.rows], float)

    def texts(self, column: str) -> list[str]:
        """A column as words, "" where there is no value."""
        return ["" if is_missing(row.get(column)) else str(row[column]).strip() for row in self.rows]

    def event(self, column: str, at_least: float | None = None) -> np.ndarray:
        """An outcome as 0 or 1, NaN where it is not known (n,).

        Raises:
            InputError: a value is neither.
        """
        values = self.numbers(column)
        if at_least is not None:
            return np.where(np.isnan(values), np.nan, values >= at_least)
        strange = np.flatnonzero(np.isfinite(values) & ~np.isin(values, (0, 1)))
        if len(strange):
            row = self.rows[strange[0]]
            raise InputError(
                f"Case '{row['case']}': {column} is '{row[column]}'; write 1 for the event and 0 for none."
            )
        return values

    def _number(self, row: Mapping[str, Any], column: str) -> float:
        value = row.get(column)
        if is_missing(value):
            return np.nan
        if isinstance(value, str):
            word = value.strip().lower()
            value = WORDS.get(word, word)
        try:
            return float(value)
        except (TypeError, ValueError):
            message = f"Case '{row['case']}': {column} is '{row[column]}', which is no number; correct or clear it."
            raise InputError(message) from None

    def bands(self, subgroup: Subgroup) -> dict[str, np.ndarray]:
        """Rows (n,) of each part by its words, in order; rows without a value are in none."""
        if subgroup.cuts:
            values, edges = self.numbers(subgroup.column), [-np.inf, *sorted(subgroup.cuts), np.inf]
            return {_band(low, high, subgroup.unit): (values >= low) & (values < high) for low, high in pairwise(edges)}
        texts = np.array(self.texts(subgroup.column))
        return {word: texts == word for word in sorted(set(texts.tolist()) - {""})}


def is_missing(value: Any) -> bool:
    if isinstance(value, str):
        return value.strip().lower() in MISSING
    return value is None or (isinstance(value, float) and np.isnan(value))


def _band(low: float, high: float, unit: str) -> str:
    unit = f" {unit}" if unit else ""
    if np.isinf(low):
        return f"under {high:g}{unit}"
    return f"{low:g}{unit} and over" if np.isinf(high) else f"{low:g} to under {high:g}{unit}"


def read_table(results: Path, cohort: Path | None = None) -> list[dict[str, str]]:
    """The rows of a results table; what a cohort file says of the same cases is added where the table lacks it.

    Raises:
        InputError: a file cannot be read, or the cohort has none of the table's cases.
    """
    rows = read_rows(results)
    known = read_rows(cohort) if cohort is not None else {}
    if known and not set(known) & set(rows):
        raise InputError(
            f"'{Path(cohort).name}' has none of the cases of '{Path(results).name}'; give the cohort that it was made "
            "from."
        )
    found = []
    for case, row in rows.items():
        more = {key: value for key, value in known.get(case, {}).items() if is_missing(row.get(key))}
        found.append({**row, **more, "case": case})
    return found
