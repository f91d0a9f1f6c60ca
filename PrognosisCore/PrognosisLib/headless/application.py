"""``slicer.app``, ``slicer.modules`` and the module manager for a process without the Slicer application.

Only members that Slicer has are offered, and only those that mean something without a GUI; the rest raise
AttributeError. The GUI host for tests makes its application a subclass of ``Application``.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable
from importlib import metadata

from .iomanager import CoreIOManager

__all__ = ["Application", "CoreModule", "ModuleManager", "Modules", "ScriptedModule", "ScriptedModuleWidget"]


class Modules:
    """``slicer.modules``: one attribute per module, by its name in lower case."""


class CoreModule:
    """A loadable module of Slicer's own of which the wheel holds the logic, such as ``slicer.modules.volumes``."""

    def __init__(self, name: str, logic: object) -> None:
        self.name = name
        self.title = name
        self._logic = logic

    def logic(self) -> object:
        """The real module logic."""
        return self._logic

    def widgetRepresentation(self) -> None:
        """None: there is no GUI."""
        return None


class ScriptedModule:
    """A scripted module of an extension, as ``slicer.modules.<name>`` and as the ``parent`` of its module class."""

    def __init__(self, name: str, path: str) -> None:
        self.name = name
        self.path = path
        self.title = name
        self.categories: list[str] = []
        self.dependencies: list[str] = []
        self.contributors: list[str] = []
        self.helpText = ""
        self.acknowledgementText = ""
        self.hidden = False
        self.widgetVisible = True
        self.icon = None
        self.instance: object | None = None

    def logic(self) -> None:
        """None: the Python logic of a scripted module is made by its widget or by the caller."""
        return None

    def widgetRepresentation(self) -> ScriptedModuleWidget | None:
        """The widget's holder once a GUI host made one, else None."""
        return None


class ScriptedModuleWidget:
    """The C++ holder of a scripted module's widget; made only by a GUI host."""


class _Signals:
    """Slicer's string-named connections for an object without Qt."""

    _SIGNALS: tuple[str, ...] = ()

    def __init__(self) -> None:
        self._handlers: dict[str, list[Callable]] = {signal: [] for signal in self._SIGNALS}

    def connect(self, signal: str, handler: Callable) -> bool:
        """Connects a callable.

        :raises ValueError: if there is no such signal; Slicer prints that and returns False.
        """
        if signal not in self._handlers:
            raise ValueError(f"{type(self).__name__} has no signal {signal!r}.")
        self._handlers[signal].append(handler)
        return True

    def disconnect(self, signal: str, handler: Callable) -> bool:
        """Undoes a connection; False if there was none."""
        handlers = self._handlers.get(signal, [])
        if handler not in handlers:
            return False
        handlers.remove(handler)
        return True

    def _emit(self, signal: str, *args) -> None:
        for handler in list(self._handlers[signal]):
            handler(*args)


class _FactoryManager:
    """What slicer.util.moduleNames() asks."""

    def __init__(self, modules: dict[str, CoreModule | ScriptedModule]) -> None:
        self._modules = modules

    def loadedModuleNames(self) -> tuple[str, ...]:
        return tuple(self._modules)


class ModuleManager(_Signals):
    """``slicer.app.moduleManager()``."""

    _SIGNALS = ("moduleAboutToBeUnloaded(QString)", "moduleLoaded(QString)")

    def __init__(self) -> None:
        super().__init__()
        self._modules: dict[str, CoreModule | ScriptedModule] = {}

    def _register(self, module: CoreModule | ScriptedModule) -> None:
        """Adds a module here and to ``slicer.modules``."""
        import slicer

        self._modules[module.name] = module
        setattr(slicer.modules, module.name.lower(), module)
        setattr(slicer.moduleNames, module.name, module.name)
        self._emit("moduleLoaded(QString)", module.name)

    def _unload(self, name: str) -> None:
        """Tells the module's widget to clean up and forgets the module."""
        import slicer

        self._emit("moduleAboutToBeUnloaded(QString)", name)
        del self._modules[name]
        delattr(slicer.modules, name.lower())

    def module(self, name: str) -> CoreModule | ScriptedModule | None:
        """The module of that name, None if there is none."""
        return self._modules.get(name)

    def factoryManager(self) -> _FactoryManager:
        """Knows which modules are loaded."""
        return _FactoryManager(self._modules)

    def modulesNames(self) -> tuple[str, ...]:
        """The names of all modules."""
        return tuple(self._modules)


class _Environment:
    """What slicer.util.startupEnvironment() needs of Qt's QProcessEnvironment."""

    def keys(self) -> list[str]:
        return list(os.environ)

    def value(self, name: str) -> str:
        return os.environ[name]


class Application(_Signals):
    """``slicer.app`` without a GUI."""

    _SIGNALS = ("startupCompleted()", "aboutToQuit()", "mrmlSceneChanged(vtkMRMLScene*)")
    _isHeadlessStandIn = True
    applicationName = "Slicer"
    documentationBaseUrl = "https://slicer.readthedocs.io/en/latest/"
    revision = "slicer-core"

    def __init__(self, scene: object, logics: dict[str, object]) -> None:
        super().__init__()
        version = metadata.version("slicer-core")
        self.applicationVersion = version
        self.majorVersion, self.minorVersion = (int(part) for part in version.split(".")[:2])
        self._temporaryFolder: tempfile.TemporaryDirectory | None = None
        self._scene = scene
        self._logics = logics
        self._moduleManager = ModuleManager()
        self._ioManager = CoreIOManager(scene, logics)

    @property
    def temporaryPath(self) -> str:
        """A folder of this process, removed at its end."""
        if self._temporaryFolder is None:
            self._temporaryFolder = tempfile.TemporaryDirectory(prefix="prognosis-")
            self._logics["Application"].SetTemporaryPath(self._temporaryFolder.name)
        return self._temporaryFolder.name

    def mrmlScene(self) -> object:
        """The scene, which is also ``slicer.mrmlScene``."""
        return self._scene

    def applicationLogic(self) -> object:
        """The real vtkSlicerApplicationLogic."""
        return self._logics["Application"]

    def moduleManager(self) -> ModuleManager:
        """Knows the modules."""
        return self._moduleManager

    def coreIOManager(self) -> CoreIOManager:
        """Reads and writes files."""
        return self._ioManager

    def ioManager(self) -> CoreIOManager:
        """The same; without a GUI there are no file dialogs."""
        return self._ioManager

    def layoutManager(self) -> None:
        """None, as in Slicer without a main window."""
        return None

    def topLevelWidgets(self) -> tuple[()]:
        """No widgets."""
        return ()

    def testingEnabled(self) -> bool:
        """Whether Slicer's own testing mode, which answers dialogs by itself, is on: it is not."""
        return False

    def _completeStartup(self) -> None:
        """Emits ``startupCompleted()`` to handlers that have not heard it."""
        handlers, self._handlers["startupCompleted()"] = self._handlers["startupCompleted()"], []
        for handler in handlers:
            handler()

    def processEvents(self) -> None:
        """Nothing waits without a GUI."""

    def pauseRender(self) -> None:
        """Nothing is rendered."""

    def resumeRender(self) -> None:
        """Nothing is rendered."""

    def translate(self, _context: str, text: str) -> str:
        """The text itself: no translations are installed."""
        return text

    def moduleDocumentationUrl(self, name: str) -> str:
        """Where Slicer documents a module of its own."""
        return f"{self.documentationBaseUrl}user_guide/modules/{name.lower()}.html"

    def startupEnvironment(self) -> _Environment:
        """The environment variables of this process."""
        return _Environment()

    def exit(self, code: int = 0) -> None:
        """Ends the process as Slicer's exit does.

        :raises SystemExit: always.
        """
        logging.info("slicer.app.exit(%d)", code)
        self._emit("aboutToQuit()")
        raise SystemExit(code)
