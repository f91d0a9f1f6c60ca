# ruff: noqa: E402
"""Volume nodes become volumes and back; an unfit node is refused in words."""

from __future__ import annotations

import gc

import numpy as np
import pytest

pytest.importorskip("slicer")

from PrognosisLib import headless

headless.start()

import slicer
from scene_cases import GRID
from scene_fixtures import *  # noqa: F403

from PrognosisLib import scene
from PrognosisLib.errors import InputError
from PrognosisLib.volume import Volume


def test_a_volume_is_read_without_copying_and_survives_its_node():
    voxels = np.arange(14 * 15 * 16, dtype=np.int16).reshape(14, 15, 16)
    node = scene.fromVolume(Volume(voxels, GRID.ijk_to_ras, "CT", "Scan"))
    volume = scene.toVolume(node)
    assert np.shares_memory(volume.array, slicer.util.arrayFromVolume(node))
    assert (volume.name, volume.modality, volume.array.flags.writeable) == ("Scan", "CT", False)
    slicer.mrmlScene.RemoveNode(node)
    del node
    slicer.mrmlScene.Clear(0)
    gc.collect()
    np.testing.assert_array_equal(volume.array, voxels)


@pytest.mark.parametrize("dtype", [bool, np.float16, np.uint8, np.int32, ">i2", np.float64])
def test_any_voxel_type_is_shown(dtype):
    voxels = (np.arange(24).reshape(2, 3, 4) % 2).astype(dtype)
    node = scene.fromVolume(Volume(voxels, np.eye(4)))
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(node), voxels.astype(float))


def test_the_window_fits_the_modality():
    voxels = np.random.default_rng(0).normal(500, 100, (8, 9, 10)).astype(np.float32)
    windows = {}
    for modality in ("CT", "MR", "US"):
        display = scene.fromVolume(Volume(voxels, np.eye(4), modality)).GetDisplayNode()
        windows[modality] = (display.GetWindow(), display.GetLevel())
    assert windows["CT"] == (400, 40)
    assert windows["US"] == (255, 127.5)
    assert windows["MR"][1] == pytest.approx(500, abs=40)
    display = scene.fromVolume(Volume(voxels, np.eye(4)), window=(80, 35)).GetDisplayNode()
    assert (display.GetWindow(), display.GetLevel()) == (80, 35)


def _changed(node, change):
    change(node)
    return node


def _refused_nodes():
    def volume(array):
        return slicer.util.addVolumeFromArray(np.asarray(array))

    infinite = np.zeros((3, 4, 5), dtype=np.float32)
    infinite[1, 1, 1] = np.inf
    not_numbers = np.full((3, 4, 5), np.nan)
    add = slicer.mrmlScene.AddNewNodeByClass
    return {
        "No volume is chosen": lambda: None,
        "is not a volume": lambda: add("vtkMRMLModelNode"),
        "is a label map": lambda: slicer.util.addVolumeFromArray(
            np.zeros((3, 4, 5), np.uint8), nodeClassName="vtkMRMLLabelMapVolumeNode"
        ),
        "several values per voxel": lambda: slicer.util.addVolumeFromArray(
            np.zeros((3, 4, 5, 3), np.uint8), nodeClassName="vtkMRMLVectorVolumeNode"
        ),
        "holds no image": lambda: add("vtkMRMLScalarVolumeNode"),
        "is a sequence": lambda: add("vtkMRMLSequenceNode"),
        "NaN or infinite": lambda: volume(infinite),
        "not numbers": lambda: volume(not_numbers),
        "spacing of zero": lambda: _changed(volume(np.zeros((3, 4, 5))), lambda node: node.SetSpacing(1, 0, 1)),
        "no valid IJK-to-RAS matrix": lambda: _changed(
            volume(np.zeros((3, 4, 5))),
            lambda node: node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(np.diag([1.0, 0.0, 1.0, 1.0]))),
        ),
    }


@pytest.mark.parametrize("message", list(_refused_nodes()))
def test_an_unfit_node_is_refused_in_words(message):
    node = _refused_nodes()[message]()
    with pytest.raises(InputError, match=message):
        scene.toVolume(node)
