"""Makes the scene, the logics and ``slicer.app`` in the order that Slicer does, from the slicer-core wheel."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

from . import qt_placeholders

_started = False

# (name in slicer.modules, logic class); the order is that of their dependencies.
MODULE_LOGICS = (
    ("Colors", "vtkMRMLColorLogic"),
    ("Units", "vtkSlicerUnitsLogic"),
    ("Terminologies", "vtkSlicerTerminologiesModuleLogic"),
    ("SubjectHierarchy", "vtkSlicerSubjectHierarchyModuleLogic"),
    ("Volumes", "vtkSlicerVolumesLogic"),
    ("Models", "vtkSlicerModelsLogic"),
    ("Transforms", "vtkSlicerTransformLogic"),
    ("Annotations", "vtkSlicerAnnotationModuleLogic"),
    ("Markups", "vtkSlicerMarkupsLogic"),
    ("Segmentations", "vtkSlicerSegmentationsModuleLogic"),
    ("Tables", "vtkSlicerTablesLogic"),
    ("Texts", "vtkSlicerTextsLogic"),
    ("Plots", "vtkSlicerPlotsLogic"),
    ("Sequences", "vtkSlicerSequencesLogic"),
    ("CropVolume", "vtkSlicerCropVolumeLogic"),
)

OWN_MODULES = {
    "slicer.i18n": ".i18n",
    "slicer.ScriptedLoadableModule": ".base",
    "slicer.parameterNodeWrapper": ".parameter_node",
}


def startScene() -> None:
    """Starts everything once; see ``PrognosisLib.headless.start``."""
    global _started
    if _started:
        return
    import slicer

    from .vtk_errors import installRecorder

    installRecorder()
    qt_placeholders.install()
    _removeFlattenedNames(slicer)
    scene, logics = _makeScene(slicer)
    _registerApplication(slicer, scene, logics)
    _registerPythonBase(slicer)
    from .subject_hierarchy import SubjectHierarchyKeeper

    slicer.app._subjectHierarchyKeeper = SubjectHierarchyKeeper(scene)
    _started = True


def _removeFlattenedNames(slicer) -> None:
    """The wheel copies slicer.util's names into slicer, where Slicer has none of them."""
    import slicer.slicer_core as core

    for name in [name for name in vars(slicer) if not name.startswith("_") and name not in ("util", "slicer_core")]:
        if not hasattr(core, name):
            delattr(slicer, name)


def _makeScene(slicer) -> tuple[object, dict[str, object]]:
    scene = slicer.vtkMRMLScene()
    slicer.mrmlScene = scene
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene)
    applicationLogic = slicer.vtkSlicerApplicationLogic()
    logics: dict[str, object] = {"Application": applicationLogic}

    colorLogic = slicer.vtkMRMLColorLogic()
    colorLogic.SetMRMLScene(scene)
    applicationLogic.SetMRMLScene(scene)
    applicationLogic.SetColorLogic(colorLogic)
    colorLogic.AddDefaultColorNodes()

    import vtk

    applicationLogic.SetSliceLogics(vtk.vtkCollection())
    applicationLogic.SetViewLogics(vtk.vtkCollection())

    remoteLogic = slicer.vtkMRMLRemoteIOLogic()
    dataLogic = slicer.vtkDataIOManagerLogic()
    dataLogic.SetMRMLApplicationLogic(applicationLogic)
    dataLogic.SetAndObserveDataIOManager(remoteLogic.GetDataIOManager())
    applicationLogic.SetMRMLSceneDataIO(scene, remoteLogic, dataLogic)
    logics["RemoteIO"], logics["DataIO"] = remoteLogic, dataLogic

    crosshair = slicer.vtkMRMLCrosshairNode()
    crosshair.SetCrosshairName("default")
    scene.AddNode(crosshair)

    for name, className in MODULE_LOGICS:
        logic = colorLogic if name == "Colors" else getattr(slicer, className)()
        if logic is not colorLogic:
            logic.SetMRMLApplicationLogic(applicationLogic)
            # The wheel ships no terminology files, about which their logic complains here.
            vtk.vtkObject.SetGlobalWarningDisplay(name != "Terminologies")
            logic.SetMRMLScene(scene)
            vtk.vtkObject.GlobalWarningDisplayOn()
        applicationLogic.SetModuleLogic(name, logic)
        logics[name] = logic
    return scene, logics


def _registerApplication(slicer, scene, logics: dict[str, object]) -> None:
    from . import application

    slicer.modules = application.Modules()
    slicer.moduleNames = application.Modules()
    slicer.selfTests = {}
    slicer.qSlicerScriptedLoadableModule = application.ScriptedModule
    slicer.qSlicerScriptedLoadableModuleWidget = application.ScriptedModuleWidget
    slicer.app = application.Application(scene, logics)
    for name, _className in MODULE_LOGICS:
        slicer.app.moduleManager()._register(application.CoreModule(name, logics[name]))


def _registerPythonBase(slicer) -> None:
    """Puts slicer.i18n, ScriptedLoadableModule and parameterNodeWrapper in place: Slicer's own if asked, else ours."""
    originals = os.environ.get("PROGNOSIS_SLICER_PYTHON")
    if originals:
        folder = Path(originals) / "slicer"
        if not (folder / "ScriptedLoadableModule.py").is_file():
            raise ImportError(
                f"PROGNOSIS_SLICER_PYTHON is {originals!r}, which holds no slicer/ScriptedLoadableModule.py: "
                "set it to the Base/Python folder of a Slicer checkout."
            )
        slicer.__path__.append(str(folder))
    for name, ownName in OWN_MODULES.items():
        module = importlib.import_module(name) if originals else importlib.import_module(ownName, __package__)
        sys.modules[name] = module
        setattr(slicer, name.rpartition(".")[2], module)
