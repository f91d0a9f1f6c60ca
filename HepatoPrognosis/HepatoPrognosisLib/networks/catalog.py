"""The Siamese network: one network that both images go through, with the same weights; only `build` imports torch.

It draws the liver, tells whether one is in view, and gives features pooled over it. The risk is read from these by the
head in head.py, which is plain numbers.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PrognosisLib.bundles.bundle import Bundle
from PrognosisLib.errors import BundleError

from .head import PairHead

if TYPE_CHECKING:
    from torch import nn

NAME = "siamese"
HEADS = "heads"  # models/heads.json
CHANNELS, CLASSES, LIVER_CLASS = 1, 2, 1
WIDTHS = (16, 32, 64, 96)
FEATURES = 32
OUTPUTS = ("logits", "detection", "features", "evidence")


def load_bundle(path: Path) -> Bundle:
    """A verified bundle of this system."""
    return Bundle.load(path, "hepato", channels=CHANNELS, classes=CLASSES)


def load_head(bundle: Bundle) -> PairHead:
    """Raises BundleError where models/heads.json is damaged."""
    try:
        return PairHead.from_dict(bundle.json(HEADS))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, BundleError):
            raise
        raise BundleError("The head of the model bundle is damaged; install the bundle again.") from error


def build() -> nn.Module:
    """The untrained torch network."""
    from PrognosisLib.slicewise.multitask import MultiTaskNetwork

    return MultiTaskNetwork(CHANNELS, CLASSES, WIDTHS, FEATURES, pooled_class=LIVER_CLASS, detections=1)
