"""The capsule: its length against circles and lines, its band, and the share of a Grad-CAM on it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from fibrosis_cases import (
    FRAMES,
    LIVER_RADIUS_MM,
    SHAPE,
    attention,
    lattice,
    liver,
    round_liver,
    sector_mask,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from FibrosisVideoLib.measuring.capsule import BAND_MM, BAND_SHARE, capsule_lengths_mm, capsule_share, inner_sector
from FibrosisVideoLib.measuring.evidence import Plane
from PrognosisLib.findings import Mask
from PrognosisLib.volume import Grid

EVERYWHERE = Plane(np.ones(SHAPE, bool), lattice(1))


def a_mask(plane: np.ndarray, row: float, column: float) -> Mask:
    return Mask.from_full("Liver", plane[None], Grid((1, *plane.shape), np.diag([-column, -row, 1.0, 1.0])))


@settings(deadline=None, max_examples=60)
@given(st.floats(0.4, 1.6), st.floats(0.4, 1.6), st.floats(20, 30), st.floats(-0.5, 0.5), st.floats(-0.5, 0.5))
def test_the_length_of_a_circle(row, column, radius, y, x):
    j, i = np.indices((180, 180))
    disk = np.hypot((j - 90 - y) * row, (i - 90 - x) * column) <= radius
    (length,) = capsule_lengths_mm(a_mask(disk, row, column), None)
    assert length == pytest.approx(2 * math.pi * radius, rel=0.05)


@settings(deadline=None, max_examples=40)
@given(st.floats(0, math.pi))
def test_the_length_of_a_line_at_any_angle(angle):
    j, i = np.indices((201, 201)) - 100.0
    half = j * math.cos(angle) - i * math.sin(angle) > 0
    half &= np.hypot(j, i) <= 80
    arc = math.pi * 80
    (length,) = capsule_lengths_mm(a_mask(half, 1.0, 1.0), None)
    assert length == pytest.approx(arc + 160, rel=0.08)


def test_where_the_mask_ends_with_the_sector_is_no_capsule():
    """All of the sector as mask has no capsule; its upper half has one line, the lower border of that half."""
    plane = sector_mask()
    whole = a_mask(plane, 1.0, 1.0)
    sector = Plane(sector_mask(), np.diag([-1.0, -1.0, 1.0, 1.0]))
    assert capsule_lengths_mm(whole, sector) == pytest.approx([0.0])
    upper = plane.copy()
    upper[70:] = False
    (length,) = capsule_lengths_mm(a_mask(upper, 1.0, 1.0), sector)
    inner = inner_sector(whole, sector)[70]
    # A straight line along a side of the lattice comes out up to 12 % too long or short.
    assert length == pytest.approx(np.count_nonzero(inner), rel=0.12)
    assert np.count_nonzero(inner) < np.count_nonzero(plane[70])


def test_a_mask_at_the_border_of_the_frame_ends_without_capsule():
    plane = np.zeros((40, 60), bool)
    plane[:, :30] = True
    (length,) = capsule_lengths_mm(a_mask(plane, 1.0, 1.0), None)
    assert length == pytest.approx(40, rel=0.12)


def test_the_sector_is_laid_on_the_lattice_of_the_mask():
    inner = inner_sector(liver(), Plane(sector_mask(), lattice(1)))
    fine = np.kron(inner, np.ones((2, 2), bool))
    assert not np.any(fine & ~sector_mask())
    assert inner.sum() * 4 > 0.85 * sector_mask().sum()
    assert inner_sector(liver(), None).all()


# --- the share on the band --------------------------------------------------------------------------------------------


def band_of_liver(shape: tuple[int, int]) -> np.ndarray:
    return round_liver(shape, LIVER_RADIUS_MM + BAND_MM) & ~round_liver(shape, LIVER_RADIUS_MM - BAND_MM)


def test_a_map_that_is_even_over_the_liver_and_its_rim():
    """The rim here is as wide as the band, as far as coarse cells can tell."""
    around = round_liver((20, 24), LIVER_RADIUS_MM + BAND_MM)
    found = capsule_share(liver(), attention(around), Plane(sector_mask(), lattice(1)), True)
    inner, outer = (LIVER_RADIUS_MM + sign * BAND_MM for sign in (-1, 1))
    assert found.even == pytest.approx(1 - (inner / outer) ** 2, rel=0.05)
    for share in found.shares.values():
        assert share == pytest.approx(found.even, rel=0.1)


def test_a_map_that_is_even_over_the_image_has_the_bands_part_of_the_sector():
    found = capsule_share(liver(), attention(), Plane(sector_mask(), lattice(1)), True)
    expected = (band_of_liver(SHAPE) & sector_mask()).sum() / sector_mask().sum()
    for share in found.shares.values():
        assert share == pytest.approx(expected, rel=0.1)


def test_a_map_on_the_capsule_has_a_large_share_and_one_inside_hardly_any():
    near = capsule_share(liver(), attention(band_of_liver((20, 24))), EVERYWHERE, True)
    inside = capsule_share(liver(), attention(round_liver((20, 24), 18)), EVERYWHERE, True)
    assert min(near.shares.values()) > 0.7
    assert max(inside.shares.values()) < 0.02
    assert near.even == pytest.approx(inside.even)


def test_only_frames_with_a_mask_have_a_band():
    half = liver(frames=slice(0, FRAMES // 2))
    whole = capsule_share(liver(), attention(), EVERYWHERE, True)
    part = capsule_share(half, attention(), EVERYWHERE, True)
    assert part.even == pytest.approx(whole.even)
    assert part.shares["3d"] == pytest.approx(whole.shares["3d"] / 2)
    assert capsule_share(liver(frames=slice(1, 2)), attention(), EVERYWHERE, True) is None


def test_an_edited_mask_moves_the_band():
    hot = attention(band_of_liver((20, 24)))
    small = capsule_share(liver(radius_mm=15), hot, EVERYWHERE, True)
    assert max(small.shares.values()) < 0.1


def test_a_network_whose_map_is_empty_has_no_share():
    maps = attention()
    maps.maps["2d"] = np.zeros_like(maps.maps["2d"])
    assert set(capsule_share(liver(), maps, EVERYWHERE, True).shares) == {"3d", "lstm"}


def test_without_the_size_of_a_pixel_the_band_follows_the_sector():
    sector = Plane(sector_mask(), lattice(1, None))
    found = capsule_share(liver(pixel_mm=None), attention(pixel_mm=None), sector, False)
    height = np.flatnonzero(sector_mask().any(axis=1)).size
    around = 2 * math.sqrt(math.pi * round_liver(SHAPE).sum())
    assert found.shares["3d"] == pytest.approx(around * 2 * BAND_SHARE * height / sector_mask().sum(), rel=0.15)
