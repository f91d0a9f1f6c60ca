"""Training of the multi-task slice network on labeled head CT, real and simulated.

Cases are laid on their slice lattice once; a batch is made of single slices with their neighbors, turned, scaled,
mirrored and blurred at random. Label IGNORE takes no part in the loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from PrognosisLib.slicewise.lattice import slice_grid, to_slabs
from PrognosisLib.slicewise.loss import class_loss
from PrognosisLib.volume import Volume, resample

from ..labels import BACKGROUND, EDEMA, EXTRA_AXIAL, HEMATOMA, IGNORE, VENTRICULAR
from ..segmenting.network import HU_HIGH, HU_LOW, PIXEL_MM, SLAB_MM
from .slice_targets import TARGETS, slice_targets

# Weight of each class in the cross-entropy and the share of batches' slices that show it.
CLASS_WEIGHTS = (1.0, 2.0, 2.0, 1.5, 1.5)
DICE_WEIGHTS = {HEMATOMA: 2.0, EDEMA: 0.7}
STEPS_HU = 3  # HU are stored as thirds in eight bits: 0 to 80 HU take 0 to 240


@dataclass(frozen=True)
class SliceCase:
    """One patient on the slice lattice: image uint8 (thirds of HU, 0 to 240) and labels uint8, both (k, j, i)."""

    name: str
    image: np.ndarray
    labels: np.ndarray
    targets: np.ndarray
    simulated: bool
    single: bool = False

    @classmethod
    def from_volumes(cls, name: str, image: Volume, labels: Volume, simulated: bool = False) -> SliceCase:
        slabs, axis = to_slabs(image, SLAB_MM, PIXEL_MM)
        grid = slice_grid(slabs, axis, image.grid.corners_ras(), PIXEL_MM)
        hu = resample(slabs.array, slabs.ijk_to_ras, grid, fill=-1000.0)
        truth = resample(labels.array, labels.ijk_to_ras, grid, fill=0, nearest=True).astype(np.uint8)
        box = _head_box(hu)
        hu, truth = hu[box], truth[box]
        targets = np.stack([slice_targets(h, t == HEMATOMA) for h, t in zip(hu, truth, strict=True)])
        stored = np.round(np.clip(hu, HU_LOW, HU_HIGH) * STEPS_HU).astype(np.uint8)
        return cls(name, stored, truth, targets, simulated, single=len(stored) < 8)

    def slices_with(self, label: int) -> np.ndarray:
        """Slices (n,) that show a label."""
        cache = self.__dict__.setdefault("_where", {})
        if label not in cache:
            cache[label] = np.flatnonzero((self.labels == label).sum(axis=(1, 2)) >= 8)
        return cache[label]


def _head_box(hu: np.ndarray) -> tuple[slice, slice, slice]:
    """All slices, and in plane the box of what is denser than air, with a margin."""
    flat = (hu > -300.0).mean(axis=0) > 0.1 if hu.min() < -100 else (hu > 8).mean(axis=0) > 0.1
    if not flat.any():
        return slice(None), slice(None), slice(None)
    rows, columns = np.flatnonzero(flat.any(axis=1)), np.flatnonzero(flat.any(axis=0))
    return slice(None), slice(max(0, rows[0] - 8), rows[-1] + 9), slice(max(0, columns[0] - 8), columns[-1] + 9)


@dataclass(frozen=True)
class Sampling:
    """How slices are drawn: shares of slices centered on each kind, and of simulated patients."""

    size: int = 160
    batch: int = 12
    simulated_share: float = 0.45
    on_hematoma: float = 0.55
    on_ventricular: float = 0.15
    on_extra_axial: float = 0.10


class SliceSource:
    """Draws augmented batches: image (n, 3, j, i) in [-1, 1] and a dict of targets.

    "labels" (n, j, i) int64 with IGNORE; "present" (n,) 1 where the slice has hematoma, NaN where that is not known;
    "targets" (n, TARGETS) of the hematoma's slice, NaN where there is none.
    """

    def __init__(self, cases: Sequence[SliceCase], sampling: Sampling = Sampling()) -> None:
        if not cases:
            raise ValueError("No training case is left; check the cohort file and the validation split.")
        self.sampling = sampling
        self.pools = {kind: [c for c in cases if c.simulated is kind] for kind in (False, True)}
        self._places: dict[tuple[bool, int | None], list[tuple[SliceCase, int]]] = {}

    def __call__(self, rng: np.random.Generator) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        drawn = [self._slice(rng) for _ in range(self.sampling.batch)]
        images, labels, present, targets = zip(*drawn, strict=True)
        return torch.stack(images), {
            "labels": torch.stack(labels),
            "present": torch.tensor(present, dtype=torch.float32),
            "targets": torch.from_numpy(np.stack(targets)),
        }

    def places(self, simulated: bool, label: int | None) -> list[tuple[SliceCase, int]]:
        """Every (case, slice) of a pool that shows a label, or every one at all."""
        key = (simulated, label)
        if key not in self._places:
            pool = self.pools[simulated]
            self._places[key] = [
                (c, int(k)) for c in pool for k in (range(len(c.image)) if label is None else c.slices_with(label))
            ]
        return self._places[key]

    def _pick(self, rng: np.random.Generator) -> tuple[SliceCase, int]:
        s = self.sampling
        simulated = bool(rng.random() < s.simulated_share)
        aim, label = rng.random(), None
        for share, kind in (
            (s.on_hematoma, HEMATOMA),
            (s.on_ventricular, VENTRICULAR),
            (s.on_extra_axial, EXTRA_AXIAL),
        ):
            if aim < share:
                label = kind
                break
            aim -= share
        choices = ((simulated, label), (not simulated, label), (simulated, None), (not simulated, None))
        found = next(filter(None, (self.places(*choice) for choice in choices)))
        if label == HEMATOMA:  # every patient alike, not every slice
            names = self.pools[simulated] or self.pools[not simulated]
            case = names[rng.integers(len(names))]
            own = case.slices_with(HEMATOMA)
            if len(own):
                return case, int(own[rng.integers(len(own))])
        return found[rng.integers(len(found))]

    def _slice(self, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor, float, np.ndarray]:
        case, k = self._pick(rng)
        planes = np.clip([k - 1, k, k + 1], 0, len(case.image) - 1)
        if case.single or rng.random() < 0.08:
            planes = np.array([k, k, k])
        elif rng.random() < 0.5:
            planes = planes[::-1]
        stack = torch.from_numpy(case.image[planes].astype(np.float32)) / STEPS_HU
        truth = torch.from_numpy(case.labels[k].astype(np.float32))
        theta = _random_affine(rng, case.simulated)
        hu, labels = _sample(stack, truth, theta, self.sampling.size, _center(case.labels[k], rng))
        hu = _degrade(hu, rng)
        image = (hu.clamp(HU_LOW, HU_HIGH) - (HU_LOW + HU_HIGH) / 2) / ((HU_HIGH - HU_LOW) / 2)
        unsure = case.labels[k] == IGNORE
        blood = case.labels[k] == HEMATOMA
        present = 1.0 if blood.sum() >= 12 else 0.0 if not blood.any() and unsure.sum() < 40 else np.nan
        return image, labels.long(), present, case.targets[k]


def _random_affine(rng: np.random.Generator, simulated: bool) -> np.ndarray:
    """From the patch's pixels to the slice's (2, 2): turned, mirrored, scaled, slightly sheared."""
    angle = np.radians(rng.normal(0, 14))
    scale = np.exp(rng.uniform(np.log(0.82), np.log(1.2))) * np.exp(rng.normal(0, 0.05, 2))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shear = np.array([[1.0, rng.normal(0, 0.05)], [0.0, 1.0]])
    mirror = np.diag([rng.choice([-1.0, 1.0]), 1.0])
    return turn @ shear @ mirror @ np.diag(1.0 / scale)


def _center(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Where the patch is centered (i, j): between the middle of the head and something that the slice shows."""
    middle = np.array(labels.shape[::-1]) / 2.0
    shown = np.argwhere((labels != BACKGROUND) & (labels != IGNORE))
    if len(shown):
        middle = middle + rng.uniform(0.2, 1.0) * (shown[rng.integers(len(shown))][::-1] - middle)
    return middle + rng.normal(0, 8, 2)


def _sample(
    stack: torch.Tensor, labels: torch.Tensor, matrix: np.ndarray, size: int, center: np.ndarray
) -> tuple[torch.Tensor, torch.Tensor]:
    """The patch (3, size, size) in HU and its labels (size, size); 0 HU and background outside."""
    half = (np.array(labels.shape[::-1]) - 1) / 2.0
    theta = np.zeros((2, 3))
    theta[:, :2] = matrix * ((size - 1) / 2.0) / half[:, None]
    theta[:, 2] = (center - half) / half
    grid = F.affine_grid(torch.from_numpy(theta[None]).float(), [1, 1, size, size], align_corners=True)
    hu = F.grid_sample(stack[None], grid, mode="bilinear", padding_mode="zeros", align_corners=True)[0]
    drawn = F.grid_sample(labels[None, None], grid, mode="nearest", padding_mode="zeros", align_corners=True)[0, 0]
    return hu, drawn


def _degrade(hu: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Other scanners: another kernel, more noise, another calibration, another window's end."""
    chance = rng.random()
    if chance < 0.2:
        hu = F.avg_pool2d(F.pad(hu[None], (1,) * 4, mode="replicate"), 3, stride=1)[0]
    elif chance < 0.35:
        soft = F.avg_pool2d(F.pad(hu[None], (1,) * 4, mode="replicate"), 3, stride=1)[0]
        hu = hu + float(rng.uniform(0.2, 0.8)) * (hu - soft)
    if rng.random() < 0.6:
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
        grain = torch.randn(hu.shape, generator=generator) * float(rng.uniform(0, 6))
        if rng.random() < 0.6:
            grain = 2.0 * F.avg_pool2d(F.pad(grain[None], (1,) * 4), 3, stride=1)[0]
        hu = hu + grain * (hu > 2)
    contrast = float(rng.uniform(0.92, 1.08))
    return (hu - 30.0) * contrast + 30.0 + float(rng.uniform(-4, 4)) * (hu > 2)


class WithSigns(torch.nn.Module):
    """The network with a linear layer that reads the slice's targets from its features; it helps training only."""

    def __init__(self, network: torch.nn.Module, features: int) -> None:
        super().__init__()
        self.network = network
        self.signs = torch.nn.Linear(features, TARGETS)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        logits, detection, features, _evidence = self.network(image)
        return logits, detection, self.signs(features)


def multitask_loss(
    output: tuple[torch.Tensor, torch.Tensor, torch.Tensor], target: dict[str, torch.Tensor]
) -> torch.Tensor:
    """Segmentation, detection, and the signs read from the features."""
    logits, detection, told = output
    loss = segmentation_loss(logits.float(), target["labels"])
    known = ~torch.isnan(target["present"])
    if known.any():
        found = detection.float()[:, 0][known]
        loss = loss + 0.3 * F.binary_cross_entropy_with_logits(found, target["present"][known])
    rows = ~torch.isnan(target["targets"]).any(dim=1)
    if rows.any():
        loss = loss + 0.3 * F.smooth_l1_loss(told.float()[rows], target["targets"][rows], beta=0.5)
    return loss


def segmentation_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Weighted cross-entropy plus soft Dice of the classes that the batch shows; IGNORE takes no part."""
    return class_loss(logits, labels, CLASS_WEIGHTS, DICE_WEIGHTS, IGNORE)
