"""The Patient section: one row for each clinical value of the system, with unit, range and a "not given" state."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import qt
from slicer.i18n import tr as _

from ..clinical import check_clinical, check_value
from ..clinical_fields import ClinicalField
from ..errors import InputError
from ..findings import Measurement
from ..scores import score_rows
from ..systems import System
from ..wording import unit_text

WRONG = "color: #c0392b"
UNSURE = "color: #b9770e"


class ClinicalForm:
    """Editors for the clinical values; calls back when the person has changed one.

    Args:
        ui: holds clinicalWidget, clearPatientButton, scoresLabel and patientSection.
        system: whose clinical values these are.
        onChanged: called after a change by the person, not after `setText`.
        moreText: what is shown below the scores, as rich text, of values without a problem.
    """

    def __init__(
        self,
        ui: Any,
        system: System,
        onChanged: Callable[[], None],
        moreText: Callable[[Mapping[str, Any]], str] = lambda values: "",
    ) -> None:
        self._ui, self._system, self._onChanged, self._moreText = ui, system, onChanged, moreText
        self._isSetting = False
        self._rows = [_Row(one, ui.clinicalWidget, self._changed) for one in system.clinical_fields]
        ui.clearPatientButton.connect("clicked()", self.clear)
        ui.patientSection.visible = bool(self._rows)
        self._showState()

    @property
    def editors(self) -> list[Any]:
        """The editing widgets from top to bottom, for the keyboard order."""
        return [editor for row in self._rows for editor in row.editors]

    def text(self) -> str:
        """The values as JSON, in the units that the person chose; values that are not given are left out."""
        return json.dumps(self.values())

    def values(self) -> dict[str, Any]:
        """The values by key, as `logic.process` takes them."""
        return {row.field.key: row.value() for row in self._rows if row.value() is not None}

    def setText(self, text: str) -> None:
        """Shows values that were stored with `text`; unreadable ones are shown as not given."""
        try:
            values = json.loads(text or "{}")
        except ValueError:
            values = {}
        values = values if isinstance(values, dict) else {}
        if values != self.values():
            self._isSetting = True
            try:
                for row in self._rows:
                    row.setValue(values.get(row.field.key))
            finally:
                self._isSetting = False
        self._showState()

    def clear(self) -> None:
        """Empties all values."""
        self.setText("{}")
        self._onChanged()

    def problems(self) -> list[str]:
        """What is wrong with the values, a sentence each."""
        return [problem for problem in (row.problem() for row in self._rows) if problem]

    def _changed(self) -> None:
        if not self._isSetting:
            self._showState()
            self._onChanged()

    def _showState(self) -> None:
        for row in self._rows:
            row.showState()
        given = len(self.values())
        self._ui.patientSection.text = _("Patient ({given} of {all} values given)").format(
            given=given, all=len(self._rows)
        )
        self._ui.clearPatientButton.enabled = given > 0
        problems = self.problems()
        lines = [f'<span style="{WRONG}">{html.escape(problem)}</span>' for problem in problems]
        # Scores cannot be told while a value is wrong.
        lines += [] if problems else [_scoreLine(row) for row in scoresOf(self._system, self.values())]
        more = "" if problems else self._moreText(self.values())
        self._ui.scoresLabel.text = "<br>".join(lines) + more


def scoresOf(system: System, values: Mapping[str, Any]) -> list[Measurement]:
    """The system's clinical scores that need nothing from the image, or what each one lacks."""
    scores = [score for score in system.scores if not score.measured]
    return score_rows(check_clinical(values, system.clinical_fields), scores)


def _scoreLine(row: Measurement) -> str:
    from .. import scene

    if row.value is None:
        return f"<b>{html.escape(row.label)}</b>: <i>{html.escape(row.note)}</i>"
    note = f", {row.note}" if row.note else ""
    return html.escape(f"{row.label}: {scene.resultText(row)}{note}")


class _Row:
    """Label, editor and unit of one clinical value."""

    def __init__(self, field: ClinicalField, parent: Any, onChanged: Callable[[], None]) -> None:
        self.field = field
        self._units = [field.unit, *field.units]
        # A number that was stored in a form that the editor does not show stays as it is until it is edited.
        self._editor = qt.QComboBox() if field.kind in ("choice", "yes/no") else qt.QLineEdit()
        self._editor.objectName = f"{field.key}Editor"
        self._unit = qt.QComboBox() if len(self._units) > 1 else qt.QLabel()
        self._unit.objectName = f"{field.key}Unit"
        self._fill()
        self._tip = self._describe()
        box = qt.QWidget()
        layout = qt.QHBoxLayout(box)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._editor, 1)
        layout.addWidget(self._unit, 0)
        label = qt.QLabel(f"{field.label}:")
        label.wordWrap = True
        label.setBuddy(self._editor)
        label.toolTip = self._tip
        parent.layout().addRow(label, box)
        if self._isNumber:
            self._editor.connect("textChanged(QString)", lambda _text: onChanged())
        else:
            self._editor.connect("currentIndexChanged(int)", lambda _index: onChanged())
        if len(self._units) > 1:
            self._unit.connect("currentIndexChanged(int)", lambda _index: onChanged())

    @property
    def _isNumber(self) -> bool:
        return self.field.kind in ("number", "whole")

    @property
    def editors(self) -> list[Any]:
        return [self._editor, self._unit] if len(self._units) > 1 else [self._editor]

    def _fill(self) -> None:
        if self._isNumber:
            self._editor.placeholderText = _("not given")
            self._editor.minimumWidth = 70
        else:
            choices = ("yes", "no") if self.field.kind == "yes/no" else self.field.choices
            for choice in (_("not given"), *choices):
                self._editor.addItem(choice)
        if len(self._units) > 1:
            for unit in self._units:
                self._unit.addItem(unit_text(unit))
            self._unit.toolTip = _("Unit of the value; changing it does not convert the number.")
        else:
            self._unit.text = unit_text(self.field.unit)
            self._unit.visible = bool(self.field.unit)
            self._unit.toolTip = _("Unit of the value.")

    def _describe(self) -> str:
        text = self.field.tip
        if self._isNumber and math.isfinite(self.field.low) and math.isfinite(self.field.high):
            text += _(" {low} to {high} {unit}.").format(
                low=f"{self.field.low:g}", high=f"{self.field.high:g}", unit=unit_text(self.field.unit)
            )
        return text.replace(" .", ".").strip()

    def value(self) -> Any:
        """As `check_value` takes it; text that is no number as it is; None where nothing is given."""
        if not self._isNumber:
            index = self._editor.currentIndex
            if index <= 0:
                return None
            return index == 1 if self.field.kind == "yes/no" else self.field.choices[index - 1]
        text = self._editor.text.strip()
        if not text:
            return None
        try:
            number = float(text.replace(",", "."))
        except ValueError:
            return text
        if not math.isfinite(number):
            return text
        number = int(number) if number == int(number) else number
        return {"value": number, "unit": self._chosenUnit()} if self.field.unit else number

    def _chosenUnit(self) -> str:
        return self._units[self._unit.currentIndex if len(self._units) > 1 else 0]

    def setValue(self, value: Any) -> None:
        if not self._isNumber:
            choices = [None, True, False] if self.field.kind == "yes/no" else [None, *self.field.choices]
            self._editor.currentIndex = choices.index(value) if value in choices else 0
            return
        unit = self.field.unit
        if isinstance(value, dict):
            value, unit = value.get("value"), value.get("unit", unit)
        if len(self._units) > 1:
            self._unit.currentIndex = self._units.index(unit) if unit in self._units else 0
        self._editor.text = "" if value is None else f"{value:.10g}" if isinstance(value, (int, float)) else str(value)

    def problem(self) -> str:
        """Why the value cannot be used; empty where it can or is not given."""
        value = self.value()
        if value is None:
            return ""
        try:
            check_value(value, self.field)
        except InputError as error:
            return str(error).replace(self.field.key, self.field.label, 1)
        return ""

    def _isUnusual(self) -> bool:
        """Whether the number would rather be right in another unit."""
        value = self.value()
        if not isinstance(value, dict) or value["unit"] != self.field.unit:
            return False
        try:
            check_value(value["value"], self.field)
        except InputError:
            return True
        return False

    def showState(self) -> None:
        problem = self.problem()
        unusual = not problem and self._isUnusual()
        self._editor.styleSheet = WRONG if problem else UNSURE if unusual else ""
        hint = problem or (_("Unusual for this unit: check the unit beside it.") if unusual else "")
        self._editor.toolTip = f"{hint}\n{self._tip}" if hint else self._tip
