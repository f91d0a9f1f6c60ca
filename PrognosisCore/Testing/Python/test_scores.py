"""Clinical scores against published inputs and values computed by hand from the published formulas."""

from __future__ import annotations

import math

import pytest

from PrognosisLib import scores
from PrognosisLib.clinical import check_clinical
from PrognosisLib.errors import InputError
from PrognosisLib.scores import tace

ALL_SCORES = scores.LIVER_SCORES + scores.TACE_SCORES

# sex, bilirubin, sodium, INR, creatinine, albumin: Kim et al. 2021, table 4; then MELD, MELD-Na, MELD 3.0
MELD_TABLE = [
    ("male", 2.5, 131, 1.0, 1.2, 3.8, 12, 17.54, 15.81),
    ("female", 2.5, 131, 1.0, 1.2, 3.8, 12, 17.54, 17.14),
    ("male", 6, 131, 1.5, 1.5, 3.5, 22, 25.56, 24.71),
    ("male", 6, 131, 1.5, 1.5, 2.2, 22, 25.56, 26.15),
    ("female", 6, 131, 1.5, 1.5, 2.2, 22, 25.56, 27.48),
    ("male", 12, 128, 2.2, 1.8, 2.0, 30, 32.97, 34.22),
    ("male", 12, 128, 2.2, 2.8, 2.0, 35, 36.48, 37.93),
    ("female", 12, 128, 2.2, 2.8, 2.0, 35, 36.48, 39.26),
]


@pytest.mark.parametrize(("sex", "bili", "na", "inr", "crea", "alb", "meld", "meld_na", "meld_3"), MELD_TABLE)
def test_meld_family(sex, bili, na, inr, crea, alb, meld, meld_na, meld_3):
    assert scores.meld(bili, inr, crea) == meld
    assert scores.meld_na(meld, na) == pytest.approx(meld_na, abs=0.0051)
    assert scores.meld_3(50, sex == "female", bili, na, inr, crea, alb) == pytest.approx(meld_3, abs=0.0051)


def test_the_meld_family_is_the_same_through_the_table_of_a_patient():
    for sex, bili, na, inr, crea, alb, meld, meld_na, meld_3 in MELD_TABLE:
        values = check_clinical(
            {
                "age": 50,
                "sex": sex,
                "sodium": na,
                "inr": inr,
                "bilirubin": {"value": bili, "unit": "mg/dL"},
                "creatinine": {"value": crea, "unit": "mg/dL"},
                "albumin": {"value": alb, "unit": "g/dL"},
            },
            scores.score_fields(scores.LIVER_SCORES),
        )
        rows = {row.key: row for row in scores.score_rows(values, ALL_SCORES)}
        assert rows["meld"].value == meld
        assert rows["meld_na"].value == pytest.approx(meld_na, abs=0.0051)
        assert rows["meld_3"].value == pytest.approx(meld_3, abs=0.0051)
        assert f"{math.floor(meld_3 + 0.5)} as a whole number" in rows["meld_3"].note


def test_meld_bounds():
    assert scores.meld(0.3, 0.8, 0.4) == 6
    assert scores.meld(50, 10, 9) == 40
    assert scores.meld(1, 1, 1, dialysis=True) == scores.meld(1, 1, 4) == scores.meld(1, 1, 12)
    assert scores.meld_na(11, 120) == 11
    assert scores.meld_na(20, 110) == scores.meld_na(20, 125) > scores.meld_na(20, 137) == 20
    low, high = scores.meld_3(40, False, 2, 137, 1, 2, 3.5), scores.meld_3(40, False, 2, 150, 1, 2, 5.0)
    assert low == high
    assert scores.meld_3(40, True, 2, 137, 1, 9, 3.5) == scores.meld_3(40, True, 2, 137, 1, 1, 3.5, dialysis=True)


@pytest.mark.parametrize(("bilirubin", "albumin", "score", "grade"), [(20, 40, -2.5413, 2), (34, 30, -1.5392, 2)])
def test_albi(bilirubin, albumin, score, grade):
    assert scores.albi(bilirubin, albumin) == pytest.approx(score, abs=5e-5)
    assert scores.albi_grade(scores.albi(bilirubin, albumin)) == grade
    assert [scores.albi_grade(s) for s in (-2.6, -2.599, -1.39, -1.389)] == [1, 2, 2, 3]


@pytest.mark.parametrize(
    ("inputs", "points", "letter"),
    [
        ((1.0, 4.0, 1.1, 0, 0), 5, "A"),
        ((1.99, 3.51, 1.69, 0, 1), 6, "A"),
        ((2.0, 3.5, 1.7, 0, 0), 8, "B"),
        ((3.0, 2.8, 2.3, 1, 2), 10, "C"),
        ((3.01, 2.79, 2.31, 2, 3), 15, "C"),
    ],
)
def test_child_pugh(inputs, points, letter):
    assert scores.child_pugh(*inputs) == points
    assert scores.child_pugh_class(points) == letter


def test_child_pugh_limits_survive_the_unit_conversion():
    values = check_clinical(
        {
            "bilirubin": {"value": 3.0, "unit": "mg/dL"},
            "albumin": {"value": 2.8, "unit": "g/dL"},
            "inr": 1.0,
            "ascites": "none",
            "encephalopathy": 0,
        },
        scores.score_fields(scores.LIVER_SCORES),
    )
    row = next(row for row in scores.score_rows(values, ALL_SCORES) if row.key == "child_pugh")
    assert (row.value, row.note) == (7, "class B")


def test_hap_counts_strictly_beyond_its_limits():
    assert scores.hap(7, 400, 36, 17) == 0
    assert [scores.hap(*x) for x in ((7.1, 1, 40, 9), (1, 401, 40, 9), (1, 1, 35.9, 9), (1, 1, 40, 17.1))] == [1] * 4
    assert scores.hap(8, 500, 30, 30) == 4
    assert [scores.hap_class(points) for points in range(6)] == list("ABCDDD")
    assert scores.mhap_ii(8, 1, 500, 30, 30) == 4
    assert scores.mhap_ii(2, 2, 5, 40, 9) == 1


def test_six_and_twelve():
    assert scores.six_and_twelve(4.5, 3) == 7.5
    assert [scores.six_and_twelve_class(x) for x in (6, 6.1, 12, 12.1)] == [
        "low",
        "intermediate",
        "intermediate",
        "high",
    ]


@pytest.mark.parametrize(
    ("inputs", "points", "risk"),
    [
        ((40, 50, 5, 5, True), 0, "low risk"),
        ((40, 50.1, 5, 5, True), 4, "high risk"),
        ((40, 40, 5, 6, True), 1.5, "low risk"),
        ((40, 40, 5, 6, False), 2.5, "high risk"),
        ((40, 80, 5, 8, False), 8, "high risk"),
    ],
)
def test_art(inputs, points, risk):
    assert scores.art(*inputs) == points
    assert scores.art_class(points) == risk


def test_spleen_size_from_diameters():
    assert scores.prassopoulos_volume_ml(10, 8, 4) == pytest.approx(30 + 0.58 * 320)
    assert scores.splenic_index_cm3(10, 8, 6) == 480 == scores.SPLENIC_INDEX_LIMIT_CM3
    assert not scores.is_enlarged(314.5)
    assert scores.is_enlarged(314.6)
    assert not scores.is_enlarged_by_screen(11.5, 10)
    assert scores.is_enlarged_by_screen(11.6, 10)


@pytest.mark.parametrize(
    "call",
    [
        lambda: scores.albi(0, 40),
        lambda: scores.albi(20, 4.0),
        lambda: scores.albi(float("nan"), 40),
        lambda: scores.child_pugh(1, 40, 1.1, 0, 0),
        lambda: scores.child_pugh(1, 4, 1.1, 3, 0),
        lambda: scores.child_pugh(1, 4, 1.1, 0, 5),
        lambda: scores.meld(100, 1.1, 1),
        lambda: scores.meld(1, 80, 1),
        lambda: scores.meld(1, 1, 88),
        lambda: scores.meld_na(12, 13.8),
        lambda: scores.meld_3(12, False, 1, 137, 1, 1, 3.5),
        lambda: scores.hap(70, 5, 40, 10),
        lambda: scores.six_and_twelve(3, 0),
        lambda: scores.art(40, 50, 4, 5, True),
        lambda: scores.prassopoulos_volume_ml(100, 8, 4),
        lambda: scores.is_enlarged(0),
    ],
)
def test_out_of_range_raises(call):
    with pytest.raises(InputError, match=r"check value|whole number"):
        call()


def test_rows_say_what_is_missing():
    rows = {
        row.key: row for row in scores.score_rows({"bilirubin": 20.0, "albumin": 40.0, "tumor_size": 5.0}, ALL_SCORES)
    }
    assert len(rows) == len(scores.LIVER_SCORES) + len(scores.TACE_SCORES)
    assert rows["albi"].value == pytest.approx(-2.5413)
    assert rows["albi"].note == "grade 2"
    assert rows["hap"].value is None
    assert rows["hap"].note == "missing: Alpha-fetoprotein"
    assert rows["six_and_twelve"].note == "missing: Number of tumors"
    assert rows["child_pugh"].note == "missing: INR, Ascites, Encephalopathy"
    assert not any(row.simulated for row in rows.values())


def test_a_child_gets_no_meld_3_but_a_reason():
    values = {
        "age": 12.0,
        "sex": "male",
        "bilirubin": 30.0,
        "inr": 1.2,
        "creatinine": 80.0,
        "sodium": 137.0,
        "albumin": 35.0,
    }
    row = next(row for row in scores.score_rows(values, ALL_SCORES) if row.key == "meld_3")
    assert row.value is None
    assert "adults" in row.note


def test_fields_of_the_scores():
    keys = {one.key for one in scores.score_fields(scores.TACE_SCORES)}
    assert keys == {"tumor_size", "tumor_number", "afp", "albumin", "bilirubin", *tace._ART_KEYS}
