"""Cines as the classifiers see them: the encoder's cells of every frame, as they are and as on other scanners."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from PrognosisLib.framewise.lattice import to_input
from PrognosisLib.learning.frame_variety import FOR_SIGNS, vary
from PrognosisLib.learning.training import channels_last, fast_type

from ..networks.lattice import SMALLEST_SUM, STRIDE, WINDOW
from ..networks.reading import FEWEST_USABLE
from .taught import TaughtCine


@dataclass(frozen=True)
class EncodedCine:
    """One cine through the encoder, in several variants of which the first is the cine as it is.

    Args:
        cells: float16 (variants, t, f, j, i); weight: float16 (variants, t, j, i).
        usable, stage, reached, signs, patient: see TaughtCine.
    """

    cells: np.ndarray
    weight: np.ndarray
    usable: np.ndarray
    stage: int
    reached: np.ndarray
    signs: np.ndarray
    patient: str

    def pooled(self, variant: int, frames: np.ndarray) -> np.ndarray:
        """The features (t, f) of frames."""
        cells, weight = (one[variant, frames].astype(np.float32) for one in (self.cells, self.weight))
        return np.einsum("tfji,tji->tf", cells, weight) / (weight.sum(axis=(1, 2)) + SMALLEST_SUM)[:, None]

    def joined(self, variant: int, frames: np.ndarray) -> np.ndarray:
        """What the 3D network takes: float32 (f + 1, t, j, i)."""
        both = np.concatenate([self.cells[variant, frames], self.weight[variant, frames][:, None]], axis=1)
        return both.transpose(1, 0, 2, 3).astype(np.float32)

    def windows(self) -> list[np.ndarray]:
        """Frames of the usable windows, as networks.reading makes them; short ones are filled with their last frame."""
        count, found = len(self.usable), []
        for start in window_starts(count):
            frames = np.minimum(np.arange(start, start + WINDOW), count - 1)
            if self.usable[np.unique(frames)].mean() >= FEWEST_USABLE:
                found.append(frames)
        return found


def window_starts(frames: int) -> list[int]:
    """First frames of the windows, as networks.reading makes them."""
    starts = list(range(0, max(frames - WINDOW, 0) + 1, STRIDE))
    return starts if frames <= WINDOW or starts[-1] + WINDOW >= frames else [*starts, starts[-1] + STRIDE]


def encode(cines: Sequence[TaughtCine], encoder: nn.Module, variants: int = 1, seed: int = 0) -> list[EncodedCine]:
    """All cines; equal seeds give equal variants."""
    encoder, kind = channels_last(encoder), fast_type(torch.device("cpu"))
    found = []
    with torch.inference_mode(), torch.autocast("cpu", dtype=kind or torch.bfloat16, enabled=kind is not None):
        for number, cine in enumerate(cines):
            cells, weights = [], []
            for variant in range(variants):
                frames = _varied(cine, np.random.default_rng([seed, number, variant])) if variant else _plain(cine)
                _, cell, weight = encoder(channels_last(frames))
                cells.append(cell.half().contiguous().numpy())
                weights.append(weight[:, 0].half().numpy())
            known = (cine.usable, cine.stage, cine.reached, cine.signs, cine.patient)
            found.append(EncodedCine(np.stack(cells), np.stack(weights), *known))
    return found


def _plain(cine: TaughtCine) -> torch.Tensor:
    """(t, 2, j, i)."""
    return torch.from_numpy(np.stack([to_input(cine.gray), cine.liver.astype(np.float32) / 255.0], axis=1))


def _varied(cine: TaughtCine, rng: np.random.Generator) -> torch.Tensor:
    """The same on another scanner."""
    return torch.stack(vary(cine.gray, cine.liver, rng, FOR_SIGNS), dim=1)
