"""The frames as the networks see them: one lattice for all probes, with the middle of the face at one place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..images.cine.cine import Cine
from ..images.cine.screen import Screen
from ..volume import Grid

SHAPE = (160, 192)  # rows, columns
PIXEL_MM = 1.1
FACE = (10.0, 95.5)  # row and column of the middle of the probe's face
USUAL_DEPTH_MM = 160.0  # of a cine that does not tell the size of its pixels
GRAY_SCALE, GRAY_OFFSET = 1 / 96.0, 0.8  # from gray values 0..255 to about -0.8 to 1.9


@dataclass(frozen=True)
class FrameLattice:
    """Where the networks' lattice lies in the frames of one cine.

    Args:
        rows: (160, rows) and columns: (columns, 192) matrices that average a frame's pixels into the lattice's.
        ijk_to_ras: of the lattice (i, j, frame), in the space of Cine.grid.
        is_mm: whether the size of a pixel is known; else the sector is taken to be as deep as is usual.
    """

    rows: np.ndarray
    columns: np.ndarray
    ijk_to_ras: np.ndarray
    is_mm: bool

    @classmethod
    def of(cls, cine: Cine, screen: Screen) -> FrameLattice:
        """For a cine with its sector."""
        sector = screen.sector
        if sector.apex is not None and sector.kind == "convex":
            face = (sector.apex[1] + sector.radii[0], sector.apex[0])
            depth = sector.radii[1] - sector.radii[0]
        else:
            rows, columns = sector.box
            face, depth = (rows.start, (columns.start + columns.stop - 1) / 2), rows.stop - rows.start
        usual = USUAL_DEPTH_MM / max(float(depth), 1.0)
        pixel = cine.pixel_mm or (usual, usual)
        steps = [PIXEL_MM / mm for mm in pixel]  # frame pixels for one of the lattice
        starts = [face[axis] - FACE[axis] * steps[axis] for axis in (0, 1)]
        place = np.eye(4)
        place[0, 0], place[1, 1], place[0, 3], place[1, 3] = steps[1], steps[0], starts[1], starts[0]
        rows, columns = (averaging(SHAPE[axis], cine.frame_shape[axis], starts[axis], steps[axis]) for axis in (0, 1))
        return cls(rows, columns.T, cine.ijk_to_ras @ place, cine.pixel_mm is not None)

    def grid(self, frames: int) -> Grid:
        """The lattice with so many frames along k."""
        return Grid((frames, *SHAPE), self.ijk_to_ras)

    def cells(self, frames: int, size: int) -> Grid:
        """The lattice of cells of `size` by `size` pixels."""
        inner = np.diag([size, size, 1.0, 1.0])
        inner[:2, 3] = (size - 1) / 2
        return Grid((frames, SHAPE[0] // size, SHAPE[1] // size), self.ijk_to_ras @ inner)

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """Gray values (160, 192) float32 of a frame's (j, i)."""
        return self.rows @ frame.astype(np.float32) @ self.columns


def averaging(count: int, pixels: int, start: float, step: float) -> np.ndarray:
    """Matrix (count, pixels) that averages pixels over steps of `step`, or interpolates where that is below one."""
    centers = start + step * np.arange(count)
    reach = max(step, 1.0)
    distance = np.abs(np.arange(pixels)[None] - centers[:, None])
    # a box of the step's width, its ends softened by a pixel, or a triangle of one pixel
    weights = np.clip((reach + 1) / 2 - distance, 0, min(1.0, reach)) / reach
    return weights.astype(np.float32)


def to_input(gray: np.ndarray) -> np.ndarray:
    """Gray values 0..255 in the networks' range, float32."""
    return gray.astype(np.float32) * np.float32(GRAY_SCALE) - np.float32(GRAY_OFFSET)
