"""A module of another extension in this process, for as long as a test needs it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import host
from PrognosisLib import systems
from PrognosisLib.worker import shared_worker


@contextmanager
def foreign_module(folder: Path) -> Iterator[Path]:
    """The module's folder on the import path, as Slicer has it; afterwards every trace of it is gone."""
    name = folder.name
    paths, known, samples = list(sys.path), dict(systems.SYSTEMS), list(host.registeredSamples())
    sys.path.insert(0, str(folder))
    try:
        yield folder
    finally:
        shared_worker().close()
        sys.path[:] = paths
        systems.SYSTEMS.clear()
        systems.SYSTEMS.update(known)
        host.registeredSamples()[:] = samples
        _unload(name)
        for module in [one for one in sys.modules if one.partition(".")[0] in (name, f"{name}Lib")]:
            del sys.modules[module]


def _unload(name: str) -> None:
    if "slicer" not in sys.modules:
        return
    import slicer

    getattr(slicer, "selfTests", {}).pop(name, None)
    manager = getattr(slicer.app, "moduleManager", lambda: None)()
    if manager is not None and manager.module(name) is not None:
        from PrognosisLib import headless

        headless.unloadModule(name)
