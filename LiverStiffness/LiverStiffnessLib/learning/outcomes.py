"""Examinations with their outcome: features beside measured or simulated stiffness, ready for fitting."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from PrognosisLib.errors import InputError

from ..labels import THRESHOLDS_KPA
from ..simulation.patients import draw_examination, truth_of
from .collecting import Collected
from .ordinal_training import PatientFeatures
from .protocols import Outcomes

KPA_RANGE = (0.5, 20.0)


def simulated_values(name: str) -> dict[str, Any]:
    """The cohort columns of a simulated examination, from its name, which ends with its seed."""
    return truth_of(draw_examination(int(name.rsplit("_", 1)[1])))


def measured_kpa(values: Mapping[str, Any], case: str) -> float | None:
    """Column mre_kpa of a case; None where it is empty.

    Raises:
        InputError: it is no stiffness.
    """
    text = str(values.get("mre_kpa", "")).strip()
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not KPA_RANGE[0] <= value <= KPA_RANGE[1]:
        raise InputError(f"Case '{case}': mre_kpa is '{text}'; give kPa from {KPA_RANGE[0]:g} to {KPA_RANGE[1]:g}.")
    return value


def with_outcomes(
    found: Sequence[Collected], values: Sequence[Mapping[str, Any]]
) -> tuple[list[PatientFeatures], Outcomes]:
    """Patients with a stiffness and both sequences, and their outcomes in the same order.

    Without a column "patient" each examination is of a patient of its own. Simulated cases (column true_at_least_3) are
    labeled with what their signs make of the outcome.
    """
    patients, rows = [], []
    for one, row in zip(found, values, strict=True):
        kpa = measured_kpa(row, one.case)
        if kpa is None or set(one.slices) != {"T2", "T1"}:
            continue
        best = _oracle(row)
        expected = (kpa >= np.array(THRESHOLDS_KPA)).astype(float) if best is None else best
        patients.append(PatientFeatures(one.case, one.slices, one.covariates, expected, math.log(kpa)))
        rows.append(row)
    oracle = [_oracle(row) for row in rows]
    return patients, Outcomes(
        np.exp([one.log_kpa for one in patients]),
        np.array([_number(row.get("age")) for row in rows]),
        np.array([str(row.get("site", "") or "").strip() for row in rows]),
        np.array([_number(row.get("year")) for row in rows]),
        np.array([str(row.get("patient") or "").strip() or one.case for one, row in zip(patients, rows, strict=True)]),
        np.stack(oracle) if oracle and all(one is not None for one in oracle) else None,
    )


def _oracle(row: Mapping[str, Any]) -> np.ndarray | None:
    texts = [str(row.get(f"true_at_least_{t:g}", "")).strip() for t in THRESHOLDS_KPA]
    return np.array([float(text) for text in texts]) if all(texts) else None


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
