"""Where nodes are: matrices between voxels, parent transforms and the world, and their place in the scene."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import slicer
import vtk

from ..errors import InputError
from ..volume import Grid

# Node attributes and reference roles by which the nodes of a run are found again, also in a reloaded scene.
SYSTEM = "Prognosis.system"
ROLE = "Prognosis.role"
VOLUME_REFERENCE = "Prognosis.volume"
SEGMENTATION_REFERENCE = "Prognosis.segmentation"


def hasLinearPlace(node) -> bool:
    """Whether no non-linear transform lies between the node and the world."""
    parent = node.GetParentTransformNode()
    return parent is None or bool(parent.IsTransformToWorldLinear())


def parentToWorld(node) -> np.ndarray:
    """4x4 matrix from the node's own coordinates to world RAS, through all its parent transforms.

    Raises:
        InputError: one of them is not linear.
    """
    if not hasLinearPlace(node):
        raise InputError(
            f"'{node.GetName()}' is under a non-linear transform; "
            "harden the transform first (right-click it in the Data module, or use the Transforms module)."
        )
    matrix = vtk.vtkMatrix4x4()
    slicer.vtkMRMLTransformNode.GetMatrixTransformBetweenNodes(node.GetParentTransformNode(), None, matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def ijkToLocal(volumeNode) -> np.ndarray:
    """4x4 IJK-to-RAS matrix of a volume node, before its parent transform."""
    matrix = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def worldGrid(volumeNode) -> Grid:
    """The voxel lattice of a volume node in world RAS.

    Raises:
        InputError: it is empty, its matrix is singular, or it is under a non-linear transform.
    """
    return Grid(imageShape(volumeNode), parentToWorld(volumeNode) @ ijkToLocal(volumeNode))


def imageShape(volumeNode) -> tuple[int, int, int]:
    """(k, j, i) of a volume node's image."""
    image = volumeNode.GetImageData()
    if image is None or image.GetNumberOfPoints() == 0:
        raise InputError(f"'{volumeNode.GetName()}' holds no image; load it again.")
    return tuple(image.GetDimensions()[::-1])


class Placement:
    """Takes geometry from the world as a run saw it to the volume node's own coordinates.

    Args:
        volumeNode: the volume the run was made on.
        grid: the world lattice that the run saw. A parent transform that was changed since then moves the findings
            along with the volume. None: the volume is still where it was.

    Attributes:
        volumeNode: the volume.
        grid: the lattice that the run saw.
        reference: IJK-to-RAS of the same voxels in the coordinates that findings share with the volume.
        toWorld: from these coordinates to world RAS.
        transformNode: the parent that findings share with the volume; None if the volume's is not linear, where
            findings stay in the world, in which they were computed.

    Raises:
        InputError: the volume is no longer in the scene, has other dimensions by now, or its place is not known.
    """

    def __init__(self, volumeNode, grid: Grid | None = None) -> None:
        if volumeNode is None or not slicer.mrmlScene.IsNodePresent(volumeNode):
            raise InputError("The volume is no longer in the scene; nothing was changed. Load it again and run again.")
        self.volumeNode = volumeNode
        if grid is None or hasLinearPlace(volumeNode):
            current = worldGrid(volumeNode)
            self.grid = current if grid is None else grid
            self.transformNode = volumeNode.GetParentTransformNode()
            self.reference = ijkToLocal(volumeNode)
            self.toWorld = parentToWorld(volumeNode)
            if self.grid.shape != current.shape:
                raise InputError(f"'{volumeNode.GetName()}' was changed during the run; run again.")
        else:
            self.grid = grid
            self.transformNode = None
            self.reference = grid.ijk_to_ras
            self.toWorld = np.eye(4)

    def localMatrix(self, grid: Grid) -> np.ndarray:
        """IJK-to-RAS of a lattice of the run, in the coordinates that findings share with the volume."""
        if grid.same_as(self.grid):
            return self.reference
        return self.reference @ np.linalg.inv(self.grid.ijk_to_ras) @ grid.ijk_to_ras

    @property
    def worldToRun(self) -> np.ndarray:
        """4x4 matrix from world RAS, where the volume is now, to the coordinates of the run."""
        now = self.toWorld @ self.reference
        return np.eye(4) if np.array_equal(now, self.grid.ijk_to_ras) else self.grid.ijk_to_ras @ np.linalg.inv(now)


def placeBeside(node, volumeNode) -> None:
    """Puts a node into the volume's folder or study in the subject hierarchy."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    parent = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(volumeNode)) or hierarchy.GetSceneItemID()
    item = hierarchy.GetItemByDataNode(node) or hierarchy.CreateItem(parent, node)
    hierarchy.SetItemParent(item, parent)


def newNode(className: str, name: str):
    """Adds a node whose name no other node has."""
    node = slicer.mrmlScene.AddNewNodeByClass(className, slicer.mrmlScene.GenerateUniqueName(name))
    if node is None:
        raise RuntimeError(f"The scene cannot make a {className}.")
    return node


def mark(node, role: str, system: str, volumeNode, segmentationNode=None, **attributes: str) -> None:
    """Notes on a node what it is, of which system, and to which volume and segmentation it belongs."""
    for name, value in {SYSTEM: system, ROLE: role, **_named(attributes)}.items():
        node.SetAttribute(name, value)
    node.SetNodeReferenceID(VOLUME_REFERENCE, volumeNode.GetID())
    node.SetNodeReferenceID(SEGMENTATION_REFERENCE, segmentationNode.GetID() if segmentationNode else None)


def unmark(node) -> None:
    """Takes back `mark`."""
    for name in node.GetAttributeNames():
        if name.startswith("Prognosis."):
            node.RemoveAttribute(name)
    for role in (VOLUME_REFERENCE, SEGMENTATION_REFERENCE):
        node.RemoveNodeReferenceIDs(role)


def findMarked(role: str, system: str, volumeNode, segmentationNode=None, **attributes: str) -> list:
    """The nodes marked like this, oldest first."""
    wanted = {SYSTEM: system, ROLE: role, **_named(attributes)}
    scene = slicer.mrmlScene
    nodes = (scene.GetNthNode(index) for index in range(scene.GetNumberOfNodes()))
    return [
        node
        for node in nodes
        if all(node.GetAttribute(name) == value for name, value in wanted.items())
        and node.GetNodeReference(VOLUME_REFERENCE) is volumeNode
        and node.GetNodeReference(SEGMENTATION_REFERENCE) is segmentationNode
    ]


def markedFor(role: str, system: str, segmentationNode) -> list:
    """The nodes marked with this role that belong to a segmentation, on whichever image, oldest first."""
    wanted, scene = {SYSTEM: system, ROLE: role}, slicer.mrmlScene
    nodes = (scene.GetNthNode(index) for index in range(scene.GetNumberOfNodes()))
    return [
        node
        for node in nodes
        if all(node.GetAttribute(name) == value for name, value in wanted.items())
        and node.GetNodeReference(SEGMENTATION_REFERENCE) is segmentationNode
    ]


def volumeOf(node):
    """The volume that a node was marked with; None where there is none, or it was removed."""
    return node.GetNodeReference(VOLUME_REFERENCE)


def _named(attributes: dict[str, str]) -> dict[str, str]:
    return {f"Prognosis.{name}": value for name, value in attributes.items()}


@contextmanager
def allOrNothing() -> Iterator[ExitStack]:
    """One batch of scene changes. An exception undoes what was put on the stack and removes the nodes that are new."""
    scene = slicer.mrmlScene
    before = {scene.GetNthNode(index).GetID() for index in range(scene.GetNumberOfNodes())}
    scene.StartState(scene.BatchProcessState)
    try:
        with ExitStack() as undo:
            undo.callback(_removeNodesBeyond, before)
            yield undo
    finally:
        scene.EndState(scene.BatchProcessState)


def _removeNodesBeyond(before: set[str]) -> None:
    scene = slicer.mrmlScene
    nodes = [scene.GetNthNode(index) for index in range(scene.GetNumberOfNodes())]
    for node in reversed([node for node in nodes if node.GetID() not in before]):
        scene.RemoveNode(node)
