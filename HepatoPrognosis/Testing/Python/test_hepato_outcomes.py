"""From a cohort to the three models and their figures: the table, the fit, the published comparison."""

from __future__ import annotations

import json
from functools import cache

import numpy as np
import pandas
import pytest
from hepato_cases import CANDIDATES_KEPT, COHORT, read, readout, training
from lifelines import CoxPHFitter

from HepatoPrognosisLib.labels import GROUPS, MODELS, VARIANTS
from HepatoPrognosisLib.learning.fitting import fit_readout, incidence, mortality_of, predictions, with_figures
from HepatoPrognosisLib.learning.outcomes_table import (
    SCORES,
    as_log_hazard,
    draw_table,
    table_of_columns,
    table_of_rows,
    with_readings,
)
from HepatoPrognosisLib.learning.validation import PAIRS, evaluate, followed, performance_of
from HepatoPrognosisLib.measuring.outlook import Patient, figures_note
from HepatoPrognosisLib.measuring.readout import HepatoReadout
from HepatoPrognosisLib.predictors import CANDIDATES, clinical_predictors
from HepatoPrognosisLib.simulation.causes import CLINICAL, draw_cohort, draw_patient, draw_seeds
from HepatoPrognosisLib.simulation.oracle import KNOWN
from PrognosisLib.errors import BundleError, InputError
from PrognosisLib.risk import CoxModel, readable_json

TEST_N = 400


@cache
def unseen() -> pandas.DataFrame:
    return read(draw_table(TEST_N, 99), 2)


@cache
def figures() -> dict:
    return evaluate(readout(), unseen(), repeats=60)


# --- the table --------------------------------------------------------------------------------------------------------


def test_the_table_has_predictors_scores_outcome_and_oracles_of_each_patient():
    columns = draw_cohort(12, 5)
    table = table_of_columns(columns, [f"p{row}" for row in range(12)])
    assert list(table["patient"]) == [f"p{row}" for row in range(12)]
    for row in range(12):
        clinical = {key: columns[key][row].item() for key in CLINICAL}
        assert table.loc[row, list(clinical_predictors(clinical))].to_dict() == clinical_predictors(clinical)
    assert table[[one.name for one in CANDIDATES]].notna().all(axis=None)
    assert table[[f"score_{score.key}" for score in SCORES]].notna().all(axis=None)
    assert (table["days"] == columns["days"]).all()
    for name in KNOWN:
        assert table[f"oracle_{name}"].between(0, 1).all()
    pandas.testing.assert_frame_equal(draw_table(12, 5).drop(columns="patient"), table.drop(columns="patient"))


def test_patients_of_seeds_are_those_that_are_drawn_one_by_one():
    columns = draw_seeds([4, 9])
    assert columns["days"].tolist() == [draw_patient(4).days, draw_patient(9).days]
    assert columns["t1_portal_mm"][1] == draw_patient(9).second.portal_mm


def test_a_cohort_file_gives_the_same_table():
    columns = draw_cohort(6, 8)
    rows = [
        {"case": f"c{row}", **{name: str(columns[name][row]) for name in (*CLINICAL, "days", "status")}}
        for row in range(6)
    ]
    again, direct = table_of_rows(rows), table_of_columns(columns, [f"c{row}" for row in range(6)], oracles=False)
    pandas.testing.assert_frame_equal(again, direct, check_exact=False, rtol=1e-9)
    rows[2] |= {"lactate": "", "inr": " "}
    gaps = table_of_rows(rows)
    assert gaps.isna().sum()[["log_lactate", "log_inr"]].tolist() == [1, 1]
    assert np.isnan(gaps.loc[2, "score_meld"])
    assert np.isfinite(gaps.loc[2, "score_albi"])


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"status": "3"}, "Case 'c0': status is '3'; give 0"),
        ({"status": ""}, "status is ''"),
        ({"days": "4"}, "days is '4'; give the days from T0, more than 5"),
        ({"days": "soon"}, "days is 'soon'"),
        ({"inr": "80"}, "Case 'c0': inr 80"),
        ({"lactate": "high"}, "Case 'c0': lactate must be a number"),
        ({"ascites": "much"}, "Case 'c0': ascites must be"),
        ({"vasopressors": "perhaps"}, "Case 'c0': vasopressors must be"),
    ],
)
def test_wrong_cells_are_refused_with_their_case(changed, sentence):
    columns = draw_cohort(1, 8)
    row = {"case": "c0", **{name: str(columns[name][0]) for name in (*CLINICAL, "days", "status")}}
    with pytest.raises(InputError) as error:
        table_of_rows([row | changed])
    assert sentence in str(error.value)


def test_patients_followed_longer_are_censored_on_day_90():
    columns = draw_cohort(1, 8)
    row = {"case": "c0", **{name: str(columns[name][0]) for name in CLINICAL}}
    table = table_of_rows([{**row, "days": "120", "status": "1"}, {**row, "days": "90", "status": "1"}])
    assert table["days"].tolist() == [90.0, 90.0]
    assert table["status"].tolist() == [0, 1]


def test_readings_must_be_as_many_as_patients():
    table = draw_table(5, 1, oracles=False)
    with pytest.raises(InputError, match="5 patients need as many"):
        with_readings(table, np.zeros(4), np.zeros(5))
    without = with_readings(table, np.arange(5.0), None)
    assert without["siamese_change"].isna().all()
    assert as_log_hazard(np.array([1 - np.exp(-1)])) == pytest.approx(0.0)


# --- the fit ----------------------------------------------------------------------------------------------------------


def test_the_clinical_predictors_are_chosen_by_the_rule():
    model = readout().models["clinical"]
    names = [one.name for one in model.predictors]
    assert set(names) <= set(CANDIDATES_KEPT)
    assert len(names) >= 3
    assert "log_lactate" in names
    selection = model.provenance["selection"]
    assert "forward selection" in selection["rule"]
    assert list(selection["p"]) == names
    assert all(p < 0.05 for p in selection["p"].values())
    assert [one.name for one in readout().models["combined"].predictors] == ["siamese_t0", "siamese_change", *names]


def test_the_models_are_lifelines_own():
    table = training().assign(died=lambda rows: (rows["status"] == 1).astype(int))
    for model in readout().models.values():
        names = [one.name for one in model.predictors]
        fitted = CoxPHFitter().fit(table[[*names, "days", "died"]], "days", "died")
        assert model.coefficients == pytest.approx(fitted.params_.to_numpy(), rel=1e-5)
        rows = table[names].head(40)
        expected = 1 - fitted.predict_survival_function(rows, [30.0]).to_numpy()[0]
        assert mortality_of(model, rows) == pytest.approx(expected, abs=0.01)


def test_readings_raise_the_hazard_and_the_network_is_not_looked_at_in_the_selection():
    for name in ("siamese", "combined"):
        model = readout().models[name]
        effects = dict(zip([one.name for one in model.predictors], model.coefficients, strict=True))
        assert effects["siamese_t0"] > 0
        assert effects["siamese_change"] > 0
    other = fit_readout(read(training(), 77, noise=4.0), COHORT)
    assert other.models["clinical"].predictors == readout().models["clinical"].predictors


def test_a_t0_reading_alone_gives_the_mean_over_what_t1_may_show():
    """Calibrated without T1: the mean prediction of the training patients stays, with less spread."""
    found = predictions(readout().models, training())
    assert set(found) == set(VARIANTS)
    for name in ("siamese", "combined"):
        assert found[f"{name}_t0"].mean() == pytest.approx(found[name].mean(), abs=0.04)
        assert found[f"{name}_t0"].std() < 0.8 * found[name].std()


def test_groups_are_thirds_whose_mortality_rises():
    for variant in VARIANTS:
        groups = [readout().groups[variant][name] for name in GROUPS]
        assert sum(one.n for one in groups) == len(training())
        assert max(one.n for one in groups) - min(one.n for one in groups) <= 2
        assert readout().cuts[variant][0] < readout().cuts[variant][1]
        for days in (15, 30, 90):
            dead = [1 - one.survival.value[days] for one in groups]
            assert dead == sorted(dead), (variant, days)
        for one in groups:
            for band in (one.survival, one.died, one.transplanted):
                assert (band.lower <= band.value + 1e-12).all()
                assert (band.value <= band.upper + 1e-12).all()
            # What competes with death takes some of it away.
            assert (one.died.value <= 1 - one.survival.value + 1e-3).all()
            assert (one.died.value + one.transplanted.value <= 1 + 1e-9).all()


def test_incidence_of_a_cohort_counted_by_hand():
    """Ten patients: deaths on days 10 and 20, a transplant on day 15, nobody lost before day 90."""
    days = np.array([10.0, 15.0, 20.0, *[90.0] * 7])
    status = np.array([1, 2, 1, *[0] * 7])
    died, moved = incidence(days, status, 1), incidence(days, status, 2)
    assert died.value[[9, 10, 19, 20, 90]] == pytest.approx([0, 0.1, 0.1, 0.2, 0.2])
    assert moved.value[[14, 15, 90]] == pytest.approx([0, 0.1, 0.1])
    assert died.lower[90] < 0.2 < died.upper[90]
    assert (incidence(days, np.zeros(10, int), 1).value == 0).all()


def test_it_is_deterministic_and_survives_the_way_through_a_file():
    again = fit_readout(training(), COHORT, {"seed": 7})
    text = readable_json(again.to_dict())
    assert text == readable_json(readout().to_dict())
    assert len(text) < 500_000
    stored = HepatoReadout.from_dict(json.loads(text), simulated=True)
    assert readable_json(stored.to_dict()) == text
    assert isinstance(stored.models["combined"], CoxModel)
    for one in (stored, readout()):
        assert predictions(one.models, unseen())["combined"] == pytest.approx(
            predictions(readout().models, unseen())["combined"], abs=1e-6
        )


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.pop("format"),
        lambda content: content["models"].pop("combined"),
        lambda content: content["models"]["combined"].pop("baseline"),
        lambda content: content["ranges"].pop("siamese_t0"),
        lambda content: content["ranges"].update(siamese_t0=[2.0, 1.0]),
        lambda content: content["cuts"].update(clinical=[0.6, 0.2]),
        lambda content: content["cuts"].pop("combined_t0"),
        lambda content: content["groups"]["siamese"].pop("high"),
        lambda content: content["groups"]["siamese"]["high"]["died"].update(value=[0.1]),
        lambda content: content["groups"]["siamese"]["high"]["died"]["upper"].__setitem__(3, 1.5),
        lambda content: content["days"].pop(),
    ],
)
def test_a_damaged_readout_is_refused(change):
    content = json.loads(readable_json(readout().to_dict()))
    change(content)
    with pytest.raises(BundleError, match=r"install (the|its) bundle again"):
        HepatoReadout.from_dict(content, simulated=True)


def test_a_cohort_that_cannot_be_fitted_is_refused():
    with pytest.raises(InputError, match="events are too few"):
        fit_readout(training().head(30), COHORT)
    with pytest.raises(InputError, match="no patient of the cohort has both readings"):
        fit_readout(with_readings(training(), np.zeros(len(training())), None), COHORT)


def test_patients_with_gaps_are_left_out_and_counted():
    gaps = training().copy()
    gaps.loc[gaps.index[:20], "age"] = np.nan
    fitted = fit_readout(gaps, COHORT)
    assert fitted.models["clinical"].n == len(training()) - 20
    assert fitted.models["clinical"].provenance["left_out"] == 20


# --- the figures ------------------------------------------------------------------------------------------------------


def test_the_published_order_of_the_models():
    found = figures()["models"]
    c = {name: found[name]["c_index"]["value"] for name in VARIANTS}
    assert c["siamese_t0"] < c["clinical"] < c["siamese"] <= c["combined"]
    tests = figures()["comparisons"]
    assert list(tests) == [f"{first} against {second}" for first, second in PAIRS]
    assert tests["combined against clinical"]["c_index"]["p"] < 0.01
    assert tests["combined against clinical"]["auc_30"]["p"] < 0.01
    assert tests["siamese against clinical"]["c_index"]["difference"] == pytest.approx(
        c["siamese"] - c["clinical"], abs=1e-3
    )


def test_no_model_is_better_than_the_oracle_and_readings_near_it_reach_most_of_it():
    for name in VARIANTS:
        found = figures()["models"][name]
        for key in ("c_index", "auc_30"):
            assert found[key]["lower"] < found[key]["value"] < found[key]["upper"]
            assert found[key]["value"] < found[f"{key}_oracle"]["value"] + 0.02, name
            share = (found[key]["value"] - 0.5) / (found[f"{key}_oracle"]["value"] - 0.5)
            assert found[f"{key}_share_of_oracle"] == pytest.approx(share, abs=1e-3)
    assert figures()["models"]["siamese"]["c_index_share_of_oracle"] > 0.85


def test_worse_readings_are_told():
    worse = evaluate(readout(), read(draw_table(TEST_N, 99), 2, noise=6.0), repeats=5)["models"]
    assert worse["siamese"]["c_index"]["value"] < figures()["models"]["siamese"]["c_index"]["value"] - 0.05
    assert worse["siamese"]["c_index_share_of_oracle"] < 0.8
    assert worse["clinical"]["c_index"]["value"] == figures()["models"]["clinical"]["c_index"]["value"]
    assert worse["siamese"]["calibration_slope"]["value"] < 0.7


def test_calibration_curve_and_decision_curve():
    for name in VARIANTS:
        found = figures()["models"][name]
        assert 0.4 < found["calibration_slope"]["value"] < 1.9
        assert abs(found["calibration_intercept"]["value"]) < 0.5
        assert 0.75 < found["survival_observed_to_expected"]["value"] < 1.3
        expected = [one["expected"] for one in found["calibration_curve"]]
        assert expected == sorted(expected)
        assert sum(one["n"] for one in found["calibration_curve"]) == TEST_N
        curve = found["decision_curve"]
        assert len(curve["thresholds"]) == len(curve["model"]) == len(curve["treat_all"])
    gain = {name: np.array(figures()["models"][name]["decision_curve"]["model"])[[3, 7, 9]].sum() for name in VARIANTS}
    assert gain["combined"] > gain["clinical"] > 0
    assert figures()["models"]["combined"]["brier_30"] < figures()["models"]["clinical"]["brier_30"]


def test_risk_groups_part_the_test_patients():
    for name in MODELS:
        groups = figures()["models"][name]["risk_groups"]
        assert sum(groups[group]["n"] for group in GROUPS) == TEST_N
        deaths = [groups[group]["mortality_30"]["value"] for group in GROUPS]
        assert deaths == sorted(deaths)
        assert groups["log_rank"]["p"] < 1e-4
    chi2 = {name: figures()["models"][name]["risk_groups"]["log_rank"]["chi2"] for name in MODELS}
    assert chi2["combined"] > chi2["clinical"]


def test_the_fields_scores_stand_beside_them():
    scores = figures()["scores"]
    assert set(scores) == {score.key for score in SCORES}
    assert all(one["n"] == TEST_N for one in scores.values())
    assert 0.6 < scores["meld"]["c_index"]["value"] < scores["cossh_aclf_ii"]["c_index"]["value"] < 0.8


def test_who_is_counted():
    cohort, table = figures()["cohort"], unseen()
    assert cohort["n"] == TEST_N
    assert cohort["deaths"] == (table["status"] == 1).sum()
    assert cohort["transplanted"] == (table["status"] == 2).sum()
    lost = cohort["transplanted_before_30"] + cohort["lost_before_30"]
    assert cohort["known_30"] == TEST_N - lost
    assert 0.30 < cohort["deaths_30"] / TEST_N < 0.42
    assert json.loads(json.dumps(figures(), allow_nan=False)) == figures()


def test_too_few_deaths_are_refused():
    living = unseen().assign(status=0)
    with pytest.raises(InputError, match="0 patients died within 30 days"):
        followed(living)


def test_the_bundle_keeps_what_a_row_says():
    kept = with_figures(readout(), performance_of(figures()))
    for name, model in kept.models.items():
        assert model.performance["c_index"] == figures()["models"][name]["c_index"]
        note = figures_note(model)
        assert f"C-index {model.performance['c_index']['value']:.2f}, best possible" in note
        assert f"in {TEST_N} simulated patients" in note
    assert figures_note(readout().models["siamese"]) == ""
    again = HepatoReadout.from_dict(json.loads(readable_json(kept.to_dict())), simulated=True)
    assert again.models["combined"].performance == kept.models["combined"].performance


def test_patients_of_measuring_and_of_the_table_are_alike():
    """The row of a table and the values of one patient give the same prediction."""
    columns = draw_cohort(3, 21)
    table = with_readings(table_of_columns(columns, ["a", "b", "c"]), [0.1, -1.0, 0.5], [1.1, -2.0, 0.0])
    model = readout().models["combined"]
    for row, chance in enumerate(mortality_of(model, table)):
        clinical = {key: columns[key][row].item() for key in CLINICAL}
        siamese = {name: float(table.loc[row, name]) for name in ("siamese_t0", "siamese_change")}
        values = Patient(clinical_predictors(clinical), siamese).values_for(model)
        assert 1 - model.predict_survival(values, [30.0])[0][0] == pytest.approx(chance)
