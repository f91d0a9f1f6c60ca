"""Annotations that a parameter's type may carry: validators, a default, and hints for its widget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = [
    "Choice",
    "Decimals",
    "Default",
    "Exclude",
    "IsInstance",
    "Maximum",
    "Minimum",
    "NotNone",
    "RangeBounds",
    "SingleStep",
    "Validator",
    "WithinRange",
]


class Validator:
    """Base of validators; ``validate`` raises ValueError or TypeError if a value is not allowed."""

    def validate(self, value: Any) -> None:
        raise NotImplementedError(f"{type(self).__name__} does not implement validate.")


class NotNone(Validator):
    """Refuses None."""

    def validate(self, value: Any) -> None:
        if value is None:
            raise ValueError("None is not allowed here.")


@dataclass(frozen=True)
class IsInstance(Validator):
    """Refuses what is neither None nor an instance of ``classtype`` (a class or a tuple of them)."""

    classtype: Any

    def validate(self, value: Any) -> None:
        if value is not None and not isinstance(value, self.classtype):
            raise TypeError(f"{value!r} is of type {type(value).__name__}, not {self.classtype}.")


@dataclass(frozen=True)
class WithinRange(Validator):
    """Refuses numbers outside [minimum, maximum]."""

    minimum: float
    maximum: float

    def validate(self, value: Any) -> None:
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"{value} is not between {self.minimum} and {self.maximum}.")


@dataclass(frozen=True)
class Minimum(Validator):
    """Refuses numbers below ``minimum``."""

    minimum: float

    def validate(self, value: Any) -> None:
        if value < self.minimum:
            raise ValueError(f"{value} is less than {self.minimum}.")


@dataclass(frozen=True)
class Maximum(Validator):
    """Refuses numbers above ``maximum``."""

    maximum: float

    def validate(self, value: Any) -> None:
        if value > self.maximum:
            raise ValueError(f"{value} is more than {self.maximum}.")


@dataclass(frozen=True)
class Choice(Validator):
    """Refuses what is not in ``choices``."""

    choices: Sequence

    def validate(self, value: Any) -> None:
        if value not in self.choices:
            raise ValueError(f"{value!r} is none of {self.choices}.")


@dataclass(frozen=True)
class Exclude(Validator):
    """Refuses what is in ``excludedValues``."""

    excludedValues: Sequence

    def validate(self, value: Any) -> None:
        if value in self.excludedValues:
            raise ValueError(f"{value!r} is one of the excluded {self.excludedValues}.")


@dataclass(frozen=True)
class RangeBounds(Validator):
    """Refuses a FloatRange that reaches outside [minimum, maximum]."""

    minimum: float
    maximum: float

    def validate(self, value: Any) -> None:
        if not self.minimum <= value.minimum <= value.maximum <= self.maximum:
            raise ValueError(f"{value} reaches outside [{self.minimum}, {self.maximum}].")


@dataclass(frozen=True)
class Decimals:
    """How many decimals the parameter's spin box or slider shows."""

    value: int


@dataclass(frozen=True)
class SingleStep:
    """The step of the parameter's spin box or slider."""

    value: float


class Default:
    """The value a parameter starts with; ``generator`` is called each time one is needed."""

    def __init__(self, value: Any = None, *, generator: Callable[[], Any] | None = None) -> None:
        self._value = value
        self._generator = generator

    @property
    def value(self) -> Any:
        return self._generator() if self._generator else self._value
