"""Implicit shapes and random fields: the drawing tools of the simulated anatomies.

Every shape is a function of coordinates in mm that is negative inside, and near its surface is about the distance to
it, so that `coverage` turns it into the share of each voxel that it fills. Arrays are (k, j, i), float32.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Slices = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Grid:
    """A sampling grid: `shape` (k, j, i) and the 4x4 matrix from (i, j, k, 1) to mm of the anatomy's own frame."""

    shape: tuple[int, int, int]
    matrix: np.ndarray

    @property
    def spacing(self) -> float:
        """Geometric mean of the voxel's edges, mm."""
        return float(abs(np.linalg.det(self.matrix[:3, :3])) ** (1 / 3))

    def points(self) -> np.ndarray:
        """Coordinates (3, k, j, i) of the voxel centers, mm."""
        k, j, i = (np.arange(n, dtype=np.float32) for n in self.shape)
        m = self.matrix.astype(np.float32)
        out = np.empty((3, *self.shape), np.float32)
        for row in range(3):
            plane = m[row, 0] * i[None, :] + m[row, 1] * j[:, None] + m[row, 3]
            np.add(plane[None], (m[row, 2] * k)[:, None, None], out=out[row])
        return out

    def crop(self, slices: Slices) -> Grid:
        """The part of the grid under `slices` (k, j, i)."""
        start = np.array([s.start for s in reversed(slices)], float)
        matrix = self.matrix.copy()
        matrix[:3, 3] += matrix[:3, :3] @ start
        return Grid(tuple(s.stop - s.start for s in slices), matrix)

    def box(self, low, high, margin: float = 0.0) -> Slices | None:
        """Slices (k, j, i) that hold the box from `low` to `high` (mm) and `margin` around it; None when outside."""
        low, high = np.asarray(low, float) - margin, np.asarray(high, float) + margin
        corners = np.array([[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])])
        ijk = (corners - self.matrix[:3, 3]) @ np.linalg.inv(self.matrix[:3, :3]).T
        first = np.maximum(np.floor(ijk.min(0)), 0).astype(int)
        last = np.minimum(np.ceil(ijk.max(0)) + 1, self.shape[::-1]).astype(int)
        if np.any(last <= first):
            return None
        return tuple(slice(int(a), int(b)) for a, b in zip(first[::-1], last[::-1], strict=True))


class RandomField:
    """A smooth stationary random field of unit variance: a sum of plane waves of random direction, phase and length.

    On a grid each wave is a product of three one-dimensional waves, so a field is one matrix product. Its value at a
    point does not depend on the grid.
    """

    def __init__(
        self, rng: np.random.Generator, wavelengths: tuple[float, float], waves: int = 32, flatten_z: float = 1.0
    ):
        direction = rng.standard_normal((waves, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        self.vectors = direction * (2 * np.pi / rng.uniform(*wavelengths, waves))[:, None]
        self.phases = rng.uniform(0, 2 * np.pi, waves)
        self._plane: tuple[tuple, np.ndarray | None] = ((), None)

    def on(self, grid: Grid) -> np.ndarray:
        """Values (k, j, i) on `grid`."""
        steps = self.vectors @ grid.matrix[:3, :3]
        offset = self.vectors @ grid.matrix[:3, 3] + self.phases
        nk, nj, ni = grid.shape
        in_k = np.exp(1j * (steps[:, 2, None] * np.arange(nk) + offset[:, None])).astype(np.complex64)
        key = (nj, ni, steps.tobytes())
        if self._plane[0] != key:  # the slabs of one volume share it
            in_i = np.exp(1j * steps[:, 0, None] * np.arange(ni)).astype(np.complex64)
            in_j = np.exp(1j * steps[:, 1, None] * np.arange(nj)).astype(np.complex64)
            plane = (in_j[:, :, None] * in_i[:, None, :]).reshape(len(offset), -1)
            self._plane = (key, np.concatenate([plane.real, plane.imag]))
        left = np.concatenate([in_k.real, -in_k.imag]).T * np.float32(np.sqrt(2 / len(offset)))
        return (left @ self._plane[1]).reshape(grid.shape)


def coverage(distance: np.ndarray, edge: float) -> np.ndarray:
    """Share of a voxel inside: 1 deeper than half an `edge` (mm), 0 beyond it, linear between."""
    return np.clip(0.5 - distance / np.float32(edge), 0, 1)


def ellipsoid(p: np.ndarray, center, radii, rotation: np.ndarray | None = None) -> np.ndarray:
    """First-order distance to an ellipsoid; `rotation` (3, 3) takes the anatomy's axes to the ellipsoid's."""
    q = [p[a] - np.float32(center[a]) for a in range(3)]
    if rotation is not None:
        r = rotation.astype(np.float32)
        q = [r[a, 0] * q[0] + r[a, 1] * q[1] + r[a, 2] * q[2] for a in range(3)]
    q = [q[a] * np.float32(1 / radii[a]) for a in range(3)]
    k0 = np.sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2])
    q = [q[a] * np.float32(1 / radii[a]) for a in range(3)]
    k1 = np.sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2])
    return k0 * (k0 - 1) / np.maximum(k1, np.float32(1e-6))


def tube(p: np.ndarray, points, radii) -> np.ndarray:
    """Distance to a chain of round cones through `points` (n, 3) with `radii` (n)."""
    points, radii = np.asarray(points, np.float32), np.asarray(radii, np.float32)
    out = None
    for a, b, ra, rb in zip(points[:-1], points[1:], radii[:-1], radii[1:], strict=True):
        axis = b - a
        q = [p[n] - a[n] for n in range(3)]
        t = np.clip((q[0] * axis[0] + q[1] * axis[1] + q[2] * axis[2]) / np.dot(axis, axis), 0, 1)
        q = [q[n] - t * axis[n] for n in range(3)]
        d = np.sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2]) - (ra + t * (rb - ra))
        out = d if out is None else np.minimum(out, d)
    return out


def smooth_min(a: np.ndarray, b: np.ndarray, width: float) -> np.ndarray:
    """Union of two shapes with a fillet of about `width` mm."""
    h = np.maximum(np.float32(width) - np.abs(a - b), 0)
    return np.minimum(a, b) - h * h * np.float32(0.25 / width)


def smooth_max(a: np.ndarray, b: np.ndarray, width: float) -> np.ndarray:
    """Intersection of two shapes with an edge rounded over about `width` mm."""
    return -smooth_min(-a, -b, width)


def rotation(degrees) -> np.ndarray:
    """Rotation (3, 3) about x, then y, then z by `degrees` (3)."""
    a, b, c = np.deg2rad(degrees)
    rx = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    ry = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    rz = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return rz @ ry @ rx


def solve_level(
    shape: np.ndarray,
    limits: np.ndarray,
    voxel_mL: float,
    edge: float,
    target_mL: float,
    fixed: np.ndarray | None = None,
) -> float:
    """The level s at which smooth_max(shape - s, limits, 4), united with `fixed`, fills `target_mL`, or the nearest."""
    near = limits < edge + 4
    if fixed is not None:
        near |= fixed < edge
        fixed = fixed[near]
    shape, limits = shape[near], limits[near]
    low, high = float(shape.min()) - edge, float(shape.min()) + 250.0
    for _ in range(22):
        middle = 0.5 * (low + high)
        distance = smooth_max(shape - np.float32(middle), limits, 4)
        if fixed is not None:
            distance = np.minimum(distance, fixed)
        inside = coverage(distance, edge).sum(dtype=np.float64) * voxel_mL
        low, high = (middle, high) if inside < target_mL else (low, middle)
    return 0.5 * (low + high)
