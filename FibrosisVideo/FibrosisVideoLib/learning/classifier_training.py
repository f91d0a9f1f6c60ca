"""Training of the three classifiers, alike: the same cines, loss, augmentation, number of frames and steps.

Each learns the ordinal stage and, where a cine is simulated, also to tell the signs from its pooled features, which
then carry them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from PrognosisLib.learning.frame_variety import FOR_SIGNS, vary
from PrognosisLib.learning.training import LoopSettings, TrainingRun

from ..networks.catalog import FILM_WIDTHS, FRAME_WIDTHS, LSTM_UNITS, build_encoder
from ..networks.heads import Head, LinearHead, RecurrentHead
from ..networks.lattice import WINDOW
from ..simulation.causes import SIGNS

FRAMES_PER_STEP = 64
SIGNS_WEIGHT = 0.5
START_THRESHOLDS = (-1.3, -0.2, 0.7, 1.5)
# Of the simulated population: the losses of all signs weigh alike.
SIGN_MEAN = np.array([np.mean(mean) for mean, _ in SIGNS.values()], np.float32)
SIGN_SD = np.array([np.hypot(np.std(mean), spread) for mean, spread in SIGNS.values()], np.float32)


@dataclass(frozen=True)
class TaughtCine:
    """One cine for the classifiers.

    Args:
        gray: uint8 (t, j, i), at about networks.lattice.FRAME_RATE; liver: the segmenter's probability 0..255.
        usable: bool (t,).
        stage: 0 to 4; signs: (signs,) standardized, NaN where they are not known.
        patient: cines of one patient never lie on two sides of a split.
    """

    gray: np.ndarray
    liver: np.ndarray
    usable: np.ndarray
    stage: int
    signs: np.ndarray
    patient: str


class WindowSource:
    """Draws batches: windows (n, 2, WINDOW, j, i), or single frames (n, 2, j, i), with stages and signs."""

    def __init__(self, cines: Sequence[TaughtCine], model: str) -> None:
        self.cines = [cine for cine in cines if cine.usable.any()]
        self.single = model == "2d"
        stages = np.array([cine.stage for cine in self.cines])
        counts = np.bincount(stages, minlength=5)
        weight = 1.0 / counts[stages]
        self.chance = 0.5 * weight / weight.sum() + 0.5 / len(stages)

    def __call__(self, rng: np.random.Generator) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        count = FRAMES_PER_STEP if self.single else FRAMES_PER_STEP // WINDOW
        chosen = [self.cines[n] for n in rng.choice(len(self.cines), count, p=self.chance)]
        images = torch.stack([self._window(cine, rng) for cine in chosen])
        return images[:, :, 0] if self.single else images, {
            "stage": torch.tensor([cine.stage for cine in chosen]),
            "signs": torch.from_numpy(np.stack([cine.signs for cine in chosen])),
        }

    def _window(self, cine: TaughtCine, rng: np.random.Generator) -> torch.Tensor:
        """(2, t, j, i) around a frame that is usable."""
        middle = int(rng.choice(np.flatnonzero(cine.usable)))
        if self.single:
            frames = [middle]
        else:
            start = int(np.clip(middle - rng.integers(WINDOW), 0, max(len(cine.gray) - WINDOW, 0)))
            frames = np.clip(np.arange(start, start + WINDOW), 0, len(cine.gray) - 1)
            frames = frames[::-1] if rng.random() < 0.5 else frames
        image, share = vary(cine.gray[frames], cine.liver[frames], rng, FOR_SIGNS)
        return torch.stack([image, share])


class Classifier(nn.Module):
    """Encoder and head of one model; gives scores (n,), ordinal logits (n, 4) and told signs (n, signs)."""

    def __init__(self, model: str) -> None:
        super().__init__()
        self.model = model
        self.encoder = build_encoder(model)
        features = FILM_WIDTHS[-1] if model == "3d" else FRAME_WIDTHS[-1]
        self.recurrent = nn.LSTM(features, LSTM_UNITS, batch_first=True) if model == "lstm" else None
        self.score = nn.Linear(LSTM_UNITS if model == "lstm" else features, 1)
        self.thresholds = nn.Parameter(torch.tensor(START_THRESHOLDS))
        self.signs = nn.Linear(LSTM_UNITS if model == "lstm" else features, len(SIGNS))

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        if self.recurrent is None:
            pooled = self.encoder(image)[0].float()
        else:
            n, _, t = image.shape[:3]
            frames = image.transpose(1, 2).flatten(0, 1).contiguous(memory_format=torch.channels_last)
            pooled = self.recurrent(self.encoder(frames)[0].float().unflatten(0, (n, t)))[0].mean(dim=1)
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


def classifier_loss(
    output: tuple[torch.Tensor, torch.Tensor, torch.Tensor], target: dict[str, torch.Tensor]
) -> torch.Tensor:
    """Cross-entropy of reaching each stage, and the distance to the signs where they are known."""
    _, logits, told = output
    reached = (target["stage"][:, None] > torch.arange(4, device=logits.device)).float()
    loss = F.binary_cross_entropy_with_logits(logits.float(), reached)
    known = ~torch.isnan(target["signs"])
    if known.any():
        apart = F.smooth_l1_loss(told.float(), torch.nan_to_num(target["signs"]), reduction="none")
        loss = loss + SIGNS_WEIGHT * (apart * known).sum() / known.sum()
    return loss


def train_classifier(cines: Sequence[TaughtCine], model: str, work: Path, steps: int, seed: int) -> Classifier:
    """A classifier in evaluation mode on the CPU; `model` is a key of labels.MODELS; resumes what lies in `work`."""
    torch.manual_seed(seed)
    loop = LoopSettings(
        steps=steps, learning_rate=2e-3, weight_decay=3e-3, warm_up=50, decay=0.6, average=0.99, seed=seed
    )
    run = TrainingRun(Classifier(model), WindowSource(cines, model), loop, work, classifier_loss)
    run.run()
    return run.final_network(batches=30)
