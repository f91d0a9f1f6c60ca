"""The segmentation loss of the slice networks; needs torch, for training only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch.nn import functional as F

SHOWN_PIXELS = 50  # a class with fewer in the whole batch has no Dice


def class_loss(
    logits: torch.Tensor,
    labels: torch.Tensor,
    class_weights: Sequence[float],
    dice_weights: Mapping[int, float],
    ignore: int | None = None,
) -> torch.Tensor:
    """Weighted cross-entropy plus soft Dice of the classes that the batch shows.

    Args:
        logits: (n, classes, j, i); labels: (n, j, i) int64.
        class_weights: of the cross-entropy, background first; dice_weights: by class, 1 where it is not named.
        ignore: label that takes no part.
    """
    valid = torch.ones_like(labels, dtype=torch.bool) if ignore is None else labels != ignore
    weight = torch.tensor(class_weights, device=logits.device)
    cross_entropy = F.cross_entropy(logits, labels.masked_fill(~valid, -100), weight=weight, ignore_index=-100)
    share = torch.softmax(logits, dim=1)[:, 1:] * valid[:, None]
    truth = F.one_hot(labels.masked_fill(~valid, 0), len(class_weights)).permute(0, 3, 1, 2)[:, 1:] * valid[:, None]
    overlap, total = (share * truth).sum((0, 2, 3)), (share + truth).sum((0, 2, 3))
    importance = [dice_weights.get(number, 1.0) for number in range(1, len(class_weights))]
    importance = torch.tensor(importance, device=logits.device) * (truth.sum((0, 2, 3)) > SHOWN_PIXELS).float()
    dice = 1.0 - (2.0 * overlap + 1.0) / (total + 1.0)
    return cross_entropy + (dice * importance).sum() / importance.sum().clamp(min=1.0)
