"""Runs a module's real panel on PySide6 over slicer-core's real MRML scene, strictly, for tests.

``start()``, ``widget = makeWidget("SpleenVolume")``, press its buttons, ``pump(...)``, ``checkNoErrors()``,
``close(widget)``. What differs from Slicer is listed in README.md.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

__all__ = [
    "HostError",
    "answer",
    "checkNoErrors",
    "clippedTexts",
    "close",
    "dialogs",
    "expectingError",
    "loadUI",
    "makeWidget",
    "pump",
    "registeredSamples",
    "screenshot",
    "selectedModule",
    "start",
]

from .immortal import protectSingletons
from .records import HostError, records

_isStarted = False


def start() -> None:
    """Starts the scene, the QApplication and the modules ``qt`` and ``ctk``, once per process.

    :raises RuntimeError: inside Slicer, where the real thing is there.
    """
    global _isStarted
    if _isStarted:
        return
    from PrognosisLib import headless

    if headless.isRunningInSlicer():
        raise RuntimeError("The host stands in for Slicer; inside Slicer use its own testing.")
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    protectSingletons()
    headless.start()
    from PrognosisLib.headless import parameter_node

    from . import application, dialog_recorder, parameter_gui, uiloader
    from .records import installHooks

    application.install()
    from PySide6 import QtCore

    from . import modules, qtmodule

    dialog_recorder.install()
    qtmodule.install()
    modules.registerSegmentEditor()
    parameter_node.guiConnectorFactory = parameter_gui.createConnector
    QtCore.qInstallMessageHandler(uiloader.onQtMessage)
    installHooks()
    _isStarted = True


def makeWidget(name: str, folder: str | Path | None = None) -> Any:
    """Loads a module, makes its panel as Slicer does (``setup()``) and selects it (``enter()``).

    :returns: the module's Python widget.
    :raises Exception: what ``setup()`` or ``enter()`` raised.
    """
    start()
    import slicer

    from PrognosisLib import headless

    from . import inspection

    module = headless.loadModule(name, folder)
    try:
        headless.completeStartup()
        widget = module.widgetRepresentation().self()
        slicer.util.selectModule(name)
    except Exception:
        halfMade = getattr(slicer.modules, f"{name}Widget", None)
        if halfMade is not None:
            halfMade.cleanup = getattr(halfMade, "removeObservers", lambda: None)
        _unload(name)
        raise
    module.widgetRepresentation().show()
    inspection.checkScenes(module.widgetRepresentation())
    pump(0)
    return widget


def close(widget: Any) -> None:
    """Leaves the panel and unloads its module, as closing Slicer does; what it leaves running is an error."""
    from . import inspection

    name = widget.moduleName
    if selectedModule() == name:
        getattr(widget, "exit", lambda: None)()
    _unload(name)
    inspection.checkNothingRuns(widget)
    observers = getattr(widget, "Observations", None)
    if observers:
        records.add(f"{name}Widget.cleanup() left observers: {observers}.")
    pump(0)


def _unload(name: str) -> None:
    """Unloads a module and deletes its panel."""
    import slicer

    from PrognosisLib import headless

    module = slicer.app.moduleManager().module(name)
    selector = slicer.util.mainWindow().moduleSelector()
    if selector.selectedModule == name:
        selector.selectedModule = ""
    headless.unloadModule(name)
    module._forgetWidget()


def pump(seconds: float = 0.0, until: Callable[[], object] | None = None) -> None:
    """Lets Qt's event loop run, for a time or until a condition holds.

    :raises TimeoutError: if the condition did not hold in that time.
    """
    from PySide6 import QtCore, QtWidgets

    end = time.monotonic() + seconds
    while True:
        QtWidgets.QApplication.processEvents()
        QtCore.QCoreApplication.sendPostedEvents(None, QtCore.QEvent.Type.DeferredDelete.value)
        if until is not None and until():
            return
        if time.monotonic() >= end:
            break
        time.sleep(0.005)
    if until is not None:
        raise TimeoutError(f"The condition did not hold within {seconds} s. Errors so far: {records.errors or 'none'}")


def checkNoErrors() -> None:
    """Raises HostError if anything went wrong since the last check, and forgets it.

    That is: an exception in a handler or callback, a silent misuse of Qt, a VTK error, a warning or error dialog that
    no test took, or a prepared answer that nobody asked for.
    """
    from PrognosisLib import headless

    from . import dialog_recorder

    pump(0)
    recorder = headless.vtkErrorRecorder()
    problems = records.take() + [f"VTK: {text}" for text in recorder.errors]
    problems += [f"dialog: {dialog}" for dialog in dialog_recorder.untaken()]
    problems += [f"unused answer: {value!r}" for value in dialog_recorder.pendingAnswers()]
    recorder.clear()
    dialog_recorder.reset()
    if problems:
        raise HostError("\n".join(problems))


@contextlib.contextmanager
def expectingError(pattern: str) -> Iterator[None]:
    """Expects a recorded error that matches a regular expression, such as a handler's exception."""
    with records.expecting(pattern):
        yield
        pump(0)


def answer(*values: Any) -> None:
    """Prepares answers for the next dialogs: ``yes``, ``no``, ``ok``, ``cancel``, a path or a text."""
    from . import dialog_recorder

    dialog_recorder.answer(*values)


def dialogs() -> list:
    """Takes the dialogs that were opened: ``kind``, ``title``, ``text`` and ``details`` of each."""
    from . import dialog_recorder

    return dialog_recorder.take()


def screenshot(widget: Any, path: str | Path, width: int = 480) -> Path:
    """Writes a picture of a panel (the Python widget or a Qt widget)."""
    from . import inspection

    return inspection.screenshot(_qtWidget(widget), path, width)


def clippedTexts(widget: Any, width: int = 480) -> list[str]:
    """``name: text`` of each visible text of a panel that does not fit."""
    from . import inspection

    return inspection.clippedTexts(_qtWidget(widget), width)


def selectedModule() -> str:
    """The name of the module whose panel is shown."""
    import slicer

    return slicer.util.mainWindow().moduleSelector().selectedModule


def registeredSamples() -> list[dict]:
    """What modules registered with Sample Data."""
    from . import qtmodule

    return qtmodule.registeredSamples


def loadUI(path: str | Path) -> Any:
    """Loads a .ui file strictly, without a module."""
    start()
    import slicer

    return slicer.util.loadUI(str(path))


def _qtWidget(widget: Any) -> Any:
    return widget.parent if hasattr(widget, "moduleName") else widget
