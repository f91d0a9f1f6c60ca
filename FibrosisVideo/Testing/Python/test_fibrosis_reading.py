"""A cine through the networks: windows cover it, unusable frames are named, and what they say becomes evidence."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

import torch
from fibrosis_networks import fakes, screen_of

from FibrosisVideoLib.labels import MODELS
from FibrosisVideoLib.learning.encoding import window_starts
from FibrosisVideoLib.networks.catalog import FILM, FRAMES
from FibrosisVideoLib.networks.heads import LinearHead
from FibrosisVideoLib.networks.lattice import CELLS, FRAME_RATE, STRIDE, WINDOW
from FibrosisVideoLib.networks.reading import CineReading, WindowReading, kept_frames, read_cine_frames
from FibrosisVideoLib.networks.summary import BRIGHTEST_PERCENT, attention_of, evidence_of, heat_of, nearest_kept
from PrognosisLib.framewise.lattice import SHAPE, FrameLattice
from PrognosisLib.images.cine.cine import ArrayFrames, Cine, steady_times

quick = settings(deadline=None, max_examples=20)
HEAD = LinearHead(np.array([2.0]), 0.5)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def flat_cine(levels: np.ndarray, rate: float = FRAME_RATE, dtype=np.uint8) -> Cine:
    """Even frames of those gray values, on a screen that covers the networks' lattice."""
    frames = np.broadcast_to(np.asarray(levels, dtype)[:, None, None], (len(levels), 176, 220))
    return Cine(ArrayFrames(frames), steady_times(len(levels), 1 / rate), (1.1, 1.1), burned_in=False)


def read_flat(levels, rate: float = FRAME_RATE, dtype=np.uint8, with_heat: bool = False) -> CineReading:
    cine = flat_cine(levels, rate, dtype)
    return read_cine_frames(cine, screen_of(cine.frame_shape), fakes(), dict.fromkeys(MODELS, HEAD), with_heat)


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


@pytest.mark.parametrize("count", [1, 15, 16, 17, 24, 25, 32, 41])
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


def test_every_frame_is_encoded_once_and_short_cines_are_filled_with_their_last_frame():
    cine, networks = flat_cine(np.arange(9) * 10 + 60), fakes()
    read_cine_frames(cine, screen_of(cine.frame_shape), networks, dict.fromkeys(MODELS, HEAD), False)
    (image,) = networks[FRAMES].seen
    assert image.shape == (9, 2, *SHAPE)
    (film_window,) = networks[FILM].seen
    assert film_window.shape == (1, 2, WINDOW, *CELLS)
    levels = film_window[0, 0, :, 10, 11]
    assert np.all(np.diff(levels[:9]) > 0)
    assert np.all(levels[8:] == levels[8])
    longer, networks = flat_cine(np.full(60, 100), 20.0), fakes()
    read = read_cine_frames(longer, screen_of(longer.frame_shape), networks, dict.fromkeys(MODELS, HEAD), False)
    assert sum(len(one) for one in networks[FRAMES].seen) == len(read.kept) < 60, "and only those that are kept"


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
    read_cine_frames(cine, screen_of(cine.frame_shape), fakes(), {}, False, done.append)
    assert done == [16, 32, 37]


def test_deep_gray_values_are_read_as_those_of_eight_bits():
    levels = np.linspace(60, 200, 20).astype(int)
    levels[-1] = 255
    deep, usual = read_flat(levels * 257, dtype=np.uint16), read_flat(levels)
    assert np.array_equal(deep.liver_frames(), usual.liver_frames())
    for (_, _, one), (_, _, other) in zip(deep.windows, usual.windows, strict=True):
        for model in MODELS:
            assert one[model].score == pytest.approx(other[model].score, abs=1e-4)


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
