"""A cine: frames that are read when they are asked for, their times, the size of a pixel and its calibrated regions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import ClassVar, Protocol

import numpy as np

from ...errors import InputError
from ...volume import Grid

# A pixel is colored when its channels differ by more than this many of 255 (lossy compression makes up to about ten),
# and by more than this part of the largest, which the tint of a whole gray image stays below.
COLOR_SPREAD, COLOR_SATURATION = 24, 0.4
CENTIMETERS, SECONDS, HERTZ, CENTIMETERS_PER_SECOND = 3, 4, 5, 7
TWO_DIMENSIONAL, M_MODE, SPECTRAL = 1, 2, 3
TISSUE, COLOR_FLOW = 1, 2
# DICOM PS3.3 C.8.5.5.1, Region Data Type
DATA_TYPES = {
    1: "tissue",
    2: "color flow",
    3: "PW Doppler",
    4: "CW Doppler",
    5: "Doppler mean trace",
    6: "Doppler mode trace",
    7: "Doppler maximum trace",
    8: "volume trace",
    10: "ECG trace",
    11: "pulse trace",
    12: "phonocardiogram trace",
    13: "gray bar",
    14: "color bar",
}


class FrameSource(Protocol):
    """Where frames come from. `shape` is (t, j, i) for gray values or (t, j, i, 3) for red, green, blue."""

    shape: tuple[int, ...]
    dtype: np.dtype

    def iterate(self, indices: range, gray: bool = False) -> Iterator[np.ndarray]:
        """The frames of these numbers, ascending, one after the other; each array belongs to the caller.

        `gray`: gray values (j, i) of color frames too.
        """
        ...


class ArrayFrames:
    """Frames in memory: an array (t, j, i) or (t, j, i, 3) of uint8 or uint16, or a list of such frames of one kind."""

    def __init__(self, frames: np.ndarray | Sequence[np.ndarray]) -> None:
        self._frames = frames
        first = frames if isinstance(frames, np.ndarray) else frames[0]
        self.shape = first.shape if first is frames else (len(frames), *first.shape)
        self.dtype = first.dtype

    def iterate(self, indices: range, gray: bool = False) -> Iterator[np.ndarray]:
        """The frames of these numbers, ascending, one after the other."""
        for index in indices:
            frame = self._frames[index].copy()
            yield to_gray(frame) if gray else frame


class JoinedFrames:
    """The frames of several sources of the same kind, one after the other."""

    def __init__(self, sources: Sequence[FrameSource]) -> None:
        self._sources = list(sources)
        first = self._sources[0]
        counts = [source.shape[0] for source in self._sources]
        self._places = [
            (source, number) for source, count in zip(sources, counts, strict=True) for number in range(count)
        ]
        self.shape, self.dtype = (sum(counts), *first.shape[1:]), first.dtype

    def iterate(self, indices: range, gray: bool = False) -> Iterator[np.ndarray]:
        """The frames of these numbers, ascending, one after the other."""
        for index in indices:
            source, number = self._places[index]
            yield from source.iterate(range(number, number + 1), gray)


@dataclass(frozen=True)
class Region:
    """A calibrated region of an ultrasound image (DICOM PS3.3 C.8.5.5), in pixels of the image.

    Args:
        box: first column, first row, last column, last row, all inside.
        spatial_format: 1 two-dimensional, 2 M-mode, 3 spectral, 4 wave form, 5 graphics.
        data_type: see DATA_TYPES.
        units: codes of the physical units along x and y: 3 cm, 4 s, 5 Hz, 7 cm/s.
        delta: size of a pixel along x and y in these units, as stored: negative where the axis points back.
    """

    box: tuple[int, int, int, int]
    spatial_format: int
    data_type: int
    units: tuple[int, int]
    delta: tuple[float, float]

    @property
    def kind(self) -> str:
        """What the region shows, in words."""
        if self.spatial_format == M_MODE:
            return "M-mode"
        if self.spatial_format == SPECTRAL and self.data_type not in (3, 4):
            return "spectral Doppler"
        return DATA_TYPES.get(self.data_type, "not calibrated")

    @property
    def is_tissue(self) -> bool:
        """Whether it is a B-mode image, also one under a color flow box."""
        return self.spatial_format == TWO_DIMENSIONAL and self.data_type in (TISSUE, COLOR_FLOW)

    @property
    def pixel_mm(self) -> tuple[float, float] | None:
        """Size of a pixel along a column and along a row (row spacing, column spacing) in mm; None without lengths."""
        if self.units != (CENTIMETERS, CENTIMETERS) or not all(0 < abs(step) < 100 for step in self.delta):
            return None
        return 10.0 * abs(self.delta[1]), 10.0 * abs(self.delta[0])

    @property
    def area(self) -> int:
        """Number of pixels."""
        x0, y0, x1, y1 = self.box
        return max(0, x1 - x0 + 1) * max(0, y1 - y0 + 1)

    @property
    def slices(self) -> tuple[slice, slice]:
        """The region as (row, column) slices of a frame."""
        x0, y0, x1, y1 = self.box
        return slice(y0, y1 + 1), slice(x0, x1 + 1)


@dataclass(frozen=True)
class Cine:
    """One film. Frames stay in their file until they are asked for, so that memory does not grow with its length.

    Args:
        source: the frames; (t, j, i) uint8 or uint16 gray values, or (t, j, i, 3) uint8 red, green, blue.
        times_s: (t,) seconds from the first frame, ascending.
        pixel_mm: row spacing and column spacing in mm, or None where the file does not tell.
        regions: calibrated regions, of DICOM only.
        name: for messages.
        notes: in words, what reading assumed or changed, for the flags.
        burned_in: whether the file says that text about the patient is in the pixels; None where it does not say.
        taken: when the examination began; None where the file does not tell.
        patient: tells films of two patients apart, and no more: equal for one patient, and for one pair in 65,536 of
            two; empty where the file does not tell.

    Raises:
        InputError: no frame, or times that do not fit the frames or do not ascend.
    """

    source: FrameSource
    times_s: np.ndarray
    pixel_mm: tuple[float, float] | None = None
    regions: tuple[Region, ...] = ()
    name: str = "cine"
    notes: tuple[str, ...] = field(default=())
    burned_in: bool | None = None
    taken: datetime | None = None
    patient: str = ""
    modality: ClassVar[str] = "US"

    def __post_init__(self) -> None:
        shape = self.source.shape
        if len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] != 3) or self.source.dtype.kind != "u":
            raise InputError(
                f"'{self.name}' is no film of gray or color frames (array of {shape}); export it as DICOM or video."
            )
        if 0 in shape:
            raise InputError(f"'{self.name}' has no frame; export the cine again.")
        times = np.asarray(self.times_s, dtype=float)
        if times.shape != shape[:1] or not np.all(np.isfinite(times)) or np.any(np.diff(times) <= 0):
            raise InputError(f"The times of '{self.name}' do not ascend from frame to frame; export the cine again.")
        object.__setattr__(self, "times_s", times)

    def __len__(self) -> int:
        return self.source.shape[0]

    @property
    def frame_shape(self) -> tuple[int, int]:
        """Rows and columns of a frame."""
        return self.source.shape[1:3]

    @property
    def nbytes(self) -> int:
        """Size in bytes of all frames, in memory or not."""
        return math.prod(self.source.shape) * self.source.dtype.itemsize

    @property
    def is_color(self) -> bool:
        """Whether frames have red, green and blue values (which may be equal)."""
        return len(self.source.shape) == 4

    @property
    def frame_rate(self) -> float | None:
        """Frames per second, from the median step between frames; None for a single frame."""
        return float(1.0 / np.median(np.diff(self.times_s))) if len(self) > 1 else None

    @property
    def ijk_to_ras(self) -> np.ndarray:
        """4x4 matrix of one frame as a one-slice volume: i to the left, j to the back, as images without a place have.

        1 mm pixels where their size is unknown.
        """
        row, column = self.pixel_mm or (1.0, 1.0)
        return np.diag([-column, -row, 1.0, 1.0])

    @property
    def grid(self) -> Grid:
        """The lattice (t, j, i) of its masks and heat maps: k is the number of the frame, one frame is 1 "mm".

        Those may be coarser in the plane, with another spacing and origin, but have all frames.
        """
        return Grid((len(self), *self.frame_shape), self.ijk_to_ras)

    def frame(self, index: int, gray: bool = False) -> np.ndarray:
        """One frame as it is shown, (j, i) or (j, i, 3), or its gray values. Negative numbers count from the end."""
        number = index + len(self) if index < 0 else index
        if not 0 <= number < len(self):
            raise IndexError(f"'{self.name}' has {len(self)} frames; there is no frame {index}.")
        return next(self.source.iterate(range(number, number + 1), gray))

    def frames(self, start: int = 0, stop: int | None = None, step: int = 1) -> Iterator[np.ndarray]:
        """The frames from `start` up to `stop` as they are shown, one at a time."""
        return self.source.iterate(range(len(self))[start:stop:step])

    def gray_frames(self, start: int = 0, stop: int | None = None, step: int = 1) -> Iterator[np.ndarray]:
        """The same as gray values (j, i)."""
        return self.source.iterate(range(len(self))[start:stop:step], gray=True)

    def window(self, start: int, stop: int) -> np.ndarray:
        """Gray values (t, j, i) of the frames from `start` up to `stop`, in memory."""
        return np.stack(list(self.gray_frames(start, stop)))

    def sampled(self, count: int) -> list[int]:
        """Numbers of up to `count` frames spread evenly from the first to the last."""
        return sorted({round(float(n)) for n in np.linspace(0, len(self) - 1, min(count, len(self)))})

    def sample(self, count: int) -> np.ndarray:
        """Gray values (n, j, i) of up to `count` frames spread evenly."""
        return np.stack([self.frame(index, gray=True) for index in self.sampled(count)])

    def noted(self, *notes: str) -> Cine:
        """The same with further notes."""
        return replace(self, notes=(*self.notes, *notes))


def to_gray(frame: np.ndarray) -> np.ndarray:
    """Gray values (..., j, i) of frames with red, green and blue as the last axis; gray frames come back as they are.

    ITU-R BT.601 luma in whole numbers, which is exact where the three are equal.
    """
    if frame.ndim < 3 or frame.shape[-1] != 3:
        return frame
    red, green, blue = (frame[..., channel].astype(np.uint32) for channel in range(3))
    return ((299 * red + 587 * green + 114 * blue + 500) // 1000).astype(frame.dtype)


def as_gray_values(array: np.ndarray, name: str) -> np.ndarray:
    """The same values as uint8 or uint16; `name` is that of the image, for the message.

    Raises:
        InputError: they are not whole, negative or beyond 16 bits.
    """
    if array.dtype in (np.uint8, np.uint16):
        return array
    low, high = (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)
    is_whole = array.dtype.kind in "iu" or bool(np.all(array == np.rint(array)))
    if not is_whole or low < 0 or high > 65535:
        raise InputError(
            f"'{name}' has values from {low:g} to {high:g}, which are no gray values of 8 or 16 bits; export it again."
        )
    return array.astype(np.uint8 if high <= 255 else np.uint16)


def colored(frame: np.ndarray) -> np.ndarray:
    """Where (j, i) a frame (j, i, 3) of uint8 has color rather than gray or a slight tint, bool."""
    high = frame.max(axis=-1).astype(np.int16)
    return high - frame.min(axis=-1) > np.maximum(COLOR_SPREAD, COLOR_SATURATION * high)


def steady_times(count: int, step_s: float) -> np.ndarray:
    """Times (count,) in seconds at a constant step."""
    return np.arange(count, dtype=float) * step_s
