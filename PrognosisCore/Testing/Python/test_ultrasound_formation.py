"""One B-mode frame: speckle, attenuation, shadows, borders, beam, noise and compression are as the physics says."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ultrasound_cases import BARE, CURVED, DOWN, PROBE, band, deeper, frame, homogeneous, layered, level, medium

from PrognosisLib.simulation.ultrasound.formation import (
    HIDDEN_DB,
    TILE,
    TILE_MM,
    Beamformer,
    LiverState,
    Machine,
    resolve_tissue,
    to_gray,
)
from PrognosisLib.simulation.ultrasound.medium import FAR, STEP_MM, WALL_MM
from PrognosisLib.simulation.ultrasound.probe import ConvexProbe, Pose
from PrognosisLib.simulation.ultrasound.recording import PERSISTENCE_S
from PrognosisLib.simulation.ultrasound.sweep import PRESSED_MM
from PrognosisLib.simulation.ultrasound.tissues import ATTENUATION, BACKSCATTER, CODES, TISSUES

RAYLEIGH_SNR = math.sqrt(math.pi / (4 - math.pi))  # 1.913: mean over SD of fully developed speckle's amplitude


def amplitude(values: np.ndarray) -> np.ndarray:
    return 10 ** (values / 20)


def snr(values: np.ndarray) -> float:
    return float(amplitude(values).mean() / amplitude(values).std())


def slope(values: np.ndarray) -> float:
    """Of the mean power along the depth, dB/cm."""
    means = 10 * np.log10((10 ** (values / 10)).mean(axis=0))
    return float(np.polyfit(PROBE.depths / 10, means, 1)[0])


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(amplitude(a).ravel(), amplitude(b).ravel())[0, 1])


# --- speckle ----------------------------------------------------------------------------------------------------------


def test_the_seed_makes_the_noise_and_the_place_the_speckle():
    noisy, inside = replace(BARE, noise=-30.0), homogeneous()
    first, again, other = (frame(inside, noisy, seed=seed).decibel for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.allclose(first, other, atol=0.1)
    np.testing.assert_allclose(frame(inside, seed=1).decibel, frame(inside, seed=2).decibel, atol=1e-3)
    assert abs(correlation(first, frame(inside, noisy, pose=deeper(DOWN, 30.0)).decibel)) < 0.1


@pytest.mark.parametrize("looks", [1, 2, 3])
def test_speckle_is_fully_developed_and_looks_smooth_it(looks):
    """The mean of n independent intensities has a gamma distribution, its root the SNR below; n = 1 is Rayleigh's."""
    found = snr(frame(homogeneous(), replace(BARE, looks=looks)).decibel)
    mean = math.gamma(looks + 0.5) / math.gamma(looks) / math.sqrt(looks)
    expected = mean / math.sqrt(1 - mean**2)
    assert looks > 1 or expected == pytest.approx(RAYLEIGH_SNR)
    assert found == pytest.approx(expected, rel=0.06)


def test_few_scatterers_make_the_speckle_coarser_at_the_same_power():
    dense, sparse = (frame(homogeneous(name)).decibel for name in ("spleen", "bowel"))
    assert snr(dense) == pytest.approx(RAYLEIGH_SNR, rel=0.06)
    assert snr(sparse) < 1.6
    near = level(band(sparse, 0, 10)) - level(band(dense, 0, 10))
    loss = 2 * PROBE.frequency * 0.5 * (TISSUES["bowel"].attenuation - TISSUES["spleen"].attenuation)  # at 5 mm
    assert near == pytest.approx(TISSUES["bowel"].backscatter - TISSUES["spleen"].backscatter - loss, abs=1.2)


def test_motion_of_the_tissue_is_motion_of_the_probe_the_other_way():
    inside = layered(("liver", 40), ("fluid", 10), ("liver", 60))
    motion = np.array([3.0, -2.0, 5.0])
    moved, other = frame(inside, motion=motion), frame(inside, pose=replace(DOWN, face=DOWN.face - motion))
    assert np.array_equal(moved.tissue, other.tissue)
    np.testing.assert_allclose(moved.decibel, other.decibel, atol=1e-2)


def test_speckle_moves_along_with_the_tissue():
    steps = 8
    before = frame(homogeneous()).decibel[30:34]
    after = frame(homogeneous(), motion=np.array([0.0, 0.0, steps * PROBE.step_mm])).decibel[30:34]
    assert correlation(before[:, 20:180], after[:, 20 + steps : 180 + steps]) > 0.8
    assert abs(correlation(before[:, 20:180], after[:, 20:180])) < 0.25


def test_speckle_changes_as_the_plane_leaves_the_tissue():
    tilted = Pose(np.zeros(3), np.array([0.0, 0.6, 0.8]), np.array([0.8, 0.36, -0.27]) / math.sqrt(0.8425))
    tilted = replace(tilted, lateral=np.array([1.0, 0.0, 0.0]))
    start = frame(homogeneous(), pose=tilted).decibel
    found = [correlation(start, frame(homogeneous(), pose=deeper(tilted, mm)).decibel) for mm in (0.05, 0.15, 0.3, 1.5)]
    assert found[0] > 0.7
    assert np.all(np.diff(found) < 0.02)
    assert abs(found[-1]) < 0.1


# --- attenuation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("attenuation", "tgc", "frequency"), [(0.5, 0.7, 3.5), (0.9, 0.5, 3.5), (0.7, 0.5, 2.0)])
def test_level_falls_and_rises_along_the_depth_as_set(attenuation, tgc, frequency):
    probe = replace(PROBE, frequency=frequency)
    found = frame(homogeneous(), replace(BARE, tgc=tgc), LiverState(attenuation=attenuation), probe)
    assert slope(found.decibel) == pytest.approx(2 * frequency * (tgc - attenuation), abs=0.15)


def test_a_normal_liver_is_level_at_zero_and_backscatter_lifts_it():
    normal = frame(homogeneous()).decibel
    assert level(normal) == pytest.approx(0.0, abs=0.4)
    assert slope(normal) == pytest.approx(0.0, abs=0.15)
    np.testing.assert_allclose(frame(homogeneous(), state=LiverState(backscatter=4.0)).decibel - normal, 4.0, atol=1e-3)
    textured = frame(layered(("liver", 2), texture=[1.0, 1.0]), state=LiverState(texture=0.5)).decibel
    np.testing.assert_allclose(textured - normal, 2.25, atol=1e-3)


def test_the_bend_of_the_gain_rises_with_the_square_of_the_depth():
    apart = frame(homogeneous(), replace(BARE, tgc_bend=6.0)).decibel - frame(homogeneous()).decibel
    np.testing.assert_allclose(apart, np.broadcast_to(6 * (PROBE.depths / 80) ** 2, apart.shape), atol=1e-3)


@pytest.mark.parametrize("name", ["bone", "gas"])
def test_bone_and_gas_throw_a_shadow(name):
    parts = (("liver", 20), (name, 10), ("liver", 60))
    bone = np.abs(np.arange(90) - 24.5) - 5.0 if name == "bone" else np.full(90, FAR)
    found, plain = frame(layered(*parts, bone=bone)), frame(homogeneous())
    assert level(band(found.decibel, 40, 80)) < level(band(plain.decibel, 40, 80)) - 50
    assert level(band(found.decibel, 0, 16)) == pytest.approx(level(band(plain.decibel, 0, 16)), abs=0.3)
    assert band(found.seen, 0, 16).all()
    assert not band(found.seen, 36, 80).any()
    if name == "bone":
        assert level(band(found.decibel, 17, 24)) > 3, "its surface is bright"


def test_a_line_beside_the_bone_is_not_in_its_shadow():
    x = np.arange(121) - 60.0
    codes = np.full((90, 2, 121), CODES["liver"], np.uint8)
    codes[20:30, :, x < 0] = CODES["bone"]
    found = frame(medium(codes, origin=(-60.0, 0.0, 0.0), liver=-FAR))
    assert level(band(found.decibel[:20], 40, 80)) < -50
    assert level(band(found.decibel[-20:], 40, 80)) == pytest.approx(0.0, abs=0.8)


def test_behind_fluid_it_is_brighter_by_what_the_fluid_did_not_take():
    found = frame(layered(("liver", 20), ("fluid", 20), ("liver", 60))).decibel
    gained = 2 * PROBE.frequency * 2.0 * (0.5 - TISSUES["fluid"].attenuation)
    assert level(band(found, 46, 80)) == pytest.approx(gained, abs=1.0)
    assert level(band(found, 24, 36)) == pytest.approx(TISSUES["fluid"].backscatter + gained / 2, abs=1.5)


def test_the_surroundings_can_be_changed_without_the_liver():
    inside = layered(("muscle", 20), ("liver", 60))
    around, attenuation = np.zeros((2, len(TISSUES)))
    around[CODES["muscle"]], attenuation[CODES["muscle"]] = 6.0, 0.3
    around[CODES["spleen"]] = 40.0
    plain, found = (
        frame(inside, state=state).decibel
        for state in (LiverState(), LiverState(around=tuple(around), around_attenuation=tuple(attenuation)))
    )
    assert level(band(found, 0, 4)) - level(band(plain, 0, 4)) == pytest.approx(6.0 - 0.4, abs=0.4)
    assert level(band(found, 30, 80)) - level(band(plain, 30, 80)) == pytest.approx(-2 * 3.5 * 2 * 0.3, abs=0.3)


def test_the_surroundings_can_be_made_even():
    inside = layered(("bowel", 2), texture=[1.0, 1.0])
    level_gain = replace(BARE, tgc=TISSUES["bowel"].attenuation)
    plain, even = (frame(inside, level_gain, LiverState(even_around=part)).decibel for part in (0.0, 1.0))
    assert snr(plain) < 1.6
    assert snr(even) == pytest.approx(RAYLEIGH_SNR, rel=0.06)
    assert level(plain) - level(even) == pytest.approx(TISSUES["bowel"].uneven, abs=1.0)
    liver = layered(("liver", 2), texture=[1.0, 1.0])
    states = (LiverState(texture=0.5, even_around=part) for part in (0.0, 1.0))
    assert np.array_equal(*(frame(liver, state=state).decibel for state in states))


def test_lost_contact_darkens_the_lines_of_one_side():
    contact = frame(homogeneous(), replace(BARE, contact=(20.0, 0.0)))
    apart = contact.decibel - frame(homogeneous()).decibel
    by_line = apart.mean(axis=1)
    assert by_line[:3].mean() == pytest.approx(-19.5, abs=1.0)
    np.testing.assert_allclose(by_line[32:], 0.0, atol=0.1)
    assert np.all(np.diff(by_line[:32]) > -0.5)
    other = frame(homogeneous(), replace(BARE, contact=(0.0, 40.0)))
    assert other.seen[:32].all()
    assert not other.seen[-3:].any()


# --- borders ----------------------------------------------------------------------------------------------------------


def tilted_capsule(degrees: float) -> np.ndarray:
    """dB of a usual probe's scan of a border that falls to the right, 40 mm below the face; nothing else echoes."""
    x, z = np.arange(161) - 80.0, np.arange(120.0)
    angle = math.radians(degrees)
    below = (z[:, None] - 40.0) * math.cos(angle) - x * math.sin(angle)
    codes = np.full((120, 2, 161), CODES["outside"], np.uint8)
    inside = medium(codes, origin=(-80.0, 0.0, 0.0), liver=np.broadcast_to(-below[:, None, :], codes.shape))
    return frame(inside, state=LiverState(capsule=10.0, irregular=0.0), probe=CURVED).decibel


def test_a_border_is_brightest_where_the_beam_meets_it_at_a_right_angle():
    peaks = [band(tilted_capsule(degrees)[30:34], 30, 50).max() for degrees in (0, 25, 45, 60)]
    assert np.all(np.diff(peaks) < -2)
    assert peaks[0] - peaks[-1] > 10
    flat = tilted_capsule(0).max(axis=1)
    assert flat[32] - 1.5 > max(flat[0], flat[-1])
    turned = tilted_capsule(20).max(axis=1)
    assert np.argmax(turned) < 20, "a border that falls to the right faces the lines on the left"


def test_a_border_lies_at_its_depth():
    assert PROBE.depths[tilted_capsule(0)[32].argmax()] == pytest.approx(40.0, abs=0.6)


def test_the_capsule_s_brightness_is_that_of_the_state():
    inside = layered(("outside", 40), ("liver", 40), liver=40.0 - np.arange(80))
    bright, dim = (frame(inside, state=LiverState(capsule=db)).decibel[30:34] for db in (20.0, -10.0))
    assert band(bright, 38, 42).max() - band(dim, 38, 42).max() > 12
    np.testing.assert_allclose(band(bright, 50, 80), band(dim, 50, 80), atol=0.01)


def test_a_portal_vein_is_dark_within_walls_that_fade():
    portal = np.abs(np.arange(90) - 40.0) - 5.0
    inside = layered(("liver", 90), portal=portal)
    bright, faded = (frame(inside, state=LiverState(walls=walls)).decibel for walls in (4.0, -12.0))
    for found in (bright, faded):
        assert level(band(found, 38, 42)) < -20
    assert level(band(bright, 34, 36)) - level(band(faded, 34, 36)) > 5
    veins = frame(layered(("liver", 90), veins=portal)).decibel
    assert level(band(veins, 34, 36)) < level(band(bright, 34, 36)) - 5, "hepatic veins have thin walls"


def test_distances_decide_where_the_liver_is_and_voxels_what_else_is_there():
    z = np.arange(40.0)
    codes = np.repeat([CODES["deep fat"], CODES["liver"]], 20).astype(np.uint8)[:, None, None]
    inside = medium(np.broadcast_to(codes, (40, 2, 2)).copy(), liver=(14.0 - z)[:, None, None])
    points = np.zeros((1, 40, 3), np.float32)
    points[0, :, 2] = z
    channels = inside.fields_at(points)
    found = resolve_tissue(inside, points, channels)[0]
    assert np.all(found[:14] == CODES["deep fat"])
    assert np.all(found[15:] == CODES["liver"]), "the voxels there are fat, but the smooth surface lies higher"
    channels["bone"] = np.where(z < 5, -1.0, FAR)[None]
    assert np.all(resolve_tissue(inside, points, channels)[0][:5] == CODES["bone"])


# --- beam, noise, reverberation ---------------------------------------------------------------------------------------


def test_the_beam_is_narrowest_at_its_focus():
    probe = ConvexProbe(60.0, 30.0, 160.0, 3.5, lines=256, samples=160)
    machine = replace(BARE, focus_mm=80.0, beam_mm=1.0, spread=0.03, pulse_mm=0.4)
    blur = Beamformer(probe, machine)
    spacing = np.deg2rad(60.0) / 255
    widths = []
    for sample in (15, 45, 79, 115, 145):
        field = np.zeros((256, 160), complex)
        field[128, sample] = 1.0
        power = (np.abs(blur(field)) ** 2).sum(axis=1)
        away = (np.arange(256) - 128) * spacing * (60 + probe.depths[sample])
        widths.append(float(np.sqrt((power * away**2).sum() / power.sum())))
        sigma = math.hypot(1.0, 0.03 * abs(probe.depths[sample] - 80.0))
        assert widths[-1] == pytest.approx(sigma / math.sqrt(2), rel=0.15)
    assert widths[2] == min(widths)
    assert widths[0] > widths[1] > widths[2] < widths[3] < widths[4]


def test_the_blur_keeps_the_power_of_noise_and_smears_along_the_pulse():
    rng = np.random.default_rng(0)
    blur = Beamformer(PROBE, replace(BARE, pulse_mm=1.0))
    field = rng.standard_normal((2, PROBE.lines, PROBE.samples))
    out = blur(field[0] + 1j * field[1])
    assert (np.abs(out) ** 2).mean() == pytest.approx(2.0, rel=0.05)
    spike = np.zeros((PROBE.lines, PROBE.samples), complex)
    spike[32, 100] = 1.0
    power = np.abs(blur(spike)[32]) ** 2
    away = (np.arange(PROBE.samples) - 100) * PROBE.step_mm
    assert math.sqrt((power * away**2).sum() / power.sum()) == pytest.approx(1.0 / math.sqrt(2), rel=0.05)


def test_the_noise_floor_is_as_set_and_is_amplified_with_the_depth():
    found = frame(homogeneous("outside"), replace(BARE, noise=-40.0)).decibel
    assert level(band(found, 0, 4)) == pytest.approx(-40.0 + 2 * 0.5 * 3.5 * 0.2, abs=0.8)
    assert slope(found) == pytest.approx(2 * 3.5 * 0.5, abs=0.15)
    louder = frame(homogeneous("outside"), replace(BARE, noise=-30.0)).decibel
    assert level(louder) - level(found) == pytest.approx(10.0, abs=0.3)


def test_the_wall_s_echoes_come_back_at_twice_its_depth():
    z = np.arange(80)
    inside = layered(("muscle", 12), ("fluid", 68), layers=12.0 - z)
    strong, none = (frame(inside, replace(BARE, reverberation=part)).decibel for part in (1.0, 0.0))
    thick = int((z < 12).sum() / PROBE.step_mm)
    assert np.array_equal(strong[:, : thick - 2], none[:, : thick - 2])
    again = level(band(strong, 16, 22))  # beyond what the wall's inner border smears
    assert again > level(band(none, 16, 22)) + 6
    assert level(band(strong, 27, 80)) == pytest.approx(level(band(none, 27, 80)), abs=0.05)
    half = level(band(frame(inside, replace(BARE, reverberation=0.5)).decibel, 16, 22))
    assert again - half == pytest.approx(6.0, abs=1.0)


def test_lung_fades_with_the_distance_from_its_surface():
    z = np.arange(90)
    found = frame(layered(("muscle", 20), ("lung", 70), chest=20.0 - z)).decibel
    levels = [level(band(found, low, low + 6)) for low in (24, 36, 48, 60)]
    assert np.all(np.diff(levels) < -6)
    assert level(band(found, 19, 21)) > levels[0] + 6, "its surface is bright"


# --- gray values ------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    st.lists(st.floats(-200, 200), min_size=2, max_size=20),
    st.floats(-20, 20),
    st.floats(30, 90),
    st.floats(0.4, 2.5),
)
def test_compression_is_monotone_and_bounded(decibel, gain, dynamic_range, gamma):
    machine = Machine(gain=gain, dynamic_range=dynamic_range, gamma=gamma)
    gray = to_gray(np.sort(decibel).astype(np.float32), machine)
    assert np.all(np.diff(gray) >= 0)
    assert 0 <= gray.min() <= gray.max() <= 1


def test_gain_and_dynamic_range_are_decibels():
    decibel = np.linspace(-25, 25, 11)
    machine = Machine(dynamic_range=60.0)
    np.testing.assert_allclose(to_gray(decibel, machine), decibel / 60 + 0.46, atol=1e-6)
    np.testing.assert_allclose(to_gray(decibel, replace(machine, gain=5.0)), to_gray(decibel + 5.0, machine), atol=1e-6)
    assert to_gray(np.array([-100.0, 100.0]), machine).tolist() == [0.0, 1.0]
    assert np.all(to_gray(decibel, replace(machine, gamma=2.0)) < to_gray(decibel, machine))


def test_tissues_stand_in_the_order_that_sonographers_know():
    fluid, blood, kidney, liver, pancreas = (
        BACKSCATTER[CODES[name]] for name in ("fluid", "blood", "kidney", "liver", "pancreas")
    )
    assert fluid < blood < kidney < liver < pancreas
    assert liver == 0
    assert min(ATTENUATION[CODES[name]] for name in ("bone", "gas")) > 10 * ATTENUATION[CODES["liver"]]
    assert len(CODES) == len(TISSUES) < 256


def test_the_document_says_what_the_code_does():
    text = " ".join((Path(__file__).resolve().parents[3] / "docs" / "ultrasound.md").read_text("utf-8").split())
    for said in (
        f"cell of {TILE_MM:g} mm",
        f"cube of {TILE} cells that repeats every {TILE * TILE_MM:.0f} mm",
        f"mean over SD {RAYLEIGH_SNR:.2f}",
        f"attenuation took {HIDDEN_DB:g} dB more",
        f"on a grid of {STEP_MM:g} mm",
        f"within {WALL_MM:g} mm of the skin",
        f"pressed {PRESSED_MM:g} mm into the skin",
        f"the frame {1000 * PERSISTENCE_S:.0f} ms earlier",
    ):
        assert said in text, f"docs/ultrasound.md does not say: {said}"
