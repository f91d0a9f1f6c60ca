# ruff: noqa: E402
"""Masks land on the anatomy they were computed from, whatever the orientation and the transforms."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("slicer")

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from PrognosisLib import headless

headless.start()

import slicer
import vtk
from scene_cases import (
    Ellipsoid,
    add_transform,
    add_volume,
    add_warp,
    clear_scene,
    grid_around,
    half_voxel,
    ijk_to_ras_matrices,
    labelmap_in_world,
    linear_transforms,
    rotation,
    surface_in_world,
)

from PrognosisLib import scene
from PrognosisLib.errors import InputError
from PrognosisLib.findings import Findings, Interval, Mask
from PrognosisLib.volume import Grid, Volume

FEW = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
FEWER = settings(FEW, max_examples=5)
PARENTS = st.one_of(st.none(), linear_transforms())

TILTED = np.array([[0.0, 0.9, 0.3, 10.0], [-1.1, 0.0, 0.2, -40.0], [0.1, 0.1, -2.4, 95.0], [0.0, 0.0, 0.0, 1.0]])
TURN = np.eye(4)
TURN[:3, :3] = rotation((20, -35, 70))
TURN[:3, 3] = (31.0, -12.0, 55.0)


@pytest.fixture(autouse=True)
def empty_scene():
    clear_scene()
    yield
    headless.vtkErrorRecorder().check()
    clear_scene()


@st.composite
def ellipsoids(draw) -> Ellipsoid:
    center = draw(st.tuples(*[st.floats(-150, 150)] * 3))
    radii = draw(st.tuples(*[st.floats(22, 38)] * 3))
    return Ellipsoid.make(center, radii, draw(st.tuples(*[st.floats(-90, 90)] * 3)))


def an_ellipsoid() -> Ellipsoid:
    return Ellipsoid.make((12.0, -30.0, 44.0), (34.0, 22.0, 28.0), (20.0, 40.0, -15.0))


def write(ellipsoid: Ellipsoid, node, segmentation=None):
    """The ellipsoid as the pipeline would find it in the volume, written into the scene."""
    grid = scene.toVolume(node).grid
    mask = Mask.from_full("Spleen", ellipsoid.draw(grid), grid, volume_ml=Interval(1.0, 2.0), confidence=0.9)
    return mask, scene.fromFindings(Findings("spleen", (mask,)), node, segmentation).segmentation


def check_place(ellipsoid: Ellipsoid, segmentation, grid: Grid) -> None:
    """Labelmap and surface, as Slicer itself exports them, are the ellipsoid within half a voxel and 1 % of volume."""
    segment_id = scene.findSegmentID(segmentation, "Spleen")
    tolerance = half_voxel(grid)
    points, matrix = labelmap_in_world(segmentation, segment_id)
    assert np.all(np.abs(points.mean(axis=0) - ellipsoid.center) < tolerance)
    volume_ml = len(points) * abs(np.linalg.det(matrix[:3, :3])) / 1000.0
    assert volume_ml == pytest.approx(ellipsoid.volume_ml, rel=0.01)
    surface = surface_in_world(segmentation, segment_id)
    bounds = np.array(surface.GetBounds()).reshape(3, 2)
    assert np.all(np.abs(bounds - ellipsoid.bounds) < tolerance[:, None] + 1e-3)


@FEW
@given(ellipsoid=ellipsoids(), axes=ijk_to_ras_matrices(), parent=PARENTS)
def test_a_mask_lands_on_its_anatomy(ellipsoid, axes, parent):
    clear_scene()
    node = add_volume(grid_around(ellipsoid, axes), parent)
    grid = scene.toVolume(node).grid
    mask, segmentation = write(ellipsoid, node)
    check_place(ellipsoid, segmentation, grid)
    again = scene.toMasks(segmentation, node)["Spleen"]
    assert again.checksum == mask.checksum
    assert again.voxel_volume_ml == pytest.approx(ellipsoid.volume_ml, rel=0.01)
    assert (again.volume_ml, again.confidence) == (mask.volume_ml, mask.confidence)


@FEW
@given(
    ellipsoid=ellipsoids(),
    axes=ijk_to_ras_matrices(),
    parent=PARENTS,
    own_axes=ijk_to_ras_matrices(),
    own_parent=PARENTS,
)
def test_segments_on_another_lattice_under_another_transform_are_read_in_place(
    ellipsoid, axes, parent, own_axes, own_parent
):
    clear_scene()
    node = add_volume(grid_around(ellipsoid, axes), parent)
    other = add_volume(grid_around(ellipsoid, own_axes), own_parent, name="Other scan")
    _mask, segmentation = write(ellipsoid, other)
    grid = scene.worldGrid(node)
    mask = scene.toMasks(segmentation, node)["Spleen"]
    assert mask.grid.same_as(grid)
    points = grid.to_ras(np.argwhere(mask.full()))
    assert np.all(np.abs(points.mean(axis=0) - ellipsoid.center) < half_voxel(grid))
    assert mask.voxel_volume_ml == pytest.approx(ellipsoid.volume_ml, rel=0.02)


@FEW
@given(ellipsoid=ellipsoids(), axes=ijk_to_ras_matrices(), parent=PARENTS, own_parent=PARENTS)
def test_surfaces_are_converted_in_place_without_touching_their_node(ellipsoid, axes, parent, own_parent):
    clear_scene()
    node = add_volume(grid_around(ellipsoid, axes), parent)
    segmentation = add_surface(ellipsoid, own_parent)
    grid = scene.worldGrid(node)
    mask = scene.toMasks(segmentation, node)["spleen (drawn)"]
    points = grid.to_ras(np.argwhere(mask.full()))
    assert np.all(np.abs(points.mean(axis=0) - ellipsoid.center) < half_voxel(grid))
    assert mask.voxel_volume_ml == pytest.approx(ellipsoid.volume_ml, rel=0.02)
    assert not segmentation.GetSegmentation().ContainsRepresentation("Binary labelmap")


def add_surface(ellipsoid: Ellipsoid, parent_to_world: np.ndarray | None):
    """A segmentation of one closed surface, under a transform."""
    ball = vtk.vtkSphereSource()
    ball.SetRadius(1.0)
    ball.SetThetaResolution(80)
    ball.SetPhiResolution(80)
    to_world = np.eye(4)
    values, vectors = np.linalg.eigh(ellipsoid.form)
    to_world[:3, :3] = vectors / np.sqrt(values)
    to_world[:3, 3] = ellipsoid.center
    to_local = to_world if parent_to_world is None else np.linalg.inv(parent_to_world) @ to_world
    place = vtk.vtkTransform()
    place.SetMatrix(slicer.util.vtkMatrixFromArray(to_local))
    shaped = vtk.vtkTransformPolyDataFilter()
    shaped.SetTransform(place)
    shaped.SetInputConnection(ball.GetOutputPort())
    shaped.Update()
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Surfaces")
    node.SetSourceRepresentationToClosedSurface()
    node.AddSegmentFromClosedSurfaceRepresentation(shaped.GetOutput(), "spleen (drawn)", [1.0, 0.0, 0.0], "drawn")
    if parent_to_world is not None:
        node.SetAndObserveTransformNodeID(add_transform(parent_to_world).GetID())
    return node


@FEWER
@given(ellipsoid=ellipsoids(), axes=ijk_to_ras_matrices(), parent=PARENTS)
def test_place_and_evidence_survive_an_mrb(ellipsoid, axes, parent, tmp_path):
    clear_scene()
    node = add_volume(grid_around(ellipsoid, axes), parent)
    grid = scene.worldGrid(node)
    _mask, segmentation = write(ellipsoid, node)
    scene.saveScene(tmp_path / "scene.mrb")
    slicer.mrmlScene.Clear(0)
    assert slicer.mrmlScene.ReadFromMRB(str(tmp_path / "scene.mrb"), True)
    node = slicer.util.getNode("CT")
    segmentation = scene.findResults("spleen", node).segmentation
    again = scene.toMasks(segmentation, node)["Spleen"]
    assert (again.volume_ml, again.confidence) == (Interval(1.0, 2.0), 0.9)
    check_place(ellipsoid, segmentation, grid)


@FEWER
@given(ellipsoid=ellipsoids(), axes=ijk_to_ras_matrices())
def test_place_and_evidence_survive_a_seg_nrrd(ellipsoid, axes, tmp_path):
    clear_scene()
    grid = grid_around(ellipsoid, axes)
    node = add_volume(grid)
    mask, segmentation = write(ellipsoid, node)
    scene.saveSegmentation(segmentation, tmp_path / "organs.seg.nrrd")
    slicer.mrmlScene.Clear(0)
    node = add_volume(grid)
    segmentation = slicer.util.loadSegmentation(str(tmp_path / "organs.seg.nrrd"))
    again = scene.toMasks(segmentation, node)["Spleen"]
    assert again.checksum == mask.checksum
    assert (again.volume_ml, again.confidence) == (mask.volume_ml, mask.confidence)
    check_place(ellipsoid, segmentation, grid)


# The transform traps, one by one


def test_the_segmentation_shares_the_volumes_transform_and_local_geometry():
    ellipsoid = an_ellipsoid()
    node = add_volume(grid_around(ellipsoid, TURN @ TILTED), TURN)
    _mask, segmentation = write(ellipsoid, node)
    assert segmentation.GetParentTransformNode() is node.GetParentTransformNode()
    matrices = []
    image = segmentation.GetSegmentation().GetNthSegment(0).GetRepresentation("Binary labelmap")
    for get in (node.GetIJKToRASMatrix, image.GetImageToWorldMatrix):
        matrix = vtk.vtkMatrix4x4()
        get(matrix)
        matrices.append(slicer.util.arrayFromVTKMatrix(matrix))
    np.testing.assert_allclose(matrices[1], matrices[0], atol=1e-12)
    reference = segmentation.GetSegmentation().GetConversionParameter("Reference image geometry")
    np.testing.assert_allclose(np.array(reference.split(";")[:16], dtype=float).reshape(4, 4), matrices[0], atol=1e-6)


def test_volume_and_segmentation_move_together():
    ellipsoid = an_ellipsoid()
    node = add_volume(grid_around(ellipsoid, TILTED), TURN)
    mask, segmentation = write(ellipsoid, node)
    moved = TURN.copy()
    moved[:3, 3] += (7.0, 8.0, 9.0)
    node.GetParentTransformNode().SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(moved))
    assert scene.toMasks(segmentation, node)["Spleen"].checksum == mask.checksum
    shifted = Ellipsoid(np.add(ellipsoid.center, (7.0, 8.0, 9.0)), ellipsoid.form)
    check_place(shifted, segmentation, scene.worldGrid(node))


def test_a_transform_changed_during_the_run_does_not_move_the_mask_off_its_voxels():
    ellipsoid = an_ellipsoid()
    node = add_volume(grid_around(ellipsoid, TILTED))
    volume = scene.toVolume(node)
    mask = Mask.from_full("Spleen", ellipsoid.draw(volume.grid), volume.grid)
    node.SetAndObserveTransformNodeID(add_transform(TURN).GetID())
    segmentation = scene.fromFindings(Findings("spleen", (mask,)), node, grid=volume.grid).segmentation
    assert scene.toMasks(segmentation, node)["Spleen"].checksum == mask.checksum


def test_a_mask_goes_to_the_world_place_in_a_segmentation_under_another_transform():
    ellipsoid = an_ellipsoid()
    node = add_volume(grid_around(ellipsoid, TILTED), TURN)
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Mine")
    segmentation.CreateDefaultDisplayNodes()
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(node)
    own = add_transform(np.linalg.inv(TURN) @ np.diag([1.0, 1.1, 0.9, 1.0]))
    segmentation.SetAndObserveTransformNodeID(own.GetID())
    segmentation.GetSegmentation().AddEmptySegment("note", "My note")
    _mask, written = write(ellipsoid, node, segmentation)
    assert written is segmentation
    assert segmentation.GetParentTransformNode() is own
    assert scene.findSegmentID(segmentation, "My note") == "note"
    check_place(ellipsoid, segmentation, scene.worldGrid(node))


def test_a_chain_of_transforms_counts_as_one():
    ellipsoid = an_ellipsoid()
    node = add_volume(grid_around(ellipsoid, TILTED), TURN)
    outer = np.diag([1.0, -1.0, 1.0, 1.0])
    node.GetParentTransformNode().SetAndObserveTransformNodeID(add_transform(outer).GetID())
    mirrored = Ellipsoid(outer[:3, :3] @ ellipsoid.center, outer[:3, :3] @ ellipsoid.form @ outer[:3, :3])
    _mask, segmentation = write(mirrored, node)
    check_place(mirrored, segmentation, scene.worldGrid(node))


def test_a_non_linear_transform_is_refused_with_what_to_do():
    ellipsoid = an_ellipsoid()
    node = add_volume(grid_around(ellipsoid, TILTED))
    node.SetAndObserveTransformNodeID(add_warp(ellipsoid.center, (5.0, 4.0, -3.0)).GetID())
    with pytest.raises(InputError, match="harden the transform"):
        scene.toVolume(node)
    with pytest.raises(InputError, match="harden the transform"):
        scene.fromFindings(Findings("spleen"), node)
    assert not slicer.util.getNodesByClass("vtkMRMLTableNode")


def test_a_hardened_copy_is_measured_where_the_user_sees_it():
    ellipsoid = an_ellipsoid()
    grid = grid_around(ellipsoid, TILTED, margin=8)
    inside = ellipsoid.draw(grid)
    node = scene.fromVolume(Volume(np.where(inside, 100, -1000).astype(np.int16), grid.ijk_to_ras, name="CT"))
    warp = add_warp(ellipsoid.center, (6.0, 5.0, -4.0))
    node.SetAndObserveTransformNodeID(warp.GetID())
    count = slicer.mrmlScene.GetNumberOfNodes()
    volume = scene.toVolume(node, harden=True)
    assert slicer.mrmlScene.GetNumberOfNodes() == count
    assert node.GetParentTransformNode() is warp
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(node) > 0, inside)

    mask = Mask.from_full("Spleen", volume.array > -450, volume.grid, confidence=0.9)
    segmentation = scene.fromFindings(Findings("spleen", (mask,)), node, grid=volume.grid).segmentation
    assert segmentation.GetParentTransformNode() is None
    assert scene.toMasks(segmentation, node, grid=volume.grid)["Spleen"].checksum == mask.checksum

    warped = surface_in_world(add_surface(ellipsoid, None), "drawn")
    apply = vtk.vtkTransformPolyDataFilter()
    apply.SetTransform(warp.GetTransformToParent())
    apply.SetInputData(warped)
    apply.Update()
    expected = np.array(apply.GetOutput().GetBounds()).reshape(3, 2)
    bounds = np.array(surface_in_world(segmentation, "Spleen").GetBounds()).reshape(3, 2)
    # The gray values were interpolated, which moves a step edge by up to half a voxel more.
    assert np.all(np.abs(bounds - expected) < 2 * half_voxel(grid)[:, None])
    assert np.all(np.abs(bounds.mean(axis=1) - expected.mean(axis=1)) < half_voxel(grid))
    assert np.abs(expected - ellipsoid.bounds).max() > 2.0


def test_a_segment_under_a_non_linear_transform_is_read_where_it_is_seen():
    ellipsoid = an_ellipsoid()
    grid = grid_around(ellipsoid, TILTED, margin=8)
    node = add_volume(grid)
    _mask, segmentation = write(ellipsoid, node)
    segmentation.SetAndObserveTransformNodeID(add_warp(ellipsoid.center, (6.0, 5.0, -4.0)).GetID())
    mask = scene.toMasks(segmentation, node)["Spleen"]
    expected = np.array(surface_in_world(segmentation, "Spleen").GetBounds()).reshape(3, 2)
    points = grid.to_ras(np.argwhere(mask.full()))
    bounds = np.stack([points.min(axis=0), points.max(axis=0)], axis=1)
    assert np.all(np.abs(bounds - expected) < 2 * half_voxel(grid)[:, None])
    assert np.abs(expected - ellipsoid.bounds).max() > 2.0


def test_a_segment_beyond_the_volume_is_cut_at_its_edge():
    ellipsoid = an_ellipsoid()
    whole = grid_around(ellipsoid, TILTED)
    _mask, segmentation = write(ellipsoid, add_volume(whole))
    middle = whole.shape[0] // 2
    part = add_volume(whole.sub_grid((slice(0, middle), slice(0, whole.shape[1]), slice(0, whole.shape[2]))))
    mask = scene.toMasks(segmentation, part)["Spleen"]
    np.testing.assert_array_equal(mask.full(), ellipsoid.draw(whole)[:middle])
    far = add_volume(Grid((4, 4, 4), np.eye(4) + _offset(5000.0)))
    assert scene.toMasks(segmentation, far)["Spleen"].is_empty


def _offset(distance: float) -> np.ndarray:
    matrix = np.zeros((4, 4))
    matrix[:3, 3] = distance
    return matrix
