"""Qt enumerations as PythonQt shows them: ints that remember their Qt class, so that PySide6 accepts them back."""

from __future__ import annotations

import enum

__all__ = ["QtEnum", "exposeEnums"]


class QtEnum(int):
    """An enumeration value: an int in every comparison, converted to its Qt class when it is an argument."""

    enumClass: type

    def __new__(cls, value: int, enumClass: type) -> QtEnum:
        self = super().__new__(cls, value)
        self.enumClass = enumClass
        return self

    @classmethod
    def of(cls, member: enum.Enum) -> QtEnum:
        """The int of a PySide6 enumeration member."""
        return cls(member.value, type(member))

    def toQt(self) -> enum.Enum:
        """The PySide6 enumeration member."""
        return self.enumClass(int(self))

    def __or__(self, other: int) -> QtEnum:
        return QtEnum(int(self) | int(other), self.enumClass)

    def __and__(self, other: int) -> QtEnum:
        return QtEnum(int(self) & int(other), self.enumClass)

    def __invert__(self) -> QtEnum:
        return QtEnum(~int(self), self.enumClass)

    __ror__, __rand__ = __or__, __and__

    def __reduce__(self):
        return int, (int(self),)


def exposeEnums(owner: type) -> None:
    """Puts the members of a Qt class's enumerations on the class itself, as ints."""
    for value in list(vars(owner).values()):
        if isinstance(value, type) and issubclass(value, enum.Enum):
            for name, member in value.__members__.items():
                if isinstance(member.value, int):
                    setattr(owner, name, QtEnum.of(member))
