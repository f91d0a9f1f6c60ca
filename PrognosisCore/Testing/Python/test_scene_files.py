# ruff: noqa: E402
"""Scenes, segmentations and tables in files: complete, exact, and never half written."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

pytest.importorskip("slicer")

from PrognosisLib import headless

headless.start()

import slicer
from scene_cases import clear_scene, small_findings

from PrognosisLib import scene
from PrognosisLib.errors import InputError
from PrognosisLib.volume import Grid, Volume

GRID = Grid((14, 15, 16), np.diag([-0.9, -0.8, 2.5, 1.0]))


@pytest.fixture(autouse=True)
def empty_scene():
    clear_scene()
    yield
    headless.vtkErrorRecorder().check()
    clear_scene()


@pytest.fixture
def a_volume_node():
    return scene.fromVolume(Volume(np.zeros(GRID.shape, dtype=np.int16), GRID.ijk_to_ras, name="CT"))


def test_a_reloaded_scene_has_everything(tmp_path, a_volume_node):
    findings = small_findings(GRID)
    written = scene.fromFindings(findings, a_volume_node)
    scene.saveScene(tmp_path / "case.mrb")
    slicer.mrmlScene.Clear(0)
    assert slicer.mrmlScene.ReadFromMRB(str(tmp_path / "case.mrb"), True)

    volume_node = slicer.util.getNode("CT")
    nodes = scene.findResults("spleen", volume_node)
    masks = scene.toMasks(nodes.segmentation, volume_node)
    assert {name: mask.checksum for name, mask in masks.items()} == {
        mask.name: mask.checksum for mask in findings.masks
    }
    assert masks["Spleen"].volume_ml == findings.masks[0].volume_ml
    assert masks["Liver"].visible is False
    again = scene.readTable(nodes.table)
    assert (again.measurements, again.flags, again.summary) == (findings.measurements, findings.flags, findings.summary)
    assert [chart.GetTitle() for chart in nodes.plotCharts] == ["Survival (simulated cohort)", "Growth"]
    assert len(nodes.plotSeries) == len(written.plotSeries)
    assert nodes.table.GetTable().GetColumnByName("value").GetDataTypeAsString() == "double"
    np.testing.assert_allclose(slicer.util.arrayFromVolume(nodes.heatMaps[0]), findings.heat_maps[0].array, rtol=1e-6)

    count = slicer.mrmlScene.GetNumberOfNodes()
    assert scene.fromFindings(findings, volume_node) == nodes
    assert slicer.mrmlScene.GetNumberOfNodes() == count


def test_a_scene_is_added_to_another_without_mixing_their_results(tmp_path, a_volume_node):
    scene.fromFindings(small_findings(GRID, volume=1.0), a_volume_node)
    scene.saveScene(tmp_path / "case.mrb")
    assert slicer.mrmlScene.ReadFromMRB(str(tmp_path / "case.mrb"), False)
    scans = [node for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") if node.GetName().startswith("CT")]
    found = [scene.findResults("spleen", node) for node in scans]
    assert len(found) == 2
    assert found[0].table is not found[1].table
    assert all(results.table and len(results.plotCharts) == 2 for results in found)


def test_the_csv_has_all_digits_and_the_agreed_columns(tmp_path, a_volume_node):
    nodes = scene.fromFindings(small_findings(GRID), a_volume_node)
    for name, delimiter in (("results.csv", ","), ("results.tsv", "\t")):
        scene.saveTable(nodes.table, tmp_path / name)
        with open(tmp_path / name, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file, delimiter=delimiter))
        assert list(rows[0]) == ["quantity", "value", "unit", "lower", "upper", "method", "note"]
        assert float(rows[0]["value"]) == 312.456789012345
        assert (rows[1]["value"], rows[2]["value"], rows[1]["lower"]) == ("high", "", "")
        assert rows[2]["note"] == 'bilirubin is missing: "total"'
    scene.saveTable(nodes.plotTables[1], tmp_path / "growth.csv")
    lines = (tmp_path / "growth.csv").read_text().split()
    assert lines[-1] == "5.0,25.0"


def test_a_segmentation_file_is_the_size_of_the_scan(tmp_path, a_volume_node):
    nodes = scene.fromFindings(small_findings(GRID), a_volume_node)
    scene.saveSegmentation(nodes.segmentation, str(tmp_path / "organs.seg.nrrd"))
    import SimpleITK as sitk

    image = sitk.ReadImage(str(tmp_path / "organs.seg.nrrd"))
    assert image.GetSize() == GRID.shape[::-1]
    assert set(np.unique(sitk.GetArrayFromImage(image))) == {0, 1, 2}


def save_all(folder, nodes) -> dict:
    return {
        "case.mrb": lambda: scene.saveScene(folder / "case.mrb"),
        "organs.seg.nrrd": lambda: scene.saveSegmentation(nodes.segmentation, folder / "organs.seg.nrrd"),
        "results.csv": lambda: scene.saveTable(nodes.table, folder / "results.csv"),
    }


def test_nothing_is_left_behind_beside_the_files(tmp_path, a_volume_node):
    nodes = scene.fromFindings(small_findings(GRID), a_volume_node)
    for save in save_all(tmp_path, nodes).values():
        save()
        save()
    assert {path.name for path in tmp_path.iterdir()} == {"case.mrb", "organs.seg.nrrd", "results.csv"}


def test_a_wrong_suffix_or_folder_is_refused_in_words(tmp_path, a_volume_node):
    nodes = scene.fromFindings(small_findings(GRID), a_volume_node)
    with pytest.raises(InputError, match=r"must end in \.mrb"):
        scene.saveScene(tmp_path / "case.zip")
    with pytest.raises(InputError, match=r"must end in \.seg\.nrrd"):
        scene.saveSegmentation(nodes.segmentation, tmp_path / "organs.nrrd")
    for save in save_all(tmp_path / "missing", nodes).values():
        with pytest.raises(InputError, match="There is no folder"):
            save()
    nodes.segmentation.GetSegmentation().RemoveAllSegments()
    with pytest.raises(InputError, match="no segments to save"):
        scene.saveSegmentation(nodes.segmentation, tmp_path / "organs.seg.nrrd")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="limits on file size are set with the resource module, which is Unix only")
def test_a_full_disk_keeps_the_older_files(tmp_path):
    """A limit on the size of files stands in for the full disk."""
    names = ["case.mrb", "organs.seg.nrrd", "results.csv"]
    for name in names:
        (tmp_path / name).write_text("older")
    code = f"""
        import resource, signal, sys
        from pathlib import Path
        import numpy as np
        sys.path.insert(0, {os.path.dirname(__file__)!r})
        from test_scene_files import save_all
        from scene_cases import small_findings
        from PrognosisLib import scene
        from PrognosisLib.errors import InputError
        from PrognosisLib.findings import Findings, Mask
        from PrognosisLib.volume import Grid, Volume
        from dataclasses import replace
        grid = Grid((40, 60, 60), np.eye(4))
        noise = np.random.default_rng(0).random(grid.shape) > 0.5
        node = scene.fromVolume(Volume(noise.astype(np.int16), grid.ijk_to_ras, name="CT"))
        findings = small_findings(grid)
        rows = tuple(replace(findings.measurements[0], note="x" * 30000) for _ in range(3))
        findings = replace(findings, masks=(Mask.from_full("Spleen", noise, grid),), measurements=rows)
        nodes = scene.fromFindings(findings, node)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10000, 10000))
        for save in save_all(Path({str(tmp_path)!r}), nodes).values():
            try:
                save()
            except InputError as error:
                print(error)
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, env=environment, check=False
    )
    assert result.stdout.count("could not be written") == 3, result.stdout + result.stderr
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(names, "older")
