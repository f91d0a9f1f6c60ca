"""How far a network's border lies from the truth on patients kept out: what the intervals of volumes are made from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import shape
from ..slicewise.onto_scan import FAR_OUTSIDE
from ..volume import Grid

LEVEL = 0.95
FEWEST = 3
# Before anything was measured: wide, so that nobody takes it for a measured value.
UNMEASURED: dict[str, Any] = {"logit": 3.0, "boundary_mm": 1.0, "level": LEVEL, "n": 0}


def border_shift(margin: np.ndarray, true_ml: float, grid: Grid) -> tuple[float, float] | None:
    """Log-odds at which the enclosed volume equals the true one, and the volume error in mm of surface.

    Args:
        margin: log-odds (k, j, i) on `grid`; what is ruled out is FAR_OUTSIDE.
        true_ml: of the outlined organ.

    Returns:
        None where there is nothing to find, or nothing was found.
    """
    inside, wanted = margin > 0, round(true_ml / grid.voxel_volume_ml)
    if not inside.any() or not wanted:
        return None
    ordered = np.sort(margin[margin > FAR_OUTSIDE])[::-1]
    shift = float(ordered[min(wanted, len(ordered) - 1)])
    error_ml = np.count_nonzero(inside) * grid.voxel_volume_ml - true_ml
    return shift, 1000.0 * float(error_ml) / shape.border(inside, grid).area(grid)


def calibrated_interval(found: Sequence[tuple[float, float] | None]) -> dict[str, Any]:
    """The metadata's "interval" from `border_shift` of each case; None counts for nothing.

    Both figures are taken as centered normal; the ends of the 95 % interval use Student's t with n degrees of freedom,
    since n is small. With fewer than three cases nothing is calibrated.
    """
    from scipy import stats

    known = np.array([one for one in found if one is not None]).reshape(-1, 2)
    if len(known) < FEWEST:
        return dict(UNMEASURED)
    shifts, distances = known.T
    quantile = float(stats.t.ppf(0.5 + LEVEL / 2, len(shifts)))
    held = 0
    for number, shift in enumerate(shifts):
        others = np.delete(shifts, number)
        held += abs(shift) <= stats.t.ppf(0.5 + LEVEL / 2, len(others)) * np.sqrt(np.mean(others**2))
    return {
        "logit": round(quantile * float(np.sqrt(np.mean(shifts**2))), 3),
        "boundary_mm": round(quantile * float(np.sqrt(np.mean(distances**2))), 3),
        "level": LEVEL,
        "n": len(shifts),
        "covers_when_left_out": f"{held} of {len(shifts)}",
    }
