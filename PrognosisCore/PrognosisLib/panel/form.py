"""Puts a module's own .ui and the shared one together, with one keyboard order from top to bottom."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from ..systems import System
from .dependencies import RESOURCES

SHARED_UI, BATCH_UI = (RESOURCES / "UI" / name for name in ("SystemPanel.ui", "BatchSection.ui"))


def loadForm(path: str, system: System) -> tuple[Any, Any]:
    """The panel's widget and its named children: Inputs, Patient, Settings, Apply, Results, Batch, About.

    Args:
        path: the module's .ui, whose top is a qMRMLWidget with the sections inputsSection and settingsSection, laid out
            as forms; the rows that all systems have are added to these.
        system: names what an existing segmentation is measured for.
    """
    panel, shared = slicer.util.loadUI(path), slicer.util.loadUI(str(SHARED_UI))
    own, common = slicer.util.childWidgetVariables(panel), slicer.util.childWidgetVariables(shared)
    inputs, settings = own.inputsSection.layout(), own.settingsSection.layout()
    inputs.addRow(common.existingLabel, common.existingSelector)
    for form, field in ((inputs, common.demoButton), (settings, common.allFramesCheckBox)):
        form.setWidget(form.rowCount(), qt.QFormLayout.FieldRole, field)
    tip = _("Measure this segmentation instead: it needs a segment named {name}. No network is run.")
    for widget in (common.existingLabel, common.existingSelector):
        widget.toolTip = tip.format(name=system.segments[0])
    common.commonRows.hide()
    layout = panel.layout()
    layout.insertWidget(layout.indexOf(own.settingsSection), common.patientSection)
    layout.addWidget(shared)
    batch = slicer.util.loadUI(str(BATCH_UI))
    shared.layout().insertWidget(shared.layout().indexOf(common.aboutSection), batch)
    layout.addStretch(1)
    for widget in (panel, shared, batch):
        widget.setMRMLScene(slicer.mrmlScene)
    return panel, slicer.util.childWidgetVariables(panel)


def orderKeys(ui: Any, editors: Sequence[Any]) -> None:
    """Tab goes from the inputs through the clinical values to the settings, and then on to Apply; from the results
    through the batch to what is said about the model."""
    widgets = [ui.inputsSection, *_fieldsOf(ui.inputsSection)]
    widgets += [ui.patientSection, *editors, ui.clearPatientButton]
    widgets += [ui.settingsSection, *_fieldsOf(ui.settingsSection), ui.applyButton]
    batch = [child for child in ui.batchSection.findChildren(qt.QWidget) if child.focusPolicy != qt.Qt.NoFocus]
    for order in (widgets, [ui.reportButton, ui.batchSection, *batch, ui.aboutSection]):
        for before, after in itertools.pairwise(order):
            qt.QWidget.setTabOrder(before, after)


def _fieldsOf(section: Any) -> list[Any]:
    """The widgets of a section that take the keyboard, in the order of its layout."""
    layout, fields = section.layout(), []
    for index in range(layout.count()):
        widget = layout.itemAt(index).widget()
        # A node selector takes it with the combo box inside.
        parts = [] if widget is None else [widget, *(child for child in widget.children() if child.isWidgetType())]
        fields += [part for part in parts if part.focusPolicy != qt.Qt.NoFocus][:1]
    return fields
