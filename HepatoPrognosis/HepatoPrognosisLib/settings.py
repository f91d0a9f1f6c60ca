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
        frame_t0, frame_t1: number of the frame to read, from 1, where the image is a cine; None for the best one.
    """

    device: str = "auto"
    threads: int = 0
    mortality_days: float = HORIZON_DAYS
    frame_t0: float | None = None
    frame_t1: float | None = None

    def check(self) -> None:
        """Raises InputError where a value is out of range."""
        if not SECOND_DAY < self.mortality_days <= LAST_DAY:
            raise InputError(
                f"A mortality until day {self.mortality_days:g} cannot be told: choose a day after {SECOND_DAY:g} and "
                f"up to {LAST_DAY:g}."
            )
        for when, number in (("T0", self.frame_t0), ("T1", self.frame_t1)):
            if number is not None and not (number >= 1 and number == int(number)):
                raise InputError(
                    f"{when} has no frame {number:g}: frames are numbered 1, 2, 3 and so on; or give none."
                )

    def frame_of(self, role: str) -> int | None:
        """Number, from 0, of the frame to read of "t0" or "t1"; None for the best one."""
        number = {"t0": self.frame_t0, "t1": self.frame_t1}[role]
        return None if number is None else int(number) - 1


def default_settings() -> dict[str, Any]:
    """Every setting with its default, by name."""
    return dataclasses.asdict(HepatoSettings())
