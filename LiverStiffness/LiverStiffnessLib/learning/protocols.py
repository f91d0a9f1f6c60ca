"""The paper's three protocols on a cohort with measured stiffness: ten folds, a temporal split, one site left out.

The network stays as it is and the reading of its features is fitted anew in every fold, as the published system fits
its head on frozen features. Every patient is judged by a reading that never saw a patient of the same fold, year or
site, nor another examination of the same patient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from PrognosisLib.cohort_checks import check_kinds
from PrognosisLib.errors import InputError
from PrognosisLib.evaluation.discrimination import auc, expected_auc, share_of_best
from PrognosisLib.evaluation.estimates import wilson
from PrognosisLib.evaluation.protocols import Protocol, protocols, teachers_of
from PrognosisLib.evaluation.thresholds import best_point

from ..labels import THRESHOLDS_KPA
from .ordinal_training import PatientFeatures, fit_reading, score_of

FEWEST = 60  # patients with a measured stiffness, for protocols to mean anything
FEWEST_EVENTS, SPLIT_KPA = 5, 3.0  # so many examinations must be on either side of so many kPa
CHILD_YEARS = 18
SEQUENCES = ("T2", "T1")


@dataclass(frozen=True)
class Outcomes:
    """What is known of each examination (n,): stiffness, patient, and NaN, "" or None where a column is missing.

    `oracle` (n, t) are a simulated cohort's best possible probabilities; None for real ones.
    """

    kpa: np.ndarray
    age: np.ndarray
    site: np.ndarray
    year: np.ndarray
    patient: np.ndarray
    oracle: np.ndarray | None = None

    @property
    def reached(self) -> np.ndarray:
        """Whether each threshold was reached (n, t)."""
        return self.kpa[:, None] >= np.array(THRESHOLDS_KPA)


def run_protocols(
    patients: Sequence[PatientFeatures], outcomes: Outcomes, seed: int = 0, basis: np.ndarray | None = None
) -> dict[str, Any]:
    """Figures of every protocol that the columns allow: by threshold, of all, children and adults.

    Args:
        basis: of the features, see ordinal_training.fit_reading.

    Raises:
        InputError: too few patients, or hardly one on one side of 3 kPa.
    """
    _check(patients, outcomes)
    found: dict[str, Any] = {}
    for protocol in protocols(outcomes.patient, outcomes.year, outcomes.site, seed=seed):
        one = found[protocol.name] = _figures_by_groups(patients, outcomes, protocol, seed, basis)
        if protocol.name == "temporal":
            one["tested"] = protocol.judged
        if protocol.name == "leave-one-site-out":
            names, counts = np.unique(outcomes.site, return_counts=True)
            one["sites"] = {str(name): int(count) for name, count in zip(names, counts, strict=True)}
    return found


def _check(patients: Sequence[PatientFeatures], outcomes: Outcomes) -> None:
    if len(patients) < FEWEST:
        raise InputError(
            f"The protocols need at least {FEWEST} patients with T2, T1 and a measured stiffness (column mre_kpa); the "
            f"cohort has {len(patients)}, so add some."
        )
    check_measured(outcomes.kpa)


def check_measured(kpa: Sequence[float]) -> None:
    """Raises InputError where hardly an examination is on one side of 3 kPa, so that no reading can be fitted."""
    stiff = int((np.asarray(kpa) >= SPLIT_KPA).sum())
    check_kinds(stiff, len(kpa), f"{SPLIT_KPA:g} kPa or more", "a reading of the stiffness", FEWEST_EVENTS)


def _figures_by_groups(
    patients: Sequence[PatientFeatures], outcomes: Outcomes, protocol: Protocol, seed: int, basis: np.ndarray | None
) -> dict[str, Any]:
    """Each group of the protocol is judged by a reading of all others, at points that were chosen on those."""
    groups = protocol.groups
    scores = np.full((len(patients), len(THRESHOLDS_KPA)), np.nan)
    points = np.full(scores.shape, np.nan)
    for group in range(int(groups.max()) + 1):
        tested = np.flatnonzero(groups == group)
        teaching = teachers_of(groups, outcomes.patient, group)
        teachers = [patients[n] for n in np.flatnonzero(teaching)]
        model = fit_reading(teachers, SEQUENCES, seed, 0, basis)
        known = model.probabilities(np.array([score_of(model, one) for one in teachers]))
        own = outcomes.reached[teaching]
        scores[tested] = model.probabilities(np.array([score_of(model, patients[n]) for n in tested]))
        points[tested] = [best_point(own[:, t], known[:, t]) for t in range(len(THRESHOLDS_KPA))]
    judged = np.isfinite(scores[:, 0])
    parts = {"all": judged}
    if np.isfinite(outcomes.age).all():
        parts |= {"children": judged & (outcomes.age < CHILD_YEARS), "adults": judged & (outcomes.age >= CHILD_YEARS)}
    return {name: figures(outcomes, scores, points, rows) for name, rows in parts.items() if rows.any()}


def figures(outcomes: Outcomes, chances: np.ndarray, points: np.ndarray, rows: np.ndarray) -> dict[str, Any]:
    """By threshold: AUROC with DeLong's interval, the oracle's and the share of it, sensitivity and specificity.

    Args:
        chances: (n, t) probabilities; points: (n, t) from which each counts as reached; rows: (n,) patients that count.
    """
    found = {}
    for t, threshold in enumerate(THRESHOLDS_KPA):
        y, p = outcomes.reached[rows, t], chances[rows, t]
        one: dict[str, Any] = {"n": len(y), "positive": int(y.sum())}
        found[f"{threshold:g}"] = one
        if min(int(y.sum()), int((~y).sum())) < 2:
            continue
        one["auc"] = auc(y, p).rounded()
        called = p >= points[rows, t]
        one["sensitivity"] = wilson(int((called & y).sum()), int(y.sum())).rounded()
        one["specificity"] = wilson(int((~called & ~y).sum()), int((~y).sum())).rounded()
        one["accuracy"] = wilson(int((called == y).sum()), len(y)).rounded()
        if outcomes.oracle is not None:
            one |= _against_oracle(y, p, outcomes.oracle[rows, t])
    return found


def _against_oracle(y: np.ndarray, p: np.ndarray, best: np.ndarray) -> dict[str, Any]:
    """The best possible AUROC on the outcomes that were drawn and on all that the patients may have."""
    top = auc(y, best)
    expected = [expected_auc(best, score) for score in (p, best)]
    return {
        "auc_oracle": top.rounded(),
        "share_of_oracle": share_of_best(auc(y, p).value, top.value),
        "expected_auc": round(expected[0], 4),
        "expected_auc_oracle": round(expected[1], 4),
        "expected_share_of_oracle": share_of_best(*expected),
    }
