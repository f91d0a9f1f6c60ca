"""The slice lattice of scans of any orientation, spacing and gantry tilt, on ramps whose value tells the place."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from PrognosisLib.simulation.shapes import rotation
from PrognosisLib.slicewise.lattice import MULTIPLE, scaled, slice_grid, through_plane, to_slabs, to_slices
from PrognosisLib.volume import Grid, Volume

# Two networks' slices: head CT, and MRI of the abdomen.
SIZES = [(5.5, 1.0), (8.5, 2.0)]
HEAD = SIZES[0]
SLOPE = np.array([0.7, -0.4, 1.1])
FILL = -5000.0


def ramp(points: np.ndarray) -> np.ndarray:
    return points @ SLOPE + 3.0


def scan(spacing, size, turn=(0.0, 0.0, 0.0), tilt=0.0, flips=(False,) * 3, order=(0, 1, 2), center=(0.0,) * 3):
    """A ramp in RAS on a lattice: tilted gantry, turned head, axes flipped and swapped; and the axis of the slices."""
    columns = np.diag(np.asarray(spacing, float))
    angle = np.radians(tilt)
    columns[:, 1] = spacing[1] * np.array([0.0, np.cos(angle), np.sin(angle)])
    columns = rotation(turn) @ columns * np.where(flips, -1.0, 1.0)
    columns, size = columns[:, order], np.array(size)[list(order)]
    matrix = np.eye(4)
    matrix[:3, :3] = columns
    matrix[:3, 3] = np.asarray(center) - columns @ ((size - 1) / 2.0)
    grid = Grid(tuple(size[::-1]), matrix)
    every = np.argwhere(np.ones(grid.shape, bool))
    values = ramp(grid.to_ras(every)).reshape(grid.shape).astype(np.float32)
    return Volume(values, matrix), list(order).index(2)


scans = st.builds(
    scan,
    st.tuples(st.floats(0.4, 3.0), st.floats(0.4, 3.0), st.floats(0.4, 8.0)),
    st.tuples(st.integers(9, 24), st.integers(9, 24), st.integers(8, 24)),
    st.tuples(st.floats(-15, 15), st.floats(-15, 15), st.floats(-20, 20)),
    st.sampled_from([0.0, -18.0, 22.0]),
    st.tuples(st.booleans(), st.booleans(), st.booleans()),
    st.permutations(range(3)),
    st.tuples(st.floats(-80, 80), st.floats(-80, 80), st.floats(-80, 80)),
)


sizes = st.sampled_from(SIZES)


def index_in(grid: Grid, points: np.ndarray) -> np.ndarray:
    """(i, j, k) of RAS points (n, 3)."""
    inverse = np.linalg.inv(grid.ijk_to_ras)
    return points @ inverse[:3, :3].T + inverse[:3, 3]


def thickness(matrix: np.ndarray, axis: int) -> float:
    others = [matrix[:3, a] for a in range(3) if a != axis]
    return abs(np.linalg.det(matrix[:3, :3])) / float(np.linalg.norm(np.cross(*others)))


@settings(max_examples=60, deadline=None)
@given(scans)
def test_the_axis_of_the_slices_is_found(made):
    volume, axis = made
    assert through_plane(volume.grid) == axis


@settings(max_examples=60, deadline=None)
@given(scans, sizes)
def test_a_ramp_keeps_its_value_at_every_place(made, size_mm):
    """No half pixel is lost or won: the value at each lattice point is the ramp's at its own RAS position."""
    volume, axis = made
    found = to_slices(volume, *size_mm, fill=FILL)
    points = found.grid.to_ras(np.argwhere(np.ones(found.array.shape, bool)))
    slabs, _ = to_slabs(volume, *size_mm)
    place = index_in(slabs.grid, points)
    # A last slab that lacks slices repeats the last one.
    factor = round(np.linalg.norm(slabs.ijk_to_ras[:3, axis]) / np.linalg.norm(volume.ijk_to_ras[:3, axis]))
    whole = np.array(slabs.array.shape[::-1])
    whole[axis] = volume.array.shape[2 - axis] // factor
    inner = np.all((place > 1e-3) & (place < whole - 1 - 1e-3), axis=1)
    wanted = ramp(points)
    # Single precision of the image and of the interpolation's weights.
    np.testing.assert_allclose(found.array.ravel()[inner], wanted[inner], atol=0.02)
    scanned = index_in(volume.grid, points)
    size = np.array(volume.array.shape[::-1])
    size[axis] = slabs.array.shape[2 - axis] * factor
    far = np.any((scanned < -0.6) | (scanned > size - 0.4), axis=1)
    assert np.all(found.array.ravel()[far] == FILL)


@settings(max_examples=60, deadline=None)
@given(scans, sizes)
def test_slices_are_the_scans_own_and_lie_as_the_network_expects(made, size_mm):
    (volume, axis), (slab_mm, pixel_mm) = made, size_mm
    found = to_slices(volume, slab_mm, pixel_mm)
    own, matrix = volume.ijk_to_ras[:3, :3], found.ijk_to_ras[:3, :3]
    count = volume.array.shape[2 - axis]
    factor = found.ijk_to_ras[:3, 2] @ own[:, axis] / (own[:, axis] @ own[:, axis])
    assert abs(factor) == pytest.approx(round(abs(factor)))
    np.testing.assert_allclose(matrix[:, 2], factor * own[:, axis], atol=1e-9)
    assert found.array.shape[0] == -(-count // round(abs(factor)))
    step = float(np.linalg.norm(own[:, axis]))
    assert np.linalg.norm(matrix[:, 2]) <= max(slab_mm, step) + 0.01
    if 2 * step <= slab_mm and count >= 2:
        assert abs(factor) >= 2
    assert thickness(found.ijk_to_ras, 2) <= max(slab_mm, thickness(volume.ijk_to_ras, axis)) + 0.01
    # i to the right, j to the front in the scan's own planes, k upward; square pixels.
    right, front, up = matrix.T
    assert (np.linalg.norm(right), np.linalg.norm(front)) == (pytest.approx(pixel_mm), pytest.approx(pixel_mm))
    assert right @ front == pytest.approx(0.0, abs=1e-9)
    assert right[0] > 0.8
    assert front[1] > 0.7
    assert up[2] > 0
    normal = np.cross(*(own[:, a] for a in range(3) if a != axis))
    assert abs(right @ normal) + abs(front @ normal) == pytest.approx(0.0, abs=1e-6 * np.linalg.norm(normal))
    assert all(n % MULTIPLE == 0 for n in found.array.shape[1:])


@settings(max_examples=60, deadline=None)
@given(scans, sizes)
def test_the_whole_scan_is_covered(made, size_mm):
    (volume, axis), (slab_mm, pixel_mm) = made, size_mm
    found = to_slices(volume, slab_mm, pixel_mm)
    place = index_in(found.grid, volume.grid.corners_ras())
    k, j, i = found.array.shape
    assert place[:, 0].min() >= -0.5
    assert place[:, 1].min() >= -0.5
    assert place[:, 0].max() <= i - 0.5
    assert place[:, 1].max() <= j - 0.5
    # Slices that fill no whole slab have one of their own, which may reach beyond the scan.
    assert place[:, 2].min() >= -0.5 - 1e-6
    assert place[:, 2].max() <= k - 0.5 + 1e-6
    if np.linalg.norm(volume.ijk_to_ras[:3, axis]) > slab_mm / 2:
        assert place[:, 2].min() == pytest.approx(-0.5, abs=1e-6)
        assert place[:, 2].max() == pytest.approx(k - 0.5, abs=1e-6)


def test_a_thick_slice_is_not_smeared_into_its_neighbors():
    """Each slice of a scan of 5 mm slices has its own value, also on a tilted gantry."""
    volume, _ = scan((1.0, 1.0, 5.0), (48, 48, 9), tilt=20.0, flips=(True, True, True))
    volume = volume.with_array(np.broadcast_to(100.0 * np.arange(9.0)[:, None, None], (9, 48, 48)).astype(np.float32))
    found = to_slices(volume, *HEAD, fill=FILL)
    for k, plane in enumerate(found.array):
        values = np.unique(plane[plane != FILL])
        np.testing.assert_allclose(values, 100.0 * (8 - k), atol=0.01)


def test_thin_slices_are_averaged_to_slabs():
    volume, _ = scan((1.0, 1.0, 1.0), (32, 32, 20))
    values = np.random.default_rng(0).normal(0, 50, 20)
    volume = volume.with_array(np.broadcast_to(values[:, None, None], (20, 32, 32)).astype(np.float32))
    found = to_slices(volume, *HEAD)
    assert found.array.shape == (4, 64, 64)
    middle = found.array[:, 32, 32]
    np.testing.assert_allclose(middle, values.reshape(4, 5).mean(axis=1), atol=0.01)


def test_the_last_slices_are_seen_though_they_fill_no_slab():
    volume, _ = scan((1.0, 1.0, 1.0), (32, 32, 12))
    bright = np.where(np.arange(12) >= 10, 80.0, 0.0)
    volume = volume.with_array(np.broadcast_to(bright[:, None, None], (12, 32, 32)).astype(np.float32))
    np.testing.assert_allclose(to_slices(volume, *HEAD).array[:, 32, 32], [0.0, 0.0, 80.0], atol=0.01)


def test_only_what_is_asked_for_is_covered_in_plane():
    volume, _ = scan((1.0, 1.0, 5.0), (200, 200, 12), flips=(True, False, False))
    points = np.array([[-40.0, -20.0, 0.0], [31.0, 60.0, 5.0]])
    found = to_slices(volume, *HEAD, points)
    assert found.array.shape == (12, 96, 96)
    place = index_in(found.grid, points)
    assert place[:, :2].min() >= 0
    assert place[:, :2].max() <= 95
    middle = found.grid.corners_ras().mean(axis=0)
    np.testing.assert_allclose(middle[:2], points.mean(axis=0)[:2], atol=1e-6)


def test_a_single_slice_stays_one():
    volume, _ = scan((0.9, 0.9, 5.0), (40, 40, 1))
    assert to_slices(volume, *HEAD).array.shape[0] == 1
    grid = slice_grid(*to_slabs(volume, *HEAD), volume.grid.corners_ras(), HEAD[1])
    assert grid.shape == (1, 64, 64)


def test_scaled_keeps_the_corners_of_an_oblique_lattice():
    matrix = np.eye(4)
    matrix[:3, :3] = rotation((10, 20, 30)) @ np.diag([1.0, 1.0, 5.0])
    matrix[:3, 2] += 0.3 * matrix[:3, 1]
    grid = Grid((3, 32, 64), matrix)
    for pixels in (1, 2, 4):
        coarse = scaled(grid, pixels)
        assert coarse.shape == (3, 32 // pixels, 64 // pixels)
        np.testing.assert_allclose(coarse.corners_ras(), grid.corners_ras(), atol=1e-9)
