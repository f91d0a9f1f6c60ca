"""Cohort files: one row a case, paths relative to the file, columns as `prognosis simulate` writes them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .cohort_checks import SPLIT, held_out, refuse_shared_images
from .errors import InputError
from .reporting.output import write_atomic


@dataclass(frozen=True)
class CohortCase:
    """One row: `case` and `patient` identifiers, image and label files by column, and every other column as text."""

    case: str
    patient: str
    files: Mapping[str, Path]
    values: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_simulated(self) -> bool:
        return self.values.get("simulated", "").lower() in ("1", "yes", "true")


def read_cohort(path: Path, file_columns: Sequence[str], optional: Sequence[str] = ()) -> list[CohortCase]:
    """The cases of a cohort file.

    Args:
        file_columns: columns that hold paths ("ct", "labels"); every one of them must be there and its files exist.
        optional: further such columns, which may be missing or empty; a file that is named must exist.

    Raises:
        InputError: no such file, a column is missing, a case is named twice, or a file of a case does not exist.
    """
    path = Path(path)
    cases = []
    for name, row in read_rows(path, ("case", *file_columns)).items():
        columns = [*file_columns, *(column for column in optional if (row.get(column) or "").strip())]
        files = {column: (path.parent / row[column]).resolve() for column in columns}
        for column, file in files.items():
            if not row[column] or not file.exists():
                message = f"Case '{name}': there is no file '{row[column]}' (column {column}); correct the path."
                raise InputError(message)
        known = (*file_columns, *optional, "case", "patient")
        others = {key: value for key, value in row.items() if key not in known}
        cases.append(CohortCase(name, (row.get("patient") or name).strip(), files, others))
    return cases


def read_rows(path: Path, columns: Sequence[str] = ("case",)) -> dict[str, dict[str, str]]:
    """The rows of a cohort file by case, as text; no file that it names is looked at.

    Args:
        columns: which must be there; "case" always must.

    Raises:
        InputError: no such file, a column is missing, or a case has no name or is named twice.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"There is no cohort file '{path}'; give a CSV as `prognosis simulate` writes it.")
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.DictReader(stream, restval=""))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"'{path.name}' cannot be read as a CSV file ({error}); save it as CSV in UTF-8.") from error
    if not rows:
        raise InputError(f"The cohort file '{path.name}' has no rows; add one row a case.")
    for column in columns:
        if column not in rows[0]:
            raise InputError(f"The cohort file '{path.name}' has no column '{column}'; add it to the header and rows.")
    named: dict[str, dict[str, str]] = {}
    for row in rows:
        name = row["case"].strip()
        if None in row:
            raise InputError(f"Case '{name}' has more values than '{path.name}' has columns; quote values with commas.")
        if not name or name in named:
            raise InputError(f"The case '{name}' stands twice or has no name in '{path.name}'; name every case once.")
        named[name] = row
    return named


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """A CSV with a column for every key that occurs, in order of appearance; whole or not at all."""
    rows = list(rows)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return write_atomic(path, text.getvalue())


def split_by_patient(
    cases: Sequence[CohortCase], validation: Sequence[str], images: Sequence[str] = ()
) -> tuple[list[CohortCase], list[CohortCase]]:
    """Training and validation cases; all cases of a patient fall on one side.

    Args:
        validation: patients that are held out, beside those whose column "split" says anything but "train".
        images: columns of files that no two patients may share.

    Raises:
        InputError: a named patient is not in the cohort, a patient is on both sides, an image is that of two patients,
            or nobody is left for training.
    """
    refuse_shared_images(cases, images)
    sides = [case.values.get(SPLIT, "").strip() for case in cases]
    held = held_out([case.patient for case in cases], sides, validation, "cohort")
    training, kept = ([case for case, out in zip(cases, held, strict=True) if out == side] for side in (False, True))
    return training, kept
