"""The published classes of MRE and SWE on both sides of every limit, and rows of values measured elsewhere."""

from __future__ import annotations

import pytest

from PrognosisLib.clinical_fields import FIELDS
from PrognosisLib.errors import InputError
from PrognosisLib.scores.stiffness import measured_rows, mre_stage, swe_stage


@pytest.mark.parametrize(
    ("kpa", "words"),
    [
        *((0.5, "normal"), (2.4999, "normal")),
        *((2.5, "normal or inflammation"), (2.8999, "normal or inflammation")),
        *((2.9, "fibrosis stage 1-2"), (3.4999, "fibrosis stage 1-2")),
        *((3.5, "fibrosis stage 2-3"), (3.9999, "fibrosis stage 2-3")),
        *((4.0, "fibrosis stage 3-4"), (5.0, "fibrosis stage 3-4")),
        *((5.0001, "fibrosis stage 4 or cirrhosis"), (20, "fibrosis stage 4 or cirrhosis")),
        (2.9 - 1e-12, "fibrosis stage 1-2"),
    ],
)
def test_mre_stage(kpa, words):
    assert mre_stage(kpa) == words


@pytest.mark.parametrize(
    ("kpa", "words"), [(1, "below F2"), (8.39, "below F2"), (8.4, "F2"), (9.09, "F2"), (9.1, "F3 or higher")]
)
def test_swe_stage(kpa, words):
    assert swe_stage(kpa) == words


def test_swe_stage_by_the_cut_offs_of_another_device():
    assert [swe_stage(kpa, 6.3, 8.3) for kpa in (6.2, 6.3, 8.2, 8.3)] == ["below F2", "F2", "F2", "F3 or higher"]


@pytest.mark.parametrize("cutoffs", [(9.1, 8.4), (8.4, 8.4), (0, 9), (float("nan"), 9), (8, float("nan"))])
def test_cut_offs_must_be_in_order(cutoffs):
    with pytest.raises(InputError, match="must be above that for F2"):
        swe_stage(8.0, *cutoffs)


@pytest.mark.parametrize(
    "call",
    [
        lambda: mre_stage(0.4),
        lambda: mre_stage(2400),  # Pa
        lambda: mre_stage(float("nan")),
        lambda: mre_stage("3"),
        lambda: swe_stage(0.9),
        lambda: swe_stage(151),
    ],
)
def test_out_of_range_is_an_error(call):
    with pytest.raises(InputError, match="check value and unit"):
        call()


def test_what_the_fields_accept_has_a_stage():
    for stage, field in ((mre_stage, FIELDS["mre_kpa"]), (swe_stage, FIELDS["swe_kpa"])):
        assert stage(field.low)
        assert stage(field.high)
        for outside in (field.low - 0.01, field.high + 0.01):
            with pytest.raises(InputError):
                stage(outside)


# --- rows -------------------------------------------------------------------------------------------------------------


def test_no_row_where_nothing_was_measured():
    assert measured_rows({}) == ()
    assert measured_rows({"mre_kpa": None, "age": 50}) == ()


def test_rows_of_both():
    mre, swe = measured_rows({"mre_kpa": 3.2, "swe_kpa": 8.9})
    assert (mre.key, mre.value, mre.unit) == ("measured_mre", 3.2, "kPa")
    assert (swe.key, swe.value, swe.unit) == ("measured_swe", 8.9, "kPa")
    assert mre.note == "fibrosis stage 1-2; MRE and ultrasound kPa are not interchangeable"
    assert swe.note == "F2; cut-offs depend on the device; MRE and ultrasound kPa are not interchangeable"
    assert "Mayo" in mre.method
    assert "F2 8.4 and F3 9.1 kPa: point SWE in 46 patients" in swe.method
    for row in (mre, swe):
        assert row.group == "Measured stiffness"
        assert row.method.startswith("entered; ")
        assert not row.simulated


def test_a_child_is_told_that_the_classes_are_those_of_adults():
    for age, said in ((None, False), (17, True), (18, False)):
        for row in measured_rows({"mre_kpa": 3.2, "swe_kpa": 8.9, "age": age}):
            assert ("; the classes were set in adults; " in row.note) is said


def test_other_cut_offs_are_said_to_be_the_users():
    (swe,) = measured_rows({"swe_kpa": 8.9}, 6.3, 8.3)
    assert swe.note.startswith("F3 or higher; ")
    assert swe.method == "entered; cut-offs F2 6.3 and F3 8.3 kPa: chosen by the user"


def test_wrong_cut_offs_matter_only_with_a_value():
    assert len(measured_rows({"mre_kpa": 3.2}, 9.0, 8.0)) == 1
    with pytest.raises(InputError):
        measured_rows({"swe_kpa": 8.9}, 9.0, 8.0)
