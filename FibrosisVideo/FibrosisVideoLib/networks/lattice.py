"""The frames as the networks see them: one lattice for all probes, with the middle of the face at one place."""

from __future__ import annotations

SHAPE = (160, 192)  # rows, columns
PIXEL_MM = 1.1
FACE = (10.0, 95.5)  # row and column of the middle of the probe's face
FRAME_RATE = 8.0  # frames per second that the classifiers see
WINDOW, STRIDE = 16, 8  # of these frames
USUAL_DEPTH_MM = 160.0  # of a cine that does not tell the size of its pixels

CELL = 8  # pixels of a classifier's cell along each axis
CELLS = (SHAPE[0] // CELL, SHAPE[1] // CELL)
SMALLEST_SUM = 0.5  # keeps pooled features of frames without liver near zero
GRAY_SCALE, GRAY_OFFSET = 1 / 96.0, 0.8  # from gray values 0..255 to about -0.8 to 1.9
