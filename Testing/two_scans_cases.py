"""The module two_scans for tests: its scans and fixtures, `from two_scans_cases import *`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from foreign_module import foreign_module

from host.fixtures import host_scene, make_widget
from PrognosisLib.volume import Volume

__all__ = ["LATER", "MATRIX", "SPOT", "either", "folder", "host_scene", "logic", "make_widget", "ml", "module", "scan"]

SOURCE = Path(__file__).parent / "two_scans"
MATRIX = np.array([[-1.0, 0, 0, 12], [0, -1.0, 0, 14], [0, 0, 5, -20], [0, 0, 0, 1.0]])
SPOT, LATER = (slice(4, 7), slice(10, 16), slice(8, 14)), (slice(4, 8), slice(9, 17), slice(8, 14))


def scan(spot: tuple | None = SPOT, name: str = "CT") -> Volume:
    array = np.full((10, 28, 26), 20, np.int16)
    array[0] = -1000
    if spot is not None:
        array[spot] = 75
    return Volume(array, MATRIX, "CT", name)


def ml(spot: tuple) -> float:
    return np.prod([part.stop - part.start for part in spot]) * 5.0 / 1000.0


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """The module with a bundle."""
    from PrognosisLib.bundles.bundle import image_format, segmentation_format, write_bundle

    copy = tmp_path_factory.mktemp("extension") / "TwoScans"
    shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    metadata = {
        "name": "Two scans",
        "version": "1.0.0",
        "system": "two",
        "network_data_format": {
            "inputs": {"image": image_format("CT", ["CT"], 1, [-1024, 3071])},
            "outputs": {"pred": segmentation_format(["background", "Bright"], 1)},
        },
        "training": {"cohort": {"simulated": False}},
    }
    files = {"docs/README.md": "# Two scans\n", "docs/data_license.txt": "None.\n", "LICENSE": "Apache-2.0\n"}
    write_bundle(copy / "Resources/Bundle/TwoScans", metadata, files, classes=2)
    return copy


@pytest.fixture
def module(folder) -> Iterator[Path]:
    with foreign_module(folder) as path:
        yield path


@pytest.fixture
def either(module):
    """From here on the module needs one of its scans, whichever it is."""
    import TwoScansLib

    from PrognosisLib.systems import register

    roles = tuple(replace(role, required=False) for role in TwoScansLib.SYSTEM.roles)
    TwoScansLib.SYSTEM = register(replace(TwoScansLib.SYSTEM, roles=roles))
    return TwoScansLib.SYSTEM


@pytest.fixture
def logic(module, host_scene):
    from PrognosisLib import headless

    headless.loadModule("TwoScans")
    from TwoScans import TwoScansLogic

    return TwoScansLogic()
