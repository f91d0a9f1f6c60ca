"""The demo case: a simulated man of 45 whose liver got worse from admission to day 5, filmed for 2 s each time."""

from __future__ import annotations

from typing import Any

from PrognosisLib.images.cine.cine import Cine
from PrognosisLib.simulation.ultrasound.probe import ScreenGeometry

from .simulation.causes import draw_patient
from .simulation.cohort import film_of, scan_days
from .simulation.visits import draw_visits

SEED = 2025835
FRAMES, DURATION_S = 24, 2.0
SHAPE = (600, 800)
CLINICAL: dict[str, Any] = dict(draw_patient(SEED).clinical)


def films(frames: int | None = FRAMES, shape: tuple[int, int] = SHAPE) -> dict[str, Cine]:
    """T0 and T1 as a scanner's, by role, on a screen of this shape; None makes stills, in a tenth of the time."""
    found = {}
    for role, visit, taken in zip(("t0", "t1"), draw_visits(SEED), scan_days(SEED), strict=True):
        screen = ScreenGeometry.around(visit.probe, shape)
        shown = [visit.still(screen)] if frames is None else list(visit.film(screen, frames, DURATION_S))
        name = f"Simulated liver {role.upper()}"
        found[role] = film_of(shown, screen, DURATION_S, name=name, taken=taken, patient="PatientID demo")
    return found


def demo_case(max_size: int | None = None) -> tuple[dict[str, Cine], dict[str, Any]]:
    """({"t0": Cine, "t1": Cine}, clinical values); `max_size` bounds the columns of the screen, for quick stills."""
    columns = min(SHAPE[1], max_size or SHAPE[1])
    rows = round(columns * SHAPE[0] / SHAPE[1])
    return films(FRAMES if max_size is None else None, (rows, columns)), dict(CLINICAL)
