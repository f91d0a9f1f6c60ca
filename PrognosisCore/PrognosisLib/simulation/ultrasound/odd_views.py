"""Scans that nobody would choose, in surroundings of other brightness: they teach networks what is no liver."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .formation import LiverState, Machine
from .probe import ConvexProbe
from .scanners import SCANNERS, draw_scan
from .sweep import Sweep, Window
from .tissues import TISSUES


def odd_scan(
    seed: int, number: int, state: LiverState, backscatter: float
) -> tuple[ConvexProbe, Machine, Sweep, LiverState]:
    """View `number` of the patient `seed`: another machine and window, and the liver's state with its surroundings.

    Args:
        backscatter: dB of the liver, around which it is drawn.
    """
    rng = np.random.default_rng([seed, 84, number])
    probe, machine = draw_scan(str(rng.choice(list(SCANNERS))), rng)
    machine = replace(machine, gain=machine.gain + float(rng.normal(0, 4)), noise=float(rng.normal(-68, 7)))
    toward = np.array([rng.uniform(-0.2, 1.0), rng.uniform(0.1, 1.0), rng.normal(-0.1, 0.35)])
    right = rng.standard_normal(3)
    window = Window(tuple(rng.normal((55, 0, 20), (38, 22, 38))), tuple(toward), tuple(right), 0.0, 0.0)
    state = replace(
        state,
        backscatter=backscatter + float(rng.normal(0, 2)),
        around=tuple(float(a) for a in rng.normal(-2, 6, len(TISSUES))),
        around_attenuation=tuple(float(a) for a in rng.exponential(0.3, len(TISSUES))),
        even_around=float(rng.choice([0.0, rng.uniform()])),
    )
    return probe, machine, Sweep(window, tremor_mm=0.0, tremor_degrees=0.0, breathing_mm=0.0), state
