"""What a user of HepatoPrognosis may set."""

from __future__ import annotations

import dataclasses
from typing import Any

from PrognosisLib.errors import InputError

from .labels import HORIZON_DAYS, LAST_DAY, SECOND_DAY


@dataclasses.dataclass(frozen=True)
class HepatoSettings:
    """Settings of one run.

    Args:
        device: "auto", "cpu" or "gpu".
        threads: CPU threads; 0 takes all.
        mortality_days: the mortality of the rows and the nomogram is that until so many days after T0.
    """

    device: str = "auto"
    threads: int = 0
    mortality_days: float = HORIZON_DAYS

    def check(self) -> None:
        """Raises InputError where a value is out of range."""
        if not SECOND_DAY < self.mortality_days <= LAST_DAY:
            raise InputError(
                f"A mortality until day {self.mortality_days:g} cannot be told: choose a day after {SECOND_DAY:g} and "
                f"up to {LAST_DAY:g}."
            )


def default_settings() -> dict[str, Any]:
    """Every setting with its default, by name."""
    return dataclasses.asdict(HepatoSettings())
