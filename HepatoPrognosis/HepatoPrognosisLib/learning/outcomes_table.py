"""The table that models are fitted to and judged on: predictors, Siamese readings and outcome, one row a patient.

Columns: `patient`; those of predictors.CANDIDATES, missing ones NaN; "siamese_t0" and "siamese_change" once
`with_readings` has put the network's readings in; "days" from T0 and "status" (0 censored, 1 died, 2 transplanted);
scores.ACLF_SCORES and LIVER_SCORES as "score_<key>"; of simulated patients "oracle_<what is known>", the best possible
30-day mortality.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas

from PrognosisLib.clinical import check_clinical
from PrognosisLib.clinical_fields import FIELDS, ClinicalField
from PrognosisLib.errors import InputError
from PrognosisLib.scores import ACLF_SCORES, LIVER_SCORES, score_fields, score_rows

from ..labels import LAST_DAY, SECOND_DAY
from ..predictors import CANDIDATES, SIAMESE_CHANGE, SIAMESE_T0, TERMS, clinical_predictors
from ..simulation.causes import CLINICAL, draw_cohort
from ..simulation.oracle import KNOWN, expected_mortality

SCORES = LIVER_SCORES + ACLF_SCORES
STATES = (0, 1, 2)


def draw_table(n: int, seed: int, oracles: bool = True) -> pandas.DataFrame:
    """The table of `n` simulated patients, without readings; patients are named by their row."""
    return table_of_columns(draw_cohort(n, seed), [f"simulated_{seed}_{row:05d}" for row in range(n)], oracles)


def table_of_columns(
    columns: Mapping[str, np.ndarray], patients: Sequence[str], oracles: bool = True
) -> pandas.DataFrame:
    """The table of simulated patients from the columns of causes.draw_cohort or causes.draw_seeds."""
    cases = [{key: columns[key][row].item() for key in CLINICAL} for row in range(len(patients))]
    table = _table(patients, cases, columns["days"], columns["status"])
    if oracles:
        for name, known in KNOWN.items():
            table[f"oracle_{name}"] = expected_mortality(columns, *known)
    return table


def table_of_rows(rows: Iterable[Mapping[str, Any]]) -> pandas.DataFrame:
    """The table of a cohort file's rows: `case` or `patient`, clinical values by key, `days` and `status`, as text.

    Raises:
        InputError: a value that is wrong, with the case that it belongs to.
    """
    names, cases, days, status = [], [], [], []
    fields = {one.key: one for one in (*score_fields(SCORES), *(FIELDS[term.key] for term in TERMS))}
    for row in rows:
        name = str(row.get("patient") or row.get("case") or f"row {len(names) + 1}").strip()
        try:
            values = {key: _parsed(row[key], one) for key, one in fields.items() if str(row.get(key, "")).strip()}
            cases.append(check_clinical(values, fields.values()))
            days.append(_outcome(row, "days"))
            status.append(_outcome(row, "status"))
        except InputError as error:
            raise InputError(f"Case '{name}': {error}") from None
        names.append(name)
    return _table(names, cases, np.array(days), np.array(status, int))


def _parsed(value: Any, one: ClinicalField) -> Any:
    """What `check_clinical` takes, from the text of a table's cell."""
    text = str(value).strip()
    if one.kind == "choice":
        return text
    if one.kind == "yes/no":
        known = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
        return known.get(text.lower(), text)
    try:
        number = float(text)
    except ValueError:
        return text
    return {"value": number, "unit": one.unit} if one.unit else number


def _outcome(row: Mapping[str, Any], column: str) -> float:
    text = str(row.get(column, "")).strip()
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if column == "status" and value not in STATES:
        raise InputError(f"status is '{text}'; give 0 (censored), 1 (died) or 2 (transplanted).")
    if column == "days" and not SECOND_DAY < value < math.inf:
        raise InputError(f"days is '{text}'; give the days from T0, more than {SECOND_DAY:g}, since T1 is of that day.")
    return value


def _table(
    patients: Sequence[str], cases: Sequence[Mapping[str, Any]], days: np.ndarray, status: np.ndarray
) -> pandas.DataFrame:
    names = [one.name for one in CANDIDATES]
    table = pandas.DataFrame([clinical_predictors(case) for case in cases], columns=names, dtype=float)
    table.insert(0, "patient", list(patients))
    found = [{row.key: row.value for row in score_rows(case, SCORES)} for case in cases]
    for score in SCORES:
        table[f"score_{score.key}"] = [np.nan if row[score.key] is None else float(row[score.key]) for row in found]
    # The models look no further than day 90.
    table["days"] = np.minimum(np.asarray(days, float), LAST_DAY)
    table["status"] = np.where(np.asarray(days) > LAST_DAY, 0, np.asarray(status, int))
    return table


def with_readings(
    table: pandas.DataFrame, score_t0: Sequence[float], score_pair: Sequence[float] | None
) -> pandas.DataFrame:
    """The table with the network's readings of T0 alone and of both images (log hazards; NaN or None without a T1).

    Raises:
        InputError: there are not as many readings as rows.
    """
    first = np.asarray(score_t0, float)
    pair = np.full(len(table), np.nan) if score_pair is None else np.asarray(score_pair, float)
    if first.shape != (len(table),) or pair.shape != first.shape:
        raise InputError(f"{len(table)} patients need as many Siamese readings, not {first.shape} and {pair.shape}.")
    return table.assign(**{SIAMESE_T0.name: first, SIAMESE_CHANGE.name: pair - first})


def as_log_hazard(mortality: np.ndarray) -> np.ndarray:
    """A mortality, 0 to 1, on the scale of the network's readings: log(-log(1 - mortality))."""
    return np.log(-np.log1p(-np.clip(mortality, 1e-9, 1 - 1e-9)))
