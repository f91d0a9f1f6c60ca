"""A whole cine: frames of a sweep as gray values on a screen, and the truth about every frame."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from .formation import Beamformer, LiverState, Machine, PolarFrame, form_frame, to_gray
from .medium import Medium
from .probe import ConvexProbe, ScanConverter, ScreenGeometry
from .sweep import Sweep
from .tissues import CODES

PERSISTENCE_S = 0.04


class Frame(NamedTuple):
    """Gray values (j, i) uint8, and the liver that can be seen (j, i) bool."""

    gray: np.ndarray
    liver: np.ndarray


def record(
    medium: Medium,
    state: LiverState,
    probe: ConvexProbe,
    machine: Machine,
    sweep: Sweep,
    screen: ScreenGeometry,
    count: int,
    duration_s: float,
    seed: int,
) -> Iterator[Frame]:
    """The frames of a sweep, one after the other."""
    beamformer, convert = Beamformer(probe, machine), ScanConverter(probe, screen)
    poses, motion = sweep.poses(medium, count, duration_s)
    step_s = duration_s / max(count - 1, 1)
    keep = machine.persistence ** (step_s / PERSISTENCE_S) if machine.persistence > 0 else 0.0
    kept: np.ndarray | None = None
    for number, (pose, moved) in enumerate(zip(poses, motion, strict=True)):
        polar = form_frame(medium, state, beamformer, pose, moved, np.random.default_rng([seed, 71, number]))
        gray = to_gray(polar.decibel, machine)
        kept = gray if kept is None else keep * kept + (1 - keep) * gray
        yield on_screen(kept, polar, convert)


def on_screen(gray: np.ndarray, polar: PolarFrame, convert: ScanConverter) -> Frame:
    """A frame from its gray values 0..1 (lines, samples), and the liver that sound gets to."""
    liver = (polar.tissue == CODES["liver"]) & polar.seen
    return Frame(np.rint(255 * convert(gray)).astype(np.uint8), convert.labels(liver.astype(np.uint8)) > 0)
