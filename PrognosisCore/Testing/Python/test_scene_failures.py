# ruff: noqa: E402
"""Results in the scene: all or nothing, whatever fails or was deleted in between."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("slicer")

from PrognosisLib import headless

headless.start()

import slicer
from scene_cases import GRID, add_transform, digest, edit, fail_at, small_findings
from scene_fixtures import *  # noqa: F403

from PrognosisLib import scene
from PrognosisLib.errors import InputError
from PrognosisLib.findings import Curve, HeatMap, Mask
from PrognosisLib.scene import heat_maps, plots, results, segments

FAILURES = [
    (segments, "setPlace", 1),
    (segments, "setKnown", 2),
    (results, "updateTable", 1),
    (plots, "_fillPoints", 2),
    (plots, "_fillChart", 1),
    (plots, "_fillChart", 2),
    (heat_maps, "setImage", 1),
]


@pytest.mark.parametrize(("module", "name", "call"), FAILURES)
def test_a_failure_leaves_a_fresh_scene_as_it_was(monkeypatch, a_volume_node, module, name, call):
    before = digest()
    fail_at(monkeypatch, module, name, call)
    with pytest.raises(MemoryError):
        scene.fromFindings(small_findings(GRID), a_volume_node)
    assert digest() == before
    assert not slicer.mrmlScene.IsBatchProcessing()


@pytest.mark.parametrize(("module", "name", "call"), [one for one in FAILURES if one[1] != "setPlace"])
def test_a_failure_leaves_earlier_results_as_they_were(monkeypatch, a_volume_node, module, name, call):
    nodes = scene.fromFindings(small_findings(GRID), a_volume_node)
    nodes.segmentation.GetSegmentation().CollapseBinaryLabelmaps(False)
    edit(nodes.segmentation, "Liver", a_volume_node)
    before = digest()
    changed = small_findings(GRID, shift=4, volume=1.0)
    changed = replace(
        changed,
        curves=tuple(replace(curve, y=curve.y * 0.5) for curve in changed.curves),
        heat_maps=tuple(replace(heat, array=heat.array * 0.5) for heat in changed.heat_maps),
    )
    with monkeypatch.context() as patch:
        fail_at(patch, module, name, call)
        with pytest.raises(MemoryError):
            scene.fromFindings(changed, a_volume_node, nodes.segmentation)
    assert digest() == before
    assert scene.fromFindings(changed, a_volume_node, nodes.segmentation) == nodes
    assert digest() != before


def test_a_failure_leaves_an_empty_segmentation_of_the_user_as_it_was(monkeypatch, a_volume_node):
    a_volume_node.SetAndObserveTransformNodeID(add_transform(np.diag([1.0, -1.0, 1.2, 1.0])).GetID())
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Mine")
    before = digest()
    fail_at(monkeypatch, results, "updateTable", 1)
    with pytest.raises(MemoryError):
        scene.fromFindings(small_findings(GRID), a_volume_node, node)
    assert digest() == before
    assert node.GetParentTransformNode() is None


@pytest.mark.parametrize(
    "change",
    [
        {"curves": (Curve("Survival", "A", np.zeros(3), np.zeros(2), "x", "y"),)},
        {"curves": (Curve("S", "A", np.zeros(2), np.zeros(2), "x", "y"),) * 2},
        {"heat_maps": (HeatMap("Evidence", np.full(GRID.shape, 2.0), GRID),)},
        {"masks": (Mask("Spleen", np.ones((3, 3, 3), dtype=bool), (13, 0, 0), GRID),)},
    ],
)
def test_findings_that_contradict_themselves_change_nothing(a_volume_node, change):
    before = digest()
    with pytest.raises(ValueError, match=r"the same length|same name|from 0 to 1|leaves its grid"):
        scene.fromFindings(replace(small_findings(GRID), **change), a_volume_node)
    assert digest() == before


def test_nodes_deleted_during_a_run_are_named_and_nothing_is_written(a_volume_node):
    findings = small_findings(GRID)
    nodes = scene.fromFindings(findings, a_volume_node)
    slicer.mrmlScene.RemoveNode(nodes.table)
    with pytest.raises(InputError, match="no table of this scene"):
        scene.fromFindings(findings, a_volume_node, nodes.segmentation, nodes.table)
    slicer.mrmlScene.RemoveNode(a_volume_node)
    before = digest()
    with pytest.raises(InputError, match="no longer in the scene"):
        scene.fromFindings(findings, a_volume_node, nodes.segmentation)
    assert digest() == before
    slicer.mrmlScene.Clear(0)
    with pytest.raises(InputError, match="no longer in the scene"):
        scene.fromFindings(findings, a_volume_node)


def test_a_volume_with_other_dimensions_after_the_run_is_refused(a_volume_node):
    grid = scene.worldGrid(a_volume_node)
    slicer.util.updateVolumeFromArray(a_volume_node, np.zeros((3, 4, 5), np.int16))
    with pytest.raises(InputError, match="changed during the run"):
        scene.fromFindings(small_findings(grid), a_volume_node, grid=grid)
