"""Fitting of the ordinal reading: it learns, repeats itself, and is surer of two sequences than of one."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

pytest.importorskip("torch")

from LiverStiffnessLib.labels import THRESHOLDS_KPA
from LiverStiffnessLib.learning import ordinal_training
from LiverStiffnessLib.learning.ordinal_training import PatientFeatures, fit_reading, score_of
from LiverStiffnessLib.measuring.ordinal import OrdinalModel, SliceInput
from PrognosisLib.evaluation.discrimination import auc

WIDTH = 5
TELLS, LURES = 1, 3  # features that follow the stiffness, and one that is large and tells nothing
THREE = THRESHOLDS_KPA.index(3.0)


def patients(count: int = 120, seed: int = 0) -> list[PatientFeatures]:
    """One feature of both sequences follows the log stiffness, with noise of its own in each."""
    rng = np.random.default_rng([seed, 9])
    found = []
    for number in range(count):
        log_kpa = float(np.clip(rng.normal(1.05, 0.35), 0.5, 2.3))
        slices = {}
        for name in ("T2", "T1"):
            n = int(rng.integers(4, 10))
            features = rng.normal(size=(n, WIDTH)) * [1, 0.4, 1, 6, 0.1]
            features[:, TELLS] += 2.0 * (log_kpa - 1.05) + rng.normal(0, 0.5)
            areas = rng.uniform(800, 12000, n)
            areas[0] = 5.0
            features[0] = 1e3  # no liver there: whatever the network saw does not count
            slices[name] = SliceInput(features, areas)
        spleen = np.nan if rng.random() < 0.1 else rng.normal(5.3, 0.3) + 0.5 * (log_kpa - 1.05)
        covariates = {name: np.array([spleen, 7.2, 0.0]) for name in slices}
        expected = 1 / (1 + np.exp(-(log_kpa - np.log(THRESHOLDS_KPA)) / 0.08))
        found.append(PatientFeatures(f"p{number}", slices, covariates, expected, log_kpa))
    return found


@cache
def fitted(sequences: tuple[str, ...] = ("T2", "T1")) -> OrdinalModel:
    return fit_reading(patients(), sequences, resamples=0)


def area(model: OrdinalModel, tested: list[PatientFeatures]) -> float:
    scores = np.array([score_of(model, one) for one in tested])
    return auc(np.array([one.log_kpa >= np.log(3.0) for one in tested]), scores).value


def test_a_fit_finds_what_the_stiffness_follows():
    new = patients(150, 5)
    model = fitted()
    assert area(model, new) > 0.85
    assert area(replace(model, effects={name: -value for name, value in model.effects.items()}), new) < 0.4
    readings = [model.read(one.slices, one.covariates["T2"]) for one in new]
    apart = np.array([np.log(r.kpa) - one.log_kpa for r, one in zip(readings, new, strict=True)])
    assert abs(apart.mean()) < 0.08
    assert apart.std() < 0.75 * np.std([one.log_kpa for one in new])
    covered = [
        r.kpa_interval.lower <= np.exp(one.log_kpa) <= r.kpa_interval.upper
        for r, one in zip(readings, new, strict=True)
    ]
    assert np.mean(covered) > 0.88


def test_fitted_probabilities_are_calibrated_and_ordered():
    new = patients(200, 6)
    model = fitted()
    chances = model.probabilities(np.array([score_of(model, one) for one in new]))
    assert (np.diff(chances, axis=1) <= 0).all()
    assert (np.diff(model.offsets) > 0).all()
    truth = np.mean([one.expected for one in new], axis=0)
    np.testing.assert_allclose(chances.mean(axis=0), truth, atol=0.08)


def test_one_sequence_alone_is_less_sure_than_both():
    new = patients(150, 5)
    for alone in (("T2",), ("T1",)):
        model = fitted(alone)
        assert model.sequences == alone
        assert model.log_kpa_sd > 1.05 * fitted().log_kpa_sd
        assert area(model, new) < area(fitted(), new)


def test_a_large_feature_that_tells_nothing_is_left_alone():
    weights = np.abs(fitted().effects["T2"].sum(axis=0)) * [1, 0.8, 1, 6, 0.1]
    assert weights[TELLS] == weights.max()
    assert weights[LURES] < 0.3 * weights[TELLS]


def test_the_same_arguments_give_the_same_numbers(monkeypatch):
    monkeypatch.setattr(ordinal_training, "STEPS", 40)
    some = patients(40)
    one, again = (fit_reading(some, ("T2",), seed=3, resamples=2).to_dict() for _ in range(2))
    assert one == again
    assert fit_reading(some, ("T2",), seed=4, resamples=2).to_dict() != one


def test_refits_tell_the_error_of_the_score(monkeypatch):
    """Fewer patients, more doubt."""
    monkeypatch.setattr(ordinal_training, "STEPS", 60)
    few, many = (fit_reading(patients(n, 2), ("T2",), resamples=4).error_sd for n in (25, 150))
    assert fit_reading(patients(25, 2), ("T2",), resamples=0).error_sd == 0.0
    assert few > 1.2 * many > 0


def test_patients_without_a_sequence_are_left_out(monkeypatch):
    monkeypatch.setattr(ordinal_training, "STEPS", 40)
    some = patients(40)
    lacking = [replace(one, slices={"T1": one.slices["T1"]}) for one in patients(10, 8)]
    assert (
        fit_reading([*some, *lacking], ("T2",), resamples=0).to_dict()
        == fit_reading(some, ("T2",), resamples=0).to_dict()
    )


def test_the_fit_survives_its_text():
    model = fitted()
    again = OrdinalModel.from_dict(model.to_dict(), WIDTH)
    for one in patients(10, 7):
        assert score_of(again, one) == pytest.approx(score_of(model, one), abs=1e-3)


def test_a_basis_keeps_the_reading_to_its_directions():
    basis = np.eye(WIDTH)[[TELLS, 2]]
    model = fit_reading(patients(), ("T2", "T1"), resamples=0, basis=basis)
    for one in (*model.effects.values(), *model.gates.values()):
        assert one.shape[1] == WIDTH
        assert not one[:, [0, LURES, 4]].any()
    assert area(model, patients(150, 5)) > 0.85
    blind = fit_reading(patients(), ("T2",), resamples=0, basis=np.eye(WIDTH)[[0, 2]])
    assert area(blind, patients(150, 5)) < area(model, patients(150, 5)) - 0.05
