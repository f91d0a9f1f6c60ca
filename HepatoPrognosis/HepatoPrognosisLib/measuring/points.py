"""Rows and chart of the nomogram: what each predictor contributes, in points, anew whenever a value changes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from PrognosisLib.findings import Curve, Measurement

from ..labels import IN_TEXT, MODELS
from ..predictors import BY_NAME, shown_value
from .nomogram import Nomogram, Part
from .outlook import Patient, best_model
from .readout import HepatoReadout

GROUP = "Contribution to the {model}"
CHART = "Nomogram"
CHART_STEPS = 61


def nomogram_of(name: str, readout: HepatoReadout) -> Nomogram:
    """The nomogram of one of the three models."""
    return Nomogram(readout.models[name], readout.ranges)


def points_rows(patient: Patient, readout: HepatoReadout, days: float) -> list[Measurement]:
    """Points of each predictor of the most complete model that can be used, and their sum; empty where none can."""
    name = best_model(patient, readout)
    if name is None:
        return []
    nomogram = nomogram_of(name, readout)
    values = patient.values_for(nomogram.model)
    parts = nomogram.parts(values)
    group, total = GROUP.format(model=IN_TEXT[name]), sum(part.points for part in parts)
    method = (
        "share of the Cox model's linear predictor; 100 points: all that the strongest predictor's usual range does"
    )
    rows = [
        Measurement(
            f"points_{part.name}",
            part.label,
            part.points,
            "points",
            method=method,
            note=_where(part),
            group=group,
            simulated=readout.simulated,
        )
        for part in parts
    ]
    mortality = 100 * float(nomogram.mortality(total, days))
    rows.append(
        Measurement(
            "points_total",
            "Total",
            total,
            "points",
            method=f"sum of the points; of {nomogram.most_points:.0f} within the usual ranges",
            note=_total_note(mortality, days, parts),
            group=group,
            simulated=readout.simulated,
        )
    )
    return rows


def _where(part: Part) -> str:
    ends = f"0 points at {shown_value(part.name, part.low)}, {part.most:.0f} at {shown_value(part.name, part.high)}"
    if part.is_given:
        return f"at {shown_value(part.name, part.value)}; {ends}" if part.name in BY_NAME else ends
    return f"not given, estimated from the others; {ends}"


def _total_note(mortality: float, days: float, parts: list[Part]) -> str:
    """The mortality of that total; it is only exact where nothing had to be estimated."""
    note = f"{days:g}-day mortality {mortality:.0f} % at these points"
    return note if all(part.is_given for part in parts) else f"{note}, what is not given taken as estimated"


def nomogram_curves(patient: Patient, readout: HepatoReadout, days: float) -> tuple[Curve, ...]:
    """Mortality against the total of points, and where the patient is on it."""
    name = best_model(patient, readout)
    if name is None:
        return ()
    nomogram = nomogram_of(name, readout)
    total = nomogram.total(patient.values_for(nomogram.model))
    x = np.linspace(min(0.0, total), max(nomogram.most_points, total), CHART_STEPS)
    here = 100 * float(nomogram.mortality(total, days))
    axes: Mapping[str, str] = {"x_label": "Total points", "y_label": f"{days:g}-day mortality (%)"}
    return (
        Curve(CHART, MODELS[name], x, 100 * nomogram.mortality(x, days), simulated=readout.simulated, **axes),
        Curve(
            CHART,
            f"This patient, {total:.0f} points",
            np.array([total, total]),
            np.array([0.0, here]),
            emphasized=True,
            simulated=readout.simulated,
            **axes,
        ),
    )
