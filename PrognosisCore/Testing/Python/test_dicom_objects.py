"""DICOM objects that are more or less than a CT slice: enhanced CT is read, others are refused in a sentence."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from dicom_cases import AXIAL, PIXELS, RNG, along_z, dataset_of, decimals, refusal, write_series
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import BasicTextSRStorage, EnhancedCTImageStorage, generate_uid

from PrognosisLib.errors import InputError
from PrognosisLib.images.readers import list_series, read_volume


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
