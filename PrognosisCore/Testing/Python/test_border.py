"""Where a network's border lies against the truth, and the interval made from it: on spheres that are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from PrognosisLib.learning.border import FEWEST, LEVEL, UNMEASURED, border_shift, calibrated_interval
from PrognosisLib.slicewise.onto_scan import FAR_OUTSIDE
from PrognosisLib.volume import Grid

RADIUS = 20.0
TRUE_ML = 4 / 3 * np.pi * RADIUS**3 / 1000


def grid_of(spacing: tuple[float, float, float] = (1.0, 1.0, 1.0), tilt: float = 0.0) -> Grid:
    matrix = np.diag([*spacing, 1.0])
    matrix[1, 2] = spacing[2] * np.tan(np.radians(tilt))
    size = np.ceil(60 / np.array(spacing)).astype(int)
    matrix[:3, 3] = -matrix[:3, :3] @ ((size - 1) / 2)
    return Grid(tuple(size[::-1]), matrix)


def sphere(grid: Grid, radius: float, slope: float = 1.0) -> np.ndarray:
    """Log-odds that fall by `slope` for each mm from the center, 0 at `radius`; ruled out from 8 mm beyond it."""
    points = grid.to_ras(np.indices(grid.shape).reshape(3, -1).T)
    distance = np.linalg.norm(points, axis=1).reshape(grid.shape)
    return np.where(distance > radius + 8, FAR_OUTSIDE, slope * (radius - distance)).astype(np.float32)


@pytest.mark.parametrize("grid", [grid_of(), grid_of((0.8, 0.8, 2.5)), grid_of((1.0, 1.0, 2.0), tilt=15.0)])
@pytest.mark.parametrize("error_mm", [-2.0, -0.5, 0.5, 2.0])
@pytest.mark.parametrize("slope", [0.5, 2.0])
def test_a_border_that_lies_outside_gives_positive_shift_and_distance(grid: Grid, error_mm: float, slope: float):
    shift, distance = border_shift(sphere(grid, RADIUS + error_mm, slope), TRUE_ML, grid)
    # The voxels of a sphere enclose its volume within some hundredths of a mm of its radius.
    assert shift == pytest.approx(slope * error_mm, abs=0.15 * slope)
    found = RADIUS + error_mm
    wanted = (found**3 - RADIUS**3) / (3 * found**2)  # volume error by the surface that was found
    assert distance == pytest.approx(wanted, rel=0.08, abs=0.06)


def test_a_border_at_the_truth_gives_next_to_nothing():
    grid = grid_of()
    margin = sphere(grid, RADIUS)
    true_ml = np.count_nonzero(margin > 0) * grid.voxel_volume_ml
    shift, distance = border_shift(margin, true_ml, grid)
    assert -0.1 < shift <= 0
    assert distance == pytest.approx(0, abs=1e-9)


def test_the_shifted_border_encloses_the_true_volume():
    grid = grid_of((1.0, 1.0, 1.5))
    margin = sphere(grid, RADIUS + 1.3) + np.random.default_rng(0).normal(0, 0.3, grid.shape).astype(np.float32)
    shift, _ = border_shift(margin, TRUE_ML, grid)
    assert np.count_nonzero(margin > shift) == round(TRUE_ML / grid.voxel_volume_ml)


def test_a_truth_beyond_what_is_not_ruled_out_gives_the_lowest_log_odds():
    grid = grid_of()
    margin = sphere(grid, RADIUS)
    shift, distance = border_shift(margin, 1000.0, grid)
    assert shift == margin[margin > FAR_OUTSIDE].min() < -7
    assert distance < -100


def test_nothing_to_find_and_nothing_found_give_none():
    grid = grid_of((3.0, 3.0, 3.0))
    margin = sphere(grid, RADIUS)
    assert border_shift(margin, 0.0, grid) is None
    assert border_shift(np.full(grid.shape, -1.0, np.float32), TRUE_ML, grid) is None
    assert border_shift(np.full(grid.shape, FAR_OUTSIDE, np.float32), TRUE_ML, grid) is None


# --- the interval -----------------------------------------------------------------------------------------------------


def test_too_few_cases_calibrate_nothing():
    some = [(0.2, 0.1)] * (FEWEST - 1)
    for found in ([], [None] * 5, some, [None, *some, None]):
        assert calibrated_interval(found) == UNMEASURED
    calibrated_interval([])["n"] = 7
    assert UNMEASURED["n"] == 0


def test_the_interval_of_known_shifts():
    found = [(1.0, 0.1), None, (-2.0, -0.2), (2.0, 0.4)]
    interval = calibrated_interval(found)
    assert list(interval) == ["logit", "boundary_mm", "level", "n", "covers_when_left_out"]
    assert (interval["level"], interval["n"]) == (LEVEL, 3)
    # Student's t with 3 degrees of freedom: 3.182 times the root mean square.
    assert interval["logit"] == pytest.approx(3.182 * np.sqrt(3), abs=2e-3)
    assert interval["boundary_mm"] == pytest.approx(3.182 * np.sqrt(0.07), abs=2e-3)
    assert calibrated_interval(found[::-1]) == interval


def test_cases_that_others_do_not_cover_are_counted():
    assert calibrated_interval([(0.1, 0.1)] * 4)["covers_when_left_out"] == "4 of 4"
    outlier = [(0.1, 0.1), (-0.1, 0.1), (0.1, 0.1), (3.0, 0.1)]
    assert calibrated_interval(outlier)["covers_when_left_out"] == "3 of 4"
    pairs = [(0.1, 0.1), (0.1, 0.1), (5.0, 0.1), (5.0, 0.1), None]
    assert calibrated_interval(pairs)["covers_when_left_out"] == "4 of 4"


def test_new_cases_lie_in_the_interval_as_often_as_it_says():
    rng = np.random.default_rng(1)
    held = []
    for _ in range(2000):
        shifts, new = rng.normal(0, 0.7, 6), rng.normal(0, 0.7)
        logit = calibrated_interval([(shift, 0.1) for shift in shifts])["logit"]
        held.append(abs(new) <= logit)
    assert stats.binomtest(sum(held), len(held), LEVEL).pvalue > 0.001
