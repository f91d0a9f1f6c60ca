"""How well a measured quantity agrees with the truth: bias, limits of agreement, intraclass correlation."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats

from ..errors import InputError
from .estimates import Z_95, Estimate


class Agreement(NamedTuple):
    """Mean difference (found - truth) and the limits that hold 95 % of the differences, in the quantity's own unit."""

    n: int
    bias: Estimate
    lower_limit: Estimate
    upper_limit: Estimate


def bland_altman(found: np.ndarray, truth: np.ndarray) -> Agreement:
    """Bland and Altman's limits of agreement (Stat Methods Med Res 1999;8:135), mean difference +- 1.96 SD.

    Intervals of the limits take their variance as SD^2 (1/n + 1.96^2 / (2 (n - 1))), with Student's t.

    Raises:
        InputError: fewer than three pairs, or values that are not finite.
    """
    found, truth = _pairs(found, truth)
    difference = found - truth
    n, mean, sd = len(difference), float(difference.mean()), float(difference.std(ddof=1))
    t = float(stats.t.ppf(0.975, n - 1))
    of_mean = t * sd / np.sqrt(n)
    of_limit = t * sd * np.sqrt(1 / n + Z_95**2 / (2 * (n - 1)))

    def around(value: float, reach: float) -> Estimate:
        return Estimate(value, value - float(reach), value + float(reach))

    return Agreement(n, around(mean, of_mean), around(mean - Z_95 * sd, of_limit), around(mean + Z_95 * sd, of_limit))


def intraclass(*columns: np.ndarray) -> Estimate:
    """Intraclass correlation for absolute agreement of single measurements, two-way random effects: ICC(2,1).

    Shrout and Fleiss, Psychol Bull 1979;86:420, with their interval. Each column (n,) is one way of measuring the same
    n patients.

    Raises:
        InputError: fewer than three patients, values that are not finite, or no variation at all.
    """
    x = np.column_stack(_pairs(*columns))
    n, k = x.shape
    rows, across, grand = x.mean(axis=1), x.mean(axis=0), x.mean()
    of_rows = k * ((rows - grand) ** 2).sum() / (n - 1)
    of_columns = n * ((across - grand) ** 2).sum() / (k - 1)
    rest = ((x - rows[:, None] - across[None, :] + grand) ** 2).sum() / ((n - 1) * (k - 1))
    spread = of_rows + (k - 1) * rest + k * (of_columns - rest) / n
    if spread <= 0:
        raise InputError("an intraclass correlation needs values that differ.")
    value = (of_rows - rest) / spread
    if rest <= 1e-12 * of_rows:
        return Estimate(float(value), float(value), float(value))
    ratio = of_columns / rest
    part = n * (1 + (k - 1) * value) - k * value
    freedom = (k - 1) * (n - 1) * (k * value * ratio + part) ** 2
    freedom /= (n - 1) * k**2 * value**2 * ratio**2 + part**2
    low_f, high_f = stats.f.ppf(0.975, n - 1, freedom), stats.f.ppf(0.975, freedom, n - 1)
    other = k * of_columns + (k * n - k - n) * rest
    lower = n * (of_rows - low_f * rest) / (low_f * other + n * of_rows)
    upper = n * (high_f * of_rows - rest) / (other + n * high_f * of_rows)
    return Estimate(float(value), float(lower), float(min(upper, 1.0)))


def _pairs(*columns: np.ndarray) -> list[np.ndarray]:
    arrays = [np.asarray(one, float) for one in columns]
    if len({one.shape for one in arrays}) > 1 or not all(np.isfinite(one).all() for one in arrays):
        raise InputError("values to compare must be finite and of one length; leave incomplete patients out.")
    if len(arrays[0]) < 3:
        raise InputError("agreement needs at least three patients.")
    return arrays
