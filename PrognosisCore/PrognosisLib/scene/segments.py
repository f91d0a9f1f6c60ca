"""Masks to segments and back."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from ..errors import InputError
from ..findings import Mask
from ..volume import Grid, resample
from .known import (
    CHECKSUM_TAG,
    KNOWN_TAGS,
    LATTICE_TAG,
    checksum,
    evidenceOf,
    latticeOf,
    ofVoxels,
    setKnown,
    setTag,
    tagOf,
    tagsOf,
)
from .places import Placement, hasLinearPlace, parentToWorld
from .terminology import ENTRIES, recognize

LABELMAP = "Binary labelmap"
SURFACE = "Closed surface"
REFERENCE_GEOMETRY = "Reference image geometry"

SEE_THROUGH = 0.35  # opacity in 3D of a segment that is not solid
# Two lattices are the same if their voxels are closer than this part of a voxel.
SAME_VOXEL = 0.01


# Reading


def readMasks(segmentationNode, placement: Placement, names: Collection[str] | None = None) -> dict[str, Mask]:
    """The segments of one segmentation as masks, by name; see `masks.toMasks`."""
    masks = {}
    for segmentID, name in namesByID(segmentationNode, names).items():
        tags = tagsOf(segmentationNode.GetSegmentation().GetSegment(segmentID))
        mask = _readSegment(segmentationNode, segmentID, name, placement, tags)
        masks[name] = replace(mask, evidence=evidenceOf(tags), **shownAs(segmentationNode, segmentID))
    return masks


def shownAs(segmentationNode, segmentID: str) -> dict[str, bool]:
    """`visible` and `solid` of a mask, as the user sees its segment."""
    display = segmentationNode.GetDisplayNode()
    if display is None:
        return {"visible": True, "solid": True}
    isVisible, opacity = display.GetSegmentVisibility(segmentID), display.GetSegmentOpacity3D(segmentID)
    return {"visible": bool(isVisible), "solid": opacity > 0.99}


def findSegmentID(segmentationNode, name: str) -> str | None:
    """The ID of the segment that `toMasks` gives under this name; None if there is none."""
    return next((key for key, value in namesByID(segmentationNode, {name}).items() if value == name), None)


def isUntouched(segmentationNode) -> bool:
    """Whether every segment was written by a run and no voxel of it edited since."""
    segmentation = segmentationNode.GetSegmentation()
    segments = [segmentation.GetNthSegment(index) for index in range(segmentation.GetNumberOfSegments())]
    return bool(segments) and all(_isUnedited(segment) for segment in segments)


def segmentNames(segmentationNode) -> set[str]:
    """The segments' own names."""
    segmentation = segmentationNode.GetSegmentation()
    return {segmentation.GetSegment(segmentID).GetName() for segmentID in segmentation.GetSegmentIDs()}


def namesByID(segmentationNode, wanted: Collection[str] | None = None) -> dict[str, str]:
    """By ID, the name that each segment has as a mask: standard ones as we write them; only those wanted.

    Raises:
        InputError: two segments claim the same wanted name.
    """
    segmentation = segmentationNode.GetSegmentation()
    ids = list(segmentation.GetSegmentIDs())
    segments = [segmentation.GetSegment(segmentID) for segmentID in ids]
    standard = recognize([(segment.GetName() or "", _terminology(segment)) for segment in segments])
    names: dict[str, str] = {}
    for segmentID, segment, known in zip(ids, segments, standard, strict=True):
        name = known or segment.GetName() or segmentID
        if wanted is not None and name not in wanted:
            continue
        if name in names.values() and known is None and wanted is None:
            name = f"{name} ({segmentID})"
        elif name in names.values():
            raise InputError(
                f"'{segmentationNode.GetName()}' has two segments named '{name}'; rename or remove one of them."
            )
        names[segmentID] = name
    return names


def _readSegment(segmentationNode, segmentID: str, name: str, placement: Placement, tags: Mapping[str, str]) -> Mask:
    """One segment in the coordinates of the run, with what the network knew about these voxels."""
    grid = latticeOf(tags[LATTICE_TAG], placement.grid) or placement.grid
    isLinear = hasLinearPlace(segmentationNode)
    toRun = placement.worldToRun @ (parentToWorld(segmentationNode) if isLinear else np.eye(4))
    image, label = _labelmap(segmentationNode, segmentID, np.linalg.inv(toRun) @ grid.ijk_to_ras, grid.shape)
    if image is None:
        return Mask.from_full(name, np.zeros((0, 0, 0), dtype=bool), grid)
    if not isLinear:
        image = _inWorld(segmentationNode, image, label)
        label = 1
    inside, start = filledBox(image, label)
    if inside is None:
        return Mask.from_full(name, np.zeros((0, 0, 0), dtype=bool), grid)
    mask = onGrid(name, inside, start, toRun @ imageMatrix(image), grid)
    # Compared on its own lattice: a volume may come back from a file with its slices in the other order.
    return replace(mask, **ofVoxels(tags, checksum(inside, start)))


def imageMatrix(image) -> np.ndarray:
    """4x4 matrix from the voxels of a labelmap to the coordinates of its segmentation."""
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def _labelmap(segmentationNode, segmentID: str, ijkToLocal: np.ndarray, shape: tuple[int, int, int]):
    """A segment's labelmap, shared with its node, and its label value; (None, 0) for an empty segment.

    A surface is converted on the lattice given, in the segmentation's own coordinates.
    """
    segmentation = segmentationNode.GetSegmentation()
    segment = segmentation.GetSegment(segmentID)
    image = segment.GetRepresentation(LABELMAP)
    isSource = segmentation.GetSourceRepresentationName() == LABELMAP
    surface = segment.GetRepresentation(SURFACE)
    if not isSource and surface is not None:
        if surface.GetNumberOfPoints() == 0:
            return None, 0
        copy = slicer.vtkSegmentation()
        copy.SetSourceRepresentationName(SURFACE)
        copy.CopySegmentFromSegmentation(segmentation, segmentID)
        copy.GetSegment(segmentID).RemoveRepresentation(LABELMAP)
        copy.SetConversionParameter(REFERENCE_GEOMETRY, serialized(ijkToLocal, shape))
        if not copy.CreateRepresentation(LABELMAP):
            raise InputError(f"The surface of segment '{segment.GetName()}' cannot be converted; repair or redraw it.")
        segment = copy.GetSegment(segmentID)
        image = segment.GetRepresentation(LABELMAP)
    return (None, 0) if isEmpty(image) else (image, segment.GetLabelValue())


def isEmpty(image) -> bool:
    return image is None or image.IsEmpty() or image.GetPointData().GetScalars() is None


def _inWorld(segmentationNode, image, label: int):
    """A labelmap of 0 and 1 with the segmentation's non-linear transform applied, in world RAS."""
    single = slicer.vtkOrientedImageData()
    single.DeepCopy(image)
    values = vtk_to_numpy(single.GetPointData().GetScalars())
    values[:] = values == label
    slicer.vtkSlicerSegmentationsModuleLogic.ApplyParentTransformToOrientedImageData(segmentationNode, single)
    return single


def filledBox(image, label: int) -> tuple[np.ndarray | None, np.ndarray]:
    """The segment's voxels cropped to their box, bool (k, j, i), and the index of its first voxel; None if empty."""
    extent = image.GetExtent()
    values = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])
    start = np.array(extent[::2])[::-1]
    inside = values == label
    for axis in range(3):
        filled = np.flatnonzero(inside.any(axis=tuple(a for a in range(3) if a != axis)))
        if not len(filled):
            return None, start
        start[axis] += filled[0]
        inside = np.moveaxis(np.moveaxis(inside, axis, 0)[filled[0] : filled[-1] + 1], 0, axis)
    return inside, start


def onGrid(name: str, inside: np.ndarray, start: np.ndarray, ijkToWorld: np.ndarray, grid: Grid) -> Mask:
    """Voxels of another lattice on the grid: copied where the lattices agree, else interpolated."""
    toGrid = np.linalg.inv(grid.ijk_to_ras) @ ijkToWorld
    ends = np.array(np.meshgrid(*zip(start, start + inside.shape, strict=True))).reshape(3, -1).T[:, ::-1]
    moved = ends @ toGrid[:3, :3].T + toGrid[:3, 3] - ends
    offset = np.round(moved[0])
    if np.abs(moved - offset).max() < SAME_VOXEL:
        first = start + offset[::-1].astype(int)
        return _clipped(name, inside, first, grid)
    padded = np.pad(inside, 1)
    own = Grid(grid.shape, ijkToWorld).sub_grid(
        tuple(slice(int(a) - 1, int(a) + n + 1) for a, n in zip(start, inside.shape, strict=True))
    )
    box = grid.box_around(own)
    if box is None:
        return Mask.from_full(name, np.zeros((0, 0, 0), dtype=bool), grid)
    target = grid.sub_grid(box)
    # A sample midway between two voxels would be counted at both ends of a row: the shift gives it to one of them.
    matrix = target.ijk_to_ras.copy()
    matrix[:3, 3] += 1e-3 * matrix[:3, :3].sum(axis=1)
    values = resample(padded, own.ijk_to_ras, Grid(target.shape, matrix))
    return _clipped(name, values >= 0.5, np.array([part.start for part in box]), grid)


def _clipped(name: str, inside: np.ndarray, first: np.ndarray, grid: Grid) -> Mask:
    """A mask of voxels that begin at `first`, less what lies outside the grid."""
    low = np.clip(first, 0, grid.shape)
    high = np.clip(first + inside.shape, 0, grid.shape)
    part = inside[tuple(slice(a, b) for a, b in zip(low - first, high - first, strict=True))]
    return tight(Mask(name, part, tuple(int(n) for n in low), grid))


def tight(mask: Mask) -> Mask:
    """The same mask with its box cropped to the filled voxels, as the checksum needs it."""
    cropped = Mask.from_full(mask.name, mask.array, mask.grid)
    if cropped.is_empty:
        return replace(mask, array=cropped.array, start=(0, 0, 0))
    return replace(
        mask, array=cropped.array, start=tuple(a + b for a, b in zip(mask.start, cropped.start, strict=True))
    )


def _isUnedited(segment) -> bool:
    image = segment.GetRepresentation(LABELMAP)
    inside, start = (None, np.zeros(3, dtype=int)) if isEmpty(image) else filledBox(image, segment.GetLabelValue())
    return tagOf(segment, CHECKSUM_TAG) == checksum(inside, start)


def _terminology(segment) -> str:
    return tagOf(segment, slicer.vtkSegment.GetTerminologyEntryTagName())


# Writing


def writeMasks(
    masks: tuple[Mask, ...], node, placement: Placement, undo: ExitStack, lattice: Grid | None = None
) -> None:
    """Puts masks into a segmentation node; segments of the same name are replaced, others kept.

    Every change gets its way back onto `undo`. `lattice` is that in which the segments of an empty node are edited; by
    default the volume's.

    Raises:
        InputError: the node holds surfaces only, or is under a non-linear transform.
    """
    segmentation = node.GetSegmentation()
    if segmentation.GetNumberOfSegments() == 0:
        setPlace(node, placement, undo)
        geometry = placement.grid if lattice is None else lattice
        _setGeometry(segmentation, serialized(placement.localMatrix(geometry), geometry.shape), undo)
    elif segmentation.GetSourceRepresentationName() != LABELMAP:
        raise InputError(
            f"The segments of '{node.GetName()}' are surfaces; choose another segmentation for the result, or make "
            "'Binary labelmap' the source representation in the Segmentations module."
        )
    fromShared = np.linalg.inv(parentToWorld(node)) @ placement.toWorld
    if node.GetParentTransformNode() is placement.transformNode:
        fromShared = np.eye(4)
    hadSurface = segmentation.ContainsRepresentation(SURFACE)
    for mask in masks:
        mask = tight(mask)
        image = _orientedImage(mask, fromShared @ placement.localMatrix(mask.grid))
        segmentID = segmentIDWithName(segmentation, mask.name)
        if segmentID is None:
            segmentID = _addSegment(node, mask, image, undo)
        else:
            _replaceSegment(segmentation, segmentID, image, undo)
        setKnown(segmentation.GetSegment(segmentID), mask, placement.grid)
    if hadSurface:
        node.CreateClosedSurfaceRepresentation()


def segmentIDWithName(segmentation, name: str) -> str | None:
    """The ID of the first segment with this name, upper or lower case alike."""
    ids = segmentation.GetSegmentIDs()
    return next((key for key in ids if segmentation.GetSegment(key).GetName().casefold() == name.casefold()), None)


def setPlace(node, placement: Placement, undo: ExitStack) -> None:
    """Puts an empty segmentation where the volume is; the transform comes before any labelmap."""
    segmentation, transformNode = node.GetSegmentation(), placement.transformNode
    undo.callback(node.SetAndObserveTransformNodeID, node.GetTransformNodeID())
    node.SetAndObserveTransformNodeID(transformNode.GetID() if transformNode else None)
    undo.callback(segmentation.SetSourceRepresentationName, segmentation.GetSourceRepresentationName())
    segmentation.SetSourceRepresentationName(LABELMAP)
    if hasLinearPlace(placement.volumeNode):
        role = node.GetReferenceImageGeometryReferenceRole()
        undo.callback(node.SetNodeReferenceID, role, node.GetNodeReferenceID(role))
        node.SetNodeReferenceID(role, placement.volumeNode.GetID())


def _setGeometry(segmentation, geometry: str, undo: ExitStack) -> None:
    former = segmentation.GetConversionParameter(REFERENCE_GEOMETRY)
    undo.callback(segmentation.SetConversionParameter, REFERENCE_GEOMETRY, former)
    segmentation.SetConversionParameter(REFERENCE_GEOMETRY, geometry)


def newSegment(name: str):
    """A segment without voxels, with the color and codes of a standard one of this name."""
    segment = slicer.vtkSegment()
    segment.SetName(name)
    segment.SetNameAutoGenerated(False)
    entry = ENTRIES.get(name)
    if entry is not None:
        segment.SetTag(segment.GetTerminologyEntryTagName(), entry.serialized())
        segment.SetColor(*(value / 255.0 for value in entry.color))
        segment.SetColorAutoGenerated(False)
    return segment


def _addSegment(node, mask: Mask, image, undo: ExitStack) -> str:
    segment = newSegment(mask.name)
    segment.AddRepresentation(LABELMAP, image)
    segmentation = node.GetSegmentation()
    segmentID = segmentation.GenerateUniqueSegmentID(mask.name)
    if not segmentation.AddSegment(segment, segmentID):
        raise RuntimeError(f"The segment '{mask.name}' cannot be added to '{node.GetName()}'.")
    undo.callback(segmentation.RemoveSegment, segmentID)
    show(node, segmentID, mask)
    return segmentID


def show(node, segmentID: str, mask: Mask) -> None:
    """Displays a new segment as the mask wants it."""
    if node.GetDisplayNode() is None:
        node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetSegmentVisibility(segmentID, mask.visible)
    if not mask.solid:
        node.GetDisplayNode().SetSegmentOpacity3D(segmentID, SEE_THROUGH)


def _replaceSegment(segmentation, segmentID: str, image, undo: ExitStack) -> None:
    """Gives a segment other voxels; ID, name, color, display and order stay as the user has them."""
    # Otherwise its old voxels would stay behind in the labelmap that it shares with other segments.
    sharing: list[str] = []
    segmentation.GetSegmentIDsSharingBinaryLabelmapRepresentation(segmentID, sharing, False)
    if sharing:
        segmentation.SeparateSegmentLabelmap(segmentID)
    segment = segmentation.GetSegment(segmentID)
    undo.callback(_setLabelmap, segment, segment.GetRepresentation(LABELMAP), segment.GetLabelValue())
    for tag in KNOWN_TAGS:
        undo.callback(setTag, segment, tag, tagOf(segment, tag))
    _setLabelmap(segment, image, 1)


def _setLabelmap(segment, image, label: int) -> None:
    segment.RemoveRepresentation(SURFACE)
    segment.AddRepresentation(LABELMAP, image)
    segment.SetLabelValue(label)
    # Tells the segmentation, and through it views and observers, that the source representation is another.
    image.Modified()


def _orientedImage(mask: Mask, ijkToLocal: np.ndarray):
    """The mask's box as a labelmap of 0 and 1 whose extent counts from the whole grid's first voxel."""
    if any(start < 0 or stop > n for start, stop, n in zip(mask.start, _stop(mask), mask.grid.shape, strict=True)):
        raise ValueError(f"The box of mask '{mask.name}' leaves its grid.")
    return makeLabelmap(mask.array, mask.start, slicer.util.vtkMatrixFromArray(ijkToLocal))


def makeLabelmap(inside: np.ndarray, start: tuple[int, ...], ijkToLocal: vtk.vtkMatrix4x4):
    """A labelmap of 0 and 1 of a box of voxels, bool (k, j, i), whose extent begins at `start` (k, j, i)."""
    image = slicer.vtkOrientedImageData()
    bounds = [(a, a + n - 1) for a, n in zip(start, inside.shape, strict=True)][::-1]
    image.SetExtent([end for pair in bounds for end in pair])
    scalars = numpy_to_vtk(inside.astype(np.uint8).reshape(-1), deep=True)
    scalars.SetName("ImageScalars")
    image.GetPointData().SetScalars(scalars)
    image.SetGeometryFromImageToWorldMatrix(ijkToLocal)
    return image


def _stop(mask: Mask) -> tuple[int, ...]:
    return tuple(a + n for a, n in zip(mask.start, mask.array.shape, strict=True))


def serialized(ijkToLocal: np.ndarray, shape: tuple[int, int, int]) -> str:
    """A lattice as segmentations store it in their conversion parameters."""
    image = slicer.vtkOrientedImageData()
    image.SetExtent(0, shape[2] - 1, 0, shape[1] - 1, 0, shape[0] - 1)
    image.SetGeometryFromImageToWorldMatrix(slicer.util.vtkMatrixFromArray(ijkToLocal))
    return slicer.vtkSegmentationConverter.SerializeImageGeometry(image)
