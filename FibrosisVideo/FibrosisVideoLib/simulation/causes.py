"""The causal model behind the simulated cohort: the fibrosis stage drives signs on ultrasound; what else varies, not.

A patient has a biopsy stage F0 to F4. It makes the liver's surface nodular and its capsule irregular, coarsens the
texture, raises the attenuation, blunts the edge, hides the walls of the portal veins, widens the portal vein and
enlarges the spleen. How strongly a patient shows the stage differs, for all signs together and for each by itself.
Steatosis, body size, probe, scanner settings, operator and breathing are drawn without regard to the stage: they
disturb the images and tell nothing. Steatosis raises backscatter and attenuation together, so that the attenuation
beyond what the backscatter explains is the sign.

The kinds of sign are those that sonographers know; all effect sizes are assumptions of this project and were not fitted
to patients. Signs are normal given the stage, so the best possible prediction from noise-free signs, the oracle, is
Bayes' rule. The spleen is not in a cine of the liver: it shows in the platelets, and the oracle does not see it.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass

import numpy as np

STAGE_SHARES = (0.22, 0.24, 0.20, 0.16, 0.18)  # F0 to F4 among those who are examined
# Mean for F0 to F4, and standard deviation between patients of one stage.
SIGNS: dict[str, tuple[tuple[float, ...], float]] = {
    "log_nodularity": (tuple(math.log(mm) for mm in (0.18, 0.28, 0.48, 0.85, 1.6)), 0.85),  # of mm
    "log_irregular": (tuple(math.log(part) for part in (0.12, 0.18, 0.28, 0.42, 0.62)), 0.80),  # of the capsule
    "log_texture": (tuple(math.log(part) for part in (0.10, 0.15, 0.24, 0.36, 0.52)), 0.75),
    "excess_attenuation": ((0.0, 0.01, 0.03, 0.055, 0.08), 0.06),  # dB/cm/MHz
    "logit_blunt": ((-1.7, -1.3, -0.7, 0.0, 0.7), 1.3),
    "walls": ((0.0, -1.0, -2.5, -4.5, -6.5), 3.2),  # dB
    "log_portal": ((0.0, 0.02, 0.06, 0.12, 0.20), 0.14),  # of the caliber over the usual one
}
SPLEEN = ((0.0, 0.05, 0.15, 0.35, 0.65), 0.35)  # log volume over the usual one; not seen in the cine
SHARED = 0.5  # part of each sign's spread that is common to all signs of a patient
SIGN_OF = np.array([1, 1, 1, 1, 1, -1, 1.0])  # direction in which the common part moves each sign
ATTENUATION_PER_DB = 0.014  # of steatosis: attenuation in dB/cm/MHz that comes with one dB of backscatter
SWE_LOG_KPA = ((1.50, 1.62, 1.85, 2.15, 2.60), 0.27)


@dataclass(frozen=True)
class Signs:
    """What the cine of one patient shows, without noise; see SIGNS for the units."""

    log_nodularity: float
    log_irregular: float
    log_texture: float
    excess_attenuation: float
    logit_blunt: float
    walls: float
    log_portal: float


def draw_stage(rng: np.random.Generator) -> int:
    """0 to 4."""
    return int(rng.choice(5, p=STAGE_SHARES))


def _means() -> np.ndarray:
    """(5, signs)."""
    return np.array([mean for mean, _ in SIGNS.values()]).T


def _covariance() -> np.ndarray:
    """(signs, signs), the same for every stage."""
    spread = np.array([deviation for _, deviation in SIGNS.values()])
    common = SIGN_OF * spread * SHARED
    return np.outer(common, common) + np.diag(spread**2 * (1 - SHARED**2))


def draw_signs(stage: int, rng: np.random.Generator) -> Signs:
    """Signs of a patient of that stage."""
    return Signs(*(float(value) for value in rng.multivariate_normal(_means()[stage], _covariance())))


def oracle(signs: Signs) -> np.ndarray:
    """Probability of each stage given noise-free signs, (5,): the best that any reader of the cine could do."""
    return oracle_of(np.array([astuple(signs)]))[0]


def oracle_of(signs: np.ndarray) -> np.ndarray:
    """The same for the signs (n, signs) of many patients, (n, 5)."""
    away = signs[:, None] - _means()[None]
    exponent = -0.5 * np.einsum("nsa,ab,nsb->ns", away, np.linalg.inv(_covariance()), away)
    weight = np.exp(exponent - exponent.max(axis=1, keepdims=True)) * STAGE_SHARES
    return weight / weight.sum(axis=1, keepdims=True)
