"""How much better a model looks on the patients it was fitted to than on others: bootstrap optimism.

Harrell, Lee and Mark, Stat Med 1996;15:361: the model is fitted to each bootstrap sample and judged on that sample and
on all patients; the mean difference is taken off the apparent figure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ..errors import InputError
from .estimates import bootstrap_draws


class Corrected(NamedTuple):
    """A figure on the patients that the model was fitted to, the optimism, and the figure without it."""

    apparent: float
    optimism: float
    corrected: float
    repeats: int


def correct_optimism(
    fit: Callable[[np.ndarray], Callable[[np.ndarray], float]],
    patients: Sequence[str],
    repeats: int = 200,
    seed: int = 0,
) -> Corrected:
    """The optimism-corrected figure of a model.

    Args:
        fit: fits to rows (indexes, with repetitions) and gives what judges that model on rows (indexes). All steps that
            looked at the outcome, such as a selection of predictors, belong into it. A sample that cannot be fitted or
            judged may raise InputError; it does not count.
        patients: (n,) of each row; whole patients are drawn.

    Raises:
        InputError: the model cannot be fitted to all rows, or to hardly any sample.
    """
    everybody = np.arange(len(patients))
    apparent = fit(everybody)(everybody)

    def difference(rows: np.ndarray) -> float:
        try:
            judge = fit(rows)
            return judge(rows) - judge(everybody)
        except InputError:
            return float("nan")

    draws = bootstrap_draws(difference, np.asarray(patients), repeats, seed)
    good = draws[np.isfinite(draws)]
    if len(good) < max(2, repeats // 2):
        raise InputError(
            f"the model could be fitted to only {len(good)} of {repeats} bootstrap samples; there are too few events."
        )
    optimism = float(good.mean())
    return Corrected(apparent, optimism, apparent - optimism, len(good))
