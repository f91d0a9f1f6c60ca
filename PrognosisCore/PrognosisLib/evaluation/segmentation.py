"""How well a mask agrees with the truth: overlap, distance of surfaces, volume."""

from __future__ import annotations

import numpy as np
from scipy import ndimage, spatial

from ..errors import InputError


def dice(found: np.ndarray, truth: np.ndarray) -> float:
    """Dice overlap of two boolean arrays of one shape; 1 when both are empty. Raises InputError on unequal shapes."""
    found, truth = _masks(found, truth)
    total = np.count_nonzero(found) + np.count_nonzero(truth)
    return 2.0 * np.count_nonzero(found & truth) / total if total else 1.0


def hausdorff95(found: np.ndarray, truth: np.ndarray, ijk_to_ras: np.ndarray) -> float:
    """95th percentile of the distances between the two surfaces, both directions pooled, in mm.

    Distances run between the centers of boundary voxels in patient space, so any spacing, rotation and shear is right.

    Args:
        found, truth: boolean (k, j, i).
        ijk_to_ras: (4, 4), acts on (i, j, k, 1).

    Returns:
        Infinity when one mask is empty, 0 when both are.

    Raises:
        InputError: unequal shapes.
    """
    found, truth = _masks(found, truth)
    if not found.any() or not truth.any():
        return 0.0 if found.any() == truth.any() else float("inf")
    # outside the common box neither mask has voxels; one voxel of margin keeps the border a surface
    box = ndimage.find_objects((found | truth).astype(np.uint8))[0]
    axes = np.asarray(ijk_to_ras, float)[:3, 2::-1]
    points = [np.argwhere(_surface(np.pad(mask[box], 1))) @ axes.T for mask in (found, truth)]
    distances = [spatial.cKDTree(other).query(one)[0] for one, other in (points, points[::-1])]
    return float(np.percentile(np.concatenate(distances), 95))


def volume_error_percent(found_ml: float, truth_ml: float) -> float:
    """Signed volume error in percent of the truth. Raises InputError when the truth is not over 0."""
    if truth_ml <= 0:
        raise InputError("a volume error in percent needs a true volume over 0 mL.")
    return 100.0 * (found_ml - truth_ml) / truth_ml


def _masks(found: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    found, truth = np.asarray(found) != 0, np.asarray(truth) != 0
    if found.shape != truth.shape:
        raise InputError(f"masks of shape {found.shape} and {truth.shape} cannot be compared; resample one first.")
    return found, truth


def _surface(mask: np.ndarray) -> np.ndarray:
    return mask & ~ndimage.binary_erosion(mask)
