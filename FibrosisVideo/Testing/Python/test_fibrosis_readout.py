"""From scores to stages: ordered, monotone, with intervals that narrow with windows; damaged bundles are refused."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from fibrosis_cases import READOUT, readout
from hypothesis import given
from hypothesis import strategies as st

from FibrosisVideoLib.labels import MODELS, STAGES
from FibrosisVideoLib.measuring.readout import FibrosisReadout, OrdinalReadout
from PrognosisLib.errors import BundleError

SCORES = st.floats(-50, 50)
MODEL = st.builds(
    lambda slope, first, steps, window, rest: OrdinalReadout(
        slope, first + np.concatenate([[0.0], np.cumsum(steps)]), window, rest
    ),
    st.floats(0.01, 20),
    st.floats(-5, 5),
    st.lists(st.floats(0, 4), min_size=3, max_size=3),
    st.floats(0, 3),
    st.floats(0, 3),
)


@given(MODEL, SCORES)
def test_probabilities_fall_with_the_stage_and_stages_sum_to_one(model, score):
    reached = model.stage_probabilities(score)
    assert reached.shape == (4,)
    assert np.all(np.diff(reached) <= 1e-12)
    stages = model.stages(score)
    assert stages.shape == (len(STAGES),)
    assert stages.min() >= -1e-12
    assert stages.sum() == pytest.approx(1.0)
    assert stages[2:].sum() == pytest.approx(model.significant(score))


@given(MODEL, SCORES, SCORES)
def test_a_higher_score_never_lowers_the_probability(model, first, second):
    low, high = sorted((first, second))
    assert np.all(model.stage_probabilities(high) >= model.stage_probabilities(low))


@given(MODEL, st.floats(-5, 5), st.integers(1, 200))
def test_intervals_hold_the_estimate_and_narrow_with_windows(model, score, windows):
    ends = model.significant_interval(score, windows)
    assert ends.lower <= model.significant(score) <= ends.upper
    more = model.significant_interval(score, windows + 1)
    assert more.upper - more.lower <= ends.upper - ends.lower + 1e-12
    for chance, span in zip(model.stages(score), model.stage_intervals(score, windows), strict=True):
        assert span.lower <= chance <= span.upper


def test_values_by_hand():
    model = readout().models["3d"]
    assert model.significant(0.0) == pytest.approx(0.5)
    assert model.significant(1.0) == pytest.approx(1 / (1 + np.exp(-1.2)))
    ends = model.interval(1.0, 4)
    assert ends.upper - 1.0 == pytest.approx(1.959964 * np.sqrt(0.6**2 / 4 + 0.3**2))
    assert model.stage_probabilities(np.zeros((3, 2))).shape == (3, 2, 4)


def test_a_readout_comes_back_from_its_dict():
    first = readout()
    again = FibrosisReadout.from_dict(first.to_dict(), True)
    assert again.to_dict() == first.to_dict()
    assert set(again.models) == set(MODELS)
    assert again.figures["2d"] == {}


def damage(*path, value=None, drop=False):
    content = copy.deepcopy(READOUT)
    place = content
    for step in path[:-1]:
        place = place[step]
    if drop:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return content


@pytest.mark.parametrize(
    "content",
    [
        damage("models", "lstm", drop=True),
        damage("models", "3d", "thresholds", value=[0.0, 1.0, 2.0]),
        damage("models", "3d", "thresholds", value=[0.0, 2.0, 1.0, 3.0]),
        damage("models", "3d", "thresholds", value=[0.0, 1.0, 2.0, float("nan")]),
        damage("models", "2d", "slope", value=-1.0),
        damage("models", "2d", "window_sd", value=-0.1),
        damage("models", "2d", "residual_sd", value="much"),
        damage("decision", value=0.0),
        damage("decision", value="half"),
        damage("format", value="another"),
        damage("figures", value=[]),
        [],
    ],
)
def test_a_damaged_readout_is_refused(content):
    with pytest.raises(BundleError, match="readout of the model bundle is damaged"):
        FibrosisReadout.from_dict(content, True)
