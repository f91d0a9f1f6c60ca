"""The steps of `prognosis train stiffness` that make the network: examinations to slices, and the training run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from os import cpu_count
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from PrognosisLib.cohort import CohortCase
from PrognosisLib.errors import InputError
from PrognosisLib.images.readers import read_volume
from PrognosisLib.learning.stopping import watch_of
from PrognosisLib.learning.training import LoopSettings, TrainingRun
from PrognosisLib.volume import Volume

from ..labels import CLASSES, LIVER, SPLEEN
from ..segmenting import network
from ..simulation.real_anatomy import RealAnatomy
from .cases import SliceStack, real_stacks, stacks_on, store
from .training import SliceSource, WithSigns, multitask_loss

if TYPE_CHECKING:
    from torch import nn

# First seeds of simulated examinations on real anatomies, of training and of those kept out.
ON_REAL_SEED, KEPT_OUT_SEED = 30_000, 40_000
SEEDS_EACH = 100
ON_REAL_TRAINING, ON_REAL_TEST = 12, 15  # examinations on each anatomy
CALIBRATION_BATCHES = 60


def read_case(case: CohortCase) -> tuple[dict[str, Volume], Volume]:
    """Images by sequence and labels (on the T2, or on the T1 where there is no T2) of a cohort's case."""
    images = {name: read_volume(case.files[name.lower()], "MR") for name in ("T2", "T1") if name.lower() in case.files}
    return images, read_volume(case.files["labels"], "labels")


def stack_case(case: CohortCase, folder: Path, examinations: int, seed: int) -> list[Path]:
    """A labeled real case as stacks on disk, and simulated examinations on its anatomy where it has a T2.

    Labels other than those of labels.CLASSES are other organs: they are background to the network, and in simulated
    examinations liver and spleen do not grow into them.

    Raises:
        InputError: the labels show no liver.
    """
    wanted = [folder / f"{case.case}.npz"]
    wanted += [folder / f"{case.case}_{seed + n:05d}.npz" for n in range(examinations)]
    if all(path.exists() for path in wanted):
        return wanted
    images, labels = read_case(case)
    if not (labels.array == LIVER).any():
        raise InputError(f"Case '{case.case}': the labels show no liver (label {LIVER}); correct the file.")
    known = np.where(labels.array < len(CLASSES), labels.array, 0).astype(np.uint8)
    store(real_stacks(case.case, images, Volume(known, labels.ijk_to_ras, "labels")), wanted[0])
    if "T2" not in images or not (labels.array == SPLEEN).any():
        return wanted[:1]
    anatomy = RealAnatomy(case.case, images["T2"], labels)
    for number, path in enumerate(wanted[1:]):
        if not path.exists():
            store(stacks_on(anatomy, seed + number), path)
    return wanted


def stack_cases(cases: Mapping[int, CohortCase], folder: Path, examinations: int, seed: int) -> list[Path]:
    """Every case, in as many processes as there are cores; the case of row n takes seeds from seed + 100 n.

    Args:
        cases: by their row in the cohort file, so that seeds do not depend on which cases are kept out.
    """
    if not cases:
        return []
    seeds = [seed + SEEDS_EACH * row for row in cases]
    jobs = (list(cases.values()), [folder] * len(cases), [examinations] * len(cases), seeds)
    with ProcessPoolExecutor(cpu_count(), get_context("spawn")) as pool:
        return [path for paths in pool.map(stack_case, *jobs) for path in paths]


def train_network(
    examinations: Sequence[Sequence[SliceStack]],
    work: Path,
    steps: int,
    seed: int,
    watching: Sequence[Sequence[SliceStack]] = (),
    patience: int = 0,
) -> tuple[tuple[nn.Module, np.ndarray], TrainingRun]:
    """The slice network, in evaluation mode on the CPU, with the basis (d, f) of its features, and its training.

    Resumes what lies in `work`. The basis is what training read from the features: signs and the doubt about each.

    Args:
        watching: examinations held out, and `patience` as stopping.watch_of has them.
    """
    torch.manual_seed(seed)
    model = WithSigns(network.build(), network.FEATURES)
    loop = LoopSettings(steps=steps, learning_rate=1.2e-3, seed=seed, decay=0.45)
    watch = watch_of(watching, SliceSource, patience, steps)
    run = TrainingRun(model, SliceSource(examinations), loop, work, multitask_loss, watch)
    run.run()
    final = run.final_network(batches=min(CALIBRATION_BATCHES, steps))
    return (final.network.eval(), final.signs.weight.detach().numpy().astype(float)), run


def stacks_of_cases(cases: Sequence[CohortCase], folder: Path) -> list[Path]:
    """Cases of any cohort as stacks on disk; where there are no labels, none count.

    Raises:
        InputError: a case has neither a T2 nor a T1, or labels on neither's grid.
    """
    jobs = ([*cases], [folder] * len(cases))
    with ProcessPoolExecutor(cpu_count(), get_context("spawn")) as pool:
        return list(pool.map(_stack_any, *jobs))


def _stack_any(case: CohortCase, folder: Path) -> Path:
    names = [name for name in ("T2", "T1") if name.lower() in case.files]
    if not names:
        raise InputError(f"Case '{case.case}' has neither t2 nor t1; give the path of one of them.")
    images = {name: read_volume(case.files[name.lower()], "MR") for name in names}
    first = images[names[0]]
    if "labels" in case.files:
        labels = read_volume(case.files["labels"], "labels")
    else:
        labels = Volume(np.zeros(first.array.shape, np.uint8), first.ijk_to_ras, "labels")
    path = folder / f"{case.case}.npz"
    store(real_stacks(case.case, images, labels), path)
    return path
