"""Cox and logistic models: fits, intervals, missing predictors and damaged files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas
import pytest
from scipy.stats import chi2

from PrognosisLib.errors import BundleError, InputError
from PrognosisLib.risk import CoxModel, LogisticModel, Predictor
from PrognosisLib.risk.fitting import fit_cox, fit_logistic, forward_selection_cox

ABC = tuple(Predictor(name, name.upper(), "units") for name in "abc")
COHORT = {"name": "test cohort", "simulated": True}


def make_frame(n: int, seed: int) -> pandas.DataFrame:
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal(n)
    frame = pandas.DataFrame(
        {"a": 5 + shared, "b": 0.7 * shared + 0.7 * rng.standard_normal(n), "c": rng.normal(size=n)}
    )
    lp = 0.6 * (frame.a - 5) - 0.5 * frame.b + 0.4 * frame.c
    death = 20 * (rng.exponential(size=n) * np.exp(-lp)) ** 0.8
    censored = rng.uniform(2, 60, n)
    frame["months"] = np.minimum(death, censored).round(2) + 0.01
    frame["died"] = (death <= censored).astype(int)
    frame["bad"] = (rng.random(n) < 1 / (1 + np.exp(1 - lp))).astype(int)
    return frame


def cox(frame: pandas.DataFrame, **more) -> CoxModel:
    return fit_cox(frame, "months", "died", ABC, name="toy", outcome="death", cohort=COHORT, **more)


def logistic(frame: pandas.DataFrame) -> LogisticModel:
    return fit_logistic(frame, "bad", ABC, name="toy", outcome="bad outcome", cohort=COHORT)


@pytest.fixture(scope="module")
def frame():
    return make_frame(800, 1)


def test_cox_agrees_with_lifelines(frame):
    from lifelines import CoxPHFitter

    model, reference = cox(frame), CoxPHFitter().fit(frame[[*"abc", "months", "died"]], "months", "died")
    assert model.coefficients == pytest.approx(reference.params_.to_numpy())
    times = model.times[::10]
    row = frame.iloc[[3]]
    expected = reference.predict_survival_function(row, times).to_numpy()[:, 0]
    survival, lower, upper = model.predict_survival(row[list("abc")].iloc[0].to_dict(), times)
    assert survival == pytest.approx(expected, abs=2e-3)
    assert ((lower < survival) & (survival < upper)).all()


def test_published_cox_coefficients():
    from lifelines.datasets import load_lung

    lung = load_lung()[["time", "status", "age", "sex"]].dropna()
    predictors = (Predictor("age", "Age", "years"), Predictor("sex", "Sex"))
    model = fit_cox(lung, "time", "status", predictors, name="lung", outcome="death", cohort=COHORT, time_unit="days")
    assert model.n == 228
    assert dict(zip(("age", "sex"), model.coefficients, strict=True)) == pytest.approx(
        {"age": 0.017045, "sex": -0.513217}, abs=2e-5
    )


def test_cox_interval_agrees_with_the_bootstrap(frame):
    values, times = {"a": 6.0, "b": 0.2, "c": -0.5}, [5.0, 15.0, 30.0]
    model = cox(frame, times=times)
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(40):
        again = cox(frame.iloc[rng.integers(0, len(frame), len(frame))], times=times)
        draws.append(np.log(-np.log(again.predict_survival(values, times)[0])))
    _, lower, upper = model.predict_survival(values, times)
    width = (np.log(-np.log(lower)) - np.log(-np.log(upper))) / (2 * 1.96)
    assert width == pytest.approx(np.std(draws, axis=0), rel=0.35)


def test_logistic_agrees_with_statsmodels(frame):
    import statsmodels.api as sm

    model = logistic(frame)
    design = sm.add_constant(frame[list("abc")])
    reference = sm.Logit(frame.bad, design).fit(disp=0)
    expected = reference.get_prediction(design.iloc[[7]]).summary_frame()
    estimate, lower, upper = model.predict(frame[list("abc")].iloc[7].to_dict())
    assert estimate == pytest.approx(float(expected["predicted"].iloc[0]), abs=1e-6)
    assert lower < estimate < upper
    assert upper - lower == pytest.approx(float(expected["ci_upper"].iloc[0] - expected["ci_lower"].iloc[0]), rel=0.05)


def test_missing_predictors_widen_the_interval_and_stay_calibrated():
    large = make_frame(20_000, 2)
    model = logistic(large)
    full, partial = {"a": 6.0, "b": 0.7, "c": 0.0}, {"a": 6.0}
    wide, narrow = model.predict(partial), model.predict(full)
    assert wide[2] - wide[1] > 2 * (narrow[2] - narrow[1])
    near = (large.a > 5.9) & (large.a < 6.1)
    assert wide[0] == pytest.approx(large.bad[near].mean(), abs=0.05)
    # b is filled in from a (regression slope 0.7), not with its plain mean
    assert model.contributions(partial)["b"] == pytest.approx(model.coefficients[1] * (0.7 - model.means[1]), abs=0.03)
    assert "not given" in model.note(partial)
    assert "B, C" in model.note(partial)
    assert model.note(full) == "simulated cohort"
    survival = cox(large.head(2000))
    spans = [np.subtract(*survival.predict_survival(values, [20.0])[:0:-1])[0] for values in (partial, full)]
    assert spans[0] > spans[1]
    # with nothing known, the estimate is the survival of the whole cohort
    from lifelines import KaplanMeierFitter

    everybody = KaplanMeierFitter().fit(large.months[:2000], large.died[:2000]).predict([5.0, 20.0, 40.0])
    assert survival.predict_survival({}, [5.0, 20.0, 40.0])[0] == pytest.approx(everybody.to_numpy(), abs=0.03)


def test_contributions_add_up(frame):
    model = cox(frame)
    values = {"a": 4.0, "b": None, "c": 1.0}
    assert sum(model.contributions(values).values()) == pytest.approx(model.linear_predictor(values))
    assert "far outside" in model.note({"a": 50.0, "b": 0.0, "c": 0.0})


def test_median_and_follow_up(frame):
    model = cox(frame)
    median, lower, upper = model.median_survival({"a": 6.0, "b": 0.0, "c": 0.5})
    at = model.predict_survival({"a": 6.0, "b": 0.0, "c": 0.5}, [0.0, median])
    assert at[0] == pytest.approx([1.0, 0.5], abs=0.01)
    assert lower < median < upper
    assert model.median_survival({"a": 0.0, "b": 2.0, "c": -3.0})[0] is None
    with pytest.raises(InputError, match="predicts from 0 to"):
        model.predict_survival({"a": 5.0}, [500.0])


def test_wrong_values_are_refused(frame):
    model = logistic(frame)
    with pytest.raises(InputError, match="is no predictor"):
        model.predict({"z": 1.0})
    with pytest.raises(InputError, match="finite"):
        model.predict({"a": float("nan")})


def test_json_round_trip_is_readable(frame):
    for model in (cox(frame), logistic(frame)):
        text = model.to_json()
        again = type(model).from_json(text)
        assert again.to_json() == text
        assert again.linear_predictor({"a": 4.0, "c": 1.0}) == pytest.approx(
            model.linear_predictor({"a": 4.0, "c": 1.0}), rel=1e-6
        )
        assert text.count("\n") < 250
    again = CoxModel.from_json(cox(frame).to_json())
    values = {"a": 4.0, "b": 0.3}
    assert np.allclose(again.predict_survival(values, [3, 9]), cox(frame).predict_survival(values, [3, 9]), atol=1e-6)


def _set(path, value):
    def change(data):
        for key in path[:-1]:
            data = data[key]
        data[path[-1]] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        _set(["extra"], 1),
        _set(["predictors", 0, "extra"], 1),
        _set(["predictors", 0, "coefficient"], float("nan")),
        _set(["predictors", 0, "coefficient"], "0.3"),
        _set(["predictors", 0, "mean"], None),
        _set(["predictors", 1, "name"], "a"),
        _set(["predictors"], []),
        _set(["coefficient_covariance", 0, 0], -5.0),
        _set(["coefficient_covariance"], [[1.0]]),
        _set(["coefficient_covariance", 0], [1.0]),
        _set(["baseline", "survival", 3], 1.5),
        _set(["baseline", "time", 0], -1.0),
        _set(["baseline", "hazard_variance", 0], -1.0),
        _set(["baseline", "time"], []),
        _set(["performance"], {"auc": float("inf")}),
        _set(["cohort", "simulated"], "yes"),
        _set(["events"], 0),
        _set(["kind"], "logistic"),
        lambda data: data.pop("n"),
    ],
)
def test_a_damaged_model_is_refused(frame, change):
    data = json.loads(cox(frame).to_json())
    change(data)
    with pytest.raises(BundleError, match=r"the risk model is damaged: .*install its bundle again"):
        CoxModel.from_json(json.dumps(data))


def test_other_text_is_refused():
    for text in ("", "[]", "{", "1e999", "9" * 5000, "[" * 100_000):
        with pytest.raises(BundleError):
            LogisticModel.from_json(text)


@pytest.mark.filterwarnings("ignore")
def test_bad_training_data_is_refused(frame):
    with pytest.raises(InputError, match="missing or infinite"):
        cox(frame.assign(a=np.nan))
    with pytest.raises(InputError, match="same for all"):
        logistic(frame.assign(b=1.0))
    with pytest.raises(InputError, match="too few"):
        cox(frame.head(8))
    with pytest.raises(InputError):
        cox(frame.assign(b=frame.a))
    with pytest.raises(InputError):
        logistic(frame.assign(b=frame.a))
    with pytest.raises(InputError):
        logistic(frame.assign(bad=(frame.a > 5).astype(int)))


# --- forward selection of a Cox model ---------------------------------------------------------------------------------


def test_cox_selection_finds_what_was_planted_the_strongest_first(frame):
    from lifelines import CoxPHFitter

    noise = np.random.default_rng(4).normal(size=(len(frame), 2))
    wider = frame.assign(d=noise[:, 0], e=noise[:, 1])
    found = forward_selection_cox(wider, "months", "died", _named("deabc"))
    assert {one.name for one, _ in found[:3]} == set("abc")

    def gain(names: list[str]) -> float:
        fitted = CoxPHFitter().fit(frame[[*names, "months", "died"]], "months", "died")
        return fitted.log_likelihood_ratio_test().test_statistic

    assert found[0][0].name == max("abc", key=lambda name: gain([name]))
    gains = [0.0, *(gain([one.name for one, _ in found[:count]]) for count in (1, 2, 3))]
    for (_, p), before, after in zip(found[:3], gains, gains[1:], strict=False):
        assert p == pytest.approx(chi2.sf(after - before, 1), rel=1e-3)
    assert len(forward_selection_cox(frame, "months", "died", ABC, 1.1)) == 3
    assert forward_selection_cox(frame, "months", "died", ABC, 0.0) == []


def test_noise_enters_a_cox_model_as_seldom_as_its_level_says():
    """Two candidates without effect at 1 % each, in 20 cohorts: less than one of 40 enters by chance."""
    entered = 0
    for seed in range(20):
        rng = np.random.default_rng([seed, 5])
        cohort = make_frame(250, 50 + seed).assign(d=rng.normal(size=250), e=rng.normal(size=250))
        names = [one.name for one, _ in forward_selection_cox(cohort, "months", "died", _named("cde"), 0.01)]
        assert names[0] == "c"
        entered += len(names) - 1
    assert entered <= 3


def test_a_cox_selection_refuses_what_it_cannot_choose_from(frame):
    with pytest.raises(InputError, match="same for all"):
        forward_selection_cox(frame.assign(b=1.0), "months", "died", ABC)
    with pytest.raises(InputError, match="too few"):
        forward_selection_cox(frame.head(8), "months", "died", ABC)


def _named(letters: str) -> list[Predictor]:
    return [Predictor(letter, letter) for letter in letters]


def test_prediction_needs_numpy_only():
    library = Path(sys.modules["PrognosisLib"].__file__).parents[1]
    heavy = {"pandas", "lifelines", "statsmodels", "scipy"}
    code = f"import PrognosisLib.risk, sys; print(sorted({heavy} & set(sys.modules)))"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=library, capture_output=True, text=True, check=True, timeout=60
    )
    assert found.stdout.strip() == "[]"
