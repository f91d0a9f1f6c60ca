"""Scripted modules with panels, and the Segment Editor as far as other modules use it."""

from __future__ import annotations

import importlib
from typing import Any

import slicer
from PySide6 import QtWidgets

from PrognosisLib.headless.application import CoreModule, ScriptedModule

from .pythonqt import standIns
from .qmrml_views import qMRMLSegmentEditorWidget
from .qmrml_widgets import qMRMLWidget

__all__ = ["HostScriptedModule", "registerSegmentEditor"]


class qSlicerScriptedLoadableModuleWidget(qMRMLWidget):
    """Holds a module's Python widget, which is its ``self()``; the widget's ``parent``."""

    def __init__(self, module: HostScriptedModule) -> None:
        super().__init__()
        self._module = module
        self._python: Any = None
        self.setLayout(QtWidgets.QVBoxLayout())
        self.layout().addStretch(1)
        self.objectName = f"{module.name}ModuleWidget"

    def self(self) -> Any:
        return self._python

    def reload(self) -> None:
        """Makes the Python widget anew from its module's present source and sets it up."""
        name = self._module.name
        pythonModule = importlib.import_module(name)
        self._python = getattr(pythonModule, f"{name}Widget")(self)
        setattr(slicer.modules, f"{name}Widget", self._python)
        self._python.setup()


standIns["qSlicerScriptedLoadableModuleWidget"] = qSlicerScriptedLoadableModuleWidget


class HostScriptedModule(ScriptedModule):
    """``slicer.modules.<name>`` with a widget, made on first use."""

    def __init__(self, name: str, path: str) -> None:
        super().__init__(name, path)
        self._representation: qSlicerScriptedLoadableModuleWidget | None = None

    def widgetRepresentation(self) -> qSlicerScriptedLoadableModuleWidget:
        if self._representation is None:
            self._representation = qSlicerScriptedLoadableModuleWidget(self)
            self._fill(self._representation)
        return self._representation

    def createNewWidgetRepresentation(self) -> qSlicerScriptedLoadableModuleWidget:
        representation = qSlicerScriptedLoadableModuleWidget(self)
        self._fill(representation)
        return representation

    @staticmethod
    def _fill(representation: qSlicerScriptedLoadableModuleWidget) -> None:
        representation.setMRMLScene(slicer.mrmlScene)
        representation.reload()

    def _forgetWidget(self) -> None:
        """Deletes the widget."""
        if self._representation is not None:
            self._representation.delete()
            self._representation = None
            vars(slicer.modules).pop(f"{self.name}Widget", None)


class _SegmentEditorPanel:
    """``slicer.modules.SegmentEditorWidget``: its ``editor`` shows which segment another module asked for."""

    def __init__(self) -> None:
        self.editor = qMRMLSegmentEditorWidget()
        self.editor.setMRMLScene(slicer.mrmlScene)


class _SegmentEditorHolder:
    def __init__(self) -> None:
        self._panel = _SegmentEditorPanel()

    def self(self) -> _SegmentEditorPanel:
        return self._panel


class _SegmentEditorModule(CoreModule):
    def __init__(self) -> None:
        super().__init__("SegmentEditor", None)
        self._holder = _SegmentEditorHolder()

    def widgetRepresentation(self) -> _SegmentEditorHolder:
        return self._holder


def registerSegmentEditor() -> None:
    """Makes ``slicer.modules.segmenteditor`` and ``slicer.modules.SegmentEditorWidget``."""
    module = _SegmentEditorModule()
    slicer.app.moduleManager()._register(module)
    slicer.modules.SegmentEditorWidget = module.widgetRepresentation().self()
