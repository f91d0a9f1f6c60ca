"""The three models of expansion (image, clinical, integrated): fitted on the simulated cohort, tested on another.

All of it is learned from simulated outcomes (simulation/causes.py): whoever shows it says "simulated cohort", unless
the models were fitted anew to a user's own results (`prognosis train ich --from-results`). Reading and predicting need
numpy only; fitting needs pandas and statsmodels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from PrognosisLib.errors import BundleError, InputError
from PrognosisLib.risk import LogisticModel, Predictor
from PrognosisLib.risk.refit import refit_logistic

from .definition import DEFAULT_DEFINITION, Definition

if TYPE_CHECKING:
    import pandas

COHORT_NAME = "simulated hemorrhages"
COHORT_FORMAT = "prognosis expansion cohort 1"
COLUMNS = ("baseline_ml", "growth_ml")
DL_SCORE = Predictor("dl_score", "DL score", "")
CLINICAL = (
    Predictor("age", "Age", "years"),
    Predictor("male", "Male sex", ""),
    Predictor("gcs", "Glasgow Coma Scale", "points"),
    Predictor("nihss", "NIHSS", "points"),
    Predictor("log_hours", "Onset to CT", "ln h"),
    Predictor("anticoagulant", "Anticoagulant", ""),
    Predictor("antiplatelet", "Antiplatelet", ""),
    Predictor("log_glucose", "Glucose", "ln mg/dL"),
    Predictor("systolic_pressure", "Systolic pressure", "mmHg"),
    Predictor("inr", "INR", ""),
    Predictor("prior_ich", "Prior hemorrhage", ""),
    Predictor("hypertension", "Hypertension", ""),
    Predictor("diabetes", "Diabetes", ""),
    Predictor("infratentorial", "Infratentorial", ""),
)
NAMES = ("image", "clinical", "integrated")


def clinical_predictors(clinical: Mapping[str, Any]) -> dict[str, float]:
    """The candidates' values from checked clinical values; what is not known is left out."""
    values: dict[str, float] = {}
    for key in ("age", "gcs", "nihss", "systolic_pressure", "inr"):
        if clinical.get(key) is not None:
            values[key] = float(clinical[key])
    for key in ("antiplatelet", "prior_ich", "hypertension", "diabetes", "infratentorial"):
        if clinical.get(key) is not None:
            values[key] = float(bool(clinical[key]))
    if clinical.get("sex") is not None:
        values["male"] = float(clinical["sex"] == "male")
    if clinical.get("anticoagulant") is not None:
        values["anticoagulant"] = float(clinical["anticoagulant"] != "none")
    if clinical.get("onset_to_ct") is not None:
        values["log_hours"] = math.log(max(0.1, float(clinical["onset_to_ct"])))
    if clinical.get("glucose") is not None:
        values["log_glucose"] = math.log(float(clinical["glucose"]))
    return values


def predictors_of_row(row: Mapping[str, Any]) -> dict[str, float]:
    """All predictors from a row of a results table with checked clinical values."""
    score = row.get(DL_SCORE.name)
    known = {} if score in (None, "") else {DL_SCORE.name: float(score)}
    return {**known, **clinical_predictors(row)}


def cohort_of_rows(rows: Sequence[Mapping[str, Any]], models: Mapping[str, Any]) -> dict[str, Any]:
    """The "cohort" for other definitions of expansion, from the rows that taught the models.

    Raises:
        InputError: the table does not tell how much the hematomas grew.
    """
    from PrognosisLib.validation.table import Table

    table, stored = Table(rows), models["integrated"]
    growth = next((name for name in ("growth_ml", "growth") if name in table), None)
    if growth is None or "hematoma_volume" not in table:
        raise InputError(
            "Models of expansion need the columns hematoma_volume and growth_ml (or growth, as measured), for other "
            "definitions; add them to the results or the cohort."
        )
    names = [one["name"] for one in stored["predictors"]]
    sizes = np.column_stack([table.numbers("hematoma_volume"), table.numbers(growth)])
    found = [
        {**dict(zip(COLUMNS, size, strict=True)), **predictors_of_row(row)}
        for size, row in zip(sizes.tolist(), table.rows, strict=True)
    ]
    complete = [one for one in found if all(math.isfinite(one.get(name, math.nan)) for name in (*COLUMNS, *names))]
    columns = {name: [float(f"{one[name]:.5g}") for one in complete] for name in (*COLUMNS, *names)}
    return {"cohort": {"format": COHORT_FORMAT, "cohort": stored["cohort"], "columns": columns}}


def model_at(name: str, models: Mapping[str, Mapping[str, Any]], definition: Definition) -> LogisticModel:
    """One of the three models at the user's definition of expansion.

    At the default definition it is the stored model; at another it is refitted to the stored cohort's growth.

    Raises:
        InputError: the cohort has too few patients on one side of the definition.
        BundleError: the stored model or cohort is damaged.
    """
    model = LogisticModel.from_dict(models[name])
    if definition == DEFAULT_DEFINITION:
        return model
    table = _columns(models["cohort"], {one.name for one in model.predictors})
    x = np.column_stack([table[one.name] for one in model.predictors])
    y = definition.met(table["baseline_ml"], table["baseline_ml"] + table["growth_ml"])
    return refit_logistic(model, x, y, f"expansion {definition}")


def _columns(cohort: Mapping[str, Any], needed: set[str]) -> dict[str, np.ndarray]:
    try:
        columns = {name: np.asarray(values, float) for name, values in cohort["columns"].items()}
        good = cohort["format"] == COHORT_FORMAT and {"baseline_ml", "growth_ml", *needed} <= set(columns)
        good = good and len({len(one) for one in columns.values()}) == 1
        good = good and all(np.isfinite(one).all() for one in columns.values())
    except (KeyError, TypeError, ValueError, AttributeError):
        good = False
    if not good:
        raise BundleError("The expansion cohort of the model bundle is damaged; install the bundle again.")
    return columns


# --- fitting ----------------------------------------------------------------------------------------------------------


def cohort_table(
    cases: Sequence[str],
    scores: Sequence[float],
    rows: Sequence[Mapping[str, Any]],
    draws: int,
    seed: int,
) -> pandas.DataFrame:
    """One row for each draw: predictors, first volume, growth, outcome, and the causes' probabilities.

    Args:
        rows: of the cohort file, with the image's true causes and the location.
        draws: 1 takes the clinical values and growth of the cohort file itself; more draws new ones.
    """
    import pandas

    from .simulation.causes import (
        ImageCauses,
        clinical_log_odds,
        draw_clinical,
        draw_growth,
        expansion_probability,
        going_on,
    )

    found = []
    for case, score, row in zip(cases, scores, rows, strict=True):
        causes = ImageCauses.from_row(row)
        rng = np.random.default_rng([seed, 41, len(found)])
        for _ in range(draws):
            if draws == 1:
                clinical, growth = stored_clinical(row), float(row["growth_ml"])
            else:
                clinical = draw_clinical(causes.volume_ml, row["location"], causes.ventricular > 0, rng)
                growth = draw_growth(
                    causes.volume_ml, float(going_on(causes.log_odds(), clinical_log_odds(clinical))), rng
                )
            active = float(going_on(causes.log_odds(), clinical_log_odds(clinical)))
            found.append(
                {
                    "case": case,
                    DL_SCORE.name: score,
                    **clinical_predictors(clinical),
                    "baseline_ml": causes.volume_ml,
                    "growth_ml": growth,
                    "expansion": int(DEFAULT_DEFINITION.met(causes.volume_ml, causes.volume_ml + growth)),
                    "oracle_all": float(expansion_probability(causes.volume_ml, active)),
                    "oracle_image": expected_outcome(causes),
                }
            )
    return pandas.DataFrame(found)


def stored_clinical(row: Mapping[str, Any]) -> dict[str, Any]:
    """Clinical values from the text columns of a cohort file, as `simulate` writes them."""
    values: dict[str, Any] = {key: float(row[key]) for key in ("age", "gcs", "nihss", "onset_to_ct", "glucose", "inr")}
    values["systolic_pressure"] = float(row["systolic_pressure"])
    for key in ("antiplatelet", "prior_ich", "hypertension", "diabetes", "infratentorial"):
        values[key] = str(row[key]).strip().lower() in ("true", "yes", "1")
    return {**values, "sex": row["sex"], "anticoagulant": row["anticoagulant"]}


def expected_outcome(causes: Any, definition: Definition = DEFAULT_DEFINITION) -> float:
    """Share of patients with this image who expand, over the clinical values that they may have: the best that can be
    told from an image."""
    from .simulation.causes import clinical_log_odds, draw_clinical, expansion_probability, going_on

    parts = expected_outcome.__dict__.setdefault("_parts", None)
    if parts is None:
        rng = np.random.default_rng(20240298)
        drawn = [draw_clinical(12.0, "putamen", False, rng) for _ in range(2000)]
        parts = expected_outcome.__dict__["_parts"] = np.array([clinical_log_odds(one) for one in drawn])
    active = going_on(causes.log_odds(), parts)
    return float(np.mean(expansion_probability(causes.volume_ml, active, definition)))


def fit_models(train: pandas.DataFrame, test: pandas.DataFrame, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """The three models, their figures on the test cohort beside the oracle's, and the cohort for other definitions.

    Returns:
        "image", "clinical", "integrated" and "cohort", JSON-able.
    """
    from PrognosisLib.risk.fitting import fit_logistic, forward_selection

    usable = [one for one in CLINICAL if train[one.name].nunique() > 1]
    selected = forward_selection(train, "expansion", usable)
    chosen = tuple(one for one, _ in selected)
    predictors = {"image": (DL_SCORE,), "clinical": chosen, "integrated": (DL_SCORE, *chosen)}
    cohort = {"name": COHORT_NAME, "simulated": True}
    notes = {**provenance, "selection": {one.name: float(f"{p:.3g}") for one, p in selected}}
    models = {
        name: fit_logistic(
            train,
            "expansion",
            predictors[name],
            name=f"{name} to expansion",
            outcome=f"expansion {DEFAULT_DEFINITION}",
            cohort=cohort,
            provenance=notes,
        )
        for name in NAMES
    }
    figures = figures_of(models, test)
    stored = {name: replace(model, performance=figures[name]).to_dict() for name, model in models.items()}
    names = ["baseline_ml", "growth_ml", DL_SCORE.name, *(one.name for one in chosen)]
    columns = {name: [float(f"{value:.5g}") for value in train[name]] for name in names}
    return {**stored, "cohort": {"format": COHORT_FORMAT, "cohort": cohort, "columns": columns}}


def clinical_probability(many: pandas.DataFrame, table: pandas.DataFrame, names: Sequence[str]) -> np.ndarray:
    """What a logistic regression on all clinical values, learned from many drawn patients, tells of others (n,)."""
    import statsmodels.api as sm

    names = [name for name in names if many[name].nunique() > 1]
    x, y = many[names].to_numpy(float), many["expansion"].to_numpy(float)
    means, spread = x.mean(axis=0), x.std(axis=0) + 1e-9

    def design(values: np.ndarray) -> np.ndarray:
        z = (values - means) / spread
        return sm.add_constant(np.column_stack([z, z**2]), has_constant="add")

    binary = np.array([len(np.unique(column)) == 2 for column in x.T])
    keep = np.concatenate([[True], np.ones(len(names), bool), ~binary])
    fitted = sm.Logit(y, design(x)[:, keep]).fit(disp=0)
    return np.asarray(fitted.predict(design(table[names].to_numpy(float))[:, keep]))


def predictions(models: Mapping[str, LogisticModel], table: pandas.DataFrame) -> dict[str, np.ndarray]:
    """Probability (n,) of each model for complete rows."""
    found = {}
    for name, model in models.items():
        x = table[[one.name for one in model.predictors]].to_numpy(float) - model.means
        found[name] = 1 / (1 + np.exp(-(model.intercept + x @ model.coefficients)))
    return found


def figures_of(models: Mapping[str, LogisticModel], test: pandas.DataFrame) -> dict[str, dict[str, Any]]:
    """AUC with DeLong's interval, accuracy figures, calibration and the oracle of each model; paired tests."""
    from PrognosisLib.evaluation.calibration import brier, calibration
    from PrognosisLib.evaluation.discrimination import auc, compare_auc, expected_auc, share_of_best

    y = test["expansion"].to_numpy(int)
    found = predictions(models, test)
    oracles = {"image": "oracle_image", "clinical": "oracle_clinical", "integrated": "oracle_all"}
    figures: dict[str, dict[str, Any]] = {}
    for name, p in found.items():
        one = auc(y, p)
        rows: dict[str, Any] = {
            "test_cohort": COHORT_NAME,
            "test_n": len(test),
            "test_events": int(y.sum()),
            "auc": one.rounded(),
            "brier": round(brier(y, p), 4),
            **{f"calibration_{key}": value.rounded() for key, value in calibration(y, p).items()},
            **_point(y, p, float(np.mean(y))),
        }
        if oracles[name] in test:
            truth = test[oracles[name]].to_numpy()
            best = auc(y, truth)
            rows["auc_oracle"] = best.rounded()
            rows["share_of_oracle"] = share_of_best(one.value, best.value)
            likely, limit = expected_auc(truth, p), expected_auc(truth, truth)
            rows["expected_share_of_oracle"] = share_of_best(likely, limit)
        for other in NAMES:
            if other != name:
                rows[f"against_{other}_p"] = float(f"{compare_auc(y, p, found[other]).p:.3g}")
        figures[name] = rows
    return figures


def _point(y: np.ndarray, p: np.ndarray, threshold: float) -> dict[str, Any]:
    """Sensitivity, specificity and accuracy, with Wilson's intervals, where the probability reaches the base rate."""
    from PrognosisLib.evaluation.estimates import wilson

    called = p >= threshold
    parts = {"sensitivity": called[y == 1], "specificity": ~called[y == 0], "accuracy": called == (y == 1)}
    return {name: wilson(int(hit.sum()), len(hit)).rounded() for name, hit in parts.items()}


def known(values: Mapping[str, float], model: LogisticModel) -> dict[str, float]:
    """The values that the model uses.

    Raises:
        InputError: none of them is given.
    """
    names = [one.name for one in model.predictors]
    found = {name: value for name, value in values.items() if name in names}
    if not found:
        labels = ", ".join(one.label for one in model.predictors)
        raise InputError(f"needs at least one of: {labels}")
    return found
