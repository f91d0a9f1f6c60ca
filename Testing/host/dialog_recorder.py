"""Message boxes, file dialogs and questions: recorded and answered by the test, never shown."""

from __future__ import annotations

import inspect
from collections import deque
from dataclasses import dataclass
from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

from .records import records

__all__ = ["Dialog", "answer", "askForPath", "install", "pendingAnswers", "take"]


@dataclass(frozen=True)
class Dialog:
    """A dialog that a panel wanted to show. ``kind``: information, question, warning, critical, path, text or other."""

    kind: str
    title: str
    text: str
    details: str = ""


_dialogs: list[Dialog] = []
_answers: deque[Any] = deque()

_BUTTONS = {
    "ok": QtWidgets.QMessageBox.StandardButton.Ok,
    "cancel": QtWidgets.QMessageBox.StandardButton.Cancel,
    "yes": QtWidgets.QMessageBox.StandardButton.Yes,
    "no": QtWidgets.QMessageBox.StandardButton.No,
    "retry": QtWidgets.QMessageBox.StandardButton.Retry,
    "close": QtWidgets.QMessageBox.StandardButton.Close,
    "discard": QtWidgets.QMessageBox.StandardButton.Discard,
    "save": QtWidgets.QMessageBox.StandardButton.Save,
}
_KINDS = {0: "information", 1: "information", 2: "warning", 3: "critical", 4: "question"}


def answer(*values: Any) -> None:
    """Prepares answers for the next dialogs: a button's name such as ``yes``, or the path or text to give."""
    for value in values:
        _answers.append(value)


def take() -> list[Dialog]:
    """Returns the dialogs recorded so far and forgets them."""
    taken, _dialogs[:] = list(_dialogs), []
    return taken


def untaken() -> list[Dialog]:
    """Warnings and errors that no test has taken."""
    return [dialog for dialog in _dialogs if dialog.kind in ("warning", "critical")]


def pendingAnswers() -> list[Any]:
    """Answers that no dialog has asked for."""
    return list(_answers)


def reset() -> None:
    """Forgets dialogs and answers."""
    _dialogs.clear()
    _answers.clear()


def _caller() -> str | None:
    """Which of a module's widget or logic the dialog was opened from, by the innermost frame of either."""
    for frame in inspect.stack()[2:]:
        owner = frame.frame.f_locals.get("self")
        names = {base.__name__ for base in type(owner).__mro__} if owner is not None else set()
        if "ScriptedLoadableModuleWidget" in names:
            return "widget"
        if "ScriptedLoadableModuleLogic" in names:
            return f"{type(owner).__name__}.{frame.function}"
    return None


def _record(dialog: Dialog) -> None:
    _dialogs.append(dialog)
    caller = _caller()
    if caller not in (None, "widget"):
        records.add(f"{caller} opened a dialog: a module's logic must raise an exception instead. {dialog}")


def _nextAnswer(dialog: Dialog, default: Any) -> Any:
    """The prepared answer; a question without one is an error and gets the default."""
    if _answers:
        return _answers.popleft()
    if dialog.kind in ("question", "path", "text", "other"):
        records.add(f"No answer was prepared for {dialog}.")
    return default


def _runMessageBox(box: QtWidgets.QMessageBox) -> int:
    dialog = Dialog(_KINDS[int(box.icon)], box.windowTitle, box.text, box.detailedText)
    _record(dialog)
    offered = box.standardButtons
    chosen = _nextAnswer(dialog, None)
    if chosen is None:
        rejecting = ("cancel", "no", "close", "ok")
        chosen = next((name for name in rejecting if int(_BUTTONS[name].value) & int(offered)), "ok")
    for button in box.buttons():
        if button.text.replace("&", "").lower() == chosen:
            button.click()
    value = int(_BUTTONS[chosen].value) if chosen in _BUTTONS else 0
    if chosen in _BUTTONS and int(offered) and not value & int(offered):
        records.add(f"The answer {chosen!r} is not offered by {dialog}.")
    return value


def _runDialog(self) -> int:
    if QtCore.QObject.inherits(self, "QMessageBox"):
        return _runMessageBox(self)
    dialog = Dialog("other", self.windowTitle, self.className())
    _record(dialog)
    return 1 if _nextAnswer(dialog, "cancel") in ("ok", "yes", True) else 0


def _staticBox(kind: str):
    def show(_parent=None, title: str = "", text: str = "", *_args) -> int:
        dialog = Dialog(kind, title, text)
        _record(dialog)
        return int(_BUTTONS[_nextAnswer(dialog, "no" if kind == "question" else "ok")].value)

    return staticmethod(show)


def askForPath(title: str) -> str:
    """The prepared path, empty if none was."""
    dialog = Dialog("path", title, "")
    _record(dialog)
    return str(_nextAnswer(dialog, ""))


def _askForPaths(title: str) -> tuple[str, ...]:
    path = askForPath(title)
    return (path,) if path else ()


def _askForText(_parent=None, title: str = "", label: str = "", *_args) -> str:
    dialog = Dialog("text", title, label)
    _record(dialog)
    return str(_nextAnswer(dialog, ""))


def _openUrl(url: QtCore.QUrl) -> bool:
    _dialogs.append(Dialog("url", "", url.toString()))
    return True


def install() -> None:
    """Replaces everything in Qt that would wait for a person."""
    for cls in (QtWidgets.QDialog, QtWidgets.QMessageBox, QtWidgets.QMenu):
        cls.exec_ = cls.exec = _runDialog
    for kind in ("information", "question", "warning", "critical"):
        setattr(QtWidgets.QMessageBox, kind, _staticBox(kind))
    # PythonQt returns the path alone, where PySide6 returns (path, filter).
    for name in ("getOpenFileName", "getSaveFileName", "getExistingDirectory"):
        setattr(QtWidgets.QFileDialog, name, staticmethod(lambda _parent=None, title="", *_args: askForPath(title)))
    QtWidgets.QFileDialog.getOpenFileNames = staticmethod(lambda _p=None, title="", *_args: _askForPaths(title))
    QtWidgets.QInputDialog.getText = staticmethod(_askForText)
    QtGui.QDesktopServices.openUrl = staticmethod(_openUrl)
