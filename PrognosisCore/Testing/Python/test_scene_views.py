# ruff: noqa: E402
"""Slice views: moved to a place without losing zoom and pan, and a heat map shown over the scan and taken away."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("slicer")

from PrognosisLib import headless

headless.start()

import slicer
from scene_cases import add_transform, clear_scene, small_findings

from PrognosisLib import scene
from PrognosisLib.findings import Findings, HeatMap, Measurement
from PrognosisLib.scene.views import HeatMapOverlay
from PrognosisLib.volume import Grid, Volume

# Slices of 5 mm, as of a head CT.
GRID = Grid((14, 15, 16), np.array([[-0.9, 0, 0, 5], [0, -0.8, 0, 7], [0, 0, 5, -30], [0, 0, 0, 1.0]]))


@pytest.fixture(autouse=True)
def empty_scene():
    clear_scene()
    yield
    headless.vtkErrorRecorder().check()
    clear_scene()


@pytest.fixture
def a_volume_node():
    return scene.fromVolume(Volume(np.zeros(GRID.shape, dtype=np.int16), GRID.ijk_to_ras, name="CT"))


@pytest.fixture
def slices():
    """An axial, a coronal and a sagittal slice view, zoomed and panned."""
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(slicer.mrmlScene)
    nodes = {}
    for orientation in ("Axial", "Coronal", "Sagittal"):
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceNode", orientation)
        getattr(node, f"SetOrientationTo{orientation}")()
        node.SetFieldOfView(80.0, 60.0, 1.0)
        node.SetXYZOrigin(4.0, -3.0, 0.0)
        nodes[orientation] = node
    return nodes


@pytest.fixture
def views():
    """Three views of slices: one with another volume and a foreground, one empty, one with the heat map's volume."""
    return [slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceCompositeNode") for _ in range(3)]


def shown(slices) -> list[float]:
    """R, A and S of the sagittal, the coronal and the axial slice."""
    return [slices[name].GetSliceToRAS().GetElement(n, 3) for n, name in enumerate(("Sagittal", "Coronal", "Axial"))]


def layers(view) -> tuple:
    return view.GetBackgroundVolumeID(), view.GetForegroundVolumeID(), view.GetForegroundOpacity()


# Places


def test_every_view_shows_the_place_and_keeps_zoom_and_pan(slices):
    before = {name: (node.GetFieldOfView(), node.GetXYZOrigin()) for name, node in slices.items()}
    scene.jumpTo((11.5, -22.0, 33.25))
    assert shown(slices) == pytest.approx([11.5, -22.0, 33.25])
    assert {name: (node.GetFieldOfView(), node.GetXYZOrigin()) for name, node in slices.items()} == before


def test_a_place_may_be_an_array_and_needs_no_view():
    scene.jumpTo(np.array([1, 2, 3], dtype=np.float32))


@pytest.mark.parametrize("moved", [False, True])
def test_the_place_of_a_voxel_is_where_the_views_show_it(slices, a_volume_node, moved):
    """Also under a transform: a place is in the world, as the matrix of a Volume is."""
    if moved:
        matrix = np.diag([-1.0, -1.0, 1.0, 1.0])
        matrix[:3, 3] = (40.0, 10.0, -5.0)
        a_volume_node.SetAndObserveTransformNodeID(add_transform(matrix).GetID())
    volume = scene.toVolume(a_volume_node)
    (place,) = volume.grid.to_ras(np.array([[9, 4, 6]]))
    row = Measurement("spot", "Spot", 1.0, place=tuple(place))
    table = scene.fromFindings(Findings("spleen", measurements=(row,)), a_volume_node).table
    (stored,) = scene.readTable(table).measurements
    assert stored == row
    scene.jumpTo(stored.place)
    assert shown(slices) == pytest.approx(list(place))
    local = (-0.9 * 6 + 5, -0.8 * 4 + 7, 5.0 * 9 - 30)
    expected = (40 - local[0], 10 - local[1], local[2] - 5) if moved else local
    assert shown(slices) == pytest.approx(list(expected))


def test_the_table_shows_places_and_exports_them_not(a_volume_node, tmp_path):
    table = scene.fromFindings(small_findings(GRID), a_volume_node).table
    column = table.GetTable().GetColumnByName("place")
    assert [column.GetValue(row) for row in range(3)] == ["-3.5 0.3 12.0", "", ""]
    scene.saveTable(table, tmp_path / "results.csv")
    assert (tmp_path / "results.csv").read_text().splitlines()[0] == "quantity,value,unit,lower,upper,method,note"


# Heat maps


def test_a_heat_map_is_shown_over_its_scan_and_everything_comes_back(views, a_volume_node):
    other = scene.fromVolume(Volume(np.zeros((4, 5, 6), dtype=np.int16), np.eye(4), name="Other"))
    (heat,) = scene.fromFindings(small_findings(GRID), a_volume_node).heatMaps
    views[0].SetBackgroundVolumeID(other.GetID())
    views[0].SetForegroundVolumeID(a_volume_node.GetID())
    views[0].SetForegroundOpacity(0.25)
    views[2].SetBackgroundVolumeID(a_volume_node.GetID())
    before = [layers(view) for view in views]
    overlay = HeatMapOverlay()
    overlay.show(heat, a_volume_node)
    assert [layers(view) for view in views] == [(a_volume_node.GetID(), heat.GetID(), 0.5)] * 3
    overlay.hide()
    assert [layers(view) for view in views] == before
    overlay.hide()


def test_what_the_user_changes_meanwhile_stays(views, a_volume_node):
    (heat,) = scene.fromFindings(small_findings(GRID), a_volume_node).heatMaps
    other = scene.fromVolume(Volume(np.zeros((4, 5, 6), dtype=np.int16), np.eye(4), name="Other"))
    views[1].SetForegroundVolumeID(other.GetID())
    overlay = HeatMapOverlay()
    overlay.show(heat, a_volume_node)
    views[0].SetForegroundVolumeID(None)
    views[0].SetForegroundOpacity(1.0)
    slicer.mrmlScene.RemoveNode(other)
    slicer.mrmlScene.RemoveNode(views[2])
    overlay.hide()
    assert layers(views[0]) == (a_volume_node.GetID(), None, 1.0)
    assert layers(views[1])[:2] == (None, None)


def test_a_heat_map_shown_in_a_saved_scene_can_be_hidden(views, a_volume_node, tmp_path):
    (heat,) = scene.fromFindings(small_findings(GRID), a_volume_node).heatMaps
    overlay = HeatMapOverlay()
    assert not overlay.adopt(heat, a_volume_node)
    overlay.show(heat, a_volume_node)
    again = HeatMapOverlay()
    assert again.adopt(heat, a_volume_node)
    again.hide()
    assert [layers(view)[:2] for view in views] == [(a_volume_node.GetID(), None)] * 3


def test_a_heat_map_of_thick_slices_is_read_back_as_it_was(a_volume_node):
    a_volume_node.SetAndObserveTransformNodeID(add_transform(np.diag([1.0, -1.0, 1.2, 1.0])).GetID())
    grid = scene.worldGrid(a_volume_node)
    box = grid.sub_grid((slice(3, 12), slice(2, 14), slice(5, 16)))
    heat = HeatMap("Evidence", np.random.default_rng(0).random(box.shape).astype(np.float32), box)
    nodes = scene.fromFindings(Findings("spleen", heat_maps=(heat,)), a_volume_node)
    (again,) = scene.readHeatMaps(nodes.heatMaps, a_volume_node)
    assert again.name == "Evidence"
    np.testing.assert_array_equal(again.array, heat.array)
    assert again.grid.same_as(box)
    display = nodes.heatMaps[0].GetDisplayNode()
    assert display.GetInterpolate()
    assert not display.GetAutoWindowLevel()
    assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == (0, 1)
    assert display.GetColorNode() is not None
