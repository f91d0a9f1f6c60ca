"""Lengths, areas and contact of a mask along the patient's axes, for any lattice (oblique, flipped, sheared).

The border of a mask lies between an inside voxel and its outside neighbor, half way on average; extremes are corrected
for being picked as the farthest of many. Ellipsoids on random lattices come out within about a voxel. All points and
lengths are RAS mm; nothing here assumes an array axis to point anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .findings import Mask
from .volume import Grid, ras_grid, resample

# Step of the directions along which an axial outline is measured: the widest is at most 0.06 % too small.
ANGLE_STEP = 4
ANGLES = np.deg2rad(np.arange(0, 180, ANGLE_STEP))
AXIAL_STEP = (1.0, 1.0, 2.0)  # mm along R, A, S, where an oblique mask is laid on axial planes


@dataclass(frozen=True)
class Border:
    """Faces between inside and outside voxels.

    Args:
        points: between the two voxels' centers, (n, 3) RAS mm.
        inner: center of the inside voxel, (n, 3) RAS mm.
        vectors: area, outward, (n, 3) mm2.
    """

    points: np.ndarray
    inner: np.ndarray
    vectors: np.ndarray

    def area(self, grid: Grid) -> float:
        """Surface area in mm2, within some 4 % on ellipsoids."""
        return leveled_area(self.points, self.vectors, grid)


def face_vectors(grid: Grid) -> np.ndarray:
    """Area vectors (3, 3) in mm2 of a voxel's faces, rows toward larger i, j and k."""
    matrix = grid.ijk_to_ras[:3, :3]
    return abs(np.linalg.det(matrix)) * np.linalg.inv(matrix)


def border(array: np.ndarray, grid: Grid) -> Border:
    """All border faces of a bool array (k, j, i) on its grid; the outside of the array counts as outside."""
    padded = np.pad(array, 1)
    vectors = face_vectors(grid)
    columns = grid.ijk_to_ras[:3, :3].T
    points, inner, areas = [], [], []
    for axis in range(3):
        low = padded[tuple(slice(None, -1) if a == axis else slice(1, -1) for a in range(3))]
        high = padded[tuple(slice(1, None) if a == axis else slice(1, -1) for a in range(3))]
        flat = np.flatnonzero(low != high)
        kji = np.stack(np.unravel_index(flat, low.shape), axis=1).astype(float)
        kji[:, axis] -= 0.5
        sign = np.where(low.reshape(-1)[flat], 1.0, -1.0)[:, None]
        points.append(grid.to_ras(kji))
        inner.append(points[-1] - 0.5 * sign * columns[2 - axis])
        areas.append(sign * vectors[2 - axis])
    return Border(np.concatenate(points), np.concatenate(inner), np.concatenate(areas))


def leveled_area(points: np.ndarray, vectors: np.ndarray, grid: Grid) -> float:
    """Area in mm2 behind a staircase of faces: the lengths of their vector sums in small cubes, added up."""
    if not len(points):
        return 0.0
    # Cubes just large enough to level the stairs of the coarsest direction, small against an organ's curvature.
    patch = max(2.0 * float(grid.spacing.max()), 4.0 * float(np.cbrt(1000.0 * grid.voxel_volume_ml)))
    cell = np.floor((points - points.min(axis=0)) / patch).astype(np.int64)
    size = cell.max(axis=0) + 1
    index = (cell[:, 0] * size[1] + cell[:, 1]) * size[2] + cell[:, 2]
    sums = [np.bincount(index, vectors[:, axis], minlength=int(np.prod(size))) for axis in range(3)]
    return float(np.sqrt(sums[0] ** 2 + sums[1] ** 2 + sums[2] ** 2).sum())


def contact(first: Mask, second: Mask) -> tuple[np.ndarray, np.ndarray]:
    """Faces that two masks of one grid share: midpoints (n, 3) RAS mm and area vectors (n, 3) mm2 out of `first`."""
    # One voxel more than the first mask's box holds every face it can share.
    start = np.maximum(np.array(first.start) - 1, 0)
    stop = np.minimum(np.array(first.start) + first.array.shape + 1, first.grid.shape)
    box = tuple(slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))
    one, two = crop(first, box), crop(second, box)
    grid = first.grid.sub_grid(box)
    vectors = face_vectors(grid)
    points, areas = [np.zeros((0, 3))], [np.zeros((0, 3))]
    if not two.any():
        return points[0], areas[0]
    for axis in range(3):
        low = tuple(slice(None, -1) if a == axis else slice(None) for a in range(3))
        high = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
        for sign, shared in ((1.0, one[low] & two[high]), (-1.0, two[low] & one[high])):
            kji = np.argwhere(shared).astype(float)
            kji[:, axis] += 0.5
            points.append(grid.to_ras(kji))
            areas.append(np.broadcast_to(sign * vectors[2 - axis], kji.shape))
    return np.concatenate(points), np.concatenate(areas)


def crop(mask: Mask, box: tuple[slice, slice, slice]) -> np.ndarray:
    """The mask (bool) inside a (k, j, i) box of its grid, whatever part of the box it fills."""
    out = np.zeros(tuple(s.stop - s.start for s in box), dtype=bool)
    low = [max(s.start, a) for s, a in zip(box, mask.start, strict=True)]
    high = [min(s.stop, a + n) for s, a, n in zip(box, mask.start, mask.array.shape, strict=True)]
    if all(a < b for a, b in zip(low, high, strict=True)):
        to = tuple(slice(a - s.start, b - s.start) for a, b, s in zip(low, high, box, strict=True))
        of = tuple(slice(a - m, b - m) for a, b, m in zip(low, high, mask.start, strict=True))
        out[to] = mask.array[of]
    return out


def eroded(array: np.ndarray) -> np.ndarray:
    """The voxels (bool) all of whose six neighbors are inside; the outside of the array counts as outside."""
    inner = array.copy()
    for axis in range(3):
        along, source = np.moveaxis(inner, axis, 0), np.moveaxis(array, axis, 0)
        along[1:] &= source[:-1]
        along[:-1] &= source[1:]
        along[0] = along[-1] = False
    return inner


@dataclass(frozen=True)
class AxialStack:
    """A mask on axial planes: bool (plane, row, column), and the in-plane steps (2, 3) mm along row and column.

    `step` is the distance of the planes in mm; `resampled` tells that the lattice was not axial itself.
    """

    array: np.ndarray
    steps: np.ndarray
    step: float
    resampled: bool

    @property
    def areas(self) -> np.ndarray:
        """Area in mm2 in every plane."""
        cell = np.linalg.norm(np.cross(self.steps[0], self.steps[1]))
        return np.count_nonzero(self.array, axis=(1, 2)) * float(cell)

    def widths(self) -> np.ndarray:
        """Extent in mm of every plane's outline along each of ANGLES (in-plane, from R to A), shape (plane, angle)."""
        rows, columns = self._ends(2), self._ends(1)[:, [0, 2, 1]]
        points = np.concatenate([rows, columns])
        points = points[np.argsort(points[:, 0], kind="stable")]
        planes, first = np.unique(points[:, 0], return_index=True)
        directions = np.stack([np.cos(ANGLES), np.sin(ANGLES)])
        along = (points[:, 1:] @ (self.steps[:, :2] @ directions)).astype(np.float32)
        out = np.zeros((len(self.array), len(ANGLES)))
        out[planes.astype(int)] = np.maximum.reduceat(along, first) - np.minimum.reduceat(along, first)
        return out

    def _ends(self, axis: int) -> np.ndarray:
        """First and last border along a line: (n, 3) as plane, place of the line, place along the line."""
        plane, line = np.nonzero(self.array.any(axis=axis))
        lines = np.moveaxis(self.array, axis, 2)[plane, line]
        # The farthest of many borders, each anywhere between two voxels, lies a quarter of a voxel outside on average.
        low = np.argmax(lines, axis=1) - 0.25
        high = lines.shape[1] - np.argmax(lines[:, ::-1], axis=1) - 0.75
        return np.concatenate([np.stack([plane, line, low], axis=1), np.stack([plane, line, high], axis=1)])

    def thickness(self, plane: int) -> float:
        """Diameter in mm of the largest circle that fits into the mask in one plane."""
        from scipy import ndimage

        steps = np.linalg.norm(self.steps, axis=1)
        depth = ndimage.distance_transform_edt(np.pad(self.array[plane], 1), sampling=steps)
        # The distance runs to the nearest outside center, which lies a quarter of a voxel behind a smooth border on
        # average, on either side; about half of that is lost again by looking for the middle on voxel centers only.
        return float(2.0 * depth.max() - 0.25 * steps.mean())


def axial_stack(mask: Mask) -> AxialStack:
    """The mask (not empty) on planes of constant S: its own lattice where that is axial, else resampled."""
    grid = mask.cropped_grid
    matrix = grid.ijk_to_ras[:3, :3]
    through = int(np.argmax(np.abs(matrix[2]) / grid.spacing))
    plane = [a for a in (1, 0, 2) if a != through]
    count = np.array(grid.shape[::-1])
    # Planes that rise by less than half a step across the mask are axial enough.
    level = np.abs(matrix[2, plane]) @ count[plane] <= 0.5 * abs(matrix[2, through])
    square = abs(matrix[:, plane[0]] @ matrix[:, plane[1]]) <= 0.01 * np.prod(grid.spacing[plane])
    if level and square:
        array = np.transpose(mask.array, (2 - through, *(2 - a for a in plane)))
        return AxialStack(array, matrix[:, plane].T * [1.0, 1.0, 0.0], abs(float(matrix[2, through])), False)
    target = ras_grid(grid.corners_ras(), np.maximum(AXIAL_STEP, [grid.spacing.min()] * 3))
    outer = Grid(tuple(n + 2 for n in grid.shape), grid.ijk_to_ras @ _shift(-1.0))
    values = resample(np.pad(mask.array, 1), outer.ijk_to_ras, target)
    steps = target.ijk_to_ras[:3, [1, 0]].T
    return AxialStack(values >= 0.5, steps, float(target.spacing[2]), True)


def _shift(voxels: float) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, 3] = voxels
    return matrix
