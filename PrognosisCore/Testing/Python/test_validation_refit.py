"""Risk models fitted anew to a table of results: what they become, what they are worth, and what is refused."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from PrognosisLib.bundles.bundle import Bundle
from PrognosisLib.cohort import write_rows
from PrognosisLib.errors import InputError
from PrognosisLib.findings import SIMULATED
from PrognosisLib.risk import CoxModel, LogisticModel
from PrognosisLib.systems import SYSTEMS
from PrognosisLib.validation import refit_bundle as module
from PrognosisLib.validation import refitting
from PrognosisLib.validation.from_results import evaluate_results, simulated_columns
from PrognosisLib.validation.refit_bundle import refit_bundle
from PrognosisLib.validation.refitting import check_enough, fit_again, judge_inside, risk_by, teaching_of
from PrognosisLib.validation.section import Run, Section
from PrognosisLib.validation.table import Table
from SpleenVolumeLib.endpoints import STUDY
from SpleenVolumeLib.outcomes import group_curves
from SpleenVolumeLib.simulation import CLINICAL, simulate_cohort

SPLEEN = SYSTEMS["spleen"]
MODELS = {one.name: one for one in STUDY.models}
# A cohort in which the spleen's volume says much more than in the bundle's own.
STRONG = 2.0


def rows_of(count: int = 260, seed: int = 3) -> list[dict]:
    """As a batch's table with the cohort's outcomes: patients of no simulated cohort, as far as the program is told."""
    frame, rng = simulate_cohort(count, seed), np.random.default_rng(seed)
    pull = STRONG * (np.log(frame["spleen_volume_ml"]) - 6.2)
    frame["decompensated"] = (rng.random(count) < 1 / (1 + np.exp(0.5 - pull))).astype(int)
    return [
        {
            "case": f"c{n}",
            "patient": f"p{n}",
            "status": "done",
            "spleen_volume": row["spleen_volume_ml"],
            **{key: row[key] for key in (*CLINICAL, "survival_months", "died", "decompensated")},
            "site": "AB"[n % 2],
            "year": 2015 + n % 8,
        }
        for n, row in enumerate(frame.to_dict("records"))
    ]


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return SPLEEN.make_pipeline().bundle


def teaching(rows, bundle, name="decompensation"):
    return teaching_of(Table(rows), STUDY, MODELS[name], bundle, SPLEEN.clinical_fields)


@pytest.fixture(scope="module")
def refitted(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("refit")
    results = write_rows(folder / "results.csv", rows_of())
    held = ",".join(f"p{n}" for n in range(40))
    written = refit_bundle(
        SPLEEN, results, folder / "bundle", validation=held, repeats=4, command=["prognosis", "train"]
    )
    return folder, written


def test_the_bundle_is_whole_and_its_networks_are_the_old_ones(refitted, bundle):
    folder, written = refitted
    assert written[0] == folder / "bundle"
    made = Bundle.load(folder / "bundle", "spleen")
    same = [name for name in bundle.metadata["files"] if name.endswith((".onnx", ".safetensors"))]
    assert same
    assert all(made.metadata["files"][name] == bundle.metadata["files"][name] for name in same)
    assert made.is_part_simulated("risk") is False
    assert made.is_part_simulated("segmentation") == bundle.is_part_simulated("segmentation")
    assert made.identity["version"] == bundle.identity["version"] + "+refit"
    told = made.metadata["training"]["risk"]
    assert told["models"]["decompensation"]["n"] == 220
    assert len(told["results_sha256"]) == 64
    assert told["command"] == "prognosis train"
    assert made.metadata["training"]["training"] == bundle.metadata["training"]["training"]


def test_the_models_follow_the_new_patients(refitted, bundle):
    made = Bundle.load(refitted[0] / "bundle", "spleen")
    old, new = (LogisticModel.from_dict(one.json("decompensation")) for one in (bundle, made))
    assert [one.name for one in new.predictors] == [one.name for one in old.predictors]
    place = [one.name for one in new.predictors].index("log_spleen_volume")
    assert new.coefficients[place] > old.coefficients[place] + 0.5
    assert new.cohort == {"name": "own cohort", "simulated": False}
    assert not new.simulated
    assert new.performance["test_n"] == 40
    assert 0.6 < new.performance["auc"]["value"] <= 1
    inside = new.performance["inside"]
    assert {"10-fold", "temporal", "leave-one-site-out"} <= set(inside)
    assert inside["optimism_corrected"] < 1
    survival = CoxModel.from_dict(made.json("survival"))
    assert (survival.n, survival.time_unit) == (220, "months")
    assert survival.times[-1] > 24


def test_the_groups_are_those_of_the_new_patients(refitted):
    made = Bundle.load(refitted[0] / "bundle", "spleen")
    groups = made.json("groups")
    assert len(groups["died"]) == 220
    assert groups["cohort"]["simulated"] is False
    curves = group_curves(500.0, groups)
    assert curves["high"].n + curves["low"].n == 220


def test_rows_of_results_no_longer_say_simulated(refitted, bundle):
    from SpleenVolumeLib.outlook import risk_rows, survival_curves

    clinical = {"bilirubin": 20.0, "albumin": 38.0, "age": 66.0}
    told = {}
    for name, one in (("old", bundle), ("new", Bundle.load(refitted[0] / "bundle", "spleen"))):
        models = {key: one.json(key) for key in ("survival", "decompensation", "groups")}
        rows = risk_rows(400.0, None, clinical, models)
        curves = survival_curves(400.0, clinical, {"cutoff_mL": 500.0}, models)
        told[name] = {row.simulated for row in rows} | {curve.simulated for curve in curves}
        assert all((SIMULATED in f"{row.method} {row.note}") == (name == "old") for row in rows)
    assert told == {"old": {True}, "new": {False}}


def test_the_report_and_the_card_tell_what_they_are_worth(refitted):
    folder, written = refitted
    names = {path.name for path in written[1:]}
    assert {"statistics.csv", "summary.json", "validation.html"} <= names
    summary = json.loads((folder / "bundle-validation" / "summary.json").read_text(encoding="utf-8"))
    figures = summary["endpoints"]["decompensation"]["figures"]
    told = {(one["figure"], one["score"].rpartition(": ")[2]) for one in figures}
    for protocol in ("10-fold", "temporal", "leave-one-site-out", "held out"):
        assert ("auc", protocol) in told
    assert {"apparent", "optimism", "corrected"} <= {one["figure"] for one in figures}
    assert "corrected for optimism by 4 bootstrap samples" in summary["methods"]
    card = (folder / "bundle" / "docs" / "README.md").read_text(encoding="utf-8")
    assert card.startswith("# Risk models fitted anew to the user's own cohort")
    assert "| decompensation | 220 |" in card
    assert "not for clinical use" in card


def test_a_simulated_table_keeps_the_label(tmp_path):
    rows = [{**row, "simulated": "yes"} for row in rows_of(220)]
    results = write_rows(tmp_path / "results.csv", rows)
    refit_bundle(SPLEEN, results, tmp_path / "bundle", repeats=2)
    made = Bundle.load(tmp_path / "bundle", "spleen")
    assert made.is_part_simulated("risk")
    assert LogisticModel.from_dict(made.json("decompensation")).simulated
    assert made.card.startswith(f"# Risk models fitted anew to a {SIMULATED}")


# --- refused and warned -----------------------------------------------------------------------------------------------


def test_too_few_events_are_refused_with_the_number(bundle):
    rows = rows_of(60)
    for n, row in enumerate(rows):
        row["decompensated"] = int(n < 23)
    with pytest.raises(InputError, match=r"23 events are too few for the 7 predictors .* they bear 4 at 5 events each"):
        check_enough(teaching(rows, bundle))
    for n, row in enumerate(rows):
        row["decompensated"] = int(n >= 23)
    with pytest.raises(InputError, match="23 events are too few"):
        check_enough(teaching(rows, bundle))


def test_hardly_enough_events_are_warned_of(bundle):
    rows = rows_of(200)
    for n, row in enumerate(rows):
        row["decompensated"] = int(n < 42)
    (warning,) = check_enough(teaching(rows, bundle))
    assert "42 events for 7 predictors are 6.0 for each" in warning
    for n, row in enumerate(rows):
        row["decompensated"] = int(n < 90)
    assert check_enough(teaching(rows, bundle)) == []


@pytest.mark.parametrize(("value", "words"), [(0, "have not the event"), (1, "have the event")])
def test_one_class_only_is_refused(bundle, value, words):
    with pytest.raises(InputError, match=f"All 60 patients {words}"):
        check_enough(teaching([{**row, "decompensated": value} for row in rows_of(60)], bundle))


def test_a_patient_on_both_sides_is_refused(tmp_path):
    rows = rows_of(80)
    rows[1] = {**rows[1], "patient": "p0"}
    rows = [{**row, "split": "train" if n % 2 else "test"} for n, row in enumerate(rows)]
    with pytest.raises(InputError, match="1 patient has rows on more than one side of the split"):
        refit_bundle(SPLEEN, write_rows(tmp_path / "r.csv", rows), tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_the_split_of_a_table_is_kept():
    rows = [{**row, "split": "train" if n < 50 else "test"} for n, row in enumerate(rows_of(60))]
    held = module._held_out(Table(rows), "p3, p4")
    assert held.sum() == 12
    assert held[[3, 4, 50, 59]].all()
    with pytest.raises(InputError, match="'p99' is not in the results"):
        module._held_out(Table(rows), "p99")
    with pytest.raises(InputError, match="Every patient is held out"):
        module._held_out(Table([{**row, "split": "test"} for row in rows]), "")


def test_what_is_missing_is_told_and_does_not_teach(bundle):
    rows = rows_of(60)
    rows[0]["albumin"] = ""
    rows[1]["spleen_volume"] = None
    rows[2]["decompensated"] = "NA"
    rows[4]["patient"] = "p3"
    found = teaching(rows, bundle)
    assert found.rows.tolist() == [n for n in range(60) if n not in (0, 1, 2, 4)]
    assert found.warnings[0].startswith("57 of 60 cases are complete and teach; without a value: ")
    assert "albi 2" in found.warnings[0]  # without a volume nothing is known
    assert found.warnings[1] == "1 further cases of the same patients were left out; the first counts."
    with pytest.raises(InputError, match="no column 'decompensated'"):
        teaching([{k: v for k, v in row.items() if k != "decompensated"} for row in rows], bundle)
    unfit = teaching([{**row, "albumin": 900} if n == 5 else row for n, row in enumerate(rows)], bundle)
    assert unfit.warnings[0].startswith("1 cases have unfit values and do not teach (first: Case 'c5': albumin 900 g/L")
    assert 5 not in unfit.rows


def test_failed_and_rejected_cases_do_not_teach():
    rows = rows_of(5)
    rows[0]["status"], rows[1]["review"] = "failed", "rejected"
    assert [row["case"] for row in module._usable(rows)] == ["c2", "c3", "c4"]
    with pytest.raises(InputError, match="Every case of the results failed or was rejected"):
        module._usable(rows[:2])


def test_a_system_without_such_a_model_says_so(tmp_path):
    results = write_rows(tmp_path / "r.csv", rows_of(5))
    with pytest.raises(InputError, match="LiverStiffness has no risk model that a table of results can teach"):
        refit_bundle(SYSTEMS["stiffness"], results, tmp_path / "bundle")


# --- nobody is judged by a model that saw them ------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:The design matrix is rank-deficient")
def test_a_model_that_remembers_is_no_better_on_others(bundle, monkeypatch):
    """A stand-in that knows the outcome of everyone it was fitted to gives away any leak of the protocols."""
    rows = rows_of(120)
    found = teaching(rows, bundle)

    def keys(frame):
        return list(zip(frame["log_spleen_volume"], frame["albi"], strict=True))

    assert len(set(keys(found.frame))) == 120
    monkeypatch.setattr(
        refitting, "fit_again", lambda part, *_: dict(zip(keys(part.frame), part.frame["outcome"], strict=True))
    )
    monkeypatch.setattr(refitting, "risk_by", lambda m, frame: np.array([m.get(key, 0.5) for key in keys(frame)]))
    section = Section(STUDY.endpoint("decompensation"), Run(repeats=3))
    facts = judge_inside(section, found, Table(rows), Run(repeats=3))
    protocols = {name: one["auc"]["value"] for name, one in facts.items() if isinstance(one, dict)}
    assert [name.rpartition("-")[2] for name in protocols] == ["fold", "temporal", "out"]
    assert set(protocols.values()) == {0.5}
    assert next(row for row in section.rows if row.figure == "apparent").value == 1.0


def test_the_fit_is_that_of_statsmodels(bundle):
    import statsmodels.api as sm

    found = teaching(rows_of(), bundle)
    model = fit_again(found, {"name": "own", "simulated": False}, {})
    names = [one.name for one in model.predictors]
    x, y = found.frame[names].to_numpy(), found.frame["outcome"].to_numpy()
    direct = sm.GLM(y, sm.add_constant(x), family=sm.families.Binomial()).fit()
    np.testing.assert_allclose(model.coefficients, direct.params[1:], rtol=1e-4)
    np.testing.assert_allclose(risk_by(model, found.frame), direct.fittedvalues, rtol=1e-4)


# --- a table judged without images ------------------------------------------------------------------------------------


def test_a_batchs_table_is_judged_with_its_cohort(tmp_path, bundle):
    rows = rows_of(80)
    told = ("survival_months", "died", "decompensated", "age", "sex", "site", "year")
    batch = [{k: v for k, v in row.items() if k not in told} for row in rows]
    for row, full in zip(batch, rows, strict=True):
        row |= {"decompensation_risk": 100 / (1 + np.exp(6 - np.log(full["spleen_volume"]))), "albi": full["bilirubin"]}
        row["simulated_cohort"] = "decompensation_risk; survival_12_months"
    results = write_rows(tmp_path / "results.csv", batch)
    cohort = write_rows(tmp_path / "cohort.csv", [{k: row[k] for k in ("case", *told)} for row in rows])
    written = evaluate_results(SPLEEN, results, tmp_path / "out", cohort)
    stats = list(csv.DictReader(written[1].open(newline="", encoding="utf-8")))
    areas = {row["score"]: row for row in stats if row["figure"] == "auc" and row["patients"] == "all"}
    assert int(areas["Logistic model"]["n"]) == 80
    assert SIMULATED in areas["Logistic model"]["note"]
    assert SIMULATED not in areas["ALBI"]["note"]
    assert any(row["patients"] == "Sex: male" for row in stats)
    summary = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    assert summary["bundle"] == {}  # the table does not say which


def test_columns_of_simulated_models_are_read_from_the_table():
    rows = [{"simulated_cohort": "a; b"}, {"simulated_cohort": "b"}, {"simulated_cohort": None}, {}]
    assert simulated_columns(rows) == {"a", "b"}


def test_every_refitted_file_of_a_study_is_one_of_its_bundle():
    for system in ("spleen", "ich"):
        study = SYSTEMS[system].library("endpoints").STUDY
        bundle = SYSTEMS[system].make_pipeline().bundle
        for one in study.models:
            assert f"models/{one.name}.json" in bundle.metadata["files"]
            assert study.endpoint(one.endpoint)
