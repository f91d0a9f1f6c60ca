"""Simulated patients on disk: CT, follow-up CT, truth masks, clinical values and outcomes, and the cohort file."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from PrognosisLib.cohort import write_rows
from PrognosisLib.images.writers import write_volume
from PrognosisLib.reporting.output import write_atomic
from PrognosisLib.volume import Grid

from ..definition import DEFAULT_DEFINITION
from ..labels import HEMATOMA
from ..measuring.signs import signs_of_arrays
from .bleed import EXTRA_AXIAL, sample_bleed
from .causes import ImageCauses, clinical_log_odds, draw_clinical, draw_growth, expansion_probability, going_on
from .head import HeadParameters
from .scan import ScanParameters, SimulatedHead, followup_of, simulate_head

PIXEL_MM = 0.9
TRAINING_PIXEL_MM = 1.0  # the network sees 1 mm
# Of every hundred simulated heads for training so many have no parenchymal hemorrhage, half of these another bleeding.
BLOODLESS = 24


@dataclass(frozen=True)
class SimulatedPatient:
    """One patient: first scan, follow-up (None where it was not asked for), clinical values and truth by name."""

    first: SimulatedHead
    followup: SimulatedHead | None
    clinical: dict[str, Any]
    truth: dict[str, Any]


def simulate_patient(seed: int, pixel_mm: float = PIXEL_MM, followup: bool = True) -> SimulatedPatient:
    """A patient with intracerebral hemorrhage; equal arguments give equal results."""
    rng = np.random.default_rng([seed, 21])
    head, bleed = HeadParameters.sample(rng), sample_bleed(rng)
    scan = ScanParameters.sample(rng, pixel_mm)
    first = simulate_head(head, bleed, scan, seed)
    causes = causes_of(first)
    clinical = draw_clinical(bleed.volume_ml, bleed.location, causes.ventricular > 0, rng)
    active = float(going_on(causes.log_odds(), clinical_log_odds(clinical)))
    growth = draw_growth(causes.volume_ml, active, rng)
    growth = max(growth, -0.5 * causes.volume_ml)
    truth = {
        **{f"true_{name}": round(value, 4) for name, value in asdict(causes).items()},
        "true_image_log_odds": round(causes.log_odds(), 5),
        "true_probability": round(float(expansion_probability(causes.volume_ml, active)), 5),
        "location": bleed.location,
        "growth_ml": round(growth, 4),
        "expansion": int(DEFAULT_DEFINITION.met(causes.volume_ml, causes.volume_ml + growth)),
    }
    later = None
    if followup:
        grown = bleed.grown(max(0.3, 1 + growth / max(causes.volume_ml, 0.1)))
        later = simulate_head(head, grown, followup_of(scan, rng), seed)
        truth["followup_true_ml"] = round(later.truth["hematoma"], 4)
    return SimulatedPatient(first, later, clinical, truth)


def causes_of(head: SimulatedHead) -> ImageCauses:
    """The image's causes of growth, measured on the truth mask and the image before noise."""
    mask = head.labels == HEMATOMA
    if not mask.any():
        return ImageCauses(0.5, 0.0, 1.0, 0.0, 0.0, 0.0)
    where = np.argwhere(mask)
    box = tuple(slice(int(a), int(b) + 1) for a, b in zip(where.min(axis=0), where.max(axis=0), strict=True))
    grid = Grid(mask.shape, head.ijk_to_ras).sub_grid(box)
    return ImageCauses.of(signs_of_arrays(head.clean[box], mask[box], grid), head.truth["ventricular"])


def simulate_bloodless(seed: int, pixel_mm: float = PIXEL_MM, extra_axial: bool | None = None) -> SimulatedHead:
    """A head without parenchymal hemorrhage: healthy, or (half of them by default) with extra-axial blood."""
    rng = np.random.default_rng([seed, 22])
    head, scan = HeadParameters.sample(rng), ScanParameters.sample(rng, pixel_mm)
    has_blood = rng.random() < 0.5 if extra_axial is None else extra_axial
    return simulate_head(head, None, scan, seed, str(rng.choice(EXTRA_AXIAL)) if has_blood else "")


def simulate(output: Path, cases: int = 1, seed: int = 0) -> list[Path]:
    """Write simulated patients: ct.nii.gz, labels.nii.gz, followup.nii.gz, followup_labels.nii.gz and clinical.json in
    a folder each, and cohort.csv.

    Cases that are there already are kept, so an interrupted run goes on. Case n has the seed `seed` + n.
    """
    return [write_cohort(Path(output), range(seed, seed + cases), PIXEL_MM, followup=True)]


def write_cohort(
    output: Path, seeds: range, pixel_mm: float, followup: bool, tell: Callable[[str], None] = lambda text: None
) -> Path:
    """Patients with hemorrhage; returns the cohort file."""
    rows = []
    for seed in seeds:
        name = f"simulated_{seed:05d}"
        folder = Path(output) / name
        stored = folder / "truth.json"
        if not stored.exists():
            _write_patient(folder, simulate_patient(seed, pixel_mm, followup))
            tell(name)
        truth = json.loads(stored.read_text(encoding="utf-8"))
        clinical = json.loads((folder / "clinical.json").read_text(encoding="utf-8"))
        files = {"ct": f"{name}/ct.nii.gz", "labels": f"{name}/labels.nii.gz"}
        if followup:
            files |= {"followup": f"{name}/followup.nii.gz", "followup_labels": f"{name}/followup_labels.nii.gz"}
        files["clinical"] = f"{name}/clinical.json"
        rows.append({"case": name, "patient": name, **files, "simulated": "yes", **clinical, **truth})
    return write_rows(Path(output) / "cohort.csv", rows)


def write_bloodless(output: Path, seeds: range, pixel_mm: float = TRAINING_PIXEL_MM) -> Path:
    """Heads without parenchymal hemorrhage; returns the cohort file."""
    rows = []
    for seed in seeds:
        name = f"bloodless_{seed:05d}"
        folder = Path(output) / name
        if not (folder / "ct.nii.gz").exists():
            _write_scan(folder, simulate_bloodless(seed, pixel_mm), "labels", "ct")
        rows.append({"case": name, "ct": f"{name}/ct.nii.gz", "labels": f"{name}/labels.nii.gz", "simulated": "yes"})
    return write_rows(Path(output) / "cohort.csv", rows)


def _write_patient(folder: Path, patient: SimulatedPatient) -> None:
    """Everything of one patient; truth.json comes last and marks it complete."""
    _write_scan(folder, patient.first, "labels", "ct")
    if patient.followup is not None:
        _write_scan(folder, patient.followup, "followup_labels", "followup")
    write_atomic(folder / "clinical.json", json.dumps(patient.clinical, indent=2) + "\n")
    write_atomic(folder / "truth.json", json.dumps(patient.truth, indent=2) + "\n")


def _write_scan(folder: Path, scan: SimulatedHead, labels: str, image: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_volume(scan.label_volume(), folder / f"{labels}.nii.gz")
    write_volume(scan.volume(), folder / f"{image}.nii.gz")
