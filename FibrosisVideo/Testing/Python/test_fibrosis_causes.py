"""The causal model of the simulated cohort: what the signs tell of the stage, and that nothing else does."""

from __future__ import annotations

from dataclasses import astuple, fields, replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, kruskal, multivariate_normal, spearmanr

from FibrosisVideoLib.simulation import causes
from FibrosisVideoLib.simulation.causes import SHARED, SIGN_OF, SIGNS, STAGE_SHARES, Signs, oracle, oracle_of
from FibrosisVideoLib.simulation.patients import (
    SCANNERS,
    another_cine,
    draw_clinical,
    draw_examination,
    odd_view,
    truth_of,
)
from PrognosisLib.clinical import check_clinical
from PrognosisLib.clinical_fields import FIELDS
from PrognosisLib.evaluation.discrimination import auc
from PrognosisLib.simulation.ultrasound.tissues import TISSUES
from PrognosisLib.systems import SYSTEMS

DRAWN, SAMPLE = 2000, 60_000
NAMES = [field.name for field in fields(Signs)]
# Beyond this an honest test of independence fails once in ten thousand.
UNLIKELY = 1e-4


@cache
def population() -> tuple[np.ndarray, np.ndarray]:
    """Stages (n,) and signs (n, s), drawn here from the model's own numbers by common and single parts."""
    rng = np.random.default_rng(11)
    stages = rng.choice(5, SAMPLE, p=STAGE_SHARES)
    mean = np.array([means for means, _ in SIGNS.values()]).T
    spread = np.array([deviation for _, deviation in SIGNS.values()])
    common, single = rng.standard_normal((SAMPLE, 1)), rng.standard_normal((SAMPLE, len(SIGNS)))
    signs = mean[stages] + spread * (SHARED * SIGN_OF * common + np.sqrt(1 - SHARED**2) * single)
    return stages, signs


@cache
def examinations() -> list:
    return [draw_examination(seed) for seed in range(DRAWN)]


@cache
def drawn_stages() -> np.ndarray:
    return np.array([one.stage for one in examinations()])


# --- the oracle -------------------------------------------------------------------------------------------------------


def test_the_oracle_is_bayes_rule():
    _, signs = population()
    mean = np.array([means for means, _ in SIGNS.values()]).T
    spread = np.array([deviation for _, deviation in SIGNS.values()])
    shared = SHARED**2 * np.outer(SIGN_OF * spread, SIGN_OF * spread)
    covariance = np.where(np.eye(len(SIGNS)) > 0, np.diag(spread**2), shared)
    likely = np.stack([multivariate_normal(mean[k], covariance).pdf(signs[:500]) for k in range(5)], axis=1)
    expected = likely * STAGE_SHARES
    np.testing.assert_allclose(
        oracle_of(signs[:500]), expected / expected.sum(axis=1, keepdims=True), rtol=1e-6, atol=1e-12
    )
    np.testing.assert_allclose(oracle(Signs(*signs[3])), oracle_of(signs[3:4])[0])


def test_the_oracle_is_calibrated_in_a_large_sample():
    """For every stage, in tenths of the patients by what the oracle says: as many have it as it says."""
    stages, signs = population()
    chances = oracle_of(signs)
    assert chances.sum(axis=1) == pytest.approx(np.ones(SAMPLE))
    truths = [(stages == k, chances[:, k]) for k in range(5)] + [(stages >= 2, chances[:, 2:].sum(axis=1))]
    for truth, chance in truths:
        for part in np.array_split(np.argsort(chance), 10):
            error = np.sqrt((chance[part] * (1 - chance[part])).sum()) / len(part)
            assert truth[part].mean() == pytest.approx(chance[part].mean(), abs=4 * error + 1e-4)


def test_the_oracle_s_discrimination_is_good_but_not_perfect():
    stages, signs = population()
    y, best = stages >= 2, oracle_of(signs)[:, 2:].sum(axis=1)
    top = auc(y, best).value
    assert top == pytest.approx(0.90, abs=0.015)
    alone = {name: auc(y, sign * signs[:, n]).value for n, (name, sign) in enumerate(zip(NAMES, SIGN_OF, strict=True))}
    assert all(0.6 < value < top - 0.02 for value in alone.values()), alone
    logit = np.log(best / (1 - best))
    noisy = logit + 2.0 * np.random.default_rng(0).standard_normal(SAMPLE)
    assert auc(y, noisy).value < top - 0.02


@settings(deadline=None, max_examples=60)
@given(st.integers(0, SAMPLE - 1), st.sampled_from(range(len(SIGNS))))
def test_signs_of_more_fibrosis_raise_the_expected_stage(number, which):
    """All signs together, as the stage moves them; one alone may be a patient's common part and prove nothing."""
    signs = population()[1][number]
    step = np.array([means[4] - means[0] for means, _ in SIGNS.values()])
    expected = [oracle_of((signs + part * step)[None])[0] @ np.arange(5) for part in (-0.2, 0.0, 0.2)]
    assert np.all(np.diff(expected) > -1e-9)
    assert np.sign(step[which]) == SIGN_OF[which], "the common part moves a sign as the stage does"


def test_means_move_one_way_with_the_stage():
    for name, (means, spread) in SIGNS.items():
        direction = SIGN_OF[NAMES.index(name)]
        assert np.all(direction * np.diff(means) >= 0), name
        assert spread > 0
    assert list(SIGNS) == NAMES
    assert sum(STAGE_SHARES) == pytest.approx(1.0)


def test_signs_are_drawn_as_the_oracle_assumes():
    rng = np.random.default_rng(4)
    drawn = np.array([astuple(causes.draw_signs(3, rng)) for _ in range(4000)])
    means = np.array([mean[3] for mean, _ in SIGNS.values()])
    spread = np.array([deviation for _, deviation in SIGNS.values()])
    np.testing.assert_allclose((drawn.mean(axis=0) - means) / spread, 0.0, atol=0.08)
    np.testing.assert_allclose(drawn.std(axis=0) / spread, 1.0, atol=0.06)
    apart = np.corrcoef(drawn.T)
    expected = SHARED**2 * np.outer(SIGN_OF, SIGN_OF)
    off = ~np.eye(len(SIGNS), dtype=bool)
    np.testing.assert_allclose(apart[off], expected[off], atol=0.08)


# --- patients ---------------------------------------------------------------------------------------------------------


def test_stages_are_as_frequent_as_they_should_be():
    counts = np.bincount(drawn_stages(), minlength=5)
    for count, expected in zip(counts, STAGE_SHARES, strict=True):
        assert count / DRAWN == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / DRAWN))


def test_signs_and_clinical_values_go_with_the_stage():
    stages = drawn_stages()
    signs = np.array([astuple(one.signs) for one in examinations()])
    for name, direction, values in zip(NAMES, SIGN_OF, signs.T, strict=True):
        found = spearmanr(stages, values)
        assert found.statistic * direction > 0.15, name
        assert found.pvalue < 1e-6, name
    spleens = [one.log_spleen for one in examinations()]
    assert spearmanr(stages, spleens).statistic > 0.3
    clinical = [draw_clinical(one) for one in examinations()]
    for key, low, high in (("ast", 0.2, 0.7), ("platelets", -0.8, -0.3), ("swe_kpa", 0.6, 0.95)):
        known = [n for n, values in enumerate(clinical) if key in values]
        found = spearmanr(stages[known], [clinical[n][key] for n in known]).statistic
        assert low < found < high, key
    assert 0.7 < np.mean(["swe_kpa" in values for values in clinical]) < 0.9
    for values in clinical[:200]:
        assert check_clinical(values, [FIELDS[key] for key in SYSTEMS["fibrosis"].clinical]) == values


DISTURBERS = {
    "steatosis where there is any": lambda one: one.steatosis_db or np.nan,
    "age": lambda one: one.age,
    "bmi": lambda one: one.bmi,
    "wall": lambda one: one.anatomy.subcutaneous_fat_mm,
    "visceral fat": lambda one: one.anatomy.visceral_fat,
    "width": lambda one: one.anatomy.width_scale,
    "liver volume": lambda one: one.anatomy.liver_mL,
    "breath": lambda one: one.anatomy.breath_mm,
    "depth": lambda one: one.probe.depth_mm,
    "gain": lambda one: one.machine.gain,
    "dynamic range": lambda one: one.machine.dynamic_range,
    "tgc": lambda one: one.machine.tgc,
    "focus": lambda one: one.machine.focus_mm,
    "noise": lambda one: one.machine.noise,
    "gamma": lambda one: one.machine.gamma,
    "aim": lambda one: one.sweep.aim_mm[0],
    "turn": lambda one: one.sweep.turn,
    "tremor": lambda one: one.sweep.tremor_mm,
    "breathing": lambda one: one.sweep.breathing_mm,
    "duration": lambda one: one.duration_s,
}
CHOICES = {
    "sex": lambda one: one.sex,
    "scanner": lambda one: one.scanner,
    "window": lambda one: one.sweep.window.slide,
    "looks": lambda one: one.machine.looks,
    "steatosis at all": lambda one: one.steatosis_db > 0,
    "direction": lambda one: one.sweep.backward,
}


@pytest.mark.parametrize("name", DISTURBERS)
def test_what_disturbs_is_not_driven_by_the_stage(name):
    values = np.array([DISTURBERS[name](one) for one in examinations()], float)
    known = np.isfinite(values)
    values, stages = values[known], drawn_stages()[known]
    assert len(np.unique(values)) > 20
    assert kruskal(*(values[stages == k] for k in range(5))).pvalue > UNLIKELY


@pytest.mark.parametrize("name", CHOICES)
def test_what_is_chosen_is_not_driven_by_the_stage(name):
    values, stages = np.array([CHOICES[name](one) for one in examinations()]), drawn_stages()
    kinds = np.unique(values)
    assert len(kinds) > 1
    table = [[np.sum((values == kind) & (stages == k)) for k in range(5)] for kind in kinds]
    assert chi2_contingency(table).pvalue > UNLIKELY


def test_the_test_of_independence_would_notice():
    stages = drawn_stages()
    leaking = np.array([one.steatosis_db for one in examinations()]) + 0.15 * stages
    assert kruskal(*(leaking[stages == k] for k in range(5))).pvalue < UNLIKELY


def test_fat_raises_backscatter_and_attenuation_together():
    one = next(e for e in examinations() if e.steatosis_db == 0)
    lean, fat = one.state, replace(one, steatosis_db=5.0).state
    assert fat.backscatter - lean.backscatter == pytest.approx(5.0)
    assert fat.attenuation - lean.attenuation == pytest.approx(5.0 * causes.ATTENUATION_PER_DB)
    assert (fat.texture, fat.irregular, fat.walls) == (lean.texture, lean.irregular, lean.walls)


def test_the_state_follows_the_signs():
    one = examinations()[0]
    low, high = (
        replace(one, steatosis_db=0.0, signs=Signs(*(means[k] for means, _ in SIGNS.values()))).state for k in (0, 4)
    )
    assert high.texture > low.texture
    assert high.irregular > low.irregular
    assert high.attenuation > low.attenuation
    assert high.walls < low.walls
    assert low.backscatter == high.backscatter == 0


def test_equal_seeds_give_equal_patients_and_others_other_ones():
    first = draw_examination(5)
    assert first == draw_examination(5)
    assert first.signs != draw_examination(6).signs
    assert draw_clinical(first) == draw_clinical(draw_examination(5))


def test_another_cine_is_of_the_same_patient_on_another_machine():
    one = examinations()[4]
    other = another_cine(one, 1)
    for name in ("seed", "age", "sex", "stage", "signs", "anatomy", "steatosis_db"):
        assert getattr(one, name) == getattr(other, name)
    assert other.machine != one.machine
    assert other.sweep != one.sweep
    assert other == another_cine(one, 1) != another_cine(one, 2)


def test_odd_views_change_the_surroundings_only():
    one = examinations()[4]
    other, state = odd_view(one, 3)
    assert other.anatomy == one.anatomy
    assert other.signs == one.signs
    for name in ("attenuation", "texture", "irregular", "walls", "capsule"):
        assert getattr(state, name) == getattr(one.state, name), "the liver's signs stay"
    assert len(state.around) == len(state.around_attenuation) == len(TISSUES)
    assert min(state.around_attenuation) >= 0
    assert 0 <= state.even_around <= 1
    assert other.sweep.window != odd_view(one, 4)[0].sweep.window
    assert odd_view(one, 3) == (other, state)


def test_truth_has_the_stage_the_signs_and_the_oracle():
    one = examinations()[9]
    truth = truth_of(one)
    assert truth["stage"] == one.stage
    assert truth["significant"] == int(one.stage >= 2)
    chances = oracle(one.signs)
    assert truth["true_significant"] == pytest.approx(chances[2:].sum(), abs=1e-5)
    assert [truth[f"true_f{k}"] for k in range(5)] == pytest.approx(chances.tolist(), abs=1e-5)
    for name in NAMES:
        assert truth[f"true_{name}"] == pytest.approx(getattr(one.signs, name), abs=1e-5)
    assert truth["scanner"] in SCANNERS
