"""Figures of a bundle: masks against outlines, sequence detection, and the readings on patients kept out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from PrognosisLib.evaluation.thresholds import best_point

from ..labels import SEGMENTS, THRESHOLDS_KPA
from ..measuring.ordinal import OrdinalModel
from ..measuring.readout import Readout
from .ordinal_training import PatientFeatures, score_of
from .protocols import Outcomes, figures

SMALLEST_TRUE_ML = {"liver": 1.0, "spleen": 5.0, "ascites": 50.0}


def summarize_masks(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Dice and volume errors by organ, and how often the sequence was told right."""
    found: dict[str, Any] = {"n": len(rows)}
    for name in (segment.lower() for segment in SEGMENTS.values()):
        have = [row for row in rows if row[f"{name}_true_ml"] >= SMALLEST_TRUE_ML[name]]
        if not have:
            continue
        overlaps = np.array([row[f"{name}_dice"] for row in have])
        truth = np.array([row[f"{name}_true_ml"] for row in have])
        error = 100 * (np.array([row[f"{name}_ml"] for row in have]) / truth - 1)
        found[name] = {
            "n": len(have),
            "dice_mean": round(float(overlaps.mean()), 4),
            "dice_median": round(float(np.median(overlaps)), 4),
            "dice_worst": round(float(overlaps.min()), 4),
            "volume_error_percent_median_absolute": round(float(np.median(np.abs(error))), 2),
        }
    right = sum(row["sequence_probability"] > 0.5 for row in rows)
    return {**found, "sequence_right": f"{right} of {len(rows)}"}


def choose_points(model: OrdinalModel, patients: Sequence[PatientFeatures], outcomes: Outcomes) -> np.ndarray:
    """From which probability each threshold counts as reached (t,), on the patients that the model was fitted to."""
    chances = model.probabilities(np.array([score_of(model, one) for one in patients]))
    return np.array([best_point(outcomes.reached[:, t], chances[:, t]) for t in range(len(THRESHOLDS_KPA))])


def reading_figures(
    model: OrdinalModel, points: np.ndarray, patients: Sequence[PatientFeatures], outcomes: Outcomes
) -> dict[str, Any]:
    """By threshold, see protocols.figures, with the point; beside it the coverage of the stiffness interval."""
    scores = np.array([score_of(model, one) for one in patients])
    every = np.ones(len(patients), bool)
    chances = model.probabilities(scores)
    found = figures(outcomes, chances, np.broadcast_to(points, chances.shape), every)
    for key, point in zip(found, points, strict=True):
        found[key]["point"] = round(float(point), 4)
    readings = [model.read(one.slices, one.covariates[model.sequences[0]]) for one in patients]
    inside = [
        r.kpa_interval.lower <= kpa <= r.kpa_interval.upper for r, kpa in zip(readings, outcomes.kpa, strict=True)
    ]
    apart = np.log([r.kpa for r in readings]) - np.log(outcomes.kpa)
    found["stiffness"] = {
        "n": len(readings),
        "interval_covers": f"{sum(inside)} of {len(inside)}",
        "interval_width_ratio_median": round(
            float(np.median([r.kpa_interval.upper / r.kpa_interval.lower for r in readings])), 3
        ),
        "score_error_median": round(float(np.median([r.error for r in readings])), 4),
        "error_percent_median_absolute": round(float(100 * np.median(np.abs(np.expm1(apart)))), 1),
    }
    return found


def shipped_figures(readout: Readout, patients: Sequence[PatientFeatures], outcomes: Outcomes) -> dict[str, Any]:
    """Figures of the bundle's own readings, by reading and threshold, at its own points."""
    found = {}
    for name, model in readout.models.items():
        points = np.array([readout.figure(name, t).get("point", 0.5) for t in THRESHOLDS_KPA])
        found[name] = reading_figures(model, points, patients, outcomes)
    return found
