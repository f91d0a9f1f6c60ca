"""From the slice lattice back to the scan: a class's log-odds become a mask on the scan's own voxels."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..findings import Interval, Mask
from ..volume import Grid, resample

FAR_OUTSIDE = -20.0  # log-odds where a class is ruled out


def onto_scan(margin: np.ndarray, lattice: Grid, scan: Grid, name: str, shift: float, **mask_fields: Any) -> Mask:
    """The class where its log-odds are above 0, with the interval of its volume; empty where there is none.

    Args:
        margin: log-odds (s, j, i) on `lattice`, the slice lattice of the scan.
        scan: grid of the mask.
        shift: of the log-odds; volumes at `shift` and at `-shift` are the ends of the interval.
        mask_fields: further fields of the mask, such as `solid` or `evidence`.
    """
    empty = Mask.from_full(name, np.zeros((0, 0, 0), bool), scan, **mask_fields)
    where = np.argwhere(margin > -shift - 1.0)
    if not len(where):
        return empty
    low, high = np.maximum(where.min(axis=0) - 2, 0), np.minimum(where.max(axis=0) + 3, margin.shape)
    near = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    # Beyond the last slab's center the slab still reaches half its thickness.
    part = np.pad(margin[near], ((1, 1), (0, 0), (0, 0)), "edge")
    inner = lattice.sub_grid(near)
    matrix = inner.ijk_to_ras.copy()
    matrix[:3, 3] -= matrix[:3, 2]
    box = scan.box_around(Grid((part.shape[0], *inner.shape[1:]), matrix))
    if box is None:
        return empty
    values = resample(part, matrix, scan.sub_grid(box), fill=FAR_OUTSIDE)
    inside = values > 0
    if not inside.any():
        return empty
    ends = [float(np.count_nonzero(values > t)) * scan.voxel_volume_ml for t in (shift, -shift)]
    probability = 1 / (1 + np.exp(-values[inside]))
    tight = Mask.from_full(name, inside, scan.sub_grid(box))
    start = tuple(int(a + s.start) for a, s in zip(tight.start, box, strict=True))
    known = {"volume_ml": Interval(*ends), "confidence": float(probability.mean())}
    return Mask(name, tight.array, start, scan, **known, **mask_fields)
