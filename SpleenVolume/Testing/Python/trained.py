"""What the tests of the shipped networks share: the bundle, small simulated scans, and how masks are compared."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from PrognosisLib.findings import Findings, Mask
from PrognosisLib.pipeline import Case, run
from PrognosisLib.simulation.anatomy import LABELS, AbdomenParameters
from PrognosisLib.simulation.ct import simulate_abdomen
from PrognosisLib.systems import SYSTEMS
from PrognosisLib.volume import Volume
from SpleenVolumeLib.pipeline import SpleenPipeline, default_settings

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
SPACING = (3.0, 3.0, 4.0)
PATIENT = AbdomenParameters(spleen_mL=300.0, liver_mL=1500.0, noise_hu=10.0, coverage="tight", field_of_view_mm=360.0)

needs_bundle = pytest.mark.skipif(
    not (SYSTEMS["spleen"].default_bundle() / "configs" / "metadata.json").is_file(),
    reason="the bundle is not in this checkout",
)


@cache
def trained_pipeline() -> SpleenPipeline:
    return SYSTEMS["spleen"].make_pipeline()


@cache
def simulated(seed: int = 11, **changes: Any) -> tuple[Volume, np.ndarray]:
    """CT, and its true spleen (bool)."""
    made = simulate_abdomen(replace(PATIENT, **changes), seed, spacing=SPACING)
    return Volume(made.hu, made.ijk_to_ras, "CT", "simulated"), made.labels == LABELS["spleen"]


def findings_of(volume: Volume, **settings: Any) -> Findings:
    return run(trained_pipeline(), Case({"ct": volume}, settings={**default_settings(), **settings}))


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2.0 * np.count_nonzero(one & other) / max(1, np.count_nonzero(one) + np.count_nonzero(other))


def full(mask: Mask | None, volume: Volume) -> np.ndarray:
    return np.zeros(volume.array.shape, dtype=bool) if mask is None else mask.full().astype(bool)
