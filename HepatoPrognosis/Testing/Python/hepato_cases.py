"""A readout fitted to simulated patients whose Siamese readings are the best possible ones with noise, and masks."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas

from HepatoPrognosisLib.labels import LIVER, LIVER_AT_T1
from HepatoPrognosisLib.learning.fitting import fit_readout
from HepatoPrognosisLib.learning.outcomes_table import as_log_hazard, draw_table, with_readings
from HepatoPrognosisLib.measuring.evidence import LiverFacts, PairEvidence
from HepatoPrognosisLib.measuring.readout import HepatoReadout
from HepatoPrognosisLib.predictors import CANDIDATES
from PrognosisLib.findings import Mask
from PrognosisLib.volume import Grid

COHORT = {"name": "simulated test cohort", "simulated": True}
CLINICAL = {
    "age": 52.0,
    "sex": "male",
    "bilirubin": 300.0,
    "inr": 2.4,
    "creatinine": 90.0,
    "sodium": 134.0,
    "albumin": 30.0,
    "encephalopathy": 1,
    "ascites": "slight",
    "platelets": 90.0,
    "neutrophils": 6.0,
    "wbc": 8.0,
    "urea": 6.5,
    "lactate": 2.4,
    "mean_arterial_pressure": 82.0,
    "spo2_fio2": 440.0,
}
PIXEL_MM = 0.5


def read(table: pandas.DataFrame, seed: int, noise: float = 0.8) -> pandas.DataFrame:
    """The table with readings: the best possible log hazards, and so much noise (standard deviation)."""
    rng = np.random.default_rng([seed, 31])
    first, pair = (
        as_log_hazard(table[f"oracle_{name}"].to_numpy()) + noise * rng.standard_normal(len(table))
        for name in ("siamese_t0", "siamese")
    )
    return with_readings(table, first, pair)


# The others are as if nobody had them: a selection among all takes several seconds.
CANDIDATES_KEPT = ("age", "encephalopathy", "log_inr", "log_lactate", "log_neutrophils", "log_urea")


@cache
def training() -> pandas.DataFrame:
    table = read(draw_table(600, 7), 1)
    return table.assign(**{one.name: np.nan for one in CANDIDATES if one.name not in CANDIDATES_KEPT})


@cache
def readout() -> HepatoReadout:
    return fit_readout(training(), COHORT, {"seed": 7})


def evidence(score_t0: float = -0.6, score_pair: float | None = 0.4, **more: float) -> PairEvidence:
    """As a run writes it for `masks`."""
    count = int(np.count_nonzero(liver_array()))
    area = count * PIXEL_MM**2
    second = None if score_pair is None else LiverFacts(count, 0.8 * area, 88.0, 0.30)
    return PairEvidence(score_t0, score_pair, LiverFacts(count, area, 100.0, 0.24), second, **more)


def liver_array() -> np.ndarray:
    array = np.zeros((1, 200, 240), dtype=bool)
    array[:, 40:160, 50:200] = True
    return array


def masks(found: PairEvidence | None, second: bool = True) -> dict[str, Mask]:
    """The liver of T0, with the evidence, and that of T1 on the same pixels."""
    grid = Grid((1, 200, 240), np.diag([PIXEL_MM, PIXEL_MM, 1.0, 1.0]))
    text = "" if found is None else found.to_text()
    drawn = {LIVER: Mask.from_full(LIVER, liver_array(), grid, evidence=text)}
    if second:
        drawn[LIVER_AT_T1] = Mask.from_full(LIVER_AT_T1, liver_array(), grid)
    return drawn
