"""Masks of a cine as a sequence of segmentations, one for each frame, that plays with it; and back.

The node in the scene shows the frame that the browser has chosen and shares its segments with the item of the
sequence, so that an edit stays there. A segment has the same ID in all frames, by which the display knows it. What the
network knew belongs to all frames and is kept with the sequence.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import lru_cache

import numpy as np
import slicer

from ..colors import segment_color
from ..errors import InputError
from ..findings import Mask
from ..volume import Grid
from .films import FilmPlacement, Track, newSequence, play, trackOf
from .known import CHECKSUM_TAG, LATTICE_TAG, describe, evidenceOf, latticeOf, ofVoxels
from .places import parentToWorld
from .segments import (
    LABELMAP,
    REFERENCE_GEOMETRY,
    filledBox,
    imageMatrix,
    isEmpty,
    makeLabelmap,
    namesByID,
    newSegment,
    onGrid,
    segmentIDWithName,
    serialized,
    setPlace,
    show,
    shownAs,
    tight,
)

# What is known about the segments, as JSON in an attribute of the sequence: {segment ID: {tag: text}}.
SEGMENTS = "Prognosis.segments"


# Reading


def readFilm(node, placement: FilmPlacement, names: Collection[str] | None = None) -> dict[str, Mask]:
    """The segments of all frames as masks (t, j, i), by name, on the lattice that they were written on.

    Args:
        node: the segmentation that plays with the film.
        names: read only these; all by default.

    Raises:
        InputError: it has another number of frames, surfaces, or two segments of one name in a frame.
    """
    track = _trackOn(node, placement)
    known = knownOfFilm(track)
    lattices = {key: latticeOf(tags.get(LATTICE_TAG, ""), placement.grid) for key, tags in known.items()}
    # Segments that the user has added lie on the lattice of those that a run has written.
    usual = next((lattice or placement.grid for lattice in lattices.values()), placement.grid)
    toVolume = _toVolume(node, placement)
    ids: dict[str, str] = {}
    parts: dict[str, dict[int, Mask]] = defaultdict(dict)
    frames: dict[str, list[Grid]] = {}
    for number, item in enumerate(track.items):
        for segmentID, name in namesByID(item, names).items():
            ids.setdefault(name, segmentID)
            if name not in frames:
                lattice = lattices.get(ids[name]) or usual
                flat = (1, *lattice.shape[1:])
                frames[name] = [Grid(flat, matrix) for matrix in placement.frameMatrices(lattice)]
            part = _readFrame(item, segmentID, toVolume, frames[name][number])
            if part is not None:
                parts[name][number] = part
    masks = {}
    for name, segmentID in ids.items():
        mask = _stacked(name, parts[name], lattices.get(segmentID) or usual)
        tags = known.get(segmentID, {})
        about = {**ofVoxels(tags, str(mask.checksum)), **shownAs(node, segmentID)}
        masks[name] = replace(mask, evidence=evidenceOf(tags), **about)
    return masks


def isUntouchedFilm(node, placement: FilmPlacement) -> bool:
    """Whether every segment was written by a run and no pixel of any frame was edited since."""
    track = _trackOn(node, placement)
    known = knownOfFilm(track)
    ids = {segmentID for item in track.items for segmentID in item.GetSegmentation().GetSegmentIDs()}
    if not known or ids != set(known):
        return False
    shown = track.items[0].GetSegmentation()
    masks = {segmentIDWithName(shown, name): mask for name, mask in readFilm(node, placement).items()}
    return all(key in masks and str(masks[key].checksum) == tags[CHECKSUM_TAG] for key, tags in known.items())


def knownOfFilm(track: Track) -> dict[str, dict[str, str]]:
    """What is known about the segments of a film, {segment ID: {tag: text}}."""
    return json.loads(track.sequence.GetAttribute(SEGMENTS) or "{}")


def _trackOn(node, placement: FilmPlacement) -> Track:
    track = trackOf(node)
    count, wanted = track.sequence.GetNumberOfDataNodes(), placement.grid.shape[0]
    if count != wanted:
        raise InputError(
            f"'{node.GetName()}' has {count} frames where '{placement.volumeNode.GetName()}' has {wanted}; choose the "
            "segmentation of this cine."
        )
    for item in track.items:
        segmentation = item.GetSegmentation() if item.IsA("vtkMRMLSegmentationNode") else None
        isDrawn = segmentation is not None and segmentation.GetNumberOfSegments()
        if isDrawn and segmentation.GetSourceRepresentationName() != LABELMAP:
            raise InputError(
                f"Segments of '{node.GetName()}' are surfaces; choose another segmentation, or make 'Binary labelmap' "
                "their source representation in the Segmentations module."
            )
    return track


def _toVolume(node, placement: FilmPlacement) -> np.ndarray:
    """From the segmentation's coordinates to those of the volume, which are usually the same."""
    if node.GetParentTransformNode() is placement.transformNode:
        return np.eye(4)
    return np.linalg.inv(placement.toWorld) @ parentToWorld(node)


def _readFrame(item, segmentID: str, toVolume: np.ndarray, frame: Grid) -> Mask | None:
    """A segment of one frame on its lattice of one slice; None where it is empty."""
    segment = item.GetSegmentation().GetSegment(segmentID)
    image = segment.GetRepresentation(LABELMAP)
    inside, start = (None, None) if isEmpty(image) else filledBox(image, segment.GetLabelValue())
    if inside is None:
        return None
    return onGrid(segment.GetName(), inside, start, toVolume @ imageMatrix(image), frame)


def _stacked(name: str, parts: Mapping[int, Mask], lattice: Grid) -> Mask:
    """The frames' masks as one, in the smallest box that holds them all."""
    filled = {number: part for number, part in parts.items() if not part.is_empty}
    if not filled:
        return Mask(name, np.zeros((0, 0, 0), dtype=bool), (0, 0, 0), lattice)
    low = np.min([part.start for part in filled.values()], axis=0)
    high = np.max([np.add(part.start, part.array.shape) for part in filled.values()], axis=0)
    low[0], high[0] = min(filled), max(filled) + 1
    array = np.zeros(high - low, dtype=bool)
    for number, part in filled.items():
        _k, rows, columns = (slice(a - b, a - b + n) for a, b, n in zip(part.start, low, part.array.shape, strict=True))
        array[number - low[0], rows, columns] = part.array[0]
    return Mask(name, array, tuple(int(n) for n in low), lattice)


# Writing


def writeFilm(masks: Sequence[Mask], node, placement: FilmPlacement, undo: ExitStack) -> None:
    """Puts masks into a segmentation that plays with the film; segments of the same name are replaced, others kept.

    A frame without mask has an empty segment. Every change gets its way back onto `undo`.

    Args:
        node: one that plays with the film, or an empty one, which does so from then on.

    Raises:
        InputError: the node is drawn on one image, or has another number of frames.
        ValueError: a mask has not the film's frames.
    """
    masks = [tight(mask) for mask in masks]
    frames = [_framesOf(mask, placement) for mask in masks]
    sequence = trackOf(node).sequence if trackOf(node) else _newTrack(node, masks, placement, undo)
    track = _trackOn(node, placement)
    ids = [_idOf(mask.name, track.items) for mask in masks]
    former = [item.GetSegmentation() for item in track.items]
    undo.callback(_putBack, track, former)
    for item, *images in zip(track.items, *frames, strict=True):
        segments = dict(zip(ids, zip(masks, images, strict=True), strict=True))
        item.SetAndObserveSegmentation(_rebuilt(item.GetSegmentation(), segments))
    _setKnown(sequence, dict(zip(ids, masks, strict=True)), placement.grid, undo)
    sequence.StorableModified()
    track.update()
    isNew = {segmentID for segmentID in ids if segmentID not in set(former[0].GetSegmentIDs())}
    for mask, segmentID in zip(masks, ids, strict=True):
        if segmentID in isNew:
            show(node, segmentID, mask)


def addEmptySegment(node, name: str, placement: FilmPlacement) -> str:
    """Makes an empty segment in all frames, in which it can be drawn; gives its ID.

    Args:
        node: as of `writeFilm`; it keeps what it has.
    """
    shape = (0, 0, 0)
    empty = Mask(name, np.zeros(shape, dtype=bool), shape, placement.grid)
    with ExitStack() as undo:
        track = trackOf(node) and _trackOn(node, placement)
        if track is None:
            sequence = _newTrack(node, [empty], placement, undo)
            track = Track(sequence, placement.film.browser)
        segmentID = _idOf(name, track.items)
        images = _framesOf(empty, placement)
        for item, image in zip(track.items, images, strict=True):
            if segmentIDWithName(item.GetSegmentation(), name) is None:
                item.SetAndObserveSegmentation(_rebuilt(item.GetSegmentation(), {segmentID: (empty, image)}))
        track.sequence.StorableModified()
        track.update()
        undo.pop_all()
    return segmentID


def _framesOf(mask: Mask, placement: FilmPlacement) -> list:
    """A labelmap for each frame, cropped to what is filled there; without a voxel where nothing is."""
    full, stop = mask.grid.shape, [a + n for a, n in zip(mask.start, mask.array.shape, strict=True)]
    if min(mask.start) < 0 or any(end > n for end, n in zip(stop, full, strict=True)):
        raise ValueError(f"The box of mask '{mask.name}' leaves its grid.")
    rows, columns = mask.array.any(axis=2), mask.array.any(axis=1)
    images = []
    for number, matrix in enumerate(_vtkMatrices(placement.frameMatrices(mask.grid))):
        own = number - mask.start[0]
        isFilled = 0 <= own < len(mask.array) and rows[own].any()
        if not isFilled:
            images.append(makeLabelmap(np.zeros((0, 0, 0), dtype=bool), (0, 0, 0), matrix))
            continue
        (top, bottom), (left, right) = (np.flatnonzero(line)[[0, -1]] for line in (rows[own], columns[own]))
        part = mask.array[own : own + 1, top : bottom + 1, left : right + 1]
        images.append(makeLabelmap(part, (0, mask.start[1] + int(top), mask.start[2] + int(left)), matrix))
    return images


def _vtkMatrices(matrices: Sequence[np.ndarray]) -> list:
    """As VTK has them; frames usually share one."""
    make = lru_cache(lambda matrix: slicer.util.vtkMatrixFromArray(np.frombuffer(matrix).reshape(4, 4)))
    return [make(matrix.tobytes()) for matrix in matrices]


def _newTrack(node, masks: Sequence[Mask], placement: FilmPlacement, undo: ExitStack):
    """Gives an empty segmentation a sequence of empty ones, to be edited on the lattice of the masks."""
    if node.GetSegmentation().GetNumberOfSegments():
        raise InputError(
            f"'{node.GetName()}' is drawn on one image and not on the frames of "
            f"'{placement.volumeNode.GetName()}'; choose another segmentation for the result, or none."
        )
    setPlace(node, placement, undo)
    lattice = masks[0].grid
    template = slicer.vtkMRMLSegmentationNode()
    template.SetName(node.GetName())
    for name in node.GetAttributeNames():
        template.SetAttribute(name, node.GetAttribute(name))
    template.GetSegmentation().SetSourceRepresentationName(LABELMAP)
    sequence = newSequence(placement.film, template, f"{node.GetName()} frames")
    geometry = lru_cache(lambda matrix: serialized(np.frombuffer(matrix).reshape(4, 4), (1, *lattice.shape[1:])))
    for number, matrix in enumerate(placement.frameMatrices(lattice)):
        segmentation = sequence.GetNthDataNode(number).GetSegmentation()
        segmentation.SetConversionParameter(REFERENCE_GEOMETRY, geometry(matrix.tobytes()))
    slicer.mrmlScene.AddNode(sequence)
    undo.callback(node.SetAndObserveSegmentation, node.GetSegmentation())
    play(placement.film, sequence, node, True, undo)
    return sequence


def _idOf(name: str, items: Sequence) -> str:
    """The ID of the segment with this name in any frame, or a new one that is free in all."""
    found = (segmentIDWithName(item.GetSegmentation(), name) for item in items)
    known = next((segmentID for segmentID in found if segmentID is not None), None)
    if known is not None:
        return known
    taken = {segmentID for item in items for segmentID in item.GetSegmentation().GetSegmentIDs()}
    numbers = range(1, len(taken) + 2)
    return next(one for one in (name, *(f"{name}_{number}" for number in numbers)) if one not in taken)


def _rebuilt(former, segments: Mapping[str, tuple[Mask, object]]):
    """A segmentation like the former, with these segments (mask and labelmap by ID) in place of those it has."""
    made = slicer.vtkSegmentation()
    made.CopyConversionParameters(former)
    made.SetSourceRepresentationName(LABELMAP)
    for segmentID in dict.fromkeys((*former.GetSegmentIDs(), *segments)):
        if segmentID not in segments:
            made.CopySegmentFromSegmentation(former, segmentID)
            continue
        mask, image = segments[segmentID]
        segment, old = newSegment(mask.name), former.GetSegment(segmentID)
        if old is not None:
            segment.DeepCopyMetadata(old)
        else:
            # The display gives a color to the frame shown only.
            segment.SetColor(*segment_color(mask.name))
            segment.SetColorAutoGenerated(False)
        segment.AddRepresentation(LABELMAP, image)
        segment.SetLabelValue(1)
        if not made.AddSegment(segment, segmentID):
            raise RuntimeError(f"The segment '{mask.name}' cannot be added.")
    return made


def _setKnown(sequence, masks: Mapping[str, Mask], grid: Grid, undo: ExitStack) -> None:
    text = sequence.GetAttribute(SEGMENTS)
    undo.callback(_setAttribute, sequence, text)
    known = json.loads(text or "{}")
    known.update({segmentID: describe(mask, grid) for segmentID, mask in masks.items()})
    _setAttribute(sequence, json.dumps(known))


def _setAttribute(sequence, text: str | None) -> None:
    if text is None:
        sequence.RemoveAttribute(SEGMENTS)
    else:
        sequence.SetAttribute(SEGMENTS, text)


def _putBack(track: Track, former: Sequence) -> None:
    for item, segmentation in zip(track.items, former, strict=True):
        item.SetAndObserveSegmentation(segmentation)
    if slicer.mrmlScene.IsNodePresent(track.browser):
        track.update()
