"""PySide6's objects behave as PythonQt's do."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import host

host.start()

import ctk  # noqa: E402
import qt  # noqa: E402
import slicer  # noqa: E402


@pytest.fixture(autouse=True)
def no_errors(host_scene):
    """Every test ends with host_scene's check."""


def test_properties_shadow_their_getters():
    button = qt.QPushButton("a")
    assert button.text == "a"
    assert (qt.QComboBox().count, qt.QTableWidget(2, 3).rowCount) == (0, 2)
    assert button.size.width() == button.width
    assert button.isChecked() is False
    assert button.parent() is None


def test_a_number_becomes_text_and_numpy_numbers_fit():
    button, spin = qt.QPushButton(), qt.QSpinBox()
    button.text = 5
    assert button.text == "5"
    spin.value = np.int64(7)
    assert spin.value == 7
    spin.value = np.float64(8)
    assert spin.value == 8
    spin.setValue(np.int32(9))
    assert spin.value == 9
    with pytest.raises(ValueError, match="numpy"):
        spin.setValue(np.float64(2))
    with pytest.raises(TypeError, match="cut"):
        spin.value = 2.7


def test_enumerations_are_ints():
    assert qt.QMessageBox.Ok == 0x400
    assert isinstance(qt.Qt.AlignRight | qt.Qt.AlignTop, int)
    label = qt.QLabel("x")
    label.setAlignment(qt.Qt.AlignRight | qt.Qt.AlignTop)
    assert label.alignment == 0x22
    assert qt.QSizePolicy(qt.QSizePolicy.Fixed, qt.QSizePolicy.Minimum).verticalPolicy() == qt.QSizePolicy.Minimum
    assert qt.QCheckBox().checkState() == qt.Qt.Unchecked


def test_lists_are_tuples():
    widget = qt.QWidget()
    layout = qt.QVBoxLayout(widget)
    layout.addWidget(qt.QLabel())
    assert type(widget.children()) is tuple
    assert type(widget.findChildren(qt.QLabel)) is tuple


def test_only_the_exact_class_matches():
    button = qt.QPushButton()
    assert not isinstance(button, qt.QWidget)
    assert isinstance(button, qt.QPushButton)
    assert not issubclass(qt.QPushButton, qt.QWidget)
    assert button.inherits("QWidget")
    assert type(slicer.qMRMLNodeComboBox()) is slicer.qMRMLNodeComboBox


def test_names_and_children_are_attributes():
    widget = qt.QWidget()
    child = qt.QLabel("x", widget)
    child.name = "caption"
    assert (child.objectName, child.name, child.className()) == ("caption", "caption", "QLabel")
    assert widget.caption.text == "x"


def test_arguments_are_cut_to_the_handler():
    seen = []
    button = qt.QPushButton()
    button.checkable = True
    button.connect("clicked(bool)", lambda: seen.append("none"))
    button.connect("clicked(bool)", lambda checked: seen.append(checked))
    button.connect("clicked(bool)", lambda text="default": seen.append(text))
    button.connect("clicked()", lambda *args: seen.append(args))
    button.clicked.connect(lambda checked: seen.append(("attribute", checked)))
    button.click()
    assert seen == ["none", True, True, (), ("attribute", True)]


def test_disconnecting():
    seen = []

    class Receiver:
        def method(self):
            seen.append(1)

    receiver, button = Receiver(), qt.QPushButton()
    button.connect("clicked()", receiver.method)
    button.click()
    button.disconnect("clicked()", receiver.method)
    button.click()
    assert seen == [1]
    with pytest.raises(ValueError, match="not connected"):
        button.disconnect("clicked()", receiver.method)


def test_other_handlers_run_after_one_failed():
    seen = []
    button = qt.QPushButton()
    button.connect("clicked()", lambda: 1 / 0)
    button.connect("clicked()", lambda: seen.append(1))
    with host.expectingError("ZeroDivisionError"):
        button.click()
    assert seen == [1]


def test_a_python_subclass_has_its_own_attributes_and_overrides():
    class Filter(qt.QWidget):
        def __init__(self):
            super().__init__()
            self.events = []

        def eventFilter(self, watched, event):
            self.events.append(event.type())
            return False

    watcher, button = Filter(), qt.QPushButton()
    button.installEventFilter(watcher)
    button.setVisible(True)
    host.pump()
    assert qt.QEvent.Show in watcher.events
    button.removeEventFilter(watcher)


def test_wrappers_of_objects_that_cpp_made_behave_alike():
    box = qt.QMessageBox()
    box.setStandardButtons(qt.QMessageBox.Ok)
    gc.collect()
    (button,) = box.buttons()
    assert "OK" in button.text
    with pytest.raises(AttributeError):
        button.nothing = 1


def test_settings_stay_in_a_temporary_folder():
    qt.QSettings().setValue("Prognosis/x", "1")
    assert slicer.app.userSettings().value("Prognosis/x") == "1"
    assert "prognosis-settings-" in qt.QSettings().fileName()


def test_unknown_names_of_the_application_are_errors():
    with pytest.raises(NotImplementedError):
        slicer.app.openExtensionsManagerDialog()
    with pytest.raises(AttributeError):
        slicer.app.doSomething()
    with pytest.raises(NotImplementedError):
        slicer.qMRMLSubjectHierarchyTreeView()
    with pytest.raises(AttributeError):
        slicer.qMRMLNothing  # noqa: B018
    with pytest.raises(AttributeError):
        qt.QDesktopWidget  # noqa: B018
    with pytest.raises(NotImplementedError):
        ctk.ctkCheckBox()


def test_menu_actions_call_their_handler():
    seen = []
    menu = qt.QMenu()
    menu.addAction("go", lambda: seen.append("go")).trigger()
    action = qt.QAction("stop", menu)
    action.connect("triggered()", lambda: seen.append("stop"))
    action.trigger()
    assert seen == ["go", "stop"]


def test_void_calls_do_not_wear_out_the_interpreter():
    label = qt.QLabel()
    for _repeat in range(20000):
        label.setVisible(False)
    assert label.isVisible() is False
