"""The stand-ins do what the real widgets do, as far as panels use them, and offer nothing more."""

from __future__ import annotations

import numpy as np
import pytest

import host
from host import facts, pythonqt
from host.standin import standIn

host.start()

import ctk  # noqa: E402
import qt  # noqa: E402
import slicer  # noqa: E402


@pytest.fixture(autouse=True)
def no_errors(host_scene):
    """Every test ends with host_scene's check."""


@pytest.fixture
def a_selector(host_scene):
    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    selector.setMRMLScene(host_scene)
    return selector


def volume(name: str):
    return slicer.util.addVolumeFromArray(np.zeros((2, 3, 4), np.int16), name=name)


def test_a_stand_in_offers_only_real_members():
    with pytest.raises(TypeError, match="invented"):

        @standIn
        class ctkPushButton(qt.QPushButton):
            def invented(self):
                pass


def test_every_property_of_a_stand_in_has_a_fact():
    for name, cls in pythonqt.standIns.items():
        if name in facts.classNames():
            own = pythonqt.propertyNames(cls) - pythonqt.propertyNames(qt.QWidget)
            qtBase = next(base for base in cls.__mro__ if base.__module__.startswith("PySide6"))
            assert own - pythonqt.propertyNames(qtBase) <= set(facts.members(name)), name


def test_the_selector_follows_the_scene(a_selector, host_scene):
    seen = []
    a_selector.connect("currentNodeChanged(vtkMRMLNode*)", seen.append)
    a_selector.connect("currentNodeChanged(bool)", seen.append)
    first, second = volume("A"), volume("B")
    assert a_selector.currentNode() is first
    assert a_selector.nodeCount() == 2
    a_selector.setCurrentNode(second)
    host_scene.RemoveNode(second)
    assert a_selector.currentNode() is first
    assert seen == [first, True, second, True, first, True]


def test_the_selector_offers_only_fitting_nodes(a_selector, host_scene):
    labelmap = host_scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
    hidden = volume("hidden")
    hidden.SetHideFromEditors(True)
    a_selector.showChildNodeTypes = False
    assert a_selector.nodeCount() == 0
    a_selector.showChildNodeTypes = True
    assert a_selector.currentNode() is labelmap
    marked = volume("marked")
    marked.SetAttribute("Kind", "CT")
    a_selector.addAttribute("vtkMRMLScalarVolumeNode", "Kind", "CT")
    assert a_selector.currentNode() is marked
    assert a_selector.nodeCount() == 1


def test_the_selector_with_none_chooses_nothing_by_itself(a_selector):
    a_selector.noneEnabled = True
    node = volume("A")
    assert a_selector.currentNode() is None
    a_selector.setCurrentNodeID(node.GetID())
    assert a_selector.currentNodeID == node.GetID()
    a_selector.setCurrentNode(None)
    assert a_selector.currentNodeID == ""


def test_the_selector_makes_nodes(a_selector):
    a_selector.baseName = "Output"
    node = a_selector.addNode()
    assert node.GetName().startswith("Output")
    assert a_selector.currentNode() is node


def test_a_selector_without_a_scene_is_empty():
    volume("A")
    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    assert (selector.nodeCount(), selector.currentNode()) == (0, None)


def test_a_table_view_shows_a_table_as_it_changes():
    table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode")
    slicer.util.updateTableFromArray(table, np.array([[1.5, 2.0], [3.0, 4.0]]), ["a", "b"])
    view = slicer.qMRMLTableView()
    view.setMRMLTableNode(table)
    assert (view.model().rowCount(), view.model().columnCount()) == (2, 2)
    assert view.model().headerData(1, qt.Qt.Horizontal) == "b"
    assert view.model().index(0, 0).data() == "1.5"
    table.AddEmptyRow()
    table.Modified()
    assert view.model().rowCount() == 3
    view.setMRMLTableNode(None)
    assert view.model().rowCount() == 0


def test_a_table_view_with_a_scene_but_no_view_node_empties_itself_after_a_batch(host_scene):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", "Table")
    views = [slicer.qMRMLTableView() for _ in range(2)]
    views[1].setMRMLScene(host_scene)
    for view in views:
        view.setMRMLTableNode(node)
    host_scene.StartState(host_scene.BatchProcessState)
    host_scene.EndState(host_scene.BatchProcessState)
    assert [view.mrmlTableNode() for view in views] == [node, None]


def test_segments_can_be_selected():
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    view = slicer.qMRMLSegmentsTableView()
    view.setSegmentationNode(node)
    for name in ("Spleen", "Liver"):
        node.GetSegmentation().AddEmptySegment(name, name)
    assert view.segmentCount == 2
    view.setSelectedSegmentIDs(["Liver"])
    assert view.selectedSegmentIDs() == ("Liver",)
    node.GetSegmentation().RemoveSegment("Liver")
    assert view.displayedSegmentIDs() == ("Spleen",)
    selector = slicer.qMRMLSegmentSelectorWidget()
    selector.setMRMLScene(slicer.mrmlScene)
    selector.setCurrentNode(node)
    assert selector.currentSegmentID() == "Spleen"


def test_sliders_and_spin_boxes():
    seen = []
    for widget in (ctk.ctkSliderWidget(), slicer.qMRMLSliderWidget(), ctk.ctkDoubleSpinBox()):
        widget.minimum, widget.maximum, widget.decimals = -1, 1, 3
        widget.connect("valueChanged(double)", seen.append)
        widget.value = 0.125
        widget.setValue(5)
        assert widget.value == 1
    assert seen == [0.125, 1.0] * 3
    ranges = ctk.ctkRangeWidget()
    ranges.setRange(-10, 10)
    ranges.setValues(-2, 3)
    assert (ranges.minimumValue, ranges.maximumValue) == (-2, 3)


def test_paths_are_chosen_without_a_dialog(tmp_path):
    edit = ctk.ctkPathLineEdit()
    seen = []
    edit.connect("currentPathChanged(QString)", seen.append)
    host.answer(str(tmp_path))
    edit.browse()
    assert edit.currentPath == str(tmp_path)
    assert seen[-1] == str(tmp_path)
    host.answer("report.html")
    assert qt.QFileDialog.getSaveFileName(None, "Save") == "report.html"


def test_the_layout_manager_moves_the_real_layout_node():
    manager = slicer.app.layoutManager()
    manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpTableView)
    assert manager.layout == slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpTableView
    assert manager.tableViewCount == 1
    table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode")
    slicer.app.applicationLogic().GetSelectionNode().SetActiveTableID(table.GetID())
    slicer.app.applicationLogic().PropagateTableSelection()
    assert manager.tableWidget(0).tableView().mrmlTableNode() is table
    with pytest.raises(NotImplementedError):
        manager.threeDWidget(0)


def test_the_application_objects_offer_only_real_members():
    from host.application import HostApplication, LayoutManager
    from PrognosisLib.headless.application import CoreModule, ModuleManager, ScriptedModule
    from PrognosisLib.headless.iomanager import CoreIOManager

    qtNames = set(dir(qt.QApplication)) | {"connect", "disconnect"}
    # slicer.util itself uses these; the table, parsed from headers, lacks macros and Qt's own names.
    macros = {"applicationName", "applicationVersion", "testingEnabled", "translate", "icon", "widgetVisible"}
    macros |= {"widgetRepresentation", "createNewWidgetRepresentation", "instance"}
    for cls, className in (
        (HostApplication, "qSlicerApplication"),
        (ModuleManager, "qSlicerModuleManager"),
        (CoreIOManager, "qSlicerCoreIOManager"),
        (LayoutManager, "qSlicerLayoutManager"),
        (CoreModule, "qSlicerAbstractCoreModule"),
        (ScriptedModule, "qSlicerAbstractCoreModule"),
    ):
        public = {name for base in cls.__mro__[:-1] for name in vars(base) if not name.startswith("_")}
        assert public <= set(facts.members(className)) | qtNames | macros, className
