"""The members of Slicer's and CTK's Qt classes, parsed from their headers into slicer_qt_api.json."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path

__all__ = ["classNames", "ctkClassesWithoutFacts", "memberKind", "members", "normalizedSignal", "signalNames"]

# Real CTK classes that the table does not describe: their names exist, their use raises NotImplementedError.
ctkClassesWithoutFacts = (
    "ctkCheckBox",
    "ctkDoubleRangeSlider",
    "ctkRangeSlider",
    "ctkSearchBox",
    "ctkCheckableComboBox",
    "ctkExpandButton",
    "ctkDateRangeWidget",
    "ctkWidgetsUtils",
)


@functools.cache
def _table() -> dict[str, dict]:
    return json.loads(Path(__file__).with_name("slicer_qt_api.json").read_text(encoding="utf-8"))


def classNames() -> tuple[str, ...]:
    """The classes in the table."""
    return tuple(_table())


def _chain(className: str) -> Iterator[dict]:
    while className in _table():
        yield _table()[className]
        className = _table()[className]["base"]


@functools.cache
def members(className: str) -> dict[str, str]:
    """Member name -> ``property``, ``readonly``, ``signal`` or ``callable``, bases in the table included."""
    found: dict[str, str] = {}
    for entry in _chain(className):
        for name, (_type, isWritable) in entry["properties"].items():
            found.setdefault(name, "property" if isWritable else "readonly")
        for signal in entry["signals"]:
            found.setdefault(signal.partition("(")[0], "signal")
        for name in entry["callable"]:
            found.setdefault(name, "callable")
    return found


def memberKind(className: str, name: str) -> str | None:
    """The kind of a member, None if the class has no such member."""
    return members(className).get(name)


def normalizedSignal(signature: str) -> str:
    """A signal's signature without argument names, const and reference: what string connections are compared by."""
    name, _bracket, rest = signature.partition("(")
    arguments = []
    for argument in rest.rstrip(") ").split(","):
        text = re.sub(r"\bconst\b|&", " ", argument).strip()
        pointer = "*" if "*" in text else ""
        words = text.replace("*", " ").split()
        if not words:
            continue
        typeWords = words if words[0] == "unsigned" else words[:1]
        arguments.append(" ".join(typeWords[:2]) + pointer)
    return f"{name.strip()}({','.join(arguments)})"


@functools.cache
def signalNames(className: str) -> dict[str, str]:
    """Normalized signature -> signal name."""
    return {
        normalizedSignal(signal): signal.partition("(")[0] for entry in _chain(className) for signal in entry["signals"]
    }
