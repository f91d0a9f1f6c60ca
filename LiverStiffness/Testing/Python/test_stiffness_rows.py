"""From masks and evidence to rows: values, units, intervals, what is simulated, flags, edits, text of the evidence."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from stiffness_phantoms import (
    LIVER_SHAPE,
    SPLEEN_SHAPE,
    a_model,
    a_readout,
    margin_in,
    moved,
    read_by_hand,
    scan_grid,
)

from LiverStiffnessLib.labels import THRESHOLDS_KPA
from LiverStiffnessLib.measuring.evidence import from_text, slice_inputs, to_text
from LiverStiffnessLib.measuring.heat import heat_maps
from LiverStiffnessLib.measuring.measurements import measure_examination
from LiverStiffnessLib.measuring.ordinal import covariates_of
from LiverStiffnessLib.measuring.readout import PROBABILITIES, Readout
from LiverStiffnessLib.pipeline import StiffnessSettings, default_settings
from LiverStiffnessLib.segmenting.alignment import moved_back
from LiverStiffnessLib.segmenting.network import FEATURES
from LiverStiffnessLib.segmenting.segmentation import draw_masks
from PrognosisLib.errors import InputError
from PrognosisLib.findings import SIMULATED, Findings, Mask
from PrognosisLib.slicewise.evidence import SliceEvidence
from PrognosisLib.slicewise.network import SMALLEST_SUM
from PrognosisLib.volume import Grid
from PrognosisLib.wording import result_text

T2_GRID, T1_GRID = scan_grid((2.0, 2.0, 8.0)), scan_grid((2.5, 2.5, 4.0))
SHIFT = (1.5, -3.0, 9.0)
CLINICAL = {"age": 52.0, "ast": 60.0, "alt": 40.0, "platelets": 150.0, "mre_kpa": 3.2}
STIFFNESS_KEYS = ("expected_stiffness", *PROBABILITIES)


@cache
def reads():
    t1 = read_by_hand(T1_GRID, moved(LIVER_SHAPE, SHIFT), moved(SPLEEN_SHAPE, SHIFT), "T1", seed=1)
    return {"T2": read_by_hand(T2_GRID), "T1": t1}


def evidence(*sequences: str) -> dict[str, SliceEvidence]:
    every = {"T2": reads()["T2"].evidence, "T1": moved_back(reads()["T1"].evidence, np.array(SHIFT))}
    return {name: every[name] for name in sequences}


@cache
def masks(*sequences: str) -> dict[str, Mask]:
    """Masks in the T2's grid as the pipeline gives them, with the evidence of these sequences."""
    drawn = {mask.name: mask for mask in draw_masks(reads()["T2"], T2_GRID, 1.0).values()}
    text = to_text(evidence(*sequences)) if sequences else ""
    return {**drawn, "Liver": replace(drawn["Liver"], evidence=text)}


def measured(
    found: dict[str, Mask] | None = None, readout: Readout | None = None, clinical=None, **settings
) -> Findings:
    chosen = StiffnessSettings(**settings)
    return measure_examination(
        masks("T2", "T1") if found is None else found, clinical or {}, readout or a_readout(), chosen
    )


def edited(mask: Mask, array: np.ndarray) -> Mask:
    """What comes back after an edit: the evidence stays, what the network said of its own mask does not."""
    return replace(mask, array=array, volume_ml=None, confidence=None)


# --- rows -------------------------------------------------------------------------------------------------------------


def test_rows_have_their_values_units_and_intervals():
    found = measured()
    units = {
        "expected_stiffness": "kPa",
        **dict.fromkeys(PROBABILITIES, "%"),
        "liver_volume": "mL",
        "spleen_volume": "mL",
    }
    for key, unit in units.items():
        row = found.measurement(key)
        assert row.unit == unit
        assert row.interval.lower <= row.value <= row.interval.upper, key
    assert found.value("liver_volume") == pytest.approx(LIVER_SHAPE.volume_ml, rel=0.03)
    assert found.value("spleen_volume") == pytest.approx(SPLEEN_SHAPE.volume_ml, rel=0.05)
    assert found.measurement("ascites_volume") is None
    chances = [found.value(key) for key in PROBABILITIES]
    assert chances == sorted(chances, reverse=True)
    assert 0 < chances[-1] < chances[0] < 100
    assert [row.label for row in found.measurements if row.key in PROBABILITIES] == [
        f"Probability of {t:.1f} kPa or more" for t in THRESHOLDS_KPA
    ]
    keys = [row.key for row in found.measurements]
    assert len(keys) == len(set(keys))


def test_rows_are_what_the_model_reads_from_masks_and_evidence():
    readout = a_readout()
    inputs = slice_inputs(masks("T2", "T1")["Liver"], evidence("T2", "T1"))
    sizes = {name: mask.voxel_volume_ml for name, mask in masks("T2", "T1").items()}
    reading = readout.models["both"].read(inputs, covariates_of(sizes["Spleen"], sizes["Liver"], 0.0))
    found = measured(readout=readout)
    assert found.value("expected_stiffness") == pytest.approx(reading.kpa, rel=1e-3)
    np.testing.assert_allclose([found.value(key) for key in PROBABILITIES], 100 * reading.probabilities, atol=0.1)
    assert found.measurement("expected_stiffness").interval.upper == pytest.approx(reading.kpa_interval.upper, rel=1e-3)


def test_what_comes_from_a_simulated_cohort_says_so_everywhere():
    found = measured(clinical=CLINICAL)
    stiffness = [row for row in found.measurements if row.group.startswith("Stiffness")]
    assert {row.key for row in stiffness} == {*STIFFNESS_KEYS, "stiffness_class", "decision"}
    for row in stiffness:
        assert row.simulated
        assert SIMULATED in row.note
    assert all(curve.simulated for curve in found.curves)
    assert SIMULATED in found.summary
    for key in ("liver_volume", "spleen_volume", "measured_mre", "fib4"):
        assert not found.measurement(key).simulated, key
    real = measured(readout=a_readout(simulated_cohort=False))
    assert not real.is_simulated
    assert SIMULATED not in real.summary
    assert not any(SIMULATED in row.note for row in real.measurements)
    without = measured({})
    assert all(without.measurement(key).simulated for key in STIFFNESS_KEYS)


def test_published_figures_are_marked_as_other_data_and_test_figures_say_of_whom():
    found = measured()
    for key in PROBABILITIES:
        row = found.measurement(key)
        assert "published, other data" in row.method
        assert "AUROC 0.81, best possible 0.90 in 500 simulated patients" in row.note
    bare = measured(readout=a_readout(figures=False)).measurement("at_least_3_0")
    assert bare.note == SIMULATED


def test_a_threshold_with_hardly_a_test_patient_has_no_figure():
    """Figures of such a threshold hold a count and the point only."""
    readout = a_readout()
    readout.figures["both"] = {**readout.figures["both"], "5": {"n": 80, "positive": 1, "point": 0.3}}
    found = measured(readout=readout, decision_kpa=5.0)
    assert found.measurement("at_least_5_0").note == SIMULATED
    assert "AUROC" in found.measurement("at_least_4_0").note
    assert found.measurement("decision").note == SIMULATED


@pytest.mark.parametrize("decision", THRESHOLDS_KPA)
def test_the_decision_is_that_of_the_chosen_threshold_at_its_point(decision):
    key = f"at_least_{decision:.1f}".replace(".", "_")
    for point, value in ((0.0, "yes"), (1.0, "no")):
        readout = a_readout()
        readout.figures["both"] = {
            name: {**one, "point": point} if name == f"{decision:g}" else one
            for name, one in readout.figures["both"].items()
        }
        found = measured(readout=readout, decision_kpa=decision)
        row = found.measurement("decision")
        assert (row.label, row.value) == (f"At or over {decision:.1f} kPa", value)
        assert "sensitivity 81 % (76 to 86), specificity 70 % (60 to 80) in 500 simulated patients" in row.note
        assert "largest sum of sensitivity and specificity" in row.method
    assert f"{decision:.1f} kPa or more" in found.summary
    assert result_text(found.measurement(key)) in found.summary
    bare = measured(readout=a_readout(figures=False), decision_kpa=decision).measurement("decision")
    assert bare.method == "probability of at least 50 %"


def test_a_childs_class_says_that_it_is_for_adults():
    assert "adults" not in measured(clinical={"age": 18.0}).measurement("stiffness_class").note
    assert "the classes were set in adults" in measured(clinical={"age": 17.0}).measurement("stiffness_class").note


def test_values_measured_elsewhere_and_scores_stand_beside_the_reading():
    found = measured(clinical=CLINICAL)
    assert found.value("measured_mre") == 3.2
    assert found.value("fib4") == pytest.approx(52 * 60 / (150 * np.sqrt(40)), rel=1e-3)
    assert found.measurement("measured_swe") is None


# --- one sequence, none, or no liver ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "missing"), [("T2", "T1"), ("T1", "T2")])
def test_one_sequence_is_said_and_read_by_its_own_model(name, missing):
    found = measured(masks(name))
    (flag,) = [one for one in found.flags if one.key == "one_sequence"]
    assert flag.severity == "info"
    assert f"read from {name} alone" in flag.message
    assert f"add the {missing}-weighted image" in flag.message
    assert f"read from {name} alone" in found.measurement("expected_stiffness").method
    readout = a_readout()
    other = replace(readout, models={**readout.models, "both": a_model(seed=9)})
    assert measured(masks(name), other).value("expected_stiffness") == found.value("expected_stiffness")
    assert not [one for one in measured().flags if one.key == "one_sequence"]
    assert "See the flags" not in found.summary


def test_a_t1_that_misses_the_liver_is_left_out():
    """Its slices lie beside the mask, so what they show is no evidence for it."""
    away = moved_back(evidence("T1")["T1"], np.array([0.0, 0.0, 400.0]))
    text = to_text({**evidence("T2"), "T1": away})
    found = measured({**masks("T2"), "Liver": replace(masks("T2")["Liver"], evidence=text)})
    assert found.value("expected_stiffness") == measured(masks("T2")).value("expected_stiffness")
    assert [one.key for one in found.flags] == ["one_sequence"]


def test_a_liver_drawn_by_hand_has_volumes_and_no_stiffness():
    by_hand = Mask.from_full("Liver", margin_in(LIVER_SHAPE, T2_GRID) > 0, T2_GRID)
    found = measured({"Liver": by_hand})
    for key in STIFFNESS_KEYS:
        row = found.measurement(key)
        assert row.value is None
        assert "run the segmentation with Apply" in row.note
    assert found.value("liver_volume") == pytest.approx(by_hand.voxel_volume_ml)
    interval = found.measurement("liver_volume").interval
    assert interval.lower < by_hand.voxel_volume_ml < interval.upper
    assert found.measurement("spleen_volume").value is None
    assert "no filled segment named Spleen" in found.measurement("spleen_volume").note
    assert found.curves == ()
    assert found.summary.startswith("The stiffness could not be read.")


@pytest.mark.parametrize("kind", ["missing", "emptied"])
def test_without_a_liver_nothing_is_read(kind):
    liver = masks("T2", "T1")["Liver"]
    found = measured(
        {} if kind == "missing" else {"Liver": edited(liver, np.zeros_like(liver.array))}, clinical=CLINICAL
    )
    for key in STIFFNESS_KEYS:
        assert found.measurement(key).value is None
        assert "no liver was found" in found.measurement(key).note
    assert found.measurement("liver_volume") is None
    assert found.value("measured_mre") == 3.2
    assert found.value("fib4") is not None


# --- edits ------------------------------------------------------------------------------------------------------------


def test_an_edit_changes_volume_and_stiffness():
    before = masks("T2", "T1")
    array = before["Liver"].array.copy()
    array[: len(array) // 2] = False
    after = measured({**before, "Liver": edited(before["Liver"], array)})
    assert after.value("liver_volume") == pytest.approx(0.5 * measured().value("liver_volume"), rel=0.15)
    assert after.value("expected_stiffness") != measured().value("expected_stiffness")
    weights = {curve.name: curve for curve in after.curves if curve.chart == "Slice weights"}
    whole = {curve.name: curve for curve in measured().curves if curve.chart == "Slice weights"}
    for name, curve in weights.items():
        assert len(curve.x) < len(whole[name].x)
        assert curve.x.min() > LIVER_SHAPE.center[2] - 10


def test_a_larger_spleen_changes_the_stiffness_through_its_volume():
    before = masks("T2", "T1")
    large = margin_in(replace(SPLEEN_SHAPE, radii=(34.0, 48.0, 62.0)), T2_GRID) > 0
    after = measured({**before, "Spleen": Mask.from_full("Spleen", large, T2_GRID)})
    assert after.value("spleen_volume") > 2 * measured().value("spleen_volume")
    assert after.value("at_least_3_0") > measured().value("at_least_3_0")
    assert after.value("liver_volume") == measured().value("liver_volume")


def test_an_unchanged_mask_gives_the_same_rows_again():
    assert measured().measurements == measured().measurements


# --- curves -----------------------------------------------------------------------------------------------------------


def test_curves_show_the_probabilities_and_the_slices_that_were_used():
    found = measured()
    curves = {curve.name: curve for curve in found.curves}
    chance = curves["Probability of at least"]
    np.testing.assert_allclose(chance.x, THRESHOLDS_KPA)
    np.testing.assert_allclose(chance.y, [found.value(key) for key in PROBABILITIES])
    assert (chance.lower <= chance.y).all()
    assert (chance.y <= chance.upper).all()
    top, bottom = (LIVER_SHAPE.center[2] + sign * LIVER_SHAPE.radii[2] for sign in (1, -1))
    for name in ("T2", "T1"):
        weights = curves[f"Weight of the {name} slices"]
        assert weights.y.sum() == pytest.approx(100.0)
        assert (np.diff(weights.x) > 0).all()
        # Slices of the T1 too are drawn where they lie over the T2's liver.
        assert bottom - 5 < weights.x.min() < bottom + 15
        assert top - 15 < weights.x.max() < top + 5


# --- the evidence's text ----------------------------------------------------------------------------------------------


def test_the_evidence_survives_the_way_through_its_text():
    wanted = evidence("T2", "T1")
    again = from_text(to_text(wanted))
    assert list(again) == ["T2", "T1"]
    for name, one in wanted.items():
        np.testing.assert_allclose(again[name].features, one.features, atol=1e-3)
        np.testing.assert_allclose(again[name].ijk_to_ras, one.ijk_to_ras, atol=1e-4)
        assert again[name].shape == one.shape
    areas = slice_inputs(masks("T2")["Liver"], again)["T1"].areas_mm2
    assert areas.max() == pytest.approx(np.pi * LIVER_SHAPE.radii[0] * LIVER_SHAPE.radii[1], rel=0.05)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[1]",
        "3",
        '{"T2": 3}',
        '{"T2": "{}"}',
        json.dumps({"T3": SliceEvidence(np.ones((4, FEATURES)), np.eye(4), (4, 32, 32)).to_json()}),
        json.dumps({"T2": SliceEvidence(np.ones((4, FEATURES + 1)), np.eye(4), (4, 32, 32)).to_json()}),
    ],
)
def test_damaged_evidence_is_none_and_the_volumes_stay(text):
    assert from_text(text) == {}
    found = measured({**masks("T2"), "Liver": replace(masks("T2")["Liver"], evidence=text)})
    assert found.value("expected_stiffness") is None
    assert found.value("liver_volume") > 0


# --- heat and settings ------------------------------------------------------------------------------------------------


def test_heat_maps_of_both_sequences_lie_over_the_first_images_liver():
    model = a_model(("T2", "T1"))
    model = replace(model, effects={name: np.abs(value) for name, value in model.effects.items()})
    inputs = slice_inputs(masks("T2", "T1")["Liver"], evidence("T2", "T1"))
    seen = evidence("T2", "T1")
    found = heat_maps(model, reads(), inputs, seen)
    assert [one.name for one in found] == ["Stiffness heat map T2", "Stiffness heat map T1"]
    for heat, (name, read) in zip(found, reads().items(), strict=True):
        assert heat.array.dtype == np.float32
        assert 0 <= heat.array.min() < heat.array.max() <= 1
        lattice = Grid(seen[name].shape, seen[name].ijk_to_ras)
        np.testing.assert_allclose(heat.grid.corners_ras(), lattice.corners_ras(), atol=1e-6)
        hot = heat.grid.to_ras(np.argwhere(heat.array > 0.3))
        assert len(hot) > 50
        # That of the T1 lies over the T2's liver, too.
        assert np.linalg.norm((hot - LIVER_SHAPE.center) / LIVER_SHAPE.radii, axis=1).max() < 1.25
        exact = np.maximum(model.heat(name, inputs[name], read.maps, read.share, SMALLEST_SUM), 0)
        share = exact.sum(axis=(1, 2)) / exact.sum()
        drawn = heat.array.sum(axis=(1, 2)) / heat.array.sum()
        assert np.corrcoef(share, drawn)[0, 1] > 0.9
    cold = replace(model, effects={name: -value for name, value in model.effects.items()})
    assert not any(one.array.any() for one in heat_maps(cold, reads(), inputs, seen))


def test_settings_that_make_no_sense_are_refused():
    StiffnessSettings(**default_settings()).check()
    with pytest.raises(InputError, match=r"no threshold of 2\.7 kPa; choose one of 2\.5, 3, 3\.5, 4, 5\."):
        StiffnessSettings(decision_kpa=2.7).check()
    for low, high in ((9.0, 8.0), (8.0, 8.0), (0.0, 8.0)):
        with pytest.raises(InputError, match="must be above that for F2; correct the settings"):
            StiffnessSettings(swe_f2_kpa=low, swe_f3_kpa=high).check()
