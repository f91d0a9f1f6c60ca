"""What is learned and measured: readouts from scores, folds of patients, figures, a user's own cohort, batches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from fibrosis_networks import make_small

from FibrosisVideoLib.labels import MODELS
from FibrosisVideoLib.learning import classifier_training, fitting
from FibrosisVideoLib.learning.cases import StoredCine
from FibrosisVideoLib.learning.classifier_training import (
    START_THRESHOLDS,
    Classifier,
    TaughtCine,
    WindowSource,
    classifier_loss,
)
from FibrosisVideoLib.learning.liver_training import BATCH, LiverFrames, liver_loss
from FibrosisVideoLib.learning.scoring import (
    SMALLEST_SLOPE,
    Scored,
    fit_readout,
    score_cines,
    window_starts,
    windows_of,
)
from FibrosisVideoLib.measuring.readout import OrdinalReadout
from FibrosisVideoLib.networks.lattice import WINDOW
from FibrosisVideoLib.simulation.causes import SIGNS
from PrognosisLib.framewise.lattice import SHAPE, to_input

TRUE = OrdinalReadout(1.4, np.array([-2.0, 0.3, 1.4, 2.9]), 0.6, 0.5)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    make_small(monkeypatch)
    yield
    torch.set_num_threads(before)


def stage_of(score: float, readout: OrdinalReadout, rng: np.random.Generator) -> int:
    return int(rng.choice(5, p=readout.stages(score)))


def cine(stage: int = 2, patient: str = "a", count: int = 20, seed: int = 0, **facts) -> TaughtCine:
    """A taught cine of flat frames, whose gray value tells the frame."""
    gray = np.broadcast_to((60 + np.arange(count, dtype=np.uint8))[:, None, None], (count, *SHAPE))
    liver = np.zeros((count, *SHAPE), np.uint8)
    liver[:, 40:120, 50:140] = 255
    signs = np.random.default_rng(seed).standard_normal(len(SIGNS)).astype(np.float32)
    return replace(TaughtCine(gray, liver, np.ones(count, bool), stage, signs, patient), **facts)


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


def pairs(count: int, between: float, windows: int = 6, seed: int = 0) -> tuple[list[Scored], list[TaughtCine]]:
    """Two cines a patient whose scores differ by `between` (SD) beyond the windows' own spread of 0.8."""
    rng = np.random.default_rng(seed)
    scored, cines = [], []
    for number in range(count):
        own = rng.normal(0, 2)
        for _ in range(2):
            middle = own + between * rng.standard_normal()
            scored.append(Scored(middle + 0.8 * rng.standard_normal(windows)))
            cines.append(cine(patient=str(number), count=1))
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
    cines = [cine(stage=n % 5, patient=str(n // 2), count=1, seed=n) for n in range(24)]
    trained: list[set[str]] = []

    class Taught:
        def __init__(self, patients: set[str]) -> None:
            self.patients = patients

    def train(teachers, model, work, steps, seed):
        trained.append({one.patient for one in teachers})
        return Taught(trained[-1])

    def score(network, unseen):
        assert not network.patients & {one.patient for one in unseen}
        assert len(network.patients) + len({one.patient for one in unseen}) == 12, "all others teach"
        return [Scored(one.stage + 0.3 * np.array([-1.0, 1.0]) + 0.01 * float(one.signs[0])) for one in unseen]

    monkeypatch.setattr(fitting, "train_classifier", train)
    monkeypatch.setattr(fitting, "score_cines", score)
    found = fitting.fit_models(cines, tmp_path, 3, 0)
    assert set(found.classifiers) == set(found.readouts) == set(found.out_of_fold) == set(MODELS)
    assert len(trained) == len(MODELS) * (fitting.FOLDS + 1)
    assert trained[0] == {str(n) for n in range(12)}, "the final network learns from all"
    for model in MODELS:
        chances = found.out_of_fold[model]
        assert np.isfinite(chances).all()
        stages = np.array([one.stage for one in cines])
        assert chances[stages >= 2].min() > chances[stages < 2].max()


def test_cines_without_a_window_have_no_probability():
    found = fitting.chances_of(TRUE, [Scored(np.array([0.3])), Scored(np.zeros(0))])
    assert found[0] == pytest.approx(float(TRUE.significant(0.3)))
    assert np.isnan(found[1])


# --- batches and losses -----------------------------------------------------------------------------------------------


def test_windows_of_the_training_are_those_of_the_product():
    whole = cine(count=20)
    windows = windows_of(whole)
    assert len(windows) == len(window_starts(20)) == 2
    assert windows[0].shape == (2, WINDOW, *SHAPE)
    np.testing.assert_allclose(windows[1][0, :, 0, 0], to_input(np.minimum(np.arange(8, 24), 19) + 60))
    assert windows[0][1].max() == 1.0
    half = replace(whole, usable=np.arange(20) >= 8)
    assert len(windows_of(half)) == 2
    most = replace(whole, usable=np.arange(20) >= 9)
    assert len(windows_of(most)) == 1, "less than half of the first one is usable"
    assert windows_of(replace(whole, usable=np.zeros(20, bool))) == []
    assert len(windows_of(cine(count=3))) == 1


@pytest.mark.parametrize("model", list(MODELS))
def test_batches_have_windows_or_frames_with_their_stage_and_signs(model, monkeypatch):
    monkeypatch.setattr(classifier_training, "FRAMES_PER_STEP", 2 * WINDOW)
    cines = [cine(0, "a", 20, 1), cine(4, "b", 9, 2), replace(cine(2, "c"), usable=np.zeros(20, bool))]
    source = WindowSource(cines, model)
    image, target = source(np.random.default_rng(0))
    shape = (2 * WINDOW, 2, *SHAPE) if model == "2d" else (2, 2, WINDOW, *SHAPE)
    assert image.shape == shape
    assert image.dtype == torch.float32
    assert set(target["stage"].tolist()) <= {0, 4}, "a cine without a usable frame is not shown"
    for stage, signs in zip(target["stage"], target["signs"], strict=True):
        np.testing.assert_array_equal(signs, cines[0 if stage == 0 else 1].signs)
    again = source(np.random.default_rng(0))[0]
    assert torch.equal(image, again)


def test_rare_stages_are_shown_more_often_than_they_are():
    cines = [cine(0, str(n), 1) for n in range(18)] + [cine(4, "x", 1), cine(4, "y", 1)]
    chance = WindowSource(cines, "2d").chance
    assert chance.sum() == pytest.approx(1.0)
    assert chance[18:].sum() == pytest.approx(0.5 * 0.5 + 0.5 * 0.1)


def test_the_loss_is_cross_entropy_of_reaching_each_stage_and_distance_of_known_signs():
    logits = torch.tensor([[2.0, 1.0, -1.0, -2.0], [0.5, 0.0, -0.5, -1.0]])
    signs = torch.full((2, len(SIGNS)), float("nan"))
    target = {"stage": torch.tensor([2, 0]), "signs": signs}
    chance = 1 / (1 + np.exp(-logits.numpy()))
    reached = np.array([[1, 1, 0, 0], [0, 0, 0, 0]])
    expected = -np.mean(reached * np.log(chance) + (1 - reached) * np.log(1 - chance))
    told = torch.zeros(2, len(SIGNS), requires_grad=True)
    found = classifier_loss((logits[:, 0], logits, told), target)
    assert float(found.detach()) == pytest.approx(expected, abs=1e-6)
    target["signs"] = signs.clone()
    target["signs"][1, 3] = 3.0
    more = classifier_loss((logits[:, 0], logits, told), target)
    assert float((more - found).detach()) == pytest.approx(classifier_training.SIGNS_WEIGHT * 2.5, abs=1e-6)
    more.backward()
    assert torch.isfinite(told.grad).all()
    assert int((told.grad != 0).sum()) == 1


@pytest.mark.parametrize("model", list(MODELS))
def test_a_classifier_s_logits_fall_with_the_stage(model):
    image = torch.randn(2, 2, *SHAPE) if model == "2d" else torch.randn(2, 2, WINDOW, *SHAPE)
    classifier = Classifier(model).eval()
    with torch.no_grad():
        score, logits, told = classifier(image)
    assert score.shape == (2,)
    assert told.shape == (2, len(SIGNS))
    np.testing.assert_allclose(logits, score[:, None] - torch.tensor(START_THRESHOLDS), atol=1e-5)


@pytest.mark.parametrize("model", list(MODELS))
def test_cines_are_scored_window_by_window(model, monkeypatch):
    monkeypatch.setattr("FibrosisVideoLib.learning.scoring.fast_type", lambda device: None)
    torch.manual_seed(0)
    classifier = Classifier(model).eval()
    one, none = cine(count=18), replace(cine(), usable=np.zeros(20, bool))
    found = score_cines(classifier, [one, none])
    assert len(found[1].windows) == 0
    assert np.isnan(found[1].score)
    with torch.no_grad():
        for score, film_window in zip(found[0].windows, windows_of(one), strict=True):
            image = torch.from_numpy(film_window)
            image = image.transpose(0, 1) if model == "2d" else image[None]
            assert score == pytest.approx(float(classifier(image)[0].mean()), abs=1e-4)
    assert found[0].score == pytest.approx(found[0].windows.mean())


def test_frames_for_the_liver_come_from_sweeps_and_odd_views():
    def stored(level: int) -> StoredCine:
        gray = np.full((3, *SHAPE), level, np.uint8)
        return StoredCine("x", gray, gray > 0, {})

    image, share = LiverFrames([stored(200)], [])(np.random.default_rng(0))
    assert image.shape == share.shape == (BATCH, 1, *SHAPE)
    assert 0 <= share.min() <= share.max() <= 1 + 1e-6
    assert share[:, :, 40:100, 60:130].mean() > 0.9
    empty = replace_liver(stored(200))
    _, mixed = LiverFrames([stored(200)], [empty])(np.random.default_rng(0))
    shown = (mixed.amax(dim=(1, 2, 3)) > 0).sum()
    assert 0 < shown < BATCH


def replace_liver(one: StoredCine) -> StoredCine:
    return one._replace(liver=np.zeros_like(one.liver))


def test_the_liver_s_loss_is_least_at_the_truth():
    share = torch.zeros(2, 1, 16, 16)
    share[:, :, 4:10, 4:10] = 1.0
    right, wrong, half = (liver_loss(logits, share) for logits in (20 * share - 10, 10 - 20 * share, 0 * share))
    assert float(right) < 1e-3
    assert right < half < wrong
