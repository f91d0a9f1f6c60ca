"""What a pair of images gives: three models side by side, risk group, change, points and scores."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hepato_cases import CLINICAL, PIXEL_MM, evidence, liver_array, masks, readout

from HepatoPrognosisLib.labels import GROUPS, LIVER, LIVER_AT_T1, MODELS
from HepatoPrognosisLib.measuring.measurements import measure_pair
from HepatoPrognosisLib.settings import HepatoSettings, default_settings
from PrognosisLib.errors import InputError
from PrognosisLib.findings import Findings, Mask
from PrognosisLib.scores import ACLF_SCORES, LIVER_SCORES

SETTINGS = HepatoSettings()


def measured(found=None, clinical=CLINICAL, settings=SETTINGS, **more) -> Findings:
    return measure_pair(masks(found, **more), clinical, readout(), settings)


def width(findings: Findings, key: str) -> float:
    """Of a mortality's interval, on the scale where it is symmetric."""
    ends = findings.measurement(key).interval
    return float(np.ptp(np.log(-np.log(1 - np.array([ends.lower, ends.upper]) / 100))))


# --- the three models -------------------------------------------------------------------------------------------------


def test_the_three_models_stand_side_by_side_with_intervals():
    found = measured(evidence())
    rows = [row for row in found.measurements if row.key.endswith("_mortality")]
    assert [row.key for row in rows] == [f"{name}_mortality" for name in MODELS]
    for row in rows:
        assert row.label.endswith(": 30-day mortality")
        assert row.unit == "%"
        assert 0 < row.interval.lower < row.value < row.interval.upper < 100
        assert row.simulated
        assert "simulated cohort" in row.note
        assert "published, other data" in row.method
    assert "C-index 0.795, AUC 0.851 in 82 patients" in found.measurement("siamese_mortality").method
    assert found.value("siamese_score") == pytest.approx(0.4)


def test_a_higher_reading_and_worse_values_raise_the_mortality():
    low, high = measured(evidence(-1.0, -2.0)), measured(evidence(-1.0, 2.0))
    for name in ("siamese", "combined"):
        assert low.value(f"{name}_mortality") < high.value(f"{name}_mortality") - 20
    assert low.value("clinical_mortality") == high.value("clinical_mortality")
    worse = measured(evidence(-1.0, -2.0), {**CLINICAL, "lactate": 6.0, "inr": 4.0})
    for name in ("clinical", "combined"):
        assert low.value(f"{name}_mortality") < worse.value(f"{name}_mortality")
    assert low.value("siamese_mortality") == worse.value("siamese_mortality")


def test_without_t1_the_interval_is_wider_and_it_is_said():
    both, alone = measured(evidence()), measured(evidence(score_pair=None), second=False)
    for name in ("siamese", "combined"):
        assert width(alone, f"{name}_mortality") > 1.5 * width(both, f"{name}_mortality")
        assert "not given, estimated from the rest, interval widened" in alone.measurement(f"{name}_mortality").note
    assert alone.measurement("siamese_score").note.endswith("read from T0 alone")
    assert [flag.key for flag in alone.flags] == ["one_image"]
    assert alone.flags[0].severity == "info"
    assert both.flags == ()


def test_an_uncertain_reading_widens_the_interval():
    sure, unsure = measured(evidence()), measured(evidence(spread_pair=0.5))
    for name in ("siamese", "combined"):
        assert unsure.value(f"{name}_mortality") == sure.value(f"{name}_mortality")
        assert width(unsure, f"{name}_mortality") > 1.1 * width(sure, f"{name}_mortality")
    assert unsure.measurement("siamese_score").interval.upper == pytest.approx(0.4 + 1.96 * 0.5, abs=0.01)
    alone = [measured(evidence(score_pair=None, spread_t0=spread), second=False) for spread in (0.0, 1.5)]
    assert width(alone[1], "siamese_mortality") > width(alone[0], "siamese_mortality")


def test_each_model_says_what_it_lacks():
    nothing = measured(evidence(), {})
    assert nothing.value("clinical_mortality") is None
    assert "needs at least one of" in nothing.measurement("clinical_mortality").note
    assert "needs at least one of" in nothing.measurement("combined_mortality").note
    assert nothing.value("siamese_mortality") is not None
    unread = measured(None)
    assert "run the segmentation with Apply" in unread.measurement("siamese_mortality").note
    assert unread.value("combined_mortality") is None
    assert unread.value("clinical_mortality") is not None
    no_liver = measure_pair({}, CLINICAL, readout(), SETTINGS)
    assert "no liver was found" in no_liver.measurement("combined_mortality").note
    assert no_liver.value("clinical_mortality") is not None


def test_a_missing_clinical_value_widens_the_clinical_interval():
    names = {one.name for one in readout().models["clinical"].predictors}
    assert "log_inr" in names or "log_lactate" in names
    complete, partly = measured(evidence()), measured(evidence(), {"age": 52.0})
    assert width(partly, "clinical_mortality") > 1.2 * width(complete, "clinical_mortality")


def test_mortality_until_another_day():
    found = {days: measured(evidence(), settings=replace(SETTINGS, mortality_days=days)) for days in (10.0, 30.0, 90.0)}
    values = [found[days].value("combined_mortality") for days in found]
    assert values == sorted(values)
    assert values[0] < values[-1] - 5
    assert found[90.0].measurement("combined_mortality").label.endswith("90-day mortality")
    assert found[10.0].value("risk_group") == found[90.0].value("risk_group")


@pytest.mark.parametrize("days", [5.0, 0.0, 90.5, float("nan")])
def test_a_day_that_cannot_be_told_is_refused(days):
    with pytest.raises(InputError, match="choose a day after 5 and up to 90"):
        HepatoSettings(mortality_days=days).check()


def test_default_settings():
    HepatoSettings(**default_settings()).check()
    assert default_settings()["mortality_days"] == 30.0


# --- risk group, curves -----------------------------------------------------------------------------------------------


def test_the_risk_group_follows_the_combined_model_and_tells_of_its_patients():
    seen = {}
    for pair in (-5.0, -1.3, 4.0):
        found = measured(evidence(-0.8, pair))
        seen[found.value("risk_group")] = found
        chance = found.value("combined_mortality") / 100
        assert found.value("risk_group") == readout().group_of("combined", chance)
    assert list(seen) == list(GROUPS)
    died = [seen[group].value("group_died") for group in GROUPS]
    assert died == sorted(died)
    assert died[-1] > died[0] + 30
    for found in seen.values():
        row = found.measurement("group_transplanted")
        assert 0 <= row.interval.lower <= row.value <= row.interval.upper < 40
        assert "Aalen-Johansen" in row.method


def test_survival_curves_of_all_models_and_groups():
    found = measured(evidence())
    charts = {}
    for curve in found.curves:
        charts.setdefault(curve.chart, []).append(curve)
        assert curve.simulated
        assert curve.x.shape == curve.y.shape
    assert list(charts) == ["Survival", "Survival of the risk groups", "Death and transplantation", "Nomogram"]
    for curve in (*charts["Survival"], *charts["Survival of the risk groups"]):
        assert curve.step
        assert curve.y[0] == 1.0
        assert (np.diff(curve.y) <= 1e-12).all()
        assert (curve.lower <= curve.y + 1e-9).all()
        assert (curve.y <= curve.upper + 1e-9).all()
    assert [curve.emphasized for curve in charts["Survival"]] == [False, False, True]
    combined = charts["Survival"][-1]
    assert 100 * (1 - combined.y[combined.x == 30][0]) == pytest.approx(found.value("combined_mortality"), abs=1e-6)
    assert combined.y[combined.x <= 5] == pytest.approx(1.0)
    for curve in charts["Death and transplantation"]:
        assert (np.diff(curve.y) >= 0).all()
    assert len({(curve.chart, curve.name) for curve in found.curves}) == len(found.curves)


def test_only_what_can_be_predicted_is_drawn():
    assert measure_pair({}, {}, readout(), SETTINGS).curves == ()
    clinical = measured(None)
    assert [curve.name for curve in clinical.curves if curve.chart == "Survival"] == ["This patient, clinical model"]


# --- change -----------------------------------------------------------------------------------------------------------


def test_what_changed_between_the_images():
    found = measured(evidence())
    area = np.count_nonzero(liver_array()) * PIXEL_MM**2 / 100
    assert found.value("liver_area_t0") == pytest.approx(area)
    assert found.value("liver_area_t1") == pytest.approx(0.8 * area)
    assert found.value("area_change") == pytest.approx(-20.0)
    assert found.value("echogenicity_change") == pytest.approx(-12.0)
    assert found.value("texture_change") == pytest.approx(25.0)
    assert not found.measurement("area_change").simulated


def test_an_edit_of_a_mask_changes_its_area_and_no_reading():
    drawn = masks(evidence())
    edited = liver_array()
    edited[:, 40:100] = False
    grid = drawn[LIVER].grid
    text = drawn[LIVER].evidence
    for segment, before, after in ((LIVER, 1.0, 0.5), (LIVER_AT_T1, 0.8, 0.4)):
        changed = {**drawn, segment: Mask.from_full(segment, edited, grid, evidence=text if segment == LIVER else "")}
        found, plain = (measure_pair(one, CLINICAL, readout(), SETTINGS) for one in (changed, drawn))
        key = "liver_area_t0" if segment == LIVER else "liver_area_t1"
        assert found.value(key) / plain.value("liver_area_t0") == pytest.approx(after)
        assert plain.value(key) / plain.value("liver_area_t0") == pytest.approx(before)
        assert found.value("combined_mortality") == plain.value("combined_mortality")
        assert [flag.key for flag in found.flags] == ["area_change"]


def test_what_is_not_known_of_the_change_is_said():
    alone = measured(evidence(score_pair=None), second=False)
    for key in ("liver_area_t1", "area_change", "echogenicity_change", "texture_change"):
        assert alone.value(key) is None
        assert alone.measurement(key).note == "no image of T1"
    assert alone.value("liver_area_t0") > 0
    plain = evidence()
    sizeless = replace(plain, second=replace(plain.second, area_mm2=None))
    found = measured(sizeless)
    assert found.value("area_change") is None
    assert found.measurement("liver_area_t1").note == "the size of a pixel is not known"
    assert found.value("texture_change") is not None
    assert found.flags == ()
    by_hand = measured(None, second=False)
    assert by_hand.value("liver_area_t0") == pytest.approx(np.count_nonzero(liver_array()) * PIXEL_MM**2 / 100)


# --- scores, summary --------------------------------------------------------------------------------------------------


def test_every_score_beside_it_where_its_inputs_are():
    found = measured(evidence())
    for score in LIVER_SCORES + ACLF_SCORES:
        assert found.value(score.key) is not None, found.measurement(score.key).note
    assert "coding to be confirmed" in found.measurement("cossh_aclf_ii").note
    assert measured(evidence(), {}).measurement("meld").note.startswith("missing: ")


def test_keys_are_unique():
    for found in (measured(evidence()), measured(None), measured(evidence(score_pair=None), {}, second=False)):
        keys = [row.key for row in found.measurements]
        assert len(set(keys)) == len(keys)


def test_the_summary_is_of_the_most_complete_model():
    assert measured(evidence()).summary.startswith("30-day mortality ")
    assert "by the combined model" in measured(evidence()).summary
    assert "by the Siamese U-Net" in measured(evidence(), {}).summary
    assert "by the clinical model" in measured(None).summary
    assert "simulated cohort" in measured(None).summary
    assert "could not be predicted" in measure_pair({}, {}, readout(), SETTINGS).summary


def test_measuring_and_drawing_patients_load_nothing_heavy():
    root = Path(__file__).resolve().parents[3]
    heavy = {"pandas", "lifelines", "scipy", "torch", "matplotlib", "SimpleITK"}
    names = "HepatoPrognosisLib.measuring.measurements, HepatoPrognosisLib.simulation.oracle"
    code = f"import sys, {names}; print(sorted({heavy} & set(sys.modules)))"
    path = os.pathsep.join(str(root / folder) for folder in ("PrognosisCore", "HepatoPrognosis"))
    found = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": path}, capture_output=True, text=True, check=True, timeout=60
    )
    assert found.stdout.strip() == "[]"
