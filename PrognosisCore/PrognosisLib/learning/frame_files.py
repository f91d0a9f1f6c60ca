"""Simulated ultrasound frames on disk as the networks see them, made on as many processes as there are cores."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from ..framewise.lattice import FACE, PIXEL_MM, SHAPE
from ..simulation.ultrasound.probe import ScreenGeometry
from ..simulation.ultrasound.recording import Frame

# Frames are drawn finer and averaged, as those of a screen are.
FINE = ScreenGeometry((2 * SHAPE[0], 2 * SHAPE[1]), PIXEL_MM / 2, (2 * FACE[0] + 0.5, 2 * FACE[1] + 0.5))


def simulated(make: Callable[[Any, list[Path]], None], folder: Path, jobs: Mapping[Any, list[Path]]) -> list[Path]:
    """All files of the jobs, which `make(job, files)` writes; those that are there are kept, so a stopped run goes on.

    Args:
        make: a function of a module, since other processes call it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = [job for job, files in jobs.items() if not all(file.exists() for file in files)]
    if missing:
        with ProcessPoolExecutor(min(os.cpu_count() or 1, len(missing))) as pool:
            for _ in pool.map(make, missing, [jobs[job] for job in missing], chunksize=1):
                pass
    return [file for files in jobs.values() for file in files]


def on_lattice(frames: Sequence[Frame]) -> tuple[np.ndarray, np.ndarray]:
    """Gray values uint8 and liver bool, both (n, 160, 192), of frames drawn on FINE."""
    gray = np.stack([halved(frame.gray) for frame in frames])
    return gray, np.stack([halved(255 * frame.liver.astype(np.uint8)) > 127 for frame in frames])


def halved(image: np.ndarray) -> np.ndarray:
    """Means of two by two pixels, uint8."""
    j, i = image.shape
    return np.rint(image.reshape(j // 2, 2, i // 2, 2).mean(axis=(1, 3), dtype=np.float32)).astype(np.uint8)


def write_frames(file: Path, gray: np.ndarray, liver: np.ndarray, **more: Any) -> None:
    """Gray values uint8 and liver bool of one shape, and what else is to be kept: whole or not at all."""
    partial = file.with_suffix(".part")
    with partial.open("wb") as stream:
        np.savez_compressed(stream, gray=gray, liver=np.packbits(liver), **more)
    partial.replace(file)


def read_frames(stored: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Gray values and liver of an open file of `write_frames`."""
    gray = stored["gray"]
    return gray, np.unpackbits(stored["liver"], count=gray.size).reshape(gray.shape).astype(bool)
