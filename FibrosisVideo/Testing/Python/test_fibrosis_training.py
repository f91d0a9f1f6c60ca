"""From simulated cines to a bundle and its figures, on tiny networks: trained, resumed, loaded, evaluated."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

import torch
from fibrosis_cases import film
from fibrosis_networks import make_small
from training_kit import Inline, QuickRun

from FibrosisVideoLib import workbench
from FibrosisVideoLib.labels import MODELS
from FibrosisVideoLib.learning import (
    cases,
    course,
    encoder_training,
    encoding,
    fitting,
    groups,
    head_training,
    liver_training,
    own_cohort,
    scoring,
    teaching,
)
from FibrosisVideoLib.learning.encoding import EncodedCine
from FibrosisVideoLib.learning.taught import UNKNOWN_SIGNS, reached_by
from FibrosisVideoLib.networks.catalog import FILM, FRAMES, SEGMENTER, features_of, load_bundle
from FibrosisVideoLib.networks.lattice import WINDOW
from FibrosisVideoLib.pipeline import FibrosisPipeline
from FibrosisVideoLib.simulation.patients import draw_clinical, draw_examination, truth_of
from PrognosisLib.cohort import write_rows
from PrognosisLib.errors import BundleError, InputError
from PrognosisLib.framewise.lattice import SHAPE
from PrognosisLib.images.cine.writing import write_dicom
from PrognosisLib.learning import frame_files, training
from PrognosisLib.learning.training import TrainingRun
from PrognosisLib.simulation.ultrasound.recording import Frame

PATIENTS, TESTS, STEPS, STILLS_EACH = 6, 3, 1, 2


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
        broken.setattr("FibrosisVideoLib.learning.course.write_fibrosis_bundle", stop)
        with pytest.raises(KeyboardInterrupt):
            workbench.train(output, None, **arguments)
    left = files_of(folder)
    assert not output.exists()
    written = workbench.train(output, None, **arguments)
    assert written[0] == output
    folders = {path.parent.name for path in written[1:] if path.stat().st_size}
    assert folders == {"liver", "encoder", "3d-final", "lstm-final", "2d-final"}, "a learning curve of each network"
    return output, left, files_of(folder)


# --- training ---------------------------------------------------------------------------------------------------------


def test_the_bundle_loads_and_says_how_it_was_made(trained):
    output, _, _ = trained
    bundle = load_bundle(output)
    facts = bundle.metadata["training"]
    assert facts["command"] == "prognosis train"
    assert (facts["steps"], facts["simulated"], facts["tests"]) == (STEPS, PATIENTS, TESTS)
    assert (facts["stills"], facts["encoder_steps"]) == (STILLS_EACH * PATIENTS, course.ENCODER_STEPS_EACH * STEPS)
    assert facts["cohort"] == {"simulated": {"segmentation": True, "risk": True}}
    assert "early_stopping" not in facts
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


# --- a user's own cohort ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def own(trained, tmp_path_factory) -> Path:
    """The bundle of a training on own cines; liver network and encoder are those of the first training."""
    folder = tmp_path_factory.mktemp("own")
    work = trained[0].with_name("bundle-training")
    for group in ("stills", "views", "tests", "liver", "encoder"):
        shutil.copytree(work / group, folder / "bundle-training" / group)
    for n in range(4):
        write_dicom(film(40 + n), folder / f"film{n}.dcm", "Film")
    rows = [{"case": f"c{n}", "patient": f"p{n}", "cine": f"film{n}.dcm", "stage": f"F{n}"} for n in range(4)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own_cohort, "FEWEST_PATIENTS", 3)
        patch.setattr(own_cohort, "FEWEST_EACH", 1)
        sizes = {"steps": STEPS, "simulated": PATIENTS, "risk_patients": TESTS}
        cohort = write_rows(folder / "cohort.csv", rows)
        return workbench.train(folder / "bundle", cohort, validation="p3", patience=1, **sizes)[0]


def test_classifiers_of_a_user_s_own_cohort_are_not_called_simulated(own, trained):
    bundle = load_bundle(own)
    facts = bundle.metadata["training"]
    assert (facts["cohort_cines"], facts["tests"]) == (3, 1)
    assert facts["cohort"] == {"simulated": {"segmentation": True, "risk": False}}
    assert bundle.metadata["measured"]["liver"]["n"] == TESTS, "the liver is measured on simulated cines"
    assert bundle.metadata["measured"]["unusable"]["n"] == 1
    assert not FibrosisPipeline(own).readout.simulated
    assert "own cohort" in bundle.card
    assert "3 cines of the user's own cohort" in bundle.card
    told = facts["early_stopping"]
    assert set(told) == set(MODELS)
    for model in MODELS:
        assert (told[model]["best_step"], told[model]["of"], told[model]["patience"]) == (1, STEPS, 1)
        assert f"Training of the network '{model}' {told[model]['text']}" in bundle.card
    assert "cross-validation took all steps" in bundle.card
    work, first = own.with_name("bundle-training"), trained[0].with_name("bundle-training")
    assert not (work / "simulated").exists(), "no simulated patient teaches the classifiers"
    kept = "encoder/checkpoint.pt"
    assert (work / kept).read_bytes() == (first / kept).read_bytes(), "the encoder is taught by stills alone"


# --- early stopping ---------------------------------------------------------------------------------------------------


def encoded(stage: int, patient: str) -> EncodedCine:
    """A cine whose cells tell its stage and nothing else."""
    cells = np.full((1, WINDOW, features_of("2d"), 1, 1), stage - 2, np.float16)
    known = (np.ones(WINDOW, bool), stage, reached_by(stage), UNKNOWN_SIGNS, patient)
    return EncodedCine(cells, np.ones((1, WINDOW, 1, 1), np.float16), *known)


def test_a_classifier_stops_where_it_becomes_no_better_on_cines_held_out(quick, tmp_path):
    teachers = [encoded(stage, str(stage)) for stage in range(5)]
    contrary = [replace(encoded(4 - one.stage, one.patient), cells=one.cells) for one in teachers]

    def train(name: str, steps: int, *watching) -> tuple[torch.nn.Module, TrainingRun]:
        return head_training.train_classifier(teachers, "2d", tmp_path / name, steps, 0, *watching)

    network, run = train("contrary", 40, contrary, 3)
    assert run.stopping.stopped_at == run.step == run.stopping.best_step + 3 < 40
    _, agreeing = train("agreeing", 40, teachers, 3)
    assert agreeing.stopping.best_step > run.stopping.best_step
    plain, unwatched = train("plain", 40)
    assert (unwatched.step, unwatched.stopping) == (40, None)
    assert not torch.equal(network.score.weight, plain.score.weight)


def test_a_patience_needs_cines_held_out_that_show_a_liver(tmp_path):
    with pytest.raises(InputError, match="patients kept out"):
        workbench.train(tmp_path / "bundle", patience=3)
    assert not list(tmp_path.iterdir()), "nothing is simulated before"
    with pytest.raises(InputError, match="No cine of the patients held out shows enough liver"):
        course.watching_cines(groups.Unseen([], None, []), torch.nn.Identity(), course.Plan(1, 1, 1, 0, patience=3))
