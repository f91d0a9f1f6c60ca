"""Binds parameters to widgets for PrognosisLib.headless's parameterNodeWrapper, as Slicer's gui connectors do."""

from __future__ import annotations

import enum
import pathlib
import types
import typing
from collections.abc import Callable
from typing import Any

import slicer

from PrognosisLib.headless import parameter_node as parameters

__all__ = ["createConnector"]

_SPIN_CLASSES = ("QDoubleSpinBox", "ctkDoubleSpinBox", "qMRMLSpinBox", "ctkDoubleSlider")
_SLIDER_CLASSES = ("ctkSliderWidget", "qMRMLSliderWidget")
_PATHS = {
    "ctkPathLineEdit": ("currentPath", "currentPathChanged"),
    "ctkDirectoryButton": ("directory", "directoryChanged"),
}
_RANGE_CLASSES = ("ctkRangeWidget", "qMRMLRangeWidget")


class Connector:
    """One widget bound to one parameter; ``signal``, ``read`` and ``write`` are given per widget class."""

    def __init__(self, widget: Any, signal: str | None, read: Callable[[], Any], write: Callable[[Any], None]) -> None:
        self._widget = widget
        self._signal = signal
        self.read = read
        self.write = write
        self._callback: Callable[[], None] | None = None

    def _onChanged(self) -> None:
        if self._callback is not None:
            self._callback()

    def onChanged(self, callback: Callable[[], None] | None) -> None:
        """Sets what is called when the person changes the widget; None disconnects."""
        if self._signal is not None and (callback is None) != (self._callback is None):
            signal = getattr(self._widget, self._signal)
            signal.disconnect(self._onChanged) if callback is None else signal.connect(self._onChanged)
        self._callback = callback


def _propertyConnector(
    widget: Any, name: str, signal: str | None, toValue: Callable = lambda value: value
) -> Connector:
    def write(value: Any) -> None:
        # Writing an unchanged text would move the cursor.
        if getattr(widget, name) != value:
            setattr(widget, name, value)

    return Connector(widget, signal, lambda: toValue(getattr(widget, name)), write)


def _find(annotations: tuple, cls: type) -> Any:
    return next((item for item in annotations if type(item) is cls), None)


def _applyBounds(widget: Any, annotations: tuple, isInteger: bool) -> None:
    within = _find(annotations, parameters.WithinRange)
    minimum, maximum = _find(annotations, parameters.Minimum), _find(annotations, parameters.Maximum)
    low = within.minimum if within else minimum.minimum if minimum else None
    high = within.maximum if within else maximum.maximum if maximum else None
    if type(widget).__name__ in (*_SLIDER_CLASSES, "QSlider") and (low is None or high is None):
        raise RuntimeError(f"{widget.name} is a slider, so its parameter needs a WithinRange annotation.")
    decimals, step = _find(annotations, parameters.Decimals), _find(annotations, parameters.SingleStep)
    if type(widget).__name__ not in ("QSpinBox", "QSlider", "ctkDoubleSlider"):
        if isInteger:
            widget.decimals = 0
        elif decimals is not None:
            widget.decimals = decimals.value
    if step is not None:
        widget.singleStep = step.value
    unlimited = 2**31 - 1 if type(widget).__name__ in ("QSpinBox", "QSlider") else float("inf")
    widget.minimum = low if low is not None else -unlimited
    widget.maximum = high if high is not None else unlimited


def _number(widget: Any, type_: type, annotations: tuple) -> Connector:
    _applyBounds(widget, annotations, type_ is int)
    return _propertyConnector(widget, "value", "valueChanged", type_)


def _choices(widget: Any, values: list, labels: list[str]) -> Connector:
    widget.clear()
    for label in labels:
        widget.addItem(label)

    def write(value: Any) -> None:
        if value not in values:
            raise ValueError(f"{widget.name} does not offer {value!r}.")
        widget.currentIndex = values.index(value)

    return Connector(widget, "currentIndexChanged", lambda: values[widget.currentIndex], write)


def _nodeTypes(type_: Any) -> tuple[str, ...]:
    members = typing.get_args(type_) if typing.get_origin(type_) in (typing.Union, types.UnionType) else (type_,)
    isNode = [isinstance(cls, type) and issubclass(cls, slicer.vtkMRMLNode) for cls in members]
    isNone = [cls is type(None) for cls in members]
    if not all(a or b for a, b in zip(isNode, isNone, strict=True)):
        return ()
    return tuple(cls.__name__ for cls, node in zip(members, isNode, strict=True) if node)


def _nodeSelector(widget: Any, names: tuple[str, ...]) -> Connector:
    widget.nodeTypes = names
    return Connector(widget, "currentNodeChanged", widget.currentNode, widget.setCurrentNode)


def _range(widget: Any, annotations: tuple) -> Connector:
    bounds = _find(annotations, parameters.RangeBounds)
    if bounds is None:
        raise RuntimeError(f"{widget.name} is a range widget, so its parameter needs a RangeBounds annotation.")
    widget.setRange(bounds.minimum, bounds.maximum)
    return Connector(
        widget,
        "valuesChanged",
        lambda: parameters.FloatRange(widget.minimumValue, widget.maximumValue),
        lambda value: widget.setValues(value.minimum, value.maximum),
    )


def _boolean(widget: Any, className: str) -> Connector | None:
    if className == "QCheckBox":
        return _propertyConnector(widget, "checked", "stateChanged")
    if className in ("QPushButton", "ctkCheckablePushButton"):
        widget.checkable = True
        return _propertyConnector(widget, "checked", "toggled")
    return None


def _text(widget: Any, className: str) -> Connector | None:
    if className == "QLineEdit":
        return _propertyConnector(widget, "text", "textChanged")
    if className == "QLabel":
        return _propertyConnector(widget, "text", None)
    if className == "QTextEdit":
        return Connector(widget, "textChanged", widget.toPlainText, widget.setPlainText)
    return None


def createConnector(widget: Any, annotatedType: Any) -> Connector:
    """The connector of a widget and a parameter's type.

    :raises RuntimeError: if Slicer binds no such pair.
    """
    type_, annotations = parameters.splitAnnotations(annotatedType)
    className = type(widget).__name__
    choice = _find(annotations, parameters.Choice)
    connector = None
    if type_ is bool:
        connector = _boolean(widget, className)
    elif type_ is str:
        connector = _text(widget, className)
    elif type_ is int and className in ("QSpinBox", "QSlider"):
        connector = _number(widget, int, annotations)
    elif type_ in (int, float) and className in (*_SPIN_CLASSES, *_SLIDER_CLASSES):
        connector = _number(widget, type_, annotations)
    elif type_ is parameters.FloatRange and className in _RANGE_CLASSES:
        connector = _range(widget, annotations)
    elif isinstance(type_, type) and issubclass(type_, pathlib.PurePath) and className in _PATHS:
        name, signal = _PATHS[className]
        connector = Connector(
            widget, signal, lambda: type_(getattr(widget, name)), lambda value: setattr(widget, name, str(value))
        )
    if className in ("QComboBox", "ctkComboBox"):
        if isinstance(type_, type) and issubclass(type_, enum.Enum):
            labels = [item.label() if hasattr(item, "label") else item.name for item in type_]
            connector = _choices(widget, list(type_), labels)
        elif choice is not None:
            connector = _choices(widget, list(choice.choices), [str(item) for item in choice.choices])
    if className == "qMRMLNodeComboBox" and _nodeTypes(type_):
        connector = _nodeSelector(widget, _nodeTypes(type_))
    if connector is None:
        raise RuntimeError(f"Slicer binds no {className} ({widget.name}) to a parameter of type {annotatedType}.")
    return connector
