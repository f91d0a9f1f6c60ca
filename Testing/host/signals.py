"""PythonQt's connections: by string or by attribute, arguments cut to what the handler takes, exceptions recorded."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from PySide6 import QtCore

from . import facts
from .records import records

__all__ = ["SignalProxy", "connectByName", "disconnectByName"]


def _positionalCount(handler: Callable) -> int | None:
    """How many arguments PythonQt passes: all declared ones, defaults included; None for no limit."""
    function = getattr(handler, "__func__", handler)
    code = getattr(function, "__code__", None)
    if code is None:
        try:
            parameters = inspect.signature(handler).parameters.values()
        except (TypeError, ValueError):
            return None
        return None if any(p.kind is p.VAR_POSITIONAL for p in parameters) else len(parameters)
    if code.co_flags & inspect.CO_VARARGS:
        return None
    return code.co_argcount - (1 if inspect.ismethod(handler) else 0)


class Slot:
    """The object that is really connected; remembers its handler for disconnecting."""

    def __init__(self, handler: Callable, where: str, convert: Callable[[Any], Any]) -> None:
        self.handler = handler
        self.where = where
        self.convert = convert

    def __call__(self, *args) -> None:
        values = [self.convert(value) for value in args]
        try:
            self.handler(*values[: _positionalCount(self.handler)])
        except Exception as exception:
            records.addException(exception, f"handler of {self.where}")


def _receiver(slot: Slot, argumentCount: int) -> Callable:
    """A function with that many parameters, by which PySide6 chooses among a signal's overloads."""
    receivers = (
        lambda: slot(),
        lambda a: slot(a),
        lambda a, b: slot(a, b),
        lambda a, b, c: slot(a, b, c),
        lambda a, b, c, d: slot(a, b, c, d),
    )
    return receivers[argumentCount]


def _widestCount(owner: QtCore.QObject, name: str) -> int:
    """How many arguments the widest signal of a name has."""
    metaObject = QtCore.QObject.metaObject(owner)
    methods = (metaObject.method(index) for index in range(metaObject.methodCount()))
    return max((m.parameterCount() for m in methods if bytes(m.name().data()).decode() == name), default=0)


class SignalProxy:
    """``object.signal`` as PythonQt gives it: connect, disconnect, emit, and calling it emits."""

    def __init__(self, owner: QtCore.QObject, name: str, instance: Any, convert: Callable[[Any], Any]) -> None:
        self._owner, self._name, self._instance, self._convert = owner, name, instance, convert

    def connect(self, handler: Callable, argumentCount: int | None = None) -> bool:
        """Connects a handler."""
        if not callable(handler):
            raise TypeError(f"{handler!r} cannot be connected to {self._name}: it is not callable.")
        slot = Slot(handler, f"{type(self._owner).__name__}.{self._name}", self._convert)
        receiver = _receiver(slot, _widestCount(self._owner, self._name) if argumentCount is None else argumentCount)
        self._instance.connect(receiver)
        _connections(self._owner).append((self._name, handler, receiver, self._instance))
        return True

    def disconnect(self, handler: Callable) -> bool:
        """Undoes a connection.

        :raises ValueError: if the handler is not connected; PythonQt is silent about it.
        """
        connections = _connections(self._owner)
        for index, (name, known, receiver, instance) in enumerate(connections):
            if name == self._name and known == handler:
                instance.disconnect(receiver)
                del connections[index]
                return True
        raise ValueError(f"{handler!r} is not connected to {type(self._owner).__name__}.{self._name}.")

    def emit(self, *args) -> None:
        """Emits the signal."""
        self._instance.emit(*args)

    __call__ = emit


def _connections(owner: QtCore.QObject) -> list:
    return QtCore.QObject.__getattribute__(owner, "__dict__").setdefault("_hostConnections", [])


def _find(owner: QtCore.QObject, signature: str) -> tuple[str, int | None]:
    """(signal attribute, number of arguments) of a signature.

    :raises AttributeError: if the class has no such signal; PythonQt prints that and goes on.
    """
    className = type(owner).__name__
    normalized = facts.normalizedSignal(signature)
    count = 0 if normalized.endswith("()") else normalized.count(",") + 1
    known = {name for base in type(owner).__mro__ for name in facts.signalNames(base.__name__)}
    if normalized in known:
        aliases = getattr(type(owner), "_signalAliases", {})
        name = aliases.get(normalized, normalized.partition("(")[0])
        if not hasattr(type(owner), name):
            raise NotImplementedError(f"The host does not stand in for {className}.{normalized}.")
        return name, count
    metaObject = QtCore.QObject.metaObject(owner)
    if metaObject.indexOfSignal(bytes(QtCore.QMetaObject.normalizedSignature(signature).data()).decode()) >= 0:
        return normalized.partition("(")[0], count
    raise AttributeError(f"{className} has no signal {signature!r}.")


def connectByName(owner: QtCore.QObject, signature: str, handler: Callable) -> bool:
    """``owner.connect("clicked(bool)", handler)``."""
    if not isinstance(signature, str):
        raise TypeError(f"connect takes a signal's signature as text, not {signature!r}.")
    name, count = _find(owner, signature)
    return getattr(owner, name).connect(handler, count)


def disconnectByName(owner: QtCore.QObject, *args) -> bool:
    """``owner.disconnect("clicked(bool)", handler)``; PythonQt needs both."""
    if len(args) != 2:
        raise TypeError("disconnect needs a signal's signature and the handler.")
    name, _count = _find(owner, args[0])
    return getattr(owner, name).disconnect(args[1])
