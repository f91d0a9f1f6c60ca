"""The two scans of a simulated patient: what the signs of causes.py look like on day 0 and on day 5.

Both show the standard plane through gallbladder and portal vein. The body is the patient's and stays; what the signs
tell of changes. The second scan is mostly done on the same machine, always with another aim, breath, gain and depth.
The coarse texture, the caliber, the fluid, the wall of the gallbladder, the surface, the size of the liver and its
brightness are drawn from the signs with the assumptions below; nothing else of the patient's illness shows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from PrognosisLib.simulation.anatomy import AbdomenParameters
from PrognosisLib.simulation.shapes import Grid
from PrognosisLib.simulation.ultrasound.formation import LiverState, Machine
from PrognosisLib.simulation.ultrasound.medium import Medium, procedural_medium
from PrognosisLib.simulation.ultrasound.probe import ConvexProbe, ScreenGeometry
from PrognosisLib.simulation.ultrasound.recording import Frame, record
from PrognosisLib.simulation.ultrasound.scanners import SCANNERS, draw_scan
from PrognosisLib.simulation.ultrasound.stills import record_still
from PrognosisLib.simulation.ultrasound.sweep import Sweep, Window

from .causes import Patient, Signs, draw_patient

NORMAL_TEXTURE, MOST_TEXTURE = 0.2, 1.5  # strength of the liver's coarse texture
USUAL_ATTENUATION, ATTENUATION_PER_DB = 0.5, 0.014
USUAL_PORTAL_MM, PORTAL_MM_PER_SCALE = 12.5, 7.0
USUAL_NODULARITY = math.log(0.7)
ML_PER_FLUID_MM = 150.0  # of ascites, for the layer on the liver
MIDDLE = 0.5  # of the sweep: where a still is taken
SAME_MACHINE_SHARE = 0.75
# Through the gallbladder's length and the portal vein, from under the costal margin; the head is on the left.
WINDOW = Window((52.0, 28.0, 2.0), (0.06, 0.92, -0.38), (0.25, 0.45, -0.86), 16.0, 4.0)


@dataclass(frozen=True)
class Visit:
    """One scan of a patient, before any frame is made."""

    seed: int
    signs: Signs
    anatomy: AbdomenParameters
    scanner: str
    probe: ConvexProbe
    machine: Machine
    sweep: Sweep
    noise_seed: int

    @property
    def state(self) -> LiverState:
        """What the liver does to the sound."""
        signs = self.signs
        return LiverState(
            backscatter=signs.echogenicity_db,
            attenuation=float(np.clip(USUAL_ATTENUATION + ATTENUATION_PER_DB * signs.echogenicity_db, 0.3, 0.9)),
            texture=min(NORMAL_TEXTURE * math.exp(signs.log_coarseness), MOST_TEXTURE),
            irregular=min(0.2 * math.exp(signs.log_nodularity), 1.2),
        )

    def medium(self, grid: Grid | None = None) -> Medium:
        """The patient's inside on that day, or the part of it on a grid."""
        signs = self.signs
        return procedural_medium(
            self.anatomy,
            self.seed,
            portal_scale=1.0 + (signs.portal_mm - USUAL_PORTAL_MM) / PORTAL_MM_PER_SCALE,
            blunt=1.3 / (1 + math.exp(-1.5 * (signs.log_nodularity - USUAL_NODULARITY))),
            grid=grid,
            wall_mm=math.exp(signs.log_wall),
            fluid_mm=signs.ascites_ml / ML_PER_FLUID_MM,
        )

    def still(self, screen: ScreenGeometry) -> Frame:
        """One frame from the middle of the sweep, for a fraction of a film's work."""
        scan = (self.state, self.probe, self.machine, self.sweep, screen)
        return record_still(self.medium, *scan, MIDDLE, 1.0, self.noise_seed)

    def film(self, screen: ScreenGeometry, frames: int, duration_s: float) -> Iterator[Frame]:
        """The whole sweep."""
        scan = (self.state, self.probe, self.machine, self.sweep, screen)
        yield from record(self.medium(), *scan, frames, duration_s, self.noise_seed)


def draw_visits(seed: int) -> tuple[Visit, Visit]:
    """The scans of T0 and T1 of the patient of causes.draw_patient(seed)."""
    patient = draw_patient(seed)
    rng = np.random.default_rng([seed, 91])
    body = _body(patient, rng)
    scanner = str(rng.choice(list(SCANNERS)))
    probe, machine = draw_scan(scanner, rng)
    first = Visit(seed, patient.first, _anatomy(body, patient.first), scanner, probe, machine, _aim(rng), 2 * seed)
    if rng.random() < SAME_MACHINE_SHARE:
        probe = replace(probe, depth_mm=float(np.clip(probe.depth_mm * np.exp(rng.normal(0, 0.05)), 120, 190)))
        machine = replace(machine, gain=machine.gain + float(rng.normal(0, 2.0)))
    else:
        scanner = str(rng.choice(list(SCANNERS)))
        probe, machine = draw_scan(scanner, rng)
    second = Visit(
        seed, patient.second, _anatomy(body, patient.second), scanner, probe, machine, _aim(rng), 2 * seed + 1
    )
    return first, second


def _aim(rng: np.random.Generator) -> Sweep:
    """An operator who looks for the standard plane, and a patient who holds the breath."""
    return Sweep(
        WINDOW,
        tuple(float(a) for a in rng.normal(0, (4, 3, 4))),
        float(rng.normal(0, 5)),
        float(rng.uniform(0.2, 0.8)),
        float(rng.uniform(0.1, 0.6)),
        float(rng.uniform(0, 4)),
        phase=float(rng.uniform()),
        seed=int(rng.integers(2**31)),
    )


def _body(patient: Patient, rng: np.random.Generator) -> AbdomenParameters:
    """What both days have in common."""
    size = math.exp(0.045 * patient.truth["body"])
    bmi = float(np.clip(np.exp(rng.normal(math.log(23.5), 0.13)), 16, 38))
    background = patient.truth["background"]
    return AbdomenParameters(
        *(float(np.clip(size * np.exp(rng.normal(0, 0.03)), 0.85, 1.18)) for _ in range(3)),
        subcutaneous_fat_mm=float(np.clip(4 + 0.75 * (bmi - 18) * np.exp(rng.normal(0, 0.25)), 3, 28)),
        visceral_fat=float(np.clip(0.2 + 0.025 * (bmi - 22) + rng.normal(0, 0.12), 0, 1)),
        spleen_mL=float(np.clip(300 * size**3 * math.exp(0.3 * background + rng.normal(0, 0.35)), 60, 2000)),
        left_lobe_reach=float(rng.uniform(0, 1) if rng.random() < 0.6 else 0.15),
        lobe_shift=float(np.clip(0.35 + 0.2 * background + rng.normal(0, 0.1), -0.3, 1.2)),
        breath_mm=float(rng.normal(-6, 6)),
        stomach_fill=float(rng.beta(1.5, 1.8)),
        stomach_content=str(rng.choice(["water", "food", "gas"], p=[0.2, 0.4, 0.4])),
        warp_mm=float(rng.uniform(2, 5.5)),
        table=False,
    )


def _anatomy(body: AbdomenParameters, signs: Signs) -> AbdomenParameters:
    """The body with what the signs of one day change."""
    return replace(
        body,
        liver_mL=float(np.clip(1500 * math.exp(signs.log_volume), 600, 2800)),
        nodularity_mm=float(np.clip(math.exp(signs.log_nodularity), 0.02, 5.0)),
        ascites_mL=float(np.clip(signs.ascites_ml, 0, 6000)),
    )
