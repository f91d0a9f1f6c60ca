"""What cannot be a CT in Hounsfield units is refused; real and simulated CT pass."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from PrognosisLib.errors import InputError
from PrognosisLib.images.checks import check_ct
from PrognosisLib.images.readers import ijk_to_ras_of, read_volume
from PrognosisLib.volume import Volume

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"


def ct_like(shape=(20, 32, 32), low=-1000.0) -> np.ndarray:
    """Air around a soft-tissue disc with fat and bone, and noise."""
    rng = np.random.default_rng(1)
    array = np.full(shape, low)
    array[:, 6:26, 6:26] = -100
    array[:, 10:22, 10:22] = 50
    array[:, 14:16, 14:16] = 700
    return array + rng.normal(0, 10, shape)


def volume_of(array, spacing=(1.0, 1.0, 3.0)) -> Volume:
    return Volume(array, np.diag([*spacing, 1.0]), "CT", "case")


def test_ct_in_hounsfield_units_passes():
    check_ct(volume_of(ct_like().astype(np.int16)))
    check_ct(volume_of(np.clip(ct_like(), -125, 275).astype(np.float32)))
    check_ct(volume_of(ct_like(low=-3024.0).astype(np.int16)))
    sheared = np.array([[1, 0, 0, 0], [0, 1, 1.2, 0], [0, 0, 3.5, 0], [0, 0, 0, 1.0]])
    check_ct(Volume(ct_like().astype(np.int16), sheared))


BAD_NAN = ct_like().astype(np.float32)
BAD_NAN[3, 4, 5] = np.nan
BAD_INF = ct_like().astype(np.float32)
BAD_INF[0, 0, :7] = -np.inf
MR = np.abs(ct_like(low=0.0) + 100).astype(np.int16)


@pytest.mark.parametrize(
    ("array", "spacing", "fragment"),
    [
        (BAD_NAN, None, "1 voxels that are NaN"),
        (BAD_INF, None, "7 voxels that are NaN or infinite"),
        (np.full((20, 30, 30), 7, np.int16), None, "same value"),
        (np.full((20, 30, 30), np.nan, np.float32), None, "NaN"),
        (MR, None, "MR image"),
        ((MR - 5).astype(np.float32), None, "MR image"),
        ((ct_like() + 1024).clip(0).astype(np.int16), None, "rescale intercept"),
        (np.clip((ct_like() + 160) * 255 / 400, 0, 255).astype(np.uint8), None, "8-bit"),
        (np.clip((ct_like() + 160) * 255 / 400 - 128, -128, 127).astype(np.int8), None, "8-bit"),
        (np.clip((ct_like() + 160) / 400, 0, 1).astype(np.float32), None, "normalized"),
        (((ct_like() + 300) / 400).astype(np.float32), None, "normalized"),
        ((ct_like() * 100).astype(np.float32), None, "not Hounsfield units"),
        ((ct_like() - 1024).astype(np.int16), None, "soft tissue"),
        (ct_like()[:1].astype(np.int16), None, "only 1 slices"),
        (ct_like()[:7].astype(np.int16), None, "only 7 slices"),
        (ct_like().astype(np.int16), (1.0, 1.0, 0.9), "over 18.0 mm"),
        (ct_like().astype(np.int16), (0.001, 0.001, 0.003), "voxel spacing of 0.001 mm"),
        (ct_like().astype(np.int16), (1.0, 1.0, 300.0), "voxel spacing of 300 mm"),
    ],
)
def test_what_is_no_ct_is_refused(array, spacing, fragment):
    with pytest.raises(InputError) as error:
        check_ct(volume_of(array, spacing or (1.0, 1.0, 3.0)))
    assert fragment in str(error.value)
    assert str(error.value).endswith(".")
    assert ";" in str(error.value)  # what is wrong; how to mend it


@pytest.mark.real
@pytest.mark.skipif(not DATA.is_dir(), reason="the real images in ../shared/data are absent")
def test_real_ct_pass_and_the_others_do_not():
    btcv = sorted((DATA / "abdomen-ct" / "btcv").glob("*_ct.nii.gz"))
    full_range = [*(DATA / "abdomen-ct" / "chaos").glob("*_ct_*_ct_*.nii.gz")]
    full_range.extend((DATA / "abdomen-ct" / "totalsegmentator").glob("example_ct.nii.gz"))
    assert (len(btcv), len(full_range)) == (24, 2)
    for path in btcv[::6] + full_range:
        volume = read_volume(path)
        check_ct(volume)
        image = sitk.ReadImage(str(path))
        assert volume.ijk_to_ras == pytest.approx(ijk_to_ras_of(image), abs=1e-5)
        assert np.abs(volume.array - sitk.GetArrayViewFromImage(image)).max() < 1e-3
    for path in (
        DATA / "abdomen-mri" / "chaos-t2" / "chaos_01_t2spir.nii.gz",
        next((DATA / "abdomen-mri" / "totalsegmentator").glob("example_mr*.nii.gz")),
        DATA / "head-ct" / "phe-sich" / "phe_0001_ct8bit.nii.gz",
    ):
        with pytest.raises(InputError, match=r"MR image|8-bit"):
            check_ct(read_volume(path))
