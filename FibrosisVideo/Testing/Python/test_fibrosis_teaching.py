"""What the networks are taught with: encoded cines and their variants, batches, targets, losses, scores."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from fibrosis_networks import Networks, make_small, random_networks
from hypothesis import given, settings
from hypothesis import strategies as st

from FibrosisVideoLib.labels import MODELS
from FibrosisVideoLib.learning import cases, encoder_training, encoding, head_training, scoring, taught, teaching
from FibrosisVideoLib.learning.cases import StoredCine
from FibrosisVideoLib.learning.encoder_training import EncoderTask, StillSource
from FibrosisVideoLib.learning.encoding import EncodedCine, encode, window_starts
from FibrosisVideoLib.learning.head_training import Classifier, WindowSource
from FibrosisVideoLib.learning.liver_training import BATCH, LiverFrames, liver_loss
from FibrosisVideoLib.learning.scoring import score_cines
from FibrosisVideoLib.learning.taught import (
    SIGN_MEAN,
    SIGN_SD,
    SIGNS_WEIGHT,
    START_THRESHOLDS,
    TaughtCine,
    reached_by,
    stage_loss,
    targets_of,
)
from FibrosisVideoLib.networks.lattice import CELLS, SMALLEST_SUM, WINDOW
from FibrosisVideoLib.simulation.causes import SIGNS
from FibrosisVideoLib.simulation.patients import draw_examination, truth_of
from PrognosisLib.framewise.lattice import SHAPE

FEATURES = 8


@pytest.fixture(scope="module", autouse=True)
def small():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        make_small(patch)
        for module in (encoding, scoring, teaching):
            patch.setattr(module, "fast_type", lambda device: None)
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def networks(small) -> Networks:
    return random_networks()


def film(stage: int = 2, patient: str = "a", count: int = 6, seed: int = 0) -> TaughtCine:
    """A taught cine of speckle with a liver."""
    rng = np.random.default_rng(seed)
    gray = np.clip(rng.rayleigh(60, (count, *SHAPE)), 0, 255).astype(np.uint8)
    liver = np.zeros((count, *SHAPE), np.uint8)
    liver[:, 40:120, 50:140] = 255
    signs = rng.standard_normal(len(SIGNS)).astype(np.float32)
    return TaughtCine(gray, liver, np.ones(count, bool), stage, reached_by(stage), signs, patient)


def cine(stage: int = 2, patient: str = "a", count: int = 20, seed: int = 0, variants: int = 2) -> EncodedCine:
    """An encoded cine: the first feature of all cells is the number of the frame, the second that of the variant."""
    rng = np.random.default_rng(seed)
    cells = rng.random((variants, count, FEATURES, *CELLS)).astype(np.float16)
    cells[:, :, 0] = np.arange(count)[None, :, None, None]
    cells[:, :, 1] = np.arange(variants)[:, None, None, None]
    weight = np.broadcast_to(np.float16(1), (variants, count, *CELLS))
    signs = rng.standard_normal(len(SIGNS)).astype(np.float32)
    return EncodedCine(cells, weight, np.ones(count, bool), stage, reached_by(stage), signs, patient)


# --- encoded cines ----------------------------------------------------------------------------------------------------


def test_variants_are_equal_by_seed_and_the_first_is_the_cine_as_it_is(networks):
    films = [film(seed=1), film(seed=2)]
    first, again, other = (encode(films, networks.encoder, 3, seed) for seed in (5, 5, 6))
    plain = encode(films, networks.encoder)
    for one, same, another, single in zip(first, again, other, plain, strict=True):
        assert one.cells.shape == (3, 6, FEATURES, *CELLS)
        assert one.weight.shape == (3, 6, *CELLS)
        assert one.cells.dtype == one.weight.dtype == np.float16
        assert np.array_equal(one.cells, same.cells)
        assert np.array_equal(one.weight, same.weight)
        for alike in (another, single):
            assert np.array_equal(one.cells[0], alike.cells[0])
        for variant in (1, 2):
            assert not np.array_equal(one.cells[variant], another.cells[variant])
            assert not np.array_equal(one.cells[variant], one.cells[0])
            assert one.weight[variant].max() > 0.9, "the liver is still in view"
        assert not np.array_equal(one.cells[1], one.cells[2])
    assert not np.array_equal(first[0].cells, first[1].cells)
    for name in ("usable", "stage", "reached", "signs", "patient"):
        assert np.array_equal(getattr(first[0], name), getattr(films[0], name)), name


def test_encoded_cines_are_the_encoder_s_own_cells_and_features(networks):
    one = film()
    (found,) = encode([one], networks.encoder)
    with torch.no_grad():
        pooled, cells, weight = networks.encoder(encoding._plain(one))
    frames = np.array([4, 1, 1])
    np.testing.assert_allclose(found.cells[0], cells.numpy(), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found.pooled(0, frames), pooled.numpy()[frames], atol=2e-3)
    joined = found.joined(0, frames)
    assert joined.shape == (FEATURES + 1, 3, *CELLS)
    np.testing.assert_allclose(joined[:-1].transpose(1, 0, 2, 3), cells.numpy()[frames], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(joined[-1], weight.numpy()[frames, 0], atol=2e-3)


def test_the_2d_network_needs_no_more_than_single_frames(networks):
    """A frame is encoded alike wherever it stands."""
    one = film()
    (whole,) = encode([one], networks.encoder)
    last = replace(one, gray=one.gray[5:], liver=one.liver[5:], usable=one.usable[5:])
    (alone,) = encode([last], networks.encoder)
    np.testing.assert_allclose(whole.cells[0, 5].astype(float), alone.cells[0, 0], atol=1e-2)


def test_windows_of_the_training_are_those_of_the_product():
    """What they hold; that networks.reading makes the same ones is in test_fibrosis_reading and _scores."""
    whole = cine()
    windows = whole.windows()
    assert [frames[0] for frames in windows] == window_starts(20) == [0, 8]
    assert np.array_equal(windows[1], np.minimum(np.arange(8, 24), 19))
    half = replace(whole, usable=np.arange(20) >= 8)
    assert len(half.windows()) == 2
    most = replace(whole, usable=np.arange(20) >= 9)
    assert [frames[0] for frames in most.windows()] == [8], "less than half of the first one is usable"
    assert replace(whole, usable=np.zeros(20, bool)).windows() == []
    assert len(cine(count=3).windows()) == 1


# --- what is true of a patient ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_what_is_reached_is_what_the_causal_model_says_of_the_signs(seed):
    truth = {"patient": seed, **truth_of(draw_examination(seed))}
    frames = film(count=2)
    found = teaching._known(frames.gray, frames.liver, truth)
    assert found.reached.dtype == np.float32
    assert np.all(np.diff(found.reached) <= 0), "F2 or higher is F1 or higher, too"
    assert found.reached.min() >= 0
    assert found.reached.max() <= 1
    chances = [truth[f"true_f{stage}"] for stage in range(5)]
    np.testing.assert_allclose(found.reached, [sum(chances[k:]) for k in range(1, 5)], atol=1e-5)
    assert found.reached[1] == pytest.approx(truth["true_significant"], abs=2e-5)
    assert found.stage == truth["stage"]
    assert found.patient == str(seed)
    np.testing.assert_allclose(found.signs * SIGN_SD + SIGN_MEAN, [truth[f"true_{n}"] for n in SIGNS], atol=1e-5)


@pytest.mark.parametrize("stage", range(5))
def test_a_stage_reaches_what_lies_up_to_it(stage):
    assert reached_by(stage).tolist() == [float(stage >= k) for k in range(1, 5)]


def test_stills_are_taught_one_by_one_with_their_own_patients(tmp_path):
    count = 3
    truths = [{"patient": seed, **truth_of(draw_examination(seed))} for seed in range(count)]
    frames = film(count=count)
    file = tmp_path / "00000_stills.npz"
    cases.write_frames(file, frames.gray, frames.liver > 0, truth=json.dumps({"patients": truths}))

    class Outlines(torch.nn.Module):
        calls = 0

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            Outlines.calls += 1
            return 8 * torch.from_numpy(frames.liver[: len(image), None] / 127.5 - 1).float()

    found = teaching.teach_stills([file], Outlines(), tmp_path / "taught")
    assert [one.patient for one in found] == ["0", "1", "2"]
    assert [one.stage for one in found] == [truth["stage"] for truth in truths]
    for number, one in enumerate(found):
        assert np.array_equal(one.gray, frames.gray[number : number + 1])
        assert one.usable.tolist() == [True]
        assert one.liver[0, 80, 90] > 250 > 5 > one.liver[0, 5, 5]
    again = teaching.teach_stills([file], Outlines(), tmp_path / "taught")
    assert Outlines.calls == 1, "the segmenter's shares are kept"
    assert np.array_equal(again[2].liver, found[2].liver)


# --- batches ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", list(MODELS))
def test_batches_have_windows_or_frames_with_what_is_true_of_them(model, monkeypatch):
    monkeypatch.setattr(head_training, "FRAMES_PER_STEP", 2 * WINDOW)
    cines = [cine(0, "a", 20, 1), cine(4, "b", 9, 2), replace(cine(2, "c"), usable=np.zeros(20, bool))]
    source = WindowSource(cines, model)
    seen, target = source(np.random.default_rng(0))
    usual = (2, WINDOW, FEATURES)
    shape = {"3d": (2, FEATURES + 1, WINDOW, *CELLS), "lstm": usual, "2d": (2 * WINDOW, 1, FEATURES)}[model]
    assert seen.shape == shape
    assert seen.dtype == torch.float32
    for reached, signs in zip(target["reached"], target["signs"], strict=True):
        shown = [one for one in cines[:2] if np.array_equal(one.signs, signs)]
        assert len(shown) == 1, "a cine without a usable frame is not shown"
        np.testing.assert_array_equal(reached, shown[0].reached)
    again = source(np.random.default_rng(0))[0]
    assert torch.equal(seen, again)


def test_windows_run_forward_and_backward_through_all_variants(monkeypatch):
    monkeypatch.setattr(head_training, "FRAMES_PER_STEP", 40 * WINDOW)
    seen, _ = WindowSource([cine(variants=3)], "lstm")(np.random.default_rng(0))
    full = CELLS[0] * CELLS[1] / (CELLS[0] * CELLS[1] + SMALLEST_SUM)
    steps = np.diff(seen[..., 0].numpy() / full, axis=1)
    assert set(np.rint(steps).ravel().tolist()) == {-1.0, 1.0}
    assert np.all(np.abs(np.diff(steps, axis=1)) < 0.05), "each in one direction"
    variants = np.rint(seen[..., 1].numpy() / full)
    assert np.all(variants == variants[:, :1]), "a window is of one variant"
    assert set(variants[:, 0]) == {0.0, 1.0, 2.0}


def test_all_classifiers_see_as_many_frames_a_step():
    seen = {model: WindowSource([cine(variants=1)], model)(np.random.default_rng(0))[0] for model in MODELS}
    frames = {"3d": seen["3d"].shape[0] * seen["3d"].shape[2]}
    frames |= {model: seen[model].shape[0] * seen[model].shape[1] for model in ("lstm", "2d")}
    assert set(frames.values()) == {head_training.FRAMES_PER_STEP}


def test_rare_stages_are_shown_more_often_than_they_are():
    cines = [cine(0, str(n), 1) for n in range(18)] + [cine(4, "x", 1), cine(4, "y", 1)]
    chance = WindowSource(cines, "2d").chance
    assert chance.sum() == pytest.approx(1.0)
    assert chance[18:].sum() == pytest.approx(0.5 * 0.5 + 0.5 * 0.1)
    np.testing.assert_allclose(StillSource([film(one.stage, count=1) for one in cines]).chance, chance)


def test_the_encoder_is_taught_with_usable_single_frames(monkeypatch):
    monkeypatch.setattr(encoder_training, "BATCH", 12)
    stills = [film(0, "a", 1, 1), film(4, "b", 2, 2), film(2, "c", 1, 3)]
    stills[1].gray[0] = 0
    stills[1] = replace(stills[1], usable=np.array([False, True]))
    stills[2] = replace(stills[2], usable=np.array([False]))
    source = StillSource(stills)
    image, target = source(np.random.default_rng(0))
    assert image.shape == (12, 2, *SHAPE)
    assert image[:, 0].std(dim=(1, 2)).min() > 0.1, "the black frame is not shown"
    assert {tuple(one.tolist()) for one in target["reached"]} == {(0, 0, 0, 0), (1, 1, 1, 1)}
    assert image[:, 1].min() >= 0
    assert image[:, 1].max() <= 1 + 1e-6
    assert torch.equal(image, source(np.random.default_rng(0))[0])
    score, logits, told = EncoderTask().eval()(image)
    assert (score.shape, logits.shape, told.shape) == ((12,), (12, 4), (12, len(SIGNS)))


# --- losses and scores ------------------------------------------------------------------------------------------------


def test_the_loss_is_cross_entropy_of_reaching_each_stage_and_distance_of_known_signs():
    logits = torch.tensor([[2.0, 1.0, -1.0, -2.0], [0.5, 0.0, -0.5, -1.0]])
    signs = torch.full((2, len(SIGNS)), float("nan"))
    reached = np.array([[1, 1, 0, 0], [0.9, 0.4, 0.2, 0.0]], np.float32)
    target = {"reached": torch.from_numpy(reached), "signs": signs}
    chance = 1 / (1 + np.exp(-logits.numpy()))
    expected = -np.mean(reached * np.log(chance) + (1 - reached) * np.log(1 - chance))
    told = torch.zeros(2, len(SIGNS), requires_grad=True)
    found = stage_loss((logits[:, 0], logits, told), target)
    assert float(found.detach()) == pytest.approx(expected, abs=1e-6)
    target["signs"] = signs.clone()
    target["signs"][1, 3] = 3.0
    more = stage_loss((logits[:, 0], logits, told), target)
    assert float((more - found).detach()) == pytest.approx(SIGNS_WEIGHT * 2.5, abs=1e-6)
    more.backward()
    assert torch.isfinite(told.grad).all()
    assert int((told.grad != 0).sum()) == 1


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(0.02, 0.98), min_size=4, max_size=4))
def test_the_loss_is_least_where_the_causal_model_s_probabilities_are_told(reached):
    target = {"reached": torch.tensor([reached]), "signs": torch.full((1, len(SIGNS)), float("nan"))}
    right = torch.logit(target["reached"])
    told = torch.zeros(1, len(SIGNS))
    best = float(stage_loss((right[:, 0], right, told), target))
    for step in (-0.3, 0.3):
        assert float(stage_loss((right[:, 0], right + step, told), target)) > best


def test_targets_keep_the_order_of_the_patients():
    cines = [cine(stage, str(stage), 1, stage) for stage in (3, 0, 4)]
    target = targets_of(cines)
    assert target["reached"].sum(dim=1).tolist() == [3, 0, 4]
    np.testing.assert_array_equal(target["signs"], np.stack([one.signs for one in cines]))
    assert set(target) == {"reached", "signs"}
    assert taught.UNKNOWN_SIGNS.shape == (len(SIGNS),)


@pytest.mark.parametrize("model", list(MODELS))
def test_a_classifier_s_logits_fall_with_the_stage(model):
    seen = torch.randn(2, FEATURES + 1, WINDOW, *CELLS) if model == "3d" else torch.randn(2, WINDOW, FEATURES)
    classifier = Classifier(model).eval()
    with torch.no_grad():
        score, logits, told = classifier(seen)
    assert score.shape == (2,)
    assert told.shape == (2, len(SIGNS))
    np.testing.assert_allclose(logits, score[:, None] - torch.tensor(START_THRESHOLDS), atol=1e-5)


@pytest.mark.parametrize("model", list(MODELS))
def test_cines_are_scored_window_by_window_as_they_are(networks, model):
    classifier = networks.classifiers[model]
    one, none = cine(count=18), replace(cine(), usable=np.zeros(20, bool))
    found = score_cines(classifier, [one, none])
    assert len(found[1].windows) == 0
    assert np.isnan(found[1].score)
    with torch.no_grad():
        for score, frames in zip(found[0].windows, one.windows(), strict=True):
            seen = one.joined(0, frames) if model == "3d" else one.pooled(0, frames)
            assert score == pytest.approx(float(classifier(torch.from_numpy(seen)[None])[0]), abs=1e-4)
    assert found[0].score == pytest.approx(found[0].windows.mean())


# --- the liver --------------------------------------------------------------------------------------------------------


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
