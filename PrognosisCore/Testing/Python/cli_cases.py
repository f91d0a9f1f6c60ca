# ruff: noqa: E402
"""The `prognosis` command in this process, for tests: `from cli_cases import *` for its fixtures."""

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

from PrognosisLib import cli
from PrognosisLib.images.writers import write_volume

__all__ = ["bundle", "ct", "done", "refused"]

ALL_FILES = {"scene.mrb", "segmentation.seg.nrrd", "results.csv", "provenance.json", "report.html"}
GRID = phantoms.axial_grid((3.0, 3.0, 5.0))
CLINICAL = {"age": 67, "sex": "male", "bilirubin": {"value": 1.2, "unit": "mg/dL"}, "albumin": 34, "platelets": 110}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return phantoms.threshold_bundle(tmp_path_factory.mktemp("cli") / "bundle")


@pytest.fixture(scope="module")
def ct(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_volume(phantoms.scan(GRID), tmp_path_factory.mktemp("ct") / "ct.nii.gz")


@pytest.fixture(scope="module")
def done(bundle: Path, ct: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One whole run."""
    folder = tmp_path_factory.mktemp("done")
    clinical = folder / "clinical.json"
    clinical.write_text(json.dumps(CLINICAL))
    arguments = ["--clinical", clinical, "--cutoff-ml", 200, "--output", folder / "out"]
    assert run("spleen", "--ct", ct, "--bundle", bundle, *arguments) == cli.DONE
    return folder / "out"


@pytest.fixture
def refused(tmp_path: Path, bundle: Path, capfd: pytest.CaptureFixture[str]):
    """Run the spleen command; it must end with code 2 and one line, and leave the output's folder as it was."""

    def check(*arguments: object, output: Path | None = None) -> str:
        place = tmp_path / "place"
        place.mkdir(exist_ok=True)
        before = sorted(place.rglob("*"))
        capfd.readouterr()
        options = [] if "--bundle" in arguments else ["--bundle", bundle]
        code = run("spleen", *arguments, *options, "--output", output or place / "out")
        told = capfd.readouterr()
        assert code == cli.BAD_INPUT, told.err
        assert told.out == ""
        assert told.err.startswith("prognosis: ")
        assert told.err.count("\n") == 1, told.err
        assert told.err.endswith("\n")
        assert "Traceback" not in told.err
        assert sorted(place.rglob("*")) == before
        return told.err

    return check


def run(*arguments: object) -> int:
    return cli.main([str(one) for one in arguments])


def rows_of(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "results.csv").open(newline="", encoding="utf-8") as stream:
        return {row["quantity"]: row for row in csv.DictReader(stream)}


def edit(segmentation: Path, target: Path, factor: float) -> Path:
    """The segmentation file with the spleen's lower slices erased, so that about `factor` of it is left."""
    image = sitk.ReadImage(segmentation)
    labels = sitk.GetArrayFromImage(image)
    keys = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys()}
    number = next(key.split("_")[0] for key, value in keys.items() if key.endswith("_Name") and value == "Spleen")
    label = int(keys[f"{number}_LabelValue"])
    layer = labels if labels.ndim == 3 else labels[..., int(keys[f"{number}_Layer"])]
    spleen = layer == label
    sizes = np.cumsum(spleen.sum(axis=(1, 2)))
    cut = int(np.searchsorted(sizes, (1.0 - factor) * sizes[-1])) + 1
    layer[:cut][spleen[:cut]] = 0
    edited = sitk.GetImageFromArray(labels, isVector=labels.ndim == 4)
    edited.CopyInformation(image)
    for key, value in keys.items():
        edited.SetMetaData(key, value)
    sitk.WriteImage(edited, target)
    return target
