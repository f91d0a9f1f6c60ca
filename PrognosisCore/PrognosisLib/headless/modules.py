"""Loads an extension's scripted modules outside Slicer."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from ..errors import InputError
from .application import ScriptedModule

EXTENSION_FOLDER = Path(__file__).resolve().parents[3]


def findModuleFile(name: str, folder: str | Path | None = None) -> Path:
    """The path of ``<name>.py``: in the given folder, else ``<extension>/<name>/``, else a folder on sys.path.

    :raises InputError: if there is none.
    """
    places = [Path(folder)] if folder is not None else [EXTENSION_FOLDER / name, *map(Path, sys.path)]
    for place in places:
        path = place / f"{name}.py"
        if path.is_file():
            return path.resolve()
    raise InputError(f"There is no module file {name}.py in {places[0]} or on sys.path: give the folder that holds it.")


def loadScriptedModule(name: str, folder: str | Path | None = None) -> ScriptedModule:
    """Imports a module file, instantiates its module class and registers it; see ``headless.loadModule``."""
    import slicer

    manager = slicer.app.moduleManager()
    known = manager.module(name)
    if known is not None:
        return known
    path = findModuleFile(name, folder)
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    pythonModule = importlib.import_module(name)
    if Path(pythonModule.__file__).resolve() != path:
        raise InputError(f"A Python module named {name} is already imported from {pythonModule.__file__}.")
    module = slicer.qSlicerScriptedLoadableModule(name, str(path))
    # Slicer makes the module class with the C++ module as its parent, which carries title, help and icon.
    module.instance = getattr(pythonModule, name)(module)
    manager._register(module)
    return module
