"""The multi-task network of ICHExpansion and the numbers that inference and training must agree on.

One encoder reads a slice with both neighbors. Its decoder segments (background, hematoma, intraventricular blood,
edema, extra-axial blood); one head tells whether the slice has parenchymal hematoma; one gives features of the
hematoma's slice for the expansion score, pooled over the network's own hematoma. Only `build` imports torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..labels import CLASSES, HEMATOMA

if TYPE_CHECKING:
    from torch import nn

NAME = "slices"
CHANNELS = 3  # the slice below, the slice, the slice above
SLAB_MM = 5.5  # slices are averaged as long as the slab stays below this
PIXEL_MM = 1.0
WIDTHS = (24, 48, 96, 128, 160)
FEATURES = 48
# The window of the real training images, which saturate outside it.
HU_LOW, HU_HIGH = 0.0, 80.0
OUTPUTS = ("logits", "detection", "features", "evidence")


def normalize(hu: np.ndarray) -> np.ndarray:
    """HU to the network's input range [-1, 1], float32."""
    scaled = np.clip(hu, HU_LOW, HU_HIGH).astype(np.float32)
    scaled -= (HU_LOW + HU_HIGH) / 2.0
    scaled /= (HU_HIGH - HU_LOW) / 2.0
    return scaled


def build() -> nn.Module:
    """The untrained torch network."""
    from PrognosisLib.slicewise.multitask import MultiTaskNetwork

    return MultiTaskNetwork(CHANNELS, len(CLASSES), WIDTHS, FEATURES, pooled_class=HEMATOMA)
