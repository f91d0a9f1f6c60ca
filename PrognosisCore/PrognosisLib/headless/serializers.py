"""Stores typed values in a vtkMRMLScriptedModuleNode, in the representation that Slicer's parameterNodeWrapper uses.

A scalar is one text parameter; a node is an empty parameter plus a node reference of that role; a list is ``name.len``
with ``name.0`` and so on; an optional or union value is stored under ``name.<index of the type>``; the members of a
parameter pack are ``name.member``.
"""

from __future__ import annotations

import collections.abc
import enum
import logging
import pathlib
import types
import typing
from typing import Any

import slicer

from .validators import Default, IsInstance, NotNone, Validator

__all__ = ["Serializer", "createSerializer", "splitAnnotations", "unannotatedType"]


def splitAnnotations(annotatedType: Any) -> tuple[Any, tuple]:
    """(type, annotations); a plain type has none."""
    if typing.get_origin(annotatedType) is typing.Annotated:
        baseType, *annotations = typing.get_args(annotatedType)
        return baseType, tuple(annotations)
    return annotatedType, ()


def unannotatedType(annotatedType: Any) -> Any:
    """The type without its annotations."""
    return splitAnnotations(annotatedType)[0]


class Serializer:
    """Reads and writes one type under a name; this one stores a text and serves as the base."""

    cacheable = True

    def __init__(self, type_: Any, validators: tuple[Validator, ...] = ()) -> None:
        self.type = type_
        self.validators = validators

    def validate(self, value: Any) -> None:
        for validator in self.validators:
            validator.validate(value)

    def default(self) -> Any:
        return self.type()

    def isIn(self, node, name: str) -> bool:
        return bool(node.HasParameter(name))

    def toText(self, value: Any) -> str:
        return str(value)

    def fromText(self, text: str) -> Any:
        return self.type(text)

    def write(self, node, name: str, value: Any) -> None:
        self.validate(value)
        node.SetParameter(name, self.toText(value))

    def read(self, node, name: str) -> Any:
        return self.fromText(node.GetParameter(name))

    def remove(self, node, name: str) -> None:
        node.UnsetParameter(name)


class BoolSerializer(Serializer):
    def fromText(self, text: str) -> bool:
        return text == "True"


class NumberSerializer(Serializer):
    def validate(self, value: Any) -> None:
        if isinstance(value, bool):
            raise TypeError(f"{value} is a bool, not a number.")
        super().validate(value)

    def default(self) -> float:
        return self.type(0)


class EnumSerializer(Serializer):
    def default(self) -> enum.Enum:
        return next(iter(self.type))

    def toText(self, value: enum.Enum) -> str:
        return value.name

    def fromText(self, text: str) -> enum.Enum:
        try:
            return self.type[text]
        except KeyError:
            raise ValueError(f"The parameter node holds {text!r}, which is no name in {self.type}.") from None


class NodeSerializer(Serializer):
    def default(self) -> None:
        return None

    def write(self, node, name: str, value: Any) -> None:
        self.validate(value)
        # An absent reference is a value too, so a parameter of the same name says that it was set.
        node.SetParameter(name, "")
        node.SetNodeReferenceID(name, value.GetID() if value is not None else None)

    def read(self, node, name: str) -> Any:
        return node.GetNodeReference(name)

    def remove(self, node, name: str) -> None:
        node.UnsetParameter(name)
        node.RemoveNodeReferenceIDs(name)


class NoneSerializer(Serializer):
    def default(self) -> None:
        return None

    def validate(self, value: Any) -> None:
        if value is not None:
            raise ValueError(f"{value!r} is not None.")

    def toText(self, value: None) -> str:
        return "True"

    def fromText(self, text: str) -> None:
        return None


class UnionSerializer(Serializer):
    def __init__(self, members: list[Serializer], validators: tuple[Validator, ...] = ()) -> None:
        super().__init__(None, validators)
        self.members = members
        self.cacheable = all(member.cacheable for member in members)

    def default(self) -> Any:
        isOptional = len(self.members) == 2 and isinstance(self.members[1], NoneSerializer)
        return None if isOptional else self.members[0].default()

    def _fitting(self, value: Any) -> int:
        error: Exception | None = None
        for index, member in enumerate(self.members):
            if (value is None) != isinstance(member, NoneSerializer):
                continue
            try:
                member.validate(value)
            except (ValueError, TypeError) as exception:
                error = exception
            else:
                return index
        raise error if error is not None else TypeError(f"{value!r} has none of this parameter's types.")

    def validate(self, value: Any) -> None:
        super().validate(value)
        self._fitting(value)

    def isIn(self, node, name: str) -> bool:
        return any(member.isIn(node, f"{name}.{index}") for index, member in enumerate(self.members))

    def write(self, node, name: str, value: Any) -> None:
        self.validate(value)
        index = self._fitting(value)
        with slicer.util.NodeModify(node):
            self.remove(node, name)
            self.members[index].write(node, f"{name}.{index}", value)

    def read(self, node, name: str) -> Any:
        for index, member in enumerate(self.members):
            if member.isIn(node, f"{name}.{index}"):
                return member.read(node, f"{name}.{index}")
        raise KeyError(name)

    def remove(self, node, name: str) -> None:
        for index, member in enumerate(self.members):
            member.remove(node, f"{name}.{index}")


class ListSerializer(Serializer):
    def __init__(self, element: Serializer, validators: tuple[Validator, ...] = ()) -> None:
        super().__init__(list, validators)
        self.element = element
        self.cacheable = element.cacheable

    def isIn(self, node, name: str) -> bool:
        return bool(node.HasParameter(f"{name}.len"))

    def _length(self, node, name: str) -> int:
        return int(node.GetParameter(f"{name}.len")) if self.isIn(node, name) else 0

    def validate(self, value: Any) -> None:
        super().validate(value)
        if isinstance(value, str) or not isinstance(value, collections.abc.Sequence):
            raise TypeError(f"{value!r} is not a list.")
        for element in value:
            self.element.validate(element)

    def write(self, node, name: str, value: Any) -> None:
        self.validate(value)
        values = list(value)
        with slicer.util.NodeModify(node):
            for index, element in enumerate(values):
                self.element.write(node, f"{name}.{index}", element)
            for index in range(len(values), self._length(node, name)):
                self.element.remove(node, f"{name}.{index}")
            node.SetParameter(f"{name}.len", str(len(values)))

    def read(self, node, name: str) -> ObservedList:
        length = self._length(node, name)
        values = [self.element.read(node, f"{name}.{index}") for index in range(length)]
        return ObservedList(node, self, name, values)

    def remove(self, node, name: str) -> None:
        with slicer.util.NodeModify(node):
            for index in range(self._length(node, name)):
                self.element.remove(node, f"{name}.{index}")
            node.UnsetParameter(f"{name}.len")


class ObservedList(collections.abc.MutableSequence):
    """A list that writes each change back to its parameter node."""

    def __init__(self, node, serializer: ListSerializer, name: str, values: list) -> None:
        self._node, self._serializer, self._name, self._values = node, serializer, name, values

    def _save(self) -> None:
        try:
            self._serializer.write(self._node, self._name, self._values)
        finally:
            self._values = self._serializer.read(self._node, self._name)._values

    def __getitem__(self, index: Any) -> Any:
        return self._values[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        self._values[index] = value
        self._save()

    def __delitem__(self, index: Any) -> None:
        del self._values[index]
        self._save()

    def __len__(self) -> int:
        return len(self._values)

    def insert(self, index: int, value: Any) -> None:
        self._values.insert(index, value)
        self._save()

    def __eq__(self, other: object) -> bool:
        return self._values == (other._values if isinstance(other, ObservedList) else other)

    __hash__ = None

    def __repr__(self) -> str:
        return f"ObservedList({self._values})"


class TupleSerializer(Serializer):
    def __init__(self, members: list[Serializer], validators: tuple[Validator, ...] = ()) -> None:
        super().__init__(tuple, validators)
        self.members = members
        self.cacheable = all(member.cacheable for member in members)

    def default(self) -> tuple:
        return tuple(member.default() for member in self.members)

    def isIn(self, node, name: str) -> bool:
        return self.members[0].isIn(node, f"{name}.0")

    def validate(self, value: Any) -> None:
        super().validate(value)
        if isinstance(value, str) or len(value) != len(self.members):
            raise ValueError(f"{value!r} does not have {len(self.members)} elements.")
        for member, element in zip(self.members, value, strict=True):
            member.validate(element)

    def write(self, node, name: str, value: Any) -> None:
        self.validate(value)
        with slicer.util.NodeModify(node):
            for index, (member, element) in enumerate(zip(self.members, value, strict=True)):
                member.write(node, f"{name}.{index}", element)

    def read(self, node, name: str) -> tuple:
        return tuple(member.read(node, f"{name}.{index}") for index, member in enumerate(self.members))

    def remove(self, node, name: str) -> None:
        for index, member in enumerate(self.members):
            member.remove(node, f"{name}.{index}")


def _scalarSerializer(type_: Any, validators: tuple[Validator, ...]) -> Serializer | None:
    if type_ is bool:
        return BoolSerializer(bool, (NotNone(), IsInstance(bool), *validators))
    if type_ is str:
        return Serializer(str, (NotNone(), IsInstance(str), *validators))
    if type_ in (int, float):
        return NumberSerializer(type_, (NotNone(), IsInstance(int if type_ is int else (int, float)), *validators))
    if not isinstance(type_, type):
        return None
    if issubclass(type_, enum.Enum):
        return EnumSerializer(type_, (NotNone(), IsInstance(type_), *validators))
    if issubclass(type_, pathlib.PurePath):
        return Serializer(type_, (NotNone(), IsInstance(type_), *validators))
    if issubclass(type_, slicer.vtkMRMLNode):
        return NodeSerializer(type_, (IsInstance(type_), *validators))
    if type_ is type(None):
        return NoneSerializer(type_)
    return None


def createSerializer(annotatedType: Any) -> Serializer:
    """The serializer of a type, with the validators of its annotations.

    :raises TypeError: if the type is not supported.
    """
    type_, annotations = splitAnnotations(annotatedType)
    annotations = tuple(item() if isinstance(item, type) and issubclass(item, Validator) else item
                        for item in annotations)  # fmt: skip
    validators = tuple(item for item in annotations if isinstance(item, Validator))
    unused = [item for item in annotations if not isinstance(item, Validator | Default)]
    if unused:
        logging.debug("Annotations without meaning for storage: %s", unused)
    scalar = _scalarSerializer(type_, validators)
    if scalar is not None:
        return scalar
    if getattr(type_, "_is_parameterPack", False):
        from .parameter_pack import PackSerializer

        return PackSerializer(type_, validators)
    origin, arguments = typing.get_origin(type_), typing.get_args(type_)
    if origin in (typing.Union, types.UnionType):
        return UnionSerializer([createSerializer(argument) for argument in arguments], validators)
    if origin is list:
        return ListSerializer(createSerializer(arguments[0]), validators)
    if origin is tuple:
        return TupleSerializer([createSerializer(argument) for argument in arguments], validators)
    raise TypeError(f"A parameter node outside Slicer does not store {type_}.")
