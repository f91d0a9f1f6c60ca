"""The best possible prediction in the simulated cohort: what images, clinical values or both can tell of 30 days.

Given the latent variables all observations of causes.py are independent and, but for ascites and encephalopathy,
normal. So the latents given the normal observations are normal, in closed form; the others weigh the points of a
Gauss-Hermite quadrature over severity, course and background. What nothing shows is averaged over as well. No model,
however large its training cohort, can rank patients better on average.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from PrognosisLib.clinical_fields import FIELDS
from PrognosisLib.errors import InputError

from .causes import (
    AGE_SD,
    BRAIN,
    BRAIN_LIMITS,
    CORRELATION,
    FLUID,
    HORIZON_DAYS,
    LABS,
    LOG_HAZARD,
    MEAN_AGE,
    SIGNS,
    SLIGHT_UP_TO_ML,
    mortality,
)

IMAGES = ("none", "t0", "both")
# What is known to each model at best: images, and whether the clinical values too.
KNOWN = {
    "clinical": ("none", True),
    "siamese": ("both", False),
    "siamese_t0": ("t0", False),
    "combined": ("both", True),
    "combined_t0": ("t0", True),
}
NODES, UNSEEN_NODES, FLUID_NODES = 9, 41, 16
CHUNK = 400  # patients at once
_SEEN = ("severity", "course", "background")  # latents that move the hazard; the body size does not


class _Observed(NamedTuple):
    """Normal observations: loadings (m, 4) on severity, course, background and body, residuals (n, m), variances."""

    loadings: np.ndarray
    residuals: np.ndarray
    variances: np.ndarray


def expected_mortality(
    columns: Mapping[str, np.ndarray], images: str = "both", clinical: bool = True, days: float = HORIZON_DAYS
) -> np.ndarray:
    """Probability (n,) of death until `days` without a transplant, given what is known of each patient.

    Args:
        columns: as `draw_cohort` gives them; columns of what is not known are not read.
        images: "both", "t0" or "none"; clinical: whether the values of admission are known.

    Raises:
        InputError: nothing is known, or `images` is none of these.
    """
    if images not in IMAGES or (images == "none" and not clinical):
        raise InputError(f"the best possible prediction needs images ({', '.join(IMAGES)}) or clinical values.")
    seen = _observed(columns, images, clinical)
    prior = np.eye(4)
    prior[0, 1] = prior[1, 0] = CORRELATION
    weighted = seen.loadings / seen.variances[:, None]
    covariance = np.linalg.inv(np.linalg.inv(prior) + seen.loadings.T @ weighted)
    means = seen.residuals @ weighted @ covariance
    points, weights = _grid(np.linalg.cholesky(covariance[:3, :3]))
    effects = np.array([LOG_HAZARD[name] for name in _SEEN])
    age = LOG_HAZARD["age"] * (columns["age"] - MEAN_AGE) / AGE_SD if clinical else np.zeros(len(means))
    table = _averaged(0.0 if clinical else LOG_HAZARD["age"], days)
    found = np.empty(len(means))
    for start in range(0, len(means), CHUNK):
        rows = slice(start, start + CHUNK)
        latent = means[rows, None, :3] + points[None]
        chance = weights * _likelihood(columns, rows, latent, images, clinical) + 1e-300
        died = np.interp(latent @ effects + age[rows, None], *table)
        found[rows] = (chance * died).sum(axis=1) / chance.sum(axis=1)
    return found


def _observed(columns: Mapping[str, np.ndarray], images: str, clinical: bool) -> _Observed:
    loadings, residuals, variances = [], [], []
    for name, law in SIGNS.items() if images != "none" else ():
        if name == FLUID:
            continue
        loadings.append((law.severity, 0.0, law.background, law.body))
        residuals.append(columns[f"t0_{name}"] - law.start)
        variances.append(law.spread**2)
        if images == "both":
            loadings.append((0.0, law.course, 0.0, 0.0))
            residuals.append(columns[f"t1_{name}"] - columns[f"t0_{name}"])
            variances.append(law.change_spread**2)
    for key, law in LABS.items() if clinical else ():
        value = np.log(columns[key]) if law.is_log else columns[key]
        loadings.append((law.severity, law.course, law.background, 0.0))
        residuals.append(value - law.start - law.extra * (columns["sex"] == "male"))
        variances.append(law.spread**2)
    return _Observed(np.array(loadings), np.stack(residuals, axis=1), np.array(variances))


def _grid(root: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points (q, 3) around the mean and weights (q,) of a normal density whose covariance is root root'."""
    x, w = np.polynomial.hermite_e.hermegauss(NODES)
    places = np.stack(np.meshgrid(x, x, x, indexing="ij"), axis=-1).reshape(-1, 3)
    weights = (w[:, None, None] * w[None, :, None] * w[None, None, :]).ravel()
    return places @ root.T, weights / weights.sum()


def _averaged(age_effect: float, days: float) -> tuple[np.ndarray, np.ndarray]:
    """Log hazards without frailty (and age), and the mortality averaged over these."""
    x, w = np.polynomial.hermite_e.hermegauss(UNSEEN_NODES)
    shown = np.linspace(-25.0, 25.0, 2001)
    hidden = math.hypot(LOG_HAZARD["frailty"], age_effect) * x
    return shown, mortality(shown[:, None] + hidden[None], days) @ (w / w.sum())


def _likelihood(
    columns: Mapping[str, np.ndarray], rows: slice, latent: np.ndarray, images: str, clinical: bool
) -> np.ndarray:
    """Of ascites and encephalopathy, (n, q), at latents (n, q, 3); a factor for each patient is left out."""
    from scipy.special import ndtr

    severity, course, background = np.moveaxis(latent, -1, 0)
    found = np.ones(severity.shape)
    law = SIGNS[FLUID]
    fluid = law.start + law.severity * severity + law.background * background
    if images != "none":
        later = columns[f"t1_{FLUID}"][rows, None] if images == "both" else None
        found = found * _fluid_likelihood(columns[f"t0_{FLUID}"][rows, None], later, fluid, law.course * course)
    elif clinical:
        grade = np.array([FIELDS["ascites"].choices.index(one) for one in columns["ascites"][rows]])
        ends = np.array([-np.inf, 0.0, SLIGHT_UP_TO_ML, np.inf])
        low, high = ends[grade][:, None], ends[grade + 1][:, None]
        found = found * (ndtr((high - fluid) / law.spread) - ndtr((low - fluid) / law.spread))
    if clinical:
        grade, ends = columns["encephalopathy"][rows], np.array([-np.inf, *BRAIN_LIMITS, np.inf])
        hidden = BRAIN.start + BRAIN.severity * severity + BRAIN.course * course
        low, high = ends[grade][:, None], ends[grade + 1][:, None]
        found = found * (ndtr((high - hidden) / BRAIN.spread) - ndtr((low - hidden) / BRAIN.spread))
    return found


def _fluid_likelihood(first: np.ndarray, second: np.ndarray | None, mean: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Of the ascites at T0 and T1 (None: not known), each cut off at 0.

    Args:
        first, second: (n, 1) mL; mean: (n, q) of the uncut amount at T0; change: (n, q) mean change.
    """
    from scipy.special import ndtr

    law = SIGNS[FLUID]
    wet = first > 0
    found = np.where(wet, np.exp(-0.5 * ((first - mean) / law.spread) ** 2), ndtr(-mean / law.spread))
    if second is None:
        return found
    # Seen at T0: the change is normal, and cut off where nothing is left.
    moved = (second - first - change) / law.change_spread
    after_wet = np.where(second > 0, np.exp(-0.5 * moved**2), ndtr(moved))
    return np.where(wet, found * after_wet, _from_dry(second, mean, change))


def _from_dry(second: np.ndarray, mean: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Likelihood of the amount at T1 and of none at T0, summed over what the uncut amount at T0 may have been."""
    from scipy.special import ndtr, ndtri

    law = SIGNS[FLUID]
    x, w = np.polynomial.legendre.leggauss(FLUID_NODES)
    dry = ndtr(-mean / law.spread)
    found = np.zeros(mean.shape)
    for place, weight in zip((x + 1) / 2, w / 2, strict=True):
        hidden = mean + law.spread * ndtri(np.maximum(place * dry, 1e-300))
        moved = (second - hidden - change) / law.change_spread
        found += weight * np.where(second > 0, np.exp(-0.5 * moved**2), ndtr(moved))
    return dry * found
