"""Scores of intracerebral hemorrhage: published tables, and both sides of every limit."""

from __future__ import annotations

import pytest

from PrognosisLib import scores
from PrognosisLib.clinical import check_clinical
from PrognosisLib.clinical_fields import fields_of
from PrognosisLib.errors import InputError
from PrognosisLib.systems import HEMORRHAGE_VALUES, SYSTEMS

COMPLETE = {
    "age": 81.0,
    "gcs": 12,
    "nihss": 12,
    "onset_to_ct": 1.5,
    "anticoagulant": "warfarin",
    "glucose": 150.0,
    "prior_ich": True,
}


def rows_of(clinical, *measured) -> dict:
    return {row.key: row for row in scores.hemorrhage_rows(clinical, *measured)}


@pytest.mark.parametrize(
    ("inputs", "points"),
    [
        ((9, False, 132.9), 0),
        ((10, False, 132.9), 1),
        ((9, True, 132.9), 1),
        ((9, False, 133), 1),
        ((42, True, 90), 2),
        ((10, True, 133), 3),
    ],
)
def test_nag(inputs, points):
    assert scores.nag(*inputs) == points


@pytest.mark.parametrize(
    ("volume", "points"), [(0.1, 0), (10, 0), (10.01, 5), (20, 5), (20.01, 7), (120, 7), (10 + 1e-9, 0)]
)
def test_brain_volume(volume, points):
    assert scores.brain(volume, False, False, False, 6) == points


@pytest.mark.parametrize(
    ("hours", "points"),
    [
        *((0, 5), (0.5, 5), (1, 5), (1.01, 4), (2, 4), (2.01, 3), (3, 3)),
        *((3.01, 2), (4, 2), (4.01, 1), (5, 1), (5.01, 0), (6, 0), (24, 0)),
    ],
)
def test_brain_hours(hours, points):
    assert scores.brain(5, False, False, False, hours) == points


def test_brain_parts():
    assert scores.brain(5, True, False, False, 6) == 4
    assert scores.brain(5, False, True, False, 6) == 6
    assert scores.brain(5, False, False, True, 6) == 2
    assert scores.brain(25, True, True, True, 0.5) == 24


@pytest.mark.parametrize(("points", "percent"), [(0, 3.4), (6, 11.3), (12, 31.6), (18, 62.5), (24, 85.8)])
def test_brain_probability_is_the_published_table(points, percent):
    assert 100 * scores.brain_probability(points) == pytest.approx(percent, abs=0.05)


@pytest.mark.parametrize(
    ("inputs", "points"),
    [
        ((15, 29.99, False, False, 79.9), 0),
        ((13, 29.99, False, False, 79.9), 0),
        ((12, 29.99, False, False, 79.9), 1),
        ((5, 29.99, False, False, 79.9), 1),
        ((4, 29.99, False, False, 79.9), 2),
        ((3, 29.99, False, False, 79.9), 2),
        ((15, 30, False, False, 79.9), 1),
        ((15, 29.99, True, False, 79.9), 1),
        ((15, 29.99, False, True, 79.9), 1),
        ((15, 29.99, False, False, 80), 1),
        ((3, 30, True, True, 80), 6),
    ],
)
def test_ich_score(inputs, points):
    assert scores.ich_score(*inputs) == points


def test_ich_mortality():
    assert [scores.ich_mortality_percent(points) for points in range(7)] == [0, 13, 26, 72, 97, 100, None]
    with pytest.raises(InputError, match="0 to 6"):
        scores.ich_mortality_percent(7)


def test_abc2():
    assert scores.abc2_ml(4, 3, 5) == 30
    assert scores.abc2_ml(1, 1, 1) == 0.5


@pytest.mark.parametrize(
    "call",
    [
        lambda: scores.nag(43, False, 120),
        lambda: scores.nag(9.5, False, 120),
        lambda: scores.nag(9, False, 7.4),  # mmol/L
        lambda: scores.nag(9, "other", 120),
        lambda: scores.nag(9, None, 120),
        lambda: scores.brain(0, False, False, False, 1),
        lambda: scores.brain(float("nan"), False, False, False, 1),
        lambda: scores.brain(10, False, False, False, -1),
        lambda: scores.brain(10, False, "none", False, 1),
        lambda: scores.brain_probability(25),
        lambda: scores.ich_score(2, 10, False, False, 60),
        lambda: scores.ich_score(16, 10, False, False, 60),
        lambda: scores.ich_score(15, 10, False, False, 121),
        lambda: scores.ich_score(15, 10, False, None, 60),
        lambda: scores.abc2_ml(40, 30, 50),  # mm
        lambda: scores.abc2_ml(0, 3, 5),
    ],
)
def test_out_of_range_is_an_error_and_no_number(call):
    with pytest.raises(InputError, match=r"check value|whole number|true or false"):
        call()


def test_rows_of_a_complete_patient():
    rows = rows_of(COMPLETE, 31.0, True, False)
    assert list(rows) == ["nag", "brain", "ich_score"]
    assert rows["nag"].value == 3
    assert rows["nag"].note == "hematoma expansion in 100 % (published, other data, n = 118)"
    # 7 (31 mL) + 4 (recurrent) + 6 (warfarin) + 2 (ventricles) + 4 (1.5 h) = 23; 1 / (1 + exp(3.34 - 0.214 x 23))
    assert rows["brain"].value == 23
    assert rows["brain"].note == "probability of hematoma growth 82.9 % (published, other data)"
    # GCS 12: 1, volume 1, ventricles 1, age 1
    assert rows["ich_score"].value == 4
    assert rows["ich_score"].note == (
        "30-day mortality 97 % (published, other data); infratentorial origin estimated from the image"
    )
    for row in rows.values():
        assert row.group == "Clinical scores"
        assert row.unit == "points"
        assert row.method
        assert not row.simulated


def test_only_warfarin_counts_in_brain_but_any_anticoagulant_in_nag():
    rows = rows_of({**COMPLETE, "anticoagulant": "other"}, 31.0, True, False)
    assert (rows["nag"].value, rows["brain"].value) == (3, 17)
    assert rows["brain"].note.endswith("; only warfarin counts")
    rows = rows_of({**COMPLETE, "anticoagulant": "none"}, 31.0, True, False)
    assert (rows["nag"].value, rows["brain"].value) == (2, 17)
    assert "warfarin" not in rows["brain"].note


def test_a_given_infratentorial_origin_goes_before_the_estimate():
    row = rows_of({**COMPLETE, "infratentorial": True}, 31.0, True, False)["ich_score"]
    assert row.value == 5
    assert row.note == "30-day mortality 100 % (published, other data)"
    assert rows_of({**COMPLETE, "infratentorial": False}, 31.0, True, True)["ich_score"].value == 4


def test_six_points_have_no_published_mortality():
    row = rows_of({**COMPLETE, "gcs": 3, "infratentorial": True}, 31.0, True)["ich_score"]
    assert row.value == 6
    assert row.note == "no patient with 6 points in the published data"


def test_rows_name_what_they_lack():
    rows = rows_of({})
    assert {row.value for row in rows.values()} == {None}
    assert rows["nag"].note == "missing: NIHSS, Anticoagulant, Glucose"
    assert rows["brain"].note == (
        "missing: Earlier intracerebral hemorrhage, Anticoagulant, Onset to CT, Hematoma volume, Intraventricular blood"
    )
    assert rows["ich_score"].note == (
        "missing: Glasgow Coma Scale, Age, Infratentorial origin, Hematoma volume, Intraventricular blood"
    )
    rows = rows_of(COMPLETE, None, False, False)
    assert rows["nag"].value == 3
    assert rows["ich_score"].note == rows["brain"].note == "missing: Hematoma volume"


def test_limits_survive_the_unit_conversion():
    given = {"onset_to_ct": {"value": 60, "unit": "min"}, "glucose": {"value": 133 / 18.016, "unit": "mmol/L"}}
    checked = check_clinical({**COMPLETE, **given}, fields_of(HEMORRHAGE_VALUES))
    rows = rows_of(checked, 5.0, False, False)
    assert rows["nag"].value == 3
    assert rows["brain"].value == 5 + 4 + 6


def test_scores_of_a_system_need_only_its_own_clinical_values():
    pairs = [(system.clinical, system.scores) for system in SYSTEMS.values()]
    for keys, wanted in [*pairs, (HEMORRHAGE_VALUES, scores.HEMORRHAGE_SCORES)]:
        assert {one.key for one in scores.score_fields(wanted)} <= set(keys)
