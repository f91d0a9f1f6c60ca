"""``parameterPack``: a class with typed, validated members that a parameter node stores as ``name.member``."""

from __future__ import annotations

import typing
from typing import Any

import slicer

from .serializers import Serializer, createSerializer, splitAnnotations, unannotatedType
from .validators import Default, IsInstance, NotNone

__all__ = ["FloatRange", "PackSerializer", "ParameterInfo", "isParameterPack", "nestedParameterNames", "parameterPack"]


class ParameterInfo:
    """A declared parameter: name, serializer, default and type as written."""

    def __init__(self, owner: type, name: str, annotatedType: Any) -> None:
        self.basename = name
        self.unalteredType = annotatedType
        self.serializer = createSerializer(annotatedType)
        defaults = [item for item in splitAnnotations(annotatedType)[1] if isinstance(item, Default)]
        if len(defaults) > 1:
            raise ValueError(f"{owner.__name__}.{name} has more than one Default.")
        if name in vars(owner):
            self.default = Default(vars(owner)[name])
        elif defaults:
            self.default = defaults[0]
        else:
            self.default = Default(generator=self.serializer.default)


def declaredParameters(owner: type) -> dict[str, ParameterInfo]:
    """The annotated members of a class, in order."""
    hints = typing.get_type_hints(owner, include_extras=True)
    return {name: ParameterInfo(owner, name, type_) for name, type_ in hints.items()}


def splitName(name: str) -> tuple[str, str | None]:
    """("a", "b.c") of "a.b.c"; ("a", None) of "a"."""
    head, _dot, rest = name.partition(".")
    return head, rest or None


def _member(name: str) -> property:
    def setter(self, value: Any) -> None:
        self.allParameters[name].serializer.validate(value)
        self._values[name] = value
        if self._save is not None:
            self._save()

    return property(lambda self: self._values[name], setter)


def _initialize(self, *args, **kwargs) -> None:
    names = list(self.allParameters)
    if len(args) > len(names):
        raise TypeError(f"{type(self).__name__} takes at most {len(names)} values.")
    given = dict(zip(names, args, strict=False))
    for name, value in kwargs.items():
        if name not in self.allParameters:
            raise TypeError(f"{type(self).__name__} has no member {name!r}.")
        if name in given:
            raise TypeError(f"{type(self).__name__} got {name!r} twice.")
        given[name] = value
    self._values, self._save = {}, None
    for name, info in self.allParameters.items():
        value = given.get(name, info.default.value) if name in given else info.default.value
        info.serializer.validate(value)
        self._values[name] = value


def _getValue(self, name: str) -> Any:
    head, rest = splitName(name)
    if not hasattr(type(self), head):
        raise ValueError(f"{type(self).__name__} has no member {head!r}.")
    value = getattr(self, head)
    return value if rest is None else value.getValue(rest)


def _setValue(self, name: str, value: Any) -> None:
    head, rest = splitName(name)
    if not hasattr(type(self), head):
        raise ValueError(f"{type(self).__name__} has no member {head!r}.")
    if rest is None:
        setattr(self, head, value)
    else:
        getattr(self, head).setValue(rest, value)


def dataTypeOf(owner: Any, name: str) -> Any:
    """The type, with annotations, of a possibly dotted parameter name.

    :raises ValueError: if there is no such parameter.
    """
    head, rest = splitName(name)
    if head not in owner.allParameters:
        raise ValueError(f"There is no parameter {head!r}; there are {', '.join(owner.allParameters)}.")
    type_ = owner.allParameters[head].unalteredType
    if rest is None:
        return type_
    pack = unannotatedType(type_)
    if not isParameterPack(pack):
        raise ValueError(f"{head!r} is not a parameter pack, so it has no {rest!r}.")
    return dataTypeOf(pack, rest)


def _equal(self, other: object) -> bool:
    return isinstance(other, type(self)) and self._values == other._values


def _text(self) -> str:
    members = ", ".join(f"{name}={value!r}" for name, value in self._values.items())
    return f"{type(self).__name__}({members})"


def parameterPack(classtype: type | None = None):
    """Class decorator that makes a parameter pack of an annotated class.

    :raises ValueError: if the class has no annotated member or a default that its validators refuse.
    """
    if classtype is None:
        return parameterPack
    parameters = declaredParameters(classtype)
    if not parameters:
        raise ValueError(f"{classtype.__name__} has no annotated member.")
    for name, info in parameters.items():
        try:
            info.serializer.validate(info.default.value)
        except (TypeError, ValueError) as exception:
            raise ValueError(f"The default of {classtype.__name__}.{name} is not allowed: {exception}") from exception
        setattr(classtype, name, _member(name))
    classtype.allParameters = parameters
    classtype._is_parameterPack = True
    classtype.getValue, classtype.setValue = _getValue, _setValue
    classtype.dataType = staticmethod(lambda name: dataTypeOf(classtype, name))
    ownInit = vars(classtype).get("__init__")

    def initialize(self, *args, **kwargs) -> None:
        _initialize(self, *(() if ownInit else args), **({} if ownInit else kwargs))
        if ownInit:
            ownInit(self, *args, **kwargs)

    classtype.__init__ = initialize
    for name, method in (("__eq__", _equal), ("__repr__", _text), ("__str__", _text)):
        if name not in vars(classtype):
            setattr(classtype, name, method)
    return classtype


def isParameterPack(classOrInstance: Any) -> bool:
    """Whether it is a parameter pack."""
    return getattr(classOrInstance, "_is_parameterPack", False)


def nestedParameterNames(pack: Any) -> list[str]:
    """The dotted names of all members, packs within it resolved."""
    names = []
    for name, info in unannotatedType(pack).allParameters.items():
        type_ = unannotatedType(info.unalteredType)
        names += [f"{name}.{inner}" for inner in nestedParameterNames(type_)] if isParameterPack(type_) else [name]
    return names


class PackSerializer(Serializer):
    """Stores each member under ``name.member``; what it reads writes changes back."""

    cacheable = False

    def __init__(self, type_: type, validators: tuple) -> None:
        super().__init__(type_, (NotNone(), IsInstance(type_), *validators))

    def isIn(self, node, name: str) -> bool:
        first, info = next(iter(self.type.allParameters.items()))
        return info.serializer.isIn(node, f"{name}.{first}")

    def write(self, node, name: str, value: Any) -> None:
        self.validate(value)
        with slicer.util.NodeModify(node):
            for member, info in self.type.allParameters.items():
                info.serializer.write(node, f"{name}.{member}", value._values[member])

    def read(self, node, name: str) -> Any:
        pack = self.type.__new__(self.type)
        pack._save = None
        pack._values = {
            member: info.serializer.read(node, f"{name}.{member}") for member, info in self.type.allParameters.items()
        }
        pack._save = lambda: self.write(node, name, pack)
        return pack

    def remove(self, node, name: str) -> None:
        for member, info in self.type.allParameters.items():
            info.serializer.remove(node, f"{name}.{member}")


@parameterPack
class FloatRange:
    """An interval with minimum <= maximum."""

    _minimum: float
    _maximum: float

    def __init__(self, minimum: float = 0, maximum: float = 0) -> None:
        self.setRange(minimum, maximum)

    @property
    def minimum(self) -> float:
        return self._minimum

    @minimum.setter
    def minimum(self, value: float) -> None:
        self.setRange(value, self._maximum)

    @property
    def maximum(self) -> float:
        return self._maximum

    @maximum.setter
    def maximum(self, value: float) -> None:
        self.setRange(self._minimum, value)

    def setRange(self, minimum: float, maximum: float) -> None:
        """Sets both ends.

        :raises ValueError: if minimum is more than maximum.
        """
        if not minimum <= maximum:
            raise ValueError(f"The minimum {minimum} is more than the maximum {maximum}.")
        self._minimum = minimum
        self._maximum = maximum
