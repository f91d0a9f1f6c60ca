"""The DL score's pooling and its exact heat."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ICHExpansionLib.segmenting.attention import (
    SMALLEST_AREA_MM2,
    TERMS,
    AttentionModel,
    volume_terms,
)
from PrognosisLib.errors import BundleError
from PrognosisLib.slicewise.network import SMALLEST_SUM

FEATURES, HEADS = 6, 3
seeds = st.integers(0, 10**6)


def a_model(seed: int = 0, low: float = -3.0, high: float = 4.0) -> AttentionModel:
    rng = np.random.default_rng([seed, 1])
    return AttentionModel(
        rng.normal(size=(HEADS, FEATURES)),
        rng.normal(size=HEADS),
        rng.normal(size=(HEADS, FEATURES)),
        rng.normal(size=FEATURES),
        rng.normal(size=TERMS),
        float(rng.normal()),
        low,
        high,
    )


def a_scan(seed: int, slabs: int = 9) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([seed, 2])
    areas = rng.uniform(20, 900, slabs) * (rng.random(slabs) < 0.6)
    areas[0] = 300.0
    return rng.normal(size=(slabs, FEATURES)), areas


# --- pooling ----------------------------------------------------------------------------------------------------------


@given(seeds)
def test_the_order_of_the_slabs_does_not_matter(seed):
    model, (features, areas) = a_model(seed), a_scan(seed)
    order = np.random.default_rng(seed).permutation(len(areas))
    one, other = model.pool(features, areas, 20.0, 1.0), model.pool(features[order], areas[order], 20.0, 1.0)
    assert other.raw == pytest.approx(one.raw)
    np.testing.assert_allclose(other.weights, one.weights[order])


@given(seeds)
def test_slabs_without_hematoma_take_no_part(seed):
    model, (features, areas) = a_model(seed), a_scan(seed)
    wanted = model.pool(features, areas, 20.0, 1.0)
    empty = areas < SMALLEST_AREA_MM2
    assert (wanted.weights[empty] == 0).all()
    changed = np.where(empty[:, None], 1e3, features)
    assert model.pool(changed, areas, 20.0, 1.0) == replace(wanted, weights=pytest.approx(wanted.weights))
    kept = model.pool(features[~empty], areas[~empty], 20.0, 1.0)
    assert kept.raw == pytest.approx(wanted.raw)
    more = model.pool(np.vstack([features, changed]), np.append(areas, np.zeros(len(areas))), 20.0, 1.0)
    assert more.raw == pytest.approx(wanted.raw)


@given(seeds)
def test_every_heads_weights_sum_to_one(seed):
    shares = a_model(seed).head_weights(*a_scan(seed))
    assert shares.shape == (HEADS, 9)
    assert (shares >= 0).all()
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    assert a_model(seed).pool(*a_scan(seed), 5.0, 0.0).weights.sum() == pytest.approx(1.0)


def test_a_larger_area_weighs_by_its_square_root():
    model = replace(a_model(), gates=np.zeros((HEADS, FEATURES)))
    shares = model.head_weights(np.zeros((2, FEATURES)), np.array([400.0, 100.0]))
    np.testing.assert_allclose(shares, np.tile([2 / 3, 1 / 3], (HEADS, 1)))


def test_a_hematoma_of_tiny_areas_is_read_from_its_largest_slab():
    features, areas = a_scan(3, 4)[0], np.array([0.0, 4.0, 7.0, 1.0])
    shares = a_model().head_weights(features, areas)
    np.testing.assert_allclose(shares, np.tile([0.0, 0.0, 1.0, 0.0], (HEADS, 1)))


def test_the_features_of_all_used_slabs_add_up():
    """Two slabs with islands count more than one, which the mean of attention does not tell."""
    nothing = {"effects": np.zeros((HEADS, FEATURES)), "volume_effects": np.zeros(TERMS), "offset": 0.0}
    model = replace(a_model(), **nothing)
    features = np.tile(np.arange(1.0, FEATURES + 1), (3, 1))
    once, twice = (model.pool(features, np.array(areas), 10.0, 0.0).raw for areas in ([90.0, 0, 0], [90.0, 0, 80.0]))
    assert once == pytest.approx(float(features[0] @ model.sum_effects))
    assert twice == pytest.approx(2 * once)


def test_the_score_is_the_linear_form_between_its_percentiles():
    nothing = {"effects": np.zeros((HEADS, FEATURES)), "sum_effects": np.zeros(FEATURES)}
    model = replace(a_model(), **nothing, low=-1.0, high=3.0)
    features, areas = a_scan(1)
    terms = float(model.volume_effects @ volume_terms(30.0, 0.5))
    for offset, score in ((-50.0, 0.0), (50.0, 1.0), (1.0 - terms, 0.5), (-terms, 0.25)):
        found = replace(model, offset=offset).pool(features, areas, 30.0, 0.5)
        assert found.score == pytest.approx(score)
        assert found.raw == pytest.approx(offset + terms)


def test_volume_terms_bend_at_their_knots_and_end_at_the_extremes():
    np.testing.assert_allclose(volume_terms(12.0, 0.5), [0, np.log(12 / 5), 0, 0, 0.5])
    np.testing.assert_allclose(volume_terms(0.0, 0.0), volume_terms(0.3, 0.0))
    np.testing.assert_allclose(volume_terms(500.0, 0.0), volume_terms(120.0, 0.0))
    assert volume_terms(41.0, 0.0)[3] > 0 == volume_terms(39.0, 0.0)[3]


# --- heat -------------------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_the_heat_sums_to_the_features_part_of_the_raw_score(seed):
    rng = np.random.default_rng(seed)
    evidence = rng.random((5, FEATURES, 7, 8))
    share = rng.random((5, 7, 8)) * (rng.random((5, 7, 8)) < 0.3)
    features = np.einsum("sji,sfji->sf", share, evidence) / (share.sum(axis=(1, 2)) + SMALLEST_SUM)[:, None]
    model, areas = a_model(seed), 16.0 * share.sum(axis=(1, 2)) + 11.0
    areas[2] = 0.0
    heat = model.heat(features, areas, evidence, share)
    assert heat.shape == share.shape
    assert not heat[2].any()
    assert not heat[share == 0].any()
    raw = model.pool(features, areas, 33.0, 2.0).raw
    part = raw - model.offset - model.volume_effects @ volume_terms(33.0, 2.0)
    assert heat.sum() == pytest.approx(part, rel=1e-9, abs=1e-9)
    # Without the volumes there is no other part.
    bare = replace(model, offset=0.0, volume_effects=np.zeros(TERMS))
    assert heat.sum() == pytest.approx(bare.pool(features, areas, 33.0, 2.0).raw, rel=1e-9, abs=1e-9)


# --- files ------------------------------------------------------------------------------------------------------------


def test_the_model_survives_the_way_through_a_file():
    model = a_model(4)
    again = AttentionModel.from_dict(json.loads(json.dumps(model.to_dict())), FEATURES)
    for name, value in vars(model).items():
        np.testing.assert_allclose(getattr(again, name), value, atol=6e-7, err_msg=name)
    features, areas = a_scan(4)
    assert again.pool(features, areas, 20.0, 1.0).raw == pytest.approx(model.pool(features, areas, 20.0, 1.0).raw, 1e-4)
    assert again.to_dict() == model.to_dict()


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.pop("gates"),
        lambda data: data.update(format="another"),
        lambda data: data["gates"].pop(),
        lambda data: data["effects"][0].pop(),
        lambda data: data["gate_offsets"].append(0.0),
        lambda data: data["volume_effects"].pop(),
        lambda data: data["effects"][1].__setitem__(2, float("nan")),
        lambda data: data.update(offset="much"),
        lambda data: data.update(offset=[1.0, 2.0]),
        lambda data: data.update(low=data["high"]),
        lambda data: data.update(high=None),
        lambda data: data.update(gate_offsets=1.0),
        lambda data: data.clear(),
    ],
)
def test_a_damaged_model_is_refused(change):
    data = json.loads(json.dumps(a_model().to_dict()))
    change(data)
    with pytest.raises(BundleError, match="slice attention"):
        AttentionModel.from_dict(data, FEATURES)


def test_a_model_for_another_network_is_refused():
    with pytest.raises(BundleError, match="slice attention"):
        AttentionModel.from_dict(a_model().to_dict(), FEATURES + 1)
