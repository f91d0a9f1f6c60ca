"""A Cox model as a nomogram: points of each predictor, their sum, and the mortality that belongs to it.

The predictor that can change the hazard most within its usual range spans 100 points; the end of a range with the lower
hazard has 0. Nothing here needs an image or a network, so a panel can compute it anew at every edit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from PrognosisLib.risk import CoxModel

MOST_POINTS = 100.0


@dataclass(frozen=True)
class Part:
    """One predictor of a patient: its points, the value they belong to, and whether that was given or estimated.

    Args:
        low, high: ends of the predictor's usual range that have the fewest and the most points.
        most: points at `high`.
    """

    name: str
    label: str
    points: float
    value: float
    is_given: bool
    low: float
    high: float
    most: float


@dataclass(frozen=True)
class Nomogram:
    """Points of one model; `ranges` are the ends of each predictor's usual range."""

    model: CoxModel
    ranges: Mapping[str, tuple[float, float]]

    @cached_property
    def _ends(self) -> np.ndarray:
        """(p, 2) contributions to the linear predictor at the end with the lower and the higher hazard."""
        ends = np.array([self.ranges[one.name] for one in self.model.predictors])
        return np.sort((ends - self.model.means[:, None]) * self.model.coefficients[:, None], axis=1)

    @cached_property
    def points_per_unit(self) -> float:
        """Points for 1 of the linear predictor."""
        return MOST_POINTS / float(np.ptp(self._ends, axis=1).max())

    @property
    def most_points(self) -> float:
        """Sum of the points at all the upper ends."""
        return self.points_per_unit * float(np.ptp(self._ends, axis=1).sum())

    def parts(self, values: Mapping[str, float | None]) -> list[Part]:
        """The patient's points, in the model's order; a value that is not given is estimated from the others.

        Raises:
            InputError: a name that is no predictor of the model, or a value that is not finite.
        """
        contributions = self.model.contributions(values)
        found = []
        for number, one in enumerate(self.model.predictors):
            (lowest, highest), slope = self._ends[number], float(self.model.coefficients[number])
            ends = sorted(self.ranges[one.name], reverse=slope < 0)
            part = contributions[one.name]
            given = values.get(one.name) is not None
            value = float(values[one.name]) if given else self._value_of(number, part)
            points, most = self.points_per_unit * (part - lowest), self.points_per_unit * (highest - lowest)
            found.append(Part(one.name, one.label, points, value, given, *ends, most))
        return found

    def _value_of(self, number: int, contribution: float) -> float:
        slope, mean = float(self.model.coefficients[number]), float(self.model.means[number])
        return mean + contribution / slope if slope else mean

    def total(self, values: Mapping[str, float | None]) -> float:
        """Sum of the patient's points."""
        return sum(part.points for part in self.parts(values))

    def mortality(self, total: float | np.ndarray, days: float) -> np.ndarray:
        """Mortality, 0 to 1, until `days` for totals of points of any shape, with all predictors known."""
        linear = np.asarray(total, float) / self.points_per_unit + float(self._ends[:, 0].sum())
        grid = np.concatenate([[0.0], self.model.times])
        hazard = np.interp(days, grid, np.concatenate([[0.0], self.model.baseline_hazard]))
        return -np.expm1(-hazard * np.exp(linear))
