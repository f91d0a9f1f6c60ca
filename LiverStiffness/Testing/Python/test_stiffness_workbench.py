"""From simulated examinations to a bundle and its figures, on a tiny network: trained, resumed, evaluated."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

import torch

from LiverStiffnessLib import workbench
from LiverStiffnessLib.labels import CLASSES, LIVER, SPLEEN
from LiverStiffnessLib.learning import cases, collecting, fitting, ordinal_training, packing
from LiverStiffnessLib.measuring.readout import MODELS, PROBABILITIES
from LiverStiffnessLib.pipeline import StiffnessPipeline, default_settings
from LiverStiffnessLib.segmenting import network
from LiverStiffnessLib.simulation import scan
from LiverStiffnessLib.simulation.patients import simulate
from PrognosisLib.bundles.bundle import Bundle
from PrognosisLib.cohort import read_cohort, write_rows
from PrognosisLib.errors import InputError
from PrognosisLib.findings import Mask
from PrognosisLib.images.readers import read_volume
from PrognosisLib.learning.border import UNMEASURED
from PrognosisLib.pipeline import Case

STEPS, SIMULATED, TEACHERS = 3, 2, 3
WIDTHS = (6, 8, 12)
DRAWN_MM = (5.0, 5.0, 8.0)
BUILD = network.build


class Inline:
    """A pool of one process: this one."""

    def __init__(self, _count, _context, initializer=None, arguments=()) -> None:
        if initializer:
            initializer(*arguments)

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        collecting._network = None

    def map(self, function, *jobs, chunksize: int = 1):
        return map(function, *jobs)


def build_eager() -> torch.nn.Module:
    """The untrained network, which sees liver nearly everywhere: so there is something to read."""
    net = BUILD()
    with torch.no_grad():
        net.head.bias[LIVER] += 3.0
    return net


def make_small(patch: pytest.MonkeyPatch) -> None:
    for module in (network, packing):
        patch.setattr(module, "WIDTHS", WIDTHS)
    patch.setattr(network, "build", build_eager)
    for module in (cases, collecting, fitting):
        patch.setattr(module, "ProcessPoolExecutor", Inline)
    patch.setattr(scan, "DRAWN_MM", DRAWN_MM)
    patch.setattr(fitting, "ON_REAL_TRAINING", 1)
    patch.setattr(fitting, "ON_REAL_TEST", 1)
    patch.setattr(ordinal_training, "STEPS", 20)
    patch.setattr(ordinal_training.fit_reading, "__defaults__", (0, 2, None))


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three simulated examinations on disk, as `prognosis simulate` writes them."""
    folder = tmp_path_factory.mktemp("cohort")
    with pytest.MonkeyPatch.context() as patch:
        make_small(patch)
        return simulate(folder, 3, seed=70)[0]


def as_real(cohort: Path) -> Path:
    """The same examinations, which no longer say that they are simulated or what was measured."""
    rows = [
        {"case": row["case"].replace("simulated", "real"), **{key: row[key] for key in ("t2", "t1", "labels")}}
        for row in csv.DictReader(cohort.open(encoding="utf-8"))
    ]
    return write_rows(cohort.parent / "real.csv", rows)


@pytest.fixture(scope="module")
def trained(cohort: Path, tmp_path_factory: pytest.TempPathFactory):
    """The bundle, and which files an interruption had left and the second run kept."""
    folder = tmp_path_factory.mktemp("stiffness")
    output, real = folder / "bundle", as_real(cohort)
    arguments = {
        "steps": STEPS,
        "simulated": SIMULATED,
        "validation": "real_00072",
        "risk_patients": TEACHERS,
        "command": ["prognosis", "train"],
    }

    def stop(*_) -> None:
        raise KeyboardInterrupt

    def files() -> dict[str, int]:
        parts = [path for path in (folder / "bundle-training").rglob("*") if path.suffix in (".npz", ".pt")]
        return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in parts}

    with pytest.MonkeyPatch.context() as patch:
        make_small(patch)
        with pytest.MonkeyPatch.context() as broken:
            broken.setattr(packing, "fit_models", stop)
            with pytest.raises(KeyboardInterrupt):
                workbench.train(output, real, **arguments)
        left = {"output": output.exists(), "first": files()}
        assert workbench.train(output, real, **arguments)[0] == output
        yield output, {**left, "second": files()}


def test_the_bundle_is_whole_and_says_how_it_was_made(trained):
    output, _ = trained
    facts = Bundle.load(output, "stiffness", network.CHANNELS, len(CLASSES)).metadata
    assert facts["training"]["steps"] == STEPS
    assert facts["training"]["training"] == ["real_00070", "real_00071"]
    assert facts["training"]["validation"] == ["real_00072"]
    assert facts["training"]["training_simulated"] == SIMULATED
    assert facts["training"]["training_on_real"] == 2
    assert facts["training"]["cohort"] == {"simulated": {"segmentation": False, "risk": True}}
    assert facts["training"]["command"] == "prognosis train"
    assert facts["network"]["widths"] == list(WIDTHS)
    assert facts["interval"]["n"] <= 4
    assert facts["measured"]["masks"]["simulated"]["n"] >= 4 * TEACHERS
    assert facts["measured"]["protocols"] == {}
    assert set(facts["measured"]["readings"]) == set(MODELS)


def test_an_interrupted_training_goes_on_where_it_was(trained):
    _, left = trained
    assert not left["output"]
    assert left["first"]
    assert {name: left["second"][name] for name in left["first"]} == left["first"]


def test_the_card_tells_what_is_simulated(trained):
    card = (trained[0] / "docs" / "README.md").read_text(encoding="utf-8")
    assert "simulated cohort" in card
    assert "real_00072 T2" in card
    assert "Not run: too few patients." in card


def test_the_pipeline_runs_with_the_trained_bundle(trained, cohort: Path):
    case = read_cohort(cohort, ("t2", "t1", "labels"))[0]
    volumes = {name: read_volume(case.files[name], "MR") for name in ("t2", "t1")}
    labels = read_volume(case.files["labels"], "labels")
    with pytest.MonkeyPatch.context() as patch:
        make_small(patch)
        pipeline = StiffnessPipeline(trained[0])
        evidence = pipeline.segment(Case({"t2": volumes["t2"]}, settings=default_settings())).masks
        masks = {
            name: Mask.from_full(name, labels.array == label, labels.grid)
            for name, label in (("Liver", LIVER), ("Spleen", SPLEEN))
        }
        measured = pipeline.measure(Case(volumes, settings=default_settings()), masks)
    assert all(mask.grid.same_as(volumes["t2"].grid) for mask in evidence)
    assert measured.value(PROBABILITIES[0]) is None  # a liver that was drawn has no features
    assert measured.value("liver_volume") == pytest.approx(float(case.values["liver_ml"]), rel=0.01)


def test_evaluation_gives_masks_and_stiffness_against_the_truth(trained, cohort: Path, tmp_path: Path, monkeypatch):
    make_small(monkeypatch)
    written = workbench.evaluate(tmp_path / "figures", cohort, trained[0])
    names = ["cases.csv", "patients.csv", "protocols.csv", "statistics.csv", "summary.json", "validation.html"]
    assert [path.name for path in written[:6]] == names
    rows = list(csv.DictReader(written[0].open(encoding="utf-8")))
    assert {(row["case"], row["sequence"]) for row in rows} == {
        (f"simulated_{seed:05d}", one) for seed in (70, 71, 72) for one in ("T2", "T1")
    }
    truth = {case.case: float(case.values["liver_ml"]) for case in read_cohort(cohort, ())}
    for row in rows:
        if row["sequence"] == "T2":
            assert float(row["liver_true_ml"]) == pytest.approx(truth[row["case"]], rel=0.05)
    patients = list(csv.DictReader(written[1].open(encoding="utf-8")))
    assert [row["case"] for row in patients] == [f"simulated_{seed:05d}" for seed in (70, 71, 72)]
    figures = json.loads(written[4].read_text(encoding="utf-8"))
    assert figures["masks"]["n"] == 6
    assert "protocols" not in figures


def test_a_network_that_saw_next_to_nothing_gives_no_interval_of_its_own():
    assert packing.calibrated_interval([None, (0.2, 0.1)]) == UNMEASURED


def test_a_case_without_any_image_is_refused(tmp_path: Path, monkeypatch, trained):
    make_small(monkeypatch)
    file = write_rows(tmp_path / "cohort.csv", [{"case": "a", "t2": "", "t1": ""}])
    with pytest.raises(InputError, match="neither t2 nor t1"):
        workbench.evaluate(tmp_path / "out", file, trained[0])


def test_a_stiffness_that_cannot_be_is_refused(cohort: Path, tmp_path: Path, monkeypatch):
    make_small(monkeypatch)
    rows = list(csv.DictReader(cohort.open(encoding="utf-8")))
    rows = [{**row, **{k: str(cohort.parent / row[k]) for k in ("t2", "t1", "labels")}} for row in rows]
    rows[0]["mre_kpa"] = "300"
    with pytest.raises(InputError, match="mre_kpa is '300'"):
        workbench.train(tmp_path / "bundle", write_rows(tmp_path / "c.csv", rows), steps=1, simulated=1)
    assert not (tmp_path / "bundle").exists()


def test_simulated_cases_are_kept_and_equal_seeds_give_equal_files(cohort: Path, tmp_path: Path, monkeypatch):
    make_small(monkeypatch)
    before = {path.name: path.stat().st_mtime_ns for path in (cohort.parent / "simulated_00070").iterdir()}
    simulate(cohort.parent, 3, seed=70)
    assert before == {path.name: path.stat().st_mtime_ns for path in (cohort.parent / "simulated_00070").iterdir()}
    again = simulate(tmp_path, 1, seed=70)[0].parent
    for name in ("t2.nii.gz", "t1.nii.gz", "labels.nii.gz"):
        one, other = (read_volume(folder / "simulated_00070" / name, "MR") for folder in (cohort.parent, again))
        assert np.array_equal(one.array, other.array)
