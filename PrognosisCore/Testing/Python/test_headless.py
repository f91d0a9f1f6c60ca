# ruff: noqa: E402
"""The scene outside the application: files, subject hierarchy, module base classes, parameter nodes."""

from __future__ import annotations

import enum
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Annotated

import numpy as np
import pytest

pytest.importorskip("slicer")

from PrognosisLib import headless
from PrognosisLib.errors import InputError

headless.start()

import slicer
from slicer.parameterNodeWrapper import (
    Choice,
    Default,
    FloatRange,
    Maximum,
    Minimum,
    WithinRange,
    parameterNodeWrapper,
    parameterPack,
)
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

USES_ORIGINALS = "PROGNOSIS_SLICER_PYTHON" in os.environ

OBLIQUE = np.array([[0.8, 0.1, 0.0, -12.5], [-0.1, 0.9, 0.2, 40.0], [0.0, -0.3, 2.5, 7.25], [0.0, 0.0, 0.0, 1.0]])


@pytest.fixture(autouse=True)
def empty_scene():
    slicer.mrmlScene.Clear(0)
    headless.vtkErrorRecorder().clear()
    yield
    headless.vtkErrorRecorder().check()
    slicer.mrmlScene.Clear(0)


@pytest.fixture
def a_volume_node():
    rng = np.random.default_rng(1)
    voxels = rng.integers(-100, 200, (4, 5, 6)).astype(np.int16)
    orthogonal = np.diag([0.7, -0.8, 2.5, 1.0])
    orthogonal[:3, 3] = (-12.5, 40.0, 7.25)
    return slicer.util.addVolumeFromArray(voxels, ijkToRAS=orthogonal, name="CT")


@pytest.fixture
def a_segmentation_node(a_volume_node):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Organs")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(a_volume_node)
    segment = node.GetSegmentation().AddEmptySegment("spleen", "Spleen")
    mask = np.zeros((4, 5, 6), np.uint8)
    mask[1:3, 2:4, 1:5] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, segment, a_volume_node)
    return node


def run_fresh(code: str) -> str:
    """Runs code in a new Python process with this one's import paths and returns what it printed."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, env=environment, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_start_is_idempotent_and_is_not_slicer():
    scene = slicer.mrmlScene
    headless.start()
    assert slicer.mrmlScene is scene
    assert not headless.isRunningInSlicer()


def test_names_that_slicer_lacks_are_gone():
    assert not hasattr(slicer, "getNode")
    assert not hasattr(slicer, "arrayFromVolume")
    assert slicer.util.getNodes("*")
    assert slicer.vtkMRMLScalarVolumeNode


def test_volume_round_trip_keeps_an_oblique_geometry(tmp_path):
    voxels = np.arange(120, dtype=np.float32).reshape(4, 5, 6)
    rotation, _ = np.linalg.qr(OBLIQUE[:3, :3])
    matrix = OBLIQUE.copy()
    matrix[:3, :3] = rotation * (0.7, 1.1, 3.0)
    node = slicer.util.addVolumeFromArray(voxels, ijkToRAS=matrix, name="Oblique")
    path = tmp_path / "oblique.nrrd"
    assert slicer.util.saveNode(node, str(path))
    again = slicer.util.loadVolume(str(path), {"singleFile": True, "show": False})
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(again), voxels)
    import vtk

    stored = vtk.vtkMatrix4x4()
    again.GetIJKToRASMatrix(stored)
    np.testing.assert_allclose(slicer.util.arrayFromVTKMatrix(stored), matrix, atol=1e-9)


def test_segmentation_and_table_round_trip(tmp_path, a_volume_node, a_segmentation_node):
    path = tmp_path / "organs.seg.nrrd"
    assert slicer.util.saveNode(a_segmentation_node, str(path))
    again = slicer.util.loadSegmentation(str(path))
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(again, "spleen", a_volume_node)
    assert mask.sum() == 16
    assert again.GetSegmentation().GetSegment("spleen").GetName() == "Spleen"

    table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", "Results")
    slicer.util.updateTableFromArray(table, np.array([1.0, 1 / 3]), ["Spleen volume"])
    assert slicer.util.saveNode(table, str(tmp_path / "results.csv"))
    values = slicer.util.arrayFromTableColumn(slicer.util.loadTable(str(tmp_path / "results.csv")), "Spleen volume")
    np.testing.assert_allclose(values.astype(float), [1.0, 1 / 3], rtol=1e-6)


def test_sequence_loads_with_a_browser(tmp_path):
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "Cine")
    for frame in range(3):
        volume = slicer.util.addVolumeFromArray(np.full((1, 4, 5), frame, np.int16))
        sequence.SetDataNodeAtValue(volume, str(frame))
        slicer.mrmlScene.RemoveNode(volume)
    path = tmp_path / "cine.seq.nrrd"
    assert slicer.util.saveNode(sequence, str(path))
    again = slicer.util.loadSequence(str(path))
    assert again.GetNumberOfDataNodes() == 3
    browser = slicer.modules.sequences.logic().GetFirstBrowserNodeForSequenceNode(again)
    proxy = browser.GetProxyNode(again)
    assert slicer.modules.sequences.logic().GetFirstBrowserNodeForProxyNode(proxy) is browser


def test_mrb_is_read_in_a_fresh_process(tmp_path, a_segmentation_node):
    path = tmp_path / "scene.mrb"
    assert slicer.util.saveScene(str(path))
    printed = run_fresh(
        f"""
        from PrognosisLib import headless
        headless.start()
        import slicer
        slicer.util.loadScene({str(path)!r})
        volume, organs = slicer.util.getNode("CT"), slicer.util.getNode("Organs")
        hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
        mask = slicer.util.arrayFromSegmentBinaryLabelmap(organs, "spleen", volume)
        print(int(mask.sum()), bool(hierarchy.GetItemByDataNode(organs)))
        """
    )
    assert printed == "16 True"


def test_a_missing_or_broken_file_is_an_exception(tmp_path):
    with pytest.raises(RuntimeError, match="no file"):
        slicer.util.loadVolume(str(tmp_path / "absent.nrrd"))
    broken = tmp_path / "broken.nrrd"
    broken.write_bytes(b"NRRD0004\nnot an image")
    with pytest.raises(RuntimeError, match="could not be read"):
        slicer.util.loadVolume(str(broken), {"singleFile": True})
    assert headless.vtkErrorRecorder().errors
    headless.vtkErrorRecorder().clear()


def test_vtk_errors_are_raised(a_volume_node):
    from PrognosisLib.headless.vtk_errors import VtkError

    with pytest.raises(VtkError, match="vtkMRMLNoSuchNode"), headless.raiseVtkErrors():
        slicer.mrmlScene.AddNewNodeByClass("vtkMRMLNoSuchNode")
    with headless.raiseVtkErrors():
        a_volume_node.Modified()


def test_subject_hierarchy_items_appear_and_vanish(a_volume_node, a_segmentation_node):
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    item = hierarchy.GetItemByDataNode(a_segmentation_node)
    assert item
    assert hierarchy.GetItemOwnerPluginName(item) == "Segmentations"
    assert not hierarchy.GetItemByDataNode(a_segmentation_node.GetDisplayNode())
    slicer.mrmlScene.RemoveNode(a_segmentation_node)
    assert hierarchy.GetItemByName("Organs") == hierarchy.GetInvalidItemID()
    slicer.mrmlScene.Clear(0)
    assert slicer.mrmlScene.GetSubjectHierarchyNode().GetItemByName("CT") == hierarchy.GetInvalidItemID()


class Quality(enum.Enum):
    FAST = 1
    FULL = 2


@parameterPack
class Patient:
    age: Annotated[int, WithinRange(0, 120)] = 60
    platelets: float


@parameterNodeWrapper
class Parameters:
    inputVolume: slicer.vtkMRMLScalarVolumeNode
    image: slicer.vtkMRMLScalarVolumeNode | slicer.vtkMRMLSegmentationNode | None
    threshold: Annotated[float, WithinRange(0, 1)] = 0.5
    device: Annotated[str, Choice(["auto", "cpu"]), Default("auto")]
    frames: Annotated[int, Minimum(1), Maximum(9)] = 1
    allFrames: bool
    quality: Quality = Quality.FULL
    flags: list[str]
    meld: float | None
    folder: Path
    size: tuple[int, float] = (0, 0.0)
    window: FloatRange
    patient: Patient


class ExampleLogic(ScriptedLoadableModuleLogic):
    def getParameterNode(self):
        return Parameters(super().getParameterNode())


def test_parameter_node_is_one_per_scene():
    logic = ScriptedLoadableModuleLogic()
    node = logic.getParameterNode()
    assert node is logic.getParameterNode()
    assert node.GetAttribute("ModuleName") == logic.moduleName
    assert node.GetSingletonTag() == logic.moduleName
    assert ExampleLogic().getParameterNode().parameterNode is not node
    many = ScriptedLoadableModuleLogic()
    many.moduleName, many.isSingletonParameterNode = "Many", False
    assert many.getParameterNode() is many.getParameterNode()
    slicer.mrmlScene.AddNode(many.createParameterNode())
    assert len(many.getAllParameterNodes()) == 2


def test_parameters_have_defaults_and_a_stored_form(a_volume_node):
    parameters = ExampleLogic().getParameterNode()
    node = parameters.parameterNode
    assert (parameters.threshold, parameters.device, parameters.frames) == (0.5, "auto", 1)
    assert parameters.allFrames is False
    assert parameters.inputVolume is None
    assert parameters.meld is None
    assert parameters.patient.age == 60
    parameters.inputVolume = a_volume_node
    parameters.image = a_volume_node
    parameters.threshold = 0.25
    parameters.allFrames = True
    parameters.quality = Quality.FAST
    parameters.flags = ["a", "b"]
    parameters.meld = 12.5
    parameters.patient.platelets = 90.0
    parameters.size = (3, 0.5)
    parameters.window = FloatRange(-160, 240)
    assert node.GetNodeReferenceID("inputVolume") == a_volume_node.GetID()
    stored = {name: node.GetParameter(name) for name in node.GetParameterNames()}
    expected = {
        "threshold": "0.25",
        "allFrames": "True",
        "quality": "FAST",
        "flags.len": "2",
        "flags.1": "b",
        "meld.0": "12.5",
        "patient.age": "60",
        "patient.platelets": "90.0",
        "size.1": "0.5",
        "window._maximum": "240",
        "inputVolume": "",
        "image.0": "",
    }
    assert {name: stored.get(name) for name in expected} == expected
    again = Parameters(node)
    assert again.inputVolume is a_volume_node
    assert again.image is a_volume_node
    assert again.quality is Quality.FAST
    assert again.flags == ["a", "b"]
    assert again.patient.platelets == 90.0
    assert again.size == (3, 0.5)
    assert (again.window.minimum, again.window.maximum) == (-160, 240)


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("threshold", 1.5, ValueError),
        ("threshold", "0.5", (TypeError, ValueError)),
        ("threshold", None, ValueError),
        ("device", "tpu", ValueError),
        ("frames", 0, ValueError),
        ("frames", 2.5, TypeError),
        ("allFrames", 1, TypeError),
        ("quality", "FAST", TypeError),
        ("flags", ["a", 3], TypeError),
        ("meld", "12", TypeError),
        ("patient.age", 130, ValueError),
    ],
)
def test_invalid_values_raise_and_change_nothing(name, value, error):
    parameters = ExampleLogic().getParameterNode()
    before = parameters.getValue(name)
    with pytest.raises(error):
        parameters.setValue(name, value)
    assert parameters.getValue(name) == before
    assert Parameters(parameters.parameterNode).getValue(name) == before


def test_a_node_of_another_class_is_refused(a_segmentation_node):
    parameters = ExampleLogic().getParameterNode()
    with pytest.raises(TypeError):
        parameters.inputVolume = a_segmentation_node
    parameters.image = a_segmentation_node
    assert parameters.image is a_segmentation_node


def test_unknown_parameter_names_are_an_error():
    parameters = ExampleLogic().getParameterNode()
    with pytest.raises(ValueError, match="nothing"):
        parameters.getValue("nothing")
    with pytest.raises(ValueError, match="reserved"):

        @parameterNodeWrapper
        class Bad:
            AddObserver: int = 1


def test_observers_see_one_change_with_the_new_value():
    parameters = ExampleLogic().getParameterNode()
    seen = []
    tag = parameters.AddObserver("ModifiedEvent", lambda *_: seen.append(parameters.threshold))
    parameters.threshold = 0.75
    assert seen == [0.75]
    parameters.flags.append("late")
    assert len(seen) == 2
    parameters.RemoveObserver(tag)
    parameters.parameterNode.SetParameter("threshold", "0.125")
    assert parameters.threshold == 0.125
    assert len(seen) == 2


def test_a_removed_node_and_a_closed_scene_reset_the_parameters(a_volume_node):
    parameters = ExampleLogic().getParameterNode()
    parameters.inputVolume = a_volume_node
    parameters.threshold = 0.9
    slicer.mrmlScene.RemoveNode(a_volume_node)
    assert parameters.inputVolume is None
    slicer.mrmlScene.Clear(0)
    assert ExampleLogic().getParameterNode().threshold == 0.5


def test_parameters_survive_saving_the_scene(tmp_path, a_volume_node):
    parameters = ExampleLogic().getParameterNode()
    parameters.inputVolume = a_volume_node
    parameters.flags = ["hinges on äöü"]
    path = tmp_path / "scene.mrb"
    assert slicer.util.saveScene(str(path))
    slicer.mrmlScene.Clear(0)
    slicer.util.loadScene(str(path))
    again = ExampleLogic().getParameterNode()
    assert again.inputVolume.GetName() == "CT"
    assert again.flags == ["hinges on äöü"]


MODULE = """
import logging
import ctk, qt, vtk, slicer
from slicer.i18n import tr as _, translate
from slicer.ScriptedLoadableModule import *
from slicer.parameterNodeWrapper import parameterNodeWrapper, WithinRange
from slicer.util import VTKObservationMixin


class Tiny(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Tiny")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        slicer.app.connect("startupCompleted()", onStartup)


def onStartup():
    slicer.tinyStarted = getattr(slicer, "tinyStarted", 0) + 1


class TinyWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    button: qt.QPushButton

    def setup(self):
        self.button = qt.QPushButton("x")


class TinyLogic(ScriptedLoadableModuleLogic):
    def ask(self):
        return slicer.util.confirmYesNoDisplay("Sure?")


class TinyTest(ScriptedLoadableModuleTest):
    def setUp(self):
        slicer.tinyOrder = getattr(slicer, "tinyOrder", []) + ["setUp"]

    def test_one(self):
        slicer.tinyOrder.append("one")

    def test_two(self):
        self.delayDisplay("two")
        slicer.tinyOrder.append("two")
"""


def test_a_module_file_loads_outside_slicer(tmp_path, monkeypatch):
    folder = tmp_path / "Tiny"
    folder.mkdir()
    (folder / "Tiny.py").write_text(MODULE)
    monkeypatch.setattr(sys, "path", list(sys.path))
    module = headless.loadModule("Tiny", folder)
    try:
        assert slicer.modules.tiny is module is headless.loadModule("Tiny", folder)
        assert slicer.util.modulePath("Tiny") == str(folder / "Tiny.py")
        assert {"Tiny", "Segmentations"} <= set(slicer.util.moduleNames())
        assert (module.title, module.categories) == ("Tiny", ["Segmentation"])
        assert module.instance.resourcePath("UI/Tiny.ui") == str(folder / "Resources" / "UI" / "Tiny.ui")
        headless.completeStartup()
        headless.completeStartup()
        assert slicer.tinyStarted == 1
        slicer.selfTests["Tiny"]()
        assert slicer.tinyOrder == ["setUp", "one", "setUp", "two"]
    finally:
        headless.unloadModule("Tiny")
    with pytest.raises(InputError, match="NoSuchModule"):
        headless.loadModule("NoSuchModule")


def test_the_gui_is_a_clear_error_without_a_host(tmp_path):
    (tmp_path / "Tiny.py").write_text(MODULE)
    printed = run_fresh(
        f"""
        from PrognosisLib import headless
        headless.loadModule("Tiny", {str(tmp_path)!r})
        import qt, slicer, Tiny
        for attempt in (lambda: qt.QPushButton("x"), lambda: qt.QMessageBox.Ok, Tiny.TinyLogic().ask):
            try:
                attempt()
            except RuntimeError as error:
                print(str(error).split(",")[0])
        """
    )
    assert printed.splitlines() == [
        "qt.QPushButton needs the Slicer GUI",
        "qt.QMessageBox.Ok needs the Slicer GUI",
        "qt.QMessageBox.Question needs the Slicer GUI",
    ]


def test_test_class_without_tests_only_warns(caplog):
    class EmptyTest(slicer.ScriptedLoadableModule.ScriptedLoadableModuleTest):
        pass

    test = EmptyTest()
    test.moduleTestNames = []
    test.runTest()
    assert "No test is defined" in caplog.text


@pytest.mark.skipif(USES_ORIGINALS, reason="the originals store a bool in an int parameter and cannot read it back")
def test_a_bool_is_no_int():
    with pytest.raises(TypeError):
        ExampleLogic().getParameterNode().frames = True
