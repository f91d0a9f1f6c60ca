"""Who teaches and who is judged, and how much too good a model looks on its own patients."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from PrognosisLib.errors import InputError
from PrognosisLib.evaluation.discrimination import auc
from PrognosisLib.evaluation.optimism import correct_optimism
from PrognosisLib.evaluation.protocols import (
    Protocol,
    judge,
    k_fold,
    last_early_year,
    protocols,
    teachers_of,
)

PATIENTS = st.lists(st.sampled_from("abcdefghijkl"), min_size=20, max_size=60).filter(lambda them: len(set(them)) >= 5)


@settings(deadline=None)
@given(PATIENTS, st.integers(0, 100))
def test_a_patient_is_in_one_fold_and_folds_are_even(patients, seed):
    folds = k_fold(patients, 5, seed)
    of = {one: set(folds[np.array(patients) == one]) for one in set(patients)}
    assert all(len(found) == 1 for found in of.values())
    counts = np.bincount([next(iter(found)) for found in of.values()], minlength=5)
    assert counts.max() - counts.min() <= 1
    np.testing.assert_array_equal(folds, k_fold(patients, 5, seed))


def test_too_few_patients_for_the_folds():
    with pytest.raises(InputError, match="4 patients are too few for 10 folds"):
        k_fold(list("aabbccdd"))


@settings(deadline=None)
@given(st.lists(st.integers(2010, 2024), min_size=2, max_size=60).filter(lambda years: len(set(years)) > 1))
def test_a_temporal_split_always_leaves_both_sides(years):
    years = np.array(years, float)
    cutoff = last_early_year(years)
    assert (years <= cutoff).any()
    assert (years > cutoff).any()


@settings(deadline=None)
@given(PATIENTS, st.integers(0, 1000))
def test_no_patient_teaches_who_is_judged(patients, seed):
    rng = np.random.default_rng(seed)
    years = rng.integers(2015, 2020, len(patients)).astype(float)
    sites = np.array(["north", "south", "west"])[rng.integers(0, 3, len(patients))]
    patients = np.array(patients)
    for protocol in protocols(patients, years, sites, folds=4):
        for group in range(int(protocol.groups.max()) + 1):
            judged = protocol.groups == group
            teachers = teachers_of(protocol.groups, patients, group)
            assert not set(patients[judged]) & set(patients[teachers]), protocol.name
            assert not (teachers & judged).any()
            if protocol.name == "leave-one-site-out":
                assert not set(sites[judged]) & set(sites[teachers])
            if protocol.name == "temporal" and teachers.any():
                assert years[teachers].max() < years[judged].min()


def test_columns_with_gaps_leave_their_protocols_out():
    patients = [f"p{n}" for n in range(20)]
    years, sites = np.arange(2000.0, 2020), ["a", "b"] * 10
    assert [one.name for one in protocols(patients, years, sites)] == ["10-fold", "temporal", "leave-one-site-out"]
    assert protocols(patients, years)[1].judged == "after 2013"
    years[3], sites[5] = np.nan, ""
    assert [one.name for one in protocols(patients, years, sites)] == ["10-fold"]
    assert [one.name for one in protocols(patients, np.full(20, 2000.0), ["a"] * 20)] == ["10-fold"]


def test_judging_uses_models_of_the_others():
    protocol = Protocol("two", np.array([0, 0, 1, 1, -1]), "both")
    seen = []

    def fit(rows):
        seen.append(rows.tolist())
        return lambda judged: judged + 100.0 * len(rows)

    found = judge(protocol, list("abcad"), fit)
    assert seen == [[2, 4], [1, 4]]  # a is judged in both groups and teaches in neither
    np.testing.assert_array_equal(found, [200, 201, 202, 203, np.nan])


# --- optimism ---------------------------------------------------------------------------------------------------------


def logistic(x: np.ndarray, y: np.ndarray):
    import statsmodels.api as sm

    def fit(rows):
        coefficients = sm.GLM(y[rows], sm.add_constant(x[rows]), family=sm.families.Binomial()).fit().params
        return lambda judged: auc(y[judged], sm.add_constant(x[judged]) @ coefficients).value

    return fit


def test_a_model_of_noise_loses_what_it_seemed_to_know():
    rng = np.random.default_rng(2)
    apparent, corrected = [], []
    for _ in range(10):
        x, y = rng.normal(size=(120, 8)), rng.integers(0, 2, 120)
        found = correct_optimism(logistic(x, y), np.arange(120), repeats=30)
        assert found.corrected == pytest.approx(found.apparent - found.optimism)
        apparent.append(found.apparent)
        corrected.append(found.corrected)
    assert np.mean(apparent) > 0.62
    # A sample shares patients with the whole, so that a third of the optimism stays in a model of nothing but noise.
    assert 0.48 < np.mean(corrected) < 0.5 + 0.45 * (np.mean(apparent) - 0.5)


def test_a_model_of_one_strong_cause_loses_next_to_nothing():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(600, 1))
    y = (rng.random(600) < 1 / (1 + np.exp(-1.5 * x[:, 0]))).astype(int)
    found = correct_optimism(logistic(x, y), np.arange(600), repeats=40)
    assert abs(found.optimism) < 0.01
    assert found.repeats == 40


def test_a_model_that_hardly_ever_fits_is_refused():
    def fit(rows):
        if len(set(rows.tolist())) < 30:
            raise InputError("no")
        return lambda judged: 1.0

    with pytest.raises(InputError, match="only 0 of 20 bootstrap samples"):
        correct_optimism(fit, np.arange(30), repeats=20)
