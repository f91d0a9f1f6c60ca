"""Frames in which the network must not see a liver: other tissue, noise, images that stand on their head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from PrognosisLib.framewise.lattice import PIXEL_MM, SHAPE

NONE_CM2 = 1.0  # less liver is none
KINDS = {"view": 0.4, "box": 0.25, "noise": 0.2, "upside down": 0.15}
BOX = (40, 90)  # pixels of a side
TRIES = 20


def area_cm2(liver: np.ndarray) -> np.ndarray:
    """Of livers (..., j, i) bool on the lattice."""
    return liver.sum(axis=(-2, -1)) * PIXEL_MM**2 / 100.0


@dataclass(frozen=True)
class EmptyFrames:
    """Draws frames (160, 192) uint8 in which there is no liver.

    Args:
        gray: (n, 160, 192) uint8; liver: (n, 160, 192) bool, where it is in them.
        empty: numbers of those without any.
    """

    gray: np.ndarray
    liver: np.ndarray
    empty: np.ndarray

    @classmethod
    def among(cls, gray: np.ndarray, liver: np.ndarray) -> EmptyFrames:
        """Of simulated frames."""
        return cls(gray, liver, np.flatnonzero(area_cm2(liver) < NONE_CM2))

    def __call__(self, rng: np.random.Generator, kind: str | None = None) -> np.ndarray:
        """One of KINDS, by chance unless it is named."""
        kind = kind or str(rng.choice(list(KINDS), p=list(KINDS.values())))
        one = int(rng.integers(len(self.gray)))
        if kind == "view" and len(self.empty):
            return self.gray[self.empty[rng.integers(len(self.empty))]]
        if kind == "upside down":
            return self.gray[one, ::-1]
        sector = _sector(self.gray[one])
        box = self._box(rng, one) if kind != "noise" else None
        return (_noise(rng) if box is None else _enlarged(box)) * sector

    def _box(self, rng: np.random.Generator, one: int) -> np.ndarray | None:
        """A part of an image in which there is something, and no liver."""
        for _ in range(TRIES):
            high, wide = rng.integers(*BOX, 2)
            j, i = int(rng.integers(SHAPE[0] - high)), int(rng.integers(SHAPE[1] - wide))
            place = (one, slice(j, j + high), slice(i, i + wide))
            if not self.liver[place].any() and self.gray[place].mean() > 12:
                return self.gray[place]
        return None


def _sector(gray: np.ndarray) -> np.ndarray:
    """Where the image is, uint8 0 or 1."""
    from scipy.ndimage import maximum_filter

    return (maximum_filter(gray, 9) > 0).astype(np.uint8)


def _enlarged(box: np.ndarray) -> np.ndarray:
    """A part of an image over the whole lattice."""
    from scipy.ndimage import zoom

    factors = [whole / part for whole, part in zip(SHAPE, box.shape, strict=True)]
    found = np.clip(zoom(box.astype(np.float32), factors, order=1), 0, 255)
    return found[: SHAPE[0], : SHAPE[1]].astype(np.uint8)


def _noise(rng: np.random.Generator) -> np.ndarray:
    """Speckle of uneven brightness, or none at all."""
    from scipy.ndimage import gaussian_filter

    coarse = gaussian_filter(rng.standard_normal(SHAPE), float(rng.uniform(8, 40)))
    level = rng.uniform(5, 140) * np.exp(rng.uniform(0, 0.8) * coarse / (coarse.std() + 1e-9))
    speckle = gaussian_filter(rng.standard_normal(SHAPE), float(rng.uniform(0.3, 2.0)))
    return np.clip(level * (1 + rng.uniform(0, 0.6) * speckle / speckle.std()), 0, 255).astype(np.uint8)
