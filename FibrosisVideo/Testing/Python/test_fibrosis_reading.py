"""A cine through the networks: windows cover it, scores are the networks' own, and heat maps add up to the scores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

import torch
from fibrosis_cases import SHAPE as FILM_SHAPE
from fibrosis_cases import film, sector_mask
from fibrosis_networks import (
    FakeEncoder,
    FakeSegmenter,
    classifiers,
    film_of,
    make_small,
    random_weights,
    untrained_bundle,
    window,
)

from FibrosisVideoLib.labels import MODELS
from FibrosisVideoLib.learning.scoring import window_starts
from FibrosisVideoLib.networks.catalog import ENCODER_OF, build_encoder, load_bundle
from FibrosisVideoLib.networks.heads import LinearHead
from FibrosisVideoLib.networks.lattice import CELLS, FRAME_RATE, STRIDE, WINDOW
from FibrosisVideoLib.networks.reading import CineReading, WindowReading, kept_frames, read_cine_frames, read_window
from FibrosisVideoLib.networks.summary import BRIGHTEST_PERCENT, attention_of, evidence_of, heat_of, nearest_kept
from PrognosisLib.bundles.backends import OnnxNetwork
from PrognosisLib.framewise.lattice import SHAPE, FrameLattice
from PrognosisLib.images.cine.cine import ArrayFrames, Cine, steady_times
from PrognosisLib.images.cine.screen import Screen
from PrognosisLib.images.cine.sector import Sector

quick = settings(deadline=None, max_examples=20)
HEAD = LinearHead(np.array([2.0]), 0.5)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def small():
    with pytest.MonkeyPatch.context() as patch:
        make_small(patch)
        yield


@pytest.fixture(scope="module")
def trained(small, tmp_path_factory):
    """Classifiers in torch, and the networks of the bundle that was written of them, by model."""
    networks = classifiers()
    bundle = load_bundle(untrained_bundle(tmp_path_factory.mktemp("fibrosis"), networks))
    return networks, {model: OnnxNetwork(bundle, name, 1) for model, name in ENCODER_OF.items()}


def screen_of(shape: tuple[int, int]) -> Screen:
    mask = np.ones(shape, bool)
    return Screen(Sector("linear", mask), np.zeros(shape, bool), False)


def flat_cine(levels: np.ndarray, rate: float = FRAME_RATE, dtype=np.uint8) -> Cine:
    """Even frames of those gray values, on a screen that covers the networks' lattice."""
    frames = np.broadcast_to(np.asarray(levels, dtype)[:, None, None], (len(levels), 176, 220))
    return Cine(ArrayFrames(frames), steady_times(len(levels), 1 / rate), (1.1, 1.1), burned_in=False)


def read_flat(levels, rate: float = FRAME_RATE, dtype=np.uint8, with_heat: bool = False) -> CineReading:
    cine = flat_cine(levels, rate, dtype)
    parts = {model: (FakeEncoder(), HEAD) for model in MODELS}
    return read_cine_frames(cine, screen_of(cine.frame_shape), FakeSegmenter(), parts, with_heat)


# --- which frames -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [2.0, 5.0, 8.0, 10.0, 12.0, 15.0, 24.0, 25.0, 29.97, 30.0, 50.0, 60.0])
@pytest.mark.parametrize("count", [1, 2, 9, 40, 100])
def test_frames_are_kept_at_the_classifiers_rate(rate, count):
    cine = flat_cine(np.full(count, 50), rate)
    kept = kept_frames(cine)
    assert np.all(np.diff(kept) > 0)
    assert kept[0] == 0
    assert kept[-1] < count
    if rate <= FRAME_RATE:
        assert len(kept) == count, "all of a slow cine"
    else:
        assert len(kept) == int(np.floor((count - 1) / rate * FRAME_RATE + 1e-6)) + 1
        wanted = np.arange(len(kept)) / FRAME_RATE
        assert np.abs(cine.times_s[kept] - wanted).max() <= 0.5 / rate + 1e-9, "the nearest ones"


@quick
@given(st.lists(st.floats(0.005, 0.4), min_size=1, max_size=60))
def test_irregular_cines_are_read_at_the_times_that_are_nearest(steps):
    times = np.concatenate([[0.0], np.cumsum(steps)])
    cine = Cine(ArrayFrames(np.ones((len(times), 20, 20), np.uint8)), times, (1.0, 1.0))
    kept = kept_frames(cine)
    wanted = np.arange(int(np.floor(times[-1] * FRAME_RATE + 1e-6)) + 1) / FRAME_RATE
    apart = np.abs(times[None] - wanted[:, None])
    assert np.abs(times[kept][None] - wanted[:, None]).min(axis=1) == pytest.approx(apart.min(axis=1), abs=1e-9)
    assert len(kept) <= len(wanted)


@pytest.mark.parametrize("count", [1, 8, 15, 16, 17, 20, 24, 25, 31, 32, 40, 41, 48])
def test_windows_cover_all_frames_and_are_those_of_the_training(count):
    read = read_flat(np.full(count, 100))
    assert len(read.liver) == count
    assert list(read.kept) == list(range(count))
    starts, stops = zip(*[(first, last) for first, last, _ in read.windows], strict=True)
    assert list(starts) == window_starts(count)
    covered = np.zeros(count, bool)
    for first, last in zip(starts, stops, strict=True):
        assert 0 < last - first <= WINDOW
        covered[first:last] = True
    assert covered.all()
    assert stops[-1] == count


def test_short_cines_are_filled_with_their_last_frame():
    cine = flat_cine(np.arange(9) * 10 + 60)
    encoder = FakeEncoder()
    read_cine_frames(cine, screen_of(cine.frame_shape), FakeSegmenter(), {"2d": (encoder, HEAD)}, False)
    (image,) = encoder.seen
    assert image.shape == (WINDOW, 2, *SHAPE)
    levels = image[:, 0, 80, 90]
    assert np.all(np.diff(levels[:9]) > 0)
    assert np.all(levels[8:] == levels[8])


def test_unusable_frames_are_named_and_windows_of_them_left_out():
    levels = np.full(40, 100)
    levels[:16] = 3  # no liver: darker than what the segmenter takes
    read = read_flat(levels)
    assert set(read.unusable) == set(range(16))
    assert all("liver" in reason for reason in read.unusable.values())
    assert [first for first, _, _ in read.windows] == [8, 16, 24], "half of the second one is usable"
    assert read_flat(np.full(20, 3)).windows == []
    assert np.isnan(read_flat(np.full(20, 3)).probability)


def test_masks_come_back_from_their_bits():
    levels = np.full(12, 100)
    levels[3] = 0
    read = read_flat(levels)
    liver = read.liver_frames()
    assert liver.shape == (12, *SHAPE)
    assert liver.dtype == bool
    assert not liver[3].any()
    assert liver[4, 80, 90]
    assert not liver[4, 2, 2], "above the probe's face is nothing"
    rng = np.random.default_rng(0)
    truth = rng.random((5, *SHAPE)) < 0.3
    packed = CineReading(read.lattice, liver=[np.packbits(one) for one in truth])
    assert np.array_equal(packed.liver_frames(), truth)
    assert read.probability == pytest.approx(1 / (1 + np.exp(-6.0)), abs=1e-4)


def test_every_frame_is_told_and_none_twice():
    done = []
    cine = flat_cine(np.full(37, 100), 20.0)
    read_cine_frames(cine, screen_of(cine.frame_shape), FakeSegmenter(), {}, False, done.append)
    assert done == [16, 32, 37]


def test_deep_gray_values_are_read_as_those_of_eight_bits():
    levels = np.linspace(60, 200, 20).astype(int)
    levels[-1] = 255
    deep, usual = read_flat(levels * 257, dtype=np.uint16), read_flat(levels)
    assert np.array_equal(deep.liver_frames(), usual.liver_frames())
    for (_, _, one), (_, _, other) in zip(deep.windows, usual.windows, strict=True):
        for model in MODELS:
            assert one[model].score == pytest.approx(other[model].score, abs=1e-4)


# --- scores -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", list(MODELS))
@pytest.mark.parametrize("usable", [WINDOW, 10])
def test_the_score_of_a_window_is_the_classifier_s(trained, model, usable):
    networks, encoders = trained
    film_window = window(3, usable)
    image = torch.from_numpy(film_window)[None]
    with torch.no_grad():
        if model == "2d":
            expected = float(networks[model](image[0].transpose(0, 1))[0].mean())
        else:
            expected = float(networks[model](image)[0])
    found = read_window(film_window, encoders[model], networks[model].head(), model, True)
    assert found.score == pytest.approx(expected, abs=2e-3)
    assert found.steps.shape == (WINDOW,)
    assert found.steps.mean() == pytest.approx(found.score)
    assert found.heat.shape == (WINDOW, *CELLS)


@pytest.mark.parametrize("model", list(MODELS))
def test_the_score_s_course_is_that_of_the_frames(trained, model):
    """A window whose last frames show something else: the steps of the first ones say about what they said."""
    networks, encoders = trained
    plain, changed = window(3), window(3)
    changed[0, 12:] = -0.5
    first, second = (
        read_window(one, encoders[model], networks[model].head(), model, False).steps for one in (plain, changed)
    )
    spread = 1.5 if model == "3d" else 5  # the 3D network sees far into the time around a step
    assert np.abs(second[12:] - first[12:]).mean() > spread * np.abs(second[:6] - first[:6]).mean()
    assert np.abs(second[12:] - first[12:]).max() > 1e-3


# --- heat maps --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["3d", "2d"])
@pytest.mark.parametrize("usable", [WINDOW, 9])
def test_a_linear_score_is_the_sum_of_its_heat(trained, model, usable):
    networks, encoders = trained
    head = networks[model].head()
    upward = LinearHead(np.abs(head.weights), head.bias)  # features are not negative: nothing is cut
    found = read_window(window(4, usable), encoders[model], upward, model, True)
    total = found.heat.astype(float).sum(axis=(1, 2)).mean()
    assert total > 0.05
    assert total == pytest.approx(found.score - upward.bias, rel=5e-3)


@pytest.mark.parametrize("model", ["3d", "2d"])
def test_negative_heat_is_cut(trained, model):
    networks, encoders = trained
    head = networks[model].head()
    both = read_window(window(4), encoders[model], head, model, True)
    turned = read_window(window(4), encoders[model], LinearHead(-head.weights, -head.bias), model, True)
    assert min(both.heat.min(), turned.heat.min()) >= 0
    total = (both.heat.astype(float) - turned.heat).sum(axis=(1, 2)).mean()
    assert total == pytest.approx(both.score - head.bias, abs=2e-3)
    assert np.all((both.heat == 0) | (turned.heat == 0))


def test_the_heat_of_an_lstm_is_its_score_s_first_order(trained):
    """What the score loses when all features shrink a little."""
    networks, encoders = trained
    head, film_window = networks["lstm"].head(), window(4)
    _, cells, weight = encoders["lstm"].outputs(np.ascontiguousarray(film_window.transpose(1, 0, 2, 3)))
    total = weight[:, 0].sum(axis=(1, 2)) + 0.5
    features = np.einsum("tfji,tji->tf", cells, weight[:, 0]) / total[:, None]
    small = 1e-4
    change = (head.steps(features * (1 + small)).mean() - head.steps(features * (1 - small)).mean()) / (2 * small)
    uncut = np.einsum("tfji,tf->tji", cells, head.gradient(features)) * weight[:, 0] / total[:, None, None]
    assert uncut.sum(axis=(1, 2)).mean() == pytest.approx(change, rel=1e-3, abs=1e-5)
    found = read_window(film_window, encoders["lstm"], head, "lstm", True)
    np.testing.assert_allclose(found.heat, np.maximum(uncut, 0), atol=1e-4, rtol=2e-3)


@pytest.mark.parametrize("model", list(MODELS))
def test_heat_lies_on_the_liver_and_its_rim_only(trained, model):
    networks, encoders = trained
    found = read_window(window(4), encoders[model], networks[model].head(), model, True)
    j, i = np.indices(CELLS)
    away = np.hypot(8 * j + 3.5 - 80, 8 * i + 3.5 - 90) - 45
    assert found.heat[:, away > 26].max() < 1e-3 * found.heat.max()
    assert found.heat[:, np.abs(away) < 8].max() > 0


class TorchEncoder:
    """A network's outputs without the way over a file."""

    def __init__(self, network: torch.nn.Module) -> None:
        self.network = network.eval()

    def outputs(self, image: np.ndarray) -> list[np.ndarray]:
        with torch.no_grad():
            return [one.numpy() for one in self.network(torch.from_numpy(image))]


@pytest.mark.parametrize("model", list(MODELS))
def test_heat_follows_the_weights(small, model):
    """The sanity check of Adebayo et al. (NeurIPS 2018): with random weights in their place, the map is another one."""
    film_window, networks = window(5), classifiers(3)[model]
    inside = film_window[1].reshape(WINDOW, CELLS[0], 8, CELLS[1], 8).mean(axis=(2, 4)) > 0.9
    plain = read_window(film_window, TorchEncoder(networks.encoder), networks.head(), model, True).heat
    again = read_window(film_window, TorchEncoder(networks.encoder), networks.head(), model, True).heat
    assert np.array_equal(plain, again)
    alike = []
    for seed in range(6):
        torch.manual_seed(100 + seed)
        other = random_weights(build_encoder(model), film_of(window(9), model), 50 + seed)
        heat = read_window(film_window, TorchEncoder(other), networks.head(), model, True).heat
        alike.append(spearmanr(plain[inside], heat[inside]).statistic)
    assert np.mean(np.abs(alike)) < 0.6, alike
    head = networks.head()
    turned = LinearHead(-head.weights, 0.0) if model != "lstm" else None
    if turned is not None:
        heat = read_window(film_window, TorchEncoder(networks.encoder), turned, model, True).heat
        assert not np.any((heat > 0) & (plain > 0))


# --- from a reading to what stays -------------------------------------------------------------------------------------


@quick
@given(st.lists(st.integers(0, 60), min_size=1, max_size=12, unique=True), st.integers(0, 20))
def test_every_frame_has_the_nearest_that_was_read(kept, more):
    kept = np.sort(kept)
    frames = int(kept[-1]) + 1 + more
    found = nearest_kept(kept, frames)
    apart = np.abs(np.arange(frames) - kept[found])
    assert np.array_equal(apart, np.abs(np.arange(frames)[:, None] - kept[None]).min(axis=1))


def hand_made(count: int = 40) -> CineReading:
    """A reading of 20 frames per second with two windows whose heat and steps are known."""
    cine = flat_cine(np.full(count, 100), 20.0)
    lattice = FrameLattice.of(cine, screen_of(cine.frame_shape))
    read = CineReading(lattice, kept=kept_frames(cine))
    for first, last, value in ((0, 16, 1.0), (STRIDE, 17, 3.0)):
        heat = np.full((WINDOW, *CELLS), value, np.float16)
        heat[:, 5, 5] = 4 * value
        steps = np.full(WINDOW, value)
        read.windows.append((first, last, {model: WindowReading(value, steps, heat) for model in MODELS}))
    read.unusable = {2: "too dark"}
    return read


def test_windows_that_overlap_are_averaged():
    read, cine = hand_made(), flat_cine(np.full(40, 100), 20.0)
    assert len(read.kept) == 16
    read.kept = np.append(read.kept, 39)
    found = evidence_of(cine, screen_of(cine.frame_shape), read)
    assert [(one.start, one.stop) for one in found.windows] == [(0, int(read.kept[15]) + 1), (int(read.kept[8]), 40)]
    assert [one.scores["3d"] for one in found.windows] == [1.0, 3.0]
    scores = found.frame_scores["lstm"]
    assert np.isnan(scores[2])
    assert scores[0] == pytest.approx(1.0)
    assert scores[int(read.kept[10])] == pytest.approx(2.0), "in both windows"
    assert scores[39] == pytest.approx(3.0)
    assert found.unusable == {2: "too dark"}
    assert found.sector.mask.mean() > 0.8
    heat = heat_of(read, "2d", 40)
    assert heat.shape == (40, *CELLS)
    assert heat.dtype == np.uint8
    assert heat[39].max() == 255
    assert heat[0, 0, 0] / heat[39, 0, 0] == pytest.approx(1 / 3, abs=0.05)
    assert 0 < BRIGHTEST_PERCENT < 100
    maps = attention_of(read, cine)
    assert list(maps.frames) == list(read.kept)
    assert maps.maps["3d"].max() == 255
    assert set(maps.maps) == set(MODELS)


def test_without_windows_or_heat_there_is_no_map():
    read, cine = hand_made(), flat_cine(np.full(40, 100), 20.0)
    read.windows = []
    assert heat_of(read, "3d", 40) is None
    assert attention_of(read, cine) is None
    assert evidence_of(cine, screen_of(cine.frame_shape), read).windows == ()
    without = read_flat(np.full(20, 100))
    assert heat_of(without, "3d", 20) is None


def test_a_film_in_a_sector_is_read_to_evidence(trained):
    """The whole way with real networks: a film, its sector, windows, scores, heat."""
    from PrognosisLib.images.cine.screen import find_screen

    networks, encoders = trained
    cine = film()
    screen = find_screen(cine)
    parts = {model: (encoders[model], networks[model].head()) for model in MODELS}
    read = read_cine_frames(cine, screen, FakeSegmenter(), parts, True)
    assert len(read.windows) == len(window_starts(len(read.kept)))
    found = evidence_of(cine, screen, read)
    text = found.to_text()
    assert len(text) > 1000
    for model in MODELS:
        assert np.isfinite(found.frame_scores[model]).all()
    seen = found.sector.mask.sum() * 1.1**2
    assert seen == pytest.approx(sector_mask(FILM_SHAPE).sum() * 1.25, rel=0.06)
