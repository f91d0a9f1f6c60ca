"""A curved array: where its scan lines run, and the way from polar samples to the pixels of a screen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Pose:
    """Where a probe stands, in mm of the anatomy's frame: middle of its face, and unit vectors along and across.

    Args:
        face: (3,) middle of the face.
        forward: (3,) direction of the middle scan line.
        lateral: (3,) direction in which the lines are numbered, which is to the right on the screen.
    """

    face: np.ndarray
    forward: np.ndarray
    lateral: np.ndarray


@dataclass(frozen=True)
class ConvexProbe:
    """A convex probe and its scan: `lines` beams of `samples` each.

    Args:
        radius_mm: of the face's curvature.
        half_angle: of the sector, degrees.
        depth_mm: from the face to the last sample.
        frequency: center frequency, MHz.
    """

    radius_mm: float = 60.0
    half_angle: float = 33.0
    depth_mm: float = 160.0
    frequency: float = 3.5
    lines: int = 192
    samples: int = 416

    @property
    def angles(self) -> np.ndarray:
        """Angle (lines,) of each line to the middle one, radians."""
        return np.deg2rad(np.linspace(-self.half_angle, self.half_angle, self.lines))

    @property
    def depths(self) -> np.ndarray:
        """Depth (samples,) of each sample under the face, mm."""
        return (np.arange(self.samples) + 0.5) * self.step_mm

    @property
    def step_mm(self) -> float:
        """Distance between neighboring samples of a line."""
        return self.depth_mm / self.samples

    def points(self, pose: Pose, every: int = 1) -> np.ndarray:
        """Places (lines, samples / every, 3) in mm; `every` takes each n-th sample, centered in its group."""
        angle = self.angles[:, None, None]
        depth = self.depths.reshape(-1, every).mean(axis=1) if every > 1 else self.depths
        beam = np.cos(angle) * pose.forward + np.sin(angle) * pose.lateral
        apex = pose.face - self.radius_mm * pose.forward
        return (apex + beam * (self.radius_mm + depth[None, :, None])).astype(np.float32)


@dataclass(frozen=True)
class ScreenGeometry:
    """The pixels that show a scan: `shape` (j, i), size of a pixel in mm, and where the middle of the face is.

    Args:
        face_pixel: (j, i) of the middle of the probe's face, its highest point in the middle column.
    """

    shape: tuple[int, int]
    pixel_mm: float
    face_pixel: tuple[float, float]

    @classmethod
    def around(cls, probe: ConvexProbe, shape: tuple[int, int], margin: float = 0.03) -> ScreenGeometry:
        """The largest scan that fits a screen of that shape with a margin (a share of it)."""
        half, radius = np.deg2rad(probe.half_angle), probe.radius_mm
        rise = radius * (1 - np.cos(half))  # the ends of the face lie above its middle
        width = 2 * (radius + probe.depth_mm) * np.sin(half)
        pixel = max((probe.depth_mm + rise) / shape[0], width / shape[1]) / (1 - 2 * margin)
        top = (shape[0] - (probe.depth_mm + rise) / pixel) / 2
        return cls(shape, float(pixel), (float(top + rise / pixel), (shape[1] - 1) / 2))


class ScanConverter:
    """Polar samples (lines, samples) to pixels (j, i), bilinear, black outside; made once for a probe."""

    def __init__(self, probe: ConvexProbe, screen: ScreenGeometry) -> None:
        self.screen = screen
        j, i = np.mgrid[: screen.shape[0], : screen.shape[1]].astype(np.float64)
        down = (j - screen.face_pixel[0]) * screen.pixel_mm + probe.radius_mm
        across = (i - screen.face_pixel[1]) * screen.pixel_mm
        line = (np.rad2deg(np.arctan2(across, down)) / probe.half_angle + 1) * (probe.lines - 1) / 2
        sample = (np.hypot(down, across) - probe.radius_mm) / probe.step_mm - 0.5
        self.inside = (line >= 0) & (line <= probe.lines - 1) & (sample >= -0.5) & (sample <= probe.samples - 0.5)
        line, sample = line[self.inside], np.clip(sample[self.inside], 0, probe.samples - 1)
        first = np.minimum(line.astype(np.int64), probe.lines - 2)
        upper = np.minimum(sample.astype(np.int64), probe.samples - 2)
        self._index = first * probe.samples + upper
        self._nearest = np.rint(line).astype(np.int64) * probe.samples + np.rint(sample).astype(np.int64)
        self._weights = ((line - first).astype(np.float32), (sample - upper).astype(np.float32))
        self._samples = probe.samples

    def __call__(self, polar: np.ndarray) -> np.ndarray:
        """Values (j, i) float32 of samples (lines, samples)."""
        flat, index, (x, y) = polar.reshape(-1).astype(np.float32, copy=False), self._index, self._weights
        above = flat[index] * (1 - x) + flat[index + self._samples] * x
        below = flat[index + 1] * (1 - x) + flat[index + self._samples + 1] * x
        out = np.zeros(self.screen.shape, np.float32)
        out[self.inside] = above * (1 - y) + below * y
        return out

    def labels(self, polar: np.ndarray) -> np.ndarray:
        """Labels (j, i) of the nearest sample, 0 outside."""
        out = np.zeros(self.screen.shape, polar.dtype)
        out[self.inside] = polar.reshape(-1)[self._nearest]
        return out
