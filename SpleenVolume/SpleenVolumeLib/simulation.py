"""Simulated cohort of patients with hepatocellular carcinoma before TACE, from a causal model that is known in full.

No real patient is behind it. Letters are standard normal latent variables; `e` is fresh standard normal noise.

| variable               | caused by       | equation (chosen, unless a source is named)                               |
| ---------------------- | --------------- | ------------------------------------------------------------------------- |
| b body size            | -               | N(0, 1)                                                                   |
| c liver dysfunction    | -               | N(0, 1), severity of cirrhosis                                            |
| p portal hypertension  | c               | 0.65 c + 0.76 e                                                           |
| t tumor burden         | -               | N(0, 1)                                                                   |
| f frailty (never seen) | -               | N(0, 1): everything that no feature shows                                 |
| age, years             | -               | 67 + 9 e, 30 to 92                                                        |
| sex                    | -               | 80 % male                                                                 |
| spleen volume, mL      | p, b            | log: 6.20 + 0.44 p + 0.10 b + 0.12 e; mean 551 mL (Mueller 2022)          |
| liver volume, mL       | b, c, t         | log: 7.31 + 0.14 b - 0.08 c + 0.05 t + 0.12 e                             |
| bilirubin, umol/L      | c               | log: 2.85 + 0.38 c + 0.40 e                                               |
| albumin, g/L           | c               | 36 - 3.4 c + 3.2 e                                                        |
| INR                    | c               | log: 0.16 + 0.08 c + 0.08 e                                               |
| creatinine, umol/L     | p, age, sex     | log: 4.30 + 0.05 p + 0.007 (age - 67) + 0.20 male + 0.22 e                |
| sodium, mmol/L         | p               | 138.5 - 1.2 p + 2.4 e                                                     |
| platelets, 10^9/L      | p               | log: 4.95 - 0.36 p + 0.32 e                                               |
| AFP, ng/mL             | t               | log10: 1.5 + 0.65 t + 0.90 e                                              |
| largest tumor, cm      | t               | log: 1.50 + 0.42 t + 0.35 e                                               |
| number of tumors       | t               | 1 + Poisson(exp(0.55 + 0.40 t + 0.60 e))                                  |
| ascites                | p, c            | 0.7 p + 0.5 c + 0.7 e: slight over 1.28 (16 % have some: J Clin           |
|                        |                 | Gastroenterol 2011;45:556), moderate over 1.95                            |
| encephalopathy grade   | p, c            | 0.5 p + 0.6 c + 0.8 e: 1 over 2.2, 2 over 2.9                             |
| death, log hazard      | c, p, t, age, f | 0.34 c + 0.34 p + 0.45 t + 0.15 (age - 67) / 10 + 0.40 f                  |
| survival, months       | log hazard      | Weibull, shape 1.20, scale 22.0: median 22.0 below and 10.9 above the     |
|                        |                 | median spleen volume (the published 22.0 and 10.9; Mueller 2022)          |
| decompensation within  | c, p, t         | logistic: -2.05 + 0.65 c + 0.70 p + 0.25 t; 17 % (the share of liver      |
| 3 months of TACE       |                 | failure in J Clin Gastroenterol 2011;45:556, patients with ascites)       |
| censoring, months      | -               | earlier of uniform 6 to 72 (study's end) and exponential, mean 120 (lost) |

Spleen volume has no arrow to any outcome: it tells of portal hypertension, which has. Mueller 2022 is Mueller et al.,
Eur Radiol 2022;32:6302 (published, other data, n = 327). Tests hold the cohort to the numbers in this table.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from PrognosisLib.clinical_fields import FIELDS
from PrognosisLib.errors import InputError

if TYPE_CHECKING:
    import pandas

    from PrognosisLib.simulation.anatomy import AbdomenParameters

COHORT_NAME = "simulated cohort of HCC patients before TACE, version 1"
CLINICAL = (
    "age",
    "sex",
    "bilirubin",
    "albumin",
    "inr",
    "creatinine",
    "sodium",
    "platelets",
    "afp",
    "ascites",
    "encephalopathy",
    "tumor_size",
    "tumor_number",
)
IMAGING = ("spleen_volume_ml", "liver_volume_ml")
OUTCOMES = ("survival_months", "died", "decompensated")
TRUTH = ("body", "dysfunction", "portal_hypertension", "tumor_burden", "frailty", "log_hazard", "decompensation_risk")
WEIBULL_SHAPE, WEIBULL_SCALE_MONTHS = 1.20, 22.0
SPLEEN_LIMITS_ML = (60.0, 3000.0)
LIVER_LIMITS_ML = (650.0, 3200.0)


def simulate_cohort(n: int, seed: int) -> pandas.DataFrame:
    """Draw `n` patients.

    Columns: CLINICAL (units and ranges of clinical_fields.py), IMAGING (mL), OUTCOMES (survival_months is the observed
    time, died 1 or 0 for censored, decompensated 1 or 0) and TRUTH (latent causes and true risks, prefixed "true_":
    never to be used as predictors).

    Raises:
        InputError: n is not a positive whole number.
    """
    import pandas

    if n < 1:
        raise InputError(f"a cohort needs at least one patient, not {n}.")
    rng = np.random.default_rng(seed)

    def e(scale: float = 1.0) -> np.ndarray:
        return scale * rng.standard_normal(n)

    b, c, t, f = e(), e(), e(), e()
    p = 0.65 * c + e(0.76)
    age = np.clip(67 + e(9), 30, 92)
    male = rng.random(n) < 0.8
    ascites = 0.7 * p + 0.5 * c + e(0.7)
    encephalopathy = 0.5 * p + 0.6 * c + e(0.8)
    columns: dict[str, Any] = {
        "age": age.round(1),
        "sex": np.where(male, "male", "female"),
        "bilirubin": np.exp(2.85 + 0.38 * c + e(0.40)).round(1),
        "albumin": (36 - 3.4 * c + e(3.2)).round(1),
        "inr": np.exp(0.16 + 0.08 * c + e(0.08)).round(2),
        "creatinine": np.exp(4.30 + 0.05 * p + 0.007 * (age - 67) + 0.20 * male + e(0.22)).round(),
        "sodium": (138.5 - 1.2 * p + e(2.4)).round(),
        "platelets": np.exp(4.95 - 0.36 * p + e(0.32)).round(),
        "afp": (10 ** (1.5 + 0.65 * t + e(0.90))).round(1),
        "ascites": np.array(FIELDS["ascites"].choices)[(ascites > 1.28).astype(int) + (ascites > 1.95)],
        "encephalopathy": (encephalopathy > 2.2).astype(int) + (encephalopathy > 2.9),
        "tumor_size": np.clip(np.exp(1.50 + 0.42 * t + e(0.35)).round(1), 0.5, 20),
        "tumor_number": 1 + np.minimum(rng.poisson(np.exp(0.55 + 0.40 * t + e(0.60))), 49),
        "spleen_volume_ml": np.clip(np.exp(6.20 + 0.44 * p + 0.10 * b + e(0.12)), *SPLEEN_LIMITS_ML).round(1),
        "liver_volume_ml": np.clip(np.exp(7.31 + 0.14 * b - 0.08 * c + 0.05 * t + e(0.12)), *LIVER_LIMITS_ML).round(1),
    }
    for key in CLINICAL:
        if FIELDS[key].kind == "number":
            low, high = FIELDS[key].sure or (FIELDS[key].low, FIELDS[key].high)
            columns[key] = np.clip(columns[key], low, high)
    log_hazard = 0.34 * c + 0.34 * p + 0.45 * t + 0.15 * (age - 67) / 10 + 0.40 * f
    risk = 1 / (1 + np.exp(2.05 - 0.65 * c - 0.70 * p - 0.25 * t))
    death = WEIBULL_SCALE_MONTHS * (rng.exponential(size=n) * np.exp(-log_hazard)) ** (1 / WEIBULL_SHAPE)
    censored = np.minimum(rng.uniform(6, 72, n), rng.exponential(120, n))
    columns["survival_months"] = np.maximum(np.minimum(death, censored), 0.05).round(3)
    columns["died"] = (death <= censored).astype(int)
    columns["decompensated"] = (rng.random(n) < risk).astype(int)
    for name, value in zip(TRUTH, (b, c, p, t, f, log_hazard, risk), strict=True):
        columns["true_" + name] = value
    return pandas.DataFrame(columns)


def _design(frame: pandas.DataFrame, features: tuple[str, ...]) -> np.ndarray:
    """All features on the scale on which the model is linear, with squares and products, (n, columns)."""
    linear = []
    for name in features:
        values = frame[name].to_numpy()
        if name == "sex":
            linear.append((values == "male").astype(float))
        elif name == "ascites":
            linear += [(values == grade).astype(float) for grade in FIELDS["ascites"].choices[1:]]
        elif name in ("age", "albumin", "sodium", "encephalopathy"):
            linear.append((values - {"age": 67, "albumin": 36, "sodium": 138}.get(name, 0)) / 10.0)
        else:
            linear.append(np.log(values.astype(float)))
    x = np.stack([np.ones(len(frame)), *linear], axis=1)
    first, second = np.triu_indices(x.shape[1])
    return x[:, first] * x[:, second]


@lru_cache(maxsize=4)
def _conditional_means(features: tuple[str, ...], n: int, seed: int) -> np.ndarray:
    """Least-squares coefficients (columns, 2) of true log hazard and decompensation risk on the features' design."""
    size, chunk = 0, 20_000
    gram = moment = 0.0
    while size < n:
        frame = simulate_cohort(min(chunk, n - size), seed + size)
        x = _design(frame, features)
        gram = gram + x.T @ x
        moment = moment + x.T @ frame[["true_log_hazard", "true_decompensation_risk"]].to_numpy()
        size += len(frame)
    return np.linalg.lstsq(gram, moment, rcond=1e-12)[0]


def oracle(
    frame: pandas.DataFrame,
    features: tuple[str, ...] = CLINICAL + IMAGING,
    n: int = 200_000,
    seed: int = 987_000_000,
) -> pandas.DataFrame:
    """The model's own risk of each patient: the bounds that no fitted model can pass.

    Columns: "causes_log_hazard" and "causes_decompensation" from all true causes, frailty included; "known_log_hazard"
    and "known_decompensation" from what `features` can tell at best, E[truth | features], a second-order least-squares
    fit on `n` fresh simulated patients (near-exact, because latents and transformed features are jointly Gaussian but
    for the few graded ones).
    """
    import pandas

    known = _design(frame, features) @ _conditional_means(features, n, seed)
    return pandas.DataFrame(
        {
            "causes_log_hazard": frame["true_log_hazard"].to_numpy(),
            "causes_decompensation": frame["true_decompensation_risk"].to_numpy(),
            "known_log_hazard": known[:, 0],
            "known_decompensation": np.clip(known[:, 1], 0.0, 1.0),
        },
        index=frame.index,
    )


def simulate_row(seed: int) -> dict[str, Any]:
    """One simulated patient as a row of `simulate_cohort`, plain Python values."""
    return {key: getattr(value, "item", lambda v=value: v)() for key, value in simulate_cohort(1, seed).iloc[0].items()}


def simulate_patient(seed: int) -> tuple[AbdomenParameters, dict[str, Any]]:
    """Anatomy for the procedural CT and the clinical values of one simulated patient; `simulate_row(seed)` has the
    outcomes of the same patient. The scan is with contrast and covers the liver and the spleen.
    """
    from PrognosisLib.simulation.anatomy import AbdomenParameters

    row = simulate_row(seed)
    rng = np.random.default_rng([seed, 1])
    scan = AbdomenParameters.sample(rng)
    stature = float(np.clip(1.02 + 0.05 * row["true_body"], 0.86, 1.16))
    proportions = np.clip(stature + rng.normal(0, 0.02, 3), 0.82, 1.2)
    fluid_ml = {"none": 0.0, "slight": rng.uniform(100, 800), "moderate": rng.uniform(800, 4000)}[row["ascites"]]
    parameters = replace(
        scan,
        width_scale=float(proportions[0]),
        depth_scale=float(proportions[1]),
        height_scale=float(proportions[2]),
        spleen_mL=row["spleen_volume_ml"],
        liver_mL=row["liver_volume_ml"],
        cirrhosis=float(np.clip(0.55 + 0.22 * row["true_dysfunction"], 0, 1)),
        portal_hypertension=float(np.clip(0.45 + 0.25 * row["true_portal_hypertension"], 0, 1)),
        ascites_mL=float(fluid_ml),
        field_of_view_mm=float(np.clip(scan.field_of_view_mm * proportions[0] / scan.width_scale, 260, 520)),
        phase=str(rng.choice(["arterial", "portal venous"], p=[0.3, 0.7])),
        coverage=str(rng.choice(["chest-abdomen-pelvis", "abdomen", "tight"], p=[0.35, 0.5, 0.15])),
    )
    return parameters, {key: row[key] for key in CLINICAL}
