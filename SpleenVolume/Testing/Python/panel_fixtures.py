"""pytest fixtures of the panel's tests: `from panel_fixtures import *`."""

from __future__ import annotations

from dataclasses import fields

import pytest
from panel_cases import PhantomSystem, add_volume, write_test_bundle

from host.fixtures import host_scene, make_widget

__all__ = ["a_panel", "a_volume_node", "host_scene", "make_widget", "run_to_end", "test_bundle"]


@pytest.fixture(scope="session")
def test_bundle(tmp_path_factory):
    return write_test_bundle(tmp_path_factory.mktemp("bundle") / "Bundle")


@pytest.fixture
def a_volume_node(host_scene):
    return add_volume()


@pytest.fixture
def a_panel(make_widget, host_scene, test_bundle, monkeypatch):
    """SpleenVolume's real panel with the pipeline of panel_cases.py; nothing of it is left after the test."""
    from PrognosisLib import systems
    from PrognosisLib.panel import dependencies, widget
    from PrognosisLib.worker import shared_worker

    real = systems.SYSTEMS["spleen"]
    known = {field.name: getattr(real, field.name) for field in fields(systems.System)}
    monkeypatch.setitem(systems.SYSTEMS, "spleen", PhantomSystem(**known, bundle_path=str(test_bundle)))
    monkeypatch.setattr(dependencies, "missingPackages", lambda path=None: [])
    assert widget.ensurePackages is dependencies.ensurePackages
    yield make_widget("SpleenVolume")
    shared_worker().close()


@pytest.fixture
def run_to_end(a_panel):
    """Presses Apply and waits until the run has ended."""
    import host

    def run(seconds: float = 60.0):
        a_panel.ui.applyButton.click()
        assert a_panel.runControl.isBusy
        host.pump(seconds, until=lambda: not a_panel.runControl.isBusy)

    return run
