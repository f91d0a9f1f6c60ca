"""The causal model of the simulated cohort: HBV-ACLF from admission (day 0, T0) to day 5 (T1), and what becomes of it.

Four latent normal variables drive everything. Severity on admission and course until day 5 (over 0: deterioration,
under 0: recovery) have correlation 0.3; the background of chronic liver disease and the body size are their own. Signs
on ultrasound tell of severity and background at T0, and their change until T1 tells of the course. Clinical values are
those of admission: they tell more of severity than of the course, with which they drift until day 5.

    value at T0 = start + severity s + background k + body b + spread e
    value at T1 = value at T0 + course c + change_spread e'

with the columns of SIGNS and the like ones of LABS; e are fresh standard normal numbers. What is named log_ is the
natural logarithm; ascites cannot be under 0 mL, which is where the simulated fluid is cut off.

    log hazard = 0.8 s + 2.1 c + 0.3 k + 0.5 (age - 46) / 11 + 0.4 f      f: frailty, which nothing shows

so that the change between the two images matters most. Death strikes after day 5: everybody in the cohort is alive and
without a transplant then, since there is no T1 otherwise. The cumulative hazard of a patient of log hazard 0 rises to
0.33 and levels off, as the danger of an episode does. Transplantation competes with death: its hazard rises with
severity and course, and patients over 65 years are not transplanted. Follow-up ends on day 90; a few are lost before.

The kinds of sign and the directions are those that sonographers and hepatologists know; the effect sizes are
assumptions of this project and were not fitted to patients. About 36 % are seen to die within 30 days, which is usual
for HBV-ACLF. The lungs are spared: SpO2/FiO2 does not depend on anything here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np

from PrognosisLib.clinical_fields import FIELDS
from PrognosisLib.errors import InputError

COHORT_NAME = "simulated cohort of HBV-ACLF with ultrasound at day 0 and 5, version 1"
SECOND_DAY, HORIZON_DAYS, LAST_DAY = 5.0, 30.0, 90.0
CENSORED, DIED, TRANSPLANTED = 0, 1, 2
CORRELATION = 0.3  # of severity and course
LOG_HAZARD = {"severity": 0.8, "course": 2.1, "background": 0.3, "age": 0.5, "frailty": 0.4}
MEAN_AGE, AGE_SD, AGE_LIMITS = 46.0, 11.0, (18.0, 80.0)
FINAL_HAZARD, DANGER_DAYS, DANGER_SHAPE = 0.33, 20.0, 1.4
TRANSPLANT_DAYS, TRANSPLANT_EFFECTS, TRANSPLANT_UP_TO = 300.0, {"severity": 0.35, "course": 0.6}, 65.0
LOST_DAYS = 500.0  # mean time until a patient is lost to follow-up


class SignLaw(NamedTuple):
    """How a sign comes about; see the top of this file."""

    start: float
    severity: float
    background: float
    body: float
    spread: float
    course: float
    change_spread: float


SIGNS: dict[str, SignLaw] = {
    "log_coarseness": SignLaw(0.45, 0.15, 0.40, 0.0, 0.30, 0.30, 0.255),  # of the texture over a normal liver's
    "log_volume": SignLaw(0.0, -0.06, -0.10, 0.14, 0.12, -0.13, 0.11),  # of the liver, over 1,500 mL
    "log_nodularity": SignLaw(math.log(0.7), 0.05, 0.55, 0.0, 0.35, 0.22, 0.20),  # of mm; blunts the edge as well
    "ascites_ml": SignLaw(300.0, 350.0, 300.0, 0.0, 400.0, 300.0, 255.0),  # mL, cut off at 0
    "log_wall": SignLaw(math.log(3.8), 0.20, 0.10, 0.0, 0.22, 0.20, 0.17),  # of mm, gallbladder
    "portal_mm": SignLaw(12.5, 0.30, 1.00, 0.5, 0.90, 0.90, 0.80),  # caliber of the portal vein; its flow slows
    "echogenicity_db": SignLaw(1.0, -1.0, 1.0, 0.0, 1.5, -1.6, 1.45),  # over a normal liver
}
FLUID = "ascites_ml"
SLIGHT_UP_TO_ML = 900.0


class LabLaw(NamedTuple):
    """How a clinical value comes about on admission (`extra` is for males), and how it drifts until day 5."""

    start: float
    severity: float
    course: float
    background: float
    spread: float
    drift: float
    drift_spread: float
    is_log: bool = True
    digits: int = 1
    extra: float = 0.0


LABS: dict[str, LabLaw] = {
    "bilirubin": LabLaw(5.60, 0.28, 0.04, 0.0, 0.38, 0.12, 0.12),
    "inr": LabLaw(0.80, 0.18, 0.05, 0.04, 0.22, 0.14, 0.10, digits=2),
    "creatinine": LabLaw(4.28, 0.12, 0.05, 0.0, 0.30, 0.12, 0.15, digits=0, extra=0.12),
    "sodium": LabLaw(136.0, -1.0, 0.0, -0.8, 3.8, -0.6, 2.0, is_log=False, digits=0),
    "albumin": LabLaw(31.0, -0.9, 0.0, -1.2, 4.0, -0.5, 1.5, is_log=False),
    "platelets": LabLaw(4.60, -0.12, 0.0, -0.25, 0.40, -0.08, 0.12, digits=0),
    "neutrophils": LabLaw(1.60, 0.16, 0.08, 0.0, 0.42, 0.12, 0.25, digits=2),
    "urea": LabLaw(1.65, 0.14, 0.05, 0.0, 0.36, 0.12, 0.20, digits=2),
    "lactate": LabLaw(0.70, 0.20, 0.10, 0.0, 0.35, 0.18, 0.20, digits=2),
    "mean_arterial_pressure": LabLaw(86.0, -2.5, -1.0, 0.0, 9.5, -2.5, 6.0, is_log=False, digits=0),
}
# Encephalopathy: grade by these limits of a hidden value of the same form.
BRAIN = LabLaw(0.0, 0.6, 0.2, 0.0, 0.8, 0.5, 0.4, is_log=False)
BRAIN_LIMITS = (0.75, 1.2, 1.65, 2.1)
SUPPORTED_UNDER_MMHG, REPLACED_FROM_UMOL = 64.0, 400.0
MALE_SHARE = 0.82
CLINICAL = ("age", "sex", *LABS, "encephalopathy", "ascites", "wbc", "vasopressors", "renal_replacement", "spo2_fio2")
CHANGING = tuple(key for key in CLINICAL if key not in ("age", "sex"))
LATENTS = ("severity", "course", "background", "body", "frailty")


@dataclass(frozen=True)
class Signs:
    """What an image shows, without noise; see SIGNS for the units."""

    log_coarseness: float
    log_volume: float
    log_nodularity: float
    ascites_ml: float
    log_wall: float
    portal_mm: float
    echogenicity_db: float


@dataclass(frozen=True)
class Patient:
    """One simulated patient.

    Args:
        first, second: what the images of T0 and T1 show.
        clinical: values of admission by key of clinical_fields.py; clinical_day5: the same on day 5.
        days: observed time from T0; status: CENSORED, DIED or TRANSPLANTED.
        truth: latent variables, "log_hazard" and "mortality_30", the probability of death within 30 days without a
            transplant given all causes.
    """

    first: Signs
    second: Signs
    clinical: Mapping[str, Any]
    clinical_day5: Mapping[str, Any]
    days: float
    status: int
    truth: Mapping[str, float]


def cumulative_hazard(days: float | np.ndarray) -> np.ndarray:
    """Of death until `days` after T0, for log hazard 0; it is 0 until day 5."""
    after = np.maximum(np.asarray(days, float) - SECOND_DAY, 0.0)
    return -FINAL_HAZARD * np.expm1(-((after / DANGER_DAYS) ** DANGER_SHAPE))


def mortality(log_hazard: float | np.ndarray, days: float = HORIZON_DAYS) -> np.ndarray:
    """Probability of death until `days` after T0 without a transplant, given all causes."""
    return -np.expm1(-cumulative_hazard(days) * np.exp(log_hazard))


def draw_cohort(n: int, seed: int) -> dict[str, np.ndarray]:
    """Columns (n,) of `n` patients, the same for the same seed.

    "t0_<sign>" and "t1_<sign>" of SIGNS, the clinical values of admission by CLINICAL's keys and of day 5 as
    "<key>_day5", "days" and "status", and "true_<name>" of LATENTS, log_hazard and mortality_30.

    Raises:
        InputError: n is not a positive whole number.
    """
    if n < 1:
        raise InputError(f"a cohort needs at least one patient, not {n}.")
    rng = np.random.default_rng([seed, 2551819])
    latent = {name: rng.standard_normal(n) for name in LATENTS}
    latent["course"] = CORRELATION * latent["severity"] + math.sqrt(1 - CORRELATION**2) * latent["course"]
    columns = {**_signs(latent, n, rng), **_clinical(latent, n, rng)}
    for when in ("", "_day5"):
        fluid = columns[f"t{int(bool(when))}_{FLUID}"]
        columns["ascites" + when] = np.array(FIELDS["ascites"].choices)[
            (fluid > 0).astype(int) + (fluid > SLIGHT_UP_TO_ML)
        ]
    age = (columns["age"] - MEAN_AGE) / AGE_SD
    log_hazard = sum(LOG_HAZARD[name] * latent[name] for name in LOG_HAZARD if name != "age") + LOG_HAZARD["age"] * age
    columns["days"], columns["status"] = _outcome(log_hazard, latent, columns["age"], rng)
    truth = {**latent, "log_hazard": log_hazard, "mortality_30": mortality(log_hazard)}
    return columns | {f"true_{name}": values for name, values in truth.items()}


def _signs(latent: Mapping[str, np.ndarray], n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    first, second = {}, {}
    for name, law in SIGNS.items():
        start = law.start + sum(getattr(law, one) * latent[one] for one in ("severity", "background", "body"))
        value = start + law.spread * rng.standard_normal(n)
        later = value + law.course * latent["course"] + law.change_spread * rng.standard_normal(n)
        lowest = 0.0 if name == FLUID else -np.inf
        first[f"t0_{name}"], second[f"t1_{name}"] = np.maximum(value, lowest), np.maximum(later, lowest)
    return {**first, **second}


def _clinical(latent: Mapping[str, np.ndarray], n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Everything but ascites."""
    columns = {"age": np.clip(MEAN_AGE + AGE_SD * rng.standard_normal(n), *AGE_LIMITS).round(1)}
    male = rng.random(n) < MALE_SHARE
    columns["sex"] = np.where(male, "male", "female")
    for key, law in (*LABS.items(), ("encephalopathy", BRAIN)):
        at_first = law.start + law.extra * male + law.spread * rng.standard_normal(n)
        at_first = at_first + sum(getattr(law, one) * latent[one] for one in ("severity", "course", "background"))
        later = at_first + law.drift * latent["course"] + law.drift_spread * rng.standard_normal(n)
        for when, value in (("", at_first), ("_day5", later)):
            columns[key + when] = np.digitize(value, BRAIN_LIMITS) if law is BRAIN else _reported(key, law, value)
    for when in ("", "_day5"):
        cells = columns["neutrophils" + when] * np.exp(0.35 + 0.10 * rng.standard_normal(n))
        columns["wbc" + when] = cells.round(2)
        columns["vasopressors" + when] = columns["mean_arterial_pressure" + when] < SUPPORTED_UNDER_MMHG
        columns["renal_replacement" + when] = columns["creatinine" + when] >= REPLACED_FROM_UMOL
        columns["spo2_fio2" + when] = np.clip(445 + 20 * rng.standard_normal(n), 300, 476).round()
    return columns


def _reported(key: str, law: LabLaw, value: np.ndarray) -> np.ndarray:
    low, high = FIELDS[key].sure or (FIELDS[key].low, FIELDS[key].high)
    return np.clip((np.exp(value) if law.is_log else value).round(law.digits), low, high)


def _outcome(
    log_hazard: np.ndarray, latent: Mapping[str, np.ndarray], age: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Observed days and status: the first of death, transplantation, loss and the end of follow-up."""
    n = len(log_hazard)
    spent = rng.exponential(size=n) * np.exp(-log_hazard) / FINAL_HAZARD
    with np.errstate(divide="ignore", invalid="ignore"):
        death = np.where(spent < 1, DANGER_DAYS * (-np.log1p(-spent)) ** (1 / DANGER_SHAPE), np.inf)
    wish = sum(effect * latent[name] for name, effect in TRANSPLANT_EFFECTS.items())
    transplant = np.where(age > TRANSPLANT_UP_TO, np.inf, TRANSPLANT_DAYS * rng.exponential(size=n) * np.exp(-wish))
    lost = np.minimum(LAST_DAY - SECOND_DAY, rng.exponential(LOST_DAYS, n))
    times = np.stack([lost, death, transplant])
    status = np.argmin(times, axis=0)
    return (SECOND_DAY + np.maximum(times.min(axis=0), 0.01)).round(2), status


def draw_seeds(seeds: Iterable[int]) -> dict[str, np.ndarray]:
    """The columns of `draw_cohort` for the patients of `draw_patient`, one row for each seed."""
    rows = [draw_cohort(1, seed) for seed in seeds]
    if not rows:
        raise InputError("a cohort needs at least one patient, not 0.")
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def draw_patient(seed: int) -> Patient:
    """The patient of a seed: the only one of `draw_cohort(1, seed)`."""
    row = {name: values[0].item() for name, values in draw_cohort(1, seed).items()}
    names = [one.name for one in fields(Signs)]
    first, second = (Signs(**{name: row[f"{when}_{name}"] for name in names}) for when in ("t0", "t1"))
    clinical = {key: row[key] for key in CLINICAL}
    later = {**clinical, **{key: row[f"{key}_day5"] for key in CHANGING}}
    truth = {name.removeprefix("true_"): value for name, value in row.items() if name.startswith("true_")}
    return Patient(first, second, clinical, later, row["days"], row["status"], truth)
