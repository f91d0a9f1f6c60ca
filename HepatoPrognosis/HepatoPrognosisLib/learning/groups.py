"""Patients with what the network sees in their images: those whom head and Cox models are fitted to, and tests."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas

from PrognosisLib.errors import InputError
from PrognosisLib.evaluation.estimates import bootstrap, wilson
from PrognosisLib.evaluation.segmentation import dice
from PrognosisLib.framewise.frames import FEWEST_LIVER_CM2
from PrognosisLib.framewise.lattice import to_input

from ..networks.choosing import SURE
from ..simulation.causes import draw_seeds
from .empty_frames import KINDS, NONE_CM2, EmptyFrames, area_cm2
from .features import SeenPairs, see_images, see_pairs, varied_features
from .fitting import fit_readout, with_figures
from .head_targets import HeadTarget, KnownHazards, SeenOutcomes
from .heads import FittedHead, fit_head
from .outcomes_table import as_log_hazard, table_of_columns, with_readings
from .pairs import Pairs, Views
from .validation import evaluate, followed, performance_of

if TYPE_CHECKING:
    from torch import nn

    from ..measuring.readout import HepatoReadout
    from ..networks.head import PairHead

logger = logging.getLogger(__name__)

EMPTY_OF_A_KIND = 60
REPEATS = 500


@dataclass(frozen=True)
class Group:
    """Patients.

    Args:
        table: of outcomes_table, a row each, without readings.
        gray: (n, 2, 160, 192) uint8; liver: (n, 2, 160, 192) bool; outlined: (n, 2) whether `liver` is known.
        seen: by the network.
    """

    table: pandas.DataFrame
    gray: np.ndarray
    liver: np.ndarray
    outlined: np.ndarray
    seen: SeenPairs

    def target(self, oracle: str) -> HeadTarget:
        """What a reading is fitted to: the oracle's log hazard where there is one, else the outcome."""
        if f"oracle_{oracle}" in self.table:
            return KnownHazards(as_log_hazard(self.table[f"oracle_{oracle}"].to_numpy()))
        return SeenOutcomes(self.table["days"].to_numpy(float), (self.table["status"] == 1).to_numpy())

    def read_by(self, head: PairHead) -> pandas.DataFrame:
        """The table with a head's readings."""
        first, second = self.seen.features[:, 0], self.seen.features[:, 1]
        return with_readings(self.table, head.score_t0(first), head.score_pair(first, second))


def simulated_group(network: nn.Module, pairs: Pairs) -> Group:
    """Of simulated patients."""
    table = table_of_columns(draw_seeds(pairs.seeds.tolist()), pairs.names)
    outlined = np.ones(pairs.gray.shape[:2], bool)
    return Group(table, pairs.gray, pairs.liver, outlined, see_pairs(network, pairs.gray))


@dataclass(frozen=True)
class Fitted:
    """Head and readout of a bundle."""

    head: FittedHead
    readout: HepatoReadout

    @property
    def facts(self) -> dict[str, Any]:
        """For the bundle's "measured"."""
        spread = {key: round(getattr(self.head.head, key), 4) for key in ("spread_t0", "spread_pair")}
        return {"head": {**self.head.notes, **spread}}


def fit_group(network: nn.Module, group: Group, cohort: Mapping[str, Any], seed: int) -> Fitted:
    """Head and Cox models, the latter on readings by heads that were fitted without the patient.

    Raises:
        InputError: too few patients or deaths.
    """
    copies = tuple(varied_features(network, group.gray, group.seen.liver, seed + number) for number in (0, 1))
    patients = group.table["patient"].tolist()
    first, pair = group.target("siamese_t0"), group.target("siamese")
    head = fit_head(group.seen.features, first, pair, patients, copies, seed)
    table = with_readings(group.table, head.score_t0, head.score_pair)
    return Fitted(head, fit_readout(table, cohort, {"readings": "out of fold", "folds": head.notes["folds"]}))


# --- figures ----------------------------------------------------------------------------------------------------------


def judge(fitted: Fitted, tests: Group) -> tuple[HepatoReadout, dict[str, Any]]:
    """The readout with figures of the tests, and all of these; of too few deaths or survivors there are none."""
    if not len(tests.table):
        return fitted.readout, {}
    try:
        followed(tests.table)
    except InputError as error:
        logger.warning("not measured: %s", error)
        return fitted.readout, {}
    figures = evaluate(fitted.readout, tests.read_by(fitted.head.head), REPEATS)
    return with_figures(fitted.readout, performance_of(figures)), figures


def liver_figures(group: Group) -> dict[str, Any]:
    """Dice of the liver at "t0" and "t1" where its outline is known, and in how many of the images it was seen."""
    found: dict[str, Any] = {}
    for when, role in enumerate(("t0", "t1")):
        rows = np.flatnonzero(group.outlined[:, when])
        if len(rows):
            values = np.array([dice(group.seen.liver[row, when], group.liver[row, when]) for row in rows])
            found[role] = dice_figures(values)
    if len(group.table):
        sure = group.seen.detection >= SURE
        found["seen"] = {"n": int(sure.size), **wilson(int(sure.sum()), int(sure.size)).rounded()}
    return found


def dice_figures(values: np.ndarray) -> dict[str, float]:
    """Mean of overlaps with its 95 % interval, median and worst."""
    lower, upper = bootstrap(lambda rows: float(values[rows].mean()), np.arange(len(values)), REPEATS)
    figures = {
        "mean": values.mean(),
        "lower": lower,
        "upper": upper,
        "median": np.median(values),
        "worst": values.min(),
    }
    return {"n": len(values), **{name: round(float(value), 4) for name, value in figures.items()}}


def empty_figures(network: nn.Module, tests: Group, views: Views, seed: int = 0) -> dict[str, Any]:
    """In how many frames without a liver, by kind, the network sees none: none for sure, or too little of one."""
    source = EmptyFrames(tests.gray[:, 0], tests.liver[:, 0], np.zeros(0, int))
    kinds = {kind: _drawn(source, kind, seed) for kind in KINDS if kind != "view"}
    kinds["view"] = views.gray[area_cm2(views.liver) < NONE_CM2]
    found = {}
    for kind, frames in kinds.items():
        if len(frames):
            _features, liver, detection = see_images(network, to_input(frames))
            refused = (detection < SURE) | (area_cm2(liver) < FEWEST_LIVER_CM2)
            found[kind] = {"n": len(frames), **wilson(int(refused.sum()), len(frames)).rounded()}
    return found


def _drawn(source: EmptyFrames, kind: str, seed: int) -> np.ndarray:
    rng = np.random.default_rng([seed, 99])
    return np.stack([source(rng, kind) for _ in range(EMPTY_OF_A_KIND)])
