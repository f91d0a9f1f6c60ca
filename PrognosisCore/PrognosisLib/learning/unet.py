"""The segmentation network that the CT and MR systems share: a U-Net that thinks at half resolution.

A strided stem halves the grid before the first wide layer and one transposed convolution restores it, so that all
wide layers work on an eighth of the voxels; every output voxel still has weights of its own. Skips are added, not
concatenated, which halves the decoder. Batch normalization (not instance
normalization) is used because it folds into the convolutions for inference.
"""

from __future__ import annotations

import itertools

import torch
from torch import nn


class ConvBlock(nn.Module):
    """Two 3x3x3 convolutions with batch normalization and a residual connection."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.first = nn.Conv3d(channels_in, channels_out, 3, padding=1, bias=False)
        self.first_norm = nn.BatchNorm3d(channels_out)
        self.second = nn.Conv3d(channels_out, channels_out, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm3d(channels_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.first_norm(self.first(x)))
        return torch.relu(self.second_norm(self.second(y)) + y)


class HalfResolutionUNet(nn.Module):
    """U-Net on (n, channels, k, j, i) with every dimension a multiple of `stride`; returns logits of the same grid.

    Args:
        channels: input channels.
        classes: output channels, background first.
        widths: feature channels at 1/2, 1/4, 1/8, ... of the resolution.
    """

    def __init__(self, channels: int = 1, classes: int = 3, widths: tuple[int, ...] = (32, 64, 96, 128)) -> None:
        super().__init__()
        self.stride = 2 ** len(widths)
        self.stem = nn.Conv3d(channels, widths[0], 4, stride=2, padding=1)
        self.encoder = nn.ModuleList([ConvBlock(widths[0], widths[0])])
        self.down = nn.ModuleList()
        self.up = nn.ModuleList()
        self.decoder = nn.ModuleList()
        for shallow, deep in itertools.pairwise(widths):
            self.down.append(nn.Conv3d(shallow, deep, 2, stride=2))
            self.encoder.append(ConvBlock(deep, deep))
            self.up.append(nn.ConvTranspose3d(deep, shallow, 2, stride=2))
            self.decoder.append(ConvBlock(shallow, shallow))
        self.head = nn.ConvTranspose3d(widths[0], classes, 4, stride=2, padding=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        features = [self.encoder[0](self.stem(image))]
        for down, block in zip(self.down, self.encoder[1:], strict=True):
            features.append(block(down(features[-1])))
        x = features.pop()
        for level in reversed(range(len(self.up))):
            x = self.decoder[level](self.up[level](x) + features[level])
        return self.head(x)
