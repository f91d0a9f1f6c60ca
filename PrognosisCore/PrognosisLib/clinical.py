"""Clinical values of a patient: which there are, in what unit and range, and how they are read and checked.

A value is written as a plain number in the field's own unit, or with its unit: {"value": 1.2, "unit": "mg/dL"}. Checked
values are plain numbers in the field's own unit, booleans for yes/no, and one of the choices as text.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import InputError

# molar masses: bilirubin 584.66 g/mol, creatinine 113.12 g/mol; 1 mg/dL is 10 000 / molar mass umol/L
BILIRUBIN_UMOL_PER_MG_DL = 10_000 / 584.66
CREATININE_UMOL_PER_MG_DL = 10_000 / 113.12


@dataclass(frozen=True)
class ClinicalField:
    """One clinical value.

    Args:
        key: its name in files, e.g. "bilirubin".
        label: what the user reads.
        unit: the unit that a plain number is in; "" where there is none.
        low, high: what is accepted, ends included, in that unit.
        kind: "number", "whole", "yes/no" or "choice".
        choices: the texts allowed for a choice.
        tip: what it is, in one sentence.
        units: other units accepted when written, with the factor that turns them into `unit`.
        sure: range in which a plain number cannot be mistaken for another unit; outside it the unit must be written.
    """

    key: str
    label: str
    unit: str = ""
    low: float = -math.inf
    high: float = math.inf
    kind: str = "number"
    choices: tuple[str, ...] = ()
    tip: str = ""
    units: Mapping[str, float] = field(default_factory=dict)
    sure: tuple[float, float] | None = None

    def factor(self, unit: str) -> float | None:
        """What turns `unit` into the field's own; None for a unit that is not known here."""
        known = {_plain(self.unit): 1.0} | {_plain(name): value for name, value in self.units.items()}
        return known.get(_plain(unit))


def _plain(unit: str) -> str:
    return unit.replace("µ", "u").replace("μ", "u").replace(" ", "").replace("³", "^3").lower()


_ALL_FIELDS = (
    ClinicalField("age", "Age", "years", 0, 120, tip="Age at the examination."),
    ClinicalField("sex", "Sex", kind="choice", choices=("female", "male"), tip="Sex, as MELD 3.0 uses it."),
    ClinicalField(
        "bilirubin",
        "Total bilirubin",
        "umol/L",
        1,
        1000,
        tip="Total serum bilirubin; 1 mg/dL is 17.1 umol/L.",
        units={"mg/dL": BILIRUBIN_UMOL_PER_MG_DL, "mmol/L": 1000.0},
        sure=(5, 1000),
    ),
    ClinicalField("albumin", "Albumin", "g/L", 10, 70, tip="Serum albumin.", units={"g/dL": 10.0, "mg/dL": 0.01}),
    ClinicalField("inr", "INR", "", 0.5, 15, tip="International normalized ratio of the prothrombin time."),
    ClinicalField(
        "creatinine",
        "Creatinine",
        "umol/L",
        15,
        2000,
        tip="Serum creatinine; 1 mg/dL is 88.4 umol/L.",
        units={"mg/dL": CREATININE_UMOL_PER_MG_DL, "mmol/L": 1000.0},
        sure=(20, 2000),
    ),
    ClinicalField("sodium", "Sodium", "mmol/L", 100, 180, tip="Serum sodium.", units={"mEq/L": 1.0}),
    ClinicalField(
        "platelets",
        "Platelets",
        "10^9/L",
        5,
        1500,
        tip="Platelet count.",
        units={"G/L": 1.0, "10^3/uL": 1.0, "K/uL": 1.0, "/uL": 0.001, "/mm^3": 0.001, "10^4/uL": 10.0},
    ),
    ClinicalField("afp", "Alpha-fetoprotein", "ng/mL", 0.1, 1e7, tip="Serum AFP.", units={"ug/L": 1.0, "mg/L": 1000.0}),
    ClinicalField(
        "ascites",
        "Ascites",
        kind="choice",
        choices=("none", "slight", "moderate"),
        tip="As Child-Pugh grades it; moderate stands for severe too.",
    ),
    ClinicalField(
        "encephalopathy", "Encephalopathy", "", 0, 4, "whole", tip="Hepatic encephalopathy, grade 0 (none) to 4."
    ),
    ClinicalField(
        "dialysis",
        "Dialysis",
        kind="yes/no",
        tip="Dialysis at least twice in the past week (MELD); not given means no.",
    ),
    ClinicalField(
        "tumor_size",
        "Largest tumor",
        "cm",
        0.3,
        30,
        tip="Largest diameter of the largest tumor.",
        units={"mm": 0.1},
        sure=(0.3, 20),
    ),
    ClinicalField("tumor_number", "Number of tumors", "", 1, 200, "whole", tip="Tumors in the liver."),
    ClinicalField(
        "ast_before_tace", "AST before first TACE", "U/L", 3, 20000, tip="For the ART score.", units={"IU/L": 1.0}
    ),
    ClinicalField(
        "ast_after_tace", "AST after first TACE", "U/L", 3, 20000, tip="Before the second TACE.", units={"IU/L": 1.0}
    ),
    ClinicalField(
        "child_pugh_before_tace", "Child-Pugh before first TACE", "points", 5, 15, "whole", tip="For the ART score."
    ),
    ClinicalField(
        "child_pugh_after_tace", "Child-Pugh after first TACE", "points", 5, 15, "whole", tip="Before the second TACE."
    ),
    ClinicalField(
        "radiological_response",
        "Radiological response to first TACE",
        kind="yes/no",
        tip="Whether the tumor responded, for the ART score.",
    ),
)
FIELDS: dict[str, ClinicalField] = {one.key: one for one in _ALL_FIELDS}


def fields_of(keys: Iterable[str]) -> tuple[ClinicalField, ...]:
    """The fields with these keys, each once, in the order of the registry."""
    wanted = set(keys)
    return tuple(one for one in _ALL_FIELDS if one.key in wanted)


def check_clinical(values: Mapping[str, Any], fields: Iterable[ClinicalField]) -> dict[str, Any]:
    """Checked values by key, in each field's own unit. Null means missing and is left out, as is a field that is known
    but belongs to another system.

    Raises:
        InputError: a name that is not known, a value of the wrong type or out of range, or an unknown unit.
    """
    wanted = {one.key: one for one in fields}
    checked: dict[str, Any] = {}
    for key, value in values.items():
        one = wanted.get(key) or FIELDS.get(key)
        if one is None:
            raise InputError(_unknown(key, wanted))
        if value is not None:
            result = check_value(value, one)
            if key in wanted:
                checked[key] = result
    return checked


def _unknown(key: Any, wanted: Mapping[str, ClinicalField]) -> str:
    names = list(wanted) or list(FIELDS)
    text = str(key).strip().lower().replace(" ", "_").replace("-", "_")
    by_label = {one.label.lower().replace(" ", "_").replace("-", "_"): name for name, one in wanted.items()}
    near = difflib.get_close_matches(text, [*names, *by_label], n=1, cutoff=0.55)
    if near:
        return f'clinical value "{key}" is not known; did you mean "{by_label.get(near[0], near[0])}"?'
    return f'clinical value "{key}" is not known; known are {", ".join(sorted(names))}.'


def check_value(value: Any, one: ClinicalField) -> Any:
    """One value, checked and in the field's own unit. Raises InputError with the reason."""
    if one.kind == "yes/no":
        return _check_yes_no(value, one)
    if one.kind == "choice":
        return _check_choice(value, one)
    unit = None
    if isinstance(value, Mapping):
        if set(value) != {"value", "unit"} or not isinstance(value["unit"], str):
            raise InputError(f'{one.key} must be a number or {{"value": number, "unit": "{one.unit}"}}.')
        value, unit = value["value"], value["unit"]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        other = f', or {{"value": number, "unit": "{next(iter(one.units))}"}}' if one.units else ""
        raise InputError(f"{one.key} must be a number{_in(one.unit)}{other}, not {_shown(value)}.")
    if not abs(value) < 1e300:  # NaN, infinity, and whole numbers that no float holds
        raise InputError(f"{one.key} must be a finite number{_in(one.unit)}; leave it out when it is not known.")
    result = float(value) if unit is None else float(value) * _factor(one, unit)
    if not one.low <= result <= one.high:
        raise InputError(_out_of_range(value, unit, one))
    if unit is None and one.sure and not one.sure[0] <= result <= one.sure[1]:
        raise InputError(_doubtful(value, one))
    if one.kind == "whole":
        if result != round(result):
            raise InputError(f"{one.key} must be a whole number from {one.low:g} to {one.high:g}, not {value:g}.")
        return round(result)
    return result


def _shown(value: Any) -> str:
    return json.dumps(value, default=str)[:60]


def _in(unit: str) -> str:
    return f" in {unit}" if unit else ""


def _factor(one: ClinicalField, unit: str) -> float:
    factor = one.factor(unit)
    if factor is None:
        known = ", ".join([one.unit or '"" (no unit)', *one.units])
        raise InputError(f'{one.key} cannot be given in "{unit}"; use {known}.')
    return factor


def _other_unit(value: float, one: ClinicalField) -> str | None:
    """The other unit in which the number would make sense, if there is one."""
    low, high = one.sure or (one.low, one.high)
    return next((name for name, factor in one.units.items() if factor != 1 and low <= value * factor <= high), None)


def _spelled(one: ClinicalField, value: float, unit: str) -> str:
    return f'"{one.key}": {{"value": {value:g}, "unit": "{unit}"}}'


def _out_of_range(value: float, unit: str | None, one: ClinicalField) -> str:
    given = f"{value:g} {unit or one.unit}".strip()
    text = f"{one.key} {given} is outside {one.low:g} to {one.high:g} {one.unit}".rstrip()
    other = None if unit else _other_unit(value, one)
    if other:
        return f"{text}; it looks like {other}: write {_spelled(one, value, other)}."
    return f"{text}; check the value{' and its unit' if one.unit else ''}."


def _doubtful(value: float, one: ClinicalField) -> str:
    other = _other_unit(value, one)
    if other is None:
        return f"{one.key} {value:g} {one.unit} is unusual; write {_spelled(one, value, one.unit)} if it is right."
    return (
        f"{one.key} {value:g} looks like {other}: write {_spelled(one, value, other)}, "
        f"or {_spelled(one, value, one.unit)} if it is {one.unit}."
    )


def _check_yes_no(value: Any, one: ClinicalField) -> bool:
    if isinstance(value, str) and value.strip().lower() in ("yes", "no"):
        return value.strip().lower() == "yes"
    if not isinstance(value, bool):
        raise InputError(f"{one.key} must be true or false, not {_shown(value)}.")
    return value


def _check_choice(value: Any, one: ClinicalField) -> str:
    listed = " or ".join(f'"{choice}"' for choice in one.choices)
    if not isinstance(value, str):
        raise InputError(f"{one.key} must be {listed}, not {_shown(value)}.")
    text = value.strip().lower()
    if text in one.choices:
        return text
    near = difflib.get_close_matches(text, one.choices, n=1)
    hint = f'; did you mean "{near[0]}"?' if near else "."
    raise InputError(f'{one.key} must be {listed}, not "{value[:60]}"{hint}')


def read_clinical(path: str | Path) -> dict[str, Any]:
    """The clinical values in a JSON file, as written there; `check_clinical` checks them.

    Raises:
        InputError: no such file, not JSON, a name given twice, or not an object.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"there is no file {path}; give the JSON file with the clinical values.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} cannot be read as text ({error}); give a JSON file with the clinical values."
        ) from None
    try:
        values = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (ValueError, RecursionError) as error:
        place = f" at line {error.lineno}: {error.msg}" if isinstance(error, json.JSONDecodeError) else ""
        raise InputError(f'{path} is not valid JSON{place}; write it like {{"age": 67, "albumin": 36}}.') from None
    if not isinstance(values, dict):
        raise InputError(f'{path} must hold one JSON object with named values, like {{"age": 67, "albumin": 36}}.')
    return values


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f'"{twice}" is given twice; keep one of them.')
    return result


def _no_constant(name: str) -> None:
    raise InputError(f"{name} is not a number that JSON allows; leave the value out when it is not known.")


def missing(fields: Iterable[ClinicalField], values: Mapping[str, Any]) -> list[ClinicalField]:
    """The fields that `values` does not hold."""
    return [one for one in fields if values.get(one.key) is None]
