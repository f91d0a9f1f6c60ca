"""From scores to readouts, and folds by patient."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch")

from FibrosisVideoLib.labels import MODELS
from FibrosisVideoLib.learning import fitting
from FibrosisVideoLib.learning.encoding import EncodedCine
from FibrosisVideoLib.learning.scoring import SMALLEST_SLOPE, Scored, fit_readout
from FibrosisVideoLib.learning.taught import UNKNOWN_SIGNS, reached_by
from FibrosisVideoLib.measuring.readout import OrdinalReadout

TRUE = OrdinalReadout(1.4, np.array([-2.0, 0.3, 1.4, 2.9]), 0.6, 0.5)


def stage_of(score: float, readout: OrdinalReadout, rng: np.random.Generator) -> int:
    return int(rng.choice(5, p=readout.stages(score)))


def cine(stage: int = 2, patient: str = "a") -> EncodedCine:
    """An encoded cine of nothing."""
    cells, weight = np.zeros((1, 1, 1, 1, 1), np.float16), np.zeros((1, 1, 1, 1), np.float16)
    return EncodedCine(cells, weight, np.ones(1, bool), stage, reached_by(stage), UNKNOWN_SIGNS, patient)


# --- the readout ------------------------------------------------------------------------------------------------------


def test_a_readout_is_recovered_from_simulated_scores():
    rng = np.random.default_rng(2)
    scored, stages = [], []
    for _ in range(4000):
        middle = rng.normal(0.5, 1.5)
        windows = middle + TRUE.window_sd * rng.standard_normal(5)
        scored.append(Scored(windows))
        stages.append(stage_of(windows.mean(), TRUE, rng))
    found = fit_readout(scored, stages, 0.5)
    assert found.slope == pytest.approx(TRUE.slope, rel=0.08)
    np.testing.assert_allclose(found.thresholds, TRUE.thresholds, atol=0.25)
    assert found.window_sd == pytest.approx(TRUE.window_sd, rel=0.04)
    assert found.residual_sd == 0.5
    scores = np.linspace(-2, 3, 9)
    np.testing.assert_allclose(found.stages(scores), TRUE.stages(scores), atol=0.03)


def test_a_readout_is_the_most_likely_one():
    """No step of a parameter makes the stages likelier."""
    rng = np.random.default_rng(5)
    scores = rng.normal(0, 1, 120)
    stages = [stage_of(score, TRUE, rng) for score in scores]
    found = fit_readout([Scored(np.array([score])) for score in scores], stages, 0.0)

    def likelihood(one: OrdinalReadout) -> float:
        return float(np.log(one.stages(scores)[np.arange(len(scores)), stages]).sum())

    best = likelihood(found)
    for step in (-0.05, 0.05):
        assert likelihood(replace(found, slope=found.slope + step)) < best + 1e-3
        for k in range(4):
            moved = found.thresholds.copy()
            moved[k] += step
            assert likelihood(replace(found, thresholds=moved)) < best + 1e-3


def test_scores_that_tell_nothing_give_the_shares_of_the_stages():
    rng = np.random.default_rng(3)
    stages = rng.choice(5, 600, p=[0.3, 0.2, 0.2, 0.2, 0.1])
    found = fit_readout([Scored(rng.normal(0, 1, 3)) for _ in stages], stages, 0.0)
    assert SMALLEST_SLOPE <= found.slope < 0.4
    np.testing.assert_allclose(found.stages(0.0), [0.3, 0.2, 0.2, 0.2, 0.1], atol=0.05)
    # a score that falls with the stage is no score: the reading stays weak and ascending
    turned = fit_readout([Scored(np.array([-float(stage)])) for stage in stages], stages, 0.0)
    assert turned.slope <= 0.1
    assert np.all(np.diff(turned.thresholds) >= 0)


def test_stages_that_nobody_has_are_allowed_but_not_only_one():
    scored = [Scored(np.array([float(n)])) for n in range(12)]
    found = fit_readout(scored, [0] * 6 + [3] * 6, 0.0)
    assert np.all(np.diff(found.thresholds) >= 0)
    chances = found.stages(np.array([0.0, 11.0]))
    assert chances[0, 0] > 0.9
    assert chances[1, 3] > 0.8
    with pytest.raises(ValueError, match="two stages"):
        fit_readout(scored, [2] * 12, 0.0)
    empty = [Scored(np.zeros(0))] * 6
    with pytest.raises(ValueError, match="two stages"):
        fit_readout([*scored[:6], *empty], [2] * 6 + [3] * 6, 0.0)
    same = fit_readout([*scored, *empty], [0] * 6 + [3] * 6 + [1] * 6, 0.0)
    assert same.slope == pytest.approx(found.slope), "cines without a window are left out"


def pairs(count: int, between: float, windows: int = 6, seed: int = 0) -> tuple[list[Scored], list[EncodedCine]]:
    """Two cines a patient whose scores differ by `between` (SD) beyond the windows' own spread of 0.8."""
    rng = np.random.default_rng(seed)
    scored, cines = [], []
    for number in range(count):
        own = rng.normal(0, 2)
        for _ in range(2):
            middle = own + between * rng.standard_normal()
            scored.append(Scored(middle + 0.8 * rng.standard_normal(windows)))
            cines.append(cine(patient=str(number)))
    return scored, cines


@pytest.mark.parametrize("between", [0.3, 1.0])
def test_what_another_cine_would_change_is_recovered(between):
    scored, cines = pairs(1500, between)
    assert fitting.between_cines(scored, cines, 0.8) == pytest.approx(between, rel=0.12)


def test_where_windows_explain_everything_or_there_is_no_pair_nothing_is_added():
    scored, cines = pairs(20, 0.0)
    assert fitting.between_cines(scored, cines, 5.0) == 0.0
    assert fitting.between_cines(scored[::2], cines[::2], 0.8) == 0.0
    scored[1::2] = [Scored(np.zeros(0))] * 20
    assert fitting.between_cines(scored, cines, 0.8) == 0.0


# --- folds ------------------------------------------------------------------------------------------------------------


def test_no_patient_teaches_the_network_that_scores_it(tmp_path, monkeypatch):
    cines = [cine(stage=n % 5, patient=str(n // 2)) for n in range(24)]
    trained: list[set[str]] = []
    watched: list[tuple[int, int]] = []

    class Taught:
        def __init__(self, patients: set[str]) -> None:
            self.patients = patients

    def train(teachers, model, work, steps, seed, watching=(), patience=0):
        trained.append({one.patient for one in teachers})
        watched.append((len(watching), patience))
        return Taught(trained[-1]), SimpleNamespace(stopping=work.name, draw_curve=lambda *_: [work])

    def score(network, unseen):
        assert not network.patients & {one.patient for one in unseen}
        assert len(network.patients) + len({one.patient for one in unseen}) == 12, "all others teach"
        return [Scored(one.stage + np.array([-0.3, 0.3]) + 0.01 * float(one.patient)) for one in unseen]

    monkeypatch.setattr(fitting, "train_classifier", train)
    monkeypatch.setattr(fitting, "score_cines", score)
    found = fitting.fit_models(cines, tmp_path, 3, 0, [cine(patient="held out")], 2)
    assert set(found.classifiers) == set(found.readouts) == set(found.out_of_fold) == set(MODELS)
    assert len(trained) == len(MODELS) * (fitting.FOLDS + 1)
    assert trained[0] == {str(n) for n in range(12)}, "the final network learns from all"
    assert watched == [(1, 2), *[(0, 0)] * fitting.FOLDS] * len(MODELS), "the final network alone is stopped early"
    assert found.stopping == {model: f"{model}-final" for model in MODELS}
    for model in MODELS:
        chances = found.out_of_fold[model]
        assert np.isfinite(chances).all()
        stages = np.array([one.stage for one in cines])
        assert chances[stages >= 2].min() > chances[stages < 2].max()


def test_cines_without_a_window_have_no_probability():
    found = fitting.chances_of(TRUE, [Scored(np.array([0.3])), Scored(np.zeros(0))])
    assert found[0] == pytest.approx(float(TRUE.significant(0.3)))
    assert np.isnan(found[1])
