"""The liver's capsule in the frames: its length, its band, and how much of the Grad-CAM lies there.

The capsule is the mask's outline inside the ultrasound image; where the mask ends with the sector is no capsule.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from PrognosisLib.findings import Mask

from .evidence import AttentionMaps, Plane

# Half width of the band: what a cell of a coarse Grad-CAM can tell apart.
BAND_MM = 6.0
BAND_SHARE = 0.04  # of the sector's height, where the size of a pixel is not known
EDGE_SHARE = 0.02  # of the sector's height: an outline that close to the sector's edge is not the capsule's


@dataclass(frozen=True)
class CapsuleShare:
    """Parts 0..1 on the band: of each network's Grad-CAM, and of a map that is even over the liver and the band.

    The networks look at the liver and a rim around it only, so that the second is what no preference would give.
    """

    shares: dict[str, float]
    even: float


def inner_sector(mask: Mask, sector: Plane | None) -> np.ndarray:
    """The sector on the mask's lattice (j, i), without a rim at its edge; all of the frame where it is not known."""
    from scipy.ndimage import distance_transform_edt

    shape = mask.grid.shape[1:]
    if sector is None:
        return np.ones(shape, bool)
    inside = _laid_on(sector, shape, mask.grid.ijk_to_ras)
    rows = np.flatnonzero(inside.any(axis=1))
    rim = max(2.0, EDGE_SHARE * (rows[-1] - rows[0] + 1)) if len(rows) else 0.0
    return distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1] > rim


def capsule_lengths_mm(mask: Mask, sector: Plane | None) -> np.ndarray:
    """Length of the capsule in each frame of the mask's box (t,), from the outline's crossings with four directions.

    Cauchy's and Crofton's formula; mm where the mask's lattice is in mm.
    """
    inside, within = _padded(mask), _padded_plane(mask, inner_sector(mask, sector))
    column, row = mask.grid.spacing[:2]
    steps = [(0, 1), (1, 0), (1, 1), (1, -1)]
    directions = np.array([(i * column, j * row) for j, i in steps])
    weights = _angle_shares(directions)
    lengths = np.zeros(len(inside))
    for (j, i), direction, weight in zip(steps, directions, weights, strict=True):
        here, there = _neighbors(j, i)
        crossings = (inside[:, *here] != inside[:, *there]) & (within[here] & within[there])
        apart = row * column / math.hypot(*direction)  # between neighboring lines of this direction
        lengths += 0.5 * math.pi * weight * apart * crossings.sum(axis=(1, 2))
    return lengths


def _angle_shares(directions: np.ndarray) -> np.ndarray:
    """Parts of the half circle of directions that each of these (n, 2) stands for; they sum to 1."""
    angles = np.mod(np.arctan2(directions[:, 1], directions[:, 0]), math.pi)
    order = np.argsort(angles)
    turned = angles[order]
    gaps = np.diff(np.append(turned, turned[0] + math.pi))
    shares = np.empty(len(angles))
    shares[order] = (gaps + np.roll(gaps, 1)) / (2 * math.pi)
    return shares


def _neighbors(j: int, i: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Slices of (j, i) planes that pair each pixel with the one a step of (j, i) away."""
    rows = (slice(None, -j or None), slice(j, None))
    if i < 0:
        return (rows[0], slice(-i, None)), (rows[1], slice(None, i))
    return (rows[0], slice(None, -i or None)), (rows[1], slice(i, None))


def _padded(mask: Mask) -> np.ndarray:
    """The mask's box (t, j, i) with a pixel of what lies around it, which is outside."""
    return np.pad(mask.array, ((0, 0), (1, 1), (1, 1)))


def _padded_plane(mask: Mask, plane: np.ndarray) -> np.ndarray:
    """The same part of a plane of the mask's lattice; False beyond the frame, where no capsule is seen."""
    (_, j, i), (_, rows, columns) = mask.start, mask.array.shape
    return np.pad(plane, 1)[j : j + rows + 2, i : i + columns + 2]


def capsule_share(mask: Mask, attention: AttentionMaps, sector: Plane | None, is_mm: bool) -> CapsuleShare | None:
    """How much of each network's Grad-CAM lies within BAND_MM of the capsule, over all frames that have a map.

    Args:
        is_mm: whether the mask's lattice is in mm; else the band is BAND_SHARE of the sector's height wide.

    Returns:
        None where no such frame shows the capsule.
    """
    shape, matrix = mask.grid.shape[1:], mask.grid.ijk_to_ras
    seen = np.ones(shape, bool) if sector is None else _laid_on(sector, shape, matrix)
    cells = next(iter(attention.maps.values())).shape[1:]
    of = _cells(attention, cells, shape, matrix)
    seen_pixels = _counts(of[seen], cells)
    on_band, total = dict.fromkeys(attention.maps, 0.0), dict.fromkeys(attention.maps, 0.0)
    band_pixels = looked_at = 0
    for index, liver, band in _bands(mask, attention, sector, is_mm):
        pixels = _counts(of[band & seen], cells)
        band_pixels += int(pixels.sum())
        looked_at += np.count_nonzero((liver | band) & seen)
        for key, maps in attention.maps.items():
            heat = maps[index].reshape(-1).astype(float)
            on_band[key] += float(heat @ pixels)
            total[key] += float(heat @ seen_pixels)
    if not band_pixels:
        return None
    shares = {key: on_band[key] / total[key] for key in attention.maps if total[key] > 0}
    return CapsuleShare(shares, band_pixels / looked_at)


def _counts(of: np.ndarray, cells: tuple[int, int]) -> np.ndarray:
    """Pixels in each cell, from the numbers of their cells; those in none are left out."""
    return np.bincount(of, minlength=math.prod(cells) + 1)[:-1]


def _bands(
    mask: Mask, attention: AttentionMaps, sector: Plane | None, is_mm: bool
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """For each frame that has maps its place among these, and bool (j, i): the mask, and what is near the capsule."""
    from scipy.ndimage import distance_transform_edt

    within = inner_sector(mask, sector)
    column, row = mask.grid.spacing[:2]
    rows = np.flatnonzero(within.any(axis=1))
    width = BAND_MM if is_mm else BAND_SHARE * row * max(len(rows), 1)
    for index, number in enumerate(attention.frames):
        frame = np.zeros(mask.grid.shape[1:], bool)
        at = int(number) - mask.start[0]
        if 0 <= at < len(mask.array):
            frame[mask.box[1:]] = mask.array[at]
        outline = _outline(frame, within)
        near = np.zeros_like(frame)
        if outline.any():
            # The capsule runs between the two pixels of each pair.
            near = distance_transform_edt(~outline, sampling=(row, column)) + 0.25 * (row + column) <= width
        yield index, frame, near


def _outline(frame: np.ndarray, within: np.ndarray) -> np.ndarray:
    """Pairs of neighboring pixels, one in the mask and one not, both of them inside the sector."""
    found = np.zeros_like(frame)
    for j, i in ((0, 1), (1, 0)):
        here, there = _neighbors(j, i)
        crossing = (frame[here] != frame[there]) & within[here] & within[there]
        found[here] |= crossing
        found[there] |= crossing
    return found


def _laid_on(plane: Plane, shape: tuple[int, int], ijk_to_ras: np.ndarray) -> np.ndarray:
    """A plane's mask on another lattice of the same frames, the nearest pixel's value; False outside it."""
    places = _places(plane.ijk_to_ras, shape, ijk_to_ras)
    good = np.all((places >= 0) & (places < np.array(plane.mask.shape)[:, None, None]), axis=0)
    j, i = np.where(good, places, 0)
    return plane.mask[j, i] & good


def _cells(attention: AttentionMaps, cells: tuple[int, int], shape: tuple[int, int], matrix: np.ndarray) -> np.ndarray:
    """For each pixel (j, i) the number of the map's cell that it lies in; one past the last where in none."""
    places = _places(attention.ijk_to_ras, shape, matrix)
    good = np.all((places >= 0) & (places < np.array(cells)[:, None, None]), axis=0)
    return np.where(good, places[0] * cells[1] + places[1], math.prod(cells))


def _places(to_ras: np.ndarray, shape: tuple[int, int], from_ijk: np.ndarray) -> np.ndarray:
    """Where the pixels of one lattice lie in another, both in the plane of the frames: whole numbers (2, j, i)."""
    flat = [0, 1, 3]
    mapping = np.linalg.inv(to_ras[np.ix_(flat, flat)]) @ from_ijk[np.ix_(flat, flat)]
    j, i = np.indices(shape)
    return np.floor(np.tensordot(mapping[[1, 0]], np.stack([i, j, np.ones_like(i)]), 1) + 0.5).astype(int)
