"""The T1 over the T2: known shifts are found on any lattice, two patients differ, and masks and slices move rightly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from phantoms import Ellipsoid
from stiffness_phantoms import LIVER_SHAPE, SPLEEN_SHAPE, moved, read_by_hand, scan_grid

from LiverStiffnessLib.labels import LIVER, LIVER_ON_T1
from LiverStiffnessLib.segmenting.alignment import FARTHEST_MM, align, carried, moved_back
from LiverStiffnessLib.segmenting.mr_checks import DOUBTFUL_LIVER, OTHER_LIVER
from PrognosisLib.findings import Interval, Mask

few = settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
T2_GRID = scan_grid((3.0, 3.0, 7.0))
T1_GRID = scan_grid((3.5, 3.0, 5.0))


@st.composite
def grids(draw):
    """Lattices of axial scans, a little oblique, stored along any axes."""
    return scan_grid(
        (draw(st.floats(1.5, 4.0)), draw(st.floats(1.5, 4.0)), draw(st.floats(3.0, 8.0))),
        flips=tuple(draw(st.booleans()) for _ in range(3)),
        turn=tuple(draw(st.floats(-8, 8)) for _ in range(3)),
        order=draw(st.permutations((0, 1, 2))),
    )


shifts = st.tuples(st.floats(-8, 8), st.floats(-10, 10), st.floats(-22, 22))


def pair(shift, t2=T2_GRID, t1=T1_GRID):
    """The same organs in both images, moved in the second."""
    return read_by_hand(t2), read_by_hand(t1, moved(LIVER_SHAPE, shift), moved(SPLEEN_SHAPE, shift), "T1")


def share_met_unmoved(t2, t1) -> float:
    """Share of the T2's liver that lies in the T1's liver as the images stand."""
    points = t2.slices.grid.to_ras(np.argwhere(t2.margins[LIVER] > 0))
    inverse = np.linalg.inv(t1.slices.ijk_to_ras)
    kji = np.rint(points @ inverse[:3, :3].T + inverse[:3, 3]).astype(int)[:, ::-1]
    inside = np.all((kji >= 0) & (kji < t1.slices.array.shape), axis=1)
    return float((t1.margins[LIVER][tuple(kji[inside].T)] > 0).sum() / len(points))


@few
@given(grids(), grids(), shifts)
def test_a_known_shift_is_found_on_any_lattice(t2, t1, shift):
    """Within 2 mm; through the slices within half a slab, since slabs of equal places tell no more."""
    first, second = pair(shift, t2, t1)
    found = align(first, second)
    slab = second.slices.grid.spacing[2]
    assert (np.abs(found.shift_mm - shift) < (2.0, 2.0, max(2.0, 0.5 * slab + 0.6))).all()
    assert found.liver_dice > DOUBTFUL_LIVER + 0.08
    assert found.spleen_dice > 0.8


@pytest.mark.parametrize("shift", [(0.0, 0.0, 0.0), (2.0, -6.0, 40.0), (-15.0, 12.0, -35.0)])
def test_the_overlap_after_the_shift_is_that_of_one_patient(shift):
    t2, t1 = pair(shift)
    found = align(t2, t1)
    np.testing.assert_allclose(found.shift_mm, shift, atol=2.0)
    assert found.liver_dice > 0.93
    if any(shift):
        assert share_met_unmoved(t2, t1) < found.liver_dice - 0.1


@pytest.mark.parametrize(
    "other",
    [
        Ellipsoid((30.0, 10.0, 15.0), (85.0, 45.0, 32.0)),
        Ellipsoid((60.0, 0.0, 10.0), (38.0, 44.0, 75.0)),
        Ellipsoid((55.0, 0.0, 10.0), (34.0, 40.0, 34.0)),
    ],
    ids=["wide", "long", "small"],
)
def test_two_patients_overlap_poorly(other):
    found = align(read_by_hand(T2_GRID), read_by_hand(T1_GRID, other, SPLEEN_SHAPE, "T1"))
    assert found.liver_dice < OTHER_LIVER


def test_a_shift_beyond_what_breathing_can_do_is_not_taken():
    t2, t1 = pair((60.0, 0.0, 0.0))
    found = align(t2, t1)
    assert (np.abs(found.shift_mm) <= FARTHEST_MM).all()
    assert found.liver_dice < DOUBTFUL_LIVER


def test_only_what_both_images_cover_is_compared():
    """A T1 that ends in the middle of the liver still lies well over the T2's."""
    short = scan_grid((3.5, 3.0, 5.0), (280.0, 200.0, 70.0), center=(0.0, 0.0, -10.0))
    t2, t1 = pair((0.0, 3.0, 6.0), t1=short)
    top = short.corners_ras()[:, 2].max()
    assert top < LIVER_SHAPE.center[2] + 0.5 * LIVER_SHAPE.radii[2]
    assert align(t2, t1).liver_dice > DOUBTFUL_LIVER


def test_images_without_a_place_in_common_have_no_overlap():
    far = scan_grid((3.5, 3.0, 5.0), center=(0.0, 0.0, 800.0))
    away = read_by_hand(far, moved(LIVER_SHAPE, (0, 0, 790)), moved(SPLEEN_SHAPE, (0, 0, 790)), "T1")
    assert not align(read_by_hand(T2_GRID), away).liver_dice > 0.0


def test_no_liver_in_one_image_gives_none():
    t2, t1 = pair((0, 0, 0))
    assert align(read_by_hand(T2_GRID, None), t1) is None
    assert align(t2, read_by_hand(T1_GRID, None, sequence="T1")) is None


def test_a_missing_spleen_leaves_its_overlap_open_and_the_shift_as_it_is():
    t2 = read_by_hand(T2_GRID, spleen=None)
    t1 = read_by_hand(T1_GRID, moved(LIVER_SHAPE, (2, -4, 12)), None, "T1")
    found = align(t2, t1)
    assert np.isnan(found.spleen_dice)
    np.testing.assert_allclose(found.shift_mm, (2, -4, 12), atol=2.0)


# --- what follows from the shift --------------------------------------------------------------------------------------


@few
@given(grids(), shifts)
def test_a_carried_mask_lies_where_the_organ_is_in_the_t1(grid, shift):
    mask = Mask.from_full("Liver", _inside(LIVER_SHAPE, grid), grid, volume_ml=Interval(800.0, 900.0), confidence=0.97)
    there = carried(mask, np.array(shift), LIVER_ON_T1)
    assert (there.name, there.visible, there.confidence) == (LIVER_ON_T1, False, 0.97)
    assert there.volume_ml == mask.volume_ml
    assert there.grid is mask.grid
    way = np.linalg.solve(grid.ijk_to_ras[:3, :3], _middle(there) - _middle(mask) - shift)
    assert np.abs(way).max() < 0.6  # a mask moves by whole voxels
    assert there.voxel_volume_ml == pytest.approx(mask.voxel_volume_ml, rel=0.05)


def test_a_carried_mask_loses_only_what_leaves_the_image():
    mask = Mask.from_full("Liver", _inside(LIVER_SHAPE, T2_GRID), T2_GRID)
    top = T2_GRID.corners_ras()[:, 2].max()
    over = top - (LIVER_SHAPE.center[2] + LIVER_SHAPE.radii[2])
    cut = carried(mask, np.array([0.0, 0.0, over + LIVER_SHAPE.radii[2]]), LIVER_ON_T1)
    assert cut.voxel_volume_ml == pytest.approx(0.5 * mask.voxel_volume_ml, rel=0.1)
    assert carried(mask, np.array([0.0, 0.0, 500.0]), LIVER_ON_T1).is_empty


@few
@given(grids(), shifts)
def test_moved_slices_lie_over_the_t2s_liver(t1_grid, shift):
    _, t1 = pair(shift, t1=t1_grid)
    back = moved_back(t1.evidence, np.array(shift))
    assert back.features is t1.evidence.features
    assert back.shape == t1.evidence.shape
    inside = np.argwhere(t1.margins[LIVER] > 0)[:, ::-1]
    places = inside @ back.ijk_to_ras[:3, :3].T + back.ijk_to_ras[:3, 3]
    np.testing.assert_allclose(places.mean(axis=0), LIVER_SHAPE.center, atol=1.5)


def _inside(shape: Ellipsoid, grid) -> np.ndarray:
    return shape.share(grid) > 0.5


def _middle(mask: Mask) -> np.ndarray:
    return mask.cropped_grid.to_ras(np.argwhere(mask.array)).mean(axis=0)
