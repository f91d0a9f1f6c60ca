"""Simulated pairs of images on disk as the network sees them, PATIENTS of them in a file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from PrognosisLib.learning.frame_files import FINE, on_lattice, read_frames, simulated, write_frames

from ..simulation.visits import draw_visits

PATIENTS = 25  # of a file


class Pairs(NamedTuple):
    """Images of patients: gray values (n, 2, 160, 192) uint8 at T0 and T1, liver (n, 2, 160, 192) bool, seeds (n,)."""

    gray: np.ndarray
    liver: np.ndarray
    seeds: np.ndarray

    @property
    def names(self) -> list[str]:
        """Of the patients."""
        return [f"simulated_{seed:05d}" for seed in self.seeds]


def simulate_pairs(folder: Path, seeds: Sequence[int]) -> list[Path]:
    """Files of the patients of `seeds`; those that are there are kept, so an interrupted run goes on."""
    parts = (tuple(seeds[start : start + PATIENTS]) for start in range(0, len(seeds), PATIENTS))
    jobs = {part: [folder / f"{part[0]:05d}_{len(part):02d}.npz"] for part in parts}
    return simulated(_simulate, folder, jobs)


def _simulate(seeds: Sequence[int], files: list[Path]) -> None:
    frames = [visit.still(FINE) for seed in seeds for visit in draw_visits(seed)]
    gray, liver = (one.reshape(len(seeds), 2, *one.shape[1:]) for one in on_lattice(frames))
    write_frames(files[0], gray, liver, seeds=np.array(seeds))


def load_pairs(files: Iterable[Path]) -> Pairs:
    """What `simulate_pairs` wrote, of all files together."""
    parts = []
    for file in files:
        with np.load(file) as stored:
            parts.append((*read_frames(stored), stored["seeds"]))
    return Pairs(*(np.concatenate(column) for column in zip(*parts, strict=True)))
