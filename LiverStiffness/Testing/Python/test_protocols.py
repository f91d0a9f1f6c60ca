"""The paper's protocols: nobody is judged by a reading that saw them, and figures are what their names say."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch")

from LiverStiffnessLib.labels import THRESHOLDS_KPA
from LiverStiffnessLib.learning import ordinal_training, outcomes, protocols, validation
from LiverStiffnessLib.learning.collecting import Collected
from LiverStiffnessLib.learning.ordinal_training import PatientFeatures, fit_reading, score_of
from LiverStiffnessLib.learning.protocols import FEWEST, FEWEST_EVENTS, Outcomes, figures, run_protocols
from LiverStiffnessLib.measuring.ordinal import SliceInput
from LiverStiffnessLib.simulation.causes import oracle
from LiverStiffnessLib.simulation.patients import draw_examination
from PrognosisLib.errors import InputError
from PrognosisLib.evaluation.protocols import EARLY_SHARE, FOLDS
from PrognosisLib.evaluation.thresholds import best_point

WIDTH = 3
THREE = THRESHOLDS_KPA.index(3.0)
SITES = ("north", "south", "west")


def cohort(count: int = 90, seed: int = 0) -> tuple[list[PatientFeatures], Outcomes]:
    """The first feature follows the stiffness; sites and years are drawn beside it."""
    rng = np.random.default_rng([seed, 12])
    log_kpa = np.clip(rng.normal(1.05, 0.35, count), 0.5, 2.3)
    found = []
    for number, value in enumerate(log_kpa):
        slices = {}
        for name in ("T2", "T1"):
            features = rng.normal(size=(4, WIDTH)) * 0.6
            features[:, 0] += 3.0 * (value - 1.05) + rng.normal(0, 0.5)
            slices[name] = SliceInput(features, np.full(4, 4000.0))
        covariates = {name: np.array([5.3, 7.2, 0.0]) for name in slices}
        expected = (value >= np.log(THRESHOLDS_KPA)).astype(float)
        found.append(PatientFeatures(f"p{number}", slices, covariates, expected, float(value)))
    site = np.array(SITES)[rng.integers(len(SITES), size=count)]
    year = rng.integers(2012, 2022, count).astype(float)
    patient = np.array([f"p{number}" for number in range(count)])
    return found, Outcomes(np.exp(log_kpa), rng.uniform(8, 80, count), site, year, patient)


class Memory:
    """A reading that knows the outcome of everyone whom it was fitted to, or who shares a trait with one, and is right
    about them; about all others it knows nothing. Stands in for fit_reading, so that a leak gives an area of 1.
    """

    def __init__(self, trait: dict[str, object], reached: dict[str, bool]) -> None:
        self.trait, self.reached = trait, reached
        self.fits: list[set[str]] = []

    def fit(self, patients, sequences, seed=0, resamples=8, basis=None):
        assert sequences == ("T2", "T1")
        self.fits.append({one.case for one in patients})
        known = {self.trait[one.case] for one in patients}
        return SimpleNamespace(
            known=known, probabilities=lambda scores: np.repeat(scores[:, None], len(THRESHOLDS_KPA), axis=1)
        )

    def score(self, model, one) -> float:
        return float(self.reached[one.case]) if self.trait[one.case] in model.known else 0.5


def remembered(monkeypatch, trait_of, pairs: bool = False) -> tuple[dict, Memory, list[PatientFeatures], Outcomes]:
    """What the protocols make of it; with `pairs` each patient has two examinations."""
    patients, known = cohort()
    if pairs:
        known = replace(known, patient=np.repeat(known.patient[: len(patients) // 2], 2))
    traits = {one.case: trait_of(n, known) for n, one in enumerate(patients)}
    reached = {one.case: bool(known.reached[n, THREE]) for n, one in enumerate(patients)}
    memory = Memory(traits, reached)
    monkeypatch.setattr(protocols, "fit_reading", memory.fit)
    monkeypatch.setattr(protocols, "score_of", memory.score)
    return run_protocols(patients, known), memory, patients, known


# --- who teaches whom -------------------------------------------------------------------------------------------------


def test_folds_never_mix(monkeypatch):
    found, memory, patients, _ = remembered(monkeypatch, lambda n, known: n)
    for name in ("10-fold", "temporal", "leave-one-site-out"):
        assert found[name]["all"]["3"]["auc"]["value"] == 0.5, name
    left_out = [{one.case for one in patients} - fit for fit in memory.fits[:FOLDS]]
    assert sorted(case for fold in left_out for case in fold) == sorted(one.case for one in patients)
    assert {len(fold) for fold in left_out} == {len(patients) // FOLDS}


def test_the_detector_sees_a_leak(monkeypatch):
    """A trait that patients of all folds share gives the detector its area of 1."""
    found, *_ = remembered(monkeypatch, lambda n, known: n % 2)
    assert found["10-fold"]["all"]["3"]["auc"]["value"] == 1.0


def test_points_are_chosen_on_those_who_taught_with_their_own_outcomes(monkeypatch):
    """A memory gives those who taught what they reached, so at 3 kPa its probabilities are the outcomes themselves."""
    told = []

    def best(y, chance):
        told.append((y, chance))
        return 0.5

    monkeypatch.setattr(protocols, "best_point", best)
    found, memory, *_ = remembered(monkeypatch, lambda n, known: n)
    at_three = told[THREE :: len(THRESHOLDS_KPA)]
    assert len(at_three) == len(memory.fits) > FOLDS
    for (y, chance), fit in zip(at_three, memory.fits, strict=True):
        assert len(y) == len(fit)
        np.testing.assert_array_equal(chance, y)
    assert found["10-fold"]["all"]["3"]["sensitivity"]["value"] == 1.0  # a probability of 0.5 counts as reached


def test_no_site_is_judged_by_its_own_patients(monkeypatch):
    found, memory, patients, known = remembered(monkeypatch, lambda n, known: known.site[n])
    assert found["leave-one-site-out"]["all"]["3"]["auc"]["value"] == 0.5
    assert found["10-fold"]["all"]["3"]["auc"]["value"] == 1.0
    assert found["leave-one-site-out"]["all"]["3"]["n"] == len(patients)
    counts = {name: int((known.site == name).sum()) for name in SITES}
    assert found["leave-one-site-out"]["sites"] == counts
    assert sorted(len(patients) - len(fit) for fit in memory.fits[-3:]) == sorted(counts.values())


def test_no_patient_is_judged_by_another_examination_of_the_same(monkeypatch):
    found, *_ = remembered(monkeypatch, lambda n, known: known.patient[n], pairs=True)
    for name in ("10-fold", "temporal", "leave-one-site-out"):
        assert found[name]["all"]["3"]["auc"]["value"] == 0.5, name


def test_later_years_are_judged_by_earlier_ones_only(monkeypatch):
    found, memory, patients, known = remembered(monkeypatch, lambda n, known: known.year[n])
    temporal = found["temporal"]
    cutoff = float(temporal["tested"].removeprefix("after "))
    assert temporal["all"]["3"]["auc"]["value"] == 0.5
    assert temporal["all"]["3"]["n"] == int((known.year > cutoff).sum())
    assert memory.fits[FOLDS] == {one.case for one, year in zip(patients, known.year, strict=True) if year <= cutoff}
    assert abs((known.year <= cutoff).mean() - EARLY_SHARE) < 0.15


def test_children_and_adults_are_judged_apart(monkeypatch):
    found, _, patients, known = remembered(monkeypatch, lambda n, known: n)
    ten = found["10-fold"]
    assert ten["children"]["3"]["n"] == int((known.age < 18).sum()) > 0
    assert ten["children"]["3"]["n"] + ten["adults"]["3"]["n"] == len(patients)


def test_missing_columns_leave_their_protocols_out(monkeypatch):
    monkeypatch.setattr(ordinal_training, "STEPS", 2)
    patients, known = cohort(60)
    bare = replace(known, age=np.full(60, np.nan), site=np.full(60, ""), year=np.full(60, np.nan))
    found = run_protocols(patients, bare)
    assert set(found) == {"10-fold"}
    assert set(found["10-fold"]) == {"all"}
    one_gap = replace(known, site=np.where(np.arange(60) == 7, "", known.site), year=np.full(60, 2015.0))
    assert set(run_protocols(patients, one_gap)) == {"10-fold"}


def test_a_real_fit_reaches_its_signal_in_every_protocol(monkeypatch):
    monkeypatch.setattr(ordinal_training, "STEPS", 80)
    found = run_protocols(*cohort())
    for name in ("10-fold", "temporal", "leave-one-site-out"):
        three = found[name]["all"]["3"]
        assert three["auc"]["value"] > 0.85, name
        assert three["sensitivity"]["value"] + three["specificity"]["value"] > 1.4
        assert three["auc"]["lower"] < three["auc"]["value"] < three["auc"]["upper"] <= 1


def test_a_cohort_that_tells_nothing_is_refused():
    patients, known = cohort(FEWEST)
    few = Outcomes(*(getattr(known, name)[:-1] for name in ("kpa", "age", "site", "year", "patient")))
    with pytest.raises(InputError) as error:
        run_protocols(patients[:-1], few)
    assert str(error.value) == (
        "The protocols need at least 60 patients with T2, T1 and a measured stiffness (column mre_kpa); the cohort has "
        "59, so add some."
    )
    for kpa in (2.0, 5.0):
        one_sided = np.full(FEWEST, kpa)
        one_sided[: FEWEST_EVENTS - 1] = 7.0 - kpa
        with pytest.raises(InputError, match=r"of 60 patients have the event \(3 kPa or more\); .* so add patients\.$"):
            run_protocols(patients, replace(known, kpa=one_sided))


def test_known_and_unseen_examinations_are_judged_together():
    from LiverStiffnessLib.learning.packing import joined

    first, second = cohort(40)[1], cohort(30, seed=1)[1]
    both = joined(first, second)
    for name in ("kpa", "age", "site", "year", "patient"):
        np.testing.assert_array_equal(getattr(both, name), [*getattr(first, name), *getattr(second, name)])
    assert both.oracle is None
    none = replace(second, **{name: getattr(second, name)[:0] for name in ("kpa", "age", "site", "year", "patient")})
    assert joined(first, none) is first


# --- figures ----------------------------------------------------------------------------------------------------------


def test_figures_count_at_the_points_and_against_the_oracle():
    kpa = np.array([2.0, 2.2, 2.4, 2.8, 3.2, 3.6, 4.2, 6.0])
    nothing = np.full(8, np.nan)
    chances = np.tile(np.linspace(0.1, 0.9, 8)[:, None], len(THRESHOLDS_KPA))
    chances[[3, 4]] = chances[[4, 3]]
    oracle = np.tile(np.linspace(0.05, 0.95, 8)[:, None], len(THRESHOLDS_KPA))
    known = Outcomes(kpa, nothing, nothing, nothing, np.arange(8), oracle)
    found = figures(known, chances, np.full(chances.shape, 0.5), np.ones(8, bool))
    three = found["3"]
    assert (three["n"], three["positive"]) == (8, 4)
    assert three["auc"]["value"] == pytest.approx(15 / 16, abs=1e-4)
    assert three["auc_oracle"]["value"] == 1.0
    assert three["share_of_oracle"] == pytest.approx(7 / 8, abs=1e-3)
    assert (three["sensitivity"]["value"], three["specificity"]["value"]) == (0.75, 0.75)
    assert three["accuracy"]["value"] == 0.75
    assert three["expected_auc"] < three["expected_auc_oracle"] < 1
    assert found["5"] == {"n": 8, "positive": 1}
    some = figures(known, chances, np.full(chances.shape, 0.5), kpa < 3)
    assert some["3"] == {"n": 4, "positive": 0}
    assert "auc_oracle" not in figures(replace(known, oracle=None), chances, chances, np.ones(8, bool))["3"]


# --- outcomes ---------------------------------------------------------------------------------------------------------


def collected(case: str, sequences: tuple[str, ...] = ("T2", "T1")) -> Collected:
    slices = {name: SliceInput(np.zeros((3, WIDTH)), np.full(3, 900.0)) for name in sequences}
    return Collected(case, slices, {name: np.zeros(3) for name in sequences}, [])


def test_measured_patients_are_labeled_with_what_they_reached():
    rows = [
        {"mre_kpa": "3.0", "age": "12", "site": " A ", "year": "2015"},
        {"mre_kpa": "", "age": "40"},
        {"mre_kpa": 4.4, "age": "", "site": None, "year": "unknown"},
        {"mre_kpa": "2.2"},
    ]
    cases = [collected("a"), collected("b"), collected("c"), collected("d", ("T2",))]
    patients, known = outcomes.with_outcomes(cases, rows)
    assert [one.case for one in patients] == ["a", "c"]
    assert patients[0].expected.tolist() == [1, 1, 0, 0, 0]
    assert patients[1].expected.tolist() == [1, 1, 1, 1, 0]
    np.testing.assert_allclose(known.kpa, [3.0, 4.4])
    assert known.reached[0].tolist() == [True, True, False, False, False]
    assert known.age[0] == 12
    assert np.isnan(known.age[1])
    assert known.site.tolist() == ["A", ""]
    assert known.year[0] == 2015
    assert np.isnan(known.year[1])
    assert known.oracle is None


def test_simulated_patients_are_labeled_with_their_oracle():
    names = ["simulated_00004", "simulated_00009"]
    rows = [outcomes.simulated_values(name) for name in names]
    patients, known = outcomes.with_outcomes([collected(name) for name in names], rows)
    for n, (one, seed) in enumerate(zip(patients, (4, 9), strict=True)):
        examination = draw_examination(seed)
        best = oracle(examination.signs, examination.is_child)
        np.testing.assert_allclose(one.expected, best, atol=1e-5)
        np.testing.assert_allclose(known.oracle[n], best, atol=1e-5)
        assert known.kpa[n] == pytest.approx(examination.measured_kpa, abs=1e-4)


@pytest.mark.parametrize("text", ["stiff", "0.2", "300", "nan", "-3"])
def test_what_is_no_stiffness_is_refused(text):
    with pytest.raises(InputError, match=r"Case 'x': mre_kpa is '.*'; give kPa from 0\.5 to 20\.$"):
        outcomes.measured_kpa({"mre_kpa": text}, "x")
    assert outcomes.measured_kpa({"mre_kpa": " "}, "x") is None
    assert outcomes.measured_kpa({}, "x") is None


# --- figures of a bundle ----------------------------------------------------------------------------------------------


def test_a_bundles_figures_hold_what_its_rows_use(monkeypatch):
    monkeypatch.setattr(ordinal_training, "STEPS", 80)
    patients, known = cohort()
    model = fit_reading(patients, ("T2", "T1"), resamples=2)
    points = validation.choose_points(model, patients, known)
    chances = model.probabilities(np.array([score_of(model, one) for one in patients]))
    assert points[THREE] == best_point(known.reached[:, THREE], chances[:, THREE])
    found = validation.reading_figures(model, points, *cohort(70, 3))
    assert set(found) == {*(f"{t:g}" for t in THRESHOLDS_KPA), "stiffness"}
    assert found["3"]["point"] == pytest.approx(points[THREE], abs=1e-4)
    assert found["3"]["auc"]["value"] > 0.85
    covered, total = (int(text) for text in found["stiffness"]["interval_covers"].split(" of "))
    assert total == 70
    assert 60 <= covered <= 70
    assert 1.1 < found["stiffness"]["interval_width_ratio_median"] < 3.0


def test_masks_are_summed_up_over_the_cases_that_have_the_organ():
    empty = {"spleen_true_ml": 0.0, "spleen_ml": 3.0, "ascites_true_ml": 0.0, "ascites_ml": 0.0}
    rows = [
        {"liver_true_ml": 1000.0, "liver_ml": 950.0, "liver_dice": 0.96, "sequence_probability": 0.99, **empty},
        {"liver_true_ml": 1500.0, "liver_ml": 1530.0, "liver_dice": 0.9, "sequence_probability": 0.4, **empty},
    ]
    rows[1] |= {"spleen_true_ml": 200.0, "spleen_ml": 220.0, "spleen_dice": 0.8}
    found = validation.summarize_masks(rows)
    assert found["n"] == 2
    assert found["liver"]["n"] == 2
    assert found["liver"]["dice_mean"] == 0.93
    assert found["liver"]["dice_worst"] == 0.9
    assert found["liver"]["volume_error_percent_median_absolute"] == pytest.approx(3.5)
    assert found["spleen"]["n"] == 1
    assert found["spleen"]["volume_error_percent_median_absolute"] == pytest.approx(10.0)
    assert "ascites" not in found
    assert found["sequence_right"] == "1 of 2"
