"""What a trained network sees in stored pairs: features, the liver, and whether there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from PrognosisLib.framewise.frames import keep_pieces
from PrognosisLib.framewise.lattice import to_input
from PrognosisLib.learning.frame_variety import vary

from ..networks.catalog import LIVER_CLASS
from .siamese_training import FOR_PAIRS

if TYPE_CHECKING:
    from torch import nn

BATCH = 16


class SeenPairs(NamedTuple):
    """Of n pairs: features (n, 2, f), liver (n, 2, 160, 192) bool as a run draws it, detection (n, 2) 0 to 1."""

    features: np.ndarray
    liver: np.ndarray
    detection: np.ndarray


def see_pairs(network: nn.Module, gray: np.ndarray) -> SeenPairs:
    """Pairs (n, 2, 160, 192) uint8."""
    features, liver, detection = see_images(network, to_input(gray.reshape(-1, *gray.shape[2:])))
    return SeenPairs(*(one.reshape(len(gray), 2, *one.shape[1:]) for one in (features, liver, detection)))


def see_images(network: nn.Module, images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features (n, f), liver (n, 160, 192) and detection (n,) of network inputs (n, 160, 192), float32."""
    parts = []
    with torch.inference_mode():
        for start in range(0, len(images), BATCH):
            batch = torch.from_numpy(np.ascontiguousarray(images[start : start + BATCH]))[:, None]
            logits, detection, features, _evidence = network(batch)
            drawn = (logits[:, LIVER_CLASS] > logits[:, 1 - LIVER_CLASS]).numpy()
            liver = np.stack([keep_pieces(one) for one in drawn])
            parts.append((features.numpy(), liver, torch.sigmoid(detection[:, 0]).numpy()))
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


def varied_features(network: nn.Module, gray: np.ndarray, liver: np.ndarray, seed: int) -> np.ndarray:
    """Features (n, 2, f) of pairs as if another machine had made the images; the same for the same seed."""
    rng = np.random.default_rng([seed, 97])
    images = [
        vary(gray[one, when : when + 1], liver[one, when : when + 1], rng, FOR_PAIRS, mirrored=False)[0]
        for one in range(len(gray))
        for when in (0, 1)
    ]
    return see_images(network, torch.cat(images).numpy())[0].reshape(len(gray), 2, -1)
