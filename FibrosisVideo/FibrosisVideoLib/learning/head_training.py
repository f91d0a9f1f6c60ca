"""Training of the three classifiers, alike: the same encoder, cines, variants, loss, frames a step and steps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from PrognosisLib.learning.stopping import watch_of
from PrognosisLib.learning.training import LoopSettings, TrainingRun

from ..networks.catalog import LSTM_UNITS, build_film, features_of
from ..networks.heads import Head, LinearHead, RecurrentHead
from ..networks.lattice import WINDOW
from ..simulation.causes import SIGNS
from .encoding import EncodedCine
from .taught import START_THRESHOLDS, balanced, stage_loss, targets_of

FRAMES_PER_STEP = 128


class Classifier(nn.Module):
    """What one model makes of the encoder's cells: scores (n,), ordinal logits (n, 4) and told signs (n, signs).

    The 3D network takes windows (n, f + 1, t, j, i), the LSTM pooled features of windows (n, t, f), the 2D network
    those of single frames (n, t, f), whose scores are averaged.
    """

    def __init__(self, model: str) -> None:
        super().__init__()
        self.model = model
        self.film = build_film() if model == "3d" else None
        self.recurrent = nn.LSTM(features_of("2d"), LSTM_UNITS, batch_first=True) if model == "lstm" else None
        self.score = nn.Linear(features_of(model), 1)
        self.thresholds = nn.Parameter(torch.tensor(START_THRESHOLDS))
        self.signs = nn.Linear(features_of(model), len(SIGNS))

    def forward(self, seen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        if self.film is not None:
            pooled = self.film(seen)[0].float()
        else:
            pooled = (seen if self.recurrent is None else self.recurrent(seen)[0].float()).mean(dim=1)
        score = self.score(pooled)
        return score[:, 0], score - self.thresholds, self.signs(pooled)

    def head(self) -> Head:
        """The head in numpy, as the product runs it."""
        weights, bias = _numpy(self.score.weight)[0], float(self.score.bias.detach())
        if self.recurrent is None:
            return LinearHead(weights, bias)
        lstm = self.recurrent
        offset = _numpy(lstm.bias_ih_l0) + _numpy(lstm.bias_hh_l0)
        return RecurrentHead(_numpy(lstm.weight_ih_l0), _numpy(lstm.weight_hh_l0), offset, weights, bias)


def _numpy(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().double().numpy()


def seen_by(model: str, cine: EncodedCine, variant: int, frames: np.ndarray) -> np.ndarray:
    """What a classifier takes of one cine's frames, without the first axis."""
    return cine.joined(variant, frames) if model == "3d" else cine.pooled(variant, frames)


class WindowSource:
    """Draws batches: windows, or single frames for the 2D network, with what is true of their patients."""

    def __init__(self, cines: Sequence[EncodedCine], model: str) -> None:
        self.cines = [cine for cine in cines if cine.usable.any()]
        self.model, self.length = model, 1 if model == "2d" else WINDOW
        self.chance = balanced(np.array([cine.stage for cine in self.cines]))

    def __call__(self, rng: np.random.Generator) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        chosen = [self.cines[n] for n in rng.choice(len(self.cines), FRAMES_PER_STEP // self.length, p=self.chance)]
        seen = np.stack([self._window(cine, rng) for cine in chosen])
        return torch.from_numpy(seen), targets_of(chosen)

    def _window(self, cine: EncodedCine, rng: np.random.Generator) -> np.ndarray:
        """Frames around one that is usable, forward or backward."""
        middle, count = int(rng.choice(np.flatnonzero(cine.usable))), len(cine.usable)
        start = int(np.clip(middle - rng.integers(self.length), 0, max(count - self.length, 0)))
        frames = np.clip(np.arange(start, start + self.length), 0, count - 1)
        frames = frames[::-1] if rng.random() < 0.5 else frames
        return seen_by(self.model, cine, int(rng.integers(len(cine.cells))), frames)


def train_classifier(
    cines: Sequence[EncodedCine],
    model: str,
    work: Path,
    steps: int,
    seed: int,
    watching: Sequence[EncodedCine] = (),
    patience: int = 0,
) -> tuple[Classifier, TrainingRun]:
    """A classifier in evaluation mode on the CPU, and its training; resumes what lies in `work`.

    Args:
        model: a key of labels.MODELS.
        watching: cines held out, and `patience` as stopping.watch_of has them.
    """
    torch.manual_seed(seed)
    loop = LoopSettings(
        steps=steps, learning_rate=2e-3, weight_decay=1e-2, warm_up=50, decay=0.7, average=0.99, seed=seed
    )
    watch = watch_of(watching, lambda kept: WindowSource(kept, model), patience, steps)
    run = TrainingRun(Classifier(model), WindowSource(cines, model), loop, work, stage_loss, watch)
    run.run()
    return run.final_network(batches=30), run
