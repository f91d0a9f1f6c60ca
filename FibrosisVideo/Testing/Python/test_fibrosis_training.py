"""From simulated cines to a bundle and its figures, on tiny networks: trained, resumed, loaded, evaluated."""

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
from FibrosisVideoLib.labels import LIVER, MODELS
from FibrosisVideoLib.learning import (
    cases,
    encoder_training,
    encoding,
    fitting,
    groups,
    head_training,
    liver_training,
    scoring,
    teaching,
)
from FibrosisVideoLib.measuring.evidence import CineEvidence
from FibrosisVideoLib.networks.catalog import FILM, FRAMES, SEGMENTER, load_bundle
from FibrosisVideoLib.networks.lattice import WINDOW
from FibrosisVideoLib.pipeline import HEAT_NAME, FibrosisPipeline
from FibrosisVideoLib.settings import default_settings
from FibrosisVideoLib.simulation import cohort as simulated_cohort
from FibrosisVideoLib.simulation.patients import draw_clinical, draw_examination, truth_of
from PrognosisLib.cohort import read_cohort, write_rows
from PrognosisLib.errors import BundleError, InputError
from PrognosisLib.framewise.lattice import SHAPE
from PrognosisLib.images.cine.reading import read_cine
from PrognosisLib.images.readers import read_volume
from PrognosisLib.learning import frame_files, training
from PrognosisLib.learning.training import TrainingRun
from PrognosisLib.pipeline import Case, run
from PrognosisLib.simulation.ultrasound import medium
from PrognosisLib.simulation.ultrasound.recording import Frame

PATIENTS, TESTS, STEPS, STILLS_EACH = 6, 3, 1, 2


class Inline:
    """A pool of one process: this one."""

    def __init__(self, _count: int) -> None: ...

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None: ...

    def map(self, function, *jobs, chunksize: int = 1):
        return map(function, *jobs)


class QuickRun(TrainingRun):
    """Normalization from two batches."""

    def final_network(self, batches: int = 2) -> torch.nn.Module:
        return super().final_network(2)


def painted(seed: int, count: int) -> list[Frame]:
    """Frames on FINE of speckle in a sector with a brighter liver."""
    rng = np.random.default_rng(seed)
    j, i = np.indices(frame_files.FINE.shape)
    down, across = (j - 20) * 0.55 + 60, (i - 191) * 0.55
    sector = (np.abs(np.arctan2(across, down)) < 0.55) & (np.hypot(down, across) > 60) & (np.hypot(down, across) < 210)
    liver = sector & (np.hypot(j - 150, i - 180) < 90)
    level = np.where(liver, 90.0, 50.0) * sector
    return [
        Frame(np.clip(level * rng.rayleigh(0.8, level.shape), 0, 255).astype(np.uint8), liver) for _ in range(count)
    ]


def paint_patient(seed: int, files: list[Path]) -> None:
    """In place of the simulation, which takes seconds a cine."""
    one = draw_examination(seed)
    for number, file in enumerate(files):
        truth = {"patient": seed, **truth_of(one), "clinical": draw_clinical(one)}
        cases._store(file, painted(10 * seed + number, WINDOW), truth)


def paint_stills(seeds: list[int], files: list[Path]) -> None:
    examinations = [draw_examination(seed) for seed in seeds]
    truths = [{"patient": one.seed, **truth_of(one)} for one in examinations]
    cases._store(files[0], [painted(one.seed, 1)[0] for one in examinations], {"patients": truths})


def paint_views(seed: int, files: list[Path]) -> None:
    cases._store(files[0], painted(seed, 2), {"patient": seed})


def make_quick(patch: pytest.MonkeyPatch) -> None:
    make_small(patch)
    patch.setattr(frame_files, "ProcessPoolExecutor", Inline)
    patch.setattr(cases, "_simulate_patient", paint_patient)
    patch.setattr(cases, "_simulate_views", paint_views)
    patch.setattr(cases, "_simulate_stills", paint_stills)
    patch.setattr(cases, "STILLS", 4)
    patch.setattr(groups, "STILLS_EACH", STILLS_EACH)
    patch.setattr(head_training, "FRAMES_PER_STEP", WINDOW)
    for module in (liver_training, encoder_training):
        patch.setattr(module, "BATCH", 2)
    patch.setattr(fitting, "FOLDS", 2)
    for module in (encoder_training, head_training, liver_training):
        patch.setattr(module, "TrainingRun", QuickRun)
    for module in (encoding, scoring, teaching, training):
        patch.setattr(module, "fast_type", lambda device: None)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def quick():
    with pytest.MonkeyPatch.context() as patch:
        make_quick(patch)
        yield


def files_of(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def trained(quick, tmp_path_factory):
    """The bundle after an interruption, and what the interruption had left."""
    folder = tmp_path_factory.mktemp("fibrosis")
    output = folder / "bundle"
    arguments = {"steps": STEPS, "simulated": PATIENTS, "risk_patients": TESTS, "command": ["prognosis", "train"]}

    def stop(*_) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as broken:
        broken.setattr("FibrosisVideoLib.learning.packing.write_fibrosis_bundle", stop)
        with pytest.raises(KeyboardInterrupt):
            workbench.train(output, None, **arguments)
    left = files_of(folder)
    assert not output.exists()
    assert workbench.train(output, None, **arguments) == [output]
    return output, left, files_of(folder)


# --- training ---------------------------------------------------------------------------------------------------------


def test_the_bundle_loads_and_says_how_it_was_made(trained):
    output, _, _ = trained
    bundle = load_bundle(output)
    facts = bundle.metadata["training"]
    assert facts["command"] == "prognosis train"
    assert (facts["steps"], facts["simulated"], facts["tests"]) == (STEPS, PATIENTS, TESTS)
    assert (facts["stills"], facts["encoder_steps"]) == (STILLS_EACH * PATIENTS, workbench.ENCODER_STEPS_EACH * STEPS)
    assert facts["cohort"] == {"simulated": {"segmentation": True, "risk": True}}
    assert bundle.metadata["measured"]["liver"]["n"] == TESTS
    assert bundle.metadata["measured"]["test"] == {}, "three patients make no figures"
    assert 0 < bundle.metadata["measured"]["decision"] < 1
    for name in (SEGMENTER, FRAMES, FILM):
        assert bundle.weights(name)
    pipeline = FibrosisPipeline(output)
    assert set(pipeline.heads) == set(MODELS)
    assert pipeline.readout.simulated
    card = bundle.card
    for said in ("Not measured: too few patients", "simulated cohort", "prognosis train", "Known weaknesses", "F2"):
        assert said in card
    assert "{" not in card


def test_a_second_run_goes_on_where_the_first_was_interrupted(trained):
    _, left, later = trained
    kept = [name for name in left if name.endswith((".npz", ".npy", ".pt"))]
    assert len([name for name in kept if name.endswith(".npz")]) == 2 * PATIENTS + TESTS + PATIENTS // 3 + 3
    assert len([name for name in kept if name.endswith(".pt")]) >= 2 + 3 * (1 + fitting.FOLDS)
    assert all(later[name] == left[name] for name in kept)


def test_no_patient_is_in_two_groups(trained):
    """Stills, odd views, sweeps and tests are of patients of their own."""
    work = trained[0].with_name("bundle-training")
    files = {group: list((work / group).glob("*.npz")) for group in ("simulated", "tests", "views", "stills")}
    patients = {group: {cases.load(file).truth["patient"] for file in files[group]} for group in list(files)[:3]}
    patients["stills"] = {one["patient"] for file in files["stills"] for one in cases.load(file).truth["patients"]}
    assert [len(group) for group in patients.values()] == [PATIENTS, TESTS, PATIENTS // 3, STILLS_EACH * PATIENTS]
    assert len(set().union(*patients.values())) == sum(len(group) for group in patients.values())


def test_stored_cines_are_as_they_were_drawn(trained):
    output, _, _ = trained
    stored = cases.load(output.with_name("bundle-training") / "simulated" / "00002_1.npz")
    assert stored.name == "00002_1"
    assert stored.gray.shape == stored.liver.shape == (WINDOW, *SHAPE)
    assert stored.truth["stage"] == draw_examination(2).stage
    drawn = painted(21, WINDOW)[3]
    fine = drawn.gray.reshape(SHAPE[0], 2, SHAPE[1], 2).mean(axis=(1, 3))
    assert np.abs(stored.gray[3] - fine).max() <= 0.5
    share = drawn.liver.reshape(SHAPE[0], 2, SHAPE[1], 2).mean(axis=(1, 3))
    sure = share != 0.5
    assert np.array_equal(stored.liver[3][sure], (share > 0.5)[sure])


def test_damaged_heads_are_told(trained, tmp_path):
    output, _, _ = trained
    bundle = load_bundle(output)
    broken = bundle.copy_with(tmp_path / "broken", bundle.metadata, {"models/heads.json": '{"3d": {"kind": "linear"}}'})
    with pytest.raises(BundleError, match="heads of the model bundle are damaged; install"):
        _ = FibrosisPipeline(broken.path).heads


# --- the product ------------------------------------------------------------------------------------------------------


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


@pytest.fixture(scope="module")
def untrained(quick, tmp_path_factory) -> Path:
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


def test_an_evaluation_has_a_row_a_case(untrained, simulated, tmp_path):
    written = workbench.evaluate(tmp_path / "figures", simulated, untrained)
    assert [path.name for path in written] == ["cases.csv", "summary.json"]
    rows = list(csv.DictReader(written[0].open(encoding="utf-8")))
    assert [row["case"] for row in rows] == ["simulated_00040", "simulated_00041"]
    for row, seed in zip(rows, (40, 41), strict=True):
        assert int(row["stage"]) == draw_examination(seed).stage
        for model in MODELS:
            assert 0 <= float(row[model]) <= 1
        assert 0 <= float(row["liver_dice"]) < 1
    summary = json.loads(written[1].read_text(encoding="utf-8"))
    assert summary["n"] == 2
    assert summary["simulated"] is True
    assert summary["figures"] == {}, "two patients make no figures"
    assert summary["bundle"] == load_bundle(untrained).identity
    assert summary["liver"]["dice_mean"] == pytest.approx(np.mean([float(row["liver_dice"]) for row in rows]), abs=1e-3)
    pipeline = FibrosisPipeline(untrained)
    cine = read_cine(read_cohort(simulated, ("cine",))[0].files["cine"])
    found = run(pipeline, Case({"cine": cine}, {}, {**default_settings(), "heat_map": False}))
    assert float(rows[0]["3d"]) == pytest.approx(found.value("significant_fibrosis") / 100, abs=1e-5)


def test_the_outlines_are_compared_at_their_place(simulated):
    """The truth itself as the mask overlaps with it fully, on a lattice of its own."""
    from FibrosisVideoLib.learning.evaluating import _liver_dice
    from PrognosisLib.findings import Mask
    from PrognosisLib.framewise.lattice import FrameLattice
    from PrognosisLib.images.cine.screen import find_screen

    case = read_cohort(simulated, ("cine", "labels"))[0]
    cine, labels = read_cine(case.files["cine"]), read_volume(case.files["labels"], "labels")
    lattice = FrameLattice.of(cine, find_screen(cine))
    drawn = np.stack([lattice(frame.astype(np.float32)) > 0.5 for frame in labels.array])
    mask = Mask.from_full(LIVER, drawn, lattice.grid(len(cine)))
    assert _liver_dice(case.files["labels"], mask, cine) > 0.95
    moved = Mask.from_full(LIVER, np.roll(drawn, 40, axis=2), lattice.grid(len(cine)))
    assert _liver_dice(case.files["labels"], moved, cine) < 0.9


def test_a_cohort_without_stages_is_refused(simulated, untrained, tmp_path):
    rows = [{key: row[key] for key in ("case", "cine")} for row in csv.DictReader(simulated.open(encoding="utf-8"))]
    path = write_rows(simulated.parent / "unstaged.csv", rows)
    with pytest.raises(InputError, match="no column 'stage' with values; add the biopsy stage"):
        workbench.evaluate(tmp_path / "figures", path, untrained)
    assert not (tmp_path / "figures").exists()
