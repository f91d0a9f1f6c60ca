"""The probability of significant fibrosis over the cine, a line for each network."""

from __future__ import annotations

import numpy as np

from PrognosisLib.findings import Curve
from PrognosisLib.images.cine.cine import Cine

from ..labels import MODELS, PRODUCT
from .evidence import CineEvidence
from .readout import Z95, FibrosisReadout

CHART = "Probability of F2 or higher over the cine"


def cine_curves(evidence: CineEvidence, readout: FibrosisReadout, cine: Cine) -> tuple[Curve, ...]:
    """Percent against seconds. The band of the product's is that of a single window's score."""
    curves = []
    for key in MODELS:
        scores = evidence.frame_scores.get(key)
        known = np.zeros(0, bool) if scores is None else np.isfinite(scores)
        if not known.any():
            continue
        model, scores, band = readout.models[key], scores[known], (None, None)
        if key == PRODUCT:
            reach = Z95 * float(np.hypot(model.window_sd, model.residual_sd))
            band = tuple(100.0 * model.significant(scores + sign * reach) for sign in (-1, 1))
        curves.append(
            Curve(
                CHART,
                MODELS[key],
                cine.times_s[known],
                100.0 * model.significant(scores),
                "Time (s)",
                "%",
                *band,
                emphasized=key == PRODUCT,
                simulated=readout.simulated,
            )
        )
    return tuple(curves)
