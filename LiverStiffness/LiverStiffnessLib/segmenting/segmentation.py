"""From log-odds to masks: liver in one piece, spleen in one piece, fluid near them; each on the scan's own voxels."""

from __future__ import annotations

import numpy as np

from PrognosisLib.findings import Mask
from PrognosisLib.slicewise.onto_scan import onto_scan
from PrognosisLib.volume import Grid

from ..labels import ASCITES, LIVER, SEGMENTS, SPLEEN
from .reading import ReadImage

FAR_OUTSIDE = -20.0
SMALLEST_ML = {LIVER: 100.0, SPLEEN: 8.0, ASCITES: 25.0}
# A second piece of liver or spleen is kept when it is this large a share of the first.
SMALLEST_SHARE = {LIVER: 0.15, SPLEEN: 0.25, ASCITES: 0.1}


def draw_masks(read: ReadImage, scan: Grid, interval_logit: float) -> dict[int, Mask]:
    """Masks by label on the scan's voxels; what was not found is left out.

    Args:
        interval_logit: shift of the log-odds that gives the ends of the volume's interval.
    """
    masks = {}
    for label, margin in read.margins.items():
        kept = keep_pieces(margin, read.slices.grid, label)
        if (kept > 0).any():
            mask = onto_scan(kept, read.slices.grid, scan, SEGMENTS[label], interval_logit, solid=label != ASCITES)
            if not mask.is_empty:
                masks[label] = mask
    if LIVER not in masks:
        masks.pop(ASCITES, None)
    return masks


def keep_pieces(margin: np.ndarray, grid: Grid, label: int) -> np.ndarray:
    """The margin without specks: they are pushed outside, and holes within a slice of liver or spleen are closed."""
    from scipy import ndimage

    found, count = ndimage.label(margin > 0, np.ones((3, 3, 3)))
    if not count:
        return margin
    ml = np.bincount(found.ravel()) * grid.voxel_volume_ml
    ml[0] = 0.0
    drop = ml < max(SMALLEST_ML[label], SMALLEST_SHARE[label] * ml.max())
    drop[0] = False
    kept = np.where(drop[found], np.float32(FAR_OUTSIDE), margin)
    if label == ASCITES:
        return kept
    for plane in kept:
        inside = plane > 0
        holes = ndimage.binary_fill_holes(inside) & ~inside
        if 0 < np.count_nonzero(holes) < 0.05 * max(1, np.count_nonzero(inside)):
            plane[holes] = 0.1
    return kept
