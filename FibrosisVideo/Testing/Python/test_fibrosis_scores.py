"""The classifiers on a cine: scores are the networks' own, in training and product, and heat maps add up to them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

import torch
from fibrosis_cases import SHAPE as FILM_SHAPE
from fibrosis_cases import film, sector_mask
from fibrosis_networks import FakeSegmenter, Networks, make_small, random_networks, untrained_bundle, window

from FibrosisVideoLib.labels import MODELS
from FibrosisVideoLib.learning import encoding, own_cohort, scoring, teaching
from FibrosisVideoLib.learning.encoding import encode, window_starts
from FibrosisVideoLib.learning.scoring import score_cines
from FibrosisVideoLib.networks.catalog import FILM, FRAMES, SEGMENTER, load_bundle
from FibrosisVideoLib.networks.heads import LinearHead
from FibrosisVideoLib.networks.lattice import CELLS, WINDOW
from FibrosisVideoLib.networks.reading import WindowReading, read_cine_frames, read_window
from FibrosisVideoLib.networks.summary import evidence_of
from PrognosisLib.bundles.backends import OnnxNetwork
from PrognosisLib.cohort import CohortCase
from PrognosisLib.images.cine.cine import ArrayFrames, Cine
from PrognosisLib.images.cine.screen import find_screen


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
    """Networks in torch, and those of the bundle that was written of them, by the names of catalog.py."""
    networks = random_networks()
    bundle = load_bundle(untrained_bundle(tmp_path_factory.mktemp("fibrosis"), networks))
    return networks, {name: OnnxNetwork(bundle, name, 1) for name in (FRAMES, FILM)}


def product(parts, film_window: np.ndarray, heads, with_heat: bool = True) -> dict[str, WindowReading]:
    """Readings of a window (2, t, j, i) as the product makes them."""
    _, cells, weight = parts[FRAMES].outputs(np.ascontiguousarray(film_window.transpose(1, 0, 2, 3)))
    return read_window(cells, weight[:, 0], parts[FILM], heads, with_heat)


def heads_of(networks: Networks, *models: str) -> dict:
    return {model: networks.classifiers[model].head() for model in models or MODELS}


# --- scores -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("usable", [WINDOW, 10])
def test_the_score_of_a_window_is_the_classifier_s(trained, usable):
    networks, parts = trained
    film_window = window(3, usable)
    readings = product(parts, film_window, heads_of(networks))
    assert list(readings) == list(MODELS)
    for model, found in readings.items():
        assert found.score == pytest.approx(networks.score(model, film_window), abs=2e-3), model
        assert found.steps.shape == (WINDOW,)
        assert found.steps.mean() == pytest.approx(found.score)
        assert found.heat.shape == (WINDOW, *CELLS)
    alone = product(parts, film_window, heads_of(networks, "lstm"), with_heat=False)["lstm"]
    assert alone.heat is None
    assert alone.score == pytest.approx(readings["lstm"].score)


@pytest.mark.parametrize("model", list(MODELS))
def test_the_score_s_course_is_that_of_the_frames(trained, model):
    """A window whose last frames show something else: the steps of the first ones say about what they said."""
    networks, parts = trained
    plain, changed = window(3), window(3)
    changed[0, 12:] = -0.5
    first, second = (product(parts, one, heads_of(networks), False)[model].steps for one in (plain, changed))
    spread = 1.5 if model == "3d" else 5  # the 3D network sees far into the time around a step
    assert np.abs(second[12:] - first[12:]).mean() > spread * np.abs(second[:6] - first[:6]).mean()
    assert np.abs(second[12:] - first[12:]).max() > 1e-3


def test_the_order_of_frames_matters_to_all_but_the_2d_network(trained):
    networks, parts = trained
    plain = window(3)
    plain[0] *= np.linspace(0.3, 1.5, WINDOW, dtype=np.float32)[:, None, None]
    forward, backward = (product(parts, one, heads_of(networks), False) for one in (plain, plain[:, ::-1].copy()))
    apart = {model: abs(forward[model].score - backward[model].score) for model in MODELS}
    assert apart["2d"] < 1e-5
    assert min(apart["3d"], apart["lstm"]) > 1e-4, apart


class EvenSegmenter(torch.nn.Module):
    """Much liver everywhere, in the bundle's way and in torch."""

    device = "none"

    def __call__(self, image):
        return 0 * image + 2.0


@pytest.mark.parametrize(("count", "depth"), [(40, np.uint16), (62, np.uint8)])
def test_training_and_product_see_the_same_in_a_cine(trained, monkeypatch, count, depth):
    """A user's cine through the bundle, and through the training's own way to windows and scores in torch."""
    for module in (encoding, scoring, teaching):
        monkeypatch.setattr(module, "fast_type", lambda device: None)
    networks, parts = trained
    plain = film(count)
    frames = np.stack(list(plain.frames())).astype(depth) * (257 if depth is np.uint16 else 1)
    cine = Cine(ArrayFrames(frames), plain.times_s, plain.pixel_mm)
    monkeypatch.setattr(own_cohort, "read_cine", lambda path: cine)
    case = CohortCase("a", "a", {"cine": Path("a.dcm")}, {"stage": "1"})
    (seen,) = encode([own_cohort._taught(case, EvenSegmenter())], networks.encoder)
    read = read_cine_frames(cine, find_screen(cine), {SEGMENTER: EvenSegmenter(), **parts}, heads_of(networks), False)
    assert len(seen.windows()) == len(read.windows) == len(window_starts(len(read.kept)))
    for model in MODELS:
        (scored,) = score_cines(networks.classifiers[model], [seen])
        expected = [readings[model].score for _, _, readings in read.windows]
        np.testing.assert_allclose(scored.windows, expected, atol=0.01, err_msg=model)


# --- heat maps --------------------------------------------------------------------------------------------------------


def upward(head: LinearHead) -> LinearHead:
    """Features are not negative: nothing is cut."""
    return LinearHead(np.abs(head.weights), head.bias)


@pytest.mark.parametrize("model", ["3d", "2d"])
@pytest.mark.parametrize("usable", [WINDOW, 9])
def test_a_linear_score_is_the_sum_of_its_heat(trained, model, usable):
    networks, parts = trained
    head = upward(networks.classifiers[model].head())
    found = product(parts, window(4, usable), {model: head})[model]
    total = found.heat.astype(float).sum(axis=(1, 2)).mean()
    assert total > 0.05
    assert total == pytest.approx(found.score - head.bias, rel=5e-3)


@pytest.mark.parametrize("model", ["3d", "2d"])
def test_negative_heat_is_cut(trained, model):
    networks, parts = trained
    head = networks.classifiers[model].head()
    both = product(parts, window(4), {model: head})[model]
    turned = product(parts, window(4), {model: LinearHead(-head.weights, -head.bias)})[model]
    assert min(both.heat.min(), turned.heat.min()) >= 0
    total = (both.heat.astype(float) - turned.heat).sum(axis=(1, 2)).mean()
    assert total == pytest.approx(both.score - head.bias, abs=2e-3)
    assert np.all((both.heat == 0) | (turned.heat == 0))


def test_the_heat_of_an_lstm_is_its_score_s_first_order(trained):
    """What the score loses when all features shrink a little."""
    networks, parts = trained
    head, film_window = networks.classifiers["lstm"].head(), window(4)
    _, cells, weight = parts[FRAMES].outputs(np.ascontiguousarray(film_window.transpose(1, 0, 2, 3)))
    total = weight[:, 0].sum(axis=(1, 2)) + 0.5
    features = np.einsum("tfji,tji->tf", cells, weight[:, 0]) / total[:, None]
    small = 1e-4
    change = (head.steps(features * (1 + small)).mean() - head.steps(features * (1 - small)).mean()) / (2 * small)
    uncut = np.einsum("tfji,tf->tji", cells, head.gradient(features)) * weight[:, 0] / total[:, None, None]
    assert uncut.sum(axis=(1, 2)).mean() == pytest.approx(change, rel=1e-3, abs=1e-5)
    found = product(parts, film_window, {"lstm": head})["lstm"]
    np.testing.assert_allclose(found.heat, np.maximum(uncut, 0), atol=1e-4, rtol=2e-3)


def test_heat_lies_on_the_liver_and_its_rim_only(trained):
    networks, parts = trained
    j, i = np.indices(CELLS)
    away = np.hypot(8 * j + 3.5 - 80, 8 * i + 3.5 - 90) - 45
    for model, found in product(parts, window(4), heads_of(networks)).items():
        assert found.heat[:, away > 26].max() < 1e-3 * found.heat.max(), model
        assert found.heat[:, np.abs(away) < 8].max() > 0, model


class TorchNetwork:
    """A network's outputs without the way over a file."""

    def __init__(self, network: torch.nn.Module) -> None:
        self.network = network.eval()

    def outputs(self, image: np.ndarray) -> list[np.ndarray]:
        with torch.no_grad():
            return [one.numpy() for one in self.network(torch.from_numpy(image))]


def in_torch(networks: Networks) -> dict[str, TorchNetwork]:
    return {FRAMES: TorchNetwork(networks.encoder), FILM: TorchNetwork(networks.classifiers["3d"].film)}


def test_heat_follows_the_weights(small):
    """The sanity check of Adebayo et al. (NeurIPS 2018): with random weights in their place, the map is another one."""
    film_window, networks = window(5), random_networks(3)
    inside = film_window[1].reshape(WINDOW, CELLS[0], 8, CELLS[1], 8).mean(axis=(2, 4)) > 0.9
    heads = heads_of(networks)
    plain, again = (product(in_torch(networks), film_window, heads) for _ in range(2))
    others = [product(in_torch(random_networks(100 + seed)), film_window, heads) for seed in range(6)]
    for model in MODELS:
        assert np.array_equal(plain[model].heat, again[model].heat)
        alike = [spearmanr(plain[model].heat[inside], other[model].heat[inside]).statistic for other in others]
        assert np.mean(np.abs(alike)) < 0.6, (model, alike)
        if model != "lstm":
            turned = {model: LinearHead(-heads[model].weights, 0.0)}
            heat = product(in_torch(networks), film_window, turned)[model].heat
            assert not np.any((heat > 0) & (plain[model].heat > 0))


def test_the_3d_network_s_own_weights_change_its_heat_alone(small):
    film_window, networks = window(5), random_networks(3)
    other = Networks(networks.encoder, {**networks.classifiers, "3d": random_networks(4).classifiers["3d"]})
    heads = {model: upward(head) if model != "lstm" else head for model, head in heads_of(networks).items()}
    first, second = (product(in_torch(one), film_window, heads) for one in (networks, other))
    assert not np.allclose(first["3d"].heat, second["3d"].heat, rtol=0.02)
    for model in ("2d", "lstm"):
        assert np.array_equal(first[model].heat, second[model].heat)


def test_a_film_in_a_sector_is_read_to_evidence(trained):
    """The whole way with real networks: a film, its sector, windows, scores, heat."""
    networks, parts = trained
    cine = film()
    screen = find_screen(cine)
    read = read_cine_frames(cine, screen, {SEGMENTER: FakeSegmenter(), **parts}, heads_of(networks), True)
    assert len(read.windows) == len(window_starts(len(read.kept)))
    found = evidence_of(cine, screen, read)
    text = found.to_text()
    assert len(text) > 1000
    for model in MODELS:
        assert np.isfinite(found.frame_scores[model]).all()
    seen = found.sector.mask.sum() * 1.1**2
    assert seen == pytest.approx(sector_mask(FILM_SHAPE).sum() * 1.25, rel=0.06)
