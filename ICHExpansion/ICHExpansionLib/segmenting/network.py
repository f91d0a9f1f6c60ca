"""The multi-task network of ICHExpansion and the numbers that inference and training must agree on.

One encoder reads a slice with both neighbors. Its decoder segments (background, hematoma, intraventricular blood,
edema, extra-axial blood); one head tells whether the slice has parenchymal hematoma; one gives features of the
hematoma's slice for the expansion score, pooled over the network's own hematoma. Only `build` imports torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..labels import CLASSES

if TYPE_CHECKING:
    from torch import nn

NAME = "slices"
CHANNELS = 3  # the slice below, the slice, the slice above
WIDTHS = (24, 48, 96, 128, 160)
FEATURES = 48
# The window of the real training images, which saturate outside it.
HU_LOW, HU_HIGH = 0.0, 80.0
OUTPUTS = ("logits", "detection", "features", "evidence")
EVIDENCE_PIXELS = 4  # evidence maps have one value for so many pixels along each axis
SMALLEST_SUM = 4.0  # keeps the pooled features of slices with next to no hematoma near zero


def normalize(hu: np.ndarray) -> np.ndarray:
    """HU to the network's input range [-1, 1], float32."""
    scaled = np.clip(hu, HU_LOW, HU_HIGH).astype(np.float32)
    scaled -= (HU_LOW + HU_HIGH) / 2.0
    scaled /= (HU_HIGH - HU_LOW) / 2.0
    return scaled


def with_neighbors(slices: np.ndarray) -> np.ndarray:
    """(k, j, i) to (k, 3, j, i): every slice between the one below and the one above; ends stand twice."""
    padded = np.concatenate([slices[:1], slices, slices[-1:]])
    return np.stack([padded[:-2], padded[1:-1], padded[2:]], axis=1)


def build() -> nn.Module:
    """The untrained torch network."""
    from .multitask import MultiTaskNetwork

    return MultiTaskNetwork(CHANNELS, len(CLASSES), WIDTHS, FEATURES)
