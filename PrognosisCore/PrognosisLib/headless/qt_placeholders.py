"""``qt`` and ``ctk`` for a process without a GUI: modules whose names exist and whose use is a clear error.

A module file may import them and name their classes in annotations or as base classes; making a widget or reading an
enumeration raises, so that a Logic that touches the GUI is found out.
"""

from __future__ import annotations

import sys
import types

__all__ = ["NoGuiError", "install", "placeholderClass"]


class NoGuiError(RuntimeError):
    """Code that needs Slicer's GUI ran without one."""


class _PlaceholderMeta(type):
    def __getattr__(cls, name: str):
        if name.startswith("__"):
            raise AttributeError(name)
        raise NoGuiError(f"{cls.__qualname__}.{name} needs the Slicer GUI, and this process has none.")

    def __call__(cls, *args, **kwargs):
        raise NoGuiError(f"{cls.__qualname__} needs the Slicer GUI, and this process has none.")


_classes: dict[str, type] = {}


def placeholderClass(qualifiedName: str) -> type:
    """The one placeholder class of that name, such as ``qt.QWidget``."""
    if qualifiedName not in _classes:
        _classes[qualifiedName] = _PlaceholderMeta(qualifiedName, (), {"__qualname__": qualifiedName})
    return _classes[qualifiedName]


class _PlaceholderModule(types.ModuleType):
    """Any public name is a placeholder class."""

    isPlaceholder = True

    def __getattr__(self, name: str):
        if name.startswith("_"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return placeholderClass(f"{self.__name__}.{name}")


def install() -> None:
    """Registers ``qt`` and ``ctk`` unless a host already did, and qMRML and qSlicer class names in ``slicer``."""
    import slicer

    for name in ("qt", "ctk"):
        if name not in sys.modules:
            sys.modules[name] = _PlaceholderModule(name)

    def slicerAttribute(name: str):
        if name.startswith(("qMRML", "qSlicer")):
            return placeholderClass(f"slicer.{name}")
        raise AttributeError(f"module 'slicer' has no attribute {name!r}")

    if not hasattr(slicer, "__getattr__"):
        slicer.__getattr__ = slicerAttribute
