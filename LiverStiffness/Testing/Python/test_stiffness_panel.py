"""LiverStiffness's panel: one of two images or both, the main threshold, SWE cut-offs, the demo case."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("slicer")
pytest.importorskip("PySide6")

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
from stiffness_panel_cases import T1_SPOT, T2_SPOT, add_image, ml, write_test_bundle

import host
from host.fixtures import *  # noqa: F403

EXTENSION = Path(__file__).resolve().parents[3]
FORM = EXTENSION / "LiverStiffness" / "Resources" / "UI" / "LiverStiffness.ui"
SHARED_FORM = EXTENSION / "PrognosisCore" / "Resources" / "UI" / "SystemPanel.ui"


@pytest.fixture(scope="session")
def stiffness_bundle(tmp_path_factory):
    return write_test_bundle(tmp_path_factory.mktemp("bundle") / "Bundle")


@pytest.fixture
def a_panel(make_widget, stiffness_bundle, monkeypatch):
    """The real panel with the pipeline of stiffness_panel_cases.py; nothing of it is left after the test."""
    from PrognosisLib.worker import shared_worker

    stand_in(monkeypatch, "stiffness", "stiffness_panel_cases:EchoPipeline", stiffness_bundle)
    yield make_widget("LiverStiffness")
    shared_worker().close()


def run(panel, t2=None, t1=None) -> None:
    """Chooses the images and applies."""
    panel.ui.t2Selector.setCurrentNode(t2)
    panel.ui.t1Selector.setCurrentNode(t1)
    assert panel.ui.applyButton.enabled
    panel.ui.applyButton.click()
    finish(panel)


@pytest.fixture
def a_finished_panel(a_panel):
    run(a_panel, t2=add_image())
    return a_panel


def lattice_of(panel) -> str:
    """Name of the image that the segments belong to."""
    node = panel.parameterNode.segmentation
    return node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole()).GetName()


# --- one image or both ------------------------------------------------------------------------------------------------


def test_nothing_chosen_says_what_is_missing(a_panel):
    ui = a_panel.ui
    assert not ui.applyButton.enabled
    assert "T2-weighted MRI" in ui.applyButton.toolTip
    assert "T1-weighted MRI" in ui.applyButton.toolTip
    for selector in (ui.t2Selector, ui.t1Selector):
        selector.setCurrentNode(add_image())
        assert ui.applyButton.enabled
        selector.setCurrentNode(None)
        assert not ui.applyButton.enabled


def test_t2_alone(a_finished_panel):
    panel = a_finished_panel
    assert value(panel, "liver_volume") == pytest.approx(ml(T2_SPOT))
    assert value(panel, "t1_volume") is None
    assert value(panel, "images") == "t2"
    assert lattice_of(panel) == "T2"
    assert host.dialogs() == []


def test_t1_alone(a_panel):
    run(a_panel, t1=add_image(T1_SPOT, "T1"))
    assert value(a_panel, "liver_volume") == pytest.approx(ml(T1_SPOT))
    assert value(a_panel, "images") == "t1"
    assert lattice_of(a_panel) == "T1"
    assert host.dialogs() == []


def test_both(a_panel):
    run(a_panel, add_image(), add_image(T1_SPOT, "T1"))
    assert value(a_panel, "liver_volume") == pytest.approx(ml(T2_SPOT))
    assert value(a_panel, "t1_volume") == pytest.approx(ml(T1_SPOT))
    assert value(a_panel, "images") == "t1 and t2"
    assert lattice_of(a_panel) == "T2"
    assert host.dialogs() == []


def test_the_other_image_afterwards(a_finished_panel):
    """T1 alone after T2 alone: results, segments and their image are those of the T1."""
    panel = a_finished_panel
    run(panel, t1=add_image(T1_SPOT, "T1"))
    assert value(panel, "liver_volume") == pytest.approx(ml(T1_SPOT))
    assert lattice_of(panel) == "T1"
    run(panel, t2=panel.ui.t1Selector.currentNode())
    assert value(panel, "images") == "t2"
    assert value(panel, "liver_volume") == pytest.approx(ml(T1_SPOT))
    assert host.dialogs() == []


def test_swapped_images_give_swapped_results(a_panel):
    t2, t1 = add_image(), add_image(T1_SPOT, "T1")
    run(a_panel, t2, t1)
    run(a_panel, t1, t2)
    assert value(a_panel, "liver_volume") == pytest.approx(ml(T1_SPOT))
    assert value(a_panel, "t1_volume") == pytest.approx(ml(T2_SPOT))
    assert lattice_of(a_panel) == "T1"
    assert host.dialogs() == []


@pytest.mark.parametrize("role", ["t2", "t1"])
def test_an_edit_is_measured_at_once(a_panel, role):
    import slicer

    from PrognosisLib import scene

    image = add_image()
    run(a_panel, **{role: image})
    segmentation = a_panel.parameterNode.segmentation
    segment_id = scene.findSegmentID(segmentation, "Liver")
    array = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment_id, image).copy()
    array[T2_SPOT[0].start] = 0
    slicer.util.updateSegmentBinaryLabelmapFromArray(array, segmentation, segment_id, image)
    host.pump(20, until=lambda: value(a_panel, "liver_volume") == pytest.approx(ml(T2_SPOT) * 2 / 3))
    assert host.dialogs() == []


# --- settings ---------------------------------------------------------------------------------------------------------


def test_the_offered_settings_are_the_defaults_of_the_pipeline(a_panel):
    from LiverStiffnessLib.pipeline import default_settings

    assert {**default_settings(), **a_panel.settings()} == default_settings()
    ui = a_panel.ui
    assert (ui.sweF2SpinBox.value, ui.sweF3SpinBox.value) == (8.4, 9.1)
    assert ui.decisionComboBox.currentText == "3 kPa or more"


def test_the_offered_thresholds_are_those_of_the_model(a_panel):
    from LiverStiffnessLib.labels import THRESHOLDS_KPA

    box = a_panel.ui.decisionComboBox
    assert [box.itemText(n) for n in range(box.count)] == [f"{kpa:g} kPa or more" for kpa in THRESHOLDS_KPA]


def test_other_settings_are_measured_at_once(a_finished_panel):
    panel, ui = a_finished_panel, a_finished_panel.ui
    assert value(panel, "decision") == 3.0
    ui.decisionComboBox.currentIndex = 3
    host.pump(20, until=lambda: value(panel, "decision") == 4.0)
    assert value(panel, "cutoffs") == "8.4 9.1"
    ui.sweF2SpinBox.value = 6.3
    host.pump(20, until=lambda: value(panel, "cutoffs") == "6.3 9.1")
    ui.sweF3SpinBox.value = 8.3
    host.pump(20, until=lambda: value(panel, "cutoffs") == "6.3 8.3")


def test_cut_offs_in_the_wrong_order_cannot_be_applied(a_finished_panel):
    ui = a_finished_panel.ui
    ui.sweF2SpinBox.value = 9.1
    assert not ui.applyButton.enabled
    assert ui.applyButton.toolTip == "Choose an SWE cut-off for F3 above that for F2."
    ui.sweF3SpinBox.value = 9.5
    assert ui.applyButton.enabled


def test_settings_and_images_are_saved_with_the_scene(a_finished_panel, tmp_path, host_scene):
    import slicer

    from PrognosisLib import scene

    ui = a_finished_panel.ui
    ui.decisionComboBox.currentIndex = 4
    ui.sweF2SpinBox.value = 5.0
    ui.t1Selector.setCurrentNode(add_image(T1_SPOT, "T1"))
    wanted = a_finished_panel.settings()
    scene.saveScene(tmp_path / "scene.mrb")
    host_scene.Clear(0)
    assert ui.decisionComboBox.currentIndex == 1
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    host.pump(0.1)
    assert a_finished_panel.settings() == wanted
    assert ui.decisionComboBox.currentIndex == 4
    assert ui.t1Selector.currentNode().GetName() == "T1"


# --- patient ----------------------------------------------------------------------------------------------------------


def test_scores_are_shown_while_values_are_entered(a_panel):
    for key, text in (("age", "50"), ("ast", "80"), ("alt", "64"), ("platelets", "150")):
        editor(a_panel, key).text = text
    shown = a_panel.ui.scoresLabel.text
    assert "FIB-4: 3.33" in shown
    assert "advanced fibrosis likely" in shown
    assert "APRI: 1.33" in shown
    assert "upper limit of AST not given, taken as 40 U/L" in shown
    assert "missing: Body mass index, Diabetes, Albumin" in shown
    editor(a_panel, "age").text = "17"
    assert "FIB-4 is for adults" in a_panel.ui.scoresLabel.text


def test_the_demo_case_has_two_images_and_clinical_values(a_panel, monkeypatch):
    from LiverStiffnessLib.demo import CLINICAL
    from PrognosisLib import runs

    real = runs.startDemo
    monkeypatch.setattr(runs, "startDemo", lambda logic: real(logic, {"max_size": 48}))
    a_panel.ui.demoButton.click()
    finish(a_panel, 120)
    node = a_panel.parameterNode
    assert node.t2.GetName() == "Simulated T2 MRI"
    assert node.t1.GetName() == "Simulated T1 MRI"
    assert json.loads(node.clinical) == CLINICAL
    # 58 x 62 / (128 x sqrt 54)
    assert "FIB-4: 3.82, advanced fibrosis likely" in a_panel.ui.scoresLabel.text
    assert a_panel.ui.patientSection.text == "Patient (9 of 12 values given)"
    assert a_panel.ui.applyButton.enabled


def test_the_sample_is_registered(a_panel):
    from PySide6 import QtGui

    (sample,) = [one for one in host.registeredSamples() if one["sampleName"] == "LiverStiffnessDemo"][-1:]
    picture = QtGui.QImage(sample["thumbnailFileName"])
    assert (picture.width(), picture.height()) == (260, 280)


# --- the form ---------------------------------------------------------------------------------------------------------


def test_the_form_is_made_for_designer():
    check_made_for_designer(FORM)
    own, shared = accelerators(FORM), accelerators(SHARED_FORM)
    assert {key: texts for key, texts in own.items() if len(texts) > 1 or key in shared} == {}


def test_every_widget_is_bound_to_a_parameter_of_the_node(a_panel):
    own = {"t2", "t1", "device", "decisionKPa", "sweF2KPa", "sweF3KPa"}
    assert bound_parameters(FORM) == own
    assert own <= set(a_panel.parameterNode.allParameters)


def test_everything_that_takes_the_keyboard_has_a_tool_tip(a_panel):
    assert without_tool_tip(a_panel) == []


def test_the_keyboard_goes_from_top_to_bottom(a_panel):
    for section in ("patientSection", "settingsSection"):
        getattr(a_panel.ui, section).collapsed = False
    host.pump(0.05)
    wanted = ["inputsSection", "t2Selector", "t1Selector", "demoButton", "patientSection", "ageEditor"]
    wanted += ["astEditor", "swe_kpaEditor", "clearPatientButton", "settingsSection", "deviceComboBox"]
    wanted += ["decisionComboBox", "sweF2SpinBox", "sweF3SpinBox", "applyButton", "resultsSection"]
    assert keyboard_order(a_panel, wanted) == wanted


def test_every_state_fits(a_panel, tmp_path):
    ui = a_panel.ui
    assert texts_that_do_not_fit(a_panel) == []
    ui.patientSection.collapsed = ui.settingsSection.collapsed = ui.aboutSection.collapsed = False
    assert texts_that_do_not_fit(a_panel) == []
    assert host.screenshot(a_panel, tmp_path / "all-sections.png", 400).stat().st_size > 5000
    run(a_panel, add_image(), add_image(T1_SPOT, "T1"))
    assert texts_that_do_not_fit(a_panel) == []
