"""The two networks of SpleenVolume and the numbers that inference and training must agree on.

Coarse: the whole scan at 4 mm finds spleen and liver. Fine: the box around the spleen at 1.75 mm draws its border.
Both are PrognosisLib.learning.unet.HalfResolutionUNet. Only `build` imports torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import nn

CLASSES = ("background", "spleen", "liver")
# The window of the real training images: they saturate outside it, so every input is clipped the same way.
HU_LOW, HU_HIGH = -125.0, 275.0


@dataclass(frozen=True)
class Stage:
    """One network: name in the bundle, lattice spacing in mm, feature widths, share of the training steps asked for."""

    name: str
    spacing: float
    widths: tuple[int, ...]
    effort: float = 1.0

    @property
    def multiple(self) -> int:
        """Every dimension of the input must be a multiple of this."""
        return 2 ** len(self.widths)


COARSE = Stage("coarse", 4.0, (24, 48, 64, 96), effort=0.5)
FINE = Stage("fine", 1.75, (32, 64, 96, 128))


def normalize(hu: np.ndarray) -> np.ndarray:
    """HU to the networks' input range [-1, 1], float32."""
    scaled = np.clip(hu, HU_LOW, HU_HIGH).astype(np.float32)
    scaled -= (HU_LOW + HU_HIGH) / 2.0
    scaled /= (HU_HIGH - HU_LOW) / 2.0
    return scaled


def build(stage: Stage) -> nn.Module:
    """The untrained torch network of a stage."""
    from PrognosisLib.learning.unet import HalfResolutionUNet

    return HalfResolutionUNet(channels=1, classes=len(CLASSES), widths=stage.widths)
