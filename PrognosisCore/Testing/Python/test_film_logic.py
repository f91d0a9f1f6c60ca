"""A system whose inputs are films, from Python and the command line: runs, edits, files, demo case, report."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("slicer")
pytest.importorskip("PySide6")

from cine_cases import save, ultrasound
from film_cases import draw, erase, same_masks, show
from foreign_module import foreign_module

import host
from host.fixtures import *  # noqa: F403
from PrognosisLib import cli, scene
from PrognosisLib.errors import InputError, WorkerError
from PrognosisLib.findings import Findings, Mask

SOURCE = Path(__file__).resolve().parents[3] / "Testing" / "bright_film"
AREA = 12 * 10 * 0.5 * 0.4 / 100.0
ALL_FILES = {"scene.mrb", "segmentation.seg.nrrd", "results.csv", "provenance.json", "report.html"}


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """The module with a bundle."""
    from PrognosisLib.bundles.bundle import image_format, segmentation_format, write_bundle

    copy = tmp_path_factory.mktemp("extension") / "BrightFilm"
    shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    metadata = {
        "name": "Bright film",
        "version": "1.0.0",
        "system": "bright",
        "network_data_format": {
            "inputs": {"image": image_format("US", ["US"], 1, [0, 255])},
            "outputs": {"pred": segmentation_format(["background", "Bright"], 1)},
        },
        "training": {"cohort": {"simulated": False}},
    }
    files = {"docs/README.md": "# Bright film\n", "docs/data_license.txt": "None.\n", "LICENSE": "Apache-2.0\n"}
    write_bundle(copy / "Resources/Bundle/BrightFilm", metadata, files, classes=2)
    return copy


@pytest.fixture
def logic(folder, host_scene):
    with foreign_module(folder):
        from PrognosisLib import headless

        headless.loadModule("BrightFilm")
        from BrightFilm import BrightFilmLogic

        yield BrightFilmLogic()


def a_cine(**how):
    from BrightFilmLib.pipeline import bright_cine

    return bright_cine(**how)


# --- from Python ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chosen", ["sequence", "browser", "volume"])
def test_a_run_takes_whatever_stands_for_the_film(logic, chosen):
    nodes = scene.fromCine(a_cine())
    node = getattr(nodes, chosen)
    result = logic.process(node)
    assert result.findings.value("area") == pytest.approx(AREA * 5 / 6)
    assert result.findings.value("frames") == 6
    assert result.case.volumes["t0"].name == "bright"
    assert set(result.case.volumes) == {"t0"}
    assert result.findings.provenance["worker"]["pid"]
    assert same_masks(scene.toMasks(result.nodes.segmentation, node), result.findings.masks)
    assert scene.findResults("bright", nodes.sequence).table is result.nodes.table
    for other in (*nodes, *reversed(nodes)):
        again = logic.process({"t0": other})
        assert again.nodes == result.nodes


def test_a_second_film_is_an_input_like_any_other(logic):
    nodes = {"t0": scene.fromCine(a_cine()).volume, "t1": scene.fromCine(a_cine(count=1, start=8)).browser}
    result = logic.process(nodes)
    assert list(result.case.volumes) == ["t0", "t1"]
    assert result.findings.value("later") == 1
    with pytest.raises(InputError, match="The Cine before is missing"):
        logic.process({"t1": nodes["t1"]})
    with pytest.raises(InputError, match="has 1 frames where 3 are needed"):
        logic.process({"t0": nodes["t1"]})


def test_a_multi_frame_volume_is_a_film(logic):
    import slicer

    node = slicer.util.addVolumeFromArray(np.stack(list(a_cine().frames())))
    node.SetSpacing(0.4, 0.5, 1.0)
    result = logic.process(node)
    assert result.findings.value("area") == pytest.approx(AREA * 5 / 6)
    again = logic.measure(node, result.nodes.segmentation)
    assert again.findings.value("area") == pytest.approx(AREA * 5 / 6)
    assert same_masks({mask.name: mask for mask in again.findings.masks}, result.findings.masks)
    (heat,) = again.findings.heat_maps
    assert heat.grid.same_as(result.findings.heat_maps[0].grid)


def test_an_edit_of_one_frame_is_measured(logic):
    film = scene.fromCine(a_cine())
    result = logic.process(film.volume)
    show(film.browser, 1)
    draw(result.nodes.segmentation, film.volume, "Bright", (slice(10, 22), slice(20, 30)))
    show(film.browser, 4)
    for node in (film.volume, film.sequence):
        again = logic.measure(node, result.nodes.segmentation, tableNode=result.nodes.table)
        assert again.findings.value("area") == pytest.approx(AREA)
        assert again.findings.value("known") == 6
        assert again.nodes.table is result.nodes.table
        assert again.nodes.heatMaps == ()
        assert np.array_equal(again.findings.heat_maps[0].array, result.findings.heat_maps[0].array)
    assert film.browser.GetSelectedItemNumber() == 4
    assert logic.process(film.volume).nodes.segmentation is not result.nodes.segmentation


def test_a_film_drawn_by_hand_is_measured(logic):
    from PrognosisLib.scene.editing import segmentToEdit

    film = scene.fromCine(a_cine())
    node, _segmentID = segmentToEdit(film.volume, None, "Bright")
    with pytest.raises(InputError, match="no filled segment named 'Bright'"):
        logic.measure(film.volume, node)
    show(film.browser, 3)
    draw(node, film.volume, "Bright", (slice(0, 12), slice(0, 10)))
    result = logic.measure(film.browser, node)
    assert result.findings.value("area") == pytest.approx(AREA / 6)
    assert result.findings.value("known") == 0


def test_nothing_found_follows_a_segment_that_is_drawn(logic):
    from PrognosisLib.scene.editing import segmentToEdit

    film = scene.fromCine(a_cine())
    result = logic.process(film.volume, settings={"limit": 255})
    assert result.nodes.segmentation is None
    assert [flag.key for flag in result.findings.flags] == ["nothing_bright"]
    again = logic.measure(film.volume, None, tableNode=result.nodes.table, again=True)
    assert [flag.key for flag in again.findings.flags] == ["nothing_bright"]
    node, _segmentID = segmentToEdit(film.volume, None, "Bright")
    draw(node, film.volume, "Bright", (slice(0, 12), slice(0, 10)))
    drawn = logic.measure(film.volume, node, tableNode=result.nodes.table, again=True)
    assert drawn.findings.flags == ()
    assert drawn.findings.value("area") == pytest.approx(AREA / 6)


def test_a_film_removed_or_changed_during_the_run(logic, host_scene):
    film = scene.fromCine(a_cine())
    logic.startProcess(film.volume)
    host_scene.RemoveNode(film.volume)
    with pytest.raises(InputError, match="The volume was removed"):
        host.pump(60, until=lambda: logic.pollProcess() is not None)
    film = scene.fromCine(a_cine())
    logic.startProcess(film.volume)
    film.sequence.SetDataNodeAtValue(film.volume, "9")
    with pytest.raises(InputError, match="changed during the run"):
        host.pump(60, until=lambda: logic.pollProcess() is not None)
    assert scene.findResults("bright", film.volume) == scene.Nodes()


def test_a_film_is_not_run_frame_by_frame(logic):
    from PrognosisLib.runs import FrameRun, findBrowser

    film = scene.fromCine(a_cine())
    assert findBrowser(film.volume) is None
    with pytest.raises(InputError, match="switch off 'All frames'"):
        FrameRun(logic, {"t0": film.volume}, {}, {})


def test_demo_case_and_report(logic, tmp_path):
    from PrognosisLib.runs import startDemo, startReport

    loaded: list = []
    run = startDemo(logic)
    host.pump(60, until=lambda: (found := run.pollProcess()) is not None and loaded.append(found) is None)
    nodes, clinical = loaded[0]
    assert clinical == {}
    assert [len(scene.toCine(node)) for node in nodes.values()] == [6, 4]
    result = logic.process(nodes)
    report = startReport(logic, result, tmp_path, {})
    host.pump(60, until=lambda: report.pollProcess() is not None)
    assert "Bright area" in (tmp_path / "report.html").read_text()


# --- the command line -------------------------------------------------------------------------------------------------


def run(*arguments) -> int:
    return cli.main(["bright", *(str(one) for one in arguments)])


def rows_of(folder: Path) -> dict[str, str]:
    with (folder / "results.csv").open(newline="", encoding="utf-8") as stream:
        return {row["quantity"]: row["value"] for row in csv.DictReader(stream)}


@pytest.fixture
def files(logic, tmp_path) -> dict[str, Path]:
    """Ultrasound DICOM whose pixels are 0.4 mm wide and 0.5 mm high."""
    return {
        name: save(
            ultrasound(np.stack(list(cine.frames())), PixelSpacing=[0.5, 0.4], FrameTime="40"),
            tmp_path / f"{name}.dcm",
        )
        for name, cine in (("t0", a_cine()), ("t1", a_cine(count=4, start=8)))
    }


def test_a_run_writes_all_files_and_its_segmentation_can_be_measured(files, tmp_path):
    import slicer

    out = tmp_path / "out"
    assert run("--t0", files["t0"], "--t1", files["t1"], "--output", out) == cli.DONE
    assert {path.name for path in out.iterdir()} >= ALL_FILES
    rows = rows_of(out)
    assert float(rows["Bright area"]) == pytest.approx(AREA * 5 / 6)
    assert rows["Frames later"] == "4"
    inputs = json.loads((out / "provenance.json").read_text())["inputs"]
    assert set(inputs) == {"t0", "t1"}
    again = tmp_path / "again"
    segmentation = out / "segmentation.seg.nrrd"
    assert run("--t0", files["t0"], "--t1", files["t1"], "--segmentation", segmentation, "--output", again) == cli.DONE
    assert rows_of(again) == rows
    slicer.mrmlScene.Clear(0)
    slicer.util.loadScene(str(again / "scene.mrb"))
    sequences = {node.GetName(): node for node in slicer.util.getNodesByClass("vtkMRMLSequenceNode")}
    assert sequences.keys() == {"t0.dcm", "t1.dcm", "segmentation frames"}
    node = slicer.util.getNode("segmentation")
    mask = scene.toMasks(node, sequences["t0.dcm"])["Bright"]
    areas = mask.full().sum(axis=(1, 2))
    assert areas.tolist() == [30, 0, 30, 30, 30, 30]
    assert len(json.loads(mask.evidence)["means"]) == 6


def test_a_corrected_segmentation_is_measured(files, tmp_path):
    out = tmp_path / "out"
    assert run("--t0", files["t0"], "--output", out) == cli.DONE
    film = scene.fromCine(a_cine())
    node = scene.loadSegmentation(out / "segmentation.seg.nrrd", film.volume)
    show(film.browser, 3)
    erase(node, "Bright")
    scene.saveSegmentation(node, tmp_path / "corrected.seg.nrrd")
    options = ["--segmentation", tmp_path / "corrected.seg.nrrd", "--output", tmp_path / "again"]
    assert run("--t0", files["t0"], *options) == cli.DONE
    assert float(rows_of(tmp_path / "again")["Bright area"]) == pytest.approx(AREA * (5 * 30 - 1) / (6 * 30))


def test_what_the_command_line_refuses(files, tmp_path, capfd):
    def refused(*arguments) -> str:
        capfd.readouterr()
        assert run(*arguments, "--output", tmp_path / "none") == cli.BAD_INPUT
        assert not (tmp_path / "none").exists()
        return capfd.readouterr().err

    (tmp_path / "notes.txt").write_text("words " * 50)
    assert "Cine before: 'notes.txt' is no cine that can be read" in refused("--t0", tmp_path / "notes.txt")
    assert "Cine after: There is no file" in refused("--t0", files["t0"], "--t1", tmp_path / "missing.dcm")
    assert "--series" in refused("--t0", files["t0"], "--series", "1.2.3")
    film = scene.fromCine(a_cine(count=4))
    grid = scene.toCine(film.volume).grid
    other = Findings("bright", (Mask.from_full("Other", np.ones(grid.shape, dtype=bool), grid),))
    scene.saveSegmentation(scene.fromFindings(other, film.volume).segmentation, tmp_path / "other.seg.nrrd")
    told = refused("--t0", files["t0"], "--segmentation", tmp_path / "other.seg.nrrd")
    assert "no filled segment named 'Bright'" in told


def test_a_worker_that_fails_leaves_the_scene_as_it_was(logic, monkeypatch):
    from PrognosisLib.worker import payload

    def no_space(*_):
        raise OSError(28, "No space left on device")

    film = scene.fromCine(a_cine())
    monkeypatch.setattr(payload, "save", no_space)
    with pytest.raises(WorkerError, match=r"t0 of 50 x 40 x 6 pixels and frames"):
        logic.process(film.volume)
    assert film.browser.GetNumberOfSynchronizedSequenceNodes(True) == 1


# --- many films -------------------------------------------------------------------------------------------------------


def names_of(of) -> list[tuple[str, str]]:
    nodes = [of.GetNthNode(index) for index in range(of.GetNumberOfNodes())]
    return [(node.GetID(), node.GetName()) for node in nodes]


@pytest.mark.parametrize("in_slicer", [False, True], ids=["command", "Slicer's scene"])
def test_a_folder_of_films_is_a_batch(files, tmp_path, host_scene, monkeypatch, in_slicer):
    from PrognosisLib import headless
    from PrognosisLib.batch import start_batch, wait
    from PrognosisLib.systems import find_system

    monkeypatch.setattr(headless, "isRunningInSlicer", lambda: in_slicer)
    cohort = tmp_path / "cohort"
    for case, name, role in (("a", "t0", "t0"), ("a", "t1", "t1"), ("b", "t1", "t0")):
        (cohort / case).mkdir(parents=True, exist_ok=True)
        shutil.copy(files[name], cohort / case / f"{role}.dcm")
    rows = [("case", "t0", "t1"), ("a", "a/t0.dcm", "a/t1.dcm"), ("b", "b/t0.dcm", "")]
    (cohort / "cohort.csv").write_text("".join(f"{','.join(row)}\n" for row in rows))
    before = names_of(host_scene)
    summary = wait(start_batch(find_system("bright"), cohort / "cohort.csv", tmp_path / "out"))
    assert (summary.done, summary.failed) == (2, 0)
    with (tmp_path / "out" / "results.csv").open(newline="") as stream:
        found = {row["case"]: row for row in csv.DictReader(stream)}
    assert float(found["a"]["area"]) == pytest.approx(AREA * 5 / 6)
    assert (found["a"]["frames"], found["a"]["later"], found["b"]["frames"]) == ("6", "4", "4")
    for case in "ab":
        names = {path.name for path in (tmp_path / "out" / "cases" / case).iterdir()}
        assert names == {"segmentation.seg.nrrd", "results.csv", "provenance.json", "picture.png"}
    if in_slicer:
        assert names_of(host_scene) == before
    # A folder's cines are its cases, too: one for each file with several frames.
    again = wait(start_batch(find_system("bright"), cohort, tmp_path / "third"))
    assert again.cases == 3
