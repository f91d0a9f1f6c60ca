"""Each flag fires on the case it is for and stays silent on a good one; real label maps raise few false alarms."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from PrognosisLib.findings import Mask
from PrognosisLib.volume import Grid, Volume
from SpleenVolumeLib import flags
from SpleenVolumeLib.flags import cut_sides, principal_sd, quality_flags

BTCV = Path(__file__).resolve().parents[4] / "shared" / "data" / "abdomen-ct" / "btcv"
real = pytest.mark.real
needs_btcv = pytest.mark.skipif(not (BTCV / "cases.csv").exists(), reason="../shared/data/abdomen-ct/btcv is absent")

SHAPE = (70, 110, 140)
MATRIX = np.array([[-2.0, 0, 0, 140.0], [0, 2.0, 0, -110.0], [0, 0, 2.5, -85.0], [0, 0, 0, 1]])
GRID = Grid(SHAPE, MATRIX)


PLACES = GRID.to_ras(np.indices(SHAPE).reshape(3, -1).T).reshape(*SHAPE, 3)


def ball(center: tuple[float, float, float], semi: tuple[float, float, float]) -> np.ndarray:
    """An ellipsoid at a RAS center, semi-axes along R, A, S in mm, on GRID (k, j, i)."""
    return (((PLACES - center) / semi) ** 2).sum(axis=-1) <= 1.0


def bean(center: tuple[float, float, float] = (-80.0, -30.0, 0.0)) -> np.ndarray:
    """An ellipsoid with a hollow toward the patient's middle, like a spleen."""
    hollow = ball((center[0] + 38.0, center[1] + 10.0, center[2]), (28.0, 30.0, 60.0))
    return ball(center, (27.0, 50.0, 52.0)) & ~hollow


def scan(inside: np.ndarray, hu: float = 110.0, noise: float = 12.0) -> Volume:
    """Soft tissue everywhere, `hu` inside the mask."""
    values = np.where(inside, hu, 20.0) + np.random.default_rng(3).normal(0.0, noise, inside.shape)
    return Volume(values.astype(np.float32), MATRIX)


def spleen_of(inside: np.ndarray, **more: object) -> Mask:
    return Mask.from_full("Spleen", inside, GRID, **more)


LIVER = Mask.from_full("Liver", ball((60.0, 0.0, 0.0), (60.0, 70.0, 60.0)), GRID)


def keys(inside: np.ndarray, liver: Mask | None = LIVER, volume: Volume | None = None, **more: object) -> set[str]:
    found = quality_flags(volume or scan(inside), spleen_of(inside, **more), liver, {})
    assert all(flag.segment == "Spleen" and flag.message.endswith(".") for flag in found)
    assert all(flag.severity in ("info", "warning", "error") for flag in found)
    return {flag.key for flag in found}


def test_a_good_mask_raises_no_flag():
    assert keys(bean(), confidence=0.97) == set()
    assert keys(bean(), liver=None) == set()


@pytest.mark.parametrize(
    ("center", "side"),
    [((-80, -30, 85), "top"), ((-80, -30, -85), "bottom"), ((-138, -30, 0), "left side"), ((-80, -109, 0), "back")],
)
def test_a_spleen_cut_by_the_scan_names_the_side(center: tuple[float, float, float], side: str):
    inside = bean(center)
    assert side in cut_sides(scan(inside), spleen_of(inside))
    assert "touches_edge" in keys(inside)


def test_a_spleen_cut_by_padding_is_flagged_and_lung_is_not():
    inside = bean()
    values = scan(inside).array.copy()
    outside_field = np.indices(SHAPE)[2] > 100  # beyond x = -60: through the spleen
    padded = np.where(outside_field, -2000.0, values)
    assert "touches_edge" in keys(inside & ~outside_field, volume=Volume(padded, MATRIX))
    lung = np.where(np.indices(SHAPE)[0] > 50, np.random.default_rng(0).normal(-850, 60, SHAPE), values)
    lung[:, :2] = lung[:, -2:] = -1024.0
    assert "touches_edge" not in keys(inside & (np.indices(SHAPE)[0] <= 50), volume=Volume(lung, MATRIX))


def test_a_second_large_part_is_flagged_and_a_speck_is_not():
    large = bean() | ball((-20.0, -80.0, 40.0), (15.0, 15.0, 15.0))
    flag = next(f for f in quality_flags(scan(large), spleen_of(large), None, {}) if f.key == "several_components")
    assert "2 separate parts" in flag.message
    assert "accessory" in flag.message
    assert "several_components" not in keys(bean() | ball((-20.0, -80.0, 40.0), (6.0, 6.0, 6.0)))


def test_a_broad_contact_with_the_liver_is_flagged_and_a_point_of_contact_is_not():
    inside = bean()
    lobe = ball((-80.0, 30.0, 20.0), (40.0, 50.0, 40.0)) & ~inside
    flag = next(
        f
        for f in quality_flags(scan(inside), spleen_of(inside), Mask.from_full("Liver", lobe, GRID), {})
        if f.key == "touches_liver"
    )
    assert "left liver lobe" in flag.message
    assert "published, other data" in flag.message
    point = ball((-80.0, 60.0, 0.0), (40.0, 41.5, 40.0)) & ~inside
    assert "touches_liver" not in keys(inside, liver=Mask.from_full("Liver", point, GRID))


@pytest.mark.parametrize("hu", [-80.0, 5.0, 400.0])
def test_density_that_no_spleen_has_is_flagged(hu: float):
    inside = bean()
    assert "unusual_hu" in keys(inside, volume=scan(inside, hu))


def test_mixed_density_is_flagged_and_noise_alone_is_not():
    inside = bean()
    mixed = scan(inside).array.copy()
    mixed[:, :50] -= 120.0  # the back of the mask is fat
    assert "unusual_hu" in keys(inside, volume=Volume(mixed, MATRIX))
    assert "unusual_hu" not in keys(inside, volume=scan(inside, noise=45.0))


@pytest.mark.parametrize(
    "inside",
    [
        ball((-80.0, -20.0, 0.0), (38.0, 38.0, 38.0)),
        ball((-80.0, -20.0, 0.0), (20.0, 20.0, 80.0)),
        bean() & (np.indices(SHAPE)[1] % 12 < 5) | (bean() & (np.indices(SHAPE)[2] == 110)),
    ],
    ids=["sphere", "cigar", "comb"],
)
def test_shapes_that_no_spleen_has_are_flagged(inside: np.ndarray):
    assert "unusual_shape" in keys(inside)


def test_a_mask_on_one_slice_is_flagged_not_refused():
    inside = bean()
    inside[np.arange(SHAPE[0]) != 34] = False
    assert {"unusual_shape", "implausible_volume"} <= keys(inside)


def test_low_confidence_follows_the_setting():
    inside = bean()
    assert "low_confidence" in keys(inside, confidence=0.7)
    mask = spleen_of(inside, confidence=0.9)
    strict = quality_flags(scan(inside), mask, None, {"minimum_confidence": 0.95})
    assert [flag.key for flag in strict] == ["low_confidence"]


@pytest.mark.parametrize(("factor", "words"), [((1, 1, 3.2), "8.0 mm apart"), ((1.3, 1.3, 1), "2.6 mm wide")])
def test_coarse_scans_are_flagged_with_the_length_error(factor: tuple[float, float, float], words: str):
    matrix = MATRIX @ np.diag([*factor, 1.0])
    flag = flags._too_coarse(Volume(np.zeros((5, 5, 5)), matrix))
    assert flag is not None
    assert words in flag.message
    sideways = matrix[:, [2, 0, 1, 3]]  # slices stored along i
    assert flags._too_coarse(Volume(np.zeros((5, 5, 5)), sideways)) is not None
    assert flags._too_coarse(Volume(np.zeros((5, 5, 5)), MATRIX)) is None


def test_implausible_volumes_are_flagged():
    small = ball((-80.0, -20.0, 0.0), (12.0, 20.0, 25.0))
    huge = ball((-50.0, 0.0, 0.0), (85.0, 105.0, 84.0))
    assert "implausible_volume" in keys(small)
    assert "implausible_volume" in keys(huge, liver=None)


def test_a_spleen_right_of_the_liver_is_an_error_and_comes_first():
    inside = bean((80.0, -30.0, 0.0))
    left_liver = Mask.from_full("Liver", ball((-60.0, 0.0, 0.0), (50.0, 60.0, 60.0)), GRID)
    found = quality_flags(scan(inside), spleen_of(inside), left_liver, {})
    assert (found[0].key, found[0].severity) == ("laterality", "error")


def test_principal_sd_of_a_box():
    inside = np.zeros(SHAPE, dtype=bool)
    inside[10:40, 20:50, 30:50] = True  # 75 mm x 60 mm x 40 mm
    np.testing.assert_allclose(principal_sd(spleen_of(inside)), np.array([75, 60, 40]) / np.sqrt(12), rtol=1e-6)


def read_btcv(case: str) -> tuple[Volume, Mask, Mask]:
    """CT, spleen and liver of one real case, in RAS."""
    import SimpleITK as sitk

    image, labels = (sitk.ReadImage(str(BTCV / f"{case}_{name}.nii.gz")) for name in ("ct", "labels"))
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) @ np.diag(image.GetSpacing())
    matrix[:3, 3] = image.GetOrigin()
    volume = Volume(sitk.GetArrayFromImage(image), np.diag([-1.0, -1.0, 1.0, 1.0]) @ matrix)
    array = sitk.GetArrayFromImage(labels)
    spleen, liver = (Mask.from_full(name, array == n, volume.grid) for name, n in (("Spleen", 1), ("Liver", 6)))
    return volume, spleen, liver


# The left liver lobe of 07 lies on the spleen over 15 cm²; the spleen of 08 has 3.1 L.
EXPECTED_ON_REAL = {"btcv_07": {"touches_liver"}, "btcv_08": {"implausible_volume"}}


@real
@needs_btcv
def test_real_label_maps_raise_only_the_flags_that_are_known():
    with (BTCV / "cases.csv").open() as file:
        cases = [row["case"] for row in csv.DictReader(file)]
    raised = {case: {f.key for f in quality_flags(*read_btcv(case), {})} for case in cases}
    assert {case: found for case, found in raised.items() if found} == EXPECTED_ON_REAL
