"""The demo case: a simulated woman of 57 with cirrhosis (F4), a subcostal sweep of 4 seconds on 800 x 600 pixels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from PrognosisLib.images.cine.cine import ArrayFrames, Cine, Region, steady_times
from PrognosisLib.simulation.ultrasound.formation import Machine
from PrognosisLib.simulation.ultrasound.probe import ConvexProbe, ScreenGeometry
from PrognosisLib.simulation.ultrasound.sweep import WINDOWS, Sweep

from .simulation.causes import Signs
from .simulation.patients import Examination, draw_examination, frames_of

SEED, STAGE = 20260255, 4
FRAMES, RATE = 100, 25.0
QUICK_FRAMES = 12
SHAPE = (600, 800)
SIGNS = Signs(
    log_nodularity=0.55,
    log_irregular=-0.6,
    log_texture=-0.7,
    excess_attenuation=0.07,
    logit_blunt=0.6,
    walls=-6.0,
    log_portal=0.2,
)
CLINICAL: dict[str, Any] = {
    "age": 57,
    "sex": "female",
    "bmi": 27.1,
    "ast": 68.0,
    "alt": 61.0,
    "platelets": 118.0,
    "swe_kpa": 13.8,
}


def examination() -> Examination:
    """The patient; everything that is not set here is drawn."""
    drawn = draw_examination(SEED)
    anatomy = replace(
        drawn.anatomy,
        width_scale=1.0,
        depth_scale=1.0,
        height_scale=1.0,
        subcutaneous_fat_mm=9.0,
        visceral_fat=0.3,
        spleen_mL=480.0,
        liver_mL=1450.0,
        left_lobe_reach=0.4,
        lobe_shift=0.5,
        nodularity_mm=float(np.exp(SIGNS.log_nodularity)),
        breath_mm=-8.0,
    )
    return replace(
        drawn,
        age=CLINICAL["age"],
        sex=CLINICAL["sex"],
        bmi=CLINICAL["bmi"],
        stage=STAGE,
        signs=SIGNS,
        steatosis_db=1.0,
        anatomy=anatomy,
        scanner="A",
        probe=ConvexProbe(depth_mm=155.0),
        machine=Machine(gain=-4.0, dynamic_range=62.0, noise=-76.0, looks=2, persistence=0.25),
        sweep=Sweep(WINDOWS["subcostal"], breathing_mm=3.0, seed=SEED),
        duration_s=(FRAMES - 1) / RATE,
    )


def cine(frames: int = FRAMES, shape: tuple[int, int] = SHAPE) -> Cine:
    """The film as a scanner's: calibrated region, 25 frames per second; fewer frames and pixels for a quick one."""
    one = examination()
    screen = ScreenGeometry.around(one.probe, shape)
    images = np.stack([frame.gray for frame in frames_of(one, screen, frames)])
    centimeters = 3
    region = Region((0, 0, shape[1] - 1, shape[0] - 1), 1, 1, (centimeters,) * 2, (screen.pixel_mm / 10,) * 2)
    times = steady_times(frames, one.duration_s / max(frames - 1, 1))
    pixel = (screen.pixel_mm, screen.pixel_mm)
    return Cine(ArrayFrames(images), times, pixel, (region,), "Simulated liver cine", burned_in=False)


def demo_case(max_size: int | None = None) -> tuple[dict[str, Cine], dict[str, Any]]:
    """({"cine": Cine}, clinical values); `max_size` bounds the columns of the screen, for a quick one."""
    columns = min(SHAPE[1], max_size or SHAPE[1])
    rows = round(columns * SHAPE[0] / SHAPE[1])
    return {"cine": cine(FRAMES if max_size is None else QUICK_FRAMES, (rows, columns))}, dict(CLINICAL)
