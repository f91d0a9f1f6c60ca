"""Simulated patients on disk: a DICOM cine, the liver in every frame, and clinical values in a folder each."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from PrognosisLib.cohort import write_rows
from PrognosisLib.images.cine.cine import ArrayFrames, Cine, steady_times
from PrognosisLib.images.cine.writing import write_dicom
from PrognosisLib.images.writers import write_volume
from PrognosisLib.reporting.output import write_atomic
from PrognosisLib.simulation.ultrasound.probe import ScreenGeometry
from PrognosisLib.volume import Volume

from .patients import Examination, draw_clinical, draw_examination, frames_of, truth_of

SHAPE, RATE = (480, 640), 12.0


def simulate(output: Path, cases: int = 1, seed: int = 0) -> list[Path]:
    """Write simulated patients: cine.dcm, labels.nii.gz (frames along k), clinical.json in a folder each, cohort.csv.

    Cases that are there already are kept, so an interrupted run goes on. Case n has the seed `seed` + n.
    """
    return [write_cohort(Path(output), range(seed, seed + cases))]


def write_cohort(output: Path, seeds: Iterable[int]) -> Path:
    """Patients on disk; returns the cohort file."""
    rows = []
    for seed in seeds:
        name = f"simulated_{seed:05d}"
        folder = output / name
        stored = folder / "truth.json"
        if not stored.exists():
            _write_case(folder, draw_examination(seed), name)
        files = {"cine": f"{name}/cine.dcm", "labels": f"{name}/labels.nii.gz", "clinical": f"{name}/clinical.json"}
        truth = json.loads(stored.read_text(encoding="utf-8"))
        rows.append({"case": name, "patient": name, **files, "simulated": "yes", **truth})
    return write_rows(output / "cohort.csv", rows)


def _write_case(folder: Path, examination: Examination, name: str) -> None:
    """Everything of one patient; truth.json comes last and marks it complete."""
    count = round(examination.duration_s * RATE) + 1
    screen = ScreenGeometry.around(examination.probe, SHAPE)
    frames = list(frames_of(examination, screen, count))
    times = steady_times(count, examination.duration_s / max(count - 1, 1))
    pixel = (screen.pixel_mm, screen.pixel_mm)
    cine = Cine(ArrayFrames(np.stack([one.gray for one in frames])), times, pixel, name=name, burned_in=False)
    folder.mkdir(parents=True, exist_ok=True)
    write_dicom(cine, folder / "cine.dcm", name)
    liver = np.stack([one.liver for one in frames]).astype(np.uint8)
    write_volume(Volume(liver, cine.ijk_to_ras, "labels"), folder / "labels.nii.gz")
    write_atomic(folder / "clinical.json", json.dumps(draw_clinical(examination), indent=2) + "\n")
    write_atomic(folder / "truth.json", json.dumps(truth_of(examination), indent=2) + "\n")
