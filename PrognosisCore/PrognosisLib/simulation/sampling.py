"""From the finely drawn anatomy to the voxels of a scan: axis by axis, with slices as thick as they are."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def centered(size, step, center) -> np.ndarray:
    """Matrix of a grid with i to patient left, j to the back and k to the head, its middle at `center` (RAS, mm)."""
    matrix = np.diag([-step[0], -step[1], step[2], 1.0])
    matrix[:3, 3] = center - matrix[:3, :3] @ ((np.asarray(size) - 1) / 2)
    return matrix


def to_canonical(matrix: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """The grid's matrix in the canonical frame of the anatomy that stands in the world as `pose` (3, 3) has it."""
    inverse = np.eye(4)
    inverse[:3, :3] = np.linalg.inv(pose)
    return inverse @ matrix


def slab_weights(centers_mm: np.ndarray, thickness_mm: float, fine_size: int, fine_step: float) -> np.ndarray:
    """Weights (n, fine_size) that average linear interpolation over `thickness_mm` around each center.

    Args:
        centers_mm: (n,) places from the outer face of the first fine voxel; beyond the ends the end voxel counts.
    """
    thickness = thickness_mm
    offsets = (np.arange(7) - 3) / 7 * thickness if thickness > fine_step * 0.75 else np.zeros(1)
    at = centers_mm[:, None] + offsets[None]
    at = np.clip(at / fine_step - 0.5, 0, fine_size - 1)
    first = np.minimum(at.astype(int), max(fine_size - 2, 0))
    weights = np.zeros((len(centers_mm), fine_size), np.float32)
    rows = np.broadcast_to(np.arange(len(centers_mm))[:, None], at.shape)
    np.add.at(weights, (rows, first), (1 - (at - first)) / len(offsets))
    np.add.at(weights, (rows, np.minimum(first + 1, fine_size - 1)), (at - first) / len(offsets))
    return weights


def apply_weights(volume: np.ndarray, weights: list[np.ndarray | None]) -> np.ndarray:
    """Apply the weights of i, j and k to an array (k, j, i)."""
    in_i, in_j, in_k = weights
    if in_k is not None:
        volume = np.tensordot(in_k, volume, axes=(1, 0))
    if in_j is not None:
        volume = np.matmul(in_j, volume)
    if in_i is not None:
        volume = np.matmul(volume, in_i.T)
    return volume


def label_by_weights(labels: np.ndarray, context: np.ndarray, weights: list[np.ndarray | None]) -> np.ndarray:
    """Organs by the largest interpolated share over the context's labels by the nearest voxel."""
    if all(w is None for w in weights):
        return labels.copy()
    nearest = [np.arange(n) if w is None else w.argmax(1) for w, n in zip(weights, labels.shape[::-1], strict=True)]
    out = context[np.ix_(nearest[2], nearest[1], nearest[0])]
    best = np.zeros(out.shape, np.float32)
    total = np.zeros(out.shape, np.float32)
    winner = out.copy()
    organs = np.where(labels != context, labels, 0).astype(np.uint8)
    for code, box in enumerate(ndimage.find_objects(organs), start=1):
        if box is None:
            continue
        wide = [slice(max(b.start - 1, 0), min(b.stop + 1, n)) for b, n in zip(box, organs.shape, strict=True)]
        target, part = [], []
        for w, inside in zip(weights, wide[::-1], strict=True):
            used = np.arange(inside.start, inside.stop) if w is None else np.nonzero(w[:, inside].any(1))[0]
            target.append(slice(used[0], used[-1] + 1))
            part.append(None if w is None else np.ascontiguousarray(w[target[-1], inside]))
        place = tuple(target[::-1])
        share = apply_weights((organs[tuple(wide)] == code).astype(np.float32), part)
        better = share > best[place]
        winner[place][better] = code
        best[place][better] = share[better]
        total[place] += share
    organ = total > 0.5
    out[organ] = winner[organ]
    return out
