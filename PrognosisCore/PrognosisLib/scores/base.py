"""The form of a clinical score, its row in the table of results, and the checks of its arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..clinical_fields import (
    BILIRUBIN_UMOL_PER_MG_DL,
    CREATININE_UMOL_PER_MG_DL,
    FIELDS,
    ClinicalField,
    fields_of,
)
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


def check_truth(name: str, value: bool) -> int:
    if value not in (True, False):
        raise InputError(f"{name} must be true or false, not {value!r}.")
    return int(value)


def check_bilirubin(mg_per_dl: float) -> float:
    """The value as a float. Raises InputError where it is no bilirubin in mg/dL."""
    return check_range("bilirubin", mg_per_dl, 0.05, 60, "mg/dL")


def check_creatinine(mg_per_dl: float) -> float:
    """The value as a float. Raises InputError where it is no creatinine in mg/dL."""
    return check_range("creatinine", mg_per_dl, 0.1, 25, "mg/dL")


def check_inr(value: float) -> float:
    """The value as a float. Raises InputError where it is no INR."""
    return check_range("INR", value, 0.5, 15)


def encephalopathy_class(grade: int) -> int:
    """1 without encephalopathy, 2 for grade 1 and 2, 3 for 3 and 4. Raises InputError where it is no grade."""
    return (1, 2, 2, 3, 3)[check_grade(grade, 4, "encephalopathy grade")]


def exact(value: float) -> float:
    """Without the dust of a unit conversion or a sum, so that limits hold."""
    return round(value, 6)


def bilirubin_creatinine_mg(values: Mapping[str, Any]) -> tuple[float, float]:
    """Bilirubin and creatinine of checked clinical values, in mg/dL."""
    return values["bilirubin"] / BILIRUBIN_UMOL_PER_MG_DL, values["creatinine"] / CREATININE_UMOL_PER_MG_DL


@dataclass(frozen=True)
class Score:
    """One score of the table: what it needs, and what turns that into a number and a note.

    Args:
        needs: keys of clinical values without which there is no score; `optional` ones change it where they are given.
        one_of: groups of keys; one of each group is needed as well.
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
    one_of: tuple[tuple[str, ...], ...] = ()

    @property
    def clinical(self) -> tuple[str, ...]:
        """The keys of all clinical values that it can use."""
        return (*self.needs, *self.optional, *(key for group in self.one_of for key in group))

    def absent(self, values: Mapping[str, Any]) -> list[str]:
        """Labels of what it needs and `values` do not hold."""
        labels = {**{key: FIELDS[key].label for key in self.needs}, **self.measured}
        lacking = [label for key, label in labels.items() if values.get(key) is None]
        groups = [group for group in self.one_of if all(values.get(key) is None for key in group)]
        return lacking + [" or ".join(FIELDS[key].label for key in group) for group in groups]


def score_fields(scores: Iterable[Score]) -> tuple[ClinicalField, ...]:
    """The clinical fields that these scores use."""
    return fields_of(key for score in scores for key in score.clinical)


def score_rows(values: Mapping[str, Any], scores: Iterable[Score], group: str = GROUP) -> list[Measurement]:
    """One row per score, from checked clinical values (clinical.check_clinical) and, by key, what was measured.

    A score whose inputs are not all there, or which is not meant for the patient, has value None and a note saying why.
    """
    rows = []
    for score in scores:
        absent = score.absent(values)
        value, note = None, f"missing: {', '.join(absent)}"
        if not absent:
            try:
                value, note = score.compute(values)
            except InputError as error:
                note = str(error)
        value = round(value, 4) if isinstance(value, float) else value
        rows.append(Measurement(score.key, score.label, value, score.unit, method=score.method, note=note, group=group))
    return rows
