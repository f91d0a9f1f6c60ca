"""A stored logistic model refitted to another outcome, and forward selection, against statsmodels."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas
import pytest
import statsmodels.api as sm
from scipy.stats import chi2

from PrognosisLib.errors import InputError
from PrognosisLib.risk import LogisticModel, Predictor
from PrognosisLib.risk.fitting import fit_logistic, forward_selection
from PrognosisLib.risk.refit import refit_logistic

NAMES = ("a", "b", "c", "d", "e", "f")
PREDICTORS = tuple(Predictor(name, name.upper()) for name in NAMES)
COHORT = {"name": "test cohort", "simulated": True}


def frame_of(n: int, seed: int, effects=(0.9, 0.0, -0.6, 0.0, 0.0, 0.0), intercept: float = -0.7) -> pandas.DataFrame:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, len(NAMES)))
    x[:, 1] = 0.8 * x[:, 0] + 0.6 * x[:, 1]  # goes with a, and adds nothing
    x[:, 3] = rng.integers(0, 2, n)
    p = 1 / (1 + np.exp(-(intercept + x @ np.array(effects))))
    frame = pandas.DataFrame(x * [1, 10, 1, 1, 100, 1] + [0, 50, 0, 0, 400, 0], columns=list(NAMES))
    return frame.assign(y=(rng.random(n) < p).astype(int), growth=4 * x[:, 0] + rng.normal(0, 5, n))


@pytest.fixture(scope="module")
def frame() -> pandas.DataFrame:
    return frame_of(700, 1)


def model_of(frame: pandas.DataFrame, predictors=PREDICTORS) -> LogisticModel:
    return fit_logistic(frame, "y", predictors, name="test", outcome="y", cohort=COHORT)


# --- another outcome --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [-3.0, 2.0, 5.0])
@pytest.mark.parametrize("predictors", [PREDICTORS, PREDICTORS[:1]])
def test_a_refit_is_what_statsmodels_gives(frame, limit, predictors):
    model = model_of(frame, predictors)
    x = frame[[one.name for one in predictors]].to_numpy()
    y = (frame.growth > limit).to_numpy()
    found = refit_logistic(model, x, y, f"growth > {limit}")
    wanted = sm.Logit(y.astype(float), sm.add_constant(x - x.mean(axis=0))).fit(disp=0, tol=1e-12, maxiter=200)
    assert found.intercept == pytest.approx(wanted.params[0], abs=1e-6)
    np.testing.assert_allclose(found.coefficients, wanted.params[1:], atol=1e-6)
    np.testing.assert_allclose(found.coefficient_covariance, wanted.cov_params(), rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(found.means, x.mean(axis=0))
    np.testing.assert_allclose(found.predictor_covariance, np.cov(x, rowvar=False).reshape(x.shape[1], -1))
    assert (found.n, found.events) == (len(y), int(y.sum()))
    assert found.outcome == f"growth > {limit}"
    assert found.performance == {}
    assert found.predictors == model.predictors
    values = dict(zip([one.name for one in predictors], x[3], strict=True))
    chance = 1 / (1 + np.exp(-wanted.predict(sm.add_constant(x - x.mean(axis=0))[3:4], which="linear")[0]))
    assert found.predict(values)[0] == pytest.approx(chance, abs=1e-3)


def test_the_same_outcome_gives_the_same_model(frame):
    model = model_of(frame)
    found = refit_logistic(model, frame[list(NAMES)].to_numpy(), frame.y.to_numpy(), "y")
    np.testing.assert_allclose(found.coefficients, model.coefficients, atol=1e-5)
    assert found.intercept == pytest.approx(model.intercept, abs=1e-5)
    again = LogisticModel.from_dict(found.to_dict())
    assert again.to_dict() == found.to_dict()


def test_too_few_on_either_side_are_refused(frame):
    model, x = model_of(frame, PREDICTORS[:2]), frame[["a", "b"]].to_numpy()
    order = np.argsort(frame.growth.to_numpy())
    for few in (19, 0):
        rare = np.zeros(len(x))
        rare[order[len(x) - few :]] = 1
        for y in (rare, 1 - rare):
            with pytest.raises(InputError, match=f"Only {few} patients .* 'much growth'"):
                refit_logistic(model, x, y, "much growth")
    enough = np.zeros(len(x))
    enough[np.random.default_rng(0).permutation(len(x))[:20]] = 1
    assert refit_logistic(model, x, enough, "y").events == 20


def test_groups_that_a_predictor_separates_are_refused(frame):
    model, x = model_of(frame, PREDICTORS[:1]), frame[["a"]].to_numpy()
    with pytest.raises(InputError, match="choose another"):
        refit_logistic(model, x, x[:, 0] > 0.2, "separated")


def test_two_equal_predictors_are_refused(frame):
    model = model_of(frame, PREDICTORS[:2])
    x = frame[["a", "a"]].to_numpy()
    with pytest.raises(InputError, match="choose another"):
        refit_logistic(model, x, (frame.growth > 2).to_numpy(), "growth")


def test_refitting_needs_numpy_only():
    core = Path(__file__).resolve().parents[2]
    heavy = {"pandas", "statsmodels", "scipy"}
    code = f"import PrognosisLib.risk.refit, sys; print(sorted({heavy} & set(sys.modules)))"
    found = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(core)}, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"


# --- forward selection ------------------------------------------------------------------------------------------------


def test_selection_finds_what_was_planted_the_strongest_first(frame):
    found = forward_selection(frame, "y", PREDICTORS)
    assert [one.name for one, _ in found][:2] == ["a", "c"]
    assert all(p < 0.05 for _, p in found)
    y = frame.y.to_numpy(float)

    def likelihood(names: list[str]) -> float:
        return sm.Logit(y, sm.add_constant(frame[names].to_numpy())).fit(disp=0).llf if names else empty

    empty = float(sm.Logit(y, np.ones(len(y))).fit(disp=0).llf)
    for number, (one, p) in enumerate(found):
        before = [other.name for other, _ in found[:number]]
        gain = 2 * (likelihood([*before, one.name]) - likelihood(before))
        assert p == pytest.approx(chi2.sf(gain, 1), rel=1e-3, abs=1e-30)


def test_noise_enters_as_seldom_as_its_level_says():
    """Four candidates without effect at 1 % each, in 40 cohorts: one or two of 160 enter by chance."""
    entered = planted = 0
    for seed in range(40):
        names = {one.name for one, _ in forward_selection(frame_of(500, 100 + seed), "y", PREDICTORS, 0.01)}
        planted += len(names & {"a", "c"})
        entered += len(names - {"a", "c"})
    assert planted >= 76
    assert entered <= 8


def test_a_level_of_one_takes_everything_and_of_zero_nothing(frame):
    assert len(forward_selection(frame, "y", PREDICTORS, 1.1)) == len(PREDICTORS)
    assert forward_selection(frame, "y", PREDICTORS, 0.0) == []


def test_what_cannot_be_selected_from_is_refused(frame):
    with pytest.raises(InputError, match='"d" is the same for all'):
        forward_selection(frame.assign(d=1.0), "y", PREDICTORS)
    with pytest.raises(InputError, match="missing"):
        forward_selection(frame.assign(b=np.nan), "y", PREDICTORS)
    with pytest.raises(InputError, match="too few"):
        forward_selection(frame.head(40), "y", PREDICTORS)
