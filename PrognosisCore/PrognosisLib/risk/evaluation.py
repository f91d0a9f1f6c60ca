"""How good a segmentation, a risk score or a survival model is, with intervals.

Needs scipy, and lifelines or statsmodels where the docstring says so; imported lazily by whatever evaluates. Outcomes
are 0/1 arrays with 1 for the event, scores rise with the risk, and intervals are 95 %.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage, spatial, stats

from ..errors import InputError

Z_95 = 1.959963984540054


class Estimate(NamedTuple):
    """A figure with the ends of its interval."""

    value: float
    lower: float
    upper: float


# --- segmentation -----------------------------------------------------------------------------------------------------


def dice(found: np.ndarray, truth: np.ndarray) -> float:
    """Dice overlap of two boolean arrays of one shape; 1 when both are empty. Raises InputError on unequal shapes."""
    found, truth = _masks(found, truth)
    total = np.count_nonzero(found) + np.count_nonzero(truth)
    return 2.0 * np.count_nonzero(found & truth) / total if total else 1.0


def hausdorff95(found: np.ndarray, truth: np.ndarray, ijk_to_ras: np.ndarray) -> float:
    """95th percentile of the distances between the two surfaces, both directions pooled, in mm.

    Distances run between the centers of boundary voxels in patient space, so any spacing, rotation and shear is right.

    Args:
        found, truth: boolean (k, j, i).
        ijk_to_ras: (4, 4), acts on (i, j, k, 1).

    Returns:
        Infinity when one mask is empty, 0 when both are.

    Raises:
        InputError: unequal shapes.
    """
    found, truth = _masks(found, truth)
    if not found.any() or not truth.any():
        return 0.0 if found.any() == truth.any() else float("inf")
    # outside the common box neither mask has voxels; one voxel of margin keeps the border a surface
    box = ndimage.find_objects((found | truth).astype(np.uint8))[0]
    axes = np.asarray(ijk_to_ras, float)[:3, 2::-1]
    points = [np.argwhere(_surface(np.pad(mask[box], 1))) @ axes.T for mask in (found, truth)]
    distances = [spatial.cKDTree(other).query(one)[0] for one, other in (points, points[::-1])]
    return float(np.percentile(np.concatenate(distances), 95))


def volume_error_percent(found_ml: float, truth_ml: float) -> float:
    """Signed volume error in percent of the truth. Raises InputError when the truth is not over 0."""
    if truth_ml <= 0:
        raise InputError("a volume error in percent needs a true volume over 0 mL.")
    return 100.0 * (found_ml - truth_ml) / truth_ml


def _masks(found: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    found, truth = np.asarray(found) != 0, np.asarray(truth) != 0
    if found.shape != truth.shape:
        raise InputError(f"masks of shape {found.shape} and {truth.shape} cannot be compared; resample one first.")
    return found, truth


def _surface(mask: np.ndarray) -> np.ndarray:
    return mask & ~ndimage.binary_erosion(mask)


# --- discrimination ---------------------------------------------------------------------------------------------------


def _outcome(y: np.ndarray, *others: np.ndarray) -> tuple[np.ndarray, ...]:
    arrays = [np.asarray(one, float) for one in (y, *others)]
    if len({len(one) for one in arrays}) > 1 or not all(np.isfinite(one).all() for one in arrays):
        raise InputError("outcomes and scores must be finite and of one length; leave incomplete patients out.")
    if set(np.unique(arrays[0])) != {0.0, 1.0}:
        raise InputError("the outcome must be 0 or 1, with patients of both kinds.")
    return arrays[0].astype(int), *arrays[1:]


def delong(y: np.ndarray, scores: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """AUC of each score (s,) and their covariance (s, s) on the same patients (DeLong et al., Biometrics 1988;44:837).

    The structural components come from midranks (Sun and Xu, IEEE Signal Process Lett 2014;21:1389). At least two
    patients of each kind are needed.
    """
    y, *columns = _outcome(y, *scores)
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


class Comparison(NamedTuple):
    """Difference of two paired AUCs with its interval, the test statistic and its two-sided p value."""

    difference: float
    lower: float
    upper: float
    z: float
    p: float


def compare_auc(y: np.ndarray, first: np.ndarray, second: np.ndarray) -> Comparison:
    """DeLong's test of two scores on the same patients. Scores that rank all patients alike give z 0 and p 1."""
    areas, covariance = delong(y, [first, second])
    difference = float(areas[0] - areas[1])
    error = float(np.sqrt(max(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1], 0.0)))
    z = difference / error if error > 1e-12 else 0.0
    return Comparison(
        difference, difference - Z_95 * error, difference + Z_95 * error, z, float(2 * stats.norm.sf(abs(z)))
    )


def wilson(successes: int, n: int) -> Estimate:
    """A proportion with Wilson's score interval (J Am Stat Assoc 1927;22:209)."""
    if n < 1 or not 0 <= successes <= n:
        raise InputError(f"{successes} of {n} is not a proportion.")
    p, z2 = successes / n, Z_95**2
    center = (p + z2 / (2 * n)) / (1 + z2 / n)
    reach = Z_95 * np.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return Estimate(p, float(max(center - reach, 0)), float(min(center + reach, 1)))


def bootstrap(
    figure: Callable[[np.ndarray], float], groups: np.ndarray, repeats: int = 200, seed: int = 0
) -> tuple[float, float]:
    """Percentile interval of `figure(row indexes)`, drawing whole patients.

    Args:
        groups: (rows,) patient of each row; all rows of a drawn patient go together.
    """
    rng = np.random.default_rng(seed)
    _, index = np.unique(groups, return_inverse=True)
    order = np.argsort(index, kind="stable")
    rows = np.split(order, np.cumsum(np.bincount(index))[:-1])
    draws = [
        figure(np.concatenate([rows[patient] for patient in rng.integers(0, len(rows), len(rows))]))
        for _ in range(repeats)
    ]
    lower, upper = np.nanpercentile(draws, [2.5, 97.5])
    return float(lower), float(upper)


# --- survival ---------------------------------------------------------------------------------------------------------


def c_index(
    time: np.ndarray,
    event: np.ndarray,
    risk: np.ndarray,
    patients: np.ndarray | None = None,
    repeats: int = 200,
    seed: int = 0,
) -> Estimate:
    """Harrell's C-index of a risk that rises with the hazard (lifelines), with a patient bootstrap.

    Raises:
        InputError: values that are not finite, or no two patients that can be compared.
    """
    from lifelines.utils import concordance_index

    time, event, risk = (np.asarray(one, float) for one in (time, event, risk))
    if not all(np.isfinite(one).all() for one in (time, event, risk)):
        raise InputError("times, events and risks must be finite; leave incomplete patients out.")

    def figure(rows: np.ndarray) -> float:
        try:
            return float(concordance_index(time[rows], -risk[rows], event[rows]))
        except ZeroDivisionError:
            return np.nan

    value = figure(np.arange(len(time)))
    if np.isnan(value):
        raise InputError("a C-index needs at least two patients who can be compared; there are no events to rank.")
    groups = np.arange(len(time)) if patients is None else np.asarray(patients)
    return Estimate(value, *bootstrap(figure, groups, repeats, seed))


class SurvivalCurve(NamedTuple):
    """Kaplan-Meier estimate: step times (t,) from 0, survival and its interval (t,), median (inf when not reached)."""

    times: np.ndarray
    survival: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    median: float


def kaplan_meier(time: np.ndarray, event: np.ndarray) -> SurvivalCurve:
    """Kaplan-Meier curve with the log(-log) interval (lifelines)."""
    from lifelines import KaplanMeierFitter

    fitted = KaplanMeierFitter().fit(time, event)
    band = fitted.confidence_interval_survival_function_.to_numpy()
    return SurvivalCurve(
        fitted.survival_function_.index.to_numpy(float),
        fitted.survival_function_.to_numpy()[:, 0],
        band[:, 0],
        band[:, 1],
        float(fitted.median_survival_time_),
    )


def log_rank(time: np.ndarray, event: np.ndarray, group: np.ndarray) -> tuple[float, float]:
    """Chi-squared and p value of the log-rank test between two or more groups (lifelines)."""
    from lifelines.statistics import multivariate_logrank_test

    result = multivariate_logrank_test(np.asarray(time), np.asarray(group), np.asarray(event))
    return float(result.test_statistic), float(result.p_value)


# --- probabilities ----------------------------------------------------------------------------------------------------


def _probabilities(y: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    y, p = _outcome(y, p)
    if (p < 0).any() or (p > 1).any():
        raise InputError("probabilities must lie between 0 and 1.")
    return y, p


def brier(y: np.ndarray, p: np.ndarray) -> float:
    """Mean squared difference of probability and outcome."""
    y, p = _probabilities(y, p)
    return float(np.mean((p - y) ** 2))


def calibration(y: np.ndarray, p: np.ndarray) -> Mapping[str, Estimate]:
    """Calibration "slope" (1 is right) and "intercept", calibration in the large (0 is right), by statsmodels.

    The slope is that of the outcome on the log odds of the probability; the intercept has the log odds as an offset.
    Probabilities are kept 1e-6 away from 0 and 1.
    """
    import statsmodels.api as sm

    y, p = _probabilities(y, p)
    p = np.clip(p, 1e-6, 1 - 1e-6)
    odds = np.log(p / (1 - p))
    family = sm.families.Binomial()
    slope = sm.GLM(y, sm.add_constant(odds, has_constant="add"), family=family).fit()
    large = sm.GLM(y, np.ones((len(y), 1)), family=family, offset=odds).fit()
    return {
        "slope": Estimate(float(slope.params[1]), *map(float, np.asarray(slope.conf_int())[1])),
        "intercept": Estimate(float(large.params[0]), *map(float, np.asarray(large.conf_int())[0])),
    }


class NetBenefit(NamedTuple):
    """Decision curve: threshold probabilities (t,), net benefit of the model and of treating everybody (t,)."""

    thresholds: np.ndarray
    model: np.ndarray
    treat_all: np.ndarray


def net_benefit(y: np.ndarray, p: np.ndarray, thresholds: Sequence[float]) -> NetBenefit:
    """Net benefit of treating patients at or over each threshold (Vickers and Elkin, Med Decis Making 2006;26:565).

    Thresholds lie between 0 and 1, 1 excluded. Treating nobody has net benefit 0.
    """
    y, p = _probabilities(y, p)
    t = np.asarray(thresholds, float)
    if not ((t >= 0) & (t < 1)).all():
        raise InputError("thresholds of a decision curve must be at least 0 and under 1.")
    chosen = p[None, :] >= t[:, None]
    odds = t / (1 - t)
    model = (chosen & (y == 1)).mean(axis=1) - odds * (chosen & (y == 0)).mean(axis=1)
    return NetBenefit(t, model, y.mean() - odds * (1 - y.mean()))
