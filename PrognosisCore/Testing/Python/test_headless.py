# ruff: noqa: E402
"""The scene outside the application: files, subject hierarchy, errors, module base classes."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

pytest.importorskip("slicer")

from PrognosisLib import headless
from PrognosisLib.errors import InputError

headless.start()

import slicer
from headless_fixtures import *  # noqa: F403

OBLIQUE = np.array([[0.8, 0.1, 0.0, -12.5], [-0.1, 0.9, 0.2, 40.0], [0.0, -0.3, 2.5, 7.25], [0.0, 0.0, 0.0, 1.0]])


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
