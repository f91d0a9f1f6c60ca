"""A system with an optional second scan, from its panel: both scans, nothing found, places, heat maps."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("slicer")
pytest.importorskip("PySide6")

from two_scans_cases import *  # noqa: F403
from two_scans_cases import LATER, MATRIX, SPOT, ml, scan

import host
from PrognosisLib import scene


@pytest.fixture
def a_panel(module, make_widget, monkeypatch):
    from PrognosisLib.panel import dependencies

    monkeypatch.setattr(dependencies, "missingPackages", lambda path=None: [])
    return make_widget("TwoScans", module)


@pytest.fixture
def run(a_panel):
    """Chooses scans and presses Apply."""

    def apply(ct, followup=None) -> None:
        a_panel.ui.ctSelector.setCurrentNode(ct)
        a_panel.ui.followupSelector.setCurrentNode(followup)
        a_panel.ui.applyButton.click()
        host.pump(60, until=lambda: not a_panel.runControl.isBusy)

    return apply


def row(panel, key: str):
    return scene.readTable(panel.parameterNode.resultsTable).measurement(key)


def value(panel, key: str):
    one = row(panel, key)
    return None if one is None else one.value


def set_age(panel, age: str) -> None:
    next(one for one in panel.clinicalForm.editors if one.objectName == "ageEditor").text = age


def flags(panel) -> list[str]:
    return [child.text for child in panel.ui.flagsWidget.children() if child.className() == "QLabel" and child.text]


def edit(panel, keep: slice) -> None:
    """Leaves these slices of the segment Bright."""
    import slicer

    node = panel.parameterNode
    segmentID = scene.findSegmentID(node.segmentation, "Bright")
    array = slicer.util.arrayFromSegmentBinaryLabelmap(node.segmentation, segmentID, node.ct).copy()
    kept = np.zeros_like(array)
    kept[keep] = array[keep]
    slicer.util.updateSegmentBinaryLabelmapFromArray(kept, node.segmentation, segmentID, node.ct)


# --- a second scan ----------------------------------------------------------------------------------------------------


def test_the_second_scan_may_be_left_out(a_panel, run):
    run(scene.fromVolume(scan()))
    assert value(a_panel, "bright") == pytest.approx(ml(SPOT))
    assert row(a_panel, "later").note == "no follow-up"
    assert row(a_panel, "grown") is None
    assert host.dialogs() == []


def test_both_scans_are_measured_also_after_an_edit(a_panel, run):
    run(scene.fromVolume(scan()), scene.fromVolume(scan(LATER, "Later")))
    assert value(a_panel, "later") == pytest.approx(75.0)
    assert value(a_panel, "grown") == "no"
    edit(a_panel, slice(4, 6))
    host.pump(20, until=lambda: value(a_panel, "bright") == pytest.approx(ml(SPOT) * 2 / 3))
    assert value(a_panel, "later") == pytest.approx(75.0)
    assert value(a_panel, "grown") == "no"


def test_results_follow_the_second_scan(a_panel, run):
    run(scene.fromVolume(scan()))
    a_panel.ui.followupSelector.setCurrentNode(scene.fromVolume(scan(None, "Later")))
    host.pump(20, until=lambda: value(a_panel, "later") == pytest.approx(20.0))
    a_panel.ui.followupSelector.setCurrentNode(None)
    host.pump(20, until=lambda: value(a_panel, "later") is None)


def test_a_run_without_the_second_scan_inherits_no_segment_of_it(a_panel, run):
    ct = scene.fromVolume(scan())
    run(ct, scene.fromVolume(scan(LATER, "Later")))
    first = a_panel.parameterNode.segmentation
    run(ct)
    second = a_panel.parameterNode.segmentation
    assert second is not first
    assert set(scene.toMasks(second, ct)) == {"Bright"}
    run(ct)
    assert a_panel.parameterNode.segmentation is second


def test_the_second_scan_deleted_during_a_run_stops_it(a_panel, host_scene):
    a_panel.ui.ctSelector.setCurrentNode(scene.fromVolume(scan()))
    later = scene.fromVolume(scan(LATER, "Later"))
    a_panel.ui.followupSelector.setCurrentNode(later)
    a_panel.ui.applyButton.click()
    host_scene.RemoveNode(later)
    host.pump(20, until=lambda: not a_panel.runControl.isBusy)
    assert "stopped" in a_panel.ui.statusLabel.text
    assert a_panel.parameterNode.resultsTable is None


# --- nothing found ----------------------------------------------------------------------------------------------------


def test_rows_without_a_segment_follow_the_clinical_values(a_panel, run):
    run(scene.fromVolume(scan(None)))
    assert a_panel.parameterNode.segmentation is None
    assert a_panel.ui.summaryLabel.text == "Nothing bright was measured."
    assert flags(a_panel) == ["Nothing bright was found; check that the scan is the right one."]
    assert row(a_panel, "age_points").value is None
    set_age(a_panel, "83")
    host.pump(20, until=lambda: value(a_panel, "age_points") == 8)
    assert len(flags(a_panel)) == 2
    assert flags(a_panel)[0].startswith("Nothing bright was found")
    set_age(a_panel, "50")
    host.pump(20, until=lambda: value(a_panel, "age_points") == 5)
    assert len(flags(a_panel)) == 1
    assert a_panel.parameterNode.segmentation is None
    assert host.dialogs() == []


def test_rows_without_a_segment_are_followed_in_a_loaded_scene_too(a_panel, run, tmp_path, host_scene):
    import slicer

    run(scene.fromVolume(scan(None)))
    scene.saveScene(tmp_path / "scene.mrb")
    host_scene.Clear(0)
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    host.pump(0.1)
    assert len(flags(a_panel)) == 1
    set_age(a_panel, "61")
    host.pump(20, until=lambda: value(a_panel, "age_points") == 6)
    assert len(flags(a_panel)) == 1


def test_what_was_not_found_can_be_drawn(a_panel, run):
    import slicer

    ct = scene.fromVolume(scan(None))
    run(ct)
    a_panel.ui.editButton.click()
    set_age(a_panel, "72")
    host.pump(20, until=lambda: value(a_panel, "age_points") == 7)
    assert len(flags(a_panel)) == 1
    node = a_panel.parameterNode.segmentation
    drawn = np.zeros((10, 28, 26), np.uint8)
    drawn[SPOT] = 1
    segmentID = scene.findSegmentID(node, "Bright")
    slicer.util.updateSegmentBinaryLabelmapFromArray(drawn, node, segmentID, ct)
    host.pump(20, until=lambda: value(a_panel, "bright") == pytest.approx(ml(SPOT)))
    assert flags(a_panel) == []
    slicer.util.updateSegmentBinaryLabelmapFromArray(np.zeros_like(drawn), node, segmentID, ct)
    host.pump(20, until=lambda: value(a_panel, "bright") is None)
    assert any("has no filled segment named 'Bright'" in text for text in flags(a_panel))


def test_a_chosen_segmentation_needs_the_segment(a_panel, run, host_scene):
    run(scene.fromVolume(scan(None)))
    blank = host_scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Blank")
    a_panel.ui.existingSelector.setCurrentNode(blank)
    a_panel.ui.applyButton.click()
    (dialog,) = host.dialogs()
    assert "'Blank' has no filled segment named 'Bright'" in dialog.text


def test_a_deleted_segmentation_is_not_taken_for_nothing_found(a_panel, run, host_scene):
    run(scene.fromVolume(scan()))
    host_scene.RemoveNode(a_panel.parameterNode.segmentation)
    set_age(a_panel, "61")
    host.pump(0.8)
    assert value(a_panel, "age_points") is None
    assert "Nothing bright" not in a_panel.ui.summaryLabel.text


def test_the_report_of_nothing_found_is_written(a_panel, run, tmp_path):
    run(scene.fromVolume(scan(None)))
    set_age(a_panel, "61")
    host.pump(20, until=lambda: value(a_panel, "age_points") == 6)
    host.answer(str(tmp_path))
    a_panel.ui.reportButton.click()
    host.pump(60, until=lambda: not a_panel.runControl.isBusy)
    assert "Nothing bright was found" in (tmp_path / "report.html").read_text("utf-8")
    host.dialogs()


# --- places -----------------------------------------------------------------------------------------------------------


def slice_place() -> list[float]:
    import slicer

    nodes = {node.GetLayoutName(): node for node in slicer.util.getNodesByClass("vtkMRMLSliceNode")}
    return [nodes[name].GetSliceToRAS().GetElement(n, 3) for n, name in enumerate(("Yellow", "Green", "Red"))]


def click(panel, number: int) -> None:
    view = panel.ui.resultsTableView
    view.clicked.emit(view.model().index(number, 0))


def tips(panel) -> list[str]:
    view = panel.ui.resultsTableView
    return [view.tableModel().item(number, 0).toolTip() for number in range(view.model().rowCount())]


def center(spot: tuple) -> list[float]:
    kji = np.array([[(part.start + part.stop - 1) / 2 for part in spot]])
    return (kji[:, ::-1] @ MATRIX[:3, :3].T + MATRIX[:3, 3])[0].tolist()


def test_a_click_on_a_row_shows_its_place(a_panel, run, tmp_path, host_scene):
    import slicer

    run(scene.fromVolume(scan()))
    before = slice_place()
    assert [tip == "Click to show it in the slice views" for tip in tips(a_panel)] == [False, True, True, False, False]
    click(a_panel, 0)
    assert slice_place() == before
    click(a_panel, 1)
    assert slice_place() == pytest.approx(center(SPOT))
    edit(a_panel, slice(4, 5))
    host.pump(20, until=lambda: value(a_panel, "bright") == pytest.approx(ml(SPOT) / 3))
    assert tips(a_panel)[1] == "Click to show it in the slice views"
    click(a_panel, 1)
    assert slice_place()[2] == pytest.approx(center(SPOT)[2] - 5.0)
    scene.saveScene(tmp_path / "scene.mrb")
    host_scene.Clear(0)
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    host.pump(0.1)
    scene.jumpTo((50, 50, 50))
    click(a_panel, 1)
    assert slice_place()[2] == pytest.approx(center(SPOT)[2] - 5.0)
    assert tips(a_panel)[2] == "Click to show it in the slice views"


def test_the_table_stays_while_other_data_are_loaded(a_panel, run, host_scene):
    run(scene.fromVolume(scan()))
    view = a_panel.ui.resultsTableView
    host_scene.StartState(host_scene.BatchProcessState)
    host_scene.EndState(host_scene.BatchProcessState)
    assert view.mrmlTableNode() is a_panel.parameterNode.resultsTable
    assert tips(a_panel)[1] == "Click to show it in the slice views"


# --- heat maps --------------------------------------------------------------------------------------------------------


@pytest.fixture
def views(host_scene):
    """What Slicer's slice views show; the host has none."""

    def add() -> list:
        return [host_scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode") for _ in range(2)]

    return add


def foregrounds() -> list:
    import slicer

    return [
        (node.GetForegroundVolumeID(), node.GetForegroundOpacity())
        for node in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    ]


def test_the_heat_map_is_shown_and_hidden_by_its_button(a_panel, run, views):
    import slicer

    made, button = views(), a_panel.ui.heatMapButton
    assert not button.enabled
    other = scene.fromVolume(scan(None, "Other"))
    made[0].SetForegroundVolumeID(other.GetID())
    made[0].SetForegroundOpacity(0.3)
    before = foregrounds()
    run(scene.fromVolume(scan()))
    assert button.enabled
    assert foregrounds() == before
    button.click()
    heat = slicer.util.getNode("Brightness")
    assert foregrounds() == [(heat.GetID(), 0.5)] * 2
    edit(a_panel, slice(4, 5))
    host.pump(20, until=lambda: value(a_panel, "bright") == pytest.approx(ml(SPOT) / 3))
    assert button.checked
    assert button.enabled
    assert foregrounds() == [(heat.GetID(), 0.5)] * 2
    button.click()
    assert foregrounds() == before
    button.click()
    a_panel.ui.ctSelector.setCurrentNode(other)
    assert not button.checked
    assert not button.enabled
    assert foregrounds() == before


def test_a_saved_view_of_the_heat_map_can_be_hidden(a_panel, run, views, tmp_path, host_scene):
    import slicer

    views()
    run(scene.fromVolume(scan()))
    a_panel.ui.heatMapButton.click()
    scene.saveScene(tmp_path / "scene.mrb")
    host_scene.Clear(0)
    assert not a_panel.ui.heatMapButton.checked
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    host.pump(0.1)
    assert a_panel.ui.heatMapButton.checked
    assert {opacity for _node, opacity in foregrounds()} == {0.5}
    a_panel.ui.heatMapButton.click()
    assert {node for node, _opacity in foregrounds()} == {None}


def test_a_heat_map_that_was_deleted_cannot_be_shown(a_panel, run, views, host_scene):
    import slicer

    views()
    run(scene.fromVolume(scan()))
    host_scene.RemoveNode(slicer.util.getNode("Brightness"))
    a_panel.ui.heatMapButton.click()
    assert not a_panel.ui.heatMapButton.checked
    assert {node for node, _opacity in foregrounds()} == {None}


def test_a_report_after_an_edit_still_has_the_heat_map(a_panel, run, tmp_path):
    run(scene.fromVolume(scan()))
    edit(a_panel, slice(4, 5))
    host.pump(20, until=lambda: value(a_panel, "bright") == pytest.approx(ml(SPOT) / 3))
    host.answer(str(tmp_path))
    a_panel.ui.reportButton.click()
    host.pump(60, until=lambda: not a_panel.runControl.isBusy)
    assert "Brightness over axial slices" in (tmp_path / "report.html").read_text("utf-8")
    host.dialogs()


def test_every_state_fits(a_panel, run):
    for width in (350, 420, 500):
        assert host.clippedTexts(a_panel, width) == []
    run(scene.fromVolume(scan()), scene.fromVolume(scan(LATER, "Later")))
    for width in (350, 420, 500):
        assert host.clippedTexts(a_panel, width) == []
