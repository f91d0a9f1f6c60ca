"""Simulated patients: who, which stage, which signs, and how they are examined."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from PrognosisLib.simulation.anatomy import AbdomenParameters
from PrognosisLib.simulation.shapes import Grid
from PrognosisLib.simulation.ultrasound.formation import LiverState, Machine
from PrognosisLib.simulation.ultrasound.medium import Medium, procedural_medium
from PrognosisLib.simulation.ultrasound.odd_views import odd_scan
from PrognosisLib.simulation.ultrasound.probe import ConvexProbe, ScreenGeometry
from PrognosisLib.simulation.ultrasound.recording import Frame, record
from PrognosisLib.simulation.ultrasound.scanners import SCANNERS, draw_scan
from PrognosisLib.simulation.ultrasound.stills import record_still
from PrognosisLib.simulation.ultrasound.sweep import Sweep

from .causes import ATTENUATION_PER_DB, SPLEEN, SWE_LOG_KPA, Signs, draw_signs, draw_stage, oracle

USUAL_ATTENUATION = 0.5
STEATOSIS_SHARE = 0.4


@dataclass(frozen=True)
class Examination:
    """One patient and one cine, before any frame is made."""

    seed: int
    age: int
    sex: str
    bmi: float
    stage: int
    signs: Signs
    log_spleen: float
    steatosis_db: float
    anatomy: AbdomenParameters
    scanner: str
    probe: ConvexProbe
    machine: Machine
    sweep: Sweep
    duration_s: float

    @property
    def state(self) -> LiverState:
        """What the liver does to the sound: the signs and the steatosis."""
        signs = self.signs
        attenuation = USUAL_ATTENUATION + signs.excess_attenuation + ATTENUATION_PER_DB * self.steatosis_db
        return LiverState(
            backscatter=self.steatosis_db,
            attenuation=float(np.clip(attenuation, 0.3, 1.1)),
            texture=float(min(math.exp(signs.log_texture), 1.5)),
            capsule=0.0,
            irregular=float(min(math.exp(signs.log_irregular), 1.5)),
            walls=float(np.clip(signs.walls, -14, 6)),
        )

    def medium(self, grid: Grid | None = None) -> Medium:
        """The patient's inside, or the part of it on a grid; the same for every cine of the patient."""
        portal, blunt = math.exp(self.signs.log_portal), 1.3 / (1 + math.exp(-self.signs.logit_blunt))
        return procedural_medium(self.anatomy, self.seed, portal, blunt, grid)


def draw_examination(seed: int) -> Examination:
    """A patient and the cine; equal seeds give equal ones."""
    rng = np.random.default_rng([seed, 81])
    stage = draw_stage(rng)
    signs = draw_signs(stage, rng)
    log_spleen = float(rng.normal(SPLEEN[0][stage], SPLEEN[1]))
    bmi = float(np.clip(np.exp(rng.normal(math.log(26), 0.17)), 17, 45))
    steatosis = float(rng.gamma(2.0, 1.6)) * math.sqrt(bmi / 26) if rng.random() < STEATOSIS_SHARE else 0.0
    size = float(np.exp(rng.normal(0, 0.045)))
    anatomy = AbdomenParameters(
        *(float(np.clip(size * np.exp(rng.normal(0, 0.03)), 0.85, 1.18)) for _ in range(3)),
        subcutaneous_fat_mm=float(np.clip(4 + 0.75 * (bmi - 18) * np.exp(rng.normal(0, 0.25)), 3, 32)),
        visceral_fat=float(np.clip(0.2 + 0.025 * (bmi - 22) + rng.normal(0, 0.12), 0, 1)),
        spleen_mL=float(np.clip(190 * size**3 * math.exp(log_spleen), 40, 2000)),
        liver_mL=float(np.clip(1500 * size**3 * np.exp(rng.normal(0, 0.15)), 800, 2600)),
        left_lobe_reach=float(rng.uniform(0, 1) if rng.random() < 0.6 else 0.15),
        lobe_shift=float(np.clip(0.1 * stage + rng.normal(0, 0.15), -0.3, 1.2)),
        nodularity_mm=float(np.clip(math.exp(signs.log_nodularity), 0.02, 5.0)),
        breath_mm=float(rng.normal(-6, 8)),
        stomach_fill=float(rng.beta(1.5, 1.8)),
        stomach_content=str(rng.choice(["water", "food", "gas"], p=[0.2, 0.4, 0.4])),
        warp_mm=float(rng.uniform(2, 5.5)),
        table=False,
    )
    age, sex = int(np.clip(rng.normal(49, 13), 18, 85)), str(rng.choice(["female", "male"]))
    scanner = str(rng.choice(list(SCANNERS)))
    probe, machine = draw_scan(scanner, rng)
    return Examination(
        seed, age, sex, bmi, stage, signs, log_spleen, steatosis, anatomy, scanner, probe, machine,
        Sweep.sample(rng), float(rng.uniform(3.0, 6.0)),
    )  # fmt: skip


def another_cine(examination: Examination, number: int) -> Examination:
    """The same patient on another machine, by another operator: for training."""
    rng = np.random.default_rng([examination.seed, 82, number])
    scanner = str(rng.choice(list(SCANNERS)))
    probe, machine = draw_scan(scanner, rng)
    duration = float(rng.uniform(3.0, 6.0))
    sweep = Sweep.sample(rng)
    return replace(examination, scanner=scanner, probe=probe, machine=machine, sweep=sweep, duration_s=duration)


def odd_view(examination: Examination, number: int) -> tuple[Examination, LiverState]:
    """The same patient through a window that is not chosen well, with other surroundings: for the liver network."""
    probe, machine, sweep, state = odd_scan(examination.seed, number, examination.state, examination.steatosis_db)
    return replace(examination, probe=probe, machine=machine, sweep=sweep), state


def frames_of(
    examination: Examination, screen: ScreenGeometry, count: int, medium: Medium | None = None
) -> Iterator[Frame]:
    """The cine's frames on a screen."""
    return record(
        medium or examination.medium(),
        examination.state,
        examination.probe,
        examination.machine,
        examination.sweep,
        screen,
        count,
        examination.duration_s,
        examination.seed,
    )


def still_of(examination: Examination, screen: ScreenGeometry) -> Frame:
    """One frame of the cine, at random, for a fraction of the cine's work."""
    progress = float(np.random.default_rng([examination.seed, 85]).uniform())
    return record_still(
        examination.medium,
        examination.state,
        examination.probe,
        examination.machine,
        examination.sweep,
        screen,
        progress,
        examination.duration_s,
        examination.seed,
    )


def truth_of(examination: Examination) -> dict[str, Any]:
    """Columns of the cohort file: outcome, causes, and the oracle's probabilities."""
    stages = oracle(examination.signs)
    return {
        "age": examination.age,
        "sex": examination.sex,
        "scanner": examination.scanner,
        "stage": examination.stage,
        "significant": int(examination.stage >= 2),
        **{f"true_{name}": round(float(value), 5) for name, value in asdict(examination.signs).items()},
        "true_steatosis_db": round(examination.steatosis_db, 3),
        "true_significant": round(float(stages[2:].sum()), 5),
        **{f"true_f{number}": round(float(chance), 5) for number, chance in enumerate(stages)},
    }


def draw_clinical(examination: Examination) -> dict[str, Any]:
    """Laboratory values and shear-wave elastography that go with the stage loosely."""
    rng = np.random.default_rng([examination.seed, 83])
    burden = examination.stage / 4
    values: dict[str, Any] = {
        "age": examination.age,
        "sex": examination.sex,
        "bmi": round(examination.bmi, 1),
        "ast": round(float(np.clip(np.exp(rng.normal(math.log(29) + 0.65 * burden, 0.42)), 8, 800))),
        "alt": round(float(np.clip(np.exp(rng.normal(math.log(36) + 0.25 * burden, 0.5)), 6, 900))),
        "platelets": round(
            float(
                np.clip(np.exp(rng.normal(math.log(240) - 0.3 * burden - 0.35 * examination.log_spleen, 0.2)), 20, 600)
            )
        ),
    }
    if rng.random() < 0.8:
        mean = SWE_LOG_KPA[0][examination.stage]
        values["swe_kpa"] = round(float(np.clip(math.exp(rng.normal(mean, SWE_LOG_KPA[1])), 2.0, 60.0)), 1)
    return values
