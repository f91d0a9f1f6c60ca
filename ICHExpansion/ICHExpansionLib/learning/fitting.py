"""The steps of `prognosis train ich` that make the network: cases to slices, the training run, the averaged network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from PrognosisLib.cohort import CohortCase, read_cohort
from PrognosisLib.images.readers import read_volume
from PrognosisLib.learning.stopping import watch_of
from PrognosisLib.learning.training import LoopSettings, TrainingRun
from PrognosisLib.volume import Volume

from ..segmenting import network
from ..simulation.patients import BLOODLESS, TRAINING_PIXEL_MM, write_bloodless, write_cohort
from .training import SliceCase, SliceSource, WithSigns, multitask_loss

if TYPE_CHECKING:
    from torch import nn

FILES = ("ct", "labels")
TRAINING_SEED = 1000  # of the first simulated patient, added to the run's seed
CALIBRATION_BATCHES = 60


def load_case(case: CohortCase) -> tuple[Volume, Volume]:
    return read_volume(case.files["ct"], "CT"), read_volume(case.files["labels"], "labels")


def simulate_for_training(work: Path, patients: int, seed: int) -> tuple[list[CohortCase], list[CohortCase]]:
    """Simulated patients with hemorrhage, and heads without; what is on disk already is kept."""
    first = seed + TRAINING_SEED
    made = write_cohort(work / "simulated", range(first, first + patients), TRAINING_PIXEL_MM, followup=False)
    bloodless = patients * BLOODLESS // 100
    without = write_bloodless(work / "bloodless", range(first, first + bloodless)) if bloodless else None
    return read_cohort(made, FILES), read_cohort(without, FILES) if without else []


def simulate_more(work: Path, seed: int, after: int, patients: int) -> list[CohortCase]:
    """Further simulated patients, whose images the network is not trained on."""
    if patients <= 0:
        return []
    first = seed + TRAINING_SEED + after
    made = write_cohort(work / "simulated-more", range(first, first + patients), TRAINING_PIXEL_MM, followup=False)
    return read_cohort(made, FILES)


def slice_cases(cases: Sequence[CohortCase]) -> list[SliceCase]:
    return [SliceCase.from_volumes(c.case, *load_case(c), simulated=c.is_simulated) for c in cases]


def train_network(
    cases: Sequence[SliceCase],
    work: Path,
    steps: int,
    seed: int,
    watching: Sequence[SliceCase] = (),
    patience: int = 0,
) -> tuple[nn.Module, TrainingRun]:
    """The multi-task network, in evaluation mode on the CPU, and its training; resumes what lies in `work`.

    Args:
        watching: patients held out, and `patience` as stopping.watch_of has them.
    """
    torch.manual_seed(seed)
    model = WithSigns(network.build(), network.FEATURES)
    loop = LoopSettings(steps=steps, learning_rate=1.5e-3, seed=seed, decay=0.5)
    watch = watch_of(watching, SliceSource, patience, steps)
    run = TrainingRun(model, SliceSource(cases), loop, work, multitask_loss, watch)
    run.run()
    return run.final_network(batches=min(CALIBRATION_BATCHES, steps)).network.eval(), run
