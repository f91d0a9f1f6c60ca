"""Registration of a follow-up head CT: known motions of a procedural head, and of a real one."""

from __future__ import annotations

import importlib
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ICHExpansionLib.head.registration import (
    Registration,
    judge,
    moved_points,
    register_followup,
    resample_to_baseline,
    rotation_matrix,
)
from ICHExpansionLib.head.skull import find_skull
from PrognosisLib.errors import Cancelled
from PrognosisLib.volume import AIR_HU, Grid, Volume, resample

ROOT = Path(__file__).resolve().parents[3]
REAL = ROOT.parent / "shared" / "data" / "head-ct" / "ge-plain"


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    import SimpleITK as sitk

    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    yield
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)


@cache
def head(person: int = 0, blood_ml: float = 0.0) -> Volume:
    """A head of 1 mm voxels, center of the brain at the origin: lopsided skull, base, orbits, petrous bones, brain."""
    rng = np.random.default_rng(person)
    z, y, x = (axis.astype(np.float32) for axis in np.ogrid[-105:95, -105:105, -90:90])
    half = np.array([70, 88, 78]) * (1 + (0.05 * rng.standard_normal(3) if person else 0))
    u, v, w = x / half[0], y / half[1], z / half[2]
    r = np.sqrt(u * u + v * v + w * w) + 1e-3
    bumps = 0.03 * rng.standard_normal(5)
    shape = (bumps[0] * u * v + bumps[1] * u * w + bumps[2] * v * w + bumps[3] * (u * u - v * v)) / (r * r)
    r = r * (1 + shape + bumps[4] * v * (u * u - w * w) / r**3)
    thick = (7.0 + 2.0 * v + 1.0 * u * v) / half.mean()
    hu = np.full(r.shape, AIR_HU, dtype=np.float32)
    hu[np.broadcast_to((x * x + (y + 15) ** 2 < 55**2) & (z < -20), r.shape) | (r < 1.07)] = 40.0
    hu[r < 1.0] = 1100.0
    inner = r < 1.0 - thick
    hu[inner] = 35.0
    floor = -48.0 + 0.15 * y + 0.05 * x
    hu[inner & (z < floor) & (z > floor - 7) & (x * x + (y + 20) ** 2 > 16**2)] = 900.0
    hu[inner & (z < floor - 7)] = 40.0
    for a, b, c, radius, value in (
        (32, 72, -42, 19, -60.0),
        (-33, 70, -41, 18, -60.0),
        (2, 66, -58, 12, -900.0),
        (-14, 74, 12, 9, -900.0),
    ):
        distance = np.sqrt((x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2)
        hu[distance < radius + 3] = 800.0
        hu[distance < radius] = value
    for a, turn in ((36, 0.6), (-38, -0.75)):
        along, across = (x - a) + turn * (y + 22), (y + 22) - turn * (x - a)
        hu[(along / 30) ** 2 + (across / 10) ** 2 + ((z + 44) / 9) ** 2 < 1] = 1300.0
    for a in (14, -12):
        hu[((x - a) / 8) ** 2 + (y / 35) ** 2 + ((z - 12) / 9) ** 2 < 1] = 8.0
    if blood_ml:
        radius = np.cbrt(blood_ml * 1000 / (4 / 3 * np.pi))
        hu[np.sqrt((x - 30) ** 2 + (y - 5) ** 2 + (z - 10) ** 2) < radius] = 70.0
    matrix = np.eye(4)
    matrix[:3, 3] = (-90, -105, -105)
    return Volume(hu, matrix, "CT", f"person {person}")


def motion(turns: tuple[float, float, float], shift: tuple[float, float, float], center: np.ndarray) -> np.ndarray:
    """Turn about R, then A, then S (degrees) around `center`, and shift (mm)."""
    matrix = np.eye(4)
    for axis, degrees in zip(np.eye(3), turns, strict=True):
        matrix[:3, :3] = rotation_matrix(axis * np.deg2rad(degrees)) @ matrix[:3, :3]
    matrix[:3, 3] = center + shift - matrix[:3, :3] @ center
    return matrix


def scan_grid(
    center: np.ndarray,
    pixel: float = 0.9,
    slices: float = 5.0,
    tilt: float = 0.0,
    flip: tuple[int, int, int] = (-1, -1, 1),
    range_mm: float = 190.0,
) -> Grid:
    """A scanner's lattice around a point; `tilt` (degrees) turns the slices but not the table's motion: shear."""
    turn = rotation_matrix(np.array([np.deg2rad(tilt), 0, 0]))
    matrix = np.eye(4)
    matrix[:3, 0] = turn[:, 0] * pixel * flip[0]
    matrix[:3, 1] = turn[:, 1] * pixel * flip[1]
    matrix[2, 2] = slices / np.cos(np.deg2rad(tilt)) * flip[2]
    shape = (round(range_mm / slices), round(230 / pixel), round(230 / pixel))
    matrix[:3, 3] = center - matrix[:3, :3] @ ((np.array(shape[::-1]) - 1) / 2)
    return Grid(shape, matrix)


def scan(patient: Volume, moved: np.ndarray, grid: Grid, noise: float = 5.0, holder: bool = True) -> Volume:
    """The patient, moved, averaged over each slice of `grid`, on a head holder that does not move along; int16."""
    total = np.zeros(grid.shape, dtype=np.float32)
    for part in (-1 / 3, 0, 1 / 3):
        matrix = grid.ijk_to_ras.copy()
        matrix[:3, 3] += part * matrix[:3, 2]
        total += resample(patient.array, moved @ patient.ijk_to_ras, Grid(grid.shape, matrix), AIR_HU) / 3
    if holder:
        r, a, _ = grid.to_ras(np.argwhere(np.ones(grid.shape, dtype=bool))).T
        distance = np.hypot(r, a).reshape(grid.shape)
        total[(distance > 125) & (distance < 129) & (a.reshape(grid.shape) < -60)] = 600.0
    total += np.random.default_rng(1).normal(0, noise, grid.shape)
    return Volume(np.clip(total, AIR_HU, 3071).astype(np.int16), grid.ijk_to_ras)


def error_mm(registration: Registration, truth: np.ndarray, center: np.ndarray | None = None) -> float:
    """Largest error at 200 points of the brain (radius 65 mm)."""
    directions = np.random.default_rng(0).normal(size=(200, 3))
    points = 65 * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    points += 0 if center is None else center
    difference = moved_points(registration.matrix, points) - moved_points(truth, points)
    return float(np.linalg.norm(difference, axis=1).max())


def baseline_scan(**more: float) -> Volume:
    return scan(head(), np.eye(4), scan_grid(np.array([3.0, -2.0, -4.0]), **more))


MOTIONS = [
    ((0, 0, 0), (0, 0, 0), {}, {}),
    ((6, -4, 8), (10, -15, 20), {"tilt": 18.0}, {"slices": 4.8, "flip": (1, -1, -1)}),
    ((25, 0, 0), (0, 50, 0), {"slices": 3.0}, {"tilt": -18.0, "slices": 3.0}),
    ((-25, 5, 10), (-50, 0, 10), {"tilt": 18.0, "flip": (1, 1, 1)}, {"tilt": -12.0, "slices": 7.0}),
    ((5, 10, 25), (20, 20, -50), {"slices": 1.5}, {"slices": 8.0}),
    ((10, -15, -25), (30, -30, 30), {"pixel": 0.45}, {"pixel": 0.45, "tilt": 18.0}),
]


@pytest.mark.parametrize(("turns", "shift", "first", "second"), MOTIONS)
def test_known_motion_is_recovered_on_any_lattice(turns, shift, first, second):
    truth = motion(turns, shift, np.zeros(3))
    found = register_followup(baseline_scan(**first), scan(head(), truth, scan_grid(np.add(shift, 2.0), **second)))
    assert error_mm(found, truth) < 0.7
    assert found.succeeded
    assert found.reason == ""
    assert found.rotation_degrees == pytest.approx(np.degrees(np.arccos((np.trace(truth[:3, :3]) - 1) / 2)), abs=0.5)
    assert found.matrix[:3, :3] @ found.matrix[:3, :3].T == pytest.approx(np.eye(3), abs=1e-9)
    assert set(found.quality) == {
        "surface_mean_mm",
        "surface_95_mm",
        "bone_dice",
        "skull_correlation",
        "brain_correlation",
        "overlap",
        "slice_mm",
    }


def test_a_growing_hematoma_does_not_move_the_skull():
    truth = motion((4, 3, -6), (5, 10, -8), np.zeros(3))
    grid = scan_grid(np.zeros(3), tilt=18.0)
    baseline = scan(head(0, 12.0), np.eye(4), scan_grid(np.zeros(3)))
    plain = register_followup(baseline, scan(head(0, 12.0), truth, grid))
    grown = register_followup(baseline, scan(head(0, 90.0), truth, grid))
    assert error_mm(grown, truth) < 0.5
    assert error_mm(grown, plain.matrix) < 0.05
    assert grown.succeeded


@pytest.mark.parametrize("window", [(0, 80), (-100, 255)])
def test_window_clipped_scans_are_registered(window):
    truth = motion((10, 3, 12), (10, 20, 15), np.zeros(3))
    baseline, followup = baseline_scan(tilt=18.0), scan(head(0, 30.0), truth, scan_grid(np.array([10.0, 20, 15])))
    clipped = followup.with_array(np.clip(followup.array, *window))
    for first in (baseline, baseline.with_array(np.clip(baseline.array, *window))):
        found = register_followup(first, clipped)
        assert error_mm(found, truth) < 1.0
        assert found.succeeded


@pytest.mark.parametrize(("middle", "length"), [(45.0, 80.0), (-30.0, 80.0), (10.0, 60.0)])
def test_a_scan_of_a_part_of_the_head_is_registered(middle, length):
    truth = motion((12, -3, 8), (10, 20, 40), np.zeros(3))
    grid = scan_grid(np.array([10.0, 20, 40 + middle]), tilt=18.0, range_mm=length)
    part = scan(head(), truth, grid)
    found = register_followup(baseline_scan(), part)
    assert error_mm(found, truth) < 1.0
    assert found.succeeded
    back = register_followup(part, baseline_scan())
    assert error_mm(back, np.linalg.inv(truth), np.array([10.0, 20, 40])) < 1.0


@pytest.mark.parametrize("person", [1, 2, 3])
def test_another_person_is_flagged(person):
    other = scan(head(person), motion((5, 0, 5), (5, 5, 5), np.zeros(3)), scan_grid(np.zeros(3)))
    found = register_followup(baseline_scan(), other)
    assert not found.succeeded
    assert "same patient" in found.reason


def test_what_is_no_head_is_flagged():
    baseline = baseline_scan()
    grid = scan_grid(np.zeros(3))
    z, y, x = np.indices(grid.shape)
    ball = np.where((z - 19) ** 2 * 30 + (y - 128) ** 2 + (x - 128) ** 2 < 90**2, 1000, -1000).astype(np.int16)
    noise = np.random.default_rng(0).normal(0, 300, grid.shape).astype(np.int16)
    for array in (np.zeros(grid.shape, np.int16), np.full(grid.shape, -1024, np.int16), ball, noise):
        found = register_followup(baseline, Volume(array, grid.ijk_to_ras))
        assert not found.succeeded
        assert found.reason.endswith(".")
        found = register_followup(Volume(array, grid.ijk_to_ras), baseline)
        assert not found.succeeded


def test_scans_of_different_parts_are_flagged():
    top = scan(head(), np.eye(4), scan_grid(np.array([0.0, 0, 55]), range_mm=50.0))
    base = scan(head(), np.eye(4), scan_grid(np.array([0.0, 0, -50]), range_mm=60.0))
    found = register_followup(top, base)
    assert not found.succeeded
    assert found.reason


def test_same_input_same_matrix_and_input_untouched():
    truth = motion((8, 0, -8), (0, 10, 10), np.zeros(3))
    baseline, followup = baseline_scan(), scan(head(), truth, scan_grid(np.zeros(3)))
    before = followup.array.copy()
    first, second = register_followup(baseline, followup), register_followup(baseline, followup)
    assert np.array_equal(first.matrix, second.matrix)
    assert first.quality == second.quality
    assert np.array_equal(before, followup.array)


def test_there_and_back_are_inverse():
    truth = motion((8, 4, -8), (0, 10, 10), np.zeros(3))
    baseline, followup = baseline_scan(), scan(head(), truth, scan_grid(np.zeros(3), tilt=10.0))
    there, back = register_followup(baseline, followup), register_followup(followup, baseline)
    assert error_mm(there, np.linalg.inv(back.matrix)) < 0.1


def test_progress_grows_and_can_cancel():
    seen: list[float] = []
    register_followup(baseline_scan(), baseline_scan(), lambda fraction, message: seen.append(fraction))
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (0.0, 1.0)

    def cancel(fraction: float, message: str) -> None:
        if fraction > 0.3:
            raise Cancelled

    with pytest.raises(Cancelled):
        register_followup(baseline_scan(), baseline_scan(), cancel)


def test_the_head_holder_is_no_skull():
    grid = scan_grid(np.zeros(3))
    without = find_skull(scan(head(), np.eye(4), grid, holder=False))
    with_holder = find_skull(scan(head(), np.eye(4), grid))
    assert np.array_equal(without.bone, with_holder.bone)


def test_quality_is_judged():
    good = {"surface_mean_mm": 0.9, "surface_95_mm": 1.8, "overlap": 0.9, "slice_mm": 5.0}
    assert judge(good) == ""
    assert "share too little" in judge({"overlap": 0.1})
    assert "share too little" in judge({**good, "overlap": 0.3})
    assert "2.0 mm" in judge({**good, "surface_mean_mm": 2.0})
    assert "same patient" in judge({**good, "surface_95_mm": 3.5})
    assert judge({**good, "surface_95_mm": 3.5, "slice_mm": 8.0}) == ""


@settings(max_examples=25, deadline=None)
@given(
    turns=st.tuples(*[st.floats(-30, 30)] * 3),
    shift=st.tuples(*[st.floats(-20, 20)] * 3),
    tilts=st.tuples(st.floats(-25, 25), st.floats(-25, 25)),
    flip=st.tuples(*[st.sampled_from([-1, 1])] * 3),
)
def test_resampling_follows_matrix_and_shear(turns, shift, tilts, flip):
    """A field that is linear in space is reproduced exactly wherever the follow-up was scanned."""
    matrix = motion(turns, shift, np.zeros(3))
    followup = scan_grid(np.zeros(3), 9.0, 10.0, tilts[0], flip, 300.0)
    baseline = scan_grid(np.array(shift), 11.0, 12.0, tilts[1], (-1, -1, 1), 60.0)
    slope = np.array([0.7, -0.4, 1.1])
    every = np.argwhere(np.ones(followup.shape, dtype=bool))
    values = (followup.to_ras(every) @ slope).reshape(followup.shape).astype(np.float32)
    got = resample_to_baseline(values, followup, Registration(matrix), baseline, fill=1e6)
    points = moved_points(matrix, baseline.to_ras(np.argwhere(np.ones(baseline.shape, dtype=bool))))
    want = (points @ slope).reshape(baseline.shape)
    inverse = np.linalg.inv(followup.ijk_to_ras)
    index = points @ inverse[:3, :3].T + inverse[:3, 3]
    inside = np.all((index > 0.01) & (index < np.array(followup.shape[::-1]) - 1.01), axis=1).reshape(baseline.shape)
    assert inside.any()
    assert got[inside] == pytest.approx(want[inside], abs=0.05)
    outside = np.any((index < -0.51) | (index > np.array(followup.shape[::-1]) - 0.49), axis=1)
    assert np.all(got.ravel()[outside] == 1e6)


def test_a_mask_comes_back_on_the_baseline_with_its_volume():
    truth = motion((15, 5, -10), (10, 20, 30), np.zeros(3))
    grid, target = scan_grid(np.array([10.0, 20, 30]), tilt=18.0), scan_grid(np.zeros(3), slices=2.5)
    points = moved_points(np.linalg.inv(truth), grid.to_ras(np.argwhere(np.ones(grid.shape, dtype=bool))))
    mask = (np.linalg.norm(points - [20, 10, 15], axis=1) < 22).reshape(grid.shape)
    got = resample_to_baseline(mask, grid, Registration(truth), target, fill=0, nearest=True)
    assert got.dtype == np.uint8
    assert got.sum() * target.voxel_volume_ml == pytest.approx(mask.sum() * grid.voxel_volume_ml, rel=0.03)
    assert target.to_ras(np.argwhere(got)).mean(axis=0) == pytest.approx([20, 10, 15], abs=0.5)


@pytest.mark.real
@pytest.mark.skipif(not REAL.is_dir(), reason="the real head CT is not in ../shared/data")
@pytest.mark.parametrize(
    ("turns", "shift", "lattice"),
    [((12, 5, -18), (20, -30, 15), {"tilt": -10.0, "pixel": 0.45}), ((-25, 0, 20), (0, 50, -40), {"slices": 7.0})],
)
def test_a_real_head_with_gantry_tilt_is_registered(turns, shift, lattice):
    try:
        readers = importlib.import_module("PrognosisLib.images.readers")
    except ModuleNotFoundError:
        readers = importlib.import_module("PrognosisLib.readers")
    baseline = readers.read_volume(REAL)
    center = find_skull(baseline).center
    truth = motion(turns, shift, center)
    followup = scan(baseline, truth, scan_grid(center + shift, **lattice), holder=False)
    found = register_followup(baseline, followup)
    assert error_mm(found, truth, center) < 0.5
    assert found.succeeded
