"""Training of the encoder that all three classifiers share: signs and stage from single frames of many patients.

Each frame is of another patient, so what it learns is what fibrosis looks like, not who the patients are. Neither the
patients whom the classifiers learn from nor those who test them are among these.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from PrognosisLib.learning.frame_variety import FOR_SIGNS, vary
from PrognosisLib.learning.training import LoopSettings, TrainingRun

from ..networks.catalog import build_encoder, features_of
from ..simulation.causes import SIGNS
from .taught import START_THRESHOLDS, TaughtCine, balanced, stage_loss, targets_of

BATCH = 64


class EncoderTask(nn.Module):
    """The encoder with linear readings that are used in training alone."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = build_encoder()
        self.score = nn.Linear(features_of("2d"), 1)
        self.signs = nn.Linear(features_of("2d"), len(SIGNS))
        self.thresholds = nn.Parameter(torch.tensor(START_THRESHOLDS))

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        pooled = self.encoder(image)[0].float()
        score = self.score(pooled)
        return score[:, 0], score - self.thresholds, self.signs(pooled)


class StillSource:
    """Draws batches of single frames (n, 2, j, i) with what is true of their patients."""

    def __init__(self, stills: Sequence[TaughtCine]) -> None:
        self.stills = [one for one in stills if one.usable.any()]
        self.chance = balanced(np.array([one.stage for one in self.stills]))

    def __call__(self, rng: np.random.Generator) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        chosen = [self.stills[n] for n in rng.choice(len(self.stills), BATCH, p=self.chance)]
        images = []
        for one in chosen:
            frame = int(rng.choice(np.flatnonzero(one.usable)))
            image, share = vary(one.gray[frame : frame + 1], one.liver[frame : frame + 1], rng, FOR_SIGNS)
            images.append(torch.cat([image, share]))
        return torch.stack(images), targets_of(chosen)


def train_encoder(stills: Sequence[TaughtCine], work: Path, steps: int, seed: int) -> nn.Module:
    """The encoder in evaluation mode on the CPU; resumes what lies in `work`."""
    torch.manual_seed(seed)
    loop = LoopSettings(steps=steps, learning_rate=2e-3, weight_decay=1e-3, warm_up=100, decay=0.6, seed=seed)
    run = TrainingRun(EncoderTask(), StillSource(stills), loop, work, stage_loss)
    run.run()
    return run.final_network(batches=40).encoder
