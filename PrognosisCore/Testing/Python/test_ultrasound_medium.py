"""What the sound runs through: smooth distances agree with tissues, in simulated patients and in label maps of CT."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ultrasound_cases import homogeneous

from PrognosisLib.simulation.anatomy import AbdomenParameters
from PrognosisLib.simulation.shapes import Grid
from PrognosisLib.simulation.ultrasound import medium as module
from PrognosisLib.simulation.ultrasound.medium import (
    BTCV_TISSUES,
    CHANNELS,
    FAR,
    RIM,
    WALL_MM,
    Medium,
    medium_from_ct,
    procedural_medium,
    signed_distance,
    texture_field,
)
from PrognosisLib.simulation.ultrasound.probe import ConvexProbe, ScreenGeometry
from PrognosisLib.simulation.ultrasound.sweep import WINDOWS, Sweep, Window, find_skin
from PrognosisLib.simulation.ultrasound.tissues import CODES

BTCV = Path(__file__).resolve().parents[4] / "shared" / "data" / "abdomen-ct" / "btcv"
SLIM = AbdomenParameters(subcutaneous_fat_mm=8.0, nodularity_mm=0.3, table=False)
COARSE_MM = 4.0
quick = settings(deadline=None, max_examples=30)


def field(inside: Medium, name: str) -> np.ndarray:
    return inside.fields[..., CHANNELS.index(name)]


def share(where: np.ndarray, of: np.ndarray) -> float:
    """The part of `of` that is `where`."""
    return float(where[of].mean())


# --- sampling ---------------------------------------------------------------------------------------------------------


@quick
@given(st.integers(0, 10_000))
def test_linear_fields_are_sampled_exactly_on_any_grid(seed):
    rng = np.random.default_rng(seed)
    matrix = np.eye(4)
    matrix[:3, :3] = np.linalg.qr(rng.standard_normal((3, 3)))[0] * rng.uniform(1, 4, 3)
    matrix[:3, 3] = rng.normal(0, 50, 3)
    grid = Grid((6, 7, 8), matrix)
    coefficients, offsets = rng.standard_normal((len(CHANNELS), 3)), rng.standard_normal(len(CHANNELS))
    fields = np.einsum("cx,xkji->kjic", coefficients, grid.points()) + offsets
    inside = Medium(grid, np.zeros(grid.shape, np.uint8), fields.astype(np.float32))
    ijk = rng.uniform(0, np.array([7, 6, 5]) - 0.01, (3, 4, 3))
    points = ijk @ matrix[:3, :3].T + matrix[:3, 3]
    found = inside.fields_at(points.astype(np.float32))
    for number, name in enumerate(CHANNELS):
        np.testing.assert_allclose(found[name], points @ coefficients[number] + offsets[number], atol=5e-2)


@quick
@given(st.integers(0, 10_000))
def test_tissue_is_that_of_the_nearest_voxel_and_goes_on_beyond_the_grid(seed):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, len(CODES), (5, 6, 7)).astype(np.uint8)
    grid = Grid(codes.shape, np.diag([2.0, 3.0, 4.0, 1.0]))
    inside = Medium(grid, codes, np.zeros((*codes.shape, len(CHANNELS)), np.float32))
    k, j, i = (int(rng.integers(n)) for n in codes.shape)
    point = np.array([2.0 * i, 3.0 * j, 4.0 * k]) + rng.uniform(-0.45, 0.45, 3) * (2, 3, 4)
    point = np.where([i in (0, 6), j in (0, 5), k in (0, 4)], [2.0 * i, 3.0 * j, 4.0 * k], point)
    assert inside.tissue_at(point[None].astype(np.float32))[0] == codes[k, j, i]
    far = inside.tissue_at(np.array([[-500.0, -500.0, 900.0]], np.float32))[0]
    assert far == codes[4, 0, 0]


def test_a_signed_distance_is_one_and_negative_inside():
    k, j, i = np.indices((40, 40, 40))
    middle = np.sqrt((k - 20.0) ** 2 + ((j - 20.0) * 2) ** 2 + (i - 20.0) ** 2)
    found = signed_distance(middle < 12, (1.0, 2.0, 1.0))
    near = np.abs(middle - 12) < 6
    apart = (found - (middle - 12))[near]
    assert np.abs(apart).max() < 2.1, "within a voxel"
    assert abs(apart.mean()) < 0.4
    assert np.all(found[middle < 10] < 0)
    assert np.all(found[middle > 14] > 0)
    assert np.all(signed_distance(np.zeros((4, 4, 4), bool), 1.0) == FAR)


def test_texture_has_no_mean_and_about_unit_spread():
    found = texture_field(np.random.default_rng(3), Grid((48, 48, 48), np.diag([2.0, 2.0, 2.0, 1.0])))
    assert abs(found.mean()) < 0.1
    assert found.std() == pytest.approx(1.0, abs=0.15)
    # fine enough to be texture, coarse enough to be sampled
    along = [np.corrcoef(found[n:].ravel(), found[: 48 - n].ravel())[0, 1] for n in (1, 4)]
    assert along[0] > 0.25 > abs(along[1])


# --- a simulated patient ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def patient() -> Medium:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "STEP_MM", COARSE_MM)
        return procedural_medium(SLIM, 5)


def test_distances_of_a_patient_agree_with_the_tissues(patient):
    tissue, liver = patient.tissue, field(patient, "liver")
    is_liver = tissue == CODES["liver"]
    volume = is_liver.sum() * COARSE_MM**3 / 1000
    assert 900 < volume < 1900
    assert (liver < 0).sum() * COARSE_MM**3 / 1000 == pytest.approx(1500, rel=0.2)
    assert liver[is_liver].max() < COARSE_MM
    inside = np.isin(tissue, [CODES[name] for name in ("liver", "blood", "fluid")])
    assert share(inside, liver < -COARSE_MM) > 0.99
    bone = field(patient, "bone")
    assert share(bone < COARSE_MM / 2, tissue == CODES["bone"]) > 0.98
    assert share(tissue == CODES["bone"], bone < -2) > 0.98
    chest = field(patient, "chest")
    assert share(chest < COARSE_MM, tissue == CODES["lung"]) > 0.99
    assert not np.any(is_liver & (chest < -COARSE_MM))
    layers = field(patient, "layers")
    outside = tissue == CODES["outside"]
    assert layers[outside & (np.abs(layers) < FAR)].min() > 0
    assert layers[is_liver].max() < COARSE_MM
    assert share(tissue == CODES["fat"], (layers > 12) & ~outside & (tissue != CODES["skin"])) > 0.5
    assert not np.any((tissue == CODES["deep fat"]) & (layers > 0))


@pytest.mark.parametrize("name", ["liver", "portal", "veins"])
def test_distances_of_a_patient_grow_by_a_millimeter_each(patient, name):
    distance = field(patient, name)
    steps = np.stack(np.gradient(distance, COARSE_MM))
    near = np.abs(distance) < 8
    slopes = np.linalg.norm(steps, axis=0)[near]
    assert np.median(slopes) == pytest.approx(1.0, abs=0.15)
    assert np.percentile(slopes, 95) < 1.6


def test_vessels_of_a_patient_lie_in_and_at_the_liver(patient):
    liver = field(patient, "liver")
    for name in ("portal", "veins"):
        vessel = field(patient, name) < 0
        assert (vessel & (liver < 0)).sum() * COARSE_MM**3 / 1000 > 2, name
        assert vessel.mean() < 0.05


def test_portal_caliber_and_blunt_edges_change_what_they_should():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "STEP_MM", 8.0)
        plain, wide, blunt = (procedural_medium(SLIM, 5, *more) for more in ((), (1.4, 0.0), (1.0, 1.0)))
    apart = field(plain, "portal") - field(wide, "portal")
    assert apart.min() >= 0
    assert apart.max() == pytest.approx(3.5 * 0.4, abs=1e-3)
    trunk = np.abs(field(plain, "portal") + 2) < 1.5  # in the middle of the wide ones; twigs stay as they are
    assert share(apart > 1.39, trunk) > 0.6
    rounded = field(blunt, "liver") - field(plain, "liver")
    assert rounded.min() >= 0
    assert rounded[np.abs(field(plain, "liver")) < 6].max() > 2
    assert (field(blunt, "liver") < 0).sum() > 0.8 * (field(plain, "liver") < 0).sum()


def test_equal_seeds_give_equal_patients():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "STEP_MM", 12.0)
        first, again, other = (procedural_medium(SLIM, seed) for seed in (5, 5, 6))
    assert np.array_equal(first.fields, again.fields)
    assert np.array_equal(first.tissue, again.tissue)
    assert not np.array_equal(first.tissue, other.tissue)


# --- a label map on CT ------------------------------------------------------------------------------------------------

STEP = (5.0, 4.0, 4.0)  # along k, j, i
MIDDLE = (38.0, 50.0)
SHAPE = (50, 76, 100)


@cache
def ct_case() -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """HU as clipped as BTCV's, its labels, and where things are: a round body with lungs above a liver, and gas."""
    rng = np.random.default_rng(2)
    k, j, i = np.indices(SHAPE).astype(float)
    round_body = np.hypot((j - MIDDLE[0]) / 32, (i - MIDDLE[1]) / 44)

    def ball(center, radii) -> np.ndarray:
        away = [(axis - c) / r for axis, c, r in zip((k, j, i), center, radii, strict=True)]
        return np.sqrt(sum(part**2 for part in away)) < 1

    parts = {
        "fat": (round_body < 1) & (round_body > 0.84),
        "right lung": ball((52, 38, 72), (22, 18, 14)),
        "left lung": ball((52, 38, 28), (22, 18, 14)),
        "liver": ball((22, 42, 70), (10, 18, 16)),
        "stomach": ball((22, 46, 34), (8, 12, 12)),
        "bubble": ball((22, 52, 34), (4, 5, 6)),
        "bowel gas": ball((6, 40, 50), (3, 6, 8)),
        "bone": ball((25, 14, 50), (40, 4, 5)),
        "outside": round_body >= 1,
    }
    hu = np.full(SHAPE, 45.0)
    for name, value in (("fat", -100.0), ("bone", 320.0), ("liver", 110.0)):
        hu[parts[name]] = value
    hu += rng.normal(0, 14, SHAPE)
    for name, value in (
        ("outside", -1000), ("right lung", -850), ("left lung", -850), ("bubble", -990), ("bowel gas", -990)
    ):  # fmt: skip
        hu[parts[name]] = value
    labels = np.zeros(SHAPE, np.uint8)
    labels[parts["liver"]], labels[parts["stomach"]] = 6, 7
    return np.clip(hu, -125, 275), labels, parts


def matrix_of() -> np.ndarray:
    matrix = np.diag([STEP[2], STEP[1], STEP[0], 1.0])
    matrix[:3, 3] = (-200.0, -150.0, 30.0)
    return matrix


def cropped(array: np.ndarray, part: tuple[slice, slice]) -> np.ndarray:
    """The image's plane cut to a part, then with the rim that the medium has."""
    return np.pad(array[:, *part], ((0, 0), (RIM, RIM), (RIM, RIM)))


WHOLE = (slice(None), slice(None))
# The body, the right lung and the liver are cut by the image's sides.
CUT = (slice(10, 68), slice(20, 76))


@cache
def ct_medium(cut: bool = False, upside_down: bool = False) -> Medium:
    hu, labels, _ = ct_case()
    turn, part = slice(None, None, -1) if upside_down else slice(None), CUT if cut else WHOLE
    matrix = matrix_of()
    if cut:
        matrix[:3, 3] += matrix[:3, 0] * CUT[1].start + matrix[:3, 1] * CUT[0].start
    return medium_from_ct(hu[turn][:, *part], labels[turn][:, *part], matrix, 1)


@pytest.mark.parametrize(("cut", "upside_down"), [(False, False), (True, False), (True, True)])
def test_tissues_of_a_ct(cut, upside_down):
    _, _, parts = ct_case()
    inside, part = ct_medium(cut, upside_down), CUT if cut else WHOLE
    turn = slice(None, None, -1) if upside_down else slice(None)
    where = {name: cropped(one[turn], part) for name, one in parts.items()}
    tissue = inside.tissue
    for name, code in (
        ("right lung", "lung"), ("left lung", "lung"), ("bubble", "gas"), ("bowel gas", "gas"), ("liver", "liver"),
        ("bone", "bone"), ("outside", "outside"),
    ):  # fmt: skip
        assert share(tissue == CODES[code], where[name]) > (0.85 if name == "outside" else 0.9), name
    air = np.isin(tissue, [CODES[name] for name in ("outside", "lung", "gas")])
    assert share(air, where["fat"]) < 0.03, "noise in fat is no air"
    assert share(np.isin(tissue, [CODES["fat"], CODES["outside"]]), where["fat"]) > 0.8
    assert np.all(tissue[:, :RIM] == CODES["outside"])
    assert np.all(tissue[:, :, -RIM:] == CODES["outside"])


@pytest.mark.parametrize("cut", [False, True])
def test_distances_of_a_ct_agree_with_its_labels(cut):
    _, _, parts = ct_case()
    inside, part = ct_medium(cut), CUT if cut else WHOLE
    liver, chest, layers = (field(inside, name) for name in ("liver", "chest", "layers"))
    for distance, of in ((liver, parts["liver"]), (chest, parts["right lung"] | parts["left lung"])):
        truth = cropped(of, part)
        assert np.mean((distance < 0) == truth) > 0.985
        assert share(distance < 2, truth) > 0.97
        assert share(distance > -3, ~truth) > 0.99
    assert WALL_MM - 8 < layers[inside.tissue != CODES["outside"]].max() < WALL_MM + 4
    assert layers[liver < -1].max() < 0, "the abdominal wall ends in front of the liver"
    assert field(inside, "portal").min() == FAR, "there is none in the labels"


def test_the_rim_moves_nothing():
    hu, labels, _ = ct_case()
    matrix = matrix_of()
    angle = np.deg2rad(20)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    matrix[:3, :3] = turn @ matrix[:3, :3]
    inside = medium_from_ct(hu, labels, matrix, 1)

    def center(where: np.ndarray, of: np.ndarray) -> np.ndarray:
        return of[:3, :3] @ np.argwhere(where).mean(axis=0)[::-1] + of[:3, 3]

    expected = center(labels == 6, matrix)
    found = center(inside.tissue == CODES["liver"], inside.grid.matrix)
    np.testing.assert_allclose(found, expected, atol=0.5)
    assert inside.tissue_at(expected[None].astype(np.float32))[0] == CODES["liver"]


def test_the_skin_of_a_body_that_is_cut_by_the_image_s_sides_is_there():
    matrix = matrix_of()
    target = matrix[:3, :3] @ (70.0, 42.0, 22.0) + matrix[:3, 3]
    edge = matrix[0, 3] + STEP[2] * 75.5
    face = find_skin(ct_medium(cut=True), target, np.array([1.0, 0.0, 0.0]))
    assert face[0] == pytest.approx(edge - 6.0, abs=4.0)
    free = find_skin(ct_medium(), target, np.array([0.0, 1.0, 0.0]))
    across = np.sqrt(1 - ((70 - MIDDLE[1]) / 44) ** 2)
    assert free[1] == pytest.approx(matrix[1, 3] + STEP[1] * (MIDDLE[0] + 32 * across) - 6.0, abs=5.0)


def test_every_label_of_a_ct_is_a_tissue():
    assert set(BTCV_TISSUES.values()) <= set(CODES)
    assert sorted(BTCV_TISSUES) == list(range(1, 14))
    assert homogeneous().tissue.dtype == np.uint8


# --- a real CT --------------------------------------------------------------------------------------------------------


@pytest.mark.real
@pytest.mark.skipif(not BTCV.is_dir(), reason="the real CT in ../shared/data is absent")
@pytest.mark.parametrize("case", ["07", "22"])
def test_a_real_anatomy_has_lungs_and_gives_a_frame_of_the_liver(case):
    from PrognosisLib.images.readers import read_volume
    from PrognosisLib.simulation.ultrasound.formation import LiverState, Machine
    from PrognosisLib.simulation.ultrasound.recording import record

    ct, labels = (read_volume(BTCV / f"btcv_{case}_{what}.nii.gz") for what in ("ct", "labels"))
    inside = medium_from_ct(ct.array.astype(np.float32), labels.array, ct.ijk_to_ras, 1)
    voxel_ml = abs(np.linalg.det(inside.grid.matrix[:3, :3])) / 1000
    volumes = {name: float((inside.tissue == code).sum() * voxel_ml) for name, code in CODES.items()}
    assert volumes["lung"] > 700
    assert 1 < volumes["gas"] < 1000
    assert volumes["liver"] == pytest.approx(float((labels.array == 6).sum() * voxel_ml), rel=0.02)
    assert share(field(inside, "liver") < 0, inside.tissue == CODES["liver"]) > 0.9
    kji = np.argwhere(labels.array == 6).mean(axis=0)
    target = ct.ijk_to_ras[:3, :3] @ kji[::-1] + ct.ijk_to_ras[:3, 3]
    usual = WINDOWS["intercostal"]
    window = Window(tuple(target), usual.toward, usual.right, 0.0, 0.0)
    sweep = Sweep(window, tremor_mm=0.0, tremor_degrees=0.0, breathing_mm=0.0)
    probe = ConvexProbe(lines=96, samples=208)
    screen = ScreenGeometry.around(probe, (200, 260))
    frame = next(iter(record(inside, LiverState(), probe, Machine(), sweep, screen, 1, 0.0, 0)))
    assert frame.liver.sum() * screen.pixel_mm**2 / 100 > 30, "cm2 of liver in view"
    assert 25 < frame.gray[frame.liver].mean() < 180
