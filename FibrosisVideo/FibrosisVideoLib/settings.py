"""What a user of FibrosisVideo may set."""

from __future__ import annotations

import dataclasses
from typing import Any

from PrognosisLib.errors import InputError
from PrognosisLib.scores.stiffness import SWE_F2_KPA, SWE_F3_KPA, check_swe_cutoffs


@dataclasses.dataclass(frozen=True)
class FibrosisSettings:
    """Settings of one run.

    Args:
        device: "auto", "cpu" or "gpu".
        threads: CPU threads; 0 takes all.
        heat_map: make the Grad-CAM and its share on the liver capsule.
        decision_percent: probability of F2 or higher from which on the answer is yes; None for the model's own.
        swe_f2_kpa, swe_f3_kpa: cut-offs of the user's ultrasound device, for a measured SWE value.
    """

    device: str = "auto"
    threads: int = 0
    heat_map: bool = True
    decision_percent: float | None = None
    swe_f2_kpa: float = SWE_F2_KPA
    swe_f3_kpa: float = SWE_F3_KPA

    def check(self) -> None:
        """Raises InputError where a value is out of range."""
        if self.decision_percent is not None and not 0 < self.decision_percent < 100:
            raise InputError(
                f"A probability of {self.decision_percent:g} % decides nothing; give one between 0 and 100 %, or none."
            )
        check_swe_cutoffs(self.swe_f2_kpa, self.swe_f3_kpa)


def default_settings() -> dict[str, Any]:
    """Every setting with its default, by name."""
    return dataclasses.asdict(FibrosisSettings())
