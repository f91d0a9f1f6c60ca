"""The torch module behind network.py: a 2D U-Net with a strided stem and three heads. Imported late: it needs torch."""

from __future__ import annotations

import itertools

import torch
from torch import nn
from torch.nn import functional as F

from .network import EVIDENCE_PIXELS, SMALLEST_SUM


class Block(nn.Module):
    """Two 3x3 convolutions with batch normalization and a residual connection."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(channels_out)
        self.second = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(channels_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.first_norm(self.first(x)))
        return torch.relu(self.second_norm(self.second(y)) + y)


class MultiTaskNetwork(nn.Module):
    """Images to logits (n, classes, j, i), detection (n, detections), features (n, f) and evidence (n, f, j/4, i/4).

    Images are (n, channels, j, i), both axes multiples of 32. `evidence` is what `features` are the mean of, over one
    class: features = sum(p * evidence) / (sum(p) + 4), p the probability of that class on the evidence's pixels, which
    the features' gradient takes as given. So a score that is linear in the features is a sum over pixels, which is the
    exact heat map.

    Args:
        channels, classes: of images and logits; features: f.
        widths: channels of the levels, at least two; the first is at half the image's resolution.
        pooled_class: the class over which the features are pooled.
        detections: outputs of the head that tells about a whole slice, as logits.
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        widths: tuple[int, ...],
        features: int,
        pooled_class: int,
        detections: int = 1,
    ) -> None:
        super().__init__()
        self.pooled_class = pooled_class
        self.stem = nn.Conv2d(channels, widths[0], 4, stride=2, padding=1)
        self.encoder = nn.ModuleList([Block(widths[0], widths[0])])
        self.down, self.up, self.decoder = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for shallow, deep in itertools.pairwise(widths):
            self.down.append(nn.Conv2d(shallow, deep, 2, stride=2))
            self.encoder.append(Block(deep, deep))
            self.up.append(nn.ConvTranspose2d(deep, shallow, 2, stride=2))
            self.decoder.append(Block(shallow, shallow))
        self.head = nn.ConvTranspose2d(widths[0], classes, 4, stride=2, padding=1)
        self.detect = nn.Conv2d(widths[0], detections, 1)
        self.fine = nn.Conv2d(widths[0], features, 4, stride=2, padding=1)
        self.coarse = nn.Conv2d(widths[1], features, 1)
        self.mix = nn.Conv2d(features, features, 3, padding=1)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        skips = [self.encoder[0](self.stem(image))]
        for down, block in zip(self.down, self.encoder[1:], strict=True):
            skips.append(block(down(skips[-1])))
        x, levels = skips.pop(), []
        for level in reversed(range(len(self.up))):
            x = self.decoder[level](self.up[level](x) + skips[level])
            levels.append(x)
        logits = self.head(x)
        detection = torch.logsumexp(self.detect(x).flatten(2), dim=2)
        evidence = torch.relu(self.mix(torch.relu(self.fine(x) + self.coarse(levels[-2]))))
        pooled = slice(self.pooled_class, self.pooled_class + 1)
        share = F.avg_pool2d(torch.softmax(logits.detach().float(), dim=1)[:, pooled], EVIDENCE_PIXELS)
        features = (share * evidence).sum(dim=(2, 3)) / (share.sum(dim=(2, 3)) + SMALLEST_SUM)
        return logits, detection, features, evidence
