"""What a score calls at a threshold: sensitivity, specificity, accuracy, precision, F1, and where to put the point."""

from __future__ import annotations

import numpy as np

from ..errors import InputError
from .estimates import Estimate, bootstrap, checked_outcome, wilson

PROPORTIONS = ("sensitivity", "specificity", "accuracy", "precision", "negative_predictive_value")
MACRO = ("f1", "precision_macro", "recall_macro", "f1_macro")


def point_figures(
    y: np.ndarray,
    called: np.ndarray,
    patients: np.ndarray | None = None,
    repeats: int = 500,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Figures of a yes-or-no answer, by name of PROPORTIONS and MACRO.

    Proportions have Wilson's interval. F1 and the macro averages, which are means over both classes, have the interval
    of a patient bootstrap; a class of which nobody is called has precision and F1 of 0, as in scikit-learn.

    Args:
        y: (n,) 0/1; called: (n,) whether the event was called.
        patients: (n,) whose rows go together in the bootstrap; None takes each row as a patient.
    """
    y, called = checked_outcome(y, called)
    if not np.isin(called, (0.0, 1.0)).all():
        raise InputError("calls must be yes or no (1 or 0).")
    yes = called == 1
    hits, n = yes & (y == 1), len(y)
    right = yes == (y == 1)
    found = {
        "sensitivity": wilson(int(hits.sum()), int(y.sum())),
        "specificity": wilson(int((~yes & (y == 0)).sum()), int(n - y.sum())),
        "accuracy": wilson(int(right.sum()), n),
    }
    if yes.any():
        found["precision"] = wilson(int(hits.sum()), int(yes.sum()))
    if not yes.all():
        found["negative_predictive_value"] = wilson(int((~yes & (y == 0)).sum()), int((~yes).sum()))
    groups = np.arange(n) if patients is None else np.asarray(patients)
    values = _averages(y, yes)
    for name in MACRO:
        ends = bootstrap(lambda rows, name=name: _averages(y[rows], yes[rows])[name], groups, repeats, seed)
        found[name] = Estimate(values[name], *ends)
    return found


def _averages(y: np.ndarray, yes: np.ndarray) -> dict[str, float]:
    """F1 of the event, and the means of both classes."""
    parts = []
    for truth, told in ((y == 1, yes), (y == 0, ~yes)):
        both, called, real = (int(np.count_nonzero(one)) for one in (truth & told, told, truth))
        parts.append((both / called if called else 0.0, both / real if real else 0.0, 2 * both / max(called + real, 1)))
    means = np.mean(parts, axis=0)
    return {
        "f1": float(parts[0][2]),
        "precision_macro": float(means[0]),
        "recall_macro": float(means[1]),
        "f1_macro": float(means[2]),
    }


def best_point(y: np.ndarray, chance: np.ndarray) -> float:
    """The probability with the largest sum of sensitivity and specificity (Youden, Cancer 1950;3:32).

    Tried are quantiles of what occurs, from 2 to 98 %, so that no outlier becomes the point. Who chooses and judges on
    the same patients is too hopeful; see cutoff.py for a corrected p value.
    """
    y = np.asarray(y, bool)
    if y.all() or not y.any():
        return 0.5
    tried = np.unique(np.quantile(chance, np.linspace(0.02, 0.98, 97)))
    sums = [np.mean(chance[y] >= point) + np.mean(chance[~y] < point) for point in tried]
    return float(tried[int(np.argmax(sums))])
