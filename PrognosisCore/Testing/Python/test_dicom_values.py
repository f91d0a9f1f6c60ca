"""The values of DICOM slices: rescale, padding, bits and compression give Hounsfield units."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from dicom_cases import PIXELS, RNG, along_z, dataset_of, write_series
from pydicom.dataset import Dataset
from pydicom.pixels import get_encoder
from pydicom.uid import ExplicitVRBigEndian, JPEG2000Lossless, JPEGLSLossless, RLELossless

from PrognosisLib.images.readers import read_volume


def test_rescale_slope_and_intercept_of_each_slice(tmp_path):
    write_series(tmp_path / "whole", along_z([0, 3, 6]), RescaleIntercept=lambda n: -1000 - n)
    volume = read_volume(tmp_path / "whole")
    assert volume.array.dtype == np.int16
    assert np.array_equal(volume.array, PIXELS[:3] - 1000 - np.arange(3)[:, None, None])
    write_series(tmp_path / "real", along_z([0, 3, 6]), RescaleSlope=lambda n: 0.5 + n, RescaleIntercept=2.25)
    volume = read_volume(tmp_path / "real")
    assert volume.array.dtype == np.float32
    assert volume.array == pytest.approx(PIXELS[:3] * np.array([0.5, 1.5, 2.5])[:, None, None] + 2.25)


def test_unsigned_values_beyond_int16_are_not_wrapped(tmp_path):
    pixels = np.full((3, 7, 9), 60000, np.uint16)
    write_series(tmp_path, along_z([0, 3, 6]), pixels, RescaleIntercept=0)
    assert read_volume(tmp_path).array.max() == 60000


def test_overlays_in_unused_bits_are_dropped(tmp_path):
    unsigned = (PIXELS.astype(np.uint16) & 0x0FFF) | 0x8000
    write_series(tmp_path / "u", along_z([0, 3, 6]), unsigned, BitsStored=12, HighBit=11)
    assert np.array_equal(read_volume(tmp_path / "u").array, PIXELS[:3] - 1024)
    signed = ((PIXELS - 1000) & 0x0FFF).astype(np.int16)
    write_series(tmp_path / "s", along_z([0, 3, 6]), signed, BitsStored=12, HighBit=11)
    assert np.array_equal(read_volume(tmp_path / "s").array, PIXELS[:3] - 1000 - 1024)


def test_padding_becomes_air_and_only_where_it_cannot_be_tissue(tmp_path):
    pixels = PIXELS[:3].copy()
    pixels[:, :2] = -2000
    write_series(tmp_path / "ge", along_z([0, 3, 6]), pixels, PixelPaddingValue=-2000)
    volume = read_volume(tmp_path / "ge")
    assert np.all(volume.array[:, :2] == -1024)
    assert np.array_equal(volume.array[:, 2:], PIXELS[:3, 2:] - 1024)
    pixels[:, :2] = 1024
    write_series(tmp_path / "water", along_z([0, 3, 6]), pixels, PixelPaddingValue=1024)
    assert np.all(read_volume(tmp_path / "water").array[:, :2] == 0)


def test_monochrome1_keeps_its_hounsfield_units(tmp_path):
    write_series(tmp_path, along_z([0, 3, 6]), PhotometricInterpretation="MONOCHROME1")
    assert np.array_equal(read_volume(tmp_path).array, PIXELS[:3] - 1024)


def test_big_endian(tmp_path):
    for n in range(3):
        dataset = dataset_of(PIXELS[n].byteswap(), ImagePositionPatient=[0, 0, 3 * n])
        dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
        pydicom.dcmwrite(tmp_path / f"{n}", dataset, little_endian=False, implicit_vr=False, enforce_file_format=True)
    volume = read_volume(tmp_path)
    assert np.array_equal(volume.array, PIXELS[:3] - 1024)
    assert volume.array.dtype.isnative


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
@pytest.mark.parametrize("gdcm", [False, True])
def test_compressed_series_with_and_without_the_plugins(tmp_path, monkeypatch, syntax, gdcm):
    if not get_encoder(syntax).is_available:
        pytest.skip("no encoder for this compression is installed")
    pixels = RNG.integers(-2000, 2000, (3, 32, 40)).astype(np.int16)
    for n in range(3):
        dataset = dataset_of(
            pixels[n], ImagePositionPatient=[0, 0, 3 * n], RescaleIntercept=10 + n, PixelPaddingValue=-2000
        )
        dataset.compress(syntax, encoding_plugin=None if syntax != RLELossless else "pydicom")
        dataset.save_as(tmp_path / f"{n}.dcm", enforce_file_format=True)
    if gdcm:  # as on a machine without pylibjpeg: only GDCM in SimpleITK is left

        def unable(self):
            raise RuntimeError("no plugin")

        monkeypatch.setattr(Dataset, "pixel_array", property(unable))
    volume = read_volume(tmp_path)
    values = pixels + 10 + np.arange(3)[:, None, None]
    padded = values < (-1990 + np.arange(3)[:, None, None] - 1024) / 2  # half way between padding and air
    assert volume.array.dtype == np.int16
    assert np.array_equal(volume.array, np.where(padded, -1024, values))
