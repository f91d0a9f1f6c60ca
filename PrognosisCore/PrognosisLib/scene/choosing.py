"""Which volume of the scene a panel offers first."""

from __future__ import annotations

import slicer

from .places import ROLE


def findInput():
    """The active volume, as the slice views show it, or else the newest one; None where there is none.

    Label maps, volumes without an image and heat maps that a run has written are not offered.
    """
    scene = slicer.mrmlScene
    selection = slicer.app.applicationLogic().GetSelectionNode()
    active = scene.GetNodeByID(selection.GetActiveVolumeID() or "") if selection is not None else None
    if _isImage(active):
        return active
    return next(
        (node for node in reversed(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")) if _isImage(node)), None
    )


def _isImage(node) -> bool:
    return (
        node is not None
        and node.GetClassName() == "vtkMRMLScalarVolumeNode"
        and node.GetImageData() is not None
        and node.GetAttribute(ROLE) is None
        and not node.GetHideFromEditors()
    )
