"""The shipped network on simulated examinations and real images: masks, orientations, sequences, edits, bad input."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from LiverStiffnessLib.demo import ASCITES_ML, BREATHING_MM, LIVER_ML, SPLEEN_ML, demo_case, images
from LiverStiffnessLib.labels import LIVER, LIVER_ON_T1, SPLEEN, THRESHOLDS_KPA
from LiverStiffnessLib.measuring.readout import PROBABILITIES
from LiverStiffnessLib.pipeline import StiffnessPipeline, default_settings
from LiverStiffnessLib.segmenting import network
from LiverStiffnessLib.simulation.causes import oracle
from LiverStiffnessLib.simulation.patients import Examination, draw_examination, examine
from PrognosisLib.errors import InputError
from PrognosisLib.evaluation.segmentation import dice
from PrognosisLib.findings import Findings
from PrognosisLib.images.readers import read_volume
from PrognosisLib.pipeline import Case, run
from PrognosisLib.systems import SYSTEMS
from PrognosisLib.volume import Volume

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
# Simulated examinations that neither the network nor its figures know.
SEED = 90_000
PATIENTS = 6


@cache
def pipeline() -> StiffnessPipeline:
    return SYSTEMS["stiffness"].make_pipeline()


def findings_of(volumes: dict[str, Volume], clinical: dict[str, Any] | None = None, **settings: Any) -> Findings:
    case = Case(volumes, clinical or {}, {**default_settings(), "device": "cpu", **settings})
    return run(pipeline(), case)


@cache
def demo() -> tuple[dict[str, Volume], dict[str, Any]]:
    return demo_case()


@cache
def found(*roles: str) -> Findings:
    volumes, clinical = demo()
    return findings_of({role: volumes[role] for role in roles or ("t2", "t1")}, clinical)


def keys(findings: Findings) -> set[str]:
    return {flag.key for flag in findings.flags}


def overlap(findings: Findings, name: str, truth: np.ndarray) -> float:
    return dice(findings.mask(name).full() > 0, truth)


# --- the demo case ----------------------------------------------------------------------------------------------------


def test_liver_and_spleen_are_found_where_they_are():
    truth = images()[0].labels.array
    assert overlap(found(), "Liver", truth == LIVER) > 0.90
    assert overlap(found(), "Spleen", truth == SPLEEN) > 0.88
    assert found().value("liver_volume") == pytest.approx(LIVER_ML, rel=0.15)
    assert found().value("spleen_volume") == pytest.approx(SPLEEN_ML, rel=0.15)
    assert 0 < found().value("ascites_volume") < ASCITES_ML
    assert "often missed" in found().measurement("ascites_volume").note


def test_the_liver_is_carried_to_the_t1_over_the_breathing_shift():
    t1 = images()[1].labels
    liver, carried = found().mask("Liver"), found().mask(LIVER_ON_T1)
    centers = [mask.cropped_grid.to_ras(np.argwhere(mask.array)).mean(axis=0) for mask in (liver, carried)]
    truth = t1.grid.to_ras(np.argwhere(t1.array == LIVER)).mean(axis=0)
    assert np.abs(centers[1] - truth).max() < 6.0
    assert centers[1][2] - centers[0][2] == pytest.approx(BREATHING_MM[2], abs=6.0)


def test_probabilities_fall_with_the_threshold_and_say_where_they_come_from():
    rows = [found().measurement(key) for key in PROBABILITIES]
    values = [row.value for row in rows]
    assert values == sorted(values, reverse=True)
    for row in rows:
        assert 0 <= row.interval.lower < row.value < row.interval.upper <= 100
        assert "simulated cohort" in row.note
        assert "published, other data" in row.method
    expected = found().measurement("expected_stiffness")
    assert expected.interval.lower < expected.value < expected.interval.upper
    assert expected.value > 3.0  # a plainly cirrhotic liver
    assert found().value("measured_mre") == 4.6
    assert found().value("fib4") is not None


def test_a_single_sequence_is_less_sure_and_says_so():
    both = found().measurement("expected_stiffness").interval
    for role in ("t2", "t1"):
        alone = found(role)
        ends = alone.measurement("expected_stiffness").interval
        assert ends.upper / ends.lower > both.upper / both.lower
        assert "one_sequence" in keys(alone)
        assert alone.mask("Liver") is not None
    assert "one_sequence" not in keys(found())


def test_heat_maps_and_slice_weights_are_shown_for_both_sequences():
    assert [one.name for one in found().heat_maps] == ["Stiffness heat map T2", "Stiffness heat map T1"]
    for one in found().heat_maps:
        assert 0.0 <= one.array.min() <= one.array.max() <= 1.0
    assert max(one.array.max() for one in found().heat_maps) > 0.5
    weights = [curve for curve in found().curves if curve.chart == "Slice weights"]
    assert len(weights) == 2
    for curve in weights:
        assert curve.y.sum() == pytest.approx(100.0, abs=0.1)
        assert np.all(np.diff(curve.x) > 0)


def test_equal_input_gives_equal_results():
    again = findings_of(*demo())
    assert [row.value for row in again.measurements] == [row.value for row in found().measurements]
    assert [mask.checksum for mask in again.masks] == [mask.checksum for mask in found().masks]


def test_an_edit_changes_volume_and_stiffness():
    masks = {mask.name: mask for mask in found().masks}
    half = masks["Liver"].array.copy()
    half[: len(half) // 2] = False
    edited = {**masks, "Liver": replace(masks["Liver"], array=half, volume_ml=None, confidence=None)}
    volumes, clinical = demo()
    again = pipeline().measure(Case(volumes, clinical, default_settings()), edited)
    assert again.value("liver_volume") < 0.8 * found().value("liver_volume")
    assert again.value(PROBABILITIES[1]) != found().value(PROBABILITIES[1])


# --- other lattices ---------------------------------------------------------------------------------------------------


def flipped(volume: Volume, axis: int) -> Volume:
    """The same image with one array axis stored the other way."""
    matrix = volume.ijk_to_ras.copy()
    column = 2 - axis
    matrix[:3, 3] += matrix[:3, column] * (volume.array.shape[axis] - 1)
    matrix[:3, column] *= -1
    return replace(volume, array=np.ascontiguousarray(np.flip(volume.array, axis)), ijk_to_ras=matrix)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_flipped_images_give_the_same_masks_and_stiffness(axis):
    volumes, clinical = demo()
    turned = findings_of({role: flipped(volume, axis) for role, volume in volumes.items()}, clinical)
    assert turned.value("liver_volume") == pytest.approx(found().value("liver_volume"), rel=0.02)
    mask = np.flip(turned.mask("Liver").full(), axis)
    assert dice(mask > 0, found().mask("Liver").full() > 0) > 0.97
    assert turned.value("expected_stiffness") == pytest.approx(found().value("expected_stiffness"), rel=0.06)


def test_axes_in_another_order_give_the_same_masks():
    volumes, clinical = demo()
    order = (2, 0, 1)  # array axes (k, j, i) become (i, k, j)
    turned = {
        role: replace(
            volume,
            array=np.ascontiguousarray(volume.array.transpose(order)),
            ijk_to_ras=volume.ijk_to_ras[:, [*(2 - np.array(order))[::-1], 3]],
        )
        for role, volume in volumes.items()
    }
    again = findings_of(turned, clinical)
    mask = again.mask("Liver").full().transpose(np.argsort(order))
    assert dice(mask > 0, found().mask("Liver").full() > 0) > 0.97


def test_gray_values_of_another_gain_give_the_same_stiffness():
    volumes, clinical = demo()
    louder = {role: replace(one, array=one.array * np.int32(7)) for role, one in volumes.items()}
    again = findings_of(louder, clinical)
    assert again.value("expected_stiffness") == pytest.approx(found().value("expected_stiffness"), rel=0.02)


# --- what is refused --------------------------------------------------------------------------------------------------


def test_swapped_images_are_told():
    volumes, _ = demo()
    with pytest.raises(InputError, match="swapped"):
        findings_of({"t2": volumes["t1"], "t1": volumes["t2"]})


def test_a_wrong_sequence_is_told():
    volumes, _ = demo()
    with pytest.raises(InputError, match="looks T2-weighted"):
        findings_of({"t1": volumes["t2"]})
    with pytest.raises(InputError, match="looks T1-weighted"):
        findings_of({"t2": volumes["t1"]})
    diffusion = examine(draw_examination(SEED + 500), other=True)[2].volume
    with pytest.raises(InputError, match="neither T1- nor T2-weighted"):
        findings_of({"t2": diffusion})


def test_images_of_two_patients_are_told():
    volumes, _ = demo()
    small = next(
        e for e in (draw_examination(seed) for seed in range(SEED + 100, SEED + 400)) if e.is_child and e.size < 0.8
    )
    with pytest.raises(InputError, match="do not match"):
        findings_of({"t2": volumes["t2"], "t1": examine(small)[1].volume})


def test_an_image_without_a_liver_is_told():
    t2 = demo()[0]["t2"]
    low = replace(t2, array=t2.array[:9].copy())
    low.array[:] = np.random.default_rng(0).integers(0, 40, low.array.shape)
    without = findings_of({"t2": low})
    assert "no_liver" in keys(without)
    assert without.value(PROBABILITIES[1]) is None
    # The flag goes when the user draws the liver, whichever image carries it.
    alone = findings_of({"t1": low})
    assert [flag.segment for flag in (*without.flags, *alone.flags) if flag.key == "no_liver"] == ["Liver", "Liver"]
    assert without.measurement(PROBABILITIES[1]).note.endswith("no liver was found")


def test_a_threshold_that_is_none_is_told():
    with pytest.raises(InputError, match=r"no threshold of 3\.2 kPa"):
        findings_of(demo()[0], decision_kpa=3.2)


# --- many patients ----------------------------------------------------------------------------------------------------


@cache
def cohort() -> list[tuple[Examination, Findings]]:
    """Livers without any sign of stiffness, then livers with plain ones."""
    without, plain = [], []
    seed = SEED
    while len(without) + len(plain) < PATIENTS:
        one = draw_examination(seed)
        best = oracle(one.signs, one.is_child)[THRESHOLDS_KPA.index(3.0)]
        group = plain if best > 0.8 else without if best < 0.15 else None
        if group is not None and len(group) < PATIENTS // 2:
            t2, t1 = examine(one)
            group.append((one, findings_of({"t2": t2.volume, "t1": t1.volume})))
        seed += 1
    return without + plain


def test_livers_with_plain_signs_are_told_from_those_without():
    chance = np.array([findings.value(PROBABILITIES[1]) for _, findings in cohort()])
    without, plain = np.split(chance, 2)
    assert plain.mean() > without.mean() + 25.0


def test_no_examination_of_one_patient_is_taken_for_two():
    for _, findings in cohort():
        assert "poor_match" not in keys(findings)
        assert findings.mask(LIVER_ON_T1) is not None


# --- real images ------------------------------------------------------------------------------------------------------

CHAOS = SHARED / "abdomen-mri" / "chaos-t2"


@pytest.mark.real
@pytest.mark.skipif(not CHAOS.exists(), reason="needs the real MR images in shared/data/abdomen-mri/chaos-t2")
def test_real_livers_that_training_never_saw():
    held_out = pipeline().bundle.metadata["training"]["validation"]
    assert held_out
    livers, spleens = [], []
    for name in held_out:
        image = read_volume(CHAOS / f"{name}_t2spir.nii.gz", "MR")
        labels = read_volume(CHAOS / f"{name}_seg.nii.gz", "labels").array
        findings = findings_of({"t2": image})
        livers.append(overlap(findings, "Liver", labels == 1))
        spleens.append(overlap(findings, "Spleen", labels == 4))
    assert np.mean(livers) > 0.88
    assert np.mean(spleens) > 0.80


@pytest.mark.real
@pytest.mark.skipif(not SHARED.exists(), reason="needs the real images in shared/data")
def test_a_real_ct_is_refused():
    ct = read_volume(SHARED / "abdomen-ct" / "chaos" / "chaos_ct_set3_ct_256.nii.gz", "MR")
    with pytest.raises(InputError, match="so it is a CT"):
        findings_of({"t2": ct})


@pytest.mark.parametrize("name", [network.NAME])
def test_the_shipped_network_has_its_numbers(name):
    facts = pipeline().bundle.metadata
    assert facts["network"] == {
        "pixel_mm": network.PIXEL_MM,
        "slab_mm": network.SLAB_MM,
        "widths": list(network.WIDTHS),
    }
    assert facts["training"]["cohort"]["simulated"] == {"segmentation": False, "risk": True}
