"""The form itself: clinical values, what scores lack, tool tips, keyboard order, texts that fit, pictures."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

pytest.importorskip("slicer")
pytest.importorskip("PySide6")

from panel_cases import add_volume
from panel_fixtures import *  # noqa: F403

import host

EXTENSION = Path(__file__).resolve().parents[3]
FORMS = (
    EXTENSION / "SpleenVolume" / "Resources" / "UI" / "SpleenVolume.ui",
    EXTENSION / "PrognosisCore" / "Resources" / "UI" / "SystemPanel.ui",
)
WIDTHS = (350, 420, 500)


def editor(panel, name: str):
    return next(one for one in panel.clinicalForm.editors if one.objectName == name)


def fits(panel) -> None:
    for width in WIDTHS:
        assert host.clippedTexts(panel, width) == [], width


def test_values_are_kept_with_their_unit(a_panel):
    editor(a_panel, "bilirubinEditor").text = "1,4"
    editor(a_panel, "bilirubinUnit").setCurrentText("mg/dL")
    editor(a_panel, "sexEditor").setCurrentText("female")
    editor(a_panel, "dialysisEditor").setCurrentText("no")
    editor(a_panel, "tumor_numberEditor").text = "3"
    stored = json.loads(a_panel.parameterNode.clinical)
    assert stored == {
        "bilirubin": {"value": 1.4, "unit": "mg/dL"},
        "sex": "female",
        "dialysis": False,
        "tumor_number": 3,
    }
    a_panel.ui.clearPatientButton.click()
    assert a_panel.parameterNode.clinical == "{}"
    assert editor(a_panel, "bilirubinEditor").text == ""


def test_each_score_says_what_it_lacks(a_panel):
    lines = a_panel.ui.scoresLabel.text.split("<br>")
    assert "<b>ALBI</b>: <i>missing: Total bilirubin, Albumin</i>" in lines
    editor(a_panel, "bilirubinEditor").text = "20"
    assert "<b>ALBI</b>: <i>missing: Albumin</i>" in a_panel.ui.scoresLabel.text
    editor(a_panel, "albuminEditor").text = "40"
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
        ("albuminEditor", "400", "Albumin 400 g/L is outside 10 to 70 g/L"),
        ("ageEditor", "old", "Age must be a number"),
        ("encephalopathyEditor", "1.5", "Encephalopathy must be a whole number"),
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
    editor(a_panel, "bilirubinEditor").text = "1.2"
    assert "check the unit" in editor(a_panel, "bilirubinEditor").toolTip
    editor(a_panel, "bilirubinUnit").setCurrentText("mg/dL")
    assert "check the unit" not in editor(a_panel, "bilirubinEditor").toolTip


def test_everything_that_takes_the_keyboard_has_a_tool_tip(a_panel):
    import qt

    silent = []
    for child in a_panel.parent.findChildren(qt.QWidget):
        takesKeys = child.focusPolicy != qt.Qt.NoFocus and child.objectName and not child.objectName.startswith("qt_")
        if takesKeys and not child.toolTip:
            silent.append(child.objectName)
    assert silent == []


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
    seen, widget = [], a_panel.ui.inputsSection
    for _step in range(400):
        name = widget.objectName or widget.parent().objectName
        if name in wanted and name not in seen:
            seen.append(name)
        widget = widget.nextInFocusChain()
    start = seen.index("inputsSection")
    assert seen[start:] + seen[:start] == wanted


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_the_forms_are_made_for_designer(path):
    root = ElementTree.parse(path).getroot()
    top = root.find("widget")
    assert top.get("class") == "qMRMLWidget"
    assert top.get("name") == root.findtext("class")
    used = {widget.get("class") for widget in root.iter("widget")}
    declared = {one.findtext("class") for one in root.iter("customwidget")}
    assert {name for name in used if name.startswith(("ctk", "qMRML"))} <= declared
    # A table view with a scene empties itself after every batch of scene changes, unless a view node feeds it.
    mrml = {w.get("name") for w in root.iter("widget") if w.get("class") == "qMRMLNodeComboBox"}
    wired = {c.findtext("receiver") for c in root.iter("connection") if c.findtext("slot").startswith("setMRMLScene")}
    assert mrml == wired


def test_bound_widgets_name_parameters_of_the_node(a_panel):
    names = {
        item.findtext("string")
        for path in FORMS
        for item in ElementTree.parse(path).getroot().iter("property")
        if item.get("name") == "SlicerParameterName"
    }
    assert names <= set(a_panel.parameterNode.allParameters)
    assert {"ct", "existingSegmentation", "device", "useCutoff", "cutoff", "allFrames"} == names


def test_every_state_fits_and_is_pictured(a_panel, host_scene, tmp_path):
    ui = a_panel.ui
    fits(a_panel)
    host.screenshot(a_panel, tmp_path / "empty.png", 420)
    ui.patientSection.collapsed = ui.settingsSection.collapsed = ui.aboutSection.collapsed = False
    editor(a_panel, "albuminEditor").text = "400"
    fits(a_panel)
    host.screenshot(a_panel, tmp_path / "all-sections.png", 420)
    editor(a_panel, "albuminEditor").text = "34"
    ui.patientSection.collapsed = ui.settingsSection.collapsed = ui.aboutSection.collapsed = True
    ui.ctSelector.setCurrentNode(add_volume("Slow CT"))
    ui.applyButton.click()
    host.pump(60, until=lambda: "left" in ui.statusLabel.text)
    fits(a_panel)
    host.screenshot(a_panel, tmp_path / "running.png", 420)
    ui.applyButton.click()
    host.pump(10, until=lambda: not a_panel.runControl.isBusy)
    ui.ctSelector.setCurrentNode(add_volume("CT"))
    ui.cutoffCheckBox.click()
    ui.applyButton.click()
    host.pump(60, until=lambda: not a_panel.runControl.isBusy)
    fits(a_panel)
    host.screenshot(a_panel, tmp_path / "results.png", 420)
    ui.ctSelector.setCurrentNode(add_volume("Chest", spleen=False))
    ui.applyButton.click()
    host.pump(60, until=lambda: not a_panel.runControl.isBusy)
    fits(a_panel)
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
