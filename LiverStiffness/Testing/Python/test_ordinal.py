"""The ordinal reading: ordered probabilities, attention, exact heat, intervals, its text, and how it is fitted."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stiffness_phantoms import a_model, known_covariates, slices_of

from LiverStiffnessLib.labels import THRESHOLDS_KPA
from LiverStiffnessLib.measuring.ordinal import (
    COVARIATES,
    SMALLEST_AREA_MM2,
    OrdinalModel,
    Reading,
    SliceInput,
    attention,
    covariates_of,
)
from LiverStiffnessLib.measuring.readout import MODELS, Readout, model_name, threshold_key
from LiverStiffnessLib.segmenting.network import FEATURES
from PrognosisLib.errors import BundleError
from PrognosisLib.slicewise.network import SMALLEST_SUM

WIDTH = 6
seeds = st.integers(0, 10**6)


def small(sequences: tuple[str, ...] = ("T2", "T1"), seed: int = 0) -> OrdinalModel:
    return a_model(sequences, seed, WIDTH)


def both(seed: int = 0) -> dict[str, SliceInput]:
    return {"T2": slices_of(seed, 9, WIDTH), "T1": slices_of(seed + 1, 14, WIDTH)}


def read_at(model: OrdinalModel, score: float, error: float = 0.2) -> Reading:
    """A reading with that score and error, whatever the slices."""
    bare = {name: np.zeros((2, WIDTH)) for name in model.sequences}
    effects = np.array([1.0, 0.0, 0.0])
    model = replace(model, effects=bare, covariate_effects=effects, error_sd=error)
    return model.read(both(), model.covariate_means + score * effects)


# --- probabilities and intervals --------------------------------------------------------------------------------------


@settings(deadline=None)
@given(seeds, st.floats(-60, 60))
def test_probabilities_fall_with_the_threshold_for_any_score(seed, score):
    chances = small(seed=seed).probabilities(score)
    assert chances.shape == (len(THRESHOLDS_KPA),)
    assert (np.diff(chances) <= 0).all()
    assert chances.min() >= 0
    assert chances.max() <= 1
    assert (np.diff(small(seed=seed).probabilities(np.clip(score, -8, 8))) < 0).all()


@settings(deadline=None)
@given(seeds, st.floats(-5, 5), st.floats(0.01, 5))
def test_probabilities_and_stiffness_rise_with_the_score(seed, score, more):
    model = small(seed=seed)
    assert (model.probabilities(score + more) > model.probabilities(score)).all()
    assert read_at(model, score + more).kpa >= read_at(model, score).kpa


@settings(deadline=None)
@given(seeds)
def test_intervals_hold_their_values(seed):
    reading = small(seed=seed).read(both(seed), known_covariates())
    for chance, interval in zip(reading.probabilities, reading.intervals, strict=True):
        assert 0 <= interval.lower <= chance <= interval.upper <= 1
    assert 0 < reading.kpa_interval.lower < reading.kpa < reading.kpa_interval.upper
    assert reading.error > 0


def test_the_interval_of_the_stiffness_is_at_least_that_of_the_measurement():
    reading = read_at(small(), 0.0, error=0.0)
    assert reading.kpa == pytest.approx(2.8)
    assert reading.kpa_interval.upper == pytest.approx(2.8 * np.exp(1.959964 * 0.16))
    assert read_at(small(), 0.0, error=0.5).kpa_interval.upper > reading.kpa_interval.upper
    assert all(one.lower == one.upper for one in reading.intervals)


def test_a_score_beyond_the_knots_stays_at_their_ends():
    assert read_at(small(), -50.0).kpa == pytest.approx(1.9)
    assert read_at(small(), 50.0).kpa == pytest.approx(7.5)


# --- attention --------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(seeds)
def test_slices_with_little_liver_take_no_part(seed):
    model, slices = small(seed=seed), both(seed)
    wanted = model.read(slices, known_covariates())
    unused = ~slices["T2"].used
    assert unused.sum() == 1
    changed = np.where(unused[:, None], 1e3, slices["T2"].features)
    again = model.read({**slices, "T2": SliceInput(changed, slices["T2"].areas_mm2)}, known_covariates())
    assert again.score == pytest.approx(wanted.score)
    assert again.error == pytest.approx(wanted.error)
    assert (wanted.weights["T2"][unused] == 0).all()
    for name, one in slices.items():
        shares = attention(one, model.gates[name])
        np.testing.assert_allclose(shares.sum(axis=1), 1.0)
        assert wanted.weights[name].sum() == pytest.approx(1.0)


@settings(deadline=None)
@given(seeds)
def test_the_order_of_the_slices_does_not_matter(seed):
    model, slices = small(seed=seed), both(seed)
    order = np.random.default_rng(seed).permutation(9)
    turned = SliceInput(slices["T2"].features[order], slices["T2"].areas_mm2[order])
    one, other = (model.read(s, known_covariates()) for s in (slices, {**slices, "T2": turned}))
    assert other.score == pytest.approx(one.score)
    assert other.error == pytest.approx(one.error)
    np.testing.assert_allclose(other.weights["T2"], one.weights["T2"][order])


def test_a_larger_section_weighs_by_its_square_root():
    shares = attention(SliceInput(np.zeros((2, WIDTH)), np.array([8000.0, 2000.0])), np.zeros((2, WIDTH)))
    np.testing.assert_allclose(shares, np.tile([2 / 3, 1 / 3], (2, 1)))


def test_a_tiny_liver_is_read_from_its_largest_section():
    areas = np.array([0.0, 40.0, SMALLEST_AREA_MM2 / 2, 10.0])
    shares = attention(SliceInput(np.random.default_rng(0).normal(size=(4, WIDTH)), areas), np.ones((2, WIDTH)))
    np.testing.assert_allclose(shares, np.tile([0.0, 0.0, 1.0, 0.0], (2, 1)))


# --- what the score is made of ----------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_the_heat_sums_to_the_sequences_part_of_the_score(seed):
    rng = np.random.default_rng(seed)
    model = small(("T2",), seed)
    maps = rng.normal(size=(5, WIDTH, 7, 8))
    share = rng.random((5, 7, 8)) * (rng.random((5, 7, 8)) < 0.4)
    features = np.einsum("sji,sfji->sf", share, maps) / (share.sum(axis=(1, 2)) + SMALLEST_SUM)[:, None]
    areas = rng.uniform(600, 9000, 5)
    areas[2] = 100.0
    one = SliceInput(features, areas)
    heat = model.heat("T2", one, maps, share, SMALLEST_SUM)
    assert heat.shape == share.shape
    assert not heat[2].any()
    assert not heat[share == 0].any()
    part = model.score({"T2": one}, model.covariate_means)
    # Less that of usual features, for as much of the slices' sums as is liver.
    filled = share.sum(axis=(1, 2)) / (share.sum(axis=(1, 2)) + SMALLEST_SUM)
    usual = np.einsum("hs,hf,f,s->", attention(one, model.gates["T2"]), model.effects["T2"], model.usual["T2"], filled)
    assert heat.sum() == pytest.approx(part - usual, rel=1e-9, abs=1e-9)


def test_the_score_is_the_sum_of_sequences_and_covariates():
    model, slices = small(), both()
    alone = [
        replace(model, sequences=(name,)).score({name: slices[name]}, model.covariate_means) for name in ("T2", "T1")
    ]
    beside = float((known_covariates() - model.covariate_means) @ model.covariate_effects)
    assert model.score(slices, known_covariates()) == pytest.approx(sum(alone) + beside)
    assert abs(beside) > 0.1


def test_a_missing_spleen_counts_as_a_usual_one():
    assert np.isnan(covariates_of(None, 1500.0, 0.0)[0])
    assert np.isnan(covariates_of(0.0, 1500.0, 0.0)[0])
    np.testing.assert_allclose(covariates_of(200.0, 1500.0, 50.0), [np.log(200), np.log(1500), np.log(2)])
    model, slices = small(), both()
    missing, usual, large = (
        model.score(slices, np.array([value, 7.1, 0.4])) for value in (np.nan, model.covariate_means[0], np.log(900.0))
    )
    assert missing == pytest.approx(usual)
    assert large > usual
    assert np.isfinite(model.read(slices, np.full(len(COVARIATES), np.nan)).score)


def test_the_error_falls_with_more_slices_of_the_same_kind():
    """Every slice drawn from one distribution: nine tell more than three. Two tell next to nothing of their error."""
    model = replace(small(("T2",)), error_sd=0.0, gates={"T2": np.zeros((2, WIDTH))})
    rng = np.random.default_rng(0)

    def error(count: int) -> float:
        drawn = [SliceInput(rng.normal(size=(count, WIDTH)), np.full(count, 5000.0)) for _ in range(60)]
        return float(np.median([model.read({"T2": one}, model.covariate_means).error for one in drawn]))

    few, some, many = (error(count) for count in (4, 9, 25))
    assert few > 1.3 * some > 1.6 * many
    # The textbook's standard error of a mean.
    values = rng.normal(size=(4000, WIDTH)) @ model.effects["T2"].sum(axis=0)
    assert many == pytest.approx(values.std() / 5, rel=0.1)
    assert model.read({"T2": slices_of(0, 2, WIDTH)}, model.covariate_means).error == pytest.approx(1.0)


def test_refits_and_slices_both_add_to_the_error():
    model = small()
    bare = replace(model, error_sd=0.0).read(both(), known_covariates()).error
    assert model.read(both(), known_covariates()).error == pytest.approx(np.hypot(bare, model.error_sd))


# --- text -------------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(seeds)
def test_a_model_survives_the_way_through_its_text(seed):
    model = small(seed=seed)
    again = OrdinalModel.from_dict(json.loads(json.dumps(model.to_dict())), WIDTH)
    assert again.sequences == model.sequences
    one, other = (m.read(both(seed), known_covariates()) for m in (model, again))
    assert other.score == pytest.approx(one.score, abs=1e-3)
    np.testing.assert_allclose(other.probabilities, one.probabilities, atol=1e-4)
    assert other.kpa == pytest.approx(one.kpa, rel=1e-3)
    assert again.to_dict() == OrdinalModel.from_dict(again.to_dict(), WIDTH).to_dict()


def damaged(path: tuple, value) -> dict:
    content = copy.deepcopy(small().to_dict())
    place = content
    for key in path[:-1]:
        place = place[key]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return content


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("format",), "another"),
        (("sequences",), []),
        (("sequences",), ["T2", "T3"]),
        (("gates",), None),
        (("gates", "T1"), None),
        (("gates", "T2"), [[0.0] * (WIDTH - 1)] * 2),
        (("gates", "T2"), [[0.0] * WIDTH] * 3),
        (("effects", "T1"), [0.0] * WIDTH),
        (("effects", "T1", 0, 0), float("nan")),
        (("effects", "T1", 0, 0), "x"),
        (("covariate_means",), [1.0, 2.0]),
        (("covariate_effects", 0), float("inf")),
        (("offsets",), [0.0, 1.0]),
        (("offsets",), [0.0, 1.0, 0.5, 2.0, 3.0]),
        (("knots",), [0.0, 1.0]),
        (("knots",), [0.0, 1.0, 0.5, 2.0, 3.0]),
        (("log_kpa",), [1.0, 0.5, 1.5, 2.0, 2.1]),
        (("log_kpa_sd",), -0.1),
        (("error_sd",), "large"),
        (("error_sd",), float("nan")),
    ],
    ids=str,
)
def test_a_damaged_model_is_refused(path, value):
    with pytest.raises(BundleError, match="install the bundle again"):
        OrdinalModel.from_dict(damaged(path, value), WIDTH)


def test_a_model_without_any_knot_is_refused():
    """It could not give a stiffness."""
    for empty in ([], [[0.0, 1.0], [2.0, 3.0]]):
        content = {**small().to_dict(), "knots": empty, "log_kpa": empty}
        with pytest.raises(BundleError):
            OrdinalModel.from_dict(content, WIDTH)
    for content in ([], None, "text", {}):
        with pytest.raises(BundleError):
            OrdinalModel.from_dict(content, WIDTH)


def test_a_readout_needs_a_model_for_every_choice_of_sequences():
    models = {name: a_model(sequences).to_dict() for name, sequences in MODELS.items()}
    readout = Readout.from_dict({"models": models, "figures": {}}, True, 0.6)
    assert set(readout.models) == set(MODELS)
    assert readout.figure("both", 3.0) == {}
    for content in (
        {"models": {**models, "t2": models["both"]}, "figures": {}},
        {"models": {"both": models["both"]}, "figures": {}},
        {"models": models},
        {"models": models, "figures": 3},
        {"models": {**models, "t1": a_model(("T1",), features=FEATURES - 1).to_dict()}, "figures": {}},
    ):
        with pytest.raises(BundleError, match="install the bundle again"):
            Readout.from_dict(content, True, 0.6)
    assert [model_name(names) for names in (("T1", "T2"), ["T2"], {"T1": 0})] == ["both", "t2", "t1"]
    assert threshold_key(2.5) == "at_least_2_5"
