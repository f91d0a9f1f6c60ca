"""Calibration and decision curves, against dcurves' data and probabilities that were bent on purpose."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas
import pytest

from PrognosisLib.errors import InputError
from PrognosisLib.evaluation.calibration import (
    brier,
    calibration,
    calibration_at,
    calibration_groups,
    calibration_groups_at,
    calibration_index,
    observed_to_expected,
    scaled_brier,
    smooth_calibration,
)
from PrognosisLib.evaluation.decision import net_benefit, net_benefit_at
from PrognosisLib.evaluation.discrimination import auc
from PrognosisLib.evaluation.survival import brier_at


def test_decision_curve_auc_and_brier_of_df_binary():
    dcurves = pytest.importorskip("dcurves", reason="dcurves, which carries df_binary, is not installed")
    data = pandas.read_csv(Path(dcurves.__file__).parent / "data" / "df_binary.csv")
    y, p = data.cancer.to_numpy(), data.cancerpredmarker.to_numpy()
    assert len(y) == 750
    curve = net_benefit(y, p, [0.05, 0.10, 0.20])
    assert curve.model == pytest.approx([0.105544, 0.087407, 0.067333], abs=1e-6)
    assert curve.treat_all[1] == pytest.approx(0.0444444, abs=1e-7)
    assert auc(y, p).value == pytest.approx(0.860628, abs=1e-6)
    assert brier(y, p) == pytest.approx(0.084929, abs=1e-6)


def test_calibration_finds_what_was_done_to_the_probabilities():
    rng = np.random.default_rng(8)
    odds = rng.normal(-0.5, 1.2, 40_000)
    p = 1 / (1 + np.exp(-odds))
    y = (rng.random(len(p)) < p).astype(int)
    good = calibration(y, p)
    assert good["slope"].lower < 1 < good["slope"].upper
    assert good["intercept"].lower < 0 < good["intercept"].upper
    steep = calibration(y, 1 / (1 + np.exp(-2 * odds)))
    assert steep["slope"].value == pytest.approx(0.5, abs=0.03)
    shifted = calibration(y, 1 / (1 + np.exp(-(odds + 0.7))))
    assert shifted["intercept"].value == pytest.approx(-0.7, abs=0.05)
    with pytest.raises(InputError, match="between 0 and 1"):
        brier([0, 1], [0.2, 1.2])
    with pytest.raises(InputError, match="thresholds"):
        net_benefit([0, 1], [0.2, 0.8], [1.0])


@pytest.fixture(scope="module")
def binary():
    dcurves = pytest.importorskip("dcurves", reason="dcurves, which carries df_binary, is not installed")
    return pandas.read_csv(Path(dcurves.__file__).parent / "data" / "df_binary.csv")


def drawn(n: int = 4000, seed: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Outcomes and the probabilities they were drawn with."""
    rng = np.random.default_rng(seed)
    p = 1 / (1 + np.exp(-rng.normal(-0.5, 1.2, n)))
    return (rng.random(n) < p).astype(int), p


def test_scaled_brier_and_observed_to_expected():
    y, p = drawn()
    assert scaled_brier(y, np.full(len(y), y.mean())) == pytest.approx(0)
    assert scaled_brier(y, y.astype(float)) == 1
    assert scaled_brier(y, p) == pytest.approx(1 - brier(y, p) / (y.mean() * (1 - y.mean())))
    ratio = observed_to_expected(y, p)
    assert ratio.lower < 1 < ratio.upper
    assert observed_to_expected(y, p / 2).value == pytest.approx(2 * ratio.value)
    with pytest.raises(InputError, match="no event was expected"):
        observed_to_expected(np.array([0, 1]), np.zeros(2))


def test_calibration_groups_hold_everybody_once_and_the_truth():
    y, p = drawn()
    groups = calibration_groups(y, p, 10)
    assert len(groups) == 10
    assert sum(one.n for one in groups) == len(y)
    assert np.average([one.expected for one in groups], weights=[one.n for one in groups]) == pytest.approx(p.mean())
    assert np.average([one.observed.value for one in groups], weights=[one.n for one in groups]) == pytest.approx(
        y.mean()
    )
    assert sum(one.observed.lower <= one.expected <= one.observed.upper for one in groups) >= 8
    assert (np.diff([one.expected for one in groups]) > 0).all()


def test_patients_of_equal_probability_stay_together():
    p = np.repeat([0.1, 0.3, 0.8], [60, 30, 10])
    y = np.arange(100) % 2
    assert [(one.n, round(one.expected, 3)) for one in calibration_groups(y, p, 10)] == [
        (60, 0.1),
        (30, 0.3),
        (10, 0.8),
    ]


def test_the_smooth_curve_finds_how_probabilities_were_bent():
    y, p = drawn(8000)
    expected, observed = smooth_calibration(y, p)
    inside = (expected > 0.1) & (expected < 0.9)
    assert np.abs(observed - expected)[inside].max() < 0.06
    assert calibration_index(y, p) < 0.03
    bent = p**2
    expected, observed = smooth_calibration(y, bent)
    inside = (expected > 0.05) & (expected < 0.8)
    assert np.abs(observed - np.sqrt(expected))[inside].max() < 0.08
    assert calibration_index(y, bent) == pytest.approx(np.mean(p - bent), abs=0.02)


def test_calibration_of_real_predictions(binary):
    """df_binary's cancerpredmarker comes from a logistic model of the same patients, so it is right on average."""
    y, p = binary.cancer.to_numpy(), binary.cancerpredmarker.to_numpy()
    found = calibration(y, p)
    assert found["slope"].value == pytest.approx(1, abs=0.02)
    assert found["intercept"].value == pytest.approx(0, abs=0.02)
    assert observed_to_expected(y, p).value == pytest.approx(1, abs=0.01)


# --- survival ---------------------------------------------------------------------------------------------------------


def exponential(n: int = 3000, seed: int = 3):
    """Times, events, and each patient's true probability of an event until 1."""
    rng = np.random.default_rng(seed)
    hazard = np.exp(rng.normal(-1, 0.8, n))
    death, censored = rng.exponential(1 / hazard), rng.uniform(0.2, 3, n)
    return np.minimum(death, censored), (death <= censored).astype(int), 1 - np.exp(-hazard), death


def test_calibration_until_a_time_with_censored_patients():
    time, event, risk, _ = exponential()
    found = calibration_at(time, event, risk, 1.0)
    for name in ("observed_to_expected", "slope"):
        assert found[name].lower < 1 < found[name].upper, name
    half = calibration_at(time, event, risk / 2, 1.0)
    assert half["observed_to_expected"].value == pytest.approx(2 * found["observed_to_expected"].value)
    flat = 1 - np.exp(-((-np.log1p(-risk)) ** 2))  # twice the spread of the log hazard
    assert calibration_at(time, event, flat, 1.0)["slope"].value == pytest.approx(0.5, abs=0.05)
    with pytest.raises(InputError, match="between 0 and 1"):
        calibration_at(time, event, risk + 0.9, 1.0)


def test_groups_until_a_time_find_the_true_risk():
    time, event, risk, _ = exponential()
    groups = calibration_groups_at(time, event, risk, 1.0, 5)
    assert [one.n for one in groups] == [600] * 5
    assert sum(one.observed.lower <= one.expected <= one.observed.upper for one in groups) >= 4


def test_brier_until_a_time_makes_up_for_censoring():
    time, event, risk, death = exponential(20_000)
    truth = float(np.mean((risk - (death <= 1)) ** 2))
    assert brier_at(time, event, risk, 1.0) == pytest.approx(truth, abs=0.005)
    everybody = np.ones(len(death), int)
    assert brier_at(death, everybody, risk, 1.0) == pytest.approx(truth, abs=1e-12)
    with pytest.raises(InputError, match="nobody is followed until 9"):
        brier_at(time, event, risk, 9.0)


def test_decision_curve_until_a_time_is_that_of_dcurves():
    dcurves = pytest.importorskip("dcurves", reason="dcurves, which carries df_surv, is not installed")
    data = pandas.read_csv(Path(dcurves.__file__).parent / "data" / "df_surv.csv")
    thresholds = [0.05, 0.10, 0.20, 0.35]
    theirs = dcurves.dca(
        data=data,
        outcome="cancer",
        modelnames=["cancerpredmarker"],
        thresholds=thresholds,
        time=1.0,
        time_to_outcome_col="ttcancer",
    ).set_index(["model", "threshold"])["net_benefit"]
    ours = net_benefit_at(data.ttcancer, data.cancer.astype(int), data.cancerpredmarker, 1.0, thresholds)
    assert ours.model == pytest.approx([theirs["cancerpredmarker", t] for t in thresholds], abs=1e-6)
    assert ours.treat_all == pytest.approx([theirs["all", t] for t in thresholds], abs=1e-6)
    nobody = net_benefit_at(data.ttcancer, data.cancer.astype(int), data.cancerpredmarker, 1.0, [0.9999])
    assert nobody.model[0] == 0
