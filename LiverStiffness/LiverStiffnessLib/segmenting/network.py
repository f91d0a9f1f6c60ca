"""LiverStiffness's slice network and the numbers that inference and training must agree on.

One network reads slices of T1- and of T2-weighted images alike: a slice with both neighbors, its gray values in units
of the body's own. It segments liver, spleen and ascites, tells which sequence the slice is from, and gives features of
the liver that the stiffness is read from, pooled over its own liver mask. Only `build` imports torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from PrognosisLib.slicewise.lattice import to_slices
from PrognosisLib.volume import Volume

from ..labels import CLASSES, LIVER

if TYPE_CHECKING:
    from torch import nn

NAME = "slices"
CHANNELS = 3  # the slice below, the slice, the slice above
WIDTHS = (24, 48, 96, 128, 160)
FEATURES = 48
SEQUENCES = ("T2", "T1", "other")  # of the detection head
OUTPUTS = ("logits", "detection", "features", "evidence")
SLAB_MM, PIXEL_MM = 8.5, 2.0
GRAY_LOW, GRAY_HIGH = -2.0, 5.0  # in standard deviations of the body's gray values


def to_gray_slices(image: Volume) -> Volume:
    """An MR image on its own slices, 2 mm pixels along R and A, in standard deviations from the body's mean (float32).

    The body is what is brighter than a tenth of the 99.5th percentile. Values are cut to -2 and 5.
    """
    slices = to_slices(image, SLAB_MM, PIXEL_MM)
    return Volume(normalize(slices.array), slices.ijk_to_ras, image.modality, image.name)


def normalize(array: np.ndarray) -> np.ndarray:
    """Any MR gray values to standard deviations from the body's mean, cut to GRAY_LOW and GRAY_HIGH."""
    sample = array[:, ::2, ::2]
    bright = float(np.percentile(sample, 99.5))
    body = sample[sample > 0.1 * bright]
    if body.size == 0:
        return np.zeros(array.shape, np.float32)
    body = np.minimum(body, bright)
    scaled = (array.astype(np.float32) - np.float32(body.mean())) / np.float32(max(float(body.std()), 1e-6))
    return np.clip(scaled, GRAY_LOW, GRAY_HIGH)


def to_input(gray: np.ndarray) -> np.ndarray:
    """Gray values of `normalize` in the network's range, about -0.6 to 2."""
    return gray * np.float32(0.4) + np.float32(0.2)


def build() -> nn.Module:
    """The untrained torch network."""
    from PrognosisLib.slicewise.multitask import MultiTaskNetwork

    return MultiTaskNetwork(CHANNELS, len(CLASSES), WIDTHS, FEATURES, pooled_class=LIVER, detections=len(SEQUENCES))
