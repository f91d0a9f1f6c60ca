"""How the liver looks in both images, in numbers that gain and depth do not move: echogenicity and texture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from PrognosisLib.framewise.lattice import FACE, PIXEL_MM

WALL_MM = (4.0, 16.0)  # depths under the probe's face: skin, fat and muscle, which do not change within days
WALL_PERCENTILES = (10.0, 90.0)
RIM_PIXELS = 3  # of the liver's border that are left out
SPECKLE_PIXELS, SHADE_PIXELS = 1.8, 12.0  # finer than that is speckle, coarser is shading
FEWEST_PIXELS = 60


@dataclass(frozen=True)
class Look:
    """Echogenicity (mean) and texture (standard deviation) of a liver, in gray levels from 0 to 255."""

    echogenicity: float
    texture: float


def looks_of(
    first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray] | None
) -> tuple[Look, Look | None]:
    """How the livers of T0 and T1 look; each image is gray values (j, i) on the lattice and bool (j, i) of its liver.

    The gray values of T1 are moved so that its abdominal wall is as bright as that of T0: the gain adds to the
    logarithm of the echoes, so it moves all gray values alike. The mean is taken over the depths that both livers have.
    """
    if second is None:
        gray, liver = first
        return Look(_at_depths(gray, liver, _depths(liver)), texture_of(gray, liver)), None
    moved = second[0] + np.float32(gain_between(first[0], second[0]))
    depths = _depths(first[1]) & _depths(second[1])
    if not depths.any():
        depths = np.ones_like(depths)
    return tuple(
        Look(float(np.clip(_at_depths(gray, liver, depths), 0, 255)), texture_of(gray, liver))
        for gray, liver in (first, (moved, second[1]))
    )


def gain_between(first: np.ndarray, second: np.ndarray) -> float:
    """What has to be added to the gray values of T1 for its abdominal wall to be as bright as that of T0."""
    levels = [wall_level(gray) for gray in (first, second)]
    return 0.0 if None in levels else levels[0] - levels[1]


def wall_level(gray: np.ndarray) -> float | None:
    """Mean gray value of the abdominal wall in the middle of the image, without its extremes; None without an image."""
    top, bottom = (round(FACE[0] + depth / PIXEL_MM) for depth in WALL_MM)
    middle = round(FACE[1])
    wall = gray[top:bottom, middle - 20 : middle + 21]
    lit = wall[wall > 0]
    if lit.size < FEWEST_PIXELS:
        return None
    low, high = np.percentile(lit, WALL_PERCENTILES)
    return float(lit[(lit >= low) & (lit <= high)].mean())


def texture_of(gray: np.ndarray, liver: np.ndarray) -> float:
    """Standard deviation of the gray values in the liver, without speckle and shading; 0 for a tiny liver.

    Gray values are logarithms of echoes, so differences between them are ratios already.
    """
    from scipy.ndimage import binary_erosion, gaussian_filter

    inside = binary_erosion(liver, iterations=RIM_PIXELS)
    if inside.sum() < FEWEST_PIXELS:
        return 0.0
    weight = inside.astype(np.float32)
    values = gray.astype(np.float32) * weight

    def smooth(sigma: float) -> np.ndarray:
        return gaussian_filter(values, sigma) / np.maximum(gaussian_filter(weight, sigma), 1e-3)

    return float((smooth(SPECKLE_PIXELS) - smooth(SHADE_PIXELS))[inside].std())


def _depths(liver: np.ndarray) -> np.ndarray:
    """Rows (j,) of the lattice that hold liver, bool."""
    return liver.sum(axis=1) >= 5


def _at_depths(gray: np.ndarray, liver: np.ndarray, depths: np.ndarray) -> float:
    """Mean over rows of the mean gray value of the liver in each, over the rows wanted (or all where none has it)."""
    counts = liver.sum(axis=1)
    rows = depths & (counts > 0)
    rows = rows if rows.any() else counts > 0
    sums = np.where(liver, gray, 0.0).sum(axis=1)
    return float((sums[rows] / counts[rows]).mean())
