"""The heads: what they are fitted to, cross-validation, a hidden layer only where it helps, and the spread."""

from __future__ import annotations

import numpy as np
import pandas
import pytest

pytest.importorskip("torch")

from lifelines import CoxPHFitter

from HepatoPrognosisLib.learning import heads
from HepatoPrognosisLib.learning.head_targets import KnownHazards, SeenOutcomes
from HepatoPrognosisLib.learning.heads import FOLDS, RIDGES, fit_head, with_spread
from HepatoPrognosisLib.networks.head import PairHead
from PrognosisLib.errors import InputError

N, FEATURES = 160, 5
NAMES = [f"patient {number}" for number in range(N)]


def drawn(seed: int = 1) -> tuple[np.ndarray, np.random.Generator]:
    """Features (n, 2, f) on scales of their own."""
    rng = np.random.default_rng(seed)
    return 3 + rng.standard_normal((N, 2, FEATURES)) * [0.01, 0.2, 1.0, 5.0, 40.0], rng


def standard(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    flat = features.reshape(-1, FEATURES)
    z = (features - flat.mean(axis=0)) / flat.std(axis=0)
    return z[:, 0], z[:, 1] - z[:, 0]


@pytest.fixture(autouse=True)
def few_ridges(monkeypatch):
    monkeypatch.setattr(heads, "RIDGES", RIDGES[::3])


def test_a_linear_risk_is_found_whatever_the_scales_of_the_features():
    features, rng = drawn()
    first, change = standard(features)
    truth = change @ [1.0, -1.0, 0.5, 0.0, 0.3] + 0.4 * first[:, 2] - 2.0
    values = truth + 0.2 * rng.standard_normal(N)
    fitted = fit_head(features, KnownHazards(first[:, 2]), KnownHazards(values), NAMES)
    head = fitted.head
    assert head.score_pair(features[:, 0], features[:, 1]) == pytest.approx(truth, abs=0.3)
    assert head.score_t0(features[:, 0]) == pytest.approx(first[:, 2], abs=0.05)
    assert fitted.notes["pair"]["r2"] > 0.95
    assert fitted.notes["hidden"] == len(head.offset) == 0
    again = PairHead.from_dict(head.to_dict())
    assert again.score_pair(features[0, 0], features[0, 1]) == pytest.approx(truth[0], abs=0.3)


def test_readings_are_out_of_fold(monkeypatch):
    """Noise cannot be read: what is fitted to it follows it, and readings by heads without the patient do not."""
    monkeypatch.setattr(heads, "HIDDEN_RIDGES", heads.HIDDEN_RIDGES[-1:])
    features, rng = drawn()
    noise = rng.standard_normal(N)
    fitted = fit_head(features, KnownHazards(noise), KnownHazards(noise), NAMES)
    assert fitted.notes["folds"] == FOLDS
    assert abs(np.corrcoef(fitted.score_pair, noise)[0, 1]) < 0.3
    assert fitted.notes["pair"]["r2"] < 0.1
    assert fitted.notes["pair"]["ridge"] == pytest.approx(RIDGES[::3].max(), rel=1e-5)


def test_patients_with_several_rows_are_in_one_fold(monkeypatch):
    """Each row has a twin with the same features: were it in another fold, noise could be read from it."""
    monkeypatch.setattr(heads, "HIDDEN_RIDGES", heads.HIDDEN_RIDGES[-1:])
    features, rng = drawn()
    noise = np.repeat(rng.standard_normal(N // 2), 2)
    twins = np.repeat(features[: N // 2], 2, axis=0)
    pairs = [f"patient {number // 2}" for number in range(N)]
    fitted = fit_head(twins, KnownHazards(noise), KnownHazards(noise), pairs)
    assert fitted.notes["pair"]["r2"] < 0.1


def test_a_hidden_layer_comes_where_it_is_clearly_better(monkeypatch):
    monkeypatch.setattr(heads, "HIDDEN_RIDGES", (0.003,))
    features, rng = drawn()
    _first, change = standard(features)
    values = 3 * np.tanh(4 * change[:, 2]) + 0.1 * rng.standard_normal(N)
    fitted = fit_head(features, KnownHazards(values), KnownHazards(values), NAMES)
    head = fitted.head
    assert fitted.notes["hidden"] == len(head.offset) == heads.HIDDEN
    straight = np.corrcoef(change[:, 2], values)[0, 1]
    assert np.corrcoef(fitted.score_pair, values)[0, 1] > straight + 0.02
    assert np.corrcoef(head.score_pair(features[:, 0], features[:, 1]), values)[0, 1] > straight + 0.02


def test_outcomes_teach_as_lifelines_does():
    _features, rng = drawn()
    x = rng.standard_normal((N, 3))
    days = np.round(rng.exponential(np.exp(-x @ [0.8, -0.5, 0.0])), 3)
    died = rng.random(N) < 0.7
    weights, bias = SeenOutcomes(days, died).fit(x, 0.0)
    table = pandas.DataFrame({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "days": days, "died": died})
    assert weights == pytest.approx(CoxPHFitter().fit(table, "days", "died").params_.to_numpy(), abs=0.01)
    assert float(np.mean(x @ weights + bias)) == pytest.approx(0, abs=1e-9)


def test_outcomes_alone_make_a_head():
    features, rng = drawn()
    _first, change = standard(features)
    truth = change @ [1.0, -1.0, 0.5, 0.0, 0.3]
    seen = SeenOutcomes(rng.exponential(np.exp(-truth)), rng.random(N) < 0.8)
    fitted = fit_head(features, seen, seen, NAMES)
    assert np.corrcoef(fitted.score_pair, truth)[0, 1] > 0.85
    assert fitted.notes["hidden"] == 0
    assert "r2" not in fitted.notes["pair"]


def test_the_slope_of_the_partial_likelihood():
    _features, rng = drawn()
    seen = SeenOutcomes(np.round(rng.exponential(1.0, N), 1), rng.random(N) < 0.6)  # with ties
    reading = rng.standard_normal(N)
    value, slope = seen._likelihood(reading)
    for patient in (0, 7, 30):
        moved = reading + 1e-6 * (np.arange(N) == patient)
        assert (seen._likelihood(moved)[0] - value) / 1e-6 == pytest.approx(slope[patient], abs=1e-6)


def test_the_spread_is_that_between_copies():
    features, rng = drawn()
    first, change = standard(features)
    head = fit_head(features, KnownHazards(first[:, 2]), KnownHazards(change[:, 2]), NAMES).head
    assert head.spread_t0 == head.spread_pair == 0
    shaken = [features + 0.1 * features.std(axis=(0, 1)) * rng.standard_normal(features.shape) for _ in range(2)]
    spread = with_spread(head, *shaken)
    assert spread.spread_t0 == pytest.approx(0.1, rel=0.3)
    assert spread.spread_pair == pytest.approx(0.1 * np.sqrt(2), rel=0.3)


def test_too_few_patients_are_refused():
    features, _rng = drawn()
    few = KnownHazards(np.zeros(6))
    with pytest.raises(InputError, match="6 patients are too few for 10 folds"):
        fit_head(features[:6], few, few, NAMES[:6])
