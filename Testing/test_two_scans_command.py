"""A system with an optional second scan, from Python and the command line: inputs, evidence, settings of every kind."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

pytest.importorskip("slicer")
pytest.importorskip("PySide6")

from two_scans_cases import *  # noqa: F403
from two_scans_cases import LATER, SPOT, ml, scan

import host
from PrognosisLib import cli, scene
from PrognosisLib.errors import InputError


def test_only_the_first_scan_must_be_there(logic):
    result = logic.process({"ct": scene.fromVolume(scan()), "followup": None})
    assert set(result.case.volumes) == {"ct"}
    with pytest.raises(InputError, match="The CT is missing"):
        logic.process({"followup": scene.fromVolume(scan())})


def test_all_frames_are_run_with_the_same_second_scan(logic, host_scene):
    import slicer

    from PrognosisLib.runs import FrameRun

    sequence = host_scene.AddNewNodeByClass("vtkMRMLSequenceNode", "Frames")
    for number, spot in enumerate((SPOT, LATER, SPOT)):
        frame = scene.fromVolume(scan(spot, "Frame"))
        sequence.SetDataNodeAtValue(frame, str(number))
        host_scene.RemoveNode(frame)
    browser = host_scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "Browser")
    slicer.modules.sequences.logic().AddSynchronizedNode(sequence, None, browser)
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    volumes = {"ct": browser.GetProxyNode(sequence), "followup": scene.fromVolume(scan(LATER, "Later"))}
    frames = FrameRun(logic, volumes, {}, {})
    host.pump(60, until=lambda: frames.pollProcess() is not None)
    later = slicer.util.arrayFromTableColumn(frames.framesTable, "later")
    assert later == pytest.approx([75.0] * 3)
    stopped = FrameRun(logic, volumes, {}, {})
    host_scene.RemoveNode(volumes["followup"])
    with pytest.raises(InputError, match="Frame 3: a volume was removed"):
        host.pump(60, until=lambda: stopped.pollProcess() is not None)


# --- the command line -------------------------------------------------------------------------------------------------


@pytest.fixture
def files(logic, tmp_path) -> dict[str, Path]:
    from PrognosisLib.images.writers import write_volume

    return {
        "ct": write_volume(scan(), tmp_path / "ct.nii.gz"),
        "followup": write_volume(scan(LATER), tmp_path / "later.nii.gz"),
    }


def command(output: Path, *arguments: object) -> dict[str, dict[str, str]]:
    """Runs the command; gives the rows of its table."""
    assert cli.main(["two", *map(str, arguments), "--output", str(output)]) == cli.DONE
    with (output / "results.csv").open(newline="", encoding="utf-8") as stream:
        return {row["quantity"]: row for row in csv.DictReader(stream)}


def test_the_command_takes_one_scan_or_two(files, tmp_path):
    rows = command(tmp_path / "one", "--ct", files["ct"])
    assert rows["Mean density later"]["value"] == ""
    rows = command(tmp_path / "two", "--ct", files["ct"], "--followup", files["followup"])
    assert float(rows["Mean density later"]["value"]) == pytest.approx(75.0)
    provenance = json.loads((tmp_path / "two" / "provenance.json").read_text("utf-8"))
    assert {role: about["name"] for role, about in provenance["inputs"].items()} == {
        "ct": "ct.nii.gz",
        "followup": "later.nii.gz",
    }
    assert "Brightness over axial slices" in (tmp_path / "two" / "report.html").read_text("utf-8")


def test_an_edited_file_brings_the_evidence_and_both_scans(files, tmp_path, host_scene):
    import slicer

    scans = ["--ct", files["ct"], "--followup", files["followup"]]
    assert command(tmp_path / "run", *scans)["Slices known"]["value"] == "10"
    host_scene.Clear(0)
    ct = scene.fromVolume(scan())
    node = scene.loadSegmentation(tmp_path / "run" / "segmentation.seg.nrrd")
    segmentID = scene.findSegmentID(node, "Bright")
    array = slicer.util.arrayFromSegmentBinaryLabelmap(node, segmentID, ct).copy()
    array[6:] = 0
    slicer.util.updateSegmentBinaryLabelmapFromArray(array, node, segmentID, ct)
    scene.saveSegmentation(node, tmp_path / "edited.seg.nrrd")
    rows = command(tmp_path / "again", *scans, "--segmentation", tmp_path / "edited.seg.nrrd")
    assert float(rows["Bright volume"]["value"]) == pytest.approx(ml(SPOT) * 2 / 3)
    assert rows["Slices known"]["value"] == "10"
    assert float(rows["Mean density later"]["value"]) == pytest.approx(75.0)


def test_an_unfit_second_scan_is_named(files, tmp_path, capfd):
    (tmp_path / "letter.nii.gz").write_text("Dear colleague,")
    arguments = ["two", "--ct", files["ct"], "--followup", tmp_path / "letter.nii.gz", "--output", tmp_path / "out"]
    assert cli.main([str(one) for one in arguments]) == cli.BAD_INPUT
    told = capfd.readouterr().err
    assert told.startswith("prognosis: Follow-up: 'letter.nii.gz'")
    assert told.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "settings"),
    [
        ([], {}),
        (["--growth-operator", ">", "--growth-ml", "none"], {"growth_operator": ">", "growth_ml": None}),
        (["--growth-ml", "12.5", "--bias-hu", "-3"], {"growth_ml": 12.5, "bias_HU": -3.0}),
        (["--bias-hu", "None", "--limit-hu", "70"], {"bias_HU": None, "limit_HU": 70}),
        (["--count-slices", "no"], {"count_slices": False}),
        (["--count-slices", "Yes", "--growth-operator", ">="], {"count_slices": True, "growth_operator": ">="}),
    ],
)
def test_settings_of_every_kind_are_read(logic, arguments, settings, monkeypatch):
    from PrognosisLib import single_case

    given = []
    monkeypatch.setattr(single_case, "run_case", lambda *_, settings, **__: given.append(settings) or [])
    assert cli.main(["two", "--ct", "x", "--output", "y", *arguments]) == cli.DONE
    assert given == [settings]
    complete = logic.checkSettings(settings)
    assert [type(complete[name]) for name in settings] == [type(one) for one in settings.values()]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--limit-hu", "6.5"], "argument --limit-hu: '6.5' is not a whole number"),
        (["--limit-hu", "none"], "argument --limit-hu: 'none' is not a whole number"),
        (["--growth-ml", "six"], "argument --growth-ml: 'six' is not a number, or \"none\""),
        (["--growth-ml", "nan"], "argument --growth-ml: 'nan' is not a number, or \"none\""),
        (["--count-slices", "maybe"], "argument --count-slices: 'maybe' is not yes or no"),
    ],
)
def test_settings_that_are_none_of_these_are_refused(logic, arguments, message, capfd):
    assert cli.main(["two", "--ct", "x", "--output", "y", *arguments]) == cli.BAD_INPUT
    assert capfd.readouterr().err == f"prognosis: {message}; see: prognosis two --help\n"


def test_each_scan_has_its_own_series(logic, tmp_path, monkeypatch):
    from PrognosisLib import single_case

    asked = []

    def read(path, modality, series=None):
        asked.append((path.name, series))
        if path.name == "b":
            raise InputError("'b' holds 2 series; choose one by its UID (--series).")
        return scan()

    monkeypatch.setattr(single_case, "read_volume", read)
    options = ["--series", "1.2", "--followup-series", "3.4", "--output", str(tmp_path / "out")]
    assert cli.main(["two", "--ct", "a", "--followup", "b", *options]) == cli.BAD_INPUT
    assert asked == [("a", "1.2"), ("b", "3.4")]
