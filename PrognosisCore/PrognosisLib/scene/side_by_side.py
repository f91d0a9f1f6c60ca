"""Two images in two slice views beside each other, zoomed and moved together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import slicer

from .films import shownVolume

# The views of the layout, from left to right.
VIEWS = ("Red", "Yellow")
ORIENTATION = "Axial"  # the plane of films, and of images without a place


@dataclass(frozen=True)
class _Former:
    """What a view showed before: nodes, not IDs, which a closed scene gives to others."""

    composite: Any
    background: Any
    isLinked: bool
    isHotLinked: bool


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
        composites = [_compositeOf(name) for name in VIEWS]
        if not self._former:
            self._former = [_formerOf(composite) for composite in composites]
        for name, composite, volume in zip(VIEWS, composites, volumeNodes, strict=True):
            view = _viewOf(name)
            if view is not None:
                view.SetOrientation(ORIENTATION)
            with slicer.util.NodeModify(composite):
                composite.SetLinkedControl(False)  # each is fitted to its own image first
                composite.SetBackgroundVolumeID(shownVolume(volume).GetID())
                composite.SetForegroundVolumeID(None)
        slicer.util.resetSliceViews()
        _setOneScale([view for view in map(_viewOf, VIEWS) if view is not None])
        for composite in composites:
            composite.SetHotLinkedControl(True)
            composite.SetLinkedControl(True)

    def hide(self) -> None:
        """Brings back what was there, unless the user has chosen another layout or other images since."""
        former, self._former = self._former, []
        layout, self._layout = self._layout, None
        if layout is None:
            return
        for one in former:
            if slicer.mrmlScene.IsNodePresent(one.composite):
                there = one.background is not None and slicer.mrmlScene.IsNodePresent(one.background)
                with slicer.util.NodeModify(one.composite):
                    one.composite.SetLinkedControl(one.isLinked)
                    one.composite.SetHotLinkedControl(one.isHotLinked)
                    if there:
                        one.composite.SetBackgroundVolumeID(one.background.GetID())
        node = layoutNode()
        if node.GetViewArrangement() == slicer.vtkMRMLLayoutNode.SlicerLayoutSideBySideView:
            node.SetViewArrangement(layout)

    def forget(self) -> None:
        """For a scene that is closed: its views are not brought back."""
        self._former, self._layout = [], None


def layoutNode() -> Any:
    """The scene's layout."""
    return slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLLayoutNode")


def _viewOf(name: str) -> Any:
    """The slice node of a view; None where no window has made it."""
    return slicer.mrmlScene.GetSingletonNode(name, "vtkMRMLSliceNode")


def _compositeOf(name: str) -> Any:
    """What a view shows; the node that a window would make is made where there is none."""
    nodes = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    found = next((node for node in nodes if node.GetLayoutName() == name), None)
    if found is None:
        found = slicer.vtkMRMLSliceCompositeNode()
        found.SetLayoutName(name)
        found.SetSingletonTag(name)
        found = slicer.mrmlScene.AddNode(found)
    return found


def _formerOf(composite: Any) -> _Former:
    volumeID = composite.GetBackgroundVolumeID()
    volume = slicer.mrmlScene.GetNodeByID(volumeID) if volumeID else None
    return _Former(composite, volume, bool(composite.GetLinkedControl()), bool(composite.GetHotLinkedControl()))


def _setOneScale(views: Sequence[Any]) -> None:
    """Gives all views the scale of the one that shows most: as many mm for each pixel of the screen."""
    scales = [view.GetFieldOfView()[0] / max(view.GetDimensions()[0], 1) for view in views]
    for view, scale in zip(views, scales, strict=True):
        x, y, z = view.GetFieldOfView()
        factor = max(scales) / scale if scale > 0 else 1.0
        view.SetFieldOfView(x * factor, y * factor, z)
