"""Reading images from disk into Volumes, without Slicer: NIfTI, NRRD, MetaImage, DICOM files and folders."""

from __future__ import annotations

import hashlib
import math
import re
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError
from ..volume import Volume
from . import dicom, nifti
from .dicom import SeriesInfo, list_series
from .pixels import compact, quiet

if TYPE_CHECKING:
    import SimpleITK as sitk

__all__ = ["SeriesInfo", "ijk_to_ras_of", "list_series", "read_volume", "sha256_of"]

NIFTI = (".nii", ".nii.gz")
ITK = (".nrrd", ".nhdr", ".mha", ".mhd")
_SPACING = re.compile(rb"^(?:ElementSpacing|ElementSize|spacings)[ \t]*[=:][ \t]*(.+?)\r?$", re.MULTILINE)
_COMPRESSED = re.compile(rb"^CompressedData[ \t]*=[ \t]*True", re.MULTILINE | re.IGNORECASE)
_BIG_ENDIAN = re.compile(rb"^(?:BinaryData|Element)ByteOrderMSB[ \t]*=[ \t]*True", re.MULTILINE | re.IGNORECASE)
_DATA_FILE = re.compile(rb"^ElementDataFile[ \t]*=[ \t]*(.+?)\r?$", re.MULTILINE)


def ijk_to_ras_of(image: sitk.Image) -> np.ndarray:
    """IJK-to-RAS (4x4) of a SimpleITK image, whose own physical space is LPS."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) @ np.diag(image.GetSpacing())
    matrix[:3, 3] = image.GetOrigin()
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ matrix


def read_volume(path: str | Path, modality: str = "CT", series: str | None = None) -> Volume:
    """One image as a Volume: integers stay integers (int16 where they fit), scaled values become int16 or float32.

    Args:
        path: .nii, .nii.gz, .nrrd, .nhdr, .mha, .mhd, a DICOM file, a DICOMDIR, or a folder of one DICOM series
            (subfolders too).
        modality: what the image is needed as ("CT", "MR", "US"); DICOM that says otherwise is refused. The other
            formats do not store it: see `checks.check_ct`.
        series: SeriesInstanceUID to read where a folder holds several.

    Raises:
        InputError: with one sentence that says why the image cannot be read right, and what to do.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return dicom.read_folder(path, modality, series)
        with open(path, "rb") as file:
            start = file.read(132)
        name = path.name.lower()
        if not start:
            raise InputError(f"'{path.name}' is empty; copy it again.")
        if name.endswith(NIFTI):
            return _read_nifti(path, modality)
        if name.endswith(ITK):
            return _read_itk(path, modality)
        if dicom.is_dicom(path):
            return dicom.read_file(path, modality, series)
    except FileNotFoundError as error:
        raise InputError(f"There is no file or folder '{path}'; check the path.") from error
    except PermissionError as error:
        raise InputError(
            f"'{error.filename or path}' may not be read (no permission); ask its owner for access."
        ) from error
    except OSError as error:
        raise InputError(f"'{path}' cannot be read ({error.strerror or error}); copy it again.") from error
    raise InputError(
        f"'{path.name}' is not an image that can be read; give NIfTI (.nii, .nii.gz), NRRD, MetaImage (.mha) or DICOM."
    )


def _read_nifti(path: Path, modality: str) -> Volume:
    header = nifti.read_header(path)
    array = nifti.read_pixels(path, header)
    if header.scaled and header.dtype.kind in "iu" and header.slope.is_integer() and header.intercept.is_integer():
        array = array.astype(np.int32)
    return Volume(compact(array), header.ijk_to_ras, modality, path.name, header.notes)


def _read_itk(path: Path, modality: str) -> Volume:
    """NRRD and MetaImage, whose direction cosines ITK keeps even where they are sheared."""
    import SimpleITK as sitk

    with open(path, "rb") as file:
        head = file.read(16384)
    _refuse_spacing(head, path.name)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        with quiet():
            reader.ReadImageInformation()
            size, components, kind = reader.GetSize(), reader.GetNumberOfComponents(), reader.GetPixelID()
            _refuse_kind(path.name, size, components, kind)
            image = reader.Execute()
    except RuntimeError as error:
        reason = "has a voxel spacing of zero" if "spacing" in str(error).lower() else "is not a valid image or damaged"
        raise InputError(f"'{path.name}' {reason}; copy or export it again.") from error
    if len(size) > 3:
        image = image[(slice(None),) * 3 + (0,) * (len(size) - 3)]
    array = sitk.GetArrayFromImage(image)
    if _COMPRESSED.search(head) and not _meta_intact(path, head, array):
        raise InputError(f"'{path.name}' is damaged (its checksum is wrong); copy or export it again.")
    return Volume(compact(array), ijk_to_ras_of(image), modality, path.name)


def _refuse_spacing(head: bytes, name: str) -> None:
    """Refuse a zero or negative spacing in the text header; MetaImage readers take a negative one for a flip."""
    for match in _SPACING.finditer(head):
        for word in match.group(1).split():
            try:
                value = float(word)
            except ValueError:
                continue
            if value <= 0:
                raise InputError(
                    f"'{name}' has a zero or negative voxel spacing ({value:g} mm); export it again with its spacing."
                )


def _meta_intact(path: Path, head: bytes, array: np.ndarray) -> bool:
    """Whether the values of a compressed MetaImage have the checksum stored with them, which ITK does not check."""
    data = _DATA_FILE.search(head)
    name = data.group(1).decode(errors="replace").strip() if data else "LOCAL"
    file_path = path if name.upper() == "LOCAL" else path.parent / name
    if not file_path.is_file():  # a list of files; each is compressed for itself
        return True
    with open(file_path, "rb") as file:
        file.seek(-4, 2)
        checksum = int.from_bytes(file.read(4), "big")
    stored = array.byteswap() if _BIG_ENDIAN.search(head) else array
    return zlib.adler32(np.ascontiguousarray(stored)) == checksum


def _refuse_kind(name: str, size: tuple[int, ...], components: int, kind: int) -> None:
    import SimpleITK as sitk

    if components > 1:
        raise InputError(
            f"'{name}' has {components} values per voxel (color, vector or 4-D) where one gray-value volume is needed; "
            "export one gray-value volume."
        )
    if kind in (sitk.sitkComplexFloat32, sitk.sitkComplexFloat64):
        raise InputError(f"'{name}' stores complex values; export the magnitude image.")
    if len(size) < 3:
        raise InputError(f"'{name}' is a single 2-D picture where a volume is needed; give the whole series.")
    if math.prod(size[3:]) > 1:
        raise InputError(
            f"'{name}' has {len(size)} dimensions ({' x '.join(map(str, size))}) where one gray-value volume is "
            "needed; export one volume of the series."
        )


def sha256_of(path: str | Path) -> str:
    """SHA-256 (hex) of a file's bytes, or of a folder: of its files' relative names and digests, sorted by name.

    Raises:
        InputError: the path does not exist or may not be read.
    """
    path = Path(path)
    try:
        if not path.is_dir():
            with open(path, "rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        whole = hashlib.sha256()
        for file_path in sorted(p for p in path.rglob("*") if p.is_file()):
            whole.update(f"{file_path.relative_to(path).as_posix()}\0{sha256_of(file_path)}\n".encode())
        return whole.hexdigest()
    except OSError as error:
        raise InputError(f"'{path}' cannot be read ({error.strerror or error}); check the path.") from error
