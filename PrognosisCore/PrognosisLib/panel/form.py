"""Puts a module's own .ui and the shared one together, with one keyboard order from top to bottom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import qt
import slicer

from .dependencies import RESOURCES

SHARED_UI = RESOURCES / "UI" / "SystemPanel.ui"


def loadForm(path: str) -> tuple[Any, Any]:
    """The panel's widget and its named children: Inputs, Patient, Settings, Apply, Results, About.

    Args:
        path: the module's .ui, whose top is a qMRMLWidget with the sections inputsSection and settingsSection.
    """
    panel, shared = slicer.util.loadUI(path), slicer.util.loadUI(str(SHARED_UI))
    patient = slicer.util.childWidgetVariables(shared).patientSection
    settings = slicer.util.childWidgetVariables(panel).settingsSection
    layout = panel.layout()
    layout.insertWidget(layout.indexOf(settings), patient)
    layout.addWidget(shared)
    layout.addStretch(1)
    for widget in (panel, shared):
        widget.setMRMLScene(slicer.mrmlScene)
    return panel, slicer.util.childWidgetVariables(panel)


def orderKeys(ui: Any, editors: Sequence[Any]) -> None:
    """Tab goes from the inputs through the clinical values to the settings, and then on to Apply."""
    widgets = [*editors, ui.clearPatientButton, ui.settingsSection]
    for before, after in zip(
        [_lastOf(ui.inputsSection), ui.patientSection, *widgets], [ui.patientSection, *widgets], strict=False
    ):
        qt.QWidget.setTabOrder(before, after)
    qt.QWidget.setTabOrder(_lastOf(ui.settingsSection), ui.applyButton)


def _lastOf(section: Any) -> Any:
    """The last widget of a section that takes the keyboard, in the order of its layout."""
    layout = section.layout()
    widgets = [layout.itemAt(index).widget() for index in range(layout.count())]
    return [widget for widget in widgets if widget is not None and widget.focusPolicy != qt.Qt.NoFocus][-1]
