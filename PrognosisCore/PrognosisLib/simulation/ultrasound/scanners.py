"""Scanners of three makes, and an operator's settings."""

from __future__ import annotations

import numpy as np

from .formation import Machine
from .probe import ConvexProbe

# By make: radius of the probe, half the sector, MHz, and the gray map.
SCANNERS = {
    "A": (60.0, 33.0, 3.5, 1.0),
    "B": (50.0, 36.0, 3.2, 0.85),
    "C": (64.0, 30.0, 4.0, 1.15),
}


def draw_scan(scanner: str, rng: np.random.Generator) -> tuple[ConvexProbe, Machine]:
    """Probe and settings of a scanner of that make; settings are the operator's."""
    radius, angle, frequency, gamma = SCANNERS[scanner]
    probe = ConvexProbe(radius, angle * rng.uniform(0.85, 1.1), float(rng.uniform(125, 185)), frequency)
    machine = Machine(
        gain=float(rng.normal(-6, 5)),
        dynamic_range=float(rng.uniform(52, 74)),
        tgc=float(rng.normal(0.52, 0.04)),
        tgc_bend=float(rng.normal(0, 3)),
        focus_mm=float(rng.uniform(50, 120)),
        beam_mm=float(rng.uniform(0.55, 1.0)),
        spread=float(rng.uniform(0.010, 0.022)),
        pulse_mm=float(rng.uniform(0.28, 0.5)),
        noise=float(rng.normal(-74, 4)),
        reverberation=float(rng.uniform(0.05, 0.5)),
        gamma=float(gamma * np.exp(rng.normal(0, 0.12))),
        persistence=float(rng.uniform(0.0, 0.5)),
        looks=int(rng.integers(1, 4)),
        contact=tuple(float(rng.exponential(10)) if rng.random() < 0.35 else 0.0 for _ in range(2)),
    )
    return probe, machine
