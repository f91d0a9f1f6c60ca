"""The best cut-off of a score, with the p value that searching for it deserves.

Every cut-off between two ends of the score is tried; the largest standardized statistic is compared with the largest
ones of permuted outcomes (maximally selected rank statistics: Lausen and Schumacher, Biometrics 1992;48:73).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats

from ..errors import InputError
from .estimates import checked_outcome, checked_survival

SMALLEST_SHARE = 0.1  # of the patients on either side of a cut-off
BATCH = 2_000_000  # values held at once


class BestCutoff(NamedTuple):
    """Patients over `cutoff` are the high group.

    `p_uncorrected` is that of the same statistic as if the cut-off had been known before; `p` counts the search in.
    """

    cutoff: float
    n_low: int
    n_high: int
    z: float
    p_uncorrected: float
    p: float


def best_survival_cutoff(
    time: np.ndarray,
    event: np.ndarray,
    score: np.ndarray,
    permutations: int = 2000,
    seed: int = 0,
    smallest_share: float = SMALLEST_SHARE,
) -> BestCutoff:
    """The cut-off with the largest standardized sum of log-rank scores.

    With a strong effect it may lie beside that of the largest log-rank chi-squared, whose variance is another.
    """
    time, event, score = checked_survival(time, event, score)
    if event.sum() < 2:
        raise InputError("a best cut-off needs at least two events.")
    return _best(log_rank_scores(time, event), score, permutations, seed, smallest_share)


def best_binary_cutoff(
    y: np.ndarray,
    score: np.ndarray,
    permutations: int = 2000,
    seed: int = 0,
    smallest_share: float = SMALLEST_SHARE,
) -> BestCutoff:
    """The cut-off with the largest chi-squared statistic of a 2 x 2 table."""
    y, score = checked_outcome(y, score)
    return _best(y.astype(float), score, permutations, seed, smallest_share)


def log_rank_scores(time: np.ndarray, event: np.ndarray) -> np.ndarray:
    """What each patient adds to a log-rank statistic (n,): event minus the Nelson-Aalen hazard; they sum to zero."""
    _, place = np.unique(time, return_inverse=True)
    died = np.bincount(place, weights=event)
    followed = len(time) - np.concatenate([[0], np.cumsum(np.bincount(place))[:-1]])
    return event - np.cumsum(died / followed)[place]


def _best(points: np.ndarray, score: np.ndarray, permutations: int, seed: int, smallest_share: float) -> BestCutoff:
    n = len(score)
    order = np.argsort(score, kind="stable")
    ranked, points = score[order], points[order]
    low = np.append(np.flatnonzero(np.diff(ranked)), -1)[:-1] + 1  # sizes of the low group that ties allow
    low = low[(low >= max(1, smallest_share * n)) & (low <= n - max(1, smallest_share * n))]
    if not len(low):
        raise InputError("the score has no cut-off with enough patients on both sides.")
    centered = points - points.mean()
    spread = np.sqrt(low * (n - low) * (centered**2).sum() / (n * (n - 1)))
    # The high group's sum is minus that of the low group.
    found = -np.cumsum(centered)[low - 1] / spread
    best = int(np.argmax(np.abs(found)))
    rng = np.random.default_rng(seed)
    as_large, most = 0, abs(found[best]) - 1e-9
    for start in range(0, permutations, step := max(1, BATCH // n)):
        drawn = rng.permuted(np.tile(centered, (min(step, permutations - start), 1)), axis=1)
        as_large += int((np.abs(np.cumsum(drawn, axis=1)[:, low - 1] / spread).max(axis=1) >= most).sum())
    at = int(low[best])
    alone = float(2 * stats.norm.sf(abs(found[best])))
    return BestCutoff(float(ranked[at - 1]), at, n - at, float(found[best]), alone, (1 + as_large) / (1 + permutations))
