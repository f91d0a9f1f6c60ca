"""The intracranial space of a head CT, found from the skull alone, on a coarse lattice along the patient's axes.

Good enough to say where a hematoma lies and whether a head is in the picture at all; it is no brain segmentation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from PrognosisLib.errors import InputError
from PrognosisLib.volume import AIR_HU, Grid, Volume, bin_shrink, ras_grid, resample

STEP_MM = 2.5
BONE_HU = 300.0
# An image saved from a brain window ends at 80 or 100 HU: there bone is whatever reached the end.
WINDOW_END_HU, WINDOW_BONE_HU = 100.0, 75.0
BONE_SHARE = 0.35  # of a coarse voxel
TISSUE_HU = -15.0  # between fat and cerebrospinal fluid
WINDOW_TISSUE_HU = 2.0  # air and fat are 0 in such an image
NECK_MM = 7.5  # passages narrower than twice this are closed
FORAMEN_MM2 = 1200.0  # area of the foramen magnum and of the spinal canal stays below this
SMALLEST_ML = 300.0  # less than this is not the inside of a skull


@dataclass(frozen=True)
class Brain:
    """The inside of the skull on a RAS-aligned lattice (i to the right, j anterior, k superior).

    Args:
        mask: bool (k, j, i).
        bone: bool (k, j, i), skull and other bone.
        hu: float32 (k, j, i), the image on this lattice; AIR_HU (0 if windowed) outside the scan.
        grid: the lattice, STEP_MM.
        in_scan: bool (k, j, i), inside the scanned volume.
        windowed: the image ends at WINDOW_END_HU, so that bone was found less surely.
    """

    mask: np.ndarray
    bone: np.ndarray
    hu: np.ndarray
    grid: Grid
    in_scan: np.ndarray
    windowed: bool

    @property
    def volume_ml(self) -> float:
        """Volume inside the skull in mL as far as it was scanned, some 5 % to 10 % off."""
        return float(np.count_nonzero(self.mask)) * self.grid.voxel_volume_ml


def find_brain(volume: Volume) -> Brain:
    """The intracranial space of a head CT (HU, any lattice).

    Raises:
        InputError: no closed skull with at least SMALLEST_ML inside is in the image.
    """
    windowed = is_windowed(volume.array)
    grid = ras_grid(volume.grid.corners_ras(), STEP_MM)
    in_scan = _in_scan(volume.grid, grid)
    volume = _thinned(volume)
    limit = WINDOW_BONE_HU if windowed else BONE_HU
    bone = _share(volume, volume.array >= limit, grid) >= BONE_SHARE
    shrunk = bin_shrink(volume, STEP_MM)
    hu = resample(shrunk.array, shrunk.ijk_to_ras, grid, 0.0 if windowed else AIR_HU)
    mask = _inside_skull(hu, bone, WINDOW_TISSUE_HU if windowed else TISSUE_HU)
    brain = Brain(mask, bone, hu, grid, in_scan, windowed)
    if brain.volume_ml < SMALLEST_ML:
        raise InputError(
            f"'{volume.name}' shows no closed skull with a brain inside; choose a head CT that covers the whole brain."
        )
    return brain


def is_windowed(array: np.ndarray) -> bool:
    """Whether an image in HU was cut to a brain window, so that bone and soft tissue end at the same value."""
    return bool(array.max() <= WINDOW_END_HU)


def _thinned(volume: Volume) -> Volume:
    """Every second, third ... voxel of a fine image, so that voxels stay within 1 mm: saves time, costs nothing."""
    step = np.maximum(1, np.floor(1.0 / volume.grid.spacing + 1e-3)).astype(int)
    matrix = volume.ijk_to_ras @ np.diag([*step, 1.0])
    array = np.ascontiguousarray(volume.array[:: step[2], :: step[1], :: step[0]])
    return Volume(array, matrix, volume.modality, volume.name)


def _share(volume: Volume, array: np.ndarray, grid: Grid) -> np.ndarray:
    """How much (0..1) of every voxel of a coarse lattice a bool array on the volume's lattice fills."""
    shrunk = bin_shrink(volume.with_array(array.view(np.uint8) * np.uint8(200)), STEP_MM)
    return resample(shrunk.array, shrunk.ijk_to_ras, grid) / 200.0


def _in_scan(scanned: Grid, grid: Grid) -> np.ndarray:
    """Voxel centers of `grid` inside the scanned volume, bool (k, j, i)."""
    matrix = np.linalg.inv(scanned.ijk_to_ras) @ grid.ijk_to_ras
    k, j, i = np.ogrid[tuple(slice(n) for n in grid.shape)]
    inside = np.ones(grid.shape, dtype=bool)
    for row, count in zip(matrix, scanned.shape[::-1], strict=False):
        place = row[0] * i + row[1] * j + (row[2] * k + row[3])
        inside &= (place >= -0.5) & (place <= count - 0.5)
    return inside


def _inside_skull(hu: np.ndarray, bone: np.ndarray, tissue_hu: float) -> np.ndarray:
    """Soft tissue with bone on all sides, cut off at narrow passages; bool (k, j, i) on a RAS-aligned lattice."""
    from scipy import ndimage

    steps = round(NECK_MM / STEP_MM)
    space = (hu >= tissue_hu) & ~bone & _between_bone(bone)
    core = ndimage.binary_erosion(space, iterations=steps)
    labels, count = ndimage.label(core)
    if not count:
        return np.zeros(bone.shape, dtype=bool)
    core = labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
    mask = ndimage.binary_dilation(core, iterations=steps + 1, mask=space | core)
    mask = _without_spine(mask)
    # Ventricles, hematomas as bright as a windowed image's bone, and calcifications are inside too.
    ball = ndimage.generate_binary_structure(3, 1)
    closed = ndimage.binary_dilation(mask, ball, iterations=2)
    for plane in closed:
        if plane.any():
            plane |= ndimage.binary_fill_holes(plane)
    return ndimage.binary_erosion(closed, ball, iterations=2, border_value=1) | mask


def _between_bone(bone: np.ndarray) -> np.ndarray:
    """Voxels that see bone on three of right, left, front and back: one side may be cut off or operated on."""
    sides = np.zeros(bone.shape, dtype=np.uint8)
    for axis in (1, 2):
        sides += np.logical_or.accumulate(bone, axis=axis)
        sides += np.flip(np.logical_or.accumulate(np.flip(bone, axis), axis=axis), axis)
    return sides >= 3


def _without_spine(mask: np.ndarray) -> np.ndarray:
    """Drop the planes below the lowest one that is wider than the foramen magnum."""
    areas = np.count_nonzero(mask, axis=(1, 2)) * STEP_MM**2
    wide = np.flatnonzero(areas >= FORAMEN_MM2)
    if len(wide):
        # Only downward from the widest plane: the neck below the foramen may be wide again.
        below = np.flatnonzero(areas[: int(np.argmax(areas))] < FORAMEN_MM2)
        mask[: int(below[-1]) + 1 if len(below) else 0] = False
    return mask
