"""Every real ultrasound file in ../shared/data, held against pydicom, GDCM and FFmpeg; skipped where absent."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.pixels import apply_color_lut, pixel_array

from PrognosisLib.images.cine.cine import to_gray
from PrognosisLib.images.cine.reading import read_cine

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
DICOM, SWEEP = DATA / "dicom" / "ultrasound", DATA / "liver-us" / "cine-imfusion"
FILES = sorted(DICOM.glob("*/*.dcm"))
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        not DICOM.is_dir() or not SWEEP.is_dir(), reason="the real ultrasound in ../shared/data is absent"
    ),
]
# name: shape, pixel size (row, column) in mm, a note that must be there
EXPECTED = {
    "IM00001*": ((8, 240, 320, 3), None, "no ultrasound has"),
    "JPGLossless*": ((1, 768, 1024), (0.25477, 0.25477), ""),
    "OBXXXX1A*_2frame*": ((2, 600, 800, 3), (0.26229, 0.26229), "assumed"),
    "OBXXXX1A*": ((1, 600, 800, 3), (0.26229, 0.26229), ""),
    "US1_*": ((1, 480, 640, 3), None, "does not tell"),
    "color-p*": ((1, 120, 256, 3), None, "does not tell"),
    "examples_jpeg2k*": ((1, 480, 640, 3), None, "does not tell"),
    "examples_palette*": ((1, 350, 800, 3), None, "cut or rescaled"),
    "examples_rgb*": ((1, 240, 320, 3), None, "does not tell"),
    "examples_ybr*": ((30, 240, 320, 3), None, "cut or rescaled"),
}


def by_pydicom(path: Path) -> np.ndarray:
    """All frames at once, as they are shown."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(path)
        frames = pixel_array(dataset)
        if dataset.PhotometricInterpretation == "PALETTE COLOR":
            # pydicom takes the big-endian tables for little-endian
            frames = apply_color_lut(frames, dataset)
            frames = (frames >> 8 if dataset.original_encoding[1] else frames).astype(np.uint8)
    return frames if int(dataset.get("NumberOfFrames") or 1) > 1 else frames[None]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_real_dicom(path, capfd):
    cine = read_cine(path)
    found = np.stack(list(cine.frames()))
    shape, pixel, note = next(value for pattern, value in EXPECTED.items() if path.match(pattern))
    assert found.shape == shape
    assert cine.pixel_mm == (pixel if pixel is None else pytest.approx(pixel, abs=1e-4))
    assert note == "" or any(note in text for text in cine.notes)
    apart = np.abs(found.astype(int) - by_pydicom(path))
    assert apart.mean() < (0.5 if "baseline" in path.name or "ybr" in path.name else 1e-9)
    assert np.array_equal(cine.frame(-1), found[-1])
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_real_dicom_agrees_with_gdcm(path):
    image = sitk.ReadImage(str(path), imageIO="GDCMImageIO")
    reference = sitk.GetArrayFromImage(image)
    found = np.stack(list(read_cine(path).frames()))
    if reference.dtype == np.uint16 and reference.ndim == 4:
        reference = (reference >> 8).astype(np.uint8)
    assert reference.shape == found.shape
    # Lossy color comes out a little different from one decoder to another.
    assert np.abs(reference.astype(int) - found).mean() < 1.5


def test_the_fragmented_file_shows_what_the_uncompressed_one_does():
    plain, fragmented = (read_cine(path) for path in sorted((DICOM / "cornerstonejs_dicomParser").glob("*.dcm"))[::-1])
    assert plain.times_s == pytest.approx(fragmented.times_s)
    apart = plain.window(0, 8).astype(int) - fragmented.window(0, 8)
    assert np.abs(apart).mean() < 6


def test_frame_time_of_the_real_cine():
    cine = read_cine(DICOM / "pydicom_pydicom" / "examples_ybr_color.dcm")
    assert cine.frame_rate == pytest.approx(30.0003, abs=1e-3)
    assert cine.times_s[-1] == pytest.approx(29 * 0.033333)


def test_the_liver_sweep():
    cv2 = pytest.importorskip("cv2", reason="video needs OpenCV")
    (path,) = SWEEP.glob("*.h264")
    facts = json.loads(next(SWEEP.glob("*.json")).read_text())
    cine = read_cine(path)
    assert cine.source.shape == (facts["frames"], facts["height"], facts["width"])
    assert cine.times_s[-1] == pytest.approx(139 / 25)
    row, column = facts["pixel_spacing_mm"]
    assert replace(cine, pixel_mm=(row, column)).ijk_to_ras[0, 0] == pytest.approx(-0.314818, abs=1e-5)
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    for number, frame in enumerate(cine.gray_frames()):
        shown = to_gray(capture.read()[1])
        assert np.abs(frame.astype(int) - shown).max() <= 1, f"frame {number}"
