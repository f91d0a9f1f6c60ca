# ruff: noqa: E402
"""pytest fixtures of the tests of PrognosisLib.scene: `from scene_fixtures import *`."""

from __future__ import annotations

import numpy as np
import pytest

from PrognosisLib import headless

headless.start()

from scene_cases import GRID, clear_scene

from PrognosisLib import scene
from PrognosisLib.volume import Volume

__all__ = ["a_volume_node", "empty_scene"]


@pytest.fixture(autouse=True)
def empty_scene():
    clear_scene()
    yield
    headless.vtkErrorRecorder().check()
    clear_scene()


@pytest.fixture
def a_volume_node():
    return scene.fromVolume(Volume(np.zeros(GRID.shape, dtype=np.int16), GRID.ijk_to_ras, name="CT"))
