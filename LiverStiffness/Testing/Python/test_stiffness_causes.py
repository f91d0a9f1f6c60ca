"""The causal model of the simulated cohort: what the signs tell of the stiffness, and that nothing else does."""

from __future__ import annotations

from dataclasses import astuple, fields, replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from LiverStiffnessLib.labels import THRESHOLDS_KPA
from LiverStiffnessLib.simulation.causes import (
    LARGEST_FIBROSIS,
    MEASUREMENT_SD,
    STIFFNESS_KPA,
    Signs,
    draw_signs,
    draw_stiffness,
    expected_log_kpa,
    mean_fibrosis,
    measure_stiffness,
    oracle,
    posterior,
)
from LiverStiffnessLib.simulation.patients import draw_clinical, draw_examination, truth_of
from LiverStiffnessLib.simulation.protocols import HOSPITALS, SITES
from PrognosisLib.clinical import check_clinical
from PrognosisLib.clinical_fields import FIELDS
from PrognosisLib.evaluation.discrimination import auc

COHORT = 1500
THREE = THRESHOLDS_KPA.index(3.0)

any_signs = st.builds(
    Signs,
    st.floats(-3, 2.5),
    st.floats(-0.8, 2),
    st.floats(-5, 0),
    st.floats(-0.2, 0.5),
    st.floats(-1.2, 2.2),
    st.booleans(),
)


@cache
def population(child: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Measured kPa (n,), oracle (n, t) and signs (n, s) of patients of the whole population."""
    rng = np.random.default_rng([7, child])
    measured, chances, signs = [], [], []
    for _ in range(COHORT):
        kpa = draw_stiffness(rng, child)
        found = draw_signs(kpa, rng)
        measured.append(measure_stiffness(kpa, rng))
        chances.append(oracle(found, child))
        signs.append(astuple(found))
    return np.array(measured), np.stack(chances), np.array(signs, float)


@cache
def examinations() -> list:
    return [draw_examination(seed) for seed in range(800)]


# --- the oracle -------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(any_signs, st.booleans())
def test_the_oracle_falls_with_the_threshold(signs, child):
    chances = oracle(signs, child)
    assert chances.shape == (len(THRESHOLDS_KPA),)
    assert (np.diff(chances) < 0).all()
    assert chances.min() >= 0
    assert chances.max() <= 1
    assert posterior(signs, child).sum() == pytest.approx(1.0)
    assert np.log(STIFFNESS_KPA[0]) < expected_log_kpa(signs, child) < np.log(STIFFNESS_KPA[-1])


@settings(deadline=None)
@given(any_signs, st.booleans(), st.floats(0.05, 1.5))
def test_every_sign_raises_the_oracle(signs, child, more):
    plain = oracle(signs, child)
    for field in fields(Signs):
        value = getattr(signs, field.name)
        raised = replace(signs, **{field.name: True if field.name == "ascites" else value + more})
        assert (oracle(raised, child) >= plain - 1e-12).all(), field.name
        assert expected_log_kpa(raised, child) >= expected_log_kpa(signs, child) - 1e-12


@pytest.mark.parametrize("child", [False, True])
def test_the_oracle_is_calibrated(child):
    """In the whole population and in every third of it, by what the oracle says, at every threshold."""
    kpa, chances, _ = population(child)
    for t, threshold in enumerate(THRESHOLDS_KPA):
        order = np.argsort(chances[:, t])
        for part in (order, *np.array_split(order, 3)):
            expected = chances[part, t]
            error = np.sqrt((expected * (1 - expected)).sum()) / len(part)
            assert (kpa[part] >= threshold).mean() == pytest.approx(expected.mean(), abs=3.5 * error + 1e-3), threshold


def test_the_expected_log_stiffness_has_no_bias():
    kpa, _, signs = population()
    expected = np.array([expected_log_kpa(Signs(*row[:-1], bool(row[-1])), False) for row in signs[:600]])
    apart = np.log(kpa[:600]) - expected
    assert abs(apart.mean()) < 3.5 * apart.std() / np.sqrt(len(apart))
    assert MEASUREMENT_SD < apart.std() < 0.85 * np.log(kpa[:600]).std()


def test_noise_makes_the_oracle_worse_and_no_sign_alone_is_as_good():
    kpa, chances, signs = population()
    y, best = kpa >= 3.0, chances[:, THREE]
    top = auc(y, best).value
    assert 0.8 < top < 0.95
    logits = np.log(best / (1 - best))
    rng = np.random.default_rng(0)
    areas = [auc(y, logits + sd * rng.normal(size=len(y))).value for sd in (1.0, 3.0)]
    assert top > areas[0] + 0.01 > areas[1] + 0.02
    assert auc(y, rng.normal(size=len(y))).value < 0.58
    for number, field in enumerate(fields(Signs)):
        alone = auc(y, signs[:, number]).value
        assert 0.52 < alone < top - 0.01, field.name


# --- stiffness and signs ----------------------------------------------------------------------------------------------


def test_fibrosis_rises_with_stiffness_between_its_ends():
    kpa = np.linspace(0.5, 14, 200)
    burden = mean_fibrosis(kpa)
    assert (np.diff(burden) >= 0).all()
    assert (burden[kpa < 2.1] == 0).all()
    assert mean_fibrosis(6.1) == pytest.approx(1.0)
    assert burden[-1] == LARGEST_FIBROSIS


def test_signs_rise_with_stiffness():
    rng = np.random.default_rng(5)
    groups = [np.array([astuple(draw_signs(kpa, rng)) for _ in range(400)], float) for kpa in (2.0, 3.5, 5.0, 7.5)]
    means = np.stack([group.mean(axis=0) for group in groups])
    assert (np.diff(means, axis=0) > 0).all()
    # Each also varies by itself: a stiff liver may lack a sign.
    for number, field in enumerate(fields(Signs)):
        assert groups[3][:, number].min() < np.percentile(groups[0][:, number], 95) or field.name == "ascites"
    assert groups[0][:, -1].mean() < 0.05
    assert 0.3 < groups[3][:, -1].mean() < 0.95


def test_children_and_sites_differ_in_how_many_are_stiff():
    rng = np.random.default_rng(6)
    adults, children = ([draw_stiffness(rng, child) for _ in range(800)] for child in (False, True))
    assert np.mean(np.array(children) >= 3) < np.mean(np.array(adults) >= 3) - 0.05
    few, many = ([draw_stiffness(rng, False, share) for _ in range(400)] for share in (0.0, 1.0))
    assert np.mean(np.array(few) >= 3) < 0.05
    assert np.mean(np.array(many) >= 3) > 0.6
    assert min(adults + children + few + many) >= 1.3
    assert max(adults + children + few + many) <= 13.0


def test_elastography_measures_with_its_error():
    rng = np.random.default_rng(8)
    logs = np.log([measure_stiffness(3.0, rng) for _ in range(2000)])
    assert logs.mean() == pytest.approx(np.log(3.0), abs=4 * MEASUREMENT_SD / np.sqrt(2000))
    assert logs.std() == pytest.approx(MEASUREMENT_SD, rel=0.08)


# --- examinations -----------------------------------------------------------------------------------------------------


def test_what_disturbs_the_images_does_not_depend_on_the_stiffness():
    """Among adults of one site: sites and years differ in case mix and protocols alike."""
    adults = [one for one in examinations() if not one.is_child and one.protocol.site == "A"]
    assert len(adults) > 200
    kpa = np.array([one.stiffness_kpa for one in adults])
    disturbing = {
        "age": [one.age for one in adults],
        "bmi": [one.bmi for one in adults],
        "size": [one.size for one in adults],
        "tesla": [one.protocol.tesla for one in adults],
        "echo": [one.protocol.t2.echo for one in adults],
        "suppressed": [one.protocol.t2.fat_suppression for one in adults],
        "opposed": [float(one.protocol.t1.opposed) for one in adults],
        "noise": [one.protocol.noise for one in adults],
        "shading": [one.protocol.shading for one in adults],
        "breathing": [one.protocol.breathing_mm[2] for one in adults],
        "iron": [one.look.state.iron for one in adults],
        "fat": [one.look.state.fat for one in adults],
        "lesions": [one.look.lesions for one in adults],
    }
    limit = 3.5 / np.sqrt(len(adults))
    for name, values in disturbing.items():
        assert np.std(values) > 0, name
        assert abs(spearmanr(kpa, values).statistic) < limit, name
    for name in ("log_nodularity", "log_texture", "log_spleen"):
        assert spearmanr(kpa, [getattr(one.signs, name) for one in adults]).statistic > 1.5 * limit, name


def test_signs_reach_anatomy_and_look():
    for one in examinations()[:200]:
        signs, parameters = one.signs, one.parameters
        assert parameters.nodularity_mm == pytest.approx(np.clip(np.exp(signs.log_nodularity), 0.02, 6.0))
        assert parameters.lobe_shift == pytest.approx(np.clip(signs.lobe_shift, -0.5, 2.0))
        assert (parameters.ascites_mL > 0) is signs.ascites
        assert one.look.texture == pytest.approx(min(np.exp(signs.log_texture), 0.6))
        assert one.look.state.t2_prolongation == signs.t2_prolongation
    normal = [one.parameters.spleen_mL / np.exp(one.signs.log_spleen) / one.size**3 for one in examinations()[:200]]
    assert np.median(normal) == pytest.approx(190.0)


def test_equal_seeds_give_equal_examinations():
    assert draw_examination(12) == draw_examination(12)
    assert draw_clinical(draw_examination(12)) == draw_clinical(draw_examination(12))
    assert draw_examination(12) != draw_examination(13)
    assert len({one.measured_kpa for one in examinations()}) == len(examinations())


def test_sites_keep_their_shares_and_habits():
    by_site = {name: [one for one in examinations() if one.protocol.site == name] for name in SITES}
    for name, those in by_site.items():
        site = HOSPITALS[name]
        n = len(those)
        assert n / len(examinations()) == pytest.approx(site.share, abs=0.06)
        for share, wanted in (
            (np.mean([one.is_child for one in those]), site.children),
            (np.mean([one.protocol.t2.fat_suppression > 0 for one in those]), site.fat_suppressed),
            (np.mean([one.protocol.t1.opposed for one in those]), site.t1_opposed),
        ):
            assert share == pytest.approx(wanted, abs=3.5 * np.sqrt(wanted * (1 - wanted) / n) + 0.01), name
    early, late = (
        [one for one in examinations() if (one.protocol.year > 2017) is is_late] for is_late in (False, True)
    )
    for get in (lambda one: one.protocol.noise, lambda one: one.protocol.step_mm[0], lambda one: -one.protocol.tesla):
        assert np.mean([get(one) for one in late]) < np.mean([get(one) for one in early])


def test_the_cohorts_columns_hold_the_outcome_and_the_best_possible_prediction():
    one = draw_examination(4)
    truth = truth_of(one)
    assert truth["mre_kpa"] == pytest.approx(one.measured_kpa, abs=1e-4)
    assert truth["true_kpa"] == pytest.approx(one.stiffness_kpa, abs=1e-4)
    chances = [truth[f"true_at_least_{t:g}"] for t in THRESHOLDS_KPA]
    np.testing.assert_allclose(chances, oracle(one.signs, one.is_child), atol=1e-5)
    assert truth["true_log_spleen"] == pytest.approx(one.signs.log_spleen, abs=1e-5)
    assert (truth["site"], truth["year"], truth["age"]) == (one.protocol.site, one.protocol.year, one.age)


def test_laboratory_values_are_valid_and_go_with_the_stiffness():
    drawn = [draw_clinical(one) for one in examinations()]
    for one in drawn[:100]:
        assert check_clinical(one, FIELDS.values()) == one
    kpa = [one.stiffness_kpa for one in examinations()]
    for key, sign in (("ast", 1), ("platelets", -1), ("albumin", -1)):
        assert 0.15 < sign * spearmanr(kpa, [one[key] for one in drawn]).statistic < 0.85, key
