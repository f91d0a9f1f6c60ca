"""What counts as expansion: growth in mL, in percent, or either, strictly over or at the limit.

Papers differ in amount, percentage and operator. The default, over 6 mL or over 33 %, is one of the pairs in use (for
example doi 10.1007/s12028-019-00797-2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from PrognosisLib.errors import InputError

OPERATORS = (">", ">=")


@dataclass(frozen=True)
class Definition:
    """Growth counts as expansion when it meets one of the limits.

    Args:
        amount_ml: limit in mL; None to leave it out.
        percent: limit in percent of the first volume; None to leave it out.
        operator: ">" or ">=".

    Raises:
        InputError: both limits are left out, or one is out of range.
    """

    amount_ml: float | None = 6.0
    percent: float | None = 33.0
    operator: str = ">"

    def __post_init__(self) -> None:
        if self.operator not in OPERATORS:
            raise InputError(f"The operator '{self.operator}' is not known; choose > or >=.")
        if self.amount_ml is None and self.percent is None:
            raise InputError("Expansion has no definition without a limit; give an amount in mL, a percentage or both.")
        for value, high, unit in ((self.amount_ml, 100.0, "mL"), (self.percent, 500.0, "%")):
            if value is not None and not (math.isfinite(value) and 0 < value <= high):
                raise InputError(
                    f"A limit of {value:g} {unit} is no growth; give a number over 0, up to {high:g} {unit}."
                )

    def met(self, before_ml: float | np.ndarray, after_ml: float | np.ndarray) -> np.ndarray:
        """Whether growth from one volume to the other is expansion (bool, the shape of the volumes)."""
        before, growth = np.asarray(before_ml, float), np.asarray(after_ml, float) - np.asarray(before_ml, float)
        over = np.greater if self.operator == ">" else np.greater_equal
        found = np.zeros(np.broadcast(before, growth).shape, bool)
        if self.amount_ml is not None:
            found = found | over(growth, self.amount_ml)
        if self.percent is not None:
            found = found | over(growth, before * self.percent / 100.0)
        return found

    def relative_limit(self, before_ml: np.ndarray) -> np.ndarray:
        """The smallest relative growth (1 is 100 %) that meets it, for each first volume in mL."""
        limits = []
        if self.amount_ml is not None:
            limits.append(self.amount_ml / np.maximum(before_ml, 1e-6))
        if self.percent is not None:
            limits.append(np.full(np.shape(before_ml), self.percent / 100.0))
        return np.minimum.reduce(limits)

    def __str__(self) -> str:
        sign = "≥" if self.operator == ">=" else ">"
        parts = [] if self.amount_ml is None else [f"{sign} {self.amount_ml:g} mL"]
        parts += [] if self.percent is None else [f"{sign} {self.percent:g} %"]
        return " or ".join(parts)


DEFAULT_DEFINITION = Definition()
