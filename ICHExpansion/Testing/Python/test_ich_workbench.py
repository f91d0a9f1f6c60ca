"""From simulated patients to a bundle and its figures, on a tiny network: trained, interrupted, resumed, evaluated."""

from __future__ import annotations

import csv
import functools
import json
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ich_heads import BLEED, simulated

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

import torch

from ICHExpansionLib import workbench
from ICHExpansionLib.labels import CLASSES
from ICHExpansionLib.learning import attention_training, collecting, fitting, packing
from ICHExpansionLib.outcomes import NAMES
from ICHExpansionLib.pipeline import MODELS, ICHPipeline, default_settings
from ICHExpansionLib.segmenting import network
from ICHExpansionLib.simulation.patients import write_cohort
from PrognosisLib.bundles.bundle import Bundle
from PrognosisLib.cohort import read_cohort, write_rows
from PrognosisLib.errors import InputError
from PrognosisLib.findings import SIMULATED
from PrognosisLib.images.writers import write_volume
from PrognosisLib.learning.border import UNMEASURED
from PrognosisLib.pipeline import Case, run

PIXEL_MM, STEPS, PATIENTS = 3.0, 3, 6
WIDTHS = (6, 8, 12)
collected: list[str] = []


class Inline:
    """A pool of one process: this one."""

    def __init__(self, _count, _context, initializer, arguments) -> None:
        initializer(*arguments)

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        collecting._network = None

    def map(self, function, cases, *more):
        collected.extend(case.case for case in cases)
        return map(function, cases, *more)


def make_small(patch: pytest.MonkeyPatch) -> None:
    for module in (network, packing):
        patch.setattr(module, "WIDTHS", WIDTHS)
    for module in (fitting, packing):
        patch.setattr(module, "TRAINING_PIXEL_MM", PIXEL_MM)
        patch.setattr(module, "write_bloodless", functools.partial(fitting.write_bloodless, pixel_mm=PIXEL_MM))
    patch.setattr(packing, "BLOODLESS_TESTS", 2)
    patch.setattr(packing, "CLINICAL_DRAWS", 150)
    patch.setattr(workbench, "MOST_DRAWS", 150)
    patch.setattr(attention_training.train_attention, "__defaults__", (0, 40))
    patch.setattr(collecting, "ProcessPoolExecutor", Inline)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def real_cohort(folder: Path) -> Path:
    """Two labeled scans that do not say they are simulated."""
    rows = []
    for number, ml in enumerate((20.0, 35.0)):
        made = simulated(replace(BLEED, volume_ml=ml), pixel_mm=3.0, columns=64, rows=80, slice_mm=6.0)
        name = f"r{number}"
        (folder / name).mkdir(parents=True)
        write_volume(made.volume(), folder / name / "ct.nii.gz")
        write_volume(made.label_volume(), folder / name / "labels.nii.gz")
        rows.append({"case": name, "ct": f"{name}/ct.nii.gz", "labels": f"{name}/labels.nii.gz"})
    return write_rows(folder / "cohort.csv", rows)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory):
    """The bundle, and what an interruption before the risk models had left and the second run had to do."""
    folder = tmp_path_factory.mktemp("ich")
    output, cohort = folder / "bundle", real_cohort(folder / "real")
    arguments = {
        "steps": STEPS,
        "simulated": PATIENTS,
        "seed": 0,
        "validation": "r1",
        "risk_patients": 900,
        "command": ["prognosis", "train"],
    }

    def stop(*_) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        make_small(patch)
        collected.clear()
        with pytest.MonkeyPatch.context() as broken:
            broken.setattr(packing, "fit_models", stop)
            with pytest.raises(KeyboardInterrupt):
                workbench.train(output, cohort, **arguments)
        left = {"output": output.exists(), "collected": list(collected), "files": times(folder / "bundle-training")}
        collected.clear()
        written = workbench.train(output, cohort, **arguments)
        left |= {"again": list(collected), "kept": times(folder / "bundle-training")}
        assert written[0] == output
        yield output, left


def times(folder: Path) -> dict[str, int]:
    parts = ("simulated", "simulated-test", "bloodless", "network")
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns
        for part in parts
        for path in sorted((folder / part).rglob("*"))
        if path.suffix in (".gz", ".pt", ".json") and path.name != "settings.json"
    }


def test_the_bundle_is_whole_and_the_pipeline_opens_it(trained):
    output, _ = trained
    bundle = Bundle.load(output, "ich", network.CHANNELS, len(CLASSES))
    facts = bundle.metadata
    assert facts["training"]["steps"] == STEPS
    assert facts["training"]["training"] == ["r0"]
    assert facts["training"]["validation"] == ["r1"]
    assert facts["training"]["training_simulated"] == PATIENTS + 1
    assert facts["training"]["cohort"] == {"simulated": {"segmentation": False, "risk": True}}
    assert facts["training"]["command"] == "prognosis train"
    assert facts["network"]["widths"] == list(WIDTHS)
    assert facts["interval"] == UNMEASURED
    assert facts["measured"]["simulated"]["n"] == 22
    assert facts["measured"]["real"]["n"] == 1
    for name in MODELS:
        assert bundle.json(name)["cohort"]["simulated"] is True
    for name in NAMES:
        figures = bundle.json(name)["performance"]
        assert figures["test_n"] == 20
        assert 0 <= figures["auc"]["lower"] <= figures["auc"]["value"] <= figures["auc"]["upper"] <= 1
    columns = bundle.json("cohort")["columns"]
    assert {len(column) for column in columns.values()} == {150 * len(facts_patients(facts))}
    card = (output / "docs" / "README.md").read_text(encoding="utf-8")
    for words in ("not for clinical use", SIMULATED, "r0", "r1", "prognosis train"):
        assert words in card, words
    pipeline = ICHPipeline(output)
    made = simulated()
    found = run(pipeline, Case({"ct": made.volume()}, {"age": 71, "onset_to_ct": 1.5}, default_settings()))
    assert found.summary
    row = found.measurement("clinical_expansion")
    assert row.value is None or (0 < row.value < 100 and SIMULATED in row.note)


def facts_patients(facts) -> list[str]:
    """The images on which outcomes were simulated: the simulated patients and the real training cases."""
    return [*range(PATIENTS), *facts["training"]["training"]]


def test_an_interrupted_run_leaves_no_bundle_and_goes_on_where_it_stopped(trained):
    _, left = trained
    assert left["output"] is False
    before = left["collected"]
    assert len(before) == len(set(before)) >= PATIENTS + 20
    # What was simulated, trained and collected is not done again; the held-out and bloodless cases were missing.
    assert not set(left["again"]) & set(before)
    assert "r1" in left["again"]
    assert len(left["files"]) > 50
    assert {name: left["kept"][name] for name in left["files"]} == left["files"]


def test_evaluation_writes_cases_slices_and_a_summary(trained, tmp_path):
    output, _ = trained
    cohort = write_cohort(tmp_path / "cohort", range(70, 74), PIXEL_MM, followup=False)
    written = workbench.evaluate(tmp_path / "figures", cohort, output)
    names = [path.name for path in written[:5]]
    assert names == ["cases.csv", "slices.csv", "statistics.csv", "summary.json", "validation.html"]
    rows = list(csv.DictReader(written[0].open(newline="")))
    cases = read_cohort(cohort, ("ct", "labels"))
    assert [row["case"] for row in rows] == [case.case for case in cases]
    for row, case in zip(rows, cases, strict=True):
        assert float(row["hematoma_true_ml"]) == pytest.approx(float(case.values["true_volume_ml"]), rel=0.02)
        assert row["expansion"] == case.values["expansion"]
        assert bool(row.get("dl_score")) == (float(row["hematoma_ml"]) > 0)
        assert 0 < float(row["true_image_probability"]) < 1
        assert 0 <= float(row["hematoma_dice"]) <= 1
    slabs = list(csv.DictReader(written[1].open(newline="")))
    assert {row["case"] for row in slabs} == {row["case"] for row in rows}
    assert {row["shows"] for row in slabs} == {"0", "1"}
    figures = json.loads(written[3].read_text(encoding="utf-8"))
    assert figures["n"] == 4
    assert figures["errors"] == 0
    assert figures["bundle"]["name"] == "Prognosis ICHExpansion"
    dices = [float(row["hematoma_dice"]) for row in rows]
    assert figures["hematoma"]["dice_mean"] == pytest.approx(np.mean(dices), abs=1e-3)
    assert figures["detection_slices"]["n"] == len(slabs)


def test_a_scan_without_a_skull_is_a_row_with_its_error(trained, tmp_path):
    output, _ = trained
    cohort = real_cohort(tmp_path)
    made = simulated(pixel_mm=3.0, columns=64, rows=80, slice_mm=6.0)
    volume = made.volume()
    write_volume(volume.with_array(np.full_like(volume.array, 40)), tmp_path / "r0" / "ct.nii.gz")
    written = workbench.evaluate(tmp_path / "figures", cohort, output)
    rows = list(csv.DictReader(written[0].open(newline="")))
    assert "no closed skull" in rows[0]["error"]
    assert rows[1]["error"] == ""
    figures = json.loads(written[3].read_text(encoding="utf-8"))
    assert (figures["n"], figures["errors"]) == (2, 1)


def test_collecting_in_other_processes_gives_the_same(trained, tmp_path):
    output, _ = trained
    cohort = read_cohort(write_cohort(tmp_path / "cohort", range(90, 91), PIXEL_MM, followup=False), fitting.FILES)
    (one,) = collecting.collect(output, cohort, tmp_path / "here", 1.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(collecting, "ProcessPoolExecutor", ProcessPoolExecutor)
        patch.setattr(os, "cpu_count", lambda: 1)
        (other,) = collecting.collect(output, cohort, tmp_path / "there", 1.0)
    assert one.row == other.row
    assert one.slabs == other.slabs
    np.testing.assert_allclose(one.features.features, other.features.features, atol=1e-5)
    assert one.features.expected == other.features.expected > 0


def test_validation_patients_must_be_in_the_cohort(tmp_path):
    with pytest.raises(InputError, match="'r9' is not in the cohort"):
        workbench.train(tmp_path / "bundle", real_cohort(tmp_path / "real"), validation="r9")
    assert not (tmp_path / "bundle").exists()


def test_simulating_and_evaluating_need_no_torch():
    script = "import sys, ICHExpansionLib.workbench, ICHExpansionLib.pipeline; sys.exit('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
