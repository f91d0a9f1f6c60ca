"""Single frames from a slab: it holds all that the probe sees, they show what the whole patient would; wall, fluid."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from PrognosisLib.simulation.anatomy import AbdomenParameters
from PrognosisLib.simulation.shapes import Grid
from PrognosisLib.simulation.ultrasound import medium as medium_module
from PrognosisLib.simulation.ultrasound import stills
from PrognosisLib.simulation.ultrasound.formation import Beamformer, LiverState, form_frame, to_gray
from PrognosisLib.simulation.ultrasound.medium import (
    CHANNELS,
    HARD,
    Medium,
    procedural_medium,
    signed_distance,
    whole_grid,
)
from PrognosisLib.simulation.ultrasound.probe import ConvexProbe, Pose, ScanConverter, ScreenGeometry
from PrognosisLib.simulation.ultrasound.scanners import SCANNERS, draw_scan
from PrognosisLib.simulation.ultrasound.stills import COARSE_MM, HALF_THICK_MM, record_still, slab_around
from PrognosisLib.simulation.ultrasound.sweep import WINDOWS, Sweep
from PrognosisLib.simulation.ultrasound.tissues import CODES

SLIM = AbdomenParameters(subcutaneous_fat_mm=8.0, nodularity_mm=0.3, table=False)
STEP_MM, SEED, SECONDS = 3.0, 5, 4.0
PROBE = ConvexProbe(60.0, 33.0, 140.0, 3.5, lines=64, samples=104)
SCREEN = ScreenGeometry.around(PROBE, (160, 200))
SWEEP = Sweep(WINDOWS["subcostal"], (4.0, -3.0, 5.0), 6.0)


def posed(rng: np.random.Generator) -> Pose:
    """A probe anywhere, at any angle."""
    axes = np.linalg.qr(rng.standard_normal((3, 3)))[0].T
    return Pose(rng.normal(0, 90, 3), axes[0], axes[1])


# --- the slab ---------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 10_000),
    st.floats(1.5, 6.0),
    st.floats(40, 80),
    st.floats(20, 45),
    st.floats(60, 220),
)
def test_the_slab_holds_all_points_of_the_scan_and_its_rim(seed, step_mm, radius, angle, depth):
    rng = np.random.default_rng(seed)
    probe, pose, motion = ConvexProbe(radius, angle, depth, lines=32, samples=48), posed(rng), rng.normal(0, 6, 3)
    grid = slab_around(pose, probe, motion, step_mm)
    assert grid.spacing == pytest.approx(step_mm)
    points = (probe.points(pose) - motion).reshape(-1, 3)
    ijk = (points - grid.matrix[:3, 3]) @ np.linalg.inv(grid.matrix[:3, :3]).T
    last = np.array(grid.shape[::-1]) - 1
    assert np.all(ijk > 5.0 / step_mm), "some mm around the scan are in it, too"
    assert np.all(ijk < last - 5.0 / step_mm)
    np.testing.assert_allclose(ijk[:, 2], HALF_THICK_MM / step_mm, atol=1e-3, err_msg="the plane is in the middle")
    assert grid.shape[0] * step_mm <= 2 * HALF_THICK_MM + 2 * step_mm, "and it is no thicker than it has to be"


def test_the_probe_looks_along_the_slab_s_axes():
    pose = posed(np.random.default_rng(1))
    grid = slab_around(pose, PROBE, np.zeros(3), 2.0)
    np.testing.assert_allclose(grid.matrix[:3, 0], 2.0 * pose.lateral, atol=1e-9)
    np.testing.assert_allclose(grid.matrix[:3, 1], 2.0 * pose.forward, atol=1e-9)
    assert np.linalg.det(grid.matrix[:3, :3]) > 0


# --- the frame --------------------------------------------------------------------------------------------------------


def patient_on(grid: Grid | None = None) -> Medium:
    return procedural_medium(SLIM, SEED, grid=grid)


@pytest.fixture(scope="module")
def coarse():
    with pytest.MonkeyPatch.context() as patch:
        for module in (medium_module, stills):
            patch.setattr(module, "STEP_MM", STEP_MM)
        yield


def still(progress: float = 0.4, seed: int = SEED):
    machine = draw_scan("A", np.random.default_rng(2))[1]
    return machine, record_still(patient_on, LiverState(), PROBE, machine, SWEEP, SCREEN, progress, SECONDS, seed)


def test_a_still_is_the_frame_of_the_whole_patient(coarse):
    """Same place of the probe, same scatterers: what is left is the grid that the tissues lie on."""
    machine, found = still()
    poses, motion = SWEEP.poses(patient_on(whole_grid(COARSE_MM)), 33, SECONDS)
    number = 13  # 0.4 of the way
    whole = patient_on()
    assert whole.grid.spacing == pytest.approx(STEP_MM)
    rng = np.random.default_rng([SEED, 71, number])
    polar = form_frame(whole, LiverState(), Beamformer(PROBE, machine), poses[number], motion[number], rng)
    convert = ScanConverter(PROBE, SCREEN)
    gray = 255 * convert(to_gray(polar.decibel, machine))
    liver = convert.labels(((polar.tissue == CODES["liver"]) & polar.seen).astype(np.uint8)) > 0
    seen = convert.inside
    assert gray[seen].std() > 15, "there is something to see"
    assert np.corrcoef(found.gray[seen].astype(float), gray[seen])[0, 1] > 0.95
    assert liver.mean() > 0.1
    assert 2 * (liver & found.liver).sum() / (liver.sum() + found.liver.sum()) > 0.97
    assert not found.gray[~seen].any()


def test_stills_are_equal_by_seed_and_show_where_the_sweep_is(coarse):
    _, first = still()
    _, again = still()
    assert np.array_equal(first.gray, again.gray)
    assert np.array_equal(first.liver, again.liver)
    _, later = still(1.0)
    _, noise = still(seed=SEED + 1)
    assert not np.array_equal(first.liver, later.liver), "another plane"
    assert np.array_equal(first.liver, noise.liver), "the same plane with other speckle"
    assert not np.array_equal(first.gray, noise.gray)


def test_only_a_slab_of_the_patient_is_drawn_in_full(coarse):
    asked: list[Grid] = []

    def listen(grid: Grid) -> Medium:
        asked.append(grid)
        return patient_on(grid)

    machine = draw_scan("B", np.random.default_rng(2))[1]
    record_still(listen, LiverState(), PROBE, machine, SWEEP, SCREEN, 0.0, SECONDS, SEED)
    assert [round(grid.spacing, 6) for grid in asked] == [COARSE_MM, STEP_MM]
    voxels = [int(np.prod(grid.shape)) for grid in (*asked, whole_grid())]
    assert sum(voxels[:2]) < voxels[2] / 3


# --- scanners ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scanner", list(SCANNERS))
def test_scans_of_a_make_have_its_probe_and_the_operator_s_settings(scanner):
    radius, angle, frequency, gamma = SCANNERS[scanner]
    drawn = [draw_scan(scanner, np.random.default_rng(seed)) for seed in range(300)]
    for probe, machine in drawn:
        assert (probe.radius_mm, probe.frequency) == (radius, frequency)
        assert 0.84 * angle < probe.half_angle < 1.11 * angle
        assert 125 <= probe.depth_mm <= 185
        assert 0 <= machine.persistence <= 0.5
        assert machine.looks in (1, 2, 3)
    assert np.median([machine.gamma for _, machine in drawn]) == pytest.approx(gamma, rel=0.04)
    assert np.std([machine.gain for _, machine in drawn]) == pytest.approx(5, rel=0.2)
    assert draw_scan(scanner, np.random.default_rng(4)) == draw_scan(scanner, np.random.default_rng(4)) != drawn[5]


# --- gallbladder wall and free fluid ----------------------------------------------------------------------------------


@cache
def with_signs(wall_mm: float = 0.0, fluid_mm: float = 0.0) -> Medium:
    return procedural_medium(SLIM, SEED, grid=whole_grid(4.0), wall_mm=wall_mm, fluid_mm=fluid_mm)


def names_of(codes: np.ndarray) -> set[str]:
    return {name for name, code in CODES.items() if code in np.unique(codes)}


def test_the_gallbladder_s_wall_lies_around_it_and_hides_nothing_hard():
    plain, thick = with_signs(), with_signs(wall_mm=6.0)
    changed = plain.tissue != thick.tissue
    assert changed.sum() * 4.0**3 / 1000 > 2, "mL of wall"
    assert names_of(thick.tissue[changed]) == {"stomach"}, "drawn as that of a hollow organ"
    assert not np.isin(plain.tissue[changed], HARD).any()
    assert "fluid" not in names_of(plain.tissue[changed]), "what it holds stays"
    around = signed_distance(plain.tissue == CODES["fluid"], 4.0)  # no other fluid is in this patient
    assert around[changed].max() < 6.0
    assert np.array_equal(plain.fields, thick.fields), "no distance moves"
    thin = with_signs(wall_mm=3.0).tissue != plain.tissue
    assert thin.sum() < changed.sum()
    assert not np.any(thin & ~changed)


def test_free_fluid_lies_in_the_fat_at_the_liver():
    plain, wet = with_signs(), with_signs(fluid_mm=10.0)
    changed = plain.tissue != wet.tissue
    liver = plain.fields[..., CHANNELS.index("liver")]
    assert changed.sum() * 4.0**3 / 1000 > 20, "mL of fluid"
    assert names_of(wet.tissue[changed]) == {"fluid"}
    assert names_of(plain.tissue[changed]) == {"deep fat"}
    assert liver[changed].min() > -0.5
    assert liver[changed].max() < 10.0
    assert np.all(wet.tissue[(plain.tissue == CODES["deep fat"]) & (liver > 0) & (liver < 9.9)] == CODES["fluid"])
    assert np.array_equal(plain.fields, wet.fields)


def test_without_wall_and_fluid_the_patient_is_as_before():
    plain, both = with_signs(), with_signs(6.0, 10.0)
    again = procedural_medium(SLIM, SEED, grid=whole_grid(4.0))
    assert np.array_equal(plain.tissue, again.tissue)
    changed = plain.tissue != both.tissue
    assert names_of(both.tissue[changed]) == {"stomach", "fluid"}
