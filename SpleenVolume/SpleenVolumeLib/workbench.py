"""`prognosis train spleen` and `prognosis evaluate spleen`: from a cohort file to a model bundle and its figures."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from PrognosisLib.cohort import CohortCase, read_cohort, split_by_patient
from PrognosisLib.cohort_checks import refuse_shared_images
from PrognosisLib.errors import InputError
from PrognosisLib.evaluation.segmentation import dice, hausdorff95
from PrognosisLib.findings import Findings
from PrognosisLib.images.readers import read_volume
from PrognosisLib.pipeline import Case
from PrognosisLib.simulation.anatomy import LABELS
from PrognosisLib.validation.cases import clinical_values, cohort_columns, predictions_of
from PrognosisLib.validation.refitting import refit_sections
from PrognosisLib.validation.report import run_of, subject_of, write_validation
from PrognosisLib.volume import Volume

from . import network
from .endpoints import STUDY
from .patients import simulate, simulate_for_training
from .pipeline import SpleenPipeline, default_settings

__all__ = ["evaluate", "simulate", "train"]

logger = logging.getLogger(__name__)
FILES = ("ct", "labels")


def load_case(case: CohortCase) -> tuple[Volume, Volume]:
    """CT and label map of a cohort row, on one grid.

    Raises:
        InputError: the label map lies on another grid than the CT.
    """
    image, labels = read_volume(case.files["ct"], "CT"), read_volume(case.files["labels"], "labels")
    if not image.grid.same_as(labels.grid, tolerance_mm=0.1):
        raise InputError(f"Case '{case.case}': the labels lie on another grid than the CT; resample them onto the CT.")
    return image, labels


def train(
    output: Path,
    cohort: Path | None = None,
    steps: int = 4000,
    simulated: int = 40,
    seed: int = 0,
    validation: str = "",
    threads: int = 0,
    risk_patients: int = 10_000,
    patience: int = 0,
    command: Sequence[str] | None = None,
) -> list[Path]:
    """Train both networks on a cohort and simulated patients, fit the risk models, and write a model bundle.

    Work in progress lies in `<output>-training`; running the same command again resumes it.

    Args:
        output: folder of the bundle to write.
        cohort: CSV with the columns case, ct, labels (and patient, simulated); None trains on simulated patients only.
        steps: training steps of each network.
        simulated: simulated patients to add.
        validation: patients held out, separated by commas.
        threads: CPU threads; 0 leaves it to torch.
        risk_patients: simulated patients that the risk models are fitted to.
        patience: ends a network's training after so many measurements in a row without a lower loss on the patients
            held out, of which there are 40 in all steps; 0 trains to the last step.

    Returns:
        the bundle, and the learning curves of both networks.

    Raises:
        InputError: the cohort is unfit, or there is nobody for the patience to go by.
    """
    import torch

    from PrognosisLib.learning.patches import TrainingCase
    from PrognosisLib.learning.stopping import check_patience, stopping_facts

    from .packing import write_spleen_bundle
    from .training import train_stage

    if threads:
        torch.set_num_threads(threads)
    work = output.with_name(output.name + "-training")
    held = [name.strip() for name in validation.split(",") if name.strip()]
    cases, kept_out = split_by_patient(read_cohort(cohort, FILES), held, FILES[:1]) if cohort else ([], [])
    check_patience(patience, len(kept_out))
    if simulated:
        made = simulate_for_training(work / "simulated", simulated, seed + 1000)
        cases = cases + read_cohort(made, FILES)
    patients, watching = (
        [TrainingCase.from_volumes(c.case, *load_case(c), simulated=c.is_simulated) for c in part]
        for part in (cases, kept_out if patience else [])
    )
    networks, counted, endings, curves = {}, {}, {}, []
    for stage in (network.COARSE, network.FINE):
        run = train_stage(stage, patients, work / stage.name, steps, seed, watching, patience)
        counted[stage.name], endings[stage.name] = run.step, run.stopping
        curves += run.draw_curve(f"SpleenVolume, {stage.name} network", all(one.simulated for one in patients))
        networks[stage.name] = run.final_network(batches=min(60, steps))
    record = {
        "command": " ".join(command or ["prognosis", *sys.argv[1:]]),
        "seed": seed,
        "steps": counted,
        "training": [case.case for case in cases if not case.is_simulated],
        "training_simulated": sum(case.is_simulated for case in cases),
        "validation": [case.case for case in kept_out],
        **stopping_facts(endings),
    }
    return [*write_spleen_bundle(output, networks, record, kept_out, work, risk_patients), *curves]


def segment_case(pipeline: SpleenPipeline, case: CohortCase) -> tuple[dict[str, Any], Any]:
    """One row of the masks' figures, and the findings."""
    image, labels = load_case(case)
    found = pipeline.segment(Case({"ct": image}, settings=default_settings()))
    return mask_row(case, image, labels, found), found


def mask_row(case: CohortCase, image: Volume, labels: Volume, found: Findings) -> dict[str, Any]:
    """Found masks against the labels."""
    row: dict[str, Any] = {"case": case.case}
    for name, label in (("Spleen", LABELS["spleen"]), ("Liver", LABELS["liver"])):
        truth = labels.array == label
        if not truth.any():
            continue
        mask = found.mask(name)
        predicted = mask.full().astype(bool) if mask else np.zeros(truth.shape, dtype=bool)
        key = name.lower()
        row[f"{key}_true_mL"] = float(truth.sum()) * image.grid.voxel_volume_ml
        row[f"{key}_mL"] = float(predicted.sum()) * image.grid.voxel_volume_ml
        row[f"{key}_dice"] = dice(truth, predicted)
        row[f"{key}_hd95_mm"] = hausdorff95(truth, predicted, image.grid.ijk_to_ras)
        row[f"{key}_volume_error_percent"] = 100.0 * (row[f"{key}_mL"] / row[f"{key}_true_mL"] - 1.0)
        if mask is not None and mask.volume_ml is not None:
            row[f"{key}_lower_mL"], row[f"{key}_upper_mL"] = mask.volume_ml.lower, mask.volume_ml.upper
    row["seconds"] = round(sum(found.provenance["seconds"].values()), 2)
    return row


def judged_case(
    pipeline: SpleenPipeline, case: CohortCase, clinical: Mapping[str, Any] | InputError
) -> tuple[dict[str, Any], set[str]]:
    """One row of everything: masks against labels where there are some, all measurements, and the cohort's columns.

    Returns:
        the row, and its columns that come from a simulated cohort. What keeps a case from being run or measured is its
        "error"; the row then has what there is.
    """
    row: dict[str, Any] = {"case": case.case, "patient": case.patient}
    simulated: set[str] = set()
    try:
        if isinstance(clinical, InputError):
            raise clinical
        if "labels" in case.files:
            image, labels = load_case(case)
        else:
            image, labels = read_volume(case.files["ct"], "CT"), None
        given = Case({"ct": image}, clinical, default_settings())
        found = pipeline.segment(given)
        if labels is not None:
            row |= mask_row(case, image, labels, found)
        values, simulated = predictions_of(pipeline.measure(given, {mask.name: mask for mask in found.masks}))
        row |= values
    except InputError as error:
        row["error"] = str(error)
    return {**row, **cohort_columns(case, row, clinical)}, simulated


def summarize(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Mean and worst Dice, median absolute volume error, mean HD95 and interval coverage, with n.

    An organ that was not found at all has no surface: it counts in `missed`, and with Dice 0, but not in the HD95.
    """
    figures: dict[str, Any] = {}
    for organ in ("spleen", "liver"):
        dice = np.array([row[f"{organ}_dice"] for row in rows if f"{organ}_dice" in row])
        if not len(dice):
            continue
        error = np.array([abs(row[f"{organ}_volume_error_percent"]) for row in rows if f"{organ}_dice" in row])
        distance = np.array([row[f"{organ}_hd95_mm"] for row in rows if f"{organ}_dice" in row])
        found = distance[np.isfinite(distance)]
        figures[organ] = {
            "n": len(dice),
            "dice_mean": round(float(dice.mean()), 4),
            "dice_sd": round(float(dice.std(ddof=1)), 4) if len(dice) > 1 else None,
            "dice_worst": round(float(dice.min()), 4),
            "volume_error_median_percent": round(float(np.median(error)), 2),
            "hd95_mean_mm": round(float(found.mean()), 2) if len(found) else None,
            "missed": len(distance) - len(found),
        }
        covered = [
            row[f"{organ}_lower_mL"] <= row[f"{organ}_true_mL"] <= row[f"{organ}_upper_mL"]
            for row in rows
            if f"{organ}_lower_mL" in row
        ]
        if covered:
            figures[organ]["interval_covers"] = f"{sum(covered)} of {len(covered)}"
    return figures


def evaluate(output: Path, cohort: Path, bundle: Path | None = None) -> list[Path]:
    """Masks against labels and the models against outcomes, as far as the cohort has them; see docs/validation.md."""
    from PrognosisLib.systems import SYSTEMS

    system = SYSTEMS["spleen"]
    pipeline = system.make_pipeline(bundle)
    cases = read_cohort(cohort, FILES[:1], optional=(*FILES[1:], "clinical"))
    refuse_shared_images(cases, FILES[:1])
    clinical = clinical_values(system, cohort)
    rows, simulated = [], set()
    for case in cases:
        row, columns = judged_case(pipeline, case, clinical[case.case])
        logger.info("%s", row)
        rows.append(row)
        simulated |= columns
    subject = subject_of(pipeline.bundle, cases, simulated, default_settings())
    run = run_of(subject)
    extra = refit_sections(rows, STUDY, pipeline.bundle, run, system.clinical_fields)
    tables = {"cases.csv": rows}
    return write_validation(output, STUDY, rows, subject, own=summarize(rows), tables=tables, extra=extra, run=run)
