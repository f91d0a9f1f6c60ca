"""A shaded 3D view of masks by casting parallel rays: needs no graphics card, no window and no OpenGL.

Rays run through the mask resampled onto a lattice that is aligned with the view, so any IJK-to-RAS matrix will do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..colors import segment_color
from ..findings import Mask
from ..volume import Grid, Volume, bin_shrink, resample, to_sitk_index_space

STEPS = 240  # lattice steps along the longest side of the scene
SMOOTH_STEPS = 1.2  # least smoothing, in lattice steps
SMOOTH_SLICES = 0.6  # and in voxels of the coarsest direction, so that thick slices leave no terraces
SEE_THROUGH = 0.45  # opacity of segments that are not shown by default or not solid
# Where the light is, in (right, up, away) of the viewer.
LIGHT = np.array([-0.42, 0.52, -0.74]) / np.linalg.norm([-0.42, 0.52, -0.74])


@dataclass(frozen=True)
class Viewpoint:
    """Orthographic camera in RAS: unit vectors to the viewer's right, up and away, as rows."""

    axes: np.ndarray

    @classmethod
    def looking_from(cls, direction: Sequence[float]) -> Viewpoint:
        """From a direction in RAS, superior up."""
        away = -np.asarray(direction, dtype=float) / np.linalg.norm(direction)
        right = np.cross(away, [0.0, 0.0, 1.0])
        right /= np.linalg.norm(right)
        return cls(np.stack([right, np.cross(right, away), away]))


ANTERIOR_LEFT = Viewpoint.looking_from((-0.8, 1.0, 0.35))


@dataclass(frozen=True)
class SurfaceView:
    """A rendered view: `image` (row, column, RGB) in 0..1 with row 0 at the bottom, and its half width in mm."""

    image: np.ndarray
    half_width: float
    viewpoint: Viewpoint


def render(masks: Sequence[Mask], viewpoint: Viewpoint = ANTERIOR_LEFT, margin: float = 1.35) -> SurfaceView | None:
    """Shade the masks on white; those not visible by default are see-through. None when all are empty.

    The frame is square, centered on the masks' common box and `margin` times as wide as needed.
    """
    drawn = [mask for mask in masks if not mask.is_empty]
    if not drawn:
        return None
    seen = {id(mask): mask.cropped_grid.corners_ras() @ viewpoint.axes.T for mask in drawn}
    together = np.concatenate(list(seen.values()))
    center = (together.min(axis=0) + together.max(axis=0)) / 2.0
    half = float(np.ptp(together, axis=0)[:2].max()) / 2.0 * margin
    step = float(np.ptp(together, axis=0).max()) / STEPS
    size = 2 * int(np.ceil(half / step))
    image = np.ones((size, size, 3), dtype=np.float32)
    nearest = np.full((size, size), np.inf, dtype=np.float32)
    for mask in sorted(drawn, key=lambda mask: not _opaque(mask)):
        rows, columns, depth, color = _cast(mask, seen[id(mask)], center, step, size, viewpoint)
        front = depth < nearest[rows, columns]
        rows, columns, depth, color = rows[front], columns[front], depth[front], color[front]
        opacity = 1.0 if _opaque(mask) else SEE_THROUGH
        image[rows, columns] = opacity * color + (1.0 - opacity) * image[rows, columns]
        if _opaque(mask):
            nearest[rows, columns] = depth
    return SurfaceView(image, size * step / 2.0, viewpoint)


def _opaque(mask: Mask) -> bool:
    return mask.visible and mask.solid


def _cast(
    mask: Mask, corners: np.ndarray, center: np.ndarray, step: float, size: int, viewpoint: Viewpoint
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """First hits of one mask: image rows (n,), columns (n,), depth in mm (n,), color (n, 3)."""
    border = 5
    first = np.floor((corners.min(axis=0) - center) / step).astype(int) - border
    last = np.ceil((corners.max(axis=0) - center) / step).astype(int) + border
    matrix = np.eye(4)
    matrix[:3, :3] = viewpoint.axes.T * step
    matrix[:3, 3] = viewpoint.axes.T @ (center + (first + 0.5) * step)
    lattice = Grid(tuple((last - first)[::-1]), matrix)
    smooth = _smooth(mask, step)
    field = resample(smooth.array, smooth.ijk_to_ras, lattice)
    level = min(0.5, 0.5 * float(field.max()))  # a segment of a few voxels must not vanish by smoothing

    inside = field > level
    inside[:2] = inside[-2:] = False
    row, column = np.nonzero(inside.any(axis=0))
    hit = inside.argmax(axis=0)[row, column]
    before, at = field[hit - 1, row, column], field[hit, row, column]
    part = np.clip((level - before) / np.maximum(at - before, 1e-6), 0.0, 1.0)
    slope = sum(weight[:, None] * _slope(field, k, row, column) for weight, k in ((1.0 - part, hit - 1), (part, hit)))
    normal = -slope / np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 1e-6)
    depth = ((hit - 1 + part) + first[2]) * step
    row, column = row + first[1] + size // 2, column + first[0] + size // 2
    shown = (row >= 0) & (row < size) & (column >= 0) & (column < size)
    return row[shown], column[shown], depth[shown], _light(normal[shown], segment_color(mask.name))


def _smooth(mask: Mask, step: float) -> Volume:
    """The mask as a smooth field 0..1 on a lattice no finer than `step`, with an empty border."""
    import SimpleITK as sitk

    grid = mask.cropped_grid
    factors = np.maximum(1, np.floor(step / grid.spacing + 1e-3)).astype(int)
    border = [(4 * f, 5 * f) for f in factors[::-1]]
    matrix = grid.ijk_to_ras.copy()
    matrix[:3, 3] -= matrix[:3, :3] @ (4.0 * factors)
    padded = bin_shrink(Volume(np.pad(mask.array.astype(np.uint8) * 255, border), matrix), step)
    spacing = padded.grid.spacing
    width = max(SMOOTH_STEPS * step, SMOOTH_SLICES * float(spacing.max()))
    image = sitk.Cast(to_sitk_index_space(padded.array), sitk.sitkFloat32)
    smooth = sitk.SmoothingRecursiveGaussian(image, [float(width / n) for n in spacing])
    return padded.with_array(sitk.GetArrayFromImage(smooth) / np.float32(255.0))


def _slope(field: np.ndarray, k: np.ndarray, j: np.ndarray, i: np.ndarray) -> np.ndarray:
    """Central differences along the viewer's right, up and away, (n, 3)."""
    ends = np.array(field.shape) - 1
    up, down = np.minimum(j + 1, ends[1]), np.maximum(j - 1, 0)
    right, left = np.minimum(i + 1, ends[2]), np.maximum(i - 1, 0)
    far, near = np.minimum(k + 1, ends[0]), np.maximum(k - 1, 0)
    return np.stack(
        [
            field[k, j, right] - field[k, j, left],
            field[k, up, i] - field[k, down, i],
            field[far, j, i] - field[near, j, i],
        ],
        axis=1,
    )


def _light(normal: np.ndarray, color: tuple[float, float, float]) -> np.ndarray:
    """Diffuse light from the upper left, a soft highlight, (n, 3)."""
    facing = np.clip(normal @ LIGHT, 0.0, 1.0)
    half_way = LIGHT + np.array([0.0, 0.0, -1.0])
    shine = np.clip(normal @ (half_way / np.linalg.norm(half_way)), 0.0, 1.0) ** 24
    shaded = np.asarray(color) * (0.5 + 0.55 * facing)[:, None] + 0.22 * shine[:, None]
    return np.clip(shaded, 0.0, 1.0).astype(np.float32)
