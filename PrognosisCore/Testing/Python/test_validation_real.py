"""Statistics and reports on the public cohorts in ../shared/data: real missing values, ties, censoring and codes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas
import pytest

from PrognosisLib import scores
from PrognosisLib.evaluation.cutoff import best_survival_cutoff
from PrognosisLib.evaluation.discrimination import auc, compare_auc
from PrognosisLib.evaluation.reclassification import integrated_discrimination, net_reclassification
from PrognosisLib.evaluation.survival import c_index, hazard_ratio, log_rank
from PrognosisLib.risk import Predictor
from PrognosisLib.risk.fitting import fit_cox, fit_logistic
from PrognosisLib.validation import BINARY, SURVIVAL, Endpoint, Score, Study, Subgroup
from PrognosisLib.validation.report import Subject, run_of, write_validation

COHORTS = Path(__file__).resolve().parents[4] / "shared/data/cohorts"
pytestmark = pytest.mark.real
OWN = {"name": "public cohort", "simulated": False}


def read(name: str, **more) -> pandas.DataFrame:
    if not (COHORTS / name).exists():
        pytest.skip(f"the cohort {name} is not in ../shared/data")
    return pandas.read_csv(COHORTS / name, **more)


@pytest.fixture(scope="module")
def pbc():
    """One row a patient of the Mayo cohort, the first visit; the event is death."""
    first = read("pbc2.csv").sort_values(["id", "year"]).groupby("id", as_index=False).first()
    first["albi"] = [
        scores.albi(bilirubin_umol_per_l=17.1 * b, albumin_g_per_l=10 * a)
        for b, a in zip(first.serBilir, first.albumin, strict=True)
    ]
    return first


def test_albi_in_primary_biliary_cholangitis(pbc):
    from lifelines import CoxPHFitter
    from lifelines.utils import concordance_index

    assert (len(pbc), int(pbc.status2.sum())) == (312, 140)
    found = c_index(pbc.years, pbc.status2, pbc.albi, repeats=100)
    assert found.value == pytest.approx(concordance_index(pbc.years, -pbc.albi, pbc.status2))
    assert 0.7 < found.lower < found.value < found.upper < 0.9
    direct = CoxPHFitter().fit(pbc[["years", "status2", "albi"]], "years", "status2")
    assert hazard_ratio(pbc.years, pbc.status2, pbc.albi).value == pytest.approx(np.exp(direct.params_["albi"]))
    predictors = (Predictor("albi", "ALBI"), Predictor("age", "Age", "years"))
    model = fit_cox(pbc, "years", "status2", predictors, name="pbc", outcome="death", cohort=OWN, time_unit="years")
    both = CoxPHFitter().fit(pbc[["years", "status2", "albi", "age"]], "years", "status2")
    np.testing.assert_allclose(model.coefficients, both.params_[["albi", "age"]], rtol=1e-6)


def test_the_best_cutoff_of_albi_survives_its_correction(pbc):
    found = best_survival_cutoff(pbc.years, pbc.status2, pbc.albi, permutations=500)
    assert found.p == pytest.approx(1 / 501)
    best = log_rank(pbc.years, pbc.status2, pbc.albi > found.cutoff)[0]
    cuts = pbc.albi.quantile(np.arange(0.15, 0.9, 0.1))
    others = [log_rank(pbc.years, pbc.status2, pbc.albi > cut)[0] for cut in cuts]
    assert best > 0.75 * max(others)
    assert best > 2 * min(others)
    rng = np.random.default_rng(0)
    shuffled = best_survival_cutoff(pbc.years, pbc.status2, rng.permutation(pbc.albi), permutations=500)
    assert shuffled.p > 0.05 or shuffled.p_uncorrected < shuffled.p


def test_markers_of_subarachnoid_hemorrhage():
    asah = read("asah.csv")
    y = (asah.outcome == "Poor").to_numpy().astype(int)
    asah["poor"] = y
    one = (Predictor("s100b", "S100b"), Predictor("age", "Age"))
    two = (*one, Predictor("wfns", "WFNS"))
    fits = [fit_logistic(asah, "poor", p, name="m", outcome="poor", cohort=OWN) for p in (one, two)]
    old, new = (
        1 / (1 + np.exp(-(m.intercept + (asah[[p.name for p in m.predictors]].to_numpy() - m.means) @ m.coefficients)))
        for m in fits
    )
    assert auc(y, new).value > auc(y, old).value
    assert compare_auc(y, new, old).z > 1
    gain = integrated_discrimination(y, old, new)
    assert gain.difference == pytest.approx(
        (new[y == 1].mean() - new[y == 0].mean()) - (old[y == 1].mean() - old[y == 0].mean())
    )
    assert net_reclassification(y, old, new).total.difference > 0


def test_a_report_on_hcc_before_tace(tmp_path):
    frame = read("hcc_tace_seg_clinical.csv", encoding="utf-8-sig")
    rows = [
        {
            "case": row["TCIA_ID"],
            "patient": row["TCIA_ID"],
            "months": row["OS"] / 4.345,
            "died": row["Death_1_StillAliveorLostToFU_0"],
            "tumor_size": row["Tr_Size"],
            "afp": row["AFP"],
            "sex": row["Sex"],
            "age": row["age"],
        }
        for row in frame.to_dict("records")
        if isinstance(row["TCIA_ID"], str)
    ]
    death = Endpoint(
        "survival",
        "Survival after TACE",
        SURVIVAL,
        (Score("tumor_size", "Largest tumor", "cm", point=7.0, source="HAP"), Score("afp", "AFP", "ng/mL")),
        outcome="died",
        time="months",
        subgroups=(Subgroup("sex", "Sex"), Subgroup("age", "Age", (65.0,), "years")),
    )
    subject = Subject()
    write_validation(
        tmp_path / "out", Study("hcc", "HCC before TACE", (death,)), rows, subject, run=run_of(subject, repeats=50)
    )
    summary = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    figures = summary["endpoints"]["survival"]["figures"]
    size = next(row for row in figures if row["figure"] == "c_index" and row["score"] == "Largest tumor")
    afp = next(row for row in figures if row["figure"] == "c_index" and row["score"] == "AFP")
    assert (size["n"], afp["n"]) == (53, 105)  # half of the patients have no size
    assert 0.45 < size["value"] < 0.75
    assert {row["figure"] for row in figures} >= {"log_rank", "hazard_ratio", "median_survival", "best_cutoff"}


def test_a_report_on_one_year_survival_in_hcc(tmp_path):
    frame = read("hcc_survival_uci.csv", na_values="?")
    rows = [
        {"case": f"h{n}", "patient": f"h{n}", "died": 1 - int(row["survivalTarget"]), **row}
        for n, row in enumerate(frame.to_dict("records"))
    ]
    for row in rows:
        if np.isfinite(row["Total_Bil"]) and np.isfinite(row["Albumin"]) and row["Albumin"] < 10:
            row["albi"] = scores.albi(bilirubin_umol_per_l=17.1 * row["Total_Bil"], albumin_g_per_l=10 * row["Albumin"])
    year = Endpoint(
        "year",
        "Death within a year",
        BINARY,
        (Score("albi", "ALBI"), Score("AFP", "AFP", "ng/mL"), Score("Hemoglobin", "Hemoglobin", "g/dL", falls=True)),
        outcome="died",
    )
    subject = Subject()
    write_validation(tmp_path / "out", Study("hcc", "HCC", (year,)), rows, subject, run=run_of(subject, repeats=50))
    figures = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))["endpoints"]["year"][
        "figures"
    ]
    areas = {row["score"]: row for row in figures if row["figure"] == "auc"}
    assert areas["ALBI"]["n"] < 165  # the cohort lacks values
    assert areas["ALBI"]["events"] < 63
    assert all(areas[name]["lower"] > 0.5 for name in ("ALBI", "Hemoglobin"))


def test_visits_of_one_patient_never_part():
    from PrognosisLib.evaluation.protocols import k_fold, teachers_of

    visits = read("hcc_longitudinal.csv")
    patients = visits.pid.astype(str).to_numpy()
    folds = k_fold(patients, 10)
    assert len(np.unique(patients)) < len(patients) / 2
    for fold in range(10):
        assert not set(patients[folds == fold]) & set(patients[teachers_of(folds, patients, fold)])
