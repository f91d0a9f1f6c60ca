"""Where the inside of a skull sits and how it is turned: a standard shape fitted to it, with its own axes.

The fit gives every point standard coordinates (to the patient's right, front and top of the head, mm of a standard
adult head, origin near the anterior commissure) and with them the midsagittal plane. It uses the inner table only, so
that a hematoma and its mass effect do not turn the result.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from .brain import STEP_MM, Brain

CENTER = np.array([0.0, -20.0, 5.0])
STEP_DEG = 15.0
# Distance in mm from CENTER to the inner table, rows from straight down to straight up, columns from front to back.
# Measured on the MNI152 nonlinear symmetric template 2009a (closed, 2.5 mm added for cerebrospinal fluid).
# Copyright (C) 1993-2009 Louis Collins, McConnell Brain Imaging Centre, Montreal Neurological Institute,
# McGill University; permission to use, copy, modify and distribute for any purpose without fee, provided this notice
# is kept.
RADII_MM = np.array(
    [
        [54, 54, 54, 54, 54, 54, 54, 54, 54, 54, 54, 54, 54],
        [36, 38, 40, 44, 46, 48, 51, 54, 56, 60, 70, 80, 81],
        [30, 32, 38, 66, 68, 63, 46, 50, 71, 78, 81, 83, 79],
        [42, 50, 68, 76, 78, 77, 64, 58, 82, 90, 92, 88, 76],
        [77, 71, 66, 76, 77, 77, 78, 72, 76, 87, 88, 88, 79],
        [91, 94, 90, 81, 72, 74, 76, 76, 79, 80, 86, 88, 78],
        [90, 96, 92, 82, 73, 70, 73, 75, 78, 81, 86, 90, 82],
        [88, 92, 88, 81, 75, 74, 74, 76, 79, 82, 84, 86, 78],
        [84, 86, 82, 80, 75, 76, 78, 81, 82, 84, 84, 83, 76],
        [78, 81, 79, 80, 76, 76, 80, 80, 80, 82, 84, 84, 76],
        [74, 78, 78, 78, 76, 78, 79, 80, 79, 82, 84, 82, 76],
        [72, 76, 77, 78, 78, 76, 78, 78, 80, 82, 82, 80, 75],
        [72, 72, 72, 72, 72, 72, 72, 72, 72, 72, 72, 72, 72],
    ],
    dtype=float,
)
LOWEST_ROW = 2  # below it lies the foramen magnum, where the inside of the skull ends by definition
FAR_MM = 25.0  # distances are cut here
ROBUST_MM = 4.0
# How far a head is expected to differ: standard deviations of turns (degrees) and of the logarithm of its sizes.
TURN_DEG, SIZE, TRUNK = 20.0, 0.12, 0.15
# Turns about R, A and S that are tried; the best few are refined.
STARTS_DEG = ((-25.0, 0.0, 25.0), (-20.0, 0.0, 20.0), (-45.0, -22.0, 0.0, 22.0, 45.0))
REFINED = 3


@dataclass(frozen=True)
class HeadFrame:
    """A head's own axes.

    Args:
        to_ras: 4x4, standard coordinates (mm) to RAS (mm).
        point, normal: a point of the midsagittal plane and its unit normal toward the patient's right, RAS.
        turns_deg: turn of the head about R (chin up positive), A and S, degrees.
        fit_mm: median distance of the fitted shape to the inner table; over 5 mm the fit is not to be trusted.
    """

    to_ras: np.ndarray
    point: np.ndarray
    normal: np.ndarray
    turns_deg: tuple[float, float, float]
    fit_mm: float

    def from_ras(self, points: np.ndarray) -> np.ndarray:
        """RAS points (n, 3) in standard coordinates (n, 3)."""
        inverse = np.linalg.inv(self.to_ras)
        return np.asarray(points, dtype=float) @ inverse[:3, :3].T + inverse[:3, 3]

    def right_mm(self, points: np.ndarray) -> np.ndarray:
        """Distance (n,) in mm of RAS points (n, 3) from the midsagittal plane, positive on the patient's right."""
        return (np.asarray(points, dtype=float) - self.point) @ self.normal


def find_head_frame(brain: Brain) -> HeadFrame:
    """Fit the standard shape to the inside of a skull; the head may be turned by 30 degrees (45 about S)."""
    from scipy import optimize

    shape = _standard_points()
    distance = _Distance.of(brain)
    place = np.argwhere(brain.mask)
    middle = brain.grid.to_ras(place).mean(axis=0)
    more = (shape, middle, distance)
    firsts = [np.concatenate([np.deg2rad(turn), np.zeros(3), np.full(3, -0.05)]) for turn in product(*STARTS_DEG)]
    firsts.sort(key=lambda x: float(np.abs(_residuals(x, *more)).sum()))
    fits = [
        optimize.least_squares(
            _residuals, x, args=more, loss="soft_l1", f_scale=ROBUST_MM, max_nfev=25, xtol=1e-4, ftol=1e-4
        )
        for x in firsts[:REFINED]
    ]
    best = min(fits, key=lambda fit: fit.cost)
    matrix = _matrix(best.x, middle)
    normal = matrix[:3, 0] / np.linalg.norm(matrix[:3, 0])
    points, _ = shape
    off, known = distance.at(points @ matrix[:3, :3].T + matrix[:3, 3])
    return HeadFrame(
        matrix,
        matrix[:3, 3],
        normal,
        tuple(float(a) for a in np.rad2deg(best.x[:3])),
        float(np.median(np.abs(off[known > 0]))) if known.any() else float("inf"),
    )


def _standard_points() -> tuple[np.ndarray, np.ndarray]:
    """Points (n, 3) of the standard inner table on both sides and the weight (n,) of the area that each stands for."""
    rows, columns = RADII_MM.shape
    elevation, azimuth = np.meshgrid(
        np.deg2rad(np.arange(rows) * STEP_DEG - 90.0), np.deg2rad(np.arange(columns) * STEP_DEG), indexing="ij"
    )
    unit = np.stack(
        [np.sin(azimuth) * np.cos(elevation), np.cos(azimuth) * np.cos(elevation), np.sin(elevation)], axis=-1
    )
    use = slice(LOWEST_ROW, None)
    right = (RADII_MM[..., None] * unit)[use].reshape(-1, 3)
    weight = np.maximum(np.cos(elevation), 0.02)[use].reshape(-1)
    both = np.concatenate([right, right * [-1.0, 1.0, 1.0]]) + CENTER
    return both, np.tile(np.sqrt(weight), 2)


def _matrix(x: np.ndarray, middle: np.ndarray) -> np.ndarray:
    from scipy.spatial.transform import Rotation

    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", x[:3]).as_matrix() * np.exp(x[6:9])
    matrix[:3, 3] = middle + x[3:6] - matrix[:3, :3] @ CENTER
    return matrix


def _residuals(x: np.ndarray, shape: tuple, middle: np.ndarray, distance: _Distance) -> np.ndarray:
    points, weight = shape
    matrix = _matrix(x, middle)
    off, known = distance.at(points @ matrix[:3, :3].T + matrix[:3, 3])
    sizes = x[6:9]
    prior = [*(np.rad2deg(x[:3]) / TURN_DEG), sizes.mean() / TRUNK, *((sizes - sizes.mean()) / SIZE)]
    return np.concatenate([off * known * weight, 2.0 * ROBUST_MM * np.array(prior)])


@dataclass(frozen=True)
class _Distance:
    """Signed distance in mm to the inner table, negative inside, on a coarse RAS-aligned lattice."""

    signed: np.ndarray
    in_scan: np.ndarray
    origin: np.ndarray
    step: float

    @classmethod
    def of(cls, brain: Brain) -> _Distance:
        from scipy import ndimage

        mask = np.pad(brain.mask, 8)[::2, ::2, ::2]
        known = np.pad(brain.in_scan, 8)[::2, ::2, ::2]
        step = 2.0 * STEP_MM
        outside = ndimage.distance_transform_edt(~mask, sampling=step)
        inside = ndimage.distance_transform_edt(mask, sampling=step)
        signed = np.clip(np.where(mask, 0.5 * step - inside, outside - 0.5 * step), -FAR_MM, FAR_MM)
        # The border of the scan is no inner table: what lies beyond its last slice is unknown.
        known = ndimage.binary_erosion(known, iterations=1).astype(np.float32)
        return cls(signed.astype(np.float32), known, brain.grid.ijk_to_ras[:3, 3] - 8 * STEP_MM, step)

    def at(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Signed distance (n,) at RAS points (n, 3), and 0..1 (n,) whether the scan shows the place."""
        from scipy import ndimage

        place = ((points - self.origin) / self.step).T[::-1]
        return (
            ndimage.map_coordinates(self.signed, place, order=1, mode="nearest"),
            ndimage.map_coordinates(self.in_scan, place, order=1, mode="nearest"),
        )
