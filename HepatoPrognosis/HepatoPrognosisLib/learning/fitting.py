"""The three Cox models of a cohort, their risk groups and what a nomogram needs: all of models/prognosis.json."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas

from PrognosisLib.errors import InputError
from PrognosisLib.evaluation.survival import kaplan_meier
from PrognosisLib.risk import CoxModel, Predictor
from PrognosisLib.risk.fitting import fit_cox, forward_selection_cox

from ..labels import GROUPS, HORIZON_DAYS, IN_TEXT, LAST_DAY, MODELS, SECOND_DAY
from ..measuring.readout import Band, HepatoReadout, RiskGroup
from ..predictors import CANDIDATES, SIAMESE, SIAMESE_CHANGE

P_TO_ENTER = 0.05
USUAL = (1.0, 99.0)  # percentiles of the cohort: ends of a predictor's usual range
SMALLEST_GROUP = 10
DAYS = np.arange(0.0, LAST_DAY + 1)
SELECTION = (
    f"forward selection by likelihood-ratio tests, p < {P_TO_ENTER:g} to enter, from {len(CANDIDATES)} candidates"
)


def fit_readout(
    table: pandas.DataFrame, cohort: Mapping[str, Any], provenance: Mapping[str, Any] | None = None
) -> HepatoReadout:
    """Select clinical predictors, fit the three models and describe their risk groups.

    Clinical: the candidates that forward selection chooses (no reading of the network is looked at). Siamese: the
    network's two readings. Combined: all of these. Death is the event; transplanted patients are censored.

    Args:
        table: as outcomes_table makes it, with readings. Patients who lack a value are left out of the fit, and a
            candidate that more than half of them lack is no candidate.
        cohort: {"name": text, "simulated": bool}.

    Raises:
        InputError: too few deaths for the candidates, none of whom is chosen, or a group without patients.
    """
    complete = complete_rows(table, (*SIAMESE, *candidates_of(table)))
    if not len(complete):
        raise InputError("no patient of the cohort has both readings and all clinical values; complete some of them.")
    selected = select_clinical(table, complete)
    chosen = tuple(one for one, _ in selected)
    notes = {
        **(provenance or {}),
        "selection": {"rule": SELECTION, "p": {one.name: float(f"{p:.3g}") for one, p in selected}},
        "left_out": len(table) - len(complete),
    }
    predictors = {"clinical": chosen, "siamese": SIAMESE, "combined": (*SIAMESE, *chosen)}
    models = {name: _fit(complete, name, predictors[name], cohort, notes) for name in MODELS}
    cuts, groups = {}, {}
    for name, chance in predictions(models, complete).items():
        low, high = (float(end) for end in np.quantile(chance, (1 / 3, 2 / 3)))
        cuts[name] = (low, high)
        place = (chance >= low).astype(int) + (chance >= high)
        groups[name] = {group: _group(complete[place == number], group) for number, group in enumerate(GROUPS)}
    ranges = {one.name: _usual(complete[one.name].to_numpy()) for one in (*SIAMESE, *chosen)}
    return HepatoReadout(models, ranges, cuts, groups, DAYS, bool(cohort["simulated"]))


def complete_rows(table: pandas.DataFrame, predictors: Sequence[Predictor]) -> pandas.DataFrame:
    """The rows that have all of these, with a column "died"."""
    complete = table.dropna(subset=[one.name for one in predictors])
    return complete.assign(died=(complete["status"] == 1).astype(int))


def select_clinical(table: pandas.DataFrame, complete: pandas.DataFrame) -> list[tuple[Predictor, float]]:
    """The clinical model's predictors with their p values, chosen on the complete rows of a table.

    Raises:
        InputError: too few deaths for the candidates, or none of them is chosen.
    """
    selected = forward_selection_cox(complete, "days", "died", candidates_of(table), P_TO_ENTER)
    if not selected:
        raise InputError("no clinical value tells of survival in this cohort, so there is no clinical model.")
    return selected


def candidates_of(table: pandas.DataFrame) -> list[Predictor]:
    """The candidates that differ between patients and that at least half of them have."""
    return [one for one in CANDIDATES if table[one.name].nunique() > 1 and table[one.name].notna().mean() > 0.5]


def _fit(
    table: pandas.DataFrame,
    name: str,
    predictors: Sequence[Predictor],
    cohort: Mapping[str, Any],
    provenance: Mapping[str, Any],
) -> CoxModel:
    return fit_cox(
        table,
        "days",
        "died",
        predictors,
        name=IN_TEXT[name],
        outcome="death without a transplant, days after T0, of patients alive on day 5",
        cohort=cohort,
        times=np.arange(SECOND_DAY, LAST_DAY + 1),
        time_unit="days",
        provenance=provenance,
    )


def mortality_of(model: CoxModel, table: pandas.DataFrame, days: float = HORIZON_DAYS) -> np.ndarray:
    """Mortality (n,) until `days` of each row; predictors that a row lacks are estimated from those that it has."""
    names = [one.name for one in model.predictors]
    rows = table.reindex(columns=names).to_numpy(float)
    found = np.empty(len(rows))
    for number, row in enumerate(rows):
        values = {name: value for name, value in zip(names, row, strict=True) if np.isfinite(value)}
        found[number] = 1.0 - model.predict_survival(values, [days])[0][0]
    return found


def predictions(models: Mapping[str, CoxModel], table: pandas.DataFrame) -> dict[str, np.ndarray]:
    """30-day mortality (n,) by labels.VARIANTS: each model, and what two of them say as if there were no T1."""
    first_only = table.assign(**{SIAMESE_CHANGE.name: np.nan})
    found = {name: mortality_of(model, table) for name, model in models.items()}
    return found | {f"{name}_t0": mortality_of(models[name], first_only) for name in ("siamese", "combined")}


def _usual(values: np.ndarray) -> tuple[float, float]:
    low, high = (float(end) for end in np.percentile(values, USUAL))
    return (low, high) if low < high else (float(values.min()), float(values.max()))


# --- risk groups ------------------------------------------------------------------------------------------------------


def _group(table: pandas.DataFrame, name: str) -> RiskGroup:
    if len(table) < SMALLEST_GROUP:
        raise InputError(f"the {name} risk group has {len(table)} patients; add patients, {SMALLEST_GROUP} are needed.")
    days, status = table["days"].to_numpy(), table["status"].to_numpy()
    curve = kaplan_meier(days, status == 1)
    survival = Band(*(_sampled(curve.times, one) for one in (curve.survival, curve.lower, curve.upper)))
    return RiskGroup(len(table), survival, incidence(days, status, 1), incidence(days, status, 2))


def incidence(days: np.ndarray, status: np.ndarray, event: int) -> Band:
    """Cumulative incidence of one of two competing events with its 95 % interval (Aalen-Johansen, lifelines).

    lifelines parts tied times at random; the seed is fixed.

    Args:
        status: (n,) 0 censored, 1 died, 2 transplanted; event: 1 or 2.
    """
    from lifelines import AalenJohansenFitter

    if not (status == event).any():
        nothing = np.zeros(len(DAYS))
        return Band(nothing, nothing, nothing)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Tied event times")
        fitted = AalenJohansenFitter(seed=0).fit(days, status, event_of_interest=event)
    times = fitted.cumulative_density_.index.to_numpy(float)
    value = fitted.cumulative_density_.to_numpy()[:, 0]
    # lifelines gives the ends in one order for survival and in the other for incidence.
    ends = np.sort(np.nan_to_num(fitted.confidence_interval_cumulative_density_.to_numpy()), axis=1)
    lower, upper = np.minimum(ends[:, 0], value), np.maximum(ends[:, 1], value)
    return Band(*(_sampled(times, np.clip(one, 0.0, 1.0)) for one in (value, lower, upper)))


def _sampled(times: np.ndarray, values: np.ndarray) -> np.ndarray:
    """A step function on DAYS."""
    return values[np.maximum(np.searchsorted(times, DAYS, side="right") - 1, 0)]


# --- figures ----------------------------------------------------------------------------------------------------------


def with_figures(readout: HepatoReadout, figures: Mapping[str, Mapping[str, Any]]) -> HepatoReadout:
    """The readout with each model's test figures (validation.performance_of)."""
    models = {name: replace(model, performance=dict(figures[name])) for name, model in readout.models.items()}
    return replace(readout, models=models)
