"""Coarse to fine on analytic patients: the networks only threshold, so volumes and places are known from formulas."""

from __future__ import annotations

import numpy as np
import phantoms
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from phantoms import LIVER, SPLEEN, Ellipsoid, Thresholds, axial_grid, scan

from PrognosisLib.findings import Mask
from PrognosisLib.pipeline import Stopwatch, silent
from PrognosisLib.volume import Grid, Volume
from SpleenVolumeLib.flags import cut_sides
from SpleenVolumeLib.network import COARSE, FINE
from SpleenVolumeLib.segmentation import (
    FAR_OUTSIDE,
    LARGEST_FINE_VOXELS,
    MARGIN_MM,
    LogitMap,
    coarse_pass,
    fine_box,
    fine_pass,
    keep_organ,
    margin_of,
    onto_scan,
    segment_spleen,
    volume_interval,
)
from SpleenVolumeLib.segmentation import SPLEEN as SPLEEN_CLASS

few = settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def segment(volume: Volume, logit: float = 1.0) -> dict[str, Mask]:
    networks = {"coarse": Thresholds(), "fine": Thresholds()}
    return {mask.name: mask for mask in segment_spleen(volume, networks, logit, silent, Stopwatch())}


def turned(grid: Grid, degrees: float, tilt: float, flips: tuple[bool, ...], order: tuple[int, ...]) -> Grid:
    """The lattice about its own middle: turned about R + A + S, its slices sheared, axes flipped and swapped."""
    axis = np.cross(np.eye(3), np.ones(3) / np.sqrt(3.0))
    angle = np.radians(degrees)
    turn = np.eye(3) + np.sin(angle) * axis + (1 - np.cos(angle)) * axis @ axis
    columns = turn @ grid.ijk_to_ras[:3, :3]
    columns[:, 2] += np.tan(np.radians(tilt)) * columns[:, 1] * grid.spacing[2] / grid.spacing[1]
    columns = columns[:, order] * np.where(flips, -1.0, 1.0)
    size = np.array(grid.shape[::-1])[list(order)]
    matrix = np.eye(4)
    matrix[:3, :3] = columns
    matrix[:3, 3] = grid.corners_ras().mean(axis=0) - columns @ ((size - 1) / 2.0)
    return Grid(tuple(int(n) for n in size[::-1]), matrix)


def distance_from_surface(organ: Ellipsoid, points: np.ndarray) -> np.ndarray:
    """Distance in mm of points (n, 3) from the surface, to first order; negative inside."""
    away = (points - organ.center) / organ.radii
    radius = np.linalg.norm(away, axis=1)
    return (radius - 1.0) * radius / np.linalg.norm(away / organ.radii, axis=1)


def assert_is(mask: Mask, organ: Ellipsoid, relative: float, distance_mm: float) -> None:
    """The mask has the organ's volume, and no voxel is on the wrong side by more than the distance."""
    assert mask.voxel_volume_ml == pytest.approx(organ.volume_ml, rel=relative)
    distance = distance_from_surface(organ, mask.grid.to_ras(np.argwhere(np.ones(mask.grid.shape, dtype=bool))))
    inside = mask.full().astype(bool).ravel()
    assert distance[inside].max() < distance_mm
    assert distance[~inside].min() > -distance_mm


# --- the whole way ----------------------------------------------------------------------------------------------------


@few
@given(
    st.floats(-25, 25),
    st.sampled_from([0.0, -22.0, 15.0]),
    st.tuples(*[st.booleans()] * 3),
    st.permutations(range(3)),
    st.sampled_from([(1.5, 1.5, 5.0), (2.0, 2.0, 2.0), (3.0, 2.0, 1.2), (1.2, 2.5, 3.0)]),
)
def test_masks_in_any_geometry_have_the_analytic_volume_and_place(degrees, tilt, flips, order, spacing):
    grid = turned(axial_grid(spacing), degrees, tilt, flips, tuple(order))
    masks = segment(scan(grid))
    assert masks["Spleen"].grid.same_as(grid)
    half_voxel = 0.5 * np.linalg.norm(grid.spacing)
    assert_is(masks["Spleen"], SPLEEN, 0.015, half_voxel)
    assert masks["Spleen"].visible
    assert not masks["Liver"].visible
    assert 0.9 < masks["Spleen"].confidence <= 1.0


@pytest.mark.parametrize("slices", [0.5, 8.0])
def test_thin_and_thick_slices(slices: float):
    volume = scan(axial_grid((3.0, 3.0, slices), low=-30, high=98))
    masks = segment(volume)
    assert_is(masks["Spleen"], SPLEEN, 0.02, 0.6 * slices + 1.5)
    interval = masks["Spleen"].volume_ml
    assert interval.lower < masks["Spleen"].voxel_volume_ml < interval.upper


def test_the_whole_liver_is_found_at_the_coarse_spacing():
    masks = segment(scan(axial_grid()))
    assert masks["Liver"].voxel_volume_ml == pytest.approx(LIVER.volume_ml, rel=0.02)


def test_no_spleen_gives_no_spleen_mask_and_runs_no_fine_pass():
    fine = Thresholds()
    masks = segment_spleen(
        scan(axial_grid(), spleens=()), {"coarse": Thresholds(), "fine": fine}, 1.0, silent, Stopwatch()
    )
    assert [mask.name for mask in masks] == ["Liver"]
    assert fine.shapes == []


def test_nothing_at_all_gives_no_mask():
    assert segment(scan(axial_grid(), spleens=(), livers=())) == {}


def test_a_speck_is_not_a_spleen_but_the_smallest_spleen_is():
    assert "Spleen" not in segment(scan(axial_grid(), spleens=[Ellipsoid(SPLEEN.center, (12.0, 12.0, 12.0))]))
    small = Ellipsoid(SPLEEN.center, (20.0, 22.0, 27.0))
    assert small.volume_ml == pytest.approx(50, abs=1)
    assert_is(segment(scan(axial_grid((2.0, 2.0, 3.0)), spleens=[small]))["Spleen"], small, 0.02, 1.8)


def test_small_parts_are_dropped_and_large_ones_kept():
    """A second part of a fifth of the largest and more stays; a few bright voxels do not."""
    second = Ellipsoid((-85.0, 48.0, 30.0), (24.0, 20.0, 26.0))
    speck = Ellipsoid((-20.0, -40.0, 40.0), (9.0, 9.0, 9.0))
    masks = segment(scan(axial_grid((2.0, 2.0, 2.0)), spleens=[SPLEEN, second, speck]))
    assert second.volume_ml > 0.2 * SPLEEN.volume_ml
    whole = SPLEEN.volume_ml + second.volume_ml
    assert masks["Spleen"].voxel_volume_ml == pytest.approx(whole, rel=0.02)
    masks = segment(scan(axial_grid((2.0, 2.0, 2.0)), spleens=[SPLEEN, speck]))
    assert masks["Spleen"].voxel_volume_ml == pytest.approx(SPLEEN.volume_ml, rel=0.02)


@pytest.mark.parametrize("slices", [0.5, 1.0, 2.0, 3.0, 5.0])
@pytest.mark.parametrize("end", ["top", "bottom"])
def test_a_spleen_cut_by_the_scan_reaches_its_last_slice(slices: float, end: str):
    """Else the mask would end short of the edge and nobody would be told that the spleen is cut."""
    # Odd numbers of slices do not divide into the blocks that the networks' spacing averages.
    low, high = (-60.0, 30.0 + slices) if end == "top" else (30.0 - slices, 120.0)
    volume = scan(axial_grid((3.0, 3.0, slices), low, high))
    masks = segment(volume)
    assert cut_sides(volume, masks["Spleen"]) == [end]
    assert cut_sides(volume, masks["Liver"]) == [end]
    expected = float(SPLEEN.share(volume.grid).sum()) * volume.grid.voxel_volume_ml
    assert masks["Spleen"].voxel_volume_ml == pytest.approx(expected, rel=0.025)


def test_a_spleen_cut_on_the_left_side_of_an_oblique_scan_reaches_the_side():
    grid = turned(axial_grid((0.9, 2.0, 3.0)), 12.0, 0.0, (False, False, False), (0, 1, 2))
    box = (slice(0, grid.shape[0]), slice(0, grid.shape[1]), slice(71, grid.shape[2]))
    volume = scan(grid.sub_grid(box))
    assert cut_sides(volume, segment(volume)["Spleen"]) == ["left side"]


def test_a_huge_spleen_is_drawn_on_a_coarser_lattice_within_the_promised_memory():
    huge = Ellipsoid((-20.0, 0.0, 0.0), (115.0, 80.0, 180.0))
    assert huge.volume_ml > 3000
    grid = axial_grid((4.0, 4.0, 5.0), low=-200, high=200)
    volume = scan(grid, spleens=[huge], livers=[])
    fine = Thresholds()
    masks = segment_spleen(volume, {"coarse": Thresholds(), "fine": fine}, 1.0, silent, Stopwatch())
    assert_is(masks[0], huge, 0.02, 3.8)
    (shape,) = fine.shapes
    assert np.prod(shape) < 1.35 * LARGEST_FINE_VOXELS
    # Without the bound the lattice would have had this many voxels.
    extent = 2 * np.array(huge.radii) + 2 * MARGIN_MM
    assert np.prod(extent / FINE.spacing) > LARGEST_FINE_VOXELS


# --- the steps --------------------------------------------------------------------------------------------------------


def test_the_fine_lattice_holds_the_spleen_with_its_margin():
    coarse = coarse_pass(scan(axial_grid()), Thresholds())
    grid = fine_box(coarse[SPLEEN_CLASS])
    assert np.allclose(grid.spacing, FINE.spacing)
    assert all(n % FINE.multiple == 0 for n in grid.shape)
    low, high = grid.corners_ras().min(axis=0), grid.corners_ras().max(axis=0)
    slack = 0.75 * COARSE.spacing
    for side in (np.array(SPLEEN.center) - SPLEEN.radii - low, high - np.array(SPLEEN.center) - SPLEEN.radii):
        assert np.all(side > MARGIN_MM - slack)


def test_fine_pass_reads_only_what_it_needs_and_fills_the_rest_with_air():
    volume = scan(axial_grid(low=-10, high=60))
    grid = fine_box(coarse_pass(volume, Thresholds())[SPLEEN_CLASS])
    seen = []

    def network(image: np.ndarray) -> np.ndarray:
        seen.append(image)
        return Thresholds()(image)

    fine = fine_pass(volume, grid, network)
    assert fine[SPLEEN_CLASS].margin.shape == grid.shape == seen[0].shape[2:]
    heights = grid.to_ras(np.array([[k, 0, 0] for k in range(grid.shape[0])]))[:, 2]
    outside = (heights < -10.1) | (heights > 60.1)
    assert outside.any()
    assert np.all(seen[0][0, 0][outside] == -1.0)


def test_margin_is_the_log_odds_of_one_class():
    logits = np.random.default_rng(0).normal(0, 5, (3, 4, 5, 6)).astype(np.float32)
    probability = np.exp(logits.astype(float)) / np.exp(logits.astype(float)).sum(axis=0)
    for organ in range(3):
        p = probability[organ]
        np.testing.assert_allclose(margin_of(logits, organ), np.log(p / (1 - p)), atol=1e-3)
    far = np.array([-3e4, 3e4, 0.0], dtype=np.float32).reshape(3, 1, 1, 1)
    assert np.isfinite(margin_of(far, 0)).all()


def test_keep_organ_pushes_out_what_is_small():
    margin = np.full((20, 20, 20), -5.0, dtype=np.float32)
    margin[2:10, 2:10, 2:10] = 3.0  # 512 voxels
    margin[12:16, 12:16, 12:16] = 2.0  # 64: an eighth
    kept = keep_organ(margin, share=0.1)
    np.testing.assert_array_equal(kept, margin)
    kept = keep_organ(margin, share=0.2)
    assert kept[13, 13, 13] == FAR_OUTSIDE
    assert np.count_nonzero(kept > 0) == 512
    assert kept.dtype == np.float32
    empty = np.full((4, 4, 4), -1.0, dtype=np.float32)
    assert keep_organ(empty, 0.1) is empty


def test_later_parts_overrule_earlier_ones_inside_their_lattice():
    """The coarse liver is redrawn by the fine one where that looked, and stays elsewhere."""
    whole = Grid((20, 20, 20), np.diag([2.0, 2.0, 2.0, 1.0]))
    coarse = np.full(whole.shape, 4.0, dtype=np.float32)
    part = whole.sub_grid((slice(5, 15),) * 3)
    fine = LogitMap(np.full(part.shape, -4.0, dtype=np.float32), part)
    mask = onto_scan([LogitMap(coarse, whole), fine], whole, "Liver", visible=False).full()
    assert mask[6:14, 6:14, 6:14].sum() == 0
    assert mask.sum() == 20**3 - 10**3


def test_onto_scan_of_nothing_is_an_empty_mask():
    grid = Grid((4, 5, 6), np.eye(4))
    nothing = LogitMap(np.full((4, 4, 4), -1.0, dtype=np.float32), Grid((4, 4, 4), np.eye(4)))
    assert onto_scan([nothing], grid, "Spleen", visible=True).is_empty
    away = np.eye(4)
    away[:3, 3] = 500.0
    elsewhere = LogitMap(np.ones((4, 4, 4), dtype=np.float32), Grid((4, 4, 4), away))
    assert onto_scan([elsewhere], grid, "Spleen", visible=True).is_empty


def test_the_interval_widens_with_the_log_odds_and_holds_the_volume():
    volume = scan(axial_grid((2.0, 2.0, 2.0)))
    grid = fine_box(coarse_pass(volume, Thresholds())[SPLEEN_CLASS])
    fine = fine_pass(volume, grid, Thresholds())[SPLEEN_CLASS]
    narrow, wide = (volume_interval(fine, 234.0, logit) for logit in (0.5, 3.0))
    assert wide.lower < narrow.lower < 234.0 < narrow.upper < wide.upper
    none = volume_interval(fine, 234.0, 0.0)
    assert (none.lower, none.upper) == (234.0, 234.0)


def test_progress_goes_forward_and_can_stop_the_run():
    told: list[float] = []

    def progress(fraction: float, message: str) -> None:
        told.append(fraction)
        if fraction > 0.3:
            raise KeyboardInterrupt

    fine = Thresholds()
    with pytest.raises(KeyboardInterrupt):
        segment_spleen(scan(axial_grid()), {"coarse": Thresholds(), "fine": fine}, 1.0, progress, Stopwatch())
    assert told == sorted(told)
    assert fine.shapes == []


def test_the_phantom_is_what_its_formulas_say():
    """Everything above rests on it."""
    grid = turned(axial_grid((2.0, 1.5, 3.0)), 20.0, -15.0, (True, False, True), (2, 0, 1))
    for organ in (SPLEEN, LIVER):
        assert float(organ.share(grid).sum()) * grid.voxel_volume_ml == pytest.approx(organ.volume_ml, rel=0.004)
    assert phantoms.scan(grid).array.max() == phantoms.SPLEEN_HU
