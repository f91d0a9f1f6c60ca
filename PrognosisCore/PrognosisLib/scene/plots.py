"""Curves to plot charts, with their series and a table of points for each chart."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import slicer
import vtk

from ..colors import BLUE, GREEN, ORANGE, PURPLE, SKY_BLUE, VERMILION
from ..findings import SIMULATED, Curve, Findings
from .places import findMarked, mark, newNode, placeBeside
from .tables import describeColumn, makeColumn

CHART_ROLE, SERIES_ROLE, POINTS_ROLE = "chart", "series", "points"

# The patient's own curve has a color of its own; the last one is for more curves than the palette has colors.
EMPHASIS = VERMILION
COLORS = (BLUE, ORANGE, GREEN, PURPLE, SKY_BLUE, (0.35, 0.35, 0.35))


@dataclass(frozen=True)
class _Line:
    """One series: legend, the names of its columns, its points and its looks."""

    legend: str
    columns: tuple[str, str]
    x: np.ndarray
    y: np.ndarray
    color: tuple[float, float, float]
    width: float
    isBand: bool
    curve: Curve


def updateCharts(findings: Findings, volumeNode, segmentationNode, undo: ExitStack) -> tuple[tuple, tuple, tuple, list]:
    """Draws the curves into chart nodes, using those of an earlier run of the same system, volume and segmentation.

    Returns:
        charts, series, tables, and the nodes of the earlier run that are no longer needed; the caller removes these.

    Raises:
        ValueError: a curve's arrays differ in length, or two curves of a chart have one name.
    """
    place = (findings.system, volumeNode, segmentationNode)
    charts, series, tables = [], [], []
    for title in dict.fromkeys(curve.chart for curve in findings.curves):
        curves = [curve for curve in findings.curves if curve.chart == title]
        lines = _lines(curves)
        table = _node("vtkMRMLTableNode", POINTS_ROLE, f"{title} points", place, undo, chart=title)
        _fillPoints(table, lines)
        chart = _node("vtkMRMLPlotChartNode", CHART_ROLE, title, place, undo, chart=title)
        ofChart = [_drawLine(line, title, table, place, undo) for line in lines]
        _fillChart(chart, title, curves, ofChart)
        charts.append(chart)
        tables.append(table)
        series += ofChart
    used = {*charts, *series, *tables}
    roles = (CHART_ROLE, SERIES_ROLE, POINTS_ROLE)
    stale = [node for role in roles for node in findMarked(role, *place) if node not in used]
    return tuple(charts), tuple(series), tuple(tables), stale


def _lines(curves: list[Curve]) -> list[_Line]:
    """Each curve as a line, and as two more where it has a band; steps are drawn out."""
    isMixed = len({curve.simulated for curve in curves}) > 1
    if len({curve.name for curve in curves}) < len(curves):
        raise ValueError(f"Two curves of the chart '{curves[0].chart}' have the same name.")
    colors = iter(COLORS * (1 + len(curves) // len(COLORS)))
    lines = []
    for curve in curves:
        legend = f"{curve.name} ({SIMULATED})" if isMixed and curve.simulated else curve.name
        color = EMPHASIS if curve.emphasized else next(colors)
        values = {"": curve.y, " lower": curve.lower, " upper": curve.upper}
        for end, y in values.items():
            if y is None:
                continue
            points = _points(curve, y)
            columns = (f"{curve.name}: {curve.x_label}", f"{curve.name}{end}: {curve.y_label}")
            width = 1.0 if end else (4.0 if curve.emphasized else 2.0)
            lines.append(_Line(f"{legend}{end}", columns, *points, color, width, bool(end), curve))
    return lines


def _points(curve: Curve, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x and y to be joined by straight lines; a step curve keeps y[i] from x[i] to x[i + 1]."""
    x, y = np.asarray(curve.x, dtype=float), np.asarray(y, dtype=float)
    if x.ndim != 1 or x.shape != y.shape or not len(x):
        raise ValueError(f"The curve '{curve.name}' needs x and y of the same length.")
    return (np.repeat(x, 2)[1:], np.repeat(y, 2)[:-1]) if curve.step else (x, y)


def _fillPoints(tableNode, lines: list[_Line]) -> None:
    """One x and one y column for each line; shorter ones repeat their last point, which draws nothing."""
    length = max(len(line.x) for line in lines)
    columns: dict[str, np.ndarray] = {}
    for line in lines:
        columns[line.columns[0]], columns[line.columns[1]] = (
            np.pad(values, (0, length - len(values)), mode="edge") for values in (line.x, line.y)
        )
    table = vtk.vtkTable()
    for name, values in columns.items():
        table.AddColumn(makeColumn(name, values, isNumber=True))
    with slicer.util.NodeModify(tableNode):
        tableNode.SetAndObserveTable(table)
        for line in lines:
            for name, label in zip(line.columns, (line.curve.x_label, line.curve.y_label), strict=True):
                description = f"{SIMULATED}: {label}" if line.curve.simulated else label
                describeColumn(tableNode, name, name, description, isNumber=True)


def _drawLine(line: _Line, chartTitle: str, tableNode, place: tuple, undo: ExitStack):
    node = _node(
        "vtkMRMLPlotSeriesNode", SERIES_ROLE, line.legend, place, undo, chart=chartTitle, curve=line.columns[1]
    )
    with slicer.util.NodeModify(node):
        # The legend shows the node's name.
        node.SetName(line.legend)
        node.SetAndObserveTableNodeID(tableNode.GetID())
        node.SetXColumnName(line.columns[0])
        node.SetYColumnName(line.columns[1])
        node.SetPlotType(node.PlotTypeScatter)
        node.SetMarkerStyle(node.MarkerStyleNone)
        node.SetLineStyle(node.LineStyleDash if line.isBand else node.LineStyleSolid)
        node.SetLineWidth(line.width)
        node.SetColor(*line.color)
    return node


def _fillChart(chart, title: str, curves: list[Curve], series: list) -> None:
    isSimulated = any(curve.simulated for curve in curves)
    with slicer.util.NodeModify(chart):
        chart.SetTitle(f"{title} ({SIMULATED})" if isSimulated and SIMULATED not in title else title)
        chart.SetTitleVisibility(True)
        chart.SetXAxisTitle(curves[0].x_label)
        chart.SetYAxisTitle(curves[0].y_label)
        chart.SetLegendVisibility(True)
        chart.RemoveAllPlotSeriesNodeIDs()
        for node in series:
            chart.AddAndObservePlotSeriesNodeID(node.GetID())


def _node(className: str, role: str, name: str, place: tuple, undo: ExitStack, **attributes: str):
    """The node of an earlier run, with the way back to its state, or a new one."""
    system, volumeNode, segmentationNode = place
    found = findMarked(role, system, volumeNode, segmentationNode, **attributes)
    if found:
        restoreOnUndo(found[0], undo)
        return found[0]
    node = newNode(className, name)
    mark(node, role, system, volumeNode, segmentationNode, **attributes)
    placeBeside(node, volumeNode)
    return node


def restoreOnUndo(node, undo: ExitStack) -> None:
    """Keeps a copy of a small node's whole state, to which `undo` returns it."""
    copy = node.CreateNodeInstance()
    copy.Copy(node)
    undo.callback(node.Copy, copy)
