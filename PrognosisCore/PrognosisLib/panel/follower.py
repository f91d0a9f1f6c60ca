"""Keeps the Results section in step with the segmentation and with the values that the results depend on."""

from __future__ import annotations

import json
from typing import Any

import qt
import slicer

from .. import scene
from ..errors import InputError
from ..findings import Findings, Flag
from ..logic import NOT_MEASURED, Result
from ..scene.tables import isResultsTable, lackOf
from .results_view import ResultsView

# Typing and turning a wheel change a value many times; the results follow when it rests.
REST_MS = 300


class ResultsFollower:
    """Shows a run's results, and measures again after every edit; no network is run for that.

    Args:
        panel: the SystemWidget, whose parameter node names the nodes that hold the results.
    """

    def __init__(self, panel: Any) -> None:
        self._panel = panel
        self.view = ResultsView(panel.ui, panel.logic, self._onEdit)
        self._observers: list[scene.SegmentationObserver] = []
        self._shown: tuple = ()
        self._measuredWith: tuple | None = None
        self._result: Result | None = None
        # Results are of this volume; they never follow a segmentation on another one.
        self._volumeID = ""
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(REST_MS)
        self._timer.connect("timeout()", self.remeasure)

    def reset(self) -> None:
        """Forgets everything; for another parameter node, or none."""
        self.pause()
        self._timer.stop()
        self._shown, self._measuredWith, self._result, self._volumeID = (), None, None, ""
        self.view.clear()

    def pause(self) -> None:
        """Stops watching the segmentation, which a run is about to write."""
        for observer in self._observers:
            scene.removeObserver(observer)
        self._observers = []

    def resume(self) -> None:
        """Watches the segmentation that the results are of, and those of other images that belong to it."""
        node = self._panel.parameterNode
        if not self._observers and node is not None and node.segmentation is not None:
            others = scene.resultsOf(self._panel.system.name, self._volumeNode(), node.segmentation).others
            for one in (node.segmentation, *others.values()):
                self._observers.append(scene.observeSegmentation(one, self.remeasure))

    def update(self) -> None:
        """The parameter node has changed: shows other nodes, or measures soon with other values."""
        volumeNode = self._volumeNode()
        if volumeNode is not None and self._volumeID not in ("", volumeNode.GetID()):
            self._volumeID = volumeNode.GetID()
            self._takeResultsOf(volumeNode)
        self._volumeID = volumeNode.GetID() if volumeNode is not None else self._volumeID
        self.view.setVolume(volumeNode)
        if self._nodes() != self._shown:
            self._showStored()
        elif self._measuredWith is not None and self._measuredWith != self._key():
            self._timer.start()

    def show(self, result: Result, framesTable: Any = None) -> None:
        """Shows a run's or a measurement's result and keeps its nodes in the parameter node."""
        node, nodes = self._panel.parameterNode, result.nodes
        self.pause()
        with slicer.util.NodeModify(node):
            node.segmentation, node.resultsTable, node.framesTable = nodes.segmentation, nodes.table, framesTable
            self._shown, self._result, self._measuredWith = self._nodes(), result, self._key()
        self.view.show(result.findings, self._volumeNode(), nodes.segmentation, nodes.table)
        self.view.showFrames(framesTable)
        self.resume()

    def current(self) -> Result:
        """The result shown, with masks and curves; measured again where the scene has only its table.

        Raises:
            InputError: the segmentation cannot be measured.
        """
        return self._result or self._measured(self._panel.parameterNode.segmentation, again=True)

    def measure(self, segmentationNode: Any) -> None:
        """Measures a segmentation and shows the result, or says why it cannot be measured."""
        result = self._panel.runControl.guarded(lambda: self._measured(segmentationNode))
        if result is not None:
            self._panel.runControl.say("")
            self.show(result)

    def remeasure(self) -> None:
        """Measures what is shown again. Where that fails, old numbers are not left standing."""
        node, control = self._panel.parameterNode, self._panel.runControl
        if node is None or control.isBusy or self._panel.missing():
            return
        # Without a segmentation only what a run wrote that found no segment can be brought up to date.
        if node.segmentation is None and not lackOf(node.resultsTable):
            return
        try:
            result = self._measured(node.segmentation, again=True)
        except InputError as error:
            self._showUnmeasured(str(error))
        else:
            self.show(result, node.framesTable)

    def _measured(self, segmentationNode: Any, again: bool = False) -> Result:
        panel = self._panel
        table = panel.parameterNode.resultsTable if segmentationNode is panel.parameterNode.segmentation else None
        return panel.logic.measure(
            panel.volumes(), segmentationNode, panel.clinicalForm.values(), panel.settings(), table, again=again
        )

    def _volumeNode(self) -> Any:
        return self._panel.primaryVolume()

    def _takeResultsOf(self, volumeNode: Any) -> None:
        """Another volume was chosen: its own earlier results, or none."""
        node, found = self._panel.parameterNode, scene.findResults(self._panel.system.name, volumeNode)
        with slicer.util.NodeModify(node):
            node.segmentation, node.resultsTable, node.framesTable = found.segmentation, found.table, None

    def _nodes(self) -> tuple:
        node = self._panel.parameterNode
        return tuple(one and one.GetID() for one in (node.segmentation, node.resultsTable, node.framesTable))

    def _key(self) -> tuple:
        """What the results depend on beside the segmentation."""
        panel = self._panel
        settings = {name: value for name, value in panel.settings().items() if name != "device"}
        volumes = tuple((role, node.GetID()) for role, node in panel.volumes().items())
        return panel.clinicalForm.text(), json.dumps(settings, sort_keys=True), panel.parameterNode.bundle, volumes

    def _showStored(self) -> None:
        """Shows the results that the scene holds, as after loading it; a node may have been deleted."""
        node = self._panel.parameterNode
        self.pause()
        self._shown, self._result = self._nodes(), None
        volumeNode, table = self._volumeNode(), node.resultsTable
        if table is not None and isResultsTable(table):
            self.view.show(scene.readTable(table), volumeNode, node.segmentation, table)
            self.view.showFrames(node.framesTable)
            self._measuredWith = self._key()
        else:
            self.view.clear(volumeNode)
            self._measuredWith = None
        self.resume()

    def _showUnmeasured(self, reason: str) -> None:
        node = self._panel.parameterNode
        system = self._panel.system
        findings = Findings(system.name, flags=(Flag(NOT_MEASURED, "error", reason, system.segments[0]),))
        if node.resultsTable is not None:
            scene.updateTable(node.resultsTable, findings)
        self._result, self._measuredWith = None, self._key()
        self.view.show(findings, self._volumeNode(), node.segmentation, node.resultsTable)

    def _onEdit(self, segmentationNode: Any) -> None:
        """Segment Editor is about to open; a segmentation made for it is watched from now on."""
        node = self._panel.parameterNode
        if node.segmentation is not segmentationNode:
            node.segmentation = segmentationNode
            self._shown = self._nodes()
            self.pause()
        self.resume()
