"""Side, midline, depth and region of hematomas in painted and real heads, turned and on any lattice."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial.transform import Rotation

from ICHExpansionLib.head.brain import find_brain, is_windowed
from ICHExpansionLib.head.head_frame import CENTER, RADII_MM, STEP_DEG, find_head_frame
from ICHExpansionLib.measuring.location import DEEP, INFRATENTORIAL, LOBAR, is_deep, is_infratentorial, locate
from PrognosisLib.errors import InputError
from PrognosisLib.findings import Mask
from PrognosisLib.images.readers import read_volume
from PrognosisLib.volume import Grid, Volume, resample

HEADS = Path(__file__).resolve().parents[4] / "shared" / "data" / "head-ct"
needs_data = pytest.mark.skipif(not HEADS.is_dir(), reason="the real images in ../shared/data are absent")
PLACES = {
    "right putamen": ((28.0, 0.0, 5.0), "right", DEEP),
    "left thalamus": ((-14.0, -18.0, 8.0), "left", DEEP),
    "left frontal lobe": ((-28.0, 50.0, 18.0), "left", LOBAR),
    "right parietal lobe": ((35.0, -50.0, 42.0), "right", LOBAR),
    "left temporal lobe": ((-52.0, -18.0, -18.0), "left", LOBAR),
    "right occipital lobe": ((22.0, -85.0, 12.0), "right", LOBAR),
    "pons": ((0.0, -28.0, -30.0), "midline", INFRATENTORIAL),
    "left cerebellum": ((-25.0, -65.0, -38.0), "left", INFRATENTORIAL),
}


def standard_radius(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance of points (n, 3) in standard head coordinates from the center, and of the inner table behind them."""
    from_center = points - CENTER
    distance = np.linalg.norm(from_center, axis=1)
    elevation = np.rad2deg(np.arcsin(from_center[:, 2] / np.maximum(distance, 1e-6)))
    azimuth = np.rad2deg(np.arctan2(np.abs(from_center[:, 0]), from_center[:, 1]))
    place = [(elevation + 90.0) / STEP_DEG, azimuth / STEP_DEG]
    return distance, ndimage.map_coordinates(RADII_MM, place, order=1, mode="nearest")


def head(
    grid: Grid, turn=(0.0, 0.0, 0.0), scale=(0.9, 0.86, 0.88), bleed=None, radius=12.0, windowed=False, noise=3.0
) -> tuple[Volume, Mask, np.ndarray]:
    """A head around the RAS origin: brain, skull of 6 mm, scalp, air; a ball of blood at standard coordinates."""
    to_ras = np.eye(4)
    to_ras[:3, :3] = Rotation.from_euler("xyz", turn, degrees=True).as_matrix() * np.array(scale)
    to_ras[:3, 3] = -to_ras[:3, :3] @ CENTER
    index = np.stack(np.unravel_index(np.arange(np.prod(grid.shape)), grid.shape), axis=1)
    inverse = np.linalg.inv(to_ras)
    standard = (grid.to_ras(index) @ inverse[:3, :3].T + inverse[:3, 3]).astype(np.float32)
    distance, table = standard_radius(standard)
    hu = np.full(len(distance), -1000.0, dtype=np.float32)
    hu[distance < table + 13.0] = 25.0
    hu[distance < table + 7.0] = 900.0
    hu[distance < table] = 33.0
    blood = np.zeros(len(hu), dtype=bool)
    if bleed is not None:
        blood = ((standard - np.array(bleed)) * scale / radius) ** 2 @ np.ones(3) <= 1.0
        blood &= distance < table
        hu[blood] = 65.0
    hu += np.random.default_rng(0).normal(0.0, noise, len(hu)).astype(np.float32)
    if windowed:
        hu = np.clip(hu, 0.0, 80.0)
    mask = Mask.from_full("Hematoma", blood.reshape(grid.shape), grid)
    return Volume(hu.reshape(grid.shape), grid.ijk_to_ras), mask, to_ras


def lattice(directions: np.ndarray, half: float = 112.0) -> Grid:
    """A lattice with these IJK directions x spacing that holds a cube around the RAS origin."""
    reach = np.abs(np.linalg.inv(directions)) @ np.full(3, half)
    count = np.ceil(2.0 * reach).astype(int) + 1
    matrix = np.eye(4)
    matrix[:3, :3] = directions
    matrix[:3, 3] = -directions @ ((count - 1) / 2.0)
    return Grid(tuple(count[::-1]), matrix)


AXIAL = np.diag([-2.0, -2.0, 5.0])


def degrees_between(one, two) -> float:
    return float(np.rad2deg(np.arccos(np.clip(np.dot(one, two), -1.0, 1.0))))


@pytest.mark.parametrize("name", PLACES)
def test_known_places(name):
    place, side, region = PLACES[name]
    volume, mask, to_ras = head(lattice(AXIAL), bleed=place)
    found = locate(volume, mask)
    assert (found.side, found.region) == (side, region)
    assert found.midline_mm == pytest.approx(0.9 * place[0], abs=2.5)
    assert found.head_mm == pytest.approx(place, abs=5.0)
    assert found.center_ras == pytest.approx((to_ras @ [*place, 1.0])[:3], abs=2.0)
    assert found.lobar_share + found.deep_share + found.infratentorial_share == pytest.approx(1.0)
    assert region in found.explanation
    assert found.confidence in found.explanation
    assert found.explanation.endswith(".")
    assert found.crosses_midline == (side == "midline")


@settings(max_examples=12, deadline=None)
@given(
    turn=st.tuples(*[st.floats(-20.0, 20.0)] * 3),
    axes=st.permutations([0, 1, 2]),
    flip=st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3),
    thickness=st.floats(1.5, 6.0),
    tilt=st.floats(-0.35, 0.35),
    windowed=st.booleans(),
    name=st.sampled_from(sorted(PLACES)),
)
def test_turned_heads_on_any_lattice(turn, axes, flip, thickness, tilt, windowed, name):
    place, side, region = PLACES[name]
    directions = np.diag([2.0, 2.0, thickness]) * np.array(flip)
    directions[1, 2] = tilt * thickness
    volume, mask, to_ras = head(lattice(directions[:, list(axes)]), turn, bleed=place, windowed=windowed)
    assert is_windowed(volume.array) == windowed
    found = locate(volume, mask)
    normal = to_ras[:3, 0] / np.linalg.norm(to_ras[:3, 0])
    assert degrees_between(found.plane_normal, normal) < 5.0
    assert found.midline_mm == pytest.approx(0.9 * place[0], abs=3.5)
    assert found.side == side
    assert found.region == region
    assert found.turns_deg == pytest.approx(turn, abs=8.0)


def test_depth_to_the_inner_table():
    for depth in (4.0, 12.0, 20.0):
        # To the right of the center the inner table is 73 mm of the standard head away, and nothing is nearer.
        center = CENTER + np.array([73.0 - (depth + 10.0) / 0.9, 0.0, 0.0])
        volume, mask, _ = head(lattice(np.diag([-1.5, -1.5, 3.0])), bleed=center, radius=10.0)
        assert locate(volume, mask).depth_mm == pytest.approx(depth, abs=4.5)


def test_right_is_the_patients_right_whatever_way_the_columns_run():
    for sign in (-1.0, 1.0):
        volume, mask, _ = head(lattice(np.diag([sign * 2.0, -2.0, 5.0])), bleed=PLACES["right putamen"][0])
        found = locate(volume, mask)
        assert found.center_ras[0] > 20.0
        assert found.plane_normal[0] > 0.95
        assert found.side == "right"


def test_a_head_that_is_no_standard_head():
    """An egg of bone: side and midline hold, the region is only as good as the shape."""
    grid = lattice(AXIAL)
    k, j, i = np.ogrid[tuple(slice(n) for n in grid.shape)]
    x, y, z = (row[0] * i + row[1] * j + (row[2] * k + row[3]) for row in grid.ijk_to_ras[:3])
    inside = (x / 66.0) ** 2 + (y / 84.0) ** 2 + (z / 66.0) ** 2
    hu = np.where(inside < 1.0, 33.0, np.where(inside < 1.2, 800.0, np.where(inside < 1.4, 20.0, -1000.0)))
    blood = (x + 30.0) ** 2 + y**2 + z**2 <= 144.0
    volume = Volume(np.where(blood, 65.0, hu).astype(np.float32), grid.ijk_to_ras)
    assert find_brain(volume).volume_ml == pytest.approx(4.0 / 3.0 * np.pi * 66 * 84 * 66 / 1000.0, rel=0.12)
    found = locate(volume, Mask.from_full("Hematoma", blood, grid))
    assert found.side == "left"
    assert found.midline_mm == pytest.approx(-30.0, abs=5.0)


def test_the_brain_of_a_head_with_a_gap_in_its_skull_and_the_scan_cut_at_the_vertex():
    grid = lattice(AXIAL)
    volume, mask, _ = head(grid, bleed=PLACES["right putamen"][0])
    whole = find_brain(volume)
    x = volume.grid.to_ras(np.stack(np.unravel_index(np.arange(volume.array.size), grid.shape), axis=1))
    gap = (volume.array.reshape(-1) > 500.0) & (x[:, 0] > 40.0) & (np.abs(x[:, 1]) < 20.0) & (x[:, 2] > 10.0)
    open_skull = Volume(np.where(gap.reshape(grid.shape), 25.0, volume.array).astype(np.float32), grid.ijk_to_ras)
    assert find_brain(open_skull).volume_ml == pytest.approx(whole.volume_ml, rel=0.12)
    assert locate(open_skull, mask).region == DEEP
    low = grid.sub_grid((slice(0, len(volume.array) - 14), slice(0, grid.shape[1]), slice(0, grid.shape[2])))
    cut = Volume(volume.array[: low.shape[0]], low.ijk_to_ras)
    found = locate(cut, Mask.from_full("Hematoma", mask.full()[: low.shape[0]], low))
    assert (found.side, found.region) == ("right", DEEP)


def test_what_is_no_head_and_masks_that_do_not_fit_are_refused():
    grid = lattice(AXIAL)
    soft = Volume(np.full(grid.shape, 40, np.int16), grid.ijk_to_ras, name="abdomen")
    with pytest.raises(InputError, match=r"'abdomen' shows no closed skull .*\.$"):
        find_brain(soft)
    volume, mask, _ = head(grid, bleed=PLACES["pons"][0])
    empty = Mask.from_full("Hematoma", np.zeros(grid.shape, dtype=bool), grid)
    with pytest.raises(InputError, match="empty"):
        locate(volume, empty)
    shifted = grid.ijk_to_ras.copy()
    shifted[0, 3] += 5.0
    with pytest.raises(InputError, match="voxels"):
        locate(Volume(volume.array, shifted), mask)


def test_regions_are_symmetric_and_do_not_overlap_where_it_matters():
    points = np.array([place for place, _, _ in PLACES.values()])
    mirrored = points * [-1.0, 1.0, 1.0]
    assert (is_infratentorial(points) == is_infratentorial(mirrored)).all()
    assert (is_deep(points) == is_deep(mirrored)).all()
    assert is_infratentorial(points).tolist() == [region == INFRATENTORIAL for _, _, region in PLACES.values()]
    assert (is_deep(points) & ~is_infratentorial(points)).tolist() == [r == DEEP for _, _, r in PLACES.values()]


def test_a_512_pixel_scan_takes_less_than_a_second():
    volume, _, _ = head(lattice(AXIAL), bleed=PLACES["right putamen"][0])
    fine = lattice(np.diag([-0.45, -0.45, 5.0]))
    volume = Volume(resample(volume.array, volume.ijk_to_ras, fine, -1000.0), fine.ijk_to_ras)
    seconds = []
    for _ in range(3):
        start = time.process_time()
        brain = find_brain(volume)
        found = time.process_time()
        find_head_frame(brain)
        seconds.append((found - start, time.process_time() - found))
    assert min(s[0] for s in seconds) < 0.4
    assert min(s[1] for s in seconds) < 0.6


def real_case(number: str) -> tuple[Volume, Mask]:
    """A real hematoma: the bright part that the mask of its oedema encloses or touches. Spacing is nominal there."""
    scan = read_volume(HEADS / "phe-sich" / f"phe_{number}_ct8bit.nii.gz")
    volume = scan.with_array(scan.array.astype(np.float32) * np.float32(80.0 / 255.0))
    oedema = read_volume(HEADS / "phe-sich" / f"phe_{number}_oedema.nii.gz").array > 0
    brain = find_brain(volume)
    inside = ndimage.binary_erosion(brain.mask)
    inside = resample(inside, brain.grid.ijk_to_ras, volume.grid, nearest=True) > 0
    smooth = ndimage.gaussian_filter(volume.array, (0.0, 1.2, 1.2))
    bright = ndimage.binary_opening((smooth >= 47.0) & inside & ~oedema, np.ones((1, 3, 3)))
    planes = np.flatnonzero(oedema.any(axis=(1, 2)))
    bright[: max(planes[0] - 1, 0)] = bright[planes[-1] + 2 :] = False
    labels, count = ndimage.label(bright)
    assert count
    touching = np.bincount(labels[ndimage.binary_dilation(oedema, iterations=3)], minlength=count + 1)
    touching[0] = 0
    return volume, Mask.from_full("Hematoma", labels == int(touching.argmax()), volume.grid)


# Sides and regions as read from the slices by eye; most heads are turned, up to 40 degrees.
BY_EYE = {
    "0006": "right",
    "0014": "right",
    "0021": "left",
    "0024": "right",
    "0029": "left",
    "0034": "left",
    "0039": "right",
    "0041": "left",
    "0042": "right",
    "0060": "left",
    "0066": "left",
    "0068": "right",
}


@pytest.mark.real
@needs_data
@pytest.mark.parametrize("number", BY_EYE)
def test_real_deep_hematomas(number):
    volume, mask = real_case(number)
    found = locate(volume, mask)
    assert found.side == BY_EYE[number]
    assert found.region == DEEP
    assert found.fit_mm < 4.0
    # The same head in another place: what is measured goes with it.
    move = np.eye(4)
    move[:3, :3] = Rotation.from_euler("xyz", [-8.0, 6.0, -5.0], degrees=True).as_matrix()
    move[:3, 3] = [30.0, -50.0, 700.0]
    moved = Volume(volume.array, move @ volume.ijk_to_ras)
    again = locate(moved, Mask(mask.name, mask.array, mask.start, moved.grid))
    assert (again.side, again.region) == (found.side, found.region)
    assert again.midline_mm == pytest.approx(found.midline_mm, abs=3.0)
    assert degrees_between(again.plane_normal, move[:3, :3] @ found.plane_normal) < 8.0


@pytest.mark.real
@needs_data
def test_the_real_head_with_gantry_tilt_and_no_bleed():
    volume = read_volume(HEADS / "ge-plain")
    brain = find_brain(volume)
    assert not brain.windowed
    assert 1200.0 < brain.volume_ml < 1800.0
    frame = find_head_frame(brain)
    assert frame.fit_mm < 4.0
    assert abs(frame.normal[0]) > 0.95
