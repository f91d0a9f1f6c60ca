"""Figures of cases: overlap, volumes and detection of blood against labels, and what the models say of them.

Voxels with the label IGNORE count neither for nor against a mask: in derived labels it is not known what they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from PrognosisLib.cohort import CohortCase
from PrognosisLib.errors import InputError
from PrognosisLib.evaluation.discrimination import auc
from PrognosisLib.evaluation.segmentation import dice, hausdorff95
from PrognosisLib.findings import Findings, Mask
from PrognosisLib.images.readers import read_volume
from PrognosisLib.pipeline import Case, Stopwatch, silent
from PrognosisLib.slicewise.evidence import slab_areas
from PrognosisLib.validation.cases import cohort_columns, predictions_of
from PrognosisLib.volume import Volume, ras_grid, resample

from ..head.brain import STEP_MM, Brain, find_brain, is_windowed
from ..labels import EDEMA, HEMATOMA, IGNORE, VENTRICULAR
from ..measuring.abc2 import measure_abc2
from ..outcomes import expected_outcome
from ..pipeline import default_settings
from ..segmenting.segmentation import Segmented, segment_head
from ..simulation.causes import ImageCauses
from .attention_training import PatientFeatures

if TYPE_CHECKING:
    from PrognosisLib.bundles.backends import Network

    from ..pipeline import ICHPipeline

KEYS = {HEMATOMA: "hematoma", VENTRICULAR: "ventricular", EDEMA: "edema"}
SHOWS_PIXELS = 12  # a slab shows blood from so many pixels of 1 mm on


def segmented(network: Network, image: Volume, logit: float) -> Segmented:
    """The network's masks of a CT in HU, also where the checks of a run would refuse it.

    Raises:
        InputError: a whole scan without a skull.
    """
    brain = find_brain(image) if image.array.shape[0] > 1 else whole_slice(image)
    return segment_head(image, brain, network, logit, silent, Stopwatch())


def whole_slice(image: Volume) -> Brain:
    """Stands for the inside of the skull of a single slice, in which no skull can be closed: all of it."""
    grid = ras_grid(image.grid.corners_ras(), STEP_MM)
    every = np.ones(grid.shape, bool)
    return Brain(every, ~every, np.zeros(grid.shape, np.float32), grid, every, is_windowed(image.array))


def case_row(
    pipeline: ICHPipeline, case: CohortCase, clinical: Mapping[str, Any] | InputError
) -> tuple[dict[str, Any], list[dict[str, Any]], set[str]]:
    """One row of everything: masks against labels where there are some, all measurements, the cohort's columns.

    Returns:
        the row, one for each slab, and the columns that come from a simulated cohort. What keeps a case from being run
        or measured is its "error"; the row then has what there is. A single slice has no measurements.
    """
    row: dict[str, Any] = {"case": case.case, "patient": case.patient}
    slabs: list[dict[str, Any]] = []
    simulated: set[str] = set()
    try:
        if isinstance(clinical, InputError):
            raise clinical
        image = read_volume(case.files["ct"], "CT")
        found = segmented(pipeline.load_network(), image, pipeline.interval_logit)
        row["detection"] = round(float(found.detection.max()), 5)
        if "labels" in case.files:
            row, slabs = figures_of_case(case, found, image, read_volume(case.files["labels"], "labels"))
        if image.array.shape[0] > 1:
            values, simulated = predictions_of(_measured(pipeline, image, found, clinical))
            row |= {key: value for key, value in values.items() if key not in row}
    except InputError as error:
        row["error"] = str(error)
    if "true_image_log_odds" in case.values:
        row["true_image_probability"] = expected_outcome(ImageCauses.from_row(case.values))
    return {**row, **cohort_columns(case, row, clinical)}, slabs, simulated


def _measured(pipeline: ICHPipeline, image: Volume, found: Segmented, clinical: Mapping[str, Any]) -> Findings:
    """All rows of the masks, as a run would have them."""
    masks = {mask.name: mask for mask in found.masks.values()}
    hematoma = found.masks.get(HEMATOMA)
    if hematoma is not None:
        masks[hematoma.name] = replace(hematoma, evidence=found.evidence.to_json())
    return pipeline.measure(Case({"ct": image}, clinical, default_settings()), masks)


def figures_of_case(
    case: CohortCase, found: Segmented, image: Volume, labels: Volume
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """One row of figures of what was found in a case, and one for each slab."""
    row: dict[str, Any] = {"case": case.case, "patient": case.patient}
    truth = labels.array.astype(np.uint8)
    for label, key in KEYS.items():
        row |= _overlap(truth, found.masks.get(label), label, key, image)
    row["has_hematoma"] = int((truth == HEMATOMA).any())
    row["detection"] = round(float(found.detection.max()), 5)
    row["extra_axial_ml"] = round(found.extra_axial_ml, 2)
    row |= _abc2(truth, image)
    row |= {key: value for key, value in case.values.items() if key.startswith("true_") or key in OUTCOMES}
    return row, _slabs(case.case, found, labels)


OUTCOMES = ("expansion", "growth_ml")


def _overlap(truth: np.ndarray, mask: Mask | None, label: int, key: str, image: Volume) -> dict[str, Any]:
    valid = truth != IGNORE
    real = truth == label
    found = np.zeros(truth.shape, bool) if mask is None else mask.full().astype(bool) & valid
    voxel = image.grid.voxel_volume_ml
    row: dict[str, Any] = {f"{key}_true_ml": round(real.sum() * voxel, 3), f"{key}_ml": round(found.sum() * voxel, 3)}
    if real.any():
        row[f"{key}_dice"] = round(dice(found, real), 4)
        row[f"{key}_hd95_mm"] = round(hausdorff95(found, real, image.ijk_to_ras), 2)
    if mask is not None and mask.volume_ml is not None:
        row[f"{key}_lower_ml"], row[f"{key}_upper_ml"] = round(mask.volume_ml.lower, 3), round(mask.volume_ml.upper, 3)
    return row


def _abc2(truth: np.ndarray, image: Volume) -> dict[str, Any]:
    """ABC/2 of the true mask against its voxels."""
    real = Mask.from_full("Hematoma", truth == HEMATOMA, image.grid)
    return {} if real.is_empty else {"abc2_ml": round(measure_abc2(real).volume_ml, 3)}


def features_of(name: str, found: Segmented, expected: float) -> PatientFeatures:
    """What the slice attention needs of a segmented scan; a scan without hematoma gives empty slabs."""
    hematoma, blood = found.masks.get(HEMATOMA), found.masks.get(VENTRICULAR)
    areas = np.zeros(len(found.detection))
    if hematoma is not None:
        areas = slab_areas(hematoma.array, hematoma.start, hematoma.grid.ijk_to_ras, found.evidence)
    volumes = [0.0 if mask is None else mask.voxel_volume_ml for mask in (hematoma, blood)]
    return PatientFeatures(name, found.evidence.features, areas, volumes[0], volumes[1], expected)


def _slabs(name: str, found: Segmented, labels: Volume) -> list[dict[str, Any]]:
    """Probability and truth of every slab; slabs that are mostly doubtful are left out."""
    truth = resample(labels.array.astype(np.uint8), labels.ijk_to_ras, found.slices.grid, nearest=True)
    rows = []
    for k, plane in enumerate(truth):
        count, doubt = int((plane == HEMATOMA).sum()), int((plane == IGNORE).sum())
        if count >= SHOWS_PIXELS or (count == 0 and doubt < SHOWS_PIXELS):
            shows = int(count >= SHOWS_PIXELS)
            rows.append({"case": name, "slab": k, "shows": shows, "detection": round(float(found.detection[k]), 5)})
    return rows


def summarize(rows: Sequence[dict[str, Any]], slices: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Mean and worst Dice, volume errors, detection and false positives, each with n."""
    figures: dict[str, Any] = {"n": len(rows), "errors": sum("error" in row for row in rows)}
    rows = [row for row in rows if "has_hematoma" in row]
    for key in KEYS.values():
        with_it = [row for row in rows if f"{key}_dice" in row]
        if with_it:
            figures[key] = _mask_figures(with_it, key)
    withheld = [row for row in rows if not row["has_hematoma"]]
    if withheld:
        volumes = np.array([row["hematoma_ml"] for row in withheld])
        figures["without_hematoma"] = {
            "n": len(volumes),
            "with_false_positive": int((volumes > 0).sum()),
            "false_positive_ml_mean": round(float(volumes.mean()), 3),
            "false_positive_ml_most": round(float(volumes.max()), 3),
        }
    for name, group, truth in (("detection_scans", rows, "has_hematoma"), ("detection_slices", slices, "shows")):
        y = np.array([row[truth] for row in group])
        if len(y) and min(y.sum(), len(y) - y.sum()) >= 2:
            found = auc(y, np.array([row["detection"] for row in group]))
            figures[name] = {"n": len(y), "with_blood": int(y.sum()), **found.rounded()}
    return figures


def _mask_figures(rows: Sequence[dict[str, Any]], key: str) -> dict[str, Any]:
    overlap = np.array([row[f"{key}_dice"] for row in rows])
    truth = np.array([row[f"{key}_true_ml"] for row in rows])
    error = np.array([row[f"{key}_ml"] for row in rows]) - truth
    distance = np.array([row[f"{key}_hd95_mm"] for row in rows])
    figures = {
        "n": len(rows),
        "dice_mean": round(float(overlap.mean()), 4),
        "dice_sd": round(float(overlap.std(ddof=1)), 4) if len(rows) > 1 else None,
        "dice_median": round(float(np.median(overlap)), 4),
        "dice_worst": round(float(overlap.min()), 4),
        "volume_error_ml_mean": round(float(error.mean()), 3),
        "volume_error_ml_median_absolute": round(float(np.median(np.abs(error))), 3),
        "volume_error_percent_median_absolute": round(float(np.median(100 * np.abs(error) / truth)), 2),
        "hd95_mm_median": round(float(np.median(distance)), 2),
        "missed": int(np.isinf(distance).sum()),
    }
    covered = [
        row[f"{key}_lower_ml"] <= row[f"{key}_true_ml"] <= row[f"{key}_upper_ml"]
        for row in rows
        if f"{key}_lower_ml" in row
    ]
    if covered:
        figures["interval_covers"] = f"{sum(covered)} of {len(covered)}"
    if key == "hematoma":
        bedside = np.array([row["abc2_ml"] for row in rows]) - truth
        figures["abc2_error_ml_mean"] = round(float(bedside.mean()), 3)
        figures["abc2_error_percent_median"] = round(float(np.median(100 * bedside / truth)), 2)
        figures["abc2_error_percent_median_absolute"] = round(float(np.median(100 * np.abs(bedside) / truth)), 2)
    return figures
