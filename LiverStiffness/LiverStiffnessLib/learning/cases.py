"""Examinations as the network sees them: gray slices and labels in eight bits, with what the liver shows, on disk."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from PrognosisLib.volume import Volume, resample

from ..segmenting.network import GRAY_HIGH, GRAY_LOW, SEQUENCES, to_gray_slices
from ..simulation.patients import Examination, draw_examination, examine, truth_of
from ..simulation.real_anatomy import RealAnatomy, examine_real

LEVELS = 255.0
SIGN_TARGETS = ("log_nodularity", "lobe_shift", "log_texture", "t2_prolongation", "log_spleen")
TARGETS = (*SIGN_TARGETS, "expected_log_kpa")
OTHER_SHARE = 0.3  # of the simulated examinations for training, these have an image of another sequence


@dataclass(frozen=True)
class SliceStack:
    """One image on its slices: gray uint8 and labels uint8, both (k, j, i); sequence as an index of SEQUENCES.

    `targets` (t,) are the examination's TARGETS, NaN where they are not known.
    """

    name: str
    sequence: int
    gray: np.ndarray
    labels: np.ndarray
    ijk_to_ras: np.ndarray
    targets: np.ndarray
    simulated: bool

    @classmethod
    def from_volumes(
        cls, name: str, sequence: str, image: Volume, labels: Volume, targets: np.ndarray, simulated: bool
    ) -> SliceStack:
        slices = to_gray_slices(image)
        truth = resample(labels.array, labels.ijk_to_ras, slices.grid, fill=0, nearest=True).astype(np.uint8)
        box = _body_box(slices.array)
        gray = np.round((slices.array[box] - GRAY_LOW) * (LEVELS / (GRAY_HIGH - GRAY_LOW))).astype(np.uint8)
        grid = slices.grid.sub_grid(box)
        return cls(name, SEQUENCES.index(sequence), gray, truth[box], grid.ijk_to_ras, targets, simulated)

    @property
    def values(self) -> np.ndarray:
        """Gray values as `network.normalize` gives them, float32 (k, j, i)."""
        return gray_values(self.gray)


def gray_values(stored: np.ndarray) -> np.ndarray:
    """Gray values as `network.normalize` gives them, float32, from those stored in eight bits."""
    return stored.astype(np.float32) * np.float32((GRAY_HIGH - GRAY_LOW) / LEVELS) + np.float32(GRAY_LOW)


def _body_box(gray: np.ndarray) -> tuple[slice, slice, slice]:
    """All slices, in plane the box of the body with a margin, in whole steps of 32 pixels."""
    flat = (gray > -0.8).mean(axis=0) > 0.15
    box: list[slice] = [slice(0, gray.shape[0])]
    for axis in (0, 1):
        filled = np.flatnonzero(flat.any(axis=1 - axis))
        size = flat.shape[axis]
        if not len(filled):
            box.append(slice(0, size))
            continue
        want = min(size, -(-(int(filled[-1] - filled[0]) + 9) // 32) * 32)
        start = int(np.clip((filled[0] + filled[-1] + 1 - want) // 2, 0, size - want))
        box.append(slice(start, start + want))
    return tuple(box)


def targets_of(examination: Examination) -> np.ndarray:
    truth = truth_of(examination)
    return np.array([truth[f"true_{name}"] for name in TARGETS], np.float32)


def simulated_stacks(seed: int, other: bool = False) -> list[SliceStack]:
    """The stacks of one simulated examination: T2, T1 and, where asked for, another sequence."""
    examination = draw_examination(seed)
    targets = targets_of(examination)
    images = examine(examination, other)
    names = SEQUENCES[: len(images)]
    return [
        SliceStack.from_volumes(f"simulated_{seed:05d}", one, image.volume, image.labels, targets, True)
        for one, image in zip(names, images, strict=True)
    ]


def real_stacks(name: str, images: Mapping[str, Volume], labels: Volume) -> list[SliceStack]:
    """Real images by sequence, with labels of classes; the signs of their livers nobody knows."""
    unknown = np.full(len(TARGETS), np.nan, np.float32)
    return [SliceStack.from_volumes(name, one, image, labels, unknown, False) for one, image in images.items()]


def stacks_on(anatomy: RealAnatomy, seed: int) -> list[SliceStack]:
    """T2 and T1 of a simulated examination on a real anatomy."""
    examination = draw_examination(seed)
    images = examine_real(anatomy, examination)
    return [
        SliceStack.from_volumes(
            f"{anatomy.name}_{seed:05d}", one, image.volume, image.labels, targets_of(examination), True
        )
        for one, image in zip(SEQUENCES, images, strict=False)
    ]


def store(stacks: Sequence[SliceStack], path: Path) -> None:
    """Write the stacks of one examination into one file, whole or not at all."""
    content = {}
    for number, stack in enumerate(stacks):
        for key in ("sequence", "gray", "labels", "ijk_to_ras", "targets", "simulated"):
            content[f"{key}_{number}"] = getattr(stack, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.stem}.part.npz")
    np.savez_compressed(partial, **content)
    os.replace(partial, path)


def load(path: Path) -> list[SliceStack]:
    """What `store` wrote."""
    stacks = []
    with np.load(path) as content:
        for number in range(sum(key.startswith("gray_") for key in content)):
            sequence, gray, labels, matrix, targets, simulated = (
                content[f"{key}_{number}"]
                for key in ("sequence", "gray", "labels", "ijk_to_ras", "targets", "simulated")
            )
            stacks.append(SliceStack(path.stem, int(sequence), gray, labels, matrix, targets, bool(simulated)))
    return stacks


def simulate_stacks(folder: Path, seeds: range, other_share: float = 0.0, workers: int = 0) -> list[Path]:
    """Simulated examinations as files in a folder; those that are there already are kept."""
    wanted = [folder / f"simulated_{seed:05d}.npz" for seed in seeds]
    missing = [(path, seed) for path, seed in zip(wanted, seeds, strict=True) if not path.exists()]
    if missing:
        with ProcessPoolExecutor(workers or os.cpu_count(), get_context("spawn")) as pool:
            list(pool.map(_simulate_one, missing, [other_share] * len(missing)))
    return wanted


def _simulate_one(job: tuple[Path, int], other_share: float) -> None:
    path, seed = job
    other = np.random.default_rng([seed, 51]).random() < other_share
    store(simulated_stacks(seed, bool(other)), path)
