"""What is around a multi-task slice network, in numpy: its input, its run over a scan, what its outputs mean.

The network itself is in multitask.py. Its outputs are logits (s, c, j, i), detection (s, d), features (s, f) and
evidence (s, f, j/4, i/4), for s slices.
"""

from __future__ import annotations

import numpy as np

from ..bundles.backends import Network

EVIDENCE_PIXELS = 4  # evidence maps have one value for so many pixels along each axis
SMALLEST_SUM = 4.0  # keeps the pooled features of slices with next to none of the pooled class near zero


def with_neighbors(slices: np.ndarray) -> np.ndarray:
    """(k, j, i) to (k, 3, j, i): every slice between the one below and the one above; ends stand twice."""
    padded = np.concatenate([slices[:1], slices, slices[-1:]])
    return np.stack([padded[:-2], padded[1:-1], padded[2:]], axis=1)


def run_in_batches(network: Network, image: np.ndarray, batch: int = 16) -> list[np.ndarray]:
    """The network's outputs, each over all slices; `image` (s, channels, j, i) with at least one slice."""
    parts = [network.outputs(image[n : n + batch]) for n in range(0, len(image), batch)]
    return [np.concatenate(one) for one in zip(*parts, strict=True)]


def margin_of(logits: np.ndarray, label: int) -> np.ndarray:
    """Log-odds (s, j, i) of one class against all others; `logits` (s, classes, j, i)."""
    others = np.delete(logits, label, axis=1)
    top = others.max(axis=1)
    return logits[:, label] - top - np.log(np.exp(others - top[:, None]).sum(axis=1))


def probability(logits: np.ndarray, label: int) -> np.ndarray:
    """Probability (s, j, i) of one class; `logits` (s, classes, j, i)."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers[:, label] / powers.sum(axis=1)


def pooled(share: np.ndarray) -> np.ndarray:
    """The mean over the pixels of each evidence value: (s, j, i) to (s, j/4, i/4), both axes multiples of 4."""
    s, j, i = share.shape
    n = EVIDENCE_PIXELS
    return share.reshape(s, j // n, n, i // n, n).mean(axis=(2, 4))
