"""Scores of windows by a trained classifier, and the readout that is fitted to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import optimize

from PrognosisLib.learning.training import channels_last, fast_type

from ..measuring.readout import OrdinalReadout
from .encoding import EncodedCine
from .head_training import Classifier, seen_by

SMALLEST_SLOPE = 0.05


@dataclass(frozen=True)
class Scored:
    """Scores (windows,) of one cine; empty where no window was usable."""

    windows: np.ndarray

    @property
    def score(self) -> float:
        return float(self.windows.mean()) if len(self.windows) else float("nan")


def score_cines(classifier: Classifier, cines: Sequence[EncodedCine]) -> list[Scored]:
    """The scores of every cine as it is."""
    kind = fast_type(torch.device("cpu"))
    classifier = channels_last(classifier)
    scored = []
    with torch.inference_mode(), torch.autocast("cpu", dtype=kind or torch.bfloat16, enabled=kind is not None):
        for cine in cines:
            windows = [seen_by(classifier.model, cine, 0, frames) for frames in cine.windows()]
            if windows:
                scores = classifier(channels_last(torch.from_numpy(np.stack(windows))))[0]
                scored.append(Scored(scores.float().numpy().astype(float)))
            else:
                scored.append(Scored(np.zeros(0)))
    return scored


def fit_readout(scored: Sequence[Scored], stages: Sequence[int], residual_sd: float) -> OrdinalReadout:
    """Proportional odds of the stage on the score, by maximum likelihood, on cines that the network never saw.

    Raises:
        ValueError: fewer than two usable cines, or all of one stage.
    """
    have = [number for number, one in enumerate(scored) if len(one.windows)]
    score, stage = np.array([scored[n].score for n in have]), np.array(stages)[have]
    if len(set(stage.tolist())) < 2:
        raise ValueError("A readout needs usable cines of at least two stages.")
    center, spread = float(score.mean()), max(float(score.std()), 1e-6)
    z = (score - center) / spread
    shares = np.clip([np.mean(stage >= k) for k in range(1, 5)], 0.02, 0.98)
    start = np.concatenate([[1.0], -np.log(shares / (1 - shares))[:1], np.log(np.maximum(_steps(shares), 0.05))])

    def loss(parameters: np.ndarray) -> float:
        slope, thresholds = np.exp(parameters[0]), _ascending(parameters[1:])
        reached = 1 / (1 + np.exp(np.clip(thresholds[None] - slope * z[:, None], -50, 50)))
        ends = np.ones((len(z), 1)), np.zeros((len(z), 1))
        chance = -np.diff(np.concatenate([ends[0], reached, ends[1]], axis=1), axis=1)
        return -float(np.log(np.maximum(chance[np.arange(len(z)), stage], 1e-9)).sum())

    best = optimize.minimize(loss, start, method="L-BFGS-B").x
    slope = max(float(np.exp(best[0])) / spread, SMALLEST_SLOPE)
    thresholds = _ascending(best[1:]) + slope * center
    inside = [one.windows - one.score for one in scored if len(one.windows) > 1]
    freedom = sum(len(one) - 1 for one in inside)
    window_sd = float(np.sqrt(sum((one**2).sum() for one in inside) / freedom)) if freedom else 0.0
    return OrdinalReadout(slope, thresholds, window_sd, residual_sd)


def _steps(shares: np.ndarray) -> np.ndarray:
    """Rises between the thresholds that would give these shares."""
    return np.diff(-np.log(shares / (1 - shares)))


def _ascending(parameters: np.ndarray) -> np.ndarray:
    """(4,) thresholds from the first one and the logarithms of the rises."""
    return parameters[0] + np.concatenate([[0.0], np.cumsum(np.exp(np.clip(parameters[1:], -20, 10)))])
