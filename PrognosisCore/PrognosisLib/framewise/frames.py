"""Frames one after the other on the networks' lattice, and whether a frame shows liver enough."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..images.cine.cine import Cine
from ..images.cine.screen import Screen
from .lattice import PIXEL_MM, FrameLattice

FEWEST_LIVER_CM2 = 10.0
DARK_GRAY = 6.0  # mean over the liver, of 255
SMALLEST_PIECE = 0.15  # of the largest one; smaller ones are no liver


def lattice_frames(
    cine: Cine, screen: Screen, lattice: FrameLattice, batch: int = 16
) -> Iterator[tuple[list[int], np.ndarray]]:
    """Numbers and gray values 0..255 (n, 160, 192) of the frames, `batch` at a time."""
    scale = gray_scale(cine)
    numbers, frames = [], []
    for number, frame in enumerate(cine.gray_frames()):
        numbers.append(number)
        frames.append(lattice(screen.seen(frame)) * np.float32(scale))
        if len(frames) == batch or number == len(cine) - 1:
            yield numbers, np.stack(frames)
            numbers, frames = [], []


def gray_scale(cine: Cine) -> float:
    """Takes deeper gray values to 0..255."""
    if cine.source.dtype == np.uint8:
        return 1.0
    top = max(float(frame.max()) for frame in cine.sample(5))
    return 255.0 / (2.0 ** np.ceil(np.log2(max(top, 255.0) + 1.0)) - 1.0)


def keep_pieces(liver: np.ndarray) -> np.ndarray:
    """Without holes' rims and specks: pieces of at least SMALLEST_PIECE of the largest one, (j, i) bool."""
    from scipy.ndimage import label

    pieces, count = label(liver)
    if count < 2:
        return liver
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return (sizes >= SMALLEST_PIECE * sizes.max())[pieces] & (pieces > 0)


def frame_reason(area_cm2: float, gray: float) -> str:
    """Why a frame cannot be used, or nothing."""
    if area_cm2 < FEWEST_LIVER_CM2:
        return "little or no liver in view"
    return "too dark" if gray < DARK_GRAY else ""


def liver_facts(liver: np.ndarray, gray: np.ndarray) -> tuple[float, float]:
    """Area in cm2 and mean gray value 0..255 of a liver (j, i) bool on the lattice; both 0 where there is none."""
    area = float(liver.sum()) * PIXEL_MM**2 / 100.0
    return area, float(gray[liver].mean()) if area else 0.0
