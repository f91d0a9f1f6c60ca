"""Findings to nodes: segmentation, results table, charts and heat maps, all or nothing."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

import slicer

from ..errors import InputError
from ..findings import Findings
from ..volume import Grid
from .film_segments import writeFilm
from .films import FilmPlacement, placementOf, removeNode, shownVolume
from .heat_maps import HEAT_MAP_ROLE, writeHeatMaps
from .masks import isUnedited
from .places import ROLE, Placement, allOrNothing, findMarked, mark, newNode, placeBeside, unmark
from .plots import CHART_ROLE, POINTS_ROLE, SERIES_ROLE, restoreOnUndo, updateCharts
from .segments import segmentNames, writeMasks
from .tables import RESULTS_ROLE, updateTable

SEGMENTATION_ROLE = "segmentation"


@dataclass(frozen=True)
class Nodes:
    """The nodes that hold the findings of one run. `plotTables` has the points of each chart."""

    segmentation: object | None = None
    table: object | None = None
    plotCharts: tuple = ()
    plotSeries: tuple = ()
    plotTables: tuple = ()
    heatMaps: tuple = ()


def fromFindings(
    findings: Findings, volumeNode, segmentationNode=None, tableNode=None, grid: Grid | None = None
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
        heatMaps = writeHeatMaps(findings, segmentation, placement, undo)
        if findings.masks:
            ofRun = findMarked(HEAT_MAP_ROLE, findings.system, volumeNode, segmentation)
            stale += [node for node in ofRun if node not in heatMaps]
        undo.pop_all()
        for node in stale:
            removeNode(node)
    return Nodes(segmentation, table, charts, series, points, heatMaps)


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
    place = (system, shownVolume(volumeNode), segmentationNode)
    return Nodes(
        segmentationNode,
        next(iter(findMarked(RESULTS_ROLE, *place)), None),
        *(tuple(findMarked(role, *place)) for role in (CHART_ROLE, SERIES_ROLE, POINTS_ROLE, HEAT_MAP_ROLE)),
    )


def _checkNode(node, className: str, what: str) -> None:
    if not node.IsA(className) or not slicer.mrmlScene.IsNodePresent(node):
        raise InputError(f"'{node.GetName()}' is no {what} of this scene; choose another or none.")


def _writeSegmentation(findings: Findings, node, placement: Placement, undo: ExitStack):
    volumeNode = placement.volumeNode
    if node is not None:
        _checkNode(node, "vtkMRMLSegmentationNode", "segmentation")
    if not findings.masks:
        return node
    if node is None:
        earlier = findMarked(SEGMENTATION_ROLE, findings.system, volumeNode)
        names = {mask.name for mask in findings.masks}
        unedited = (one for one in reversed(earlier) if isUnedited(one, placement))
        node = next((one for one in unedited if segmentNames(one) <= names), None)
    if node is None:
        node = newNode("vtkMRMLSegmentationNode", f"{volumeNode.GetName()} segmentation")
        node.CreateDefaultDisplayNodes()
        placeBeside(node, volumeNode)
    if node.GetAttribute(ROLE) is None and node.GetSegmentation().GetNumberOfSegments() == 0:
        mark(node, SEGMENTATION_ROLE, findings.system, volumeNode)
        undo.callback(unmark, node)
    with slicer.util.NodeModify(node):
        if isinstance(placement, FilmPlacement):
            writeFilm(findings.masks, node, placement, undo)
        else:
            writeMasks(findings.masks, node, placement, undo)
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
