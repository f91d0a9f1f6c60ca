"""From a cine's reading to what stays with it: evidence for the rows, and one heat map for every frame."""

from __future__ import annotations

import numpy as np

from PrognosisLib.framewise.lattice import SHAPE
from PrognosisLib.images.cine.cine import Cine
from PrognosisLib.images.cine.screen import Screen

from ..labels import MODELS
from ..measuring.evidence import AttentionMaps, CineEvidence, Plane, Window
from .lattice import CELL, CELLS
from .reading import CineReading

BRIGHTEST_PERCENT = 99.8  # of all cells of the film: what is at least as hot is full


def evidence_of(cine: Cine, screen: Screen, read: CineReading) -> CineEvidence:
    """What measuring needs of the networks, also after the mask was edited."""
    windows = tuple(
        Window(
            int(read.kept[first]),
            int(read.kept[last - 1]) + 1,
            {model: one.score for model, one in readings.items()},
        )
        for first, last, readings in read.windows
    )
    scores = {model: _on_frames(read, model, len(cine)) for model in MODELS} if windows else {}
    return CineEvidence(
        len(cine), windows, scores, dict(read.unusable), _sector(screen, read), attention_of(read, cine)
    )


def heat_of(read: CineReading, model: str, frames: int) -> np.ndarray | None:
    """uint8 (t, *CELLS) for every frame: that of the nearest frame which the classifiers saw; None without any."""
    heat = _heat(read, model)
    if heat is None:
        return None
    top = float(np.percentile(heat, BRIGHTEST_PERCENT))
    scaled = np.clip(heat.astype(np.float32) * (255.0 / max(top, 1e-9)), 0, 255)
    return np.rint(scaled).astype(np.uint8)[nearest_kept(read.kept, frames)]


def attention_of(read: CineReading, cine: Cine) -> AttentionMaps | None:
    """The heat maps of all models on the frames that a window covers, each scaled to its own largest value."""
    covered = np.unique(np.concatenate([np.arange(a, b) for a, b, _ in read.windows])) if read.windows else []
    maps = {}
    for model in MODELS:
        heat = _heat(read, model)
        if heat is None or not len(covered):
            return None
        heat = heat[covered].astype(np.float32)
        maps[model] = np.rint(heat * (255.0 / max(float(heat.max()), 1e-9))).astype(np.uint8)
    return AttentionMaps(read.kept[covered], maps, read.lattice.cells(len(cine), CELL).ijk_to_ras)


def nearest_kept(kept: np.ndarray, frames: int) -> np.ndarray:
    """For every frame the place in `kept` of the nearest one."""
    after = np.clip(np.searchsorted(kept, np.arange(frames)), 1, max(len(kept) - 1, 1))
    before = after - 1
    after = np.minimum(after, len(kept) - 1)
    near = np.arange(frames) - kept[before] <= kept[after] - np.arange(frames)
    return np.where(near, before, after)


def _heat(read: CineReading, model: str) -> np.ndarray | None:
    """(kept, *CELLS) float32: the mean over the windows that saw a frame; zero where none did."""
    total, count = np.zeros((len(read.kept), *CELLS), np.float32), np.zeros(len(read.kept), np.float32)
    for first, last, readings in read.windows:
        heat = readings[model].heat
        if heat is None:
            return None
        total[first:last] += heat[: last - first]
        count[first:last] += 1
    return total / np.maximum(count, 1)[:, None, None] if read.windows else None


def _on_frames(read: CineReading, model: str, frames: int) -> np.ndarray:
    """(t,) what each frame adds to the score, between the frames seen by linear interpolation; NaN if unusable."""
    total, count = np.zeros(len(read.kept)), np.zeros(len(read.kept))
    for first, last, readings in read.windows:
        total[first:last] += readings[model].steps[: last - first]
        count[first:last] += 1
    seen = count > 0
    out = np.interp(np.arange(frames), read.kept[seen], total[seen] / count[seen])
    out[[number for number in read.unusable if number < frames]] = np.nan
    return out


def _sector(screen: Screen, read: CineReading) -> Plane:
    """The ultrasound image on the networks' lattice."""
    lattice = read.lattice
    share = lattice(screen.sector.mask.astype(np.float32))
    return Plane(share.reshape(SHAPE) > 0.5, lattice.ijk_to_ras)
