"""Any file or folder that holds a cine, read as a Cine."""

from __future__ import annotations

from pathlib import Path

from ...errors import InputError
from .. import dicom
from . import stills, video
from .cine import Cine
from .dicom_cine import read_dicom_cine, read_dicom_stills


def read_cine(path: str | Path) -> Cine:
    """One cine; its frames stay in the file until they are asked for.

    Args:
        path: an ultrasound DICOM file, a video (.mp4, .avi, .h264, ...), .nrrd or .seq.nrrd, one image, a folder of
            numbered images (.png, .jpg, .bmp, .tif) or of single DICOM images of one series, or a folder with one
            DICOM file or video.

    Raises:
        InputError: with one sentence that says why it cannot be read, and what to do.
    """
    path = Path(path).absolute()  # its frames may be read later, in a process that works in another folder
    try:
        if path.is_dir():
            return _read_folder(path)
        with open(path, "rb") as file:
            start = file.read(132)
        name = path.name.lower()
        if not start:
            raise InputError(f"'{path.name}' is empty; copy it again.")
        if name.endswith(stills.SEQUENCES):
            return stills.read_nrrd_cine(path)
        if name.endswith(video.SUFFIXES):
            return video.read_video(path)
        if name.endswith(stills.SUFFIXES):
            return stills.read_still(path)
        if dicom.is_dicom(path):
            return read_dicom_cine(path)
    except FileNotFoundError as error:
        raise InputError(f"There is no file or folder '{path}'; check the path.") from error
    except PermissionError as error:
        raise InputError(
            f"'{error.filename or path}' may not be read (no permission); ask its owner for access."
        ) from error
    except OSError as error:
        raise InputError(f"'{path}' cannot be read ({error.strerror or error}); copy it again.") from error
    raise InputError(
        f"'{path.name}' is no cine that can be read; give ultrasound DICOM, a video (.mp4, .avi), .seq.nrrd or a "
        "folder of numbered images."
    )


def _read_folder(folder: Path) -> Cine:
    found = stills.read_stills(folder)
    if found is not None:
        return found
    files = sorted(path for path in folder.iterdir() if path.is_file())
    cines = [
        path
        for path in files
        if path.name.lower().endswith((*video.SUFFIXES, *stills.SEQUENCES)) or dicom.is_dicom(path)
    ]
    if len(cines) == 1:
        return read_cine(cines[0])
    if cines and all(dicom.is_dicom(path) for path in cines):
        return read_dicom_stills(cines, folder.name)
    if cines:
        raise InputError(f"'{folder.name}' holds {len(cines)} cines where one is needed; give the file of one.")
    raise InputError(f"'{folder.name}' holds no cine; give a DICOM file, a video or a folder of numbered images.")
