"""Training of the coarse and the fine spleen network on labeled CT, real and simulated.

Label maps use the numbering of the BTCV set: 1 spleen, 2/3 kidneys, 4 gallbladder, 5 esophagus, 6 liver, 7 stomach,
8 aorta, 9 inferior vena cava, 10 portal and splenic vein, 11 pancreas, 12/13 adrenals; simulated ones add others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from PrognosisLib.learning.patches import TrainingCase, degrade, random_lattice, sample_patch
from PrognosisLib.learning.stopping import watch_of
from PrognosisLib.learning.training import Batch, LoopSettings, TrainingRun

from .network import COARSE, HU_HIGH, HU_LOW, Stage, build

SPLEEN, LIVER, STOMACH = 1, 6, 7
# Groups of labels that take up contrast together, and their mean HU without contrast, in the arterial and in the
# delayed phase; the training images themselves are portal venous. Values are textbook ranges' centers. The first two
# are the organs that are segmented.
ENHANCEMENT: dict[str, tuple[tuple[int, ...], dict[str, float]]] = {
    "spleen": ((1,), {"none": 48.0, "arterial": 115.0, "delayed": 85.0}),
    "liver": ((6,), {"none": 56.0, "arterial": 70.0, "delayed": 85.0}),
    "kidneys": ((2, 3), {"none": 33.0, "arterial": 140.0, "delayed": 150.0}),
    "arteries": ((8,), {"none": 42.0, "arterial": 270.0, "delayed": 100.0}),
    "veins": ((9, 10), {"none": 42.0, "arterial": 75.0, "delayed": 100.0}),
    "pancreas": ((11,), {"none": 40.0, "arterial": 100.0, "delayed": 75.0}),
    "stomach": ((7,), {}),
}
GROUPS = tuple(labels for labels, _ in ENHANCEMENT.values())


@dataclass(frozen=True)
class Sampling:
    """How patches of one stage are drawn."""

    stage: Stage
    size: int = 64
    batch: int = 4
    simulated_share: float = 0.3

    @property
    def on_spleen(self) -> float:
        """Part of the patches that are centered near the spleen."""
        return 0.5 if self.stage is COARSE else 0.55

    @property
    def on_stomach(self) -> float:
        """Part of the patches that are centered near the stomach, whose content is most easily taken for spleen."""
        return 0.1 if self.stage is COARSE else 0.3


class PatchSource:
    """Draws augmented batches: image (n, 1, size, size, size) in [-1, 1] and fractional target (n, 3, ...)."""

    def __init__(self, cases: Sequence[TrainingCase], sampling: Sampling) -> None:
        self.sampling = sampling
        self.real = [case for case in cases if not case.simulated]
        self.simulated = [case for case in cases if case.simulated]
        if not cases:
            raise ValueError("No training case is left; check the cohort file and the validation split.")

    def __call__(self, rng: np.random.Generator) -> Batch:
        pairs = [self._patch(rng) for _ in range(self.sampling.batch)]
        return torch.stack([image for image, _ in pairs]), torch.stack([target for _, target in pairs])

    def _pick(self, rng: np.random.Generator) -> TrainingCase:
        simulated = rng.random() < self.sampling.simulated_share
        pool = (self.simulated if simulated else self.real) or self.real or self.simulated
        return pool[rng.integers(len(pool))]

    def _patch(self, rng: np.random.Generator) -> Batch:
        sampling = self.sampling
        spacing = sampling.stage.spacing
        case = self._pick(rng)
        aim = rng.random()
        aims_at = (
            SPLEEN if aim < sampling.on_spleen else STOMACH if aim < sampling.on_spleen + sampling.on_stomach else None
        )
        center = case.random_point(rng, aims_at)
        if aims_at is not None:
            center = center + rng.uniform(-0.35, 0.35, 3) * sampling.size * spacing
        lattice = random_lattice(rng, center, spacing, sampling.size, degrees=12.0, scale=1.25)
        shifted = not case.simulated and rng.random() < 0.4
        refilled = rng.random() < 0.55
        hu, fractions = sample_patch(
            case, lattice, sampling.size, GROUPS if shifted or refilled else GROUPS[:2], HU_LOW
        )
        if refilled:
            hu = refill_stomach(hu, fractions[-1], rng)
        if shifted:
            hu = shift_enhancement(hu, fractions, rng)
        hu = degrade(hu, rng, noise=35.0, thickest=4 if spacing < 2 else 2)
        hu = hu * float(rng.uniform(0.9, 1.1)) + float(rng.uniform(-12, 12))
        image = (hu.clamp(HU_LOW, HU_HIGH) - (HU_LOW + HU_HIGH) / 2) / ((HU_HIGH - HU_LOW) / 2)
        organs = fractions[:2]
        target = torch.cat([(1.0 - organs.sum(0, keepdim=True)).clamp(min=0.0), organs])
        return image[None], target


def train_stage(
    stage: Stage,
    cases: Sequence[TrainingCase],
    work: Path,
    steps: int,
    seed: int,
    watching: Sequence[TrainingCase] = (),
    patience: int = 0,
) -> TrainingRun:
    """One network's training, done; resumes what lies in `work`.

    Args:
        steps: of the whole training, of which the stage takes its part.
        watching: patients held out, and `patience` as stopping.watch_of has them.
    """
    torch.manual_seed(seed)
    loop = LoopSettings(steps=max(1, round(stage.effort * steps)), seed=seed)
    watch = watch_of(watching, lambda kept: PatchSource(kept, Sampling(stage)), patience, loop.steps)
    run = TrainingRun(build(stage), PatchSource(cases, Sampling(stage)), loop, work, watch=watch)
    run.run()
    return run


def refill_stomach(hu: torch.Tensor, stomach: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Another meal: mottled food, fluid, contrast or gas inside the stomach, its wall kept."""
    inside = F.avg_pool3d(F.pad(stomach[None, None], (2,) * 6, mode="replicate"), 5, stride=1)[0, 0]
    inside = (3.0 * inside - 2.0).clamp(min=0.0)
    if float(inside.sum()) < 30:
        return hu
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    lumps = [
        F.interpolate(torch.randn((1, 1, n, n, n), generator=generator), size=hu.shape, mode="trilinear")[0, 0]
        for n in (int(rng.integers(6, 12)), int(rng.integers(16, 32)))
    ]
    content = float(rng.uniform(-10, 130)) + float(rng.uniform(3, 45)) * lumps[0] + float(rng.uniform(3, 30)) * lumps[1]
    if rng.random() < 0.5:
        content[lumps[1] > float(rng.uniform(0.8, 2.0))] = HU_LOW
    return torch.lerp(hu, content, inside)


def shift_enhancement(hu: torch.Tensor, fractions: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Another contrast phase: every labeled organ is moved to a mean drawn for that phase, its texture kept."""
    phase = str(rng.choice(["none", "none", "arterial", "delayed", "free"]))
    common = rng.normal(0, 8)
    for fraction, (_, means) in zip(fractions, ENHANCEMENT.values(), strict=True):
        inside = fraction > 0.9
        if int(inside.sum()) < 30:
            continue
        if phase == "free":
            change = rng.uniform(-60, 60)
        elif phase in means:
            change = means[phase] + common + rng.normal(0, 10) - float(hu[inside].mean())
        else:
            change = rng.normal(0, 15)
        soft = F.avg_pool3d(F.pad(fraction[None, None], (1,) * 6, mode="replicate"), 3, stride=1)[0, 0]
        hu = hu + float(change) * soft
    return hu
