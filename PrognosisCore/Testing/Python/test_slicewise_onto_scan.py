"""From log-odds on the slice lattice to a mask on the scan's own voxels, with the interval of its volume."""

from __future__ import annotations

import numpy as np
import pytest

from PrognosisLib.findings import Mask
from PrognosisLib.simulation.shapes import rotation
from PrognosisLib.slicewise.lattice import slice_grid, to_slabs
from PrognosisLib.slicewise.onto_scan import FAR_OUTSIDE, onto_scan
from PrognosisLib.volume import Grid, Volume

SLAB_MM, PIXEL_MM = 5.5, 1.0
RADIUS = 18.0


def scan_grid(slice_mm: float = 5.0, slices: int = 14, tilt: float = 0.0, turn=(0.0, 0.0, 0.0), flip: bool = False):
    """A scan around the origin of RAS."""
    columns = np.diag([0.9, 0.9, slice_mm])
    columns[:, 1] = 0.9 * np.array([0.0, np.cos(np.radians(tilt)), np.sin(np.radians(tilt))])
    columns = rotation(turn) @ columns * np.where(flip, -1.0, 1.0)
    matrix = np.eye(4)
    matrix[:3, :3] = columns
    matrix[:3, 3] = -columns @ ((np.array([80, 90, slices]) - 1) / 2.0)
    return Grid((slices, 90, 80), matrix)


def lattice_of(scan: Grid) -> Grid:
    volume = Volume(np.zeros(scan.shape, np.float32), scan.ijk_to_ras)
    return slice_grid(*to_slabs(volume, SLAB_MM, PIXEL_MM), scan.corners_ras(), PIXEL_MM)


def ball(grid: Grid, center=(4.0, -6.0, 0.0)) -> np.ndarray:
    """Log-odds (k, j, i) of a ball, one unit for each mm of depth."""
    points = grid.to_ras(np.argwhere(np.ones(grid.shape, bool)))
    return (RADIUS - np.linalg.norm(points - np.asarray(center), axis=1)).reshape(grid.shape).astype(np.float32)


def drawn(scan: Grid, shift: float = 1.0, center=(4.0, -6.0, 0.0)) -> Mask:
    lattice = lattice_of(scan)
    return onto_scan(ball(lattice, center), lattice, scan, "Ball", shift)


@pytest.mark.parametrize(
    "scan",
    [
        {},
        {"flip": True},
        {"tilt": 18.0},
        {"turn": (8.0, -6.0, 15.0), "flip": True},
        {"slice_mm": 1.0, "slices": 64},
        {"slice_mm": 7.0, "tilt": -15.0},
    ],
)
def test_a_ball_is_where_it_was_seen(scan):
    grid = scan_grid(**scan)
    mask, truth = drawn(grid), ball(grid) > 0
    assert mask.grid is grid
    found = mask.full().astype(bool)
    assert 2 * np.count_nonzero(found & truth) / (np.count_nonzero(found) + np.count_nonzero(truth)) > 0.95
    assert mask.volume_ml.lower < mask.voxel_volume_ml < mask.volume_ml.upper
    assert 0.5 < mask.confidence <= 1.0
    assert found[mask.box].sum() == found.sum()


def test_the_interval_is_the_volume_at_the_shifted_log_odds():
    """One unit for each mm: the ends are balls with a radius larger and smaller by the shift."""
    grid = scan_grid(slice_mm=2.0, slices=40)
    for shift in (0.0, 1.0, 3.0):
        mask = drawn(grid, shift)
        wanted = [4 / 3 * np.pi * (RADIUS - s) ** 3 / 1000 for s in (shift, -shift)]
        assert (mask.volume_ml.lower, mask.volume_ml.upper) == pytest.approx(wanted, rel=0.03)


def test_the_outer_half_of_the_last_slab_belongs_to_it():
    grid = scan_grid(slice_mm=1.0, slices=40)
    top = grid.corners_ras()[:, 2].max()
    found = drawn(grid, center=(0.0, 0.0, top)).full()
    assert found[-1].sum() == pytest.approx(np.pi * RADIUS**2 / 0.81, rel=0.1)


def test_further_fields_go_into_the_mask():
    grid = scan_grid()
    lattice = lattice_of(grid)
    for margin in (ball(lattice), np.full(lattice.shape, FAR_OUTSIDE, np.float32)):
        mask = onto_scan(margin, lattice, grid, "Ball", 1.0, solid=False, evidence="seen")
        assert (mask.name, mask.solid, mask.evidence) == ("Ball", False, "seen")


def test_nothing_gives_an_empty_mask_on_the_scan():
    grid = scan_grid()
    lattice = lattice_of(grid)
    for margin in (np.full(lattice.shape, FAR_OUTSIDE), np.full(lattice.shape, -0.5)):
        mask = onto_scan(margin.astype(np.float32), lattice, grid, "Ball", 1.0)
        assert mask.is_empty
        assert mask.grid is grid
        assert mask.volume_ml is None
