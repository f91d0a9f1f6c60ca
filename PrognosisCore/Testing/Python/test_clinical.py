"""Clinical values: units, ranges, misspelled names and unreadable files."""

from __future__ import annotations

import json

import pytest

from PrognosisLib.clinical import check_clinical, missing, read_clinical
from PrognosisLib.clinical_fields import FIELDS, fields_of
from PrognosisLib.errors import InputError

ALL = tuple(FIELDS.values())


def test_plain_numbers_are_in_the_fields_own_unit():
    values = {"age": 67, "bilirubin": 20, "albumin": 38.5, "tumor_number": 3, "sex": "Male", "dialysis": False}
    checked = check_clinical(values, ALL)
    assert checked == {
        "age": 67.0,
        "bilirubin": 20.0,
        "albumin": 38.5,
        "tumor_number": 3,
        "sex": "male",
        "dialysis": False,
    }
    assert isinstance(checked["tumor_number"], int)


@pytest.mark.parametrize(
    ("key", "value", "unit", "expected"),
    [
        ("bilirubin", 1.2, "mg/dL", 20.525),
        ("bilirubin", 2.0, "µmol/L", 2.0),
        ("creatinine", 1.0, "mg/dl", 88.402),
        ("albumin", 3.8, "g/dL", 38.0),
        ("platelets", 150000, "/uL", 150.0),
        ("tumor_size", 45, "mm", 4.5),
        ("sodium", 138, "mEq/L", 138.0),
        ("glucose", 7.4, "mmol/L", 133.318),
        ("onset_to_ct", 90, "min", 1.5),
    ],
)
def test_written_units_are_converted(key, value, unit, expected):
    assert check_clinical({key: {"value": value, "unit": unit}}, ALL)[key] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"bilirubin": 1.1}, 'looks like mg/dL: write "bilirubin": {"value": 1.1, "unit": "mg/dL"}'),
        ({"bilirubin": 0.4}, 'it looks like mg/dL: write "bilirubin": {"value": 0.4, "unit": "mg/dL"}'),
        ({"creatinine": 0.9}, "it looks like mg/dL"),
        ({"albumin": 3.8}, "albumin 3.8 g/L is outside 10 to 70 g/L; it looks like g/dL"),
        ({"platelets": 150000}, "looks like /uL"),
        ({"tumor_size": 45}, "looks like mm"),
        ({"tumor_size": 24}, "looks like mm"),
        ({"glucose": 7.4}, 'it looks like mmol/L: write "glucose": {"value": 7.4, "unit": "mmol/L"}'),
        ({"glucose": 22}, "glucose 22 looks like mmol/L"),
        ({"onset_to_ct": 90}, 'looks like min: write "onset_to_ct": {"value": 90, "unit": "min"}'),
        ({"gcs": 2}, "gcs 2 points is outside 3 to 15 points"),
        ({"nihss": 7.5}, "nihss must be a whole number from 0 to 42"),
        ({"anticoagulant": "apixaban"}, 'anticoagulant must be "none" or "warfarin" or "other"'),
        ({"age": -3}, "age -3 years is outside 0 to 120 years; check the value and its unit."),
        ({"bilirubin": {"value": 5000, "unit": "mg/dL"}}, "bilirubin 5000 mg/dL is outside 1 to 1000 umol/L"),
        ({"bilirubin": {"value": 20, "unit": "g/L"}}, 'bilirubin cannot be given in "g/L"; use umol/L, mg/dL'),
        ({"bilirubin": {"value": 20}}, "bilirubin must be a number or"),
        ({"bilirubin": "20"}, "bilirubin must be a number in umol/L, or"),
        ({"bilirubin": "1.2 mg/dL"}, 'or {"value": number, "unit": "mg/dL"}, not "1.2 mg/dL"'),
        ({"bilirubin": 10**400}, "finite"),
        ({"bilirubin": True}, "bilirubin must be a number"),
        ({"bilirubin": float("nan")}, "finite"),
        ({"tumor_number": 2.5}, "whole number"),
        ({"bilirubine": 20}, 'did you mean "bilirubin"?'),
        ({"Total bilirubin": 20}, 'did you mean "bilirubin"?'),
        ({"tumour_size": 4}, 'did you mean "tumor_size"?'),
        ({"xyzzy": 4}, "known are afp, age"),
        ({"sex": "femal"}, 'did you mean "female"?'),
        ({"sex": 1}, 'sex must be "female" or "male", not 1'),
        ({"dialysis": 1}, "must be true or false"),
    ],
)
def test_bad_values_are_refused_in_one_sentence(values, sentence):
    with pytest.raises(InputError) as error:
        check_clinical(values, ALL)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_null_is_missing_and_other_systems_fields_are_checked_but_left_out():
    fields = fields_of(("albumin", "age"))
    assert check_clinical({"age": None, "albumin": 36, "inr": 1.1}, fields) == {"albumin": 36.0}
    assert [one.key for one in missing(fields, {"albumin": 36})] == ["age"]
    with pytest.raises(InputError, match="inr"):
        check_clinical({"inr": 100}, fields)


def test_every_field_accepts_its_own_limits():
    for one in ALL:
        if one.kind in ("number", "whole"):
            for value in (one.low, one.high):
                assert check_clinical({one.key: {"value": value, "unit": one.unit}}, ALL)[one.key] == value


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "is not valid JSON at line 1"),
        ("[1, 2]", "must hold one JSON object"),
        ('{"age": 60, "age": 61}', '"age" is given twice'),
        ('{"age": NaN}', "NaN is not a number"),
        ("[" * 100_000, "is not valid JSON"),
        ('{"age": ' + "9" * 5000 + "}", "is not valid JSON"),
    ],
)
def test_bad_files_are_refused(tmp_path, text, sentence):
    path = tmp_path / "case.json"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read_clinical(path)
    assert sentence in str(error.value)


def test_missing_binary_and_folder_are_refused(tmp_path):
    with pytest.raises(InputError, match="there is no file"):
        read_clinical(tmp_path / "none.json")
    with pytest.raises(InputError, match="cannot be read"):
        read_clinical(tmp_path)
    (tmp_path / "image.json").write_bytes(b"\x1f\x8b\xff\xfe")
    with pytest.raises(InputError, match="cannot be read as text"):
        read_clinical(tmp_path / "image.json")


def test_a_good_file_is_read(tmp_path):
    path = tmp_path / "case.json"
    path.write_text(json.dumps({"age": 60, "bilirubin": {"value": 1.2, "unit": "mg/dL"}}), encoding="utf-8-sig")
    assert check_clinical(read_clinical(path), ALL)["age"] == 60


def test_values_of_hemorrhage_are_known():
    from PrognosisLib.systems import HEMORRHAGE_VALUES

    assert [one.key for one in fields_of(HEMORRHAGE_VALUES)] == [key for key in FIELDS if key in HEMORRHAGE_VALUES]
    assert set(HEMORRHAGE_VALUES) <= set(FIELDS)
    values = {"gcs": 14, "glucose": 120, "onset_to_ct": 2, "anticoagulant": "Warfarin", "prior_ich": "no"}
    checked = check_clinical(values, fields_of(HEMORRHAGE_VALUES))
    assert checked == {"gcs": 14, "glucose": 120.0, "onset_to_ct": 2.0, "anticoagulant": "warfarin", "prior_ich": False}
