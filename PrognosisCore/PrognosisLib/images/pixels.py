"""Pixel values: compact types, silent image libraries, and the decoding and rescaling of DICOM pixels."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError
from ..volume import AIR_HU

if TYPE_CHECKING:
    import pydicom

_stderr_lock = threading.Lock()
MAX_HU = 3071.0


def compact(array: np.ndarray) -> np.ndarray:
    """The same values in native byte order and a small type: integers as int16 where they fit, float64 as float32."""
    kind, size = array.dtype.kind, array.dtype.itemsize
    if kind == "f":
        return array.astype(np.float32, copy=False)
    if kind in "iu" and (size > 2 or (kind == "u" and size == 2)):
        low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
        if low >= -32768 and high <= 32767:
            return array.astype(np.int16)
        # a SimpleITK image of these is as good as any other, and so is its interpolation
        return array.astype(np.int32 if high < 2**31 and low >= -(2**31) else np.float32, copy=False)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what image libraries written in C print (warnings, codec messages) away from the console."""
    import SimpleITK as sitk

    with _stderr_lock:
        shown = sitk.ProcessObject.GetGlobalWarningDisplay()
        sitk.ProcessObject.SetGlobalWarningDisplay(False)
        try:
            kept = os.dup(2)
        except OSError:  # an application without a console has no such descriptor
            kept = None
        try:
            if kept is not None:
                with open(os.devnull, "wb") as nowhere:
                    os.dup2(nowhere.fileno(), 2)
            yield
        finally:
            if kept is not None:
                os.dup2(kept, 2)
                os.close(kept)
            sitk.ProcessObject.SetGlobalWarningDisplay(shown)


def decode(path: Path) -> np.ndarray:
    """Stored values (frame, row, column) of one gray-value DICOM file.

    pydicom with its plugins first; where those fail, or are not installed, GDCM as it comes with SimpleITK.

    Raises:
        InputError: damaged, cut short, or compressed in a way that no decoder here knows.
    """
    import pydicom

    try:
        dataset = pydicom.dcmread(path, force=True)
        if "PixelData" not in dataset:
            raise InputError(f"'{path.name}' has no pixels or is cut short; copy it again from the archive.")
    except (OSError, InputError):
        raise
    except Exception as error:  # whatever a damaged file makes pydicom stumble over
        raise InputError(f"'{path.name}' is damaged or cut short; copy it again from the archive.") from error
    if "TransferSyntaxUID" not in dataset.file_meta:
        dataset.file_meta.TransferSyntaxUID = bare_syntax(dataset)
    try:
        with quiet():
            frames = _whole_bits(dataset.pixel_array, dataset)
    except Exception as error:  # plugins raise whatever they like
        compressed = dataset.file_meta.TransferSyntaxUID.is_compressed
        frames = _decode_all_gdcm(dataset) if compressed else None
        if frames is None:
            raise InputError(why_undecodable(path, dataset)) from error
    return frames.reshape(-1, *frames.shape[-2:])


def bare_syntax(dataset: pydicom.Dataset) -> str:
    """The transfer syntax of a data set without file header, from the encoding that was found."""
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    implicit, little = dataset.original_encoding
    if implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if little else ExplicitVRBigEndian


def decode_gdcm(header: pydicom.Dataset, encoded: Iterable[bytes]) -> list[np.ndarray] | None:
    """Compressed frames (row, column) or (row, column, 3) by GDCM as it comes with SimpleITK, or None where it fails.

    Each goes through a file of its own without a rescale slope, which GDCM would apply to the values, and without a
    palette. Color becomes red, green, blue.
    """
    import SimpleITK as sitk
    from pydicom.dataset import Dataset
    from pydicom.encaps import encapsulate

    frames = []
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    try:
        single = Dataset()
        single.file_meta = header.file_meta
        single.SOPClassUID, single.SOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
        for keyword in ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"):
            single[keyword] = header[keyword]
        samples = int(header.get("SamplesPerPixel") or 1)
        single.SamplesPerPixel, single.PhotometricInterpretation = samples, "MONOCHROME2"
        if samples > 1:
            single.PhotometricInterpretation = header.PhotometricInterpretation
            single.PlanarConfiguration = int(header.get("PlanarConfiguration") or 0)
        shape = (header.Rows, header.Columns, *([samples] if samples > 1 else []))
        with tempfile.TemporaryDirectory() as folder, quiet():
            reader.SetFileName(str(Path(folder, "frame.dcm")))
            for frame in encoded:
                single.PixelData = encapsulate([frame])
                single.save_as(reader.GetFileName(), enforce_file_format=True)
                frames.append(sitk.GetArrayFromImage(reader.Execute()).reshape(shape))
    except (RuntimeError, ValueError, KeyError, AttributeError, EOFError, TypeError):
        return None
    return frames


def _decode_all_gdcm(dataset: pydicom.Dataset) -> np.ndarray | None:
    """All frames of a compressed gray-value data set by GDCM."""
    from pydicom.encaps import generate_frames

    count = int(dataset.get("NumberOfFrames") or 1)
    try:
        encoded = list(generate_frames(dataset.PixelData, number_of_frames=count))
    except (ValueError, EOFError):
        return None
    frames = decode_gdcm(dataset, encoded)
    return np.stack(frames) if frames else None


def why_undecodable(path: Path, dataset: pydicom.Dataset) -> str:
    """The sentence for a file whose pixels no decoder here could decode."""
    from pydicom.pixels import get_decoder

    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax.is_compressed:
        try:
            available = get_decoder(syntax).is_available
        except NotImplementedError:
            available = False
        if not available:
            return (
                f"'{path.name}' is compressed ({syntax.name}) and no decoder for that is installed; "
                "install pylibjpeg with its plugins or export the series uncompressed."
            )
    return f"'{path.name}' is damaged or cut short: its pixels cannot be decoded; copy it again from the archive."


def _whole_bits(frames: np.ndarray, dataset: pydicom.Dataset) -> np.ndarray:
    """Stored values without what lies in the unused bits (overlays of old scanners)."""
    allocated, stored = int(dataset.BitsAllocated), int(dataset.BitsStored)
    high = int(dataset.get("HighBit", stored - 1))
    if not stored <= high + 1 <= allocated or allocated == stored or dataset.file_meta.TransferSyntaxUID.is_compressed:
        return frames
    frames = frames.astype(frames.dtype.newbyteorder("="), copy=False)
    # Shifting left and back right drops the upper bits and extends the sign.
    return (frames << (allocated - 1 - high)) >> (allocated - stored)


def real_values(frame: np.ndarray, slope: float, intercept: float, padding: float | None, modality: str) -> np.ndarray:
    """Real-world values of one frame of stored values; padding outside the field of view becomes air (CT) or 0.

    Integers where slope and intercept are whole, otherwise float32.
    """
    if slope.is_integer() and intercept.is_integer() and frame.dtype.itemsize <= 2 and abs(slope) < 2**14:
        values = frame.astype(np.int32) * int(slope) + int(intercept)
    else:
        values = (frame * slope + intercept).astype(np.float32)
    if padding is not None:
        values = _without_padding(values, padding * slope + intercept, modality)
    return compact(values)


def _without_padding(values: np.ndarray, padding: float, modality: str) -> np.ndarray:
    """Values with padding below every real value (or above any CT number) replaced by air (CT) or 0.

    A padding value inside the range of real values is left alone: it cannot be told from tissue. Lossy compression
    blurs padding, so everything beyond half way to it counts.
    """
    floor = AIR_HU if modality == "CT" else 0.0
    if padding < floor:
        return np.where(values < (padding + floor) / 2, values.dtype.type(floor), values)
    if modality == "CT" and padding > MAX_HU:
        return np.where(values == padding, values.dtype.type(floor), values)
    return values
