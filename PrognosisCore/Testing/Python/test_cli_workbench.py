# ruff: noqa: E402
"""`prognosis simulate`, `train` and `evaluate` in this process: each takes what the other wrote."""

from __future__ import annotations

import csv
import json
from functools import partial, wraps
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from PrognosisLib import headless

headless.start()

import SimpleITK as sitk
from cli_cases import *  # noqa: F403
from cli_cases import run

from PrognosisLib import cli
from PrognosisLib.bundles.bundle import Bundle
from PrognosisLib.systems import SYSTEMS

# A system may have none; see docs/adding-a-system.md.
WITH_WORKBENCH = sorted(name for name, one in SYSTEMS.items() if find_spec(f"{one.module}Lib.workbench") is not None)


@pytest.fixture
def coarse_simulation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulated scans on a coarse grid, to save the tests' time; everything else as the user has it."""
    from SpleenVolumeLib import patients

    monkeypatch.setattr(patients, "simulate_abdomen", partial(patients.simulate_abdomen, spacing=(7.0, 7.0, 7.0)))
    monkeypatch.setattr(patients, "TRAINING_SPACING_MM", 7.0)


def test_simulate_writes_the_same_files_twice_which_evaluate_and_train_accept(
    coarse_simulation: None, bundle: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    cohorts = [tmp_path / name for name in ("one", "two")]
    for folder in cohorts:
        assert run("simulate", "spleen", "--cases", 2, "--seed", 5, "--output", folder) == cli.DONE
    listed = [sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file()) for folder in cohorts]
    assert listed[0] == listed[1]
    names = {str(path) for path in listed[0]}
    assert names == {"cohort.csv"} | {
        f"simulated_000{n}/{name}" for n in (5, 6) for name in ("ct.nii.gz", "labels.nii.gz", "clinical.json")
    }
    for name in listed[0]:
        assert (cohorts[0] / name).read_bytes() == (cohorts[1] / name).read_bytes(), name
    labels = sitk.GetArrayFromImage(sitk.ReadImage(cohorts[0] / "simulated_0005" / "labels.nii.gz"))
    assert np.count_nonzero(labels == 1) > 50

    cohort, made = cohorts[0] / "cohort.csv", tmp_path / "bundle"
    options = ["--steps", 1, "--simulated", 0, "--risk-patients", 300, "--threads", 1, "--output", made]
    assert run("train", "spleen", "--cohort", cohort, *options) == cli.DONE
    loaded = Bundle.load(made, "spleen")
    assert loaded.is_simulated
    assert loaded.is_part_simulated("segmentation")
    assert loaded.json("survival")["n"] == 300
    assert "Nothing was held out" in loaded.card
    networks = SYSTEMS["spleen"].make_pipeline(made).load_networks()
    assert networks["coarse"](np.zeros((1, 1, 16, 16, 16), dtype=np.float32)).shape == (1, 3, 16, 16, 16)

    report = tmp_path / "figures"
    assert run("evaluate", "spleen", "--cohort", cohort, "--bundle", bundle, "--output", report) == cli.DONE
    rows = list(csv.DictReader((report / "cases.csv").open()))
    assert [row["case"] for row in rows] == ["simulated_0005", "simulated_0006"]
    assert all(0.0 <= float(row["spleen_dice"]) <= 1.0 for row in rows)
    figures = json.loads((report / "summary.json").read_text())
    assert figures["spleen"]["n"] == 2
    assert (report / "validation.html").is_file()
    assert figures["bundle"]["sha256"] == Bundle.load(bundle, "spleen").identity["sha256"]
    capfd.readouterr()


def test_training_watched_by_patients_kept_out_says_where_it_stopped(
    coarse_simulation: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    from PrognosisLib.learning import stopping
    from SpleenVolumeLib import training

    monkeypatch.setattr(stopping, "MEASUREMENTS", 1)
    monkeypatch.setattr(training, "Sampling", partial(training.Sampling, batch=1))
    assert run("simulate", "spleen", "--cases", 2, "--seed", 5, "--output", tmp_path) == cli.DONE
    cohort, made = tmp_path / "cohort.csv", tmp_path / "bundle"
    options = ["--steps", 2, "--simulated", 0, "--risk-patients", 300, "--threads", 1, "--patience", 1]
    train = ["train", "spleen", "--cohort", cohort, *options, "--output", made]
    assert run(*train) == cli.BAD_INPUT
    assert "only by patients kept out of it" in capfd.readouterr().err
    assert run(*train, "--validation", "simulated_0006") == cli.DONE
    curves = [made.with_name("bundle-training") / stage / "learning.svg" for stage in ("coarse", "fine")]
    assert [line for line in capfd.readouterr().out.split() if line.endswith(".svg")] == [str(path) for path in curves]
    assert all(path.is_file() for path in curves)
    loaded = Bundle.load(made, "spleen")
    facts = loaded.metadata["training"]
    for stage, steps in (("coarse", 1), ("fine", 2)):
        told = facts["early_stopping"][stage]
        assert told["stopped_at"] == facts["steps"][stage] == told["of"] == told["best_step"] == steps
        assert f"Training of the network '{stage}' {told['text']}" in loaded.card


@pytest.fixture
def handed_on(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the command hands to the systems' `train`, which do nothing."""
    calls: list[dict[str, Any]] = []
    for name in WITH_WORKBENCH:
        system = SYSTEMS[name]
        workbench = system.library("workbench")
        instead = wraps(workbench.train)(lambda **options: calls.append(options) or [])  # which keeps the parameters
        monkeypatch.setattr(workbench, "train", instead)
    return calls


@pytest.mark.parametrize("system", WITH_WORKBENCH)
def test_options_of_training_that_are_left_out_are_the_systems_own(system: str, handed_on, tmp_path: Path):
    assert run("train", system, "--output", tmp_path / "made") == cli.DONE
    assert handed_on == [{"output": tmp_path / "made", "cohort": None}]


def test_options_of_training_are_handed_on(handed_on, tmp_path: Path):
    given = {
        "steps": 7,
        "simulated": 0,
        "seed": 3,
        "validation": "a,b",
        "patience": 5,
        "threads": 2,
        "risk_patients": 90,
    }
    options = [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", value)]
    assert run("train", "ich", "--output", tmp_path / "made", *options) == cli.DONE
    assert handed_on == [{"output": tmp_path / "made", "cohort": None, **given}]


def test_an_option_that_a_system_does_not_have_is_refused(monkeypatch, tmp_path: Path, capfd):
    workbench = SYSTEMS["spleen"].library("workbench")
    monkeypatch.setattr(workbench, "train", lambda output, cohort, steps=1: [])
    assert run("train", "spleen", "--patience", 3, "--output", tmp_path / "made") == cli.BAD_INPUT
    assert "SpleenVolume's training takes no --patience; leave it out." in capfd.readouterr().err
    assert run("train", "spleen", "--steps", 3, "--output", tmp_path / "made") == cli.DONE


def test_a_table_goes_to_what_all_systems_share(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    from PrognosisLib.validation import from_results, refit_bundle

    calls: list[tuple[Any, ...]] = []
    monkeypatch.setattr(refit_bundle, "refit_bundle", lambda *a, **o: calls.append((*a, o)) or [])
    monkeypatch.setattr(from_results, "evaluate_results", lambda *a, **o: calls.append((*a, o)) or [])
    table, out = tmp_path / "results.csv", tmp_path / "out"
    assert run("train", "ich", "--from-results", table, "--validation", "a", "--seed", 4, "--output", out) == cli.DONE
    assert run("evaluate", "ich", "--results", table, "--cohort", "c.csv", "--output", out) == cli.DONE
    (system, results, options), (other, judged, more) = calls
    assert (system, results, other, judged) == (SYSTEMS["ich"], table, SYSTEMS["ich"], table)
    assert options.pop("command")
    assert options == {"output": out, "cohort": None, "validation": "a", "seed": 4, "base": None}
    assert more == {"output": out, "cohort": Path("c.csv"), "bundle": None}


def test_the_help_of_training_says_whose_defaults_hold(capfd: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])
    told = " ".join(capfd.readouterr().out.split())
    assert told.count("(default: the system's own)") == 7


@pytest.mark.parametrize("command", ["train", "evaluate"])
@pytest.mark.parametrize(("system", "image"), [("spleen", "ct"), ("ich", "ct"), ("stiffness", "t2")])
def test_one_image_under_two_patients_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], command: str, system: str, image: str
):
    for name in ("a.nii", "b.nii", "labels.nii"):
        (tmp_path / name).write_bytes(b"an image")
    cohort = tmp_path / "cohort.csv"
    cohort.write_text(f"case,patient,{image},labels\nA,p,a.nii,labels.nii\nB,q,b.nii,labels.nii\n")
    assert run(command, system, "--cohort", cohort, "--output", tmp_path / "out") == cli.BAD_INPUT
    told = capfd.readouterr().err
    assert "'A' and 'B' have the same image under the patients 'p' and 'q'" in told
    assert told.count("\n") == 1
    assert not (tmp_path / "out").exists()
