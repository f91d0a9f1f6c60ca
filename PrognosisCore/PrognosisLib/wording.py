"""Measurements as a person reads them: the same words in the scene's table, the panel and the report."""

from __future__ import annotations

import math

import numpy as np

from .findings import Measurement

NOT_AVAILABLE = "not available"


def format_number(value: float, like: float | None = None) -> str:
    """Three significant digits, but no more decimals than `like` would have; a shorter or whole number as it is."""
    if isinstance(value, (int, np.integer)):
        return str(int(value)).replace("-", "−")
    value = float(value)
    if not math.isfinite(value):
        return NOT_AVAILABLE if math.isnan(value) else ("∞" if value > 0 else "−∞")
    decimals = _decimals(value)
    if like is not None and math.isfinite(like) and like != 0:
        decimals = min(decimals, _decimals(float(like)))
    rounded = round(value, decimals)
    text = f"{rounded:.{max(0, decimals)}f}"
    if rounded == value and "." in text:
        text = text.rstrip("0").rstrip(".")
    return text.replace("-", "−") if rounded else "0"


def _decimals(value: float) -> int:
    """Decimals that leave three significant digits; negative from 1000 on."""
    if value == 0:
        return 0
    # rounding may add a digit: 9.996 is 10.0
    return 2 - math.floor(math.log10(abs(float(f"{value:.3g}"))))


def is_number(value: object) -> bool:
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)


def value_text(row: Measurement, space: str = " ") -> str:
    """ "312 mL", "high", "not available"; `space` stands between number and unit."""
    if row.value is None:
        return NOT_AVAILABLE
    text = format_number(row.value) if is_number(row.value) else str(row.value)
    return text if text == NOT_AVAILABLE or not row.unit else f"{text}{space}{row.unit}"


def interval_text(row: Measurement) -> str:
    """ "298 to 326", without the unit; empty where there is no interval or no value."""
    if row.interval is None or row.value is None:
        return ""
    like = row.value if is_number(row.value) else None
    return " to ".join(format_number(end, like) for end in (row.interval.lower, row.interval.upper))


def result_text(row: Measurement) -> str:
    """Value, unit and interval in one: "312 mL (298 to 326)", "high", "not available"."""
    interval = interval_text(row)
    return f"{value_text(row)} ({interval})" if interval else value_text(row)


def duration_text(seconds: float) -> str:
    """A duration as a person says it: "4 s", "2 min", "3.5 h", "12 h"."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} min"
    hours = seconds / 3600
    return f"{hours:.1f} h" if hours < 10 else f"{round(hours)} h"


def unit_text(unit: str) -> str:
    """A unit as it is printed: "umol/L" is "µmol/L"."""
    for plain, printed in (("umol", "µmol"), ("ug/", "µg/"), ("uL", "µL"), ("^9", "⁹"), ("^4", "⁴"), ("^3", "³")):
        unit = unit.replace(plain, printed)
    return unit
