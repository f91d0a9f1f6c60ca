"""What each network says of a patient: the mean of its windows' scores, and what the bundle's readout makes of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from PrognosisLib.findings import Interval

from ..labels import MODELS
from .evidence import CineEvidence, Window
from .readout import FibrosisReadout

# A window of which more is unusable says nothing.
MOST_UNUSABLE = 0.5


@dataclass(frozen=True)
class Reading:
    """One network's result; probabilities are 0..1, `stages` (5,) of F0 to F4."""

    score: float
    windows: int
    chance: float
    chance_interval: Interval
    stages: np.ndarray
    stage_intervals: list[Interval]


def usable_windows(evidence: CineEvidence) -> list[Window]:
    """The windows of which at least half the frames were usable."""
    return [
        one
        for one in evidence.windows
        if sum(frame in evidence.unusable for frame in range(one.start, one.stop))
        <= MOST_UNUSABLE * (one.stop - one.start)
    ]


def readings_of(evidence: CineEvidence, readout: FibrosisReadout) -> dict[str, Reading]:
    """By key of labels.MODELS; a network that read no usable window is left out."""
    windows, readings = usable_windows(evidence), {}
    for key in MODELS:
        scores = [one.scores[key] for one in windows if key in one.scores]
        if not scores:
            continue
        model, score, count = readout.models[key], float(np.mean(scores)), len(scores)
        readings[key] = Reading(
            score,
            count,
            float(model.significant(score)),
            model.significant_interval(score, count),
            model.stages(score),
            model.stage_intervals(score, count),
        )
    return readings
