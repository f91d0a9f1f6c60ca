"""The modules ``qt`` and ``ctk``, and the qMRML names in ``slicer``."""

from __future__ import annotations

import sys
import types

import slicer
from PySide6 import QtCore

from . import ctk_numbers, ctk_widgets, facts, pythonqt, qmrml_views, qmrml_widgets
from .modules import HostScriptedModule, qSlicerScriptedLoadableModuleWidget
from .standin import notStoodIn
from .uiloader import HostUiLoader

__all__ = ["install"]

# SampleData needs a network and the application's own data; what modules register is kept here.
registeredSamples: list[dict] = []


class _QtModule(types.ModuleType):
    """``qt``: Qt's classes and nothing of PySide6's own."""

    isPlaceholder = False

    def __getattr__(self, name: str):
        raise AttributeError(f"module 'qt' has no attribute {name!r}; Qt 5 and Qt 6 may both be in use.")


class _CtkModule(types.ModuleType):
    """``ctk``: the stand-ins; a real class without one can be named but not made."""

    isPlaceholder = False

    def __getattr__(self, name: str):
        if name in facts.classNames() or name in facts.ctkClassesWithoutFacts:
            setattr(self, name, notStoodIn(name))
            return vars(self)[name]
        raise AttributeError(f"module 'ctk' has no attribute {name!r}.")


def _slicerAttribute(name: str):
    if name in facts.classNames():
        setattr(slicer, name, notStoodIn(name))
        return vars(slicer)[name]
    raise AttributeError(f"module 'slicer' has no attribute {name!r}.")


def _sampleDataModule() -> types.ModuleType:
    class SampleDataLogic:
        """Keeps what modules register, so that tests can run the downloaders themselves."""

        @staticmethod
        def registerCustomSampleDataSource(**kwargs) -> None:
            if not {"category", "sampleName"} <= set(kwargs):
                raise TypeError("A sample data source needs a category and a sampleName.")
            registeredSamples.append(kwargs)

    module = types.ModuleType("SampleData")
    module.SampleDataLogic = SampleDataLogic
    return module


def install() -> None:
    """Turns the headless placeholders into the modules, in place, for those who imported them already."""
    qt, ctk = sys.modules["qt"], sys.modules["ctk"]
    qt.__class__, ctk.__class__ = _QtModule, _CtkModule
    vars(qt).update(pythonqt.qtClasses())
    qt.Qt = QtCore.Qt
    qt.QUiLoader = HostUiLoader
    pythonqt.standIns["HostUiLoader"] = HostUiLoader
    for module in (ctk_widgets, ctk_numbers, qmrml_widgets, qmrml_views):
        for name in module.__all__:
            setattr(ctk if name.startswith("ctk") else slicer, name, getattr(module, name))
    slicer.qSlicerWidget = qmrml_widgets.qMRMLWidget
    slicer.qSlicerScriptedLoadableModule = HostScriptedModule
    slicer.qSlicerScriptedLoadableModuleWidget = qSlicerScriptedLoadableModuleWidget
    slicer.__getattr__ = _slicerAttribute
    sys.modules["SampleData"] = _sampleDataModule()
