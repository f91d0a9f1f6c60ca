"""A segment to draw in, made where there is none."""

from __future__ import annotations

import slicer

from .places import hasLinearPlace, newNode, placeBeside
from .segments import findSegmentID
from .terminology import ENTRIES


def segmentToEdit(volumeNode, segmentationNode, name: str) -> tuple:
    """The segmentation node and the ID of its segment `name`; both are made where missing, the segment empty.

    A new segmentation gets the volume's geometry and transform, a new segment the standard name, color and terminology.
    """
    if segmentationNode is None:
        segmentationNode = newNode("vtkMRMLSegmentationNode", f"{volumeNode.GetName()} segmentation")
        segmentationNode.CreateDefaultDisplayNodes()
        segmentationNode.SetReferenceImageGeometryParameterFromVolumeNode(volumeNode)
        if hasLinearPlace(volumeNode):
            segmentationNode.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
        placeBeside(segmentationNode, volumeNode)
    segmentID = findSegmentID(segmentationNode, name)
    if segmentID is None:
        segmentID = segmentationNode.GetSegmentation().AddEmptySegment("", name)
        entry = ENTRIES.get(name)
        if entry is not None:
            segment = segmentationNode.GetSegmentation().GetSegment(segmentID)
            segment.SetColor(*(part / 255.0 for part in entry.color))
            segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), entry.serialized())
    return segmentationNode, segmentID
