"""The DL score's pooling, its exact heat, and the evidence that stays with an edited mask."""

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
    SliceEvidence,
    slab_areas,
    volume_terms,
)
from ICHExpansionLib.segmenting.network import SMALLEST_SUM
from PrognosisLib.errors import BundleError
from PrognosisLib.simulation.shapes import rotation
from PrognosisLib.volume import Grid

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


def an_evidence(seed: int = 0) -> SliceEvidence:
    features = np.random.default_rng(seed).normal(size=(7, FEATURES))
    features[2] = features[5] = 0.0
    matrix = np.eye(4)
    matrix[:3] = np.random.default_rng([seed, 2]).normal(size=(3, 4)) + np.eye(3, 4) * 5
    return SliceEvidence(features, matrix, (7, 160, 128))


def test_evidence_survives_the_way_through_its_text():
    evidence = an_evidence()
    again = SliceEvidence.from_json(evidence.to_json())
    assert again.shape == evidence.shape
    np.testing.assert_allclose(again.features, evidence.features, atol=5.1e-5)
    np.testing.assert_allclose(again.ijk_to_ras, evidence.ijk_to_ras, atol=5.1e-6)
    assert again.to_json() == evidence.to_json()
    assert '"2"' not in evidence.to_json()


def changed(**parts: object) -> str:
    return json.dumps({**json.loads(an_evidence().to_json()), **parts})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no json",
        "[]",
        "7",
        "null",
        "{}",
        '{"followup": {}}',
        changed(shape=[7, 160]),
        changed(shape=[]),
        changed(shape="large"),
        changed(shape=[-7, 160, 128]),
        changed(shape=[float("inf"), 160, 128]),
        changed(width=-1),
        changed(lattice=[[1, 2], [3, 4]]),
        changed(lattice="here"),
        changed(lattice=np.zeros((4, 4)).tolist()),
        changed(lattice=np.full((4, 4), np.nan).tolist()),
        changed(features=[1, 2]),
        changed(features={"9": [0.0] * FEATURES}),
        changed(features={"1": [0.0] * (FEATURES + 1)}),
        changed(features={"x": [0.0] * FEATURES}),
        changed(features={"1": [float("nan")] * FEATURES}),
    ],
)
def test_other_text_is_no_evidence(text):
    assert SliceEvidence.from_json(text) is None


# --- areas ------------------------------------------------------------------------------------------------------------


def lattice(spacing, size, turn=(0.0, 0.0, 0.0), tilt=0.0, flips=(False,) * 3, order=(0, 1, 2)) -> Grid:
    columns = np.diag(np.asarray(spacing, float))
    angle = np.radians(tilt)
    columns[:, 1] = spacing[1] * np.array([0.0, np.cos(angle), np.sin(angle)])
    columns = (rotation(turn) @ columns * np.where(flips, -1.0, 1.0))[:, order]
    size = np.array(size)[list(order)]
    matrix = np.eye(4)
    matrix[:3, :3] = columns
    matrix[:3, 3] = np.array([3.0, -2.0, 5.0]) - columns @ ((size - 1) / 2.0)
    return Grid(tuple(size[::-1]), matrix)


def slab_evidence(grid: Grid) -> SliceEvidence:
    from ICHExpansionLib.segmenting.slices import slice_grid, to_slabs
    from PrognosisLib.volume import Volume

    slabs = slice_grid(*to_slabs(Volume(np.zeros(grid.shape, np.float32), grid.ijk_to_ras)), grid.corners_ras())
    return SliceEvidence(np.zeros((slabs.shape[0], FEATURES)), slabs.ijk_to_ras, slabs.shape)


GEOMETRIES = [
    {"spacing": (0.9, 0.9, 5.0), "size": (60, 60, 12)},
    {"spacing": (0.9, 0.9, 5.0), "size": (60, 60, 12), "flips": (True, True, True), "tilt": 18.0},
    {"spacing": (0.9, 0.9, 5.0), "size": (60, 60, 12), "order": (2, 0, 1), "turn": (10.0, -8.0, 12.0)},
    {"spacing": (0.9, 1.1, 1.0), "size": (60, 50, 60), "flips": (False, True, False), "tilt": -20.0},
    {"spacing": (1.5, 1.5, 7.0), "size": (40, 40, 8), "flips": (True, False, True), "order": (1, 2, 0)},
]


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_areas_of_a_block_on_any_lattice(geometry):
    """A block within the scan's own slices: its area is known in each, and half of it after half was cut away."""
    grid = lattice(**geometry)
    order = geometry.get("order", (0, 1, 2))
    sizes = np.array(geometry["size"])
    low, high = sizes // 4, sizes - sizes // 4
    low[2], high[2] = (10, 30) if sizes[2] == 60 else (2, 6)  # whole slabs of five slices of 1 mm
    box = tuple(slice(int(low[a]), int(high[a])) for a in order)[::-1]
    mask = np.ones([s.stop - s.start for s in box], bool)
    start = tuple(s.start for s in box)
    evidence = slab_evidence(grid)
    areas = slab_areas(mask, start, grid.ijk_to_ras, evidence)
    wanted = np.prod((high - low)[:2] * np.array(geometry["spacing"])[:2])
    assert np.count_nonzero(areas) == 4
    np.testing.assert_allclose(areas[areas > 0], wanted, rtol=1e-6)
    filled = np.flatnonzero(areas)
    centers = evidence.ijk_to_ras[:3, 3] + np.outer(filled, evidence.ijk_to_ras[:3, 2])
    middle = grid.to_ras(np.argwhere(mask) + np.array(start)).mean(axis=0)
    normal = np.cross(evidence.ijk_to_ras[:3, 0], evidence.ijk_to_ras[:3, 1])
    # The mask's middle lies in the middle of the slabs, measured across them.
    assert (centers.mean(axis=0) - middle) @ normal / np.linalg.norm(normal) == pytest.approx(0.0, abs=1e-6)
    half = mask.copy()
    axis = 2 - order.index(0)
    half[tuple(slice(mask.shape[a] // 2) if a == axis else slice(None) for a in range(3))] = False
    np.testing.assert_allclose(slab_areas(half, start, grid.ijk_to_ras, evidence), areas / 2, rtol=1e-6)


def test_areas_times_thickness_are_the_volume_whatever_the_masks_lattice():
    """Also for a mask on a lattice that is turned against the slabs, as after an edit in another geometry."""
    evidence = slab_evidence(lattice((0.9, 0.9, 5.0), (120, 120, 20), tilt=15.0))
    grid = lattice((1.0, 1.0, 1.0), (40, 40, 40), turn=(20.0, 10.0, -30.0))
    mask = np.random.default_rng(0).random(grid.shape) < 0.4
    areas = slab_areas(mask, (0, 0, 0), grid.ijk_to_ras, evidence)
    matrix = evidence.ijk_to_ras[:3, :3]
    distance = abs(np.linalg.det(matrix)) / np.linalg.norm(np.cross(matrix[:, 0], matrix[:, 1]))
    assert areas.sum() * distance / 1000 == pytest.approx(np.count_nonzero(mask) * grid.voxel_volume_ml)


def test_an_empty_mask_has_no_areas():
    evidence = slab_evidence(lattice((0.9, 0.9, 5.0), (60, 60, 12)))
    assert not slab_areas(np.zeros((0, 0, 0), bool), (0, 0, 0), np.eye(4), evidence).any()
