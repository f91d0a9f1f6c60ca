"""Scores of liver fibrosis: check values computed from the published formulas, and both sides of every limit."""

from __future__ import annotations

import pytest

from PrognosisLib import scores
from PrognosisLib.clinical import check_clinical
from PrognosisLib.errors import InputError

FIELDS = scores.score_fields(scores.FIBROSIS_SCORES)
PATIENT = {
    "age": 50.0,
    "ast": 60.0,
    "alt": 40.0,
    "platelets": 200.0,
    "bmi": 30.0,
    "diabetes": True,
    "albumin": 40.0,
}


def rows_of(**changed) -> dict:
    values = {key: value for key, value in {**PATIENT, **changed}.items() if value is not None}
    return {row.key: row for row in scores.score_rows(check_clinical(values, FIELDS), scores.FIBROSIS_SCORES)}


# --- formulas ---------------------------------------------------------------------------------------------------------


def test_check_values():
    assert scores.fib4(50, 80, 64, 150) == pytest.approx(3.333, abs=5e-4)
    assert scores.apri(80, 40, 150) == pytest.approx(1.333, abs=5e-4)
    assert scores.nafld_score(50, 30, True, 60, 40, 200, 4.0) == pytest.approx(0.370, abs=5e-4)


def test_each_value_moves_the_nafld_score_by_its_coefficient():
    values = [50, 30, False, 60, 40, 200, 4.0]
    base = scores.nafld_score(*values)
    for index, other, by in [
        (0, 60, 0.37),
        (1, 31, 0.094),
        (2, True, 1.13),
        (3, 80, 0.495),
        (5, 300, -1.3),
        (6, 3, 0.66),
    ]:
        changed = [*values[:index], other, *values[index + 1 :]]
        assert scores.nafld_score(*changed) - base == pytest.approx(by)


@pytest.mark.parametrize(
    "call",
    [
        lambda: scores.fib4(50, 2, 64, 150),
        lambda: scores.fib4(50, 80, 0, 150),
        lambda: scores.fib4(50, 80, 64, 0),
        lambda: scores.fib4(50, 80, 64, 150_000),
        lambda: scores.fib4(float("nan"), 80, 64, 150),
        lambda: scores.fib4("50", 80, 64, 150),
        lambda: scores.apri(80, 5, 150),
        lambda: scores.apri(80, 40, -1),
        lambda: scores.nafld_score(50, 3, True, 60, 40, 200, 4.0),
        lambda: scores.nafld_score(50, 30, True, 60, 40, 200, 40),
    ],
)
def test_out_of_range_is_an_error_and_no_number(call):
    with pytest.raises(InputError, match="check value"):
        call()


# --- classes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "word"), [(1.449, "unlikely"), (1.45, "indeterminate"), (3.25, "indeterminate"), (3.251, "likely")]
)
def test_fib4_class(value, word):
    assert scores.fib4_class(value) == word


@pytest.mark.parametrize(
    ("value", "age", "word"),
    [
        *((1.299, 64, "unlikely"), (1.3, 64, "indeterminate"), (2.67, 64, "indeterminate"), (2.671, 64, "likely")),
        *((1.999, 65, "unlikely"), (2.0, 65, "indeterminate"), (2.67, 65, "indeterminate"), (2.671, 65, "likely")),
    ],
)
def test_fib4_class_in_nafld(value, age, word):
    assert scores.fib4_class_in_nafld(value, age) == word


@pytest.mark.parametrize(
    ("value", "word"), [(0.5, "unlikely"), (0.501, "indeterminate"), (1.5, "indeterminate"), (1.501, "likely")]
)
def test_apri_class(value, word):
    assert scores.apri_class(value) == word


@pytest.mark.parametrize(
    ("value", "age", "word"),
    [
        *((-1.456, 64, "unlikely"), (-1.455, 64, "indeterminate"), (0.676, 64, "indeterminate"), (0.677, 64, "likely")),
        *((0.119, 65, "unlikely"), (0.12, 65, "indeterminate"), (0.676, 65, "indeterminate"), (0.677, 65, "likely")),
    ],
)
def test_nafld_class(value, age, word):
    assert scores.nafld_class(value, age) == word


def test_limits_hold_where_the_arithmetic_leaves_dust():
    assert scores.apri(18.6, 20, 62) > 1.5
    assert scores.apri_class(scores.apri(18.6, 20, 62)) == "indeterminate"
    assert scores.apri(9.8, 20, 98) > 0.5
    assert scores.apri_class(scores.apri(9.8, 20, 98)) == "unlikely"


# --- rows -------------------------------------------------------------------------------------------------------------


def test_rows_of_a_complete_patient():
    rows = rows_of(ast_upper_limit=35.0)
    assert list(rows) == ["fib4", "apri", "nafld_score"]
    # 50 x 60 / (200 x sqrt 40); 60 / 35 / 200 x 100
    assert rows["fib4"].value == pytest.approx(2.3717)
    assert rows["fib4"].note == "advanced fibrosis indeterminate; in NAFLD indeterminate"
    assert rows["apri"].value == pytest.approx(0.8571)
    assert rows["apri"].note == "significant fibrosis indeterminate"
    assert rows["nafld_score"].value == pytest.approx(0.370)
    assert rows["nafld_score"].note == "advanced fibrosis indeterminate, if it is NAFLD"
    for row in rows.values():
        assert row.group == "Clinical scores"
        assert row.unit == ""
        assert "limits" in row.method
        assert not row.simulated


def test_the_usual_limit_of_ast_is_said():
    row = rows_of()["apri"]
    assert row.value == 0.75
    assert row.note.endswith("; upper limit of AST not given, taken as 40 U/L")


def test_impaired_fasting_glucose_counts_as_diabetes():
    unsaid, no, yes = (rows_of(diabetes=False, impaired_fasting_glucose=given) for given in (None, False, True))
    assert yes["nafld_score"].value == rows_of()["nafld_score"].value
    assert no["nafld_score"].value == unsaid["nafld_score"].value == pytest.approx(0.370 - 1.13)
    assert unsaid["nafld_score"].note.endswith("; impaired fasting glucose not given, taken as no")
    assert "glucose" not in no["nafld_score"].note + yes["nafld_score"].note + rows_of()["nafld_score"].note


def test_an_old_patient_has_other_limits():
    young, old = rows_of(age=64.0, platelets=340.0), rows_of(age=65.0, platelets=340.0)
    assert young["fib4"].note == "advanced fibrosis indeterminate; in NAFLD indeterminate"
    assert old["fib4"].note == "advanced fibrosis indeterminate; in NAFLD unlikely"
    assert young["nafld_score"].note.startswith("advanced fibrosis indeterminate")
    assert old["nafld_score"].note.startswith("advanced fibrosis unlikely")


def test_up_to_35_years_is_said():
    for age, said in ((35.0, True), (36.0, False)):
        rows = rows_of(age=age)
        for key in ("fib4", "nafld_score"):
            assert ("less reliable up to 35 years" in rows[key].note) is said


def test_a_child_gets_no_score_for_adults_but_a_reason():
    rows = rows_of(age=17.0)
    assert rows["fib4"].value is rows["nafld_score"].value is None
    assert rows["fib4"].note == "age 17.0 is outside 18 to 120 years (FIB-4 is for adults); check value and unit."
    assert "the NAFLD fibrosis score is for adults" in rows["nafld_score"].note
    assert rows["apri"].value == 0.75


def test_rows_name_what_they_lack():
    rows = {row.key: row for row in scores.score_rows({}, scores.FIBROSIS_SCORES)}
    assert {row.value for row in rows.values()} == {None}
    assert rows["fib4"].note == "missing: Age, AST, ALT, Platelets"
    assert rows["apri"].note == "missing: AST, Platelets"
    assert rows["nafld_score"].note == "missing: Age, Body mass index, Diabetes, AST, ALT, Platelets, Albumin"


def test_units_of_the_values():
    given = {
        "albumin": {"value": 4.0, "unit": "g/dL"},
        "platelets": {"value": 200_000, "unit": "/uL"},
        "ast": {"value": 60, "unit": "IU/L"},
        "bmi": {"value": 30, "unit": "kg/m²"},
    }
    assert rows_of(**given)["nafld_score"].value == rows_of()["nafld_score"].value
    for spelled in ("kg/m^2", "kg/m2", "KG/M2"):
        assert rows_of(bmi={"value": 30, "unit": spelled}) == rows_of()
    with pytest.raises(InputError, match='bmi cannot be given in "lb/in2"; use kg/m'):
        rows_of(bmi={"value": 30, "unit": "lb/in2"})
    with pytest.raises(InputError, match=r"bmi 1\.75 kg/m"):
        rows_of(bmi=1.75)
