"""Simulated MR examinations: geometry, volumes, contrast of both weightings, what the signs change, real anatomies."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage
from stiffness_phantoms import (
    CHILD,
    DIFFUSION,
    PLAIN,
    PROTOCOL,
    SEED,
    T1,
    T1_OPPOSED,
    T2,
    T2_SUPPRESSED,
    simulated,
)

from LiverStiffnessLib.labels import ASCITES, LIVER, SPLEEN
from LiverStiffnessLib.simulation import patients
from LiverStiffnessLib.simulation.patients import draw_examination, write_cohort
from LiverStiffnessLib.simulation.real_anatomy import RealAnatomy, examine_real
from LiverStiffnessLib.simulation.scan import SimulatedImage, simulate_images
from LiverStiffnessLib.simulation.tissues import TISSUES, LiverState, Sequence, signals, tissue_signal
from PrognosisLib.cohort import read_cohort
from PrognosisLib.images.readers import read_volume
from PrognosisLib.volume import Volume

KIDNEY = 4  # any label that is none of the network's
NO_VARIATION = dict.fromkeys(TISSUES, (1.0, 1.0, 1.0))
WET = replace(CHILD, ascites_mL=300.0)
BREATHING = (3.0, -4.0, 9.0)
# All but the first have the T1's grid, so that their pixels can be compared.
EVERY = (T2, T1, T2, T2_SUPPRESSED, T1_OPPOSED, DIFFUSION)


def ml(labels: Volume, label: int) -> float:
    return float(np.count_nonzero(labels.array == label)) * labels.grid.voxel_volume_ml


def middle(labels: Volume, label: int) -> np.ndarray:
    return labels.grid.to_ras(np.argwhere(labels.array == label)).mean(axis=0)


def core(mask: np.ndarray) -> np.ndarray:
    """Without the rim that partial volume blurs."""
    return ndimage.binary_erosion(mask, np.ones((1, 3, 3), bool), iterations=2)


def over_liver(made: SimulatedImage, label: int) -> float:
    """Brightness of a label over the liver's."""
    gray, labels = made.volume.array, made.labels.array
    return float(np.median(gray[core(labels == label)]) / np.median(gray[core(labels == LIVER)]))


def spread(made: SimulatedImage) -> float:
    """Half of the width of the liver's middle two thirds of gray values over their median; vessels hardly count."""
    low, half, high = np.percentile(made.volume.array[core(made.labels.array == LIVER)], [16, 50, 84])
    return float((high - low) / (2 * half))


def roughness(labels: Volume) -> float:
    """Share of the liver's voxels on the wrong side of its outline smoothed over 3 mm."""
    mask = labels.array == LIVER
    smooth = ndimage.gaussian_filter(mask.astype(np.float32), (0.0, *(3.0 / labels.grid.spacing[1::-1]))) > 0.5
    return np.count_nonzero(mask != smooth) / np.count_nonzero(mask)


# --- geometry and volumes ---------------------------------------------------------------------------------------------


def test_images_have_their_protocols_grids_and_labels_on_them():
    t2, t1 = simulated((T2, T1))
    for number, made in enumerate((t2, t1)):
        grid = made.volume.grid
        assert made.labels.grid.same_as(grid)
        assert made.volume.array.dtype == np.int16
        assert made.volume.array.min() >= 0
        assert made.labels.array.dtype == np.uint8
        np.testing.assert_allclose(grid.spacing[:2], PROTOCOL.pixel_mm[number])
        assert grid.spacing[2] == pytest.approx(PROTOCOL.step_mm[number])
        extent = np.array(grid.shape[::-1]) * grid.spacing
        np.testing.assert_allclose(extent[0], PROTOCOL.field_of_view_mm[number], atol=PROTOCOL.pixel_mm[number])
        # Stored as scanners do: i to the left, j to the back, k to the head.
        assert np.sign(np.diag(grid.ijk_to_ras)[:3]).tolist() == [-1, -1, 1]


def test_liver_and_spleen_have_the_volumes_that_were_asked_for():
    for made in simulated((T2, T1)):
        assert ml(made.labels, LIVER) == pytest.approx(CHILD.liver_mL, rel=0.06)
        assert ml(made.labels, SPLEEN) == pytest.approx(CHILD.spleen_mL, rel=0.06)
    (large,) = simulated((T2,), replace(CHILD, spleen_mL=240.0, liver_mL=700.0))
    assert ml(large.labels, SPLEEN) == pytest.approx(240.0, rel=0.06)
    assert ml(large.labels, LIVER) == pytest.approx(700.0, rel=0.06)


def test_the_liver_is_on_the_right_and_the_spleen_on_the_left_behind():
    (made,) = simulated()
    liver, spleen = middle(made.labels, LIVER), middle(made.labels, SPLEEN)
    assert liver[0] > 15
    assert spleen[0] < -30
    assert spleen[1] < liver[1] - 10
    assert np.ptp(np.argwhere(made.labels.array == LIVER)[:, 0]) + 1 < made.labels.array.shape[0]
    # Lungs are above, so the last slice is darker than the liver's, and the body is surrounded by air.
    gray = made.volume.array
    k = round(np.argwhere(made.labels.array == LIVER)[:, 0].mean())
    assert gray[-1].mean() < gray[k].mean()
    assert np.median(gray[:, :3]) < 0.1 * np.median(gray[made.labels.array == LIVER])


def test_breathing_displaces_the_t1_and_not_the_t2():
    shifted = simulated((T2, T1), protocol=replace(PROTOCOL, breathing_mm=BREATHING))
    still = simulated((T2, T1))
    assert (shifted[0].labels.array == still[0].labels.array).all()
    for label in (LIVER, SPLEEN):
        way = middle(shifted[1].labels, label) - middle(still[1].labels, label)
        np.testing.assert_allclose(way, BREATHING, atol=0.7)
        np.testing.assert_allclose(middle(still[1].labels, label), middle(still[0].labels, label), atol=0.7)
    # The gray values move with their labels.
    assert over_liver(shifted[1], SPLEEN) == pytest.approx(over_liver(still[1], SPLEEN), rel=0.03)


def test_equal_arguments_give_equal_images_and_other_seeds_others():
    one, again = (simulate_images(CHILD, PLAIN, PROTOCOL, (T2, T1), SEED) for _ in range(2))
    for first, second in zip(one, again, strict=True):
        assert (first.volume.array == second.volume.array).all()
        assert (first.labels.array == second.labels.array).all()
    other = simulated((T2, T1), seed=SEED + 1)
    assert (other[0].labels.array != one[0].labels.array).mean() > 0.005


# --- contrast ---------------------------------------------------------------------------------------------------------


def test_the_spleen_is_bright_in_t2_and_dark_in_t1():
    made = dict(zip(("first", "T1", "T2", "suppressed", "opposed", "diffusion"), simulated(EVERY), strict=True))
    for name in ("first", "T2", "suppressed"):
        assert 1.5 < over_liver(made[name], SPLEEN) < 2.8, name
    for name in ("T1", "opposed"):
        assert 0.6 < over_liver(made[name], SPLEEN) < 0.9, name


def test_fluid_is_bright_in_t2_and_dark_in_t1_and_diffusion():
    first, t1, t2, _suppressed, opposed, diffusion = simulated(EVERY, WET)
    assert 20 < ml(first.labels, ASCITES) < 300
    bright, dark = (first, t2), (t1, opposed, diffusion)
    for made in bright:
        assert over_fluid(made) > 2.5
    for made in dark:
        assert over_fluid(made) < 0.85


def over_fluid(made: SimulatedImage) -> float:
    """Brightness of fluid, without its rim, over the liver's."""
    gray, labels = made.volume.array, made.labels.array
    inside = ndimage.binary_erosion(labels == ASCITES, np.ones((1, 3, 3), bool))
    assert np.count_nonzero(inside) > 30
    return float(np.median(gray[inside]) / np.median(gray[core(labels == LIVER)]))


def test_fat_suppression_takes_the_fat_and_leaves_the_organs():
    _, t1, t2, suppressed, _, _ = simulated(EVERY)
    step = t1.volume.grid.spacing
    body = np.stack(
        [ndimage.binary_fill_holes(one) for one in t1.volume.array > 0.4 * np.percentile(t1.volume.array, 95)]
    )
    depth = ndimage.distance_transform_edt(body, (1e3, step[1], step[0]))
    fat = (depth > 3) & (depth < 7)
    ratios = [
        np.median(one.volume.array[fat]) / np.median(one.volume.array[core(one.labels.array == LIVER)])
        for one in (t2, suppressed)
    ]
    assert ratios[1] < 0.5 * ratios[0]
    assert over_liver(suppressed, SPLEEN) == pytest.approx(over_liver(t2, SPLEEN), rel=0.1)


def test_a_fatty_liver_is_dark_in_opposed_phase_only():
    fatty = replace(PLAIN, state=LiverState(fat=0.3))
    _, t1, _, _, opposed, _ = simulated(EVERY, look=fatty)
    plain = simulated(EVERY)
    assert over_liver(opposed, SPLEEN) > 2 * over_liver(plain[4], SPLEEN)
    assert over_liver(t1, SPLEEN) < over_liver(plain[1], SPLEEN)


def test_iron_darkens_the_liver_in_every_image():
    loaded = simulated((T2, T1), look=replace(PLAIN, state=LiverState(iron=0.7)))
    for made, plain in zip(loaded, simulated((T2, T1)), strict=True):
        assert over_liver(made, SPLEEN) > 1.4 * over_liver(plain, SPLEEN)


def test_a_longer_t2_brightens_the_liver_in_t2_and_not_in_t1():
    stiff = simulated((T2, T1), look=replace(PLAIN, state=LiverState(t2_prolongation=0.3)))
    plain = simulated((T2, T1))
    assert over_liver(stiff[0], SPLEEN) < 0.8 * over_liver(plain[0], SPLEEN)
    assert over_liver(stiff[1], SPLEEN) > 1.05 * over_liver(plain[1], SPLEEN)


@pytest.mark.parametrize("tesla", [1.5, 3.0])
def test_signals_are_those_of_the_equations(tesla):
    """In the limits that need no formula: nothing relaxed, everything relaxed, fat and water alike."""
    long = Sequence("T2", 1e6, 0.0)
    assert tissue_signal(0.8, 600, 50, 0.3, long, tesla) == pytest.approx(0.8)
    assert tissue_signal(0.8, 600, 50, 0.0, replace(long, echo=5000.0), tesla) == pytest.approx(0.0, abs=1e-6)
    assert tissue_signal(0.8, 600, 50, 1.0, replace(long, fat_suppression=1.0), tesla) == pytest.approx(0.0)
    gradient = Sequence("T1", 1e6, 0.0, 90.0)
    assert tissue_signal(0.8, 600, 50, 0.3, gradient, tesla) == pytest.approx(0.8)
    half = tissue_signal(0.8, 600, 50, 0.5, replace(gradient, opposed=True), tesla)
    assert half == pytest.approx(0.0, abs=1e-9)
    quick = replace(gradient, repetition=5.0, flip_degrees=10.0)
    assert tissue_signal(1.0, 300, 50, 0.0, quick, tesla) > tissue_signal(1.0, 1200, 50, 0.0, quick, tesla) > 0
    table = signals(T2, tesla, LiverState(), NO_VARIATION)
    assert set(table) == set(TISSUES)
    assert table["air"] == table["gas"] == 0.0
    assert signals(replace(T2, artery=0.1), tesla, LiverState(), NO_VARIATION)["aorta"] == pytest.approx(
        0.1 * table["aorta"]
    )


def test_noise_and_shading_are_as_strong_as_asked():
    noisy, quiet = (simulated((T2,), protocol=replace(PROTOCOL, noise=noise))[0] for noise in (0.15, 0.02))
    assert spread(noisy) == pytest.approx(np.hypot(spread(quiet), 0.15), rel=0.15)
    shaded = simulated((T2,), protocol=replace(PROTOCOL, shading=0.5))[0]
    ratio = (
        shaded.volume.array[core(shaded.labels.array == LIVER)] / quiet.volume.array[core(quiet.labels.array == LIVER)]
    )
    assert np.std(np.log(ratio)) > 0.08


# --- signs ------------------------------------------------------------------------------------------------------------


def test_nodules_roughen_the_surface_and_keep_the_volume():
    smooth, nodular = (simulated((T2,), replace(CHILD, nodularity_mm=mm))[0] for mm in (0.1, 3.0))
    assert roughness(nodular.labels) > 1.5 * roughness(smooth.labels)
    assert ml(nodular.labels, LIVER) == pytest.approx(ml(smooth.labels, LIVER), rel=0.05)


def test_septa_raise_the_spread_inside_the_liver_and_nowhere_else():
    plain, fibrous = (simulated((T2, T1), look=replace(PLAIN, texture=texture)) for texture in (0.03, 0.4))
    for one, other in zip(plain, fibrous, strict=True):
        assert spread(other) > spread(one) + 0.003
        outside = ndimage.binary_dilation(one.labels.array == LIVER, iterations=3)
        apart = other.volume.array[~outside].astype(float) - one.volume.array[~outside]
        assert np.abs(apart).mean() < 0.01 * one.volume.array[~outside].mean()
    assert spread(fibrous[0]) > spread(plain[0]) + 0.03


def test_a_shift_of_the_lobes_moves_the_liver_to_the_left():
    before, after = (simulated((T2,), replace(CHILD, lobe_shift=shift))[0] for shift in (0.05, 1.0))
    assert middle(after.labels, LIVER)[0] < middle(before.labels, LIVER)[0] - 4


def test_lesions_are_part_of_the_liver():
    made = simulated((T2,), look=replace(PLAIN, lesions=6))[0]
    plain = simulated()[0]
    assert ml(made.labels, LIVER) == pytest.approx(ml(plain.labels, LIVER), rel=0.02)
    both = core((made.labels.array == LIVER) & (plain.labels.array == LIVER))
    changed = made.volume.array[both] > 1.5 * plain.volume.array[both]
    assert changed.mean() > 0.01


# --- real anatomies ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def anatomy() -> RealAnatomy:
    """A simulated T2 with fat suppression stands for the real one; a ball under the liver's right side is a kidney."""
    (made,) = simulated((T2_SUPPRESSED,), replace(CHILD, liver_mL=420.0))
    labels = made.labels.array.copy()
    inside = labels == LIVER
    k, j, i = np.argwhere(ndimage.binary_dilation(inside, iterations=3) & (labels == 0))[0]
    z, y, x = np.ogrid[tuple(slice(n) for n in labels.shape)]
    ball = ((z - k) * 6.0) ** 2 + ((y - j) * 2.0) ** 2 + ((x - i) * 2.0) ** 2 < 22.0**2
    labels[ball & (labels == 0)] = KIDNEY
    return RealAnatomy("phantom", made.volume, Volume(labels, made.labels.ijk_to_ras, "labels"))


def examined(anatomy: RealAnatomy, breathing=(0.0, 0.0, 0.0), **signs) -> list[SimulatedImage]:
    base = draw_examination(3)
    plain = {"log_nodularity": -3.0, "lobe_shift": 0.05, "log_spleen": 0.0, "ascites": False, "t2_prolongation": 0.0}
    examination = replace(
        base,
        signs=replace(base.signs, **{**plain, **signs}),
        protocol=replace(PROTOCOL, breathing_mm=breathing),
        look=PLAIN,
    )
    return examine_real(anatomy, examination)


def test_without_signs_a_real_anatomy_stays_as_it_is(anatomy):
    t2, t1 = examined(anatomy)
    assert t2.labels.grid.same_as(anatomy.image.grid)
    for label in (LIVER, SPLEEN):
        before, after = anatomy.labels.array == label, t2.labels.array == label
        assert 2 * np.count_nonzero(before & after) > 0.97 * (np.count_nonzero(before) + np.count_nonzero(after))
    far = ~ndimage.binary_dilation(np.isin(anatomy.labels.array, (LIVER, SPLEEN)), iterations=6)
    assert (t2.volume.array[far] == anatomy.image.array[far]).all()
    assert not (t2.labels.array == ASCITES).any()
    np.testing.assert_allclose(t1.volume.grid.spacing, [2.4, 2.4, 5.0])


@pytest.mark.parametrize("ratio", [0.7, 1.0, 1.8])
def test_a_real_spleen_gets_the_volume_of_the_sign(anatomy, ratio):
    t2, t1 = examined(anatomy, log_spleen=np.log(ratio))
    wanted = ratio * np.count_nonzero(anatomy.labels.array == SPLEEN) * anatomy.image.grid.voxel_volume_ml
    assert ml(t2.labels, SPLEEN) == pytest.approx(wanted, rel=0.05)
    assert ml(t1.labels, SPLEEN) == pytest.approx(wanted, rel=0.1)
    assert over_liver(t2, SPLEEN) > 1.4


def test_real_organs_do_not_grow_into_others(anatomy):
    t2, _ = examined(anatomy, log_spleen=1.2, log_nodularity=1.2, lobe_shift=1.5, ascites=True)
    kidney = anatomy.labels.array == KIDNEY
    assert np.count_nonzero(kidney) > 300
    assert not t2.labels.array[kidney].any()
    deep = ndimage.binary_erosion(kidney, iterations=2)
    assert (t2.volume.array[deep] == anatomy.image.array[deep]).mean() > 0.95
    assert not (t2.labels.array[anatomy.body < 3] > 0).any()


def test_a_real_surface_turns_nodular_and_the_left_side_grows(anatomy):
    smooth, nodular, shifted = (
        examined(anatomy, **signs)[0].labels for signs in ({}, {"log_nodularity": 1.1}, {"lobe_shift": 1.2})
    )
    assert roughness(nodular) > 1.3 * roughness(smooth)
    assert middle(shifted, LIVER)[0] < middle(smooth, LIVER)[0] - 1.0


def test_real_ascites_lies_around_the_organs_bright_in_t2_and_dark_in_t1(anatomy):
    t2, t1 = examined(anatomy, ascites=True)
    assert ml(t2.labels, ASCITES) > 30
    organs = np.isin(t2.labels.array, (LIVER, SPLEEN))
    distance = ndimage.distance_transform_edt(~organs, t2.labels.grid.spacing[::-1])
    assert distance[t2.labels.array == ASCITES].max() < 30
    assert over_fluid(t2) > 2.0
    assert over_fluid(t1) < 0.8
    assert over_liver(t1, SPLEEN) < 0.95


def test_breathing_displaces_a_real_anatomys_t1(anatomy):
    way = middle(examined(anatomy, BREATHING)[1].labels, LIVER) - middle(examined(anatomy)[1].labels, LIVER)
    np.testing.assert_allclose(way, BREATHING, atol=1.0)


# --- on disk ----------------------------------------------------------------------------------------------------------


def test_a_cohort_is_written_resumed_and_read(tmp_path, monkeypatch):
    def small(seed: int):
        return replace(draw_examination(seed), parameters=CHILD, protocol=PROTOCOL, look=PLAIN)

    monkeypatch.setattr(patients, "draw_examination", small)
    path = write_cohort(tmp_path, range(4, 5))
    stored = tmp_path / "simulated_00004" / "t2.nii.gz"
    before = stored.stat().st_mtime_ns
    (tmp_path / "simulated_00005").mkdir()  # as an interrupted run leaves it
    (tmp_path / "simulated_00005" / "t2.nii.gz").write_bytes(b"half")
    assert write_cohort(tmp_path, range(4, 6)) == path
    assert stored.stat().st_mtime_ns == before
    cases = read_cohort(path, ("t2", "t1", "labels", "clinical"))
    assert [case.case for case in cases] == ["simulated_00004", "simulated_00005"]
    for seed, case in zip((4, 5), cases, strict=True):
        truth = small(seed)
        assert case.is_simulated
        assert float(case.values["mre_kpa"]) == pytest.approx(truth.measured_kpa, abs=1e-4)
        assert json.loads(case.files["clinical"].read_text()) == patients.draw_clinical(truth)
        t2, t1 = (read_volume(case.files[name], "MR") for name in ("t2", "t1"))
        labels = read_volume(case.files["labels"], "labels")
        assert labels.grid.same_as(t2.grid, 1e-2)
        assert not labels.grid.same_as(t1.grid, 1e-2)
        assert ml(labels, LIVER) == pytest.approx(float(case.values["liver_ml"]), rel=1e-3)
        assert middle(labels, LIVER)[0] > 15 > 0 > middle(labels, SPLEEN)[0]
