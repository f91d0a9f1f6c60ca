"""The form itself: clinical values, what scores lack, tool tips, keyboard order, texts that fit, pictures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("slicer")
pytest.importorskip("PySide6")

from panel_cases import add_volume
from panel_fixtures import *  # noqa: F403
from panel_kit import (
    bound_parameters,
    check_made_for_designer,
    editor,
    finish,
    keyboard_order,
    texts_that_do_not_fit,
    without_tool_tip,
)

import host

EXTENSION = Path(__file__).resolve().parents[3]
FORMS = (
    EXTENSION / "SpleenVolume" / "Resources" / "UI" / "SpleenVolume.ui",
    EXTENSION / "PrognosisCore" / "Resources" / "UI" / "SystemPanel.ui",
)


def test_values_are_kept_with_their_unit(a_panel):
    editor(a_panel, "bilirubin").text = "1,4"
    editor(a_panel, "bilirubin", "Unit").setCurrentText("mg/dL")
    editor(a_panel, "sex").setCurrentText("female")
    editor(a_panel, "dialysis").setCurrentText("no")
    editor(a_panel, "tumor_number").text = "3"
    stored = json.loads(a_panel.parameterNode.clinical)
    assert stored == {
        "bilirubin": {"value": 1.4, "unit": "mg/dL"},
        "sex": "female",
        "dialysis": False,
        "tumor_number": 3,
    }
    a_panel.ui.clearPatientButton.click()
    assert a_panel.parameterNode.clinical == "{}"
    assert editor(a_panel, "bilirubin").text == ""


def test_each_score_says_what_it_lacks(a_panel):
    lines = a_panel.ui.scoresLabel.text.split("<br>")
    assert "<b>ALBI</b>: <i>missing: Total bilirubin, Albumin</i>" in lines
    editor(a_panel, "bilirubin").text = "20"
    assert "<b>ALBI</b>: <i>missing: Albumin</i>" in a_panel.ui.scoresLabel.text
    editor(a_panel, "albumin").text = "40"
    # 0.66 x log10(20) - 0.085 x 40, Johnson 2015
    assert "ALBI: −2.54, grade 2" in a_panel.ui.scoresLabel.text


def test_only_scores_that_need_no_image_are_told_in_the_form(a_panel):
    from PrognosisLib.panel.clinical_form import scoresOf
    from PrognosisLib.scores import HEMORRHAGE_SCORES
    from PrognosisLib.systems import HEMORRHAGE_VALUES, System

    system = System("h", "H", "P", (), ("Hematoma",), HEMORRHAGE_VALUES, HEMORRHAGE_SCORES)
    (row,) = scoresOf(system, {"nihss": 12, "glucose": {"value": 8.0, "unit": "mmol/L"}})
    assert (row.key, row.value, row.note) == ("nag", None, "missing: Anticoagulant")
    (row,) = scoresOf(system, {"nihss": 12, "glucose": {"value": 8.0, "unit": "mmol/L"}, "anticoagulant": "other"})
    assert row.value == 3


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("albumin", "400", "Albumin 400 g/L is outside 10 to 70 g/L"),
        ("age", "old", "Age must be a number"),
        ("encephalopathy", "1.5", "Encephalopathy must be a whole number"),
    ],
)
def test_a_wrong_value_keeps_apply_off_and_says_why(a_panel, a_volume_node, name, text, says):
    a_panel.ui.ctSelector.setCurrentNode(a_volume_node)
    assert a_panel.ui.applyButton.enabled
    editor(a_panel, name).text = text
    assert not a_panel.ui.applyButton.enabled
    assert says in a_panel.ui.applyButton.toolTip
    assert says in editor(a_panel, name).toolTip
    editor(a_panel, name).text = ""
    assert a_panel.ui.applyButton.enabled


def test_a_number_that_looks_like_another_unit_is_pointed_out(a_panel):
    editor(a_panel, "bilirubin").text = "1.2"
    assert "check the unit" in editor(a_panel, "bilirubin").toolTip
    editor(a_panel, "bilirubin", "Unit").setCurrentText("mg/dL")
    assert "check the unit" not in editor(a_panel, "bilirubin").toolTip


def test_everything_that_takes_the_keyboard_has_a_tool_tip(a_panel):
    assert without_tool_tip(a_panel) == []


def test_the_keyboard_goes_from_top_to_bottom(a_panel):
    for section in ("patientSection", "settingsSection", "aboutSection"):
        getattr(a_panel.ui, section).collapsed = False
    host.pump(0.05)
    wanted = [
        "inputsSection",
        "ctSelector",
        "demoButton",
        "patientSection",
        "ageEditor",
        "bilirubinEditor",
        "bilirubinUnit",
        "clearPatientButton",
        "settingsSection",
        "deviceComboBox",
        "cutoffCheckBox",
        "applyButton",
        "resultsSection",
        "exportButton",
        "aboutSection",
        "cardBrowser",
    ]
    assert keyboard_order(a_panel, wanted) == wanted


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_the_forms_are_made_for_designer(path):
    check_made_for_designer(path)


def test_bound_widgets_name_parameters_of_the_node(a_panel):
    names = bound_parameters(*FORMS)
    assert names <= set(a_panel.parameterNode.allParameters)
    assert {"ct", "existingSegmentation", "device", "useCutoff", "cutoff", "allFrames"} == names


def test_every_state_fits_and_is_pictured(a_panel, host_scene, tmp_path):
    ui = a_panel.ui
    assert texts_that_do_not_fit(a_panel) == []
    host.screenshot(a_panel, tmp_path / "empty.png", 420)
    ui.patientSection.collapsed = ui.settingsSection.collapsed = ui.aboutSection.collapsed = False
    editor(a_panel, "albumin").text = "400"
    assert texts_that_do_not_fit(a_panel) == []
    host.screenshot(a_panel, tmp_path / "all-sections.png", 420)
    editor(a_panel, "albumin").text = "34"
    ui.patientSection.collapsed = ui.settingsSection.collapsed = ui.aboutSection.collapsed = True
    ui.ctSelector.setCurrentNode(add_volume("Slow CT"))
    ui.applyButton.click()
    host.pump(60, until=lambda: "left" in ui.statusLabel.text)
    assert texts_that_do_not_fit(a_panel) == []
    host.screenshot(a_panel, tmp_path / "running.png", 420)
    ui.applyButton.click()
    finish(a_panel)
    ui.ctSelector.setCurrentNode(add_volume("CT"))
    ui.cutoffCheckBox.click()
    ui.applyButton.click()
    finish(a_panel)
    assert texts_that_do_not_fit(a_panel) == []
    host.screenshot(a_panel, tmp_path / "results.png", 420)
    ui.ctSelector.setCurrentNode(add_volume("Chest", spleen=False))
    ui.applyButton.click()
    finish(a_panel)
    assert texts_that_do_not_fit(a_panel) == []
    host.screenshot(a_panel, tmp_path / "no-spleen.png", 420)
    sizes = {path.stem: path.stat().st_size for path in tmp_path.glob("*.png")}
    assert len(sizes) == 5
    assert min(sizes.values()) > 5000


def test_the_modules_own_tests_run(make_widget):
    """With the bundle that ships; without it, or without its runtime, the self test skips and says why."""
    import unittest

    import slicer

    from PrognosisLib.systems import SYSTEMS

    make_widget("PrognosisCore")
    slicer.selfTests["PrognosisCore"]()
    make_widget("SpleenVolume")
    if SYSTEMS["spleen"].default_bundle().joinpath("configs", "metadata.json").is_file():
        slicer.selfTests["SpleenVolume"]()
    else:
        with pytest.raises(unittest.SkipTest, match="bundle"):
            slicer.selfTests["SpleenVolume"]()
