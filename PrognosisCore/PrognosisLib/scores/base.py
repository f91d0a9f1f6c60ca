"""The form of a clinical score, its row in the table of results, and the checks of its arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..clinical_fields import FIELDS, ClinicalField, fields_of
from ..errors import InputError
from ..findings import Measurement

GROUP = "Clinical scores"


def check_range(name: str, value: float, low: float, high: float, unit: str = "") -> float:
    """The value as a float. Raises InputError where it is no number from `low` to `high`, ends included."""
    if isinstance(value, (str, bool)) or not low <= value <= high:  # NaN fails the comparison too
        raise InputError(f"{name} {value} is outside {low:g} to {high:g} {unit}".rstrip() + "; check value and unit.")
    return float(value)


def check_positive(name: str, value: float, high: float, unit: str) -> float:
    """The value as a float. Raises InputError where it is no number over 0 and up to `high`."""
    if isinstance(value, (str, bool)) or not 0 < value <= high:
        raise InputError(f"{name} {value} {unit} must be over 0 and at most {high:g} {unit}; check value and unit.")
    return float(value)


def check_grade(value: int, high: int, name: str) -> int:
    """The value as an int. Raises InputError where it is no whole number from 0 to `high`."""
    if isinstance(value, bool) or value not in range(high + 1):
        raise InputError(f"{name} must be a whole number from 0 to {high}, not {value}.")
    return int(value)


@dataclass(frozen=True)
class Score:
    """One score of the table: what it needs, and what turns that into a number and a note.

    Args:
        needs: keys of clinical values without which there is no score; `optional` ones change it where they are given.
        compute: from the values to the score and the note of its row.
        method: the publication.
        measured: what it needs from the image: key and what the user reads.
    """

    key: str
    label: str
    needs: tuple[str, ...]
    compute: Callable[[Mapping[str, Any]], tuple[float, str]]
    method: str
    optional: tuple[str, ...] = ()
    unit: str = "points"
    measured: Mapping[str, str] = field(default_factory=dict)


def score_fields(scores: Iterable[Score]) -> tuple[ClinicalField, ...]:
    """The clinical fields that these scores use."""
    return fields_of(key for score in scores for key in (*score.needs, *score.optional))


def score_rows(values: Mapping[str, Any], scores: Iterable[Score], group: str = GROUP) -> list[Measurement]:
    """One row per score, from checked clinical values (clinical.check_clinical) and, by key, what was measured.

    A score whose inputs are not all there, or which is not meant for the patient, has value None and a note saying why.
    """
    rows = []
    for score in scores:
        labels = {**{key: FIELDS[key].label for key in score.needs}, **score.measured}
        absent = [label for key, label in labels.items() if values.get(key) is None]
        value, note = None, f"missing: {', '.join(absent)}"
        if not absent:
            try:
                value, note = score.compute(values)
            except InputError as error:
                note = str(error)
        value = round(value, 4) if isinstance(value, float) else value
        rows.append(Measurement(score.key, score.label, value, score.unit, method=score.method, note=note, group=group))
    return rows
