"""What the classifiers learn from, and their loss: the ordinal stage and, where a cine is simulated, its signs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from ..simulation.causes import SIGNS

SIGNS_WEIGHT = 0.5
START_THRESHOLDS = (-1.3, -0.2, 0.7, 1.5)
# Of the simulated population: the losses of all signs weigh alike.
SIGN_MEAN = np.array([np.mean(mean) for mean, _ in SIGNS.values()], np.float32)
SIGN_SD = np.array([np.hypot(np.std(mean), spread) for mean, spread in SIGNS.values()], np.float32)
UNKNOWN_SIGNS = np.full(len(SIGNS), np.nan, np.float32)


@dataclass(frozen=True)
class TaughtCine:
    """One cine, or single frames of one patient.

    Args:
        gray: uint8 (t, j, i), at about networks.lattice.FRAME_RATE; liver: the segmenter's probability 0..255.
        usable: bool (t,).
        stage: 0 to 4; reached: (4,) probability of reaching F1 to F4: the stage's own 0 and 1, or, where the causal
            model is known, its probabilities given the signs, which teach the same with less noise.
        signs: (signs,) standardized, NaN where they are not known.
        patient: cines of one patient never lie on two sides of a split.
    """

    gray: np.ndarray
    liver: np.ndarray
    usable: np.ndarray
    stage: int
    reached: np.ndarray
    signs: np.ndarray
    patient: str


def reached_by(stage: int) -> np.ndarray:
    """(4,) whether a stage is at least F1 to F4."""
    return (stage > np.arange(4)).astype(np.float32)


def targets_of(patients: Sequence[Any]) -> dict[str, torch.Tensor]:
    """What `stage_loss` takes, of cines with `reached` and `signs`."""
    return {name: torch.from_numpy(np.stack([getattr(one, name) for one in patients])) for name in ("reached", "signs")}


def balanced(stages: np.ndarray) -> np.ndarray:
    """Chances (n,) of being drawn: half by stage alike, half by patient."""
    weight = 1.0 / np.bincount(stages, minlength=5)[stages]
    return 0.5 * weight / weight.sum() + 0.5 / len(stages)


def stage_loss(
    output: tuple[torch.Tensor, torch.Tensor, torch.Tensor], target: dict[str, torch.Tensor]
) -> torch.Tensor:
    """Cross-entropy of reaching each stage, and the distance to the signs where they are known.

    Args:
        output: scores (n,), ordinal logits (n, 4), told signs (n, signs).
    """
    _, logits, told = output
    loss = F.binary_cross_entropy_with_logits(logits.float(), target["reached"])
    known = ~torch.isnan(target["signs"])
    if known.any():
        apart = F.smooth_l1_loss(told.float(), torch.nan_to_num(target["signs"]), reduction="none")
        loss = loss + SIGNS_WEIGHT * (apart * known).sum() / known.sum()
    return loss
