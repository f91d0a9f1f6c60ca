"""Segmentation nodes to masks, of a volume or of all frames of a film."""

from __future__ import annotations

from collections.abc import Collection

import slicer

from ..errors import InputError
from ..findings import Mask
from ..volume import Grid
from .film_segments import isUntouchedFilm, knownOfFilm, readFilm
from .films import FilmPlacement, placementOf, trackOf
from .known import evidenceOf, tagsOf
from .places import Placement
from .segments import LABELMAP, REFERENCE_GEOMETRY, findSegmentID, isUntouched, readMasks


def toMasks(
    segmentationNode, volumeNode, names: Collection[str] | None = None, grid: Grid | None = None
) -> dict[str, Mask]:
    """The segments as masks, by name: on the volume's voxels, or on the lattice on which their run has found them.

    Segments of another geometry or under other transforms are resampled; surfaces are converted, on a copy. A segment
    with the name (upper or lower case alike) or else the terminology of a standard segment gets the standard name.
    `volume_ml` and `confidence` are there only as long as no voxel was edited since the network's run, `evidence`
    always.

    Args:
        segmentationNode: vtkMRMLSegmentationNode; not changed. Of a film, the one that plays with it, or one whose
            slices are the frames, as files hold it.
        volumeNode: the volume, or a film's sequence, browser or volume: its masks are (t, j, i), as on Cine.grid.
        names: read only these, to save time; all by default.
        grid: the lattice of the image as the run saw it (Volume.grid, Cine.grid); by default as it is now.

    Raises:
        InputError: no segmentation, two segments claim the same wanted name, the volume is under a non-linear
            transform and no grid is given, or the segmentation has not the film's frames.
    """
    if segmentationNode is None or not segmentationNode.IsA("vtkMRMLSegmentationNode"):
        raise InputError("No segmentation is chosen; choose one.")
    placement = placementOf(volumeNode, grid)
    if isinstance(placement, FilmPlacement):
        if trackOf(segmentationNode) is not None:
            return readFilm(segmentationNode, placement, names)
        if placement.film.count > 1 and _isFlat(segmentationNode):
            raise InputError(
                f"'{segmentationNode.GetName()}' is drawn on one image and not on the frames of "
                f"'{placement.volumeNode.GetName()}'; choose the segmentation of this cine, or draw one with 'Edit'."
            )
    return readMasks(segmentationNode, placement, names)


def readEvidence(segmentationNode, name: str) -> str:
    """What the network knew about a segment (Mask.evidence), without reading its voxels; empty where nothing is."""
    if segmentationNode is None:
        return ""
    segmentID = findSegmentID(segmentationNode, name)
    if segmentID is None:
        return ""
    track = trackOf(segmentationNode)
    if track is not None:
        return evidenceOf(knownOfFilm(track).get(segmentID, {}))
    return evidenceOf(tagsOf(segmentationNode.GetSegmentation().GetSegment(segmentID)))


def isUnedited(segmentationNode, placement: Placement) -> bool:
    """Whether a segmentation holds what a run has written, and nothing else."""
    if not isinstance(placement, FilmPlacement):
        return isUntouched(segmentationNode)
    try:
        return trackOf(segmentationNode) is not None and isUntouchedFilm(segmentationNode, placement)
    except InputError:  # it cannot be read any more, so it is the user's
        return False


def _isFlat(segmentationNode) -> bool:
    """Whether a segmentation has a single slice."""
    segmentation = segmentationNode.GetSegmentation()
    geometry = segmentation.GetConversionParameter(REFERENCE_GEOMETRY)
    image = slicer.vtkOrientedImageData()
    if geometry and slicer.vtkSegmentationConverter.DeserializeImageGeometry(geometry, image, False):
        return image.GetDimensions()[2] <= 1
    images = [
        segmentation.GetSegment(segmentID).GetRepresentation(LABELMAP) for segmentID in segmentation.GetSegmentIDs()
    ]
    return all(image is None or image.GetDimensions()[2] <= 1 for image in images)
