"""What a person would see of a panel: screenshots and texts that do not fit."""

from __future__ import annotations

from pathlib import Path

import shiboken6
from PySide6 import QtGui, QtWidgets

from .records import records

__all__ = ["checkNothingRuns", "checkScenes", "clippedTexts", "screenshot"]

_BUTTONS = ("QPushButton", "QToolButton", "QCheckBox", "QRadioButton")


def screenshot(widget: QtWidgets.QWidget, path: str | Path, width: int = 480) -> Path:
    """Writes a picture of a panel at the width of Slicer's module panel and the height it wants.

    :raises OSError: if the file cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    layOut(widget, width)
    if not widget.grab().save(str(path)):
        raise OSError(f"{path} could not be written.")
    return path


def layOut(widget: QtWidgets.QWidget, width: int = 480) -> None:
    """Shows the panel offscreen at a width and lets its layouts settle."""
    widget.show()
    widget.resize(width, widget.sizeHint.height())
    for _pass in range(3):
        QtWidgets.QApplication.processEvents()
        layout = widget.layout()
        needed = layout.totalHeightForWidth(width) if layout is not None and layout.hasHeightForWidth() else 0
        widget.resize(width, max(needed, widget.sizeHint.height(), widget.minimumSizeHint.height()))
    QtWidgets.QApplication.processEvents()


def checkScenes(representation: QtWidgets.QWidget) -> None:
    """Records MRML widgets of a finished panel that never got the scene, which in Slicer stay silently empty.

    A table view needs none: with a scene, but without a view node, Slicer's empties itself after every batch.
    """
    for child in representation.findChildren(QtWidgets.QWidget):
        name = type(child).__name__
        if name.startswith("qMRML") and name != "qMRMLTableView" and getattr(child, "_scene", child) is None:
            records.add(f"{name} {child.objectName} has no MRML scene: connect mrmlSceneChanged to it.")


def checkNothingRuns(widget: object) -> None:
    """Records timers and child processes among a closed panel's attributes that still run."""
    for name, value in vars(widget).items():
        className = type(value).__name__
        if className not in ("QTimer", "QProcess") or not shiboken6.isValid(value):
            continue
        runs = value.isActive() if className == "QTimer" else int(value.state()) != 0
        if runs:
            records.add(f"{type(widget).__name__}.cleanup() left its {className} {name} running.")


def _labelOverflow(label: QtWidgets.QLabel) -> bool:
    if not label.text or label.inherits("QLCDNumber"):
        return False
    contents = label.contentsRect()
    if label.wordWrap:
        return label.heightForWidth(label.width) > label.height + 1
    return label.sizeHint.width() - 2 * label.margin > contents.width() + 1


def _textOf(widget: QtWidgets.QWidget) -> str:
    return next((text for text in (getattr(widget, name, "") for name in ("text", "title", "currentText")) if text), "")


def _isClipped(widget: QtWidgets.QWidget) -> bool:
    className = QtWidgets.QWidget.metaObject(widget).className()
    if className == "QLabel":
        return _labelOverflow(widget)
    if className in _BUTTONS or widget.inherits("QPushButton"):
        return bool(widget.text) and widget.sizeHint.width() > widget.width + 1
    if className == "ctkCollapsibleButton":
        return QtGui.QFontMetrics(widget.font).horizontalAdvance(widget.text) + 28 > widget.width
    if widget.inherits("QGroupBox"):
        return QtGui.QFontMetrics(widget.font).horizontalAdvance(widget.title) + 20 > widget.width
    if widget.inherits("QComboBox"):
        needed = QtGui.QFontMetrics(widget.font).horizontalAdvance(widget.currentText)
        return needed + 28 > widget.width
    return False


def clippedTexts(widget: QtWidgets.QWidget, width: int = 480) -> list[str]:
    """``name: text`` of each visible label, button, title or choice that does not fit at a panel width."""
    layOut(widget, width)
    found = []
    for child in widget.findChildren(QtWidgets.QWidget):
        if child.isVisible() and _isClipped(child):
            found.append(f"{child.objectName or child.className()}: {_textOf(child)}")
    return found
