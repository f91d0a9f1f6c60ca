"""The product on simulated cines, and what it is judged by: rows, endpoints, protocols, and the report."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

import torch
from fibrosis_networks import make_small, random_networks, untrained_bundle

from FibrosisVideoLib import workbench
from FibrosisVideoLib.endpoints import STUDY, column_of, study_of
from FibrosisVideoLib.labels import LIVER, MODELS, PRODUCT, STAGES
from FibrosisVideoLib.learning import protocols as module
from FibrosisVideoLib.learning.evaluating import JudgedCine, _liver_dice, _of_stages, paper_figures
from FibrosisVideoLib.learning.protocols import protocol_section
from FibrosisVideoLib.learning.scoring import Scored
from FibrosisVideoLib.measuring.evidence import CineEvidence
from FibrosisVideoLib.networks.catalog import load_bundle
from FibrosisVideoLib.pipeline import HEAT_NAME, FibrosisPipeline
from FibrosisVideoLib.settings import default_settings
from FibrosisVideoLib.simulation import cohort as simulated_cohort
from FibrosisVideoLib.simulation.patients import draw_clinical, draw_examination
from PrognosisLib.cohort import read_cohort, write_rows
from PrognosisLib.errors import InputError
from PrognosisLib.evaluation.discrimination import auc, compare_auc
from PrognosisLib.findings import Mask
from PrognosisLib.framewise.lattice import SHAPE, FrameLattice
from PrognosisLib.images.cine.reading import read_cine
from PrognosisLib.images.cine.screen import find_screen
from PrognosisLib.images.readers import read_volume
from PrognosisLib.pipeline import Case, run
from PrognosisLib.simulation.ultrasound import medium
from PrognosisLib.validation.binary import judge_binary
from PrognosisLib.validation.quantity import judge_continuous
from PrognosisLib.validation.section import Run, Section
from PrognosisLib.validation.table import Table


@pytest.fixture(scope="module", autouse=True)
def small():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        make_small(patch)
        yield
    torch.set_num_threads(before)


# --- simulated patients on disk ---------------------------------------------------------------------------------------


def files_of(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def simulated(tmp_path_factory) -> Path:
    """Two simulated patients on disk, as `prognosis simulate` writes them, with small frames and coarse anatomies."""
    folder = tmp_path_factory.mktemp("simulated")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(medium, "STEP_MM", 6.0)
        patch.setattr(simulated_cohort, "SHAPE", (240, 320))
        patch.setattr(simulated_cohort, "RATE", 3.0)
        patch.setattr(simulated_cohort, "draw_examination", short_examination)
        return simulated_cohort.simulate(folder, 2, seed=40)[0]


def short_examination(seed: int):
    one = draw_examination(seed)
    probe = replace(one.probe, lines=64, samples=104)
    return replace(one, probe=probe, machine=replace(one.machine, gain=0.0, looks=1), duration_s=3.0)


def test_simulated_patients_are_a_cohort(simulated):
    found = read_cohort(simulated, ("cine", "labels", "clinical"))
    assert [case.case for case in found] == ["simulated_00040", "simulated_00041"]
    for seed, case in zip((40, 41), found, strict=True):
        assert case.is_simulated
        assert int(case.values["stage"]) == draw_examination(seed).stage
        cine, labels = read_cine(case.files["cine"]), read_volume(case.files["labels"], "labels")
        assert len(cine) == 10
        assert cine.pixel_mm is not None
        assert labels.array.shape == (10, *cine.frame_shape)
        np.testing.assert_allclose(labels.ijk_to_ras, cine.grid.ijk_to_ras, atol=1e-5)
        assert set(np.unique(labels.array)) == {0, 1}, "some of the liver is in view"
        liver = labels.array[5] > 0
        assert cine.frame(5)[liver].mean() > 5, "and is not black"
        clinical = json.loads(case.files["clinical"].read_text())
        assert clinical == draw_clinical(draw_examination(seed))


def test_simulating_again_keeps_what_is_complete(simulated, monkeypatch):
    def refuse(*_) -> None:
        raise AssertionError("made again")

    before = files_of(simulated.parent)
    monkeypatch.setattr(simulated_cohort, "_write_case", refuse)
    simulated_cohort.simulate(simulated.parent, 2, seed=40)
    after = files_of(simulated.parent)
    assert {name: time for name, time in after.items() if name != "cohort.csv"} == {
        name: time for name, time in before.items() if name != "cohort.csv"
    }
    truth = simulated.parent / "simulated_00041" / "truth.json"
    kept = truth.read_text()
    truth.unlink()
    with pytest.raises(AssertionError, match="made again"):
        simulated_cohort.simulate(simulated.parent, 2, seed=40)
    truth.write_text(kept)


# --- the product ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def untrained(small, tmp_path_factory) -> Path:
    return untrained_bundle(tmp_path_factory.mktemp("untrained"), random_networks())


def test_the_pipeline_reads_a_simulated_cine(untrained, simulated):
    case = read_cohort(simulated, ("cine",))[0]
    cine = read_cine(case.files["cine"])
    pipeline = FibrosisPipeline(untrained)
    told: list[tuple[float, str]] = []
    inputs = Case({"cine": cine}, {"age": 60}, default_settings())
    found = pipeline.segment(inputs, lambda share, text: told.append((share, text)))
    mask = found.mask(LIVER)
    assert mask.grid.shape == (len(cine), *SHAPE)
    evidence = CineEvidence.from_text(mask.evidence)
    assert evidence.frames == len(cine)
    assert len(evidence.windows) == 1
    assert [one.name for one in found.heat_maps] == [HEAT_NAME]
    assert found.provenance["frames"] == {"all": len(cine), "read by the classifiers": len(cine), "windows": 1}
    assert [share for share, _ in told] == sorted(share for share, _ in told)
    rows = pipeline.measure(inputs, {LIVER: mask})
    assert 0 < rows.value("significant_fibrosis") < 100
    without = pipeline.segment(Case({"cine": cine}, {}, {**default_settings(), "heat_map": False}))
    assert without.heat_maps == ()
    assert pipeline.load_networks() is pipeline.load_networks(), "networks stay warm"


# --- the report -------------------------------------------------------------------------------------------------------


def test_an_evaluation_has_a_row_a_case_also_of_those_that_fail(untrained, simulated, tmp_path):
    """One cine cannot be read, and one case has an age that nobody has."""
    rows = list(csv.DictReader(simulated.open(encoding="utf-8")))
    (simulated.parent / "broken.dcm").write_bytes(b"no cine")
    rows[1] |= {"age": "200", "clinical": "", "labels": ""}
    rows.append({**rows[0], "case": "broken", "patient": "broken", "cine": "broken.dcm", "stage": "F3"})
    cohort = write_rows(simulated.parent / "with_broken.csv", rows)
    written = workbench.evaluate(tmp_path / "figures", cohort, untrained)
    names = {path.name for path in written}
    assert {"cases.csv", "statistics.csv", "summary.json", "validation.html"} <= names
    found = list(csv.DictReader((tmp_path / "figures" / "cases.csv").open(encoding="utf-8")))
    assert [row["case"] for row in found] == ["simulated_00040", "simulated_00041", "broken"]
    assert [int(row["stage"]) for row in found] == [draw_examination(40).stage, draw_examination(41).stage, 3]
    for row in found[:2]:
        for model in MODELS:
            assert 0 <= float(row[column_of(model)]) <= 100
    assert 0 <= float(found[0]["liver_dice"]) < 1
    assert found[0]["fib4"]
    assert not found[0]["error"]
    assert found[1]["liver_dice"] == found[1]["fib4"] == ""
    assert "200" in found[1]["error"]
    assert found[2]["error"]
    assert found[2]["significant_fibrosis"] == ""
    summary = json.loads((tmp_path / "figures" / "summary.json").read_text(encoding="utf-8"))
    assert summary["cohort"] == {"cases": 3, "patients": 3, "failed": 2, "simulated": True}
    assert summary["bundle"] == load_bundle(untrained).identity
    assert summary["networks and clinical tests"] == {}, "two patients make no figures"
    (dice,) = [one for one in summary["endpoints"]["overlap"]["figures"] if one["figure"] == "mean"]
    assert dice["value"] == pytest.approx(float(found[0]["liver_dice"]), abs=1e-4)
    assert "No protocols: 2 cines" in summary["endpoints"]["protocols"]["remarks"][0]
    report = (tmp_path / "figures" / "validation.html").read_text(encoding="utf-8")
    assert "simulated cohort" in report
    assert "0.847" in report, "the published area"
    pipeline = FibrosisPipeline(untrained)
    cine = read_cine(read_cohort(simulated, ("cine",))[0].files["cine"])
    again = run(pipeline, Case({"cine": cine}, {}, {**default_settings(), "heat_map": False}))
    assert float(found[0]["significant_fibrosis"]) == pytest.approx(again.value("significant_fibrosis"), abs=1e-3)


def test_the_outlines_are_compared_at_their_place(simulated):
    """The truth itself as the mask overlaps with it fully, on a lattice of its own."""
    case = read_cohort(simulated, ("cine", "labels"))[0]
    cine, labels = read_cine(case.files["cine"]), read_volume(case.files["labels"], "labels")
    lattice = FrameLattice.of(cine, find_screen(cine))
    drawn = np.stack([lattice(frame.astype(np.float32)) > 0.5 for frame in labels.array])
    mask = Mask.from_full(LIVER, drawn, lattice.grid(len(cine)))
    assert _liver_dice(case.files["labels"], mask, cine) > 0.95
    moved = Mask.from_full(LIVER, np.roll(drawn, 40, axis=2), lattice.grid(len(cine)))
    assert _liver_dice(case.files["labels"], moved, cine) < 0.9
    assert _liver_dice(case.files["labels"], None, cine) == 0.0, "nothing found is nothing right"


def test_a_cohort_without_stages_is_refused(simulated, untrained, tmp_path):
    rows = [{key: row[key] for key in ("case", "cine")} for row in csv.DictReader(simulated.open(encoding="utf-8"))]
    path = write_rows(simulated.parent / "unstaged.csv", rows)
    with pytest.raises(InputError, match="no column 'stage' with values; add the biopsy stage"):
        workbench.evaluate(tmp_path / "figures", path, untrained)
    assert not (tmp_path / "figures").exists()


@pytest.mark.parametrize("stage", ["F5", "II"])
def test_a_wrong_stage_is_refused_before_any_cine_is_read(simulated, untrained, tmp_path, stage):
    rows = list(csv.DictReader(simulated.open(encoding="utf-8")))
    rows[1] |= {"stage": stage}
    with pytest.raises(InputError, match=f"Case 'simulated_00041': stage is '{stage}'; give 0 to 4 or F0 to F4"):
        workbench.evaluate(tmp_path / "figures", write_rows(simulated.parent / "wrong.csv", rows), untrained)


# --- endpoints --------------------------------------------------------------------------------------------------------


def judged_cines(n: int = 160, seed: int = 3) -> list[JudgedCine]:
    """Two cines of each patient, whose networks know the stage more or less well; sites and years."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(n):
        stage = int(rng.integers(0, 5))
        scored = {
            model: Scored(stage - 2 + noise * rng.standard_normal() + 0.2 * rng.standard_normal(3))
            for model, noise in zip(MODELS, (0.9, 1.5, 2.5), strict=True)
        }
        row = {"case": f"c{number}", "patient": f"p{number // 2}", "stage": stage, "site": f"s{number % 3}"}
        row |= {"year": 2015 + number % 8, "age": int(rng.integers(20, 80)), "sex": rng.choice(["male", "female"])}
        row |= {column_of(m): 100 / (1 + np.exp(-one.score)) for m, one in scored.items()}
        reached = 1 / (1 + np.exp(np.array([-2, -1, 0, 1]) + 1.5 - 1.2 * (scored[PRODUCT].score + 2)))
        shares = -np.diff([1, *reached, 0])
        row |= {f"stage_{name.lower()}": 100 * share for name, share in zip(STAGES, shares, strict=True)}
        best = 1 / (1 + np.exp(np.array([-2, -1, 0, 1]) + 1.5 - 1.2 * (stage + 0.4 * rng.standard_normal())))
        row |= {f"true_f{k}": float(share) for k, share in enumerate(-np.diff([1, *best, 0]))}
        row |= {"true_significant": float(best[1]), "fib4": 1 + 0.3 * stage + rng.standard_normal()}
        known = {key: str(value) for key, value in row.items()}
        found.append(JudgedCine({**row, **_of_stages(row, known)}, set(), scored))
    return found


@pytest.fixture(scope="module")
def judged() -> list[JudgedCine]:
    return judged_cines()


def a_run() -> Run:
    return Run(simulated_cohort=True, repeats=10, permutations=20)


def rows_of(section: Section, figure: str, who: str = "all") -> dict[str, object]:
    return {row.score: row for row in section.rows if row.figure == figure and row.who == who}


def test_significant_fibrosis_compares_the_networks_and_the_clinical_scores(judged):
    table = Table([one.row for one in judged])
    endpoint = study_of({PRODUCT: 0.4, "lstm": 0.6}).endpoint("significant")
    section = judge_binary(endpoint, table, a_run())
    y = (table.numbers("stage") >= 2).astype(int)
    areas = rows_of(section, "auc")
    assert list(areas) == [*MODELS.values(), "FIB-4", "Best possible"]
    for model, name in MODELS.items():
        assert areas[name].value == pytest.approx(auc(y, table.numbers(column_of(model))).value)
        assert (areas[name].n, areas[name].events) == (160, int(y.sum()))
    differences = rows_of(section, "auc_difference")
    for rival in ("lstm", "2d"):
        row = differences[f"{MODELS[PRODUCT]} − {MODELS[rival]}"]
        test = compare_auc(y, *(table.numbers(column_of(model)) for model in (PRODUCT, rival)))
        assert (row.value, row.p) == pytest.approx((test.difference, test.p))
    assert differences[f"{MODELS[PRODUCT]} − FIB-4"].p < 0.05
    points = rows_of(section, "point")
    assert [points[name].value for name in list(MODELS.values())[:2]] == [40, 60]
    assert "of the bundle" in points[MODELS[PRODUCT]].note
    assert "too hopeful" in points[MODELS["2d"]].note
    assert points["FIB-4"].value == 1.45
    for figure in ("precision_macro", "recall_macro", "f1_macro"):
        assert set(rows_of(section, figure)) == {*MODELS.values(), "FIB-4"}
    subgroups = {row.who for row in section.rows if row.who != "all"}
    assert {"Sex: male", "Age: under 50 years", "Site: s1"} <= subgroups
    assert any("apri" in remark for remark in section.remarks), "what nobody has is said"


@pytest.mark.parametrize("stage", [1, 3, 4])
def test_other_stages_are_judged_by_the_stages_own_probabilities(judged, stage):
    table = Table([one.row for one in judged])
    section = judge_binary(STUDY.endpoint(f"at_least_f{stage}"), table, a_run())
    y = (table.numbers("stage") >= stage).astype(int)
    chance = sum(table.numbers(f"stage_f{k}") for k in range(stage, 5))
    areas = rows_of(section, "auc")
    assert areas[MODELS[PRODUCT]].value == pytest.approx(auc(y, chance).value)
    assert areas["Best possible"].value >= areas[MODELS[PRODUCT]].value > 0.75
    ratio = rows_of(section, "observed_to_expected")[MODELS[PRODUCT]].value
    assert ratio == pytest.approx(y.sum() / (chance.sum() / 100), rel=1e-6)


def test_the_expected_stage_is_compared_with_the_biopsy_s(judged):
    table = Table([one.row for one in judged])
    section = judge_continuous(STUDY.endpoint("stage"), table, a_run())
    mean = sum(k * table.numbers(f"stage_f{k}") / 100 for k in range(5))
    bias = rows_of(section, "bias")[MODELS[PRODUCT]]
    assert bias.value == pytest.approx(float(np.mean(mean - table.numbers("stage"))), abs=1e-6)
    assert 0.4 < rows_of(section, "intraclass")[MODELS[PRODUCT]].value < 1


def test_the_own_table_has_the_share_of_the_best_possible(judged):
    found = paper_figures(judged, {PRODUCT: 0.5})
    assert set(found) == set(MODELS), "no clinical test has its inputs"
    assert found[PRODUCT]["share_of_oracle"] <= 1.0
    assert found["2d"]["product_ahead"]["p"] < 0.05
    assert found["2d"]["point"] == 0.5
    unknown = [replace(one, row={k: v for k, v in one.row.items() if k != "true_significant"}) for one in judged]
    assert "share_of_oracle" not in paper_figures(unknown, {PRODUCT: 0.5})[PRODUCT]


# --- protocols --------------------------------------------------------------------------------------------------------


def test_three_protocols_judge_all_networks(judged):
    section = protocol_section(judged, a_run())
    areas = rows_of(section, "auc")
    for protocol in ("10-fold", "temporal", "leave-one-site-out"):
        for name in MODELS.values():
            assert 0.5 < areas[f"{name}, {protocol}"].value < 1
    assert areas[f"{MODELS[PRODUCT]}, 10-fold"].n == 160
    late = sum(one.row["year"] > 2019 for one in judged)
    assert 0 < areas[f"{MODELS[PRODUCT]}, temporal"].n <= late
    assert "judged: each of 3 sites" in areas[f"{MODELS[PRODUCT]}, leave-one-site-out"].note
    ahead = rows_of(section, "auc_difference")
    assert len(ahead) == 6
    assert all(row.p < 0.05 for name, row in ahead.items() if MODELS["2d"] in name and "10-fold" in name)


def test_no_patient_sets_the_readout_that_judges_it(judged, monkeypatch):
    """Each score tells its patient, and each readout whom it was fitted to."""
    seen = []
    numbered = [
        replace(one, scored={model: Scored(np.array([float(one.row["patient"][1:])])) for model in MODELS})
        for one in judged
    ]

    def fit(scored, stages, residual):
        return {one.score for one in scored}

    def chances(taught, scored):
        patients = {one.score for one in scored}
        seen.append((taught, patients))
        assert patients <= taught or not patients & taught
        return np.linspace(0.1, 0.9, len(scored))

    monkeypatch.setattr(module, "fit_readout", fit)
    monkeypatch.setattr(module, "chances_of", chances)
    section = protocol_section(numbered, a_run())
    assert section.rows
    apart = [patients for taught, patients in seen if not patients & taught]
    assert len(apart) == len(MODELS) * (10 + 1 + 3)


def test_few_cines_and_one_kind_make_no_protocols(judged):
    few = protocol_section(judged[:40], a_run())
    assert few.rows == []
    assert "60 and 10 are needed" in few.remarks[0]
    mild = [replace(one, row={**one.row, "stage": one.row["stage"] % 2}) for one in judged]
    assert protocol_section(mild, a_run()).rows == []
    unread = [replace(one, scored={}) for one in judged]
    assert "0 cines with a stage were read" in protocol_section(unread, a_run()).remarks[0]
    empty = [replace(one, scored=dict.fromkeys(MODELS, Scored(np.zeros(0)))) for one in judged]
    assert "0 cines with a stage were read" in protocol_section(empty, a_run()).remarks[0]
