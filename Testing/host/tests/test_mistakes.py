"""Each classic mistake in a panel must fail in the host, where Slicer only prints or says nothing."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from panel_source import write_panel

import host
from host.uiloader import UiError


@pytest.fixture
def spoiled(tmp_path, make_widget, monkeypatch):
    """Makes the panel with one text replaced."""
    monkeypatch.setattr(sys, "path", list(sys.path))

    def make(code=None, ui=None):
        return make_widget("Panel", write_panel(tmp_path / "Panel", code, ui))

    return make


def test_the_unspoiled_panel_passes(spoiled):
    spoiled()
    host.checkNoErrors()


SETUP_MISTAKES = {
    "property called as a method": ("text = self.ui.applyButton.text()", TypeError, "not callable"),
    "unknown signal": (
        'self.ui.applyButton.connect("pressedTwice()", self.onApplyButton)',
        AttributeError,
        "no signal",
    ),
    "unknown MRML signal": (
        'self.ui.inputSelector.connect("nodeChanged(vtkMRMLNode*)", print)',
        AttributeError,
        "no signal",
    ),
    "unknown attribute set": ("self.ui.applyButton.txt = 'Run'", AttributeError, "no property"),
    "unknown attribute read": ("x = self.ui.applyButton.txt", AttributeError, "no attribute"),
    "setter that is not invokable": (
        "self.ui.inputSelector.setNodeTypes(['vtkMRMLNode'])",
        AttributeError,
        "no attribute",
    ),
    "real member without stand-in": ("self.ui.inputSelector.addMenuAction(None)", NotImplementedError, "addMenuAction"),
    "keyword in a constructor": ("b = qt.QPushButton(text='x')", TypeError, "keyword"),
    "None as a text": ("self.ui.resultLabel.text = None", TypeError, "None"),
    "text as a number": ("self.ui.thresholdSlider.value = '3'", AttributeError, "cannot be set"),
    "unknown Qt class": ("qt.QRegExp('x')", AttributeError, "QRegExp"),
    "unknown CTK class": ("ctk.ctkNothing()", AttributeError, "ctkNothing"),
    "real CTK class without stand-in": ("ctk.ctkCheckBox()", NotImplementedError, "ctkCheckBox"),
    "own attribute named as a property": (
        "type('W', (qt.QWidget,), {'__init__': lambda s: (qt.QWidget.__init__(s), setattr(s, 'x', 1))[0]})()",
        AttributeError,
        "not writable",
    ),
    "method that only the wheel's slicer has": ("slicer.getNode('CT')", AttributeError, "getNode"),
    "wrong child": ("self.ui.cancelButton.enabled = False", AttributeError, "cancelButton"),
    "findChild by name": ("self.parent.findChild(qt.QPushButton, 'applyButton')", NotImplementedError, "slicer.util"),
    "disconnect without a handler": ("self.ui.applyButton.disconnect()", TypeError, "handler"),
    "exception in setup": ("raise RuntimeError('in setup')", RuntimeError, "in setup"),
}


@pytest.mark.parametrize("mistake", SETUP_MISTAKES)
def test_a_mistake_in_setup_raises(spoiled, mistake):
    line, error, message = SETUP_MISTAKES[mistake]
    with pytest.raises(error, match=message):
        spoiled(code=("# SETUP", line))


UI_MISTAKES = {
    "wrong class": ('class="QPushButton"', 'class="QPushbutton"', UiError, "QPushbutton"),
    "wrong property": ('name="noneEnabled"', 'name="noneAllowed"', UiError, "noneAllowed"),
    "wrong Qt property": ('<property name="buddy">', '<property name="budy">', UiError, "budy"),
    "wrong buddy": ("<cstring>inputSelector", "<cstring>inputSelektor", UiError, "inputSelektor"),
    "wrong signal": ("toggled(bool)", "switched(bool)", UiError, "switched"),
    "wrong slot": ("setDisabled(bool)", "setOff(bool)", UiError, "setOff"),
    "wrong receiver": ("<receiver>inputSelector", "<receiver>selector", UiError, "selector"),
    "name used twice": ('name="statusLabel"', 'name="resultLabel"', UiError, "resultLabel"),
    "real class without stand-in": (
        'class="ctkSliderWidget"',
        'class="ctkCoordinatesWidget"',
        NotImplementedError,
        "Coordinates",
    ),
}


@pytest.mark.parametrize("mistake", UI_MISTAKES)
def test_a_mistake_in_the_ui_file_raises(spoiled, mistake):
    old, new, error, message = UI_MISTAKES[mistake]
    with pytest.raises(error, match=message):
        spoiled(ui=(old, new))


def test_a_parameter_name_that_does_not_exist_raises(spoiled):
    with pytest.raises(ValueError, match="thresh0ld"):
        spoiled(ui=("<string>threshold</string>", "<string>thresh0ld</string>"))


def run_apply(panel):
    import slicer

    panel.ui.inputSelector.setCurrentNode(slicer.util.addVolumeFromArray(np.arange(8, dtype=np.int16).reshape(2, 2, 2)))
    panel.ui.applyButton.click()


def check_fails(pattern: str) -> None:
    with pytest.raises(host.HostError, match=pattern):
        host.checkNoErrors()
    host.checkNoErrors()


def test_an_exception_in_a_slot_fails(spoiled):
    panel = spoiled(code=("# APPLY", "raise KeyError('in a slot')"))
    run_apply(panel)
    check_fails("in a slot")


def test_an_exception_in_a_timer_fails(spoiled):
    panel = spoiled(code=("# TIMEOUT", "raise KeyError('in a timer')"))
    run_apply(panel)
    host.pump(0.1)
    check_fails("in a timer")


def test_an_exception_in_a_single_shot_fails(spoiled):
    spoiled(code=("# SETUP", "qt.QTimer.singleShot(0, lambda: 1 / 0)"))
    host.pump(0.05)
    check_fails("ZeroDivisionError")


def test_an_exception_in_a_vtk_observer_fails(spoiled):
    panel = spoiled(code=("# PROCESS", "volume.AddObserver('ModifiedEvent', lambda c: None); volume.Modified()"))
    run_apply(panel)
    check_fails("TypeError")


def test_a_handler_with_too_many_parameters_fails(spoiled):
    panel = spoiled(code=("def onApplyButton(self):", "def onApplyButton(self, checked, more):"))
    run_apply(panel)
    check_fails("missing 1 required positional argument")


def test_vtk_error_output_fails(spoiled):
    panel = spoiled(code=("# PROCESS", "slicer.mrmlScene.AddNewNodeByClass('vtkMRMLNoSuchNode')"))
    run_apply(panel)
    check_fails("vtkMRMLNoSuchNode")


def test_a_dialog_from_logic_fails(spoiled):
    panel = spoiled(code=("# PROCESS", "slicer.util.infoDisplay('from logic')"))
    run_apply(panel)
    check_fails("logic must raise")


def test_a_question_without_an_answer_fails(spoiled):
    panel = spoiled(code=("# APPLY", "slicer.util.confirmYesNoDisplay('Sure?')"))
    run_apply(panel)
    check_fails("No answer was prepared")


def test_a_timer_that_outlives_the_panel_fails(spoiled):
    panel = spoiled(code=("        self.timer.stop()", "        pass"))
    panel.timer.start(60000)
    host.close(panel)
    check_fails("left its QTimer timer running")
    panel.timer.start(0)
    host.pump(0.1)
    check_fails("destroyed QLabel")


def test_a_process_that_outlives_the_panel_fails(spoiled):
    line = "self.process = qt.QProcess(); self.process.start('sleep', ['20']); self.process.waitForStarted()"
    panel = spoiled(code=("# SETUP", line))
    host.close(panel)
    check_fails("left its QProcess process running")
    panel.process.kill()
    panel.process.waitForFinished()


def test_a_widget_without_a_scene_fails(spoiled):
    spoiled(ui=("<receiver>inputSelector", "<receiver>resultTable"))
    check_fails("inputSelector has no MRML scene")


def test_an_unused_answer_fails(host_scene):
    host.answer("yes")
    check_fails("unused answer")


def test_an_observer_left_by_cleanup_fails(spoiled, tmp_path):
    spoiled(code=("        self.removeObservers()", "        pass"))
    import slicer

    widget = slicer.modules.PanelWidget
    host.close(widget)
    check_fails("left observers")
    widget.removeObservers()
    host.makeWidget("Panel", tmp_path / "Panel").removeObservers()


def test_a_node_that_cannot_be_chosen_fails(spoiled, host_scene):
    panel = spoiled()
    panel.ui.inputSelector.setCurrentNode(host_scene.AddNewNodeByClass("vtkMRMLSegmentationNode"))
    check_fails("cannot be chosen")


def test_a_deleted_widget_raises(host_scene):
    import qt

    button = qt.QPushButton("x")
    button.delete()
    with pytest.raises(ValueError, match="destroyed QPushButton"):
        button.text = "y"
    with pytest.raises(ValueError, match="destroyed QPushButton"):
        _ = button.text
