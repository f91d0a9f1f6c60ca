"""What counts as expansion: at, over and below each limit, alone and together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ICHExpansionLib.definition import DEFAULT_DEFINITION, Definition
from PrognosisLib.errors import InputError

# Volumes whose growth and percentages are exact in binary numbers.
BEFORE = 16.0


@pytest.mark.parametrize(
    ("definition", "after", "over", "reached"),
    [
        ({"amount_ml": 6.0, "percent": None}, 21.9, False, False),
        ({"amount_ml": 6.0, "percent": None}, 22.0, False, True),
        ({"amount_ml": 6.0, "percent": None}, 22.1, True, True),
        ({"amount_ml": None, "percent": 25.0}, 19.9, False, False),
        ({"amount_ml": None, "percent": 25.0}, 20.0, False, True),
        ({"amount_ml": None, "percent": 25.0}, 20.1, True, True),
        ({"amount_ml": 6.0, "percent": 25.0}, 20.0, False, True),
        ({"amount_ml": 3.0, "percent": 50.0}, 19.0, False, True),
        ({"amount_ml": 3.0, "percent": 50.0}, 19.5, True, True),
        ({"amount_ml": 6.0, "percent": 50.0}, 21.9, False, False),
        ({"amount_ml": 6.0, "percent": 25.0}, 12.0, False, False),
    ],
)
def test_growth_at_and_around_the_limits(definition, after, over, reached):
    assert bool(Definition(**definition).met(BEFORE, after)) is over
    assert bool(Definition(**definition, operator=">=").met(BEFORE, after)) is reached


def test_the_default_is_over_6_ml_or_over_33_percent():
    before = np.array([10.0, 10.0, 30.0, 30.0])
    after = np.array([13.2, 13.4, 36.0, 36.1])
    assert DEFAULT_DEFINITION.met(before, after).tolist() == [False, True, False, True]
    assert str(DEFAULT_DEFINITION) == "> 6 mL or > 33 %"


def test_from_nothing_any_growth_is_a_percentage_over_the_limit():
    assert bool(DEFAULT_DEFINITION.met(0.0, 0.5))
    assert not bool(Definition(6.0, None).met(0.0, 0.5))
    assert not bool(DEFAULT_DEFINITION.met(0.0, 0.0))


limits = st.one_of(st.none(), st.floats(0.5, 90.0))


@given(limits, limits, st.floats(0.1, 150.0), st.floats(-0.9, 4.0), st.sampled_from([">", ">="]))
def test_the_relative_limit_says_the_same_as_met(amount, percent, before, growth, operator):
    if amount is None and percent is None:
        amount = 6.0
    definition = Definition(amount, percent, operator)
    limit = float(definition.relative_limit(np.array([before]))[0])
    if abs(growth - limit) > 1e-6:  # at the limit itself rounding decides
        assert bool(definition.met(before, before * (1 + growth))) is (growth > limit)


def test_shapes_follow_the_volumes():
    assert DEFAULT_DEFINITION.met(np.ones((3, 1)), np.ones(4)).shape == (3, 4)
    assert DEFAULT_DEFINITION.met(5.0, np.ones(4)).shape == (4,)
    assert DEFAULT_DEFINITION.relative_limit(np.ones(5)).shape == (5,)
    assert Definition(None, 20.0).relative_limit(np.ones(5)).tolist() == [0.2] * 5


@pytest.mark.parametrize(
    ("definition", "words"),
    [
        (Definition(), "> 6 mL or > 33 %"),
        (Definition(12.5, None, ">="), "≥ 12.5 mL"),
        (Definition(None, 26.0), "> 26 %"),
        (Definition(3.0, 20.0, ">="), "≥ 3 mL or ≥ 20 %"),
    ],
)
def test_it_reads_as_in_a_paper(definition, words):
    assert str(definition) == words


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((None, None), "without a limit"),
        ((0.0, 33.0), "0 mL is no growth"),
        ((-1.0, 33.0), "-1 mL"),
        ((6.0, 0.0), "0 %"),
        ((float("nan"), 33.0), "nan mL"),
        ((float("inf"), None), "inf mL"),
        ((101.0, None), "up to 100 mL"),
        ((None, 501.0), "up to 500 %"),
        ((6.0, 33.0, "<"), "'<' is not known"),
    ],
)
def test_what_defines_nothing_is_refused(arguments, words):
    with pytest.raises(InputError, match=words):
        Definition(*arguments)
