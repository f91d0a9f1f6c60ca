"""A hematoma as radiologists read it: sections of about 5 mm in the image's most nearly axial planes.

Signs of expansion were described on 5 mm sections. Finer images are averaged to such sections first, which also brings
their noise down to what the thresholds were made for; thicker slices stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from PrognosisLib.errors import InputError
from PrognosisLib.volume import Grid

SECTION_MM = 5.0
SMOOTH_MM = 1.5  # standard deviation of the in-plane smoothing inside the hematoma
RIM_MM = 2.0  # voxels closer to the border mix with brain
NOISE_LAG_MM = 3.0  # CT noise of neighbors is correlated over about 2 mm


@dataclass(frozen=True)
class Sections:
    """A hematoma on parallel sections; all arrays are (section, row, column).

    Args:
        hu: float32, as scanned, averaged over those slices of a section that show the hematoma.
        filled: bool, the hematoma with the holes of every slice filled.
        depth: float32, in-plane distance in mm of a filled voxel to the border, 0 outside.
        smooth: float32, `hu` smoothed in-plane inside `filled` only, so that brain does not mix in.
        grid: lattice of the sections; its k axis leads from section to section.
        noise_hu: standard deviation of the noise of one voxel of `hu`.
    """

    hu: np.ndarray
    filled: np.ndarray
    depth: np.ndarray
    smooth: np.ndarray
    grid: Grid
    noise_hu: float

    @property
    def inside(self) -> np.ndarray:
        """Filled voxels that do not mix with brain; all of them where the hematoma is too thin for that."""
        inner = self.depth > RIM_MM
        return inner if inner.any() else self.filled

    @property
    def pixel_mm2(self) -> float:
        matrix = self.grid.ijk_to_ras[:3, :3]
        return float(np.linalg.norm(np.cross(matrix[:, 0], matrix[:, 1])))

    @property
    def pixel_mm(self) -> np.ndarray:
        """Step in mm along row and column index (axis 1 and 2 of the arrays)."""
        return self.grid.spacing[1::-1]

    @property
    def thickness(self) -> float:
        """Distance of the sections in mm."""
        return self.grid.slice_distance

    def center_ras(self, region: np.ndarray) -> tuple[float, float, float]:
        """RAS point (mm) of the region's voxel that is nearest to the middle of its fullest section."""
        section = int(np.argmax(np.count_nonzero(region, axis=(1, 2))))
        place = np.argwhere(region[section])
        offset = (place - place.mean(axis=0)) * self.pixel_mm
        row, column = place[int(np.argmin((offset**2).sum(axis=1)))]
        point = self.grid.to_ras(np.array([[section, row, column]]))[0]
        return tuple(float(x) for x in point)


def cut_sections(hu: np.ndarray, mask: np.ndarray, grid: Grid) -> Sections:
    """Sections of a hematoma.

    Args:
        hu: image (k, j, i) in HU, at least the mask's box.
        mask: bool (k, j, i), same shape.
        grid: lattice of both.

    Raises:
        InputError: the mask is empty or of another shape.
    """
    from scipy import ndimage

    if mask.shape != hu.shape or grid.shape != hu.shape:
        raise InputError("The hematoma segment is not on the CT's voxels; choose the CT it was drawn on.")
    if not mask.any():
        raise InputError("The hematoma segment is empty; draw it in Segment Editor or run the segmentation again.")
    hu, mask, grid = _axial_first(*_tight(hu, mask, grid))
    hu, filled, grid = _averaged(hu, _without_holes(mask), grid)
    hu, filled, grid = _padded(hu, _without_holes(filled), grid)
    pixel = grid.spacing[1::-1]
    # Sections so far apart that distances are measured inside each of them only; the border is half a pixel nearer.
    depth = ndimage.distance_transform_edt(filled, sampling=(1e3, *pixel)).astype(np.float32)
    depth = np.maximum(0.0, depth - np.float32(0.5 * pixel.mean())) * filled
    return Sections(hu, filled, depth, _smooth(hu, filled, pixel), grid, _noise(hu, depth > RIM_MM, pixel))


def _tight(hu: np.ndarray, mask: np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray, Grid]:
    box = []
    for axis in range(3):
        filled = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        box.append(slice(int(filled[0]), int(filled[-1]) + 1))
    box = tuple(box)
    return hu[box].astype(np.float32), mask[box], grid.sub_grid(box)


def _axial_first(hu: np.ndarray, mask: np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray, Grid]:
    """Axes reordered: the last two span the most nearly axial planes, the first leads upward."""
    matrix = grid.ijk_to_ras
    normals = np.linalg.inv(matrix[:3, :3])
    through = int(np.argmax(np.abs(normals[:, 2]) / np.linalg.norm(normals, axis=1)))
    order = [a for a in (0, 1, 2) if a != through] + [through]
    axes = tuple(2 - a for a in reversed(order))
    turned = matrix[:, [*order, 3]]
    hu, mask = np.transpose(hu, axes), np.transpose(mask, axes)
    if turned[2, 2] < 0:
        # Upward, so that the same slices make up a section whichever way they are stored.
        hu, mask = hu[::-1], mask[::-1]
        turned[:3, 3] += turned[:3, 2] * (len(hu) - 1)
        turned[:3, 2] *= -1.0
    return hu, mask, Grid(hu.shape, turned)


def _without_holes(mask: np.ndarray) -> np.ndarray:
    from scipy import ndimage

    return np.stack([ndimage.binary_fill_holes(plane) if plane.any() else plane for plane in mask])


def _averaged(hu: np.ndarray, mask: np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray, Grid]:
    count = max(1, int(SECTION_MM / grid.slice_distance + 0.01))
    if count == 1:
        return hu, mask, grid
    starts = np.arange(0, len(hu), count)
    sizes = np.diff([*starts, len(hu)])[:, None, None]
    share = np.add.reduceat(mask.astype(np.float32), starts, axis=0)
    # At its ends the hematoma must not be mixed with the brain of a section's other slices.
    inside = np.add.reduceat(hu * mask, starts, axis=0) / np.maximum(share, 1.0)
    hu = np.where(share > 0, inside, np.add.reduceat(hu, starts, axis=0) / sizes)
    # A last section with few slices counts by the slices that a whole one would have.
    filled = share >= 0.5 * count
    if not filled.any():
        filled = share > 0
    matrix = grid.ijk_to_ras.copy()
    matrix[:3, 3] += matrix[:3, 2] * (count - 1) / 2.0
    matrix[:3, 2] *= count
    return hu, filled, Grid(hu.shape, matrix)


def _padded(hu: np.ndarray, mask: np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray, Grid]:
    """Room around the mask for smoothing; the values there are never used."""
    room = np.ceil(3.0 * SMOOTH_MM / grid.spacing[1::-1]).astype(int) + 1
    width = ((1, 1), (room[0], room[0]), (room[1], room[1]))
    matrix = grid.ijk_to_ras.copy()
    matrix[:3, 3] -= matrix[:3, :3] @ np.array([room[1], room[0], 1.0])
    hu = np.pad(hu, width, mode="edge")
    return hu, np.pad(mask, width), Grid(hu.shape, matrix)


def _smooth(hu: np.ndarray, filled: np.ndarray, pixel: np.ndarray) -> np.ndarray:
    from scipy import ndimage

    sigma = (0.0, *(SMOOTH_MM / pixel))
    weight = ndimage.gaussian_filter(filled.astype(np.float32), sigma)
    values = ndimage.gaussian_filter(np.where(filled, hu, np.float32(0.0)), sigma)
    return np.where(filled, values / np.maximum(weight, 1e-6), np.float32(0.0))


def _noise(hu: np.ndarray, inside: np.ndarray, pixel: np.ndarray) -> float:
    """Noise of one voxel (HU) from second differences over a distance at which CT noise is no longer correlated."""
    squares = []
    for axis in (1, 2):
        lag = max(1, round(NOISE_LAG_MM / float(pixel[axis - 1])))
        if inside.shape[axis] <= 2 * lag:
            continue
        parts = [
            tuple(slice(start, stop) if a == axis else slice(None) for a in range(3))
            for start, stop in ((None, -2 * lag), (lag, -lag), (2 * lag, None))
        ]
        whole = inside[parts[0]] & inside[parts[1]] & inside[parts[2]]
        squares.append(hu[parts[1]][whole] - 0.5 * (hu[parts[0]][whole] + hu[parts[2]][whole]))
    values = np.concatenate(squares) if squares else np.zeros(0)
    if len(values) < 30:
        return 0.0
    # The median bears structure in a part of the hematoma; 0.6745 makes it a standard deviation.
    return float(np.median(np.abs(values)) / 0.6745 / np.sqrt(1.5))
