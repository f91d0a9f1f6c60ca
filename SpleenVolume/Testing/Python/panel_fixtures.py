"""pytest fixtures of the panel's tests: `from panel_fixtures import *`."""

from __future__ import annotations

import pytest
from panel_cases import add_volume, write_test_bundle
from panel_kit import finish, stand_in

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
    from PrognosisLib.worker import shared_worker

    stand_in(monkeypatch, "spleen", "panel_cases:BrightnessPipeline", test_bundle)
    yield make_widget("SpleenVolume")
    shared_worker().close()


@pytest.fixture
def run_to_end(a_panel):
    """Presses Apply and waits until the run has ended."""

    def run(seconds: float = 60.0):
        a_panel.ui.applyButton.click()
        assert a_panel.runControl.isBusy
        finish(a_panel, seconds)

    return run
