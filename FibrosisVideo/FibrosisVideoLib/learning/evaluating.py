"""A bundle on a cohort: every cine through the pipeline, and its probabilities against the stages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from PrognosisLib.cohort import CohortCase
from PrognosisLib.evaluation.segmentation import dice
from PrognosisLib.findings import Mask
from PrognosisLib.images.cine.cine import Cine
from PrognosisLib.images.cine.reading import read_cine
from PrognosisLib.images.readers import read_volume
from PrognosisLib.pipeline import Case, run
from PrognosisLib.systems import SYSTEMS
from PrognosisLib.volume import resample

from ..labels import LIVER, MODELS, PRODUCT
from ..measuring.measurements import CHANCE
from ..settings import default_settings
from .own_cohort import clinical_of, stage_of
from .validation import figures


def evaluate_cohort(cases: Sequence[CohortCase], bundle: Path | None) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """One row a case, and the figures of all of them."""
    pipeline = SYSTEMS["fibrosis"].make_pipeline(bundle)
    rows = []
    for case in cases:
        cine = read_cine(case.files["cine"])
        found = run(pipeline, Case({"cine": cine}, {}, {**default_settings(), "heat_map": False}))
        row: dict[str, Any] = {"case": case.case, "patient": case.patient, "stage": stage_of(case)}
        for model in MODELS:
            value = found.value(CHANCE if model == PRODUCT else f"{CHANCE}_{model}")
            row[model] = "" if value is None else round(float(value) / 100.0, 5)
        mask = found.mask(LIVER)
        if "labels" in case.files and mask is not None:
            row["liver_dice"] = round(_liver_dice(case.files["labels"], mask, cine), 4)
        rows.append(row)
    chances = {model: np.array([row[model] if row[model] != "" else np.nan for row in rows]) for model in MODELS}
    points = dict.fromkeys(MODELS, pipeline.readout.decision)
    best = [str(case.values.get("true_significant", "")).strip() for case in cases]
    oracle = np.array([float(text) for text in best]) if all(best) else None
    stages = np.array([row["stage"] for row in rows])
    summary = {
        "bundle": pipeline.bundle.identity,
        "n": len(rows),
        "simulated": all(case.is_simulated for case in cases) or pipeline.readout.simulated,
        "figures": figures(chances, stages, points, oracle, [clinical_of(case) for case in cases]),
    }
    overlaps = [row["liver_dice"] for row in rows if "liver_dice" in row]
    if overlaps:
        summary["liver"] = {"n": len(overlaps), "dice_mean": round(float(np.mean(overlaps)), 4)}
    return rows, summary


def _liver_dice(labels: Path, mask: Mask, cine: Cine) -> float:
    """Overlap with the outlines of all frames, on the networks' lattice."""
    truth = read_volume(labels, "labels")
    drawn = resample(truth.array, cine.grid.ijk_to_ras, mask.grid, nearest=True)
    return dice(mask.full(), drawn)
