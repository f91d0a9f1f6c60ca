"""The heat map of the DL score: what drove it lies in the hematoma, on the network's slices, between 0 and 1."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ich_heads import Bright, simulated, truth_of

from ICHExpansionLib.head.brain import find_brain
from ICHExpansionLib.labels import HEMATOMA
from ICHExpansionLib.segmenting.attention import TERMS, AttentionModel
from ICHExpansionLib.segmenting.heat import DRAWN_PIXELS, NAME, heat_map
from ICHExpansionLib.segmenting.segmentation import Segmented, segment_head
from PrognosisLib.pipeline import Stopwatch, silent
from PrognosisLib.slicewise.evidence import slab_areas

TILTED = {"tilt": 18.0, "flips": (True, False, True), "turn": (0.0, 3.0, 8.0)}


@pytest.fixture(scope="module", params=[{}, TILTED], ids=["straight", "tilted and flipped"])
def case(request):
    made = simulated(**request.param)
    volume = made.volume()
    return made, segment_head(volume, find_brain(volume), Bright(), 1.0, silent, Stopwatch())


def model(effects) -> AttentionModel:
    return AttentionModel(
        np.zeros((1, 2)), np.zeros(1), np.array([effects], float), np.zeros(2), np.ones(TERMS), 0.3, low=-1.0, high=1.0
    )


def drawn(found: Segmented, effects=(2.0, 1.0)):
    return heat_map(model(effects), found, found.masks[HEMATOMA])


def test_the_peak_lies_in_the_hematoma(case):
    made, found = case
    heat = drawn(found)
    assert heat.name == NAME
    assert heat.array.dtype == np.float32
    assert heat.array.min() >= 0.0
    assert heat.array.max() == pytest.approx(1.0)
    peak = heat.grid.to_ras(np.argwhere(heat.array == heat.array.max()))[:1]
    blood = made.volume().grid.to_ras(np.argwhere(truth_of(made)))
    assert np.linalg.norm(blood - peak, axis=1).min() < 3.5
    # Nearly all of it is near blood that the mask has: not in the skull, nor in the other half.
    hot = heat.grid.to_ras(np.argwhere(heat.array > 0.3))
    far = [np.linalg.norm(blood - point, axis=1).min() for point in hot]
    assert np.max(far) < 8.0
    assert len(hot) > 20


def test_the_map_covers_the_networks_slices(case):
    _, found = case
    heat, slices = drawn(found), found.slices.grid
    assert heat.array.shape == heat.grid.shape
    assert heat.grid.shape == (slices.shape[0], slices.shape[1] // DRAWN_PIXELS, slices.shape[2] // DRAWN_PIXELS)
    np.testing.assert_allclose(heat.grid.corners_ras(), slices.corners_ras(), atol=1e-6)


def test_what_lowers_the_score_is_cold(case):
    _, found = case
    assert not drawn(found, (-2.0, -1.0)).array.any()
    assert not drawn(found, (0.0, 0.0)).array.any()


def test_the_map_follows_the_exact_shares(case):
    """Drawn finer, the map still has its mass where the score's parts are, slab by slab."""
    _, found = case
    hematoma = found.masks[HEMATOMA]
    areas = slab_areas(hematoma.array, hematoma.start, hematoma.grid.ijk_to_ras, found.evidence)
    exact = model((2.0, 1.0)).heat(found.evidence.features, areas, found.maps, found.share)
    heat = drawn(found).array
    np.testing.assert_allclose(heat.sum(axis=(1, 2)) / heat.sum(), exact.sum(axis=(1, 2)) / exact.sum(), atol=0.02)


def test_an_edit_that_empties_slabs_cools_them(case):
    _, found = case
    hematoma = found.masks[HEMATOMA]
    kept = hematoma.array.copy()
    kept[len(kept) // 2 :] = False
    heat = heat_map(model((2.0, 1.0)), found, replace(hematoma, array=kept)).array
    areas = slab_areas(kept, hematoma.start, hematoma.grid.ijk_to_ras, found.evidence)
    assert heat.max() == pytest.approx(1.0)
    assert heat[areas < 1].max() < 1e-6
    assert drawn(found).array[areas < 1].max() > 0.2
