"""A stored logistic model fitted anew to another outcome of its own cohort: numpy alone, in milliseconds.

For outcomes that the user defines (how much growth counts as expansion, say). Plain maximum likelihood by Newton's
method, as statsmodels does it; fitting.py fits the models that are stored.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..errors import InputError
from .models import LogisticModel

MOST_STEPS = 50
CLOSE = 1e-9
FEWEST_EVENTS = 10  # for each coefficient


def refit_logistic(model: LogisticModel, x: np.ndarray, y: np.ndarray, outcome: str) -> LogisticModel:
    """The model with the same predictors, fitted to another outcome.

    Args:
        x: (n, p) predictors in the model's order and units; y: (n,) 0/1.
        outcome: what it predicts now, in words.

    Raises:
        InputError: too few patients with or without the outcome, or groups that predictors separate.
    """
    y = np.asarray(y, float)
    rarer = int(min(y.sum(), len(y) - y.sum()))
    if rarer < FEWEST_EVENTS * len(model.predictors):
        raise InputError(
            f"Only {rarer} patients of the cohort are on the rarer side of '{outcome}', too few for "
            f"{len(model.predictors)} predictors; choose another definition."
        )
    means = x.mean(axis=0)
    design = np.column_stack([np.ones(len(x)), x - means])
    beta, covariance = _newton(design, y)
    return replace(
        model,
        outcome=outcome,
        coefficients=beta[1:],
        means=means,
        coefficient_covariance=covariance,
        predictor_covariance=np.cov(x, rowvar=False).reshape(x.shape[1], x.shape[1]),
        n=len(y),
        events=int(y.sum()),
        performance={},
        intercept=float(beta[0]),
    )


def _newton(design: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Maximum-likelihood coefficients and their covariance."""
    beta = np.zeros(design.shape[1])
    for _ in range(MOST_STEPS):
        p = 1 / (1 + np.exp(-np.clip(design @ beta, -30, 30)))
        information = design.T @ (design * (p * (1 - p))[:, None])
        try:
            step = np.linalg.solve(information, design.T @ (y - p))
        except np.linalg.LinAlgError as error:
            raise InputError("The model cannot be fitted to this definition; choose another one.") from error
        beta = beta + step
        if np.abs(step).max() < CLOSE:
            return beta, np.linalg.inv(information)
    raise InputError("The model did not converge for this definition; choose another one.")
