"""Starts slicer-core's real MRML scene outside the 3D Slicer application.

``start()`` makes ``slicer.mrmlScene``, the application and module logics and a ``slicer.app`` that reads and writes
files, and registers this package's stand-ins for the parts of Slicer that are not in the slicer-core wheel
(``slicer.ScriptedLoadableModule``, ``slicer.parameterNodeWrapper``, ``slicer.i18n``, ``qt``, ``ctk``).
Nothing here is used inside Slicer. What differs from Slicer is listed in README.md beside this file.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from .application import ScriptedModule
    from .vtk_errors import VtkErrorRecorder

__all__ = [
    "completeStartup",
    "isRunningInSlicer",
    "loadModule",
    "raiseVtkErrors",
    "start",
    "unloadModule",
    "vtkErrorRecorder",
]


def isRunningInSlicer() -> bool:
    """True inside the 3D Slicer application, False in plain Python and after ``start()``."""
    slicer = sys.modules.get("slicer")
    app = getattr(slicer, "app", None)
    return app is not None and not getattr(app, "_isHeadlessStandIn", False)


def start() -> None:
    """Starts the scene and the stand-in application; does nothing in Slicer or when called again.

    With the environment variable ``PROGNOSIS_SLICER_PYTHON`` set to ``<Slicer checkout>/Base/Python``, Slicer's own
    ScriptedLoadableModule, parameterNodeWrapper and i18n are used in place of ours.

    :raises ImportError: if the slicer-core package is not installed.
    """
    if isRunningInSlicer():
        return
    from .startup import startScene

    startScene()


def loadModule(name: str, folder: str | Path | None = None) -> ScriptedModule:
    """Imports the scripted module ``<name>/<name>.py`` of this extension and registers it as ``slicer.modules.<name>``.

    The module's folder is put on ``sys.path``; its widget is not made. Loading twice returns the same module object.

    :param folder: the folder that holds ``<name>.py``; by default it is looked for beside this library and on sys.path.
    :raises PrognosisLib.errors.InputError: if there is no such file.
    """
    start()
    from .modules import loadScriptedModule

    return loadScriptedModule(name, folder)


def unloadModule(name: str) -> None:
    """Lets a loaded module's panel clean up, and forgets the module and its import."""
    import slicer

    slicer.app.moduleManager()._unload(name)
    sys.modules.pop(name, None)


def completeStartup() -> None:
    """Runs what modules connected to the application's ``startupCompleted()`` signal, once each."""
    start()
    import slicer

    slicer.app._completeStartup()


def vtkErrorRecorder() -> VtkErrorRecorder:
    """The recorder of VTK and ITK error output that ``start()`` installed."""
    start()
    from .vtk_errors import installRecorder

    return installRecorder()


def raiseVtkErrors():
    """Context manager: raises VtkError at its end if VTK or ITK wrote an error in between.

    MRML reports a failed read or write by return value and error output only; this makes it an exception.
    """
    return vtkErrorRecorder().raising()
