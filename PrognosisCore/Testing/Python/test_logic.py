# ruff: noqa: E402
"""The logic that panel, scripts and command line share: nodes in, nodes out, and a scene that survives failures."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from PrognosisLib import headless

headless.start()

import phantoms
import slicer

from PrognosisLib import scene
from PrognosisLib.errors import BundleError, Cancelled, InputError, WorkerError
from PrognosisLib.logic import Result, SystemLogic
from PrognosisLib.systems import SYSTEMS, System

GRID = phantoms.axial_grid((3.0, 3.0, 5.0))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return phantoms.threshold_bundle(tmp_path_factory.mktemp("logic") / "bundle")


@pytest.fixture
def logic(bundle: Path) -> Iterator[SystemLogic]:
    slicer.mrmlScene.Clear(0)

    class Logic(SystemLogic):
        system = SYSTEMS["spleen"]

    made = Logic()
    made.bundlePath = bundle
    yield made
    made.worker.close()
    slicer.mrmlScene.Clear(0)


@pytest.fixture
def volume(logic: SystemLogic):
    return scene.fromVolume(phantoms.scan(GRID))


@pytest.fixture
def slow(logic: SystemLogic, bundle: Path):
    """The same logic with a pipeline that goes on until it is stopped."""

    class Slow(System):
        @property
        def pipeline_path(self) -> str:
            return "logic_pipelines:Slow"

    spleen = SYSTEMS["spleen"]
    type(logic).system = Slow(
        spleen.name, spleen.module, spleen.pipeline, spleen.roles, spleen.segments, spleen.clinical
    )
    return logic


def poll_until_done(logic: SystemLogic, seconds: float = 60.0) -> Result:
    told: list[float] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        result = logic.pollProcess(lambda fraction, message: told.append(fraction))
        if result is not None:
            assert told == sorted(told)
            assert told
            return result
        time.sleep(0.02)
    raise AssertionError("the run did not end")


def poll_until_progress(logic: SystemLogic, seconds: float = 60.0) -> None:
    told: list[float] = []
    end = time.monotonic() + seconds
    while not told:
        assert time.monotonic() < end, "the run did not begin"
        assert logic.pollProcess(lambda fraction, message: told.append(fraction)) is None
        time.sleep(0.02)


def poll_until_error(logic: SystemLogic, kind: type[Exception], seconds: float = 60.0) -> Exception:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            assert logic.pollProcess() is None
        except kind as error:
            return error
        time.sleep(0.01)
    raise AssertionError("the run did not fail")


def content() -> list[tuple[str, str]]:
    """ID and name of every node: what a failed run must leave as it was."""
    nodes = slicer.mrmlScene.GetNodes()
    listed = [nodes.GetItemAsObject(number) for number in range(nodes.GetNumberOfItems())]
    return [(node.GetID(), node.GetName()) for node in listed]


def spleen_ml(result: Result) -> float:
    return result.findings.value("spleen_volume")


# --- running ----------------------------------------------------------------------------------------------------------


def test_process_gives_findings_and_nodes(logic: SystemLogic, volume):
    told: list[str] = []
    result = logic.process(
        volume, {"age": 67}, {"cutoff_mL": 200}, onProgress=lambda fraction, message: told.append(message)
    )
    assert spleen_ml(result) == pytest.approx(phantoms.SPLEEN.volume_ml, rel=0.015)
    assert result.findings.value("spleen_group") == "high"
    assert "Finding the spleen" in told
    assert not logic.isBusy
    masks = scene.toMasks(result.nodes.segmentation, volume)
    assert masks["Spleen"].voxel_volume_ml == pytest.approx(spleen_ml(result))
    assert result.nodes.table.GetNumberOfRows() == len(result.findings.measurements)
    assert result.case.settings["cutoff_mL"] == 200
    assert result.case.clinical == {"age": 67}


def test_process_fills_the_nodes_that_are_given(logic: SystemLogic, volume):
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Mine")
    table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", "My table")
    result = logic.process(volume, segmentationNode=segmentation, tableNode=table)
    assert result.nodes.segmentation is segmentation
    assert result.nodes.table is table
    assert scene.findSegmentID(segmentation, "Spleen")
    assert table.GetNumberOfRows() > 10


def test_start_and_poll_from_a_timer(logic: SystemLogic, volume):
    assert logic.pollProcess() is None
    logic.startProcess(volume)
    assert logic.isBusy
    with pytest.raises(InputError, match="under way"):
        logic.startProcess(volume)
    result = poll_until_done(logic)
    assert spleen_ml(result) == pytest.approx(phantoms.SPLEEN.volume_ml, rel=0.015)
    assert not logic.isBusy
    assert logic.pollProcess() is None


def test_the_volume_in_the_scene_may_change_during_the_run(logic: SystemLogic, volume):
    """The run goes on with the voxels that it was given."""
    logic.startProcess(volume)
    slicer.util.arrayFromVolume(volume)[:] = 0
    result = poll_until_done(logic)
    assert spleen_ml(result) == pytest.approx(phantoms.SPLEEN.volume_ml, rel=0.015)


@pytest.mark.parametrize("tilted", [False, True])
def test_a_parent_transform_scales_what_is_measured(logic: SystemLogic, volume, tilted: bool):
    """World millimeters count: a transform that stretches the patient stretches volume and lengths."""
    flat = logic.process(scene.fromVolume(phantoms.scan(GRID)))
    matrix = np.diag([1.2, 1.0, 1.0, 1.0])
    if tilted:
        angle = np.radians(20.0)
        turn = np.eye(4)
        turn[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        matrix = turn @ matrix
    matrix[:3, 3] = (30.0, -10.0, 5.0)
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    volume.SetAndObserveTransformNodeID(transform.GetID())
    result = logic.process(volume)
    assert spleen_ml(result) == pytest.approx(1.2 * phantoms.SPLEEN.volume_ml, rel=0.015)
    assert spleen_ml(result) == pytest.approx(1.2 * spleen_ml(flat), rel=0.015)
    assert result.nodes.segmentation.GetTransformNodeID() == transform.GetID()
    mask = scene.toMasks(result.nodes.segmentation, volume)["Spleen"]
    middle = mask.grid.to_ras(np.argwhere(mask.full())).mean(axis=0)
    expected = (matrix @ [*phantoms.SPLEEN.center, 1.0])[:3]
    np.testing.assert_allclose(middle, expected, atol=1.5)


# --- what is refused --------------------------------------------------------------------------------------------------


def test_unfit_input_is_refused_before_anything_starts(logic: SystemLogic, volume):
    before = content()
    for error, arguments in (
        ("'colour' is not known; the settings are: device", {"settings": {"colour": "red"}}),
        ('"albumin"', {"clinical": {"albumine": 34}}),
    ):
        with pytest.raises(InputError, match=error):
            logic.process(volume, **arguments)
    with pytest.raises(InputError, match="The CT is missing"):
        logic.process(None)
    with pytest.raises(InputError, match="no input named 'mri'"):
        logic.process({"ct": volume, "mri": volume})
    assert content() == before
    assert not logic.isBusy


def test_an_unfit_image_is_refused_by_the_worker_and_the_scene_stays(logic: SystemLogic):
    array = phantoms.scan(GRID).array.astype(np.float32)
    array[0, 0, 0] = np.nan
    node = slicer.util.addVolumeFromArray(array, ijkToRAS=GRID.ijk_to_ras, name="Broken")
    before = content()
    with pytest.raises(InputError, match="'Broken' has voxels that are not numbers"):
        logic.process(node)
    assert content() == before
    assert not logic.isBusy
    good = scene.fromVolume(phantoms.scan(GRID))
    assert spleen_ml(logic.process(good)) > 200


def test_a_missing_bundle_is_refused_and_the_next_run_works(logic: SystemLogic, volume, bundle: Path, tmp_path: Path):
    logic.bundlePath = tmp_path / "nowhere"
    before = content()
    with pytest.raises(BundleError, match="no model bundle"):
        logic.process(volume)
    assert content() == before
    logic.bundlePath = bundle
    assert spleen_ml(logic.process(volume)) > 200


def test_no_spleen_gives_a_flag_and_no_size(logic: SystemLogic):
    bare = phantoms.scan(GRID, spleens=())
    bare.array[0, 0, 0] = -1000  # some gas, as a CT has
    node = scene.fromVolume(bare)
    result = logic.process(node)
    assert [flag.key for flag in result.findings.flags] == ["no_spleen"]
    assert result.findings.measurement("spleen_volume") is None
    assert "No spleen was found" in result.findings.summary
    assert result.nodes.segmentation is None or scene.findSegmentID(result.nodes.segmentation, "Spleen") is None


# --- during a run -----------------------------------------------------------------------------------------------------


def test_cancel_answers_within_a_second_and_leaves_the_scene(slow: SystemLogic, volume):
    before = content()
    slow.startProcess(volume)
    poll_until_progress(slow)
    start = time.monotonic()
    slow.cancelProcess()
    poll_until_error(slow, Cancelled)
    assert time.monotonic() - start < 2.0  # one second is promised; the tests' machine may be busy
    assert not slow.isBusy
    assert content() == before
    slow.cancelProcess()
    assert slow.pollProcess() is None


def test_a_killed_worker_is_an_error_and_the_scene_is_unchanged(slow: SystemLogic, volume):
    before = content()
    slow.startProcess(volume)
    poll_until_progress(slow)
    os.kill(slow.worker.pid, signal.SIGKILL)
    error = poll_until_error(slow, WorkerError)
    assert "killed" in str(error)
    assert content() == before
    assert not slow.isBusy
    type(slow).system = SYSTEMS["spleen"]
    assert spleen_ml(slow.process(volume)) == pytest.approx(phantoms.SPLEEN.volume_ml, rel=0.015)


def test_a_killed_worker_ends_process_with_the_error(slow: SystemLogic, volume):
    before = content()
    with pytest.raises(WorkerError):
        slow.process(volume, onProgress=lambda *_: os.kill(slow.worker.pid, signal.SIGKILL))
    assert content() == before
    assert not slow.isBusy


def test_a_volume_deleted_during_the_run_drops_its_results(logic: SystemLogic, volume):
    logic.startProcess(volume)
    slicer.mrmlScene.RemoveNode(volume)
    before = content()
    error = poll_until_error(logic, InputError)
    assert "removed from the scene" in str(error)
    assert content() == before
    assert not logic.isBusy


def test_a_scene_closed_during_the_run_drops_its_results(logic: SystemLogic, volume):
    logic.startProcess(volume)
    slicer.mrmlScene.Clear(0)
    before = content()
    poll_until_error(logic, InputError)
    assert content() == before
    node = scene.fromVolume(phantoms.scan(GRID))
    assert spleen_ml(logic.process(node)) > 200


def test_another_volume_loaded_in_place_of_the_first_gets_no_results(logic: SystemLogic, volume):
    """After a scene is closed the next one may give the same ID to another patient's volume."""
    logic.startProcess(volume)
    identity = volume.GetID()
    slicer.mrmlScene.Clear(0)
    other = scene.fromVolume(phantoms.scan(GRID, spleens=(), name="other patient"))
    assert other.GetID() == identity, "else this test shows nothing"
    before = content()
    poll_until_error(logic, InputError)
    assert content() == before


def test_a_table_deleted_during_the_run_is_made_anew(logic: SystemLogic, volume):
    table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", "My table")
    logic.startProcess(volume, tableNode=table)
    slicer.mrmlScene.RemoveNode(table)
    result = poll_until_done(logic)
    assert result.nodes.table is not None
    assert result.nodes.table.GetNumberOfRows() > 10


# --- measuring edits --------------------------------------------------------------------------------------------------


def test_erasing_voxels_lowers_the_volume_and_changes_how_its_interval_is_made(logic: SystemLogic, volume):
    result = logic.process(volume)
    node = result.nodes.segmentation
    unedited = logic.measure(volume, node)
    assert spleen_ml(unedited) == spleen_ml(result)
    assert unedited.findings.measurement("spleen_volume") == result.findings.measurement("spleen_volume")
    segment = scene.findSegmentID(node, "Spleen")
    array = slicer.util.arrayFromSegmentBinaryLabelmap(node, segment, volume)
    below = np.zeros(array.shape, dtype=bool)
    below[: int(np.argwhere(array).mean(axis=0)[0])] = True
    removed = np.count_nonzero(array[below]) * GRID.voxel_volume_ml
    array[below] = 0
    slicer.util.updateSegmentBinaryLabelmapFromArray(array, node, segment, volume)
    edited = logic.measure(volume, node, tableNode=result.nodes.table)
    assert removed > 50
    assert spleen_ml(edited) == pytest.approx(spleen_ml(result) - removed)
    assert "network's own uncertainty" in result.findings.measurement("spleen_volume").method
    assert "surface area" in edited.findings.measurement("spleen_volume").method
    assert edited.findings.mask("Spleen").confidence is None
    assert edited.nodes.table is result.nodes.table


def test_measuring_runs_no_network_and_needs_no_worker(logic: SystemLogic, volume):
    node = logic.process(volume).nodes.segmentation
    logic.worker.close()
    logic.measure(volume, node)
    assert logic.worker.pid is None


def test_a_segmentation_without_the_segment_is_refused(logic: SystemLogic, volume):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Blank")
    with pytest.raises(InputError, match="'Blank' has no filled segment named 'Spleen'"):
        logic.measure(volume, node)
    node.GetSegmentation().AddEmptySegment("Spleen", "Spleen")
    with pytest.raises(InputError, match="no filled segment"):
        logic.measure(volume, node)
    with pytest.raises(InputError, match="No segmentation is chosen"):
        logic.measure(volume, None)
