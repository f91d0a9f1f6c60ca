"""Decision curves: what treating by a probability gains over treating everybody or nobody."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..errors import InputError
from .estimates import checked_probabilities, checked_survival
from .survival import survival_until


class NetBenefit(NamedTuple):
    """Decision curve: threshold probabilities (t,), net benefit of the model and of treating everybody (t,)."""

    thresholds: np.ndarray
    model: np.ndarray
    treat_all: np.ndarray


def net_benefit(y: np.ndarray, p: np.ndarray, thresholds: Sequence[float]) -> NetBenefit:
    """Net benefit of treating patients at or over each threshold (Vickers and Elkin, Med Decis Making 2006;26:565).

    Thresholds lie between 0 and 1, 1 excluded. Treating nobody has net benefit 0.
    """
    y, p = checked_probabilities(y, p)
    t = _checked(thresholds)
    chosen = p[None, :] >= t[:, None]
    odds = t / (1 - t)
    model = (chosen & (y == 1)).mean(axis=1) - odds * (chosen & (y == 0)).mean(axis=1)
    return NetBenefit(t, model, y.mean() - odds * (1 - y.mean()))


def net_benefit_at(
    time: np.ndarray, event: np.ndarray, risk: np.ndarray, horizon: float, thresholds: Sequence[float]
) -> NetBenefit:
    """The same for an event until `horizon`, with Kaplan-Meier's share of events among those treated (Vickers et al.,
    BMC Med Inform Decis Mak 2008;8:53)."""
    time, event, risk = checked_survival(time, event, risk)
    t = _checked(thresholds)
    model = [_benefit(time, event, risk >= one, horizon, one) for one in t]
    everybody = np.ones(len(time), bool)
    return NetBenefit(t, np.array(model), np.array([_benefit(time, event, everybody, horizon, one) for one in t]))


def _benefit(time: np.ndarray, event: np.ndarray, chosen: np.ndarray, horizon: float, threshold: float) -> float:
    if not chosen.any():
        return 0.0
    share = float(chosen.mean())
    alive = survival_until(time[chosen], event[chosen], horizon)
    return share * (1 - alive - alive * threshold / (1 - threshold))


def _checked(thresholds: Sequence[float]) -> np.ndarray:
    t = np.asarray(thresholds, float)
    if not ((t >= 0) & (t < 1)).all():
        raise InputError("thresholds of a decision curve must be at least 0 and under 1.")
    return t
