"""Two images in two slice views beside each other, zoomed and moved together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import slicer
import vtk

from .films import shownVolume

# The views of the layout, from left to right.
VIEWS = ("Red", "Yellow")
ORIENTATION = "Axial"  # the plane of films, and of images without a place


@dataclass(frozen=True)
class _Former:
    """How a view was before: nodes, not IDs, which a closed scene gives to others."""

    view: Any
    composite: Any
    background: Any
    isLinked: bool
    isHotLinked: bool
    orientation: str
    fieldOfView: tuple[float, float, float]
    origin: tuple[float, float, float]
    sliceToRAS: vtk.vtkMatrix4x4


class SideBySide:
    """Shows two images beside each other, and brings back the layout and the images that were shown before."""

    def __init__(self) -> None:
        self._former: list[_Former] = []
        self._layout: int | None = None

    @property
    def isShown(self) -> bool:
        return self._layout is not None

    def show(self, volumeNodes: Sequence[Any]) -> None:
        """Shows two images, or two others if there are two already, at the same scale in mm.

        Args:
            volumeNodes: volumes; of films whichever node stands for them.
        """
        node = layoutNode()
        if self._layout is None:
            self._layout = node.GetViewArrangement()
        node.SetViewArrangement(slicer.vtkMRMLLayoutNode.SlicerLayoutSideBySideView)
        views = [_viewOf(name) for name in VIEWS]
        if not self._former:
            self._former = [_formerOf(*view) for view in views if view is not None]
        shown = [(view, volume) for view, volume in zip(views, volumeNodes, strict=True) if view is not None]
        for (view, composite), volume in shown:
            view.SetOrientation(ORIENTATION)
            with slicer.util.NodeModify(composite):
                composite.SetLinkedControl(False)  # each is fitted to its own image first
                composite.SetBackgroundVolumeID(shownVolume(volume).GetID())
                composite.SetForegroundVolumeID(None)
        slicer.util.resetSliceViews()
        _setOneScale([view for (view, _composite), _volume in shown])
        for (_view, composite), _volume in shown:
            composite.SetHotLinkedControl(True)
            composite.SetLinkedControl(True)

    def hide(self) -> None:
        """Brings back what was there; a layout that the user has chosen since stays."""
        former, self._former = self._former, []
        layout, self._layout = self._layout, None
        if layout is None:
            return
        for one in former:
            _bringBack(one)
        node = layoutNode()
        if node.GetViewArrangement() == slicer.vtkMRMLLayoutNode.SlicerLayoutSideBySideView:
            node.SetViewArrangement(layout)


def layoutNode() -> Any:
    """The scene's layout."""
    return slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLLayoutNode")


def _viewOf(name: str) -> tuple[Any, Any] | None:
    """The slice node of a view, and the node that says which images it shows; None where no window has made them."""
    view = slicer.mrmlScene.GetSingletonNode(name, "vtkMRMLSliceNode")
    nodes = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    composite = next((node for node in nodes if node.GetLayoutName() == name), None)
    return None if view is None or composite is None else (view, composite)


def _formerOf(view: Any, composite: Any) -> _Former:
    volumeID = composite.GetBackgroundVolumeID()
    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy(view.GetSliceToRAS())
    return _Former(
        view,
        composite,
        slicer.mrmlScene.GetNodeByID(volumeID) if volumeID else None,
        bool(composite.GetLinkedControl()),
        bool(composite.GetHotLinkedControl()),
        view.GetOrientation(),
        tuple(view.GetFieldOfView()),
        tuple(view.GetXYZOrigin()),
        matrix,
    )


def _bringBack(former: _Former) -> None:
    scene = slicer.mrmlScene
    if scene.IsNodePresent(former.composite):
        with slicer.util.NodeModify(former.composite):
            former.composite.SetLinkedControl(former.isLinked)
            former.composite.SetHotLinkedControl(former.isHotLinked)
            if former.background is not None and scene.IsNodePresent(former.background):
                former.composite.SetBackgroundVolumeID(former.background.GetID())
    if scene.IsNodePresent(former.view):
        with slicer.util.NodeModify(former.view):
            former.view.SetOrientation(former.orientation)
            former.view.GetSliceToRAS().DeepCopy(former.sliceToRAS)
            former.view.SetFieldOfView(*former.fieldOfView)
            former.view.SetXYZOrigin(*former.origin)
            former.view.UpdateMatrices()


def _setOneScale(views: Sequence[Any]) -> None:
    """Gives all views the scale of the one that shows most: as many mm for each pixel of the screen."""
    scales = [view.GetFieldOfView()[0] / max(view.GetDimensions()[0], 1) for view in views]
    for view, scale in zip(views, scales, strict=True):
        x, y, z = view.GetFieldOfView()
        factor = max(scales) / scale if scale > 0 else 1.0
        view.SetFieldOfView(x * factor, y * factor, z)
