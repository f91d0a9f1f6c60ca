"""What the network saw in each slab of a scan: it stays with the segment, and an edit changes only the areas."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SliceEvidence:
    """What the network saw in each slab of a scan, in the order of the slabs.

    Args:
        features: (s, f) pooled over the network's own mask of one class; see multitask.py.
        ijk_to_ras, shape: lattice of the slabs.
    """

    features: np.ndarray
    ijk_to_ras: np.ndarray
    shape: tuple[int, int, int]

    def to_json(self) -> str:
        """Text that stays with the segment; features are kept to four digits, and only where there are any."""
        rows = {
            str(k): [round(float(v), 4) for v in row] for k, row in enumerate(self.features) if np.abs(row).max() > 1e-3
        }
        place = np.round(self.ijk_to_ras, 5).tolist()
        return json.dumps({"features": rows, "width": self.features.shape[1], "lattice": place, "shape": self.shape})

    @classmethod
    def from_json(cls, text: str) -> SliceEvidence | None:
        """None where there is no text or it is not what `to_json` wrote."""
        try:
            content = json.loads(text)
            shape = tuple(int(n) for n in content["shape"])
            features = np.zeros((shape[0], int(content["width"])), np.float64)
            for k, row in content["features"].items():
                features[int(k)] = row
            matrix = np.array(content["lattice"], float)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError):
            return None
        good = matrix.shape == (4, 4) and len(shape) == 3 and np.isfinite(matrix).all() and np.isfinite(features).all()
        return cls(features, matrix, shape) if good and abs(np.linalg.det(matrix)) > 1e-9 else None


def slab_areas(
    mask: np.ndarray, start: tuple[int, int, int], mask_ijk_to_ras: np.ndarray, evidence: SliceEvidence
) -> np.ndarray:
    """Area in mm2 of a mask in every slab (s,), for a mask of any lattice; what lies beyond the slabs is in none.

    Args:
        mask: bool (k, j, i), the box of the mask; start: its first voxel in the lattice of `mask_ijk_to_ras`.
    """
    kji = np.argwhere(mask) + np.asarray(start)
    areas = np.zeros(evidence.shape[0])
    if not len(kji):
        return areas
    to_slab = np.linalg.inv(evidence.ijk_to_ras) @ mask_ijk_to_ras
    place = kji[:, ::-1] @ to_slab[2, :3] + to_slab[2, 3]
    place = place[np.abs(place - (len(areas) - 1) / 2) < len(areas) / 2 + 0.01]
    counts = np.bincount(np.clip(np.rint(place).astype(int), 0, len(areas) - 1), minlength=len(areas))
    voxel = abs(np.linalg.det(mask_ijk_to_ras[:3, :3]))
    matrix = evidence.ijk_to_ras[:3, :3]
    thickness = abs(np.linalg.det(matrix)) / np.linalg.norm(np.cross(matrix[:, 0], matrix[:, 1]))
    return counts * voxel / thickness
