"""The causal model of hematoma growth: what the image shows of it, what raises the odds, and how often it happens."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ich_heads import BLEED, simulated

from ICHExpansionLib.definition import DEFAULT_DEFINITION, Definition
from ICHExpansionLib.simulation.causes import (
    ImageCauses,
    clinical_log_odds,
    draw_clinical,
    draw_growth,
    expansion_probability,
    going_on,
)
from ICHExpansionLib.simulation.patients import causes_of


@cache
def image_causes(**changes: float) -> ImageCauses:
    bleed = replace(BLEED, **changes)
    return causes_of(simulated(bleed, pixel_mm=1.0, columns=192, rows=224, slice_mm=5.0))


def test_causes_are_measured_on_what_was_planted():
    plain = image_causes()
    assert plain.volume_ml == pytest.approx(28.0, rel=0.05)
    assert (plain.islands, plain.black_hole, plain.ventricular) == (0.0, 0.0, 0.0)
    assert image_causes(irregularity=1.0).irregularity > plain.irregularity + 0.15
    assert image_causes(heterogeneity=9.0).density_sd > plain.density_sd + 2.0
    assert image_causes(islands=3).islands >= 2.0
    assert image_causes(black_hole=38.0).black_hole == 1.0
    assert image_causes(ventricular=0.5).ventricular == 1.0
    for change in ({"irregularity": 1.0}, {"heterogeneity": 9.0}, {"islands": 3}, {"black_hole": 38.0}):
        assert image_causes(**change).log_odds() > plain.log_odds() + 0.2, change


def test_no_hematoma_has_the_causes_of_none():
    assert causes_of(simulated(None)).log_odds() < image_causes().log_odds()


causes = st.builds(
    ImageCauses,
    st.floats(0.3, 130),
    st.floats(0, 14),
    st.floats(1, 3),
    st.integers(0, 6).map(float),
    st.sampled_from([0.0, 1.0]),
    st.sampled_from([0.0, 1.0]),
)


@given(causes, st.floats(0, 3))
def test_every_cause_raises_the_odds(one, more):
    for name in ImageCauses.__dataclass_fields__:
        assert replace(one, **{name: getattr(one, name) + more}).log_odds() >= one.log_odds()


def test_clinical_causes_raise_the_odds():
    calm = {"onset_to_ct": 2.5, "anticoagulant": "none", "antiplatelet": False, "systolic_pressure": 165.0}
    assert clinical_log_odds(calm) == pytest.approx(0.0)
    for change in (
        {"onset_to_ct": 1.0},
        {"anticoagulant": "warfarin"},
        {"antiplatelet": True},
        {"systolic_pressure": 200.0},
    ):
        assert clinical_log_odds({**calm, **change}) > 0
    assert clinical_log_odds({**calm, "anticoagulant": "other"}) == pytest.approx(np.log(3.48), abs=0.01)


@pytest.mark.parametrize("active", [0.05, 0.3, 0.9])
@pytest.mark.parametrize("definition", [DEFAULT_DEFINITION, Definition(12.5, None), Definition(None, 33.0)], ids=str)
def test_the_probability_of_expansion_is_the_frequency_of_drawn_growth(active, definition):
    rng = np.random.default_rng(7)
    n = 4000
    for ml in (4.0, 20.0, 60.0):
        growth = np.array([draw_growth(ml, active, rng) for _ in range(n)])
        p = float(expansion_probability(ml, active, definition))
        found = definition.met(ml, ml + growth).mean()
        assert found == pytest.approx(p, abs=3 * np.sqrt(p * (1 - p) / n) + 1e-9), ml


def test_the_probability_of_expansion_rises_with_volume_and_activity():
    volumes = np.linspace(0.5, 120, 200)
    for definition in (DEFAULT_DEFINITION, Definition(6.0, None)):
        p = expansion_probability(volumes, 0.4, definition)
        assert (np.diff(p) >= -1e-12).all()
        assert p[-1] > p[0]
    p = expansion_probability(20.0, np.linspace(0, 1, 50))
    assert (np.diff(p) > 0).all()
    assert going_on(1.0, 0.5) > going_on(0.0, 0.5) > going_on(0.0, -0.5)


def test_clinical_values_are_in_range_and_follow_the_hemorrhage():
    rng = np.random.default_rng(3)
    small = [draw_clinical(2.0, "lobar", False, rng) for _ in range(400)]
    large = [draw_clinical(60.0, "putamen", True, rng) for _ in range(400)]
    for one in (*small, *large):
        assert 25 <= one["age"] <= 98
        assert 3 <= one["gcs"] <= 15
        assert 0 <= one["nihss"] <= 42
        assert 0 < one["onset_to_ct"] < 24
    assert np.mean([one["gcs"] for one in large]) < np.mean([one["gcs"] for one in small]) - 2
    assert np.mean([one["nihss"] for one in large]) > np.mean([one["nihss"] for one in small]) + 5
    warfarin = [one["inr"] for one in (*small, *large) if one["anticoagulant"] == "warfarin"]
    assert np.median(warfarin) > 2.2
    assert draw_clinical(5.0, "cerebellum", False, rng)["infratentorial"] is True
