"""A gray cine as ultrasound DICOM: every gray value, the times and the size of a pixel are kept exactly."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ...errors import InputError
from .cine import CENTIMETERS, Cine

# Explicit VR little endian; Ultrasound Multi-frame Image Storage
TRANSFER_SYNTAX, CLASS = "1.2.840.10008.1.2.1", "1.2.840.10008.5.1.4.1.1.3.1"


def write_dicom(cine: Cine, path: Path, patient: str = "") -> Path:
    """Writes an uncompressed multi-frame file, whole or not at all; frames are read one at a time.

    Args:
        cine: 8-bit gray frames.
        patient: PatientID.

    Raises:
        InputError: color frames or deeper gray values.
    """
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.sequence import Sequence
    from pydicom.uid import generate_uid

    if cine.is_color or cine.source.dtype != np.uint8:
        raise InputError(f"'{cine.name}' has no 8-bit gray frames, which alone are written as DICOM; convert it first.")
    facts = [cine.name, patient, str(len(cine)), str(cine.taken)]
    uid, study, series = (generate_uid(entropy_srcs=[*facts, what]) for what in ("image", "study", "series"))
    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID, data.Modality = CLASS, uid, "US"
    data.StudyInstanceUID, data.SeriesInstanceUID = study, series
    data.PatientID, data.PatientName, data.SeriesDescription = patient, patient, cine.name[:64]
    if cine.taken is not None:
        data.StudyDate, data.StudyTime = cine.taken.strftime("%Y%m%d"), cine.taken.strftime("%H%M%S")
    data.BurnedInAnnotation = "NO" if cine.burned_in is False else "YES"
    data.NumberOfFrames = len(cine)
    data.Rows, data.Columns = cine.frame_shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 8, 8, 7, 0
    if len(cine) > 1:
        data.FrameTimeVector = [0.0, *(round(1000 * float(step), 4) for step in np.diff(cine.times_s))]
        data.FrameIncrementPointer = 0x00181065
    if cine.pixel_mm is not None:
        data.SequenceOfUltrasoundRegions = Sequence([_region(cine)])
    data.PixelData = b"".join(frame.tobytes() for frame in cine.gray_frames())
    if len(data.PixelData) % 2:
        data.PixelData += b"\0"
    data["PixelData"].VR = "OB"
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = TRANSFER_SYNTAX
    data.file_meta.MediaStorageSOPClassUID, data.file_meta.MediaStorageSOPInstanceUID = CLASS, uid
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    data.save_as(partial, enforce_file_format=True)
    os.replace(partial, path)
    return path


def _region(cine: Cine):
    """The calibrated region: the whole frame, in centimeters."""
    from pydicom.dataset import Dataset

    rows, columns = cine.frame_shape
    row_mm, column_mm = cine.pixel_mm
    region = Dataset()
    region.RegionSpatialFormat, region.RegionDataType, region.RegionFlags = 1, 1, 0
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 0, 0
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = columns - 1, rows - 1
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = CENTIMETERS
    region.PhysicalDeltaX, region.PhysicalDeltaY = column_mm / 10.0, row_mm / 10.0
    return region
