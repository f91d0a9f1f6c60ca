"""Gives PySide6's objects the semantics of PythonQt, which Slicer's Python uses.

Properties shadow their getters, unknown members are errors, enumerations are ints, lists are tuples, constructors take
no keywords, ``isinstance`` knows only the exact class, and a deleted object raises ValueError. The patches are made on
PySide6's classes themselves, so they hold for objects that C++ made too. They last for the process.
"""

from __future__ import annotations

import contextlib
import enum
import functools
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import shiboken6
from PySide6 import QtCore, QtGui, QtNetwork, QtUiTools, QtWidgets

from . import facts
from .enums import QtEnum, exposeEnums
from .records import records
from .signals import SignalProxy, connectByName, disconnectByName

__all__ = ["fromQt", "install", "loadingForm", "propertyNames", "qtClasses", "standIns", "toQt"]

MODULES = (QtCore, QtGui, QtWidgets, QtNetwork, QtUiTools)

standIns: dict[str, type] = {}

_isInstalled = False
_originals: dict[type, Callable] = {
    QtCore.QObject: QtCore.QObject.__getattribute__,
    shiboken6.Shiboken.Object: shiboken6.Shiboken.Object.__getattribute__,
}


def fromQt(value: Any) -> Any:
    """A value as PythonQt returns it."""
    if isinstance(value, enum.Enum) and isinstance(value.value, int):
        return QtEnum.of(value)
    if type(value) is list:
        return tuple(fromQt(item) for item in value)
    return value


def toQt(value: Any) -> Any:
    """An argument as PySide6 takes it; a callable gets its exceptions recorded."""
    if type(value) is QtEnum:
        return value.toQt()
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, types.FunctionType | types.MethodType):
        return records.guard(value, f"callback {getattr(value, '__qualname__', value)}")
    if type(value) in (tuple, list):
        return [toQt(item) for item in value]
    return value


def isNative(cls: type) -> bool:
    """Whether a class is Qt's own or a stand-in, so that instances take no attributes of their own."""
    return cls.__module__.startswith("PySide6") or standIns.get(cls.__name__) is cls


@functools.cache
def _pythonNames(cls: type) -> frozenset[str]:
    """The names that Python classes below Qt's own define."""
    names: set[str] = set()
    for base in cls.__mro__:
        if not base.__module__.startswith(("PySide6", "Shiboken")) and base is not object:
            names.update(vars(base))
    return frozenset(names)


@functools.cache
def _factKind(cls: type, name: str) -> str | None:
    kinds = (facts.memberKind(base.__name__, name) for base in cls.__mro__ if base.__name__ in standIns)
    return next((kind for kind in kinds if kind), None)


@functools.cache
def propertyNames(cls: type) -> frozenset[str]:
    """The names of a Qt class's properties.

    Read before the first instance exists: PySide6 invalidates a class's meta-object with an instance that gave it.
    """
    metaObject = cls.staticMetaObject
    return frozenset(metaObject.property(index).name() for index in range(metaObject.propertyCount()))


def _propertyOf(self: QtCore.QObject, name: str) -> QtCore.QMetaProperty | None:
    metaObject = QtCore.QObject.metaObject(self)
    index = metaObject.indexOfProperty(name)
    return metaObject.property(index) if index >= 0 else None


@functools.cache
def _original(cls: type) -> Callable:
    """PySide6's own attribute lookup of a class."""
    return next(_originals[base] for base in cls.__mro__ if base in _originals)


def _raw(self: Any, name: str) -> Any:
    return _original(type(self))(self, name)


def _checkAlive(self: QtCore.QObject, name: str) -> None:
    if not shiboken6.isValid(self):
        raise ValueError(f"Trying to read property '{name}' from a destroyed {type(self).__name__} object")


def _method(function: Callable, owner: Any, name: str) -> Callable:
    def method(*args, **kwargs):
        if kwargs:
            raise TypeError(f"{type(owner).__name__}.{name} takes no keyword arguments.")
        if name == "findChild" and len(args) > 1:
            raise NotImplementedError("findChild by name is unreliable in Slicer: use slicer.util.findChild.")
        if any(isinstance(value, np.floating) for value in args):
            _refuseNumpyFloat(owner, name)
        return fromQt(function(*[toQt(value) for value in args]))

    method.__name__ = name
    return method


def _refuseNumpyFloat(owner: Any, name: str) -> None:
    """PythonQt converts no numpy float to an int argument."""
    if not hasattr(type(owner), "metaObject"):
        return
    metaObject = QtCore.QObject.metaObject(owner)
    named = [metaObject.method(index) for index in range(metaObject.methodCount())]
    typeNames = {bytes(t.data()).decode() for m in named if bytes(m.name().data()).decode() == name
                 for t in m.parameterTypes()}  # fmt: skip
    if "int" in typeNames and "double" not in typeNames:
        raise ValueError(f"{type(owner).__name__}.{name} takes an int, not a numpy float.")


def _wrapped(self: Any, name: str, value: Any) -> Any:
    if type(value) is QtCore.SignalInstance:
        return SignalProxy(self, name, value, fromQt)
    if isinstance(value, types.BuiltinFunctionType | types.BuiltinMethodType):
        return _method(value, self, name)
    return fromQt(value)


def _getObject(self: QtCore.QObject, name: str) -> Any:
    if name[0] == "_" or name == "staticMetaObject":
        return _raw(self, name)
    _checkAlive(self, name)
    cls = type(self)
    if name in _pythonNames(cls):
        return _wrapped(self, name, _raw(self, name))
    own = _raw(self, "__dict__").get(name)
    if own is not None and type(own) is not QtCore.SignalInstance:
        return own
    special = _SPECIAL.get(name)
    if special is not None:
        return special(self)
    if _factKind(cls, name):
        raise NotImplementedError(f"The host does not stand in for {cls.__name__}.{name}.")
    if _propertyOf(self, name) is not None:
        return _readProperty(self, name)
    try:
        return _wrapped(self, name, _raw(self, name))
    except AttributeError:
        for child in QtCore.QObject.children(self):
            if QtCore.QObject.objectName(child) == name:
                return child
        raise AttributeError(f"{cls.__name__} has no attribute {name!r}.") from None


def _connect(self: QtCore.QObject, *args) -> Any:
    # With three arguments it is PySide6 itself that connects, as for menu.addAction(text, handler).
    return connectByName(self, *args) if len(args) < 3 else _raw(self, "connect")(*args)


_SPECIAL: dict[str, Callable[[QtCore.QObject], Any]] = {
    "name": QtCore.QObject.objectName,
    "className": lambda self: lambda: QtCore.QObject.metaObject(self).className(),
    "delete": lambda self: lambda: shiboken6.delete(self),
    "connect": lambda self: functools.partial(_connect, self),
    "disconnect": lambda self: functools.partial(disconnectByName, self),
}


def _getValue(self: Any, name: str) -> Any:
    return _raw(self, name) if name[0] == "_" else _wrapped(self, name, _raw(self, name))


_reading: set[tuple[int, str]] = set()


def _readProperty(self: QtCore.QObject, name: str) -> Any:
    """Reads a property; when Qt, to compute it, asks Python for an override of the getter, that finds none."""
    key = (id(self), name)
    if key in _reading:
        return _raw(self, name)
    _reading.add(key)
    try:
        return fromQt(QtCore.QObject.property(self, name))
    finally:
        _reading.discard(key)


def _converted(self: QtCore.QObject, name: str, typeName: str, value: Any) -> Any:
    """A value for a property of a C++ type, as PythonQt converts it; its silent losses are errors here."""
    where = f"{type(self).__name__}.{name}"
    value = toQt(value)
    if typeName == "QString":
        if value is None:
            raise TypeError(f"{where} was set to None, which Slicer shows as the text 'None'.")
        return value if isinstance(value, str) else str(value)
    if typeName in ("bool", "int", "double", "float") and not isinstance(value, bool | int | float):
        raise AttributeError(f"{where} is of type {typeName} and cannot be set to {value!r}.")
    if typeName == "bool":
        return bool(value)
    if typeName == "int":
        if value != int(value):
            raise TypeError(f"{where} is an int: Slicer would silently cut {value!r} to {int(value)}.")
        return int(value)
    return float(value) if typeName in ("double", "float") else value


def _setObject(self: QtCore.QObject, name: str, value: Any) -> None:
    if type(value) is QtCore.SignalInstance:
        # PySide6 keeps an object's bound signals as its attributes.
        _raw(self, "__dict__")[name] = value
        return
    _checkAlive(self, name)
    name = "objectName" if name == "name" else name
    cls = type(self)
    metaProperty = _propertyOf(self, name)
    if metaProperty is not None:
        if not metaProperty.isWritable():
            raise AttributeError(f"Property {name!r} of {cls.__name__} is not writable.")
        converted = _converted(self, name, metaProperty.typeName(), value)
        if not QtCore.QObject.setProperty(self, name, converted):
            raise AttributeError(f"{cls.__name__}.{name} cannot be set to {value!r}.")
        return
    descriptor = next((vars(base)[name] for base in cls.__mro__ if name in vars(base)), None)
    if isinstance(descriptor, property):
        descriptor.__set__(self, value)
    elif _isLoadingForm and name[0] != "_":
        # PySide6's loader sets each child as an attribute of its form; here children are found by objectName anyway.
        return
    elif name[0] == "_" or not isNative(cls):
        _raw(self, "__dict__")[name] = value
    elif _factKind(cls, name) in ("property", "readonly"):
        raise NotImplementedError(f"The host does not stand in for {cls.__name__}.{name}.")
    else:
        raise AttributeError(f"{cls.__name__} has no property {name!r}.")


_isLoadingForm = False


@contextlib.contextmanager
def loadingForm() -> Iterator[None]:
    """While PySide6 loads a .ui file."""
    global _isLoadingForm
    _isLoadingForm = True
    try:
        yield
    finally:
        _isLoadingForm = False


def _setValue(self: Any, name: str, value: Any) -> None:
    if isNative(type(self)) and name[0] != "_":
        raise AttributeError(f"{type(self).__name__} has no property {name!r}.")
    _raw(self, "__dict__")[name] = value


def _exactClassCheck(cls: type, candidate: type) -> bool:
    """A Python class is its bases up to the first Qt class; a Qt class is only itself."""
    for base in candidate.__mro__:
        if base is cls:
            return True
        if isNative(base):
            return False
    return False


def _withoutKeywords(initialize: Callable) -> Callable:
    def __init__(self, *args, **kwargs):
        if kwargs and isNative(type(self)):
            raise TypeError(f"{type(self).__name__} takes no keyword arguments: {', '.join(kwargs)}.")
        initialize(self, *[toQt(value) for value in args], **kwargs)

    return __init__


def _staticMethod(function: Callable) -> staticmethod:
    def method(*args, **kwargs):
        return fromQt(function(*[toQt(value) for value in args], **kwargs))

    return staticmethod(method)


def _wrapStatics(cls: type) -> None:
    # A class with a lookup of its own has methods that are static and not, which PySide6 tells apart there.
    for name, value in list(vars(cls).items()):
        if isinstance(value, staticmethod) and not name.startswith("__"):
            setattr(cls, name, _staticMethod(getattr(cls, name)))


@functools.cache
def qtClasses() -> dict[str, type]:
    """All wrapped classes of the Qt modules in use, by name."""
    found: dict[str, type] = {}
    for module in MODULES:
        for name in dir(module):
            value = getattr(module, name)
            if isinstance(value, type) and issubclass(value, shiboken6.Shiboken.Object):
                found.setdefault(name, value)
    return found


def install() -> None:
    """Makes the patches once."""
    global _isInstalled
    if _isInstalled:
        return
    _isInstalled = True
    classes = {*qtClasses().values(), QtCore.QObject, QtCore.Qt}
    for cls in classes:
        exposeEnums(cls)
        isObject = QtCore.QObject in cls.__mro__
        if "__getattribute__" in vars(cls):
            _originals[cls] = vars(cls)["__getattribute__"]
        elif cls.__name__ != "Object":
            _wrapStatics(cls)
        if isObject:
            propertyNames(cls)
        if "__init__" in vars(cls):
            cls.__init__ = _withoutKeywords(vars(cls)["__init__"])
        cls.__setattr__ = _setObject if isObject else _setValue
        if "__getattribute__" in vars(cls) or cls is QtCore.QObject:
            cls.__getattribute__ = _getObject if isObject else _getValue
    shiboken6.Shiboken.Object.__getattribute__ = _getValue
    metaclass = type(QtCore.QObject)
    metaclass.__instancecheck__ = lambda cls, instance: _exactClassCheck(cls, type(instance))
    metaclass.__subclasscheck__ = lambda cls, candidate: _exactClassCheck(cls, candidate)
