"""Stiffness from slice features: attention over the slices of each sequence, one latent score, ordered thresholds.

The probability of a stiffness of at least t is 1 / (1 + exp(offset_t - score)) with offsets that rise with t, so the
probabilities of one patient fall with the threshold by construction (proportional odds: McCullagh, J R Stat Soc B
1980;42:109). The same score gives the expected logarithm of the stiffness through straight pieces that never fall.
numpy only; training is in learning/ordinal_training.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from PrognosisLib.errors import BundleError
from PrognosisLib.findings import Interval

from ..labels import THRESHOLDS_KPA

FORMAT = "prognosis ordinal stiffness 1"
COVARIATES = ("log_spleen", "log_liver", "ascites")
SMALLEST_AREA_MM2 = 500.0  # slices with less liver are left out
Z95 = 1.959964


@dataclass(frozen=True)
class SliceInput:
    """One sequence of one patient: features (s, f) of the slices and the liver's area (s,) in each, mm2."""

    features: np.ndarray
    areas_mm2: np.ndarray

    @property
    def used(self) -> np.ndarray:
        """Slices (s,) that count."""
        return self.areas_mm2 >= min(SMALLEST_AREA_MM2, float(self.areas_mm2.max(initial=0.0)))


@dataclass(frozen=True)
class Reading:
    """A patient's result: latent score with standard error, probabilities (t,), and slice weights by sequence."""

    score: float
    error: float
    probabilities: np.ndarray
    intervals: list[Interval]
    kpa: float
    kpa_interval: Interval
    weights: dict[str, np.ndarray]


@dataclass(frozen=True)
class OrdinalModel:
    """One fitted reading of one or both sequences.

    Args:
        sequences: ("T2", "T1"), ("T2",) or ("T1",).
        gates, effects: by sequence (h, f): attention of each head, and what its pooled features add.
        usual: by sequence (f,): features of the average slice, from which the heat map counts.
        covariate_means: stand in for what is missing; covariate_effects: (c,) for COVARIATES.
        offsets: of the thresholds, rising; knots, log_kpa: straight pieces from the score to the log stiffness.
        log_kpa_sd: of the measured log stiffness about them; error_sd: of the score, from refits to resampled patients.
    """

    sequences: tuple[str, ...]
    gates: dict[str, np.ndarray]
    effects: dict[str, np.ndarray]
    usual: dict[str, np.ndarray]
    covariate_means: np.ndarray
    covariate_effects: np.ndarray
    offsets: np.ndarray
    knots: np.ndarray
    log_kpa: np.ndarray
    log_kpa_sd: float
    error_sd: float

    def read(self, slices: Mapping[str, SliceInput], covariates: np.ndarray) -> Reading:
        """A patient's stiffness.

        Args:
            slices: by sequence; every one of `sequences` must be there.
            covariates: (c,) as COVARIATES, NaN where unknown.
        """
        score, weights, error = self._covariate_part(covariates), {}, self.error_sd**2
        for name in self.sequences:
            one = slices[name]
            shares = attention(one, self.gates[name])
            parts = np.einsum("hs,sf,hf->s", shares, one.features, self.effects[name])
            score += float(parts.sum())
            weights[name] = shares.mean(axis=0)
            error += _jackknife(one, self.gates[name], self.effects[name])
        return self._reading(score, math.sqrt(error), weights)

    def score(self, slices: Mapping[str, SliceInput], covariates: np.ndarray) -> float:
        return self.read(slices, covariates).score

    def heat(self, name: str, one: SliceInput, maps: np.ndarray, share: np.ndarray, smallest_sum: float) -> np.ndarray:
        """What every evidence pixel adds to the score over a liver of usual features, (s, j, i).

        Their sum is the sequence's part of the score less that of usual features, where liver fills the slices' sums.
        """
        per_slice = np.einsum("hs,hf->sf", attention(one, self.gates[name]), self.effects[name])
        per_slice = per_slice / (share.sum(axis=(1, 2)) + smallest_sum)[:, None]
        added = np.einsum("sf,sfji->sji", per_slice, maps, optimize=True)
        return (added - (per_slice @ self.usual[name])[:, None, None]) * share

    def probabilities(self, score: float | np.ndarray) -> np.ndarray:
        """Of a stiffness of at least each threshold, (..., t)."""
        return 1 / (1 + np.exp(self.offsets - np.asarray(score, float)[..., None]))

    def _covariate_part(self, covariates: np.ndarray) -> float:
        given = np.where(np.isnan(covariates), self.covariate_means, covariates)
        return float((given - self.covariate_means) @ self.covariate_effects)

    def _reading(self, score: float, error: float, weights: dict[str, np.ndarray]) -> Reading:
        ends = [self.probabilities(score + sign * Z95 * error) for sign in (-1, 1)]
        intervals = [Interval(float(a), float(b)) for a, b in zip(*ends, strict=True)]
        middle = float(np.interp(score, self.knots, self.log_kpa))
        slope = float(np.interp(score + error, self.knots, self.log_kpa)) - middle
        reach = Z95 * math.hypot(self.log_kpa_sd, slope)
        kpa = Interval(math.exp(middle - reach), math.exp(middle + reach))
        chances = self.probabilities(score)
        return Reading(score, error, chances, intervals, math.exp(middle), kpa, weights)

    def to_dict(self) -> dict[str, Any]:
        content = {"format": FORMAT, "sequences": list(self.sequences)}
        for name in ("gates", "effects", "usual"):
            content[name] = {key: np.round(value, 6).tolist() for key, value in getattr(self, name).items()}
        for name in ("covariate_means", "covariate_effects", "offsets", "knots", "log_kpa"):
            content[name] = np.round(getattr(self, name), 6).tolist()
        return {**content, "log_kpa_sd": round(self.log_kpa_sd, 6), "error_sd": round(self.error_sd, 6)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], features: int) -> OrdinalModel:
        """Raises BundleError when it is not what `to_dict` gave, for networks with so many features."""
        try:
            sequences = tuple(data["sequences"])
            maps = {n: {s: np.asarray(data[n][s], float) for s in sequences} for n in ("gates", "effects", "usual")}
            names = ("covariate_means", "covariate_effects", "offsets", "knots", "log_kpa")
            rows = {name: np.asarray(data[name], float) for name in names}
            spread = {name: float(data[name]) for name in ("log_kpa_sd", "error_sd")}
            good = data["format"] == FORMAT and bool(sequences) and set(sequences) <= {"T1", "T2"}
            matrices = [*maps["gates"].values(), *maps["effects"].values()]
            good = good and all(a.ndim == 2 and a.shape[1] == features for a in matrices)
            good = good and all(a.shape == (features,) for a in maps["usual"].values())
            good = good and all(maps["gates"][s].shape == maps["effects"][s].shape for s in sequences)
            good = good and rows["covariate_means"].shape == rows["covariate_effects"].shape == (len(COVARIATES),)
            good = good and rows["offsets"].shape == (len(THRESHOLDS_KPA),)
            good = good and rows["knots"].ndim == 1 and rows["knots"].size > 0
            good = good and rows["knots"].shape == rows["log_kpa"].shape
            every = [*matrices, *maps["usual"].values(), *rows.values()]
            good = good and all(np.isfinite(a).all() for a in every) and all(v >= 0 for v in spread.values())
            good = good and all(np.all(np.diff(rows[n]) >= 0) for n in ("offsets", "log_kpa", "knots"))
        except (KeyError, TypeError, ValueError):
            good = False
        if not good:
            raise BundleError("The stiffness model of the model bundle is damaged; install the bundle again.")
        return cls(sequences, **maps, **rows, **spread)


def attention(one: SliceInput, gates: np.ndarray) -> np.ndarray:
    """Shares (h, s) of the slices, each row summing to 1: features decide, and larger sections count more."""
    scores = one.features @ gates.T + 0.5 * np.log(np.maximum(one.areas_mm2, 1.0))[:, None]
    scores = np.where(one.used[:, None], scores, -np.inf).T
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _jackknife(one: SliceInput, gates: np.ndarray, effects: np.ndarray) -> float:
    """Variance of the sequence's part of the score by leaving out one slice at a time."""
    places = np.flatnonzero(one.used)
    if len(places) < 3:
        return 1.0
    shares = attention(one, gates)[:, places]
    values = (one.features[places] @ effects.T).T
    whole = (shares * values).sum(axis=1, keepdims=True)
    without = ((whole - shares * values) / np.maximum(1 - shares, 1e-6)).sum(axis=0)
    return float((len(places) - 1) / len(places) * ((without - without.mean()) ** 2).sum())


def covariates_of(spleen_ml: float | None, liver_ml: float, ascites_ml: float) -> np.ndarray:
    """COVARIATES from volumes in mL; a missing spleen is NaN."""
    spleen = math.log(spleen_ml) if spleen_ml else math.nan
    return np.array([spleen, math.log(max(liver_ml, 1.0)), math.log1p(ascites_ml / 50.0)])
