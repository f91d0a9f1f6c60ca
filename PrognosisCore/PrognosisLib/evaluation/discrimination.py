"""How well a score tells patients with the event from those without: ROC curve, AUC, paired tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from ..errors import InputError
from .estimates import Z_95, Comparison, Estimate, checked_outcome


class Roc(NamedTuple):
    """Share of events (t,) and of others (t,) at or over each threshold (t,), from none of the patients to all."""

    thresholds: np.ndarray
    sensitivity: np.ndarray
    false_positives: np.ndarray


def roc(y: np.ndarray, score: np.ndarray) -> Roc:
    """The empirical ROC curve; the first threshold is infinity."""
    y, score = checked_outcome(y, score)
    order = np.argsort(-score, kind="stable")
    last = np.append(np.flatnonzero(np.diff(score[order])), len(y) - 1)
    hits = np.cumsum(y[order])[last]
    false = last + 1 - hits
    return Roc(
        np.concatenate([[np.inf], score[order][last]]),
        np.concatenate([[0.0], hits / y.sum()]),
        np.concatenate([[0.0], false / (len(y) - y.sum())]),
    )


def delong(y: np.ndarray, scores: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """AUC of each score (s,) and their covariance (s, s) on the same patients (DeLong et al., Biometrics 1988;44:837).

    The structural components come from midranks (Sun and Xu, IEEE Signal Process Lett 2014;21:1389). At least two
    patients of each kind are needed.
    """
    y, *columns = checked_outcome(y, *scores)
    bad, good = np.flatnonzero(y == 1), np.flatnonzero(y == 0)
    m, n = len(bad), len(good)
    if min(m, n) < 2:
        raise InputError("an AUC with its interval needs at least two patients with and two without the event.")
    of_bad, of_good = [], []
    for score in columns:
        ranks = stats.rankdata(score)
        of_bad.append((ranks[bad] - stats.rankdata(score[bad])) / n)
        of_good.append(1 - (ranks[good] - stats.rankdata(score[good])) / m)
    covariance = np.atleast_2d(np.cov(of_bad)) / m + np.atleast_2d(np.cov(of_good)) / n
    return np.mean(of_bad, axis=1), covariance


def auc(y: np.ndarray, score: np.ndarray) -> Estimate:
    """Area under the ROC curve with DeLong's interval, cut at 0 and 1."""
    area, covariance = delong(y, [score])
    reach = Z_95 * np.sqrt(covariance[0, 0])
    return Estimate(float(area[0]), float(max(area[0] - reach, 0)), float(min(area[0] + reach, 1)))


def compare_auc(y: np.ndarray, first: np.ndarray, second: np.ndarray) -> Comparison:
    """DeLong's test of two scores on the same patients. Scores that rank all patients alike give z 0 and p 1."""
    areas, covariance = delong(y, [first, second])
    difference = float(areas[0] - areas[1])
    error = float(np.sqrt(max(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1], 0.0)))
    z = difference / error if error > 1e-12 else 0.0
    return Comparison(
        difference, difference - Z_95 * error, difference + Z_95 * error, z, float(2 * stats.norm.sf(abs(z)))
    )


def share_of_best(area: float, best: float) -> float | None:
    """Which share of (best possible AUC - 0.5) an AUC has; None where the best one is 0.5, as in a small group."""
    return None if best == 0.5 else round((area - 0.5) / (best - 0.5), 3)


def expected_auc(chance: np.ndarray, score: np.ndarray) -> float:
    """AUC over all outcomes that patients may have, instead of the one that was drawn.

    Args:
        chance: (n,) true probability of the event, known of simulated patients; score: (n,).
    """
    order = np.argsort(score, kind="stable")
    p, ranked = chance[order], score[order]
    above = np.concatenate([[0.0], np.cumsum(1 - p)])
    starts = np.searchsorted(ranked, ranked, side="left")
    ends = np.searchsorted(ranked, ranked, side="right")
    below = 0.5 * (above[starts] + above[ends]) - 0.5 * (1 - p)  # a patient is no pair with itself
    pairs = p.sum() * (1 - p).sum() - (p * (1 - p)).sum()
    return float((p * below).sum() / pairs)
