"""Frames under another scanner: moved, scaled, mirrored, with another gain, sharpness and sector. Needs torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from ..framewise.lattice import FACE, GRAY_OFFSET, GRAY_SCALE, SHAPE


@dataclass(frozen=True)
class Variety:
    """How far frames are changed: spread of the log scale, turn in degrees, shift in pixels, strength of gray changes.

    Args:
        cropped: chance that the sector is cut narrower or shorter.
        bent: spread of smooth displacements inside the sector, pixels.
        raised: chance that what lies between face and liver is partly taken away, as in slim people.
    """

    scale: float
    degrees: float
    shift: float
    gray: float
    cropped: float
    bent: float = 0.0
    raised: float = 0.0


FOR_LIVER = Variety(scale=0.20, degrees=10.0, shift=9.0, gray=1.0, cropped=0.4, bent=5.0, raised=0.5)
THINNEST_WALL = 6.0  # pixels
FOR_SIGNS = Variety(scale=0.05, degrees=5.0, shift=4.0, gray=0.5, cropped=0.2)


def vary(
    gray: np.ndarray,
    liver: np.ndarray,
    rng: np.random.Generator,
    variety: Variety,
    mirrored: bool | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Frames (t, j, i) as network input, and the share of liver of their pixels, both changed alike.

    Args:
        gray: uint8; liver: bool or share 0..255 as uint8.
        mirrored: whether right and left are exchanged; None for one time in two.
    """
    scale = np.exp(rng.normal(0, variety.scale))
    angle = np.radians(rng.normal(0, variety.degrees))
    mirror = -1.0 if (rng.random() < 0.5 if mirrored is None else mirrored) else 1.0
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / scale
    half = np.array([SHAPE[1], SHAPE[0]]) / 2.0  # pixels; grids run from -1 to 1
    theta = np.zeros((2, 3))
    theta[:, :2] = turn * half[None, :] / half[:, None] * np.array([mirror, 1.0])
    face = np.array([FACE[1] + 0.5, FACE[0] + 0.5]) / half - 1.0  # the face stays where it is
    theta[:, 2] = face - theta[:, :2] @ face + rng.normal(0, variety.shift, 2) * (1.0, 0.3) / half
    both = torch.from_numpy(np.concatenate([gray, liver.astype(np.uint8) * _unit(liver)]))[None].float()
    grid = F.affine_grid(torch.from_numpy(theta[None]).float(), [1, 1, *SHAPE], align_corners=False)
    is_bent = variety.bent > 0 or variety.raised > 0
    bent = grid + _inside(liver, rng, variety) if is_bent else grid
    image, share = _sampled(both, bent)[0].split(len(gray))
    seen = (image > 0).float().amax(dim=0, keepdim=True)
    if is_bent:  # the sector itself keeps its shape
        seen = seen * (_sampled(both[:, : len(gray)], grid)[0] > 0.5).float().amax(dim=0, keepdim=True)
        image, share = image * seen, share * seen
    if rng.random() < variety.cropped:
        keep = _sector(rng)
        image, share, seen = image * keep, share * keep, seen * keep
    image = _other_grays(image, rng, variety.gray) * seen
    return image.clamp(0, 255) * GRAY_SCALE - GRAY_OFFSET, share / 255.0


def _inside(liver: np.ndarray, rng: np.random.Generator, variety: Variety) -> torch.Tensor:
    """What moves inside the sector: displacements as grid_sample takes them, (1, j, i, 2) or one for all."""
    half = torch.tensor([SHAPE[1] / 2.0, SHAPE[0] / 2.0])
    moved = torch.zeros(1)
    if variety.bent > 0:
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
        coarse = variety.bent * torch.randn((1, 2, 5, 6), generator=generator)
        moved = F.interpolate(coarse, SHAPE, mode="bicubic").permute(0, 2, 3, 1) / half
    if rng.random() < variety.raised:
        rows = np.flatnonzero(liver[0][:, SHAPE[1] // 3 : 2 * SHAPE[1] // 3].any(axis=1))
        room = max(rows[0] - FACE[0] - THINNEST_WALL, 0.0) if len(rows) else 0.0
        moved = moved + torch.tensor([0.0, rng.uniform(0, room)]) / half
    return moved


def _sampled(image: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    return F.grid_sample(image, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _unit(liver: np.ndarray) -> int:
    return 255 if liver.dtype == bool else 1


def _sector(rng: np.random.Generator) -> torch.Tensor:
    """A narrower or shorter sector (1, j, i)."""
    j, i = np.mgrid[: SHAPE[0], : SHAPE[1]]
    radius = rng.uniform(30, 60)
    down, across = j - FACE[0] + radius, i - FACE[1]
    inside = np.abs(np.degrees(np.arctan2(across, down))) < rng.uniform(20, 34)
    inside &= np.hypot(down, across) < radius + rng.uniform(85, 150)
    return torch.from_numpy(inside[None].astype(np.float32))


def _blurred(image: torch.Tensor, sigma: float) -> torch.Tensor:
    """A Gaussian blur of frames (t, j, i), sigma in pixels."""
    offsets = torch.arange(-5, 6, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = kernel / kernel.sum()
    padded = F.pad(image[:, None], (5,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel[None, None, None]), kernel[None, None, :, None])[:, 0]


def _other_grays(image: torch.Tensor, rng: np.random.Generator, strength: float) -> torch.Tensor:
    """Another gray map, gain along the depth, sharpness and noise; alike in all frames but for the noise."""
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    gamma = float(np.exp(rng.normal(0, 0.25 * strength)))
    image = 255.0 * (image.clamp(min=0) / 255.0) ** gamma * float(np.exp(rng.normal(0, 0.2 * strength)))
    if rng.random() < 0.6:
        rows = F.interpolate(torch.randn((1, 1, 5), generator=generator), SHAPE[0], mode="linear")[0]
        image = image + 14.0 * strength * rows[..., None]
    if rng.random() < 0.5 * strength:
        start, reach = float(rng.uniform(20, 110)), float(rng.uniform(20, 90))
        deeper = (torch.arange(SHAPE[0])[:, None] - start).clamp(min=0) / reach
        image = image * torch.exp(-deeper) + float(rng.uniform(0, 26)) * (1 - torch.exp(-deeper))
    if rng.random() < 0.6 * strength:
        image = _blurred(image, float(rng.uniform(0.4, 2.2)))
    if rng.random() < 0.5 * strength:
        coarse = torch.randn((1, 1, 4, 5), generator=generator)
        image = image * torch.exp(0.25 * strength * F.interpolate(coarse, SHAPE, mode="bicubic")[0])
    if rng.random() < 0.4 * strength:
        soft = F.avg_pool2d(F.pad(image[None], (1,) * 4, mode="replicate"), 3, stride=1)[0]
        image = image + float(rng.uniform(-0.9, 0.5)) * (image - soft)
    if rng.random() < 0.4 * strength:
        image = image + torch.randn(image.shape, generator=generator) * float(rng.uniform(0, 14))
    return image
