"""The networks' lattice: means and places stay, whatever the size of a frame's pixels; and what a frame must show."""

from __future__ import annotations

import numpy as np
import pytest
from cine_cases import APEX, RADII, film
from hypothesis import given, settings
from hypothesis import strategies as st

from PrognosisLib.framewise.frames import (
    DARK_GRAY,
    FEWEST_LIVER_CM2,
    SMALLEST_PIECE,
    frame_reason,
    gray_scale,
    keep_pieces,
    lattice_frames,
    liver_facts,
)
from PrognosisLib.framewise.lattice import FACE, PIXEL_MM, SHAPE, USUAL_DEPTH_MM, FrameLattice, averaging, to_input
from PrognosisLib.images.cine.cine import ArrayFrames, Cine, steady_times
from PrognosisLib.images.cine.screen import Screen, find_screen
from PrognosisLib.images.cine.sector import Sector

PIXELS = st.tuples(st.floats(0.15, 2.5), st.floats(0.15, 2.5))
quick = settings(deadline=None, max_examples=40)


def convex(shape: tuple[int, int], face: tuple[float, float], radius: float = 60.0) -> Screen:
    """A screen whose whole frame is the image of a convex probe with the middle of its face at (j, i)."""
    mask = np.ones(shape, bool)
    apex = (face[1], face[0] - radius)
    return Screen(Sector("convex", mask, apex, (radius, radius + 200.0), (-30.0, 30.0)), np.zeros(shape, bool), False)


def cine_of(frames: np.ndarray, pixel_mm: tuple[float, float] | None) -> Cine:
    return Cine(ArrayFrames(frames), steady_times(len(frames), 0.1), pixel_mm, burned_in=False)


# --- averaging --------------------------------------------------------------------------------------------------------


@quick
@given(st.integers(5, 60), st.integers(20, 300), st.floats(-20, 40), st.floats(0.2, 6))
def test_averaging_keeps_means_and_places(count, pixels, start, step):
    matrix = averaging(count, pixels, start, step).astype(float)
    assert matrix.shape == (count, pixels)
    assert matrix.min() >= 0
    centers, reach = start + step * np.arange(count), max(step, 1.0)
    inside = (centers - (reach + 1) / 2 >= 0) & (centers + (reach + 1) / 2 <= pixels - 1)
    np.testing.assert_allclose(matrix[inside].sum(axis=1), 1.0, atol=1e-5)
    found = matrix[inside] @ np.arange(pixels)
    np.testing.assert_allclose(found, centers[inside], atol=1e-3 if step <= 1 else 0.15)
    outside = (centers + (reach + 1) / 2 < 0) | (centers - (reach + 1) / 2 > pixels - 1)
    assert np.all(matrix[outside] == 0)


@quick
@given(st.floats(1.0, 6.0), st.integers(0, 1000))
def test_averaging_keeps_the_sum_of_what_lies_inside(step, seed):
    values = np.zeros(200)
    values[60:140] = np.random.default_rng(seed).uniform(0, 255, 80)
    matrix = averaging(int(200 / step), 200, step / 2 - 0.5, step).astype(float)
    assert (matrix @ values).sum() * step == pytest.approx(values.sum(), rel=0.02)


# --- the lattice ------------------------------------------------------------------------------------------------------


@quick
@given(PIXELS, st.floats(5, 60), st.floats(40, 200), st.integers(20, 140), st.integers(10, 180))
def test_the_lattice_lies_where_its_grid_says(pixel_mm, face_row, face_column, row, column):
    """A bright spot of the frame is found at the lattice's pixel that has the same place on Cine.grid."""
    shape = (260, 280)
    to_frame = np.array([face_row + (row - FACE[0]) * PIXEL_MM / pixel_mm[0], 0.0])
    to_frame[1] = face_column + (column - FACE[1]) * PIXEL_MM / pixel_mm[1]
    j, i = np.indices(shape)
    spread = 1.5 * PIXEL_MM / np.array(pixel_mm)
    frame = np.exp(-0.5 * (((j - to_frame[0]) / spread[0]) ** 2 + ((i - to_frame[1]) / spread[1]) ** 2))
    cine = cine_of(np.zeros((3, *shape), np.uint8), pixel_mm)
    lattice = FrameLattice.of(cine, convex(shape, (face_row, face_column)))
    assert lattice.is_mm
    on_frame = np.linalg.inv(cine.grid.ijk_to_ras) @ lattice.grid(3).ijk_to_ras @ (column, row, 2, 1)
    np.testing.assert_allclose(on_frame[:3], (to_frame[1], to_frame[0], 2), atol=1e-6)
    np.testing.assert_allclose(lattice.grid(3).spacing[:2], PIXEL_MM)
    if np.all((to_frame > 4 * spread) & (to_frame < np.array(shape) - 1 - 4 * spread)):
        seen = lattice(frame)
        assert seen.shape == SHAPE
        total = seen.sum()
        rows, columns = np.indices(SHAPE)
        assert (rows * seen).sum() / total == pytest.approx(row, abs=0.2)
        assert (columns * seen).sum() / total == pytest.approx(column, abs=0.2)


def test_cells_lie_in_the_middle_of_their_pixels():
    cine = cine_of(np.zeros((2, 100, 120), np.uint8), (0.5, 0.7))
    lattice = FrameLattice.of(cine, convex((100, 120), (8.0, 60.0)))
    pixels, cells = lattice.grid(2), lattice.cells(2, 8)
    assert cells.shape == (2, 20, 24)
    rows, columns = np.mgrid[16:24, 40:48]
    expected = np.mean([pixels.ijk_to_ras @ (i, j, 1, 1) for j, i in zip(rows.flat, columns.flat, strict=True)], axis=0)
    np.testing.assert_allclose(cells.ijk_to_ras @ (5, 2, 1, 1), expected, atol=1e-9)


def test_the_face_of_a_film_in_a_sector_is_where_the_networks_expect_it():
    cine = cine_of(film(), (0.9, 0.9))
    screen = find_screen(cine)
    assert screen.sector.kind == "convex"
    lattice = FrameLattice.of(cine, screen)
    to_frame = np.linalg.inv(cine.grid.ijk_to_ras) @ lattice.ijk_to_ras
    face = to_frame @ (FACE[1], FACE[0], 0, 1)
    np.testing.assert_allclose(face[:2], (APEX[0], APEX[1] + RADII[0]), atol=2.5)


@pytest.mark.parametrize("kind", ["convex", "linear"])
def test_a_film_without_the_size_of_its_pixels_is_as_deep_as_is_usual(kind):
    screen = convex((200, 220), (10.0, 110.0))
    if kind == "linear":
        mask = np.zeros((200, 220), bool)
        mask[20:180, 30:190] = True
        screen = Screen(Sector("linear", mask), np.zeros((200, 220), bool), False)
    lattice = FrameLattice.of(cine_of(np.zeros((2, 200, 220), np.uint8), None), screen)
    assert not lattice.is_mm
    depth = 200.0 if kind == "convex" else 160.0
    face = (10.0, 110.0) if kind == "convex" else (20.0, 109.5)
    to_frame = np.linalg.inv(np.diag([-1.0, -1.0, 1.0, 1.0])) @ lattice.ijk_to_ras
    np.testing.assert_allclose((to_frame @ (FACE[1], FACE[0], 0, 1))[[1, 0]], face, atol=1e-6)
    deepest = to_frame @ (FACE[1], FACE[0] + USUAL_DEPTH_MM / PIXEL_MM, 0, 1)
    assert deepest[1] - face[0] == pytest.approx(depth)


# --- frames -----------------------------------------------------------------------------------------------------------


def test_frames_come_in_batches_with_their_numbers_and_gray_values():
    frames = np.arange(7, dtype=np.uint8)[:, None, None] * 20 + np.zeros((1, 200, 240), np.uint8)
    cine = cine_of(frames, (1.1, 1.1))
    screen = convex((200, 240), (12.0, 120.0))
    lattice = FrameLattice.of(cine, screen)
    parts = list(lattice_frames(cine, screen, lattice, batch=3))
    assert [numbers for numbers, _ in parts] == [[0, 1, 2], [3, 4, 5], [6]]
    for numbers, gray in parts:
        assert gray.shape == (len(numbers), *SHAPE)
        np.testing.assert_allclose(gray[:, 60:120, 60:120], np.array(numbers)[:, None, None] * 20 + np.zeros((60, 60)))


@pytest.mark.parametrize(("top", "scale"), [(255, 1.0), (1023, 255 / 1023), (4000, 255 / 4095), (65535, 255 / 65535)])
def test_deeper_gray_values_are_brought_to_those_of_eight_bits(top, scale):
    frames = np.linspace(0, top, 6 * 40 * 50).reshape(6, 40, 50).astype(np.uint16)
    cine = cine_of(frames if top > 255 else frames.astype(np.uint8), (1.0, 1.0))
    assert gray_scale(cine) == pytest.approx(scale)
    assert top * gray_scale(cine) <= 255.0 + 1e-6


def test_dim_films_of_sixteen_bits_are_not_stretched():
    frames = np.full((4, 40, 50), 40, np.uint16)
    assert gray_scale(cine_of(frames, (1.0, 1.0))) == pytest.approx(1.0)


def test_small_pieces_are_no_liver():
    liver = np.zeros(SHAPE, bool)
    assert np.array_equal(keep_pieces(liver), liver)
    liver[20:60, 20:60] = True
    assert np.array_equal(keep_pieces(liver), liver)
    both = liver.copy()
    both[100:120, 100:120] = True  # a quarter
    assert np.array_equal(keep_pieces(both), both)
    speck = liver.copy()
    speck[100:110, 100 : 100 + int(160 * SMALLEST_PIECE) - 2] = True
    assert np.array_equal(keep_pieces(speck), liver)


def test_why_a_frame_cannot_be_used():
    assert frame_reason(FEWEST_LIVER_CM2, DARK_GRAY) == ""
    assert "liver" in frame_reason(FEWEST_LIVER_CM2 - 0.1, 100.0)
    assert "dark" in frame_reason(50.0, DARK_GRAY - 0.1)
    liver = np.zeros(SHAPE, bool)
    assert liver_facts(liver, np.ones(SHAPE)) == (0.0, 0.0)
    liver[:10, :20] = True
    area, gray = liver_facts(liver, np.where(liver, 80.0, 10.0))
    assert area == pytest.approx(200 * 1.1**2 / 100)
    assert gray == 80.0


def test_the_networks_input_is_linear_in_the_gray_values():
    found = to_input(np.array([0, 96, 255], np.uint8))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [-0.8, 0.2, 255 / 96 - 0.8], atol=1e-6)
