"""Simulated heads and hemorrhages: volumes, places, sides, geometry, and the causal model of growth."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from ich_heads import BLEED, HEAD, SCAN, SEED, simulated, truth_of
from scipy import ndimage

from ICHExpansionLib.labels import BACKGROUND, EDEMA, EXTRA_AXIAL, HEMATOMA, VENTRICULAR
from ICHExpansionLib.simulation.bleed import (
    EXTRA_AXIAL as EXTRA_AXIAL_KINDS,
)
from ICHExpansionLib.simulation.bleed import LARGEST_ML, LOCATIONS, BleedParameters, sample_bleed, sample_center
from ICHExpansionLib.simulation.causes import (
    ImageCauses,
)
from ICHExpansionLib.simulation.head import HeadParameters
from ICHExpansionLib.simulation.patients import simulate_bloodless, simulate_patient, write_cohort
from ICHExpansionLib.simulation.scan import ScanParameters, followup_of, simulate_head
from PrognosisLib.cohort import read_cohort
from PrognosisLib.images.readers import read_volume
from PrognosisLib.volume import Grid

FLIPS = [tuple(bool(n >> a & 1) for a in range(3)) for n in range(8)]


def points_of(made, mask: np.ndarray) -> np.ndarray:
    return Grid(mask.shape, made.ijk_to_ras).to_ras(np.argwhere(mask))


def labeled_ml(made, label: int = HEMATOMA) -> float:
    return float(np.count_nonzero(truth_of(made, label))) * made.volume().grid.voxel_volume_ml


# --- the same and another ---------------------------------------------------------------------------------------------


def test_equal_arguments_give_equal_scans_and_other_seeds_others():
    one, again = (simulate_head(HEAD, BLEED, SCAN, SEED) for _ in range(2))
    for name in ("hu", "labels", "clean", "ijk_to_ras"):
        assert (getattr(one, name) == getattr(again, name)).all()
    assert one.truth == again.truth
    other = simulate_head(HEAD, BLEED, SCAN, SEED + 1)
    assert (other.clean != one.clean).mean() > 0.1


def test_patients_are_determined_by_their_seed():
    one, again, other = (simulate_patient(seed, 3.0) for seed in (4, 4, 5))
    assert one.clinical == again.clinical
    assert one.truth == again.truth
    assert (one.first.hu == again.first.hu).all()
    assert (one.followup.hu == again.followup.hu).all()
    assert one.truth != other.truth
    bare = simulate_patient(4, 3.0, followup=False)
    assert bare.followup is None
    assert (bare.first.hu == one.first.hu).all()
    assert bare.clinical == one.clinical
    assert {key: one.truth[key] for key in bare.truth} == bare.truth


# --- volumes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("location", "center", "ml"),
    [
        ("putamen", (28.0, 2.0, 6.0), 3.0),
        ("putamen", (-27.0, 4.0, 4.0), 60.0),
        ("thalamus", (-13.0, -12.0, 7.0), 12.0),
        ("lobar", (40.0, -30.0, 35.0), 30.0),
        ("cerebellum", (18.0, -52.0, -44.0), 15.0),
    ],
)
def test_a_hematoma_has_the_volume_that_was_asked_for(location, center, ml):
    bleed = replace(BLEED, location=location, center=center, volume_ml=ml)
    made = simulated(bleed, pixel_mm=1.2, columns=160, rows=190, slice_mm=4.0)
    assert made.truth["hematoma"] == pytest.approx(ml, rel=0.03)
    assert labeled_ml(made) == pytest.approx(ml, rel=0.06)
    middle = points_of(made, truth_of(made)).mean(axis=0)
    # Scaled heads and walls that hold it back move it, but not to elsewhere.
    assert np.linalg.norm(middle - center) < 9.0


@pytest.mark.parametrize(
    "extra", [{"irregularity": 1.0}, {"buds": 3, "islands": 3}, {"swirl": 25.0, "black_hole": 30.0}]
)
def test_signs_do_not_change_the_volume(extra):
    made = simulated(replace(BLEED, **extra), pixel_mm=1.5, columns=128, rows=152, slice_mm=4.0)
    assert made.truth["hematoma"] == pytest.approx(28.0, rel=0.03)


def test_grown_is_the_same_hemorrhage_larger():
    later = BLEED.grown(1.5)
    assert later.volume_ml == pytest.approx(42.0)
    assert later.edema_mm > BLEED.edema_mm
    assert replace(later, volume_ml=BLEED.volume_ml, edema_mm=BLEED.edema_mm) == BLEED
    first, second = simulated(), simulated(later)
    assert second.truth["hematoma"] == pytest.approx(42.0, rel=0.03)
    assert (truth_of(second) & truth_of(first)).sum() > 0.97 * truth_of(first).sum()
    assert second.truth["edema"] > first.truth["edema"]


def test_a_hematoma_beyond_the_scan_counts_only_what_is_scanned():
    cut, whole = simulated(top_mm=7.0), simulated(top_mm=82.0)
    assert 0.4 * 28 < cut.truth["hematoma"] < 0.7 * 28
    assert labeled_ml(cut) == pytest.approx(cut.truth["hematoma"], rel=0.1)
    # What is scanned is scanned alike.
    same = whole.labels[: len(cut.labels)]
    assert 2 * (truth_of(cut) & (same == HEMATOMA)).sum() > 0.95 * (truth_of(cut).sum() + (same == HEMATOMA).sum())
    assert simulated(top_mm=-30.0).truth["hematoma"] == 0.0


# --- densities and places ---------------------------------------------------------------------------------------------


def test_labels_sit_on_their_densities():
    made = simulated(replace(BLEED, ventricular=0.5))
    hu = made.clean
    blood, edema, ventricular = (hu[truth_of(made, label)] for label in (HEMATOMA, EDEMA, VENTRICULAR))
    assert blood.mean() == pytest.approx(BLEED.hu, abs=4.0)
    assert np.percentile(blood, 2) > 40
    assert 14 < edema.mean() < 30
    assert 45 < ventricular.mean() < 70
    inside = truth_of(made, HEMATOMA)
    around = ndimage.binary_dilation(inside, iterations=3) & (made.labels == BACKGROUND)
    assert hu[around].mean() < 45
    noise = made.hu.astype(float) - hu
    assert noise.std() == pytest.approx(1.0, abs=0.25)
    assert made.hu.dtype == np.int16
    assert made.labels.dtype == np.uint8


@pytest.mark.parametrize("flips", FLIPS)
@pytest.mark.parametrize("side", [1, -1])
def test_a_hematoma_lies_on_the_side_that_was_asked_for(flips, side):
    bleed = replace(BLEED, center=(side * 28.0, 2.0, 6.0))
    made = simulated(bleed, flips=flips, pixel_mm=3.0, columns=64, rows=75, slice_mm=8.0)
    middle = points_of(made, truth_of(made)).mean(axis=0)
    np.testing.assert_allclose(middle, bleed.center, atol=5.0)
    assert np.sign(np.diag(made.ijk_to_ras)[:3]).tolist() == [-1.0 if flip else 1.0 for flip in flips]
    straight = simulated(bleed, flips=(False,) * 3, pixel_mm=3.0, columns=64, rows=75, slice_mm=8.0)
    axes = tuple(2 - a for a in range(3) if flips[a])
    assert (np.flip(made.labels, axes) == straight.labels).all()
    assert (np.flip(made.hu, axes) == straight.hu).all()


def test_the_anatomy_is_symmetric_from_left_to_right():
    """But for random fields: skull, ventricles and brain have no side."""
    made = simulated(None, columns=97)
    mirrored = made.clean[:, :, ::-1]
    for low, high in ((-2000, -500), (300, 2000), (20, 45), (0, 12)):
        one, other = ((image >= low) & (image < high) for image in (made.clean, mirrored))
        overlap = 2 * (one & other).sum() / (one.sum() + other.sum())
        assert overlap > (0.4 if high == 12 else 0.85), (low, high)  # sulci are random, ventricles are not
    brain = (made.clean > 0) & (made.clean < 80)
    assert abs(points_of(made, brain)[:, 0].mean()) < 1.0


def test_edema_lies_around_the_hematoma_and_not_in_the_ventricles():
    made, bare = simulated(), simulated(None)
    edema, blood = truth_of(made, EDEMA), truth_of(made)
    spacing = made.volume().grid.spacing[::-1]
    distance = ndimage.distance_transform_edt(~blood, sampling=spacing)
    assert distance[edema].max() < 18.0
    assert np.median(distance[edema]) < 7.0
    touching = ndimage.binary_dilation(blood, np.ones((1, 3, 3), bool)) & ~blood
    assert (edema & touching).sum() > 0.5 * touching.sum()
    assert made.clean[edema].min() > 8.0
    thick = simulated(replace(BLEED, edema_mm=8.0))
    assert thick.truth["edema"] > 1.6 * made.truth["edema"]
    assert made.truth["ventricular"] == bare.truth["edema"] == 0.0


def test_blood_in_the_ventricles_fills_their_share():
    some, more = (simulated(replace(BLEED, ventricular=share)) for share in (0.2, 0.8))
    assert 0 < some.truth["ventricular"] < more.truth["ventricular"]
    ratio = more.truth["ventricular"] / some.truth["ventricular"]
    assert 2.5 < ratio < 6.0
    # It was fluid before.
    bare = simulated(None)
    small = simulated(replace(BLEED, volume_ml=1.0, center=(40.0, 30.0, 30.0), location="lobar", ventricular=0.8))
    assert np.median(bare.clean[truth_of(small, VENTRICULAR)]) < 15.0


@pytest.mark.parametrize("kind", EXTRA_AXIAL_KINDS)
def test_extra_axial_blood_lies_outside_the_parenchyma(kind):
    made = simulate_head(HEAD, None, SCAN, 5, kind)
    bare = simulate_head(HEAD, None, SCAN, 5)
    where = truth_of(made, EXTRA_AXIAL)
    assert made.truth["extra_axial"] > 2.0
    assert not truth_of(made, HEMATOMA).any()
    assert made.clean[where].mean() > bare.clean[where].mean() + 15
    bone = bare.clean > 250
    skull = ndimage.distance_transform_edt(~bone, sampling=bare.volume().grid.spacing[::-1])
    if kind == "subarachnoid":
        # In sulci and cisterns: fluid before.
        assert np.median(bare.clean[where]) < 25
    else:
        right = points_of(made, where)[:, 0]
        assert (right > 0).all() or (right < 0).all()
        assert skull[where].max() < 32.0
        assert np.median(skull[where]) < 14.0


# --- geometry ---------------------------------------------------------------------------------------------------------


def test_a_tilted_gantry_gives_a_sheared_matrix_and_the_same_blood():
    made, straight = simulated(tilt=20.0), simulated()
    columns = made.ijk_to_ras[:3, :3]
    assert abs(columns[:, 1] @ columns[:, 2]) > 0.3 * np.linalg.norm(columns[:, 1]) * np.linalg.norm(columns[:, 2])
    assert columns[:, 0] @ columns[:, 1] == pytest.approx(0.0)
    np.testing.assert_allclose(np.linalg.norm(columns, axis=0), [2.0, 2.0, 5.0])
    straight_columns = straight.ijk_to_ras[:3, :3]
    np.testing.assert_allclose(straight_columns.T @ straight_columns, np.diag([4.0, 4.0, 25.0]), atol=1e-9)
    one, other = (points_of(each, truth_of(each)).mean(axis=0) for each in (made, straight))
    np.testing.assert_allclose(one, other, atol=1.0)
    assert made.truth["hematoma"] == pytest.approx(straight.truth["hematoma"], rel=0.02)


def test_a_turned_and_moved_head_keeps_its_anatomy():
    from PrognosisLib.simulation.shapes import rotation

    turn, shift = (8.0, -5.0, 10.0), (4.0, -6.0, 3.0)
    made, straight = simulated(turn=turn, shift=shift), simulated()
    wanted = rotation(turn) @ points_of(straight, truth_of(straight)).mean(axis=0) + shift
    np.testing.assert_allclose(points_of(made, truth_of(made)).mean(axis=0), wanted, atol=1.0)
    assert made.truth["hematoma"] == pytest.approx(straight.truth["hematoma"], rel=0.02)


def test_the_follow_up_shows_the_same_head():
    """On the first scan's own lattice it would be the same but for the blood and what that pushes."""
    patient = simulate_patient(11, 3.0)
    assert patient.followup.head == patient.first.head
    assert patient.followup.bleed.seed == patient.first.bleed.seed
    assert patient.followup.bleed.center == patient.first.bleed.center
    later = simulate_head(patient.first.head, patient.followup.bleed, patient.first.scan, 11)
    skull = [(one.clean > 300) for one in (patient.first, later)]
    assert (skull[0] == skull[1]).mean() > 0.9999
    growth = patient.truth["growth_ml"]
    assert later.truth["hematoma"] - patient.first.truth["hematoma"] == pytest.approx(
        growth, abs=0.5 + 0.1 * abs(growth)
    )
    assert patient.truth["followup_true_ml"] == pytest.approx(patient.followup.truth["hematoma"], abs=1e-3)
    scan = followup_of(ScanParameters(pixel_mm=2.0), np.random.default_rng(0))
    assert scan.pixel_mm == 2.0
    assert scan.turn != ScanParameters().turn


def test_a_head_without_hemorrhage_has_none():
    for seed, extra in ((1, False), (2, True)):
        made = simulate_bloodless(seed, 3.0, extra)
        assert made.bleed is None
        assert not np.isin(made.labels, (HEMATOMA, VENTRICULAR, EDEMA)).any()
        assert (made.truth["extra_axial"] > 0) is extra
        assert (made.labels == EXTRA_AXIAL).any() == extra


# --- sampling ---------------------------------------------------------------------------------------------------------


def test_sampled_hemorrhages_are_plausible():
    drawn = [sample_bleed(np.random.default_rng(seed)) for seed in range(600)]
    volumes = np.array([one.volume_ml for one in drawn])
    # Published cohorts: median 11.7 mL, interquartile range 4.9 to 26.6.
    assert 9 < np.median(volumes) < 16
    assert 4 < np.percentile(volumes, 25) < 8
    assert 18 < np.percentile(volumes, 75) < 33
    for one in drawn:
        assert one.volume_ml <= LARGEST_ML[one.location]
        assert 0 <= one.irregularity <= 1
        if one.location in ("putamen", "lobar"):
            assert abs(one.center[0]) > 10
    assert {one.location for one in drawn} == set(LOCATIONS)
    right = np.mean([one.center[0] > 0 for one in drawn])
    assert 0.43 < right < 0.57
    for location in LOCATIONS:
        assert len(sample_center(location, np.random.default_rng(1))) == 3


# --- on disk ----------------------------------------------------------------------------------------------------------


def test_a_cohort_is_written_resumed_and_read(tmp_path):
    told: list[str] = []
    first = write_cohort(tmp_path, range(30, 31), 3.0, True, told.append)
    before = (tmp_path / "simulated_00030" / "ct.nii.gz").stat().st_mtime_ns
    (tmp_path / "simulated_00031").mkdir()  # as an interrupted run leaves it
    (tmp_path / "simulated_00031" / "ct.nii.gz").write_bytes(b"half")
    again = write_cohort(tmp_path, range(30, 32), 3.0, True, told.append)
    assert told == ["simulated_00030", "simulated_00031"]
    assert again == first
    assert (tmp_path / "simulated_00030" / "ct.nii.gz").stat().st_mtime_ns == before
    cases = read_cohort(again, ("ct", "labels", "followup", "followup_labels", "clinical"))
    assert [case.case for case in cases] == ["simulated_00030", "simulated_00031"]
    for seed, case in zip((30, 31), cases, strict=True):
        patient = simulate_patient(seed, 3.0)
        assert case.is_simulated
        assert json.loads(case.files["clinical"].read_text()) == patient.clinical
        assert float(case.values["true_volume_ml"]) == patient.truth["true_volume_ml"]
        assert ImageCauses.from_row(case.values).log_odds() == pytest.approx(
            patient.truth["true_image_log_odds"], abs=1e-3
        )
        image, labels = read_volume(case.files["ct"]), read_volume(case.files["labels"], "labels")
        assert image.grid.same_as(labels.grid, 1e-2)
        ml = np.count_nonzero(labels.array == HEMATOMA) * labels.grid.voxel_volume_ml
        assert ml == pytest.approx(labeled_ml(patient.first), rel=1e-4)
        side = points_of_volume(labels)[:, 0].mean()
        assert np.sign(side) == np.sign(points_of(patient.first, truth_of(patient.first))[:, 0].mean())
    bare = write_cohort(tmp_path / "bare", range(30, 31), 3.0, False)
    (case,) = read_cohort(bare, ("ct", "labels"))
    assert "followup" not in case.values
    assert "followup_true_ml" not in case.values


def points_of_volume(labels) -> np.ndarray:
    return labels.grid.to_ras(np.argwhere(labels.array == HEMATOMA))


def test_a_hand_made_head_may_have_everything():
    head = HeadParameters(
        calcified=("choroid", "pineal", "globus", "falx"), infarct=(-30.0, 20.0, 20.0, 15.0), atrophy=1.0
    )
    bleed = BleedParameters("thalamus", (-13.0, -12.0, 7.0), 12.0, fluid_level=20.0, swirl=20.0, ventricular=0.5)
    made = simulate_head(head, bleed, replace(SCAN, motion=3.0, beam_hardening=12.0, noise_hu=5.0), 3)
    assert made.truth["hematoma"] == pytest.approx(12.0, rel=0.03)
    assert np.isfinite(made.clean).all()
    assert ((made.clean > 100) & (made.clean < 330)).any()
