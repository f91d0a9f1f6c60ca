"""Who teaches and who tests: simulated patients, none of whom is in two groups, or a user's own cohort."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .cases import load, simulate_cines, simulate_stills, simulate_views
from .own_cohort import OwnCases, own_cines
from .taught import TaughtCine
from .teaching import liver_figures, teach

if TYPE_CHECKING:
    from torch import nn

# Seeds of simulated patients, added to the run's.
TEST_SEED, VIEWS_SEED, STILLS_SEED = 20_000, 30_000, 40_000
CINES_EACH, STILLS_EACH = 2, 16  # cines of a patient; patients with a single frame for each with cines
VIEWS_EACH = 3  # patients with cines for each with odd views


class Unseen(NamedTuple):
    """Cines that no network learns from, P(F >= 2) (n,) by the oracle where it is known, and clinical values."""

    cines: Sequence[TaughtCine]
    oracle: np.ndarray | None
    clinical: Sequence[Mapping[str, Any]]


def single_frames(work: Path, simulated: int, seed: int) -> tuple[list[Path], list[Path]]:
    """Files of frames of sweeps, one of each patient, and of odd views."""
    first, odd = seed + STILLS_SEED, seed + VIEWS_SEED
    stills = simulate_stills(work / "stills", range(first, first + STILLS_EACH * simulated))
    return stills, simulate_views(work / "views", range(odd, odd + max(1, simulated // VIEWS_EACH)))


def simulated_teachers(work: Path, simulated: int, seed: int, segmenter: nn.Module) -> list[TaughtCine]:
    """Sweeps for the classifiers, CINES_EACH of a patient."""
    files = simulate_cines(work / "simulated", range(seed, seed + simulated), CINES_EACH)
    return teach(files, segmenter, work / "taught")


def simulated_tests(work: Path, count: int, seed: int, segmenter: nn.Module) -> tuple[Unseen, dict[str, Any]]:
    """One sweep of each of `count` other patients, and the figures of the liver in them."""
    files = simulate_cines(work / "tests", range(seed + TEST_SEED, seed + TEST_SEED + count))
    cines = teach(files, segmenter, work / "taught")
    truths = [load(file).truth for file in files]
    oracle = np.array([one["true_significant"] for one in truths])
    measured = {"liver": liver_figures(files, cines)} if files else {}
    return Unseen(cines, oracle, [one["clinical"] for one in truths]), measured


def own_groups(cases: OwnCases, segmenter: nn.Module) -> tuple[list[TaughtCine], Unseen]:
    """A user's cines for training, and those held out. Raises InputError: see own_cohort.own_cines."""
    taught, kept, clinical = own_cines(cases, segmenter)
    return taught, Unseen(kept, None, clinical)
