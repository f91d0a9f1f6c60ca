"""A scan as a 2D network sees it: its own slices, or slabs of thin ones, on square pixels along R and A.

The slices are those of the scan, so that a thick slice is never smeared into its neighbors and a gantry tilt needs no
interpolation between slices; thin ones are averaged to slabs. All geometry goes through the IJK-to-RAS matrix.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..volume import Grid, Volume, resample, to_sitk_index_space

MULTIPLE = 32  # both sides of a slice are multiples of this, in pixels, for the network's levels


def through_plane(grid: Grid) -> int:
    """The voxel axis (0 for i, 1 for j, 2 for k) that runs most nearly from feet to head."""
    return int(np.argmax(np.abs(grid.ijk_to_ras[2, :3]) / grid.spacing))


def to_slabs(volume: Volume, slab_mm: float, pixel_mm: float) -> tuple[Volume, int]:
    """Slices averaged to slabs of at most `slab_mm`, and pixels to at most `pixel_mm`; with the axis through them.

    What is thicker or larger already stays as it is.
    """
    import SimpleITK as sitk

    axis = through_plane(volume.grid)
    target = np.where(np.arange(3) == axis, slab_mm, pixel_mm)
    steps = volume.grid.spacing.copy()
    factors = np.maximum(1, np.floor(target / steps + 1e-3)).astype(int)
    factors = np.minimum(factors, volume.array.shape[::-1])
    if np.all(factors == 1):
        return volume, axis
    # The last slab may lack slices: the last one stands for them, so that every slice is in a slab.
    lacking = np.where(np.arange(3) == axis, -np.array(volume.array.shape[::-1]) % factors, 0)
    array = np.pad(volume.array, [(0, int(n)) for n in lacking[::-1]], mode="edge") if lacking.any() else volume.array
    shrunk = sitk.BinShrink(to_sitk_index_space(array), [int(f) for f in factors])
    matrix = volume.ijk_to_ras.copy()
    matrix[:3, 3] += matrix[:3, :3] @ ((factors - 1) / 2.0)
    matrix[:3, :3] = matrix[:3, :3] * factors
    return replace(volume, array=sitk.GetArrayFromImage(shrunk), ijk_to_ras=matrix), axis


def slice_grid(slabs: Volume, axis: int, corners_ras: np.ndarray, pixel_mm: float) -> Grid:
    """The lattice of the slabs' planes: i to the right, j anterior within the plane, k from slab to slab upwards.

    Args:
        slabs, axis: as `to_slabs` gives them.
        corners_ras: points (n, 3) that the lattice must cover in plane, mm; every slab is covered through the plane.
        pixel_mm: side of a pixel of the lattice.
    """
    own = slabs.ijk_to_ras[:3, :3]
    step = own[:, axis] * (1.0 if own[2, axis] > 0 else -1.0)
    first = [a for a in range(3) if a != axis]
    normal = np.cross(own[:, first[0]], own[:, first[1]])
    normal /= np.linalg.norm(normal)
    right = np.array([1.0, 0.0, 0.0]) - normal[0] * normal
    right /= np.linalg.norm(right)
    front = np.cross(normal, right)
    front *= 1.0 if front[1] > 0 else -1.0
    basis = np.column_stack([right * pixel_mm, front * pixel_mm, step])
    count = slabs.array.shape[2 - axis]
    start = slabs.ijk_to_ras[:3, 3] + (own[:, axis] * (count - 1) if own[2, axis] < 0 else 0.0)
    places = (corners_ras - start) @ np.linalg.inv(basis).T
    low = places.min(axis=0)[:2]
    size = np.ceil(places.max(axis=0)[:2] - low + 1).astype(int)
    size = -(-size // MULTIPLE) * MULTIPLE
    middle = 0.5 * (low + places.max(axis=0)[:2]) - (size - 1) / 2.0
    matrix = np.eye(4)
    matrix[:3, :3] = basis
    matrix[:3, 3] = start + basis[:, :2] @ middle
    return Grid((count, int(size[1]), int(size[0])), matrix)


def to_slices(
    volume: Volume, slab_mm: float, pixel_mm: float, corners_ras: np.ndarray | None = None, fill: float = 0.0
) -> Volume:
    """The volume on its slice lattice (float32).

    Args:
        slab_mm, pixel_mm: thickness up to which slices are averaged, and side of the square pixels.
        corners_ras: points (n, 3) to cover in plane, such as the corners of an organ's box; None: the whole scan.
        fill: value outside the scan.
    """
    slabs, axis = to_slabs(volume, slab_mm, pixel_mm)
    corners = volume.grid.corners_ras() if corners_ras is None else corners_ras
    grid = slice_grid(slabs, axis, corners, pixel_mm)
    return replace(slabs, array=resample(slabs.array, slabs.ijk_to_ras, grid, fill), ijk_to_ras=grid.ijk_to_ras)


def scaled(grid: Grid, pixels: int) -> Grid:
    """The lattice whose pixels each stand for `pixels` x `pixels` of `grid` within a slice."""
    matrix = grid.ijk_to_ras.copy()
    matrix[:3, 3] += matrix[:3, :2].sum(axis=1) * (pixels - 1) / 2.0
    matrix[:3, :2] *= pixels
    k, j, i = grid.shape
    return Grid((k, j // pixels, i // pixels), matrix)
