"""What a slice of a hematoma looks like, in numbers that the expansion features are trained to hold."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

# Density SD / 5 HU, shape index - 1, number of further parts, dark share, darkest encapsulated drop / 20 HU, mean HU
TARGETS = 6
SMALLEST_PIXELS = 12


def slice_targets(hu: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Targets (TARGETS,) float32 of one slice on 1 mm pixels; NaN where the slice has too little hematoma.

    Args:
        hu: (j, i) in HU; mask: bool (j, i), the hematoma.
    """
    if np.count_nonzero(mask) < SMALLEST_PIXELS:
        return np.full(TARGETS, np.nan, np.float32)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = (slice(max(0, rows[0] - 4), rows[-1] + 5), slice(max(0, columns[0] - 4), columns[-1] + 5))
    hu, mask = hu[box].astype(np.float32), mask[box]
    weight = ndimage.gaussian_filter(mask.astype(np.float32), 1.2)
    smooth = ndimage.gaussian_filter(np.where(mask, hu, 0.0), 1.2) / np.maximum(weight, 1e-3)
    inner = ndimage.binary_erosion(mask, iterations=2)
    inside = smooth[inner] if np.count_nonzero(inner) >= 6 else smooth[mask]
    dense = np.percentile(inside, 75)
    slope = np.hypot(*np.gradient(weight))
    index = slope.sum() ** 2 / (4 * np.pi * np.count_nonzero(mask))
    parts, count = ndimage.label(mask, np.ones((3, 3)))
    sizes = np.bincount(parts.ravel())[1:]
    further = np.count_nonzero(sizes >= 6) - 1 if count > 1 else 0
    return np.array(
        [
            inside.std() / 5.0,
            min(index, 5.0) - 1.0,
            min(max(further, 0), 4),
            np.mean(inside < dense - 10.0),
            _encapsulated_drop(smooth, mask, float(dense)) / 20.0,
            (inside.mean() - 55.0) / 10.0,
        ],
        np.float32,
    )


def _encapsulated_drop(smooth: np.ndarray, mask: np.ndarray, dense: float) -> float:
    """How much darker (HU) than the dense part the darkest region is that does not reach the border."""
    filled = ndimage.binary_fill_holes(mask)
    labels, count = ndimage.label(filled & (smooth < dense - 10.0))
    if not count:
        return 0.0
    touching = np.unique(labels[ndimage.binary_dilation(~filled, np.ones((3, 3), bool), border_value=1)])
    lowest = ndimage.minimum(smooth, labels, np.arange(1, count + 1))
    sizes = np.bincount(labels.ravel())[1:]
    drops = [dense - low for n, low in enumerate(lowest, 1) if n not in touching and sizes[n - 1] >= 5]
    return float(max(drops, default=0.0))
