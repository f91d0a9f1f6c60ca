"""Stand-ins for qMRML widgets that hold a scene or choose a node, over the real MRML scene."""

from __future__ import annotations

import slicer
from PySide6 import QtWidgets
from PySide6.QtCore import Property, Signal

from .records import records
from .standin import MODIFIED, NodeObserver, standIn, stored

_SCENE_EVENTS = ("NodeAddedEvent", "NodeRemovedEvent", "EndCloseEvent", "EndImportEvent", "EndBatchProcessEvent")


def sceneEvents() -> tuple[int, ...]:
    """The events after which the nodes of a scene may be others."""
    return tuple(getattr(slicer.vtkMRMLScene, name) for name in _SCENE_EVENTS)


@standIn
class qMRMLWidget(QtWidgets.QWidget):
    mrmlSceneChanged = Signal(object)

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._scene = None

    def mrmlScene(self):
        return self._scene

    def setMRMLScene(self, scene) -> None:
        if scene is not self._scene:
            self._scene = scene
            self._onScene()
            self.mrmlSceneChanged.emit(scene)

    def _onScene(self) -> None:
        """For subclasses."""


@standIn
class qMRMLNodeComboBox(QtWidgets.QWidget):
    currentNodeChanged = Signal(object)
    currentNodeIDChanged = Signal(str)
    nodeActivated = Signal(object)
    nodeAdded = Signal(object)
    nodeAddedByUser = Signal(object)
    nodeAddedByUserAction = Signal(object)
    nodeAboutToBeRemoved = Signal(object)
    currentNodeRenamed = Signal(str)
    nodeAboutToBeEdited = Signal(object)
    _currentNodeValid = Signal(bool)
    _signalAliases = {"currentNodeChanged(bool)": "_currentNodeValid"}  # noqa: RUF012
    vars().update(
        stored(
            "qMRMLNodeComboBox",
            nodeTypes=(),
            showHidden=False,
            showChildNodeTypes=True,
            hideChildNodeTypes=(),
            baseName="",
            noneEnabled=False,
            addEnabled=True,
            removeEnabled=True,
            editEnabled=False,
            renameEnabled=False,
            interactionNodeSingletonTag="",
            selectNodeUponCreation=True,
            noneDisplay="None",
            sizeAdjustPolicy=2,
        )
    )

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._scene = None
        self._nodes: list = []
        self._currentID = ""
        self._attributes: list[tuple[str, str, str | None]] = []
        self._isUpdating = False
        self._box = QtWidgets.QComboBox()
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._box)
        self._box.currentIndexChanged.connect(self._onIndex)
        self._box.activated.connect(lambda: self.nodeActivated.emit(self.currentNode()))
        self._sceneObserver = NodeObserver(self, self._refresh, sceneEvents())
        self._nodeObserver = NodeObserver(self, self._onCurrentModified, (MODIFIED,))
        self._box.enabled = False

    # Which nodes are offered

    def _accepts(self, node) -> bool:
        if node is None or (node.GetHideFromEditors() and not self.showHidden):
            return False
        if not any(self._isOfType(node, typeName) for typeName in self.nodeTypes):
            return False
        if any(node.IsA(typeName) for typeName in self.hideChildNodeTypes):
            return False
        for typeName, name, value in self._attributes:
            if node.IsA(typeName):
                held = node.GetAttribute(name)
                if held is None or (value is not None and held != value):
                    return False
        return True

    def _isOfType(self, node, typeName: str) -> bool:
        return node.IsA(typeName) if self.showChildNodeTypes else node.GetClassName() == typeName

    def _refresh(self) -> None:
        if self._scene is None or self._scene.IsBatchProcessing():
            return
        nodes = [self._scene.GetNthNode(index) for index in range(self._scene.GetNumberOfNodes())]
        self._nodes = [node for node in nodes if self._accepts(node)]
        known = {node.GetID() for node in self._nodes}
        wanted = self._currentID if self._currentID in known else ""
        if not wanted and self._nodes and not self.noneEnabled:
            wanted = self._nodes[0].GetID()
        self._isUpdating = True
        self._box.clear()
        if self.noneEnabled:
            self._box.addItem(self.noneDisplay, "")
        for node in self._nodes:
            self._box.addItem(node.GetName(), node.GetID())
        self._box.setCurrentIndex(self._box.findData(wanted))
        self._isUpdating = False
        self._select(wanted)

    _onNodeTypes = _onShowHidden = _onShowChildNodeTypes = _onHideChildNodeTypes = _refresh
    _onNoneEnabled = _onNoneDisplay = _refresh

    def _onIndex(self, index: int) -> None:
        if not self._isUpdating:
            self._select(self._box.itemData(index) or "" if index >= 0 else "")

    def _select(self, nodeID: str) -> None:
        if nodeID == self._currentID:
            return
        self._currentID = nodeID
        node = self.currentNode()
        self._nodeObserver.observe(node)
        self.currentNodeChanged.emit(node)
        self._currentNodeValid.emit(node is not None)
        self.currentNodeIDChanged.emit(nodeID)

    def _onCurrentModified(self) -> None:
        node = self.currentNode()
        index = self._box.currentIndex
        if node is not None and self._box.itemText(index) != node.GetName():
            self._box.setItemText(index, node.GetName())
            self.currentNodeRenamed.emit(node.GetName())

    # The real class's methods

    def mrmlScene(self):
        return self._scene

    def setMRMLScene(self, scene) -> None:
        self._scene = scene
        self._sceneObserver.observe(scene)
        self._box.enabled = scene is not None
        self._refresh()

    def currentNode(self):
        return self._scene.GetNodeByID(self._currentID) if self._scene is not None and self._currentID else None

    def setCurrentNode(self, node) -> None:
        self.setCurrentNodeID(node if isinstance(node, str) else node.GetID() if node is not None else "")

    def setCurrentNodeID(self, nodeID: str | None) -> None:
        nodeID = nodeID or ""
        index = self._box.findData(nodeID)
        if index < 0 and nodeID:
            records.add(
                f"{self.objectName}: node {nodeID} cannot be chosen (no scene yet, or not of {self.nodeTypes})."
            )
            return
        if index < 0 and not self.noneEnabled:
            self._isUpdating = True
            self._box.setCurrentIndex(-1)
            self._isUpdating = False
            self._select("")
        else:
            self._box.setCurrentIndex(index)

    currentNodeID = Property(str, lambda self: self._currentID, setCurrentNodeID)
    currentNodeId = currentNodeID

    def setCurrentNodeIndex(self, index: int) -> None:
        self.setCurrentNode(self._nodes[index])

    def nodeCount(self) -> int:
        return len(self._nodes)

    def nodeFromIndex(self, index: int):
        return self._nodes[index] if 0 <= index < len(self._nodes) else None

    def addAttribute(self, nodeType: str, name: str, value: str | None = None) -> None:
        self._attributes.append((nodeType, name, value))
        self._refresh()

    def removeAttribute(self, nodeType: str, name: str) -> None:
        self._attributes = [item for item in self._attributes if item[:2] != (nodeType, name)]
        self._refresh()

    def addNode(self, nodeType: str | None = None):
        nodeType = nodeType or self.nodeTypes[0]
        name = self.baseName or self._scene.GetTagByClassName(nodeType)
        node = self._scene.AddNewNodeByClass(nodeType, self._scene.GenerateUniqueName(name))
        if self.selectNodeUponCreation:
            self.setCurrentNode(node)
        for signal in (self.nodeAdded, self.nodeAddedByUser):
            signal.emit(node)
        return node

    def removeCurrentNode(self) -> None:
        node = self.currentNode()
        if node is not None:
            self.nodeAboutToBeRemoved.emit(node)
            self._scene.RemoveNode(node)

    def editCurrentNode(self) -> None:
        self.nodeAboutToBeEdited.emit(self.currentNode())


@standIn
class qMRMLSegmentSelectorWidget(qMRMLWidget):
    currentNodeChanged = Signal(object)
    currentSegmentChanged = Signal(str)
    segmentSelectionChanged = Signal("QStringList")
    vars().update(
        stored(
            "qMRMLSegmentSelectorWidget",
            noneEnabled=False,
            editEnabled=False,
            segmentationNodeSelectorVisible=True,
            multiSelection=False,
            horizontalLayout=False,
            selectNodeUponCreation=True,
        )
    )

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._selector = qMRMLNodeComboBox()
        self._selector.nodeTypes = ("vtkMRMLSegmentationNode",)
        self._segments = QtWidgets.QComboBox()
        layout.addWidget(self._selector)
        layout.addWidget(self._segments)
        self._observer = NodeObserver(self, self._fill, (MODIFIED,))
        self._selector.currentNodeChanged.connect(self._onNode)
        self._segments.currentIndexChanged.connect(lambda: self.currentSegmentChanged.emit(self.currentSegmentID()))

    def _onScene(self) -> None:
        self._selector.setMRMLScene(self._scene)

    def _onNoneEnabled(self) -> None:
        self._selector.noneEnabled = self.noneEnabled
        self._fill()

    def _onNode(self, node) -> None:
        self._observer.observe(node.GetSegmentation() if node is not None else None)
        self._fill()
        self.currentNodeChanged.emit(node)

    def _fill(self) -> None:
        wanted = self.currentSegmentID()
        self._segments.clear()
        if self.noneEnabled:
            self._segments.addItem("None", "")
        node = self.currentNode()
        for segmentID in self.segmentIDs():
            self._segments.addItem(node.GetSegmentation().GetSegment(segmentID).GetName(), segmentID)
        self._segments.setCurrentIndex(max(self._segments.findData(wanted), 0))

    def currentNode(self):
        return self._selector.currentNode()

    def currentNodeID(self) -> str:
        return self._selector.currentNodeID

    def setCurrentNode(self, node) -> None:
        self._selector.setCurrentNode(node)

    def setCurrentNodeID(self, nodeID: str) -> None:
        self._selector.setCurrentNodeID(nodeID)

    def segmentIDs(self) -> tuple[str, ...]:
        node = self.currentNode()
        return tuple(node.GetSegmentation().GetSegmentIDs()) if node is not None else ()

    def currentSegmentID(self) -> str:
        return self._segments.itemData(self._segments.currentIndex) or ""

    def setCurrentSegmentID(self, segmentID: str) -> None:
        self._segments.setCurrentIndex(self._segments.findData(segmentID))


__all__ = [name for name in dir() if name.startswith("qMRML")]
