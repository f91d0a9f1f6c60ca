"""pytest fixtures: ``from host.fixtures import *`` in a conftest.py or test file."""

from __future__ import annotations

import pytest

__all__ = ["host_scene", "make_widget"]


@pytest.fixture
def host_scene():
    """An empty scene in a started host; the test fails if anything went wrong that it did not expect."""
    pytest.importorskip("slicer")
    pytest.importorskip("PySide6")
    import host

    host.start()
    import slicer

    from PrognosisLib import headless

    from . import dialog_recorder
    from .records import records

    slicer.mrmlScene.Clear(0)
    records.take()
    dialog_recorder.reset()
    headless.vtkErrorRecorder().clear()
    yield slicer.mrmlScene
    try:
        host.checkNoErrors()
    finally:
        slicer.mrmlScene.Clear(0)
        records.take()
        headless.vtkErrorRecorder().clear()


@pytest.fixture
def make_widget(host_scene):
    """``make_widget("SpleenVolume")``: a panel that is closed at the end of the test."""
    import host

    widgets = []

    def make(name: str, folder=None):
        widgets.append(host.makeWidget(name, folder))
        return widgets[-1]

    yield make
    import slicer

    for widget in reversed(widgets):
        if slicer.app.moduleManager().module(widget.moduleName) is not None:
            host.close(slicer.modules.__dict__[f"{widget.moduleName}Widget"])
