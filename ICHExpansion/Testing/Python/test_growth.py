"""Growth between two CT: the map of what grew, and the rows with their intervals."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from scipy import ndimage

from ICHExpansionLib.definition import DEFAULT_DEFINITION, Definition
from ICHExpansionLib.measuring.followup import FOLLOWUP, GROWTH, FollowupEvidence, growth_mask
from ICHExpansionLib.measuring.growth import growth_rows
from PrognosisLib.findings import Interval, Mask, Measurement
from PrognosisLib.volume import Grid

GRID = Grid((30, 80, 80), np.diag([-1.0, -1.0, 2.0, 1.0]))
VOXEL_ML = 0.002
BOUNDARY_MM = 0.5
QUALITY = {"surface_mean_mm": 0.7, "overlap": 0.98, "rotation_degrees": 4.2, "translation_mm": 6.1}


def ball(radius: float, center=(0.0, 0.0, 0.0), grid: Grid = GRID) -> np.ndarray:
    points = grid.to_ras(np.argwhere(np.ones(grid.shape, bool)))
    middle = grid.corners_ras().mean(axis=0) + np.asarray(center)
    return (np.linalg.norm(points - middle, axis=1) < radius).reshape(grid.shape)


def hematoma(array: np.ndarray, reach_ml: float | None = 1.0, name: str = "Hematoma", **more) -> Mask:
    mask = Mask.from_full(name, array, GRID, **more)
    ml = mask.voxel_volume_ml
    return mask if reach_ml is None else replace(mask, volume_ml=Interval(ml - reach_ml, ml + reach_ml))


def followup(array: np.ndarray, native_ml: float | None = None, reach_ml: float = 1.0, **more) -> Mask:
    """As a run leaves it: a segment on the first scan's voxels that knows its own volume."""
    mask = Mask.from_full(FOLLOWUP, array, GRID)
    native = mask.voxel_volume_ml if native_ml is None else native_ml
    told = {"registered": True, "reason": "", "voxels": int(np.count_nonzero(array)), "registration": QUALITY, **more}
    evidence = FollowupEvidence(native, native - reach_ml, native + reach_ml, **told)
    return replace(mask, evidence=evidence.to_json())


def rows_of(before, after, definition: Definition = DEFAULT_DEFINITION) -> dict[str, Measurement]:
    return {row.key: row for row in growth_rows(before, after, definition, BOUNDARY_MM)}


# --- the map ----------------------------------------------------------------------------------------------------------


def test_a_shell_is_growth():
    before, after = ball(10.0), ball(14.0)
    grown = growth_mask(hematoma(before), hematoma(after, name=FOLLOWUP))
    assert grown.name == GROWTH
    assert (grown.full().astype(bool) == (after & ~before)).all()


def test_partial_volume_at_the_border_is_no_growth():
    before = ball(12.0)
    film = ball(12.7) & ndimage.binary_dilation(before, np.ones((1, 3, 3), bool))
    film &= ndimage.distance_transform_edt(~before, sampling=GRID.spacing[::-1]) <= 1.0
    assert np.count_nonzero(film & ~before) > 100
    assert growth_mask(hematoma(before), hematoma(before | film, name=FOLLOWUP)).is_empty
    assert growth_mask(hematoma(before), hematoma(before, name=FOLLOWUP)).is_empty


def test_a_new_bud_is_growth_and_a_film_elsewhere_is_not():
    before = ball(10.0, (-12.0, 0.0, 0.0))
    bud = ball(6.0, (14.0, 0.0, 0.0))
    film = ndimage.binary_dilation(before, ndimage.generate_binary_structure(2, 1)[None]) & ~before
    assert film.any()
    grown = growth_mask(hematoma(before), hematoma(before | bud | film, name=FOLLOWUP)).full().astype(bool)
    assert (grown == bud).all()


def test_all_of_a_hematoma_that_was_not_there_before_is_growth():
    after = ball(8.0)
    for none in (None, Mask.from_full("Hematoma", np.zeros(GRID.shape, bool), GRID)):
        assert (growth_mask(none, hematoma(after, name=FOLLOWUP)).full().astype(bool) == after).all()


def test_a_hematoma_that_shrank_has_no_growth():
    assert growth_mask(hematoma(ball(14.0)), hematoma(ball(10.0), name=FOLLOWUP)).is_empty


# --- the rows ---------------------------------------------------------------------------------------------------------


def test_without_a_follow_up_there_are_no_rows():
    empty = Mask.from_full(FOLLOWUP, np.zeros(GRID.shape, bool), GRID)
    assert growth_rows(hematoma(ball(10.0)), None, Definition(), BOUNDARY_MM) == []
    assert growth_rows(hematoma(ball(10.0)), empty, Definition(), BOUNDARY_MM) == []


def test_growth_is_measured_on_the_follow_ups_own_voxels():
    before = hematoma(ball(12.0), reach_ml=0.6)
    first = before.voxel_volume_ml
    rows = rows_of(before, followup(ball(15.0), native_ml=first + 9.0, reach_ml=0.8))
    assert rows["followup_volume"].value == first + 9.0
    assert rows["followup_volume"].interval == Interval(first + 8.2, first + 9.8)
    assert "follow-up CT itself" in rows["followup_volume"].method
    assert rows["growth"].value == pytest.approx(9.0)
    # Two independent intervals add as squares.
    assert rows["growth"].interval.lower == pytest.approx(9.0 - 1.0)
    assert rows["growth"].interval.upper == pytest.approx(9.0 + 1.0)
    assert rows["growth_percent"].value == pytest.approx(900.0 / first)
    assert rows["growth_percent"].interval.lower == pytest.approx(800.0 / first)
    assert rows["expansion"].value == "yes"
    assert rows["expansion"].note == ""
    assert rows["expansion"].method == "growth > 6 mL or > 33 %"
    assert rows["registration"].value == 0.7
    assert rows["registration"].note == "turned by 4.2°, moved by 6.1 mm"
    assert {row.group for row in rows.values()} == {"Follow-up"}
    assert not any(row.simulated for row in rows.values())


def test_an_edited_follow_up_is_measured_on_its_segment():
    before, later = hematoma(ball(12.0)), followup(ball(15.0), native_ml=99.0)
    array = later.array.copy()
    array[:6] = False
    edited = replace(later, array=array)
    rows = rows_of(before, edited)
    ml = np.count_nonzero(array) * VOXEL_ML
    assert rows["followup_volume"].value == pytest.approx(ml)
    assert "first CT's voxels" in rows["followup_volume"].method
    ends = rows["followup_volume"].interval
    # Area of what is left, a zone and the cut, times the uncertainty of a border drawn by hand.
    area = np.pi * (2 * 15 * 18 + 15**2 - 3**2)
    assert (ends.upper - ends.lower) / 2 == pytest.approx(area * BOUNDARY_MM / 1000, rel=0.2)
    assert rows["registration"].value == 0.7


def test_a_follow_up_drawn_by_hand_has_rows_but_no_registration():
    rows = rows_of(hematoma(ball(12.0), None), hematoma(ball(14.0), None, FOLLOWUP))
    assert rows["growth"].value == pytest.approx(4 / 3 * np.pi * (14**3 - 12**3) / 1000, rel=0.03)
    assert "registration" not in rows
    interval = rows["growth"].interval
    wanted = np.hypot(12**2, 14**2) * 4 * np.pi * BOUNDARY_MM / 1000
    assert (interval.upper - interval.lower) / 2 == pytest.approx(wanted, rel=0.15)


@pytest.mark.parametrize(
    ("growth", "value", "sure"), [(2.0, "no", True), (5.5, "no", False), (6.5, "yes", False), (9.0, "yes", True)]
)
def test_growth_near_the_limit_is_called_uncertain(growth, value, sure):
    before = hematoma(ball(15.0), reach_ml=0.6)
    later = followup(ball(16.0), native_ml=before.voxel_volume_ml + growth, reach_ml=0.8)
    row = rows_of(before, later, Definition(6.0, None))["expansion"]
    assert row.value == value
    assert ("uncertain" not in row.note) is sure


def test_the_users_definition_decides():
    before = hematoma(ball(15.0), reach_ml=0.0)
    later = followup(ball(16.0), native_ml=before.voxel_volume_ml + 4.0, reach_ml=0.0)
    first = before.voxel_volume_ml
    assert 4.0 / first == pytest.approx(0.28, abs=0.02)
    for definition, value in (
        (Definition(6.0, 33.0), "no"),
        (Definition(6.0, 25.0), "yes"),
        (Definition(3.0, None), "yes"),
        (Definition(4.5, None), "no"),
    ):
        row = rows_of(before, later, definition)["expansion"]
        assert (row.value, row.method) == (value, f"growth {definition}")


def test_a_failed_registration_gives_the_growth_with_a_doubt_and_no_verdict():
    reason = "The skulls in the two scans do not match."
    empty = np.zeros(GRID.shape, bool)
    failed = followup(empty, 30.0, registered=False, reason=reason, registration={**QUALITY, "surface_mean_mm": 4.0})
    rows = rows_of(hematoma(ball(12.0)), failed)
    assert rows["followup_volume"].value == 30.0
    assert rows["growth"].value == pytest.approx(30.0 - hematoma(ball(12.0)).voxel_volume_ml)
    assert "one patient?" in rows["growth"].note
    assert rows["expansion"].value is None
    assert rows["registration"].note == f"failed: {reason}"
    none = followup(empty, 0.0, registered=False, reason=reason, registration={"rotation_degrees": 0.0})
    assert rows_of(None, none)["registration"].value is None


def test_nothing_before_has_no_growth_in_percent():
    rows = rows_of(None, followup(ball(12.0)))
    assert "growth_percent" not in rows
    assert rows["growth"].value == rows["followup_volume"].value
    assert rows["expansion"].value == "yes"


@pytest.mark.parametrize("before", [hematoma(ball(12.0)), None], ids=["blood before", "none before"])
def test_nothing_in_the_follow_up_is_no_growth_of_minus_all(before):
    """It was removed, or it was missed: a number would say too much."""
    rows = rows_of(before, followup(np.zeros(GRID.shape, bool), 0.0, reach_ml=0.0))
    assert set(rows) == {"followup_volume", "registration"}
    assert rows["followup_volume"].value is None
    assert "removed by surgery, or missed" in rows["followup_volume"].note


# --- evidence ---------------------------------------------------------------------------------------------------------


def test_evidence_survives_the_way_through_its_text():
    evidence = FollowupEvidence(30.0, 28.0, 32.5, True, "", 700, QUALITY)
    assert FollowupEvidence.from_json(evidence.to_json()) == evidence


@pytest.mark.parametrize("text", ["", "no json", "[]", "{}", "null", '{"followup": 7}', '{"followup": {"voxels": 3}}'])
def test_other_text_is_no_evidence(text):
    assert FollowupEvidence.from_json(text) is None
    assert FollowupEvidence.from_json(json.dumps({"followup": {**asdict_of(), "more": 1}})) is None


def asdict_of() -> dict:
    return asdict(FollowupEvidence(30.0, 28.0, 32.5, True, "", 700, QUALITY))
