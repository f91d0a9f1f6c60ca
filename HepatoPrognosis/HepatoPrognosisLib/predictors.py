"""What the Cox models are made of: clinical values of admission, and two readings of the Siamese network."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from PrognosisLib.clinical_fields import FIELDS
from PrognosisLib.risk import Predictor
from PrognosisLib.wording import unit_text

# The network's readings are log hazards. What T1 adds to T0 is a predictor of its own: without a T1 it is estimated
# from the others, and the interval is wider.
SIAMESE_T0 = Predictor("siamese_t0", "Ultrasound at T0", "log hazard")
SIAMESE_CHANGE = Predictor("siamese_change", "Ultrasound, change until T1", "log hazard")
SIAMESE = (SIAMESE_T0, SIAMESE_CHANGE)


def _plain(value: Any) -> float:
    return float(value)


@dataclass(frozen=True)
class Term:
    """A clinical predictor: the value it comes from, what turns that into the predictor, and the way back for showing.

    Args:
        key: of clinical_fields.py.
        shown: from the predictor to a number in the unit of the clinical value.
    """

    predictor: Predictor
    key: str
    forward: Callable[[Any], float] = _plain
    shown: Callable[[float], float] = _plain


def _log(key: str) -> Term:
    field = FIELDS[key]
    return Term(Predictor(f"log_{key}", field.label, f"ln {field.unit}".strip()), key, math.log, math.exp)


def _same(key: str) -> Term:
    return Term(Predictor(key, FIELDS[key].label, FIELDS[key].unit), key)


def _grade(value: str) -> float:
    return float(FIELDS["ascites"].choices.index(value))


def _is_male(value: str) -> float:
    return float(value == "male")


# The candidates, of which a forward selection chooses. White cells are left out: neutrophils are most of them.
TERMS: tuple[Term, ...] = (
    _same("age"),
    Term(Predictor("male", "Male sex"), "sex", _is_male),
    _log("bilirubin"),
    _log("inr"),
    _log("creatinine"),
    _same("sodium"),
    _same("albumin"),
    _same("encephalopathy"),
    Term(Predictor("ascites_grade", "Ascites", "grade"), "ascites", _grade),
    _log("platelets"),
    _log("neutrophils"),
    _log("urea"),
    _log("lactate"),
    _same("mean_arterial_pressure"),
)
CANDIDATES: tuple[Predictor, ...] = tuple(term.predictor for term in TERMS)
BY_NAME: dict[str, Term] = {term.predictor.name: term for term in TERMS}


def clinical_predictors(clinical: Mapping[str, Any]) -> dict[str, float]:
    """The candidates' values from checked clinical values; what is not known is left out."""
    return {
        term.predictor.name: term.forward(clinical[term.key]) for term in TERMS if clinical.get(term.key) is not None
    }


def siamese_predictors(score_t0: float | None, score_pair: float | None) -> dict[str, float]:
    """From the network's reading of T0 alone and of both images; a missing one is None."""
    values = {}
    if score_t0 is not None:
        values[SIAMESE_T0.name] = float(score_t0)
        if score_pair is not None:
            values[SIAMESE_CHANGE.name] = float(score_pair) - float(score_t0)
    return values


def shown_value(name: str, value: float) -> str:
    """A predictor's value as the user knows it: "300 µmol/L", "moderate", "1.2"."""
    term = BY_NAME.get(name)
    if term is None:
        return f"{value:.2f}"
    if term.key == "sex":
        return "male" if value > 0.5 else "female"
    field = FIELDS[term.key]
    if field.kind == "choice":
        return field.choices[min(max(round(value), 0), len(field.choices) - 1)]
    number = term.shown(value)
    text = f"{number:.0f}" if field.kind == "whole" else f"{number:.3g}"
    return f"{text} {unit_text(field.unit)}".strip()
