"""A segment to draw in, made where there is none."""

from __future__ import annotations

import slicer

from .film_segments import addEmptySegment
from .films import FilmPlacement, openFilm, trackOf
from .places import hasLinearPlace, newNode, placeBeside
from .segments import findSegmentID
from .terminology import ENTRIES


def segmentToEdit(volumeNode, segmentationNode, name: str) -> tuple:
    """The segmentation node and the ID of its segment `name`; both are made where missing, the segment empty.

    A new segmentation gets the volume's geometry and transform, a new segment the standard name, color and terminology.
    On a film the segment is made in all frames, in which it can be drawn; a new segmentation plays with the film.
    """
    film = openFilm(volumeNode)
    volumeNode = volumeNode if film is None else film.volume
    isNew = segmentationNode is None
    if isNew:
        segmentationNode = newNode("vtkMRMLSegmentationNode", f"{volumeNode.GetName()} segmentation")
        segmentationNode.CreateDefaultDisplayNodes()
        placeBeside(segmentationNode, volumeNode)
    if film is not None and (isNew or trackOf(segmentationNode) is not None):
        return segmentationNode, addEmptySegment(segmentationNode, name, FilmPlacement(film))
    if isNew:
        segmentationNode.SetReferenceImageGeometryParameterFromVolumeNode(volumeNode)
        if hasLinearPlace(volumeNode):
            segmentationNode.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
    segmentID = findSegmentID(segmentationNode, name)
    if segmentID is None:
        segmentID = segmentationNode.GetSegmentation().AddEmptySegment("", name)
        entry = ENTRIES.get(name)
        if entry is not None:
            segment = segmentationNode.GetSegmentation().GetSegment(segmentID)
            segment.SetColor(*(part / 255.0 for part in entry.color))
            segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), entry.serialized())
    return segmentationNode, segmentID
