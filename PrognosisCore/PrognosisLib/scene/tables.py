"""The results table: measurements, flags, summary and provenance in one table node, and back."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict

import numpy as np
import vtk

from ..errors import InputError
from ..findings import Findings, Flag, Interval, Measurement
from ..wording import is_number, result_text

# MRML writes tables with six digits and loses quotation marks, so the exact findings are kept as JSON as well.
FINDINGS = "Prognosis.findings"
LACK = "Prognosis.lack"
RESULTS_ROLE = "results"

# name, title, what it holds; the number columns are float64, the others text.
COLUMNS = (
    ("quantity", "Quantity", "What was measured"),
    ("value", "Value", "The number, not rounded; NaN where the result is a word or missing"),
    ("unit", "Unit", "Unit of value, lower and upper"),
    ("lower", "Lower", "Lower end of the interval, NaN if there is none"),
    ("upper", "Upper", "Upper end of the interval, NaN if there is none"),
    ("method", "Method", "How it was obtained, with the source"),
    ("note", "Note", "What the reader must know"),
    ("text", "Result", "The result in words, rounded, with unit and interval"),
    ("group", "Group", "Heading of the row"),
    ("key", "Key", "Name of the row for programs; it does not change between versions"),
    ("place", "Place", "Where the row is best seen: world R, A and S in mm; empty if nowhere"),
)
NUMBERS = ("value", "lower", "upper")
CSV_COLUMNS = tuple(name for name, _title, _description in COLUMNS[:7])


def updateTable(tableNode, findings: Findings) -> None:
    """Fills a table node with the findings' measurements, flags, summary and provenance; all it held is replaced.

    Columns as in `COLUMNS`. `value` is numeric so that it can be plotted and exported with all digits; `text` shows
    every result, also those that are words. The table is locked: it follows the segmentation.

    Raises:
        TypeError: the provenance cannot be written as JSON.
    """
    stored = _toJson(findings)
    table = vtk.vtkTable()
    rows = [_row(measurement) for measurement in findings.measurements]
    for name, _title, _description in COLUMNS:
        table.AddColumn(makeColumn(name, [row[name] for row in rows], isNumber=name in NUMBERS))
    modified = tableNode.StartModify()
    try:
        tableNode.SetAndObserveTable(table)
        for name, title, description in COLUMNS:
            describeColumn(tableNode, name, title, description, isNumber=name in NUMBERS)
        for name in NUMBERS:
            tableNode.SetColumnUnitLabel(name, "as in the unit column")
        tableNode.SetUseColumnTitleAsColumnHeader(True)
        tableNode.SetLocked(True)
        tableNode.SetAttribute(FINDINGS, stored)
    finally:
        tableNode.EndModify(modified)


def readTable(tableNode) -> Findings:
    """Measurements, flags, summary and provenance of a results table, exact to the last digit; no masks or curves.

    Raises:
        InputError: it is not a results table.
    """
    stored = tableNode.GetAttribute(FINDINGS) if tableNode is not None else None
    if stored is None:
        name = tableNode.GetName() if tableNode is not None else "(none)"
        raise InputError(f"'{name}' is not a results table; choose the table that a run has written.")
    content = json.loads(stored)
    return Findings(
        system=content["system"],
        measurements=tuple(_measurement(row) for row in content["measurements"]),
        flags=tuple(Flag(**flag) for flag in content["flags"]),
        summary=content["summary"],
        provenance=content["provenance"],
    )


def isResultsTable(tableNode) -> bool:
    """Whether `updateTable` has written it."""
    return tableNode.GetAttribute(FINDINGS) is not None


def noteLack(tableNode, segment: str | None) -> None:
    """Notes on a results table that no segment of this name was found; None takes the note back."""
    if segment is None:
        tableNode.RemoveAttribute(LACK)
    else:
        tableNode.SetAttribute(LACK, segment)


def lackOf(tableNode) -> str:
    """The segment that was not found when the results were made; empty where it was."""
    return (tableNode.GetAttribute(LACK) if tableNode is not None else None) or ""


def makeColumn(name: str, values: Iterable, isNumber: bool) -> vtk.vtkAbstractArray:
    """A column of float64 or of text. Quotation marks and line ends, lost in MRML's files, are changed."""
    column = vtk.vtkDoubleArray() if isNumber else vtk.vtkStringArray()
    column.SetName(name)
    for value in values:
        column.InsertNextValue(float(value) if isNumber else " ".join(str(value).replace('"', "'").split()))
    return column


def describeColumn(tableNode, name: str, title: str, description: str, isNumber: bool) -> None:
    """Type, title and description of a column, kept in the table's schema file."""
    tableNode.SetColumnType(name, vtk.VTK_DOUBLE if isNumber else vtk.VTK_STRING)
    tableNode.SetColumnTitle(name, title)
    tableNode.SetColumnDescription(name, description)


def csvRows(tableNode) -> list[list[str]]:
    """The table as text with all digits, header first.

    A results table gives quantity, value, unit, lower, upper, method, note; a value that is a word stands in `value`,
    a missing number is empty. Any other table gives all its columns.
    """
    if isResultsTable(tableNode):
        return [list(CSV_COLUMNS), *(_csvRow(measurement) for measurement in readTable(tableNode).measurements)]
    table = tableNode.GetTable()
    columns = [table.GetColumn(index) for index in range(table.GetNumberOfColumns())]
    rows = [[_cell(column.GetVariantValue(row)) for column in columns] for row in range(table.GetNumberOfRows())]
    return [[column.GetName() for column in columns], *rows]


def _cell(value: vtk.vtkVariant) -> str:
    return repr(value.ToDouble()) if value.IsFloat() or value.IsDouble() else value.ToString()


def _csvRow(measurement: Measurement) -> list[str]:
    ends = measurement.interval
    numbers = [measurement.value, ends.lower if ends else None, ends.upper if ends else None]
    value, lower, upper = ("" if number is None else str(number) for number in numbers)
    return [measurement.label, value, measurement.unit, lower, upper, measurement.method, measurement.note]


def _row(measurement: Measurement) -> dict:
    ends = measurement.interval
    return {
        "quantity": measurement.label,
        "value": measurement.value if is_number(measurement.value) else math.nan,
        "unit": measurement.unit,
        "lower": ends.lower if ends else math.nan,
        "upper": ends.upper if ends else math.nan,
        "method": measurement.method,
        "note": measurement.note,
        "text": result_text(measurement),
        "group": measurement.group,
        "key": measurement.key,
        "place": "" if measurement.place is None else " ".join(f"{part:.1f}" for part in measurement.place),
    }


def _toJson(findings: Findings) -> str:
    content = {
        "system": findings.system,
        "measurements": [asdict(measurement) for measurement in findings.measurements],
        "flags": [asdict(flag) for flag in findings.flags],
        "summary": findings.summary,
        "provenance": findings.provenance,
    }
    return json.dumps(content, default=_plain, ensure_ascii=False)


def _plain(value):
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} in the findings cannot be stored in the scene.")


def _measurement(row: dict) -> Measurement:
    interval = Interval(**row["interval"]) if row["interval"] else None
    return Measurement(**{**row, "interval": interval})
