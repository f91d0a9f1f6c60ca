"""DICOM series read right, with their exact geometry, or refused in a sentence."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from dicom_cases import AXIAL, PIXELS, RNG, SERIES, along_z, decimals, refusal, write_series
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.fileset import FileSet
from pydicom.uid import generate_uid

from PrognosisLib.images.readers import SeriesInfo, list_series, read_volume


def test_a_series_in_scrambled_files_comes_out_in_order(tmp_path):
    order = RNG.permutation(12)
    names = [f"{order[n]:02d}" for n in range(12)]
    write_series(tmp_path / "ct", along_z(np.arange(12) * 3.0 - 50), names=names)
    (tmp_path / "ct" / "README.txt").write_text("not an image")
    volume = read_volume(tmp_path / "ct")
    expected = [[-0.7, 0, 0, 100], [0, -0.8, 0, 120], [0, 0, 3, -50], [0, 0, 0, 1]]
    assert volume.ijk_to_ras == pytest.approx(np.array(expected))
    assert volume.array.dtype == np.int16
    assert np.array_equal(volume.array, PIXELS - 1024)
    assert (volume.notes, volume.modality, volume.name) == ((), "CT", "ct")


@settings(max_examples=15, deadline=None)
@given(
    quaternion=st.tuples(*[st.floats(-1, 1, width=32)] * 4).filter(lambda q: np.linalg.norm(q) > 0.1),
    tilt=st.floats(-0.5, 0.5),
    pixel=st.tuples(st.floats(0.3, 2), st.floats(0.3, 2)),
    step=st.floats(0.5, 8),
    backwards=st.booleans(),
)
def test_any_orientation_and_gantry_tilt_keep_their_matrix(tmp_path_factory, quaternion, tilt, pixel, step, backwards):
    w, x, y, z = np.array(quaternion) / np.linalg.norm(quaternion)
    row = np.array([1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)])
    column = np.array([2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x)])
    vector = (np.cross(row, column) + tilt * column) * step
    origin = np.array([30.0, -200.0, 100.0])
    positions = [origin + n * vector for n in range(9)]
    folder = tmp_path_factory.mktemp("tilt")
    write_series(
        folder,
        positions[::-1] if backwards else positions,
        PIXELS[:9][::-1] if backwards else PIXELS[:9],
        ImageOrientationPatient=decimals([*row, *column]),
        PixelSpacing=decimals(pixel),
    )
    volume = read_volume(folder)
    matrix = np.eye(4)
    matrix[:3] = np.diag([-1, -1, 1]) @ np.column_stack([row * pixel[1], column * pixel[0], vector, origin])
    assert volume.ijk_to_ras == pytest.approx(matrix, abs=1e-5)
    assert np.array_equal(volume.array, PIXELS[:9] - 1024)
    assert any("tilt" in note for note in volume.notes) == (abs(np.degrees(np.arctan(tilt))) > 0.5)


def test_an_irregular_step_is_resampled_linearly_and_noted(tmp_path):
    depths = np.array([0, 2, 4, 6, 9, 12, 15, 18.0])
    tilt = np.array([0.0, 0.3, 1.0])
    pixels = np.stack([np.full((7, 9), 100 * z, np.int16) for z in depths])
    write_series(tmp_path, [z * tilt for z in depths], pixels)
    volume = read_volume(tmp_path)
    assert volume.array.shape == (10, 7, 9)
    assert volume.ijk_to_ras[:3, 2] == pytest.approx([0, -0.6, 2])
    assert volume.array[:, 3, 3].tolist() == [200 * k - 1024 for k in range(10)]
    assert volume.array.dtype == np.int16
    assert any("2.00 to 3.00 mm" in note and "interpolated" in note for note in volume.notes)
    assert any("tilt" in note for note in volume.notes)


def test_a_step_that_changes_with_the_slice_thickness_is_no_missing_slice(tmp_path):
    depths = [0, 2.5, 5, 7.5, 10, 15, 20, 25, 30]
    write_series(tmp_path, along_z(depths), SliceThickness=lambda n: 2.5 if n < 5 else 5.0)
    volume = read_volume(tmp_path)
    assert volume.array.shape[0] == 13
    assert volume.grid.spacing[2] == pytest.approx(2.5)
    assert np.array_equal(volume.array[:5], PIXELS[:5] - 1024)
    assert np.array_equal(volume.array[6], PIXELS[5] - 1024)


@pytest.mark.parametrize(
    ("removed", "missing", "fragment"),
    [
        ([4], "lacks 1 slice:", "1 between '004.dcm' and '006.dcm' (6.0 mm where the step is 3.0 mm)"),
        ([4, 5, 9], "lacks 3 slices:", "2 between '004.dcm' and '007.dcm'"),
        ([1, 3, 5, 7, 9], "lacks 5 slices:", "and more"),
    ],
)
def test_missing_slices_are_refused_with_their_place(tmp_path, removed, missing, fragment):
    paths = write_series(tmp_path, along_z(np.arange(14) * 3.0))
    for n in removed:
        paths[n].unlink()
    text = refusal(tmp_path)
    assert missing in text
    assert fragment in text


def test_positions_rounded_by_the_scanner_are_regular(tmp_path):
    write_series(tmp_path, along_z(np.round(np.arange(12) * 1.25 + 0.03, 1)))
    volume = read_volume(tmp_path)
    assert volume.array.shape[0] == 12
    assert volume.notes == ()


def test_copies_and_several_acquisitions_are_refused(tmp_path):
    paths = write_series(tmp_path / "a", along_z([0, 3, 6, 9]))
    shutil.copy(paths[1], tmp_path / "a" / "copy.dcm")
    text = refusal(tmp_path / "a")
    assert "5 images at 4 positions" in text
    assert "'copy.dcm'" in text
    write_series(tmp_path / "b", along_z([0, 3, 6, 0, 3, 6]))
    assert "6 images at 3 positions" in refusal(tmp_path / "b")


def test_orientations_sizes_and_table_shifts_do_not_mix(tmp_path):
    planes = [AXIAL, (0, 1, 0, 0, 0, -1), (1, 0, 0, 0, 0, -1)]
    write_series(tmp_path / "a", along_z([0, 3, 6]), ImageOrientationPatient=lambda n: list(planes[n]))
    assert "3 orientations" in refusal(tmp_path / "a")
    write_series(tmp_path / "b", along_z([0, 3, 6]), PixelSpacing=lambda n: [0.7 + 0.1 * (n == 1)] * 2)
    assert "different sizes" in refusal(tmp_path / "b")
    positions = along_z(np.arange(8) * 3.0)
    positions[4] = (-96.0, -120.0, 12.0)
    write_series(tmp_path / "c", positions)
    text = refusal(tmp_path / "c")
    assert "shifted against each other by up to 4.0 mm" in text
    assert "'005.dcm'" in text


def test_two_series_are_listed_and_one_can_be_chosen(tmp_path):
    other = generate_uid()
    write_series(tmp_path / "x" / "one", along_z(np.arange(10) * 3.0))
    write_series(tmp_path / "x" / "two", along_z([0, 5]), SeriesInstanceUID=other, SeriesDescription="Lung")
    text = refusal(tmp_path / "x")
    assert "2 series" in text
    assert "--series" in text
    assert f"'Abdomen 3.0' (CT, 10 slices, {SERIES})" in text
    assert f"'Lung' (CT, 2 slices, {other})" in text
    assert list_series(tmp_path / "x") == [
        SeriesInfo(SERIES, "Abdomen 3.0", "CT", 10),
        SeriesInfo(other, "Lung", "CT", 2),
    ]
    assert read_volume(tmp_path / "x", series=SERIES).array.shape[0] == 10
    assert read_volume(tmp_path / "x", series=other).array.shape[0] == 2
    assert "has no series 9.9" in refusal(tmp_path / "x", series="9.9")
    assert read_volume(tmp_path / "x" / "one").array.shape[0] == 10


def test_a_dicomdir_is_followed_and_must_be_complete(tmp_path):
    disc = FileSet()
    for path in write_series(tmp_path / "source", along_z(np.arange(10) * 3.0)):
        disc.add(path)
    disc.write(tmp_path / "disc")
    from_dicomdir = read_volume(tmp_path / "disc" / "DICOMDIR")
    assert np.array_equal(from_dicomdir.array, PIXELS[:10] - 1024)
    assert np.array_equal(read_volume(tmp_path / "disc").array, from_dicomdir.array)
    assert [info.slices for info in list_series(tmp_path / "disc" / "DICOMDIR")] == [10]
    images = sorted(p for p in (tmp_path / "disc").rglob("*") if p.is_file() and p.name != "DICOMDIR")
    images[3].unlink()
    assert "lists 10 files of which 1 are missing" in refusal(tmp_path / "disc" / "DICOMDIR")
