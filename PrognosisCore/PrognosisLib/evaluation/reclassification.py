"""What a second model changes beside a first: net reclassification and integrated discrimination improvement.

Both are of predictions as they stand. Where both models were fitted to the patients they are compared on, their p
values are too small (Hilden and Gerds, Stat Med 2014;33:3405); a difference of AUC or of net benefit is the better
guide.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from .estimates import Z_95, Comparison, Estimate, checked_probabilities


class Reclassification(NamedTuple):
    """Net reclassification: the sum, with test, and its parts among patients with and without the event."""

    total: Comparison
    events: Estimate
    others: Estimate


def net_reclassification(
    y: np.ndarray, old: np.ndarray, new: np.ndarray, cuts: Sequence[float] = ()
) -> Reclassification:
    """Net reclassification improvement of `new` over `old` (Pencina et al., Stat Med 2008;27:157 and 2011;30:11).

    Intervals are Wald's; the test has the variance of no improvement.

    Args:
        old, new: (n,) probabilities.
        cuts: probabilities that part the risk classes, each from the cut on; without them any rise or fall counts.
    """
    y, old, new = checked_probabilities(y, old, new)
    if len(cuts):
        edges = np.sort(np.asarray(cuts, float))
        old, new = (np.searchsorted(edges, p, side="right") for p in (old, new))
    parts = []
    for group, sign in ((y == 1, 1), (y == 0, -1)):
        change, n = sign * (new[group] - old[group]), int(group.sum())
        up, down = float((change > 0).mean()), float((change < 0).mean())
        parts.append((up - down, (up + down - (up - down) ** 2) / n, (up + down) / n))
    (events, of_events, null_events), (others, of_others, null_others) = parts
    total, spread = events + others, float(np.sqrt(of_events + of_others))
    null = float(np.sqrt(null_events + null_others))
    z = total / null if null > 0 else 0.0
    test = Comparison(total, total - Z_95 * spread, total + Z_95 * spread, z, float(2 * stats.norm.sf(abs(z))))
    return Reclassification(test, _around(events, of_events), _around(others, of_others))


def integrated_discrimination(y: np.ndarray, old: np.ndarray, new: np.ndarray) -> Comparison:
    """Integrated discrimination improvement: how much further apart the mean probabilities of patients with and
    without the event are (Pencina et al., Stat Med 2008;27:157)."""
    y, old, new = checked_probabilities(y, old, new)
    change = new - old
    value = float(change[y == 1].mean() - change[y == 0].mean())
    spread = float(np.sqrt(sum(change[y == kind].var(ddof=1) / (y == kind).sum() for kind in (0, 1))))
    z = value / spread if spread > 1e-15 else 0.0
    return Comparison(value, value - Z_95 * spread, value + Z_95 * spread, z, float(2 * stats.norm.sf(abs(z))))


def _around(value: float, variance: float) -> Estimate:
    reach = Z_95 * float(np.sqrt(variance))
    return Estimate(value, value - reach, value + reach)
