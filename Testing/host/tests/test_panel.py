"""A small panel made as Slicer's template makes it runs as a person would use it."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from panel_source import write_panel

import host


@pytest.fixture
def a_panel(tmp_path, make_widget, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    return make_widget("Panel", write_panel(tmp_path / "Panel"))


@pytest.fixture
def a_volume_node(host_scene):
    import slicer

    return slicer.util.addVolumeFromArray(np.arange(120, dtype=np.int16).reshape(4, 5, 6), name="CT")


def test_apply_is_disabled_until_a_volume_is_chosen(a_panel, a_volume_node):
    ui = a_panel.ui
    assert not ui.applyButton.enabled
    assert ui.applyButton.toolTip == "Select a volume"
    ui.inputSelector.setCurrentNode(a_volume_node)
    assert ui.applyButton.enabled
    assert a_panel._parameterNode.inputVolume is a_volume_node


def test_a_run_shows_its_result(a_panel, a_volume_node):
    ui = a_panel.ui
    ui.inputSelector.setCurrentNode(a_volume_node)
    ui.thresholdSlider.value = 20
    ui.applyButton.click()
    assert ui.resultLabel.text == "100 voxels"
    assert ui.resultTable.model().rowCount() == 3
    host.pump(2, until=lambda: ui.statusLabel.text == "done")
    assert host.dialogs() == []


def test_parameters_and_widgets_follow_each_other(a_panel):
    ui, node = a_panel.ui, a_panel._parameterNode
    assert (ui.thresholdSlider.value, ui.noteEdit.text, ui.deviceCombo.currentText) == (50.0, "none", "auto")
    assert ui.qualityCombo.currentText == "FULL"
    ui.thresholdSlider.value = 12.5
    ui.invertCheckBox.click()
    ui.noteEdit.text = "typed"
    ui.deviceCombo.currentIndex = 1
    ui.qualityCombo.setCurrentText("FAST")
    assert (node.threshold, node.invert, node.note, node.device, node.quality.name) == (
        12.5,
        True,
        "typed",
        "cpu",
        "FAST",
    )
    node.threshold = 75
    node.note = "set"
    assert (ui.thresholdSlider.value, ui.noteEdit.text) == (75.0, "set")
    assert not ui.statusLabel.enabled


def test_closing_the_scene_resets_the_panel(a_panel, a_volume_node, host_scene):
    a_panel.ui.inputSelector.setCurrentNode(a_volume_node)
    a_panel.ui.thresholdSlider.value = 5
    host_scene.Clear(0)
    assert a_panel.ui.inputSelector.currentNode() is None
    assert a_panel.ui.thresholdSlider.value == 50
    assert not a_panel.ui.applyButton.enabled


def test_removing_the_chosen_node_unchooses_it(a_panel, a_volume_node, host_scene):
    a_panel.ui.inputSelector.setCurrentNode(a_volume_node)
    host_scene.RemoveNode(a_volume_node)
    assert a_panel.ui.inputSelector.currentNodeID == ""
    assert a_panel._parameterNode.inputVolume is None


def test_leaving_and_entering_the_module(a_panel):
    import slicer

    slicer.util.selectModule("Volumes")
    assert host.selectedModule() == "Volumes"
    assert a_panel._parameterNode is None
    slicer.util.selectModule("Panel")
    assert a_panel._parameterNode is not None


def test_reloading_the_module_makes_a_new_panel(a_panel, a_volume_node):
    import slicer

    old = a_panel
    slicer.util.reloadScriptedModule("Panel")
    new = slicer.modules.PanelWidget
    assert new is not old
    assert old.Observations == []
    new.ui.inputSelector.setCurrentNode(a_volume_node)
    new.ui.applyButton.click()
    assert new.ui.resultLabel.text == "70 voxels"


def test_the_modules_own_test_runs(a_panel):
    import slicer

    slicer.selfTests["Panel"]()
    assert {"category": "Panel", "sampleName": "PanelDemo"} in host.registeredSamples()


def test_a_failing_run_is_shown_and_recorded(a_panel, a_volume_node):
    a_panel.ui.inputSelector.setCurrentNode(a_volume_node)
    a_panel.logic.process = None
    with host.expectingError("NoneType"):
        a_panel.ui.applyButton.click()
    (dialog,) = host.dialogs()
    assert dialog.kind == "critical"
    assert "Failed." in dialog.text
    assert "Traceback" in dialog.details


def test_screenshot_and_clipped_texts(a_panel, tmp_path):
    from PySide6 import QtGui

    path = host.screenshot(a_panel, tmp_path / "panel.png")
    image = QtGui.QImage(str(path))
    assert image.width() >= 400
    assert image.height() >= 200
    assert host.clippedTexts(a_panel) == []
    a_panel.ui.applyButton.text = "A button text that is far too long for the button it is written on"
    a_panel.ui.applyButton.maximumWidth = 80
    assert len(host.clippedTexts(a_panel)) == 1


def test_a_section_collapses_and_expands(a_panel):
    section = a_panel.ui.inputsButton
    host.pump(0.05)
    tall = section.height
    section.collapsed = True
    host.pump(0.05)
    assert not a_panel.ui.noteEdit.isVisible()
    assert section.sizeHint.height() < tall
    section.click()
    assert not section.collapsed
    assert a_panel.ui.noteEdit.isVisible()


def test_questions_get_the_prepared_answers(host_scene):
    import slicer

    host.answer("yes", "no")
    assert slicer.util.confirmYesNoDisplay("Install?")
    assert not slicer.util.confirmYesNoDisplay("Sure?")
    assert [dialog.text for dialog in host.dialogs()] == ["Install?", "Sure?"]


def test_a_child_process_reports_through_signals(host_scene):
    import qt

    seen = []
    process = qt.QProcess()
    process.connect("readyReadStandardOutput()", lambda: seen.append(process.readAllStandardOutput().data()))
    process.connect("finished(int,QProcess::ExitStatus)", lambda code, status: seen.append((code, int(status))))
    process.start(sys.executable, ["-c", "print('hello')"])
    host.pump(20, until=lambda: (0, 0) in seen)
    assert any(b"hello" in item for item in seen if isinstance(item, bytes))


def test_the_segment_editor_is_told_what_to_edit(host_scene):
    import slicer

    node = host_scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    segment = node.GetSegmentation().AddEmptySegment("spleen")
    slicer.util.selectModule("SegmentEditor")
    editor = slicer.modules.SegmentEditorWidget.editor
    editor.setSegmentationNode(node)
    editor.setCurrentSegmentID(segment)
    assert slicer.modules.segmenteditor.widgetRepresentation().self().editor.currentSegmentID() == "spleen"
    with pytest.raises(ValueError, match="liver"):
        editor.setCurrentSegmentID("liver")
