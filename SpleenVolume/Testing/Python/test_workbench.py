"""Evaluation rows, their summary, calibration and the model card, against cases whose numbers are known."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import phantoms
import pytest

from PrognosisLib.cohort import CohortCase, read_cohort, write_rows
from PrognosisLib.errors import InputError
from PrognosisLib.images.writers import write_volume
from PrognosisLib.learning.border import LEVEL, UNMEASURED
from PrognosisLib.volume import Volume
from SpleenVolumeLib.card import make_card
from SpleenVolumeLib.packing import calibrate, describe
from SpleenVolumeLib.pipeline import SpleenPipeline
from SpleenVolumeLib.training import LIVER, SPLEEN, PatchSource, Sampling
from SpleenVolumeLib.workbench import evaluate, load_case, segment_case, summarize

GRID = phantoms.axial_grid((3.0, 3.0, 4.0))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return phantoms.threshold_bundle(tmp_path_factory.mktemp("workbench") / "bundle")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Spleens of three sizes; what the networks see is the label map, but for a border moved by 1 % in radius."""
    folder = tmp_path_factory.mktemp("cohort")
    rows = []
    for number, (size, error) in enumerate([(0.8, 1.01), (1.0, 0.99), (1.1, 1.01)]):
        truth = phantoms.Ellipsoid(phantoms.SPLEEN.center, tuple(size * r for r in phantoms.SPLEEN.radii))
        seen = phantoms.Ellipsoid(truth.center, tuple(error * r for r in truth.radii))
        labels = SPLEEN * (truth.share(GRID) > 0.5) + LIVER * (phantoms.LIVER.share(GRID) > 0.5)
        name = f"p{number}"
        (folder / name).mkdir()
        write_volume(phantoms.scan(GRID, spleens=[seen]), folder / name / "ct.nii.gz")
        write_volume(Volume(labels.astype(np.uint8), GRID.ijk_to_ras, "labels"), folder / name / "labels.nii.gz")
        rows.append({"case": name, "ct": f"{name}/ct.nii.gz", "labels": f"{name}/labels.nii.gz"})
    return write_rows(folder / "cohort.csv", rows)


def cases_of(cohort: Path) -> list[CohortCase]:
    return read_cohort(cohort, ("ct", "labels"))


def test_evaluation_measures_what_the_networks_found(bundle: Path, cohort: Path, tmp_path: Path):
    written = evaluate(tmp_path / "out", cohort, bundle)
    assert [path.name for path in written[:4]] == ["cases.csv", "statistics.csv", "summary.json", "validation.html"]
    rows = list(csv.DictReader(written[0].open()))
    assert [row["case"] for row in rows] == ["p0", "p1", "p2"]
    for row, size, error in zip(rows, (0.8, 1.0, 1.1), (1.01, 0.99, 1.01), strict=True):
        true_ml = phantoms.SPLEEN.volume_ml * size**3
        assert float(row["spleen_true_mL"]) == pytest.approx(true_ml, rel=0.01)
        assert float(row["spleen_mL"]) == pytest.approx(true_ml * error**3, rel=0.015)
        assert float(row["spleen_dice"]) > 0.96
        assert float(row["spleen_hd95_mm"]) < 4.5
        assert float(row["spleen_volume_error_percent"]) == pytest.approx(100 * (error**3 - 1), abs=1.5)
        assert float(row["spleen_lower_mL"]) < float(row["spleen_mL"]) < float(row["spleen_upper_mL"])
        assert float(row["liver_dice"]) > 0.96
    figures = json.loads(written[2].read_text())
    dices = [float(row["spleen_dice"]) for row in rows]
    assert figures["spleen"]["dice_mean"] == pytest.approx(np.mean(dices), abs=1e-4)
    assert figures["spleen"]["dice_worst"] == pytest.approx(min(dices), abs=1e-4)
    assert figures["bundle"]["name"] == "Thresholds for tests"


def test_evaluation_takes_outcomes_clinical_values_and_cases_without_labels(bundle: Path, cohort: Path, tmp_path: Path):
    told = {"age": "66", "bilirubin [mg/dL]": "1.2", "albumin": "38", "sex": "male", "site": "A"}
    rows = []
    for number, row in enumerate(csv.DictReader(cohort.open(encoding="utf-8"))):
        files = {name: str(cohort.parent / row[name]) for name in ("ct", "labels")}
        outcome = {"died": str(number % 2), "survival_months": str(5 + number), "decompensated": str(int(number == 0))}
        rows.append({"case": row["case"], **files, **told, **outcome})
    rows[1]["labels"] = ""
    rows[2]["albumin"] = "900"
    written = evaluate(tmp_path / "out", write_rows(tmp_path / "cohort.csv", rows), bundle)
    found = list(csv.DictReader(written[0].open(encoding="utf-8")))
    assert [bool(row["spleen_dice"]) for row in found] == [True, False, False]
    assert [bool(row["decompensation_risk"]) for row in found] == [True, True, False]
    assert "albumin 900" in found[2]["error"]
    assert float(found[0]["bilirubin"]) == pytest.approx(1.2 * 17.104, rel=1e-3)
    assert float(found[0]["decompensation_risk_lower"]) < float(found[0]["decompensation_risk"])
    summary = json.loads(written[2].read_text(encoding="utf-8"))
    assert summary["cohort"] == {"cases": 3, "patients": 3, "failed": 1, "simulated": False}
    survival = summary["endpoints"]["survival"]
    assert any("1 of 2 patients have the event" in remark for remark in survival["remarks"])
    (refused,) = summary["endpoints"]["decompensation_refit"]["remarks"]
    assert refused.startswith("No case has all that decompensation after TACE needs: 1 cases have unfit values")


def test_labels_on_another_grid_are_refused(tmp_path: Path):
    image = write_volume(phantoms.scan(GRID), tmp_path / "ct.nii.gz")
    moved = GRID.ijk_to_ras.copy()
    moved[0, 3] += 1.0
    labels = write_volume(Volume(np.zeros(GRID.shape, dtype=np.uint8), moved, "labels"), tmp_path / "labels.nii.gz")
    with pytest.raises(InputError, match="Case 'one': the labels lie on another grid"):
        load_case(CohortCase("one", "one", {"ct": image, "labels": labels}))


def test_a_missed_spleen_counts_as_zero_not_as_missing(bundle: Path, tmp_path: Path):
    bare = phantoms.scan(GRID, spleens=())
    bare.array[0, 0, 0] = -1000
    image = write_volume(bare, tmp_path / "ct.nii.gz")
    truth = (phantoms.SPLEEN.share(GRID) > 0.5).astype(np.uint8)
    labels = write_volume(Volume(truth, GRID.ijk_to_ras, "labels"), tmp_path / "labels.nii.gz")
    row, _ = segment_case(SpleenPipeline(bundle), CohortCase("one", "one", {"ct": image, "labels": labels}))
    assert row["spleen_dice"] == 0.0
    assert row["spleen_mL"] == 0.0
    assert row["spleen_volume_error_percent"] == -100.0
    figures = summarize([row])["spleen"]
    assert figures["n"] == 1
    assert figures["dice_mean"] == 0.0
    assert (figures["missed"], figures["hd95_mean_mm"]) == (1, None)
    json.dumps(figures, allow_nan=False)
    card = make_card({**describe(RECORD), "measured": {"spleen": figures}}, [row])
    assert "Not found in 1." in card


def a_row(case: str, dice: float, error: float, hd95: float, found: tuple[float, float, float]) -> dict:
    lower, ml, upper = found
    return {
        "case": case,
        "spleen_true_mL": 200.0,
        "spleen_mL": ml,
        "spleen_dice": dice,
        "spleen_hd95_mm": hd95,
        "spleen_volume_error_percent": error,
        "spleen_lower_mL": lower,
        "spleen_upper_mL": upper,
    }


def test_summary_of_known_rows():
    rows = [
        a_row("a", 0.90, -10.0, 4.0, (170.0, 180.0, 190.0)),
        a_row("b", 0.96, 2.0, 2.0, (195.0, 204.0, 210.0)),
        a_row("c", 0.98, 1.0, 3.0, (190.0, 202.0, 215.0)),
    ]
    figures = summarize(rows)
    assert set(figures) == {"spleen"}
    assert figures["spleen"] == {
        "n": 3,
        "dice_mean": pytest.approx(0.9467, abs=1e-4),
        "dice_sd": pytest.approx(0.0416, abs=1e-4),
        "dice_worst": 0.9,
        "volume_error_median_percent": 2.0,
        "hd95_mean_mm": 3.0,
        "missed": 0,
        "interval_covers": "2 of 3",
    }
    assert summarize([]) == {}


def test_calibration_holds_the_errors_it_was_made_from(bundle: Path, cohort: Path):
    """The border is off by 1 % of the radius, alternately out and in: 0.3 to 0.5 mm."""
    found = calibrate(SpleenPipeline(bundle), cases_of(cohort))
    assert found["n"] == 3
    assert found["level"] == LEVEL
    # Student's t with 3 degrees of freedom: 3.18 times the root mean square.
    assert found["boundary_mm"] == pytest.approx(3.18 * 0.4, rel=0.4)
    assert found["logit"] > 0
    assert found["covers_when_left_out"] == "3 of 3"


def test_too_few_patients_calibrate_nothing(bundle: Path, cohort: Path):
    assert calibrate(SpleenPipeline(bundle), cases_of(cohort)[:2]) == UNMEASURED


RECORD = {
    "command": "prognosis train spleen --output made",
    "seed": 3,
    "steps": {"coarse": 10, "fine": 20},
    "training": ["btcv_01", "btcv_02"],
    "training_simulated": 7,
    "validation": ["btcv_03"],
}


def test_the_card_says_what_was_measured_and_on_whom():
    rows = [a_row("btcv_03", 0.95, 3.0, 2.5, (190.0, 206.0, 220.0))]
    facts = describe(RECORD)
    assert facts["training"]["cohort"]["simulated"] == {"segmentation": False, "risk": True}
    facts["interval"] = {**UNMEASURED, "n": 5, "covers_when_left_out": "4 of 5"}
    facts["measured"] = summarize(rows)
    card = make_card(facts, rows)
    for words in (
        "not for clinical use",
        "simulated cohort",
        "btcv_01, btcv_02",
        "Held out, split by patient: btcv_03",
        "| btcv_03 | 200.0 | 206.0 | 0.950 | 2.5 |",
        "Dice mean 0.950",
        "4 of 5 left-out patients",
        RECORD["command"],
    ):
        assert words in card, words
    assert "{" not in card


def test_the_card_of_simulated_patients_only_says_so():
    facts = describe({**RECORD, "training": [], "validation": []})
    assert facts["training"]["cohort"]["simulated"]["segmentation"] is True
    card = make_card({**facts, "measured": {}}, [])
    assert "real patients" not in card
    assert "Nothing was held out" in card
    assert "Not calibrated" in card


def test_patches_for_training_are_in_the_networks_range():
    from SpleenVolumeLib.network import COARSE, FINE

    image = phantoms.scan(GRID)
    labels = SPLEEN * (phantoms.SPLEEN.share(GRID) > 0.5) + LIVER * (phantoms.LIVER.share(GRID) > 0.5)
    from PrognosisLib.learning.patches import TrainingCase

    case = TrainingCase.from_volumes("one", image, Volume(labels.astype(np.uint8), GRID.ijk_to_ras))
    for stage in (COARSE, FINE):
        source = PatchSource([case], Sampling(stage, size=32, batch=2))
        hu, target = source(np.random.default_rng(0))
        assert hu.shape == (2, 1, 32, 32, 32)
        assert target.shape == (2, 3, 32, 32, 32)
        assert hu.min() >= -1
        assert hu.max() <= 1
        np.testing.assert_allclose(target.sum(dim=1), 1.0, atol=1e-5)
        again, _ = source(np.random.default_rng(0))
        assert (again == hu).all()
    with pytest.raises(ValueError, match="No training case is left"):
        PatchSource([], Sampling(FINE))


def test_simulating_and_evaluating_need_no_torch() -> None:
    script = "import sys, SpleenVolumeLib.workbench, SpleenVolumeLib.pipeline; sys.exit('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
