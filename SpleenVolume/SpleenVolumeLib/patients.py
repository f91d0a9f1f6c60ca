"""Simulated patients on disk: for demonstration and teaching (`prognosis simulate spleen`), and for training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from PrognosisLib.cohort import write_rows
from PrognosisLib.images.writers import write_volume
from PrognosisLib.reporting.output import write_atomic
from PrognosisLib.simulation.anatomy import AbdomenParameters
from PrognosisLib.simulation.ct import SimulatedCT, simulate_abdomen
from PrognosisLib.volume import Volume

from .negatives import simulate_negative
from .simulation import CLINICAL, OUTCOMES, simulate_patient, simulate_row

# Training lattices are never finer than this: the networks see 1.75 mm, and drawing anatomy takes time.
TRAINING_SPACING_MM = 2.2


def simulate(output: Path, cases: int = 1, seed: int = 0) -> list[Path]:
    """Write simulated patients before TACE: ct.nii.gz, labels.nii.gz, clinical.json in a folder each, and cohort.csv.

    Cases that are there already are kept, so an interrupted run goes on. Case n has the seed `seed` + n.
    """
    output = Path(output)
    rows = []
    for number in range(cases):
        patient_seed = seed + number
        name = f"simulated_{patient_seed:04d}"
        parameters, clinical = simulate_patient(patient_seed)
        truth = simulate_row(patient_seed)
        folder = output / name
        write_atomic_case(folder, lambda p=parameters, s=patient_seed: simulate_abdomen(p, s), clinical)
        rows.append(
            {
                "case": name,
                "patient": name,
                "ct": f"{name}/ct.nii.gz",
                "labels": f"{name}/labels.nii.gz",
                "clinical": f"{name}/clinical.json",
                "simulated": "yes",
                **{key: truth[key] for key in (*CLINICAL, *OUTCOMES)},
                "spleen_volume_ml": round(truth["spleen_volume_ml"], 1),
            }
        )
    return [write_rows(output / "cohort.csv", rows)]


def simulate_for_training(output: Path, cases: int, seed: int) -> Path:
    """Random abdomens of every phase, coverage and spleen size on coarse grids, and a quarter as many scans of other
    parts of the body; returns the cohort file.
    """
    output = Path(output)
    rows = []
    for number in range(seed, seed + cases):
        parameters = AbdomenParameters.sample(np.random.default_rng([number, 7]))
        step = max(TRAINING_SPACING_MM, parameters.slice_spacing_mm)
        spacing = (TRAINING_SPACING_MM, TRAINING_SPACING_MM, step)
        name = f"simulated_{number}"
        write_atomic_case(
            output / name, lambda p=parameters, s=number, d=spacing: simulate_abdomen(p, s, spacing=d), None
        )
        rows.append({"case": name, "ct": f"{name}/ct.nii.gz", "labels": f"{name}/labels.nii.gz", "simulated": "yes"})
    for number in range(seed, seed + cases // 4):
        name = f"negative_{number}"
        if not (output / name / "ct.nii.gz").exists():
            (output / name).mkdir(parents=True, exist_ok=True)
            image = simulate_negative(number)
            write_volume(image.with_array(np.zeros(image.array.shape, np.uint8)), output / name / "labels.nii.gz")
            write_volume(image, output / name / "ct.nii.gz")
        rows.append({"case": name, "ct": f"{name}/ct.nii.gz", "labels": f"{name}/labels.nii.gz", "simulated": "yes"})
    return write_rows(output / "cohort.csv", rows)


def write_atomic_case(folder: Path, make: Any, clinical: dict[str, Any] | None) -> None:
    """Write one case unless it is complete; the CT comes last and marks it complete."""
    if (folder / "ct.nii.gz").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    image: SimulatedCT = make()
    if clinical is not None:
        write_atomic(folder / "clinical.json", json.dumps(clinical, indent=2) + "\n")
    write_volume(Volume(image.labels, image.ijk_to_ras, "labels", "labels"), folder / "labels.nii.gz")
    write_volume(Volume(image.hu, image.ijk_to_ras, "CT", "ct"), folder / "ct.nii.gz")
