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
    j, i = np.indices(shape) * 96.0 / shape[0]
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


def write_video(path: Path, frames: np.ndarray, code: str = "FFV1", rate: float = 12.5) -> Path:
    """Gray or color frames as a video file."""
    import cv2

    is_color = frames.ndim == 4
    size = frames.shape[2:0:-1]
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*code), rate, size, is_color)
    assert writer.isOpened()
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[..., ::-1]) if is_color else frame)
    writer.release()
    return path


# --- H.264 of raw macroblocks -----------------------------------------------------------------------------------------


class _Bits:
    """Bits of a H.264 unit: fixed numbers and exponential Golomb codes."""

    def __init__(self) -> None:
        self.text = ""

    def fixed(self, *pairs: tuple[int, int]) -> None:
        for value, width in pairs:
            self.text += format(value, f"0{width}b")

    def golomb(self, *values: int) -> None:
        for value in values:
            self.text += "0" * ((value + 1).bit_length() - 1) + format(value + 1, "b")

    def align(self, stop: str = "") -> bytes:
        self.text += stop
        self.text += "0" * (-len(self.text) % 8)
        return int(self.text, 2).to_bytes(len(self.text) // 8, "big")


def _unit(kind: int, payload: bytes) -> bytes:
    """A unit with its start code, and with the bytes that keep start codes out of the payload."""
    escaped, zeros = bytearray(), 0
    for byte in payload:
        if zeros >= 2 and byte <= 3:
            escaped.append(3)
            zeros = 0
        escaped.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return b"\0\0\0\1" + bytes([kind]) + bytes(escaped)


def h264(frames: np.ndarray, full_range: bool = False) -> bytes:
    """A H.264 stream whose luma is exactly the gray frames (t, j, i), of multiples of 16 rows and columns.

    Every macroblock is stored raw (I_PCM), so that no encoder is needed.
    """
    rows, columns = (n // 16 for n in frames.shape[1:])
    sequence = _Bits()
    sequence.fixed((66, 8), (0, 8), (40, 8))
    sequence.golomb(0, 0, 2, 0)
    sequence.fixed((0, 1))
    sequence.golomb(columns - 1, rows - 1)
    sequence.fixed((1, 1), (1, 1), (0, 1), (1, 1))
    # usability: aspect, overscan, signal (format, range, no colors), chroma place, timing, HRDs, structure, limits
    sequence.fixed((0, 1), (0, 1), (1, 1), (5, 3), (int(full_range), 1), (0, 1), (0, 6))
    picture = _Bits()
    picture.golomb(0, 0)
    picture.fixed((0, 2))
    picture.golomb(0, 0, 0)
    picture.fixed((0, 3))
    picture.golomb(0, 0, 0)
    picture.fixed((1, 1), (0, 2))
    stream = _unit(0x67, sequence.align("1")) + _unit(0x68, picture.align("1"))
    for number, frame in enumerate(frames):
        start = _Bits()
        start.golomb(0, 7, 0)
        start.fixed((0, 4))
        start.golomb(number % 2)
        start.fixed((0, 2))
        start.golomb(0, 1)
        data = b""
        for j in range(rows):
            for i in range(columns):
                head = start if not data else _Bits()
                head.golomb(25)
                data += head.align() + frame[16 * j : 16 * j + 16, 16 * i : 16 * i + 16].tobytes() + b"\x80" * 128
        stream += _unit(0x65, data + b"\x80")
    return stream
