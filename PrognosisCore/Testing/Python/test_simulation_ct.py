"""The simulated abdominal CT: reproducible, anatomically oriented, with volumes and HU that can be relied on."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from PrognosisLib.errors import InputError
from PrognosisLib.simulation.anatomy import LABELS, AbdomenParameters
from PrognosisLib.simulation.ct import HU, SimulatedCT, simulate_abdomen

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "abdomen-ct" / "btcv"
COARSE = (6.0, 6.0, 6.0)
QUIET = AbdomenParameters(noise_hu=0.0, kernel_mm=0.4)


@cache
def simulated(parameters: AbdomenParameters = QUIET, seed: int = 3, spacing=COARSE) -> SimulatedCT:
    return simulate_abdomen(parameters, seed, spacing=spacing)


def volume_mL(ct: SimulatedCT, name: str) -> float:
    return float(np.count_nonzero(ct.labels == LABELS[name]) * abs(np.linalg.det(ct.ijk_to_ras[:3, :3])) / 1000)


def centroid_ras(labels: np.ndarray, label: int, ijk_to_ras: np.ndarray) -> np.ndarray:
    kji = np.argwhere(labels == label).mean(0)
    return (ijk_to_ras @ [*kji[::-1], 1.0])[:3]


def test_same_seed_same_scan_other_seed_other_scan():
    first, again = (simulate_abdomen(AbdomenParameters(), 5, spacing=(8, 8, 8)) for _ in range(2))
    assert np.array_equal(first.hu, again.hu)
    assert np.array_equal(first.labels, again.labels)
    assert first.truth == again.truth
    other = simulate_abdomen(AbdomenParameters(), 6, spacing=(8, 8, 8))
    assert np.mean(first.labels != other.labels) > 0.02


def test_sampled_patients_are_reproducible_and_differ():
    one, two = (AbdomenParameters.sample(np.random.default_rng(1)) for _ in range(2))
    assert one == two
    rng = np.random.default_rng(0)
    drawn = [AbdomenParameters.sample(rng) for _ in range(400)]
    volumes = np.array([p.spleen_mL for p in drawn])
    assert volumes.max() > 2000
    assert 120 < np.median(volumes[volumes > 0]) < 450
    assert {p.phase for p in drawn} == {"none", "arterial", "portal venous", "delayed"}
    assert {p.coverage for p in drawn} == {"chest-abdomen-pelvis", "abdomen", "tight", "pelvis", "chest"}


def test_grid_types_and_shapes():
    ct = simulated()
    assert ct.hu.shape == ct.labels.shape
    assert ct.hu.dtype == np.int16
    assert ct.labels.dtype == np.uint8
    assert ct.ijk_to_ras.shape == (4, 4)
    assert np.linalg.norm(ct.ijk_to_ras[:3, :3], axis=0) == pytest.approx(COARSE)
    assert ct.hu.min() < -950
    assert set(np.unique(ct.labels)) <= set(LABELS.values())


def test_every_organ_is_present_in_an_abdominal_scan():
    ct = simulated()
    for name, low, high in [
        ("right kidney", 80, 260),
        ("left kidney", 80, 260),
        ("gallbladder", 5, 90),
        ("esophagus", 5, 60),
        ("stomach", 100, 700),
        ("aorta", 50, 180),
        ("inferior vena cava", 40, 170),
        ("portal and splenic vein", 12, 80),
        ("pancreas", 30, 130),
    ]:
        assert low < volume_mL(ct, name) < high, name


@pytest.mark.parametrize("target", [50, 180, 450, 1000, 1800, 3000])
def test_requested_spleen_volume_is_reached(target):
    ct = simulate_abdomen(replace(QUIET, spleen_mL=target, coverage="tight"), target, spacing=COARSE)
    assert ct.truth["spleen_mL"] == pytest.approx(target, rel=0.05)
    assert volume_mL(ct, "spleen") == pytest.approx(target, rel=0.1)


def test_difficult_spleens_keep_their_volume():
    hard = replace(QUIET, spleen_mL=350, spleen_tip=1.0, left_lobe_reach=1.0, spleen_lobulation=1.0, spleen_cleft=1.0)
    ct = simulated(hard, 8, (5.0, 5.0, 5.0))
    assert volume_mL(ct, "spleen") == pytest.approx(350, rel=0.08)
    plain = simulated(replace(hard, spleen_tip=0.0), 8, (5.0, 5.0, 5.0))
    front = [np.argwhere(c.labels == LABELS["spleen"])[:, 1].min() for c in (ct, plain)]
    assert front[0] < front[1] - 4, "the tip reaches forward"


def test_label_volumes_agree_with_the_truth():
    ill = replace(QUIET, cirrhosis=0.8, liver_mL=1100, ascites_mL=1500, coverage="chest-abdomen-pelvis")
    ct = simulated(ill, 4, (5.0, 5.0, 5.0))
    for name in ("spleen", "liver", "ascites"):
        assert volume_mL(ct, name) == pytest.approx(ct.truth[f"{name}_mL"], rel=0.05), name
    assert ct.truth["liver_mL"] == pytest.approx(1100, rel=0.1)
    assert 750 < ct.truth["ascites_mL"] < 3000
    assert ct.truth["cirrhosis_grade"] == 3


def test_thick_slices_keep_the_volumes():
    scan = replace(QUIET, matrix=160, slice_spacing_mm=6.0, slice_thickness_mm=6.0, coverage="tight")
    ct = simulate_abdomen(scan, 3)
    assert ct.hu.shape[1:] == (160, 160)
    assert np.linalg.norm(ct.ijk_to_ras[:3, :3], axis=0) == pytest.approx((2.5, 2.5, 6))
    for name in ("spleen", "liver"):
        assert volume_mL(ct, name) == pytest.approx(ct.truth[f"{name}_mL"], rel=0.02), name


@pytest.mark.parametrize("phase", ["none", "arterial", "portal venous", "delayed"])
def test_hu_by_organ_and_phase(phase):
    ct = simulated(replace(QUIET, phase=phase))
    column = ("none", "arterial", "portal venous", "delayed").index(phase)
    for name, material in [
        ("spleen", "spleen"),
        ("liver", "liver"),
        ("aorta", "aorta"),
        ("muscle", "muscle"),
        ("fat", "fat"),
    ]:
        expected = HU[material][column]
        got = np.median(ct.hu[ct.labels == LABELS[name]])
        assert got == pytest.approx(expected, abs=12 + 0.15 * abs(expected)), name
    assert np.median(ct.hu[ct.labels == LABELS["lung"]]) < -750
    assert np.median(ct.hu[ct.labels == LABELS["bone"]]) > 150
    aorta, liver = (np.median(ct.hu[ct.labels == LABELS[n]]) for n in ("aorta", "liver"))
    assert (aorta > liver) == (phase != "none")


def test_noise_has_the_requested_size_in_the_middle():
    quiet, noisy = (simulated(replace(QUIET, noise_hu=n)) for n in (0.0, 20.0))
    inside = quiet.labels == LABELS["liver"]
    assert np.std((noisy.hu.astype(int) - quiet.hu)[inside]) == pytest.approx(20, rel=0.2)


def test_laterality():
    for flips in [(False,) * 3, (True, False, True)]:
        ct = simulated(replace(QUIET, flips=flips))
        center = {
            n: centroid_ras(ct.labels, LABELS[n], ct.ijk_to_ras)
            for n in ("liver", "spleen", "right kidney", "left kidney")
        }
        assert center["liver"][0] > center["spleen"][0] + 80
        assert center["right kidney"][0] > center["left kidney"][0] + 80
        assert center["liver"][1] > center["spleen"][1] + 20, "the spleen lies behind"
        assert center["spleen"][2] > center["left kidney"][2]


def test_flips_change_the_matrix_not_the_anatomy():
    plain = simulated(replace(QUIET, noise_hu=20.0))
    flipped = simulated(replace(QUIET, noise_hu=20.0, flips=(True, False, True)))
    assert np.array_equal(flipped.hu, plain.hu[::-1, :, ::-1])
    assert np.array_equal(flipped.labels, plain.labels[::-1, :, ::-1])
    for name in ("spleen", "liver"):
        one, two = (centroid_ras(c.labels, LABELS[name], c.ijk_to_ras) for c in (plain, flipped))
        assert one == pytest.approx(two, abs=1e-6)


def test_oblique_scan_moves_the_frame_not_the_voxels():
    plain = simulated()
    turned = simulated(replace(QUIET, oblique_degrees=(3.0, -4.0, 5.0), origin_mm=(100.0, -20.0, 640.0)))
    assert np.array_equal(plain.labels, turned.labels)
    assert np.linalg.det(turned.ijk_to_ras[:3, :3]) == pytest.approx(np.linalg.det(plain.ijk_to_ras[:3, :3]))
    assert not np.allclose(plain.ijk_to_ras, turned.ijk_to_ras)


@pytest.mark.parametrize("coverage", ["pelvis", "chest"])
@pytest.mark.parametrize("spleen_mL", [200.0, 2800.0])
def test_scans_without_the_spleen(coverage, spleen_mL):
    ct = simulated(replace(QUIET, coverage=coverage, spleen_mL=spleen_mL))
    assert not np.any(ct.labels == LABELS["spleen"])
    assert ct.truth["spleen_mL"] == 0
    assert ct.truth["spleen_whole_mL"] == spleen_mL


def test_after_splenectomy():
    ct = simulated(replace(QUIET, spleen_mL=0.0))
    assert ct.truth["spleen_mL"] == 0
    assert not np.any(ct.labels == LABELS["spleen"])
    assert volume_mL(ct, "liver") == pytest.approx(1500, rel=0.1)


def test_max_size_bounds_every_axis_and_keeps_the_field_of_view():
    ct = simulate_abdomen(QUIET, 1, max_size=48)
    assert max(ct.hu.shape) <= 48
    step = np.linalg.norm(ct.ijk_to_ras[:3, :3], axis=0)
    assert step[0] * ct.hu.shape[2] == pytest.approx(400, abs=step[0])


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"phase": "late"}, "phase"),
        ({"coverage": "knee"}, "coverage"),
        ({"spleen_mL": 9000.0}, "spleen"),
        ({"stomach_content": "x"}, "stomach"),
    ],
)
def test_bad_parameters_are_refused(change, word):
    with pytest.raises(InputError, match=word):
        simulate_abdomen(replace(QUIET, **change), 1)


@pytest.mark.parametrize("options", [{"spacing": (1.0, -1.0, 1.0)}, {"max_size": 2}])
def test_bad_grids_are_refused(options):
    with pytest.raises(InputError):
        simulate_abdomen(QUIET, 1, **options)


@pytest.mark.real
@pytest.mark.skipif(not SHARED.is_dir(), reason="the BTCV cases are not in ../shared/data")
def test_same_sides_and_places_as_a_real_patient():
    import SimpleITK as sitk

    image = sitk.ReadImage(str(SHARED / "btcv_00_labels.nii.gz"))
    lps = np.eye(4)
    lps[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) @ np.diag(image.GetSpacing())
    lps[:3, 3] = image.GetOrigin()
    real_matrix = np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps
    real_labels = sitk.GetArrayViewFromImage(image)
    ct = simulated()
    organs = ("liver", "spleen", "right kidney", "left kidney", "stomach", "aorta", "pancreas")
    real, ours = (
        np.array([centroid_ras(labels, LABELS[n], matrix) for n in organs])
        for labels, matrix in ((real_labels, real_matrix), (ct.labels, ct.ijk_to_ras))
    )
    assert real[0, 0] > real[1, 0], "x grows to the patient's right in RAS"
    difference = (ours - ours.mean(0)) - (real - real.mean(0))
    assert np.abs(difference).max() < 45
