"""Grids and resampling on random lattices: oblique, flipped, sheared by gantry tilt, anisotropic."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from PrognosisLib.errors import InputError
from PrognosisLib.volume import Grid, Volume, bin_shrink, ras_grid, resample, to_ras_grid

few = settings(max_examples=40, deadline=None)


def rotation(angles) -> np.ndarray:
    a, b, c = np.radians(angles)
    about_r = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_a = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_s = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return about_r @ about_a @ about_s


@st.composite
def grids(draw, low: int = 1, high: int = 14) -> Grid:
    """Axes in any order and direction, oblique, anisotropic, sheared by up to 30 degrees of gantry tilt."""
    axes = rotation([draw(st.floats(-180, 180)) for _ in range(3)])
    axes = axes[:, draw(st.permutations(range(3)))] * [draw(st.sampled_from([-1.0, 1.0])) for _ in range(3)]
    axes[:, 2] += np.tan(np.radians(draw(st.sampled_from([0.0, 10.0, -22.0, 30.0])))) * axes[:, 1]
    matrix = np.eye(4)
    matrix[:3, :3] = axes * [draw(st.floats(0.4, 3.0)), draw(st.floats(0.4, 3.0)), draw(st.floats(0.5, 8.0))]
    matrix[:3, 3] = [draw(st.floats(-500, 500)) for _ in range(3)]
    return Grid(tuple(draw(st.integers(low, high)) for _ in range(3)), matrix)


def centers(grid: Grid) -> np.ndarray:
    """RAS of every voxel, (k, j, i, 3)."""
    return grid.to_ras(np.argwhere(np.ones(grid.shape, dtype=bool))).reshape(*grid.shape, 3)


def linear(grid: Grid, slope: np.ndarray) -> np.ndarray:
    """A linear function of the place in the patient, relative to the grid's middle."""
    middle = grid.corners_ras().mean(axis=0)
    return ((centers(grid) - middle) @ slope).astype(np.float32)


# --- grids ------------------------------------------------------------------------------------------------------------


@few
@given(grids(), st.floats(-40, 40))
def test_slice_distance_is_the_distance_between_neighboring_planes(grid: Grid, tilt: float):
    distance = grid.slice_distance
    assert distance <= grid.spacing[2] + 1e-9
    area = np.linalg.norm(np.cross(grid.ijk_to_ras[:3, 0], grid.ijk_to_ras[:3, 1]))
    assert distance * area / 1000.0 == pytest.approx(grid.voxel_volume_ml)
    # More tilt slides the slices along each other: the distance and the voxel's volume stay, the step grows.
    tilted = grid.ijk_to_ras.copy()
    tilted[:3, 2] += np.tan(np.radians(tilt)) * tilted[:3, 1]
    sheared = Grid(grid.shape, tilted)
    assert sheared.slice_distance == pytest.approx(distance)
    assert sheared.voxel_volume_ml == pytest.approx(grid.voxel_volume_ml)


def test_slice_distance_of_a_tilted_gantry():
    matrix = np.diag([0.5, 0.5, 5.0, 1.0])
    matrix[1, 2] = -5.0 * np.tan(np.radians(22.0))
    grid = Grid((10, 64, 64), matrix)
    assert grid.slice_distance == pytest.approx(5.0)
    assert grid.spacing[2] == pytest.approx(5.0 / np.cos(np.radians(22.0)))
    assert grid.voxel_volume_ml == pytest.approx(0.5 * 0.5 * 5.0 / 1000.0)


@few
@given(grids(low=2), st.data())
def test_sub_grid_keeps_every_voxel_where_it_is(grid: Grid, data):
    box = []
    for n in grid.shape:
        start = data.draw(st.integers(0, n - 1))
        box.append(slice(start, data.draw(st.integers(start + 1, n))))
    part = grid.sub_grid(tuple(box))
    assert part.shape == tuple(s.stop - s.start for s in box)
    np.testing.assert_allclose(centers(part), centers(grid)[tuple(box)], atol=1e-9)
    # The box around a part of the lattice is that part, give or take the voxels that its borders touch.
    found = grid.box_around(part)
    for want, got, n in zip(box, found, grid.shape, strict=True):
        assert max(0, want.start - 1) <= got.start <= want.start
        assert want.stop <= got.stop <= min(n, want.stop + 1)


@few
@given(grids(low=2), grids(low=2), st.data())
def test_box_around_holds_every_voxel_that_lies_in_the_other_grid(grid: Grid, other: Grid, data):
    near = data.draw(st.tuples(*[st.floats(-10, 10)] * 3))
    matrix = other.ijk_to_ras.copy()
    matrix[:3, 3] += grid.corners_ras().mean(axis=0) + near - other.corners_ras().mean(axis=0)
    other = Grid(other.shape, matrix)
    inverse = np.linalg.inv(other.ijk_to_ras)
    ijk = centers(grid) @ inverse[:3, :3].T + inverse[:3, 3]
    inside = np.all((ijk >= -0.5) & (ijk <= np.array(other.shape[::-1]) - 0.5), axis=-1)
    box = grid.box_around(other)
    if box is None:
        assert not inside.any()
        return
    outside = inside.copy()
    outside[box] = False
    assert not outside.any()


def test_box_around_is_none_where_grids_do_not_meet():
    grid = Grid((5, 6, 7), np.diag([1.0, 1.0, 2.0, 1.0]))
    away = np.eye(4)
    away[:3, 3] = (20.0, 0.0, 0.0)
    assert grid.box_around(Grid((3, 3, 3), away)) is None
    assert grid.box_around(grid) == (slice(0, 5), slice(0, 6), slice(0, 7))


@few
@given(grids())
def test_same_as_tells_shifts_and_shapes(grid: Grid):
    moved = grid.ijk_to_ras.copy()
    moved[:3, 3] += (0.5, 0.0, 0.0)
    assert grid.same_as(Grid(grid.shape, grid.ijk_to_ras))
    assert not grid.same_as(Grid(grid.shape, moved))
    assert grid.same_as(Grid(grid.shape, moved), tolerance_mm=0.6)
    assert not grid.same_as(Grid((grid.shape[0] + 1, *grid.shape[1:]), grid.ijk_to_ras))


@few
@given(grids(), st.floats(0.5, 6.0), st.sampled_from([1, 8, 16]))
def test_ras_grid_covers_the_points_and_adds_no_more_than_it_must(grid: Grid, spacing: float, multiple: int):
    points = grid.corners_ras()
    made = ras_grid(points, spacing, multiple)
    np.testing.assert_array_equal(made.ijk_to_ras[:3, :3], spacing * np.eye(3))
    assert all(n % multiple == 0 for n in made.shape)
    low, high = made.corners_ras().min(axis=0), made.corners_ras().max(axis=0)
    slack = 1e-5 * spacing
    assert np.all(low <= points.min(axis=0) + slack)
    assert np.all(high >= points.max(axis=0) - slack)
    assert np.all(high - low < np.ptp(points, axis=0) + spacing * multiple + slack)
    np.testing.assert_allclose(low + high, points.min(axis=0) + points.max(axis=0), atol=1e-6)


# --- resampling -------------------------------------------------------------------------------------------------------


@few
@given(grids(low=3), grids(low=3), st.tuples(*[st.floats(-3, 3)] * 3))
def test_a_linear_function_is_resampled_exactly(source: Grid, target: Grid, slope):
    matrix = target.ijk_to_ras.copy()
    matrix[:3, 3] += source.corners_ras().mean(axis=0) - target.corners_ras().mean(axis=0)
    target = Grid(target.shape, matrix)
    slope = np.array(slope)
    values = linear(source, slope)
    found = resample(values, source.ijk_to_ras, target, fill=-9999.0)
    middle = source.corners_ras().mean(axis=0)
    expected = (centers(target) - middle) @ slope
    inverse = np.linalg.inv(source.ijk_to_ras)
    ijk = centers(target) @ inverse[:3, :3].T + inverse[:3, 3]
    last = np.array(source.shape[::-1]) - 1
    between = np.all((ijk >= 0) & (ijk <= last), axis=-1)
    outside = np.any((ijk < -0.51) | (ijk > last + 0.51), axis=-1)
    tolerance = 1e-4 * (1.0 + np.abs(values).max())
    np.testing.assert_allclose(found[between], expected[between], atol=tolerance)
    assert np.all(found[outside] == -9999.0)


@few
@given(grids(low=3), st.integers(0, 2**32 - 1))
def test_round_trip_through_the_same_lattice_stored_otherwise(grid: Grid, seed: int):
    """Flipping and reordering the axes of storage changes nothing in the patient."""
    rng = np.random.default_rng(seed)
    values = rng.integers(-1000, 2000, grid.shape).astype(np.int16)
    order = rng.permutation(3)
    turned = values.transpose(order)[::-1]
    columns = grid.ijk_to_ras[:3, :3][:, ::-1][:, order]  # steps along the stored axes, slowest first
    matrix = np.eye(4)
    matrix[:3, :3] = columns[:, ::-1] * [1, 1, -1]
    matrix[:3, 3] = grid.ijk_to_ras[:3, 3] + columns[:, 0] * (turned.shape[0] - 1)
    other = Grid(turned.shape, matrix)
    there = resample(values, grid.ijk_to_ras, other, nearest=True)
    assert there.dtype == np.int16
    np.testing.assert_array_equal(there, turned)
    back = resample(there, other.ijk_to_ras, grid)
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, values, atol=0.05)


def test_booleans_are_resampled_as_shares():
    mask = np.zeros((4, 4, 4), dtype=bool)
    mask[:2] = True
    shifted = np.eye(4)
    shifted[2, 3] = 0.25
    found = resample(mask, np.eye(4), Grid((3, 4, 4), shifted))
    np.testing.assert_allclose(found[:, 1, 1], [1.0, 0.75, 0.0], atol=1e-6)


@few
@given(grids(low=4, high=20), st.floats(0.5, 9.0), st.tuples(*[st.floats(-3, 3)] * 3))
def test_bin_shrink_keeps_world_positions(grid: Grid, spacing: float, slope):
    """The mean of whole blocks of a linear function is its value at the blocks' centers."""
    volume = Volume(linear(grid, np.array(slope)), grid.ijk_to_ras)
    shrunk = bin_shrink(volume, spacing)
    limit = np.maximum(spacing, grid.spacing) + 1e-2 * grid.spacing
    assert np.all(shrunk.grid.spacing <= limit)
    expected = (centers(shrunk.grid) - grid.corners_ras().mean(axis=0)) @ np.array(slope)
    np.testing.assert_allclose(shrunk.array, expected, atol=1e-4 * (1 + np.abs(volume.array).max()))
    # What is cut off at the end is less than one block, and nothing is added.
    lost = np.array(grid.shape) - np.round(
        np.array(shrunk.grid.shape) * shrunk.grid.spacing[::-1] / grid.spacing[::-1]
    ).astype(int)
    blocks = np.round(shrunk.grid.spacing[::-1] / grid.spacing[::-1]).astype(int)
    assert np.all((lost >= 0) & (lost < blocks))


def test_bin_shrink_leaves_a_coarse_volume_alone():
    volume = Volume(np.zeros((5, 5, 5), dtype=np.int16), np.diag([2.0, 2.0, 5.0, 1.0]))
    assert bin_shrink(volume, 3.9) is volume
    assert bin_shrink(volume, 4.0).array.shape == (5, 2, 2)


@few
@given(grids(low=6, high=16))
def test_to_ras_grid_shows_the_anatomy_where_it_is(grid: Grid):
    spacing = float(grid.spacing.max())
    slope = np.array([1.0, -2.0, 0.5])
    volume = Volume(linear(grid, slope), grid.ijk_to_ras)
    found = to_ras_grid(volume, spacing, fill=np.nan, multiple=4)
    expected = (centers(found.grid) - grid.corners_ras().mean(axis=0)) @ slope
    inside = np.isfinite(found.array)
    shrunk = bin_shrink(volume, spacing).grid
    inverse = np.linalg.inv(shrunk.ijk_to_ras)
    ijk = centers(found.grid) @ inverse[:3, :3].T + inverse[:3, 3]
    between = np.all((ijk >= 0) & (ijk <= np.array(shrunk.shape[::-1]) - 1), axis=-1)
    assert np.all(inside[between])
    np.testing.assert_allclose(found.array[between], expected[between], atol=1e-3 * (1 + np.abs(volume.array).max()))


# --- messages ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        (np.diag([1.0, 0.0, 2.0, 1.0]), "voxel spacing of zero"),
        (np.array([[1, 2, 0, 0], [1, 2, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), "voxel spacing of zero"),
        (np.full((4, 4), np.nan), "no valid IJK-to-RAS matrix"),
        (np.diag([1.0, np.inf, 1.0, 1.0]), "no valid IJK-to-RAS matrix"),
        (np.eye(3), "no valid IJK-to-RAS matrix"),
    ],
)
def test_unusable_matrices_are_refused_in_one_sentence(matrix: np.ndarray, words: str):
    with pytest.raises(InputError, match=words) as caught:
        Volume(np.zeros((3, 3, 3), dtype=np.int16), matrix)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(4, 4), (2, 4, 4, 4), (4, 4, 4, 3)])
def test_other_than_three_dimensions_are_refused_by_name(shape: tuple[int, ...]):
    with pytest.raises(InputError, match=f"'scan.nii' has {len(shape)} dimensions"):
        Volume(np.zeros(shape, dtype=np.int16), np.eye(4), name="scan.nii")
