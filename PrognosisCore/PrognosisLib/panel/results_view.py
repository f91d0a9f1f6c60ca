"""The Results section: summary, flags, tables, and the buttons that show, edit and export them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from .. import scene
from ..findings import SIMULATED, Findings, Flag, Measurement
from ..logic import SystemLogic, ifInScene
from ..scene.editing import segmentToEdit
from ..scene.heat_maps import HEAT_MAP_NAME
from ..scene.places import volumeOf
from ..scene.tables import lackOf
from ..scene.views import HeatMapOverlay

# Columns of the results table that fit a panel, with their widths in pixels; the node has all of them.
SHOWN_COLUMNS = {"quantity": 125, "text": 100, "note": 100}
ICONS = {"error": "SP_MessageBoxCritical", "warning": "SP_MessageBoxWarning", "info": "SP_MessageBoxInformation"}
SEVERITIES = tuple(ICONS)
WORDS = {"error": "Error", "warning": "Check", "info": "Note"}
ICON_SIZE = 16


class ResultsView:
    """Shows findings and nodes; it never makes or changes them, but for an empty segment to draw in.

    Args:
        ui: holds resultsSection and what is in it.
        logic: names the system and its segments.
        onEdit: called with the segmentation that Segment Editor is about to show, perhaps a new one.
    """

    def __init__(self, ui: Any, logic: SystemLogic, onEdit: Callable[[Any], None]) -> None:
        self._ui, self._logic, self._edited = ui, logic, onEdit
        self._volumeNode = self._segmentationNode = self._tableNode = self._chart = self._heatMap = None
        # Heat maps of the image that carries the results, and those of others.
        self._heatMaps: tuple = ()
        self._heatMapsBeside: tuple = ()
        # The segmentation of another image that belongs to the results.
        self._otherNode: Any = None
        self._rows: tuple[Measurement, ...] = ()
        self._overlay = HeatMapOverlay()
        self._formerLayout: int | None = None
        self._flagWidgets: list[Any] = []
        for view in (ui.resultsTableView, ui.framesTableView):
            view.verticalHeader().setVisible(False)
            view.verticalHeader().setSectionResizeMode(qt.QHeaderView.ResizeToContents)
            view.alternatingRowColors = True
            view.wordWrap = True
        for signal in ("clicked(QModelIndex)", "activated(QModelIndex)"):
            ui.resultsTableView.connect(signal, self._onRow)
        ui.plotButton.connect("toggled(bool)", self._onPlot)
        ui.heatMapButton.connect("toggled(bool)", self._onHeatMap)
        ui.heatMapComboBox.connect("currentIndexChanged(int)", self._onHeatMapChosen)
        ui.editButton.connect("clicked()", self._onEdit)
        ui.editOtherButton.connect("clicked()", self._onEditOther)
        ui.exportButton.connect("clicked()", self._onExport)
        self.clear()

    def clear(self, volumeNode: Any = None) -> None:
        """No results; a segment can still be drawn on the volume."""
        self._rows = ()
        self._showNodes(volumeNode, None, None)
        self.showFrames(None)
        self._ui.summaryLabel.text = _("No results yet.")
        self._ui.cohortLabel.visible = False
        self._showFlags(())

    def show(self, findings: Findings, volumeNode: Any, segmentationNode: Any, tableNode: Any) -> None:
        """Shows findings and the nodes that hold them; any node may be None."""
        self._rows = findings.measurements
        self._showNodes(volumeNode, segmentationNode, tableNode)
        self._ui.summaryLabel.text = findings.summary
        self._ui.cohortLabel.text = _(
            "Modeled numbers come from a {simulated}. Research and teaching, not for clinical use."
        ).format(simulated=SIMULATED)
        self._ui.cohortLabel.visible = findings.is_simulated
        self._showFlags(findings.flags)

    def setVolume(self, volumeNode: Any) -> None:
        """The volume on which a segment can be drawn."""
        self._volumeNode = volumeNode
        self.setEnabled(True)

    def showFrames(self, tableNode: Any) -> None:
        """The table with a row for each frame; None hides it."""
        self._ui.framesTableView.setMRMLTableNode(tableNode)
        self._ui.framesTableView.visible = tableNode is not None
        if tableNode is not None:
            self._ui.framesTableView.resizeColumnsToContents()

    def setEnabled(self, enabled: bool) -> None:
        """The buttons that need a finished run; off while one is under way."""
        segmentation, table = self._segmentationNode, self._tableNode
        self._ui.show3DButton.enabled = enabled and segmentation is not None
        self._ui.editButton.enabled = enabled and self._volumeNode is not None
        self._ui.editOtherButton.enabled = enabled and self._otherNode is not None
        self._ui.plotButton.enabled = enabled and self._chart is not None
        self._ui.heatMapButton.enabled = enabled and self._heatMap is not None
        self._ui.exportButton.enabled = enabled and table is not None
        canReport = segmentation is not None or bool(lackOf(table))
        self._ui.reportButton.enabled = enabled and table is not None and canReport

    def _showNodes(self, volumeNode: Any, segmentationNode: Any, tableNode: Any) -> None:
        found = scene.Nodes()
        if tableNode is not None:
            found = scene.resultsOf(self._logic.system.name, volumeNode, segmentationNode)
        self._volumeNode, self._segmentationNode, self._tableNode = volumeNode, segmentationNode, tableNode
        self._chart = next(iter(found.plotCharts), None)
        if self._ui.show3DButton.segmentationNode() is not segmentationNode:
            self._ui.show3DButton.setSegmentationNode(segmentationNode)
        view = self._ui.resultsTableView
        view.setMRMLTableNode(tableNode)
        view.visible = tableNode is not None
        if tableNode is not None:
            self._arrange(view)
            self._tellPlaces(view)
        if self._chart is None and self._ui.plotButton.checked:
            self._ui.plotButton.checked = False
        shown = None if volumeNode is None else scene.shownVolume(volumeNode)
        self._heatMaps = tuple(node for node in found.heatMaps if volumeOf(node) is shown)
        self._heatMapsBeside = tuple(node for node in found.heatMaps if volumeOf(node) not in (shown, None))
        self._offerHeatMaps()
        self._otherNode = next(iter(found.others.values()), None)
        self._ui.editOtherButton.visible = self._otherNode is not None
        if self._otherNode is not None:
            name = self._otherNode.GetSegmentation().GetNthSegment(0).GetName()
            self._ui.editOtherButton.text = _("Edit {segment}").format(segment=name)
        self.setEnabled(True)

    def _offerHeatMaps(self) -> None:
        """The names of the heat maps, where there are several; the one that was chosen by its name stays chosen."""
        box = self._ui.heatMapComboBox
        names, former = [node.GetAttribute(HEAT_MAP_NAME) or node.GetName() for node in self._heatMaps], box.currentText
        wasBlocked = box.blockSignals(True)
        box.clear()
        for name in names:
            box.addItem(name)
        box.currentIndex = names.index(former) if former in names else min(0, len(names) - 1)
        box.blockSignals(wasBlocked)
        box.visible = len(names) > 1
        self._showHeatMap(self._heatMaps[box.currentIndex] if names else None)

    def _onHeatMapChosen(self, index: int) -> None:
        """Another of several heat maps; the views show it where they showed the former."""
        wasShown = self._ui.heatMapButton.checked
        if 0 <= index < len(self._heatMaps):
            self._showHeatMap(self._heatMaps[index])
            self._ui.heatMapButton.checked = wasShown

    def _showHeatMap(self, heatMap: Any) -> None:
        """Takes another heat map, or none; the button says whether the views show it."""
        button, self._heatMap = self._ui.heatMapButton, heatMap
        if self._overlay.heatMap is not heatMap:
            button.checked = False
        if heatMap is not None and not button.checked and self._overlay.adopt(heatMap, self._volumeNode):
            button.checked = True

    def _arrange(self, view: Any) -> None:
        """Quantity, result and note from left to right; the note takes the width that is left."""
        table, header = self._tableNode.GetTable(), view.horizontalHeader()
        names = [table.GetColumnName(column) for column in range(table.GetNumberOfColumns())]
        for column, name in enumerate(names):
            view.setColumnHidden(column, name not in SHOWN_COLUMNS)
        for place, (name, width) in enumerate(SHOWN_COLUMNS.items()):
            header.moveSection(header.visualIndex(names.index(name)), place)
            header.setSectionResizeMode(names.index(name), qt.QHeaderView.Interactive)
            view.setColumnWidth(names.index(name), width)
        header.setSectionResizeMode(names.index("note"), qt.QHeaderView.Stretch)

    def _tellPlaces(self, view: Any) -> None:
        """Rows with a place say so; the model, which writes what changes into the table, is not told."""
        model, tip = view.tableModel(), _("Click to show it in the slice views")
        wasBlocked = model.blockSignals(True)
        for row, measurement in enumerate(self._rows[: model.rowCount()]):
            if measurement.place is not None:
                for column in range(model.columnCount()):
                    model.item(row, column).setToolTip(tip)
        model.blockSignals(wasBlocked)

    def _showFlags(self, flags: Sequence[Flag]) -> None:
        layout = self._ui.flagsWidget.layout()
        for widget in self._flagWidgets:
            layout.removeWidget(widget)
            widget.hide()
            widget.deleteLater()
        self._flagWidgets = []
        style = slicer.app.style()
        for row, flag in enumerate(sorted(flags, key=_rank)):
            icon, text = qt.QLabel(), qt.QLabel(flag.message)
            name = ICONS.get(flag.severity, ICONS["info"])
            icon.pixmap = style.standardIcon(getattr(qt.QStyle, name)).pixmap(ICON_SIZE, ICON_SIZE)
            text.wordWrap = True
            word = WORDS.get(flag.severity, WORDS["info"])
            icon.toolTip = text.toolTip = f"{word}: {flag.segment}" if flag.segment else word
            # Read aloud, and seen by those who cannot tell the icons apart.
            text.accessibleName = f"{word}: {flag.message}"
            layout.addWidget(icon, row, 0, qt.Qt.AlignTop)
            layout.addWidget(text, row, 1)
            self._flagWidgets += [icon, text]
        layout.setColumnStretch(1, 1)
        self._ui.flagsWidget.visible = bool(flags)

    # Buttons

    def _onPlot(self, shown: bool) -> None:
        """Shows the chart in a layout with a plot view; unchecked, the layout that was there before comes back."""
        manager = slicer.app.layoutManager()
        if shown and self._chart is not None:
            self._formerLayout = manager.layout
            slicer.modules.plots.logic().ShowChartInLayout(self._chart)
        elif not shown and self._formerLayout is not None:
            manager.setLayout(self._formerLayout)
            self._formerLayout = None

    def _onHeatMap(self, shown: bool) -> None:
        """Lays the heat map over the scan; unchecked, the views show what they showed before."""
        if not shown:
            self._overlay.hide()
        elif ifInScene(self._heatMap) is None:
            self._ui.heatMapButton.checked = False
        elif self._overlay.heatMap is not self._heatMap:
            beside = [node for node in self._heatMapsBeside if ifInScene(node) is not None]
            self._overlay.show(self._heatMap, self._volumeNode, beside)

    def _onRow(self, index: Any) -> None:
        """Shows the place of a row in the slice views."""
        row = index.row()
        if row < len(self._rows) and self._rows[row].place is not None:
            isFilm = any(role.film for role in self._logic.system.roles)
            scene.jumpTo(self._rows[row].place, self._volumeNode if isFilm else None)

    def _onEdit(self) -> None:
        """Opens Segment Editor on the system's first segment; where there is none, on a new empty one."""
        name = self._logic.system.segments[0]
        volumeNode = self._volumeNode
        node, segmentID = segmentToEdit(volumeNode, self._segmentationNode, name)
        self._edited(node)
        self._openEditor(volumeNode, node, segmentID)

    def _onEditOther(self) -> None:
        """Opens Segment Editor on the first segment of the other image."""
        node = ifInScene(self._otherNode)
        volumeNode = None if node is None else volumeOf(node)
        if volumeNode is not None and node.GetSegmentation().GetNumberOfSegments():
            self._openEditor(volumeNode, node, node.GetSegmentation().GetNthSegmentID(0))

    def _openEditor(self, volumeNode: Any, node: Any, segmentID: str) -> None:
        """Shows a segment in Segment Editor, over its image."""
        slicer.util.selectModule("SegmentEditor")
        editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
        editor.setSegmentationNode(node)
        editor.setSourceVolumeNode(scene.shownVolume(volumeNode))
        editor.setCurrentSegmentID(segmentID)

    def _onExport(self) -> None:
        name = f"{self._tableNode.GetName()}.csv"
        path = qt.QFileDialog.getSaveFileName(None, _("Export the results"), name, _("Tables (*.csv *.tsv)"))
        if not path:
            return
        path = Path(path)
        path = path if path.suffix.lower() in (".csv", ".tsv") else path.with_name(f"{path.name}.csv")
        try:
            scene.saveTable(self._tableNode, path)
        except ValueError as error:
            slicer.util.errorDisplay(str(error))
            return
        self._ui.statusLabel.text = _("The results are in {path}.").format(path=path)


def _rank(flag: Flag) -> int:
    return SEVERITIES.index(flag.severity) if flag.severity in SEVERITIES else len(SEVERITIES)
