"""Edits, exports, saved scenes, reloads and closing: SpleenVolume's panel after a run, as a person would use it."""

from __future__ import annotations

import csv
import json
import os
import signal
import time

import numpy as np
import pytest

pytest.importorskip("slicer")
pytest.importorskip("PySide6")

from panel_cases import add_volume, keep_lower_half, phantom, true_ml, write_test_bundle
from panel_fixtures import *  # noqa: F403
from panel_kit import editor, finish, value

import host
from PrognosisLib import scene
from PrognosisLib.worker import shared_worker


@pytest.fixture
def a_finished_panel(a_panel, a_volume_node, run_to_end):
    a_panel.ui.ctSelector.setCurrentNode(a_volume_node)
    run_to_end()
    return a_panel


def edit(panel) -> None:
    keep_lower_half(panel.parameterNode.segmentation, panel.parameterNode.ct)


def kill_worker() -> None:
    """Kills the worker's process and waits until all of its threads are gone; who reaps it is the worker itself."""
    if os.name != "nt" and shared_worker().pid is not None:
        os.kill(shared_worker().pid, signal.SIGKILL)
        os.waitid(os.P_PID, shared_worker().pid, os.WEXITED | os.WNOWAIT)


@pytest.mark.parametrize("killed", [False, True])
def test_an_edit_updates_table_flags_and_plot_without_a_run(a_finished_panel, killed):
    panel = a_finished_panel
    if killed:
        kill_worker()
    whole = value(panel, "spleen_volume")
    (chart,) = scene.findResults("spleen", panel.parameterNode.ct).plotCharts
    summary = panel.ui.summaryLabel.text
    series = chart.GetNthPlotSeriesNode(0).GetName()
    edit(panel)
    host.pump(20, until=lambda: value(panel, "spleen_volume") < 0.7 * whole)
    assert value(panel, "spleen_volume") == pytest.approx(true_ml() / 2, rel=0.1)
    assert panel.ui.summaryLabel.text != summary
    assert f"{value(panel, 'spleen_volume'):.0f} mL" in panel.ui.summaryLabel.text
    assert chart.GetNthPlotSeriesNode(0).GetName() != series
    assert not panel.runControl.isBusy


def test_an_edit_is_followed_while_another_module_is_shown(a_finished_panel):
    import slicer

    whole = value(a_finished_panel, "spleen_volume")
    a_finished_panel.ui.editButton.click()
    assert host.selectedModule() == "SegmentEditor"
    editor = slicer.modules.SegmentEditorWidget.editor
    node = a_finished_panel.parameterNode.segmentation
    assert editor.segmentationNode() is node
    assert editor.sourceVolumeNode() is a_finished_panel.parameterNode.ct
    assert node.GetSegmentation().GetSegment(editor.currentSegmentID()).GetName() == "Spleen"
    edit(a_finished_panel)
    host.pump(20, until=lambda: value(a_finished_panel, "spleen_volume") < 0.7 * whole)


def test_an_emptied_segment_leaves_no_old_numbers(a_finished_panel):
    import slicer

    node = a_finished_panel.parameterNode
    segmentID = node.segmentation.GetSegmentation().GetSegmentIdBySegmentName("Spleen")
    empty = np.zeros(phantom().shape, np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(empty, node.segmentation, segmentID, node.ct)
    host.pump(20, until=lambda: node.resultsTable.GetTable().GetNumberOfRows() == 0)
    texts = [child.text for child in a_finished_panel.ui.flagsWidget.children() if child.className() == "QLabel"]
    assert any("has no filled segment named 'Spleen'" in text for text in texts)


def test_drawing_from_nothing(a_panel, a_volume_node):
    import slicer

    a_panel.ui.ctSelector.setCurrentNode(a_volume_node)
    a_panel.ui.editButton.click()
    node = a_panel.parameterNode.segmentation
    segmentID = slicer.modules.SegmentEditorWidget.editor.currentSegmentID()
    array = slicer.util.arrayFromVolume(a_volume_node)
    mask = ((array >= 100) & (array <= 140)).astype(np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, segmentID, a_volume_node)
    host.pump(20, until=lambda: a_panel.parameterNode.resultsTable is not None)
    assert value(a_panel, "spleen_volume") == pytest.approx(true_ml(), rel=0.05)


def test_another_cutoff_or_clinical_value_measures_again(a_finished_panel):
    panel, ui = a_finished_panel, a_finished_panel.ui
    assert value(panel, "spleen_group") is None
    ui.cutoffCheckBox.click()
    ui.cutoffSpinBox.value = 100
    host.pump(20, until=lambda: value(panel, "spleen_group") == "high")
    ui.cutoffSpinBox.value = 900
    host.pump(20, until=lambda: value(panel, "spleen_group") == "low")
    editor(panel, "bilirubin").text = "20"
    editor(panel, "albumin").text = "36"
    host.pump(20, until=lambda: value(panel, "albi") is not None)
    assert not panel.runControl.isBusy


def test_clinical_values_are_followed_where_no_spleen_was_found(a_panel, host_scene, run_to_end):
    a_panel.ui.ctSelector.setCurrentNode(add_volume("Chest", spleen=False))
    run_to_end()
    assert value(a_panel, "albi") is None
    editor(a_panel, "bilirubin").text = "20"
    editor(a_panel, "albumin").text = "36"
    host.pump(20, until=lambda: value(a_panel, "albi") is not None)
    assert "No spleen was found" in a_panel.ui.summaryLabel.text
    texts = [child.text for child in a_panel.ui.flagsWidget.children() if child.className() == "QLabel"]
    assert any(text.startswith("No spleen found") for text in texts)


def test_the_table_is_exported_with_all_digits(a_finished_panel, tmp_path):
    host.answer(str(tmp_path / "results"))
    a_finished_panel.ui.exportButton.click()
    host.dialogs()
    with open(tmp_path / "results.csv", newline="", encoding="utf-8") as file:
        rows = {row["quantity"]: row for row in csv.DictReader(file)}
    assert float(rows["Spleen volume"]["value"]) == value(a_finished_panel, "spleen_volume")
    host.answer(str(tmp_path / "none" / "results.csv"))
    a_finished_panel.ui.exportButton.click()
    assert "There is no folder" in host.dialogs()[-1].text


@pytest.mark.parametrize("killed", [False, True])
def test_the_report_is_written_by_the_worker(a_finished_panel, tmp_path, killed):
    if killed:
        kill_worker()
    host.answer(str(tmp_path))
    a_finished_panel.ui.reportButton.click()
    assert a_finished_panel.runControl.isBusy
    finish(a_finished_panel, 120)
    assert (tmp_path / "report.html").stat().st_size > 50_000
    assert [dialog.text for dialog in host.dialogs() if dialog.kind == "url"] == [(tmp_path / "report.html").as_uri()]


def test_a_saved_scene_restores_the_panel(a_finished_panel, tmp_path, host_scene):
    import slicer

    panel, ui = a_finished_panel, a_finished_panel.ui
    editor(panel, "albumin").text = "34"
    ui.cutoffCheckBox.click()
    host.pump(20, until=lambda: value(panel, "spleen_group") is not None)
    summary, size = ui.summaryLabel.text, value(panel, "spleen_volume")
    scene.saveScene(tmp_path / "scene.mrb")
    host_scene.Clear(0)
    assert ui.summaryLabel.text == "No results yet."
    assert not ui.cutoffCheckBox.checked
    assert editor(panel, "albumin").text == ""
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    host.pump(0.1)
    assert ui.summaryLabel.text == summary
    assert ui.cutoffCheckBox.checked
    assert editor(panel, "albumin").text == "34"
    assert panel.parameterNode.ct.GetName() == "CT"
    assert value(panel, "spleen_volume") == size
    assert ui.resultsTableView.mrmlTableNode() is panel.parameterNode.resultsTable
    edit(panel)
    host.pump(20, until=lambda: value(panel, "spleen_volume") < 0.7 * size)


@pytest.mark.parametrize("during_a_run", [False, True])
def test_reloading_the_module_leaks_nothing(a_panel, a_volume_node, during_a_run):
    import slicer

    if during_a_run:
        a_panel.ui.ctSelector.setCurrentNode(add_volume("Slow CT"))
        a_panel.ui.applyButton.click()
        host.pump(60, until=lambda: a_panel.ui.progressBar.value >= 20)
        pid = shared_worker().pid
    observers = count_observers(a_volume_node)
    slicer.util.reloadScriptedModule("SpleenVolume")
    assert a_panel.Observations == []
    assert shared_worker().pid is None
    if during_a_run:
        host.pump(5, until=lambda: not os.path.exists(f"/proc/{pid}"))
    assert count_observers(a_volume_node) <= observers
    again = slicer.modules.SpleenVolumeWidget
    assert again is not a_panel
    again.ui.ctSelector.setCurrentNode(a_volume_node)
    again.ui.applyButton.click()
    finish(again)
    assert value(again, "spleen_volume") == pytest.approx(true_ml(), rel=0.05)


def count_observers(node) -> int:
    return str(node).count("vtkObserver")


def test_removing_the_results_empties_the_panel(a_finished_panel, host_scene):
    node = a_finished_panel.parameterNode
    host_scene.RemoveNode(node.resultsTable)
    host_scene.RemoveNode(node.segmentation)
    host.pump(0.5)
    assert a_finished_panel.ui.summaryLabel.text == "No results yet."
    assert not a_finished_panel.ui.exportButton.enabled


def test_closing_the_module_during_a_run(a_panel):
    a_panel.ui.ctSelector.setCurrentNode(add_volume("Slow CT"))
    a_panel.ui.applyButton.click()
    host.pump(60, until=lambda: a_panel.ui.progressBar.value >= 20)
    host.close(a_panel)
    assert shared_worker().pid is None


def test_all_frames_of_a_sequence(a_panel, host_scene, run_to_end):
    import slicer

    sequence = host_scene.AddNewNodeByClass("vtkMRMLSequenceNode", "Frames")
    sequence.SetIndexName("time")
    sequence.SetIndexUnit("s")
    frame = add_volume("Frame")
    array = slicer.util.arrayFromVolume(frame)
    for number, keep in enumerate((40, 20, 24)):
        array[:] = phantom()
        array[keep:] = np.minimum(array[keep:], 45)
        sequence.SetDataNodeAtValue(frame, f"{0.5 * number:g}")
    host_scene.RemoveNode(frame)
    browser = host_scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "Browser")
    slicer.modules.sequences.logic().AddSynchronizedNode(sequence, None, browser)
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    proxy = browser.GetProxyNode(sequence)
    browser.SetSelectedItemNumber(1)
    a_panel.ui.ctSelector.setCurrentNode(proxy)
    assert a_panel.ui.allFramesCheckBox.enabled
    a_panel.ui.allFramesCheckBox.click()
    run_to_end()
    table = a_panel.parameterNode.framesTable
    sizes = slicer.util.arrayFromTableColumn(table, "spleen_volume")
    assert sizes == pytest.approx([true_ml(), true_ml() / 2, 0.65 * true_ml()], rel=0.1)
    assert list(slicer.util.arrayFromTableColumn(table, "position")) == [0.0, 0.5, 1.0]
    assert browser.GetSelectedItemNumber() == 1
    assert value(a_panel, "spleen_volume") == pytest.approx(sizes[1])
    assert a_panel.ui.framesTableView.model().rowCount() == 3
    a_panel.ui.applyButton.click()
    host.pump(0.05)
    a_panel.ui.applyButton.click()
    finish(a_panel, 20)
    assert browser.GetSelectedItemNumber() == 1


def test_the_demo_case_is_loaded_offline(a_panel, monkeypatch):
    from PrognosisLib import runs
    from SpleenVolumeLib.demo import CLINICAL

    real = runs.startDemo
    monkeypatch.setattr(runs, "startDemo", lambda logic: real(logic, {"max_size": 24}))
    a_panel.ui.demoButton.click()
    assert a_panel.runControl.isBusy
    finish(a_panel, 120)
    assert a_panel.parameterNode.ct.GetName() == "Simulated patient before TACE"
    assert json.loads(a_panel.parameterNode.clinical) == CLINICAL
    assert editor(a_panel, "bilirubin").text == "24"
    assert a_panel.ui.patientSection.text == "Patient (13 of 19 values given)"
    assert a_panel.ui.applyButton.enabled


def test_the_sample_is_registered_and_loads(a_panel):
    (sample,) = [one for one in host.registeredSamples() if one["sampleName"] == "SpleenVolumeDemo"][-1:]
    from PySide6 import QtGui

    picture = QtGui.QImage(sample["thumbnailFileName"])
    assert (picture.width(), picture.height()) == (260, 280)
    assert callable(sample["customDownloader"])


def test_an_own_bundle_is_imported_used_and_removed(a_finished_panel, tmp_path):
    import shutil

    panel, ui = a_finished_panel, a_finished_panel.ui
    folder = write_test_bundle(tmp_path / "own")
    ui.aboutSection.collapsed = False
    assert "simulated cohort" in ui.modelNoticeLabel.text
    assert "Test model" in ui.cardBrowser.toPlainText()
    host.answer(shutil.make_archive(str(tmp_path / "own"), "zip", folder))
    ui.importBundleButton.click()
    assert ui.bundleComboBox.currentIndex == 1
    assert panel.parameterNode.bundle.endswith(ui.bundleComboBox.currentText.replace(" ", "-"))
    assert str(panel.logic.currentBundle) == panel.parameterNode.bundle
    host.answer("yes")
    ui.removeBundleButton.click()
    assert panel.parameterNode.bundle == ""
    assert ui.bundleComboBox.count == 1
    host.dialogs()
    (tmp_path / "bad.zip").write_bytes(b"PK\x05\x06" + bytes(18))
    host.answer(str(tmp_path / "bad.zip"))
    ui.importBundleButton.click()
    assert "choose an archive of a whole bundle" in host.dialogs()[-1].text


def test_an_edit_of_a_large_scan_is_quick(a_panel, host_scene):
    """512 x 512 x 200: the table follows within a second of computing time; a busy machine may take longer."""
    import slicer

    shape = (200, 512, 512)
    array = np.full(shape, -100, np.int16)
    k, j, i = np.ogrid[:200, :512, :512]
    spleen = ((k - 100) / 30) ** 2 + ((j - 300) / 70) ** 2 + ((i - 350) / 60) ** 2 < 1
    array[spleen] = 120
    node = slicer.util.addVolumeFromArray(array, name="Large")
    node.SetSpacing(0.8, 0.8, 2.0)
    a_panel.ui.ctSelector.setCurrentNode(node)
    a_panel.ui.editButton.click()
    segmentation = a_panel.parameterNode.segmentation
    segmentID = segmentation.GetSegmentation().GetNthSegmentID(0)
    slicer.util.updateSegmentBinaryLabelmapFromArray(spleen.astype(np.uint8), segmentation, segmentID, node)
    host.pump(60, until=lambda: a_panel.parameterNode.resultsTable is not None)
    whole = value(a_panel, "spleen_volume")
    half = spleen.astype(np.uint8)
    half[100:] = 0
    slicer.util.updateSegmentBinaryLabelmapFromArray(half, segmentation, segmentID, node)
    began = time.process_time()
    host.pump(60, until=lambda: value(a_panel, "spleen_volume") < 0.7 * whole)
    assert time.process_time() - began < 1.0


def test_another_volume_brings_its_own_results(a_finished_panel, run_to_end):
    panel, node = a_finished_panel, a_finished_panel.parameterNode
    first, size = node.ct, value(a_finished_panel, "spleen_volume")
    segmentation = node.segmentation
    panel.ui.ctSelector.setCurrentNode(add_volume("Chest", spleen=False))
    assert node.segmentation is None
    assert panel.ui.summaryLabel.text == "No results yet."
    keep_lower_half(segmentation, first)
    host.pump(0.8)
    assert node.resultsTable is None
    panel.ui.ctSelector.setCurrentNode(first)
    assert node.segmentation is segmentation
    assert value(panel, "spleen_volume") == size
