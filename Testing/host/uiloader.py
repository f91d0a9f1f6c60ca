"""``qt.QUiLoader``: loads a .ui file strictly, makes stand-ins, and makes the file's connections by hand."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from PySide6 import QtCore, QtUiTools, QtWidgets

from . import facts, pythonqt
from .records import records
from .signals import connectByName

__all__ = ["HostUiLoader", "UiError"]

# Classes that Designer writes and that are no widgets.
_DESIGNER_CLASSES = {"Line": "QFrame", "Spacer": "QSpacerItem"}
_LAYOUT_PROPERTIES = {"leftMargin", "topMargin", "rightMargin", "bottomMargin", "margin", "spacing"}
_LAYOUT_PROPERTIES |= {"horizontalSpacing", "verticalSpacing"}


class UiError(AssertionError):
    """A .ui file names a class, property, signal or slot that does not exist; Slicer would skip it silently."""


def _class(name: str) -> type:
    name = _DESIGNER_CLASSES.get(name, name)
    if name in pythonqt.standIns:
        return pythonqt.standIns[name]
    if name in facts.classNames() or name in facts.ctkClassesWithoutFacts:
        raise NotImplementedError(f"The host does not stand in for {name}.")
    if name not in pythonqt.qtClasses():
        raise UiError(f"There is no widget class {name}.")
    return pythonqt.qtClasses()[name]


def _checkProperties(element: ElementTree.Element, className: str, allowed: set[str]) -> None:
    known = pythonqt.propertyNames(_class(className)) | allowed
    for item in element.findall("property"):
        name = item.get("name", "")
        if item.get("stdset") == "0" or name in known:
            continue
        where = element.get("name")
        if facts.memberKind(className, name) == "property":
            raise NotImplementedError(f"The host does not stand in for {className}.{name} (at {where}).")
        raise UiError(f"{className} has no property {name} (at {where}).")


def check(root: ElementTree.Element) -> None:
    """Checks classes, properties and names of a parsed .ui file.

    :raises UiError: at the first that is wrong.
    """
    names: set[str] = set()
    for element in root.iter("widget"):
        _checkProperties(element, element.get("class", ""), {"buddy"} if element.get("class") == "QLabel" else set())
        if element.get("name") in names:
            raise UiError(f"Two widgets are named {element.get('name')}.")
        names.add(element.get("name", ""))
    for element in root.iter("layout"):
        _checkProperties(element, element.get("class", ""), _LAYOUT_PROPERTIES)
    for element in root.iter("property"):
        buddy = element.findtext("cstring")
        if element.get("name") == "buddy" and buddy not in names:
            raise UiError(f"A label's buddy {buddy} does not exist.")


def _slot(receiver: QtCore.QObject, signature: str):
    name = signature.partition("(")[0]
    className = type(receiver).__name__
    metaObject = QtCore.QObject.metaObject(receiver)
    normalized = bytes(QtCore.QMetaObject.normalizedSignature(signature).data()).decode()
    isFact = any(facts.memberKind(base.__name__, name) == "callable" for base in type(receiver).__mro__)
    if not isFact and metaObject.indexOfMethod(normalized) < 0:
        raise UiError(f"{className} has no slot {signature}.")
    return getattr(receiver, name)


def _connect(root: ElementTree.Element, top: QtWidgets.QWidget) -> None:
    objects = {top.objectName: top}
    objects.update({child.objectName: child for child in top.findChildren(QtCore.QObject) if child.objectName})
    for item in root.iter("connection"):
        parts = {name: item.findtext(name, "") for name in ("sender", "signal", "receiver", "slot")}
        for role in ("sender", "receiver"):
            if parts[role] not in objects:
                raise UiError(f"A connection names {parts[role]}, which does not exist.")
        sender, receiver = objects[parts["sender"]], objects[parts["receiver"]]
        try:
            connectByName(sender, parts["signal"], _slot(receiver, parts["slot"]))
        except AttributeError as error:
            raise UiError(str(error)) from None


class HostUiLoader(QtUiTools.QUiLoader):
    """Loads what slicer.util.loadUI gives it."""

    def createWidget(self, className: str, parent=None, name: str = "") -> QtWidgets.QWidget:
        if className in pythonqt.standIns:
            widget = pythonqt.standIns[className](parent)
            widget.objectName = name
            return widget
        return super().createWidget(className, parent, name)

    def load(self, file: QtCore.QFile, parent=None) -> QtWidgets.QWidget:
        """Loads an open file.

        :raises UiError: if it names something that does not exist.
        """
        root = ElementTree.fromstring(bytes(file.readAll().data()))
        check(root)
        stripped = ElementTree.fromstring(ElementTree.tostring(root))
        for connections in stripped.findall("connections"):
            stripped.remove(connections)
        buffer = QtCore.QBuffer()
        buffer.setData(ElementTree.tostring(stripped, encoding="utf-8", xml_declaration=True))
        buffer.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
        with pythonqt.loadingForm():
            widget = super().load(buffer, parent)
        if widget is None:
            raise UiError(self.errorString())
        _connect(root, widget)
        return widget


def onQtMessage(_type, _context, message: str) -> None:
    """Records Qt's warnings about forms, layouts, connections and timers; the rest is of no interest offscreen."""
    marks = ("Designer:", "QFormBuilder", "QLayout", "QObject::", "QMetaObject", "QTimer", "QThread", "QProcess")
    if message.startswith(marks) or "property" in message:
        records.add(f"Qt: {message}")
