"""The torch modules: liver segmenter, frame encoder, and 3D network. Imported late: it needs torch.

The encoder sees frames of two channels, gray values and the segmenter's probability of liver. Features are pooled over
the liver and a rim of one cell around it, which holds the capsule. A score that is linear in the pooled features
is a sum over cells, so the class activation map (Zhou et al., CVPR 2016), which Grad-CAM reduces to then, is exact.
"""

from __future__ import annotations

import itertools

import torch
from torch import nn
from torch.nn import functional as F

from PrognosisLib.learning.unet import ConvBlock
from PrognosisLib.slicewise.multitask import Block

from .lattice import CELL, SMALLEST_SUM


class PlaneUNet(nn.Module):
    """Frames (n, 1, j, i) to logits of liver (n, 1, j, i); both axes multiples of 16."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, widths[0], 4, stride=2, padding=1)
        self.encoder = nn.ModuleList([Block(widths[0], widths[0])])
        self.down, self.up, self.decoder = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for shallow, deep in itertools.pairwise(widths):
            self.down.append(nn.Conv2d(shallow, deep, 2, stride=2))
            self.encoder.append(Block(deep, deep))
            self.up.append(nn.ConvTranspose2d(deep, shallow, 2, stride=2))
            self.decoder.append(Block(shallow, shallow))
        self.head = nn.ConvTranspose2d(widths[0], 1, 4, stride=2, padding=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        skips = [self.encoder[0](self.stem(image))]
        for down, block in zip(self.down, self.encoder[1:], strict=True):
            skips.append(block(down(skips[-1])))
        x = skips.pop()
        for level in reversed(range(len(self.up))):
            x = self.decoder[level](self.up[level](x) + skips[level])
        return self.head(x)


class FrameEncoder(nn.Module):
    """Frames (n, 2, j, i) to pooled features (n, f), cells (n, f, j/8, i/8), and their weights (n, 1, j/8, i/8)."""

    def __init__(self, widths: tuple[int, int, int]) -> None:
        super().__init__()
        first, second, third = widths
        self.stem = nn.Conv2d(2, first, 4, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(first)
        self.down = nn.ModuleList(
            [nn.Conv2d(first, second, 3, stride=2, padding=1), nn.Conv2d(second, third, 3, stride=2, padding=1)]
        )
        self.blocks = nn.ModuleList([Block(second, second), Block(third, third)])

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        cells = torch.relu(self.norm(self.stem(image)))
        for down, block in zip(self.down, self.blocks, strict=True):
            cells = block(down(cells))
        weight = F.max_pool2d(F.avg_pool2d(image[:, 1:], CELL), 3, stride=1, padding=1)
        pooled = (weight * cells).sum(dim=(2, 3)) / (weight.sum(dim=(2, 3)) + SMALLEST_SUM)
        return pooled, cells, weight


class FilmNetwork(nn.Module):
    """Cells of a window with their weights (n, f + 1, t, j, i) to pooled features (n, f + u) and cells (n, f + u, ...).

    The first f are the frames' own, so that what it adds to them is what a single frame does not have.
    """

    def __init__(self, features: int, units: int) -> None:
        super().__init__()
        self.enter = nn.Conv3d(features + 1, units, (3, 1, 1), padding=(1, 0, 0))
        self.norm = nn.BatchNorm3d(units)
        self.block = ConvBlock(units, units)

    def forward(self, film: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        frames, weight = film[:, :-1], film[:, -1:]
        cells = torch.cat([frames, self.block(torch.relu(self.norm(self.enter(film))))], dim=1)
        pooled = (weight * cells).sum(dim=(2, 3, 4)) / (weight.sum(dim=(2, 3, 4)) + SMALLEST_SUM)
        return pooled, cells
