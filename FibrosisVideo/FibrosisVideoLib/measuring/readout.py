"""From a patient's score to stages: ordered thresholds on one score for each network, and their test figures.

P(F >= k) is sigmoid(slope x score - threshold_k) with thresholds that ascend, so the probabilities of one patient fall
with the stage by construction (proportional odds: McCullagh, J R Stat Soc B 1980;42:109).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from PrognosisLib.bundles.bundle import Bundle
from PrognosisLib.errors import BundleError
from PrognosisLib.findings import Interval

from ..labels import MODELS, SIGNIFICANT, STAGES

FORMAT = "prognosis fibrosis readout 1"
Z95 = 1.959964
INTERVAL_STEPS = 41


@dataclass(frozen=True)
class OrdinalReadout:
    """One network's reading; a patient's score is the mean of its windows' scores.

    Args:
        slope: over 0, of the log odds for a step of 1 of the score.
        thresholds: (4,) ascending, of F1 to F4 or higher.
        window_sd: SD of a window's score about its patient's.
        residual_sd: SD of the score between cines of one patient beyond that: what another cine would change.
    """

    slope: float
    thresholds: np.ndarray
    window_sd: float
    residual_sd: float

    def stage_probabilities(self, score: float | np.ndarray) -> np.ndarray:
        """Of stages F1, F2, F3 and F4 or higher, (..., 4)."""
        logit = self.slope * np.asarray(score, float)[..., None] - self.thresholds
        return 0.5 * (1.0 + np.tanh(0.5 * logit))

    def stages(self, score: float | np.ndarray) -> np.ndarray:
        """Of each stage F0 to F4, (..., 5); they sum to 1."""
        reached = self.stage_probabilities(score)
        ends = np.ones((*reached.shape[:-1], 1)), np.zeros((*reached.shape[:-1], 1))
        return -np.diff(np.concatenate([ends[0], reached, ends[1]], axis=-1), axis=-1)

    def significant(self, score: float | np.ndarray) -> np.ndarray:
        """Probability of significant fibrosis, F2 or higher."""
        return self.stage_probabilities(score)[..., SIGNIFICANT - 1]

    def interval(self, score: float, windows: int) -> Interval:
        """95 % interval of a score that is the mean of so many windows."""
        reach = Z95 * math.sqrt(self.window_sd**2 / max(windows, 1) + self.residual_sd**2)
        return Interval(score - reach, score + reach)

    def significant_interval(self, score: float, windows: int) -> Interval:
        """95 % interval of `significant`."""
        ends = self.interval(score, windows)
        return Interval(float(self.significant(ends.lower)), float(self.significant(ends.upper)))

    def stage_intervals(self, score: float, windows: int) -> list[Interval]:
        """The smallest and largest probability of each stage within the interval of the score."""
        ends = self.interval(score, windows)
        chances = self.stages(np.append(np.linspace(ends.lower, ends.upper, INTERVAL_STEPS), score))
        return [Interval(float(a), float(b)) for a, b in zip(chances.min(axis=0), chances.max(axis=0), strict=True)]

    def to_dict(self) -> dict[str, Any]:
        spread = {"window_sd": self.window_sd, "residual_sd": self.residual_sd}
        return {"slope": self.slope, "thresholds": [float(t) for t in self.thresholds], **spread}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> OrdinalReadout:
        """Raises ValueError, KeyError or TypeError where it is not what `to_dict` gave."""
        found = cls(
            float(data["slope"]),
            np.asarray(data["thresholds"], float),
            float(data["window_sd"]),
            float(data["residual_sd"]),
        )
        numbers = [found.slope, *found.thresholds, found.window_sd, found.residual_sd]
        good = found.thresholds.shape == (len(STAGES) - 1,) and bool(np.isfinite(numbers).all())
        if not good or found.slope <= 0 or np.any(np.diff(found.thresholds) < 0) or min(numbers[-2:]) < 0:
            raise ValueError("no ordinal readout")
        return found


@dataclass(frozen=True)
class FibrosisReadout:
    """What a bundle knows of fibrosis.

    Args:
        models: by key of labels.MODELS.
        figures: by the same key, on the test cohort: "n", "positive", and as {"value", "lower", "upper"} "auc" and, at
            `decision`, "sensitivity" and "specificity"; "auc_oracle" as a number where the best possible is known.
        decision: probability of F2 or higher from which on the answer is yes, 0..1.
        simulated: whether the cohort was.
    """

    models: Mapping[str, OrdinalReadout]
    figures: Mapping[str, Mapping[str, Any]]
    decision: float
    simulated: bool

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> FibrosisReadout:
        """Raises BundleError where models/readout.json is damaged."""
        return cls.from_dict(bundle.json("readout"), bundle.is_part_simulated("risk"))

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], simulated: bool) -> FibrosisReadout:
        """Raises BundleError where it is not what `to_dict` gave."""
        try:
            good = content["format"] == FORMAT
            models = {key: OrdinalReadout.from_dict(content["models"][key]) for key in MODELS}
            figures = {key: dict(content["figures"].get(key, {})) for key in MODELS}
            decision = float(content["decision"])
            good = good and 0 < decision < 1
        except (KeyError, TypeError, ValueError, AttributeError):
            good = False
        if not good:
            raise BundleError("The readout of the model bundle is damaged; install the bundle again.")
        return cls(models, figures, decision, simulated)

    def to_dict(self) -> dict[str, Any]:
        """Content of models/readout.json."""
        models = {key: one.to_dict() for key, one in self.models.items()}
        figures = {key: dict(one) for key, one in self.figures.items()}
        return {"format": FORMAT, "models": models, "figures": figures, "decision": self.decision}
