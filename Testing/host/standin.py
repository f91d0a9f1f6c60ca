"""What stand-ins for CTK and qMRML classes share: the check against the facts, stored properties, scene observers."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import shiboken6
import vtk
from PySide6 import QtCore

from . import facts, pythonqt

__all__ = ["NodeObserver", "notStoodIn", "standIn", "stored"]

# C++ types as PySide6 names them in a property declaration; the rest are ints (enumerations).
_TYPES: dict[str, Any] = {
    "QString": str,
    "bool": bool,
    "int": int,
    "double": float,
    "QStringList": "QStringList",
    "QIcon": "QIcon",
    "QColor": "QColor",
}


def standIn(cls: type) -> type:
    """Class decorator: registers a stand-in, after checking that it offers nothing that the real class lacks.

    :raises TypeError: if it does.
    """
    known = facts.members(cls.__name__)
    qtBase = next(base for base in cls.__mro__ if base.__module__.startswith("PySide6"))
    for name in vars(cls):
        if not name.startswith("_") and name != "staticMetaObject" and name not in known and not hasattr(qtBase, name):
            raise TypeError(f"{cls.__name__}.{name} is not a member of the real class.")
    pythonqt.standIns[cls.__name__] = cls
    pythonqt.propertyNames(cls)
    return cls


def notStoodIn(name: str) -> type:
    """A class of that name whose instantiation raises NotImplementedError."""

    def initialize(self, *args) -> None:
        raise NotImplementedError(f"The host does not stand in for {name}.")

    return type(name, (), {"__init__": initialize, "__module__": __name__})


def stored(className: str, **defaults: Any) -> dict[str, QtCore.Property]:
    """Properties that only keep their value, typed by the facts; for ``vars().update(...)`` in a class body.

    A method ``_on<Name>`` of the class, if there is one, is called after a change.
    """
    properties = _propertyTypes(className)
    return {name: _storedProperty(name, properties[name], default) for name, default in defaults.items()}


def _propertyTypes(className: str) -> dict[str, str]:
    types: dict[str, str] = {}
    for entry in facts._chain(className):
        for name, (typeName, _isWritable) in entry["properties"].items():
            types.setdefault(name, typeName)
    return types


def _storedProperty(name: str, typeName: str, default: Any) -> QtCore.Property:
    attribute = f"_stored_{name}"

    def getter(self):
        return self.__dict__.get(attribute, default)

    def setter(self, value) -> None:
        self.__dict__[attribute] = tuple(value) if typeName == "QStringList" else value
        changed = getattr(type(self), f"_on{name[0].upper()}{name[1:]}", None)
        if changed:
            changed(self)

    return QtCore.Property(_TYPES.get(typeName, int), getter, setter)


class NodeObserver:
    """Observers of one MRML object for one widget; they go with the widget and never keep it alive."""

    def __init__(self, widget: QtCore.QObject, method: Callable[[], None], events: tuple[int | str, ...]) -> None:
        self._widget = weakref.ref(widget)
        self._method = method.__func__
        self._events = events
        self._object: Any = None
        self._tags: list[int] = []

    def observe(self, vtkObject: Any) -> None:
        """Moves the observers to another object, or with None removes them."""
        for tag in self._tags:
            self._object.RemoveObserver(tag)
        self._object = vtkObject
        self._tags = [vtkObject.AddObserver(event, self._onEvent) for event in self._events] if vtkObject else []

    def _onEvent(self, *_args) -> None:
        widget = self._widget()
        if widget is None or not shiboken6.isValid(widget):
            self.observe(None)
        else:
            self._method(widget)


MODIFIED = vtk.vtkCommand.ModifiedEvent
