"""What the heads are fitted to: log hazards that are known, or what became of the patients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np


class HeadTarget(Protocol):
    """Something that n patients' readings are fitted to, with a penalty on large weights."""

    def rows(self, those: np.ndarray) -> HeadTarget:
        """Of some of the patients."""
        ...

    def fit(self, x: np.ndarray, ridge: float) -> tuple[np.ndarray, float]:
        """Weights (p,) and bias of a reading that is linear in x (n, p)."""
        ...

    def loss(self, reading: np.ndarray) -> float:
        """How far readings (n,) are from it, a mean over patients."""
        ...


@dataclass(frozen=True)
class KnownHazards:
    """Log hazards (n,): least squares."""

    values: np.ndarray

    def rows(self, those: np.ndarray) -> KnownHazards:
        return KnownHazards(self.values[those])

    def fit(self, x: np.ndarray, ridge: float) -> tuple[np.ndarray, float]:
        middle, mean = x.mean(axis=0), float(self.values.mean())
        inner = (x - middle).T @ (x - middle) / len(x) + ridge * np.eye(x.shape[1])
        weights = np.linalg.solve(inner, (x - middle).T @ (self.values - mean) / len(x))
        return weights, mean - float(middle @ weights)

    def loss(self, reading: np.ndarray) -> float:
        return float(np.mean((reading - self.values) ** 2))


@dataclass(frozen=True)
class SeenOutcomes:
    """Days (n,) and whether the patient died then: Cox's partial likelihood, with Breslow's ties."""

    days: np.ndarray
    died: np.ndarray

    def rows(self, those: np.ndarray) -> SeenOutcomes:
        return SeenOutcomes(self.days[those], self.died[those])

    def fit(self, x: np.ndarray, ridge: float) -> tuple[np.ndarray, float]:
        """A reading's mean is 0: the partial likelihood tells no level."""
        from scipy.optimize import minimize

        middle = x.mean(axis=0)

        def penalized(weights: np.ndarray) -> tuple[float, np.ndarray]:
            value, slope = self._likelihood((x - middle) @ weights)
            grows = slope @ (x - middle) + ridge * weights
            return value + 0.5 * ridge * float(weights @ weights), grows

        weights = minimize(penalized, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B").x
        return weights, -float(middle @ weights)

    def loss(self, reading: np.ndarray) -> float:
        return self._likelihood(reading)[0]

    def _likelihood(self, reading: np.ndarray) -> tuple[float, np.ndarray]:
        """Negative partial log likelihood over the number of patients, and its slope (n,) by each reading."""
        order = np.argsort(self.days, kind="stable")
        days, died, eta = self.days[order], self.died[order].astype(bool), reading[order]
        weight = np.exp(eta - eta.max())
        first = np.searchsorted(days, days, side="left")
        at_risk = np.cumsum(weight[::-1])[::-1][first]
        value = float((np.log(at_risk) + eta.max() - eta)[died].sum())
        share = np.cumsum(np.where(died, 1 / at_risk, 0.0))  # over the deaths until each patient's own day
        last = np.searchsorted(days, days, side="right") - 1
        slope = np.empty(len(eta))
        slope[order] = weight * share[last] - died
        return value / len(eta), slope / len(eta)
