# ruff: noqa: E402
"""HepatoPrognosis from files to files and from the console, with the pipeline of hepato_panel_cases.py."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from PrognosisLib import headless

headless.start()

import slicer
from hepato_images import FRAME, film, frame, pair
from hepato_panel_cases import write_test_bundle
from panel_kit import stand_in

from PrognosisLib import cli, scene
from PrognosisLib.errors import InputError
from PrognosisLib.findings import SIMULATED
from PrognosisLib.images.cine.writing import write_dicom
from PrognosisLib.systems import SYSTEMS
from PrognosisLib.worker import shared_worker

CLINICAL = {
    "age": 52,
    "bilirubin": 300,
    "inr": 2.4,
    "creatinine": 90,
    "sodium": 134,
    "albumin": 30,
    "encephalopathy": 1,
}
FILES = {
    "scene.mrb",
    "segmentation.seg.nrrd",
    "segmentation-t1.seg.nrrd",
    "results.csv",
    "provenance.json",
    "report.html",
}


@pytest.fixture
def system(tmp_path, monkeypatch):
    pytest.importorskip("PySide6")  # panel_kit imports the host
    slicer.mrmlScene.Clear(0)
    stand_in(monkeypatch, "hepato", "hepato_panel_cases:EchoPairPipeline", write_test_bundle(tmp_path / "Bundle"))
    yield SYSTEMS["hepato"]
    shared_worker().close()
    headless.unloadModule("HepatoPrognosis")
    slicer.mrmlScene.Clear(0)


@pytest.fixture
def files(tmp_path):
    """Two DICOM images and clinical values, as options."""
    clinical = tmp_path / "clinical.json"
    clinical.write_text(json.dumps(CLINICAL))
    for role, cine in pair().items():
        write_dicom(cine, tmp_path / f"{role}.dcm", "p1")
    return {role: tmp_path / f"{role}.dcm" for role in ("t0", "t1")} | {"clinical": clinical}


def run(folder, **options) -> int:
    words = [word for name, path in options.items() for word in (f"--{name.replace('_', '-')}", str(path))]
    return cli.main(["hepato", *words, "--output", str(folder)])


def rows_of(folder):
    with open(folder / "results.csv", encoding="utf-8", newline="") as file:
        return {row["quantity"]: row for row in csv.DictReader(file)}


def test_from_two_files_to_all_outputs(system, files, tmp_path):
    out = tmp_path / "out"
    assert run(out, **files) == cli.DONE
    assert {path.name for path in out.iterdir()} == FILES
    rows = rows_of(out)
    assert SIMULATED in rows["Combined model: 30-day mortality"]["note"]
    assert float(rows["Change of the area"]["value"]) == pytest.approx(-19, abs=1)
    assert float(rows["MELD-Na"]["value"]) > 20
    assert "not given" not in rows["Age"]["note"]
    inputs = json.loads((out / "provenance.json").read_text())["inputs"]
    assert set(inputs) == {"t0", "t1"}
    html = (out / "report.html").read_text("utf-8")
    assert "Ultrasound at T0 and Ultrasound at T1 (day 5)" in html


def test_t0_alone_runs(system, files, tmp_path):
    out = tmp_path / "out"
    assert run(out, t0=files["t0"], clinical=files["clinical"], mortality_days=60) == cli.DONE
    assert {path.name for path in out.iterdir()} == FILES - {"segmentation-t1.seg.nrrd"}
    rows = rows_of(out)
    assert "not given, estimated" in rows["Ultrasound, change until T1"]["note"]
    assert float(rows["Combined model: 60-day mortality"]["value"]) > 0


def test_a_saved_segmentation_measures_the_same(system, files, tmp_path):
    """What the network read stays in the .seg.nrrd file; the liver of T1 counts as it was."""
    run(tmp_path / "first", **files)
    saved = tmp_path / "first" / "segmentation.seg.nrrd"
    assert run(tmp_path / "second", **files, segmentation=saved) == cli.DONE
    first, second = rows_of(tmp_path / "first"), rows_of(tmp_path / "second")
    assert first.keys() == second.keys()
    for name, row in first.items():
        if row["value"] and row["value"][-1].isdigit():
            assert float(second[name]["value"]) == pytest.approx(float(row["value"]), rel=1e-4), name
        else:
            assert second[name]["value"] == row["value"], name


def test_a_corrected_liver_of_t1_is_measured(system, files, tmp_path, capfd):
    first = tmp_path / "first"
    run(first, **files)
    node = scene.fromCine(pair()["t1"]).volume
    drawn = scene.loadSegmentation(first / "segmentation-t1.seg.nrrd", node)
    segment_id = scene.findSegmentID(drawn, "Liver at T1")
    array = slicer.util.arrayFromSegmentBinaryLabelmap(drawn, segment_id, node)
    array[:, : round(np.argwhere(array)[:, 1].mean())] = 0
    slicer.util.updateSegmentBinaryLabelmapFromArray(array, drawn, segment_id, node)
    scene.saveSegmentation(drawn, tmp_path / "corrected.seg.nrrd")
    both = {"segmentation": first / "segmentation.seg.nrrd", "t1_segmentation": tmp_path / "corrected.seg.nrrd"}
    assert run(tmp_path / "second", **files, **both) == cli.DONE
    areas = [float(rows_of(tmp_path / name)["Liver area at T1"]["value"]) for name in ("first", "second")]
    assert areas[1] == pytest.approx(areas[0] / 2, rel=0.05)
    inputs = json.loads((tmp_path / "second" / "provenance.json").read_text())["inputs"]
    assert set(inputs) == {"t0", "t1", "segmentation", "t1_segmentation"}
    capfd.readouterr()
    assert run(tmp_path / "third", **files, t1_segmentation=both["t1_segmentation"]) == cli.BAD_INPUT
    assert "(--segmentation) only" in capfd.readouterr().err
    assert run(tmp_path / "third", t0=files["t0"], **both) == cli.BAD_INPUT
    assert "(--t1); give both" in capfd.readouterr().err


def test_swapped_files_are_bad_input(system, files, tmp_path, capfd):
    assert run(tmp_path / "out", t0=files["t1"], t1=files["t0"]) == cli.BAD_INPUT
    assert "exchange the two images" in capfd.readouterr().err
    assert not (tmp_path / "out").exists()
    assert run(tmp_path / "out", t1=files["t1"]) == cli.BAD_INPUT
    assert "--t0" in capfd.readouterr().err


def test_frames_are_chosen_by_their_number(system, files, tmp_path):
    write_dicom(film(frame(seed=1), frame(seed=2), frame(seed=3)), tmp_path / "film.dcm", "p1")
    assert run(tmp_path / "out", t0=tmp_path / "film.dcm", t1=files["t1"], frame_t0=3, frame_t1="none") == cli.DONE
    assert rows_of(tmp_path / "out")["Frame read of T0"]["value"] == "3"


def test_from_the_console(system):
    headless.loadModule("HepatoPrognosis")
    from HepatoPrognosis import HepatoPrognosisLogic

    logic, cines = HepatoPrognosisLogic(), pair()
    nodes = {role: scene.fromCine(cine) for role, cine in cines.items()}
    found = [
        logic.process({role: getattr(one, part) for role, one in nodes.items()}, CLINICAL)
        for part in ("sequence", "browser", "volume")
    ]
    values = [one.findings.value("combined_mortality") for one in found]
    assert values == [values[0]] * 3
    masks = {mask.name: mask for mask in found[0].findings.masks}
    again = logic.measure({role: one.volume for role, one in nodes.items()}, found[0].nodes.segmentation, CLINICAL)
    for mask in again.findings.masks:
        assert mask.role == masks[mask.name].role
        assert np.array_equal(mask.full(), masks[mask.name].full())
    assert {heat.role for heat in again.findings.heat_maps} == {"", "t1"}
    assert again.findings.masks[0].grid.shape[1:] == FRAME


def test_points_follow_values_without_a_run(system):
    headless.loadModule("HepatoPrognosis")
    from HepatoPrognosis import HepatoPrognosisLogic

    logic, nodes = HepatoPrognosisLogic(), {role: scene.fromCine(cine).volume for role, cine in pair().items()}
    assert logic.points({}) == []
    total = [logic.points({"age": age})[-1].value for age in (30, 70)]
    assert total[1] > total[0]
    result = logic.process(nodes, CLINICAL)
    rows = {row.key: row.value for row in logic.points(CLINICAL, result.nodes.segmentation)}
    assert rows == {key: result.findings.value(key) for key in rows}
    assert "points_siamese_change" in rows
    with pytest.raises(InputError):
        logic.points({"age": -3})


def test_a_volume_removed_during_the_run_drops_its_results(system):
    headless.loadModule("HepatoPrognosis")
    from HepatoPrognosis import HepatoPrognosisLogic

    logic, nodes = HepatoPrognosisLogic(), {role: scene.fromCine(cine).volume for role, cine in pair().items()}
    logic.startProcess(nodes, CLINICAL)
    slicer.mrmlScene.RemoveNode(nodes["t1"])
    with pytest.raises(InputError, match="was removed from the scene"):
        ended(logic)
    assert not slicer.util.getNodesByClass("vtkMRMLSegmentationNode")


def ended(logic):
    while (result := logic.pollProcess()) is None:
        pass
    return result
