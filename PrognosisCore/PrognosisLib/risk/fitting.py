"""Fitting of the Cox and logistic models of models.py, with lifelines and statsmodels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..cohort_checks import FEWEST_EACH
from ..errors import InputError
from .models import CoxModel, LogisticModel, Predictor

if TYPE_CHECKING:
    import pandas


def _prepare(
    frame: pandas.DataFrame, columns: Sequence[str], predictors: Sequence[Predictor], events: int
) -> tuple[pandas.DataFrame, np.ndarray]:
    table = frame[list(columns) + [one.name for one in predictors]].astype(float)
    if not np.isfinite(table.to_numpy()).all():
        raise InputError("the training cohort has missing or infinite values; leave those patients out.")
    x = table[[one.name for one in predictors]].to_numpy()
    constant = [one.name for one, column in zip(predictors, x.T, strict=True) if np.ptp(column) == 0]
    if constant:
        raise InputError(f'"{constant[0]}" is the same for all patients of the training cohort; leave it out.')
    if events < FEWEST_EACH * len(predictors):
        raise InputError(
            f"{events} events are too few for {_count(predictors)}; at least {FEWEST_EACH} each are needed."
        )
    return table, x


def _count(predictors: Sequence[Predictor]) -> str:
    return f"{len(predictors)} predictor{'s' * (len(predictors) > 1)}"


def _versions(*packages: str) -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("numpy", *packages)}


def fit_cox(
    frame: pandas.DataFrame,
    duration: str,
    event: str,
    predictors: Sequence[Predictor],
    *,
    name: str,
    outcome: str,
    cohort: Mapping[str, Any],
    times: Sequence[float] | None = None,
    time_unit: str = "months",
    provenance: Mapping[str, Any] | None = None,
) -> CoxModel:
    """Fit a Cox model (lifelines, Efron's ties) and its Breslow baseline.

    Args:
        frame: one row per patient with `duration` (over 0), `event` (1 or 0) and the predictors' columns.
        times: grid of the stored baseline, over 0; by default 60 steps up to the last event.

    Raises:
        InputError: missing values, a constant predictor, too few events, or no convergence.
    """
    from lifelines import CoxPHFitter
    from lifelines.exceptions import ConvergenceError

    dead = frame[event].to_numpy().astype(bool)
    table, x = _prepare(frame, (duration, event), predictors, int(dead.sum()))
    try:
        fitted = CoxPHFitter().fit(table, duration, event)
    except ConvergenceError as error:
        raise InputError(f"the Cox model did not converge; are two predictors the same? ({error})") from error
    means, beta = x.mean(axis=0), fitted.params_.to_numpy()
    when = table[duration].to_numpy()
    last = when[dead].max()
    grid = np.linspace(0, last, 61)[1:] if times is None else np.asarray(times, float)
    hazard, variance, average = _breslow(when, dead, x - means, beta, grid)
    return CoxModel(
        name=name,
        outcome=outcome,
        predictors=tuple(predictors),
        coefficients=beta,
        means=means,
        coefficient_covariance=fitted.variance_matrix_.to_numpy(),
        predictor_covariance=np.cov(x, rowvar=False).reshape(len(beta), len(beta)),
        n=len(table),
        events=int(dead.sum()),
        cohort=dict(cohort),
        provenance={**(provenance or {}), "versions": _versions("lifelines")},
        time_unit=time_unit,
        times=grid,
        baseline_hazard=hazard,
        hazard_variance=variance,
        hazard_mean=average,
    )


def _breslow(
    when: np.ndarray, dead: np.ndarray, x: np.ndarray, beta: np.ndarray, grid: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """On the grid: cumulative hazard, its variance with known coefficients (t,), hazard-averaged mean of x (t, p)."""
    order = np.argsort(when, kind="stable")
    when, dead, x = when[order], dead[order], x[order]
    weight = np.exp(x @ beta)
    # risk set of a time: everybody from the first patient with that time on
    first = np.searchsorted(when, when[dead], side="left")
    total = np.cumsum(weight[::-1])[::-1][first]
    mean = np.cumsum((weight[:, None] * x)[::-1], axis=0)[::-1][first] / total[:, None]
    upto = np.searchsorted(when[dead], grid, side="right")

    def summed(values: np.ndarray) -> np.ndarray:
        return np.concatenate([np.zeros_like(values[:1]), np.cumsum(values, axis=0)])[upto]

    hazard = summed(1 / total)
    average = summed(mean / total[:, None]) / np.maximum(hazard, 1e-300)[:, None]
    return hazard, summed(1 / total**2), average


def fit_logistic(
    frame: pandas.DataFrame,
    outcome_column: str,
    predictors: Sequence[Predictor],
    *,
    name: str,
    outcome: str,
    cohort: Mapping[str, Any],
    provenance: Mapping[str, Any] | None = None,
) -> LogisticModel:
    """Fit a logistic regression (statsmodels, maximum likelihood) of a 0/1 column.

    Raises:
        InputError: missing values, a constant predictor, too few events or non-events, or separated groups.
    """
    import statsmodels.api as sm

    y = frame[outcome_column].to_numpy().astype(float)
    events = int(y.sum())
    _, x = _prepare(frame, (outcome_column,), predictors, min(events, len(y) - events))
    means = x.mean(axis=0)
    try:
        fitted = sm.Logit(y, sm.add_constant(x - means, has_constant="add")).fit(disp=0, maxiter=100)
    except (np.linalg.LinAlgError, sm.tools.sm_exceptions.PerfectSeparationError) as error:
        raise InputError(f"the logistic model cannot be fitted; are two predictors the same? ({error})") from error
    if not fitted.mle_retvals["converged"]:
        raise InputError("the logistic model did not converge; the predictors may separate the outcome perfectly.")
    return LogisticModel(
        name=name,
        outcome=outcome,
        predictors=tuple(predictors),
        coefficients=np.asarray(fitted.params)[1:],
        means=means,
        coefficient_covariance=np.asarray(fitted.cov_params()),
        predictor_covariance=np.cov(x, rowvar=False).reshape(x.shape[1], x.shape[1]),
        n=len(y),
        events=events,
        cohort=dict(cohort),
        provenance={**(provenance or {}), "versions": _versions("statsmodels")},
        intercept=float(fitted.params[0]),
    )


def forward_selection(
    frame: pandas.DataFrame, outcome_column: str, candidates: Sequence[Predictor], p_to_enter: float = 0.05
) -> list[tuple[Predictor, float]]:
    """Predictors that enter a logistic regression one by one, each with the p value at which it did; see `_select`.

    Raises:
        InputError: missing values, a constant candidate, or too few events for all candidates.
    """
    import statsmodels.api as sm

    y = frame[outcome_column].to_numpy().astype(float)
    events = int(y.sum())
    _, x = _prepare(frame, (outcome_column,), candidates, min(events, len(y) - events))
    x = (x - x.mean(axis=0)) / x.std(axis=0)

    def likelihood(chosen: list[int]) -> float:
        design = sm.add_constant(x[:, chosen]) if chosen else np.ones((len(y), 1))
        return float(sm.Logit(y, design).fit(disp=0).llf)

    return _select(candidates, likelihood, p_to_enter)


def forward_selection_cox(
    frame: pandas.DataFrame, duration: str, event: str, candidates: Sequence[Predictor], p_to_enter: float = 0.05
) -> list[tuple[Predictor, float]]:
    """Predictors that enter a Cox model (lifelines) one by one, each with the p value at which it did; see `_select`.

    Raises:
        InputError: missing values, a constant candidate, too few events for all candidates, or no convergence.
    """
    from lifelines import CoxPHFitter
    from lifelines.exceptions import ConvergenceError

    events = int(frame[event].to_numpy().astype(bool).sum())
    table, x = _prepare(frame, (duration, event), candidates, events)
    names = [one.name for one in candidates]
    table[names] = (x - x.mean(axis=0)) / x.std(axis=0)

    def likelihood(chosen: list[int]) -> float:
        # lifelines fits nothing without predictors; the test of any one tells how far below its fit that would be
        columns = [names[n] for n in chosen or [0]]
        try:
            fitted = CoxPHFitter().fit(table[[duration, event, *columns]], duration, event)
        except ConvergenceError as error:
            raise InputError(f"the Cox model did not converge; are two predictors the same? ({error})") from error
        below = 0.0 if chosen else fitted.log_likelihood_ratio_test().test_statistic / 2
        return float(fitted.log_likelihood_ - below)

    return _select(candidates, likelihood, p_to_enter)


def _select(
    candidates: Sequence[Predictor], likelihood: Callable[[list[int]], float], p_to_enter: float
) -> list[tuple[Predictor, float]]:
    """At every step the candidate whose likelihood-ratio test has the smallest p value enters, until none is below
    `p_to_enter`. The p values are those of the selection: they are too small for inference.

    Args:
        likelihood: log likelihood of the model with these candidates, by number.
    """
    from scipy.stats import chi2

    chosen: list[int] = []
    found: list[tuple[Predictor, float]] = []
    reached = likelihood([])
    while len(chosen) < len(candidates):
        fits = {n: likelihood([*chosen, n]) for n in range(len(candidates)) if n not in chosen}
        best = max(fits, key=fits.__getitem__)
        p = float(chi2.sf(2 * (fits[best] - reached), 1))
        if p >= p_to_enter:
            break
        chosen.append(best)
        found.append((candidates[best], p))
        reached = fits[best]
    return found
