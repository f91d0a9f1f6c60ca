"""Survival and hepatic decompensation after TACE: models fitted on the simulated cohort, and how to use them.

`fit_outcomes` makes the three JSON files of the bundle's models folder. All of it is learned from simulated patients
(simulation.py): whoever shows it says "simulated cohort", unless the models were fitted anew to a user's own results
(`prognosis train spleen --from-results`). Reading and predicting need numpy only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from PrognosisLib import scores
from PrognosisLib.errors import BundleError, InputError
from PrognosisLib.risk import CoxModel, LogisticModel, Predictor

if TYPE_CHECKING:
    import pandas

PREDICTORS = (
    Predictor("log_spleen_volume", "Spleen volume", "ln mL"),
    Predictor("albi", "ALBI", ""),
    Predictor("log_platelets", "Platelets", "ln 10^9/L"),
    Predictor("log_tumor_size", "Largest tumor", "ln cm"),
    Predictor("log_tumor_number", "Number of tumors", "ln"),
    Predictor("log10_afp", "Alpha-fetoprotein", "log10 ng/mL"),
    Predictor("age", "Age", "years"),
)
FOLLOW_UP_MONTHS = 60
GROUPS_FORMAT = "prognosis survival groups 1"
GROUP_COLUMNS = ("spleen_volume_ml", "survival_months", "died")
GROUPS_STORED = 2000
SMALLEST_GROUP = 20
TEST_SEED_STEP = 1_000_003  # from the seed of the training cohort to that of the test cohort


def predictor_values(spleen_volume_ml: float, clinical: Mapping[str, Any]) -> dict[str, float]:
    """The models' predictors from the measured volume and checked clinical values; what is not known is left out.

    Raises:
        InputError: the volume is not over 0 mL.
    """
    if not 0 < spleen_volume_ml < math.inf:
        raise InputError("the risk models need a spleen volume over 0 mL; segment the spleen first.")
    values = {"log_spleen_volume": math.log(spleen_volume_ml)}
    if clinical.get("bilirubin") is not None and clinical.get("albumin") is not None:
        values["albi"] = scores.albi(clinical["bilirubin"], clinical["albumin"])
    for name, key, log in (
        ("log_platelets", "platelets", math.log),
        ("log_tumor_size", "tumor_size", math.log),
        ("log_tumor_number", "tumor_number", math.log),
        ("log10_afp", "afp", math.log10),
        ("age", "age", float),
    ):
        if clinical.get(key) is not None:
            values[name] = log(clinical[key])
    return values


def predictors_of_row(row: Mapping[str, Any]) -> dict[str, float]:
    """The same from a row of a results table with checked clinical values; {} without a spleen volume."""
    volume = row.get("spleen_volume")
    return {} if volume in (None, "") else predictor_values(float(volume), row)


def groups_of_rows(rows: Sequence[Mapping[str, Any]], models: Mapping[str, Any]) -> dict[str, Any]:
    """The "groups" for `group_curves`, from the rows that taught the models."""
    from PrognosisLib.validation.table import Table

    table, survival = Table(rows), models["survival"]
    columns = np.array([table.numbers("spleen_volume"), table.numbers("survival_months"), table.event("died")])
    known = columns[:, np.isfinite(columns).all(axis=0)][:, :GROUPS_STORED].round(1).tolist()
    return {"groups": _stored_groups(known, survival["cohort"], survival["provenance"])}


def _stored_groups(columns: Sequence[list[float]], cohort: Any, provenance: Any) -> dict[str, Any]:
    about = {"format": GROUPS_FORMAT, "cohort": cohort, "provenance": provenance, "time_unit": "months"}
    return {**about, **dict(zip(GROUP_COLUMNS, columns, strict=True))}


# --- groups -----------------------------------------------------------------------------------------------------------


class GroupCurve(NamedTuple):
    """Kaplan-Meier estimate of one group: months (t,), survival with its 95 % interval (t,), median (None when not
    reached within follow-up), number of patients."""

    months: np.ndarray
    survival: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    median: float | None
    n: int


def group_curves(cutoff_ml: float, groups: Mapping[str, Any]) -> dict[str, GroupCurve]:
    """Survival of the cohort's patients with a spleen over ("high") and up to ("low") the cut-off, every half month.

    Args:
        groups: the "groups" part of `fit_outcomes`, as read from the bundle.

    Returns:
        "high" and "low"; a group of fewer than 20 patients is left out.

    Raises:
        BundleError: `groups` is damaged.
    """
    volume, months, died = _group_data(groups)
    masks = {"high": volume > cutoff_ml, "low": volume <= cutoff_ml}
    return {
        name: _kaplan_meier(months[mask], died[mask]) for name, mask in masks.items() if mask.sum() >= SMALLEST_GROUP
    }


def _group_data(groups: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    try:
        good = groups["format"] == GROUPS_FORMAT and isinstance(groups["cohort"]["simulated"], bool)
        columns = [np.asarray(groups[key], float) for key in GROUP_COLUMNS]
        good = good and len({one.shape for one in columns}) == 1 and columns[0].ndim == 1
    except (KeyError, TypeError, ValueError):
        good = False
    if not good or not all(np.isfinite(one).all() for one in columns) or not np.isin(columns[2], (0, 1)).all():
        raise BundleError("the survival groups of the model bundle are damaged; install the bundle again.")
    return columns[0], columns[1], columns[2]


def _kaplan_meier(months: np.ndarray, died: np.ndarray) -> GroupCurve:
    """Product-limit estimate with the log(-log) interval from Greenwood's variance, on a half-month grid."""
    times, deaths = np.unique(months[died == 1], return_counts=True)
    at_risk = len(months) - np.searchsorted(np.sort(months), times, side="left")
    survival = np.cumprod(1 - deaths / at_risk)
    with np.errstate(divide="ignore", invalid="ignore"):
        greenwood = np.cumsum(deaths / (at_risk * (at_risk - deaths)))
        reach = np.exp(1.959963984540054 * np.sqrt(greenwood) / np.abs(np.log(survival)))
        lower = np.where(survival > 0, survival**reach, 0.0)
        upper = np.where(survival > 0, survival ** (1 / reach), 0.0)
    grid = np.arange(0, FOLLOW_UP_MONTHS + 0.5, 0.5)
    place = np.searchsorted(times, grid, side="right")
    sampled = [np.concatenate([[1.0], one])[place] for one in (survival, lower, upper)]
    reached = np.flatnonzero(survival <= 0.5)
    median = float(times[reached[0]]) if len(reached) and times[reached[0]] <= FOLLOW_UP_MONTHS else None
    return GroupCurve(grid, *sampled, median, len(months))


# --- fitting ----------------------------------------------------------------------------------------------------------


def _design(frame: pandas.DataFrame) -> pandas.DataFrame:
    import pandas

    rows = [predictor_values(row["spleen_volume_ml"], row) for row in frame.to_dict("records")]
    outcomes = frame[["survival_months", "died", "decompensated"]].reset_index(drop=True)
    return pandas.concat([pandas.DataFrame(rows), outcomes], axis=1)


def fit_outcomes(n: int = 10_000, seed: int = 2022, oracle_n: int = 200_000) -> dict[str, dict[str, Any]]:
    """Fit both models on `n` simulated patients and test them on others; the same call gives the same figures.

    Args:
        n: training patients; as many others, at most 4000, are the test patients.
        oracle_n: patients from which the oracle learns what features can tell.

    Returns:
        "survival" (CoxModel), "decompensation" (LogisticModel) and "groups" (for `group_curves`), JSON-able. The
        models' "performance" holds the C-index or AUC on the test patients with its 95 % interval and calibration, and
        beside it that of spleen volume alone and of the oracle: with what all features can tell, and with all causes.
    """
    from PrognosisLib.risk.fitting import fit_cox, fit_logistic

    from .simulation import COHORT_NAME, oracle, simulate_cohort

    cohort = {"name": COHORT_NAME, "simulated": True}
    provenance = {"function": "SpleenVolumeLib.outcomes.fit_outcomes", "n": n, "seed": seed, "oracle_n": oracle_n}
    train, test = simulate_cohort(n, seed), simulate_cohort(min(n, 4000), seed + TEST_SEED_STEP)
    table, unseen, bound = _design(train), _design(test), oracle(test, n=oracle_n)
    tested = {"test_cohort": COHORT_NAME, "test_n": len(test), "test_seed": seed + TEST_SEED_STEP}
    survival = fit_cox(
        table,
        "survival_months",
        "died",
        PREDICTORS,
        name="survival after TACE",
        outcome="overall survival from the CT before TACE",
        cohort=cohort,
        times=np.arange(1, FOLLOW_UP_MONTHS + 1),
        provenance=provenance,
    )
    decompensation = fit_logistic(
        table,
        "decompensated",
        PREDICTORS,
        name="decompensation after TACE",
        outcome="hepatic decompensation within 3 months of TACE",
        cohort=cohort,
        provenance=provenance,
    )
    survival = replace(survival, performance={**tested, **_survival_figures(survival, unseen, bound)})
    decompensation = replace(
        decompensation, performance={**tested, **_decompensation_figures(decompensation, unseen, bound)}
    )
    stored = train.head(GROUPS_STORED)
    groups = _stored_groups([stored[key].round(1).tolist() for key in GROUP_COLUMNS], cohort, provenance)
    return {"survival": survival.to_dict(), "decompensation": decompensation.to_dict(), "groups": groups}


def _linear(model: CoxModel | LogisticModel, table: pandas.DataFrame) -> np.ndarray:
    names = [one.name for one in model.predictors]
    return (table[names].to_numpy() - model.means) @ model.coefficients


def _survival_figures(model: CoxModel, table: pandas.DataFrame, bound: pandas.DataFrame) -> dict[str, Any]:
    from PrognosisLib.evaluation.survival import c_index

    def figure(risk: np.ndarray) -> dict[str, float]:
        return c_index(table["survival_months"], table["died"], risk, repeats=100).rounded()

    return {
        "c_index": figure(_linear(model, table)),
        "c_index_spleen_volume_alone": figure(table["log_spleen_volume"].to_numpy()),
        "c_index_oracle_features": figure(bound["known_log_hazard"].to_numpy()),
        "c_index_oracle_causes": figure(bound["causes_log_hazard"].to_numpy()),
    }


def _decompensation_figures(model: LogisticModel, table: pandas.DataFrame, bound: pandas.DataFrame) -> dict[str, Any]:
    from PrognosisLib.evaluation.calibration import brier, calibration
    from PrognosisLib.evaluation.discrimination import auc

    y = table["decompensated"].to_numpy()
    p = 1 / (1 + np.exp(-(model.intercept + _linear(model, table))))
    return {
        "auc": auc(y, p).rounded(),
        "auc_spleen_volume_alone": auc(y, table["log_spleen_volume"].to_numpy()).rounded(),
        "auc_oracle_features": auc(y, bound["known_decompensation"].to_numpy()).rounded(),
        "auc_oracle_causes": auc(y, bound["causes_decompensation"].to_numpy()).rounded(),
        "brier": round(brier(y, p), 4),
        **{f"calibration_{key}": value.rounded() for key, value in calibration(y, p).items()},
    }
