"""Whether probabilities are right: Brier score, slope, intercept, observed against expected, and the curve."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ..errors import InputError
from .estimates import Estimate, checked_probabilities, checked_survival, wilson
from .survival import kaplan_meier

FAR = 1e-6  # probabilities are kept so far away from 0 and 1 before their log odds are taken


def brier(y: np.ndarray, p: np.ndarray) -> float:
    """Mean squared difference of probability and outcome."""
    y, p = checked_probabilities(y, p)
    return float(np.mean((p - y) ** 2))


def scaled_brier(y: np.ndarray, p: np.ndarray) -> float:
    """Share of the Brier score of the base rate that the probabilities save: 1 is perfect, 0 no better than none."""
    y, p = checked_probabilities(y, p)
    return 1.0 - brier(y, p) / float(np.mean((y.mean() - y) ** 2))


def calibration(y: np.ndarray, p: np.ndarray) -> Mapping[str, Estimate]:
    """Calibration "slope" (1 is right) and "intercept", calibration in the large (0 is right), by statsmodels.

    The slope is that of the outcome on the log odds of the probability; the intercept has the log odds as an offset.
    Probabilities are kept 1e-6 away from 0 and 1.
    """
    import statsmodels.api as sm

    y, p = checked_probabilities(y, p)
    odds = _log_odds(p)
    family = sm.families.Binomial()
    slope = sm.GLM(y, sm.add_constant(odds, has_constant="add"), family=family).fit()
    large = sm.GLM(y, np.ones((len(y), 1)), family=family, offset=odds).fit()
    return {
        "slope": Estimate(float(slope.params[1]), *map(float, np.asarray(slope.conf_int())[1])),
        "intercept": Estimate(float(large.params[0]), *map(float, np.asarray(large.conf_int())[0])),
    }


def _log_odds(p: np.ndarray) -> np.ndarray:
    p = np.clip(p, FAR, 1 - FAR)
    return np.log(p / (1 - p))


def observed_to_expected(y: np.ndarray, p: np.ndarray) -> Estimate:
    """Events that occurred to those that were expected; 1 is right. Interval: Wilson's of the observed share."""
    y, p = checked_probabilities(y, p)
    if p.sum() == 0:
        raise InputError("no event was expected at all; the probabilities are all 0.")
    return Estimate(*(float(part / p.mean()) for part in wilson(int(y.sum()), len(y))))


class CalibrationGroup(NamedTuple):
    """Patients of similar probability: how many, their mean probability, and the share that had the event."""

    n: int
    expected: float
    observed: Estimate


def calibration_groups(y: np.ndarray, p: np.ndarray, groups: int = 10) -> list[CalibrationGroup]:
    """Groups of about equal size by probability; patients of equal probability stay together."""
    y, p = checked_probabilities(y, p)
    return [
        CalibrationGroup(len(one), float(p[one].mean()), wilson(int(y[one].sum()), len(one)))
        for one in _bands(p, groups)
    ]


def _bands(p: np.ndarray, groups: int) -> list[np.ndarray]:
    """Row indexes of each band, lowest first."""
    edges = np.unique(np.quantile(p, np.linspace(0, 1, groups + 1)[1:-1]))
    place = np.searchsorted(edges, p, side="right")
    return [rows for band in range(len(edges) + 1) if len(rows := np.flatnonzero(place == band))]


def smooth_calibration(y: np.ndarray, p: np.ndarray, share: float = 2 / 3) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (t,), rising, and the smoothed share of events there (t,), by lowess (statsmodels) without
    downweighting; Austin and Steyerberg, Stat Med 2014;33:517.

    Args:
        share: of the patients that each point of the curve looks at.
    """
    from statsmodels.nonparametric.smoothers_lowess import lowess

    y, p = checked_probabilities(y, p)
    spread = float(np.ptp(p))
    found = lowess(y, p, frac=share, it=0, delta=0.005 * spread, return_sorted=True)
    keep = np.isfinite(found[:, 1])
    return found[keep, 0], np.clip(found[keep, 1], 0.0, 1.0)


def calibration_index(y: np.ndarray, p: np.ndarray) -> float:
    """Mean distance of the smoothed curve from the diagonal (integrated calibration index; Austin and Steyerberg,
    Stat Med 2019;38:4051)."""
    expected, observed = smooth_calibration(y, p)
    return float(np.mean(np.abs(observed - expected))) if len(expected) else float("nan")


# --- survival ---------------------------------------------------------------------------------------------------------


def calibration_at(time: np.ndarray, event: np.ndarray, risk: np.ndarray, horizon: float) -> Mapping[str, Estimate]:
    """Calibration of the probability of an event until `horizon`: "slope" and "observed_to_expected"; 1 is right.

    The slope is that of the log hazard on log(-log(1 - risk)) (Cox model); observed is Kaplan-Meier's share of events.
    """
    import pandas
    from lifelines import CoxPHFitter

    time, event, risk = checked_survival(time, event, risk)
    _check_risk(risk)
    seen = 1 - np.array(kaplan_meier(time, event).at(horizon))[[0, 2, 1]]
    found = {"observed_to_expected": Estimate(*(float(part / risk.mean()) for part in seen))}
    scale = np.log(-np.log1p(-np.clip(risk, FAR, 1 - FAR)))
    until = {"time": np.minimum(time, horizon), "event": event * (time <= horizon), "x": scale}
    if np.ptp(scale) > 0 and until["event"].sum() >= 2:
        fitted = CoxPHFitter().fit(pandas.DataFrame(until), "time", "event")
        ends = fitted.confidence_intervals_.to_numpy()[0]
        found["slope"] = Estimate(float(fitted.params_.iloc[0]), float(ends[0]), float(ends[1]))
    return found


def calibration_groups_at(
    time: np.ndarray, event: np.ndarray, risk: np.ndarray, horizon: float, groups: int = 5
) -> list[CalibrationGroup]:
    """As `calibration_groups`, with Kaplan-Meier's share of events until `horizon`."""
    time, event, risk = checked_survival(time, event, risk)
    _check_risk(risk)
    found = []
    for rows in _bands(risk, groups):
        alive = kaplan_meier(time[rows], event[rows]).at(horizon)
        observed = Estimate(1 - alive.value, 1 - alive.upper, 1 - alive.lower)
        found.append(CalibrationGroup(len(rows), float(risk[rows].mean()), observed))
    return found


def _check_risk(risk: np.ndarray) -> None:
    if (risk < 0).any() or (risk > 1).any() or not risk.any():
        raise InputError("probabilities must lie between 0 and 1, and not all be 0.")
