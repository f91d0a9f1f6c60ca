"""What a cine measures: rows, flags, curves and summary, with and without evidence, and after an edit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fibrosis_cases import (
    FRAMES,
    LIVER_RADIUS_MM,
    RATE,
    READOUT,
    WINDOWS,
    evidence,
    film,
    liver,
    measured,
    readout,
)

from FibrosisVideoLib.labels import MODELS, STAGES
from FibrosisVideoLib.measuring.flags import listed
from FibrosisVideoLib.measuring.measurements import measure_cine
from FibrosisVideoLib.measuring.reading import usable_windows
from FibrosisVideoLib.settings import FibrosisSettings, default_settings
from PrognosisLib.errors import InputError
from PrognosisLib.findings import SIMULATED

CLINICAL = {"age": 50.0, "ast": 80.0, "alt": 64.0, "platelets": 150.0, "ast_upper_limit": 40.0, "swe_kpa": 8.9}
FROM_NETWORK = ("significant_fibrosis", "is_significant", "likely_stage", *(f"stage_{s.lower()}" for s in STAGES))
RIVALS = ("significant_fibrosis_lstm", "significant_fibrosis_2d")


def flag(found, key):
    return next((one for one in found.flags if one.key == key), None)


def nothing_found(**settings):
    return measure_cine(None, CLINICAL, readout(), FibrosisSettings(**settings), film())


# --- rows -------------------------------------------------------------------------------------------------------------


def test_the_score_is_the_mean_of_the_windows():
    score = np.mean([one.scores["3d"] for one in WINDOWS])
    model, found = readout().models["3d"], measured()
    row = found.measurement("significant_fibrosis")
    assert row.value == pytest.approx(100 * float(model.significant(score)))
    ends = model.significant_interval(score, len(WINDOWS))
    assert (row.interval.lower, row.interval.upper) == pytest.approx((100 * ends.lower, 100 * ends.upper))
    assert row.unit == "%"
    assert "published AUC 0.847 in 17 test patients (published, other data)" in row.method
    assert "its 4 windows" in row.method
    assert row.note == f"{SIMULATED}; AUC 0.87 (0.83 to 0.91), best possible 0.93 in 320 simulated patients"


def test_stages_sum_to_the_whole_and_agree_with_the_probability():
    found = measured()
    stages = [found.measurement(f"stage_{stage.lower()}") for stage in STAGES]
    assert sum(row.value for row in stages) == pytest.approx(100.0)
    assert sum(row.value for row in stages[2:]) == pytest.approx(found.value("significant_fibrosis"))
    assert found.value("likely_stage") == STAGES[int(np.argmax([row.value for row in stages]))]
    for row in stages:
        assert row.interval.lower <= row.value <= row.interval.upper


def test_both_rivals_stand_beside_the_product():
    found = measured()
    for key in RIVALS:
        row = found.measurement(key)
        assert 0 < row.value < 100
        assert row.simulated
        assert row.group == "The same by other networks"
    assert "published AUC 0.761" in found.measurement(RIVALS[0]).method
    assert "published AUC 0.753" in found.measurement(RIVALS[1]).method
    assert found.measurement(RIVALS[1]).note == SIMULATED  # no figures in the bundle


@pytest.mark.parametrize(("percent", "answer"), [(None, "yes"), (99.0, "no"), (5.0, "yes")])
def test_the_answer_follows_the_limit(percent, answer):
    row = measured(decision_percent=percent).measurement("is_significant")
    assert row.value == answer
    assert ("sensitivity 81 % (75 to 86), specificity 79 % (72 to 85) in 320 simulated" in row.note) is (
        percent is None
    )
    assert f"at least {percent or 55:.0f} %, " in row.method
    assert "accuracy 76.47 % in 17 test patients (published, other data)" in row.method


def test_a_real_cohort_is_not_called_simulated():
    found = measure_cine(liver(evidence()), CLINICAL, readout(simulated=False), FibrosisSettings(), film())
    assert not found.is_simulated
    assert found.measurement("significant_fibrosis").note.endswith("in 320 patients")
    assert SIMULATED not in found.summary


def test_every_number_of_the_networks_says_that_the_cohort_was_simulated():
    found = measured(clinical=CLINICAL)
    for row in found.measurements:
        from_network = row.key in FROM_NETWORK or row.key in RIVALS or row.key.startswith("capsule_share")
        assert row.simulated is from_network, row.key
        assert row.value is None or row.unit or isinstance(row.value, str) or row.key in ("fib4", "apri")
        assert row.method
    assert all(curve.simulated for curve in found.curves)
    assert SIMULATED in found.summary


def test_scores_and_measured_stiffness_are_there_without_a_liver():
    found = nothing_found()
    assert found.value("fib4") == pytest.approx(3.3333, abs=1e-4)
    assert found.value("apri") == pytest.approx(1.3333, abs=1e-4)
    assert "significant fibrosis indeterminate" in found.measurement("apri").note
    assert found.value("measured_swe") == 8.9
    assert found.measurement("measured_swe").note.startswith("F2; ")
    assert found.measurement("nafld_score") is None
    assert nothing_found(swe_f2_kpa=9.0, swe_f3_kpa=9.5).measurement("measured_swe").note.startswith("below F2; ")


@pytest.mark.parametrize(
    ("mask", "why"),
    [
        (None, "no liver was found"),
        (liver(), "needs what the networks saw; run the segmentation with Apply"),
        (liver(evidence(windows=())), "no part of the cine was usable"),
        (liver(evidence(unusable=dict.fromkeys(range(FRAMES), "too dark"))), "no part of the cine was usable"),
    ],
)
def test_without_a_reading_rows_say_why(mask, why):
    found = measure_cine(mask, CLINICAL, readout(), FibrosisSettings(), film())
    for key in (*FROM_NETWORK, *RIVALS):
        assert found.value(key) is None
        assert found.measurement(key).note == f"{SIMULATED}; {why}"
    assert found.summary.startswith(f"The stage of fibrosis could not be read: {why}.")


def test_evidence_of_another_film_is_not_used():
    found = measured(cine=film(FRAMES - 3), mask=liver(evidence(), count=FRAMES))
    assert found.value("significant_fibrosis") is None


# --- what is seen -----------------------------------------------------------------------------------------------------


def test_area_and_capsule_of_a_disk():
    found = measured()
    assert found.value("liver_frames") == 100.0
    assert found.value("liver_area") == pytest.approx(np.pi * LIVER_RADIUS_MM**2 / 100, rel=0.03)
    assert found.value("capsule_length") == pytest.approx(2 * np.pi * LIVER_RADIUS_MM / 10, rel=0.06)


def test_an_edit_is_measured_with_the_same_evidence():
    before, after = measured(), measured(liver(evidence(), radius_mm=20.0, frames=slice(0, 30)))
    assert after.value("significant_fibrosis") == before.value("significant_fibrosis")
    assert after.value("liver_frames") == 75.0
    assert after.value("liver_area") == pytest.approx(np.pi * 4.0, rel=0.06)
    for key in MODELS:
        assert after.value(f"capsule_share_{key}") < before.value(f"capsule_share_{key}")


def test_nothing_is_in_cm_where_the_size_of_a_pixel_is_not_known():
    found = measured(liver(evidence(), pixel_mm=None), cine=film(pixel_mm=None))
    for key in ("liver_area", "capsule_length"):
        assert found.value(key) is None
        assert found.measurement(key).note == "the size of a pixel is not known"
    assert found.value("liver_frames") == 100.0
    assert "of the sector's height" in found.measurement("capsule_share_3d").method


def test_without_grad_cam_the_share_says_so():
    for found in (measured(heat_map=False), measured(liver(evidence(attention=None)))):
        row = found.measurement("capsule_share_3d")
        assert row.value is None
        assert row.note == f"{SIMULATED}; no Grad-CAM was made; switch it on in the settings and run again"


def test_usable_frames_are_counted():
    row = measured().measurement("usable_frames")
    assert (row.value, row.note) == (FRAMES - 2, f"of {FRAMES}; the flags say why not all")


# --- windows, curves, flags -------------------------------------------------------------------------------------------


def test_windows_that_are_mostly_unusable_do_not_count():
    dark = dict.fromkeys(range(0, 9), "too dark")
    found = evidence(unusable=dark)
    assert [one.start for one in usable_windows(found)] == [8, 16, 24]
    assert len(usable_windows(evidence(unusable=dict.fromkeys(range(0, 8), "too dark")))) == 4


def test_curves_run_over_the_cine_without_the_frames_that_have_no_score():
    curves = {curve.name: curve for curve in measured().curves}
    assert list(curves) == list(MODELS.values())
    product = curves[MODELS["3d"]]
    assert len(product.x) == FRAMES - 2
    assert product.x[-1] == pytest.approx((FRAMES - 1) / RATE)
    assert product.emphasized
    assert np.all(product.lower < product.y)
    assert np.all(product.upper > product.y)
    assert np.all(np.diff(product.y) > 0)
    assert all(curve.lower is None for name, curve in curves.items() if name != MODELS["3d"])


def test_unusable_frames_are_flagged_by_reason():
    some = {3: "too dark", 4: "too dark", 9: "the probe is lifted"}
    flags = [one for one in measured(liver(evidence(unusable=some))).flags if one.key == "unusable_frames"]
    assert [one.message for one in flags] == [
        f"2 of {FRAMES} frames were not used (too dark): 4 to 5.",
        f"1 of {FRAMES} frames were not used (the probe is lifted): 10.",
    ]
    assert {one.severity for one in flags} == {"info"}
    many = measured(liver(evidence(unusable=dict.fromkeys(range(13), "too dark"))))
    assert flag(many, "unusable_frames").severity == "warning"
    assert many.summary.endswith("See the flags.")


def test_frames_are_listed_as_runs():
    assert listed([0]) == "1"
    assert listed([0, 1, 2, 5]) == "1 to 3, 6"
    assert listed([0, 2, 4, 6, 8, 9]) == "1, 3, 5, 7 and 1 more run"
    assert listed(range(0, 12, 2)) == "1, 3, 5, 7 and 2 more runs"


def test_a_liver_that_is_seldom_seen_is_flagged():
    assert flag(measured(liver(evidence(), frames=slice(0, 19))), "liver_seldom").severity == "warning"
    assert flag(measured(liver(evidence(), frames=slice(0, 20))), "liver_seldom") is None


def test_few_windows_are_flagged():
    assert flag(measured(), "few_windows") is None
    assert "2 windows only" in flag(measured(liver(evidence(windows=WINDOWS[:2]))), "few_windows").message
    assert "one window only" in flag(measured(liver(evidence(windows=WINDOWS[:1]))), "few_windows").message


def test_rivals_that_both_answer_otherwise_are_flagged():
    assert flag(measured(), "networks_disagree") is not None
    agreeing = tuple(replace(one, scores={**one.scores, "lstm": 2.0}) for one in WINDOWS)
    assert flag(measured(liver(evidence(windows=agreeing))), "networks_disagree") is None


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes", [{"decision_percent": 0.0}, {"decision_percent": 100.0}, {"swe_f2_kpa": 9.1}, {"swe_f3_kpa": 1.0}]
)
def test_settings_out_of_range_are_refused(changes):
    with pytest.raises(InputError):
        FibrosisSettings(**changes).check()


def test_the_defaults_are_accepted():
    FibrosisSettings(**default_settings()).check()
    assert READOUT["decision"] == readout().decision
