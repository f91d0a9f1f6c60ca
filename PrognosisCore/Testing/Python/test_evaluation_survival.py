"""Survival figures and best cut-offs, against lifelines' data sets and cases whose answer is known."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from PrognosisLib.errors import InputError
from PrognosisLib.evaluation import survival
from PrognosisLib.evaluation.cutoff import best_binary_cutoff, best_survival_cutoff, log_rank_scores
from PrognosisLib.evaluation.discrimination import auc
from PrognosisLib.evaluation.survival import (
    at_risk,
    auc_at,
    c_index,
    compare_c_index,
    hazard_ratio,
    kaplan_meier,
    log_rank,
    still_followed,
    survival_until,
)


def test_c_index_of_rossi():
    from lifelines import CoxPHFitter
    from lifelines.datasets import load_rossi

    rossi = load_rossi()
    fitted = CoxPHFitter().fit(rossi, "week", "arrest")
    assert fitted.log_likelihood_ == pytest.approx(-658.74766, abs=1e-4)
    found = c_index(rossi.week, rossi.arrest, fitted.predict_partial_hazard(rossi), repeats=60)
    assert found.value == pytest.approx(0.640329, abs=1e-6)
    assert 0.55 < found.lower < found.value < found.upper < 0.72
    with pytest.raises(InputError, match="no events"):
        c_index([1, 2], [0, 0], [1, 2])


def test_kaplan_meier_and_log_rank():
    from lifelines.datasets import load_lung, load_waltons

    lung, waltons = load_lung(), load_waltons()
    chi2, p = log_rank(lung.time, lung.status, lung.sex)
    assert chi2 == pytest.approx(10.3267, abs=1e-4)
    assert p < 0.01
    medians = [kaplan_meier(part.time, part.status).median for _, part in lung.groupby("sex")]
    assert medians == [270, 426]
    assert log_rank(waltons["T"], waltons["E"], waltons["group"])[0] == pytest.approx(122.2491, abs=1e-4)
    curve = kaplan_meier(lung.time, lung.status)
    assert curve.times[0] == 0
    assert curve.survival[0] == 1
    assert (np.diff(curve.survival) <= 0).all()
    assert ((curve.lower <= curve.survival) & (curve.survival <= curve.upper)).all()


def test_hazard_ratio_of_lung():
    from lifelines.datasets import load_lung

    lung = load_lung()
    found = hazard_ratio(lung.time, lung.status, lung.sex == 2)
    assert found == pytest.approx((np.exp(-0.5310), 0.4237, 0.8160), abs=2e-4)
    with pytest.raises(InputError, match="values that differ"):
        hazard_ratio(lung.time, lung.status, np.ones(len(lung)))


def test_survival_at_a_time_and_who_is_at_risk():
    time, event = np.array([1.0, 2, 2, 3, 4]), np.array([1, 1, 0, 0, 1])
    curve = kaplan_meier(time, event)
    assert [curve.at(moment).value for moment in (0, 0.5, 1, 2.5, 9)] == pytest.approx([1, 1, 0.8, 0.6, 0.0])
    assert curve.at(2).lower < 0.6 < curve.at(2).upper
    assert at_risk(time, [0, 1, 1.5, 2, 4, 5]).tolist() == [5, 5, 4, 4, 1, 0]


def survivors(n: int = 300, seed: int = 0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    death, censored = rng.exponential(np.exp(-0.9 * x)), rng.exponential(2.0, n)
    return np.minimum(death, censored), (death <= censored).astype(int), x, rng


def test_paired_difference_of_c_indexes():
    time, event, x, rng = survivors()
    noisy = x + rng.normal(0, 1.5, len(x))
    found = compare_c_index(time, event, x, noisy, repeats=100)
    values = [c_index(time, event, one, repeats=2).value for one in (x, noisy)]
    assert found.difference == pytest.approx(values[0] - values[1])
    assert 0 < found.lower < found.difference < found.upper
    assert found.p < 0.01
    back = compare_c_index(time, event, noisy, x, repeats=100)
    assert back.difference == pytest.approx(-found.difference)
    same = compare_c_index(time, event, x, 3 * x, repeats=20)
    assert (same.difference, same.z, same.p) == (0, 0, 1)
    with pytest.raises(InputError, match="no events"):
        compare_c_index([1, 2], [0, 0], [1, 2], [2, 1])
    with pytest.raises(InputError, match="must not be negative"):
        c_index([-1, 2], [0, 1], [1, 2])


def test_a_bootstrap_by_pairs_is_that_of_lifelines(monkeypatch):
    rng = np.random.default_rng(1)
    time, event = rng.integers(1, 12, 60).astype(float), rng.integers(0, 2, 60)
    risk, patients = rng.integers(0, 5, 60).astype(float), rng.integers(0, 40, 60)
    by_pairs = c_index(time, event, risk, patients, repeats=40)
    monkeypatch.setattr(survival, "MOST_PAIRED", 0)
    assert c_index(time, event, risk, patients, repeats=40) == pytest.approx(by_pairs, abs=1e-6)


def test_survival_until_a_time_is_the_curves():
    time, event, *_ = survivors()
    curve = kaplan_meier(time, event)
    for moment in (0.0, 0.3, 1.0, 5.0):
        assert survival_until(time, event, moment) == pytest.approx(curve.at(moment).value)


# --- area until a time ------------------------------------------------------------------------------------------------


def test_the_area_until_a_time_by_hand():
    """Six patients; one is censored at 2, with five still followed, so whoever has an event later counts 5/4 times.

    Those followed for longer than 4 have the risks 1 and 3. The event at 1 (risk 2) is over one of them and counts 1,
    that at 3 (risk 3) is over one and equal to one and counts 5/4: (1 * 0.5 + 1.25 * 0.75) / 2.25.
    """
    time, event = np.array([1.0, 2, 3, 4, 5, 6]), np.array([1, 0, 1, 0, 0, 1])
    risk = np.array([2.0, 9, 3, 9, 1, 3])
    assert still_followed(time, event, np.array([1.0, 2, 3, 4])).tolist() == pytest.approx([1, 1, 0.8, 0.8])
    assert still_followed(time, event, 2.0, upto=True) == pytest.approx(0.8)
    assert auc_at(time, event, risk, 4.0).value == pytest.approx((1 * 0.5 + 1.25 * 0.75) / 2.25)
    with pytest.raises(InputError, match="needs events until then"):
        auc_at(time, event, risk, 0.5)
    with pytest.raises(InputError, match="followed for longer"):
        auc_at(time, event, risk, 6.0)


def test_the_area_until_a_time_makes_up_for_censoring():
    """Against the uncensored truth; leaving the censored out without weights would miss it by three times as much."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=20000)
    death, censored = rng.exponential(np.exp(-2.0 * np.abs(x))), rng.exponential(0.4, len(x))
    time, event = np.minimum(death, censored), (death <= censored).astype(int)
    risk = np.abs(x) + rng.normal(0, 1.0, len(x))
    truth = auc((death <= 0.5).astype(int), risk).value
    kept = (event == 1) | (time > 0.5)
    unweighted = auc((time[kept] <= 0.5).astype(int), risk[kept]).value
    found = auc_at(time, event, risk, 0.5, repeats=40)
    assert found.value == pytest.approx(truth, abs=0.006)
    assert abs(unweighted - truth) > 0.02
    assert found.lower < truth < found.upper


@given(st.integers(0, 10**6), st.integers(4, 40), st.floats(0.5, 9.5))
def test_the_area_until_a_time_as_it_must_be(seed: int, n: int, horizon: float):
    """Without censoring it is the plain area; it goes by ranks, turns with the risk, and forgets what comes later."""
    rng = np.random.default_rng(seed)
    time, risk = rng.integers(1, 10, n).astype(float), rng.integers(0, 5, n).astype(float)
    died = time <= horizon
    assume(min(died.sum(), (~died).sum()) > 1)  # for the interval of the plain area
    everybody = np.ones(n, int)
    assert auc_at(time, everybody, risk, horizon, repeats=1).value == pytest.approx(auc(died.astype(int), risk).value)
    event = rng.integers(0, 2, n)
    assume(event[died].any())
    value = auc_at(time, event, risk, horizon, repeats=1).value
    assert 0 <= value <= 1
    assert auc_at(time, event, np.exp(risk), horizon, repeats=1).value == pytest.approx(value)
    assert auc_at(time, event, -risk, horizon, repeats=1).value == pytest.approx(1 - value)
    later = np.where(died, time, time + rng.uniform(0, 5, n))
    assert auc_at(later, event, risk, horizon, repeats=1).value == pytest.approx(value)


# --- best cut-off -----------------------------------------------------------------------------------------------------


def test_log_rank_scores_sum_to_zero_and_give_the_log_rank_statistic():
    from lifelines.datasets import load_lung

    lung = load_lung()
    points = log_rank_scores(lung.time.to_numpy(float), lung.status.to_numpy(float))
    assert points.sum() == pytest.approx(0, abs=1e-9)
    women = (lung.sex == 2).to_numpy()
    n, m = len(points), women.sum()
    z = points[women].sum() / np.sqrt(m * (n - m) * (points**2).sum() / (n * (n - 1)))
    # The permutation's variance stands for the hypergeometric one of the log-rank test.
    assert z**2 == pytest.approx(log_rank(lung.time, lung.status, women)[0], rel=0.05)


def test_the_best_cutoff_is_where_the_hazard_changes():
    rng = np.random.default_rng(6)
    score = rng.uniform(0, 100, 400)
    death = rng.exponential(np.where(score > 62, 0.35, 1.0))
    censored = rng.uniform(0, 3, 400)
    time, event = np.minimum(death, censored), (death <= censored).astype(int)
    found = best_survival_cutoff(time, event, score, permutations=200)
    assert found.cutoff == pytest.approx(62, abs=5)
    assert (found.n_low, found.n_high) == ((score <= found.cutoff).sum(), (score > found.cutoff).sum())
    assert found.z > 0
    assert found.p == pytest.approx(1 / 201)
    assert best_survival_cutoff(time, event, -score, permutations=50).z < 0


def test_the_corrected_p_value_of_few_patients_is_that_of_all_permutations():
    y, score = np.array([0, 0, 1, 0, 1, 1, 1]), np.array([1.0, 2, 3, 4, 5, 6, 7])

    def largest(order) -> float:
        z = np.array(order, float) - y.mean()
        low = np.arange(1, 7)
        return np.abs(np.cumsum(z)[low - 1] / np.sqrt(low * (7 - low) * (z**2).sum() / 42)).max()

    every = [largest(order) for order in permutations(y)]
    exact = np.mean(np.array(every) >= largest(y) - 1e-9)
    found = best_binary_cutoff(y, score, permutations=4000)
    assert found.p == pytest.approx(exact, abs=0.025)
    assert found.p_uncorrected < found.p


def test_without_an_effect_the_corrected_p_value_is_rarely_small():
    rng = np.random.default_rng(12)
    small = np.zeros(2)
    for trial in range(200):
        time, event, score = rng.exponential(1, 60), rng.integers(0, 2, 60), rng.normal(size=60)
        found = best_survival_cutoff(time, event, score, permutations=99, seed=trial)
        small += [found.p <= 0.05, found.p_uncorrected <= 0.05]
    assert small[0] / 200 < 0.1
    assert small[1] / 200 > 0.2  # what a search without correction would claim


def test_cutoffs_that_cannot_be():
    with pytest.raises(InputError, match="no cut-off with enough patients"):
        best_binary_cutoff(np.array([0, 1, 0, 1]), np.ones(4))
    with pytest.raises(InputError, match="at least two events"):
        best_survival_cutoff([1, 2, 3], [0, 1, 0], [1, 2, 3])
    tied = best_binary_cutoff(np.tile([0, 1], 20), np.repeat([1.0, 5.0], 20), permutations=20)
    assert (tied.cutoff, tied.n_low, tied.n_high) == (1.0, 20, 20)
