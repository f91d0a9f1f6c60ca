"""From a head CT to masks with a network that sees density alone: geometry, intervals, and what is left out."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from ich_heads import BLEED, Bright, dice, simulated, truth_of

from ICHExpansionLib.head.brain import find_brain
from ICHExpansionLib.labels import EDEMA, HEMATOMA
from ICHExpansionLib.segmenting.segmentation import (
    DETECTED,
    _keep,
    hematoma_margin,
    run_network,
    segment_head,
)
from PrognosisLib.pipeline import Stopwatch, silent
from PrognosisLib.slicewise.onto_scan import FAR_OUTSIDE
from PrognosisLib.volume import Volume


def segment(volume: Volume, network: Bright | None = None, logit: float = 1.0, tell=silent):
    return segment_head(volume, find_brain(volume), network or Bright(), logit, tell, Stopwatch())


@cache
def found_in(bleed=BLEED, **scan):
    return segment(simulated(bleed, **scan).volume())


def painted(made, center, radius: float, hu: float) -> tuple[Volume, np.ndarray]:
    """The scan with a ball at a RAS point, and the ball."""
    volume = made.volume()
    points = volume.grid.to_ras(np.argwhere(np.ones(volume.array.shape, bool)))
    ball = (np.linalg.norm(points - np.asarray(center), axis=1) < radius).reshape(volume.array.shape)
    return volume.with_array(np.where(ball, hu, volume.array).astype(np.int16)), ball


@pytest.mark.parametrize(
    "scan",
    [
        {},
        {"flips": (True, False, True)},
        {"flips": (False, False, False), "turn": (12.0, 4.0, -9.0), "shift": (5.0, -4.0, 3.0)},
        {"tilt": 20.0, "flips": (True, True, True)},
        {"tilt": -15.0, "slice_mm": 7.0},
        {"slice_mm": 2.5, "pixel_mm": 1.6, "columns": 120, "rows": 140},
    ],
)
def test_masks_lie_on_the_blood_in_any_geometry(scan):
    made, found = simulated(**scan), found_in(**scan)
    mask = found.masks[HEMATOMA]
    assert mask.grid.same_as(made.volume().grid)
    assert dice(mask.full().astype(bool), truth_of(made)) > 0.85
    assert mask.voxel_volume_ml == pytest.approx(made.truth["hematoma"], rel=0.12)
    assert mask.volume_ml.lower < mask.voxel_volume_ml < mask.volume_ml.upper
    assert 0.7 < mask.confidence <= 1.0
    assert dice(found.masks[EDEMA].full().astype(bool), truth_of(made, EDEMA)) > 0.4
    assert found.has_hematoma
    assert found.detection.max() > 0.99
    slabs, height, width = found.slices.array.shape
    assert found.maps.shape == (slabs, 2, height // 4, width // 4)
    assert found.share.shape == (slabs, height // 4, width // 4)
    assert found.evidence.features.shape == (slabs, 2)
    assert found.evidence.shape == found.slices.array.shape


def test_a_wider_shift_gives_a_wider_interval_around_the_same_volume():
    volume = simulated().volume()
    ends = []
    for logit in (0.0, 0.5, 2.0, 6.0):
        mask = segment(volume, logit=logit).masks[HEMATOMA]
        ends.append((mask.volume_ml.lower, mask.voxel_volume_ml, mask.volume_ml.upper))
    assert len({value for _, value, _ in ends}) == 1
    assert ends[0][0] == ends[0][1] == ends[0][2]
    lower, _, upper = zip(*ends, strict=True)
    assert sorted(lower, reverse=True) == list(lower)
    assert sorted(upper) == list(upper)
    assert lower[-1] < 0.95 * lower[0] < 1.05 * upper[0] < upper[-1]


def test_a_healthy_head_has_no_mask():
    found = found_in(None)
    assert not found.has_hematoma
    assert EDEMA not in found.masks


def test_what_the_detection_does_not_confirm_is_dropped_with_its_edema():
    limit = np.log(DETECTED / (1 - DETECTED))
    found = segment(simulated().volume(), Bright(detection=limit - 0.1))
    assert found.masks == {}
    assert found.detection.max() == pytest.approx(1 / (1 + np.exp(0.1 - limit)))
    assert segment(simulated().volume(), Bright(detection=limit + 0.1)).has_hematoma


def test_a_calcification_is_no_blood_but_in_a_windowed_image_nobody_can_tell():
    volume, ball = painted(simulated(None), (25.0, 5.0, 10.0), 9.0, 180.0)
    assert not segment(volume).has_hematoma
    windowed = volume.with_array(np.clip(volume.array, 0, 80))
    assert segment(windowed).masks[HEMATOMA].full().astype(bool)[ball].mean() > 0.9
    blood, ball = painted(simulated(None), (25.0, 5.0, 10.0), 9.0, 70.0)
    assert dice(segment(blood).masks[HEMATOMA].full().astype(bool), ball) > 0.85


def test_a_calcification_beside_a_hematoma_leaves_it_alone():
    made = simulated()
    volume, ball = painted(made, (-28.0, -10.0, 10.0), 8.0, 200.0)
    mask = segment(volume).masks[HEMATOMA].full().astype(bool)
    assert not (mask & ball).any()
    assert dice(mask, truth_of(made)) > 0.85


def test_blood_outside_the_skull_is_none():
    """A scalp hematoma, and one in the neck below the brain."""
    made = simulated()
    brain = find_brain(made.volume())
    inside = brain.grid.to_ras(np.argwhere(brain.mask))
    volume = made.volume()
    for center in ((0.0, inside[:, 1].max() + 40, 20.0), (inside[:, 0].max() + 35, 0.0, 20.0)):
        array = painted(replace(made, hu=volume.array), center, 11.0, 65.0)[0].array
        volume = volume.with_array(array)
    mask = segment_head(volume, brain, Bright(), 1.0, silent, Stopwatch()).masks[HEMATOMA].full().astype(bool)
    assert dice(mask, found_in().masks[HEMATOMA].full().astype(bool)) > 0.99


def test_a_speck_is_dropped_and_an_island_near_the_clot_stays():
    made = simulated()
    volume = made.volume()
    points = volume.grid.to_ras(np.argwhere(np.ones(volume.array.shape, bool))).reshape(*volume.array.shape, 3)
    clot = points[truth_of(made)]
    middle = clot.mean(axis=0)
    right = clot[np.abs(clot - middle)[:, 1:].max(axis=1) < 5.0][:, 0].max()
    island, there = painted(made, (right + 9.0, middle[1], middle[2]), 4.6, 66.0)
    both, away = painted(replace(made, hu=island.array), (-30.0, middle[1], middle[2]), 4.6, 66.0)
    there &= ~truth_of(made)
    assert 0.04 < np.count_nonzero(there) * volume.grid.voxel_volume_ml < 0.5
    mask = segment(both).masks[HEMATOMA].full().astype(bool)
    assert np.count_nonzero(mask & there) > 0.5 * np.count_nonzero(there)
    assert not (mask & away).any()


@pytest.mark.parametrize(("flip", "count"), [(False, 148), (True, 148), (False, 150)])
def test_thin_slices_are_drawn_to_the_ends_of_the_scan(flip, count):
    """1 mm slices that end within the hematoma: numbers of slices that do and do not divide into slabs of five."""
    bleed = replace(BLEED, center=(20.0, 0.0, 50.0), location="lobar", volume_ml=35.0)
    made = simulated(bleed, slice_mm=1.0, bottom_mm=-90.0, top_mm=84.0, pixel_mm=2.4, columns=80, rows=94)
    volume, truth = made.volume(), truth_of(made)
    array, truth = volume.array[:count], truth[:count]
    assert truth[-1].any()
    matrix = volume.ijk_to_ras
    if flip:
        array, truth = array[::-1], truth[::-1]
        matrix = matrix @ np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, count - 1], [0, 0, 0, 1.0]])
    mask = segment(Volume(np.ascontiguousarray(array), matrix)).masks[HEMATOMA].full().astype(bool)
    end = 0 if flip else -1
    assert dice(mask[end], truth[end]) > 0.75
    assert dice(mask, truth) > 0.85


# --- the steps --------------------------------------------------------------------------------------------------------


def test_every_slab_with_brain_is_seen_once_with_its_neighbors_in_batches():
    seen = []

    class Watching(Bright):
        def outputs(self, image):
            seen.append(image)
            return super().outputs(image)

    hu = np.random.default_rng(0).uniform(-20, 120, (41, 64, 32)).astype(np.float32)
    used = np.ones(41, bool)
    used[[0, 1, 7, 40]] = False
    logits, detection, features, maps = run_network(Watching(), hu, used)
    image = np.concatenate(seen)
    assert [len(one) for one in seen] == [16, 16, 5]
    inner = np.clip(hu, 0, 80) / 40 - 1
    np.testing.assert_allclose(image[:, 1], inner[used], atol=1e-6)
    np.testing.assert_allclose(image[:, 0], inner[np.flatnonzero(used) - 1], atol=1e-6)
    np.testing.assert_allclose(image[:, 2], inner[np.flatnonzero(used) + 1], atol=1e-6)
    assert (len(logits), len(detection), len(features), len(maps)) == (41,) * 4
    # What was not looked at is background, without features.
    assert (logits[~used].argmax(axis=1) == 0).all()
    assert detection[~used].max() < 0.01
    assert not features[~used].any()
    assert not maps[~used].any()
    wanted = Bright().outputs(image[3:4])
    for one, part in zip((logits, features, maps), (wanted[0], wanted[2], wanted[3]), strict=True):
        np.testing.assert_allclose(one[used][3], part[0], atol=1e-6)


def test_keep_pushes_specks_outside_and_nothing_else():
    margin = np.full((8, 40, 40), -3.0, np.float32)
    margin[1:7, 2:14, 2:14] = 2.0
    margin[3, 36:39, 36:39] = 4.0
    slices = Volume(np.full(margin.shape, 60.0, np.float32), np.diag([1.0, 1.0, 5.0, 1.0]))
    kept = _keep(margin, slices, HEMATOMA, windowed=False)
    assert (kept[3, 36:39, 36:39] == FAR_OUTSIDE).all()
    margin[3, 36:39, 36:39] = FAR_OUTSIDE
    np.testing.assert_array_equal(kept, margin)
    tiny = np.full_like(margin, -3.0)
    tiny[3, 3:9, 3:9] = 1.0  # 0.18 mL
    assert (_keep(tiny, slices, HEMATOMA, windowed=False) < 0).all()
    tiny[4, 3:9, 3:9] = 1.0
    np.testing.assert_array_equal(_keep(tiny, slices, HEMATOMA, windowed=False), tiny)


def test_the_margin_for_calibration_is_the_masks_own():
    made = simulated()
    margin, slices = hematoma_margin(made.volume(), find_brain(made.volume()), Bright())
    ml = np.count_nonzero(margin > 0) * slices.grid.voxel_volume_ml
    assert ml == pytest.approx(found_in().masks[HEMATOMA].voxel_volume_ml, rel=0.03)


def test_progress_goes_forward_and_can_stop_the_run():
    told: list[float] = []
    segment(simulated().volume(), tell=lambda fraction, message: told.append(fraction))
    assert told == sorted(told)
    network = Bright()

    def stop(fraction: float, message: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        segment(simulated().volume(), network, tell=stop)
    assert network.shapes == []
