"""Ultrasound DICOM as a Cine: what its header says about time, the size of a pixel and the regions of the image."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import InputError
from .cine import Cine, JoinedFrames, Region, steady_times
from .dicom_frames import DicomFrames, frame_count

if TYPE_CHECKING:
    import pydicom

NOMINAL_RATE = 25.0
FRAME_TIME, FRAME_TIME_VECTOR = 0x00181063, 0x00181065
# Secondary captures of ultrasound carry other modalities; these are never ultrasound.
NOT_ULTRASOUND = ("CT", "MR", "PT", "NM", "CR", "DX", "MG", "XA", "RF", "SEG", "SR", "RTSTRUCT", "RTDOSE", "PR", "KO")
LONGEST_MM, FINEST_MM, COARSEST_MM = 400.0, 0.01, 1.5
PIXEL_DATA = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


def read_dicom_cine(path: Path) -> Cine:
    """One ultrasound DICOM file, multi-frame or a single image, uncompressed or compressed.

    Raises:
        InputError: with one sentence that says why it cannot be read, and what to do.
    """
    header, offset = _header(path)
    with _in_words(path.name):
        return _read(path, header, offset)


@contextmanager
def _in_words(name: str) -> Iterator[None]:
    """Damaged tags as an InputError: they are decoded when they are asked for, and may hold anything."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (OSError, InputError):
        raise
    except Exception as error:
        raise InputError(f"'{name}' has a damaged header; copy it again from the archive.") from error


def read_dicom_stills(paths: list[Path], name: str) -> Cine:
    """Single ultrasound images of one series, a file for each, in the order of their instance numbers.

    Times are those of acquisition where every file tells another one; the size of a pixel is that of the first.

    Raises:
        InputError: several series, a file of several frames, images of different size or pixel size, or one that
            cannot be read.
    """
    headers = [_header(path)[0] for path in paths]
    with _in_words(name):
        return _join(paths, headers, name)


def _join(paths: list[Path], headers: list[pydicom.Dataset], name: str) -> Cine:
    series = {str(header.get("SeriesInstanceUID") or "") for header in headers}
    if len(series) > 1:
        raise InputError(
            f"'{name}' holds {len(series)} series where one cine is needed; give the folder or file of one."
        )
    numbers = [_number(header.get("InstanceNumber")) for header in headers]
    order = sorted(range(len(paths)), key=lambda index: (numbers[index], paths[index].name))
    cines = [read_dicom_cine(paths[index]) for index in order]
    first = cines[0]
    for cine in cines:
        if len(cine) > 1:
            raise InputError(f"'{name}' holds {len(cines)} cines where one is needed; give the file of one.")
        if cine.source.shape != first.source.shape or cine.source.dtype != first.source.dtype:
            raise InputError(
                f"'{cine.name}' ({' x '.join(map(str, cine.source.shape[1:]))}) differs from '{first.name}' "
                f"({' x '.join(map(str, first.source.shape[1:]))}); give the frames of one cine."
            )
        if cine.pixel_mm != first.pixel_mm:
            raise InputError(f"'{cine.name}' has pixels of another size than '{first.name}'; give one cine.")
    times, notes = _acquisition_times([headers[index] for index in order])
    known = [cine.burned_in for cine in cines if cine.burned_in is not None]
    burned_in = any(known) if any(known) or len(known) == len(cines) else None
    return Cine(
        JoinedFrames([cine.source for cine in cines]),
        times,
        first.pixel_mm,
        first.regions,
        name,
        (*first.notes, *notes),
        burned_in,
        first.taken,
        first.patient,
    )


def _acquisition_times(headers: list[pydicom.Dataset]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Seconds from the first image, from the first tag that ascends over all of them."""
    for keyword in ("AcquisitionTime", "ContentTime"):
        values = [_seconds(header.get(keyword)) for header in headers]
        if None not in values and np.all(np.diff(values) > 0):
            return np.array(values) - values[0], ()
    times, notes = times_of(headers[0], len(headers))
    return times, notes


def _seconds(time: object) -> float | None:
    """Seconds since midnight of a DICOM time (HHMMSS.FFFFFF)."""
    text = str(time or "")
    if len(text) < 6 or not text[:6].isdigit():
        return None
    return int(text[:2]) * 3600 + int(text[2:4]) * 60 + _number(text[4:])


def _read(path: Path, header: pydicom.Dataset, offset: int) -> Cine:
    _refuse(header, path.name)
    frames = DicomFrames(path, header, offset)
    times, time_notes = times_of(header, frames.shape[0])
    regions, region_notes = regions_of(header)
    pixel, pixel_notes = pixel_of(header, regions)
    notes = (*time_notes, *region_notes, *pixel_notes)
    if frames.photometric == "MONOCHROME1":
        notes += ("The gray values were stored inverted and were turned round.",)
    said = str(header.get("BurnedInAnnotation") or "").upper()
    burned_in = {"YES": True, "NO": False}.get(said)
    return Cine(frames, times, pixel, regions, path.name, notes, burned_in, taken_of(header), patient_of(header))


def taken_of(header: pydicom.Dataset) -> datetime | None:
    """When the examination began, or else the series or the image; None where no date is given."""
    for what in ("Study", "Series", "Acquisition", "Content"):
        date, time = (str(header.get(f"{what}{part}") or "").strip() for part in ("Date", "Time"))
        for text, pattern in ((date + time[:6], "%Y%m%d%H%M%S"), (date, "%Y%m%d")):
            try:
                return datetime.strptime(text, pattern)
            except ValueError:
                continue
    return None


def patient_of(header: pydicom.Dataset) -> str:
    """As Cine.patient: 16 bits of a hash of the patient's ID, else of the name, from which neither can be found."""
    for keyword in ("PatientID", "PatientName"):
        text = str(header.get(keyword) or "").replace("^", " ").strip().casefold()
        if text:
            return f"{keyword} {hashlib.sha256(text.encode()).hexdigest()[:4]}"
    return ""


def _header(path: Path) -> tuple[pydicom.Dataset, int]:
    """The data set without its pixels, and the place in the file at which these begin."""
    import pydicom
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    try:
        with warnings.catch_warnings(), open(path, "rb") as file:
            warnings.simplefilter("ignore")
            header = pydicom.dcmread(file, force=True, stop_before_pixels=True)
            element = file.read(12)
            place = file.tell()
    except OSError:
        raise
    except Exception as error:  # whatever a damaged file makes pydicom stumble over
        raise InputError(f"'{path.name}' is damaged or cut short; copy it again from the archive.") from error
    if len(element) < 12 and header.file_meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        raise InputError(f"'{path.name}' has no pixels or is cut short; copy it again from the archive.")
    return header, place if element[4:6] in (b"OB", b"OW") else place - 4


def _refuse(header: pydicom.Dataset, name: str) -> None:
    modality = str(header.get("Modality") or "")
    if modality in NOT_ULTRASOUND:
        raise InputError(f"'{name}' is {modality} where ultrasound (US) is needed; choose the ultrasound cine.")
    if not header.get("Rows") or not header.get("Columns"):
        raise InputError(f"'{name}' has no pixels; choose the ultrasound cine.")
    if frame_count(header) < 1:
        raise InputError(f"'{name}' has no frame; export the cine again.")


def times_of(header: pydicom.Dataset, count: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """Seconds (count,) from the first frame on, and what had to be assumed.

    The tag that FrameIncrementPointer names comes first; then FrameTimeVector, FrameTime, CineRate and
    RecommendedDisplayFrameRate.
    """
    if count == 1:
        return np.zeros(1), ()
    pointer = header.get("FrameIncrementPointer")
    pointers = [int(tag) for tag in np.atleast_1d(pointer)] if pointer is not None else []
    order = [FRAME_TIME, FRAME_TIME_VECTOR] if FRAME_TIME in pointers else [FRAME_TIME_VECTOR, FRAME_TIME]
    for tag in order:
        times = _vector_times(header, count) if tag == FRAME_TIME_VECTOR else _constant_times(header, count)
        if times is not None:
            return times, ()
    for keyword in ("CineRate", "RecommendedDisplayFrameRate"):
        rate = _number(header.get(keyword))
        if rate > 0:
            return steady_times(count, 1 / rate), (
                f"The time between frames is that of display ({rate:g} per second).",
            )
    note = f"The file does not say when its frames were taken; {NOMINAL_RATE:g} per second are assumed."
    return steady_times(count, 1 / NOMINAL_RATE), (note,)


def _vector_times(header: pydicom.Dataset, count: int) -> np.ndarray | None:
    """From the steps in milliseconds, of which the first is 0 and may be left out."""
    vector = header.get("FrameTimeVector")
    steps = np.array([_number(value) for value in np.atleast_1d(vector)]) if vector is not None else np.zeros(0)
    if len(steps) == count - 1:
        steps = np.concatenate([[0.0], steps])
    if len(steps) != count or not np.all(steps[1:] > 0):
        return None
    return np.cumsum(np.concatenate([[0.0], steps[1:]])) / 1000.0


def _constant_times(header: pydicom.Dataset, count: int) -> np.ndarray | None:
    step = _number(header.get("FrameTime"))
    return steady_times(count, step / 1000.0) if step > 0 else None


def _number(value: object) -> float:
    """A number of the header; 0 where there is none."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return 0.0
    return number if np.isfinite(number) else 0.0


def regions_of(header: pydicom.Dataset) -> tuple[tuple[Region, ...], tuple[str, ...]]:
    """The calibrated regions that lie in the image; where one leaves it, the image was cut or rescaled since.

    Then the pixel sizes of all are those of another image, and none is returned.
    """
    rows, columns = int(header.Rows), int(header.Columns)
    regions = []
    for item in header.get("SequenceOfUltrasoundRegions") or []:
        corners = [item.get(f"RegionLocation{name}") for name in ("MinX0", "MinY0", "MaxX1", "MaxY1")]
        if any(corner is None for corner in corners):
            continue
        x0, y0, x1, y1 = (int(corner) for corner in corners)
        # Some scanners give the end as the first pixel outside.
        if x1 > columns or y1 > rows:
            note = (
                f"A calibrated region ends at column {x1} and row {y1} of an image of {columns} columns, {rows} rows, "
                "so the image was cut or rescaled and its pixel size is not known."
            )
            return (), (note,)
        regions.append(
            Region(
                (x0, y0, min(x1, columns - 1), min(y1, rows - 1)),
                int(item.get("RegionSpatialFormat") or 0),
                int(item.get("RegionDataType") or 0),
                (int(item.get("PhysicalUnitsXDirection") or 0), int(item.get("PhysicalUnitsYDirection") or 0)),
                (_number(item.get("PhysicalDeltaX")), _number(item.get("PhysicalDeltaY"))),
            )
        )
    return tuple(regions), ()


def pixel_of(
    header: pydicom.Dataset, regions: tuple[Region, ...]
) -> tuple[tuple[float, float] | None, tuple[str, ...]]:
    """Row and column spacing in mm of the largest B-mode region, else of PixelSpacing; None where not known.

    A size that no ultrasound has (fields beyond 400 mm) is not believed.
    """
    tissue = [one for one in regions if one.is_tissue and one.pixel_mm is not None]
    if tissue:
        main = max(tissue, key=lambda one: one.area)
        notes = ()
        if any(not np.allclose(one.pixel_mm, main.pixel_mm, rtol=0.01) for one in tissue):
            notes = ("The image has several regions of different pixel size; that of the largest is used.",)
        x0, y0, x1, y1 = main.box
        return _believed(main.pixel_mm, (y1 - y0 + 1, x1 - x0 + 1), notes)
    was_rescaled = not regions and header.get("SequenceOfUltrasoundRegions")
    spacing = header.get("PixelSpacing")
    if spacing is None or len(spacing) != 2 or was_rescaled:
        return None, () if was_rescaled else ("The file does not tell the size of a pixel.",)
    return _believed((_number(spacing[0]), _number(spacing[1])), (int(header.Rows), int(header.Columns)), ())


def _believed(
    pixel: tuple[float, float], shape: tuple[int, int], notes: tuple[str, ...]
) -> tuple[tuple[float, float] | None, tuple[str, ...]]:
    row, column = pixel
    is_sound = all(FINEST_MM <= step <= COARSEST_MM for step in pixel)
    if is_sound and max(shape[0] * row, shape[1] * column) <= LONGEST_MM:
        return pixel, notes
    note = (
        f"The file gives pixels of {row:.3g} x {column:.3g} mm, a field of {shape[0] * row:.0f} x "
        f"{shape[1] * column:.0f} mm that no ultrasound has; the pixel size is not used."
    )
    return None, (*notes, note)
