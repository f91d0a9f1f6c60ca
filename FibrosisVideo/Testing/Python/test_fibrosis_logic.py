# ruff: noqa: E402
"""FibrosisVideo from files to files and from the console, with the pipeline of fibrosis_panel_cases.py."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from PrognosisLib import headless

headless.start()

import slicer
from fibrosis_cases import FRAMES, film
from fibrosis_panel_cases import write_test_bundle
from panel_kit import stand_in

from PrognosisLib import scene
from PrognosisLib.findings import SIMULATED
from PrognosisLib.images.cine.reading import read_cine
from PrognosisLib.images.cine.writing import write_dicom
from PrognosisLib.single_case import run_case
from PrognosisLib.systems import SYSTEMS
from PrognosisLib.worker import shared_worker

CLINICAL = {"age": 50, "ast": 80, "alt": 64, "platelets": 150, "swe_kpa": 8.9}


@pytest.fixture
def system(tmp_path, monkeypatch):
    pytest.importorskip("PySide6")  # panel_kit imports the host
    slicer.mrmlScene.Clear(0)
    stand_in(monkeypatch, "fibrosis", "fibrosis_panel_cases:EchoPipeline", write_test_bundle(tmp_path / "Bundle"))
    yield SYSTEMS["fibrosis"]
    shared_worker().close()
    headless.unloadModule("FibrosisVideo")
    slicer.mrmlScene.Clear(0)


@pytest.fixture
def files(tmp_path):
    """A DICOM cine and clinical values."""
    clinical = tmp_path / "clinical.json"
    clinical.write_text(json.dumps(CLINICAL))
    write_dicom(film(), tmp_path / "cine.dcm", "Film")
    return tmp_path / "cine.dcm", clinical


def rows_of(folder):
    with open(folder / "results.csv", encoding="utf-8", newline="") as file:
        return {row["quantity"]: row for row in csv.DictReader(file)}


def test_from_a_dicom_file_to_all_outputs(system, files, tmp_path):
    cine, clinical = files
    written = run_case(system, {"cine": cine}, tmp_path / "out", clinical_file=clinical)
    names = {path.name for path in written}
    assert {"scene.mrb", "segmentation.seg.nrrd", "results.csv", "provenance.json", "report.html"} <= names
    (shown,) = names & {"cine.mp4", "cine.gif"}
    html = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert f'href="{shown}"' in html
    rows = rows_of(tmp_path / "out")
    assert float(rows["Frames with liver"]["value"]) == 100.0
    assert SIMULATED in rows["Probability of F2 or higher"]["note"]
    assert float(rows["FIB-4"]["value"]) == pytest.approx(3.3333, abs=1e-3)
    if shown == "cine.mp4":
        assert len(read_cine(tmp_path / "out" / shown)) == FRAMES


def test_a_saved_segmentation_measures_the_same(system, files, tmp_path):
    """What the networks saw stays in the .seg.nrrd file."""
    cine, clinical = files
    run_case(system, {"cine": cine}, tmp_path / "first", clinical_file=clinical)
    saved = tmp_path / "first" / "segmentation.seg.nrrd"
    run_case(system, {"cine": cine}, tmp_path / "second", clinical_file=clinical, segmentation_file=saved)
    first, second = rows_of(tmp_path / "first"), rows_of(tmp_path / "second")
    assert first.keys() == second.keys()
    for name, row in first.items():
        if row["value"] and row["value"][0].isdigit():
            assert float(second[name]["value"]) == pytest.approx(float(row["value"]), rel=0.01), name
        else:
            assert second[name]["value"] == row["value"]


def test_from_the_console_with_sequence_browser_or_volume(system):
    headless.loadModule("FibrosisVideo")
    from FibrosisVideo import FibrosisVideoLogic

    logic, nodes = FibrosisVideoLogic(), scene.fromCine(film())
    found = [logic.process(node, CLINICAL).findings for node in nodes]
    chances = [one.value("significant_fibrosis") for one in found]
    assert chances[0] > 50
    assert chances == [chances[0]] * 3
    result = logic.process(nodes.volume, CLINICAL, {"decision_percent": 99.0, "heat_map": False})
    assert result.findings.value("is_significant") == "no"
    assert result.findings.heat_maps == ()
    assert np.count_nonzero(result.findings.mask("Liver").array.any(axis=(1, 2))) == FRAMES
