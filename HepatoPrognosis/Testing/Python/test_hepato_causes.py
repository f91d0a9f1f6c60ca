"""The causal model of HBV-ACLF: what follows from what, how often, and that a seed gives one patient."""

from __future__ import annotations

from dataclasses import astuple, fields, replace
from functools import cache

import numpy as np
import pytest
from lifelines import CoxPHFitter
from pandas import DataFrame
from scipy.stats import spearmanr

from HepatoPrognosisLib.simulation import causes
from HepatoPrognosisLib.simulation.causes import (
    CENSORED,
    CHANGING,
    CLINICAL,
    DIED,
    LABS,
    LOG_HAZARD,
    SECOND_DAY,
    SIGNS,
    TRANSPLANTED,
    Signs,
    cumulative_hazard,
    draw_cohort,
    draw_patient,
    mortality,
)
from PrognosisLib.clinical import check_clinical
from PrognosisLib.clinical_fields import FIELDS
from PrognosisLib.errors import InputError
from PrognosisLib.scores import ACLF_SCORES, LIVER_SCORES, score_rows

N = 20_000
NOISE = 4 / np.sqrt(N)  # of a correlation


@cache
def cohort() -> dict[str, np.ndarray]:
    return draw_cohort(N, seed=3)


def related(first: np.ndarray, second: np.ndarray) -> float:
    return float(spearmanr(first, second).statistic)


# --- what follows from what -------------------------------------------------------------------------------------------


def test_severity_and_course_go_together_and_nothing_else_does():
    columns = cohort()
    latents = np.stack([columns[f"true_{name}"] for name in causes.LATENTS])
    expected = np.eye(5)
    expected[0, 1] = expected[1, 0] = causes.CORRELATION
    np.testing.assert_allclose(np.cov(latents), expected, atol=1.5 * NOISE)
    np.testing.assert_allclose(latents.mean(axis=1), 0, atol=NOISE)


@pytest.mark.parametrize("name", SIGNS)
def test_signs_at_t0_tell_of_severity_and_background_and_their_change_of_the_course(name):
    columns, law = cohort(), SIGNS[name]
    first, change = columns[f"t0_{name}"], columns[f"t1_{name}"] - columns[f"t0_{name}"]
    for latent in ("severity", "background", "body"):
        effect, found = getattr(law, latent), related(first, columns[f"true_{latent}"])
        assert np.sign(found) == np.sign(effect) if effect else abs(found) < NOISE, latent
    assert np.sign(law.course) * related(change, columns["true_course"]) > 0.55
    for latent in ("background", "body"):
        if name != "ascites_ml":  # less than none cannot become less
            assert abs(related(change, columns[f"true_{latent}"])) < NOISE
    assert abs(related(change, columns["true_course"])) > 2 * abs(related(change, columns["true_severity"]))


def test_deterioration_shrinks_and_darkens_the_liver_and_raises_the_other_signs():
    falling = {name for name, law in SIGNS.items() if law.course < 0}
    assert falling == {"log_volume", "echogenicity_db"}


@pytest.mark.parametrize("key", [*LABS, "encephalopathy"])
def test_clinical_values_tell_more_of_the_severity_than_of_the_course_and_drift_with_it(key):
    columns = cohort()
    law = LABS.get(key, causes.BRAIN)
    worse = -1 if key in ("sodium", "albumin", "platelets", "mean_arterial_pressure") else 1
    of_severity, of_course = (worse * related(columns[key], columns[f"true_{one}"]) for one in ("severity", "course"))
    assert of_severity > 0.15
    assert of_course < 0.75 * of_severity
    drift = columns[f"{key}_day5"].astype(float) - columns[key]
    assert worse * related(drift, columns["true_course"]) > 0.15
    assert np.sign(law.drift) == worse


def test_clinical_values_and_signs_are_correlated_but_not_the_same():
    columns = cohort()
    for key, name, way in (("bilirubin", "log_wall", 1), ("albumin", "ascites_ml", -1), ("platelets", "portal_mm", -1)):
        assert 0.08 < way * related(columns[key], columns[f"t0_{name}"]) < 0.6, key
    assert list(np.unique(columns["ascites"])) == ["moderate", "none", "slight"]
    for when, number in (("", 0), ("_day5", 1)):
        amount = columns[f"t{number}_ascites_ml"]
        limits = [amount[columns["ascites" + when] == grade] for grade in FIELDS["ascites"].choices]
        assert limits[0].max() == 0 < limits[1].min() < limits[1].max() <= causes.SLIGHT_UP_TO_ML < limits[2].min()


# --- outcome ----------------------------------------------------------------------------------------------------------


def test_a_third_or_more_die_within_30_days_and_some_are_transplanted():
    columns = cohort()
    early = columns["days"] <= 30
    assert 0.35 < np.mean(early & (columns["status"] == DIED)) < 0.40
    assert 0.35 < columns["true_mortality_30"].mean() < 0.40
    assert 0.03 < np.mean(early & (columns["status"] == TRANSPLANTED)) < 0.08
    assert np.mean(early & (columns["status"] == CENSORED)) < 0.06
    assert columns["days"].min() > SECOND_DAY
    assert columns["days"].max() == causes.LAST_DAY
    old = columns["age"] > causes.TRANSPLANT_UP_TO
    assert old.sum() > 100
    assert not (columns["status"][old] == TRANSPLANTED).any()


def test_sicker_patients_are_transplanted_sooner():
    columns = cohort()
    table = DataFrame({"days": columns["days"], "listed": columns["status"] == TRANSPLANTED})
    table["severity"], table["course"] = columns["true_severity"], columns["true_course"]
    fitted = CoxPHFitter().fit(table, "days", "listed").params_
    assert fitted["severity"] == pytest.approx(causes.TRANSPLANT_EFFECTS["severity"], abs=0.1)
    assert fitted["course"] == pytest.approx(causes.TRANSPLANT_EFFECTS["course"], abs=0.1)


def test_a_cox_model_of_all_causes_finds_their_effects():
    columns = cohort()
    table = DataFrame({name: columns[f"true_{name}"] for name in LOG_HAZARD if name != "age"})
    table["age"] = (columns["age"] - causes.MEAN_AGE) / causes.AGE_SD
    table["days"], table["died"] = columns["days"], columns["status"] == DIED
    fitted = CoxPHFitter().fit(table, "days", "died")
    for name, effect in LOG_HAZARD.items():
        assert fitted.params_[name] == pytest.approx(effect, abs=4 * fitted.standard_errors_[name]), name
    assert LOG_HAZARD["course"] > 2 * max(effect for name, effect in LOG_HAZARD.items() if name != "course")


def test_the_true_mortality_is_what_happens_without_transplants():
    """Among patients whom nothing took out of sight before day 30, weighted for those it did, by groups of risk."""
    columns = cohort()
    order = np.argsort(columns["true_log_hazard"])
    for rows in np.array_split(order, 10):
        days, dead = columns["days"][rows], columns["status"][rows] == DIED
        moments = np.unique(days[dead & (days <= 30)])
        alive = np.prod([1 - ((days == one) & dead).sum() / (days >= one).sum() for one in moments])
        expected = columns["true_mortality_30"][rows].mean()
        assert 1 - alive == pytest.approx(expected, abs=0.015 + 4 * np.sqrt(expected * (1 - expected) / len(rows)))


def test_the_danger_begins_after_day_5_and_fades():
    days = np.linspace(0, 200, 401)
    hazard = cumulative_hazard(days)
    assert (hazard[days <= SECOND_DAY] == 0).all()
    assert (np.diff(hazard) >= 0).all()
    assert hazard[-1] == pytest.approx(causes.FINAL_HAZARD, rel=1e-3)
    assert mortality(0.0, 5.0) == 0 < mortality(0.0) < mortality(1.0) < mortality(5.0) < 1
    assert mortality(0.0, 30.0) < mortality(0.0, 90.0)


# --- patients ---------------------------------------------------------------------------------------------------------


def test_equal_seeds_give_equal_cohorts_and_patients():
    first, again = draw_cohort(50, 8), draw_cohort(50, 8)
    assert list(first) == list(again)
    assert all((first[name] == again[name]).all() for name in first)
    assert not np.array_equal(first["days"], draw_cohort(50, 9)["days"])
    assert draw_patient(12) == draw_patient(12)
    assert draw_patient(12).first != draw_patient(13).first


def test_a_patient_is_the_row_of_its_seed():
    for seed in range(5):
        row, patient = draw_cohort(1, seed), draw_patient(seed)
        for when, signs in (("t0", patient.first), ("t1", patient.second)):
            assert astuple(signs) == tuple(row[f"{when}_{one.name}"][0] for one in fields(Signs))
        assert patient.clinical == {key: row[key][0] for key in CLINICAL}
        assert {patient.clinical_day5[key] for key in ("age", "sex")} == {patient.clinical[k] for k in ("age", "sex")}
        assert all(patient.clinical_day5[key] == row[f"{key}_day5"][0] for key in CHANGING)
        assert (patient.days, patient.status) == (row["days"][0], row["status"][0])
        assert patient.truth["mortality_30"] == pytest.approx(float(mortality(patient.truth["log_hazard"])))
        assert replace(patient.first, ascites_ml=0.0).ascites_ml == 0.0 <= patient.first.ascites_ml


def test_the_signs_are_those_of_the_laws():
    assert [one.name for one in fields(Signs)] == list(SIGNS)


def test_clinical_values_are_accepted_as_plain_numbers_and_give_every_score():
    for seed in range(40):
        patient = draw_patient(seed)
        for values in (patient.clinical, patient.clinical_day5):
            checked = check_clinical(values, FIELDS.values())
            assert checked == values
            rows = score_rows(checked, LIVER_SCORES + ACLF_SCORES)
            assert [row.label for row in rows if row.value is None] == []


def test_an_empty_cohort_is_refused():
    with pytest.raises(InputError, match="at least one patient, not 0"):
        draw_cohort(0, 1)
