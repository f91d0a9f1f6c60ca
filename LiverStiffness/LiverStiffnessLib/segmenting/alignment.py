"""The T1 over the T2: how far breathing has moved the liver between them, and whether it is the same patient.

Both images lie in one physical space. A shift is sought that lays the T2's liver and spleen over those that the network
sees in the T1; no image is resampled for it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from PrognosisLib.findings import Mask
from PrognosisLib.slicewise.evidence import SliceEvidence
from PrognosisLib.volume import resample

from ..labels import LIVER, SPLEEN
from .reading import ReadImage

FARTHEST_MM = np.array([25.0, 30.0, 60.0])  # right, anterior, superior
STEPS_MM = (12.0, 6.0, 3.0, 1.5)
POINTS = 6000


@dataclass(frozen=True)
class Alignment:
    """Shift (mm, R A S) from the T2's liver to the T1's, and the Dice of liver and spleen after it (NaN: none)."""

    shift_mm: np.ndarray
    liver_dice: float
    spleen_dice: float


def align(t2: ReadImage, t1: ReadImage) -> Alignment | None:
    """None where one image shows no liver."""
    if not all((one.margins[LIVER] > 0).any() for one in (t2, t1)):
        return None
    shift = np.zeros(3)
    places = _places(t2, LIVER)
    for step in STEPS_MM:
        shift = _climb(places, t1, shift, step)
    return Alignment(shift, _dice(t2, t1, shift, LIVER), _dice(t2, t1, shift, SPLEEN))


def _places(read: ReadImage, label: int) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, 3) RAS of the organ and, with weight -1, of what lies near it."""
    from scipy import ndimage

    inside = read.margins[label] > 0
    near = ndimage.binary_dilation(inside, np.ones((1, 3, 3), bool), iterations=6) & ~inside
    ijk, weights = [], []
    for region, weight in ((inside, 1.0), (near, -1.0)):
        found = np.argwhere(region)[:, ::-1]
        found = found[:: max(1, len(found) // POINTS)]
        ijk.append(found)
        weights.append(np.full(len(found), weight / max(1, len(found))))
    points = np.concatenate(ijk) @ read.slices.ijk_to_ras[:3, :3].T + read.slices.ijk_to_ras[:3, 3]
    return points, np.concatenate(weights)


def _climb(places: tuple[np.ndarray, np.ndarray], t1: ReadImage, start: np.ndarray, step: float) -> np.ndarray:
    """Uphill from a shift along the axes, one step at a time, until no step is better."""
    from scipy import ndimage

    points, weights = places
    inverse = np.linalg.inv(t1.slices.ijk_to_ras)
    chance = 1 / (1 + np.exp(-np.clip(t1.margins[LIVER], -20, 20)))

    def score(shift: np.ndarray) -> float:
        ijk = (points + shift) @ inverse[:3, :3].T + inverse[:3, 3]
        return float(weights @ ndimage.map_coordinates(chance, ijk.T[::-1], order=1, mode="constant"))

    best, best_score = start, score(start)
    moves = [direction * step for direction in np.vstack([np.eye(3), -np.eye(3)])]
    while True:
        tried = [best + move for move in moves if np.all(np.abs(best + move) <= FARTHEST_MM)]
        scores = [score(one) for one in tried]
        if not scores or max(scores) <= best_score + 1e-6:
            return best
        best_score = max(scores)
        best = tried[int(np.argmax(scores))]


def _dice(t2: ReadImage, t1: ReadImage, shift: np.ndarray, label: int) -> float:
    """Overlap of an organ of both images on the T2's slices, in the part of the patient that both cover."""
    own = t2.margins[label] > 0
    moved = t1.slices.ijk_to_ras.copy()
    moved[:3, 3] -= shift
    other = resample(t1.margins[label] > 0, moved, t2.slices.grid) > 0.5
    covered = resample(np.ones(t1.slices.array.shape, np.uint8), moved, t2.slices.grid, nearest=True) > 0
    own = own & covered
    total = np.count_nonzero(own) + np.count_nonzero(other)
    return 2.0 * float(np.count_nonzero(own & other)) / total if total else float("nan")


def carried(mask: Mask, shift_mm: np.ndarray, name: str) -> Mask:
    """The mask where the organ lies in the other image, on the same voxels: moved by the shift."""
    grid = mask.grid
    matrix = mask.cropped_grid.ijk_to_ras.copy()
    matrix[:3, 3] += shift_mm
    moved = resample(mask.array, matrix, grid) > 0.5
    return Mask.from_full(name, moved, grid, visible=False, volume_ml=mask.volume_ml, confidence=mask.confidence)


def moved_back(evidence: SliceEvidence, shift_mm: np.ndarray) -> SliceEvidence:
    """The T1's slices where they lie over the T2."""
    matrix = evidence.ijk_to_ras.copy()
    matrix[:3, 3] -= shift_mm
    return replace(evidence, ijk_to_ras=matrix)
