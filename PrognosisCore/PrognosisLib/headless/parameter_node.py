"""``slicer.parameterNodeWrapper`` outside Slicer: typed access to a module's parameter node.

Written from the documented behavior; values are stored as Slicer stores them (see serializers.py), so a scene saved
by one is read by the other. Binding to widgets needs a GUI host, which sets ``guiConnectorFactory``.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import slicer
import vtk

from .parameter_pack import (
    FloatRange,
    ParameterInfo,
    dataTypeOf,
    declaredParameters,
    isParameterPack,
    nestedParameterNames,
    parameterPack,
    splitName,
)
from .serializers import splitAnnotations, unannotatedType
from .validators import (
    Choice,
    Decimals,
    Default,
    Exclude,
    IsInstance,
    Maximum,
    Minimum,
    NotNone,
    RangeBounds,
    SingleStep,
    Validator,
    WithinRange,
)

__all__ = [
    "Choice",
    "Decimals",
    "Default",
    "Exclude",
    "FloatRange",
    "IsInstance",
    "Maximum",
    "Minimum",
    "NotNone",
    "RangeBounds",
    "SingleStep",
    "SlicerParameterNamePropertyName",
    "Validator",
    "WithinRange",
    "isParameterNodeWrapper",
    "isParameterPack",
    "nestedParameterNames",
    "parameterNodeWrapper",
    "parameterPack",
    "splitAnnotations",
    "unannotatedType",
]

SlicerParameterNamePropertyName = "SlicerParameterName"

# (widget, annotated type) -> connector with onChanged(callback or None), read() and write(value); set by a GUI host.
guiConnectorFactory: Callable[[Any, Any], Any] | None = None


class _Parameter:
    """One parameter of one parameter node, its value cached until the node changes."""

    def __init__(self, info: ParameterInfo, node, prefix: str) -> None:
        self.info = info
        self.node = node
        self.name = f"{prefix}{info.basename}"
        if not info.serializer.isIn(node, self.name):
            info.serializer.write(node, self.name, info.default.value)
        self._value = None
        self._isWriting = False
        self._tag = None
        if info.serializer.cacheable:
            self._value = info.serializer.read(node, self.name)
            # A strong reference would keep this object, and its observer, alive with the node.
            reference = weakref.ref(self)
            self._tag = node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: reference()._onModified())

    def __del__(self) -> None:
        if getattr(self, "_tag", None) is not None:
            self.node.RemoveObserver(self._tag)

    def _stored(self) -> Any:
        # Closing the scene empties a singleton parameter node, so the default is written again.
        if not self.info.serializer.isIn(self.node, self.name):
            self.info.serializer.write(self.node, self.name, self.info.default.value)
        return self.info.serializer.read(self.node, self.name)

    def _onModified(self) -> None:
        if not self._isWriting:
            self._value = self._stored()

    def read(self) -> Any:
        return self._value if self._tag is not None else self._stored()

    def write(self, value: Any) -> None:
        self._isWriting = True
        try:
            # The cache is renewed before the node's observers run.
            with slicer.util.NodeModify(self.node):
                self.info.serializer.write(self.node, self.name, value)
                if self._tag is not None:
                    self._value = self.info.serializer.read(self.node, self.name)
        finally:
            self._isWriting = False


class _Wrapper:
    """The methods that the decorator gives to a parameter node class."""

    _is_parameter_node_wrapper = True

    def __init__(self, parameterNode, prefix: str | None = None) -> None:
        if parameterNode is None:
            raise ValueError("A parameter node wrapper needs a parameter node, not None.")
        self.parameterNode = parameterNode
        self._parameters = {
            name: _Parameter(info, parameterNode, prefix or "") for name, info in self.allParameters.items()
        }
        self._guiConnections: dict[int, tuple[dict[str, Any], int]] = {}
        self._nextGuiTag = 0
        self._isUpdatingGui = False

    def default(self, name: str) -> Default:
        """The Default of a parameter."""
        self.dataType(name)
        return self.allParameters[name].default

    def isCached(self, name: str) -> bool:
        """Whether reading the parameter does not read the node."""
        self.dataType(name)
        return self.allParameters[name].serializer.cacheable

    def getValue(self, name: str) -> Any:
        """The value of a possibly dotted parameter name."""
        self.dataType(name)
        head, rest = splitName(name)
        value = self._parameters[head].read()
        return value if rest is None else value.getValue(rest)

    def setValue(self, name: str, value: Any) -> None:
        """Sets a possibly dotted parameter name."""
        self.dataType(name)
        head, rest = splitName(name)
        if rest is None:
            self._parameters[head].write(value)
        else:
            self._parameters[head].read().setValue(rest, value)

    def StartModify(self) -> int:
        return self.parameterNode.StartModify()

    def EndModify(self, wasModifying: int) -> int:
        return self.parameterNode.EndModify(wasModifying)

    def Modified(self) -> None:
        self.parameterNode.Modified()

    def AddObserver(self, event: Any, callback: Callable, priority: float = 0.0) -> int:
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag: int) -> None:
        self.parameterNode.RemoveObserver(tag)

    # Widgets

    def connectGui(self, gui: Any) -> int:
        """Binds each widget with a ``SlicerParameterName`` property; returns a tag for ``disconnectGui``.

        :param gui: a widget, or the object that slicer.util.childWidgetVariables returned.
        """
        if getattr(gui, "isWidgetType", lambda: False)():
            import qt

            widgets = gui.findChildren(qt.QWidget)
        else:
            widgets = [widget for widget in vars(gui).values() if hasattr(widget, "property")]
        named = {widget.property(SlicerParameterNamePropertyName): widget for widget in widgets}
        return self.connectParametersToGui({name: widget for name, widget in named.items() if name})

    def connectParametersToGui(self, mapping: dict[str, Any]) -> int:
        """Binds widgets by parameter name.

        :raises ValueError: if a name is no parameter of this node.
        """
        types = {name: self.dataType(name) for name in mapping}
        if guiConnectorFactory is None:
            raise RuntimeError("Parameters can be bound to widgets only in Slicer or in a GUI host.")
        connectors = {name: guiConnectorFactory(widget, types[name]) for name, widget in mapping.items()}
        tag = self._nextGuiTag
        self._nextGuiTag += 1
        for name, connector in connectors.items():
            connector.write(self.getValue(name))
            connector.onChanged(self._guiCallback(name, connector))
        observer = self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._updateGui())
        self._guiConnections[tag] = (connectors, observer)
        return tag

    def disconnectGui(self, tag: int) -> None:
        """Undoes a binding."""
        connectors, observer = self._guiConnections.pop(tag, ({}, None))
        for connector in connectors.values():
            connector.onChanged(None)
        if observer is not None:
            self.RemoveObserver(observer)

    def _guiCallback(self, name: str, connector: Any) -> Callable[[], None]:
        def callback() -> None:
            if not self._isUpdatingGui:
                with slicer.util.NodeModify(self):
                    self.setValue(name, connector.read())

        return callback

    def _updateGui(self) -> None:
        if self._isUpdatingGui:
            return
        self._isUpdatingGui = True
        try:
            with slicer.util.NodeModify(self):
                for connectors, _observer in self._guiConnections.values():
                    for name, connector in connectors.items():
                        connector.write(self.getValue(name))
        finally:
            self._isUpdatingGui = False


def _property(name: str) -> property:
    return property(
        lambda self: self._parameters[name].read(),
        lambda self, value: self._parameters[name].write(value),
    )


def parameterNodeWrapper(classtype: type | None = None):
    """Class decorator: annotated members become typed parameters of a vtkMRMLScriptedModuleNode.

    :raises ValueError: if the class uses a name that the wrapper needs itself.
    :raises TypeError: if a member's type cannot be stored.
    """
    if classtype is None:
        return parameterNodeWrapper
    parameters = declaredParameters(classtype)
    reserved = [name for name in vars(_Wrapper) if not name.startswith("__")]
    for name in ("allParameters", "dataType", *reserved):
        if name in vars(classtype) or name in parameters:
            raise ValueError(f"The name {name!r} is reserved in a parameter node wrapper.")
    for name in reserved:
        setattr(classtype, name, vars(_Wrapper)[name])
    for name in parameters:
        setattr(classtype, name, _property(name))
    classtype.__init__ = _Wrapper.__init__
    classtype.allParameters = parameters
    classtype.dataType = staticmethod(lambda name: dataTypeOf(classtype, name))
    return classtype


def isParameterNodeWrapper(classOrInstance: Any) -> bool:
    """Whether it is a parameter node wrapper."""
    return getattr(classOrInstance, "_is_parameter_node_wrapper", False)
