"""The networks' evidence as text: what comes back, how much of it is kept, and what is no evidence."""

from __future__ import annotations

import json

import numpy as np
import pytest
from fibrosis_cases import FRAMES, attention, evidence

from FibrosisVideoLib.measuring.evidence import MOST_MAPS, CineEvidence


def test_evidence_comes_back_from_its_text():
    first = evidence()
    again = CineEvidence.from_text(first.to_text())
    assert again.frames == first.frames
    assert again.unusable == first.unusable
    assert [(one.start, one.stop) for one in again.windows] == [(one.start, one.stop) for one in first.windows]
    for before, after in zip(first.windows, again.windows, strict=True):
        assert after.scores == pytest.approx(dict(before.scores))
    for key, row in first.frame_scores.items():
        assert again.frame_scores[key] == pytest.approx(row, abs=1e-4, nan_ok=True)
    assert np.array_equal(again.sector.mask, first.sector.mask)
    assert np.allclose(again.sector.ijk_to_ras, first.sector.ijk_to_ras)
    assert np.array_equal(again.attention.frames, first.attention.frames)
    assert np.allclose(again.attention.ijk_to_ras, first.attention.ijk_to_ras, atol=1e-6)
    for key, maps in first.attention.maps.items():
        assert np.array_equal(again.attention.maps[key], maps)


def test_without_sector_and_grad_cam():
    again = CineEvidence.from_text(evidence(sector=None, attention=None).to_text())
    assert again.sector is None
    assert again.attention is None


def test_the_text_of_a_long_film_stays_small():
    long = evidence(attention=attention(frames=FRAMES))
    assert len(long.attention.thinned(8).frames) == 8
    many = long.attention.thinned(5)
    assert many.frames[0] == 0
    assert many.frames[-1] == FRAMES - 1
    assert many.maps["3d"].shape == (5, 20, 24)
    assert long.attention.thinned() is long.attention
    assert FRAMES < MOST_MAPS


def changed(**parts) -> str:
    return json.dumps({**json.loads(evidence().to_text()), **parts})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no JSON",
        "[]",
        "{}",
        '"3d"',
        changed(format="prognosis cine evidence 0"),
        changed(frames=FRAMES + 1),
        changed(windows=[{"start": 30, "stop": FRAMES + 1, "scores": {"3d": 0.1}}]),
        changed(windows=[{"start": 3, "stop": 3, "scores": {"3d": 0.1}}]),
        changed(windows=[{"start": 3, "stop": 9, "scores": {"3d": None}}]),
        changed(unusable=[{"frame": FRAMES, "reason": "dark"}]),
        changed(unusable=[3, 4]),
        changed(sector={"shape": [4, 4], "lattice": np.zeros((4, 4)).tolist(), "bits": "AAAA"}),
        changed(sector={"shape": [400, 400], "lattice": np.eye(4).tolist(), "bits": "AAAA"}),
        changed(attention={"frames": [0], "lattice": np.eye(4).tolist(), "shape": [9, 9], "maps": {"3d": "AAAA"}}),
        changed(attention={"frames": [0], "lattice": np.eye(4).tolist(), "shape": [1, 1], "maps": {"3d": "?"}}),
        changed(attention={"frames": [-1], "lattice": np.eye(4).tolist(), "shape": [1, 1], "maps": {"3d": "AA=="}}),
    ],
)
def test_anything_else_is_no_evidence(text):
    assert CineEvidence.from_text(text) is None
