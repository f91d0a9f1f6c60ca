"""How good the three models are on patients they never saw: the published table, beside the field's scores.

Discrimination: C-index over the whole follow-up, and AUC of the 30-day mortality among patients whose state on day 30
is known (those transplanted or lost before are left out of it, and counted). Calibration: slope and intercept on these
patients, and groups against Kaplan-Meier's mortality. Decision curves, and Kaplan-Meier's curves of the risk groups
with a log-rank test. All of them take death as the event and transplantation as censoring.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas

from PrognosisLib.errors import InputError
from PrognosisLib.evaluation.calibration import calibration, calibration_at, calibration_groups_at
from PrognosisLib.evaluation.decision import net_benefit_at
from PrognosisLib.evaluation.discrimination import auc, compare_auc
from PrognosisLib.evaluation.survival import brier_at, c_index, compare_c_index, kaplan_meier, log_rank

from ..labels import GROUPS, HORIZON_DAYS, MODELS
from ..measuring.readout import HepatoReadout
from .fitting import predictions
from .outcomes_table import SCORES

PAIRS = (("combined", "clinical"), ("siamese", "clinical"), ("combined", "siamese"))
THRESHOLDS = np.round(np.arange(0.05, 0.96, 0.05), 2)
REPEATS = 500
FEWEST_DEATHS = 10


class Followed(NamedTuple):
    """Times and deaths (n,); for AUC and calibration, whether the state on day 30 is known, and whether dead then."""

    days: np.ndarray
    died: np.ndarray
    is_known: np.ndarray
    died_early: np.ndarray


def followed(table: pandas.DataFrame) -> Followed:
    """Raises InputError where too few died for any figure."""
    days, status = table["days"].to_numpy(float), table["status"].to_numpy(int)
    early = (status == 1) & (days <= HORIZON_DAYS)
    known = early | (days >= HORIZON_DAYS)
    fewest = min(int(early.sum()), int((known & ~early).sum()))
    if fewest < FEWEST_DEATHS:
        raise InputError(
            f"{int(early.sum())} patients died within 30 days and {int((known & ~early).sum())} lived; "
            f"{FEWEST_DEATHS} of each are needed."
        )
    return Followed(days, (status == 1).astype(int), known, early.astype(int))


def evaluate(readout: HepatoReadout, table: pandas.DataFrame, repeats: int = REPEATS, seed: int = 0) -> dict[str, Any]:
    """Every figure of the published table, JSON-able; see the top of this file.

    Args:
        table: as outcomes_table makes it, with readings, of patients who are not in the readout's cohort.
        repeats: bootstrap samples of patients.

    Returns:
        "cohort" (counts), "models", "comparisons", "scores", each by name.

    Raises:
        InputError: too few deaths or survivors.
    """
    known = followed(table)
    found = predictions(readout.models, table)
    models = {name: _figures(name, chance, known, table, readout, repeats, seed) for name, chance in found.items()}
    comparisons = {
        f"{first} against {second}": _comparison(found[first], found[second], known, repeats, seed)
        for first, second in PAIRS
    }
    return {
        "cohort": _counts(table, known),
        "models": models,
        "comparisons": comparisons,
        "scores": _scores(table, known, repeats, seed),
    }


def _counts(table: pandas.DataFrame, known: Followed) -> dict[str, int]:
    status = table["status"].to_numpy(int)
    return {
        "n": len(table),
        "deaths": int(known.died.sum()),
        "transplanted": int((status == 2).sum()),
        "deaths_30": int(known.died_early.sum()),
        "known_30": int(known.is_known.sum()),
        "transplanted_before_30": int(((status == 2) & (known.days < HORIZON_DAYS)).sum()),
        "lost_before_30": int(((status == 0) & (known.days < HORIZON_DAYS)).sum()),
    }


def _figures(
    name: str,
    chance: np.ndarray,
    known: Followed,
    table: pandas.DataFrame,
    readout: HepatoReadout,
    repeats: int,
    seed: int,
) -> dict[str, Any]:
    """Discrimination beside the best possible, calibration, decision curve and risk groups of one model."""
    figures: dict[str, Any] = {"test_n": len(table), **_discrimination(chance, known, repeats, seed)}
    if f"oracle_{name}" in table:
        best = _discrimination(table[f"oracle_{name}"].to_numpy(), known, repeats, seed)
        for key in ("c_index", "auc_30"):
            figures[f"{key}_oracle"] = best[key]
            share = (figures[key]["value"] - 0.5) / (best[key]["value"] - 0.5)
            figures[f"{key}_share_of_oracle"] = round(share, 3)
    figures |= _calibration(chance, known)
    benefit = net_benefit_at(known.days, known.died, chance, HORIZON_DAYS, THRESHOLDS)
    figures["decision_curve"] = {key: _rounded(value) for key, value in benefit._asdict().items()}
    figures["risk_groups"] = risk_groups(chance, known, readout.cuts[name])
    return figures


def _discrimination(risk: np.ndarray, known: Followed, repeats: int, seed: int) -> dict[str, dict[str, float]]:
    rows = known.is_known
    return {
        "c_index": _estimate(c_index(known.days, known.died, risk, repeats=repeats, seed=seed)),
        "auc_30": _estimate(auc(known.died_early[rows], risk[rows])),
    }


def _calibration(chance: np.ndarray, known: Followed) -> dict[str, Any]:
    rows = known.is_known
    early = calibration(known.died_early[rows], chance[rows])
    at_day = calibration_at(known.days, known.died, chance, HORIZON_DAYS)
    return {
        "calibration_slope": _estimate(early["slope"]),
        "calibration_intercept": _estimate(early["intercept"]),
        **{f"survival_{key}": _estimate(value) for key, value in at_day.items()},
        "calibration_curve": [
            {"n": one.n, "expected": round(one.expected, 4), "observed": _estimate(one.observed)}
            for one in calibration_groups_at(known.days, known.died, chance, HORIZON_DAYS)
        ],
        "brier_30": round(brier_at(known.days, known.died, chance, HORIZON_DAYS), 4),
    }


def risk_groups(chance: np.ndarray, known: Followed, cuts: tuple[float, float]) -> dict[str, Any]:
    """Patients, deaths and Kaplan-Meier's 30-day mortality in each group, and the log-rank test between them."""
    place = (chance >= cuts[0]).astype(int) + (chance >= cuts[1])
    found: dict[str, Any] = {}
    for number, group in enumerate(GROUPS):
        rows = place == number
        found[group] = {"n": int(rows.sum()), "deaths": int(known.died[rows].sum())}
        if rows.any():
            alive = kaplan_meier(known.days[rows], known.died[rows]).at(HORIZON_DAYS)
            ends = {"value": 1 - alive.value, "lower": 1 - alive.upper, "upper": 1 - alive.lower}
            found[group]["mortality_30"] = {key: round(value, 4) for key, value in ends.items()}
    if len(np.unique(place)) > 1:
        chi2, p = log_rank(known.days, known.died, place)
        found["log_rank"] = {"chi2": round(chi2, 3), "p": float(f"{p:.3g}")}
    return found


def _comparison(first: np.ndarray, second: np.ndarray, known: Followed, repeats: int, seed: int) -> dict[str, Any]:
    rows = known.is_known
    return {
        "c_index": _test(compare_c_index(known.days, known.died, first, second, repeats=repeats, seed=seed)),
        "auc_30": _test(compare_auc(known.died_early[rows], first[rows], second[rows])),
    }


def _scores(table: pandas.DataFrame, known: Followed, repeats: int, seed: int) -> dict[str, Any]:
    """Discrimination of the field's scores, where half the patients or more have them; less is better in none."""
    found = {}
    for score in SCORES:
        values = table[f"score_{score.key}"].to_numpy(float)
        rows = np.isfinite(values)
        part = Followed(*(column[rows] for column in known))
        if rows.mean() >= 0.5 and 0 < part.died_early[part.is_known].mean() < 1:
            found[score.key] = {"n": int(rows.sum()), **_discrimination(values[rows], part, repeats, seed)}
    return found


def performance_of(figures: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What the bundle keeps of `evaluate` with each model; for fitting.with_figures."""
    kept = (
        "test_n",
        "c_index",
        "auc_30",
        "c_index_oracle",
        "auc_30_oracle",
        "calibration_slope",
        "calibration_intercept",
    )
    by_model = figures["models"]
    return {name: {key: by_model[name][key] for key in kept if key in by_model[name]} for name in MODELS}


def _estimate(value: Any) -> dict[str, float]:
    return {key: round(float(number), 4) for key, number in value._asdict().items()}


def _test(value: Any) -> dict[str, float]:
    return {key: float(f"{number:.4g}") for key, number in value._asdict().items()}


def _rounded(values: np.ndarray) -> list[float]:
    return [round(float(one), 4) for one in values]
