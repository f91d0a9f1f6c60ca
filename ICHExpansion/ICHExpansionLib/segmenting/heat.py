"""What drove the DL score, as an image: the exact share of every pixel, on the slices that the network saw."""

from __future__ import annotations

import numpy as np

from PrognosisLib.findings import HeatMap, Mask
from PrognosisLib.slicewise.evidence import slab_areas
from PrognosisLib.slicewise.lattice import scaled
from PrognosisLib.slicewise.network import EVIDENCE_PIXELS
from PrognosisLib.volume import resample

from .attention import AttentionModel
from .segmentation import Segmented

NAME = "Expansion heat map"
BRIGHTEST_PERCENTILE = 97.0
DRAWN_PIXELS = 2  # of the slice lattice, for one pixel of the map


def heat_map(attention: AttentionModel, found: Segmented, hematoma: Mask) -> HeatMap:
    """Positive contributions to the DL score, 1 from the 97th percentile of the blood's on; what lowers the score is 0.

    The volume's part of the score is not in the map: it belongs to no place.
    """
    areas = slab_areas(hematoma.array, hematoma.start, hematoma.grid.ijk_to_ras, found.evidence)
    raw = attention.heat(found.evidence.features, areas, found.maps, found.share)
    part = np.maximum(raw, 0.0).astype(np.float32)
    # One pixel of one slice is not to decide the colors of all others.
    blood = part[(part > 0) & (found.share >= 0.5)]
    if blood.size:
        part = np.minimum(part, np.percentile(blood, BRIGHTEST_PERCENTILE))
    coarse = scaled(found.slices.grid, EVIDENCE_PIXELS)
    grid = scaled(found.slices.grid, DRAWN_PIXELS)
    smooth = resample(part / max(float(part.max()), 1e-12), coarse.ijk_to_ras, grid)
    return HeatMap(NAME, smooth / max(float(smooth.max()), 1e-12), grid)
