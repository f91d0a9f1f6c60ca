"""The nomogram: points add up to the model's hazard, and follow a value that is edited."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hepato_cases import CLINICAL, readout
from hypothesis import given, settings
from hypothesis import strategies as st

from HepatoPrognosisLib.labels import MODELS
from HepatoPrognosisLib.measuring.evidence import LiverFacts, PairEvidence
from HepatoPrognosisLib.measuring.outlook import Patient
from HepatoPrognosisLib.measuring.points import nomogram_curves, nomogram_of, points_rows
from HepatoPrognosisLib.predictors import (
    CANDIDATES,
    TERMS,
    clinical_predictors,
    shown_value,
    siamese_predictors,
)
from PrognosisLib.errors import InputError

READ = PairEvidence(-0.5, 0.7, LiverFacts(9, 90.0, 100.0, 0.2), LiverFacts(9, 80.0, 90.0, 0.3))


def patient(**changed) -> Patient:
    clinical = {key: value for key, value in {**CLINICAL, **changed}.items() if value is not None}
    return Patient.of(clinical, READ)


@pytest.mark.parametrize("name", MODELS)
def test_the_points_of_a_known_patient_give_the_models_own_mortality(name):
    nomogram = nomogram_of(name, readout())
    values = patient().values_for(nomogram.model)
    for days in (10.0, 30.0, 90.0):
        expected = 1 - nomogram.model.predict_survival(values, [days])[0][0]
        assert nomogram.mortality(nomogram.total(values), days) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", MODELS)
def test_the_strongest_predictor_spans_100_points_and_every_axis_starts_at_0(name):
    nomogram = nomogram_of(name, readout())
    spans = []
    for one in nomogram.parts({}):
        slope = dict(zip([p.name for p in nomogram.model.predictors], nomogram.model.coefficients, strict=True))
        values = {one.name: one.low}
        at_low = next(part for part in nomogram.parts(values) if part.name == one.name)
        at_high = next(part for part in nomogram.parts({one.name: one.high}) if part.name == one.name)
        assert at_low.points == pytest.approx(0, abs=1e-9)
        assert at_high.points == pytest.approx(one.most)
        assert (one.low < one.high) == (slope[one.name] > 0)
        assert {one.low, one.high} == set(readout().ranges[one.name])
        spans.append(one.most)
    assert max(spans) == pytest.approx(100.0)
    assert sum(spans) == pytest.approx(nomogram.most_points)


@settings(deadline=None, max_examples=40)
@given(st.floats(20, 80), st.floats(1.1, 4.5), st.floats(0.6, 6))
def test_points_move_by_what_the_value_moves_the_hazard(age, inr, lactate):
    nomogram = nomogram_of("combined", readout())
    model = nomogram.model
    first, then = (
        patient(**changed).values_for(model) for changed in ({}, {"age": age, "inr": inr, "lactate": lactate})
    )
    moved = nomogram.total(then) - nomogram.total(first)
    expected = model.linear_predictor(then) - model.linear_predictor(first)
    assert moved == pytest.approx(nomogram.points_per_unit * expected, abs=1e-6)


def test_the_mortality_rises_with_the_points():
    nomogram = nomogram_of("combined", readout())
    chances = nomogram.mortality(np.linspace(-50, nomogram.most_points + 50, 50), 30.0)
    assert (np.diff(chances) >= 0).all()
    assert 0 < chances[0] < 0.05
    assert 0.95 < chances[-1] <= 1


# --- rows that a panel shows while a value is edited ------------------------------------------------------------------


def test_rows_follow_an_edit_and_only_its_own_predictor_moves():
    before = {row.key: row for row in points_rows(patient(), readout(), 30.0)}
    after = {row.key: row for row in points_rows(patient(lactate=5.0), readout(), 30.0)}
    assert set(before) == set(after)
    changed = {key for key in before if before[key].value != after[key].value}
    assert changed == {"points_log_lactate", "points_total"}
    gain = after["points_log_lactate"].value - before["points_log_lactate"].value
    assert gain > 0
    assert after["points_total"].value - before["points_total"].value == pytest.approx(gain)
    assert "at 5 mmol/L" in after["points_log_lactate"].note
    assert all(row.simulated and "simulated cohort" in row.note for row in after.values())


def test_what_is_not_given_is_said_to_be_estimated():
    rows = {row.key: row for row in points_rows(patient(lactate=None), readout(), 30.0)}
    assert "not given, estimated from the others" in rows["points_log_lactate"].note
    assert "taken as estimated" in rows["points_total"].note
    assert (
        "taken as estimated"
        not in {row.key: row for row in points_rows(patient(), readout(), 30.0)}["points_total"].note
    )


def test_rows_are_of_the_most_complete_model():
    names = {
        "combined": patient(),
        "siamese": Patient.of({}, READ),
        "clinical": Patient.of(CLINICAL, None),
    }
    for name, one in names.items():
        keys = [row.key for row in points_rows(one, readout(), 30.0)]
        assert keys == [f"points_{p.name}" for p in readout().models[name].predictors] + ["points_total"]
    assert points_rows(Patient.of({}, None), readout(), 30.0) == []
    assert nomogram_curves(Patient.of({}, None), readout(), 30.0) == ()


def test_the_chart_shows_the_patient_on_the_curve():
    line, here = nomogram_curves(patient(), readout(), 30.0)
    assert here.emphasized
    assert np.interp(here.x[1], line.x, line.y) == pytest.approx(here.y[1], abs=0.5)
    assert (np.diff(line.y) >= 0).all()


# --- predictors -------------------------------------------------------------------------------------------------------


def test_predictors_of_clinical_values():
    values = clinical_predictors({**CLINICAL, "ascites": "moderate", "lactate": None})
    assert set(values) == {one.name for one in CANDIDATES} - {"log_lactate"}
    assert values["log_bilirubin"] == pytest.approx(math.log(300))
    assert (values["male"], values["ascites_grade"], values["encephalopathy"]) == (1.0, 2.0, 1.0)
    assert clinical_predictors({}) == {}


def test_predictors_are_shown_as_the_user_knows_them():
    for term in TERMS:
        given_value = CLINICAL[term.key]
        text = shown_value(term.predictor.name, term.forward(given_value))
        assert str(given_value).removesuffix(".0") in text, term.key
    assert shown_value("log_bilirubin", math.log(300)) == "300 µmol/L"
    assert shown_value("male", 0.0) == "female"
    assert shown_value("siamese_t0", -0.5) == "-0.50"


def test_readings_of_the_network_are_two_predictors():
    assert siamese_predictors(None, None) == {}
    assert siamese_predictors(0.5, None) == {"siamese_t0": 0.5}
    assert siamese_predictors(0.5, 2.0) == {"siamese_t0": 0.5, "siamese_change": 1.5}


def test_a_predictor_that_is_not_the_models_is_refused():
    with pytest.raises(InputError, match="no predictor"):
        nomogram_of("siamese", readout()).parts({"age": 50.0})
