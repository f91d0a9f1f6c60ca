"""Figures with intervals: proportions, bootstraps that draw whole patients, and the checks of outcomes and scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..errors import InputError

Z_95 = 1.959963984540054


class Estimate(NamedTuple):
    """A figure with the ends of its interval."""

    value: float
    lower: float
    upper: float

    def rounded(self, digits: int = 4) -> dict[str, float]:
        """For JSON: "value", "lower" and "upper"."""
        return {name: round(float(number), digits) for name, number in self._asdict().items()}


class Comparison(NamedTuple):
    """A difference with its interval, the test statistic and the two-sided p value."""

    difference: float
    lower: float
    upper: float
    z: float
    p: float


def checked_outcome(y: np.ndarray, *others: np.ndarray) -> tuple[np.ndarray, ...]:
    """The outcome as whole numbers, and arrays beside it as floats.

    Raises:
        InputError: lengths differ, something is not finite, the outcome is not 0 or 1, or all patients are of one kind.
    """
    arrays = [np.asarray(one, float) for one in (y, *others)]
    if len({len(one) for one in arrays}) > 1 or not all(np.isfinite(one).all() for one in arrays):
        raise InputError("outcomes and scores must be finite and of one length; leave incomplete patients out.")
    if set(np.unique(arrays[0])) != {0.0, 1.0}:
        raise InputError("the outcome must be 0 or 1, with patients of both kinds.")
    return arrays[0].astype(int), *arrays[1:]


def checked_probabilities(y: np.ndarray, *columns: np.ndarray) -> tuple[np.ndarray, ...]:
    """`checked_outcome` for probabilities, which must lie between 0 and 1."""
    y, *found = checked_outcome(y, *columns)
    if any((p < 0).any() or (p > 1).any() for p in found):
        raise InputError("probabilities must lie between 0 and 1.")
    return y, *found


def checked_survival(time: np.ndarray, event: np.ndarray, *others: np.ndarray) -> tuple[np.ndarray, ...]:
    """Times and events, and arrays beside them, as floats.

    Raises:
        InputError: lengths differ, something is not finite, a time is negative, or an event is not 0 or 1.
    """
    arrays = [np.asarray(one, float) for one in (time, event, *others)]
    if len({len(one) for one in arrays}) > 1 or not all(np.isfinite(one).all() for one in arrays):
        raise InputError("times, events and risks must be finite; leave incomplete patients out.")
    if (arrays[0] < 0).any() or not np.isin(arrays[1], (0.0, 1.0)).all():
        raise InputError("times must not be negative, and events must be 0 or 1.")
    return tuple(arrays)


def wilson(successes: int, n: int) -> Estimate:
    """A proportion with Wilson's score interval (J Am Stat Assoc 1927;22:209)."""
    if n < 1 or not 0 <= successes <= n:
        raise InputError(f"{successes} of {n} is not a proportion.")
    p, z2 = successes / n, Z_95**2
    center = (p + z2 / (2 * n)) / (1 + z2 / n)
    reach = Z_95 * np.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return Estimate(p, float(max(center - reach, 0)), float(min(center + reach, 1)))


def bootstrap_draws(
    figure: Callable[[np.ndarray], float], groups: np.ndarray, repeats: int = 200, seed: int = 0
) -> np.ndarray:
    """`figure(row indexes)` of `repeats` samples (r,), each of whole patients drawn with replacement.

    Args:
        groups: (rows,) patient of each row; all rows of a drawn patient go together.
    """
    rng = np.random.default_rng(seed)
    _, index = np.unique(groups, return_inverse=True)
    order = np.argsort(index, kind="stable")
    rows = np.split(order, np.cumsum(np.bincount(index))[:-1])
    return np.array(
        [
            figure(np.concatenate([rows[patient] for patient in rng.integers(0, len(rows), len(rows))]))
            for _ in range(repeats)
        ]
    )


def bootstrap(
    figure: Callable[[np.ndarray], float], groups: np.ndarray, repeats: int = 200, seed: int = 0
) -> tuple[float, float]:
    """Percentile interval of `figure(row indexes)`, drawing whole patients; samples that give NaN do not count."""
    draws = bootstrap_draws(figure, groups, repeats, seed)
    if not np.isfinite(draws).any():
        return float("nan"), float("nan")
    lower, upper = np.nanpercentile(draws, [2.5, 97.5])
    return float(lower), float(upper)
