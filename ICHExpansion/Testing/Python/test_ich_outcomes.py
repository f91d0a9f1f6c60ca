"""The three models of expansion on a small made-up cohort: fit, other definitions, oracle, damaged files."""

from __future__ import annotations

import copy
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas
import pytest
import statsmodels.api as sm

from ICHExpansionLib.definition import DEFAULT_DEFINITION, Definition
from ICHExpansionLib.outcomes import (
    CLINICAL,
    DL_SCORE,
    NAMES,
    clinical_predictors,
    clinical_probability,
    cohort_table,
    expected_outcome,
    fit_models,
    known,
    model_at,
    predictions,
    stored_clinical,
)
from ICHExpansionLib.simulation.causes import (
    ImageCauses,
    clinical_log_odds,
    draw_clinical,
    draw_growth,
    expansion_probability,
    going_on,
)
from PrognosisLib.errors import BundleError, InputError
from PrognosisLib.findings import SIMULATED
from PrognosisLib.risk import LogisticModel, parse_json, readable_json

PATIENT = {
    "age": 71,
    "sex": "male",
    "gcs": 12,
    "nihss": 14,
    "onset_to_ct": 1.5,
    "anticoagulant": "warfarin",
    "antiplatelet": False,
    "glucose": 148.0,
    "systolic_pressure": 188.0,
    "inr": 2.6,
    "prior_ich": False,
    "hypertension": True,
    "diabetes": False,
    "infratentorial": False,
}


def causes_of(rng: np.random.Generator) -> ImageCauses:
    active = rng.beta(1.6, 2.2)
    return ImageCauses(
        float(np.clip(rng.lognormal(np.log(13.0), 1.0), 0.8, 100)),
        2.0 + 8.0 * active,
        1.1 + 0.8 * active,
        float(rng.poisson(2 * active)),
        float(rng.random() < 0.4 * active),
        float(rng.random() < 0.25),
    )


def cohort(images: int, draws: int, seed: int) -> pandas.DataFrame:
    """Rows of a cohort file without images: the DL score is what an image can tell, with some noise."""
    rng = np.random.default_rng(seed)
    rows, scores = [], []
    for _ in range(images):
        causes = causes_of(rng)
        clinical = draw_clinical(causes.volume_ml, "putamen", causes.ventricular > 0, rng)
        active = float(going_on(causes.log_odds(), clinical_log_odds(clinical)))
        growth = draw_growth(causes.volume_ml, active, rng)
        row = {**clinical, **{f"true_{name}": value for name, value in vars(causes).items()}, "location": "putamen"}
        rows.append({key: str(value) for key, value in {**row, "growth_ml": growth}.items()})
        scores.append(float(np.clip(expected_outcome(causes) + rng.normal(0, 0.08), 0, 1)))
    return cohort_table([f"c{n}" for n in range(images)], scores, rows, draws, seed)


@pytest.fixture(scope="module")
def tables() -> tuple[pandas.DataFrame, pandas.DataFrame]:
    return cohort(400, 4, 1), cohort(700, 1, 2)


@pytest.fixture(scope="module")
def models(tables):
    train, test = tables
    names = [one.name for one in CLINICAL]  # infratentorial is none of them: a constant says nothing
    test = test.assign(oracle_clinical=clinical_probability(cohort(400, 20, 3), test, names))
    return fit_models(train, test, {"function": "test", "seed": 1})


# --- predictors -------------------------------------------------------------------------------------------------------


def test_predictors_from_clinical_values():
    found = clinical_predictors(PATIENT)
    assert set(found) == {one.name for one in CLINICAL}
    assert found["male"] == 1.0
    assert found["anticoagulant"] == 1.0
    assert found["hypertension"] == 1.0
    assert found["antiplatelet"] == found["diabetes"] == found["prior_ich"] == found["infratentorial"] == 0.0
    assert found["log_hours"] == pytest.approx(math.log(1.5))
    assert found["log_glucose"] == pytest.approx(math.log(148.0))
    assert (found["age"], found["gcs"], found["nihss"]) == (71.0, 12.0, 14.0)
    assert (found["systolic_pressure"], found["inr"]) == (188.0, 2.6)


def test_what_is_not_known_is_left_out():
    assert clinical_predictors({}) == {}
    assert clinical_predictors(dict.fromkeys(PATIENT)) == {}
    assert clinical_predictors({"sex": "female", "anticoagulant": "none", "onset_to_ct": 0.0}) == {
        "male": 0.0,
        "anticoagulant": 0.0,
        "log_hours": pytest.approx(math.log(0.1)),
    }
    for key in PATIENT:
        one = clinical_predictors({key: PATIENT[key]})
        assert len(one) == 1, key
        assert one.items() <= clinical_predictors(PATIENT).items()


def test_clinical_values_of_a_cohort_file_come_back():
    told = stored_clinical({key: str(value) for key, value in PATIENT.items()})
    assert told == {**PATIENT, "age": 71.0, "gcs": 12.0, "nihss": 14.0}
    assert clinical_predictors(told) == clinical_predictors(PATIENT)


# --- the cohort -------------------------------------------------------------------------------------------------------


def test_the_table_has_a_row_for_each_draw(tables):
    train, test = tables
    assert (len(train), len(test)) == (1600, 700)
    assert train.groupby("case").baseline_ml.nunique().eq(1).all()
    assert train.groupby("case").dl_score.nunique().eq(1).all()
    assert train.groupby("case").growth_ml.nunique().mean() > 3.9  # the largest growths are cut alike
    assert set(train.columns) >= {DL_SCORE.name, *(one.name for one in CLINICAL), "oracle_all", "oracle_image"}
    wanted = DEFAULT_DEFINITION.met(train.baseline_ml, train.baseline_ml + train.growth_ml)
    assert (train.expansion == wanted).all()
    pandas.testing.assert_frame_equal(train, cohort(400, 4, 1))


def test_one_draw_takes_the_cohort_files_own_values():
    row = {key: str(value) for key, value in PATIENT.items()}
    row |= {f"true_{name}": "1.0" for name in ImageCauses.__dataclass_fields__}
    row |= {"true_volume_ml": "20.0", "growth_ml": "6.5", "location": "putamen"}
    table = cohort_table(["one"], [0.4], [row], 1, 0)
    (found,) = table.to_dict("records")
    assert found["growth_ml"] == 6.5
    assert found["expansion"] == 1
    assert found.items() >= clinical_predictors(PATIENT).items()
    causes = ImageCauses.from_row(row)
    active = going_on(causes.log_odds(), clinical_log_odds(PATIENT))
    assert found["oracle_all"] == pytest.approx(float(expansion_probability(20.0, active)))


def test_the_oracles_probabilities_are_the_frequencies(tables):
    """Calibrated as a whole and in tenths: growth was drawn from them."""
    train, _ = tables
    for name in ("oracle_all", "oracle_image"):
        p, y = train[name].to_numpy(), train.expansion.to_numpy()
        order = np.argsort(p)
        for part in np.array_split(order, 5):
            # Rows of one image share its causes only, which the probability knows.
            error = np.sqrt((p[part] * (1 - p[part])).sum()) / len(part)
            assert abs(y[part].mean() - p[part].mean()) < 3.5 * error, name


def test_the_expected_outcome_follows_the_definition():
    causes = causes_of(np.random.default_rng(0))
    loose, usual, strict = (expected_outcome(causes, Definition(None, p)) for p in (10.0, 33.0, 100.0))
    assert 0 < strict < usual < loose < 1
    assert expected_outcome(causes) == expected_outcome(causes, DEFAULT_DEFINITION)


# --- the models -------------------------------------------------------------------------------------------------------


def test_the_models_use_the_score_the_clinical_values_and_both(models):
    found = {name: LogisticModel.from_dict(models[name]) for name in NAMES}
    names = {name: [one.name for one in model.predictors] for name, model in found.items()}
    assert names["image"] == ["dl_score"]
    assert "dl_score" not in names["clinical"]
    assert names["integrated"] == ["dl_score", *names["clinical"]]
    assert "log_hours" in names["clinical"]
    assert set(models["image"]["provenance"]["selection"]) == set(names["clinical"])
    for model in found.values():
        assert model.simulated
        assert model.outcome == "expansion > 6 mL or > 33 %"
        assert model.n == 1600
    image = found["image"]
    assert image.predict({"dl_score": 0.1})[0] < image.predict({"dl_score": 0.6})[0]
    early, late = (
        found["clinical"].predict(known(clinical_predictors({**PATIENT, "onset_to_ct": h}), found["clinical"]))[0]
        for h in (0.7, 15.0)
    )
    assert early > late
    assert found["integrated"].note({"dl_score": 0.3}).startswith(SIMULATED)


def test_no_model_beats_the_oracle(models):
    for name in NAMES:
        figures = models[name]["performance"]
        assert figures["auc"]["lower"] < figures["auc"]["value"] < figures["auc"]["upper"]
        assert figures["auc"]["value"] < figures["auc_oracle"]["value"] + 0.02
        assert 0.4 < figures["share_of_oracle"] < 1.1
        assert figures["test_n"] == 700
        for key in ("sensitivity", "specificity", "accuracy", "calibration_slope"):
            assert figures[key]["lower"] <= figures[key]["value"] <= figures[key]["upper"]
    value = {name: models[name]["performance"]["auc"]["value"] for name in NAMES}
    assert value["integrated"] > max(value["image"], value["clinical"])
    assert models["integrated"]["performance"]["against_clinical_p"] < 0.05
    assert models["clinical"]["performance"]["against_integrated_p"] == pytest.approx(
        models["integrated"]["performance"]["against_clinical_p"]
    )


def test_predictions_are_the_models_own(models, tables):
    _, test = tables
    found = {name: LogisticModel.from_dict(models[name]) for name in NAMES}
    for name, p in predictions(found, test).items():
        row = {one.name: float(test[one.name].iloc[5]) for one in found[name].predictors}
        # The model averages over what is left of missing values; here none is missing.
        assert found[name].predict(row)[0] == pytest.approx(p[5], abs=0.01)


def test_models_survive_the_way_through_files(models):
    for name in (*NAMES, "cohort"):
        assert parse_json(readable_json(models[name])) == json.loads(json.dumps(models[name]))


# --- another definition -----------------------------------------------------------------------------------------------


def test_at_the_default_definition_it_is_the_stored_model(models):
    for name in NAMES:
        assert model_at(name, models, Definition()).to_dict() == LogisticModel.from_dict(models[name]).to_dict()


@pytest.mark.parametrize(
    "definition", [Definition(12.5, None), Definition(None, 26.0, ">="), Definition(3.0, 20.0)], ids=str
)
def test_another_definition_is_what_statsmodels_gives(models, definition):
    columns = {name: np.array(values) for name, values in models["cohort"]["columns"].items()}
    y = definition.met(columns["baseline_ml"], columns["baseline_ml"] + columns["growth_ml"]).astype(float)
    for name in NAMES:
        found = model_at(name, models, definition)
        x = np.column_stack([columns[one.name] for one in found.predictors])
        wanted = sm.Logit(y, sm.add_constant(x - x.mean(axis=0))).fit(disp=0, tol=1e-12, maxiter=200)
        np.testing.assert_allclose([found.intercept, *found.coefficients], wanted.params, atol=1e-6)
        np.testing.assert_allclose(found.coefficient_covariance, wanted.cov_params(), rtol=1e-5, atol=1e-9)
        assert found.outcome == f"expansion {definition}"
        assert found.performance == {}
        assert found.simulated
        assert found.events == int(y.sum())


def test_a_stricter_definition_makes_expansion_rarer(models):
    values = {"dl_score": 0.4}
    chances = [model_at("image", models, Definition(ml, None)).predict(values)[0] for ml in (2.0, 6.0, 15.0)]
    assert chances[0] > chances[1] > chances[2]


def test_a_definition_that_next_to_nobody_meets_is_refused(models):
    with pytest.raises(InputError, match=r"Only \d+ patients .*> 90 mL.* choose another definition"):
        model_at("clinical", models, Definition(90.0, None))


@pytest.mark.parametrize(
    "change",
    [
        lambda cohort: cohort.pop("columns"),
        lambda cohort: cohort.update(format="other"),
        lambda cohort: cohort.update(columns=[1, 2]),
        lambda cohort: cohort["columns"].pop("growth_ml"),
        lambda cohort: cohort["columns"].pop("dl_score"),
        lambda cohort: cohort["columns"]["growth_ml"].pop(),
        lambda cohort: cohort["columns"]["growth_ml"].__setitem__(3, None),
        lambda cohort: cohort["columns"]["dl_score"].__setitem__(3, float("inf")),
        lambda cohort: cohort["columns"]["dl_score"].__setitem__(3, "high"),
        lambda cohort: cohort["columns"].pop("log_hours"),
    ],
)
def test_a_damaged_cohort_is_refused(models, change):
    damaged = {**models, "cohort": copy.deepcopy(models["cohort"])}
    change(damaged["cohort"])
    with pytest.raises(BundleError, match="damaged"):
        model_at("integrated", damaged, Definition(12.5, None))


def test_a_damaged_model_is_refused(models):
    for name in NAMES:
        with pytest.raises(BundleError):
            model_at(name, {**models, name: {**models[name], "coefficients": []}}, Definition())
        with pytest.raises(BundleError):
            model_at(name, {**models, name: {**models[name], "format": "other"}}, Definition())


def test_known_keeps_what_the_model_uses_and_asks_for_one(models):
    model = LogisticModel.from_dict(models["integrated"])
    assert known({"dl_score": 0.4, "shoe_size": 43.0}, model) == {"dl_score": 0.4}
    with pytest.raises(InputError, match="needs at least one of: DL score"):
        known({"shoe_size": 43.0}, model)


def test_using_the_models_needs_numpy_only():
    root = Path(__file__).resolve().parents[3]
    heavy = {"pandas", "statsmodels", "scipy", "torch", "SimpleITK"}
    code = f"import ICHExpansionLib.outcomes, sys; print(sorted({heavy} & set(sys.modules)))"
    path = f"{root / 'PrognosisCore'}:{root / 'ICHExpansion'}"
    found = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"
