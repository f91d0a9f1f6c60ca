"""Training patches: random lattices laid through a case, so that resolution, rotation and field of view vary for free.

A patch is sampled once, straight from the stored voxels: its lattice (spacing, rotation, scale) is drawn at random and
mapped through the IJK-to-RAS matrix of the case. Torch only; used in training, never at inference.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from ..volume import Volume


@dataclass(frozen=True)
class TrainingCase:
    """One patient: image (k, j, i) int16 HU or MR values, label map uint8 on the same grid, IJK-to-RAS, origin."""

    name: str
    image: torch.Tensor
    labels: torch.Tensor
    ijk_to_ras: np.ndarray
    simulated: bool = False

    @classmethod
    def from_volumes(cls, name: str, image: Volume, labels: Volume, simulated: bool = False) -> TrainingCase:
        pixels = torch.from_numpy(np.ascontiguousarray(np.round(image.array).astype(np.int16)))
        truth = torch.from_numpy(np.ascontiguousarray(labels.array.astype(np.uint8)))
        return cls(name, pixels, truth, image.ijk_to_ras, simulated)

    def random_point(self, rng: np.random.Generator, label: int | None) -> np.ndarray:
        """A random voxel center in RAS: inside the label where the case has it, else anywhere."""
        shape = np.array(self.image.shape)
        kji = rng.uniform(0, shape - 1)
        if label is not None:
            where = self._voxels_of(label)
            if len(where):
                kji = where[rng.integers(len(where))]
        return self.ijk_to_ras[:3, :3] @ kji[::-1] + self.ijk_to_ras[:3, 3]

    def _voxels_of(self, label: int) -> np.ndarray:
        cache = self.__dict__.setdefault("_where", {})
        if label not in cache:
            found = np.argwhere(self.labels.numpy() == label)
            cache[label] = found[:: max(1, len(found) // 20000)].astype(np.int16)
        return cache[label]


def random_lattice(
    rng: np.random.Generator, center: np.ndarray, spacing: float, size: int, degrees: float, scale: float
) -> np.ndarray:
    """IJK-to-RAS of a cubic patch about `center`: turned up to `degrees` about each axis, scaled up to `scale`."""
    x, y, z = np.radians(rng.uniform(-degrees, degrees, 3))
    about_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_z = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    overall = np.exp(rng.uniform(-1, 1) * np.log(scale))
    each = overall * np.exp(rng.uniform(-1, 1, 3) * 0.3 * np.log(scale))
    matrix = np.eye(4)
    matrix[:3, :3] = about_x @ about_y @ about_z @ np.diag(each * spacing)
    matrix[:3, 3] = center - matrix[:3, :3] @ np.full(3, (size - 1) / 2.0)
    return matrix


def sample_patch(
    case: TrainingCase, lattice: np.ndarray, size: int, groups: tuple[tuple[int, ...], ...], fill: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Image (size, size, size) float32 and the linear fraction of each group of labels (groups, size, size, size)."""
    to_source = np.linalg.inv(case.ijk_to_ras) @ lattice
    corners = np.array([[a, b, c, 1.0] for a in (0, size - 1) for b in (0, size - 1) for c in (0, size - 1)])
    touched = corners @ to_source[:3].T
    shape = np.array(case.image.shape)[::-1]
    low = np.clip(np.floor(touched.min(axis=0)) - 1, 0, shape - 2).astype(int)
    high = np.clip(np.ceil(touched.max(axis=0)) + 2, low + 2, shape).astype(int)
    box = tuple(slice(int(a), int(b)) for a, b in zip(low[::-1], high[::-1], strict=True))
    labels = case.labels[box]
    channels = torch.empty((1 + len(groups), *labels.shape), dtype=torch.float32)
    channels[0] = case.image[box]
    channels[0] -= fill
    for number, group in enumerate(groups, start=1):
        member = labels == group[0]
        for label in group[1:]:
            member |= labels == label
        channels[number] = member
    # grid_sample's coordinates run from -1 to 1 between the first and last voxel centers (align_corners).
    extent = (high - low - 1) / 2.0
    unit = np.diag([*(2.0 / (size - 1) for _ in range(3)), 1.0])
    normalise = np.linalg.inv(unit)
    normalise[:3, 3] = (size - 1) / 2.0
    theta = to_source @ normalise
    theta[:3, 3] -= low
    theta[:3] = theta[:3] / extent[:, None]
    theta[:3, 3] -= 1.0
    grid = F.affine_grid(torch.from_numpy(theta[None, :3]).float(), [1, 1, size, size, size], align_corners=True)
    sampled = F.grid_sample(channels[None], grid, mode="bilinear", padding_mode="zeros", align_corners=True)[0]
    return sampled[0] + fill, sampled[1:]


def degrade(image: torch.Tensor, rng: np.random.Generator, noise: float, thickest: int) -> torch.Tensor:
    """What other scanners would have made of it: thick slices along one axis, a softer kernel, more noise."""
    if thickest > 1 and rng.random() < 0.35:
        kernel = [1, 1, 1]
        kernel[int(rng.choice(3, p=[0.8, 0.1, 0.1]))] = int(rng.integers(2, thickest + 1))
        thick = F.avg_pool3d(image[None, None], kernel, ceil_mode=True, count_include_pad=False)
        # By whole factors, then cropped: stretching to the old size would shift the image against its labels.
        factors = [float(n) for n in kernel]
        whole = F.interpolate(thick, scale_factor=factors, mode="trilinear", align_corners=False)[0, 0]
        image = whole[tuple(slice(0, n) for n in image.shape)]
    elif rng.random() < 0.25:
        image = F.avg_pool3d(F.pad(image[None, None], (1,) * 6, mode="replicate"), 3, stride=1)[0, 0]
    if rng.random() < 0.5:
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
        grain = torch.randn(image.shape, generator=generator) * float(rng.uniform(0, noise))
        if rng.random() < 0.5:
            grain = 2.0 * F.avg_pool3d(F.pad(grain[None, None], (1, 1, 1, 1, 0, 0)), (1, 3, 3), stride=1)[0, 0]
        image = image + grain
    return image
