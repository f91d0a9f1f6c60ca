"""Images with their place in the patient, and resampling between any two grids.

Arrays are (k, j, i). Every grid carries a 4x4 IJK-to-RAS matrix that acts on (i, j, k, 1) and may be oblique,
flipped, anisotropic or sheared (gantry tilt). No function here assumes an axis to be axial.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from .errors import InputError

if TYPE_CHECKING:
    import SimpleITK as sitk

AIR_HU = -1024.0


@dataclass(frozen=True)
class Grid:
    """A voxel lattice: shape (k, j, i) and IJK-to-RAS matrix (4x4, mm)."""

    shape: tuple[int, int, int]
    ijk_to_ras: np.ndarray

    def __post_init__(self) -> None:
        matrix = np.array(self.ijk_to_ras, dtype=float)
        if matrix.shape != (4, 4) or not np.all(np.isfinite(matrix)):
            raise InputError("The image has no valid IJK-to-RAS matrix; export it again from the scanner or archive.")
        if abs(np.linalg.det(matrix[:3, :3])) < 1e-9:
            raise InputError("The image has a voxel spacing of zero; export it again with its spacing.")
        object.__setattr__(self, "ijk_to_ras", matrix)
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))

    @property
    def spacing(self) -> np.ndarray:
        """Length in mm of one step along i, j and k."""
        return np.linalg.norm(self.ijk_to_ras[:3, :3], axis=0)

    @property
    def voxel_volume_ml(self) -> float:
        """Volume of one voxel in mL, from the determinant, so that shear does not change it."""
        return abs(float(np.linalg.det(self.ijk_to_ras[:3, :3]))) / 1000.0

    @property
    def slice_distance(self) -> float:
        """Perpendicular distance in mm between neighboring slices (k); smaller than spacing[2] under gantry tilt."""
        area = float(np.linalg.norm(np.cross(self.ijk_to_ras[:3, 0], self.ijk_to_ras[:3, 1])))
        return 1000.0 * self.voxel_volume_ml / area

    def corners_ras(self) -> np.ndarray:
        """The eight outer corners (voxel borders, not centers) in RAS, shape (8, 3)."""
        k, j, i = self.shape
        ends = np.array([[a, b, c] for a in (-0.5, i - 0.5) for b in (-0.5, j - 0.5) for c in (-0.5, k - 0.5)])
        return ends @ self.ijk_to_ras[:3, :3].T + self.ijk_to_ras[:3, 3]

    def to_ras(self, kji: np.ndarray) -> np.ndarray:
        """Voxel indices (n, 3) as (k, j, i) to RAS points (n, 3) in mm."""
        return np.asarray(kji, dtype=float)[:, ::-1] @ self.ijk_to_ras[:3, :3].T + self.ijk_to_ras[:3, 3]

    def sub_grid(self, box: tuple[slice, slice, slice]) -> Grid:
        """The part of the lattice inside a (k, j, i) box of slices."""
        start = np.array([box[2].start, box[1].start, box[0].start], dtype=float)
        matrix = self.ijk_to_ras.copy()
        matrix[:3, 3] += matrix[:3, :3] @ start
        return Grid(tuple(s.stop - s.start for s in box), matrix)

    def box_around(self, other: Grid) -> tuple[slice, slice, slice] | None:
        """The smallest (k, j, i) box of this lattice that holds all of `other`; None where they do not meet."""
        inverse = np.linalg.inv(self.ijk_to_ras)
        ijk = other.corners_ras() @ inverse[:3, :3].T + inverse[:3, 3]
        low = np.maximum(np.floor(ijk.min(axis=0)), 0).astype(int)[::-1]
        high = np.minimum(np.ceil(ijk.max(axis=0)).astype(int)[::-1] + 1, self.shape)
        if np.any(low >= high):
            return None
        return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))

    def same_as(self, other: Grid, tolerance_mm: float = 1e-3) -> bool:
        """Whether both lattices put every voxel within the tolerance of each other."""
        if self.shape != other.shape:
            return False
        return bool(np.abs(self.corners_ras() - other.corners_ras()).max() <= tolerance_mm)


@dataclass(frozen=True)
class Volume:
    """One image: array (k, j, i), IJK-to-RAS matrix, modality ("CT", "MR", "US") and a name for messages.

    `notes` says in words what reading changed (slices sorted, gantry tilt, irregular step), for the flags.
    """

    array: np.ndarray
    ijk_to_ras: np.ndarray
    modality: str = "CT"
    name: str = "image"
    notes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        if self.array.ndim != 3:
            raise InputError(
                f"'{self.name}' has {self.array.ndim} dimensions where one gray-value volume (3) is needed; "
                "choose one volume of the series."
            )
        object.__setattr__(self, "ijk_to_ras", Grid(self.array.shape, self.ijk_to_ras).ijk_to_ras)

    @property
    def grid(self) -> Grid:
        return Grid(self.array.shape, self.ijk_to_ras)

    @property
    def nbytes(self) -> int:
        """Size of the array in bytes."""
        return self.array.nbytes

    def with_array(self, array: np.ndarray) -> Volume:
        """The same place in the patient with other values."""
        return replace(self, array=array)


def to_sitk_index_space(array: np.ndarray) -> sitk.Image:
    """A SimpleITK image whose physical space is the index space, so that any matrix (shear too) can be applied."""
    import SimpleITK as sitk

    return sitk.GetImageFromArray(np.ascontiguousarray(array))


def resample(
    array: np.ndarray, ijk_to_ras: np.ndarray, target: Grid, fill: float = 0.0, nearest: bool = False
) -> np.ndarray:
    """Values of `array` (k, j, i) at the voxel centers of `target`; outside it `fill`. Any affine geometry.

    Linear interpolation in float32, or nearest neighbor in the array's own type.
    """
    import SimpleITK as sitk

    mapping = np.linalg.inv(ijk_to_ras) @ target.ijk_to_ras
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(mapping[:3, :3].ravel())
    transform.SetTranslation(mapping[:3, 3])
    image = to_sitk_index_space(array.astype(np.uint8) if array.dtype == bool else array)
    resampler = sitk.ResampleImageFilter()
    resampler.SetSize([int(n) for n in target.shape[::-1]])
    resampler.SetTransform(transform)
    resampler.SetInterpolator(sitk.sitkNearestNeighbor if nearest else sitk.sitkLinear)
    resampler.SetDefaultPixelValue(float(fill))
    resampler.SetOutputPixelType(image.GetPixelID() if nearest else sitk.sitkFloat32)
    return sitk.GetArrayFromImage(resampler.Execute(image))


def bin_shrink(volume: Volume, spacing: float) -> Volume:
    """Average whole voxels together as long as they stay finer than `spacing` (mm): cheap, and avoids aliasing."""
    import SimpleITK as sitk

    factors = np.maximum(1, np.floor(spacing / volume.grid.spacing + 1e-3)).astype(int)
    factors = np.minimum(factors, volume.array.shape[::-1])
    if np.all(factors == 1):
        return volume
    shrunk = sitk.BinShrink(to_sitk_index_space(volume.array), [int(f) for f in factors])
    matrix = volume.ijk_to_ras.copy()
    matrix[:3, 3] += matrix[:3, :3] @ ((factors - 1) / 2.0)
    matrix[:3, :3] = matrix[:3, :3] * factors
    return replace(volume, array=sitk.GetArrayFromImage(shrunk), ijk_to_ras=matrix)


def ras_grid(corners_ras: np.ndarray, spacing: float | np.ndarray, multiple: int = 1) -> Grid:
    """The RAS-aligned lattice (i to the right, j anterior, k superior) that covers the points.

    Args:
        corners_ras: points (n, 3) in mm.
        spacing: step in mm, one number or one for each of R, A, S.
        multiple: every dimension is rounded up to a multiple of this, extending on both sides.
    """
    step = np.broadcast_to(np.asarray(spacing, dtype=float), 3)
    low, high = corners_ras.min(axis=0), corners_ras.max(axis=0)
    count = np.maximum(1, np.ceil((high - low) / step - 1e-6)).astype(int)
    count = -(-count // multiple) * multiple
    matrix = np.diag([*step, 1.0])
    matrix[:3, 3] = (low + high) / 2.0 - step * (count - 1) / 2.0
    return Grid(tuple(int(n) for n in count[::-1]), matrix)


def to_ras_grid(volume: Volume, spacing: float, fill: float = AIR_HU, multiple: int = 1) -> Volume:
    """The whole volume on a RAS-aligned isotropic lattice of `spacing` mm (float32)."""
    shrunk = bin_shrink(volume, spacing)
    grid = ras_grid(volume.grid.corners_ras(), spacing, multiple)
    return replace(volume, array=resample(shrunk.array, shrunk.ijk_to_ras, grid, fill), ijk_to_ras=grid.ijk_to_ras)
