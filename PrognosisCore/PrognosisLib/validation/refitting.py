"""Risk models fitted anew to a table of results: who can teach, the fit, and what it is worth on others.

The predictors stay those of the bundle's model. Figures come from patients whom the model never saw: held out by name,
in folds, of later years, of other sites; those on its own patients are corrected for optimism.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas

from ..bundles.bundle import Bundle
from ..clinical_fields import ClinicalField
from ..cohort_checks import check_events, check_kinds
from ..errors import InputError
from ..evaluation.calibration import calibration
from ..evaluation.discrimination import auc
from ..evaluation.estimates import Estimate
from ..evaluation.optimism import correct_optimism
from ..evaluation.protocols import FOLDS, Protocol, judge, protocols
from ..evaluation.survival import c_index, concordance
from ..risk import CoxModel, LogisticModel
from ..risk.fitting import fit_cox, fit_logistic
from .cases import typed_clinical
from .section import Run, Section
from .study import Endpoint, RiskModel, Score, Study
from .table import Table

FEWEST_JUDGED = 5  # events of a protocol's judged patients
OUTCOME, TIME = "outcome", "time"
KINDS = {"cox": CoxModel, "logistic": LogisticModel}


@dataclass(frozen=True)
class Teaching:
    """The patients that can teach a model: one row each with all predictors and the outcome.

    Args:
        model: the bundle's, whose kind, predictors and names stay.
        frame: predictors by name, "outcome", and "time" of a Cox model.
        rows: of the table.
        warnings: sentences for whoever uses the model.
    """

    endpoint: Endpoint
    model: CoxModel | LogisticModel
    frame: pandas.DataFrame
    rows: np.ndarray
    warnings: list[str] = field(default_factory=list)

    @property
    def is_survival(self) -> bool:
        return self.model.kind == "cox"

    @property
    def events(self) -> int:
        return int(self.frame[OUTCOME].sum())

    def only(self, rows: np.ndarray) -> Teaching:
        """With some of the frame's rows (indexes)."""
        return replace(self, frame=self.frame.iloc[rows].reset_index(drop=True), rows=self.rows[rows])


def teaching_of(
    table: Table, study: Study, wanted: RiskModel, bundle: Bundle, fields: Sequence[ClinicalField]
) -> Teaching:
    """The patients of a table that can teach one of the bundle's models, whether or not they suffice.

    Raises:
        InputError: the table lacks the outcome's columns.
    """
    endpoint, stored = study.endpoint(wanted.endpoint), bundle.json(wanted.name)
    model = KINDS[stored["kind"]].from_dict(stored)
    columns = [endpoint.outcome, *([endpoint.time] if model.kind == "cox" else [])]
    for column in columns:
        if column not in table:
            raise InputError(
                f"The results have no column '{column}', the outcome of {model.name}; add it, or a cohort."
            )
    values, unfit = _predictors(table, wanted, fields)
    found = pandas.DataFrame(values, columns=[one.name for one in model.predictors]).astype(float)
    found[OUTCOME] = table.event(endpoint.outcome, endpoint.at_least)
    if model.kind == "cox":
        found[TIME] = table.numbers(endpoint.time)
    complete = np.isfinite(found.to_numpy()).all(axis=1)
    if model.kind == "cox":
        complete &= found[TIME].to_numpy() > 0
    rows = np.flatnonzero(complete)
    first = np.sort(np.unique(table.patients[rows], return_index=True)[1])
    warnings = [f"{len(unfit)} cases have unfit values and do not teach (first: {unfit[0]})"] if unfit else []
    if len(rows) < len(table):
        warnings.append(_lacking(found, len(table)))
    if len(first) < len(rows):
        warnings.append(f"{len(rows) - len(first)} further cases of the same patients were left out; the first counts.")
    rows = rows[first]
    return Teaching(endpoint, model, found.iloc[rows].reset_index(drop=True), rows, warnings)


def _predictors(
    table: Table, wanted: RiskModel, fields: Sequence[ClinicalField]
) -> tuple[list[Mapping[str, float]], list[str]]:
    """Predictors of each row, {} where its values are unfit, and what is wrong with those."""
    found, unfit = [], []
    for row in table.rows:
        try:
            found.append(wanted.predictors(_values(row, fields)))
        except InputError as error:
            found.append({})
            unfit.append(str(error))
    return found, unfit


def _values(row: Mapping[str, Any], fields: Sequence[ClinicalField]) -> dict[str, Any]:
    """A row with its clinical values checked; those that are not known are left out."""
    keys = {one.key for one in fields}
    return {**{key: value for key, value in row.items() if key not in keys}, **typed_clinical(row, fields)}


def _lacking(found: pandas.DataFrame, total: int) -> str:
    missing = (~np.isfinite(found)).sum()
    named = ", ".join(f"{name} {count}" for name, count in missing.items() if count)
    complete = int(np.isfinite(found.to_numpy()).all(axis=1).sum())
    return f"{complete} of {total} cases are complete and teach; without a value: {named or 'time over 0'}."


def check_enough(teaching: Teaching) -> list[str]:
    """Refuses what cannot be fitted, with the numbers; returns a warning where events are few.

    Raises:
        InputError: nobody is left, all have the same outcome, or the events cannot bear the predictors.
    """
    model, n, events = teaching.model, len(teaching.frame), teaching.events
    count = len(model.predictors)
    if n == 0:
        raise InputError(f"No case has all that {model.name} needs: {' '.join(teaching.warnings)}")
    rarer = events if teaching.is_survival else min(events, n - events)
    if rarer == 0:
        check_kinds(events, n, teaching.endpoint.outcome, model.name)
    return check_events(rarer, count, model.name)


def fit_again(teaching: Teaching, cohort: Mapping[str, Any], provenance: Mapping[str, Any]) -> CoxModel | LogisticModel:
    """The bundle's model fitted to these patients.

    Raises:
        InputError: see fitting.py; a predictor that is the same for all, or no convergence.
    """
    model = teaching.model
    names = {"name": model.name, "outcome": model.outcome, "cohort": cohort, "provenance": provenance}
    if teaching.is_survival:
        return fit_cox(teaching.frame, TIME, OUTCOME, model.predictors, time_unit=teaching.endpoint.time_unit, **names)
    return fit_logistic(teaching.frame, OUTCOME, model.predictors, **names)


def risk_by(model: CoxModel | LogisticModel, frame: pandas.DataFrame) -> np.ndarray:
    """Of complete rows (n,): probability of a logistic model, log hazard ratio of a Cox model."""
    linear = (frame[[one.name for one in model.predictors]].to_numpy(float) - model.means) @ model.coefficients
    return linear if model.kind == "cox" else 1 / (1 + np.exp(-(model.intercept + linear)))


def worth(teaching: Teaching, risk: np.ndarray, run: Run) -> Estimate:
    """C-index or AUC of a risk for the patients of a teaching, with its interval."""
    event = teaching.frame[OUTCOME].to_numpy()
    if teaching.is_survival:
        return c_index(teaching.frame[TIME].to_numpy(), event, risk, repeats=run.repeats, seed=run.seed)
    return auc(event, risk)


# --- figures on others ------------------------------------------------------------------------------------------------


def refit_sections(
    rows: Sequence[Mapping[str, Any]], study: Study, bundle: Bundle, run: Run, fields: Sequence[ClinicalField]
) -> list[Section]:
    """A section for each model that a table's rows can fit anew: optimism-corrected figures and the protocols."""
    found, table = [], Table(rows)
    for wanted in study.models:
        endpoint = study.endpoint(wanted.endpoint)
        title = f"{endpoint.title}: model '{wanted.name}' fitted anew to this cohort"
        section = Section(replace(endpoint, key=f"{wanted.name}_refit", title=title, published=()), run)
        try:
            teaching = teaching_of(table, study, wanted, bundle, fields)
            section.remarks += [*teaching.warnings, *check_enough(teaching)]
            judge_inside(section, teaching, table, run)
        except InputError as error:
            section.remarks.append(str(error))
        found.append(section)
    return found


def judge_inside(section: Section, teaching: Teaching, table: Table, run: Run) -> dict[str, Any]:
    """Adds optimism-corrected figures and those of the protocols; returns them as JSON-able facts of a model.

    Raises:
        InputError: the model cannot be fitted.
    """
    run.say("refit")
    n, events = len(teaching.frame), teaching.events
    label = f"{teaching.model.name}, fitted anew"
    score = Score("", label)

    def fit(rows: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        model = fit_again(teaching.only(rows), {"name": "", "simulated": False}, {})
        return lambda judged: risk_by(model, teaching.frame.iloc[judged])

    def fit_and_judge(rows: np.ndarray) -> Callable[[np.ndarray], float]:
        risk = fit(rows)
        return lambda judged: _figure(teaching.only(judged), risk(judged))

    patients = table.patients[teaching.rows]
    corrected = correct_optimism(fit_and_judge, patients, run.repeats, run.seed)
    for name in ("apparent", "optimism", "corrected"):
        section.add(name, score, getattr(corrected, name), n, events)
    facts: dict[str, Any] = {"optimism_corrected": round(corrected.corrected, 4), "n": n, "events": events}
    for protocol in _protocols(teaching, table, patients, run):
        found = _out_of_sample(section, teaching, protocol, (patients, fit), run)
        if found is not None:
            facts[protocol.name] = found
    return facts


def _figure(teaching: Teaching, risk: np.ndarray) -> float:
    """C-index or AUC alone, as often as a bootstrap needs it."""
    event = teaching.frame[OUTCOME].to_numpy()
    if teaching.is_survival:
        return concordance(teaching.frame[TIME].to_numpy(), event, risk)
    return auc(event, risk).value


def _protocols(teaching: Teaching, table: Table, patients: np.ndarray, run: Run) -> list[Protocol]:
    years = table.numbers("year")[teaching.rows] if "year" in table else None
    sites = np.array(table.texts("site"))[teaching.rows] if "site" in table else None
    rarer = min(teaching.events, len(teaching.frame) - teaching.events) or teaching.events
    folds = int(np.clip(rarer // FEWEST_JUDGED, 2, FOLDS))
    return protocols(patients, years, sites, folds, run.seed)


def _out_of_sample(
    section: Section,
    teaching: Teaching,
    protocol: Protocol,
    how: tuple[np.ndarray, Callable[[np.ndarray], Callable[[np.ndarray], np.ndarray]]],
    run: Run,
) -> dict[str, Any] | None:
    """Figures of one protocol; None, and a remark, where its teachers are too few."""
    patients, fit = how
    risk = section.attempt(f"Protocol {protocol.name}", lambda: judge(protocol, patients, fit))
    if risk is None:
        return None
    seen = np.flatnonzero(np.isfinite(risk))
    judged = teaching.only(seen)
    events, n = judged.events, len(seen)
    rarer = events if teaching.is_survival else min(events, n - events)
    if rarer < FEWEST_JUDGED:
        section.remarks.append(f"Protocol {protocol.name}: {events} events of {n} judged patients are too few.")
        return None
    score = Score("", f"{teaching.model.name}, fitted anew: {protocol.name}")
    value = worth(judged, risk[seen], run)
    name = "c_index" if teaching.is_survival else "auc"
    section.add(name, score, value, n, events, note=f"judged: {protocol.judged}")
    facts: dict[str, Any] = {name: value.rounded(), "n": n, "events": events, "judged": protocol.judged}
    if not teaching.is_survival:
        for key, one in calibration(judged.frame[OUTCOME].to_numpy(), risk[seen]).items():
            section.add(f"calibration_{key}", score, one, n, events)
            facts[f"calibration_{key}"] = one.rounded()
    return facts
