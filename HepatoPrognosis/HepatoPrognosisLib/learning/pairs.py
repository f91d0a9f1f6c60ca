"""Simulated images on disk as the network sees them: pairs of T0 and T1, and odd views that teach what is no liver."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from PrognosisLib.learning.frame_files import FINE, on_lattice, read_frames, simulated, write_frames
from PrognosisLib.simulation.ultrasound.odd_views import odd_scan
from PrognosisLib.simulation.ultrasound.recording import record

from ..simulation.visits import draw_visits

PATIENTS, VIEWS = 25, 60  # pairs, and views of one patient, of a file
# Every third view looks below the liver or beside it, so that many show none.
AWAY_EACH, AWAY_MM, AWAY_SPREAD_MM = 3, (0.0, 10.0, -65.0), (45.0, 20.0, 20.0)


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


class Views(NamedTuple):
    """Single images: gray values (n, 160, 192) uint8 and liver (n, 160, 192) bool."""

    gray: np.ndarray
    liver: np.ndarray


def simulate_views(folder: Path, seeds: Iterable[int]) -> list[Path]:
    """Files of VIEWS images of every patient through windows that nobody would choose; see odd_views.py."""
    return simulated(_simulate_views, folder, {seed: [folder / f"{seed:05d}_views.npz"] for seed in seeds})


def _simulate_views(seed: int, files: list[Path]) -> None:
    visit, _second = draw_visits(seed)
    medium, frames = visit.medium(), []
    for number in range(VIEWS):
        probe, machine, sweep, state = odd_scan(seed, number, visit.state, visit.state.backscatter)
        if number % AWAY_EACH == 0:
            target = np.random.default_rng([seed, 93, number]).normal(AWAY_MM, AWAY_SPREAD_MM)
            sweep = replace(sweep, window=replace(sweep.window, target=tuple(float(a) for a in target)))
        frames += record(medium, state, probe, machine, sweep, FINE, 1, 0.0, seed + number)
    write_frames(files[0], *on_lattice(frames))


def load_views(files: Iterable[Path]) -> Views:
    """What `simulate_views` wrote, of all files together."""
    parts = []
    for file in files:
        with np.load(file) as stored:
            parts.append(read_frames(stored))
    return Views(*(np.concatenate(column) for column in zip(*parts, strict=True)))
