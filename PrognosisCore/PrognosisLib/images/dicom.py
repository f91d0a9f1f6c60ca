"""DICOM files, folders and DICOMDIRs as Volumes: which files belong together, and what is no image at all.

The geometry of a series is worked out in dicom_geometry.py, its pixel values in pixels.py.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError
from ..volume import Volume
from .dicom_geometry import Stack, slices_of, stack
from .pixels import decode, real_values

if TYPE_CHECKING:
    import pydicom

DICOMDIR_CLASS = "1.2.840.10008.1.3.10"
TAGS = [
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "SeriesDescription",
    "Modality",
    "ImageType",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "BitsAllocated",
    "PixelRepresentation",
    "PixelPaddingValue",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "SpacingBetweenSlices",
    "RescaleSlope",
    "RescaleIntercept",
    "ModalityLUTSequence",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
]
# what objects that are no images are called, by Modality
NOT_IMAGES = {
    "SEG": "is a segmentation (DICOM SEG), not an image",
    "RTSTRUCT": "is a set of radiotherapy contours (RTSTRUCT), not an image",
    "RTPLAN": "is a radiotherapy plan, not an image",
    "RTDOSE": "is a radiotherapy dose, not an image",
    "SR": "is a structured report, not an image",
    "PR": "is a presentation state, not an image",
    "KO": "is a key object selection, not an image",
    "DOC": "is a document, not an image",
    "REG": "is a registration, not an image",
}
MAX_LISTED = 6


@dataclass(frozen=True)
class SeriesInfo:
    """One image series of a folder. `slices` counts frames, so a multi-frame file counts as many."""

    uid: str
    description: str
    modality: str
    slices: int

    def __str__(self) -> str:
        plural = "" if self.slices == 1 else "s"
        return f"'{self.description or 'no description'}' ({self.modality}, {self.slices} slice{plural}, {self.uid})"


def is_dicom(path: Path) -> bool:
    """Whether the file is DICOM, with the standard's preamble or as a bare data set."""
    with open(path, "rb") as file:
        start = file.read(132)
    if start[128:] == b"DICM":
        return True
    # A bare data set begins with a tag of group 0002 or 0008; the class of the object must then be in it.
    if start[:2] not in (b"\x02\x00", b"\x08\x00", b"\x00\x02", b"\x00\x08"):
        return False
    try:
        return "SOPClassUID" in _header(path)
    except InputError:
        return False


def list_series(folder: str | Path) -> list[SeriesInfo]:
    """The image series in a DICOM folder and its subfolders (or that a DICOMDIR lists), by description.

    Raises:
        InputError: the folder does not exist, may not be read, or a DICOM file in it is damaged.
    """
    folder = Path(folder)
    try:
        files = _listed_files(folder) if folder.is_file() else _files(folder)
        return _infos(_by_series(_headers(files)))
    except FileNotFoundError as error:
        raise InputError(f"There is no folder '{folder}'; check the path.") from error
    except PermissionError as error:
        raise InputError(
            f"'{error.filename or folder}' may not be read (no permission); ask its owner for access."
        ) from error


def read_folder(folder: Path, modality: str = "CT", series: str | None = None) -> Volume:
    """The one image series of a folder and its subfolders, or the one with this SeriesInstanceUID."""
    return _read_files(_files(folder), folder.name or str(folder), modality, series)


def read_file(path: Path, modality: str = "CT", series: str | None = None) -> Volume:
    """A single DICOM file (one slice or multi-frame), or the series that a DICOMDIR lists."""
    header = _header(path)
    if getattr(header.file_meta, "MediaStorageSOPClassUID", None) == DICOMDIR_CLASS:
        return _read_files(_listed_files(path), path.name, modality, series)
    return _read_series(_headers([path]), path.name, modality)


def _files(folder: Path) -> list[Path]:
    def fail(error: OSError) -> None:
        raise error

    return sorted(Path(root, name) for root, _, names in os.walk(folder, onerror=fail) for name in names)


def _listed_files(path: Path) -> list[Path]:
    """The files that a DICOMDIR lists; all must be there."""
    import pydicom

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            records = pydicom.dcmread(path).get("DirectoryRecordSequence") or []
            names = [record.ReferencedFileID for record in records if "ReferencedFileID" in record]
    except OSError:
        raise
    except Exception as error:
        raise InputError(f"'{path.name}' is no readable DICOMDIR; give the folder of the series instead.") from error
    files = [path.parent.joinpath(*([name] if isinstance(name, str) else name)) for name in names]
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise InputError(
            f"'{path.name}' lists {len(files)} files of which {len(missing)} are missing "
            f"(the first is '{missing[0].relative_to(path.parent)}'); copy the whole disc again."
        )
    return files


def _header(path: Path) -> pydicom.Dataset:
    """The tags needed, without pixels; damage is an InputError."""
    import pydicom

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return pydicom.dcmread(path, force=True, stop_before_pixels=True, specific_tags=TAGS)
    except OSError:
        raise
    except Exception as error:
        raise InputError(f"'{path.name}' is damaged or cut short; copy it again from the archive.") from error


def _headers(files: Iterable[Path]) -> list[pydicom.Dataset]:
    """Headers of the DICOM files among these, without DICOMDIRs.

    A file so damaged that it looks like no image must not drop out silently: its slice would be missing.
    """
    headers = [_header(path) for path in files if is_dicom(path)]
    headers = [h for h in headers if getattr(h.file_meta, "MediaStorageSOPClassUID", None) != DICOMDIR_CLASS]
    for header in headers:
        class_uid = header.get("SOPClassUID") or None  # an empty one reads as plain text
        if "Rows" not in header and (class_uid is None or "Image Storage" in class_uid.name):
            raise InputError(f"'{_name(header)}' is damaged or cut short; copy it again from the archive.")
    return headers


def _by_series(headers: Iterable[pydicom.Dataset]) -> dict[str, list[pydicom.Dataset]]:
    """Image headers by SeriesInstanceUID; segmentations, contours, reports and the like are left out."""
    found: dict[str, list[pydicom.Dataset]] = {}
    for header in headers:
        if _no_image(header) is None:
            found.setdefault(str(header.get("SeriesInstanceUID", "")), []).append(header)
    return found


def _infos(by_series: dict[str, list[pydicom.Dataset]]) -> list[SeriesInfo]:
    infos = [
        SeriesInfo(
            uid,
            str(headers[0].get("SeriesDescription") or ""),
            str(headers[0].get("Modality") or "unknown"),
            sum(int(h.get("NumberOfFrames") or 1) for h in headers),
        )
        for uid, headers in by_series.items()
    ]
    return sorted(infos, key=lambda info: (info.description, info.uid))


def _read_files(files: list[Path], name: str, modality: str, series: str | None) -> Volume:
    headers = _headers(files)
    by_series = _by_series(headers)
    infos = _infos(by_series)
    listed = "; ".join(str(info) for info in infos[:MAX_LISTED]) + ("; ..." if len(infos) > MAX_LISTED else "")
    if not headers:
        raise InputError(f"'{name}' holds no DICOM file; give the folder of one DICOM series or an image file.")
    if not by_series:
        raise InputError(f"'{name}' holds no image: '{_name(headers[0])}' {_no_image(headers[0])}; give the images.")
    if series is not None and series not in by_series:
        raise InputError(f"'{name}' has no series {series}; it holds {listed}.")
    if series is None and len(by_series) > 1:
        raise InputError(
            f"'{name}' holds {len(by_series)} series where one is needed; give the folder of one series or choose one "
            f"by its UID (--series): {listed}."
        )
    return _read_series(by_series[series or infos[0].uid], name, modality)


def _name(header: pydicom.Dataset) -> str:
    return Path(header.filename).name


def _no_image(header: pydicom.Dataset) -> str | None:
    """What the object is, when it is no image."""
    modality = str(header.get("Modality") or "")
    if modality in NOT_IMAGES:
        return NOT_IMAGES[modality]
    if "Rows" not in header or "Columns" not in header:
        class_uid = header.get("SOPClassUID")
        return f"is a '{class_uid.name}' without pixels, not an image" if class_uid else "has no pixels"
    return None


def _refuse(header: pydicom.Dataset, modality: str) -> None:
    """Refuse, by its header, a file that cannot be a slice of a gray-value volume of this modality."""
    name = _name(header)
    reason = _no_image(header)
    if reason:
        raise InputError(f"'{name}' {reason}; give the images it belongs to.")
    photometric = str(header.get("PhotometricInterpretation") or "")
    if int(header.get("SamplesPerPixel") or 1) > 1 or not photometric.startswith("MONOCHROME"):
        raise InputError(
            f"'{name}' is a color image ({photometric or 'several values per pixel'}) where gray values are needed; "
            "give the original series, not a screenshot or color ultrasound."
        )
    found = str(header.get("Modality") or "unknown")
    if found != modality:
        raise InputError(f"'{name}' is {found} where {modality} is needed; choose the {modality} series.")
    kinds = [str(word).upper() for word in np.atleast_1d(header.get("ImageType") or [])]
    if "LOCALIZER" in kinds:
        raise InputError(f"'{name}' is a localizer (scout), not a volume; choose the {modality} series planned on it.")
    if "MOSAIC" in kinds:
        raise InputError(f"'{name}' holds its slices as a mosaic in one picture; convert it to NIfTI first.")
    if "ModalityLUTSequence" in header:
        raise InputError(f"'{name}' maps its values through a table (modality LUT); export it with a rescale slope.")


def _read_series(headers: list[pydicom.Dataset], name: str, modality: str) -> Volume:
    """The slices of these files in order, as one volume."""
    for header in headers:
        _refuse(header, modality)
    stacked = stack([one for header in headers for one in slices_of(header)], name)
    array = stacked.resample(_values(stacked, modality))
    return Volume(array, stacked.ijk_to_ras, modality, name, stacked.notes)


def _values(stacked: Stack, modality: str) -> np.ndarray:
    """Real-world values (slice, row, column) in the order of the stack; each file is decoded once."""
    by_file: dict[Path, list[int]] = {}
    for index, one in enumerate(stacked.slices):
        by_file.setdefault(one.path, []).append(index)
    planes: list[np.ndarray | None] = [None] * len(stacked.slices)
    for path, indices in by_file.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            frames = decode(path)
        for index in indices:
            one = stacked.slices[index]
            frame = frames[one.frame] if one.frame < len(frames) else None
            if frame is None or frame.shape != one.shape:
                raise InputError(f"'{path.name}' holds fewer pixels than its header says; copy it again.")
            planes[index] = real_values(frame, one.slope, one.intercept, one.padding, modality)
    return np.stack(planes)
