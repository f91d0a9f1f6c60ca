"""HepatoPrognosis's panel: both images, players and frames, side by side, live nomogram, edits of T1, settings."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("slicer")
pytest.importorskip("PySide6")

from hepato_panel_cases import add_images, write_test_bundle
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
FORM = EXTENSION / "HepatoPrognosis" / "Resources" / "UI" / "HepatoPrognosis.ui"
SHARED_FORM = EXTENSION / "PrognosisCore" / "Resources" / "UI" / "SystemPanel.ui"


@pytest.fixture(scope="session")
def hepato_bundle(tmp_path_factory):
    return write_test_bundle(tmp_path_factory.mktemp("bundle") / "Bundle")


@pytest.fixture
def a_panel(make_widget, hepato_bundle, monkeypatch):
    """The real panel with the pipeline of hepato_panel_cases.py; nothing of it is left after the test."""
    from PrognosisLib.worker import shared_worker

    stand_in(monkeypatch, "hepato", "hepato_panel_cases:EchoPairPipeline", hepato_bundle)
    yield make_widget("HepatoPrognosis")
    shared_worker().close()


def choose(panel, nodes) -> None:
    for role, node in nodes.items():
        getattr(panel.ui, f"{role}Selector").setCurrentNode(node)


def run(panel, nodes) -> None:
    choose(panel, nodes)
    assert panel.ui.applyButton.enabled
    panel.ui.applyButton.click()
    finish(panel)


@pytest.fixture
def a_finished_panel(a_panel):
    run(a_panel, add_images())
    return a_panel


def browser_of(node):
    from PrognosisLib import scene

    return scene.filmOf(node).browser


# --- the images -------------------------------------------------------------------------------------------------------


def test_t0_is_needed_and_t1_is_not(a_panel):
    ui = a_panel.ui
    assert ui.applyButton.toolTip == "The Ultrasound at T0 is missing; choose a volume for it."
    nodes = add_images()
    ui.t1Selector.setCurrentNode(nodes["t1"])
    assert not ui.applyButton.enabled
    run(a_panel, {"t0": nodes["t0"], "t1": None})
    assert value(a_panel, "siamese_mortality") > 0
    assert value(a_panel, "area_change") is None


def test_a_pair_is_measured(a_finished_panel):
    panel = a_finished_panel
    assert value(panel, "area_change") == pytest.approx(-19, abs=1)
    assert "simulated cohort" in panel.ui.summaryLabel.text
    assert panel.ui.plotButton.enabled
    assert panel.ui.editOtherButton.text == "Edit Liver at T1"
    assert not panel.ui.allFramesCheckBox.visible
    assert host.dialogs() == []


def test_without_a_liver_the_clinical_model_is_there(a_panel):
    import slicer

    from PrognosisLib import scene

    nodes = add_images()
    array = slicer.util.arrayFromVolume(scene.filmOf(nodes["t0"]).items[0])
    array[:] = array // 3
    editor(a_panel, "age").text = "60"
    run(a_panel, nodes)
    assert value(a_panel, "siamese_mortality") is None
    assert value(a_panel, "clinical_mortality") > 0
    assert not a_panel.ui.editOtherButton.visible


# --- frames -----------------------------------------------------------------------------------------------------------


def test_stills_have_no_player(a_finished_panel):
    assert not a_finished_panel.ui.framesSection.visible
    assert not a_finished_panel.ui.playerSection.visible


def test_each_film_has_its_own_player(a_panel):
    nodes, ui = add_images(count=4), a_panel.ui
    choose(a_panel, nodes)
    assert ui.framesSection.visible
    ui.t0SeekWidget.slider().value = 2
    ui.t1PlayWidget.onVcrNext()
    assert [browser_of(node).GetSelectedItemNumber() for node in nodes.values()] == [2, 1]
    assert ui.t0TimeLabel.text == "Frame 3 of 4, 0.08 s"
    assert ui.t1TimeLabel.text == "Frame 2 of 4, 0.04 s"
    ui.t1Selector.setCurrentNode(None)
    assert ui.t0Widget.visible
    assert not ui.t1Widget.visible


def test_the_frame_shown_can_be_read_and_the_views_go_to_what_was_read(a_panel):
    nodes, ui = add_images(count=4), a_panel.ui
    choose(a_panel, nodes)
    assert a_panel.settings()["frame_t0"] is None
    assert ui.t0FrameSpinBox.text == "best frame"
    ui.t0SeekWidget.slider().value = 2
    ui.t0FrameButton.click()
    ui.t1FrameSpinBox.value = 4
    assert (a_panel.settings()["frame_t0"], a_panel.settings()["frame_t1"]) == (3.0, 4.0)
    ui.t0SeekWidget.slider().value = 0
    run(a_panel, {})
    assert (value(a_panel, "frame_t0"), value(a_panel, "frame_t1")) == (3, 4)
    assert [browser_of(node).GetSelectedItemNumber() for node in nodes.values()] == [2, 3]
    ui.t0FrameSpinBox.value = 1
    host.pump(20, until=lambda: "was chosen after the run" in flags_of(a_panel))


def flags_of(panel) -> str:
    from PrognosisLib import scene

    return " ".join(flag.message for flag in scene.readTable(panel.parameterNode.resultsTable).flags)


# --- side by side -----------------------------------------------------------------------------------------------------


VIEWS = ("Red", "Yellow")


@pytest.fixture
def views(host_scene):
    """What a window has made: its two views, and what they show."""
    import slicer

    manager = slicer.app.layoutManager()
    before = manager.layout
    manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutSideBySideView)
    manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
    made = [host_scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode") for _name in VIEWS]
    for name, composite in zip(VIEWS, made, strict=True):
        composite.SetLayoutName(name)
    yield [host_scene.GetSingletonNode(name, "vtkMRMLSliceNode") for name in VIEWS]
    manager.setLayout(before)
    for composite in made:  # which would outlive a closed scene
        host_scene.RemoveNode(composite)


def composites():
    import slicer

    nodes = {node.GetLayoutName(): node for node in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")}
    return [nodes[name] for name in VIEWS]


def state(view) -> list:
    import slicer

    matrix = slicer.util.arrayFromVTKMatrix(view.GetSliceToRAS())
    return [view.GetOrientation(), *view.GetFieldOfView(), *view.GetXYZOrigin(), *matrix.ravel()]


def test_both_images_are_shown_side_by_side_and_linked(a_panel, views):
    import slicer

    ui, manager = a_panel.ui, slicer.app.layoutManager()
    assert not ui.pairButton.enabled
    nodes, former, before = add_images(), manager.layout, [state(view) for view in views]
    choose(a_panel, nodes)
    ui.pairButton.click()
    assert manager.layout == slicer.vtkMRMLLayoutNode.SlicerLayoutSideBySideView
    assert [one.GetBackgroundVolumeID() for one in composites()] == [node.GetID() for node in nodes.values()]
    assert all(one.GetLinkedControl() and one.GetHotLinkedControl() for one in composites())
    assert [view.GetOrientation() for view in views] == ["Axial", "Axial"]
    other = add_images(second=False)["t0"]
    ui.t1Selector.setCurrentNode(other)
    assert composites()[1].GetBackgroundVolumeID() == other.GetID()
    ui.pairButton.click()
    assert manager.layout == former
    assert not any(one.GetLinkedControl() for one in composites())
    assert [state(view) for view in views] == before


def test_without_t1_nothing_is_side_by_side(a_panel, views):
    import slicer

    ui, manager, former = a_panel.ui, slicer.app.layoutManager(), slicer.app.layoutManager().layout
    choose(a_panel, add_images())
    ui.pairButton.click()
    ui.t1Selector.setCurrentNode(None)
    assert not ui.pairButton.checked
    assert manager.layout == former


def test_a_closed_scene_ends_it(a_panel, views, host_scene):
    choose(a_panel, add_images())
    a_panel.ui.pairButton.click()
    host_scene.Clear(0)
    assert not a_panel.ui.pairButton.checked
    assert not a_panel.pair.isShown


def test_each_view_has_the_heat_map_of_its_image(a_finished_panel, views):
    import slicer

    panel, ui = a_finished_panel, a_finished_panel.ui
    ui.pairButton.click()
    ui.heatMapButton.click()
    shown = [slicer.mrmlScene.GetNodeByID(one.GetForegroundVolumeID()).GetName() for one in composites()]
    assert shown == ["What raised the risk at T0", "What raised the risk at T1"]
    assert [one.GetBackgroundVolumeID() for one in composites()] == [
        panel.parameterNode.t0.GetID(),
        panel.parameterNode.t1.GetID(),
    ]
    assert ui.heatMapComboBox.visible
    ui.heatMapComboBox.currentIndex = 1
    shown = [slicer.mrmlScene.GetNodeByID(one.GetForegroundVolumeID()).GetName() for one in composites()]
    assert shown == ["Change from T0 to T1", "What raised the risk at T1"]
    assert ui.heatMapButton.checked
    ui.heatMapButton.click()
    assert [one.GetForegroundVolumeID() for one in composites()] == [None, None]


# --- the nomogram -----------------------------------------------------------------------------------------------------


def test_the_nomogram_follows_every_value(a_panel):
    shown = a_panel.ui.scoresLabel
    assert "points" not in shown.text
    editor(a_panel, "age").text = "30"
    young = shown.text
    assert "Contribution to the clinical model, in points, simulated cohort" in young
    assert "30-day mortality" in young
    editor(a_panel, "age").text = "70"
    assert points(shown.text, "Age") > points(young, "Age")
    editor(a_panel, "age").text = "abc"
    assert "Contribution" not in shown.text
    a_panel.ui.clearPatientButton.click()
    assert "Contribution" not in shown.text


def points(text: str, label: str) -> int:
    import re

    return int(re.search(rf"<td>{label}</td><td align=\"right\">&nbsp;(\d+)", text)[1])


def test_after_a_run_the_nomogram_has_what_was_read(a_finished_panel):
    shown = a_finished_panel.ui.scoresLabel
    assert "Contribution to the Siamese U-Net" in shown.text
    editor(a_finished_panel, "age").text = "50"
    assert "Contribution to the combined model" in shown.text
    assert "Ultrasound at T0" in shown.text
    host.pump(20, until=lambda: value(a_finished_panel, "points_age") is not None)
    assert value(a_finished_panel, "points_age") == pytest.approx(points(shown.text, "Age"), abs=0.51)
    a_finished_panel.ui.mortalityDaysSpinBox.value = 60
    host.pump(20, until=lambda: "60-day mortality" in a_finished_panel.ui.scoresLabel.text)


def test_scores_are_shown_while_values_are_entered(a_panel):
    for key, text in (("bilirubin", "300"), ("inr", "2.4"), ("creatinine", "90")):
        editor(a_panel, key).text = text
    shown = a_panel.ui.scoresLabel.text
    assert "MELD" in shown
    assert "COSSH-ACLF II" in shown


# --- edits ------------------------------------------------------------------------------------------------------------


def test_an_edit_of_t1_is_measured_at_once(a_finished_panel):
    import slicer

    from PrognosisLib import scene

    panel = a_finished_panel
    before = {key: value(panel, key) for key in ("liver_area_t0", "liver_area_t1", "combined_mortality")}
    panel.ui.editOtherButton.click()
    editorWidget = slicer.modules.segmenteditor.widgetRepresentation().self().editor
    segmentation = editorWidget.segmentationNode()
    assert segmentation is not panel.parameterNode.segmentation
    assert editorWidget.sourceVolumeNode() is panel.parameterNode.t1
    segment_id = scene.findSegmentID(segmentation, "Liver at T1")
    assert editorWidget.currentSegmentID() == segment_id
    array = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment_id, panel.parameterNode.t1)
    array[:, : round(np.argwhere(array)[:, 1].mean())] = 0
    slicer.util.updateSegmentBinaryLabelmapFromArray(array, segmentation, segment_id, panel.parameterNode.t1)
    host.pump(20, until=lambda: value(panel, "liver_area_t1") < 0.6 * before["liver_area_t1"])
    assert value(panel, "liver_area_t0") == before["liver_area_t0"]
    assert value(panel, "combined_mortality") == before["combined_mortality"]
    assert host.dialogs() == []


def test_the_report_has_both_images(a_finished_panel, tmp_path, monkeypatch):
    import qt

    monkeypatch.setattr(qt.QDesktopServices, "openUrl", lambda url: True)
    host.answer(str(tmp_path))
    a_finished_panel.ui.reportButton.click()
    finish(a_finished_panel)
    html = (tmp_path / "report.html").read_text("utf-8")
    assert "Ultrasound at T0 and Ultrasound at T1 (day 5), with outlines." in html
    assert "Change from T0 to T1" in html
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


# --- settings ---------------------------------------------------------------------------------------------------------


def test_the_offered_settings_are_the_defaults_of_the_pipeline(a_panel):
    from HepatoPrognosisLib.settings import default_settings

    assert {**default_settings(), **a_panel.settings()} == default_settings()
    assert a_panel.ui.mortalityDaysSpinBox.text == "30 days"


def test_settings_and_images_are_saved_with_the_scene(a_finished_panel, tmp_path, host_scene):
    import slicer

    from PrognosisLib import scene

    ui = a_finished_panel.ui
    ui.mortalityDaysSpinBox.value = 45
    host.pump(1, until=lambda: not a_finished_panel.results._timer.isActive())
    wanted, names = (
        a_finished_panel.settings(),
        [ui.t0Selector.currentNode().GetName(), ui.t1Selector.currentNode().GetName()],
    )
    rows = {key: value(a_finished_panel, key) for key in ("area_change", "siamese_mortality")}
    scene.saveScene(tmp_path / "scene.mrb")
    host_scene.Clear(0)
    assert ui.mortalityDaysSpinBox.value == 30
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    host.pump(0.1)
    assert a_finished_panel.settings() == wanted
    assert [ui.t0Selector.currentNode().GetName(), ui.t1Selector.currentNode().GetName()] == names
    assert {key: value(a_finished_panel, key) for key in rows} == pytest.approx(rows, rel=1e-4)
    assert ui.editOtherButton.enabled


def test_clinical_values_are_kept_as_they_were_entered(a_panel):
    editor(a_panel, "bilirubin").text = "17.5"
    editor(a_panel, "bilirubin", "Unit").currentIndex = 1
    kept = json.loads(a_panel.parameterNode.clinical)
    assert kept["bilirubin"]["value"] == 17.5
    assert kept["bilirubin"]["unit"] != ""


def test_the_sample_is_registered(a_panel):
    from PySide6 import QtGui

    (sample,) = [one for one in host.registeredSamples() if one["sampleName"] == "HepatoPrognosisDemo"][-1:]
    picture = QtGui.QImage(sample["thumbnailFileName"])
    assert (picture.width(), picture.height()) == (260, 280)


# --- the form ---------------------------------------------------------------------------------------------------------


def test_the_form_is_made_for_designer():
    check_made_for_designer(FORM)
    own, shared = accelerators(FORM), accelerators(SHARED_FORM)
    assert {key: texts for key, texts in own.items() if len(texts) > 1 or key in shared} == {}


def test_every_widget_is_bound_to_a_parameter_of_the_node(a_panel):
    own = {"t0", "t1", "device", "frameT0", "frameT1", "mortalityDays"}
    assert bound_parameters(FORM) == own
    assert own <= set(a_panel.parameterNode.allParameters)


def test_everything_that_takes_the_keyboard_has_a_tool_tip(a_panel):
    assert without_tool_tip(a_panel) == []


def test_the_keyboard_goes_from_top_to_bottom(a_panel):
    choose(a_panel, add_images(count=3))
    for section in ("patientSection", "settingsSection"):
        getattr(a_panel.ui, section).collapsed = False
    host.pump(0.05)
    wanted = ["inputsSection", "t0Selector", "t1Selector", "pairButton", "demoButton", "patientSection", "ageEditor"]
    wanted += ["spo2_fio2Editor", "clearPatientButton", "settingsSection", "deviceComboBox", "mortalityDaysSpinBox"]
    wanted += ["applyButton", "resultsSection"]
    assert keyboard_order(a_panel, wanted) == wanted


def test_every_state_fits(a_panel, tmp_path):
    ui = a_panel.ui
    assert texts_that_do_not_fit(a_panel) == []
    choose(a_panel, add_images(count=3))
    ui.patientSection.collapsed = ui.settingsSection.collapsed = ui.aboutSection.collapsed = False
    editor(a_panel, "age").text = "55"
    editor(a_panel, "inr").text = "2.1"
    assert texts_that_do_not_fit(a_panel) == []
    run(a_panel, {})
    assert texts_that_do_not_fit(a_panel) == []
    assert host.screenshot(a_panel, tmp_path / "all-sections.png", 400).stat().st_size > 5000
