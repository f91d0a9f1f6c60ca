"""One MR image through the network: its slices, classes, sequence and features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from PrognosisLib.bundles.backends import Network
from PrognosisLib.slicewise.evidence import SliceEvidence
from PrognosisLib.slicewise.network import margin_of, pooled, probability, run_in_batches, with_neighbors
from PrognosisLib.volume import Volume

from ..labels import LIVER
from .network import SEQUENCES, to_gray_slices, to_input

LIVER_SHARE = 0.01  # of a slice's pixels; slices with less liver do not tell the sequence


@dataclass(frozen=True)
class ReadImage:
    """What the network saw in one image.

    Args:
        slices: gray values on the slice lattice, see network.to_gray_slices.
        margins: log-odds (s, j, i) of each class of labels.SEGMENTS.
        sequence: probability of each of network.SEQUENCES, (3,).
        evidence: features of the slices.
        maps: (s, f, j/4, i/4) and share (s, j/4, i/4), for the heat map.
    """

    slices: Volume
    margins: dict[int, np.ndarray]
    sequence: np.ndarray
    evidence: SliceEvidence
    maps: np.ndarray
    share: np.ndarray

    @property
    def best_sequence(self) -> str:
        return SEQUENCES[int(np.argmax(self.sequence))]


def read_image(volume: Volume, network: Network, classes: tuple[int, ...]) -> ReadImage:
    """Run the network over every slice of an MR image; `classes` are those whose log-odds are wanted."""
    return read_slices(to_gray_slices(volume), network, classes)


def read_slices(slices: Volume, network: Network, classes: tuple[int, ...]) -> ReadImage:
    """The same for an image that lies on its gray slices already."""
    image = with_neighbors(to_input(slices.array))
    logits, detection, features, maps = run_in_batches(network, image)
    liver = probability(logits, LIVER)
    return ReadImage(
        slices,
        {label: margin_of(logits, label) for label in classes},
        _sequence(detection, liver),
        SliceEvidence(features, slices.ijk_to_ras, slices.array.shape),
        maps,
        pooled(liver),
    )


def _sequence(detection: np.ndarray, liver: np.ndarray) -> np.ndarray:
    """Mean probability of each sequence over the slices that show liver, or over all where none does."""
    powers = np.exp(detection - detection.max(axis=1, keepdims=True))
    chance = powers / powers.sum(axis=1, keepdims=True)
    shown = liver.mean(axis=(1, 2)) > LIVER_SHARE
    return chance[shown].mean(axis=0) if shown.any() else chance.mean(axis=0)
