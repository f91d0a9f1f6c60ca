"""What a batch runs: the cases of a CSV, of a folder of images, or of a tree of DICOM studies.

A case is plain data. Its files are looked at only when it is run, so that a bad one is one failed case.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..clinical_fields import ClinicalField
from ..cohort import read_rows
from ..errors import InputError
from ..systems import Role, System, series_option

MISSING = ("", "na", "nan", "none", "null")
YES_NO = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
# "bilirubin [mg/dL]" or "bilirubin (mg/dL)"
WITH_UNIT = re.compile(r"\s*(\w+)\s*(?:[\[(]\s*([^\])]+?)\s*[\])])?\s*")
# Names that Windows keeps for itself.
DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
# How like a clinical value's name another column's must be, for a hint that it may be misspelled.
LIKENESS = 0.85


@dataclass(frozen=True)
class BatchCase:
    """One case to run, as any process can take it that sees the same files.

    Args:
        name: stands once in a batch.
        images: absolute paths by role.
        patient: cases of one patient have the same; the name where it is not known.
        series: SeriesInstanceUID by role, where a folder holds several series.
        clinical: clinical values that stand in the cohort itself; they replace those of the file.
        clinical_file: JSON file with clinical values, or "".
        segmentation: a corrected segmentation to measure in place of a run of the networks, or "".
        columns: what else the cohort says of the case; goes into the results table.
    """

    name: str
    images: Mapping[str, str]
    patient: str = ""
    series: Mapping[str, str] = field(default_factory=dict)
    clinical: Mapping[str, Any] = field(default_factory=dict)
    clinical_file: str = ""
    segmentation: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)

    def fingerprint(self, root: Path) -> str:
        """Of what is run, with paths relative to the cohort's folder: it changes with a file's name or a value."""
        files = {**self.images, "clinical file": self.clinical_file, "segmentation file": self.segmentation}
        places = {key: _relative(path, root) for key, path in files.items() if path}
        text = json.dumps([places, dict(self.series), dict(self.clinical)], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Found:
    """The cases of a cohort, and sentences about what may not be as it was meant."""

    cases: Sequence[BatchCase]
    root: Path
    notices: Sequence[str] = ()


def find_cases(system: System, source: Path) -> Iterator[int]:
    """The cases of a CSV or a folder, as a generator that never works long at a time.

    It yields how many files it has looked at, and returns `Found`.

    Raises:
        InputError: there is no such cohort, or no case in it.
    """
    source = Path(source)
    if source.is_dir():
        from .folders import find_in_folder

        return (yield from find_in_folder(system, source.absolute()))
    yield 0
    return read_csv(system, source)


def read_csv(system: System, path: Path) -> Found:
    """The cases of a cohort file.

    Columns: `case`; the image of each role by its name; `series` and `ROLE_series` as on the command line; `clinical`
    (a JSON file); `segmentation`; `patient`; clinical values by their keys, with their unit in brackets if it is not
    the field's own. Everything else is carried into the results table. Paths are relative to the file.

    Raises:
        InputError: no such file, no column of an image, or a case that is named twice.
    """
    path = Path(path)
    rows = read_rows(path)
    header = [column for column in next(iter(rows.values())) if column]
    _check_header(system, path, header)
    values = _clinical_columns(system, header)
    taken = {"case", "patient", "clinical", "segmentation", *values}
    taken |= {column for role in system.roles for column in (role.name, series_column(system, role))}
    root = path.parent.absolute()
    cases = []
    for name, row in rows.items():
        series = {role.name: (row.get(series_column(system, role)) or "").strip() for role in system.roles}
        cases.append(
            BatchCase(
                name=name,
                images=_paths(row, [role.name for role in system.roles], root),
                patient=(row.get("patient") or name).strip(),
                series={role: uid for role, uid in series.items() if uid},
                clinical=_clinical_values(row, values),
                clinical_file=_paths(row, ["clinical"], root).get("clinical", ""),
                segmentation=_paths(row, ["segmentation"], root).get("segmentation", ""),
                columns={key: row[key] for key in header if key not in taken},
            )
        )
    return Found(cases, root, _misspelled(system, [key for key in header if key not in taken]))


def series_column(system: System, role: Role) -> str:
    """The column for the series of a role: "series" for the first, "ROLE_series" for others."""
    return series_option(system, role).removeprefix("--").replace("-", "_")


def folder_names(cases: Sequence[str]) -> dict[str, str]:
    """A folder's name for each case: its own as far as every file system takes it, else with a checksum.

    Names that differ in capitals only are one to some file systems, so that they get a checksum, too.
    """
    safe = {case: re.sub(r"[^A-Za-z0-9._-]+", "_", case).strip("._")[:80] for case in cases}
    often = Counter(name.lower() for name in safe.values())
    return {
        case: name if name == case and often[name.lower()] == 1 and not DEVICE.fullmatch(name) else _marked(name, case)
        for case, name in safe.items()
    }


def _marked(name: str, case: str) -> str:
    return f"{name or 'case'}-{hashlib.sha256(case.encode()).hexdigest()[:8]}"


def _relative(path: str, root: Path) -> str:
    """Relative to the cohort's folder where it lies inside, so that both can be moved together."""
    inside = os.path.normpath(path)
    return Path(inside).relative_to(root).as_posix() if Path(inside).is_relative_to(root) else inside


def _paths(row: Mapping[str, str], columns: Sequence[str], root: Path) -> dict[str, str]:
    texts = {column: (row.get(column) or "").strip() for column in columns}
    return {column: os.path.normpath(root / text) for column, text in texts.items() if text}


def _check_header(system: System, path: Path, header: Sequence[str]) -> None:
    names = [role.name for role in system.roles]
    lacking = [role.name for role in system.roles if role.required and role.name not in header]
    if lacking:
        raise InputError(
            f"The cohort file '{path.name}' has no column '{lacking[0]}'; add the paths of the images, relative to "
            "the file."
        )
    if not set(names) & set(header):
        raise InputError(
            f"The cohort file '{path.name}' has no column of an image; add {' or '.join(repr(n) for n in names)} with "
            "paths relative to the file."
        )


def _clinical_columns(system: System, header: Sequence[str]) -> dict[str, tuple[ClinicalField, str]]:
    """Columns that hold a clinical value of the system: the field and the unit that the header says, if any."""
    fields = {one.key: one for one in system.clinical_fields}
    found = {}
    for column in header:
        match = WITH_UNIT.fullmatch(column)
        if match and match[1].lower() in fields:
            found[column] = (fields[match[1].lower()], match[2] or "")
    return found


def _clinical_values(row: Mapping[str, str], columns: Mapping[str, tuple[ClinicalField, str]]) -> dict[str, Any]:
    """As a clinical JSON file would have them; `check_clinical` judges them when the case is run."""
    values: dict[str, Any] = {}
    for column, (one, unit) in columns.items():
        text = (row.get(column) or "").strip()
        if text.lower() not in MISSING or text.lower() in one.choices:
            values[one.key] = _value(text, one, unit)
    return values


def _value(text: str, one: ClinicalField, unit: str) -> Any:
    if one.kind == "yes/no":
        return YES_NO.get(text.lower(), text)
    if one.kind == "choice":
        return text
    try:
        number = float(text)
    except ValueError:
        return text
    return {"value": number, "unit": unit} if unit else number


def _misspelled(system: System, columns: Sequence[str]) -> list[str]:
    keys = [one.key for one in system.clinical_fields]
    found = []
    for column in columns:
        near = difflib.get_close_matches(column.strip().lower(), keys, n=1, cutoff=LIKENESS)
        if near:
            found.append(f"The column '{column}' is not used; rename it if '{near[0]}' was meant.")
    return found
