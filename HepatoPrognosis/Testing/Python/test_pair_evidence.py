"""What the network read, as text: it comes back as it was written, and other text is no evidence."""

from __future__ import annotations

import json

import pytest
from hepato_cases import evidence
from hypothesis import given
from hypothesis import strategies as st

from HepatoPrognosisLib.measuring.evidence import LiverFacts, PairEvidence

numbers = st.floats(-20, 20)
facts = st.builds(
    LiverFacts, st.integers(1, 10**6), st.none() | st.floats(1, 1e5), st.floats(0, 255), st.floats(0.001, 5)
)


@given(numbers, st.none() | numbers, facts, facts, st.floats(0, 3), st.floats(0, 3))
def test_it_comes_back_as_it_was_written(score_t0, score_pair, first, second, spread_t0, spread_pair):
    written = PairEvidence(score_t0, score_pair, first, None if score_pair is None else second, spread_t0, spread_pair)
    again = PairEvidence.from_text(written.to_text())
    assert again is not None
    assert again.to_text() == written.to_text()
    assert again.score_t0 == pytest.approx(score_t0, rel=1e-5, abs=1e-9)
    assert (again.score_pair is None) == (again.second is None) == (score_pair is None)
    assert again.first.pixels == first.pixels
    if first.area_mm2 is not None:
        assert again.first.area_mm2 == pytest.approx(first.area_mm2, rel=1e-5)


def test_the_text_is_readable():
    content = json.loads(evidence(-0.25, 1.5).to_text())
    assert content["siamese_score"] == {"t0": -0.25, "t0_t1": 1.5}
    assert set(content["images"]) == {"t0", "t1"}
    assert set(content["images"]["t0"]) == {"pixels", "area_mm2", "echogenicity", "texture", "frame"}
    assert set(json.loads(evidence(-0.25, None).to_text())["images"]) == {"t0"}


def change(path: list[str], value: object):
    content = json.loads(evidence().to_text())
    place = content
    for key in path[:-1]:
        place = place[key]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return json.dumps(content)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "3",
        '{"format": "prognosis pair evidence 2"}',
        change(["format"], "other"),
        change(["siamese_score", "t0"], "high"),
        change(["siamese_score", "t0"], None),
        change(["siamese_score", "t0"], float("inf")),
        change(["siamese_score", "t0_t1"], None),
        change(["spread", "t0"], -1.0),
        change(["images", "t0"], None),
        change(["images", "t1"], None),  # a reading of both without facts of T1
        change(["images", "t0", "pixels"], 0),
        change(["images", "t0", "area_mm2"], -5.0),
        change(["images", "t0", "frame"], -1),
        change(["images", "t1", "texture"], float("nan")),
    ],
)
def test_other_text_is_no_evidence(text):
    assert PairEvidence.from_text(text) is None
