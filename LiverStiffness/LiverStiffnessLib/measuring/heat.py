"""Where the stiffness score comes from, as images: the exact share of every pixel, for each sequence on its slices."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from PrognosisLib.findings import HeatMap
from PrognosisLib.slicewise.evidence import SliceEvidence
from PrognosisLib.slicewise.lattice import scaled
from PrognosisLib.slicewise.network import EVIDENCE_PIXELS, SMALLEST_SUM
from PrognosisLib.volume import Grid, resample

from ..segmenting.reading import ReadImage
from .ordinal import OrdinalModel, SliceInput

BRIGHTEST_PERCENTILE = 85.0
SMALLEST_SHARE = 0.25  # of liver in a pixel; beyond the border single pixels have large terms of little weight
DRAWN_PIXELS = 2  # of the slice lattice, for one pixel of the map


def heat_maps(
    model: OrdinalModel,
    read: Mapping[str, ReadImage],
    inputs: Mapping[str, SliceInput],
    evidence: Mapping[str, SliceEvidence],
) -> tuple[HeatMap, ...]:
    """What raises the score over that of a usual liver, 1 from the 85th percentile of the liver's on; what lowers it
    is 0. One map for each sequence.

    Each lies where `evidence` has its slices, so that of a T1 lies over the T2. The maps show shares of the images'
    part of the score; that of spleen, liver and fluid volume belongs to no place.
    """
    raw = {
        name: np.maximum(model.heat(name, inputs[name], read[name].maps, read[name].share, SMALLEST_SUM), 0.0)
        for name in model.sequences
    }
    raw = {name: one * (read[name].share >= SMALLEST_SHARE) for name, one in raw.items()}
    positive = np.concatenate([one[one > 0] for one in raw.values()])
    top = float(np.percentile(positive, BRIGHTEST_PERCENTILE)) if positive.size else 1.0
    return tuple(_map(name, np.minimum(one / max(top, 1e-12), 1.0), evidence[name]) for name, one in raw.items())


def _map(name: str, part: np.ndarray, evidence: SliceEvidence) -> HeatMap:
    lattice = Grid(evidence.shape, evidence.ijk_to_ras)
    coarse, grid = (scaled(lattice, pixels) for pixels in (EVIDENCE_PIXELS, DRAWN_PIXELS))
    return HeatMap(f"Stiffness heat map {name}", resample(part.astype(np.float32), coarse.ijk_to_ras, grid), grid)
