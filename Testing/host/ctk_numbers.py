"""Stand-ins for CTK's sliders, spin boxes and ranges, held to their facts."""

from __future__ import annotations

from PySide6 import QtWidgets
from PySide6.QtCore import Property, Signal

from .standin import standIn, stored


def _row(widget: QtWidgets.QWidget, *children: QtWidgets.QWidget) -> None:
    layout = QtWidgets.QHBoxLayout(widget)
    layout.setContentsMargins(0, 0, 0, 0)
    for child in children:
        layout.addWidget(child)


def _boxProperty(type_: type, name: str) -> Property:
    """A property of the inner spin box ``_box``."""

    def setter(self, value) -> None:
        setattr(self._box, name, value)
        self._onRange()

    return Property(type_, lambda self: getattr(self._box, name), setter)


_BOX_FIELDS = {
    "decimals": int,
    "minimum": float,
    "maximum": float,
    "singleStep": float,
    "prefix": str,
    "suffix": str,
}


@standIn
class ctkDoubleSpinBox(QtWidgets.QWidget):
    valueChanged = Signal(float)
    editingFinished = Signal()
    decimalsChanged = Signal(int)
    vars().update({name: _boxProperty(type_, name) for name, type_ in _BOX_FIELDS.items()})
    vars().update(
        stored(
            "ctkDoubleSpinBox",
            alignment=129,
            frame=True,
            decimalsOption=0x20,
            setMode=1,
            invertedControls=False,
            sizeHintPolicy=0,
        )
    )
    value = Property(float, lambda self: self._box.value, lambda self, value: self._box.setValue(value))
    cleanText = Property(str, lambda self: self._box.cleanText)

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._box = QtWidgets.QDoubleSpinBox()
        _row(self, self._box)
        self._box.valueChanged.connect(self.valueChanged.emit)
        self._box.editingFinished.connect(self.editingFinished.emit)

    def _onRange(self) -> None:
        self.updateGeometry()

    def setReadOnly(self, readOnly: bool) -> None:
        self._box.setReadOnly(readOnly)

    readOnly = Property(bool, lambda self: self._box.readOnly, setReadOnly)

    def setValue(self, value: float) -> None:
        self._box.setValue(value)

    setValueIfDifferent = setValue

    def setDecimals(self, decimals: int) -> None:
        self.decimals = decimals
        self.decimalsChanged.emit(decimals)

    def stepUp(self) -> None:
        self._box.stepUp()

    def stepDown(self) -> None:
        self._box.stepDown()


_STEPS = 10000


@standIn
class ctkSliderWidget(QtWidgets.QWidget):
    valueChanged = Signal(float)
    valueIsChanging = Signal(float)
    decimalsChanged = Signal(int)
    vars().update({name: _boxProperty(type_, name) for name, type_ in _BOX_FIELDS.items()})
    vars().update(
        stored(
            "ctkSliderWidget",
            pageStep=10.0,
            tickInterval=0.0,
            tickPosition=0,
            synchronizeSiblings=0,
            spinBoxAlignment=2,
            tracking=True,
            popupSlider=False,
            invertedAppearance=False,
            invertedControls=False,
        )
    )
    value = Property(float, lambda self: self._box.value, lambda self, value: self.setValue(value))

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._isUpdating = False
        self._slider = QtWidgets.QSlider()
        self._slider.orientation = 1
        self._slider.setRange(0, _STEPS)
        self._box = QtWidgets.QDoubleSpinBox()
        _row(self, self._slider, self._box)
        self._box.valueChanged.connect(self._onBox)
        self._slider.valueChanged.connect(self._onSlider)
        self._spinBoxVisible = True

    def _onRange(self) -> None:
        self._showOnSlider()

    def _showOnSlider(self) -> None:
        span = self._box.maximum - self._box.minimum
        self._isUpdating = True
        self._slider.value = round((self._box.value - self._box.minimum) / span * _STEPS) if span > 0 else 0
        self._isUpdating = False

    def _onBox(self, value: float) -> None:
        self._showOnSlider()
        self.valueIsChanging.emit(value)
        self.valueChanged.emit(value)

    def _onSlider(self, position: int) -> None:
        if not self._isUpdating:
            span = self._box.maximum - self._box.minimum
            self._box.setValue(self._box.minimum + span * position / _STEPS)

    def setValue(self, value: float) -> None:
        self._box.setValue(value)

    def reset(self) -> None:
        self._box.setValue(min(max(0.0, self._box.minimum), self._box.maximum))

    def setDecimals(self, decimals: int) -> None:
        self.decimals = decimals
        self.decimalsChanged.emit(decimals)

    def setSpinBoxVisible(self, visible: bool) -> None:
        self._spinBoxVisible = visible
        self._box.setVisible(visible)

    spinBoxVisible = Property(bool, lambda self: self._spinBoxVisible, setSpinBoxVisible)


@standIn
class ctkDoubleSlider(QtWidgets.QWidget):
    valueChanged = Signal(float)
    sliderMoved = Signal(float)
    sliderPressed = Signal()
    sliderReleased = Signal()
    rangeChanged = Signal(float, float)
    vars().update(
        stored(
            "ctkDoubleSlider",
            singleStep=1.0,
            pageStep=10.0,
            minimum=0.0,
            maximum=99.0,
            tickInterval=0.0,
            tickPosition=0,
            tracking=True,
            orientation=1,
            handleToolTip="",
            invertedAppearance=False,
            invertedControls=False,
        )
    )

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._value = 0.0

    def setValue(self, value: float) -> None:
        value = min(max(float(value), self.minimum), self.maximum)
        if value != self._value:
            self._value = value
            self.valueChanged.emit(value)

    value = Property(float, lambda self: self._value, setValue)


@standIn
class ctkRangeWidget(QtWidgets.QWidget):
    minimumValueChanged = Signal(float)
    minimumValueIsChanging = Signal(float)
    maximumValueChanged = Signal(float)
    maximumValueIsChanging = Signal(float)
    valuesChanged = Signal(float, float)
    rangeChanged = Signal(float, float)
    vars().update(
        stored(
            "ctkRangeWidget",
            tickInterval=0.0,
            autoSpinBoxWidth=True,
            spinBoxTextAlignment=2,
            spinBoxAlignment=128,
            tracking=True,
            symmetricMoves=False,
        )
    )

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._boxes = (QtWidgets.QDoubleSpinBox(), QtWidgets.QDoubleSpinBox())
        _row(self, *self._boxes)
        self._boxes[1].value = self._boxes[1].maximum
        for box in self._boxes:
            box.valueChanged.connect(self._onChanged)

    def _onChanged(self) -> None:
        low, high = (box.value for box in self._boxes)
        self.minimumValueChanged.emit(low)
        self.maximumValueChanged.emit(high)
        self.valuesChanged.emit(low, high)

    def _setBoth(self, name: str, value) -> None:
        for box in self._boxes:
            setattr(box, name, value)

    def setRange(self, minimum: float, maximum: float) -> None:
        for box in self._boxes:
            box.setRange(minimum, maximum)
        self.rangeChanged.emit(minimum, maximum)

    def setValues(self, low: float, high: float) -> None:
        self._boxes[0].value = min(low, high)
        self._boxes[1].value = max(low, high)

    def setMinimumValue(self, value: float) -> None:
        self._boxes[0].value = value

    def setMaximumValue(self, value: float) -> None:
        self._boxes[1].value = value

    def setDecimals(self, decimals: int) -> None:
        self._setBoth("decimals", decimals)

    decimals = Property(int, lambda self: self._boxes[0].decimals, setDecimals)
    singleStep = Property(float, lambda s: s._boxes[0].singleStep, lambda s, v: s._setBoth("singleStep", v))
    prefix = Property(str, lambda s: s._boxes[0].prefix, lambda s, v: s._setBoth("prefix", v))
    suffix = Property(str, lambda s: s._boxes[0].suffix, lambda s, v: s._setBoth("suffix", v))
    minimum = Property(float, lambda s: s._boxes[0].minimum, lambda s, v: s.setRange(v, max(v, s.maximum)))
    maximum = Property(float, lambda s: s._boxes[0].maximum, lambda s, v: s.setRange(min(v, s.minimum), v))
    minimumValue = Property(float, lambda s: s._boxes[0].value, setMinimumValue)
    maximumValue = Property(float, lambda s: s._boxes[1].value, setMaximumValue)


@standIn
class qMRMLSliderWidget(ctkSliderWidget):
    vars().update(stored("qMRMLSliderWidget", quantity="", unitAwareProperties=0, orientation=1))

    def setQuantity(self, quantity: str) -> None:
        self.quantity = quantity

    def setMRMLScene(self, scene) -> None:
        self._scene = scene


@standIn
class qMRMLSpinBox(ctkDoubleSpinBox):
    vars().update(stored("qMRMLSpinBox", quantity="", unitAwareProperties=0))

    def setQuantity(self, quantity: str) -> None:
        self.quantity = quantity

    def setMRMLScene(self, scene) -> None:
        self._scene = scene


@standIn
class qMRMLRangeWidget(ctkRangeWidget):
    vars().update(stored("qMRMLRangeWidget", quantity=""))

    def setQuantity(self, quantity: str) -> None:
        self.quantity = quantity

    def setMRMLScene(self, scene) -> None:
        self._scene = scene


__all__ = [name for name in dir() if name.startswith(("ctk", "qMRML"))]
