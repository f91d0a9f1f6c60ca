"""A finished training on patients kept out: everything that the card shows of the classifiers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from PrognosisLib.evaluation.calibration import brier, calibration

from ..labels import MODELS, PRODUCT, SIGNIFICANT
from .encoding import EncodedCine
from .fitting import Fitted, chances_of
from .groups import Unseen
from .scoring import score_cines
from .validation import decision_point, figures


def measured_figures(
    fitted: Fitted, taught: Sequence[int], unseen: Unseen, encoded: Sequence[EncodedCine]
) -> dict[str, Any]:
    """Figures of the folds and, where there are any, of patients who taught nothing.

    Args:
        taught: stages of the cines that the classifiers were fitted to.
        encoded: the cines of `unseen` through the encoder.
    """
    stages = np.array(taught)
    points = {
        model: decision_point({PRODUCT: fitted.out_of_fold[model]}, stages) for model in MODELS
    }  # chosen on patients that the folds' networks never saw
    found: dict[str, Any] = {"decision": points[PRODUCT], "folds": figures(fitted.out_of_fold, stages, points)}
    if not encoded:
        return found
    scored = {model: score_cines(fitted.classifiers[model], encoded) for model in MODELS}
    chances = {model: chances_of(fitted.readouts[model], scored[model]) for model in MODELS}
    truth = np.array([cine.stage for cine in unseen.cines])
    found["test"] = figures(chances, truth, points, unseen.oracle, unseen.clinical)
    have = np.isfinite(chances[PRODUCT])
    found["unusable"] = {"n": len(truth), "cines": int((~have).sum())}
    if found["test"]:
        found["calibration"] = _calibration((truth[have] >= SIGNIFICANT).astype(float), chances[PRODUCT][have])
    return found


def _calibration(y: np.ndarray, p: np.ndarray) -> dict[str, Any]:
    """Slope and intercept with their ends, and the Brier score."""
    ends = {
        name: {part: round(getattr(one, part), 4) for part in ("value", "lower", "upper")}
        for name, one in calibration(y, p).items()
    }
    return {**ends, "brier": round(brier(y, p), 4)}
