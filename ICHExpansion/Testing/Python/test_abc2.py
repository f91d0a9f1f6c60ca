"""ABC/2 against ellipsoids on any lattice, and against boxes whose slices can be counted by hand."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ICHExpansionLib.measuring.abc2 import measure_abc2
from PrognosisLib.errors import InputError
from PrognosisLib.findings import Mask
from PrognosisLib.volume import Grid


def rotation(angles: tuple[float, float, float]) -> np.ndarray:
    a, b, c = angles
    x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return x @ y @ z


def ellipsoid(directions: np.ndarray, semi: np.ndarray, turn: np.ndarray) -> Mask:
    """An ellipsoid (semi-axes in mm, turned) around the RAS origin on a lattice with these IJK directions x spacing."""
    reach = np.linalg.norm(np.linalg.inv(directions) @ turn @ np.diag(semi), axis=1)
    count = np.ceil(2 * reach).astype(int) + 5
    matrix = np.eye(4)
    matrix[:3, :3] = directions
    matrix[:3, 3] = -directions @ ((count - 1) / 2 + np.array([0.31, -0.17, 0.23]))
    grid = Grid(tuple(count[::-1]), matrix)
    k, j, i = np.ogrid[tuple(slice(n) for n in grid.shape)]
    place = np.diag(1 / semi) @ turn.T @ matrix[:3]
    inside = sum((row[0] * i + row[1] * j + (row[2] * k + row[3])) ** 2 for row in place) <= 1
    return Mask.from_full("Hematoma", inside, grid)


def volume_ml(semi: np.ndarray) -> float:
    return 4.0 / 3.0 * np.pi * float(np.prod(semi)) / 1000.0


angle = st.floats(-np.pi, np.pi)
axis_lengths = st.tuples(*[st.floats(9.0, 30.0)] * 3)


@settings(max_examples=60, deadline=None)
@given(
    semi=axis_lengths,
    turn=st.tuples(angle, angle, angle),
    lattice=st.tuples(angle, angle, angle),
    spacing=st.tuples(st.floats(0.4, 1.0), st.floats(0.4, 1.0), st.floats(0.5, 4.0)),
    shear=st.floats(-0.4, 0.4),
    flip=st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3),
    swap=st.permutations([0, 1, 2]),
)
def test_abc2_is_five_percent_below_an_ellipsoid_on_any_lattice(semi, turn, lattice, spacing, shear, flip, swap):
    semi = np.array(semi)
    directions = (rotation(lattice) @ np.diag(np.array(spacing) * flip))[:, list(swap)]
    directions[:, 2] += shear * directions[:, 1]
    mask = ellipsoid(directions, semi, rotation(turn))
    result = measure_abc2(mask)
    # One voxel or axial plane more or less at either length.
    slack = sum(
        step / length
        for step, length in (
            (max(spacing), result.a_mm),
            (max(spacing), result.b_mm),
            (1.2 * result.slice_mm, result.c_mm),
        )
    )
    assert result.volume_ml == pytest.approx(3.0 / np.pi * volume_ml(semi), rel=min(0.6, 0.03 + slack))
    assert result.b_mm <= result.a_mm * 1.05 + max(spacing)


@settings(max_examples=30, deadline=None)
@given(
    semi=axis_lengths,
    turn=angle,
    spacing=st.floats(0.4, 0.7),
    thickness=st.floats(0.5, 5.0),
    tilt=st.floats(-0.4, 0.4),
)
def test_an_upright_ellipsoid_on_tilted_slices(semi, turn, spacing, thickness, tilt):
    """Gantry tilt shears the stack: the slices stay axial here and move forward from one to the next."""
    semi = np.array(semi)
    directions = np.diag([-spacing, -spacing, thickness])
    directions[1, 2] = tilt * thickness
    result = measure_abc2(ellipsoid(directions, semi, rotation((0.0, 0.0, turn))))
    assert not result.resampled
    assert result.slice_mm == pytest.approx(thickness)
    # The slice of the largest area lies within half a slice of the middle.
    lost = 1.0 - min(0.9, 0.5 * thickness / semi[2]) ** 2
    long, short = 2.0 * max(semi[:2]), 2.0 * min(semi[:2])
    assert np.sqrt(lost) * long - 1.5 * spacing <= result.a_mm <= long + 1.5 * spacing
    assert np.sqrt(lost) * short - 2.0 * spacing <= result.b_mm <= short + 0.02 * long + 2.0 * spacing
    assert result.c_mm == pytest.approx(2.0 * semi[2], abs=thickness + 1e-6)


def stack_of_squares(sides: list[int], thickness: float = 5.0) -> Mask:
    """Squares (side in pixels of 1 mm) stacked from bottom to top."""
    array = np.zeros((len(sides) + 2, 60, 60), dtype=bool)
    for k, side in enumerate(sides, start=1):
        array[k, 10 : 10 + side, 10 : 10 + side] = True
    return Mask.from_full("Hematoma", array, Grid(array.shape, np.diag([-1.0, -1.0, thickness, 1.0])))


def test_every_slice_counts_whole():
    result = measure_abc2(stack_of_squares([10, 11, 18, 20, 8]))
    assert result.c_mm == pytest.approx(5.0 * 5.0)
    assert result.slices == 5
    assert result.volume_ml == pytest.approx(result.a_mm * result.b_mm * 25.0 / 2000.0)
    # A corner lies half a pixel outside its center along both axes, of which a rounded border is given a quarter.
    assert result.a_mm == pytest.approx(20.0 * np.sqrt(2.0), abs=1.5)
    assert result.b_mm == pytest.approx(20.0 * np.sqrt(2.0), abs=1.5)
    assert result.voxel_volume_ml == pytest.approx((100 + 121 + 324 + 400 + 64) * 5 / 1000)
    assert result.difference_percent == pytest.approx(100.0 * (result.volume_ml / result.voxel_volume_ml - 1.0))


def test_b_is_a_chord_perpendicular_to_a():
    """A turned ellipse: B stands on A on the same slice, and both have the lengths that the ends say."""
    mask = ellipsoid(np.diag([-0.5, -0.5, 2.5]), np.array([30.0, 12.0, 15.0]), rotation((0.0, 0.0, 0.6)))
    result = measure_abc2(mask)
    a = np.subtract(*result.a_ends_ras)
    b = np.subtract(*result.b_ends_ras)
    assert abs(a @ b) < 1e-6 * result.a_mm * result.b_mm
    assert np.linalg.norm(a) == pytest.approx(result.a_mm)
    assert np.linalg.norm(b) == pytest.approx(result.b_mm)
    # Both calipers lie on the same slice, and A points where the ellipse was turned to.
    assert np.ptp([p[2] for p in (*result.a_ends_ras, *result.b_ends_ras)]) < 1e-6
    assert abs(a[1] / a[0]) == pytest.approx(np.tan(0.6), abs=0.08)


def test_one_voxel_and_nothing():
    grid = Grid((3, 4, 5), np.diag([0.5, 0.5, 5.0, 1.0]))
    array = np.zeros(grid.shape, dtype=bool)
    with pytest.raises(InputError, match="empty"):
        measure_abc2(Mask.from_full("Hematoma", array, grid))
    array[1, 2, 3] = True
    result = measure_abc2(Mask.from_full("Hematoma", array, grid))
    assert 0.0 < result.b_mm <= 1.0
    assert result.c_mm == pytest.approx(5.0)


def test_a_large_hematoma_takes_a_few_hundredths_of_a_second():
    mask = ellipsoid(np.diag([-0.45, -0.45, 5.0]), np.array([30.0, 22.0, 22.0]), np.eye(3))
    measure_abc2(mask)
    start = time.process_time()
    measure_abc2(mask)
    assert time.process_time() - start < 0.25
