"""The slice features that stay with an edited mask, and the areas of a mask in the slabs that they belong to."""

from __future__ import annotations

import json

import numpy as np
import pytest

from PrognosisLib.simulation.shapes import rotation
from PrognosisLib.slicewise.evidence import SliceEvidence, slab_areas
from PrognosisLib.slicewise.lattice import slice_grid, to_slabs
from PrognosisLib.volume import Grid, Volume

FEATURES = 6
SLAB_MM, PIXEL_MM = 5.5, 1.0

# --- text -------------------------------------------------------------------------------------------------------------


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
    volume = Volume(np.zeros(grid.shape, np.float32), grid.ijk_to_ras)
    slabs = slice_grid(*to_slabs(volume, SLAB_MM, PIXEL_MM), grid.corners_ras(), PIXEL_MM)
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


def test_what_lies_beyond_the_slabs_is_in_none():
    """As where another scan, which ends in the middle of the organ, has the mask: its last slab gets its own share."""
    scan = lattice((0.9, 0.9, 5.0), (60, 60, 12))
    evidence = slab_evidence(scan)
    mask = np.ones((30, 10, 10), bool)
    for part, filled in ((slice(None), 12), (slice(0, 15), 6), (slice(24, 30), 0)):
        matrix = scan.ijk_to_ras.copy()
        matrix[:3, 3] -= 9 * matrix[:3, 2]  # 9 slices below the scan, 12 in it, 9 above
        kept = np.zeros_like(mask)
        kept[part] = True
        areas = slab_areas(kept, (0, 0, 0), matrix, evidence)
        assert np.count_nonzero(areas) == filled
        np.testing.assert_allclose(areas[areas > 0], 100 * 0.9 * 0.9)


def test_an_empty_mask_has_no_areas():
    evidence = slab_evidence(lattice((0.9, 0.9, 5.0), (60, 60, 12)))
    assert not slab_areas(np.zeros((0, 0, 0), bool), (0, 0, 0), np.eye(4), evidence).any()
