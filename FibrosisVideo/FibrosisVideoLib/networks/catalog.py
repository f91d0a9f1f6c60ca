"""The networks by name and their sizes; only the builders import torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PrognosisLib.bundles.bundle import Bundle

if TYPE_CHECKING:
    from torch import nn

# The liver network; the encoder that sees single frames, which all classifiers share; the 3D network on its cells.
SEGMENTER, FRAMES, FILM = "liver", "frames", "film"
LIVER_WIDTHS = (16, 32, 64, 96)
FRAME_WIDTHS = (16, 32, 64)
FILM_UNITS = LSTM_UNITS = 32


def features_of(model: str) -> int:
    """How many features the last layer reads, by key of labels.MODELS."""
    return {"3d": FRAME_WIDTHS[-1] + FILM_UNITS, "lstm": LSTM_UNITS, "2d": FRAME_WIDTHS[-1]}[model]


def shapes() -> dict[str, tuple[int, int]]:
    """Channels and features of the networks beside the liver's."""
    return {FRAMES: (2, FRAME_WIDTHS[-1]), FILM: (FRAME_WIDTHS[-1] + 1, features_of("3d"))}


def load_bundle(path: Path) -> Bundle:
    """A verified bundle of this system."""
    return Bundle.load(path, "fibrosis", channels=1, classes=1, others=shapes())


def build_segmenter() -> nn.Module:
    """The untrained liver network."""
    from .modules import PlaneUNet

    return PlaneUNet(LIVER_WIDTHS)


def build_encoder() -> nn.Module:
    """The untrained encoder of single frames."""
    from .modules import FrameEncoder

    return FrameEncoder(FRAME_WIDTHS)


def build_film() -> nn.Module:
    """The untrained 3D network on the encoder's cells."""
    from .modules import FilmNetwork

    return FilmNetwork(FRAME_WIDTHS[-1], FILM_UNITS)
