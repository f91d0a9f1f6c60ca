"""A table with one row for each frame of a sequence."""

from __future__ import annotations

import math
from collections.abc import Sequence

import slicer
import vtk

from ..findings import Findings
from .places import newNode, placeBeside
from .tables import describeColumn, makeColumn


def updateFramesTable(found: Sequence[Findings], browserNode, volumeNode, tableNode=None):
    """Writes one row for each frame: its number, its index value, and every number that was measured in any of them.

    Args:
        found: findings of all items of the browser's master sequence, in their order.
        tableNode: to write into; None makes a new one beside the volume.

    Returns:
        the table node; a quantity that a frame lacks is NaN.
    """
    sequence = browserNode.GetMasterSequenceNode()
    if tableNode is None:
        tableNode = newNode("vtkMRMLTableNode", f"{volumeNode.GetName()} frames")
        placeBeside(tableNode, volumeNode)
    rows = {row.key: row for findings in found for row in findings.measurements if _isNumber(row.value)}
    index = sequence.GetIndexName() or "index"
    columns = {
        "frame": ("Frame", "Number of the frame, from 1", "", range(1, len(found) + 1)),
        "position": (index, "Index value of the frame", sequence.GetIndexUnit() or "", _indexValues(sequence, found)),
    }
    for key, row in rows.items():
        values = [findings.value(key) for findings in found]
        numbers = [value if _isNumber(value) else math.nan for value in values]
        columns[key] = (row.label, f"{row.note}; {row.method}".strip("; "), row.unit, numbers)
    table = vtk.vtkTable()
    for name, (_title, _about, _unit, values) in columns.items():
        isNumber = not any(isinstance(value, str) for value in values)
        table.AddColumn(makeColumn(name, values, isNumber=isNumber))
    with slicer.util.NodeModify(tableNode):
        tableNode.SetAndObserveTable(table)
        for name, (title, about, unit, values) in columns.items():
            isNumber = not any(isinstance(value, str) for value in values)
            describeColumn(tableNode, name, f"{title} ({unit})" if unit else title, about, isNumber=isNumber)
            if unit:
                tableNode.SetColumnUnitLabel(name, unit)
        tableNode.SetUseColumnTitleAsColumnHeader(True)
        tableNode.SetLocked(True)
    return tableNode


def _indexValues(sequence, found: Sequence[Findings]) -> list:
    values = [sequence.GetNthIndexValue(number) for number in range(len(found))]
    try:
        return [float(value) for value in values]
    except ValueError:
        return values


def _isNumber(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
