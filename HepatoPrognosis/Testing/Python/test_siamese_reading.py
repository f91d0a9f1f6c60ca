"""A frame through the network, which frame is chosen, and the head that reads the risk, with its exact map."""

from __future__ import annotations

import numpy as np
import pytest
from hepato_images import PIXEL_MM, film, frame, head, liver_area, write_hepato_bundle
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from HepatoPrognosisLib.comparing.maps import RISK_NAMES, risk_maps
from HepatoPrognosisLib.comparing.pair_checks import frame_flags, shows_liver
from HepatoPrognosisLib.networks import catalog
from HepatoPrognosisLib.networks.choosing import MOST_FRAMES, FrameFacts, best_frame
from HepatoPrognosisLib.networks.head import PairHead
from HepatoPrognosisLib.networks.reading import read_image
from PrognosisLib.bundles.backends import load_network
from PrognosisLib.errors import BundleError, InputError
from PrognosisLib.evaluation.segmentation import dice
from PrognosisLib.images.cine.screen import find_screen


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return catalog.load_bundle(write_hepato_bundle(tmp_path_factory.mktemp("bundle") / "Bundle"))


@pytest.fixture(scope="module")
def network(bundle):
    return load_network(bundle, catalog.NAME, catalog.build, "cpu", 1)


def read(cine, network, number=None):
    return read_image(cine, network, number, find_screen(cine))


# --- one frame --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1.0, 1.5])
@pytest.mark.parametrize("known", [True, False])
def test_the_mask_lies_on_the_films_own_pixels(network, scale, known):
    shape = (round(240 * scale), round(320 * scale))
    cine = film(frame(shape=shape), pixel_mm=PIXEL_MM / scale if known else None)
    found = read(cine, network)
    mask = found.mask("Liver")
    assert mask.grid.same_as(cine.grid)
    assert dice(mask.full()[0] > 0, liver_area(shape=shape)) > 0.97
    assert 0.9 < mask.confidence <= 1.0
    assert shows_liver(found)
    assert frame_flags(found, "t0") == []
    if known:
        area = liver_area(shape=shape).sum() * (PIXEL_MM / scale) ** 2 / 100
        assert found.facts.area_cm2 == pytest.approx(area, rel=0.03)


def test_gray_values_of_16_bits_are_read_alike(network):
    plain, deep = film(frame()), film(frame().astype(np.uint16) * 257)
    first, second = read(plain, network), read(deep, network)
    assert second.features == pytest.approx(first.features, rel=0.02)
    assert np.array_equal(first.mask("Liver").array, second.mask("Liver").array)


def test_features_are_the_sums_of_what_each_place_adds(network):
    found = read(film(frame()), network)
    assert found.shares().sum(axis=(1, 2)) == pytest.approx(found.features, rel=1e-4)


def test_an_image_without_a_liver_says_so(network):
    found = read(film(frame(has_liver=False)), network)
    assert not shows_liver(found)
    (flag,) = frame_flags(found, "t1")
    assert (flag.key, flag.severity, flag.segment) == ("no_liver_t1", "error", "Liver at T1")


# --- which frame ------------------------------------------------------------------------------------------------------


def test_the_largest_liver_is_chosen(network):
    frames = [frame(seed=number, size=size) for number, size in enumerate((0.5, 0.7, 1.0, 0.8, 0.3))]
    found = read(film(*frames), network)
    assert found.number == 2
    assert found.mask("Liver").start[0] == 2
    assert not found.is_chosen


def test_a_blurred_or_dark_frame_is_not_chosen(network):
    from scipy.ndimage import gaussian_filter

    sharp = [frame(seed=number, size=0.9) for number in range(4)]
    blurred = gaussian_filter(frame(seed=9, size=1.05).astype(float), 2.0).astype(np.uint8)
    found = read(film(sharp[0], blurred, *sharp[1:]), network)
    assert found.number != 1
    assert read(film(sharp[0], blurred), network, 1).number == 1


def test_a_frame_that_was_chosen_is_read(network):
    cine = film(*(frame(seed=number, size=size) for number, size in enumerate((1.0, 0.6))))
    found = read(cine, network, 1)
    assert (found.number, found.is_chosen) == (1, True)
    with pytest.raises(InputError, match="has 2 frames, and no frame 3; choose another"):
        read(cine, network, 2)
    with pytest.raises(InputError, match="has one frame, and no frame 2"):
        read(film(frame()), network, 1)


def test_long_cines_are_read_in_steps_and_told(network):
    images = [frame(seed=1, size=0.8)] * (2 * MOST_FRAMES + 1)
    told = []
    cine = film(*images)
    read_image(cine, network, None, find_screen(cine), lambda done, count: told.append((done, count)))
    assert told[-1] == (len(images), len(images))
    assert len(told) <= MOST_FRAMES / 8 + 1


CALM = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
facts = st.builds(
    FrameFacts, st.integers(0, 50), st.floats(0, 90), st.floats(0, 120), st.floats(0.01, 1), st.floats(0, 1)
)


@given(st.lists(facts, max_size=8, unique_by=lambda one: one.number))
@CALM
def test_the_best_frame_is_usable_and_no_sharp_one_is_larger(frames):
    best = best_frame(frames)
    usable = [one for one in frames if not one.reason]
    assert (best is None) == (not usable)
    if best is not None:
        assert not best.reason
        median = float(np.median([one.sharpness for one in usable]))
        assert all(one.area_cm2 <= best.area_cm2 for one in usable if one.sharpness >= median)


# --- the head ---------------------------------------------------------------------------------------------------------

features = st.lists(st.floats(-2, 3), min_size=4, max_size=4).map(np.array)


@given(features, features, st.sampled_from([0, 4]))
@CALM
def test_gradients_are_those_of_the_readings(first, second, hidden):
    one = head(hidden)
    by_first, nothing = one.gradient(first)
    assert nothing is None
    both = one.gradient(first, second)
    step = 1e-5
    for number in range(4):
        moved = np.eye(4)[number] * step
        assert (one.score_t0(first + moved) - one.score_t0(first - moved)) / (2 * step) == pytest.approx(
            by_first[number], abs=1e-6
        )
        for slope, change in zip(both, ((moved, 0 * moved), (0 * moved, moved)), strict=True):
            up, down = (one.score_pair(first + s * change[0], second + s * change[1]) for s in (1, -1))
            assert (up - down) / (2 * step) == pytest.approx(slope[number], abs=1e-6)


@given(features, features)
@CALM
def test_many_patients_are_read_at_once(first, second):
    one = head()
    pairs = np.stack([first, second]), np.stack([second, first])
    assert one.score_t0(pairs[0]) == pytest.approx([one.score_t0(first), one.score_t0(second)])
    assert one.score_pair(*pairs) == pytest.approx([one.score_pair(first, second), one.score_pair(second, first)])


@pytest.mark.parametrize("hidden", [0, 4])
def test_a_head_comes_back_from_its_file(hidden):
    one = head(hidden)
    again = PairHead.from_dict(one.to_dict())
    first, second = np.array([0.2, 1.0, 0.4, 0.0]), np.array([0.9, 0.1, 0.3, 0.2])
    assert again.score_t0(first) == pytest.approx(one.score_t0(first), abs=1e-4)
    assert again.score_pair(first, second) == pytest.approx(one.score_pair(first, second), abs=1e-4)
    assert (again.spread_t0, again.spread_pair) == (0.5, 0.3)


@pytest.mark.parametrize(
    "change",
    [
        {"format": "other"},
        {"scale": [0.0] * 4},
        {"weights_pair": [1.0] * 7},
        {"outward": [1.0]},
        {"bias_t0": float("nan")},
        {"spread_pair": -1.0},
        {"center": []},
    ],
)
def test_a_damaged_head_is_refused(bundle, change, monkeypatch):
    monkeypatch.setattr(type(bundle), "json", lambda self, name: {**head().to_dict(), **change})
    with pytest.raises(BundleError, match="head of the model bundle is damaged"):
        catalog.load_head(bundle)


# --- what raised the risk ---------------------------------------------------------------------------------------------


def test_the_maps_show_what_raised_the_risk_in_both_images(network):
    """The test's head takes dark livers for bad: what the change adds has the other sign in T0."""
    first, second = read(film(frame()), network), read(film(frame(seed=1, brighter=-25)), network)
    one = head(0)
    maps = {heat.name: heat for heat in risk_maps(one, first, second)}
    assert list(maps) == list(RISK_NAMES.values())
    assert [heat.role for heat in maps.values()] == ["", "t1"]
    assert maps[RISK_NAMES["t0"]].array.max() > 200
    assert maps[RISK_NAMES["t1"]].array.max() == 0
    alone = risk_maps(one, first, None)
    assert [heat.name for heat in alone] == [RISK_NAMES["t0"]]


def test_a_map_is_empty_but_for_the_frame_that_was_read(network):
    cine = film(*(frame(seed=number, size=size) for number, size in enumerate((0.6, 1.0, 0.7))))
    heat = risk_maps(head(0), read(cine, network), read(film(frame(seed=8)), network))[0]
    assert heat.grid.shape[0] == heat.array.shape[0] == 3
    assert [int(plane.max()) > 0 for plane in heat.array] == [False, True, False]


def test_the_products_network_has_the_ports_that_are_read():
    torch = pytest.importorskip("torch")
    made = catalog.build().eval()
    with torch.no_grad():
        found = made(torch.zeros(2, 1, 160, 192))
    shapes = [tuple(one.shape) for one in found]
    assert shapes == [(2, 2, 160, 192), (2, 1), (2, catalog.FEATURES), (2, catalog.FEATURES, 40, 48)]
