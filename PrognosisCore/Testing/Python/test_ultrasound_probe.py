"""Curved array and scan converter: every place of a scan line lands on the pixel that shows it, right side up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from PrognosisLib.simulation.ultrasound.probe import ConvexProbe, Pose, ScanConverter, ScreenGeometry

PROBES = st.builds(
    ConvexProbe,
    radius_mm=st.floats(20, 80),
    half_angle=st.floats(15, 40),
    depth_mm=st.floats(60, 200),
    frequency=st.just(3.5),
    lines=st.integers(8, 40),
    samples=st.integers(10, 60),
)
SHAPES = st.tuples(st.integers(60, 120), st.integers(60, 140))
SMALL = ConvexProbe(50.0, 32.0, 120.0, 3.5, lines=33, samples=60)
quick = settings(deadline=None, max_examples=40)


def turned_pose(seed: int) -> Pose:
    """Any place and orientation."""
    rng = np.random.default_rng(seed)
    axes, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    return Pose(rng.normal(0, 50, 3), axes[0], axes[1])


def pixel_of(probe: ConvexProbe, screen: ScreenGeometry, angle: float, depth: float) -> tuple[float, float]:
    """Where (j, i) a place of the scan is on the screen, from the geometry of a circle."""
    reach = probe.radius_mm + depth
    down, across = reach * np.cos(angle) - probe.radius_mm, reach * np.sin(angle)
    return screen.face_pixel[0] + down / screen.pixel_mm, screen.face_pixel[1] + across / screen.pixel_mm


# --- poses ------------------------------------------------------------------------------------------------------------


@quick
@given(PROBES, st.integers(0, 1000))
def test_points_lie_on_the_lines_of_a_curved_array(probe, seed):
    pose = turned_pose(seed)
    points = probe.points(pose).astype(float)
    assert points.shape == (probe.lines, probe.samples, 3)
    apex = pose.face - probe.radius_mm * pose.forward
    away = points - apex
    reach = np.linalg.norm(away, axis=-1)
    np.testing.assert_allclose(reach, np.broadcast_to(probe.radius_mm + probe.depths, reach.shape), atol=1e-3)
    direction = away / reach[..., None]
    for axis, share in ((pose.forward, np.cos(probe.angles)), (pose.lateral, np.sin(probe.angles))):
        np.testing.assert_allclose(direction @ axis, np.broadcast_to(share[:, None], reach.shape), atol=1e-4)
    assert np.abs(away @ np.cross(pose.forward, pose.lateral)).max() < 2e-3, "the scan is a plane"


def test_depths_are_the_middles_of_equal_steps():
    assert SMALL.depths[0] == pytest.approx(1.0)
    assert SMALL.depths[-1] == pytest.approx(119.0)
    np.testing.assert_allclose(np.diff(SMALL.depths), 2.0)
    assert SMALL.angles[0] == pytest.approx(-SMALL.angles[-1])
    assert np.rad2deg(SMALL.angles[-1]) == pytest.approx(32.0)


def test_every_nth_point_is_the_middle_of_its_group():
    pose = turned_pose(3)
    every, all_points = SMALL.points(pose, 3), SMALL.points(pose)
    assert every.shape == (33, 20, 3)
    np.testing.assert_allclose(every, all_points.reshape(33, 20, 3, 3).mean(axis=2), atol=1e-3)


# --- the screen -------------------------------------------------------------------------------------------------------


@quick
@given(PROBES, SHAPES)
def test_the_whole_scan_fits_the_screen_and_touches_its_margin(probe, shape):
    screen = ScreenGeometry.around(probe, shape, margin=0.05)
    half = np.deg2rad(probe.half_angle)
    places = [(angle, depth) for angle in np.linspace(-half, half, 21) for depth in (0.0, probe.depth_mm)]
    j, i = np.array([pixel_of(probe, screen, *place) for place in places]).T
    edges = np.array([j.min(), shape[0] - j.max(), i.min() + 0.5, shape[1] - 0.5 - i.max()])
    assert edges.min() > 0
    free = np.array([edges[:2].sum() / shape[0], edges[2:].sum() / shape[1]])
    assert free.min() == pytest.approx(0.1, abs=1e-6), "no larger scan would fit"
    assert edges[0] == pytest.approx(edges[1])
    assert edges[2] == pytest.approx(edges[3])


@quick
@given(PROBES, SHAPES, st.floats(0.15, 0.85), st.floats(0.15, 0.85))
def test_a_polar_place_lands_on_its_pixel(probe, shape, line_share, depth_share):
    screen = ScreenGeometry.around(probe, shape)
    angle = np.deg2rad(probe.half_angle) * (2 * line_share - 1)
    depth = depth_share * probe.depth_mm
    row, column = pixel_of(probe, screen, angle, depth)
    j, i = round(row), round(column)
    convert = ScanConverter(probe, screen)
    shown_angle = convert(np.broadcast_to(probe.angles[:, None], (probe.lines, probe.samples)))[j, i]
    shown_depth = convert(np.broadcast_to(probe.depths, (probe.lines, probe.samples)))[j, i]
    assert convert.inside[j, i]
    # what is shown there is the place of the pixel's middle, at most a half pixel away
    assert abs(shown_depth - depth) <= 0.72 * screen.pixel_mm + 1e-3
    assert abs(shown_angle - angle) * (probe.radius_mm + depth) <= 0.75 * screen.pixel_mm + 1e-2


def test_a_bright_sample_is_bright_at_its_place_only():
    screen = ScreenGeometry.around(SMALL, (120, 130))
    polar = np.zeros((SMALL.lines, SMALL.samples))
    polar[8, 30] = 1.0
    image = ScanConverter(SMALL, screen)(polar)
    row, column = pixel_of(SMALL, screen, SMALL.angles[8], SMALL.depths[30])
    j, i = np.indices(image.shape)
    center = np.array([(j * image).sum(), (i * image).sum()]) / image.sum()
    assert center == pytest.approx((row, column), abs=0.6)
    far = np.hypot((j - row), (i - column)) * screen.pixel_mm > 8
    assert image[far].max() == 0.0
    assert image.max() > 0.4


def test_right_side_up_and_first_line_on_the_left():
    screen = ScreenGeometry.around(SMALL, (120, 130))
    convert = ScanConverter(SMALL, screen)
    depth = convert(np.broadcast_to(SMALL.depths, (SMALL.lines, SMALL.samples)))
    line = convert(np.broadcast_to(np.arange(SMALL.lines)[:, None], (SMALL.lines, SMALL.samples)))
    middle = depth[:, 65][convert.inside[:, 65]]
    assert np.all(np.diff(middle) > 0)
    row = round(screen.face_pixel[0] + 60 / screen.pixel_mm)
    across = line[row][convert.inside[row]]
    assert np.all(np.diff(across) > 0)
    assert across[0] < 1.5
    assert across[-1] > SMALL.lines - 2.5
    np.testing.assert_allclose(across, SMALL.lines - 1 - across[::-1], atol=1e-3, err_msg="not symmetric")


def test_black_outside_and_labels_are_those_of_the_nearest_sample():
    screen = ScreenGeometry.around(SMALL, (120, 130))
    convert = ScanConverter(SMALL, screen)
    image = convert(np.ones((SMALL.lines, SMALL.samples)))
    np.testing.assert_allclose(image[convert.inside], 1.0, atol=1e-6)
    assert np.all(image[~convert.inside] == 0)
    assert not convert.inside[0].any()
    assert not convert.inside[-1].any()
    area = convert.inside.sum() * screen.pixel_mm**2
    half = np.deg2rad(SMALL.half_angle)
    assert area == pytest.approx(half * (170.0**2 - 50.0**2), rel=0.01)
    codes = np.random.default_rng(0).integers(1, 9, (SMALL.lines, SMALL.samples)).astype(np.uint8)
    labels = convert.labels(codes)
    assert labels.dtype == np.uint8
    assert np.all((labels > 0) == convert.inside)
    rng = np.random.default_rng(1)
    for line, sample in zip(rng.integers(1, 32, 40), rng.integers(20, 59, 40), strict=True):
        j, i = (round(n) for n in pixel_of(SMALL, screen, SMALL.angles[line], SMALL.depths[sample]))
        down = (j - screen.face_pixel[0]) * screen.pixel_mm + 50.0
        across = (i - screen.face_pixel[1]) * screen.pixel_mm
        near_line = np.argmin(np.abs(SMALL.angles - np.arctan2(across, down)))
        near_sample = np.argmin(np.abs(SMALL.depths - (np.hypot(across, down) - 50.0)))
        assert labels[j, i] == codes[near_line, near_sample]
