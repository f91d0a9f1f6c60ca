"""Scores of acute-on-chronic liver failure: check values, both sides of every limit, and what is said of gaps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from PrognosisLib import scores
from PrognosisLib.clinical import check_clinical
from PrognosisLib.clinical_fields import FIELDS
from PrognosisLib.errors import InputError

ACLF_FIELDS = scores.score_fields(scores.ACLF_SCORES)
PATIENT = {
    "age": 45,
    "bilirubin": 300,
    "creatinine": {"value": 1.0, "unit": "mg/dL"},
    "encephalopathy": 1,
    "inr": 2.5,
    "mean_arterial_pressure": 80,
    "vasopressors": False,
    "renal_replacement": False,
    "pao2_fio2": 380,
    "wbc": 10,
    "neutrophils": 6,
    "urea": 6,
    "lactate": 2,
}
WELL = (5.9, 1.9, 0, 1.9, 70, False, 301)


def rows_of(**changed) -> dict:
    values = {key: value for key, value in {**PATIENT, **changed}.items() if value is not None}
    return {row.key: row for row in scores.score_rows(check_clinical(values, ACLF_FIELDS), scores.ACLF_SCORES)}


# --- check values -----------------------------------------------------------------------------------------------------


def test_check_values():
    assert scores.clif_c_aclf(10, 50, 10) == pytest.approx(47.506, abs=5e-4)
    assert scores.cossh_aclf_ii(2.5, 2, 6, 300, 6, 45) == pytest.approx(7.962, abs=5e-4)


def test_check_value_of_cossh_through_the_table_of_a_patient():
    row = rows_of()["cossh_aclf_ii"]
    assert row.value == pytest.approx(7.962, abs=5e-4)
    assert "intermediate risk" in row.note
    assert "coding to be confirmed" in row.note


def test_check_value_of_clif_c_aclf_through_the_table_of_a_patient():
    """Liver 3, kidney 1, brain 2, coagulation 2, circulation 1, lungs 1 points: OF 10."""
    row = rows_of(age=50, bilirubin=300, inr=2.2, creatinine=80)["clif_c_aclf"]
    assert row.value == pytest.approx(47.506, abs=5e-4)
    assert "CLIF-C OF 10" in row.note


def test_each_value_moves_cossh_by_its_coefficient():
    values = [2.0, 1, 5.0, 200.0, 5.0, 40]
    base = scores.cossh_aclf_ii(*values)
    e = 2.718281828459045
    for index, other, by in [
        (0, 2.0 * e, 1.649),
        (1, 0, -0.457),
        (1, 2, 0.0),
        (1, 4, 0.457),
        (2, 5.0 * e, 0.425),
        (3, 200.0 * e, 0.396),
        (4, 5.0 * e, 0.576),
        (5, 41, 0.033),
    ]:
        changed = [*values[:index], other, *values[index + 1 :]]
        assert scores.cossh_aclf_ii(*changed) - base == pytest.approx(by), index


# --- limits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "values", "points"),
    [
        (0, (5.99, 6.0, 12.0, 12.01), (1, 2, 2, 3)),
        (1, (1.99, 2.0, 3.49, 3.5), (1, 2, 2, 3)),
        (2, (0, 1, 2, 3, 4), (1, 2, 2, 3, 3)),
        (3, (1.99, 2.0, 2.49, 2.5), (1, 2, 2, 3)),
        (4, (70, 69.9), (1, 2)),
        (5, (False, True), (1, 3)),
        (6, (300.1, 300, 200.1, 200), (1, 2, 2, 3)),
    ],
)
def test_limits_of_clif_c_of(place, values, points):
    assert scores.clif_c_of(*WELL) == 6
    for value, wanted in zip(values, points, strict=True):
        assert scores.clif_c_of(*WELL[:place], value, *WELL[place + 1 :]) == 5 + wanted, value


def test_saturation_stands_for_the_arterial_pressure_of_oxygen_where_that_is_not_given():
    assert [scores.clif_c_of(*WELL[:6], None, ratio) for ratio in (357.5, 357, 214.5, 214)] == [6, 7, 7, 8]
    assert scores.clif_c_of(*WELL[:6], 350, 100) == 6
    assert scores.clif_c_of(*WELL, renal_replacement=True) == 8
    assert scores.clif_c_of(13, 4, 4, 3, None, True, None, 100, True) == 18


@pytest.mark.parametrize(
    ("place", "values", "points"),
    [
        (0, (14.99, 15.0, 25.0, 25.01), (1, 2, 2, 3)),
        (1, (0, 1, 2, 3, 4), (1, 2, 2, 3, 3)),
        (2, (1.79, 1.8, 2.5, 2.51), (1, 2, 2, 3)),
        (3, (1.49, 1.5, 2.5, 2.51), (1, 2, 2, 3)),
        (4, (0.69, 0.7, 1.5, 1.51), (1, 2, 2, 3)),
    ],
)
def test_limits_of_aarc(place, values, points):
    well = (5.0, 0, 1.2, 1.0, 0.5)
    assert scores.aarc(*well) == 5
    for value, wanted in zip(values, points, strict=True):
        assert scores.aarc(*well[:place], value, *well[place + 1 :]) == 4 + wanted, value


def test_grades():
    assert [scores.aarc_grade(points) for points in (5, 7, 8, 10, 11, 15)] == ["I", "I", "II", "II", "III", "III"]
    classes = [scores.cossh_aclf_ii_class(score) for score in (7.399, 7.4, 8.399, 8.4)]
    assert classes == ["low risk", "intermediate risk", "intermediate risk", "high risk"]


def test_limits_survive_the_unit_conversion():
    rows = rows_of(
        bilirubin={"value": 12.0, "unit": "mg/dL"},
        creatinine={"value": 2.0, "unit": "mg/dL"},
        mean_arterial_pressure={"value": 70 / 7.50062, "unit": "kPa"},
        pao2_fio2={"value": 300 / 7.50062, "unit": "kPa"},
        inr=1.9,
        encephalopathy=0,
    )
    assert rows["clif_c_of"].value == 2 + 2 + 1 + 1 + 1 + 2


@given(st.floats(0.1, 50), st.floats(0.2, 20), st.integers(0, 4), st.floats(0.6, 12), st.floats(0.2, 30))
def test_worse_values_never_lower_a_score(bilirubin, creatinine, grade, inr, lactate):
    worse = (bilirubin * 1.1, creatinine * 1.1, min(grade + 1, 4), inr * 1.1)
    first, then = (scores.clif_c_of(*values, 75, False, 350) for values in ((bilirubin, creatinine, grade, inr), worse))
    assert 6 <= first <= then <= 18
    first, then = (
        scores.aarc(b, g, i, s, c)
        for b, c, g, i, s in ((bilirubin, creatinine, grade, inr, lactate), (*worse, lactate * 1.1))
    )
    assert 5 <= first <= then <= 15


# --- what is missing or wrong -----------------------------------------------------------------------------------------


def test_each_score_only_where_its_inputs_are():
    lacking = {
        "clif_c_of": {
            "creatinine": "missing: Creatinine",
            "pao2_fio2": "missing: PaO2/FiO2 or SpO2/FiO2",
        },
        "clif_c_aclf": {"wbc": "missing: White blood cells", "age": "missing: Age"},
        "cossh_aclf_ii": {"neutrophils": "missing: Neutrophils", "urea": "missing: Urea"},
        "aarc": {"lactate": "missing: Lactate", "inr": "missing: INR"},
    }
    complete = rows_of()
    assert set(complete) == set(lacking)
    assert all(row.value is not None for row in complete.values())
    for score, gaps in lacking.items():
        for key, note in gaps.items():
            row = rows_of(**{key: None})[score]
            assert (row.value, row.note) == (None, note)


def test_nothing_given_names_everything():
    rows = {row.key: row for row in scores.score_rows({}, scores.ACLF_SCORES)}
    assert rows["clif_c_of"].note == (
        "missing: Total bilirubin, Creatinine, Encephalopathy, INR, Mean arterial pressure or Vasopressors, "
        "PaO2/FiO2 or SpO2/FiO2"
    )
    assert all(row.value is None for row in rows.values())


def test_circulation_needs_a_pressure_unless_there_are_vasopressors():
    assert rows_of(mean_arterial_pressure=None)["clif_c_of"].note.startswith("missing: Mean arterial pressure")
    complete = rows_of()["clif_c_of"].value
    assert rows_of(mean_arterial_pressure=None, vasopressors=True)["clif_c_of"].value == complete + 2


def test_what_is_taken_as_no_is_said():
    note = rows_of(vasopressors=None, renal_replacement=None, pao2_fio2=None, spo2_fio2=440)["clif_c_of"].note
    assert "renal replacement and vasopressors not given, taken as no" in note
    assert "SpO2/FiO2" in note
    assert "taken as no" not in rows_of()["clif_c_of"].note


def test_dialysis_is_renal_replacement():
    complete = rows_of()["clif_c_of"].value
    for given_values in (
        {"renal_replacement": True},
        {"renal_replacement": None, "dialysis": True},
        {"dialysis": True},
    ):
        row = rows_of(**given_values)["clif_c_of"]
        assert row.value == complete + 2
        assert "taken as no" not in row.note


def test_children_get_a_reason():
    rows = rows_of(age=12)
    for key in ("clif_c_aclf", "cossh_aclf_ii"):
        assert rows[key].value is None
        assert "adults" in rows[key].note
    assert rows["clif_c_of"].value is not None


@pytest.mark.parametrize(
    "call",
    [
        lambda: scores.clif_c_of(100, *WELL[1:]),
        lambda: scores.clif_c_of(5, 88, *WELL[2:]),
        lambda: scores.clif_c_of(*WELL[:2], 5, *WELL[3:]),
        lambda: scores.clif_c_of(*WELL[:3], 80, *WELL[4:]),
        lambda: scores.clif_c_of(*WELL[:4], 9.3, *WELL[5:]),
        lambda: scores.clif_c_of(*WELL[:5], "no", *WELL[6:]),
        lambda: scores.clif_c_of(*WELL[:6], 4.5),
        lambda: scores.clif_c_of(*WELL[:6], None, 4.6),
        lambda: scores.clif_c_of(float("nan"), *WELL[1:]),
        lambda: scores.clif_c_aclf(19, 50, 10),
        lambda: scores.clif_c_aclf(10, 50, 10_000),
        lambda: scores.clif_c_aclf(10, 12, 10),
        lambda: scores.cossh_aclf_ii(2.5, 2, 75, 2000, 6, 45),
        lambda: scores.cossh_aclf_ii(2.5, 2, 0, 300, 6, 45),
        lambda: scores.cossh_aclf_ii(2.5, 2, 6, 300, 120, 45),
        lambda: scores.aarc(10, 0, 2, 90, 1),
        lambda: scores.aarc_grade(4),
    ],
)
def test_out_of_range_raises(call):
    with pytest.raises(InputError, match=r"check value|whole number|true or false"):
        call()


# --- clinical values --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value", "unit", "expected"),
    [
        ("urea", 36, "mg/dL urea", 5.994),
        ("urea", 20, "mg/dL BUN", 7.140),
        ("lactate", 18, "mg/dL", 1.998),
        ("wbc", 9800, "/uL", 9.8),
        ("neutrophils", 6.2, "10^3/uL", 6.2),
        ("mean_arterial_pressure", 9.5, "kPa", 71.256),
        ("pao2_fio2", 45, "kPa", 337.528),
    ],
)
def test_units_of_the_new_values(key, value, unit, expected):
    found = check_clinical({key: {"value": value, "unit": unit}}, FIELDS.values())[key]
    assert found == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"urea": 45}, 'urea 45 looks like mg/dL urea: write "urea": {"value": 45, "unit": "mg/dL urea"}'),
        ({"lactate": 18}, "lactate 18 looks like mg/dL"),
        ({"wbc": 9800}, "it looks like /uL"),
        ({"neutrophils": 75}, "neutrophils 75 10^9/L is unusual"),
        ({"pao2_fio2": 45}, "pao2_fio2 45 looks like kPa"),
        ({"mean_arterial_pressure": 9.5}, "it looks like kPa"),
        ({"spo2_fio2": 4.6}, "spo2_fio2 4.6 is outside 40 to 477"),
        ({"vasopressors": 1}, "vasopressors must be true or false"),
        (
            {"urea": {"value": 20, "unit": "mg/dL"}},
            'urea cannot be given in "mg/dL"; use mmol/L, mg/dL urea, mg/dL BUN',
        ),
    ],
)
def test_values_in_another_unit_are_doubted(values, sentence):
    with pytest.raises(InputError) as error:
        check_clinical(values, FIELDS.values())
    assert sentence in str(error.value)
