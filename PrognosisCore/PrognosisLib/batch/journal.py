"""The journal of a batch: a line of JSON for each case that has ended, which is what a resumed batch goes by.

    {"run": {...}}        at each start: system, model, settings, program
    {"columns": [...]}    before the first case that has such values: key, label, unit, method, simulated
    {"case": ..., ...}    name, fingerprint, status, reason, seconds, values [value, lower, upper], flags, summary

A line is on the disk before the next step is taken. One that a kill has cut short is passed over: its case runs again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError, MissingPackage
from ..findings import Findings, Measurement
from ..reporting.output import write_error

NAME = "journal.jsonl"
DONE, FAILED = "done", "failed"
MOST_DETAIL = 4000
PARTS = {"system": "another system", "model": "another model", "settings": "other settings"}


class Journal:
    """Reads what is there and appends; keeps in memory where each case's line is, and never the lines.

    Args:
        folder: of the batch.
        writable: False for one who only looks, perhaps while a batch is under way.

    Raises:
        InputError: the folder cannot be read or written.
    """

    def __init__(self, folder: Path, writable: bool = True) -> None:
        self.path = Path(folder) / NAME
        self.run: dict[str, Any] = {}
        self.columns: dict[str, dict[str, Any]] = {}
        self._places: dict[str, int] = {}
        self._known: dict[str, tuple[str, str]] = {}
        try:
            self._file = open(self.path, "a+b" if writable else "rb")  # noqa: SIM115 - held until close
        except OSError as error:
            raise write_error(error, self.path.parent) from error
        self._read()

    def close(self) -> None:
        self._file.close()

    def __contains__(self, case: str) -> bool:
        return case in self._places

    def __iter__(self) -> Iterator[str]:
        """The cases in the order in which they first ended."""
        return iter(tuple(self._places))

    def state(self, case: str) -> tuple[str, str]:
        """(fingerprint, status) of a case's last line; ("", "") where it has none."""
        return self._known.get(case, ("", ""))

    def entry(self, case: str) -> dict[str, Any]:
        """The last line of a case."""
        self._file.seek(self._places[case])
        return json.loads(self._file.readline())

    def begin(self, run: Mapping[str, Any]) -> None:
        """Notes the start of a run."""
        if self.run != dict(run):
            self._append([{"run": dict(run)}])

    def add(self, entry: Mapping[str, Any], columns: Mapping[str, Mapping[str, Any]]) -> bool:
        """Notes the end of a case; returns whether it has values that no case had before.

        Args:
            entry: as `entry_of` or `failure` makes it, with "case" and "print".
            columns: what its values are, by key.
        """
        new = [{"key": key, **about} for key, about in columns.items() if key not in self.columns]
        self._append([{"columns": new}, dict(entry)] if new else [dict(entry)])
        return bool(new)

    def _append(self, records: list[dict[str, Any]]) -> None:
        """Writes lines at the end and waits until they are on the disk."""
        lines = [json.dumps(one, ensure_ascii=False, allow_nan=False).encode() + b"\n" for one in records]
        place = self._file.seek(0, os.SEEK_END)
        try:
            self._file.write(b"".join(lines))
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise write_error(error, self.path.parent) from error
        for record, line in zip(records, lines, strict=True):
            self._take(record, place)
            place += len(line)

    def _read(self) -> None:
        self._file.seek(0)
        place, line = 0, b""
        for line in self._file:
            try:
                record = json.loads(line) if line.endswith(b"\n") else None
            except ValueError:
                record = None
            if isinstance(record, dict):
                self._take(record, place)
            place += len(line)
        if (
            line and not line.endswith(b"\n") and self._file.writable()
        ):  # the next line must not be glued to one that was cut short
            self._file.seek(0, os.SEEK_END)
            self._file.write(b"\n")

    def _take(self, record: dict[str, Any], place: int) -> None:
        if "run" in record:
            self.run = record["run"]
        elif "columns" in record:
            self.columns |= {one["key"]: one for one in record["columns"]}
        elif "case" in record:
            self._places[record["case"]] = place
            self._known[record["case"]] = (record.get("print", ""), record.get("status", ""))


def check_same(before: Mapping[str, Any], now: Mapping[str, Any], folder: Path) -> None:
    """Raises InputError where a folder holds results that were made otherwise; one table has results of one kind."""
    for part, words in PARTS.items():
        if part in before and before[part] != now[part]:
            raise InputError(
                f"'{folder}' holds results of {words} ({_told(before[part], now[part])}); choose another output "
                "folder, or run as before."
            )


def _told(before: Any, now: Any) -> str:
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
        return "; ".join(f"{key} {before.get(key)}, now {now.get(key)}" for key in keys)
    return f"{before}, now {now}"


# Entries


def entry_of(findings: Findings) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """What a case's line says of its findings, and what its values are (see `Journal.add`)."""
    values = {row.key: _value(row) for row in findings.measurements}
    flags = [{"key": flag.key, "severity": flag.severity, "message": flag.message} for flag in findings.flags]
    columns = {
        row.key: {"label": row.label, "unit": row.unit, "method": row.method, "simulated": row.simulated}
        for row in findings.measurements
    }
    entry = {"status": DONE, "reason": "", "summary": findings.summary, "values": values, "flags": flags}
    return entry, columns


def failure(error: BaseException) -> dict[str, Any]:
    """The line of a case that failed: the first line of what is wrong, and the rest of it as detail.

    Where the machine is at fault, "machine" is True: no case can be run there.
    """
    reason, _, rest = str(error).strip().partition("\n")
    detail = "\n".join(part for part in (rest, *getattr(error, "__notes__", ())) if part)
    entry = {"status": FAILED, "reason": reason or type(error).__name__, "summary": "", "values": {}, "flags": []}
    entry |= {"detail": detail[-MOST_DETAIL:]} if detail else {}
    return entry | ({"machine": True} if isinstance(error, MissingPackage) else {})


def _value(row: Measurement) -> list[Any]:
    interval = row.interval
    return [_plain(row.value), *((_plain(interval.lower), _plain(interval.upper)) if interval else ())]


def _plain(value: Any) -> Any:
    """A number or text that JSON holds; infinite numbers as text, and None where there is none."""
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float) and value - value != 0:
        return None if value != value else ("inf" if value > 0 else "-inf")
    return value
