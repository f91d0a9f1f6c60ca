"""Keeps the subject hierarchy in step with the scene, as Slicer's Qt plugins do.

The subject hierarchy node itself is real MRML; only the observers that make and remove items are ours.
"""

from __future__ import annotations

import slicer
import vtk

# The first class a node is an instance of names the plugin that owns its item.
OWNER_PLUGINS = (
    ("vtkMRMLLabelMapVolumeNode", "LabelMaps"),
    ("vtkMRMLVolumeNode", "Volumes"),
    ("vtkMRMLSegmentationNode", "Segmentations"),
    ("vtkMRMLTableNode", "Tables"),
    ("vtkMRMLPlotChartNode", "Plots"),
    ("vtkMRMLPlotSeriesNode", "Plots"),
    ("vtkMRMLModelNode", "Models"),
    ("vtkMRMLTransformNode", "Transforms"),
    ("vtkMRMLMarkupsNode", "Markups"),
    ("vtkMRMLAnnotationNode", "Annotations"),
    ("vtkMRMLTextNode", "Texts"),
    ("vtkMRMLSequenceNode", "Sequences"),
    ("vtkMRMLSequenceBrowserNode", "SequenceBrowsers"),
)


class SubjectHierarchyKeeper:
    """Makes an item for each node that a Slicer plugin would claim, and removes it with the node."""

    def __init__(self, scene: slicer.vtkMRMLScene) -> None:
        self._scene = scene
        self._observe(scene.NodeAddedEvent, self._onNodeAdded, withNode=True)
        self._observe(scene.NodeAboutToBeRemovedEvent, self._onNodeAboutToBeRemoved, withNode=True)
        self._observe(scene.NodeRemovedEvent, self._onNodeRemoved, withNode=True)
        for event in (scene.EndImportEvent, scene.EndCloseEvent, scene.EndRestoreEvent, scene.EndBatchProcessEvent):
            self._observe(event, self._onSceneChanged, withNode=False)
        self._onSceneChanged()

    def _observe(self, event: int, method, withNode: bool) -> None:
        def callback(_caller, _event, node=None):
            method(node) if withNode else method()

        if withNode:
            callback.CallDataType = vtk.VTK_OBJECT
        # Slicer's plugin logic runs before other observers, which may rely on the item.
        self._scene.AddObserver(event, callback, 10.0)

    @staticmethod
    def _owner(node) -> str | None:
        if node is None or node.GetHideFromEditors():
            return None
        return next((plugin for className, plugin in OWNER_PLUGINS if node.IsA(className)), None)

    def _addItem(self, node) -> None:
        owner = self._owner(node)
        hierarchy = self._scene.GetSubjectHierarchyNode()
        if owner is None or hierarchy.GetItemByDataNode(node):
            return
        item = hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)
        hierarchy.SetItemOwnerPluginName(item, owner)

    def _onNodeAdded(self, node) -> None:
        if node.IsA("vtkMRMLSubjectHierarchyNode"):
            slicer.vtkMRMLSubjectHierarchyNode.ResolveSubjectHierarchy(self._scene)
        elif not self._scene.IsImporting():
            self._addItem(node)

    def _onNodeAboutToBeRemoved(self, node) -> None:
        if self._scene.IsClosing() or node.IsA("vtkMRMLSubjectHierarchyNode"):
            return
        hierarchy = self._scene.GetSubjectHierarchyNode()
        item = hierarchy.GetItemByDataNode(node)
        if item:
            hierarchy.RemoveItem(item, False, False)

    def _onNodeRemoved(self, node) -> None:
        if not self._scene.IsClosing() and node.IsA("vtkMRMLSubjectHierarchyNode"):
            self._onSceneChanged()

    def _onSceneChanged(self) -> None:
        if self._scene.IsClosing():
            return
        slicer.vtkMRMLSubjectHierarchyNode.ResolveSubjectHierarchy(self._scene)
        for index in range(self._scene.GetNumberOfNodes()):
            self._addItem(self._scene.GetNthNode(index))
