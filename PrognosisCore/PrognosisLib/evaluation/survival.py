"""Times to an event with censoring: C-index, area until a time, Kaplan-Meier curves, log-rank test, hazard ratio, Brier
score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from ..errors import InputError
from .estimates import Z_95, Comparison, Estimate, bootstrap, bootstrap_draws, checked_survival

MOST_PAIRED = 4000  # patients whose pairs are held at once, which makes a bootstrap many times faster


def concordance(time: np.ndarray, event: np.ndarray, risk: np.ndarray) -> float:
    """Harrell's C-index; NaN where no two patients can be compared."""
    from lifelines.utils import concordance_index

    try:
        return float(concordance_index(time, -risk, event))
    except ZeroDivisionError:
        return float("nan")


def _resampled(time: np.ndarray, event: np.ndarray, risk: np.ndarray) -> Callable[[np.ndarray], float]:
    """What gives the C-index of rows (indexes, with repetitions)."""
    n = len(time)
    if n > MOST_PAIRED:
        return lambda rows: concordance(time[rows], event[rows], risk[rows])
    # A row dies before or while a column is followed: such pairs are compared, and right if its risk is higher.
    earlier = (time[:, None] < time[None, :]) | ((time[:, None] == time[None, :]) & (event[None, :] == 0))
    compared = ((event[:, None] == 1) & earlier).astype(np.float32)
    right = compared * ((risk[:, None] > risk[None, :]) + 0.5 * (risk[:, None] == risk[None, :])).astype(np.float32)

    def figure(rows: np.ndarray) -> float:
        often = np.bincount(rows, minlength=n).astype(np.float32)
        pairs = float(often @ (compared @ often))
        return float(often @ (right @ often)) / pairs if pairs else float("nan")

    return figure


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
    time, event, risk = checked_survival(time, event, risk)
    value = concordance(time, event, risk)
    if np.isnan(value):
        raise InputError("a C-index needs at least two patients who can be compared; there are no events to rank.")
    groups = np.arange(len(time)) if patients is None else np.asarray(patients)
    return Estimate(value, *bootstrap(_resampled(time, event, risk), groups, repeats, seed))


def compare_c_index(
    time: np.ndarray,
    event: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    patients: np.ndarray | None = None,
    repeats: int = 200,
    seed: int = 0,
) -> Comparison:
    """Difference of two C-indexes on the same patients; interval and normal test from a paired patient bootstrap."""
    time, event, first, second = checked_survival(time, event, first, second)
    groups = np.arange(len(time)) if patients is None else np.asarray(patients)

    value = concordance(time, event, first) - concordance(time, event, second)
    if np.isnan(value):
        raise InputError("a C-index needs at least two patients who can be compared; there are no events to rank.")
    of_first, of_second = (
        bootstrap_draws(_resampled(time, event, risk), groups, repeats, seed) for risk in (first, second)
    )
    draws = of_first - of_second
    draws = draws[np.isfinite(draws)]
    spread = float(draws.std(ddof=1)) if len(draws) > 1 else 0.0
    z = value / spread if spread > 1e-12 else 0.0
    lower, upper = (value, value) if spread == 0 else map(float, np.percentile(draws, [2.5, 97.5]))
    return Comparison(value, lower, upper, z, float(2 * stats.norm.sf(abs(z))))


def still_followed(time: np.ndarray, event: np.ndarray, moments: np.ndarray | float, upto: bool = False) -> np.ndarray:
    """Probability of not being censored before each moment, or up to it: Kaplan-Meier, censoring taken as the event."""
    when, lost = np.unique(time[event == 0], return_counts=True)
    steps = np.concatenate([[1.0], np.cumprod(1 - lost / at_risk(time, when))])
    return steps[np.searchsorted(when, moments, side="right" if upto else "left")]


def auc_at(
    time: np.ndarray,
    event: np.ndarray,
    risk: np.ndarray,
    horizon: float,
    patients: np.ndarray | None = None,
    repeats: int = 200,
    seed: int = 0,
) -> Estimate:
    """Area under the ROC curve of an event until `horizon` against being followed for longer without one.

    It is the cumulative/dynamic area: patients censored before are in neither group, and each one with an event is
    weighted by the inverse probability of being followed until then (Uno et al., J Am Stat Assoc 2007;102:527; Hung and
    Chiang, Can J Stat 2010;38:8), by the Kaplan-Meier curve of censoring, which must not depend on the risk. The
    interval is that of a patient bootstrap, which estimates the weights anew. Without censoring it is the plain area.

    Raises:
        InputError: values that are not finite, no event until the horizon, or nobody is followed for longer.
    """
    time, event, risk = checked_survival(time, event, risk)
    value = _area_at(time, event, risk, horizon)
    if np.isnan(value):
        raise InputError(f"an area until {horizon:g} needs events until then and patients followed for longer.")
    groups = np.arange(len(time)) if patients is None else np.asarray(patients)
    interval = bootstrap(lambda rows: _area_at(time[rows], event[rows], risk[rows], horizon), groups, repeats, seed)
    return Estimate(value, *interval)


def _area_at(time: np.ndarray, event: np.ndarray, risk: np.ndarray, horizon: float) -> float:
    """NaN where one of the groups is empty. The weight of those followed for longer is the same for all."""
    early, late = (time <= horizon) & (event == 1), np.sort(risk[time > horizon])
    if not early.any() or not len(late):
        return float("nan")
    weight = 1 / still_followed(time, event, time[early])
    below, upto = (np.searchsorted(late, risk[early], side=side) for side in ("left", "right"))
    return float(weight @ (below + upto) / (2 * len(late) * weight.sum()))


class SurvivalCurve(NamedTuple):
    """Kaplan-Meier estimate: step times (t,) from 0, survival and its interval (t,), median (inf when not reached)."""

    times: np.ndarray
    survival: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    median: float

    def at(self, time: float) -> Estimate:
        """Survival at a time; after the last one it is that of the last."""
        step = int(np.searchsorted(self.times, time, side="right")) - 1
        return Estimate(float(self.survival[step]), float(self.lower[step]), float(self.upper[step]))


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


def survival_until(time: np.ndarray, event: np.ndarray, horizon: float) -> float:
    """Kaplan-Meier estimate at one time, without an interval, for those who need it many times."""
    moments, deaths = np.unique(time[(event == 1) & (time <= horizon)], return_counts=True)
    return float(np.prod(1 - deaths / at_risk(time, moments)))


def at_risk(time: np.ndarray, moments: Sequence[float]) -> np.ndarray:
    """How many patients are still followed just before each moment (m,), for the table below a curve."""
    time = np.sort(np.asarray(time, float))
    return len(time) - np.searchsorted(time, np.asarray(moments, float), side="left")


def log_rank(time: np.ndarray, event: np.ndarray, group: np.ndarray) -> tuple[float, float]:
    """Chi-squared and p value of the log-rank test between two or more groups (lifelines)."""
    from lifelines.statistics import multivariate_logrank_test

    result = multivariate_logrank_test(np.asarray(time), np.asarray(group), np.asarray(event))
    return float(result.test_statistic), float(result.p_value)


def hazard_ratio(time: np.ndarray, event: np.ndarray, x: np.ndarray) -> Estimate:
    """Hazard ratio for one unit more of `x`, or of group 1 against 0 (Cox model, lifelines).

    Raises:
        InputError: `x` does not vary, or the model does not converge.
    """
    import pandas
    from lifelines import CoxPHFitter
    from lifelines.exceptions import ConvergenceError

    time, event, x = checked_survival(time, event, x)
    if np.ptp(x) == 0:
        raise InputError("a hazard ratio needs values that differ.")
    try:
        fitted = CoxPHFitter().fit(pandas.DataFrame({"time": time, "event": event, "x": x}), "time", "event")
    except ConvergenceError as error:
        raise InputError(f"the hazard ratio cannot be estimated, perhaps for want of events ({error}).") from error
    center, error = float(fitted.params_.iloc[0]), float(fitted.standard_errors_.iloc[0])
    return Estimate(*(float(np.exp(center + side * Z_95 * error)) for side in (0, -1, 1)))


def brier_at(time: np.ndarray, event: np.ndarray, risk: np.ndarray, horizon: float) -> float:
    """Brier score of the probability of an event until `horizon`.

    Those censored before are made up for by weights from the Kaplan-Meier curve of censoring (Graf et al., Stat Med
    1999;18:2529).

    Raises:
        InputError: nobody is followed until the horizon.
    """
    time, event, risk = checked_survival(time, event, risk)
    if (time >= horizon).sum() == 0:
        raise InputError(f"nobody is followed until {horizon:g}; choose an earlier time.")
    early = (time <= horizon) & (event == 1)
    late = time > horizon
    weight = np.zeros(len(time))
    weight[early] = 1 / still_followed(time, event, time[early])
    weight[late] = 1 / still_followed(time, event, horizon, upto=True)
    return float(np.mean(weight * (risk - early) ** 2))
