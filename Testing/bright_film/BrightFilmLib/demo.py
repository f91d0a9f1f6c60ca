"""BrightFilm's simulated patient."""

from __future__ import annotations

from typing import Any

from PrognosisLib.images.cine.cine import Cine

from .pipeline import bright_cine


def demo_case() -> tuple[dict[str, Cine], dict[str, Any]]:
    return {"t0": bright_cine(), "t1": bright_cine(count=4, start=8)}, {}
