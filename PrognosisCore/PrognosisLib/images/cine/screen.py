"""What a network must not see of an ultrasound screen, and what must not leave the machine: text, rulers, marks."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from .cine import Cine, to_gray
from .sector import SAMPLES, Sector, colored_area, find_sector

# A mark changes less than this part of what changes around it, and is this much brighter than that.
STILL_PART, BRIGHTER = 0.25, 30
LARGEST_MARK_SHARE = 0.01
TEXT_LEVEL, TEXT_SHARE = 60, 5e-4


@dataclass(frozen=True)
class Screen:
    """The parts of a cine's frames.

    Args:
        sector: the ultrasound image.
        marks: bool (j, i), burned-in marks inside the sector: calipers, text, colored lines.
        has_text: whether there is text or anything else lit outside the sector.
        burned_in: what the file itself says about patient data in the pixels; None where it says nothing.
    """

    sector: Sector
    marks: np.ndarray
    has_text: bool
    burned_in: bool | None = field(default=None)

    @property
    def may_name_patient(self) -> bool:
        """Whether the frames may hold patient data, so that only `blanked` ones may be exported."""
        return self.burned_in is True or (self.has_text and self.burned_in is None)

    def blanked(self, frame: np.ndarray) -> np.ndarray:
        """A frame, gray or color, with everything outside the sector black. For export."""
        inside = self.sector.mask if frame.ndim == 2 else self.sector.mask[..., None]
        return np.where(inside, frame, frame.dtype.type(0))

    def seen(self, frame: np.ndarray) -> np.ndarray:
        """Gray values (j, i) as a network may see them: black outside the sector, marks filled from beside them."""
        gray = to_gray(frame)
        if self._around is not None:
            gray = gray[self._around]
        return np.where(self.sector.mask, gray, gray.dtype.type(0))

    @cached_property
    def _around(self) -> tuple[np.ndarray, np.ndarray] | None:
        """For every pixel the nearest one of the sector that is no mark (itself mostly); None without marks."""
        from scipy.ndimage import distance_transform_edt

        if not self.marks.any():
            return None
        usable = self.sector.mask & ~self.marks
        rows, columns = distance_transform_edt(~usable, return_distances=False, return_indices=True)
        return rows, columns


def find_screen(cine: Cine) -> Screen:
    """Sector, marks and text of a cine.

    Raises:
        InputError: nothing in the frames looks like an ultrasound image.
    """
    sample = cine.sample(SAMPLES)
    sector = find_sector(cine, sample)
    marks = still_marks(sample, sector.mask) | (colored_area(cine) & sector.mask)
    return Screen(sector, _grown(marks) & sector.mask, has_text(sample, sector.mask), cine.burned_in)


def still_marks(frames: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Bright small things inside (j, i) that stand still while the image around them moves.

    In a single image, or where nothing moves, marks cannot be told from bright tissue: none are found then.
    """
    from scipy.ndimage import label, uniform_filter

    low, high = frames.min(axis=0).astype(np.float32), frames.max(axis=0).astype(np.float32)
    spread = high - low
    if len(frames) < 3 or np.median(spread[inside]) < 4:
        return np.zeros_like(inside)
    size = max(5, int(0.04 * min(inside.shape)) | 1)
    weight = np.maximum(uniform_filter(inside.astype(np.float32), size), 1e-3)
    spread_around = uniform_filter(spread * inside, size) / weight
    light_around = uniform_filter((low + high) / 2 * inside, size) / weight
    scale = 1.0 if frames.dtype == np.uint8 else max(1.0, float(frames.max()) / 255.0)
    found = inside & (spread < STILL_PART * spread_around) & (low > light_around + BRIGHTER * scale)
    parts, count = label(found, np.ones((3, 3), int))
    if count:
        sizes = np.bincount(parts.ravel())
        sizes[0] = 0
        found &= (sizes <= LARGEST_MARK_SHARE * inside.sum())[parts]
    return found


def has_text(frames: np.ndarray, inside: np.ndarray) -> bool:
    """Whether enough pixels well outside the sector are lit."""
    from scipy.ndimage import binary_dilation

    scale = 1 if frames.dtype == np.uint8 else max(1, int(frames.max()) // 255)
    rim = max(2, int(0.02 * min(inside.shape)))
    outside = ~binary_dilation(inside, iterations=rim)
    lit = frames.max(axis=0)[outside] // scale > TEXT_LEVEL
    return int(np.count_nonzero(lit)) > TEXT_SHARE * inside.size


def _grown(marks: np.ndarray) -> np.ndarray:
    from scipy.ndimage import binary_dilation

    return binary_dilation(marks, np.ones((3, 3), bool)) if marks.any() else marks
