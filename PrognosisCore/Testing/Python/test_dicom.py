"""DICOM series read right, with their exact geometry, or refused in a sentence."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.fileset import FileSet
from pydicom.pixels import get_encoder
from pydicom.uid import (
    BasicTextSRStorage,
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from PrognosisLib.errors import InputError
from PrognosisLib.images.readers import SeriesInfo, list_series, read_volume

AXIAL = (1, 0, 0, 0, 1, 0)
SERIES = generate_uid()
RNG = np.random.default_rng(5)
PIXELS = RNG.integers(0, 2000, (12, 7, 9)).astype(np.int16)


def decimals(values) -> list[float]:
    return [float(f"{v:.9g}") for v in values]


def dataset_of(pixels: np.ndarray, **tags) -> FileDataset:
    """A CT slice (or what the tags make of it) of int16, uint16 or uint8 pixels."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = tags.get("SOPClassUID", CTImageStorage)
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID = "1.2.3"
    dataset.PatientID, dataset.StudyID, dataset.SeriesNumber, dataset.InstanceNumber = "p", "1", 1, 1
    dataset.PatientName, dataset.StudyDate, dataset.StudyTime = "a^b", "20200101", "120000"
    dataset.SeriesInstanceUID, dataset.SeriesDescription, dataset.Modality = SERIES, "Abdomen 3.0", "CT"
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    if pixels.ndim == 3:
        dataset.NumberOfFrames = len(pixels)
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = pixels.dtype.itemsize * 8
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.PixelSpacing, dataset.SliceThickness = [0.8, 0.7], 3.0
    dataset.ImageOrientationPatient, dataset.ImagePositionPatient = list(AXIAL), [0.0, 0.0, 0.0]
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
    dataset.PixelData = pixels.tobytes()
    for keyword, value in tags.items():
        if value is None:
            del dataset[keyword]
        else:
            setattr(dataset, keyword, value)
    return dataset


def write_series(folder: Path, positions, pixels=PIXELS, names=None, **tags) -> list[Path]:
    """One file per position, named in the order of the positions; tags may be functions of the slice's number."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for n, position in enumerate(positions):
        own = {key: value(n) if callable(value) else value for key, value in tags.items()}
        path = folder / (names[n] if names else f"{n + 1:03d}.dcm")
        own.setdefault("ImagePositionPatient", decimals(position))
        dataset_of(pixels[n % len(pixels)], **own).save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def along_z(depths) -> list[tuple[float, float, float]]:
    return [(-100.0, -120.0, float(z)) for z in depths]


def refusal(path: Path, modality: str = "CT", series: str | None = None) -> str:
    with pytest.raises(InputError) as error:
        read_volume(path, modality, series)
    text = str(error.value)
    assert "\n" not in text
    assert text.endswith(".")
    return text


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


def functional_groups(dataset: Dataset, positions, shared_measures=True, slopes=None) -> None:
    def item(**tags) -> Dataset:
        result = Dataset()
        for keyword, value in tags.items():
            setattr(result, keyword, value)
        return result

    measures = item(PixelSpacing=[0.8, 0.7], SliceThickness=3.0)
    shared = item(PlaneOrientationSequence=[item(ImageOrientationPatient=list(AXIAL))])
    frames = []
    for n, position in enumerate(positions):
        frame = item(PlanePositionSequence=[item(ImagePositionPatient=decimals(position))])
        slope = 1 if slopes is None else slopes[n]
        frame.PixelValueTransformationSequence = [item(RescaleSlope=slope, RescaleIntercept=-1000, RescaleType="HU")]
        if not shared_measures:
            frame.PixelMeasuresSequence = [measures]
        frames.append(frame)
    if shared_measures:
        shared.PixelMeasuresSequence = [measures]
    dataset.SharedFunctionalGroupsSequence, dataset.PerFrameFunctionalGroupsSequence = [shared], frames
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        del dataset[keyword]
    del dataset.RescaleSlope, dataset.RescaleIntercept


@pytest.mark.parametrize("shared_measures", [True, False])
def test_enhanced_ct_takes_each_frames_geometry_and_rescale(tmp_path, shared_measures):
    order = RNG.permutation(10)
    dataset = dataset_of(PIXELS[:10][order], SOPClassUID=EnhancedCTImageStorage)
    functional_groups(dataset, [(5.0, 6 + 0.4 * n, 3.0 * n) for n in order], shared_measures)
    dataset.save_as(tmp_path / "enhanced.dcm", enforce_file_format=True)
    volume = read_volume(tmp_path / "enhanced.dcm")
    assert np.array_equal(volume.array, PIXELS[:10] - 1000)
    assert volume.ijk_to_ras == pytest.approx(
        np.array([[-0.7, 0, 0, -5], [0, -0.8, -0.4, -6], [0, 0, 3, 0], [0, 0, 0, 1]])
    )
    assert "tilt of 7.6 degrees" in volume.notes[0]
    assert list_series(tmp_path)[0].slices == 10


def test_enhanced_frames_at_one_position_or_with_a_gap_are_refused(tmp_path):
    dataset = dataset_of(PIXELS[:4], SOPClassUID=EnhancedCTImageStorage)
    functional_groups(dataset, along_z([0, 3, 0, 3]))
    dataset.save_as(tmp_path / "times.dcm", enforce_file_format=True)
    assert "4 images at 2 positions" in refusal(tmp_path / "times.dcm")
    dataset = dataset_of(PIXELS[:4], SOPClassUID=EnhancedCTImageStorage)
    functional_groups(dataset, along_z([0, 3, 6, 12]))
    dataset.save_as(tmp_path / "gap.dcm", enforce_file_format=True)
    assert "1 between frame 3 of 'gap.dcm' and frame 4 of 'gap.dcm'" in refusal(tmp_path / "gap.dcm")


@pytest.mark.parametrize(
    ("tags", "fragment"),
    [
        ({"Modality": "MR"}, "is MR where CT is needed"),
        ({"Modality": "SEG"}, "is a segmentation"),
        ({"Modality": "RTDOSE"}, "radiotherapy dose"),
        ({"Modality": "SR", "Rows": None, "SOPClassUID": BasicTextSRStorage}, "structured report"),
        ({"Rows": None}, "damaged or cut short"),
        ({"Rows": None, "SOPClassUID": "1.2.840.10008.5.1.4.1.1.66"}, "without pixels"),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "color image (RGB)"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "color image (PALETTE COLOR)"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "localizer"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]}, "mosaic"),
        ({"ModalityLUTSequence": [Dataset()]}, "modality LUT"),
        ({"ImagePositionPatient": None}, "no position in the patient"),
        ({"ImageOrientationPatient": None}, "no position in the patient"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "impossible orientation"),
        ({"PixelSpacing": None}, "no valid pixel spacing"),
        ({"PixelSpacing": [0, 0.7]}, "no valid pixel spacing"),
        ({"PixelSpacing": [0.7, -0.7]}, "no valid pixel spacing"),
        ({"RescaleSlope": 0}, "rescale slope of 0"),
        ({"NumberOfFrames": 5}, "cine"),
        ({"SliceThickness": None}, "single slice without a thickness"),
        ({"PixelData": None}, "no pixels"),
        ({"PixelData": bytes(50)}, "damaged or cut short"),
    ],
)
def test_what_is_no_ct_slice_is_refused(tmp_path, capfd, tags, fragment):
    dataset_of(PIXELS[0], **tags).save_as(tmp_path / "one.dcm", enforce_file_format=True)
    text = refusal(tmp_path / "one.dcm")
    assert fragment in text
    assert "'one.dcm'" in text
    assert capfd.readouterr().err == ""


def test_slices_whose_class_was_emptied_are_read(tmp_path):
    """An anonymizer may leave SOPClassUID empty; what has rows and columns is an image all the same."""
    for number, z in enumerate((0.0, 3.0, 6.0)):
        dataset = dataset_of(PIXELS[number], ImagePositionPatient=[0, 0, z])
        dataset.SOPClassUID = ""
        dataset.save_as(tmp_path / f"{number}.dcm", enforce_file_format=False)
    assert read_volume(tmp_path, "CT").array.shape == (3, *PIXELS[0].shape)


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


def test_broken_and_bare_files(tmp_path, capfd):
    (tmp_path / "empty").mkdir()
    assert "holds no DICOM file" in refusal(tmp_path / "empty")
    paths = write_series(tmp_path / "cut", along_z([0, 3, 6]))
    whole = paths[1].read_bytes()
    for size in (len(whole) - 20, 600, 200, 140):
        paths[1].write_bytes(whole[:size])
        assert "'002.dcm'" in refusal(tmp_path / "cut")
    paths[1].write_bytes(whole[132:])  # the file header, without the preamble before it
    assert np.array_equal(read_volume(tmp_path / "cut").array, PIXELS[:3] - 1024)
    assert capfd.readouterr().err == ""


def test_a_bare_data_set_is_read(tmp_path):
    for n in range(3):
        dataset = dataset_of(PIXELS[n], ImagePositionPatient=[0, 0, 3 * n])
        dataset.file_meta = FileMetaDataset()
        dataset.preamble = None
        pydicom.dcmwrite(tmp_path / f"{n}", dataset, implicit_vr=True, little_endian=True)
    assert np.array_equal(read_volume(tmp_path).array, PIXELS[:3] - 1024)


def test_a_segmentation_beside_its_series_does_not_matter(tmp_path):
    write_series(tmp_path, along_z(np.arange(10) * 3.0))
    dataset_of(PIXELS[0], Modality="SEG", SeriesInstanceUID=generate_uid()).save_as(
        tmp_path / "seg.dcm", enforce_file_format=True
    )
    assert read_volume(tmp_path).array.shape[0] == 10


def test_list_series_of_nothing(tmp_path):
    assert list_series(tmp_path) == []
    with pytest.raises(InputError, match="There is no folder"):
        list_series(tmp_path / "absent")
