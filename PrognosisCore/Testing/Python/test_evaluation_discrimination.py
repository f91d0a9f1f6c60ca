"""AUC and its tests, figures at thresholds and reclassification, against published check values and other packages."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from PrognosisLib.errors import InputError
from PrognosisLib.evaluation.discrimination import auc, compare_auc, delong, expected_auc, roc, share_of_best
from PrognosisLib.evaluation.estimates import bootstrap, wilson
from PrognosisLib.evaluation.reclassification import integrated_discrimination, net_reclassification
from PrognosisLib.evaluation.thresholds import best_point, point_figures

ASAH = Path(__file__).resolve().parents[4] / "shared/data/cohorts/asah.csv"


@pytest.fixture(scope="module")
def asah():
    if not ASAH.exists():
        pytest.skip("the aSAH cohort is not in ../shared/data")
    return pandas.read_csv(ASAH)


@pytest.mark.real
def test_delong_on_asah(asah):
    y = (asah.outcome == "Poor").to_numpy()
    areas, covariance = delong(y, [asah.wfns, asah.ndka, asah.s100b])
    assert areas[:2] == pytest.approx([0.823678861788618, 0.611957994579946], abs=1e-12)
    assert np.diag(covariance) == pytest.approx([0.00146991471, 0.00319081055, 0.00266868246], abs=1e-10)
    assert auc(y, asah.ndka) == pytest.approx((0.611957994579946, 0.501244999, 0.722670990), abs=1e-8)
    first, second = compare_auc(y, asah.wfns, asah.s100b), compare_auc(y, asah.wfns, asah.ndka)
    assert (first.z, first.p) == pytest.approx((2.20898359, 0.02717578), abs=1e-7)
    assert (second.z, second.p) == pytest.approx((2.79777592, 0.00514558), abs=1e-7)
    assert compare_auc(y, asah.ndka, asah.s100b).z == pytest.approx(-1.39077003, abs=1e-7)


def test_auc_with_ties_and_agreement_with_scikit_learn():
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(3)
    y = rng.integers(0, 2, 300)
    score = np.round(rng.normal(size=300) + 0.8 * y, 1)
    assert auc(y, score).value == pytest.approx(roc_auc_score(y, score))
    same = compare_auc(y, score, 2 * score)
    assert (same.z, same.p) == (0, 1)
    assert auc([0, 0, 1, 1], [1, 2, 3, 4]) == (1, 1, 1)
    with pytest.raises(InputError, match="0 or 1"):
        auc([1, 1, 1], [1, 2, 3])
    with pytest.raises(InputError, match="at least two"):
        auc([0, 0, 1], [1, 2, 3])
    with pytest.raises(InputError, match="finite"):
        auc([0, 0, 1, 1], [1, 2, 3, np.nan])


def test_delong_interval_covers():
    rng = np.random.default_rng(5)
    truth = 0.7602499  # of two unit normals one apart: Phi(1 / sqrt 2)
    covered = 0
    for _ in range(300):
        y = np.repeat([0, 1], 40)
        found = auc(y, rng.normal(size=80) + y)
        covered += found.lower <= truth <= found.upper
    assert covered / 300 == pytest.approx(0.95, abs=0.04)


def test_wilson():
    from statsmodels.stats.proportion import proportion_confint

    for k, n in ((0, 10), (3, 10), (223, 227), (10, 10)):
        assert wilson(k, n) == pytest.approx((k / n, *proportion_confint(k, n, method="wilson")), abs=1e-9)
    with pytest.raises(InputError):
        wilson(11, 10)


def test_the_bootstrap_draws_whole_patients():
    patients = np.repeat(np.arange(30), 20)
    values = np.repeat(np.random.default_rng(0).normal(size=30), 20)

    def mean(rows):
        assert (np.bincount(patients[rows], minlength=30) % 20 == 0).all()
        return values[rows].mean()

    lower, upper = bootstrap(mean, patients, 300)
    expected = 2 * 1.96 * values[::20].std() / np.sqrt(30)
    assert upper - lower == pytest.approx(expected, rel=0.2)


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 6)), min_size=4, max_size=40))
@settings(deadline=None)
def test_the_roc_curve_has_the_area_and_is_that_of_scikit_learn(pairs):
    from sklearn.metrics import roc_curve

    y, score = (np.array(column) for column in zip(*pairs, strict=True))
    if min(y.sum(), (1 - y).sum()) < 2:
        return
    found = roc(y, score)
    assert np.trapezoid(found.sensitivity, found.false_positives) == pytest.approx(auc(y, score).value)
    false, hits, thresholds = roc_curve(y, score, drop_intermediate=False)
    np.testing.assert_allclose(found.sensitivity, hits)
    np.testing.assert_allclose(found.false_positives, false)
    np.testing.assert_allclose(found.thresholds[1:], thresholds[1:])


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 25))
def test_the_expected_area_is_the_sum_over_all_pairs(seed, count):
    rng = np.random.default_rng(seed)
    p = rng.uniform(0.01, 0.99, count)
    score = rng.integers(0, 6, count).astype(float)  # with ties
    won = total = 0.0
    for i in range(count):
        for j in range(count):
            if i != j:
                chance = p[i] * (1 - p[j])  # i reaches the threshold and j does not
                won += chance * (1.0 if score[i] > score[j] else 0.5 if score[i] == score[j] else 0.0)
                total += chance
    assert expected_auc(p, score) == pytest.approx(won / total)


def test_the_expected_area_is_the_mean_of_areas_of_drawn_outcomes():
    rng = np.random.default_rng(1)
    p = rng.uniform(0.05, 0.95, 200)
    score = p + rng.normal(0, 0.3, 200)
    drawn = [auc(rng.random(200) < p, score).value for _ in range(200)]
    assert expected_auc(p, score) == pytest.approx(np.mean(drawn), abs=4 * np.std(drawn) / np.sqrt(200))
    assert expected_auc(p, p) > expected_auc(p, score)


def test_the_share_of_the_best_area():
    assert share_of_best(0.7, 0.9) == 0.5
    assert share_of_best(0.4, 0.9) == -0.25
    assert share_of_best(0.7, 0.5) is None


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(4, 49))
def test_the_best_point_has_the_largest_youden_index_of_all(seed, count):
    rng = np.random.default_rng(seed)
    y = rng.random(count) < 0.5
    y[:2] = True, False
    chance = rng.random(count)

    def youden(point: float) -> float:
        return np.mean(chance[y] >= point) + np.mean(chance[~y] < point) - 1

    best = best_point(y, chance)
    every = max(youden(point) for point in chance)
    # The lowest value of all calls everyone, which is an index of 0.
    assert youden(best) == pytest.approx(max(every, 0.0)) or every == pytest.approx(0.0)


def test_a_best_point_needs_both_outcomes():
    assert best_point(np.ones(5, bool), np.linspace(0, 1, 5)) == 0.5
    assert best_point(np.zeros(5, bool), np.linspace(0, 1, 5)) == 0.5


def test_figures_at_a_point_are_those_of_scikit_learn():
    from sklearn.metrics import accuracy_score, precision_recall_fscore_support

    rng = np.random.default_rng(2)
    for _ in range(20):
        y, called = rng.integers(0, 2, 30), rng.integers(0, 2, 30)
        y[:2], called[:2] = (0, 1), (0, 1)
        found = point_figures(y, called, repeats=20)
        precision, recall, f1, _ = precision_recall_fscore_support(y, called)
        macro = precision_recall_fscore_support(y, called, average="macro")
        assert found["sensitivity"].value == pytest.approx(recall[1])
        assert found["specificity"].value == pytest.approx(recall[0])
        assert found["precision"].value == pytest.approx(precision[1])
        assert found["negative_predictive_value"].value == pytest.approx(precision[0])
        assert found["accuracy"].value == pytest.approx(accuracy_score(y, called))
        assert found["f1"].value == pytest.approx(f1[1])
        assert [found[f"{name}_macro"].value for name in ("precision", "recall", "f1")] == pytest.approx(macro[:3])
        assert found["f1_macro"].lower <= found["f1_macro"].value <= found["f1_macro"].upper


def test_macro_averages_give_the_published_figures_of_17_patients():
    """Accuracy 76.47, precision 78.03, recall 75.69, F1 75.71 %: one table and its mirror have all four."""
    fits = []
    for hits, false, missed in product(range(18), repeat=3):
        rest = 17 - hits - false - missed
        if rest < 0 or hits + missed == 0 or false + rest == 0:
            continue
        y = np.repeat([1, 0, 1, 0], [hits, false, missed, rest])
        called = np.repeat([1, 1, 0, 0], [hits, false, missed, rest])
        if (called == y).sum() != 13:
            continue
        found = point_figures(y, called, repeats=1)
        macro = [round(100 * found[f"{name}_macro"].value, 2) for name in ("precision", "recall", "f1")]
        if macro == [78.03, 75.69, 75.71]:
            fits.append((hits, false, missed, rest))
    assert fits == [(5, 1, 3, 8), (8, 3, 1, 5)]


def test_nobody_called_has_no_precision():
    found = point_figures(np.array([0, 0, 1, 1]), np.zeros(4), repeats=10)
    assert "precision" not in found
    assert found["sensitivity"].value == 0
    assert found["f1"].value == 0
    with pytest.raises(InputError, match="yes or no"):
        point_figures(np.array([0, 1]), np.array([0.2, 0.4]))


# --- reclassification -------------------------------------------------------------------------------------------------


def test_net_reclassification_of_the_published_table():
    """Pencina et al., Stat Med 2008;27:157: of 183 events 29 rise and 7 fall, of 3081 others 173 rise and 174 fall."""
    y = np.repeat([1, 0], [183, 3081])
    old = np.full(len(y), 0.10)
    new = old.copy()
    new[:29], new[29:36] = 0.3, 0.01
    new[183 : 183 + 173], new[183 + 173 : 183 + 347] = 0.3, 0.01
    found = net_reclassification(y, old, new, (0.06, 0.20))
    assert found.total.difference == pytest.approx(0.121, abs=5e-4)
    assert found.total.z == pytest.approx(3.616, abs=5e-4)
    assert found.total.p < 0.001
    assert found.events.value == pytest.approx(22 / 183)
    assert found.others.value == pytest.approx(1 / 3081)
    assert net_reclassification(y, old, new).total.difference == pytest.approx(found.total.difference)


def test_a_change_within_a_class_reclassifies_nobody():
    y = np.array([1, 1, 0, 0])
    old, new = np.array([0.1, 0.4, 0.1, 0.4]), np.array([0.15, 0.45, 0.12, 0.3])
    still = net_reclassification(y, old, new, (0.2,))
    assert (still.total.difference, still.total.z, still.total.p) == (0, 0, 1)
    assert net_reclassification(y, old, new).total.difference == pytest.approx(1.0)
    assert net_reclassification(y, old, new, (0.45,)).events.value == 0.5  # a class begins at its cut


def test_integrated_discrimination_by_hand():
    y = np.array([1, 1, 0, 0])
    old, new = np.full(4, 0.3), np.array([0.5, 0.7, 0.3, 0.1])
    found = integrated_discrimination(y, old, new)
    assert found.difference == pytest.approx(0.3 + 0.1)
    error = np.sqrt(np.var([0.2, 0.4], ddof=1) / 2 + np.var([0.0, -0.2], ddof=1) / 2)
    assert found.z == pytest.approx(0.4 / error)
    assert integrated_discrimination(y, new, new).p == 1


def test_intervals_of_reclassification_cover():
    rng = np.random.default_rng(9)
    changes, held = [], np.zeros(2)
    draws = []
    for _ in range(400):
        y = (rng.random(250) < 0.3).astype(int)
        old = rng.beta(2, 4, 250)
        new = np.clip(old + rng.normal(0.03 * (2 * y - 1), 0.08), 0, 1)
        found = net_reclassification(y, old, new).total, integrated_discrimination(y, old, new)
        changes.append([one.difference for one in found])
        draws.append([(one.lower, one.upper) for one in found])
    truth = np.mean(changes, axis=0)
    for one in draws:
        held += [low <= mean <= high for (low, high), mean in zip(one, truth, strict=True)]
    assert held / 400 == pytest.approx([0.95, 0.95], abs=0.04)
