"""What the tests of FibrosisVideo's networks share: small networks, bundles of untrained ones, networks by hand."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from FibrosisVideoLib.labels import MODELS
from FibrosisVideoLib.learning import head_training, liver_training, packing
from FibrosisVideoLib.learning.fitting import Fitted
from FibrosisVideoLib.learning.head_training import Classifier
from FibrosisVideoLib.measuring.readout import OrdinalReadout
from FibrosisVideoLib.networks import catalog
from FibrosisVideoLib.networks.lattice import CELL, CELLS, WINDOW
from PrognosisLib.framewise.lattice import SHAPE, to_input
from PrognosisLib.images.cine.screen import Screen
from PrognosisLib.images.cine.sector import Sector

WIDTHS = {"LIVER_WIDTHS": (4, 6, 8), "FRAME_WIDTHS": (4, 6, 8), "FILM_UNITS": 6, "LSTM_UNITS": 5}
BUILD_SEGMENTER = catalog.build_segmenter


class Networks(NamedTuple):
    """An encoder in torch and the classifiers on its cells, by model."""

    encoder: torch.nn.Module
    classifiers: dict[str, Classifier]

    def encoded(self, film: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """What the encoder makes of a window (2, t, j, i): pooled features, cells and weights."""
        with torch.no_grad():
            return self.encoder(frames_of(film))

    def seen(self, model: str, film: np.ndarray) -> torch.Tensor:
        """What a classifier takes of a window, a batch of one."""
        pooled, cells, weight = self.encoded(film)
        return torch.cat([cells, weight], dim=1).transpose(0, 1)[None] if model == "3d" else pooled[None]

    def score(self, model: str, film: np.ndarray) -> float:
        """Of a window, all in torch."""
        with torch.no_grad():
            return float(self.classifiers[model](self.seen(model, film))[0])


def build_eager() -> torch.nn.Module:
    """The untrained liver network, which sees liver nearly everywhere: so there is something to read."""
    network = BUILD_SEGMENTER()
    with torch.no_grad():
        network.head.bias += 3.0
    return network


def make_small(patch: pytest.MonkeyPatch) -> None:
    """Networks of a few channels."""
    for module in (catalog, head_training):
        for name, widths in WIDTHS.items():
            if hasattr(module, name):
                patch.setattr(module, name, widths)
    patch.setattr(liver_training, "build_segmenter", build_eager)


def random_weights(network: torch.nn.Module, image: torch.Tensor, seed: int) -> torch.nn.Module:
    """Weights that float16 can hold and that differ in every layer; normalizations of that image's own statistics."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in network.parameters():
            if value.ndim >= 2:
                value.copy_((value * torch.empty_like(value).uniform_(0.5, 1.5, generator=generator)).half().float())
            else:
                value.add_(0.2 * torch.randn(value.shape, generator=generator))
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d | torch.nn.BatchNorm3d):
                module.momentum = 1.0
        network.train()(image)
    return network.eval()


def frames_of(film: np.ndarray) -> torch.Tensor:
    """A window (2, t, j, i) as the encoder takes it."""
    return torch.from_numpy(film).transpose(0, 1).contiguous()


def random_networks(seed: int = 0) -> Networks:
    """Networks with random weights."""
    torch.manual_seed(seed)
    found = Networks(catalog.build_encoder(), {model: Classifier(model).eval() for model in MODELS})
    random_weights(found.encoder, frames_of(window(9)), seed)
    random_weights(found.classifiers["3d"].film, found.seen("3d", window(9)), seed + 1)
    return found


def untrained_bundle(folder: Path, networks: Networks) -> Path:
    """A whole bundle of such networks and of an eager liver network."""
    readouts = {model: OrdinalReadout(1.0, np.array([-1.0, 0.0, 1.0, 2.0]), 0.5, 0.2) for model in MODELS}
    fitted = Fitted(networks.classifiers, readouts)
    numbers = ("seed", "steps", "liver_steps", "encoder_steps", "stills", "simulated", "cines_each", "cohort_cines")
    record = {"command": "none", "tests": 0, **dict.fromkeys(numbers, 0)}
    measured = {"decision": 0.5, "folds": {}}
    torch.manual_seed(1)
    written = packing.write_fibrosis_bundle(
        folder / "bundle", build_eager().eval(), networks.encoder, fitted, record, measured, folder / "work"
    )
    return written[0]


def window(seed: int = 0, usable: int = WINDOW) -> np.ndarray:
    """Network input (2, WINDOW, j, i): speckle that changes slowly, and a round liver."""
    rng = np.random.default_rng(seed)
    j, i = np.indices(SHAPE)
    liver = 1 / (1 + np.exp((np.hypot(j - 80, i - 90) - 45) / 2))
    fixed, moving = rng.rayleigh(60, SHAPE), rng.rayleigh(60, (WINDOW, *SHAPE))
    gray = np.clip(0.5 * (fixed + moving), 0, 255) * np.where(liver > 0.5, 1.0, 0.6)
    share = np.broadcast_to(liver, gray.shape) * (np.arange(WINDOW) < usable)[:, None, None]
    return np.stack([to_input(gray), share.astype(np.float32)])


def screen_of(shape: tuple[int, int]) -> Screen:
    """All of a frame."""
    mask = np.ones(shape, bool)
    return Screen(Sector("linear", mask), np.zeros(shape, bool), False)


class FakeSegmenter:
    """Liver where a frame is brighter than 20 of 255."""

    device = "none"

    def __call__(self, image: np.ndarray) -> np.ndarray:
        return np.where(image > to_input(np.array(20.0)), 6.0, -6.0).astype(np.float32)


class FakeEncoder:
    """One feature: the mean gray value of each cell, from -0.8 to 1.9."""

    device = "none"

    def __init__(self) -> None:
        self.seen: list[np.ndarray] = []

    def outputs(self, image: np.ndarray) -> list[np.ndarray]:
        self.seen.append(image.copy())
        cells = image.reshape(len(image), 2, CELLS[0], CELL, CELLS[1], CELL).mean(axis=(-3, -1))
        gray, weight = cells[:, :1], cells[:, 1:]
        pooled = (gray * weight).sum(axis=(2, 3)) / (weight.sum(axis=(2, 3)) + 0.5)
        return [pooled, gray.astype(np.float32), weight.astype(np.float32)]


class FakeFilm:
    """Adds nothing to the frames' own features."""

    device = "none"

    def __init__(self) -> None:
        self.seen: list[np.ndarray] = []

    def outputs(self, film: np.ndarray) -> list[np.ndarray]:
        self.seen.append(film.copy())
        cells, weight = film[:, :-1], film[:, -1:]
        pooled = (cells * weight).sum(axis=(2, 3, 4)) / (weight.sum(axis=(2, 3, 4)) + 0.5)
        return [pooled, cells]


def fakes() -> dict[str, FakeSegmenter | FakeEncoder | FakeFilm]:
    """By the names of catalog.py."""
    return {catalog.SEGMENTER: FakeSegmenter(), catalog.FRAMES: FakeEncoder(), catalog.FILM: FakeFilm()}
