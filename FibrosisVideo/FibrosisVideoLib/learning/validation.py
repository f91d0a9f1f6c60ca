"""Figures of the three networks, the oracle and the clinical tests on one set of patients, with the same metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from PrognosisLib.errors import InputError
from PrognosisLib.evaluation.discrimination import auc, compare_auc, share_of_best
from PrognosisLib.evaluation.thresholds import best_point, point_figures
from PrognosisLib.scores.fibrosis import USUAL_AST_LIMIT, apri, fib4

from ..endpoints import CLINICAL_CUTS
from ..labels import MODELS, PRODUCT, SIGNIFICANT

FEWEST_PATIENTS = 20


def clinical_scores(values: Mapping[str, Any]) -> dict[str, float]:
    """FIB-4, APRI and SWE from a patient's clinical values; NaN where inputs are missing or out of range."""

    def number(key: str) -> float:
        try:
            return float(values[key])
        except (KeyError, TypeError, ValueError):
            return float("nan")

    found = {"SWE": number("swe_kpa")}
    limit = number("ast_upper_limit")
    limit = USUAL_AST_LIMIT if np.isnan(limit) else limit
    for name, compute in (
        ("FIB-4", lambda: fib4(number("age"), number("ast"), number("alt"), number("platelets"))),
        ("APRI", lambda: apri(number("ast"), limit, number("platelets"))),
    ):
        try:
            found[name] = compute()
        except InputError:
            found[name] = float("nan")
    return found


def decision_point(chances: Mapping[str, np.ndarray], stages: np.ndarray) -> float:
    """From which probability of the product the answer is yes: the best one on these patients."""
    have = np.isfinite(chances[PRODUCT])
    return float(best_point(stages[have] >= SIGNIFICANT, chances[PRODUCT][have]))


def figures(
    chances: Mapping[str, np.ndarray],
    stages: np.ndarray,
    points: Mapping[str, float],
    oracle: np.ndarray | None = None,
    clinical: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """AUC, macro-averaged figures at a point, comparison with the product, and the share of the oracle's AUC - 0.5.

    Args:
        chances: P(F >= 2) (n,) by model, NaN where a cine had no usable window.
        stages: (n,) 0 to 4.
        points: probability from which on the answer is yes, by model.
        oracle: P(F >= 2) (n,) of the causal model's own optimum.
        clinical: values of the patients, for FIB-4, APRI and SWE.
    """
    y = (np.asarray(stages) >= SIGNIFICANT).astype(float)
    columns = {name: (np.asarray(chances[name], float), points[name]) for name in MODELS}
    if clinical:
        scores = [clinical_scores(values) for values in clinical]
        for name, cut in CLINICAL_CUTS.items():
            columns[name] = (np.array([one[name] for one in scores]), cut)
    found: dict[str, Any] = {}
    for name, (score, point) in columns.items():
        have = np.isfinite(score)
        if not _enough(y[have]):
            continue
        one: dict[str, Any] = {
            "n": int(have.sum()),
            "positive": int(y[have].sum()),
            "auc": _ends(auc(y[have], score[have])),
        }
        one["point"] = round(float(point), 4)
        one |= {key: _ends(value) for key, value in point_figures(y[have], score[have] >= point).items()}
        if oracle is not None:
            best = auc(y[have], oracle[have])
            one["auc_oracle"] = round(best.value, 4)
            one["share_of_oracle"] = share_of_best(one["auc"]["value"], best.value)
        if name != PRODUCT:
            both = have & np.isfinite(columns[PRODUCT][0])
            if _enough(y[both]):
                test = compare_auc(y[both], columns[PRODUCT][0][both], score[both])
                one["product_ahead"] = {**_ends(test), "p": round(test.p, 5), "n": int(both.sum())}
        found[name] = one
    return found


def _enough(y: np.ndarray) -> bool:
    return len(y) >= FEWEST_PATIENTS and 2 <= y.sum() <= len(y) - 2


def _ends(one: Any) -> dict[str, float]:
    value = one.value if hasattr(one, "value") else one.difference
    return {"value": round(value, 4), "lower": round(one.lower, 4), "upper": round(one.upper, 4)}
