"""Two simulated scans of one head: registered, segmented and compared; and two heads that do not belong together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ich_heads import BLEED, HEAD, Bright, dice, simulated, truth_of

from ICHExpansionLib.definition import Definition
from ICHExpansionLib.head.brain import find_brain
from ICHExpansionLib.labels import HEMATOMA
from ICHExpansionLib.measuring.followup import FOLLOWUP, GROWTH, FollowupEvidence, compare_followup
from ICHExpansionLib.measuring.growth import growth_rows
from ICHExpansionLib.segmenting.segmentation import segment_head
from PrognosisLib.pipeline import Stopwatch, silent
from PrognosisLib.volume import resample

LATER = replace(BLEED, volume_ml=44.0, edema_mm=5.0)
FIRST_SCAN = {"pixel_mm": 1.6, "columns": 120, "rows": 140}
OTHER_POSE = {
    "pixel_mm": 1.5,
    "columns": 128,
    "rows": 152,
    "turn": (7.0, -3.0, 9.0),
    "shift": (4.0, -5.0, 3.0),
    "flips": (True, False, False),
}


def found_in(made):
    volume = made.volume()
    # A healthy head's falx is bright too: there the network's detection says no.
    network = Bright(detection=None if made.bleed else -6.0)
    return volume, segment_head(volume, find_brain(volume), network, 1.0, silent, Stopwatch())


def compared(first, later):
    volume, before = found_in(first)
    hematoma = before.masks.get(HEMATOMA)
    return hematoma, *compare_followup(volume, hematoma, *found_in(later), silent, Stopwatch())


@pytest.fixture(scope="module")
def first():
    return simulated(**FIRST_SCAN)


@pytest.mark.parametrize(
    "scan",
    [{**OTHER_POSE, "slice_mm": 4.0}, {**OTHER_POSE, "tilt": 16.0, "slice_mm": 6.0}],
    ids=["thinner", "tilted and thicker"],
)
def test_growth_between_scans_in_another_pose(first, scan):
    later = simulated(LATER, **scan)
    before, masks, flags = compared(first, later)
    assert flags == []
    assert [mask.name for mask in masks] == [FOLLOWUP, GROWTH]
    placed, grown = masks
    evidence = FollowupEvidence.from_json(placed.evidence)
    assert evidence.registered
    assert not placed.visible
    assert not evidence.was_edited(placed)
    assert evidence.registration["rotation_degrees"] == pytest.approx(11.8, abs=1.5)
    truth = later.truth["hematoma"] - first.truth["hematoma"]
    growth = {row.key: row for row in growth_rows(before, placed, Definition(), 0.5)}
    assert growth["growth"].value == pytest.approx(truth, abs=max(2.0, 0.15 * truth))
    assert growth["expansion"].value == "yes"
    assert placed.voxel_volume_ml == pytest.approx(later.truth["hematoma"], rel=0.12)
    # The later hematoma on the first scan's voxels, as if it had been scanned like this.
    alike = truth_of(simulated(LATER, **FIRST_SCAN))
    assert dice(placed.full().astype(bool), alike) > 0.85
    shell = alike & ~truth_of(first)
    assert dice(grown.full().astype(bool), shell) > 0.6
    assert not (grown.full().astype(bool) & before.full().astype(bool)).any()


def test_the_same_hemorrhage_again_has_hardly_grown(first):
    before, masks, flags = compared(first, simulated(**OTHER_POSE))
    assert flags == []
    rows = {row.key: row for row in growth_rows(before, masks[0], Definition(), 0.5)}
    assert abs(rows["growth"].value) < 2.0
    assert rows["expansion"].value == "no"
    assert masks[1].voxel_volume_ml < 0.2 * before.voxel_volume_ml


def test_another_patients_head_is_not_compared(first):
    other = replace(HEAD, scale=(0.93, 1.07, 0.96), skull_mm=9.5)
    before, masks, flags = compared(first, simulated(LATER, other, 77, **OTHER_POSE))
    assert [(flag.key, flag.severity) for flag in flags] == [("registration_failed", "error")]
    assert "No growth map was made." in flags[0].message
    assert [mask.name for mask in masks] == [FOLLOWUP]
    assert masks[0].is_empty
    evidence = FollowupEvidence.from_json(masks[0].evidence)
    assert not evidence.registered
    assert evidence.native_ml == pytest.approx(44.0, rel=0.15)
    rows = {row.key: row for row in growth_rows(before, masks[0], Definition(), 0.5)}
    assert rows["followup_volume"].value == evidence.native_ml
    assert rows["registration"].note.startswith("failed: ")


def test_a_hematoma_that_is_gone_is_said(first):
    before, masks, flags = compared(first, simulated(None, **OTHER_POSE))
    assert [flag.key for flag in flags] == ["no_followup_hematoma"]
    assert [mask.name for mask in masks] == [FOLLOWUP]
    rows = {row.key: row for row in growth_rows(before, masks[0], Definition(), 0.5)}
    assert "growth" not in rows
    assert rows["followup_volume"].value is None


def test_a_hematoma_that_was_not_there_before_is_all_growth(first):
    _, masks, flags = compared(simulated(None, **FIRST_SCAN), simulated(LATER, **OTHER_POSE))
    assert flags == []
    assert masks[1].voxel_volume_ml == pytest.approx(masks[0].voxel_volume_ml)


def test_masks_are_laid_back_where_they_were(first):
    """The whole way of the follow-up's mask with a registration that is known: none at all."""
    from ICHExpansionLib.head.registration import Registration
    from ICHExpansionLib.measuring.followup import _onto_baseline

    _, found = found_in(simulated(LATER, **FIRST_SCAN, slice_mm=4.0))
    mask = found.masks[HEMATOMA]
    grid = first.volume().grid
    placed = _onto_baseline(mask, Registration(np.eye(4)), grid)
    direct = resample(mask.full(), mask.grid.ijk_to_ras, grid, nearest=True) > 0
    assert dice(placed.full().astype(bool), direct) > 0.93
    assert placed.voxel_volume_ml == pytest.approx(mask.voxel_volume_ml, rel=0.03)
