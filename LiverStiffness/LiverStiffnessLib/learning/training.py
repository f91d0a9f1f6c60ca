"""Training of the slice network on labeled MR slices, real and simulated.

A batch is made of single slices with their neighbors, turned, scaled and degraded at random. Where an examination is
simulated, its signs are read from the slice's features too, each with its own doubt, so that the features carry them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch.nn import functional as F

from PrognosisLib.slicewise.loss import class_loss

from ..labels import ASCITES, LIVER, SPLEEN
from ..segmenting.network import GRAY_HIGH, GRAY_LOW, SEQUENCES, to_input
from .cases import TARGETS, SliceStack, gray_values

CLASS_WEIGHTS = (1.0, 1.5, 2.0, 1.5)
DICE_WEIGHTS = {LIVER: 2.0, SPLEEN: 1.5, ASCITES: 0.5}
# Mean and standard deviation of TARGETS in the simulated population: the losses of all weigh alike.
TARGET_MEAN = np.array([-0.55, 0.25, -2.8, 0.045, 0.27, 0.98], np.float32)
TARGET_SD = np.array([0.85, 0.37, 0.78, 0.09, 0.52, 0.33], np.float32)
LIVER_PIXELS = 120  # a slice with less liver shows no sign


@dataclass(frozen=True)
class Sampling:
    """How slices are drawn: size (j, i) of the patch in pixels, and the share of each kind of examination."""

    size: tuple[int, int] = (160, 192)
    batch: int = 10
    real: float = 0.25  # plain real T2
    on_real: float = 0.2  # simulated on a real anatomy
    on_liver: float = 0.82  # slices that show liver or spleen


@dataclass
class SliceSource:
    """Draws augmented batches: image (n, 3, j, i) and a dict of targets.

    "labels" (n, j, i) int64; "sequence" (n,) int64; "signs" (n, TARGETS) standardized, NaN where unknown or unseen.
    """

    examinations: Sequence[Sequence[SliceStack]]
    sampling: Sampling = Sampling()
    _pools: dict[str, list[Sequence[SliceStack]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for stacks in self.examinations:
            first = stacks[0]
            kind = "real" if not first.simulated else "procedural" if first.name.startswith("simulated") else "on real"
            self._pools.setdefault(kind, []).append(stacks)
        if not self._pools:
            raise ValueError("No training case is left; check the cohort file and the validation split.")

    def __call__(self, rng: np.random.Generator) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        drawn = [self._slice(rng) for _ in range(self.sampling.batch)]
        images, labels, sequence, signs = zip(*drawn, strict=True)
        return torch.stack(images), {
            "labels": torch.stack(labels),
            "sequence": torch.tensor(sequence, dtype=torch.int64),
            "signs": torch.from_numpy(np.stack(signs)),
        }

    def _pick(self, rng: np.random.Generator) -> tuple[SliceStack, int]:
        s, aim = self.sampling, rng.random()
        wanted = "real" if aim < s.real else "on real" if aim < s.real + s.on_real else "procedural"
        pool = self._pools.get(wanted) or next(iter(self._pools.values()))
        stacks = pool[rng.integers(len(pool))]
        stack = stacks[rng.integers(len(stacks))]
        shown = np.flatnonzero(((stack.labels == LIVER) | (stack.labels == SPLEEN)).sum(axis=(1, 2)) > 30)
        if len(shown) and rng.random() < s.on_liver:
            return stack, int(shown[rng.integers(len(shown))])
        return stack, int(rng.integers(len(stack.gray)))

    def _slice(self, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor, int, np.ndarray]:
        stack, k = self._pick(rng)
        planes = np.clip([k - 1, k, k + 1], 0, len(stack.gray) - 1)
        if rng.random() < 0.06:
            planes = np.array([k, k, k])
        gray = gray_values(stack.gray[planes])
        truth = stack.labels[k]
        matrix = _random_affine(rng, 0.13 if not stack.simulated else 0.05)
        center = _center(truth, rng)
        image, labels = _sample(torch.from_numpy(gray), truth, matrix, self.sampling.size, center)
        image = _degrade(image, rng, strong=not stack.simulated)
        signs = np.full(len(TARGETS), np.nan, np.float32)
        if np.count_nonzero(truth == LIVER) >= LIVER_PIXELS:
            signs = ((stack.targets - TARGET_MEAN) / TARGET_SD).astype(np.float32)
        return to_input(image.clamp(GRAY_LOW, GRAY_HIGH)), labels.long(), stack.sequence, signs


def _random_affine(rng: np.random.Generator, spread: float) -> np.ndarray:
    """From the patch's pixels to the slice's (2, 2): turned, scaled, slightly sheared; never mirrored."""
    angle = np.radians(rng.normal(0, 7))
    scale = np.exp(rng.normal(0, spread)) * np.exp(rng.normal(0, 0.03, 2))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return turn @ np.array([[1.0, rng.normal(0, 0.04)], [0.0, 1.0]]) @ np.diag(1.0 / scale)


def _center(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Where the patch is centered (i, j): near the middle of the body, towards something that the slice shows."""
    middle = np.array(labels.shape[::-1]) / 2.0
    shown = np.argwhere(labels > 0)
    if len(shown):
        middle = middle + rng.uniform(0.0, 0.6) * (shown[rng.integers(len(shown))][::-1] - middle)
    return middle + rng.normal(0, 6, 2)


def _sample(
    stack: torch.Tensor, labels: np.ndarray, matrix: np.ndarray, size: tuple[int, int], center: np.ndarray
) -> tuple[torch.Tensor, torch.Tensor]:
    """The patch (3, *size) and its labels; the darkest gray and background outside."""
    half = (np.array(labels.shape[::-1]) - 1) / 2.0
    reach = (np.array(size[::-1]) - 1) / 2.0
    theta = np.zeros((2, 3))
    theta[:, :2] = matrix * reach / half[:, None]
    theta[:, 2] = (center - half) / half
    grid = F.affine_grid(torch.from_numpy(theta[None]).float(), [1, 1, *size], align_corners=True)
    shifted = stack[None] - GRAY_LOW
    image = F.grid_sample(shifted, grid, mode="bilinear", padding_mode="zeros", align_corners=True)[0] + GRAY_LOW
    floor = float(stack.min())  # of the air beside the body
    truth = torch.from_numpy(labels.astype(np.float32))[None, None]
    drawn = F.grid_sample(truth, grid, mode="nearest", padding_mode="zeros", align_corners=True)[0, 0]
    return image.clamp(min=floor), drawn


def _degrade(image: torch.Tensor, rng: np.random.Generator, strong: bool) -> torch.Tensor:
    """Other scanners: another gain, shading, sharpness, noise; stronger where only the outlines are learned."""
    power = 2.0 if strong else 1.0
    if rng.random() < 0.2 * power:
        soft = F.avg_pool2d(F.pad(image[None], (1,) * 4, mode="replicate"), 3, stride=1)[0]
        image = image + float(rng.uniform(-0.9, 0.6)) * (image - soft)
    low = float(image.min())
    signal = (image - low).clamp(min=0)
    if strong and rng.random() < 0.5:
        top = float(signal.max()) + 1e-6
        signal = top * (signal / top) ** float(np.exp(rng.normal(0, 0.25)))
    if rng.random() < 0.4 * power:
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
        field = F.interpolate(torch.randn((1, 1, 3, 3), generator=generator), image.shape[1:], mode="bicubic")[0]
        signal = signal * torch.exp(0.1 * power * field)
    image = signal * float(np.exp(rng.normal(0, 0.05 * power))) + low + float(rng.normal(0, 0.05 * power))
    if rng.random() < 0.25 * power:
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
        image = image + torch.randn(image.shape, generator=generator) * float(rng.uniform(0, 0.12))
    return image


class WithSigns(torch.nn.Module):
    """The network with a linear layer that reads the signs and the doubt about each from its features; for training."""

    def __init__(self, network: torch.nn.Module, features: int) -> None:
        super().__init__()
        self.network = network
        self.signs = torch.nn.Linear(features, 2 * len(TARGETS))

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        logits, detection, features, _evidence = self.network(image)
        return logits, detection, self.signs(features)


def multitask_loss(
    output: tuple[torch.Tensor, torch.Tensor, torch.Tensor], target: dict[str, torch.Tensor]
) -> torch.Tensor:
    """Segmentation, sequence, and the signs: normal log-likelihood with the doubt that the network states."""
    logits, detection, told = output
    loss = segmentation_loss(logits.float(), target["labels"])
    loss = loss + 0.15 * F.cross_entropy(detection.float(), target["sequence"])
    known = ~torch.isnan(target["signs"]).any(dim=1) & (target["sequence"] < SEQUENCES.index("other"))
    if known.any():
        mean, doubt = told.float()[known].chunk(2, dim=1)
        doubt = doubt.clamp(-5.0, 3.0)
        apart = F.smooth_l1_loss(mean, target["signs"][known], beta=2.0, reduction="none") * 4.0
        loss = loss + 0.15 * (0.5 * apart * torch.exp(-doubt) + 0.5 * doubt).mean()
    return loss


def segmentation_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Weighted cross-entropy plus soft Dice of the classes that the batch shows."""
    return class_loss(logits, labels, CLASS_WEIGHTS, DICE_WEIGHTS)
