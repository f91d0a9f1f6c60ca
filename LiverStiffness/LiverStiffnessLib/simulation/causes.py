"""The causal model behind the simulated cohort: liver stiffness drives signs in MR images; what else varies does not.

A patient has a true stiffness. Fibrosis rises with it, but patients of the same stiffness differ in it, since
inflammation and congestion stiffen a liver too. Fibrosis makes the surface nodular, enlarges caudate and left lobe over
the right lobe, draws a net of septa, lengthens T2, and by portal hypertension enlarges the spleen and may bring
ascites; each sign also varies by itself. Fat, iron, age, body size, vendor, coil shading and noise are drawn without
regard to stiffness: they disturb the images and tell nothing. MR elastography measures the stiffness with an error.

The kinds of sign are those that radiologists know; all effect sizes are assumptions of this project and were not fitted
to patients. Because signs and stiffness are tied by normal distributions, the best possible prediction from noise-free
signs, the oracle, is one sum over stiffness and fibrosis.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass
from functools import lru_cache

import numpy as np

from ..labels import THRESHOLDS_KPA

MEASUREMENT_SD = 0.09  # of the logarithm of the stiffness that elastography measures, the site's own error included
FLAT_BELOW_KPA, PER_KPA = 2.1, 1 / 4.0  # fibrosis from 0 (no more than 2.1 kPa) to 1 (6.1 kPa) and on
LARGEST_FIBROSIS = 1.4
FIBROSIS_SD = 0.28  # between patients of the same stiffness
# Mean at no fibrosis, rise with fibrosis 1, and standard deviation between patients.
SIGNS = {
    "log_nodularity": (math.log(0.35), 1.75, 0.50),  # of mm
    "lobe_shift": (0.05, 0.70, 0.24),
    "log_texture": (math.log(0.035), 1.55, 0.50),  # of the septa's contrast
    "t2_prolongation": (0.0, 0.16, 0.06),
    "log_spleen": (0.0, 0.95, 0.36),  # of its volume over the normal one of the body size
}
ASCITES_LOG_ODDS = (-6.0, 5.5)  # at no fibrosis, and rise with fibrosis 1
# Shares and log stiffness (mean, SD) of livers without and with fibrosing disease, for adults and children.
ADULTS = ((0.48, math.log(2.15), 0.13), (0.52, math.log(3.55), 0.38))
CHILDREN = ((0.60, math.log(2.05), 0.13), (0.40, math.log(2.95), 0.34))
# What the oracle sums over.
STIFFNESS_KPA = np.exp(np.linspace(math.log(1.2), math.log(14.0), 160))
FIBROSIS = np.linspace(-1.0, 2.6, 145)


@dataclass(frozen=True)
class Signs:
    """What the images of one patient show, without noise; see SIGNS for the units."""

    log_nodularity: float
    lobe_shift: float
    log_texture: float
    t2_prolongation: float
    log_spleen: float
    ascites: bool


def mean_fibrosis(stiffness_kpa: float | np.ndarray) -> np.ndarray:
    """Of patients of that true stiffness: from 0 to 1.4."""
    return np.clip((np.asarray(stiffness_kpa, float) - FLAT_BELOW_KPA) * PER_KPA, 0.0, LARGEST_FIBROSIS)


def draw_stiffness(rng: np.random.Generator, child: bool, share_diseased: float | None = None) -> float:
    """True stiffness in kPa; `share_diseased` is of the site or the year, None for the whole population's."""
    groups = CHILDREN if child else ADULTS
    share = groups[1][0] if share_diseased is None else share_diseased
    _, mean, deviation = groups[int(rng.random() < share)]
    return float(np.clip(math.exp(rng.normal(mean, deviation)), 1.3, 13.0))


def draw_signs(stiffness_kpa: float, rng: np.random.Generator) -> Signs:
    """Signs of a patient of that true stiffness."""
    burden = float(mean_fibrosis(stiffness_kpa)) + rng.normal(0.0, FIBROSIS_SD)
    drawn = [rng.normal(start + rise * burden, deviation) for start, rise, deviation in SIGNS.values()]
    odds = ASCITES_LOG_ODDS[0] + ASCITES_LOG_ODDS[1] * burden
    return Signs(*(float(value) for value in drawn), ascites=bool(rng.random() < 1 / (1 + math.exp(-odds))))


def measure_stiffness(stiffness_kpa: float, rng: np.random.Generator) -> float:
    """What elastography gives, kPa."""
    return float(stiffness_kpa * math.exp(rng.normal(0.0, MEASUREMENT_SD)))


@lru_cache(maxsize=2)
def _prior(child: bool) -> np.ndarray:
    """Population's density on STIFFNESS_KPA, per unit of log stiffness; sums to 1."""
    log_kpa = np.log(STIFFNESS_KPA)
    density = sum(w * np.exp(-0.5 * ((log_kpa - m) / s) ** 2) / s for w, m, s in (CHILDREN if child else ADULTS))
    return density / density.sum()


@lru_cache(maxsize=1)
def _fibrosis_density() -> np.ndarray:
    """Of FIBROSIS for each of STIFFNESS_KPA, (stiffness, fibrosis); rows sum to 1."""
    density = np.exp(-0.5 * ((FIBROSIS - mean_fibrosis(STIFFNESS_KPA)[:, None]) / FIBROSIS_SD) ** 2)
    return density / density.sum(axis=1, keepdims=True)


def posterior(signs: Signs, child: bool) -> np.ndarray:
    """Probability of each of STIFFNESS_KPA given noise-free signs, whatever site and year."""
    likelihood = np.zeros(len(FIBROSIS))
    for value, (start, rise, deviation) in zip(astuple(signs), SIGNS.values(), strict=False):
        likelihood -= 0.5 * ((value - start - rise * FIBROSIS) / deviation) ** 2
    has_ascites = 1 / (1 + np.exp(-(ASCITES_LOG_ODDS[0] + ASCITES_LOG_ODDS[1] * FIBROSIS)))
    likelihood += np.log(has_ascites if signs.ascites else 1 - has_ascites)
    density = _prior(child) * (_fibrosis_density() @ np.exp(likelihood - likelihood.max()))
    return density / density.sum()


def oracle(signs: Signs, child: bool) -> np.ndarray:
    """Probability that elastography measures at least each of THRESHOLDS_KPA, (t,): the best any reader could do."""
    from scipy.stats import norm

    limits = np.log(np.array(THRESHOLDS_KPA))[:, None]
    over = norm.sf((limits - np.log(STIFFNESS_KPA)) / MEASUREMENT_SD)
    return over @ posterior(signs, child)


def expected_log_kpa(signs: Signs, child: bool) -> float:
    """Mean of the logarithm of the stiffness given noise-free signs."""
    return float(np.log(STIFFNESS_KPA) @ posterior(signs, child))
