"""Simulated cines as the networks see them, one file each, made on as many processes as there are cores."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from PrognosisLib.learning.frame_files import FINE, on_lattice, read_frames, simulated, write_frames
from PrognosisLib.simulation.ultrasound.recording import Frame, record

from ..simulation.patients import another_cine, draw_clinical, draw_examination, frames_of, odd_view, still_of, truth_of

FRAMES, VIEWS, STILLS = 32, 60, 50  # of a file


class StoredCine(NamedTuple):
    """One simulated cine: gray values (t, j, i) uint8, liver (t, j, i) bool, and what is true of the patient."""

    name: str
    gray: np.ndarray
    liver: np.ndarray
    truth: dict[str, Any]


def simulate_cines(folder: Path, seeds: Iterable[int], cines: int = 1) -> list[Path]:
    """Files of `cines` cines of every patient."""
    jobs = {seed: [folder / f"{seed:05d}_{number}.npz" for number in range(cines)] for seed in seeds}
    return simulated(_simulate_patient, folder, jobs)


def simulate_views(folder: Path, seeds: Iterable[int]) -> list[Path]:
    """Files of VIEWS single frames of every patient through windows that nobody would choose; see odd_view."""
    return simulated(_simulate_views, folder, {seed: [folder / f"{seed:05d}_views.npz"] for seed in seeds})


def simulate_stills(folder: Path, seeds: Sequence[int]) -> list[Path]:
    """Files of single frames, one of each patient, STILLS patients a file."""
    parts = (seeds[start : start + STILLS] for start in range(0, len(seeds), STILLS))
    jobs = {tuple(part): [folder / f"{part[0]:05d}_stills.npz"] for part in parts}
    return simulated(_simulate_stills, folder, jobs)


def load(path: Path) -> StoredCine:
    """What `simulate_cines` wrote."""
    with np.load(path) as stored:
        gray, liver = read_frames(stored)
        return StoredCine(path.stem, gray, liver, json.loads(str(stored["truth"])))


def _simulate_stills(seeds: Sequence[int], files: list[Path]) -> None:
    """One frame of each patient."""
    examinations = [draw_examination(seed) for seed in seeds]
    truths = [{"patient": one.seed, **truth_of(one)} for one in examinations]
    _store(files[0], [still_of(one, FINE) for one in examinations], {"patients": truths})


def _simulate_views(seed: int, files: list[Path]) -> None:
    """Single frames of one patient."""
    examination = draw_examination(seed)
    medium, frames = examination.medium(), []
    for number in range(VIEWS):
        one, state = odd_view(examination, number)
        frames += record(medium, state, one.probe, one.machine, one.sweep, FINE, 1, 0.0, seed + number)
    _store(files[0], frames, {"patient": seed})


def _store(file: Path, frames: Sequence[Frame], truth: Mapping[str, Any]) -> None:
    """Frames drawn on FINE, whole or not at all."""
    write_frames(file, *on_lattice(frames), truth=json.dumps(truth))


def _simulate_patient(seed: int, files: list[Path]) -> None:
    """All cines of one patient, from one anatomy."""
    examination = draw_examination(seed)
    medium = examination.medium()
    for number, file in enumerate(files):
        one = examination if number == 0 else another_cine(examination, number)
        truth = {"patient": seed, **truth_of(one), "clinical": draw_clinical(examination)}
        _store(file, list(frames_of(one, FINE, FRAMES, medium)), truth)
