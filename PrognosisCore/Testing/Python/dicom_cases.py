"""DICOM slices and series for tests, and how they are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from PrognosisLib.errors import InputError
from PrognosisLib.images.readers import read_volume

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
