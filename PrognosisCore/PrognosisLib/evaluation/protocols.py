"""Who teaches and who is judged: folds, a temporal split, one site left out. No patient is ever on both sides.

A protocol is a group of each row (n,): group 0, 1, ... is judged by a model of all others, group -1 only teaches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import InputError

FOLDS = 10
EARLY_SHARE = 0.7  # of the rows, by year, that teach in the temporal split


@dataclass(frozen=True)
class Protocol:
    """A protocol's name, the group of each row (n,), and in words who is judged."""

    name: str
    groups: np.ndarray
    judged: str


def k_fold(patients: Sequence[str], folds: int = FOLDS, seed: int = 0) -> np.ndarray:
    """A fold for each row (n,): patients are shuffled, in order of their first row, and dealt out.

    Raises:
        InputError: fewer patients than folds.
    """
    names, first, index = np.unique(np.asarray(patients), return_index=True, return_inverse=True)
    if len(names) < folds:
        raise InputError(f"{len(names)} patients are too few for {folds} folds; add patients.")
    by_row = np.empty(len(names), int)
    by_row[np.argsort(first)] = np.arange(len(names))
    return (np.random.default_rng([seed, 81]).permutation(len(names)) % folds)[by_row[index]]


def last_early_year(years: np.ndarray, early_share: float = EARLY_SHARE) -> float:
    """The last year of those who teach; some are always left for later."""
    cutoff = float(np.quantile(years, early_share, method="lower"))
    return cutoff if (years > cutoff).any() else float(np.unique(years)[-2])


def protocols(
    patients: Sequence[str],
    years: np.ndarray | None = None,
    sites: Sequence[str] | None = None,
    folds: int = FOLDS,
    seed: int = 0,
) -> list[Protocol]:
    """All protocols that the columns allow.

    Args:
        patients: (n,); years: (n,), used where all are known and differ; sites: (n,), used where all are known and
            differ.
    """
    found = [Protocol(f"{folds}-fold", k_fold(patients, folds, seed), f"each of {folds} folds of patients")]
    if years is not None and np.isfinite(years).all() and len(np.unique(years)) > 1:
        cutoff = last_early_year(years)
        found.append(Protocol("temporal", np.where(years > cutoff, 0, -1), f"after {cutoff:.0f}"))
    names = np.unique(np.asarray(sites if sites is not None else [""]))
    if len(names) > 1 and "" not in names:
        groups = np.searchsorted(names, np.asarray(sites))
        found.append(Protocol("leave-one-site-out", groups, f"each of {len(names)} sites"))
    return found


def teachers_of(groups: np.ndarray, patients: Sequence[str], group: int) -> np.ndarray:
    """Rows (n,) that teach while `group` is judged: all others but those of its patients."""
    patients = np.asarray(patients)
    return (groups != group) & ~np.isin(patients, np.unique(patients[groups == group]))


def judge(
    protocol: Protocol, patients: Sequence[str], fit: Callable[[np.ndarray], Callable[[np.ndarray], np.ndarray]]
) -> np.ndarray:
    """What models that never saw a patient say of each row (n,), NaN where a row only teaches.

    Args:
        fit: from the rows that teach (indexes) to what predicts (k,) for other rows (indexes).
    """
    found = np.full(len(protocol.groups), np.nan)
    for group in range(int(protocol.groups.max()) + 1):
        judged = np.flatnonzero(protocol.groups == group)
        if len(judged):
            found[judged] = fit(np.flatnonzero(teachers_of(protocol.groups, patients, group)))(judged)
    return found
