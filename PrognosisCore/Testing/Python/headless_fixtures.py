# ruff: noqa: E402
"""pytest fixtures of the headless scene's tests: `from headless_fixtures import *`."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("slicer")

from PrognosisLib import headless

headless.start()

import slicer

__all__ = ["a_segmentation_node", "a_volume_node", "empty_scene"]


@pytest.fixture(autouse=True)
def empty_scene():
    slicer.mrmlScene.Clear(0)
    headless.vtkErrorRecorder().clear()
    yield
    headless.vtkErrorRecorder().check()
    slicer.mrmlScene.Clear(0)


@pytest.fixture
def a_volume_node():
    rng = np.random.default_rng(1)
    voxels = rng.integers(-100, 200, (4, 5, 6)).astype(np.int16)
    orthogonal = np.diag([0.7, -0.8, 2.5, 1.0])
    orthogonal[:3, 3] = (-12.5, 40.0, 7.25)
    return slicer.util.addVolumeFromArray(voxels, ijkToRAS=orthogonal, name="CT")


@pytest.fixture
def a_segmentation_node(a_volume_node):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Organs")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(a_volume_node)
    segment = node.GetSegmentation().AddEmptySegment("spleen", "Spleen")
    mask = np.zeros((4, 5, 6), np.uint8)
    mask[1:3, 2:4, 1:5] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, segment, a_volume_node)
    return node
