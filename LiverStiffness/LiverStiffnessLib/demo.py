"""The demo case: a simulated man of 58 with a stiff liver, T2 and T1 on different grids with a breathing shift.

MR elastography measured 4.6 kPa: nodular surface, large caudate and left lobe, a net of septa, a spleen of 520 mL and
some ascites.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from PrognosisLib.simulation.anatomy import AbdomenParameters
from PrognosisLib.volume import Volume

from .simulation.protocols import Protocol
from .simulation.scan import LiverLook, SimulatedImage, simulate_images
from .simulation.tissues import LiverState

SEED = 20250221
MEASURED_KPA = 4.6
SPLEEN_ML, LIVER_ML, ASCITES_ML = 520.0, 1380.0, 350.0
ANATOMY = AbdomenParameters(
    width_scale=1.03,
    depth_scale=1.0,
    height_scale=1.02,
    subcutaneous_fat_mm=18.0,
    visceral_fat=0.45,
    spleen_mL=SPLEEN_ML,
    liver_mL=LIVER_ML,
    lobe_shift=0.75,
    nodularity_mm=1.7,
    portal_hypertension=0.5,
    ascites_mL=ASCITES_ML,
    stomach_content="water",
)
LOOK = LiverLook(LiverState(fat=0.05, iron=0.0, t2_prolongation=0.12), texture=0.13, uneven=0.02)
BREATHING_MM = (1.0, -2.0, 9.0)
CLINICAL: dict[str, Any] = {
    "age": 58,
    "sex": "male",
    "bmi": 29.4,
    "ast": 62.0,
    "alt": 54.0,
    "platelets": 128.0,
    "albumin": 37.0,
    "diabetes": True,
    "mre_kpa": MEASURED_KPA,
}


def images(max_size: int | None = None) -> tuple[SimulatedImage, SimulatedImage]:
    """T2 and T1 with their truth; `max_size` bounds the pixels along a side, for a quick one."""
    width = 2 * (142 * ANATOMY.width_scale + 16 + ANATOMY.subcutaneous_fat_mm)
    drawn = Protocol.sample(np.random.default_rng(SEED), "A", 2019, width)
    fields = drawn.field_of_view_mm
    pixels = tuple(max(pixel, field / (max_size or 10_000)) for pixel, field in zip((1.3, 1.4), fields, strict=True))
    protocol = replace(
        drawn,
        tesla=1.5,
        t2=replace(drawn.t2, echo=82.0, fat_suppression=0.93),
        t1=replace(drawn.t1, opposed=False, fat_suppression=0.9, repetition=4.6, flip_degrees=10.0, echo=1.6),
        pixel_mm=pixels,
        step_mm=(6.5, 3.5),
        thickness_mm=(6.0, 3.5),
        noise=0.06,
        shading=0.12,
        ghost=0.0,
        breathing_mm=BREATHING_MM,
    )
    t2, t1 = simulate_images(ANATOMY, LOOK, protocol, (protocol.t2, protocol.t1), SEED)
    return t2, t1


def demo_case(max_size: int | None = None) -> tuple[dict[str, Volume], dict[str, Any]]:
    """({"t2": Volume, "t1": Volume}, clinical values)."""
    t2, t1 = images(max_size)
    named = {"t2": (t2, "Simulated T2 MRI"), "t1": (t1, "Simulated T1 MRI")}
    return {role: replace(one.volume, name=name) for role, (one, name) in named.items()}, dict(CLINICAL)
