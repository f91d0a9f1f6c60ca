"""How the classifiers see a cine: frames in time and cells in the plane; see PrognosisLib.framewise for the lattice."""

from __future__ import annotations

from PrognosisLib.framewise.lattice import SHAPE

FRAME_RATE = 8.0  # frames per second that the classifiers see
WINDOW, STRIDE = 16, 8  # of these frames
CELL = 8  # pixels of a classifier's cell along each axis
CELLS = (SHAPE[0] // CELL, SHAPE[1] // CELL)
SMALLEST_SUM = 0.5  # keeps pooled features of frames without liver near zero
