"""Simulated patients on disk: the images of T0 and T1 as DICOM, their outlines, clinical values, and the outcome."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from PrognosisLib.cohort import write_rows
from PrognosisLib.images.cine.cine import ArrayFrames, Cine, steady_times
from PrognosisLib.images.cine.writing import write_dicom
from PrognosisLib.images.writers import write_volume
from PrognosisLib.reporting.output import write_atomic
from PrognosisLib.simulation.ultrasound.probe import ScreenGeometry
from PrognosisLib.simulation.ultrasound.recording import Frame
from PrognosisLib.volume import Volume

from .causes import DIED, HORIZON_DAYS, SECOND_DAY, draw_patient, draw_seeds
from .oracle import KNOWN, expected_mortality
from .visits import draw_visits

SHAPE = (480, 640)
# Added to the seed, so that nobody is among those who teach or test a bundle.
FIRST_SEED = 50_000
ADMITTED = datetime(2026, 1, 5, 9, 30)


def simulate(output: Path, cases: int = 1, seed: int = 0) -> list[Path]:
    """Write simulated patients: t0.dcm, t1.dcm, the livers' label maps and clinical.json in a folder each, cohort.csv.

    Cases that are there already are kept, so an interrupted run goes on. Case n is the patient 50,000 + `seed` + n.
    """
    first = FIRST_SEED + seed
    return [write_cohort(Path(output), range(first, first + cases))]


def write_cohort(output: Path, seeds: Iterable[int]) -> Path:
    """Patients on disk; returns the cohort file."""
    rows = []
    for seed in seeds:
        name = f"simulated_{seed:05d}"
        folder = output / name
        stored = folder / "truth.json"
        if not stored.exists():
            _write_case(folder, seed, name)
        files = {role: f"{name}/{role}.dcm" for role in ("t0", "t1")}
        files |= {f"{role}_labels": f"{name}/{role}_labels.nii.gz" for role in ("t0", "t1")}
        truth = json.loads(stored.read_text(encoding="utf-8"))
        row = {"case": name, "patient": name, **files, "clinical": f"{name}/clinical.json", "simulated": "yes"}
        rows.append({**row, **truth})
    return write_rows(output / "cohort.csv", rows)


def _write_case(folder: Path, seed: int, name: str) -> None:
    """Everything of one patient; truth.json comes last and marks it complete."""
    folder.mkdir(parents=True, exist_ok=True)
    for role, visit, taken in zip(("t0", "t1"), draw_visits(seed), scan_days(seed), strict=True):
        screen = ScreenGeometry.around(visit.probe, SHAPE)
        frame = visit.still(screen)
        film = film_of([frame], screen, 0.0, name=f"{name} {role}", taken=taken)
        write_dicom(film, folder / f"{role}.dcm", name)
        labels = Volume(frame.liver[None].astype(np.uint8), film.ijk_to_ras, "labels")
        write_volume(labels, folder / f"{role}_labels.nii.gz")
    clinical = dict(draw_patient(seed).clinical)
    write_atomic(folder / "clinical.json", json.dumps(clinical, indent=2) + "\n")
    write_atomic(folder / "truth.json", json.dumps(truth_of(seed), indent=2) + "\n")


def film_of(frames: Sequence[Frame], screen: ScreenGeometry, duration_s: float, **more: Any) -> Cine:
    """Frames on a screen as a cine with the size of a pixel."""
    times = steady_times(len(frames), duration_s / max(len(frames) - 1, 1))
    images = ArrayFrames(np.stack([frame.gray for frame in frames]))
    return Cine(images, times, (screen.pixel_mm, screen.pixel_mm), burned_in=False, **more)


def scan_days(seed: int) -> tuple[datetime, datetime]:
    """When the images of T0 and T1 were taken."""
    first = ADMITTED + timedelta(days=seed % 300)
    return first, first + timedelta(days=SECOND_DAY, hours=1)


def truth_of(seed: int) -> dict[str, Any]:
    """Columns of the cohort file: the outcome, the best possible 30-day mortalities, and the causes."""
    patient, columns = draw_patient(seed), draw_seeds([seed])
    died, days = int(patient.status == DIED), round(patient.days, 2)
    known = died or days >= HORIZON_DAYS
    return {
        "days": days,
        "status": patient.status,
        "died": died,
        "died_30": int(died and days <= HORIZON_DAYS) if known else "",
        **{f"true_{name}": round(float(expected_mortality(columns, *what)[0]), 5) for name, what in KNOWN.items()},
        **{f"true_{name}": round(float(value), 5) for name, value in patient.truth.items()},
    }
