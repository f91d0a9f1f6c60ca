"""Signs of expansion on painted hematomas: known holes, islands, lobes and levels, with CT noise, on many lattices."""

from __future__ import annotations

import time
from dataclasses import astuple, replace
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from ICHExpansionLib.measuring.signs import measure_signs, signs_of_arrays
from PrognosisLib.errors import InputError
from PrognosisLib.findings import Mask
from PrognosisLib.volume import Grid, Volume

BLOOD, BRAIN = 65.0, 33.0
STANDARD = (0.6, 5.0)
LATTICES = {"5 mm": (0.6, 5.0), "thin": (0.5, 1.0), "8 mm": (0.6, 8.0), "2.5 mm": (0.8, 2.5)}


def lattice(pixel: float, thickness: float, tilt: float = 0.0, half: tuple = (42.0, 42.0, 32.0)) -> Grid:
    """Radiological orientation (i to the left, j backward, k up), centered; tilt shears the stack."""
    steps = np.diag([-pixel, -pixel, thickness, 1.0])
    steps[1, 2] = tilt * thickness
    count = np.ceil(2.0 * np.array(half) / [pixel, pixel, thickness]).astype(int)
    steps[:3, 3] = -steps[:3, :3] @ ((count - 1) / 2.0)
    return Grid(tuple(count[::-1]), steps)


def coordinates(grid: Grid) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    k, j, i = np.ogrid[tuple(slice(n) for n in grid.shape)]
    return tuple(row[0] * i + row[1] * j + (row[2] * k + row[3]) for row in grid.ijk_to_ras[:3])


def ball(grid: Grid, center: tuple, semi: tuple) -> np.ndarray:
    return sum(((c - m) / s) ** 2 for c, m, s in zip(coordinates(grid), center, semi, strict=True)) <= 1.0


def pillar(grid: Grid, center: tuple, radius: float, half_height: float) -> np.ndarray:
    x, y, z = coordinates(grid)
    return ((x - center[0]) ** 2 + (y - center[1]) ** 2 <= radius**2) & (np.abs(z - center[2]) <= half_height)


def noisy(hu: np.ndarray, grid: Grid, sd: float, seed: int = 0) -> np.ndarray:
    """CT noise: correlated over about a millimeter in the plane."""
    if not sd:
        return hu
    noise = np.random.default_rng(seed).standard_normal(hu.shape)
    noise = ndimage.gaussian_filter(noise, (0.0, *(0.5 / grid.spacing[1::-1])))
    return hu + sd / noise.std() * noise


def painted(grid: Grid, mask: np.ndarray, noise: float = 0.0, dark=None, dark_hu: float = 30.0, seed: int = 0):
    hu = np.where(mask, BLOOD, BRAIN)
    if dark is not None:
        hu = np.where(dark, dark_hu, hu)
    return Volume(noisy(hu, grid, noise, seed).astype(np.float32), grid.ijk_to_ras), Mask.from_full("H", mask, grid)


def plain(grid: Grid) -> np.ndarray:
    return ball(grid, (0.0, 0.0, 0.0), (30.0, 22.0, 22.0))


@pytest.mark.parametrize("name", LATTICES)
@pytest.mark.parametrize("noise", [0.0, 6.0])
def test_an_even_smooth_hematoma_shows_no_sign(name, noise):
    grid = lattice(*LATTICES[name])
    # Thin slices are noisier.
    volume, mask = painted(grid, plain(grid), noise * max(1.0, np.sqrt(5.0 / LATTICES[name][1])))
    signs = measure_signs(volume, mask)
    assert (signs.black_hole, signs.swirl, signs.island_sign) == (False, False, False)
    assert (signs.islands, signs.buds) == (0, 0)
    assert signs.black_hole_hu < 5.0
    assert signs.hypodense_percent < 1.0
    assert signs.volume_ml == pytest.approx(60.8, rel=0.03)
    assert signs.hu_mean == pytest.approx(BLOOD, abs=0.5)
    assert signs.dense_hu == pytest.approx(BLOOD, abs=2.5)
    assert signs.hu_sd < 2.5
    assert signs.irregularity == pytest.approx(1.05, abs=0.06)
    assert signs.solidity > 0.97
    assert signs.fluid_level_share < 0.5
    assert signs.largest_area_mm2 == pytest.approx(np.pi * 30 * 22, rel=0.06)
    assert abs(signs.largest_ras[2]) <= LATTICES[name][1] + 2.5


def test_noise_is_measured_and_taken_off_the_unevenness():
    grid = lattice(*STANDARD)
    x, _, _ = coordinates(grid)
    mask = plain(grid)
    wave = np.broadcast_to(6.0 * np.sqrt(2.0) * np.sin(x / 7.0), grid.shape)
    for noise in (0.0, 3.0, 6.0):
        hu = noisy(np.where(mask, BLOOD + wave, BRAIN), grid, noise)
        signs = signs_of_arrays(hu, mask, grid)
        assert signs.noise_hu == pytest.approx(noise, abs=0.9)
        assert signs.hu_sd == pytest.approx(6.0, abs=0.9)
        assert signs.hu_cv_percent == pytest.approx(100.0 * signs.hu_sd / signs.hu_mean)


@pytest.mark.parametrize("name", LATTICES)
@pytest.mark.parametrize("in_mask", [True, False])
def test_an_enclosed_dark_region_is_a_black_hole_from_28_hu(name, in_mask):
    pixel, thickness = LATTICES[name]
    grid = lattice(pixel, thickness)
    hole = pillar(grid, (8.0, 3.0, 0.0), 5.0, 10.0)
    for depth, positive in ((20.0, False), (36.0, True)):
        mask = plain(grid) if in_mask else plain(grid) & ~hole
        volume, segment = painted(grid, mask, 4.0 * max(1.0, np.sqrt(5.0 / thickness)), hole, BLOOD - depth)
        signs = measure_signs(volume, segment)
        assert signs.black_hole is positive
        assert signs.black_hole_hu == pytest.approx(depth, abs=4.0)
        assert np.hypot(signs.black_hole_ras[0] - 8.0, signs.black_hole_ras[1] - 3.0) < 2.0
        assert abs(signs.black_hole_ras[2]) <= 12.5
        assert signs.black_hole_area_mm2 == pytest.approx(np.pi * 25.0, rel=0.3)
        assert signs.black_hole_ml == pytest.approx(np.pi * 25.0 * 0.02, rel=0.5)


def test_a_bay_that_opens_to_the_brain_is_no_black_hole():
    grid = lattice(*STANDARD)
    x, y, z = coordinates(grid)
    bay = (np.abs(x - 4.0) <= 4.0) & (y >= 0.0) & (np.abs(z) < 40.0)
    volume, mask = painted(grid, plain(grid), 4.0, bay)
    signs = measure_signs(volume, mask)
    assert not signs.black_hole
    # It is dark and reaches over many sections all the same.
    assert signs.swirl
    assert signs.hypodense_percent > 5.0


@pytest.mark.parametrize("name", LATTICES)
def test_swirl_needs_ten_millimeters_of_two_sections(name):
    pixel, thickness = LATTICES[name]
    grid = lattice(pixel, thickness)
    tall = pillar(grid, (-5.0, 0.0, 0.0), 5.0, 14.0)
    z = coordinates(grid)[2]
    one_section = tall & (z >= 0.0) & (z < 5.0)
    for dark, expected in ((tall, True), (one_section, False)):
        volume, mask = painted(grid, plain(grid), 3.0, dark)
        signs = measure_signs(volume, mask)
        assert signs.swirl is expected
        if expected:
            assert signs.swirl_mm == pytest.approx(28.0, abs=max(thickness, 5.0) + 1.0)
            assert np.hypot(signs.swirl_ras[0] + 5.0, signs.swirl_ras[1]) < 2.0
    # Less dark than brain is no swirl, but it is counted as hypodense.
    volume, mask = painted(grid, plain(grid), 3.0, tall, 48.0)
    signs = measure_signs(volume, mask)
    assert not signs.swirl
    assert 0.5 < signs.hypodense_percent < 6.0


def around(count: int, reach: float) -> list[tuple[float, float, float]]:
    return [
        ((30.0 + reach) * np.cos(a), (22.0 + reach) * np.sin(a), 0.0)
        for a in 0.4 + 2.0 * np.pi * np.arange(count) / count
    ]


@pytest.mark.parametrize("name", ["5 mm", "thin", "2.5 mm"])
@pytest.mark.parametrize(
    ("islands", "buds", "positive"),
    [(2, 0, False), (3, 0, True), (0, 3, False), (0, 4, True), (2, 2, True), (1, 2, False)],
)
def test_islands_and_buds_are_counted(name, islands, buds, positive):
    grid = lattice(*LATTICES[name], half=(52.0, 46.0, 32.0))
    mask = plain(grid)
    # Odd places for islands, even ones for buds, so that they do not meet.
    for center in around(8, 12.0)[1::2][:islands]:
        mask |= ball(grid, center, (5.5, 5.5, 7.0))
    for center in around(8, 2.0)[::2][:buds]:
        mask |= ball(grid, center, (5.5, 5.5, 9.0))
    volume, segment = painted(grid, mask, 4.0)
    signs = measure_signs(volume, segment)
    assert (signs.islands, signs.buds) == (islands, buds)
    assert signs.island_sign is positive
    assert len(signs.islands_ras) == islands
    assert len(signs.buds_ras) == buds
    for point in signs.islands_ras:
        assert min(np.linalg.norm(np.subtract(point, c)) for c in around(8, 12.0)[1::2]) < 6.0


def test_ragged_border_voxels_are_no_buds():
    grid = lattice(*STANDARD)
    rough = ndimage.gaussian_filter(np.random.default_rng(3).standard_normal(grid.shape), (0.0, 1.0, 1.0))
    x, y, z = coordinates(grid)
    radius = np.sqrt((x / 30.0) ** 2 + (y / 22.0) ** 2 + (z / 22.0) ** 2)
    mask = radius + 0.03 * rough / rough.std() <= 1.0
    labels, _ = ndimage.label(mask)
    mask = labels == np.bincount(labels[mask]).argmax()
    signs = measure_signs(*painted(grid, mask, 4.0))
    assert signs.islands == 0
    assert signs.buds <= 2
    assert not signs.island_sign


def test_irregularity_grows_from_disc_to_ellipse_to_lobes():
    grid = lattice(*STANDARD, half=(52.0, 46.0, 32.0))
    disc = pillar(grid, (0.0, 0.0, 0.0), 20.0, 18.0)
    x, y, z = coordinates(grid)
    ellipse = ((x / 28.0) ** 2 + (y / 14.0) ** 2 <= 1.0) & (np.abs(z) <= 18.0)
    star = np.hypot(x, y) * np.ones_like(z) <= 20.0 + 7.0 * np.cos(7.0 * np.arctan2(y, x))
    star &= np.abs(z) <= 18.0
    values = [measure_signs(*painted(grid, shape)) for shape in (disc, ellipse, star)]
    # Perimeter of a 2:1 ellipse by Ramanujan's formula: 1.19.
    assert [v.irregularity for v in values[:2]] == pytest.approx([1.0, 1.19], abs=0.03)
    assert values[2].irregularity > 1.8
    assert values[2].solidity < 0.85 < 0.97 < values[1].solidity


def test_a_fluid_level_is_a_dense_back():
    grid = lattice(*STANDARD)
    _, y, _ = coordinates(grid)
    front = plain(grid) & (y > 0.0)
    signs = measure_signs(*painted(grid, plain(grid), 5.0, front, 40.0))
    assert signs.fluid_level_hu == pytest.approx(25.0, abs=3.0)
    assert signs.fluid_level_share > 0.85
    assert abs(signs.fluid_level_ras[1]) < 2.0
    # The same the other way round is none.
    back = plain(grid) & (y < 0.0)
    signs = measure_signs(*painted(grid, plain(grid), 5.0, back, 40.0))
    assert signs.fluid_level_share < 0.3


PLACES = ("largest_ras", "black_hole_ras", "hypodense_ras", "swirl_ras", "fluid_level_ras", "islands_ras", "buds_ras")


def numbers(signs) -> np.ndarray:
    values = astuple(replace(signs, **dict.fromkeys(PLACES)))
    return np.array([float(value) for value in values if value is not None])


@pytest.mark.parametrize("axes", list(permutations(range(3))))
@pytest.mark.parametrize("name", ["5 mm", "2.5 mm"])
def test_the_order_and_direction_of_the_lattices_axes_do_not_matter(name, axes):
    grid = lattice(*LATTICES[name])
    hole = pillar(grid, (8.0, 3.0, 0.0), 5.0, 10.0)
    volume, mask = painted(grid, plain(grid), 4.0, hole)
    signs = measure_signs(volume, mask)
    for flip in ((), (0,), (1, 2), (2,)):
        array, full = np.transpose(volume.array, axes), np.transpose(mask.full() > 0, axes)
        matrix = grid.ijk_to_ras[:, [*(2 - axes[a] for a in (2, 1, 0)), 3]].copy()
        for axis in flip:
            array, full = np.flip(array, axis), np.flip(full, axis)
            column = 2 - axis
            matrix[:3, 3] += matrix[:3, column] * (array.shape[axis] - 1)
            matrix[:3, column] *= -1.0
        turned = Grid(array.shape, matrix)
        other = measure_signs(Volume(np.ascontiguousarray(array), matrix), Mask.from_full("H", full, turned))
        assert numbers(other) == pytest.approx(numbers(signs), rel=1e-3, abs=1e-3)
        assert np.linalg.norm(np.subtract(other.black_hole_ras, signs.black_hole_ras)) < 1.5


@settings(max_examples=15, deadline=None)
@given(
    pixel=st.floats(0.4, 0.9),
    thickness=st.floats(0.6, 7.0),
    tilt=st.floats(-0.4, 0.4),
    seed=st.integers(0, 1000),
)
def test_any_scan_of_a_hematoma_with_a_hole_and_two_islands(pixel, thickness, tilt, seed):
    grid = lattice(pixel, thickness, tilt, half=(52.0, 46.0 + 32.0 * abs(tilt), 32.0))
    hole = pillar(grid, (8.0, 3.0, 0.0), 5.0, 10.0)
    mask = plain(grid)
    for center in around(8, 12.0)[1:5:2]:
        mask |= ball(grid, center, (6.0, 6.0, 9.0))
    volume, segment = painted(grid, mask, 4.0, hole, BLOOD - 38.0, seed)
    signs = measure_signs(volume, segment)
    assert signs.black_hole
    assert signs.black_hole_hu == pytest.approx(38.0, abs=6.0)
    assert signs.islands == 2
    assert signs.swirl
    assert 1.2 < signs.irregularity < 1.9


def test_small_and_unfit_masks():
    grid = lattice(*STANDARD)
    array = np.zeros(grid.shape, dtype=bool)
    volume = Volume(np.full(grid.shape, BLOOD, np.float32), grid.ijk_to_ras)
    with pytest.raises(InputError, match="empty"):
        measure_signs(volume, Mask.from_full("H", array, grid))
    with pytest.raises(InputError, match="empty"):
        signs_of_arrays(volume.array, array, grid)
    with pytest.raises(InputError, match="voxels"):
        signs_of_arrays(volume.array[1:], array, grid)
    other = lattice(0.7, 5.0)
    with pytest.raises(InputError, match="voxels"):
        measure_signs(volume, Mask.from_full("H", np.ones(other.shape, dtype=bool), other))
    for box in ((4, 60, 60), (slice(4, 5), slice(60, 62), slice(60, 90)), (slice(4, 9), 60, 60)):
        array[:] = False
        array[box] = True
        signs = measure_signs(volume, Mask.from_full("H", array, grid))
        assert signs.hu_mean == pytest.approx(BLOOD)
        assert (signs.black_hole, signs.swirl, signs.island_sign) == (False, False, False)
        assert np.isfinite(numbers(signs)).all()
    # A hematoma in the thinnest slices, one slice only.
    thin = lattice(0.6, 0.6, half=(20.0, 20.0, 6.0))
    array = np.zeros(thin.shape, dtype=bool)
    array[7, 20:40, 20:40] = True
    volume = Volume(np.full(thin.shape, BLOOD, np.int16), thin.ijk_to_ras)
    assert measure_signs(volume, Mask.from_full("H", array, thin)).hu_mean == pytest.approx(BLOOD)


def test_all_signs_of_a_large_hematoma_take_a_seventh_of_a_second():
    grid = lattice(0.45, 5.0, half=(115.0, 115.0, 80.0))
    volume, mask = painted(grid, plain(grid), 5.0, pillar(grid, (8.0, 3.0, 0.0), 5.0, 10.0))
    assert volume.array.shape == (32, 512, 512)
    seconds = []
    for _ in range(3):
        start = time.process_time()
        measure_signs(volume, mask)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.15
