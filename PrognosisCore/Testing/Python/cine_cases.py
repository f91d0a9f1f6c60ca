"""What the tests of cines share: a simulated film with its sector, and ultrasound DICOM files in every encoding."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    UltrasoundMultiFrameImageStorage,
    generate_uid,
)

APEX, RADII, HALF_ANGLE = (64.0, -10.0), (30.0, 100.0), 0.6
TEXT_ROWS, TEXT_COLUMNS = slice(2, 9), slice(2, 40)


def sector_mask(shape: tuple[int, int] = (96, 128), kind: str = "convex") -> np.ndarray:
    """Where the simulated film has tissue, bool (j, i)."""
    j, i = np.indices(shape)
    if kind == "linear":
        return (i >= 24) & (i < 104) & (j >= 14) & (j < 90)
    x, y = i - APEX[0], j - APEX[1]
    radius, angle = np.hypot(x, y), np.arctan2(x, y)
    return (radius >= RADII[0]) & (radius <= RADII[1]) & (np.abs(angle) <= HALF_ANGLE)


def film(count: int = 8, shape: tuple[int, int] = (96, 128), kind: str = "convex", text: bool = True) -> np.ndarray:
    """uint8 (t, j, i): changing speckle in the sector, black around it, static text in the corner."""
    rng = np.random.default_rng(3)
    speckle = rng.rayleigh(28, (count, *shape)) + 12
    frames = np.where(sector_mask(shape, kind), np.clip(speckle, 4, 230), 0).astype(np.uint8)
    if text:
        letters = (
            np.indices((TEXT_ROWS.stop - TEXT_ROWS.start, TEXT_COLUMNS.stop - TEXT_COLUMNS.start)).sum(0) % 3
        ) > 0
        frames[:, TEXT_ROWS, TEXT_COLUMNS] = letters * np.uint8(220)
    return frames


def in_color(frames: np.ndarray) -> np.ndarray:
    """The same as (t, j, i, 3)."""
    return np.repeat(frames[..., None], 3, axis=-1)


def region(box: tuple[int, int, int, int], **tags) -> Dataset:
    """A calibrated B-mode region of 0.4 mm pixels, or what the tags make of it."""
    item = Dataset()
    item.RegionSpatialFormat, item.RegionDataType, item.RegionFlags = 1, 1, 0
    item.RegionLocationMinX0, item.RegionLocationMinY0 = box[:2]
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = box[2:]
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = 3
    item.PhysicalDeltaX, item.PhysicalDeltaY = 0.03, 0.04
    for keyword, value in tags.items():
        setattr(item, keyword, value)
    return item


def ultrasound(frames: np.ndarray, **tags) -> FileDataset:
    """An uncompressed ultrasound object of (t, j, i) or (t, j, i, 3) frames; a tag of None is left out."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UltrasoundMultiFrameImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    dataset.SOPClassUID, dataset.SOPInstanceUID = UltrasoundMultiFrameImageStorage, meta.MediaStorageSOPInstanceUID
    dataset.Modality, dataset.SeriesInstanceUID, dataset.StudyInstanceUID = "US", generate_uid(), generate_uid()
    dataset.PatientName, dataset.PatientID = "a^b", "p"
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = frames.shape[:3]
    dataset.SamplesPerPixel = 3 if frames.ndim == 4 else 1
    dataset.PhotometricInterpretation = "RGB" if frames.ndim == 4 else "MONOCHROME2"
    if frames.ndim == 4:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = dataset.BitsStored = frames.dtype.itemsize * 8
    dataset.HighBit, dataset.PixelRepresentation = dataset.BitsStored - 1, 0
    dataset.FrameTime = "40"
    dataset.FrameIncrementPointer = 0x00181063
    dataset.PixelData = frames.tobytes()
    dataset["PixelData"].VR = "OW" if frames.dtype.itemsize == 2 else "OB"
    for keyword, value in tags.items():
        if value is None:
            del dataset[keyword]
        else:
            setattr(dataset, keyword, value)
    return dataset


def save(dataset: FileDataset, path: Path) -> Path:
    """The data set as a file."""
    dataset.save_as(path, enforce_file_format=True)
    return path


def jpeg(frames: np.ndarray, fragments: int = 1, table: bool = True, **tags) -> FileDataset:
    """JPEG baseline of gray or color frames, each in some fragments, with or without an offset table."""
    dataset = ultrasound(frames, **tags)
    encoded = []
    for frame in frames:
        buffer = io.BytesIO()
        Image.fromarray(frame).save(buffer, "JPEG", quality=95, subsampling="4:2:2")
        encoded.append(buffer.getvalue())
    dataset.PixelData = encapsulate(encoded, fragments_per_frame=fragments, has_bot=table)
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    if frames.ndim == 4:
        dataset.PhotometricInterpretation = "YBR_FULL_422"
    return dataset


def by_gdcm(dataset: FileDataset, syntax: str, folder: Path) -> Path:
    """The file in a transfer syntax that only GDCM can write ("JPEGLosslessProcess14_1", ...)."""
    import gdcm

    source, target = save(dataset, folder / "source.dcm"), folder / "target.dcm"
    reader = gdcm.ImageReader()
    reader.SetFileName(str(source))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, syntax)))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(target))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    return target
