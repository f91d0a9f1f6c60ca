"""From painted pairs of images to a bundle, on a tiny network: trained, resumed, loaded, run and evaluated."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

import torch
from hepato_training import make_quick, painted, write_own

from HepatoPrognosisLib import workbench
from HepatoPrognosisLib.labels import LIVER, MODELS, VARIANTS
from HepatoPrognosisLib.networks.catalog import load_bundle
from HepatoPrognosisLib.pipeline import HepatoPipeline
from HepatoPrognosisLib.settings import default_settings
from PrognosisLib.errors import InputError
from PrognosisLib.framewise.lattice import PIXEL_MM
from PrognosisLib.images.cine.cine import ArrayFrames, Cine
from PrognosisLib.pipeline import Case, run

RISK, TESTS, SIMULATED = 60, 50, 4


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


def times_of(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*.npz")}


def train(output: Path, steps: int) -> Path:
    bundle, *curve = workbench.train(
        output,
        steps=steps,
        simulated=SIMULATED,
        risk_patients=RISK,
        tests=TESTS,
        command=["prognosis", "train", "hepato"],
    )
    assert [path.name for path in curve] == ["learning.svg", "learning.png"]
    return bundle


@pytest.fixture(scope="module")
def trained(quick, tmp_path_factory) -> Path:
    """The bundle of a run that went on where another had stopped."""
    folder = tmp_path_factory.mktemp("hepato")
    workbench._simulated(folder / "bundle-training", workbench.RISK_SEED, 25)
    before = times_of(folder)
    bundle = train(folder / "bundle", 2)
    assert before.items() <= times_of(folder).items()  # what was simulated beforehand is not made again
    return bundle


def test_it_is_a_bundle_that_says_how_it_was_made(trained):
    bundle = load_bundle(trained)
    facts = bundle.metadata
    assert facts["training"]["risk_patients"] == RISK
    assert facts["training"]["tests"] == TESTS
    assert facts["training"]["cohort"]["simulated"] == {"segmentation": True, "risk": True}
    assert bundle.is_part_simulated("risk")
    assert set(facts["measured"]["test"]["models"]) == set(VARIANTS)
    assert facts["measured"]["liver"]["t1"]["n"] == TESTS
    assert set(facts["measured"]["empty"]) == {"view", "box", "noise", "upside down"}


def test_a_head_finds_what_the_images_show(trained):
    """The livers' brightness tells the risk, so that even an untrained encoder's features carry it."""
    measured = load_bundle(trained).metadata["measured"]
    assert measured["head"]["pair"]["r2"] > 0.5
    assert measured["head"]["t0"]["r2"] > 0.5
    siamese = measured["test"]["models"]["siamese"]
    assert siamese["c_index_share_of_oracle"] > 0.6
    assert siamese["c_index"]["value"] > measured["test"]["models"]["siamese_t0"]["c_index"]["value"]
    assert measured["head"]["spread_t0"] > 0


def test_the_card_tells_the_figures(trained):
    bundle = load_bundle(trained)
    card, measured = bundle.card, bundle.metadata["measured"]
    one = measured["test"]["models"]["combined"]["c_index"]
    assert f"{one['value']:.3f} ({one['lower']:.3f} to {one['upper']:.3f})" in card
    assert f"{TESTS} test patients, untouched" in card
    assert "Mortality: simulated cohort" in card
    assert "Published, other data, 82 patients" in card
    assert "Not cross-fitted" in card
    assert "prognosis train hepato" in card
    assert f"{RISK} other simulated patients, {measured['deaths']} of whom died" in card


def film(level: float, seed: int) -> Cine:
    gray, _liver = painted(level, seed)
    return Cine(ArrayFrames(gray[None]), np.zeros(1), (PIXEL_MM, PIXEL_MM), name=f"image {seed}", burned_in=False)


def test_the_pipeline_reads_images_with_it(trained):
    """The readings of a run are those of training: what is brighter at T1 has more risk here."""
    pipeline = HepatoPipeline(trained)
    network = pipeline.load_network()
    from HepatoPrognosisLib.networks.reading import read_image
    from PrognosisLib.images.cine.screen import find_screen

    read = [read_image(one, network, None, find_screen(one)) for one in (film(90, 1), film(90, 2), film(130, 3))]
    scores = [float(pipeline.head.score_pair(read[0].features, other.features)) for other in read[1:]]
    assert scores[1] > scores[0] + 1
    findings = run(
        pipeline,
        Case({"t0": film(90, 1), "t1": film(130, 3)}, {"age": 50, "inr": 2.0, "lactate": 2.5}, default_settings()),
    )
    assert findings.value("clinical_mortality") > 0
    assert findings.mask(LIVER) is not None or findings.flags


def test_a_finished_run_is_not_trained_again(trained):
    again = train(trained, 2)
    assert json.loads((again / "models" / "heads.json").read_text()) == load_bundle(trained).json("heads")
    log = (trained.with_name("bundle-training") / "network" / "log.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in log] == ["step", "2"]
    assert set(load_bundle(again).json("prognosis")["models"]) == set(MODELS)


def test_a_cohort_of_ones_own_takes_the_place_of_simulated_outcomes(quick, tmp_path):
    """Outlines and half of the outcomes teach the network, the other half head and Cox models, the rest tests them."""
    cohort = write_own(tmp_path, 96)
    held = ",".join(f"p{number}" for number in range(60, 96))
    options = {"simulated": 2, "tests": 2, "validation": held, "command": ["prognosis"]}
    bundle, *_curve = workbench.train(tmp_path / "bundle", cohort, steps=3, patience=1, **options)
    facts = load_bundle(bundle).metadata
    assert facts["training"]["cohort"]["simulated"] == {"segmentation": True, "risk": False}
    assert facts["training"]["cohort_pairs"] == 60
    assert facts["training"]["own_outcomes"] == facts["training"]["risk_patients"] == 30
    assert facts["training"]["tests"] == facts["measured"]["test"]["cohort"]["n"] == 36
    assert facts["measured"]["test"]["models"]["siamese"]["c_index"]["value"] > 0.7
    assert "c_index_oracle" not in facts["measured"]["test"]["models"]["siamese"]
    card = load_bundle(bundle).card
    assert "Mortality: own cohort" in card
    assert "Outcomes of 30 of them taught the network" in card
    stopping = facts["training"]["early_stopping"]["siamese"]
    assert stopping["of"] == 3
    assert facts["training"]["steps"] == stopping["stopped_at"] >= stopping["best_step"] >= 1
    assert f"Training of the network 'siamese' {stopping['text']}" in card
    assert not load_bundle(bundle).is_part_simulated("risk")


def test_a_patience_needs_patients_held_out(tmp_path):
    with pytest.raises(InputError, match="patients kept out"):
        workbench.train(tmp_path / "bundle", patience=3)
    assert not list(tmp_path.rglob("*.npz"))
