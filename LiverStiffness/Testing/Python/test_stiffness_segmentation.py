"""From log-odds to masks and their flags: pieces, holes, the scan's own voxels, coverage, size and doubt."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from phantoms import Ellipsoid
from stiffness_phantoms import LIVER_SHAPE, SPLEEN_SHAPE, margin_in, moved, read_by_hand, scan_grid

from LiverStiffnessLib.labels import ASCITES, CLASSES, LIVER, SEGMENTS, SPLEEN
from LiverStiffnessLib.measuring.mask_flags import MINIMUM_CONFIDENCE, mask_flags
from LiverStiffnessLib.segmenting.network import FEATURES, SEQUENCES, normalize, to_gray_slices
from LiverStiffnessLib.segmenting.reading import read_image
from LiverStiffnessLib.segmenting.segmentation import FAR_OUTSIDE, SMALLEST_ML, draw_masks, keep_pieces
from PrognosisLib.findings import Mask
from PrognosisLib.slicewise.network import pooled, probability
from PrognosisLib.volume import Volume

few = settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
GRID = scan_grid((2.0, 2.0, 8.0))
FLUID = Ellipsoid((120.0, 20.0, 0.0), (8.0, 40.0, 45.0))


def ball(center, radius: float) -> Ellipsoid:
    return Ellipsoid(center, (radius, radius, radius))


def pieces(*shapes: Ellipsoid) -> np.ndarray:
    return np.max([margin_in(shape, GRID) for shape in shapes], axis=0)


def count(margin: np.ndarray) -> float:
    return np.count_nonzero(margin > 0) * GRID.voxel_volume_ml


# --- pieces -----------------------------------------------------------------------------------------------------------


def test_specks_are_dropped_and_the_organ_stays():
    liver = margin_in(LIVER_SHAPE, GRID)
    kept = keep_pieces(pieces(LIVER_SHAPE, ball((-90, 0, 10), 20)), GRID, LIVER)
    np.testing.assert_array_equal(kept > 0, liver > 0)
    assert kept.min() == FAR_OUTSIDE
    assert keep_pieces(pieces(ball((50, 0, 10), 20)), GRID, LIVER).max() <= 0.0  # 33 mL are no liver
    nothing = np.full(GRID.shape, -5.0, np.float32)
    assert keep_pieces(nothing, GRID, LIVER) is nothing


@pytest.mark.parametrize(
    ("label", "radius", "stays"),
    [(LIVER, 26.0, False), (LIVER, 33.0, True), (SPLEEN, 26.0, False), (SPLEEN, 44.0, True)],
)
def test_a_second_piece_stays_where_it_is_a_fair_share(label, radius, stays):
    """Of the 880 mL of the first one: 74 mL and 150 mL beside a liver, 74 mL and 360 mL beside a spleen."""
    second = ball((-85, 0, 10), radius)
    margin = pieces(LIVER_SHAPE, second)
    kept = keep_pieces(margin, GRID, label)
    assert count(kept) == pytest.approx(count(pieces(LIVER_SHAPE)) + stays * count(pieces(second)), rel=1e-6)


def test_fluid_may_lie_in_many_places():
    lake, pool, drop = ball((60, 0, 0), 30), ball((-60, 0, 0), 20), ball((0, 70, 0), 9)
    kept = keep_pieces(pieces(lake, pool, drop), GRID, ASCITES)
    assert count(kept) == pytest.approx(count(pieces(lake, pool)), rel=1e-6)
    assert count(pieces(drop)) < SMALLEST_ML[ASCITES] < count(pieces(pool))


@pytest.mark.parametrize(("label", "closed"), [(LIVER, True), (SPLEEN, True), (ASCITES, False)])
def test_small_holes_are_closed_in_organs(label, closed):
    margin = margin_in(LIVER_SHAPE, GRID)
    k = GRID.shape[0] // 2
    hole = np.zeros(GRID.shape, bool)
    hole[k, 45:50, 95:100] = True
    assert (margin[hole] > 0).all()
    holed = np.where(hole, np.float32(-4.0), margin)
    kept = keep_pieces(holed, GRID, label)
    assert (kept[hole] > 0).all() == closed
    np.testing.assert_array_equal(kept[~hole], holed[~hole])


def test_a_large_hole_is_no_mistake():
    margin = margin_in(LIVER_SHAPE, GRID)
    hole = margin_in(ball(LIVER_SHAPE.center, 25), GRID) > 0
    kept = keep_pieces(np.where(hole, np.float32(-4.0), margin), GRID, LIVER)
    assert not (kept[GRID.shape[0] // 2][hole[GRID.shape[0] // 2]] > 0).any()


def test_the_given_log_odds_are_not_changed():
    margin = pieces(LIVER_SHAPE, ball((-90, 0, 10), 20))
    before = margin.copy()
    keep_pieces(margin, GRID, LIVER)
    np.testing.assert_array_equal(margin, before)


# --- masks on the scan ------------------------------------------------------------------------------------------------


@st.composite
def grids(draw):
    """Lattices of axial scans, oblique, stored along any axes, with thin or thick slices."""
    return scan_grid(
        (draw(st.floats(1.5, 3.5)), draw(st.floats(1.5, 3.5)), draw(st.floats(3.0, 8.0))),
        flips=tuple(draw(st.booleans()) for _ in range(3)),
        turn=tuple(draw(st.floats(-20, 20)) for _ in range(3)),
        order=draw(st.permutations((0, 1, 2))),
    )


@few
@given(grids())
def test_masks_land_on_the_right_voxels_of_any_lattice(grid):
    masks = draw_masks(read_by_hand(grid, fluid=FLUID), grid, 1.0)
    assert list(masks) == [LIVER, SPLEEN, ASCITES]
    points = grid.to_ras(np.indices(grid.shape).reshape(3, -1).T)
    for label, shape in ((LIVER, LIVER_SHAPE), (SPLEEN, SPLEEN_SHAPE)):
        mask = masks[label]
        assert (mask.name, mask.grid) == (SEGMENTS[label], grid)
        assert mask.voxel_volume_ml == pytest.approx(shape.volume_ml, rel=0.05)
        away = (points - shape.center) / shape.radii
        depth = (1 - np.linalg.norm(away, axis=1)) * min(shape.radii)
        inside = mask.full().astype(bool).ravel()
        assert depth[inside].min() > -5.0
        assert depth[~inside].max() < 5.0
        assert mask.volume_ml.lower < mask.voxel_volume_ml < mask.volume_ml.upper
        assert 0.8 < mask.confidence < 1.0
    assert masks[LIVER].solid
    assert not masks[ASCITES].solid


def test_what_is_not_found_is_left_out():
    assert set(draw_masks(read_by_hand(GRID, spleen=None), GRID, 1.0)) == {LIVER}
    assert draw_masks(read_by_hand(GRID, None, None), GRID, 1.0) == {}
    # Fluid without a liver near it is not ascites but something else that is bright.
    assert set(draw_masks(read_by_hand(GRID, None, SPLEEN_SHAPE, fluid=FLUID), GRID, 1.0)) == {SPLEEN}


def test_a_larger_shift_gives_a_wider_interval():
    narrow, wide = (draw_masks(read_by_hand(GRID), GRID, logit)[LIVER] for logit in (0.5, 2.0))
    assert narrow.checksum == wide.checksum
    assert wide.volume_ml.lower < narrow.volume_ml.lower < narrow.volume_ml.upper < wide.volume_ml.upper


# --- the image for the network ----------------------------------------------------------------------------------------


@given(st.floats(0.01, 1000.0), st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_gray_values_do_not_depend_on_the_scanners_gain(gain, seed):
    array = np.random.default_rng(seed).uniform(60, 200, (6, 32, 32)).astype(np.float32)
    array[:, :8] = 0.0  # air
    found = normalize(array)
    np.testing.assert_allclose(normalize(array * np.float32(gain)), found, atol=2e-3)
    assert found.dtype == np.float32
    assert found.min() >= -2
    assert found.max() <= 5
    body = found[:, 8:]
    assert body.mean() == pytest.approx(0.0, abs=0.1)
    assert body.std() == pytest.approx(1.0, abs=0.1)
    assert (found[:, :8] == found.min()).all()


def test_an_empty_image_is_zero_and_a_few_bright_voxels_do_not_matter():
    assert not normalize(np.zeros((4, 8, 8), np.int16)).any()
    array = np.random.default_rng(0).gamma(2.0, 40.0, (6, 64, 64)).astype(np.float32)
    spiked = array.copy()
    spiked[3, 10, 10:14] = 1e5
    apart = np.abs(normalize(spiked) - normalize(array))
    assert np.median(apart) < 0.02
    assert normalize(spiked).max() == 5.0


class Brightness:
    """A stand-in for the network: bright pixels are liver, and the sequence is told by the slice's mean."""

    device = "stand-in"

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def outputs(self, image: np.ndarray) -> list[np.ndarray]:
        self.shapes.append(image.shape)
        bright = 40.0 * (image[:, 1] - 0.5)
        logits = np.full((len(image), len(CLASSES), *bright.shape[1:]), -30.0, np.float32)
        logits[:, 0], logits[:, LIVER] = 0.0, np.clip(bright, -20, 20)
        share = pooled(probability(logits, LIVER))
        detection = np.stack([8.0 * (share.max(axis=(1, 2)) - 0.5), np.zeros(len(image)), np.zeros(len(image)) - 9], 1)
        maps = np.ones((len(image), FEATURES, *share.shape[1:]), np.float32)
        return [logits, detection, np.full((len(image), FEATURES), 0.5, np.float32), maps]


def test_an_image_is_read_slice_by_slice_and_its_sequence_told_where_the_liver_is():
    array = 100.0 + 10 * np.random.default_rng(0).random(GRID.shape)
    array[margin_in(LIVER_SHAPE, GRID) > 0] = 300.0
    volume = Volume(array.astype(np.float32), GRID.ijk_to_ras, "MR")
    network = Brightness()
    read = read_image(volume, network, tuple(SEGMENTS))
    assert sum(shape[0] for shape in network.shapes) == read.slices.array.shape[0] == GRID.shape[0]
    assert {shape[1] for shape in network.shapes} == {3}
    assert read.slices.grid.same_as(to_gray_slices(volume).grid)
    assert set(read.margins) == set(SEGMENTS)
    assert read.evidence.features.shape == (GRID.shape[0], FEATURES)
    assert read.share.shape == read.maps[:, 0].shape
    assert read.sequence.sum() == pytest.approx(1.0)
    # Slices without liver would say T1: they are not asked.
    assert read.best_sequence == "T2" == SEQUENCES[0]
    assert read.sequence[0] > 0.9
    mask = draw_masks(read, GRID, 1.0)[LIVER]
    assert mask.voxel_volume_ml == pytest.approx(LIVER_SHAPE.volume_ml, rel=0.05)


def test_an_image_without_liver_is_judged_by_all_slices():
    dark = Volume(np.random.default_rng(0).uniform(90, 110, GRID.shape).astype(np.float32), GRID.ijk_to_ras, "MR")
    dark.array[2] = 0.0  # some pixels differ, so that there is a scale
    read = read_image(dark, Brightness(), (LIVER,))
    assert not (read.margins[LIVER] > 0).mean() > 0.5
    assert read.sequence.sum() == pytest.approx(1.0)


# --- flags ------------------------------------------------------------------------------------------------------------


def mask_of(shape: Ellipsoid, name: str = "Liver", grid=GRID, **more) -> Mask:
    return Mask.from_full(name, margin_in(shape, grid) > 0, grid, **more)


def flags_of(*masks: Mask) -> dict[str, str]:
    found = mask_flags({mask.name: mask for mask in masks})
    for flag in found:
        assert flag.severity == "warning"
        assert flag.message.endswith(".")
        assert ". " not in flag.message
        assert ": check" in flag.message
        assert flag.segment in flag.key.title() or flag.segment.lower() in flag.key
    return {flag.key: flag.message for flag in found}


def test_usual_masks_have_no_flag():
    assert flags_of(mask_of(LIVER_SHAPE, confidence=0.95), mask_of(SPLEEN_SHAPE, "Spleen")) == {}
    empty = Mask.from_full("Spleen", np.zeros(GRID.shape, bool), GRID)
    assert flags_of(mask_of(LIVER_SHAPE), empty) == {}
    assert flags_of(mask_of(moved(LIVER_SHAPE, (0, 0, 60)), "Ascites")) == {}


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
@pytest.mark.parametrize("flips", [(False,) * 3, (True, False, True)])
@pytest.mark.parametrize("end", [-1, 1])
def test_an_organ_that_reaches_an_end_of_the_image_is_flagged(order, flips, end):
    """Whatever axis runs along the patient. Sides of the image are no end."""
    grid = scan_grid((3.0, 3.0, 8.0), order=order, flips=flips)
    reach = (grid.corners_ras()[:, 2].max() - grid.corners_ras()[:, 2].min()) / 2
    there = moved(LIVER_SHAPE, (0, 0, end * (reach - 20)))
    assert set(flags_of(mask_of(there, grid=grid))) == {"cut_liver"}
    aside = moved(LIVER_SHAPE, (50, 0, 0))
    touching = mask_of(aside, grid=grid)
    assert touching.voxel_volume_ml < 0.95 * mask_of(LIVER_SHAPE, grid=grid).voxel_volume_ml
    assert flags_of(touching) == {}


def test_a_tip_in_the_last_slice_is_no_loss():
    """Of 8 cm2 there; one slice lower it is 20 cm2 and more."""
    top = GRID.corners_ras()[:, 2].max() - 4.0
    for area_cm2, flagged in ((8.0, set()), (20.0, {"cut_liver"})):
        share = area_cm2 * 100 / (np.pi * LIVER_SHAPE.radii[0] * LIVER_SHAPE.radii[1])
        height = LIVER_SHAPE.radii[2] * np.sqrt(1 - share)
        tip = moved(LIVER_SHAPE, (0, 0, top - height - LIVER_SHAPE.center[2]))
        assert set(flags_of(mask_of(tip))) == flagged, area_cm2


def test_sizes_that_no_patient_has_are_flagged():
    small = flags_of(mask_of(ball((40, 0, 10), 40)), mask_of(ball((-60, 0, 10), 18), "Spleen"))
    assert set(small) == {"size_liver", "size_spleen"}
    assert "unusually small" in small["size_liver"]
    large = mask_of(Ellipsoid((0, 0, 10), (130, 90, 75)))
    assert "A liver of 36" in flags_of(large)["size_liver"]
    assert "unusually large" in flags_of(large)["size_liver"]
    assert flags_of(mask_of(LIVER_SHAPE, "Spleen")) == {}


def test_doubt_is_flagged_and_a_mask_by_hand_has_none():
    sure = mask_of(LIVER_SHAPE, confidence=MINIMUM_CONFIDENCE)
    assert flags_of(sure) == {}
    unsure = flags_of(replace(sure, confidence=MINIMUM_CONFIDENCE - 0.01))
    assert "0.84" in unsure["low_confidence_liver"]
    assert flags_of(replace(sure, confidence=None)) == {}
