"""A bundle on a cohort: endpoints, rows, the three models' table; simulated patients on disk; the demo case."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

import hepato_images
from hepato_cases import CLINICAL, readout
from hepato_images import liver_area, pair, write_hepato_bundle

from HepatoPrognosisLib import demo, workbench
from HepatoPrognosisLib.endpoints import BESIDE, MORTALITY, STUDY
from HepatoPrognosisLib.labels import MODELS
from HepatoPrognosisLib.learning.evaluating import SCORES, paper_figures
from HepatoPrognosisLib.measuring.measurements import measure_pair
from HepatoPrognosisLib.settings import HepatoSettings
from HepatoPrognosisLib.simulation.causes import CLINICAL as CLINICAL_KEYS
from HepatoPrognosisLib.simulation.causes import draw_cohort, draw_patient
from HepatoPrognosisLib.simulation.cohort import FIRST_SEED, truth_of
from HepatoPrognosisLib.simulation.oracle import KNOWN, expected_mortality
from PrognosisLib.cohort import CohortCase, read_cohort, write_rows
from PrognosisLib.images.cine.reading import read_cine
from PrognosisLib.images.cine.screen import find_screen
from PrognosisLib.images.cine.writing import write_dicom
from PrognosisLib.images.readers import read_volume
from PrognosisLib.images.writers import write_volume
from PrognosisLib.systems import SYSTEMS
from PrognosisLib.volume import Volume

CASES = 4


# --- the study --------------------------------------------------------------------------------------------------------


def test_scores_are_rows_of_a_run():
    """What is judged has the keys of what a run gives."""
    found = measure_pair({}, CLINICAL, readout(), HepatoSettings(), {"t0": 1, "t1": 1})
    keys = {one.key for one in found.measurements}
    assert {score.column for score in BESIDE} | set(MORTALITY) <= keys
    assert [column.removesuffix("_mortality") for column in MORTALITY] == ["combined", "siamese", "clinical"]
    survival = STUDY.endpoint("survival")
    assert {score.column for score in survival.scores if score.best_possible} <= {f"true_{name}" for name in KNOWN}
    assert {score.until for score in survival.scores if score.chance} == {30.0}


# --- evaluate ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """The files of an evaluation of four cases: one without T1, one whose T1 is that of T0."""
    folder = tmp_path_factory.mktemp("evaluated")
    bundle = write_hepato_bundle(folder / "bundle")
    rows = []
    for number in range(CASES):
        films = pair(seed=2 * number + 1)
        films["t0"] = hepato_images.film(hepato_images.frame(2 * number), name="T0", taken=hepato_images.TAKEN_T0)
        row = {"case": f"c{number}", "patient": f"p{number}", "age": 40 + number, "inr": 2.1, "simulated": "yes"}
        for role, size in (("t0", 1.0), ("t1", 0.9)):
            labels = Volume(liver_area(size)[None].astype(np.uint8), films[role].ijk_to_ras, "labels")
            row[role] = write_dicom(films[role], folder / f"{number}_{role}.dcm", f"p{number}").name
            row[f"{role}_labels"] = write_volume(labels, folder / f"{number}_{role}.nii.gz").name
        rows.append({**row, "days": 10 + 10 * number, "died": int(number < 2)})
    rows[2] |= {"t1": "", "t1_labels": ""}
    rows[3] |= {"t1": rows[3]["t0"]}
    files = workbench.evaluate(folder / "figures", write_rows(folder / "cohort.csv", rows), bundle)
    return {path.name: path for path in files}


def test_a_row_for_each_case(evaluated):
    with evaluated["cases.csv"].open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["case"] for row in rows] == [f"c{number}" for number in range(CASES)]
    assert min(float(rows[0][f"{role}_dice"]) for role in ("t0", "t1")) > 0.95
    assert 0 < float(rows[0]["combined_mortality"]) < 100
    assert rows[0]["score_pair"] != ""
    assert rows[2]["score_pair"] == "" != rows[2]["score_t0"]
    assert "the same image" in rows[3]["error"]
    assert [row["died_30"] for row in rows] == ["1", "1", "0", "0"]
    assert rows[1]["age"] == "41.0"


def test_the_report_and_its_figures(evaluated):
    summary = json.loads(evaluated["summary.json"].read_text(encoding="utf-8"))
    assert summary["masks"]["t0"]["n"] == 3
    assert summary["masks"]["t1"]["n"] == 2
    assert "three models" not in summary  # too few patients
    assert set(summary["endpoints"]) == {"overlap", "survival", "mortality_30"}
    html = evaluated["validation.html"].read_text(encoding="utf-8")
    assert "simulated cohort" in html
    assert "0.851" in html  # published
    assert "Huang" in html


def test_the_table_of_the_three_models():
    """From rows as evaluate makes them: readings near the optimum are nearly as good as it."""
    columns = draw_cohort(80, 5)
    best = {name: expected_mortality(columns, *what) for name, what in KNOWN.items()}
    rows, cases, clinical = [], [], {}
    for n in range(80):
        outcome = {"days": str(columns["days"][n]), "status": str(columns["status"][n])}
        known = {f"true_{name}": str(values[n]) for name, values in best.items()}
        cases.append(CohortCase(f"c{n}", f"p{n}", {}, {**outcome, **known}))
        logs = [float(np.log(-np.log1p(-best[name][n]))) for name in ("siamese_t0", "siamese")]
        rows.append({"case": f"c{n}", "days": outcome["days"], "died": int(columns["status"][n] == 1)})
        rows[-1] |= dict(zip(SCORES, logs, strict=True))
        clinical[f"c{n}"] = {key: columns[key][n].item() for key in CLINICAL_KEYS}
    figures = paper_figures(readout(), rows, cases, clinical)["three models"]
    assert set(MODELS) <= set(figures["models"])
    assert figures["models"]["siamese"]["c_index_share_of_oracle"] > 0.95
    assert figures["cohort"]["n"] == 80


# --- simulated patients on disk, and the demo case --------------------------------------------------------------------


def test_a_simulated_patient_on_disk(tmp_path):
    (cohort,) = workbench.simulate(tmp_path, cases=1, seed=3)
    (case,) = read_cohort(cohort, ("t0", "t1", "t0_labels", "t1_labels", "clinical"))
    assert case.case == case.patient == f"simulated_{FIRST_SEED + 3:05d}"
    assert case.is_simulated
    first, second = (read_cine(case.files[role]) for role in ("t0", "t1"))
    assert (second.taken.date() - first.taken.date()).days == 5
    assert first.patient == second.patient
    for role, cine in (("t0", first), ("t1", second)):
        labels = read_volume(case.files[f"{role}_labels"], "labels").array
        assert labels.shape == (1, *cine.frame_shape)
        assert labels.sum() * cine.pixel_mm[0] * cine.pixel_mm[1] > 2000
        assert find_screen(cine).sector.mask[labels[0] > 0].mean() > 0.98
    patient = draw_patient(FIRST_SEED + 3)
    assert json.loads(case.files["clinical"].read_text()) == dict(patient.clinical)
    assert float(case.values["days"]) == pytest.approx(patient.days)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.dcm")}
    workbench.simulate(tmp_path, cases=1, seed=3)
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.dcm")}


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5, 6])
def test_death_within_30_days_is_told_where_it_is_known(seed):
    truth, patient = truth_of(seed), draw_patient(seed)
    early = patient.days < 30
    expected = {(True, 1): 1, (False, 1): 0, (False, 0): 0, (False, 2): 0}.get((early, patient.status), "")
    assert truth["died_30"] == expected
    assert truth["true_mortality_30"] == pytest.approx(patient.truth["mortality_30"], abs=1e-5)
    assert 0 < truth["true_combined"] < 1


def test_the_demo_case():
    films, clinical = demo.demo_case(max_size=160)
    assert list(films) == [role.name for role in SYSTEMS["hepato"].roles]
    assert films["t0"].frame_shape == films["t1"].frame_shape == (120, 160)
    assert (films["t1"].taken - films["t0"].taken).days == 5
    assert clinical == demo.CLINICAL == dict(draw_patient(demo.SEED).clinical)
    assert set(clinical) <= set(SYSTEMS["hepato"].clinical)
