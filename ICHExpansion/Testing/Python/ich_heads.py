"""What the tests of head CT share: small simulated heads, and a network that sees blood by its density alone."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from scipy import ndimage

from ICHExpansionLib.labels import CLASSES, EDEMA, HEMATOMA
from ICHExpansionLib.simulation.bleed import BleedParameters
from ICHExpansionLib.simulation.head import HeadParameters
from ICHExpansionLib.simulation.scan import ScanParameters, SimulatedHead, simulate_head
from PrognosisLib.slicewise.network import SMALLEST_SUM, pooled, probability

# No calcification and no dense falx, so that nothing but blood is bright inside the skull.
HEAD = HeadParameters(calcified=(), atrophy=0.3, leukoaraiosis=0.1)
BLEED = BleedParameters("putamen", (28.0, 2.0, 6.0), 28.0, hu=64.0, heterogeneity=1.5, edema_mm=4.0, seed=3)
SCAN = ScanParameters(pixel_mm=2.0, columns=96, rows=112, slice_mm=5.0, blur_mm=0.7, noise_hu=1.0, beam_hardening=0.0)
SEED = 2


@cache
def simulated(bleed: BleedParameters | None = BLEED, head: HeadParameters = HEAD, seed: int = SEED, **scan: Any):
    """One simulated scan; `scan` changes its parameters."""
    return simulate_head(head, bleed, replace(SCAN, **scan), seed)


def truth_of(made: SimulatedHead, label: int = HEMATOMA) -> np.ndarray:
    return made.labels == label


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2.0 * np.count_nonzero(one & other) / max(1, np.count_nonzero(one) + np.count_nonzero(other))


class Bright:
    """A stand-in for the network: bright is hematoma, dark beside bright is edema, the skull and its rim are neither.

    Args:
        edge_hu: density at which the probability of hematoma is one half; soft: HU for one unit of log-odds.
        detection: log-odds that a slice with blood has it; None tells the truth.
    """

    device = "CPU (stand-in)"

    def __init__(self, edge_hu: float = 46.0, soft: float = 1.5, detection: float | None = None) -> None:
        self.edge_hu, self.soft, self.detection = edge_hu, soft, detection
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, image: np.ndarray) -> np.ndarray:
        return self.outputs(image)[0]

    def outputs(self, image: np.ndarray) -> list[np.ndarray]:
        self.shapes.append(image.shape)
        hu = (image[:, 1] + 1.0) * 40.0
        logits = np.full((len(hu), len(CLASSES), *hu.shape[1:]), -12.0, np.float32)
        logits[:, 0] = 0.0
        for k, plane in enumerate(hu):
            skull = _skull(plane)
            blood = np.clip((plane - self.edge_hu) / self.soft, -10.0, 10.0)
            logits[k, HEMATOMA] = np.where(skull, -10.0, blood)
            near = ndimage.binary_dilation((plane > self.edge_hu) & ~skull, iterations=9)
            logits[k, EDEMA] = np.where((plane > 11) & (plane < 25) & near, 4.0, -10.0)
        shows = (logits[:, HEMATOMA] > 0).sum(axis=(1, 2)) > 12
        detection = np.where(shows, 6.0, -6.0) if self.detection is None else np.full(len(hu), self.detection)
        evidence = np.stack([pooled(hu) / 80.0, np.abs(pooled(hu) - 60.0) / 20.0], axis=1).astype(np.float32)
        share = pooled(probability(logits, HEMATOMA))
        features = (share[:, None] * evidence).sum(axis=(2, 3)) / (share.sum(axis=(1, 2)) + SMALLEST_SUM)[:, None]
        return [logits, detection[:, None].astype(np.float32), features.astype(np.float32), evidence]


def _skull(plane: np.ndarray) -> np.ndarray:
    """Large parts at the window's end, with what borders on them by partial volume."""
    labels, _count = ndimage.label(plane >= 79.5)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return ndimage.binary_dilation((sizes >= 300)[labels], iterations=5)
