# ruff: noqa: E402
"""Edits of a segmentation are reported; display, own changes and what has ended are not."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest

pytest.importorskip("slicer")

from PrognosisLib import headless

headless.start()

import slicer
import vtk
from scene_cases import GRID, add_transform, edit, small_findings
from scene_fixtures import *  # noqa: F403

from PrognosisLib import scene


@pytest.fixture
def watched(a_volume_node, monkeypatch):
    """Without an event loop every change is reported at once, whatever another test file has started before."""
    monkeypatch.setitem(sys.modules, "qt", None)
    nodes = scene.fromFindings(small_findings(GRID), a_volume_node)
    calls: list[int] = []
    observer = scene.observeSegmentation(nodes.segmentation, lambda: calls.append(1))
    yield nodes.segmentation, calls, observer
    scene.removeObserver(observer)


def test_edits_are_reported_once_and_display_is_not(watched, a_volume_node):
    node, calls, _observer = watched
    segment = node.GetSegmentation().GetSegment(scene.findSegmentID(node, "Spleen"))
    segment.SetColor(0, 0, 1)
    node.GetDisplayNode().SetSegmentVisibility(scene.findSegmentID(node, "Liver"), True)
    node.CreateClosedSurfaceRepresentation()
    assert not calls
    edits = [
        lambda: edit(node, "Spleen", a_volume_node),
        lambda: segment.SetName("Milz"),
        lambda: node.GetSegmentation().AddEmptySegment("new", "New"),
        lambda: node.SetAndObserveTransformNodeID(add_transform(np.diag([1.0, 1.0, 2.0, 1.0])).GetID()),
        lambda: node.GetParentTransformNode().SetMatrixTransformToParent(vtk.vtkMatrix4x4()),
    ]
    for number, one in enumerate(edits, start=1):
        one()
        assert len(calls) == number
    # Slicer clears the voxels before it removes the segment: two changes where no event loop joins them.
    node.GetSegmentation().RemoveSegment("new")
    assert len(calls) > len(edits)


def test_own_changes_are_not_reported_while_paused(watched, a_volume_node):
    node, calls, observer = watched
    with observer.paused():
        edit(node, "Spleen", a_volume_node)
        scene.fromFindings(small_findings(GRID, shift=1), a_volume_node, node)
    assert not calls
    edit(node, "Spleen", a_volume_node)
    assert len(calls) == 1


def test_an_ended_observation_and_a_deleted_node_are_silent(watched, a_volume_node):
    node, calls, observer = watched
    slicer.mrmlScene.RemoveNode(node)
    node.GetSegmentation().RemoveAllSegments()
    assert not calls
    scene.removeObserver(observer)
    scene.removeObserver(observer)
    scene.removeObserver(None)
    slicer.mrmlScene.AddNode(node)
    node.GetSegmentation().AddEmptySegment("new", "New")
    assert not calls


def test_a_burst_of_edits_is_one_call_when_there_is_an_event_loop(watched, monkeypatch, a_volume_node):
    node, calls, _observer = watched
    timers: list = []
    qt = types.SimpleNamespace(QTimer=types.SimpleNamespace(singleShot=lambda _ms, function: timers.append(function)))
    monkeypatch.setitem(sys.modules, "qt", qt)
    for _ in range(3):
        edit(node, "Spleen", a_volume_node)
    assert len(timers) >= 3
    assert not calls
    for function in timers:
        function()
    assert len(calls) == 1
