"""Simulated cines as the networks see them, one file each, made on as many processes as there are cores."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from PrognosisLib.framewise.lattice import FACE, PIXEL_MM, SHAPE
from PrognosisLib.simulation.ultrasound.probe import ScreenGeometry
from PrognosisLib.simulation.ultrasound.recording import Frame, record

from ..simulation.patients import another_cine, draw_clinical, draw_examination, frames_of, odd_view, truth_of

FRAMES = 32
# Frames are drawn finer and averaged, as those of a screen are.
FINE = ScreenGeometry((2 * SHAPE[0], 2 * SHAPE[1]), PIXEL_MM / 2, (2 * FACE[0] + 0.5, 2 * FACE[1] + 0.5))


class StoredCine(NamedTuple):
    """One simulated cine: gray values (t, j, i) uint8, liver (t, j, i) bool, and what is true of the patient."""

    name: str
    gray: np.ndarray
    liver: np.ndarray
    truth: dict[str, Any]


def simulate_cines(folder: Path, seeds: Iterable[int], cines: int = 1, workers: int = 2) -> list[Path]:
    """Files of `cines` cines of every patient; those that are there are kept, so an interrupted run goes on."""
    folder.mkdir(parents=True, exist_ok=True)
    names = {seed: [folder / f"{seed:05d}_{number}.npz" for number in range(cines)] for seed in seeds}
    missing = [seed for seed, files in names.items() if not all(file.exists() for file in files)]
    if missing:
        with ProcessPoolExecutor(min(workers, len(missing))) as pool:
            for _ in pool.map(_simulate_patient, missing, [names[seed] for seed in missing], chunksize=1):
                pass
    return [file for files in names.values() for file in files]


def simulate_views(folder: Path, seeds: Iterable[int], views: int = 60, workers: int = 2) -> list[Path]:
    """Files of `views` single frames of every patient through windows that nobody would choose; see odd_view."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {seed: folder / f"{seed:05d}_views.npz" for seed in seeds}
    missing = [seed for seed, file in files.items() if not file.exists()]
    if missing:
        with ProcessPoolExecutor(min(workers, len(missing))) as pool:
            jobs = (missing, [files[seed] for seed in missing], [views] * len(missing))
            for _ in pool.map(_simulate_views, *jobs, chunksize=1):
                pass
    return list(files.values())


def load(path: Path) -> StoredCine:
    """What `simulate_cines` wrote."""
    with np.load(path) as stored:
        gray, truth = stored["gray"], json.loads(str(stored["truth"]))
        liver = np.unpackbits(stored["liver"], count=gray.size).reshape(gray.shape).astype(bool)
    return StoredCine(path.stem, gray, liver, truth)


def _simulate_views(seed: int, file: Path, views: int) -> None:
    """Single frames of one patient."""
    examination = draw_examination(seed)
    medium, frames = examination.medium(), []
    for number in range(views):
        one, state = odd_view(examination, number)
        frames += record(medium, state, one.probe, one.machine, one.sweep, FINE, 1, 0.0, seed + number)
    _store(file, frames, {"patient": seed})


def _store(file: Path, frames: Sequence[Frame], truth: Mapping[str, Any]) -> None:
    """Frames drawn on FINE, whole or not at all."""
    gray = np.stack([_halved(frame.gray) for frame in frames])
    liver = np.stack([_halved(255 * frame.liver.astype(np.uint8)) > 127 for frame in frames])
    partial = file.with_suffix(".part")
    with partial.open("wb") as stream:
        np.savez_compressed(stream, gray=gray, liver=np.packbits(liver), truth=json.dumps(truth))
    partial.replace(file)


def _simulate_patient(seed: int, files: list[Path]) -> None:
    """All cines of one patient, from one anatomy."""
    examination = draw_examination(seed)
    medium = examination.medium()
    for number, file in enumerate(files):
        one = examination if number == 0 else another_cine(examination, number)
        truth = {"patient": seed, **truth_of(one), "clinical": draw_clinical(examination)}
        _store(file, list(frames_of(one, FINE, FRAMES, medium)), truth)


def _halved(image: np.ndarray) -> np.ndarray:
    """Means of two by two pixels, uint8."""
    j, i = image.shape
    return np.rint(image.reshape(j // 2, 2, i // 2, 2).mean(axis=(1, 3), dtype=np.float32)).astype(np.uint8)
