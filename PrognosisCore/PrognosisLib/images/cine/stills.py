"""Cines from numbered images in a folder and from NRRD (a sequence of Slicer, or frames as the slices of a volume)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import InputError
from ..pixels import quiet
from .cine import ArrayFrames, Cine, as_gray_values, steady_times, to_gray

if TYPE_CHECKING:
    import SimpleITK as sitk

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
SEQUENCES = (".nrrd", ".nhdr")
NOMINAL_RATE = 25.0
# Where ITK keeps the unit of a sequence's index: of gray and of color sequences.
UNITS = ("NRRD_units[pixel]", "NRRD_units[3]")
_NUMBER = re.compile(r"(\d+)")


class StillFrames:
    """One image file for each frame, read when it is asked for."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths
        first = _still(paths[0])
        self.shape, self.dtype = (len(paths), *first.shape), first.dtype

    def iterate(self, indices: range, gray: bool = False) -> Iterator[np.ndarray]:
        """The frames of these numbers, ascending, one after the other."""
        for index in indices:
            frame = _still(self.paths[index])
            if frame.shape != self.shape[1:] or frame.dtype != self.dtype:
                raise InputError(_differs(self.paths[index], frame.shape, self.paths[0], self.shape[1:]))
            yield to_gray(frame) if gray else frame


def read_stills(folder: Path) -> Cine | None:
    """The images of a folder in the order of the last number in their names; None where it holds none.

    Raises:
        InputError: one cannot be read, or they differ in size.
    """
    paths = sorted((p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES), key=_order)
    if not paths:
        return None
    sizes = [_size(path) for path in paths]
    for path, size in zip(paths, sizes, strict=True):
        if size != sizes[0]:
            raise InputError(_differs(path, size, paths[0], sizes[0]))
    notes = [f"The images have no times; {NOMINAL_RATE:g} per second are assumed."]
    numbers = [_last_number(path) for path in paths]
    known = [number for number in numbers if number is not None]
    if len(known) == len(paths) > 1:
        missing = sorted(set(range(known[0], known[-1] + 1)) - set(known)) if known[-1] - known[0] < 10**6 else []
        if missing and len(missing) < len(paths):
            notes.append(f"{len(missing)} numbers are missing among the images, the first is {missing[0]}.")
    frames = StillFrames(paths)
    return Cine(frames, steady_times(len(paths), 1 / NOMINAL_RATE), None, (), folder.name, tuple(notes))


def read_still(path: Path) -> Cine:
    """One image as a cine of one frame."""
    return Cine(StillFrames([path]), np.zeros(1), None, (), path.name)


def read_nrrd_cine(path: Path) -> Cine:
    """A NRRD file: a sequence of volumes of one slice each, gray or color, or a volume whose slices are frames.

    It is compressed as a whole, so all of it is read into memory.

    Raises:
        InputError: damaged, or volumes of several slices, or values that are no gray values.
    """
    import SimpleITK as sitk

    try:
        with quiet():
            image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise InputError(f"'{path.name}' is not a valid image or damaged; copy or export it again.") from error
    array, notes = _frames_of(image, path.name), ()
    column, row = image.GetSpacing()[:2]
    pixel = None if row == column == 1.0 else (row, column)
    if pixel is None:
        notes += ("The file does not tell the size of a pixel (1 mm is what is written where it is not known).",)
    times = _index_times(image, len(array))
    if times is None:
        times = steady_times(len(array), 1 / NOMINAL_RATE)
        notes += (f"The file does not say when its frames were taken; {NOMINAL_RATE:g} per second are assumed.",)
    return Cine(ArrayFrames(array), times, pixel, (), path.name, notes)


def _frames_of(image: sitk.Image, name: str) -> np.ndarray:
    """Frames (t, j, i) or (t, j, i, 3) of what ITK read."""
    import SimpleITK as sitk

    array = sitk.GetArrayFromImage(image)
    components = image.GetNumberOfComponentsPerPixel()
    size = image.GetSize()
    is_sequence = any("index values" in key or key == "DataNodeClassName" for key in image.GetMetaDataKeys())
    if len(size) == 4 and size[2] == 1 and components in (1, 3):  # color sequence: (t, 1, j, i, 3)
        array = array[:, 0]
    elif is_sequence and len(size) == 3 and size[2] == 1:  # scalar sequence: ITK takes the list axis for components
        array = np.moveaxis(array[0].reshape(*array.shape[1:3], components), -1, 0)
    elif not (len(size) == 3 and components in (1, 3)):
        raise InputError(
            f"'{name}' ({' x '.join(map(str, size))}, {components} values per pixel) is no sequence of flat images; "
            "give a cine."
        )
    return as_gray_values(np.ascontiguousarray(array), name)


def _index_times(image: sitk.Image, count: int) -> np.ndarray | None:
    """Index values of a sequence of Slicer as seconds from the first frame; None where it has none in time."""
    for key in image.GetMetaDataKeys():
        if not key.endswith("index values"):
            continue
        try:
            values = np.array([float(word) for word in re.split(r"[\s,]+", image.GetMetaData(key).strip()) if word])
        except ValueError:
            return None
        units = [image.GetMetaData(name) for name in UNITS if image.HasMetaDataKey(name)]
        scale = {"s": 1.0, "ms": 1e-3}.get(units[0] if units else "s")
        if scale is not None and values.shape == (count,) and np.all(np.diff(values) > 0):
            return (values - values[0]) * scale
    return None


def _still(path: Path) -> np.ndarray:
    """One image as (j, i) or (j, i, 3); an alpha channel is dropped."""
    import SimpleITK as sitk

    try:
        with quiet():
            image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise InputError(f"'{path.name}' is not a valid image or damaged; copy or export it again.") from error
    array = sitk.GetArrayFromImage(image)
    if image.GetDimension() == 3:
        array = array[0]
    if array.ndim == 3:
        array = array[..., 0] if array.shape[-1] == 2 else array[..., :3]
    return np.ascontiguousarray(as_gray_values(array, path.name))


def _size(path: Path) -> tuple[int, ...]:
    """Rows and columns from the header."""
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        with quiet():
            reader.ReadImageInformation()
    except RuntimeError as error:
        raise InputError(f"'{path.name}' is not a valid image or damaged; copy or export it again.") from error
    return reader.GetSize()[1::-1]


def _differs(path: Path, size: tuple[int, ...], first: Path, expected: tuple[int, ...]) -> str:
    return (
        f"'{path.name}' has {size[1]} x {size[0]} pixels where '{first.name}' has {expected[1]} x {expected[0]}, or "
        "another kind of values; give the frames of one cine."
    )


def _order(path: Path) -> list[tuple[int, int | str]]:
    """Sorts names with their numbers as numbers."""
    return [(0, int(part)) if part.isdigit() else (1, part.lower()) for part in _NUMBER.split(path.stem)]


def _last_number(path: Path) -> int | None:
    found = _NUMBER.findall(path.stem)
    return int(found[-1]) if found else None
