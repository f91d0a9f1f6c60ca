"""Training of the liver segmenter on simulated frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F

from PrognosisLib.learning.frame_variety import FOR_LIVER, vary
from PrognosisLib.learning.training import LoopSettings, TrainingRun

from ..networks.catalog import build_segmenter
from .cases import StoredCine

if TYPE_CHECKING:
    from torch import nn

BATCH = 16
VIEWS_SHARE = 0.6  # of frames through odd windows


class LiverFrames:
    """Draws batches of frames (n, 1, j, i) and their liver (n, 1, j, i): of sweeps, and of odd views."""

    def __init__(self, stills: Sequence[StoredCine], views: Sequence[StoredCine]) -> None:
        self.stills, self.views = stills, views or stills

    def __call__(self, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        frames = []
        for _ in range(BATCH):
            pool = self.views if rng.random() < VIEWS_SHARE else self.stills
            many = pool[rng.integers(len(pool))]
            one = int(rng.integers(len(many.gray)))
            frames.append(vary(many.gray[one : one + 1], many.liver[one : one + 1], rng, FOR_LIVER))
        images, shares = zip(*frames, strict=True)
        return torch.stack(images), torch.stack(shares)


def liver_loss(logits: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """Cross-entropy plus soft Dice over the whole batch."""
    logits = logits.float()
    probability = torch.sigmoid(logits)
    dice = 1 - (2 * (probability * share).sum() + 1) / ((probability + share).sum() + 1)
    return F.binary_cross_entropy_with_logits(logits, share) + dice


def train_segmenter(
    stills: Sequence[StoredCine], views: Sequence[StoredCine], work: Path, steps: int, seed: int
) -> nn.Module:
    """The segmenter, in evaluation mode on the CPU; resumes what lies in `work`."""
    torch.manual_seed(seed)
    loop = LoopSettings(steps=steps, learning_rate=1.5e-3, seed=seed, decay=0.5)
    run = TrainingRun(build_segmenter(), LiverFrames(stills, views), loop, work, liver_loss)
    run.run()
    return run.final_network()
