"""Clinical values of a patient: how they are read and checked. clinical_fields.py says which there are.

A value is written as a plain number in the field's own unit, or with its unit: {"value": 1.2, "unit": "mg/dL"}. Checked
values are plain numbers in the field's own unit, booleans for yes/no, and one of the choices as text.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .clinical_fields import FIELDS, ClinicalField
from .errors import InputError


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
