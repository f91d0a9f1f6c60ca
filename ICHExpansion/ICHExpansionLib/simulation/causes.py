"""The causal model of hematoma growth behind the simulated cohort: what drives it, how much, and what it leads to.

A hemorrhage either goes on bleeding or has stopped. The log odds of going on are linear in volume, time, treatment and
the signs that the image shows; how much it then grows is random. Odds ratios are near published ones where the sources
below give them, shared out among signs that go together; the others are our assumptions. Nothing here was fitted to
patients.

Sources: Al-Shahi Salman et al., Lancet Neurol 2018;17:885 (antiplatelet 1.68, anticoagulant 3.48, earlier CT and larger
volume raise the risk); Wang et al., Stroke 2015;46:376 (time: about 1.24 for each hour earlier; intraventricular blood
1.5); Morotti et al., Neurology 2020;95:632 (unadjusted: black hole 3.7, islands 7.9, uneven density 2.7, irregular
shape 2.0); about one in five to three expands.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..definition import DEFAULT_DEFINITION, Definition
from ..measuring.signs import Signs

# Log odds of going on to bleed; see `log_odds` for what each is multiplied with.
INTERCEPT = -1.75
EFFECTS = {
    "log_volume": 0.60,  # for each unit of ln(volume / 12 mL), up to 75 mL
    "density_sd": 0.13,  # for each HU of the clot's density SD over 4 HU (assumption, from the unadjusted 2.7)
    "irregularity": 1.60,  # for each unit of the shape index over 1.25 (assumption, from the unadjusted 2.0)
    "islands": 0.40,  # for each island, up to 3 (three: odds ratio 3.3; unadjusted 7.9)
    "black_hole": 0.85,  # odds ratio 2.3 (unadjusted 3.7)
    "ventricular": 0.40,  # odds ratio 1.5
    "log_hours": -0.60,  # for each unit of ln(hours / 2.5)
    "anticoagulant": 1.25,  # odds ratio 3.48
    "antiplatelet": 0.52,  # odds ratio 1.68
    "pressure": 0.05,  # for each 10 mmHg over 165 (assumption: weak)
}
GROWTH_MEDIAN, GROWTH_SIGMA = 0.75, 0.75  # relative growth of those who go on: log-normal
LARGEST_GROWTH_ML = 80.0
STOPPED_MEAN, STOPPED_SD = 0.02, 0.06  # of the others: normal


@dataclass(frozen=True)
class ImageCauses:
    """What the image shows of the causes, measured on the truth mask and the noise-free density."""

    volume_ml: float
    density_sd: float
    irregularity: float
    islands: float
    black_hole: float
    ventricular: float

    @classmethod
    def of(cls, signs: Signs, ventricular_ml: float) -> ImageCauses:
        return cls(
            signs.volume_ml,
            signs.hu_sd,
            signs.irregularity,
            float(signs.islands),
            float(signs.black_hole),
            float(ventricular_ml > 0.5),
        )

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> ImageCauses:
        """From the columns `true_<name>` of a cohort file."""
        return cls(*(float(row[f"true_{name}"]) for name in cls.__dataclass_fields__))

    def log_odds(self) -> float:
        """Their part of the log odds of going on to bleed."""
        return (
            EFFECTS["log_volume"] * math.log(min(75.0, max(0.5, self.volume_ml)) / 12.0)
            + EFFECTS["density_sd"] * (min(self.density_sd, 14.0) - 4.0)
            + EFFECTS["irregularity"] * (min(self.irregularity, 3.0) - 1.25)
            + EFFECTS["islands"] * min(self.islands, 3.0)
            + EFFECTS["black_hole"] * self.black_hole
            + EFFECTS["ventricular"] * self.ventricular
        )


def clinical_log_odds(clinical: Mapping[str, Any]) -> float:
    """The part of the clinical values; all causes among them must be there."""
    return (
        EFFECTS["log_hours"] * math.log(clinical["onset_to_ct"] / 2.5)
        + EFFECTS["anticoagulant"] * (clinical["anticoagulant"] != "none")
        + EFFECTS["antiplatelet"] * bool(clinical["antiplatelet"])
        + EFFECTS["pressure"] * (clinical["systolic_pressure"] - 165.0) / 10.0
    )


def going_on(image: float | np.ndarray, clinical: float | np.ndarray) -> np.ndarray:
    """Probability of going on to bleed from both parts of the log odds."""
    return 1 / (1 + np.exp(-(INTERCEPT + np.asarray(image) + clinical)))


def expansion_probability(
    volume_ml: float | np.ndarray, active: float | np.ndarray, definition: Definition = DEFAULT_DEFINITION
) -> np.ndarray:
    """Probability that growth meets a definition, given the volume and the probability of going on to bleed."""
    from scipy.stats import norm

    limit = definition.relative_limit(np.asarray(volume_ml, float))
    grows = norm.sf((np.log(np.maximum(limit, 1e-9)) - np.log(GROWTH_MEDIAN)) / GROWTH_SIGMA)
    rests = norm.sf((limit - STOPPED_MEAN) / STOPPED_SD)
    return active * grows + (1 - active) * rests


def draw_growth(volume_ml: float, active: float, rng: np.random.Generator) -> float:
    """Growth in mL until the follow-up; may be slightly negative."""
    goes_on = rng.random() < active
    grown, rested = rng.lognormal(math.log(GROWTH_MEDIAN), GROWTH_SIGMA), rng.normal(STOPPED_MEAN, STOPPED_SD)
    return float(min(LARGEST_GROWTH_ML, volume_ml * (grown if goes_on else rested)))


def draw_clinical(volume_ml: float, location: str, ventricular: bool, rng: np.random.Generator) -> dict[str, Any]:
    """Clinical values of a patient. Consciousness and deficit follow from the hemorrhage; the causes do not."""
    age = float(np.clip(rng.normal(66, 13), 25, 98))
    heavy = math.log(volume_ml / 12.0) + (0.5 if ventricular else 0) + (0.5 if location == "brainstem" else 0)
    deficit = 11 + 4.5 * heavy + (2.5 if location in ("putamen", "thalamus") else 0) + rng.normal(0, 5)
    coma = 13.6 - 1.7 * heavy + rng.normal(0, 1.6)
    treated = rng.random() < (0.08 if age < 60 else 0.18)
    diabetes = bool(rng.random() < 0.25)
    anticoagulant = str(rng.choice(["warfarin", "other"], p=[0.5, 0.5])) if treated else "none"
    inr = rng.normal(2.7, 0.6) if anticoagulant == "warfarin" else rng.normal(1.25 if treated else 1.05, 0.10)
    return {
        "age": round(age),
        "sex": str(rng.choice(["female", "male"], p=[0.42, 0.58])),
        "gcs": int(np.clip(round(coma), 3, 15)),
        "nihss": int(np.clip(round(deficit), 0, 42)),
        "onset_to_ct": round(float(np.clip(rng.lognormal(math.log(2.6), 0.75), 0.4, 23.0)), 2),
        "anticoagulant": anticoagulant,
        "antiplatelet": bool(rng.random() < (0.15 if age < 60 else 0.32)),
        "glucose": round(float(np.clip(rng.lognormal(math.log(175 if diabetes else 122), 0.25), 60, 500))),
        "systolic_pressure": round(float(np.clip(rng.normal(172, 26), 90, 260))),
        "inr": round(float(np.clip(inr, 0.8, 8.0)), 2),
        "prior_ich": bool(rng.random() < 0.06),
        "hypertension": bool(rng.random() < 0.75),
        "diabetes": diabetes,
        "infratentorial": location in ("cerebellum", "brainstem"),
    }
