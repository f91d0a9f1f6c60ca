"""Scans without an abdomen, so that the networks learn to find nothing there: crude heads, thighs and phantoms.

Only tissue contrast and layering matter here; these are no anatomical models.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from PrognosisLib.volume import Volume


def simulate_negative(seed: int) -> Volume:
    """A random CT (HU, int16) of a head, a pair of thighs or a test phantom on a grid of 2 to 5 mm slices."""
    rng = np.random.default_rng([seed, 11])
    spacing = np.array([rng.uniform(2.0, 5.0), 1.8, 1.8])
    shape = np.array([int(rng.uniform(140, 260) / spacing[0]), 140, 140])
    axes = [(np.arange(n) - (n - 1) / 2) * step for n, step in zip(shape, spacing, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    texture = ndimage.gaussian_filter(rng.standard_normal(shape), 6.0 / spacing)
    texture /= texture.std()
    part = rng.choice(["head", "thighs", "phantom"], p=[0.6, 0.2, 0.2])
    hu = {"head": _head, "thighs": _thighs, "phantom": _phantom}[part](rng, z, y, x, texture)
    hu = ndimage.gaussian_filter(hu, rng.uniform(0.3, 0.8))
    hu += ndimage.gaussian_filter(rng.standard_normal(shape), (0, 0.6, 0.6)) * rng.uniform(5, 40)
    matrix = np.diag([*spacing[::-1], 1.0])
    matrix[:3, 3] = rng.uniform(-200, 200, 3)
    return Volume(np.clip(np.round(hu), -1024, 3071).astype(np.int16), matrix, "CT", f"{part} {seed}")


def _ball(z: np.ndarray, y: np.ndarray, x: np.ndarray, center: tuple, radii: tuple) -> np.ndarray:
    """Distance in radii from the center of an ellipsoid (x, y, z in mm)."""
    return np.sqrt(
        ((x - center[0]) / radii[0]) ** 2 + ((y - center[1]) / radii[1]) ** 2 + ((z - center[2]) / radii[2]) ** 2
    )


def _head(rng: np.random.Generator, z: np.ndarray, y: np.ndarray, x: np.ndarray, texture: np.ndarray) -> np.ndarray:
    radii = np.array([70, 88, 82]) * rng.uniform(0.85, 1.15)
    top = rng.uniform(-20, 30)
    r = _ball(z, y, x, (0, 0, top), tuple(radii)) + 0.02 * texture
    brain = rng.uniform(28, 42) + 4 * texture
    hu = np.full(r.shape, -1000.0)
    neck = np.sqrt((x / 55) ** 2 + ((y + 15) / 60) ** 2) + 0.03 * texture
    hu = np.where((neck < 1) & (z < top), 45 + 12 * texture, hu)
    hu = np.where((np.hypot(x, y + 25) < 12) & (z < top - 40), 600.0, hu)
    hu = np.where(r < 1.13, 30 + 20 * texture, hu)
    hu = np.where(r < 1.07, rng.uniform(700, 1300), hu)
    hu = np.where(r < 1.0, brain, hu)
    for side in (-1, 1):
        ventricle = _ball(z, y, x, (side * 14, 0, top + 10), (8, rng.uniform(25, 40), 14)) + 0.1 * texture
        hu = np.where(ventricle < 1, 6.0, hu)
    if rng.random() < 0.4:
        side = rng.choice([-1, 1])
        bleed = (
            _ball(z, y, x, (side * 28, rng.uniform(-30, 30), top + 5), tuple(rng.uniform(8, 28, 3))) + 0.15 * texture
        )
        hu = np.where(bleed < 1, rng.uniform(55, 80), hu)
    face = _ball(z, y, x, (0, 70, top - 70), (45, 30, 40))
    return np.where((face < 1) & (texture > 0), -900.0, hu)


def _thighs(rng: np.random.Generator, z: np.ndarray, y: np.ndarray, x: np.ndarray, texture: np.ndarray) -> np.ndarray:
    hu = np.full(texture.shape, -1000.0)
    for side in (-1, 1):
        r = np.hypot(x - side * 62 + 0.05 * z, y) / rng.uniform(48, 62) + 0.02 * texture
        hu = np.where(r < 1, -100.0, hu)
        hu = np.where(r < 0.82, np.where(texture > 1.2, -90.0, rng.uniform(50, 65)), hu)
        hu = np.where(r < 0.24, 1100.0, hu)
        hu = np.where(r < 0.12, -40.0, hu)
    return hu


def _phantom(rng: np.random.Generator, z: np.ndarray, y: np.ndarray, x: np.ndarray, texture: np.ndarray) -> np.ndarray:
    r = np.hypot(x, y) + 0 * z
    hu = np.where(r < 100, rng.uniform(-20, 80), -1000.0)
    for angle in np.linspace(0, 2 * np.pi, 6, endpoint=False):
        rod = np.hypot(x - 60 * np.cos(angle), y - 60 * np.sin(angle)) + 0 * z
        hu = np.where(rod < rng.uniform(6, 22), rng.uniform(-120, 250), hu)
    return hu
