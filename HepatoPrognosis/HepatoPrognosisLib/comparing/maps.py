"""Maps over the images: what raised the risk, in each of them, and where T1 differs from T0."""

from __future__ import annotations

import numpy as np

from PrognosisLib.findings import HeatMap
from PrognosisLib.framewise.lattice import SHAPE
from PrognosisLib.slicewise.network import EVIDENCE_PIXELS

from ..networks.head import PairHead
from ..networks.reading import ReadFrame
from .look import SPECKLE_PIXELS, gain_between
from .registration import Registration

BRIGHTEST_PERCENTILE = 99.0  # of what raises the risk
FULL_CHANGE = 40.0  # gray levels
CHANGE_PIXELS = 2  # of the lattice along each axis, for one of the map
RISK_NAMES = {"t0": "What raised the risk at T0", "t1": "What raised the risk at T1"}
CHANGE_NAME = "Change from T0 to T1"


def risk_maps(head: PairHead, first: ReadFrame, second: ReadFrame | None) -> list[HeatMap]:
    """What each place of T0, and of T1 if there is one, adds to the reading; what lowers it is 0.

    A place's part of a feature times the slope of the reading by that feature. Both maps have one scale, so that they
    can be compared.
    """
    slopes = head.gradient(first.features, None if second is None else second.features)
    raw = {}
    for when, read, slope in zip(RISK_NAMES, (first, second), slopes, strict=True):
        if read is not None:
            raw[when] = np.maximum(np.tensordot(slope, read.shares(), axes=1), 0.0)
    positive = np.concatenate([one[one > 0] for one in raw.values()])
    top = float(np.percentile(positive, BRIGHTEST_PERCENTILE)) if positive.size else 1.0
    role = {"t0": "", "t1": "t1"}
    return [
        _in_frame(RISK_NAMES[when], np.minimum(one / max(top, 1e-12), 1.0), read, EVIDENCE_PIXELS, role[when])
        for (when, one), read in zip(raw.items(), (first, second), strict=False)
    ]


def change_map(first: ReadFrame, second: ReadFrame, registration: Registration) -> HeatMap:
    """How much the gray values of T1, laid over T0 and brought to its gain, differ from those of T0 in both livers.

    Speckle is smoothed before. A difference of FULL_CHANGE gray levels or more is 1.
    """
    from scipy.ndimage import gaussian_filter

    both = first.liver & (registration.onto_first(second.liver) > 0.5)
    weight = np.maximum(gaussian_filter(both.astype(np.float32), 2 * SPECKLE_PIXELS), 1e-3)
    moved = registration.onto_first(second.gray) + np.float32(gain_between(first.gray, second.gray))
    change = np.abs(gaussian_filter((moved - first.gray) * both, 2 * SPECKLE_PIXELS)) / weight
    plane = np.clip(change / FULL_CHANGE, 0.0, 1.0) * both
    size = CHANGE_PIXELS
    coarse = plane.reshape(SHAPE[0] // size, size, SHAPE[1] // size, size).mean(axis=(1, 3))
    return _in_frame(CHANGE_NAME, coarse, first, size, "")


def _in_frame(name: str, plane: np.ndarray, read: ReadFrame, size: int, role: str) -> HeatMap:
    """A plane of cells of `size` lattice pixels as uint8 for all frames, empty but for the one that was read."""
    grid = read.lattice.cells(len(read.cine), size)
    array = np.zeros(grid.shape, np.uint8)
    array[read.number] = np.rint(255 * plane)
    return HeatMap(name, array, grid, role)
