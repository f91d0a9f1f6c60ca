"""The demo case: one simulated patient on warfarin with a hemorrhage of the right putamen, and a follow-up CT.

The hematoma of 28 mL is irregular, has a black hole and islands, and has grown by 12 mL at the follow-up.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from PrognosisLib.volume import Volume

from .simulation.bleed import BleedParameters
from .simulation.head import HeadParameters
from .simulation.scan import ScanParameters, SimulatedHead, simulate_head

SEED = 20240329
FIRST_ML, LATER_ML = 28.0, 40.0
HEAD = HeadParameters(scale=(1.0, 1.01, 0.99), atrophy=0.5, skull_mm=6.5, leukoaraiosis=0.4)
BLEED = BleedParameters(
    location="putamen",
    center=(29.0, 2.0, 5.0),
    volume_ml=FIRST_ML,
    irregularity=0.7,
    buds=2,
    islands=2,
    hu=61.0,
    heterogeneity=6.0,
    black_hole=32.0,
    ventricular=0.05,
    edema_mm=3.5,
    turn=(0.0, 0.0, 12.0),
    seed=5,
)
PIXEL_MM = 0.9
SCAN = ScanParameters(
    pixel_mm=PIXEL_MM, columns=208, rows=256, turn=(6.0, 2.0, -3.0), shift=(2.0, -3.0, 1.0), noise_hu=3.0
)
LATER_SCAN = replace(
    SCAN, slice_mm=4.5, turn=(-2.0, -1.0, 6.0), shift=(-5.0, 3.0, -3.0), bottom_mm=-74.0, top_mm=83.0, noise_hu=3.6
)
CLINICAL: dict[str, Any] = {
    "age": 71,
    "sex": "male",
    "gcs": 12,
    "nihss": 14,
    "onset_to_ct": 1.5,
    "anticoagulant": "warfarin",
    "antiplatelet": False,
    "glucose": 148.0,
    "systolic_pressure": 188.0,
    "inr": 2.6,
    "prior_ich": False,
    "hypertension": True,
    "diabetes": False,
}


def scans(max_size: int | None = None) -> tuple[SimulatedHead, SimulatedHead]:
    """First scan and follow-up with their truth; `max_size` bounds columns and rows, for a quick one."""
    later = BLEED.grown(LATER_ML / FIRST_ML)
    return (
        simulate_head(HEAD, BLEED, _coarse(SCAN, max_size), SEED),
        simulate_head(HEAD, later, _coarse(LATER_SCAN, max_size), SEED),
    )


def _coarse(scan: ScanParameters, max_size: int | None) -> ScanParameters:
    """Fewer and larger pixels; these hold less noise."""
    factor = max(1.0, scan.rows / (max_size or scan.rows))
    columns, rows = int(scan.columns / factor), int(scan.rows / factor)
    return replace(scan, pixel_mm=scan.pixel_mm * factor, columns=columns, rows=rows, noise_hu=scan.noise_hu / factor)


def demo_case(max_size: int | None = None) -> tuple[dict[str, Volume], dict[str, Any]]:
    """({"ct": Volume, "followup": Volume}, clinical values)."""
    first, later = scans(max_size)
    volumes = {"ct": first.volume("Simulated head CT"), "followup": later.volume("Simulated follow-up CT")}
    return volumes, dict(CLINICAL)
