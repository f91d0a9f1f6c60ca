"""The bedside volume of a hematoma, ABC/2, measured on its mask the way it is done with calipers on the slices.

A and B are taken on the slice of the largest area; C is the number of slices times their distance, each slice counted
whole: weights for partly filled slices are in use, but none is confirmed here. On a lattice that is tilted by up to
MAX_TILT_DEG the slices are the image's own, as a reader sees them; beyond that the mask is laid on axial planes first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from PrognosisLib.errors import InputError
from PrognosisLib.findings import Mask
from PrognosisLib.shape import AXIAL_STEP
from PrognosisLib.volume import Grid, ras_grid, resample

Point = tuple[float, float, float]

MAX_TILT_DEG = 30.0


@dataclass(frozen=True)
class Abc2:
    """ABC/2 of one hematoma; lengths in mm, volumes in mL, points RAS mm.

    Args:
        a_mm: longest diameter on the slice of the largest area.
        b_mm: longest diameter perpendicular to A on that slice.
        c_mm: slice distance x number of slices from the first to the last: the craniocaudal extent.
        volume_ml: A x B x C / 2, about 5 % too small on an ellipsoid, too large on most other shapes.
        voxel_volume_ml: what the mask's voxels add up to.
        difference_percent: volume_ml against the voxels' volume.
        slices: number of slices that show the hematoma. slice_mm: their perpendicular distance.
        a_ends_ras, b_ends_ras: the calipers' ends.
        resampled: the mask had to be laid on axial planes.
    """

    a_mm: float
    b_mm: float
    c_mm: float
    volume_ml: float
    voxel_volume_ml: float
    difference_percent: float
    slices: int
    slice_mm: float
    a_ends_ras: tuple[Point, Point]
    b_ends_ras: tuple[Point, Point]
    resampled: bool


def measure_abc2(hematoma: Mask) -> Abc2:
    """ABC/2 of a mask on any lattice.

    Raises:
        InputError: the mask is empty.
    """
    if hematoma.is_empty:
        raise InputError("The hematoma segment is empty; draw it in Segment Editor or run the segmentation again.")
    array, grid, resampled = _slices(hematoma)
    areas = np.count_nonzero(array, axis=(1, 2))
    present = np.flatnonzero(areas)
    step = grid.slice_distance
    extent = float(present[-1] - present[0] + 1) * step
    # Of several slices with the same area the middle one.
    widest = np.flatnonzero(areas == areas.max())
    index = int(widest[len(widest) // 2])
    plane = _Plane(array[index], grid, index)
    a_ends = plane.longest()
    b_ends = plane.longest_across(*a_ends)
    a, b = (float(np.linalg.norm(np.subtract(*ends))) for ends in (a_ends, b_ends))
    voxels = hematoma.voxel_volume_ml
    volume = a * b * extent / 2000.0
    return Abc2(
        a_mm=a,
        b_mm=b,
        c_mm=extent,
        volume_ml=volume,
        voxel_volume_ml=voxels,
        difference_percent=100.0 * (volume / voxels - 1.0),
        slices=len(present),
        slice_mm=step,
        a_ends_ras=_points(a_ends),
        b_ends_ras=_points(b_ends),
        resampled=resampled,
    )


def _points(ends: tuple[np.ndarray, np.ndarray]) -> tuple[Point, Point]:
    return tuple(tuple(float(x) for x in end) for end in ends)


def _slices(mask: Mask) -> tuple[np.ndarray, Grid, bool]:
    """The mask as slices (slice, row, column) with their lattice, and whether it had to be resampled."""
    grid = mask.cropped_grid
    normals = np.linalg.inv(grid.ijk_to_ras[:3, :3])
    upright = np.abs(normals[:, 2]) / np.linalg.norm(normals, axis=1)
    through = int(np.argmax(upright))
    if upright[through] >= np.cos(np.deg2rad(MAX_TILT_DEG)):
        order = [a for a in (0, 1, 2) if a != through] + [through]
        array = np.transpose(mask.array, tuple(2 - a for a in reversed(order)))
        return array, Grid(array.shape, grid.ijk_to_ras[:, [*order, 3]]), False
    target = ras_grid(grid.corners_ras(), np.maximum(AXIAL_STEP, [grid.spacing.min()] * 3))
    matrix = grid.ijk_to_ras.copy()
    matrix[:3, 3] -= matrix[:3, :3] @ np.ones(3)
    values = resample(np.pad(mask.array, 1), matrix, target) >= 0.5
    if not values.any():
        values = resample(np.pad(mask.array, 1), matrix, target, nearest=True) > 0
    if not values.any():
        raise InputError("The hematoma segment is too thin to measure; draw it in Segment Editor.")
    return values, target, True


@dataclass(frozen=True)
class _Plane:
    """One slice of a mask, bool (row, column), that is slice `index` of a lattice."""

    array: np.ndarray
    grid: Grid
    index: int

    def _to_ras(self, points: np.ndarray) -> np.ndarray:
        """(n, 2) as row, column to RAS (n, 3)."""
        return self.grid.to_ras(np.insert(points, 0, self.index, axis=1))

    def longest(self) -> tuple[np.ndarray, np.ndarray]:
        """Ends (RAS) of the longest distance between two points of the outline."""
        points = self._to_ras(np.concatenate([self._ends(1), self._ends(0)[:, ::-1]]))
        # Few directions suffice to find the candidates for both ends.
        center = points - points.mean(axis=0)
        frame = np.linalg.svd(self.grid.ijk_to_ras[:3, :2], full_matrices=False)[0]
        angles = np.linspace(0.0, 2.0 * np.pi, 360, endpoint=False)
        along = (center @ frame) @ np.stack([np.cos(angles), np.sin(angles)])
        outer = points[np.unique(np.argmax(along, axis=0))]
        distance = np.linalg.norm(outer[:, None] - outer[None], axis=2)
        one, two = np.unravel_index(int(np.argmax(distance)), distance.shape)
        return outer[one], outer[two]

    def _ends(self, axis: int) -> np.ndarray:
        """First and last border along every row (axis 1) or column (axis 0): (n, 2) as line, place along the line."""
        lines = self.array if axis == 1 else self.array.T
        at = np.flatnonzero(lines.any(axis=1))
        lines = lines[at]
        # The farthest of many borders, each anywhere between two pixels, lies a quarter of a pixel outside on average.
        low = np.argmax(lines, axis=1) - 0.25
        high = lines.shape[1] - np.argmax(lines[:, ::-1], axis=1) - 0.75
        return np.concatenate([np.stack([at, low], axis=1), np.stack([at, high], axis=1)])

    def longest_across(self, start: np.ndarray, stop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Ends (RAS) of the longest chord perpendicular to the line from start to stop, from border to border."""
        from scipy import ndimage

        u = (stop - start) / np.linalg.norm(stop - start)
        normal = np.cross(self.grid.ijk_to_ras[:3, 0], self.grid.ijk_to_ras[:3, 1])
        v = np.cross(normal / np.linalg.norm(normal), u)
        length = float(np.linalg.norm(stop - start))
        step = 0.25 * float(self.grid.spacing[:2].min())
        # A is the longest distance, so no part of the slice lies farther than that to either side of it.
        along = np.arange(0.0, length, 2.0 * step)
        across = np.arange(-length, length, step)
        points = start + along[:, None, None] * u + across[None, :, None] * v
        inverse = np.linalg.inv(self.grid.ijk_to_ras)
        ij = points @ inverse[:2, :3].T + inverse[:2, 3]
        soft = np.pad(self.array, 1).astype(np.float32)
        inside = ndimage.map_coordinates(soft, [ij[..., 1] + 1.0, ij[..., 0] + 1.0], order=1) >= 0.5
        first = np.argmax(inside, axis=1)
        last = inside.shape[1] - 1 - np.argmax(inside[:, ::-1], axis=1)
        chord = np.where(inside.any(axis=1), last - first + 1, 0)
        at = int(np.argmax(chord))
        low, high = across[first[at]] - 0.5 * step, across[last[at]] + 0.5 * step
        middle = start + along[at] * u
        return middle + low * v, middle + high * v
