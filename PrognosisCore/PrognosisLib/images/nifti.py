"""NIfTI-1 and NIfTI-2.

ITK refuses directions that are not orthonormal, so the geometry always comes from the header itself, shear and all.
Header layout: https://nifti.nimh.nih.gov/nifti-1 and nifti-2.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InputError
from .pixels import quiet

# what is stored per voxel, by NIfTI data type code; others (color, complex, 128 bit) are refused
TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
COLOR = {128, 2304}
MM_PER_UNIT = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
TEMPLATE_SPACE = 3  # codes from here on are standard spaces (Talairach, MNI), no longer the scanner's millimeters

# byte offsets and struct codes of the fields used, NIfTI-1 then NIfTI-2
FIELDS = {
    348: {
        "dim": (40, "8h"),
        "datatype": (70, "h"),
        "pixdim": (76, "8f"),
        "vox_offset": (108, "f"),
        "scaling": (112, "2f"),
        "units": (123, "B"),
        "codes": (252, "2h"),
        "quaternion": (256, "6f"),
        "srow": (280, "12f"),
    },
    540: {
        "dim": (16, "8q"),
        "datatype": (12, "h"),
        "pixdim": (104, "8d"),
        "vox_offset": (168, "q"),
        "scaling": (176, "2d"),
        "units": (500, "i"),
        "codes": (344, "2i"),
        "quaternion": (352, "6d"),
        "srow": (400, "12d"),
    },
}


@dataclass(frozen=True)
class Header:
    """What is needed of a NIfTI header. `shape` is (k, j, i); `dtype` has the file's byte order."""

    shape: tuple[int, int, int]
    dtype: np.dtype
    offset: int
    slope: float
    intercept: float
    ijk_to_ras: np.ndarray
    notes: tuple[str, ...]

    @property
    def scaled(self) -> bool:
        return self.slope != 1.0 or self.intercept != 0.0


def _open(path: Path):
    with open(path, "rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    return gzip.open(path) if zipped else open(path, "rb")


def _read(path: Path, size: int, to_end: bool = False) -> bytes:
    """The first `size` bytes, unzipped; `to_end` reads on to the checksum at the end of the file."""
    try:
        with _open(path) as file:
            start = file.read(size)
            while to_end and file.read(1 << 20):
                pass
            return start
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"'{path.name}' is cut short or damaged (gzip); copy or export it again.") from error


def read_header(path: Path) -> Header:
    """Parse and check the header of a .nii or .nii.gz file.

    Raises:
        InputError: not NIfTI, cut short, not one gray-value volume, or without a valid geometry.
    """
    path = Path(path)
    raw = _read(path, 540)
    for order in "<>":
        size = struct.unpack_from(f"{order}i", raw)[0] if len(raw) >= 348 else 0
        if size in FIELDS and len(raw) >= size:
            break
    else:
        raise InputError(f"'{path.name}' is not a NIfTI image; choose the image file or convert it again.")
    magic = raw[344:347] if size == 348 else raw[4:7]
    if magic not in (b"n+1", b"n+2"):
        raise InputError(f"'{path.name}' keeps its pixels in another file or is ANALYZE; convert it to .nii.gz.")
    fields = {key: struct.unpack_from(order + code, raw, at) for key, (at, code) in FIELDS[size].items()}
    shape = _shape(fields["dim"], path.name)
    kind = fields["datatype"][0]
    if kind in COLOR:
        raise InputError(f"'{path.name}' is a color image where one gray-value volume is needed; choose the original.")
    if kind not in TYPES:
        raise InputError(f"'{path.name}' stores complex or exotic values; export the magnitude image.")
    matrix, notes = _geometry(fields, shape, path.name)
    slope, intercept = fields["scaling"]
    if slope == 0 or not (math.isfinite(slope) and math.isfinite(intercept)):
        slope, intercept = 1.0, 0.0  # the standard: a slope of 0 means that the values are not scaled
    offset = int(fields["vox_offset"][0]) or size + 4
    return Header(shape, np.dtype(order + TYPES[kind]), offset, slope, intercept, matrix, notes)


def _shape(dim: tuple[int, ...], name: str) -> tuple[int, int, int]:
    count = dim[0]
    sizes = list(dim[1 : count + 1])
    if not 1 <= count <= 7 or min(sizes, default=0) < 1 or math.prod(sizes) > 2**33:
        raise InputError(f"'{name}' has impossible dimensions {tuple(sizes)} in its header; convert it again.")
    if math.prod(sizes[3:]) > 1:
        raise InputError(
            f"'{name}' has {' x '.join(map(str, sizes))} values (4-D or several components) where one gray-value "
            "volume is needed; export one volume of the series."
        )
    i, j, k = [*sizes, 1, 1][:3]
    return k, j, i


def _geometry(fields: dict[str, tuple], shape: tuple[int, int, int], name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """IJK-to-RAS from sform, qform or the voxel sizes, in that order, with notes on what is doubtful."""
    qform_code, sform_code = fields["codes"]
    pixdim = np.array(fields["pixdim"][1:4], dtype=float)
    sform = np.vstack([np.array(fields["srow"], dtype=float).reshape(3, 4), [0, 0, 0, 1]])
    qform = _qform(fields["quaternion"], pixdim, fields["pixdim"][0])
    notes = []
    if sform_code > 0 and not (sform_code >= TEMPLATE_SPACE and qform_code > 0):
        matrix = sform
    else:
        if not np.all(np.isfinite(pixdim)) or np.any(pixdim <= 0):
            raise InputError(f"'{name}' has a zero or negative voxel spacing {tuple(pixdim)}; export it again.")
        matrix = qform if qform_code > 0 else np.diag([*pixdim, 1.0])
    if qform_code <= 0 and sform_code <= 0:
        notes.append("the file stores no orientation: left, right, front and back are assumed")
    if qform_code > 0 and sform_code > 0:
        corner = np.array([shape[2], shape[1], shape[0], 1.0])
        shift = max(np.abs((sform - qform) @ corner).max(), np.abs((sform - qform)[:, 3]).max())
        if not shift < 1.0:
            used = "sform" if matrix is sform else "qform"
            notes.append(f"the file's two geometries (sform, qform) disagree: the {used} was used")
    unit = MM_PER_UNIT.get(int(fields["units"][0]) & 7, 1.0)
    matrix = matrix.copy()
    matrix[:3] *= unit
    if not np.all(np.isfinite(matrix)) or abs(np.linalg.det(matrix[:3, :3])) < 1e-9:
        raise InputError(f"'{name}' has a voxel spacing of zero or no valid geometry; export it again.")
    return matrix, tuple(notes)


def _qform(quaternion: tuple[float, ...], pixdim: np.ndarray, qfac: float) -> np.ndarray:
    """The rotation, voxel sizes and offset of the qform (method 2 of the NIfTI standard) as a matrix."""
    b, c, d = quaternion[:3]
    square = 1.0 - (b * b + c * c + d * d)
    if square < 1e-7:  # rounding: the vector part alone is the unit quaternion
        length = math.sqrt(b * b + c * c + d * d) or 1.0
        a, b, c, d = 0.0, b / length, c / length, d / length
    else:
        a = math.sqrt(square)
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - c * c - b * b],
        ]
    )
    matrix = np.eye(4)
    matrix[:3, :3] = rotation * (pixdim * [1.0, 1.0, -1.0 if qfac < 0 else 1.0])
    matrix[:3, 3] = quaternion[3:]
    return matrix


def read_pixels(path: Path, header: Header) -> np.ndarray:
    """The values (k, j, i) in native byte order, float32 where the header scales them.

    Raises:
        InputError: the file is cut short or damaged.
    """
    path = Path(path)
    array = None if header.scaled else _itk_pixels(path, header)
    if array is not None:
        return array
    count = math.prod(header.shape)
    end = header.offset + count * header.dtype.itemsize
    raw = _read(path, end, to_end=True)
    if len(raw) < end:
        raise InputError(f"'{path.name}' is cut short ({len(raw)} of {end} bytes); copy or export it again.")
    stored = np.frombuffer(raw, header.dtype, count, header.offset).reshape(header.shape)
    if header.scaled:
        return stored.astype(np.float32) * np.float32(header.slope) + np.float32(header.intercept)
    return stored.astype(header.dtype.newbyteorder("="))


def _itk_pixels(path: Path, header: Header) -> np.ndarray | None:
    """Gzipped values by ITK, whose zlib is several times faster than Python's; None where only Python will do.

    ITK fills what a damaged file lacks with zeros and says nothing, so length and checksum are compared here.
    """
    import SimpleITK as sitk

    with open(path, "rb") as file:
        if file.read(2) != b"\x1f\x8b":
            return None
        file.seek(-8, 2)
        checksum, length = struct.unpack("<2I", file.read(8))
    if length != (header.offset + math.prod(header.shape) * header.dtype.itemsize) % 2**32:
        return None
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO("NiftiImageIO")
    try:
        with quiet():
            array = sitk.GetArrayFromImage(reader.Execute())
    except RuntimeError:  # sheared geometry, which ITK refuses, or damage
        return None
    if array.dtype != header.dtype or zlib.crc32(array, zlib.crc32(_read(path, header.offset))) != checksum:
        return None
    return array.reshape(header.shape)
