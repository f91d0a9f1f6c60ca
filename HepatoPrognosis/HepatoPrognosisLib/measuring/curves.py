"""Charts of a patient: survival by each model and in the risk groups, death and transplantation in the own one."""

from __future__ import annotations

import numpy as np

from PrognosisLib.findings import Curve

from ..labels import GROUPS, IN_TEXT, LAST_DAY, MODELS
from .outlook import Patient, best_model, own_group, survival
from .readout import HepatoReadout

SURVIVAL, RISK_GROUPS, COMPETING = "Survival", "Survival of the risk groups", "Death and transplantation"
X_LABEL = "Days after T0"


def survival_curves(patient: Patient, readout: HepatoReadout) -> tuple[Curve, ...]:
    """One for each model that can be used, with its interval; the most complete one is the patient's own."""
    days = np.arange(0.0, LAST_DAY + 1)
    best, curves = best_model(patient, readout), []
    for name in MODELS:
        model = readout.models[name]
        if patient.lacks(name, model):
            continue
        curve, lower, upper = survival(patient, model, days)
        curves.append(
            Curve(
                SURVIVAL,
                f"This patient, {IN_TEXT[name]}",
                days,
                curve,
                X_LABEL,
                "Survival without transplant",
                lower,
                upper,
                step=True,
                emphasized=name == best,
                simulated=readout.simulated,
            )
        )
    return tuple(curves)


def group_curves(patient: Patient, readout: HepatoReadout) -> tuple[Curve, ...]:
    """Kaplan-Meier curves of the risk groups by the most complete model, and what competes in the patient's group."""
    found = own_group(patient, readout)
    if found is None:
        return ()
    variant, own, _ = found
    groups = readout.groups[variant]
    lines = [
        (
            RISK_GROUPS,
            f"{group.capitalize()} risk, n = {groups[group].n}",
            "Survival",
            groups[group].survival,
            group == own,
        )
        for group in GROUPS
    ]
    lines += [
        (COMPETING, f"{what}, {own} risk, n = {groups[own].n}", "Share of patients", band, what == "Died")
        for what, band in (("Died", groups[own].died), ("Transplanted", groups[own].transplanted))
    ]
    return tuple(
        Curve(
            chart,
            title,
            readout.days,
            band.value,
            X_LABEL,
            y_label,
            band.lower,
            band.upper,
            step=True,
            emphasized=emphasized,
            simulated=readout.simulated,
        )
        for chart, title, y_label, band, emphasized in lines
    )
