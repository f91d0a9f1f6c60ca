"""Heat maps to volume nodes and back; those of a film to sequences that play with it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import slicer

from ..findings import Findings, HeatMap
from ..volume import Grid
from .films import FilmPlacement, Track, newSequence, placementOf, play, shownVolume, trackOf
from .known import latticeOf, latticeText
from .places import Placement, findMarked, hasLinearPlace, ijkToLocal, mark, newNode, placeBeside, volumeOf, worldGrid
from .volumes import heatValues, makeImage, setImage, styleHeatMap

HEAT_MAP_ROLE = "heat map"
HEAT_MAP_NAME = "Prognosis.heatMap"
# The lattice of a film's heat map, in an attribute of its sequence; see known.latticeText.
LATTICE = "Prognosis.lattice"


def writeHeatMaps(findings: Findings, segmentationNode, placement: Placement, undo: ExitStack, role: str = "") -> tuple:
    """Volumes under the scan's transform; those of an earlier run with the same name get the new values.

    Every change gets its way back onto `undo`.

    Args:
        role: of the image that `placement` is of; only its heat maps are written.

    Raises:
        ValueError: the values do not fit their grid or leave 0..1, or are not of the film's frames.
    """
    own = [heatMap for heatMap in findings.heat_maps if heatMap.role == role]
    return tuple(_write(heatMap, findings.system, segmentationNode, placement, undo) for heatMap in own)


def readHeatMaps(nodes: Iterable, volumeNode, grid: Grid | None = None, role: str = "") -> tuple[HeatMap, ...]:
    """The heat maps of an image that volume nodes hold; the arrays are the nodes' own but for those of films.

    Args:
        nodes: as `Nodes.heatMaps` has them; those of other images are left out.
        volumeNode: the volume or film that they belong to.
        grid: the lattice of the image as the run saw it (Volume.grid, Cine.grid); by default as it is now.
        role: of the image.
    """
    shown = shownVolume(volumeNode)
    linear = [node for node in nodes if hasLinearPlace(node) and volumeOf(node) is shown]
    placement = placementOf(volumeNode, grid) if linear else None
    return tuple(replace(_read(node, placement), role=role) for node in linear)


def _write(heatMap: HeatMap, system: str, segmentationNode, placement: Placement, undo: ExitStack):
    array, volumeNode = heatValues(heatMap), placement.volumeNode
    place = (system, volumeNode, segmentationNode)
    earlier = findMarked(HEAT_MAP_ROLE, *place, heatMap=heatMap.name)
    node = next((one for one in earlier if _fits(one, placement)), None)
    if node is None:
        node = newNode("vtkMRMLScalarVolumeNode", heatMap.name)
        mark(node, HEAT_MAP_ROLE, *place, heatMap=heatMap.name)
        styleHeatMap(node, heatMap.highest)
        placeBeside(node, volumeNode)
    undo.callback(node.SetAndObserveTransformNodeID, node.GetTransformNodeID())
    transformNode = placement.transformNode
    node.SetAndObserveTransformNodeID(transformNode.GetID() if transformNode else None)
    if isinstance(placement, FilmPlacement):
        _writeFrames(node, array, heatMap, placement, undo)
    else:
        undo.callback(setImage, node, node.GetImageData(), ijkToLocal(node))
        setImage(node, makeImage(array), placement.localMatrix(heatMap.grid))
    return node


def _fits(node, placement: Placement) -> bool:
    """Whether a heat map of an earlier run can take the new values."""
    track = trackOf(node)
    if not isinstance(placement, FilmPlacement):
        return True
    return track is not None and track.sequence.GetNumberOfDataNodes() == placement.film.count


def _writeFrames(node, array: np.ndarray, heatMap: HeatMap, placement: FilmPlacement, undo: ExitStack) -> None:
    """Gives the node a sequence of one-slice volumes, or the one that it has new images."""
    matrices, track = placement.frameMatrices(heatMap.grid), trackOf(node)
    text = latticeText(heatMap.grid, placement.grid)
    if track is None:
        template = slicer.vtkMRMLScalarVolumeNode()
        template.SetName(node.GetName())
        for name in node.GetAttributeNames():
            template.SetAttribute(name, node.GetAttribute(name))
        sequence = newSequence(placement.film, template, f"{node.GetName()} frames")
        track = Track(sequence, placement.film.browser)
    else:
        former = [(item, item.GetImageData(), ijkToLocal(item)) for item in track.items]
        undo.callback(_putBack, track, former, track.sequence.GetAttribute(LATTICE))
    for item, values, matrix in zip(track.items, array, matrices, strict=True):
        setImage(item, makeImage(values[None]), matrix)
    track.sequence.SetAttribute(LATTICE, text)
    track.sequence.StorableModified()
    if trackOf(node) is None:
        slicer.mrmlScene.AddNode(track.sequence)
        play(placement.film, track.sequence, node, False, undo)
    else:
        track.update()


def _putBack(track: Track, former: Sequence[tuple], lattice: str) -> None:
    for item, image, matrix in former:
        setImage(item, image, matrix)
    track.sequence.SetAttribute(LATTICE, lattice)
    track.update()


def _read(node, placement: Placement) -> HeatMap:
    name = node.GetAttribute(HEAT_MAP_NAME) or node.GetName()
    track = trackOf(node)
    if track is None or not isinstance(placement, FilmPlacement):
        grid = worldGrid(node)
        toRun = placement.worldToRun
        return HeatMap(name, slicer.util.arrayFromVolume(node), Grid(grid.shape, toRun @ grid.ijk_to_ras))
    array = np.concatenate([slicer.util.arrayFromVolume(item) for item in track.items])
    lattice = latticeOf(track.sequence.GetAttribute(LATTICE) or "", placement.grid)
    return HeatMap(name, array, lattice or placement.grid)
