"""Simulated examinations: patient, signs, protocol and images; on disk with the cohort file."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from PrognosisLib.cohort import write_rows
from PrognosisLib.images.writers import write_volume
from PrognosisLib.reporting.output import write_atomic
from PrognosisLib.simulation.anatomy import AbdomenParameters

from ..labels import LIVER, SPLEEN, THRESHOLDS_KPA
from .causes import Signs, draw_signs, draw_stiffness, expected_log_kpa, measure_stiffness, oracle
from .protocols import HOSPITALS, SITES, YEARS, Protocol
from .scan import LiverLook, SimulatedImage, simulate_images
from .tissues import LiverState

ADULT_SPLEEN_ML, ADULT_LIVER_ML = 190.0, 1500.0


@dataclass(frozen=True)
class Examination:
    """One patient before any image is made: who, what the liver has, and how it is examined."""

    seed: int
    age: int
    sex: str
    bmi: float
    size: float  # body's length scale, 1 for an adult
    stiffness_kpa: float
    measured_kpa: float
    signs: Signs
    protocol: Protocol
    parameters: AbdomenParameters
    look: LiverLook

    @property
    def is_child(self) -> bool:
        return self.age < 18


def draw_examination(seed: int) -> Examination:
    """A patient and the examination; equal seeds give equal ones."""
    rng = np.random.default_rng([seed, 41])
    site = str(rng.choice(SITES, p=[HOSPITALS[name].share for name in SITES]))
    year = int(rng.integers(YEARS[0], YEARS[1] + 1))
    child = bool(rng.random() < HOSPITALS[site].children)
    age = int(rng.integers(8, 18)) if child else int(np.clip(rng.normal(52, 14), 18, 88))
    stiffness = draw_stiffness(rng, child, HOSPITALS[site].diseased + 0.01 * (year - 2017))
    signs = draw_signs(stiffness, rng)
    size = float(np.interp(age, (8, 17), (0.74, 0.95)) if child else 1.0) * float(np.exp(rng.normal(0, 0.05)))
    sex = str(rng.choice(["female", "male"]))
    bmi = float(np.clip(np.exp(rng.normal(math.log(21 if child else 27.5), 0.19)), 15, 52))
    parameters = _anatomy(signs, size, bmi, rng)
    fat = float(np.clip(rng.gamma(0.8, 0.07) * (bmi / 27) ** 2 * (1 + 0.04 * (year - 2017)), 0.0, 0.4))
    iron = float(rng.beta(1, 6)) if rng.random() < 0.2 else 0.0
    look = LiverLook(
        LiverState(fat, iron, signs.t2_prolongation),
        float(np.clip(math.exp(signs.log_texture), 0.0, 0.6)),
        float(rng.uniform(0, 0.04) + 0.15 * fat),
        int(rng.poisson(1.2)) if rng.random() < 0.25 else 0,
    )
    width = 2 * (142 * parameters.width_scale + 16 + parameters.subcutaneous_fat_mm)
    protocol = Protocol.sample(rng, site, year, width)
    measured = measure_stiffness(stiffness, rng)
    return Examination(seed, age, sex, bmi, size, stiffness, measured, signs, protocol, parameters, look)


def _anatomy(signs: Signs, size: float, bmi: float, rng: np.random.Generator) -> AbdomenParameters:
    scales = [float(np.clip(size * (1 + rng.normal(0, 0.035)), 0.62, 1.2)) for _ in range(3)]
    fatness = float(np.clip((bmi - 18) / 20, 0.0, 1.5))
    ascites = float(np.exp(rng.uniform(math.log(80), math.log(2500)))) * size**3 if signs.ascites else 0.0
    return AbdomenParameters(
        *scales,
        subcutaneous_fat_mm=float(np.clip((6 + 22 * fatness) * np.exp(rng.normal(0, 0.25)), 4, 55)),
        visceral_fat=float(np.clip(0.15 + 0.5 * fatness + rng.normal(0, 0.15), 0, 1)),
        spleen_mL=float(np.clip(ADULT_SPLEEN_ML * size**3 * math.exp(signs.log_spleen), 30, 3000)),
        spleen_lobulation=float(rng.uniform() ** 2),
        liver_mL=float(np.clip(ADULT_LIVER_ML * np.prod(scales) * np.exp(rng.normal(0, 0.18)), 420, 3400)),
        left_lobe_reach=float(rng.uniform(0, 1) if rng.random() < 0.6 else 0.15),
        lobe_shift=float(np.clip(signs.lobe_shift, -0.5, 2.0)),
        nodularity_mm=float(np.clip(math.exp(signs.log_nodularity), 0.02, 6.0)),
        portal_hypertension=float(np.clip((signs.log_spleen - 0.3) / 1.2, 0, 1)),
        ascites_mL=ascites,
        breath_mm=float(rng.normal(0, 8)),
        stomach_fill=float(rng.beta(1.5, 1.8)),
        stomach_content=str(rng.choice(["water", "food", "gas"], p=[0.45, 0.35, 0.2])),
        warp_mm=float(rng.uniform(2, 5.5)),
        tilt_degrees=tuple(float(a) for a in rng.normal(0, (2, 2.5, 3))),
    )


def examine(examination: Examination, other: bool = False) -> list[SimulatedImage]:
    """T2 and T1 image (and, where asked for, one of another sequence)."""
    protocol = examination.protocol
    sequences = [protocol.t2, protocol.t1]
    if other:
        sequences.append(protocol.another(np.random.default_rng([examination.seed, 42])))
    return simulate_images(examination.parameters, examination.look, protocol, tuple(sequences), examination.seed)


def truth_of(examination: Examination) -> dict[str, Any]:
    """Columns of the cohort file: outcome, causes, and the oracle's probabilities."""
    chances = oracle(examination.signs, examination.is_child)
    return {
        "age": examination.age,
        "sex": examination.sex,
        "site": examination.protocol.site,
        "year": examination.protocol.year,
        "mre_kpa": round(examination.measured_kpa, 4),
        "true_kpa": round(examination.stiffness_kpa, 4),
        **{f"true_{name}": round(float(value), 5) for name, value in asdict(examination.signs).items()},
        "true_expected_log_kpa": round(expected_log_kpa(examination.signs, examination.is_child), 5),
        **{f"true_at_least_{t:g}": round(float(p), 5) for t, p in zip(THRESHOLDS_KPA, chances, strict=True)},
    }


def draw_clinical(examination: Examination) -> dict[str, Any]:
    """Laboratory values that go with the stiffness loosely, for the scores beside the network."""
    rng = np.random.default_rng([examination.seed, 43])
    burden = math.log(examination.stiffness_kpa / 2.2)
    spleen = examination.signs.log_spleen
    return {
        "age": examination.age,
        "sex": examination.sex,
        "bmi": round(examination.bmi, 1),
        "ast": round(float(np.clip(np.exp(rng.normal(math.log(27) + 0.55 * burden, 0.4)), 8, 800))),
        "alt": round(float(np.clip(np.exp(rng.normal(math.log(30) + 0.35 * burden, 0.5)), 6, 900))),
        "platelets": round(
            float(np.clip(np.exp(rng.normal(math.log(245) - 0.35 * burden - 0.2 * spleen, 0.22)), 20, 600))
        ),
        "albumin": round(float(np.clip(rng.normal(43 - 3.0 * burden, 3.5), 18, 55)), 1),
        "diabetes": bool(rng.random() < (0.05 if examination.is_child else 0.22)),
    }


def simulate(output: Path, cases: int = 1, seed: int = 0) -> list[Path]:
    """Write simulated examinations: t2.nii.gz, t1.nii.gz, labels.nii.gz (on the T2), clinical.json in a folder each,
    and cohort.csv.

    Cases that are there already are kept, so an interrupted run goes on. Case n has the seed `seed` + n.
    """
    return [write_cohort(Path(output), range(seed, seed + cases))]


def write_cohort(output: Path, seeds: Iterable[int]) -> Path:
    """Examinations on disk; returns the cohort file."""
    rows = []
    for seed in seeds:
        name = f"simulated_{seed:05d}"
        folder = output / name
        stored = folder / "truth.json"
        if not stored.exists():
            _write_case(folder, draw_examination(seed))
        files = {column: f"{name}/{column}.nii.gz" for column in ("t2", "t1", "labels")}
        truth = json.loads(stored.read_text(encoding="utf-8"))
        rows.append({"case": name, **files, "clinical": f"{name}/clinical.json", "simulated": "yes", **truth})
    return write_rows(output / "cohort.csv", rows)


def _write_case(folder: Path, examination: Examination) -> None:
    """Everything of one examination; truth.json comes last and marks it complete."""
    t2, t1 = examine(examination)
    folder.mkdir(parents=True, exist_ok=True)
    write_volume(t2.volume, folder / "t2.nii.gz")
    write_volume(t1.volume, folder / "t1.nii.gz")
    write_volume(t2.labels, folder / "labels.nii.gz")
    write_atomic(folder / "clinical.json", json.dumps(draw_clinical(examination), indent=2) + "\n")
    voxel_ml = t2.labels.grid.voxel_volume_ml
    sizes = {
        f"{name}_ml": round(float(np.count_nonzero(t2.labels.array == label)) * voxel_ml, 2)
        for name, label in (("liver", LIVER), ("spleen", SPLEEN))
    }
    write_atomic(folder / "truth.json", json.dumps({**truth_of(examination), **sizes}, indent=2) + "\n")
