# ruff: noqa: E402
"""The `prognosis` command in this process: files in, all files out, whole and the same every time."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from PrognosisLib import headless

headless.start()

import phantoms
import SimpleITK as sitk
import slicer
from cli_cases import *  # noqa: F403
from cli_cases import ALL_FILES, CLINICAL, edit, rows_of, run

from PrognosisLib import cli
from PrognosisLib.bundles.bundle import Bundle

COLUMNS = ["quantity", "value", "unit", "lower", "upper", "method", "note"]


def test_a_run_writes_exactly_the_files_that_are_promised(done: Path):
    assert {path.name for path in done.iterdir()} == ALL_FILES
    assert not [path for path in done.parent.iterdir() if path.name.startswith(".")]


def test_the_table_has_the_promised_columns_and_the_right_volume(done: Path):
    with (done / "results.csv").open(newline="", encoding="utf-8") as stream:
        assert next(csv.reader(stream)) == COLUMNS
    rows = rows_of(done)
    volume = next(row for name, row in rows.items() if name in ("spleen_volume", "Spleen volume"))
    assert float(volume["value"]) == pytest.approx(phantoms.SPLEEN.volume_ml, rel=0.015)
    assert volume["unit"] == "mL"
    assert float(volume["lower"]) < phantoms.SPLEEN.volume_ml < float(volume["upper"])
    assert any(row["value"] == "high" for row in rows.values())
    assert any("simulated cohort" in row["note"] for row in rows.values())


def test_provenance_tells_how_to_run_it_again(done: Path, ct: Path, bundle: Path):
    told = json.loads((done / "provenance.json").read_text())
    import hashlib

    assert told["inputs"]["ct"] == {"name": "ct.nii.gz", "sha256": hashlib.sha256(ct.read_bytes()).hexdigest()}
    assert told["settings"]["cutoff_mL"] == 200
    assert told["clinical"] == CLINICAL
    assert told["bundle"]["name"] == Bundle.load(bundle, "spleen").metadata["name"]
    assert told["device"] == "CPU (ONNX Runtime)"
    assert {"coarse", "fine", "paste", "measure"} <= set(told["seconds"])


def test_the_same_run_gives_the_same_table_and_masks(done: Path, bundle: Path, ct: Path, tmp_path: Path):
    clinical = tmp_path / "clinical.json"
    clinical.write_text(json.dumps(CLINICAL))
    options = ["--bundle", bundle, "--clinical", clinical, "--cutoff-ml", 200]
    assert run("spleen", "--ct", ct, *options, "--output", tmp_path / "again") == cli.DONE
    assert (tmp_path / "again" / "results.csv").read_bytes() == (done / "results.csv").read_bytes()
    first, second = (
        sitk.GetArrayFromImage(sitk.ReadImage(folder / "segmentation.seg.nrrd"))
        for folder in (done, tmp_path / "again")
    )
    np.testing.assert_array_equal(first, second)


def test_the_saved_scene_holds_this_patient_only(bundle: Path, ct: Path, tmp_path: Path):
    """Also when another patient was run in the same process before."""
    for name in ("first", "second"):
        assert run("spleen", "--ct", ct, "--bundle", bundle, "--output", tmp_path / name) == cli.DONE
    slicer.mrmlScene.Clear(0)
    slicer.util.loadScene(str(tmp_path / "second" / "scene.mrb"))
    assert len(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")) == 1
    assert len(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")) == 1
    slicer.mrmlScene.Clear(0)


def test_an_edited_segmentation_is_measured_as_it_is(done: Path, bundle: Path, ct: Path, tmp_path: Path):
    edited = edit(done / "segmentation.seg.nrrd", tmp_path / "edited.seg.nrrd", 0.5)
    options = ["--bundle", bundle, "--segmentation", edited, "--output", tmp_path / "out"]
    assert run("spleen", "--ct", ct, *options) == cli.DONE
    assert {path.name for path in (tmp_path / "out").iterdir()} == ALL_FILES
    before, after = rows_of(done), rows_of(tmp_path / "out")
    (key,) = [name for name in before if name in ("spleen_volume", "Spleen volume")]
    left = float(after[key]["value"]) / float(before[key]["value"])
    assert 0.3 < left < 0.55
    image = sitk.ReadImage(edited)
    labels = sitk.GetArrayFromImage(image)
    layer = labels if labels.ndim == 3 else labels[..., 0]
    counted = max(np.count_nonzero(layer == label) for label in (1, 2))
    assert counted > 0
    assert "network's own uncertainty" in before[key]["method"]
    assert "surface area" in after[key]["method"]
    provenance = json.loads((tmp_path / "out" / "provenance.json").read_text())
    assert provenance["inputs"]["segmentation"]["name"] == "edited.seg.nrrd"


def test_an_unedited_segmentation_measures_the_same(done: Path, bundle: Path, ct: Path, tmp_path: Path):
    options = ["--bundle", bundle, "--segmentation", done / "segmentation.seg.nrrd", "--output", tmp_path / "out"]
    assert run("spleen", "--ct", ct, *options) == cli.DONE
    before, after = rows_of(done), rows_of(tmp_path / "out")
    (key,) = [name for name in before if name in ("spleen_volume", "Spleen volume")]
    assert after[key] == before[key]
