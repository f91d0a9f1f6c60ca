"""The results table of a batch: results.csv, one row a case, and columns.csv, which says what its columns are."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..cohort import write_rows
from ..findings import SIMULATED
from ..reporting.output import move_into_place, write_error
from .journal import DONE, Journal
from .review import Review

NAME, COLUMNS_NAME = "results.csv", "columns.csv"
FIXED = {
    "case": "Name of the case in the cohort",
    "patient": "Patient, as the cohort has it; the case where it does not say",
    "status": "done or failed",
    "reason": "Why the case failed",
    "flags": "Keys of the flags: reasons to look again",
    "flag_messages": "The flags in words",
    "review": "accepted or rejected on visual review; empty where it was not reviewed",
    "review_comment": "What the reviewer wrote",
    "seconds": "How long the case took",
    "folder": "The case's files, relative to this table",
    "simulated_cohort": f"Columns with values of models that were trained on a {SIMULATED}",
}
COHORT_PREFIX = "cohort_"


class ResultsTable:
    """The table on disk: a row is appended as each case ends; the whole is written anew where columns are new.

    Every row comes from the journal, so nothing is kept in memory.

    Args:
        cohort: what the cohort says of a case ("patient" and other columns), by case, in the order of the rows; cases
            that only the journal has follow.
        waiting: cases that are to be run again; they have no row until they have ended.
    """

    def __init__(
        self,
        folder: Path,
        journal: Journal,
        cohort: Mapping[str, Mapping[str, str]],
        waiting: Iterable[str] = (),
    ) -> None:
        self.path, self._journal, self._cohort = Path(folder) / NAME, journal, cohort
        self._waiting = set(waiting)
        self._others = [key for key in dict.fromkeys(key for row in cohort.values() for key in row) if key != "patient"]
        self._keys: list[str] = []
        self._ranges: set[str] = set()

    def add(self, case: str) -> None:
        """Appends the row of a case that has ended, and waits until it is on the disk."""
        self._waiting.discard(case)
        entry = self._journal.entry(case)
        if self._note(entry) or not self.path.exists():
            self.write()
            return
        text = io.StringIO(newline="")
        csv.DictWriter(text, self.columns(), restval="", lineterminator="\r\n").writerow(self._row(entry, ("", "")))
        try:
            with open(self.path, "ab") as file:
                file.write(text.getvalue().encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise write_error(error, self.path.parent) from error

    def write(self) -> None:
        """Writes all rows anew, in the cohort's order, whole or not at all; and columns.csv."""
        self._keys, self._ranges = [], set()
        for case in self.order():
            self._note(self._journal.entry(case))
        review = Review.read(self.path.parent)
        rows = (self._row(self._journal.entry(case), review.of(case)) for case in self.order())
        _write_stream(self.path, self.columns(), rows)
        write_rows(self.path.with_name(COLUMNS_NAME), self._meanings())

    def order(self) -> Iterator[str]:
        """The cases that have ended: those of the cohort in its order, then others of earlier runs."""
        ended = [case for case in self._cohort if case in self._journal]
        ended += [case for case in self._journal if case not in self._cohort]
        yield from (case for case in ended if case not in self._waiting)

    def columns(self) -> list[str]:
        values = [name for key in self._keys for name in self._names(key)]
        return [*FIXED, *values, *self._cohort_columns().values()]

    def _names(self, key: str) -> list[str]:
        return [key, f"{key}_lower", f"{key}_upper"] if key in self._ranges else [key]

    def _cohort_columns(self) -> dict[str, str]:
        """Other columns of the cohort and how the table calls them: one that is taken gets a prefix."""
        taken = {*FIXED, *(name for key in self._keys for name in self._names(key))}
        return {name: f"{COHORT_PREFIX}{name}" if name in taken else name for name in self._others}

    def _note(self, entry: Mapping[str, Any]) -> bool:
        """Takes in which values an entry has; returns whether any column is new."""
        before, place = (len(self._keys), len(self._ranges)), 0
        if not entry["values"].keys() <= set(self._keys):
            for key in entry["values"]:  # a new one stands behind the one that it follows in its case
                if key in self._keys:
                    place = self._keys.index(key) + 1
                else:
                    self._keys.insert(place, key)
                    place += 1
        self._ranges |= {key for key, value in entry["values"].items() if len(value) > 1}
        return (len(self._keys), len(self._ranges)) != before

    def _row(self, entry: Mapping[str, Any], review: tuple[str, str]) -> dict[str, Any]:
        case, values, flags = entry["case"], entry["values"], entry["flags"]
        cohort = self._cohort.get(case) or entry["cohort"]
        row = {
            "case": case,
            "patient": cohort.get("patient", case),
            "status": entry["status"],
            "reason": entry["reason"],
            "flags": "; ".join(flag["key"] for flag in flags),
            "flag_messages": " ".join(flag["message"] for flag in flags),
            "review": review[0],
            "review_comment": review[1],
            "seconds": entry["seconds"],
            "folder": entry["folder"] if entry["status"] == DONE else "",
            "simulated_cohort": "; ".join(key for key in values if self._journal.columns[key]["simulated"]),
        }
        for key, (value, *ends) in values.items():
            row |= {key: value, **dict(zip((f"{key}_lower", f"{key}_upper"), ends, strict=False))}
        return row | {name: cohort.get(key, "") for key, name in self._cohort_columns().items()}

    def _meanings(self) -> Iterator[dict[str, str]]:
        yield from ({"column": name, "quantity": text} for name, text in FIXED.items())
        for key in self._keys:
            about = self._journal.columns[key]
            for name, end in zip(self._names(key), ("", ", lower end of the interval", ", upper end"), strict=False):
                yield {
                    "column": name,
                    "quantity": f"{about['label']}{end}",
                    "unit": about["unit"],
                    "method": about["method"],
                    "note": SIMULATED if about["simulated"] else "",
                }
        for key, name in self._cohort_columns().items():
            yield {"column": name, "quantity": f"Column '{key}' of the cohort"}


def cohort_of(folder: Path, journal: Journal) -> dict[str, dict[str, str]]:
    """What the cohort said of the cases that have ended, in the order of the table on disk."""
    path = Path(folder) / NAME
    order: list[str] = []
    if path.is_file():
        with path.open(newline="", encoding="utf-8") as stream:
            order = [row.get("case") or "" for row in csv.DictReader(stream)]
    cases = [*(case for case in dict.fromkeys(order) if case in journal), *journal]
    return {case: journal.entry(case)["cohort"] for case in dict.fromkeys(cases)}


def _write_stream(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """A CSV that is written row by row, whole or not at all."""
    with move_into_place(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        writer = csv.DictWriter(text, columns, restval="", lineterminator="\r\n")
        writer.writeheader()
        writer.writerows(rows)
        text.detach()
