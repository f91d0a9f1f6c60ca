"""ICHExpansion's panel: two scans, the definition of expansion, the window of an 8-bit export, the demo case."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("slicer")
pytest.importorskip("PySide6")

from ich_panel_cases import LATER, SPOT, add_head, ml, write_test_bundle
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
FORM = EXTENSION / "ICHExpansion" / "Resources" / "UI" / "ICHExpansion.ui"
SHARED_FORM = EXTENSION / "PrognosisCore" / "Resources" / "UI" / "SystemPanel.ui"


@pytest.fixture(scope="session")
def ich_bundle(tmp_path_factory):
    return write_test_bundle(tmp_path_factory.mktemp("bundle") / "Bundle")


@pytest.fixture
def a_panel(make_widget, ich_bundle, monkeypatch):
    """The real panel with the pipeline of ich_panel_cases.py; nothing of it is left after the test."""
    from PrognosisLib.worker import shared_worker

    stand_in(monkeypatch, "ich", "ich_panel_cases:EchoPipeline", ich_bundle)
    yield make_widget("ICHExpansion")
    shared_worker().close()


@pytest.fixture
def a_finished_panel(a_panel):
    a_panel.ui.ctSelector.setCurrentNode(add_head())
    a_panel.ui.applyButton.click()
    finish(a_panel)
    return a_panel


# --- two scans --------------------------------------------------------------------------------------------------------


def test_nothing_chosen_says_what_is_missing(a_panel):
    assert not a_panel.ui.applyButton.enabled
    assert a_panel.ui.applyButton.toolTip == "The CT is missing; choose a volume for it."
    a_panel.ui.followupSelector.setCurrentNode(add_head(LATER, "Later"))
    assert not a_panel.ui.applyButton.enabled
    a_panel.ui.ctSelector.setCurrentNode(add_head())
    assert a_panel.ui.applyButton.enabled


def test_a_run_without_and_with_the_follow_up(a_finished_panel):
    panel, ui = a_finished_panel, a_finished_panel.ui
    assert value(panel, "hematoma_volume") == pytest.approx(ml(SPOT))
    assert value(panel, "followup_volume") is None
    ui.followupSelector.setCurrentNode(add_head(LATER, "Later"))
    ui.applyButton.click()
    finish(panel)
    assert value(panel, "hematoma_volume") == pytest.approx(ml(SPOT))
    assert value(panel, "followup_volume") == pytest.approx(ml(LATER))
    assert host.dialogs() == []


# --- settings ---------------------------------------------------------------------------------------------------------


def test_the_offered_settings_are_the_defaults_of_the_pipeline(a_panel):
    from ICHExpansionLib.pipeline import default_settings

    assert {**default_settings(), **a_panel.settings()} == default_settings()
    ui = a_panel.ui
    assert (ui.amountSpinBox.value, ui.percentSpinBox.value) == (6.0, 33.0)
    assert not ui.windowWidthSpinBox.enabled
    assert not ui.windowLevelSpinBox.enabled


def test_another_definition_is_measured_at_once(a_finished_panel):
    panel, ui = a_finished_panel, a_finished_panel.ui
    assert value(panel, "definition") == "> 6 mL or > 33 %"
    ui.amountSpinBox.value = 12.5
    host.pump(20, until=lambda: value(panel, "definition") == "> 12.5 mL or > 33 %")
    ui.operatorComboBox.currentIndex = 1
    host.pump(20, until=lambda: value(panel, "definition") == "≥ 12.5 mL or ≥ 33 %")
    ui.percentCheckBox.click()
    host.pump(20, until=lambda: value(panel, "definition") == "≥ 12.5 mL")
    assert not ui.percentSpinBox.enabled
    ui.applyButton.click()
    finish(panel)
    assert value(panel, "definition") == "≥ 12.5 mL"


def test_expansion_without_a_limit_cannot_be_applied(a_finished_panel):
    ui = a_finished_panel.ui
    ui.amountCheckBox.click()
    assert ui.applyButton.enabled
    host.pump(20, until=lambda: value(a_finished_panel, "definition") == "> 33 %")
    ui.percentCheckBox.click()
    assert not ui.applyButton.enabled
    assert ui.applyButton.toolTip == "Choose a limit of expansion: an amount, a percentage or both."
    ui.amountCheckBox.click()
    assert ui.applyButton.enabled
    host.pump(20, until=lambda: value(a_finished_panel, "definition") == "> 6 mL")


def test_the_window_of_an_export_is_given_only_when_asked_for(a_finished_panel):
    panel, ui = a_finished_panel, a_finished_panel.ui
    assert value(panel, "window") == "None None"
    ui.windowCheckBox.click()
    host.pump(20, until=lambda: value(panel, "window") == "80.0 40.0")
    ui.windowWidthSpinBox.value, ui.windowLevelSpinBox.value = 100, 50
    host.pump(20, until=lambda: value(panel, "window") == "100.0 50.0")
    ui.windowCheckBox.click()
    host.pump(20, until=lambda: value(panel, "window") == "None None")


def test_settings_and_scans_are_saved_with_the_scene(a_finished_panel, tmp_path, host_scene):
    import slicer

    from PrognosisLib import scene

    ui = a_finished_panel.ui
    ui.operatorComboBox.currentIndex = 1
    ui.amountCheckBox.click()
    ui.followupSelector.setCurrentNode(add_head(LATER, "Later"))
    wanted = a_finished_panel.settings()
    scene.saveScene(tmp_path / "scene.mrb")
    host_scene.Clear(0)
    assert ui.amountCheckBox.checked
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    host.pump(0.1)
    assert a_finished_panel.settings() == wanted
    assert not ui.amountCheckBox.checked
    assert ui.followupSelector.currentNode().GetName() == "Later"


# --- demo -------------------------------------------------------------------------------------------------------------


def test_the_demo_case_has_two_scans_and_clinical_values(a_panel, monkeypatch):
    from ICHExpansionLib.demo import CLINICAL
    from PrognosisLib import runs

    real = runs.startDemo
    monkeypatch.setattr(runs, "startDemo", lambda logic: real(logic, {"max_size": 32}))
    a_panel.ui.demoButton.click()
    finish(a_panel, 120)
    node = a_panel.parameterNode
    assert node.ct.GetName() == "Simulated head CT"
    assert node.followup.GetName() == "Simulated follow-up CT"
    assert json.loads(node.clinical) == CLINICAL
    assert editor(a_panel, "inr").text == "2.6"
    assert "NAG scale: 3 points" in a_panel.ui.scoresLabel.text
    assert a_panel.ui.patientSection.text == "Patient (13 of 14 values given)"
    assert a_panel.ui.applyButton.enabled


def test_the_sample_is_registered(a_panel):
    from PySide6 import QtGui

    (sample,) = [one for one in host.registeredSamples() if one["sampleName"] == "ICHExpansionDemo"][-1:]
    picture = QtGui.QImage(sample["thumbnailFileName"])
    assert (picture.width(), picture.height()) == (260, 280)


# --- the form ---------------------------------------------------------------------------------------------------------


def test_the_form_is_made_for_designer():
    check_made_for_designer(FORM)
    own, shared = accelerators(FORM), accelerators(SHARED_FORM)
    assert {key: texts for key, texts in own.items() if len(texts) > 1 or key in shared} == {}


def test_every_widget_is_bound_to_a_parameter_of_the_node(a_panel):
    own = {"ct", "followup", "device", "operator", "useAmount", "amount", "usePercent", "percent"}
    own |= {"useWindow", "windowWidth", "windowLevel"}
    assert bound_parameters(FORM) == own
    assert own <= set(a_panel.parameterNode.allParameters)


def test_everything_that_takes_the_keyboard_has_a_tool_tip(a_panel):
    assert without_tool_tip(a_panel) == []


def test_the_keyboard_goes_from_top_to_bottom(a_panel):
    a_panel.ui.windowCheckBox.click()
    for section in ("patientSection", "settingsSection"):
        getattr(a_panel.ui, section).collapsed = False
    host.pump(0.05)
    wanted = ["inputsSection", "ctSelector", "followupSelector", "demoButton", "patientSection", "ageEditor"]
    wanted += ["gcsEditor", "glucoseUnit", "clearPatientButton", "settingsSection", "deviceComboBox"]
    wanted += ["operatorComboBox", "amountCheckBox", "amountSpinBox", "percentCheckBox", "percentSpinBox"]
    wanted += ["windowCheckBox", "windowWidthSpinBox", "windowLevelSpinBox", "applyButton", "resultsSection"]
    assert keyboard_order(a_panel, wanted) == wanted


def test_every_state_fits(a_panel, tmp_path):
    ui = a_panel.ui
    assert texts_that_do_not_fit(a_panel) == []
    ui.patientSection.collapsed = ui.settingsSection.collapsed = ui.aboutSection.collapsed = False
    ui.windowCheckBox.click()
    ui.operatorComboBox.currentIndex = 1
    assert texts_that_do_not_fit(a_panel) == []
    assert host.screenshot(a_panel, tmp_path / "all-sections.png", 400).stat().st_size > 5000
    ui.ctSelector.setCurrentNode(add_head())
    ui.applyButton.click()
    finish(a_panel)
    assert texts_that_do_not_fit(a_panel) == []
