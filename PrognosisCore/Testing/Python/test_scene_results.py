# ruff: noqa: E402
"""Findings in the scene: results table, charts, heat maps; found again by the next run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("slicer")

from PrognosisLib import headless

headless.start()

import slicer
from scene_cases import GRID, add_transform, edit, small_findings
from scene_fixtures import *  # noqa: F403

from PrognosisLib import scene
from PrognosisLib.errors import InputError
from PrognosisLib.findings import Curve, Findings, HeatMap
from PrognosisLib.volume import Grid


def test_the_table_is_typed_and_says_what_it_holds(a_volume_node):
    table_node = scene.fromFindings(small_findings(GRID), a_volume_node).table
    table = table_node.GetTable()
    assert table.GetColumnByName("value").GetDataTypeAsString() == "double"
    values = [table.GetColumnByName("value").GetValue(row) for row in range(3)]
    assert values[0] == 312.456789012345
    assert np.isnan(values[1:]).all()
    texts = [table.GetColumnByName("text").GetValue(row) for row in range(3)]
    assert texts == ["312 mL (298 to 326)", "high", "not available"]
    assert "simulated cohort" in table.GetColumnByName("note").GetValue(1)
    assert table_node.GetColumnUnitLabel("value")
    assert table_node.GetColumnDescription("method")
    assert table_node.GetLocked()


def test_the_table_reads_back_exactly(a_volume_node):
    findings = small_findings(GRID)
    again = scene.readTable(scene.fromFindings(findings, a_volume_node).table)
    assert again.measurements == findings.measurements
    assert (again.flags, again.summary, again.system) == (findings.flags, findings.summary, "spleen")
    assert again.provenance == {"seconds": {"coarse": 0.25}, "bundle": "1.0"}
    with pytest.raises(InputError, match="not a results table"):
        scene.readTable(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", "Other"))


def test_measuring_again_updates_the_table_and_leaves_segments_and_heat_maps(a_volume_node):
    findings = small_findings(GRID)
    nodes = scene.fromFindings(findings, a_volume_node)
    edit(nodes.segmentation, "Spleen", a_volume_node)
    measured = replace(small_findings(GRID, volume=5.0), masks=(), heat_maps=(), curves=findings.curves[:2])
    again = scene.fromFindings(measured, a_volume_node, nodes.segmentation, nodes.table)
    assert (again.table, again.segmentation) == (nodes.table, nodes.segmentation)
    assert scene.readTable(nodes.table).value("spleen_volume") == 5.0
    assert again.plotCharts == nodes.plotCharts[:1]
    found = scene.findResults("spleen", a_volume_node)
    assert len(found.plotCharts) == 1
    assert found.heatMaps == nodes.heatMaps


def test_charts_show_steps_bands_the_patient_and_what_is_simulated(a_volume_node):
    nodes = scene.fromFindings(small_findings(GRID), a_volume_node)
    survival, growth = nodes.plotCharts
    assert survival.GetTitle() == "Survival (simulated cohort)"
    assert growth.GetTitle() == "Growth"
    assert (survival.GetXAxisTitle(), survival.GetYAxisTitle()) == ("Years", "Survival")
    series = {node.GetName(): node for node in nodes.plotSeries}
    assert list(series) == ["High", "This patient", "This patient lower", "This patient upper", "Published"]
    assert survival.GetNumberOfPlotSeriesNodes() == 4
    assert series["This patient"].GetLineWidth() > series["High"].GetLineWidth()
    assert series["This patient lower"].GetLineStyle() == slicer.vtkMRMLPlotSeriesNode.LineStyleDash
    x, y = (points(series["High"], name) for name in ("GetXColumnName", "GetYColumnName"))
    np.testing.assert_allclose(x, [0, 1, 1, 2, 2, 5, 5])
    np.testing.assert_allclose(y, [1, 1, 0.9, 0.9, 0.8, 0.8, 0.5])
    np.testing.assert_allclose(points(series["This patient"], "GetXColumnName"), [0, 1, 2, 2, 2, 2, 2])


def points(series_node, column) -> np.ndarray:
    return slicer.util.arrayFromTableColumn(series_node.GetTableNode(), getattr(series_node, column)())


def test_a_simulated_curve_beside_a_published_one_says_so_in_the_legend(a_volume_node):
    x = np.array([0.0, 1.0])
    curves = (
        Curve("Survival", "Model", x, x, "Years", "Survival", simulated=True),
        Curve("Survival", "Published", x, x, "Years", "Survival"),
    )
    nodes = scene.fromFindings(Findings("spleen", curves=curves), a_volume_node)
    assert [node.GetName() for node in nodes.plotSeries] == ["Model (simulated cohort)", "Published"]


def test_running_again_adds_no_nodes(a_volume_node):
    nodes = scene.fromFindings(small_findings(GRID), a_volume_node)
    count = slicer.mrmlScene.GetNumberOfNodes()
    again = scene.fromFindings(small_findings(GRID, shift=2, volume=9.0), a_volume_node)
    assert again == nodes
    assert slicer.mrmlScene.GetNumberOfNodes() == count
    other = scene.fromFindings(replace(small_findings(GRID), system="hepato"), a_volume_node)
    assert other.table is not nodes.table


def test_a_heat_map_lies_on_its_voxels_and_lets_the_scan_show_through(a_volume_node):
    a_volume_node.SetAndObserveTransformNodeID(add_transform(np.diag([1.0, -1.0, 1.2, 1.0])).GetID())
    grid = scene.worldGrid(a_volume_node)
    coarse = Grid((7, 8, 8), grid.ijk_to_ras @ np.diag([2.0, 2.0, 2.0, 1.0]))
    heat = HeatMap("Evidence", np.linspace(0, 1, 7 * 8 * 8).reshape(7, 8, 8), coarse)
    node = scene.fromFindings(Findings("spleen", heat_maps=(heat,)), a_volume_node).heatMaps[0]
    assert node.GetParentTransformNode() is a_volume_node.GetParentTransformNode()
    assert scene.worldGrid(node).same_as(coarse)
    display = node.GetDisplayNode()
    assert display.GetApplyThreshold()
    assert display.GetLowerThreshold() == pytest.approx(0.1)
    assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == (0, 1)
