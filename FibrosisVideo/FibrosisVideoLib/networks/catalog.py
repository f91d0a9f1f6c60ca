"""The networks by name and their sizes; only the builders import torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PrognosisLib.bundles.bundle import Bundle

if TYPE_CHECKING:
    from torch import nn

SEGMENTER, FILM, FRAMES_LSTM, FRAMES = "liver", "film", "frames-lstm", "frames"
ENCODER_OF = {"3d": FILM, "lstm": FRAMES_LSTM, "2d": FRAMES}  # by key of labels.MODELS
LIVER_WIDTHS = (16, 32, 64, 96)
FRAME_WIDTHS = FILM_WIDTHS = (16, 32, 64)
LSTM_UNITS = 32


# Channels and features of the encoders.
ENCODERS = {name: (2, FILM_WIDTHS[-1] if model == "3d" else FRAME_WIDTHS[-1]) for model, name in ENCODER_OF.items()}


def load_bundle(path: Path) -> Bundle:
    """A verified bundle of this system."""
    return Bundle.load(path, "fibrosis", channels=1, classes=1, others=ENCODERS)


def build_segmenter() -> nn.Module:
    """The untrained liver network."""
    from .modules import PlaneUNet

    return PlaneUNet(LIVER_WIDTHS)


def build_encoder(model: str) -> nn.Module:
    """The untrained encoder of a classifier, by key of labels.MODELS."""
    from .modules import FilmEncoder, FrameEncoder

    return FilmEncoder(FILM_WIDTHS) if model == "3d" else FrameEncoder(FRAME_WIDTHS)
