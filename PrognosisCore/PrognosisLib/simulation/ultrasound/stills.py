"""Single frames of many patients in a fraction of a cine's time: only a slab around the scan plane is drawn.

Skin and ribs, which decide where the probe stands, are looked up in a coarse map of the whole patient. A slab is thick
enough for what is smoothed or measured in three dimensions, so a still is a frame that a sweep would have shown, but
for the frame before it, which persistence would blend in.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..shapes import Grid
from .formation import Beamformer, LiverState, Machine, form_frame, to_gray
from .medium import STEP_MM, Medium, whole_grid
from .probe import ConvexProbe, Pose, ScanConverter, ScreenGeometry
from .recording import Frame, on_screen
from .sweep import Sweep

COARSE_MM = 5.0
HALF_THICK_MM, RIM_MM = 14.0, 8.0


def slab_around(pose: Pose, probe: ConvexProbe, motion: np.ndarray, step_mm: float | None = None) -> Grid:
    """The cubes of `step_mm`, or STEP_MM, that a frame needs: i along the lateral axis, j in the depth, k across."""
    step_mm = step_mm or STEP_MM
    half = np.deg2rad(probe.half_angle)
    wide = (probe.radius_mm + probe.depth_mm) * np.sin(half) + RIM_MM
    above = probe.radius_mm * (1 - np.cos(half)) + RIM_MM
    extent = np.array([2 * wide, above + probe.depth_mm + RIM_MM, 2 * HALF_THICK_MM])
    axes = np.stack([pose.lateral, pose.forward, np.cross(pose.lateral, pose.forward)], axis=1)
    matrix = np.eye(4)
    matrix[:3, :3] = axes * step_mm
    matrix[:3, 3] = pose.face - motion - axes @ np.array([wide, above, HALF_THICK_MM])
    return Grid(tuple(int(n) + 1 for n in np.ceil(extent / step_mm)[::-1]), matrix)


def record_still(
    medium_on: Callable[[Grid], Medium],
    state: LiverState,
    probe: ConvexProbe,
    machine: Machine,
    sweep: Sweep,
    screen: ScreenGeometry,
    progress: float,
    duration_s: float,
    seed: int,
) -> Frame:
    """One frame of a sweep.

    Args:
        medium_on: makes the patient on a grid.
        progress: 0 for the sweep's first frame, 1 for its last.
    """
    poses, motion = sweep.poses(medium_on(whole_grid(COARSE_MM)), 33, duration_s)
    number = round(32 * progress)
    medium = medium_on(slab_around(poses[number], probe, motion[number]))
    rng = np.random.default_rng([seed, 71, number])
    polar = form_frame(medium, state, Beamformer(probe, machine), poses[number], motion[number], rng)
    return on_screen(to_gray(polar.decibel, machine), polar, ScanConverter(probe, screen))
