"""Sweeps and recordings: skin and ribs are found, hand and breath move as set, frames follow one another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ultrasound_cases import BARE, homogeneous, medium

from PrognosisLib.simulation.ultrasound.formation import LiverState, Machine
from PrognosisLib.simulation.ultrasound.medium import FAR, Medium
from PrognosisLib.simulation.ultrasound.probe import ConvexProbe, ScanConverter, ScreenGeometry
from PrognosisLib.simulation.ultrasound.recording import PERSISTENCE_S, record
from PrognosisLib.simulation.ultrasound.sweep import PRESSED_MM, WINDOWS, Sweep, Window, clear_of_ribs, find_skin
from PrognosisLib.simulation.ultrasound.tissues import CODES

RADIUS_MM = 100.0
FORWARD = Window((5.0, 0.0, -5.0), (0.0, 1.0, 0.0), (-1.0, 0.0, 0.0), 30.0, 20.0)
STEADY = Sweep(FORWARD, tremor_mm=0.0, tremor_degrees=0.0, breathing_mm=0.0)
SMALL = ConvexProbe(50.0, 30.0, 90.0, 3.5, lines=40, samples=120)
SCREEN = ScreenGeometry.around(SMALL, (80, 100))


def ball(bone: np.ndarray | float = FAR) -> Medium:
    """A ball of liver of RADIUS_MM around the origin."""
    z, y, x = (np.indices((60, 60, 60)) - 29.5) * 4.0
    away = np.sqrt(x**2 + y**2 + z**2) - RADIUS_MM
    codes = np.where(away < 0, CODES["liver"], CODES["outside"]).astype(np.uint8)
    return medium(codes, 4.0, (-118.0, -118.0, -118.0), liver=np.clip(away, -FAR, FAR), bone=bone)


def ribs(places_mm: tuple[float, ...]) -> np.ndarray:
    """Distance to rods of 5 mm radius along x, in front at those z."""
    z, y, _ = (np.indices((60, 60, 60)) - 29.5) * 4.0
    return np.min([np.hypot(z - place, y - 88.0) - 5.0 for place in places_mm], axis=0)


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


# --- where the probe stands -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outward", [(0, 1, 0), (0.6, 0.64, -0.48), (-1, 0.2, 0.3)])
@pytest.mark.parametrize("target", [(0, 0, 0), (20, -10, 30)])
def test_the_face_stands_on_the_skin_pressed_in(outward, target):
    outward, target = unit(np.array(outward, float)), np.array(target, float)
    face = find_skin(ball(), target, outward)
    along = face - target
    np.testing.assert_allclose(unit(along), outward, atol=1e-6)
    assert np.linalg.norm(along + target + PRESSED_MM * outward) == pytest.approx(RADIUS_MM, abs=3.5)


def test_the_plane_is_moved_to_look_between_the_ribs():
    axes = np.array([0.0, 1.0, 0.0]), np.array([-1.0, 0.0, 0.0]), np.array([0.0, 0.0, 1.0])
    assert clear_of_ribs(ball(), np.zeros(3), *axes) == 0.0
    assert clear_of_ribs(ball(ribs((-20.0, 20.0))), np.zeros(3), *axes) == 0.0, "nothing is in the way"
    assert abs(clear_of_ribs(ball(ribs((-12.0, 0.0, 12.0, 24.0))), np.zeros(3), *axes)) in (4.0, 6.0, 8.0)
    assert 6 < clear_of_ribs(ball(ribs((-24.0, -12.0, 0.0, 24.0))), np.zeros(3), *axes) <= 14
    assert -14 <= clear_of_ribs(ball(ribs((-24.0, 0.0, 12.0, 24.0))), np.zeros(3), *axes) < -6


def test_a_sweep_looks_between_the_ribs():
    through, between = (STEADY.poses(ball(ribs(places)), 1, 0.0)[0][0] for places in ((-5.0,), (-25.0, 15.0)))
    assert between.face[2] == pytest.approx(-5.0, abs=0.1)
    assert abs(through.face[2] + 5.0) >= 6.0


# --- hand and breath --------------------------------------------------------------------------------------------------


def test_a_steady_hand_fans_and_slides_evenly_about_the_target():
    poses, motion = STEADY.poses(ball(), 7, 3.0)
    assert np.all(motion == 0)
    middle = poses[3]
    np.testing.assert_allclose(middle.forward, (0, -1, 0), atol=1e-9)
    np.testing.assert_allclose(middle.lateral, (-1, 0, 0), atol=1e-9)
    angles = np.rad2deg([np.arctan2(pose.forward[2], -pose.forward[1]) for pose in poses])
    assert abs(angles[-1] - angles[0]) == pytest.approx(30.0, abs=1e-6)
    np.testing.assert_allclose(np.diff(angles), np.diff(angles)[0], atol=1e-6)
    faces = np.array([pose.face for pose in poses])
    assert np.linalg.norm(faces[-1] - faces[0]) == pytest.approx(20.0, abs=1e-6)
    across = np.cross(middle.lateral, (0, 1, 0))
    np.testing.assert_allclose(np.diff(faces, axis=0), np.broadcast_to(across * 20 / 6, (6, 3)), atol=1e-6)
    for pose in poses:
        assert np.dot(pose.forward, pose.lateral) == pytest.approx(0.0, abs=1e-9)
        assert np.linalg.norm(pose.forward) == pytest.approx(1.0)
        assert np.linalg.norm(pose.lateral) == pytest.approx(1.0)


def test_backward_goes_the_same_way_from_its_end():
    there, back = (sweep.poses(ball(), 6, 3.0)[0] for sweep in (STEADY, replace(STEADY, backward=True)))
    for one, other in zip(there, reversed(back), strict=True):
        for name in ("face", "forward", "lateral"):
            np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=1e-9)


def test_turn_rotates_the_plane_about_the_beam():
    straight, turned = (sweep.poses(ball(), 1, 0.0)[0][0] for sweep in (STEADY, replace(STEADY, turn=25.0)))
    np.testing.assert_allclose(straight.forward, turned.forward, atol=1e-9)
    assert np.rad2deg(np.arccos(straight.lateral @ turned.lateral)) == pytest.approx(25.0, abs=1e-6)


def test_the_hand_trembles_as_much_as_it_is_told_to():
    calm = STEADY.poses(ball(), 200, 20.0)[0]
    for part, millimeters, degrees in (("face", 2.0, 0.0), ("forward", 0.0, 2.0)):
        shaky = replace(STEADY, tremor_mm=millimeters, tremor_degrees=degrees, seed=3)
        poses, again = (shaky.poses(ball(), 200, 20.0)[0] for _ in range(2))
        other = replace(shaky, seed=4).poses(ball(), 200, 20.0)[0]
        apart = np.array([getattr(a, part) - getattr(b, part) for a, b in zip(poses, calm, strict=True)])
        spread = np.sqrt((apart**2).sum(axis=1).mean())
        # two directions of the hand, values between random knots
        expected = millimeters * np.sqrt(2) if part == "face" else np.deg2rad(degrees)
        assert 0.55 * expected < spread < 1.25 * expected
        assert np.abs(np.diff(apart, axis=0)).max() < 0.5 * np.ptp(apart), "it moves slowly"
        assert all(np.array_equal(getattr(a, part), getattr(b, part)) for a, b in zip(poses, again, strict=True))
        assert not np.allclose(getattr(poses[9], part), getattr(other[9], part))


def test_breath_moves_the_anatomy_down_and_back():
    sweep = replace(STEADY, breathing_mm=8.0, breath_s=4.0, phase=0.0)
    _, motion = sweep.poses(ball(), 9, 8.0)
    np.testing.assert_allclose(motion[[0, 4, 8]], 0.0, atol=1e-9)
    np.testing.assert_allclose(motion[2], (0.0, 0.15 * 8, -8.0), atol=1e-9)
    _, shifted = replace(sweep, phase=0.5).poses(ball(), 9, 8.0)
    np.testing.assert_allclose(shifted[0], motion[2], atol=1e-9)


def test_operators_differ_but_not_with_the_same_random_numbers():
    drawn = [Sweep.sample(np.random.default_rng(seed)) for seed in range(60)]
    assert drawn[7] == Sweep.sample(np.random.default_rng(7))
    assert {id(one.window) for one in drawn} == {id(window) for window in WINDOWS.values()}
    assert 10 < sum(one.backward for one in drawn) < 40
    assert all(one.breathing_mm >= 0 and one.tremor_mm >= 0 for one in drawn)
    assert Sweep.sample(np.random.default_rng(1), "sagittal").window is WINDOWS["sagittal"]


# --- recordings -------------------------------------------------------------------------------------------------------


def recorded(inside: Medium, machine: Machine = BARE, sweep: Sweep = STEADY, count: int = 3, seed: int = 1) -> list:
    return list(record(inside, LiverState(), SMALL, machine, sweep, SCREEN, count, 1.0, seed))


def test_a_recording_is_the_same_for_the_same_seed():
    noisy = replace(BARE, noise=-20.0)
    first, again, other = (recorded(homogeneous(), noisy, seed=seed) for seed in (1, 1, 2))
    assert len(first) == 3
    for one, two, three in zip(first, again, other, strict=True):
        assert one.gray.dtype == np.uint8
        assert one.gray.shape == SCREEN.shape
        assert np.array_equal(one.gray, two.gray)
        assert not np.array_equal(one.gray, three.gray)
    assert not np.array_equal(first[0].gray, first[1].gray)


def test_outside_of_the_sector_it_is_black_and_the_liver_that_is_seen_is_marked():
    inside = ScanConverter(SMALL, SCREEN).inside
    for frame in recorded(homogeneous()):
        assert np.all(frame.gray[~inside] == 0)
        assert frame.gray[inside].mean() > 50
        assert np.array_equal(frame.liver, inside)
    none = recorded(homogeneous("spleen"), count=1)[0]
    assert not none.liver.any()
    shaded = replace(BARE, contact=(60.0, 0.0))
    liver = recorded(homogeneous(), shaded, count=1)[0].liver
    line = ScanConverter(SMALL, SCREEN)(np.broadcast_to(np.arange(40.0)[:, None], (40, 120)))
    assert not liver[line < 4].any(), "what no sound reaches is not marked"
    assert np.array_equal(liver[line > 10], inside[line > 10])


def test_persistence_keeps_a_share_of_the_frame_before():
    lasting = replace(BARE, persistence=0.5)
    plain, kept = recorded(homogeneous(), count=2), recorded(homogeneous(), lasting, count=2)
    step = 1.0
    keep = 0.5 ** (step / PERSISTENCE_S)
    assert keep < 1e-6
    np.testing.assert_array_equal(plain[1].gray, kept[1].gray)  # a second later nothing is left
    fast = list(record(homogeneous(), LiverState(), SMALL, lasting, STEADY, SCREEN, 2, PERSISTENCE_S, 1))
    sharp = list(record(homogeneous(), LiverState(), SMALL, BARE, STEADY, SCREEN, 2, PERSISTENCE_S, 1))
    np.testing.assert_array_equal(fast[0].gray, sharp[0].gray)
    mixed = 0.5 * sharp[0].gray.astype(float) + 0.5 * sharp[1].gray
    assert np.abs(fast[1].gray - mixed).max() <= 1.5
