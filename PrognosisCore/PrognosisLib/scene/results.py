"""Findings to nodes: segmentation, results table, charts and heat maps, all or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

import slicer

from ..errors import InputError
from ..findings import Findings, Mask
from ..volume import Grid
from .film_segments import writeFilm
from .films import FilmPlacement, placementOf, removeNode, shownVolume
from .heat_maps import HEAT_MAP_ROLE, writeHeatMaps
from .masks import isUnedited
from .places import (
    ROLE,
    Placement,
    allOrNothing,
    findMarked,
    mark,
    markedFor,
    newNode,
    placeBeside,
    unmark,
    volumeOf,
)
from .plots import CHART_ROLE, POINTS_ROLE, SERIES_ROLE, restoreOnUndo, updateCharts
from .segments import segmentNames, writeMasks
from .tables import RESULTS_ROLE, updateTable

SEGMENTATION_ROLE = "segmentation"
# Segments on another image than the first; the role of that image is an attribute.
BESIDE_ROLE = "segmentation of another image"
IMAGE = "Prognosis.image"


@dataclass(frozen=True)
class Nodes:
    """The nodes that hold the findings of one run. `plotTables` has the points of each chart.

    `others` has a segmentation for each other image on which there are segments, by its role; `heatMaps` has those of
    the first image first.
    """

    segmentation: object | None = None
    table: object | None = None
    plotCharts: tuple = ()
    plotSeries: tuple = ()
    plotTables: tuple = ()
    heatMaps: tuple = ()
    others: Mapping[str, object] = field(default_factory=dict)


class OtherImage(NamedTuple):
    """An image beside the first: its volume, sequence or browser, and the lattice that the run saw (None: as now)."""

    node: object
    grid: Grid | None = None


def fromFindings(
    findings: Findings,
    volumeNode,
    segmentationNode=None,
    tableNode=None,
    grid: Grid | None = None,
    others: Mapping[str, OtherImage] = MappingProxyType({}),
) -> Nodes:
    """Writes findings into the scene; if anything fails, the scene is as it was.

    Findings without masks (measured again after an edit) leave segmentation and heat maps alone and update the rest.

    Args:
        findings: of one run.
        volumeNode: the volume that was measured. Findings go under its parent transform and beside it in the subject
            hierarchy; under a non-linear one they stay in the world, where `toVolume(harden=True)` saw them. Of a film,
            its sequence, its browser or the volume that shows it: then segments and heat maps are sequences that its
            browser plays, and the nodes are those that show the chosen frame.
        segmentationNode: to write into: segments of the same name are replaced, others kept. None: that of an earlier
            run of this system on this volume, if no voxel of it was edited since and no segment of it is missing now;
            else a new one.
        tableNode: to write into; None: that of the earlier run on the same segmentation, else a new one.
        grid: the lattice of the Volume or Cine that the run was given. With it, findings go to the right voxels even if
            the user has changed the transform meanwhile; needed if the transform is not linear.
        others: the other images by role, on which findings may be, too.

    Returns:
        the nodes; charts, series and heat maps of an earlier run are used again, and what it had more is removed.

    Raises:
        InputError: the volume is gone or changed, or the segmentation given cannot take the masks.
        ValueError: findings that contradict themselves.
    """
    with allOrNothing() as undo:
        placement = placementOf(volumeNode, grid)
        volumeNode = placement.volumeNode
        segmentation = _writeSegmentation(findings, segmentationNode, placement, undo)
        table = _writeTable(findings, volumeNode, segmentation, tableNode, undo)
        charts, series, points, stale = updateCharts(findings, volumeNode, segmentation, undo)
        beside, maps = _writeOthers(findings, segmentation, others, undo)
        heatMaps = (*writeHeatMaps(findings, segmentation, placement, undo), *maps)
        if findings.masks:
            ofRun = (
                node for role in (HEAT_MAP_ROLE, BESIDE_ROLE) for node in markedFor(role, findings.system, segmentation)
            )
            stale += [node for node in ofRun if node not in (*heatMaps, *beside)]
        undo.pop_all()
        for node in stale:
            removeNode(node)
    return Nodes(segmentation, table, charts, series, points, heatMaps, _besides(findings.system, segmentation))


def findResults(system: str, volumeNode, segmentationNode=None) -> Nodes:
    """The nodes of an earlier run, also in a reloaded scene; members are None or empty where there are none.

    Without `segmentationNode`, the newest segmentation that the system wrote for the volume is taken.
    """
    volumeNode = shownVolume(volumeNode)
    if segmentationNode is None:
        segmentationNode = next(reversed(findMarked(SEGMENTATION_ROLE, system, volumeNode)), None)
    return resultsOf(system, volumeNode, segmentationNode)


def resultsOf(system: str, volumeNode, segmentationNode) -> Nodes:
    """The nodes of the run that wrote this segmentation; with None, of one that found no segment."""
    shown = shownVolume(volumeNode)
    place = (system, shown, segmentationNode)
    heatMaps = findMarked(HEAT_MAP_ROLE, *place)
    if segmentationNode is not None:
        heatMaps += [node for node in markedFor(HEAT_MAP_ROLE, system, segmentationNode) if volumeOf(node) is not shown]
    return Nodes(
        segmentationNode,
        next(iter(findMarked(RESULTS_ROLE, *place)), None),
        *(tuple(findMarked(role, *place)) for role in (CHART_ROLE, SERIES_ROLE, POINTS_ROLE)),
        tuple(heatMaps),
        _besides(system, segmentationNode),
    )


def _besides(system: str, segmentationNode) -> dict[str, object]:
    """The segmentations of other images that belong to one, by role."""
    if segmentationNode is None:
        return {}
    return {node.GetAttribute(IMAGE): node for node in markedFor(BESIDE_ROLE, system, segmentationNode)}


def _checkNode(node, className: str, what: str) -> None:
    if not node.IsA(className) or not slicer.mrmlScene.IsNodePresent(node):
        raise InputError(f"'{node.GetName()}' is no {what} of this scene; choose another or none.")


def _writeSegmentation(findings: Findings, node, placement: Placement, undo: ExitStack):
    volumeNode = placement.volumeNode
    if node is not None:
        _checkNode(node, "vtkMRMLSegmentationNode", "segmentation")
    masks = tuple(mask for mask in findings.masks if not mask.role)
    if not masks:
        return node
    if node is None:
        earlier = findMarked(SEGMENTATION_ROLE, findings.system, volumeNode)
        names = {mask.name for mask in masks}
        unedited = (one for one in reversed(earlier) if _isAllUnedited(findings.system, one, placement))
        node = next((one for one in unedited if segmentNames(one) <= names), None)
    if node is None:
        node = _newSegmentation(volumeNode)
    if node.GetAttribute(ROLE) is None and node.GetSegmentation().GetNumberOfSegments() == 0:
        mark(node, SEGMENTATION_ROLE, findings.system, volumeNode)
        undo.callback(unmark, node)
    _write(masks, node, placement, undo)
    return node


def _newSegmentation(volumeNode):
    node = newNode("vtkMRMLSegmentationNode", f"{volumeNode.GetName()} segmentation")
    node.CreateDefaultDisplayNodes()
    placeBeside(node, volumeNode)
    return node


def _write(masks: tuple[Mask, ...], node, placement: Placement, undo: ExitStack) -> None:
    with slicer.util.NodeModify(node):
        if isinstance(placement, FilmPlacement):
            writeFilm(masks, node, placement, undo)
        else:
            writeMasks(masks, node, placement, undo)


def _isAllUnedited(system: str, node, placement: Placement) -> bool:
    """Whether neither a segmentation nor those of other images that belong to it were edited since their run."""
    others = _besides(system, node).values()
    return isUnedited(node, placement) and all(
        volumeOf(one) is not None and isUnedited(one, placementOf(volumeOf(one))) for one in others
    )


def _writeOthers(
    findings: Findings, segmentation, others: Mapping[str, OtherImage], undo: ExitStack
) -> tuple[tuple, tuple]:
    """What lies on other images than the first: a segmentation for each, and heat maps."""
    nodes, heatMaps = [], []
    for role in findings.other_roles:
        placement = placementOf(*others[role])
        heatMaps += writeHeatMaps(findings, segmentation, placement, undo, role)
        masks = tuple(mask for mask in findings.masks if mask.role == role)
        if masks:
            nodes.append(_writeBeside(masks, findings.system, role, segmentation, placement, undo))
    return tuple(nodes), tuple(heatMaps)


def putBeside(node, role: str, system: str, volumeNode, segmentation) -> None:
    """Lets a segmentation of another image belong to that of the first, as if one run had written both.

    Args:
        role: of the other image; volumeNode: its volume, sequence or browser.
    """
    mark(node, BESIDE_ROLE, system, shownVolume(volumeNode), segmentation, image=role)


def _writeBeside(masks: tuple[Mask, ...], system: str, role: str, segmentation, placement: Placement, undo: ExitStack):
    """The segmentation of another image, which belongs to that of the first."""
    if segmentation is None:
        raise ValueError(f"Findings on the image '{role}' alone belong to no segmentation.")
    volumeNode = placement.volumeNode
    node = next(iter(findMarked(BESIDE_ROLE, system, volumeNode, segmentation, image=role)), None)
    if node is None:
        node = _newSegmentation(volumeNode)
        mark(node, BESIDE_ROLE, system, volumeNode, segmentation, image=role)
    _write(masks, node, placement, undo)
    return node


def _writeTable(findings: Findings, volumeNode, segmentationNode, node, undo: ExitStack):
    if node is not None:
        _checkNode(node, "vtkMRMLTableNode", "table")
    else:
        node = next(iter(findMarked(RESULTS_ROLE, findings.system, volumeNode, segmentationNode)), None)
    if node is None:
        node = newNode("vtkMRMLTableNode", f"{volumeNode.GetName()} results")
        placeBeside(node, volumeNode)
    else:
        restoreOnUndo(node, undo)
    mark(node, RESULTS_ROLE, findings.system, volumeNode, segmentationNode)
    updateTable(node, findings)
    return node
