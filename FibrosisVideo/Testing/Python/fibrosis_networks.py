"""What the tests of FibrosisVideo's networks share: small networks, bundles of untrained ones, networks by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from FibrosisVideoLib.labels import MODELS
from FibrosisVideoLib.learning import classifier_training, liver_training, packing
from FibrosisVideoLib.learning.classifier_training import Classifier
from FibrosisVideoLib.learning.fitting import Fitted
from FibrosisVideoLib.measuring.readout import OrdinalReadout
from FibrosisVideoLib.networks import catalog
from FibrosisVideoLib.networks.lattice import CELL, CELLS, WINDOW
from PrognosisLib.framewise.lattice import SHAPE, to_input

WIDTHS = {"LIVER_WIDTHS": (4, 6, 8), "FRAME_WIDTHS": (4, 6, 8), "FILM_WIDTHS": (4, 6, 8), "LSTM_UNITS": 5}
BUILD_SEGMENTER = catalog.build_segmenter


def build_eager() -> torch.nn.Module:
    """The untrained liver network, which sees liver nearly everywhere: so there is something to read."""
    network = BUILD_SEGMENTER()
    with torch.no_grad():
        network.head.bias += 3.0
    return network


def make_small(patch: pytest.MonkeyPatch) -> None:
    """Networks of a few channels."""
    for module in (catalog, classifier_training, packing):
        for name, widths in WIDTHS.items():
            if hasattr(module, name):
                patch.setattr(module, name, widths)
    encoders = dict.fromkeys(catalog.ENCODER_OF.values(), (2, 8))
    for module in (catalog, packing):
        patch.setattr(module, "ENCODERS", encoders)
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


def film_of(film: np.ndarray, model: str) -> torch.Tensor:
    """A window (2, t, j, i) as the model's encoder takes it."""
    image = torch.from_numpy(film)
    return image[None] if model == "3d" else image.transpose(0, 1).contiguous()


def classifiers(seed: int = 0) -> dict[str, Classifier]:
    """Untrained, by model."""
    torch.manual_seed(seed)
    found = {model: Classifier(model) for model in MODELS}
    for number, (model, one) in enumerate(found.items()):
        random_weights(one.encoder, film_of(window(9), model), seed + number)
        one.eval()
    return found


def untrained_bundle(folder: Path, networks: dict[str, Classifier]) -> Path:
    """A whole bundle of such classifiers and of an eager liver network."""
    readouts = {model: OrdinalReadout(1.0, np.array([-1.0, 0.0, 1.0, 2.0]), 0.5, 0.2) for model in MODELS}
    fitted = Fitted(networks, readouts)
    record = {
        "command": "none", "seed": 0, "steps": 0, "liver_steps": 0, "simulated": 0, "cines_each": 0, "cohort_cines": 0,
        "tests": 0,
    }  # fmt: skip
    measured = {"decision": 0.5, "folds": {}}
    torch.manual_seed(1)
    written = packing.write_fibrosis_bundle(
        folder / "bundle", build_eager().eval(), fitted, record, measured, folder / "work"
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
        *start, _, _ = image.shape
        cells = image.reshape(*start, CELLS[0], CELL, CELLS[1], CELL).mean(axis=(-3, -1))
        if image.ndim == 5:
            cells = cells.reshape(*cells.shape[:2], -1, 2, *CELLS).mean(axis=3)
        gray, weight = cells[:, :1], cells[:, 1:]
        axes = tuple(range(2, gray.ndim))
        pooled = (gray * weight).sum(axis=axes) / (weight.sum(axis=axes) + 0.5)
        return [pooled, gray.astype(np.float32), weight.astype(np.float32)]
