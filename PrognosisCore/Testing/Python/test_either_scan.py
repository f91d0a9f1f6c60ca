"""A system that needs one of its images, whichever it is: from Python, from the command line and in its panel."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("slicer")
pytest.importorskip("PySide6")

from panel_kit import finish, value
from two_scans_cases import *  # noqa: F403
from two_scans_cases import LATER, SPOT, ml, scan

import host
from PrognosisLib import cli, scene
from PrognosisLib.errors import InputError

NONE_GIVEN = "Choose a CT or a Follow-up volume; one of them is needed"
pytestmark = pytest.mark.usefixtures("either")
GIVEN = [("ct",), ("followup",), ("ct", "followup")]


def image_of(segmentation) -> str:
    """Name of the volume that the segments belong to."""
    return segmentation.GetNodeReference(segmentation.GetReferenceImageGeometryReferenceRole()).GetName()


# --- from Python ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", GIVEN)
def test_a_run_takes_any_of_them(logic, given):
    nodes = {"ct": scene.fromVolume(scan()), "followup": scene.fromVolume(scan(LATER, "Later"))}
    result = logic.process({role: node if role in given else None for role, node in nodes.items()})
    first = nodes[given[0]]
    assert tuple(result.case.volumes) == given
    assert result.findings.value("bright") == pytest.approx(ml(SPOT if first is nodes["ct"] else LATER))
    assert image_of(result.nodes.segmentation) == first.GetName()
    assert scene.findResults("two", first).table is result.nodes.table
    again = logic.measure({role: nodes[role] for role in given}, result.nodes.segmentation)
    assert again.findings.value("bright") == result.findings.value("bright")
    assert again.nodes.table is result.nodes.table


def test_one_of_them_must_be_given(logic):
    for nothing in ({}, {"ct": None, "followup": None}, None):
        with pytest.raises(InputError, match=NONE_GIVEN):
            logic.process(nothing)
        with pytest.raises(InputError, match=NONE_GIVEN):
            logic.measure(nothing, None)
    with pytest.raises(InputError, match="no input named 'mri'"):
        logic.process({"mri": scene.fromVolume(scan())})


def test_a_bare_node_is_the_first_role(logic):
    assert set(logic.process(scene.fromVolume(scan())).case.volumes) == {"ct"}


def test_the_volume_deleted_during_a_run_is_the_one_that_was_given(logic, host_scene):
    later = scene.fromVolume(scan(LATER, "Later"))
    logic.startProcess({"followup": later})
    host_scene.RemoveNode(later)
    with pytest.raises(InputError, match="The volume was removed"):
        host.pump(60, until=lambda: logic.pollProcess() is not None)


def test_all_frames_of_the_one_that_is_given_are_run(logic, host_scene):
    import slicer

    from PrognosisLib.runs import FrameRun

    sequence = host_scene.AddNewNodeByClass("vtkMRMLSequenceNode", "Frames")
    for number, spot in enumerate((SPOT, LATER)):
        frame = scene.fromVolume(scan(spot, "Frame"))
        sequence.SetDataNodeAtValue(frame, str(number))
        host_scene.RemoveNode(frame)
    browser = host_scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "Browser")
    slicer.modules.sequences.logic().AddSynchronizedNode(sequence, None, browser)
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    frames = FrameRun(logic, {"followup": browser.GetProxyNode(sequence)}, {}, {})
    host.pump(60, until=lambda: frames.pollProcess() is not None)
    assert slicer.util.arrayFromTableColumn(frames.framesTable, "bright") == pytest.approx([ml(SPOT), ml(LATER)])
    with pytest.raises(InputError, match=NONE_GIVEN):
        FrameRun(logic, {}, {}, {})


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


@pytest.mark.parametrize("given", GIVEN)
def test_the_command_takes_any_of_them(files, given, tmp_path):
    options = [part for role in given for part in (f"--{role}", files[role])]
    rows, size = command(tmp_path / "run", *options), ml(SPOT if "ct" in given else LATER)
    assert float(rows["Bright volume"]["value"]) == pytest.approx(size)
    assert rows["Scans given"]["value"] == " and ".join(given)
    provenance = json.loads((tmp_path / "run" / "provenance.json").read_text("utf-8"))
    assert tuple(provenance["inputs"]) == given
    assert "Brightness over axial slices" in (tmp_path / "run" / "report.html").read_text("utf-8")
    again = command(tmp_path / "again", *options, "--segmentation", tmp_path / "run" / "segmentation.seg.nrrd")
    assert float(again["Bright volume"]["value"]) == pytest.approx(size)


def test_the_command_without_any_names_the_options(logic, tmp_path, capfd):
    assert cli.main(["two", "--output", str(tmp_path / "out")]) == cli.BAD_INPUT
    assert capfd.readouterr().err == f"prognosis: {NONE_GIVEN} (--ct or --followup).\n"
    assert not (tmp_path / "out").exists()


def test_a_case_without_any_is_refused_before_it_begins(either, tmp_path):
    from PrognosisLib.single_case import run_case

    with pytest.raises(InputError, match=NONE_GIVEN):
        run_case(either, {}, tmp_path / "out")


# --- the panel --------------------------------------------------------------------------------------------------------


@pytest.fixture
def a_panel(module, make_widget, monkeypatch):
    from PrognosisLib.panel import dependencies

    monkeypatch.setattr(dependencies, "missingPackages", lambda path=None: [])
    return make_widget("TwoScans", module)


def choose(panel, ct=None, followup=None) -> None:
    panel.ui.ctSelector.setCurrentNode(ct)
    panel.ui.followupSelector.setCurrentNode(followup)


def run(panel, ct=None, followup=None) -> None:
    """Chooses scans and presses Apply."""
    choose(panel, ct, followup)
    panel.ui.applyButton.click()
    finish(panel)


def shows_results(panel) -> bool:
    return panel.parameterNode.resultsTable is not None and "No results" not in panel.ui.summaryLabel.text


def test_apply_waits_for_one_of_them(a_panel):
    button = a_panel.ui.applyButton
    assert not button.enabled
    assert button.toolTip == f"{NONE_GIVEN}."
    for chosen in ({"ct": scene.fromVolume(scan())}, {"followup": scene.fromVolume(scan())}):
        choose(a_panel, **chosen)
        assert button.enabled
        assert button.toolTip == "Segment and measure."
        choose(a_panel)
        assert not button.enabled


@pytest.mark.parametrize("given", GIVEN)
def test_results_belong_to_the_first_that_is_chosen(a_panel, given, tmp_path):
    nodes = {"ct": scene.fromVolume(scan()), "followup": scene.fromVolume(scan(LATER, "Later"))}
    run(a_panel, **{role: nodes[role] for role in given})
    assert value(a_panel, "given") == " and ".join(given)
    assert value(a_panel, "bright") == pytest.approx(ml(SPOT if "ct" in given else LATER))
    assert image_of(a_panel.parameterNode.segmentation) == nodes[given[0]].GetName()
    host.answer(str(tmp_path))
    a_panel.ui.reportButton.click()
    finish(a_panel)
    assert "Brightness over axial slices" in (tmp_path / "report.html").read_text("utf-8")
    host.dialogs()


def test_edits_of_results_on_the_second_are_followed(a_panel):
    import slicer

    later = scene.fromVolume(scan(LATER, "Later"))
    run(a_panel, followup=later)
    node = a_panel.parameterNode.segmentation
    segmentID = scene.findSegmentID(node, "Bright")
    array = slicer.util.arrayFromSegmentBinaryLabelmap(node, segmentID, later).copy()
    array[6:] = 0
    slicer.util.updateSegmentBinaryLabelmapFromArray(array, node, segmentID, later)
    host.pump(20, until=lambda: value(a_panel, "bright") == pytest.approx(ml(LATER) / 2))
    assert host.dialogs() == []


def test_a_segment_is_drawn_on_the_second_where_it_is_alone(a_panel):
    import slicer

    later = scene.fromVolume(scan(None, "Later"))
    run(a_panel, followup=later)
    assert a_panel.ui.editButton.enabled
    a_panel.ui.editButton.click()
    node = a_panel.parameterNode.segmentation
    drawn = np.zeros((10, 28, 26), np.uint8)
    drawn[LATER] = 1
    segmentID = scene.findSegmentID(node, "Bright")
    slicer.util.updateSegmentBinaryLabelmapFromArray(drawn, node, segmentID, later)
    host.pump(20, until=lambda: value(a_panel, "bright") == pytest.approx(ml(LATER)))
    assert image_of(node) == "Later"


def test_the_first_added_later_has_results_of_its_own(a_panel):
    """Results of the second alone stay with it: they are back when it is alone again."""
    ct, later = scene.fromVolume(scan()), scene.fromVolume(scan(LATER, "Later"))
    run(a_panel, followup=later)
    alone = a_panel.parameterNode.segmentation
    choose(a_panel, ct, later)
    assert not shows_results(a_panel)
    assert a_panel.ui.applyButton.enabled
    a_panel.ui.applyButton.click()
    finish(a_panel)
    assert value(a_panel, "given") == "ct and followup"
    assert value(a_panel, "bright") == pytest.approx(ml(SPOT))
    both = a_panel.parameterNode.segmentation
    assert both is not alone
    choose(a_panel, None, later)
    assert a_panel.parameterNode.segmentation is alone
    assert value(a_panel, "bright") == pytest.approx(ml(LATER))
    choose(a_panel, ct, later)
    assert a_panel.parameterNode.segmentation is both
    assert host.dialogs() == []


def test_the_second_added_later_is_measured_with_the_first(a_panel):
    ct = scene.fromVolume(scan())
    run(a_panel, ct)
    choose(a_panel, ct, scene.fromVolume(scan(None, "Later")))
    host.pump(20, until=lambda: value(a_panel, "later") == pytest.approx(20.0))
    assert value(a_panel, "given") == "ct and followup"
    choose(a_panel, ct)
    host.pump(20, until=lambda: value(a_panel, "later") is None)


def test_the_same_volume_in_the_other_role_is_measured_again(a_panel):
    volume = scene.fromVolume(scan())
    run(a_panel, followup=volume)
    assert value(a_panel, "given") == "followup"
    choose(a_panel, volume)
    host.pump(20, until=lambda: value(a_panel, "given") == "ct")
    assert value(a_panel, "bright") == pytest.approx(ml(SPOT))


def test_a_volume_is_offered_only_while_none_is_chosen(a_panel):
    a_panel.exit()
    later = scene.fromVolume(scan(LATER, "Later"))
    a_panel.enter()
    assert a_panel.volumes() == {"ct": later}
    choose(a_panel, None, later)
    a_panel.exit()
    a_panel.enter()
    assert a_panel.volumes() == {"followup": later}


@pytest.mark.parametrize("given", GIVEN)
def test_a_loaded_scene_shows_the_results_that_were_saved(a_panel, given, tmp_path, host_scene):
    import slicer

    nodes = {"ct": scene.fromVolume(scan()), "followup": scene.fromVolume(scan(LATER, "Later"))}
    run(a_panel, followup=nodes["followup"])
    run(a_panel, **{role: nodes[role] for role in given})
    wanted = value(a_panel, "bright")
    scene.saveScene(tmp_path / "scene.mrb")
    host_scene.Clear(0)
    assert not shows_results(a_panel)
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    host.pump(0.1)
    assert tuple(a_panel.volumes()) == given
    assert shows_results(a_panel)
    assert value(a_panel, "given") == " and ".join(given)
    assert value(a_panel, "bright") == pytest.approx(wanted)
    assert host.dialogs() == []
