"""FibrosisVideo's panel: the cine's selector, the player, heat map and edits in step with the film, settings."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("slicer")
pytest.importorskip("PySide6")

from fibrosis_cases import FRAMES, RATE
from fibrosis_panel_cases import add_film, write_test_bundle
from panel_kit import (
    accelerators,
    bound_parameters,
    check_made_for_designer,
    editor,
    finish,
    keyboard_order,
    stand_in,
    texts_that_do_not_fit,
    value,
    without_tool_tip,
)

import host
from host.fixtures import *  # noqa: F403

EXTENSION = Path(__file__).resolve().parents[3]
FORM = EXTENSION / "FibrosisVideo" / "Resources" / "UI" / "FibrosisVideo.ui"
SHARED_FORM = EXTENSION / "PrognosisCore" / "Resources" / "UI" / "SystemPanel.ui"


@pytest.fixture(scope="session")
def fibrosis_bundle(tmp_path_factory):
    return write_test_bundle(tmp_path_factory.mktemp("bundle") / "Bundle")


@pytest.fixture
def a_panel(make_widget, fibrosis_bundle, monkeypatch):
    """The real panel with the pipeline of fibrosis_panel_cases.py; nothing of it is left after the test."""
    from PrognosisLib.worker import shared_worker

    stand_in(monkeypatch, "fibrosis", "fibrosis_panel_cases:EchoPipeline", fibrosis_bundle)
    yield make_widget("FibrosisVideo")
    shared_worker().close()


def run(panel, volume) -> None:
    panel.ui.cineSelector.setCurrentNode(volume)
    assert panel.ui.applyButton.enabled
    panel.ui.applyButton.click()
    finish(panel)


@pytest.fixture
def a_finished_panel(a_panel):
    run(a_panel, add_film().volume)
    return a_panel


def slider(panel):
    return panel.ui.seekWidget.slider()


# --- the cine ---------------------------------------------------------------------------------------------------------


def test_nothing_chosen_says_what_is_missing(a_panel):
    ui = a_panel.ui
    assert not ui.applyButton.enabled
    assert ui.applyButton.toolTip == "The Ultrasound cine is missing; choose a volume for it."
    assert not ui.playerSection.visible
    ui.cineSelector.setCurrentNode(add_film().volume)
    assert ui.applyButton.enabled


@pytest.mark.parametrize("color", [False, True])
def test_a_run_on_a_cine(a_panel, color):
    run(a_panel, add_film(color).volume)
    assert value(a_panel, "significant_fibrosis") > 50
    assert value(a_panel, "liver_frames") == 100.0
    assert "simulated cohort" in a_panel.ui.summaryLabel.text
    assert a_panel.ui.plotButton.enabled
    assert a_panel.ui.heatMapButton.enabled
    assert host.dialogs() == []


def test_a_cine_is_one_image(a_panel):
    """There is no run for each frame, and nothing to see in 3D."""
    a_panel.ui.cineSelector.setCurrentNode(add_film().volume)
    a_panel.ui.settingsSection.collapsed = False
    assert not a_panel.ui.allFramesCheckBox.visible
    assert not a_panel.ui.show3DButton.visible


def test_without_a_liver_rows_and_flag_are_there(a_panel):
    import slicer

    film = add_film()
    for number in range(FRAMES):
        array = slicer.util.arrayFromVolume(film.sequence.GetNthDataNode(number))
        array[:] = array // 4
    run(a_panel, film.volume)
    assert value(a_panel, "significant_fibrosis") is None
    assert a_panel.ui.summaryLabel.text.startswith("The stage of fibrosis could not be read: no liver was found.")


# --- the player -------------------------------------------------------------------------------------------------------


def test_the_player_shows_frame_and_time(a_panel):
    film = add_film()
    a_panel.ui.cineSelector.setCurrentNode(film.volume)
    assert a_panel.ui.playerSection.visible
    assert slider(a_panel).maximum == FRAMES - 1
    assert a_panel.ui.frameLabel.text == f"Frame 1 of {FRAMES}, 0.00 s"
    assert not a_panel.ui.playWidget.RecordingControlsVisible


def test_scrubber_and_browser_move_each_other(a_panel):
    film = add_film()
    a_panel.ui.cineSelector.setCurrentNode(film.volume)
    slider(a_panel).value = 12
    assert film.browser.GetSelectedItemNumber() == 12
    assert a_panel.ui.frameLabel.text == f"Frame 13 of {FRAMES}, {12 / RATE:.2f} s"
    film.browser.SetSelectedItemNumber(30)
    assert slider(a_panel).value == 30
    assert a_panel.ui.frameLabel.text == f"Frame 31 of {FRAMES}, {30 / RATE:.2f} s"
    a_panel.ui.playWidget.onVcrNext()
    assert slider(a_panel).value == 31


def test_play_and_pause(a_panel):
    film = add_film()
    a_panel.ui.cineSelector.setCurrentNode(film.volume)
    a_panel.ui.playWidget.onVcrPlayPause()
    assert film.browser.GetPlaybackActive()
    a_panel.ui.playWidget.onVcrPlayPause()
    assert not film.browser.GetPlaybackActive()


def test_another_cine_takes_the_player_and_the_first_is_paused(a_panel):
    first, second = add_film(), add_film()
    a_panel.ui.cineSelector.setCurrentNode(first.volume)
    a_panel.ui.playWidget.onVcrPlayPause()
    a_panel.ui.cineSelector.setCurrentNode(second.volume)
    assert not first.browser.GetPlaybackActive()
    second.browser.SetSelectedItemNumber(7)
    assert slider(a_panel).value == 7
    first.browser.SetSelectedItemNumber(9)
    assert slider(a_panel).value == 7
    assert a_panel.ui.frameLabel.text.startswith("Frame 8 ")


def test_a_label_map_is_no_cine(a_panel):
    import slicer

    selector = a_panel.ui.cineSelector
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "Labels")
    assert selector.nodeCount() == 0
    add_film(color=True)
    assert selector.nodeCount() == 1


def test_there_is_nothing_to_play_without_a_film(a_panel, host_scene):
    import slicer

    film = add_film()
    a_panel.ui.cineSelector.setCurrentNode(film.volume)
    a_panel.ui.cineSelector.setCurrentNode(None)
    assert not a_panel.ui.playerSection.visible
    a_panel.ui.cineSelector.setCurrentNode(film.volume)
    slicer.mrmlScene.RemoveNode(film.volume)
    assert not a_panel.ui.playerSection.visible
    host_scene.Clear(0)
    assert a_panel.player.browser is None


def test_a_volume_of_slices_is_a_cine_without_player(a_panel):
    import slicer
    from fibrosis_cases import film

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Multi-frame")
    slicer.util.updateVolumeFromArray(node, film().window(0, FRAMES))
    a_panel.ui.cineSelector.setCurrentNode(node)
    assert a_panel.ui.applyButton.enabled
    assert not a_panel.ui.playerSection.visible


def test_segments_play_with_the_cine(a_finished_panel):
    """The selected frame's outline is that of the frame."""
    import slicer

    panel = a_finished_panel
    node = panel.parameterNode.segmentation
    browser = panel.player.browser
    assert slicer.modules.sequences.logic().GetFirstBrowserNodeForProxyNode(node) is browser


# --- after a run ------------------------------------------------------------------------------------------------------


def test_an_edit_of_a_frame_is_measured_at_once(a_finished_panel):
    import slicer

    from PrognosisLib import scene

    panel = a_finished_panel
    segmentation, volume = panel.parameterNode.segmentation, panel.parameterNode.cine
    before = value(panel, "significant_fibrosis")
    segment_id = scene.findSegmentID(segmentation, "Liver")
    array = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment_id, volume)
    slicer.util.updateSegmentBinaryLabelmapFromArray(np.zeros_like(array), segmentation, segment_id, volume)
    host.pump(20, until=lambda: value(panel, "liver_frames") == pytest.approx(100.0 * (FRAMES - 1) / FRAMES))
    assert value(panel, "significant_fibrosis") == before
    assert host.dialogs() == []


def test_moving_through_the_cine_is_no_edit(a_finished_panel):
    panel = a_finished_panel
    areas = value(panel, "liver_area")
    for number in (5, 20, FRAMES - 1, 0):
        slider(panel).value = number
        host.pump(0.4)
    assert value(panel, "liver_area") == areas
    assert value(panel, "liver_frames") == 100.0
    assert host.dialogs() == []


def test_the_heat_map_is_laid_over_the_cine(a_finished_panel):
    import slicer

    panel = a_finished_panel
    view = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    panel.ui.heatMapButton.click()
    shown = slicer.mrmlScene.GetNodeByID(view.GetForegroundVolumeID())
    assert "Grad-CAM" in shown.GetName()
    assert view.GetBackgroundVolumeID() == panel.parameterNode.cine.GetID()
    panel.ui.heatMapButton.click()
    assert view.GetForegroundVolumeID() in (None, "")


def test_without_grad_cam_there_is_no_heat_map(a_panel):
    a_panel.ui.heatMapCheckBox.click()
    run(a_panel, add_film().volume)
    assert not a_panel.ui.heatMapButton.enabled
    assert value(a_panel, "capsule_share_3d") is None


def test_the_report_has_frames_and_film(a_finished_panel, tmp_path, monkeypatch):
    import qt

    monkeypatch.setattr(qt.QDesktopServices, "openUrl", lambda url: True)
    host.answer(str(tmp_path))
    a_finished_panel.ui.reportButton.click()
    finish(a_finished_panel)
    assert {path.suffix for path in tmp_path.iterdir()} <= {".html", ".mp4", ".gif"}
    assert "Frames of the cine in the order of time" in (tmp_path / "report.html").read_text("utf-8")
    assert len(list(tmp_path.glob("cine.*"))) == 1


# --- settings ---------------------------------------------------------------------------------------------------------


def test_the_offered_settings_are_the_defaults_of_the_pipeline(a_panel):
    from FibrosisVideoLib.settings import default_settings

    assert {**default_settings(), **a_panel.settings()} == default_settings()
    ui = a_panel.ui
    assert (ui.sweF2SpinBox.value, ui.sweF3SpinBox.value) == (8.4, 9.1)
    assert ui.decisionSpinBox.text == "the model's own"
    assert ui.heatMapCheckBox.checked


def test_another_limit_is_measured_at_once(a_finished_panel):
    panel = a_finished_panel
    assert value(panel, "is_significant") == "yes"
    panel.ui.decisionSpinBox.value = 95
    host.pump(20, until=lambda: value(panel, "is_significant") == "no")
    panel.ui.decisionSpinBox.value = 0
    host.pump(20, until=lambda: value(panel, "is_significant") == "yes")


def test_cut_offs_in_the_wrong_order_cannot_be_applied(a_finished_panel):
    ui = a_finished_panel.ui
    ui.sweF2SpinBox.value = 9.1
    assert not ui.applyButton.enabled
    assert ui.applyButton.toolTip == "Choose an SWE cut-off for F3 above that for F2."


def test_settings_and_cine_are_saved_with_the_scene(a_finished_panel, tmp_path, host_scene):
    import slicer

    from PrognosisLib import scene

    ui = a_finished_panel.ui
    ui.decisionSpinBox.value = 40
    ui.heatMapCheckBox.click()
    host.pump(1, until=lambda: not a_finished_panel.results._timer.isActive())
    wanted, name = a_finished_panel.settings(), ui.cineSelector.currentNode().GetName()
    scene.saveScene(tmp_path / "scene.mrb")
    host_scene.Clear(0)
    assert ui.decisionSpinBox.value == 0
    assert not ui.playerSection.visible
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    host.pump(0.1)
    assert a_finished_panel.settings() == wanted
    assert ui.cineSelector.currentNode().GetName() == name
    assert ui.playerSection.visible
    assert slider(a_finished_panel).maximum == FRAMES - 1


# --- patient ----------------------------------------------------------------------------------------------------------


def test_scores_are_shown_while_values_are_entered(a_panel):
    for key, text in (("age", "50"), ("ast", "80"), ("alt", "64"), ("platelets", "150")):
        editor(a_panel, key).text = text
    shown = a_panel.ui.scoresLabel.text
    assert "FIB-4: 3.33" in shown
    assert "APRI: 1.33" in shown
    assert "NAFLD fibrosis score" not in shown


def test_the_demo_case_is_a_cine_with_clinical_values(a_panel, monkeypatch):
    from FibrosisVideoLib.demo import CLINICAL
    from PrognosisLib import runs

    real = runs.startDemo
    monkeypatch.setattr(runs, "startDemo", lambda logic: real(logic, {"max_size": 96}))
    a_panel.ui.demoButton.click()
    finish(a_panel, 120)
    assert json.loads(a_panel.parameterNode.clinical) == CLINICAL
    assert a_panel.ui.patientSection.text == "Patient (7 of 8 values given)"
    assert a_panel.ui.frameLabel.text == "Frame 1 of 12, 0.00 s"
    assert a_panel.ui.applyButton.enabled


def test_the_sample_is_registered(a_panel):
    from PySide6 import QtGui

    (sample,) = [one for one in host.registeredSamples() if one["sampleName"] == "FibrosisVideoDemo"][-1:]
    picture = QtGui.QImage(sample["thumbnailFileName"])
    assert (picture.width(), picture.height()) == (260, 280)


# --- the form ---------------------------------------------------------------------------------------------------------


def test_the_form_is_made_for_designer():
    check_made_for_designer(FORM)
    own, shared = accelerators(FORM), accelerators(SHARED_FORM)
    assert {key: texts for key, texts in own.items() if len(texts) > 1 or key in shared} == {}


def test_every_widget_is_bound_to_a_parameter_of_the_node(a_panel):
    own = {"cine", "device", "heatMap", "decisionPercent", "sweF2KPa", "sweF3KPa"}
    assert bound_parameters(FORM) == own
    assert own <= set(a_panel.parameterNode.allParameters)


def test_everything_that_takes_the_keyboard_has_a_tool_tip(a_panel):
    assert without_tool_tip(a_panel) == []


def test_the_keyboard_goes_from_top_to_bottom(a_panel):
    a_panel.ui.cineSelector.setCurrentNode(add_film().volume)
    for section in ("patientSection", "settingsSection"):
        getattr(a_panel.ui, section).collapsed = False
    host.pump(0.05)
    wanted = ["inputsSection", "cineSelector", "demoButton", "patientSection", "ageEditor", "swe_kpaEditor"]
    wanted += ["clearPatientButton", "settingsSection", "deviceComboBox", "heatMapCheckBox", "decisionSpinBox"]
    wanted += ["sweF2SpinBox", "sweF3SpinBox", "applyButton", "playerSection", "resultsSection"]
    assert keyboard_order(a_panel, wanted) == wanted


def test_every_state_fits(a_panel, tmp_path):
    ui = a_panel.ui
    assert texts_that_do_not_fit(a_panel) == []
    ui.patientSection.collapsed = ui.settingsSection.collapsed = ui.aboutSection.collapsed = False
    assert texts_that_do_not_fit(a_panel) == []
    run(a_panel, add_film().volume)
    assert texts_that_do_not_fit(a_panel) == []
    assert host.screenshot(a_panel, tmp_path / "all-sections.png", 400).stat().st_size > 5000
