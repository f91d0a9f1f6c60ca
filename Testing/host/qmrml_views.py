"""Stand-ins for qMRML tables and views: they show a real node's content, plots and 3D views excepted."""

from __future__ import annotations

import slicer
from PySide6 import QtGui, QtWidgets
from PySide6.QtCore import Property, Signal

from .ctk_widgets import ctkMenuButton
from .qmrml_widgets import qMRMLWidget
from .standin import MODIFIED, NodeObserver, standIn, stored


@standIn
class qMRMLTableView(QtWidgets.QTableView):
    mrmlSceneChanged = Signal(object)
    vars().update(stored("qMRMLTableView", transposed=False, firstRowLocked=False, firstColumnLocked=False))

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._scene = self._tableNode = self._viewNode = None
        self._items = QtGui.QStandardItemModel()
        self.setModel(self._items)
        self._observer = NodeObserver(self, self._fill, (MODIFIED,))
        self._batches = NodeObserver(self, self._onBatchEnd, (slicer.vtkMRMLScene.EndBatchProcessEvent,))

    def _onBatchEnd(self) -> None:
        """As in Slicer: the view node says what is shown, and where there is none, nothing is."""
        self.setMRMLTableNode(self._viewNode.GetTableNode() if self._viewNode is not None else None)

    def _fill(self) -> None:
        self._items.clear()
        table = self._tableNode.GetTable() if self._tableNode is not None else None
        if table is None:
            return
        columns = [table.GetColumn(index) for index in range(table.GetNumberOfColumns())]
        rows = [[table.GetValue(row, index).ToString() for index in range(len(columns))]
                for row in range(table.GetNumberOfRows())]  # fmt: skip
        titles = [column.GetName() or "" for column in columns]
        if self._tableNode.GetUseColumnTitleAsColumnHeader():
            titles = [self._tableNode.GetColumnTitle(name) or name for name in titles]
        if self.transposed:
            rows = [list(row) for row in zip(titles, *rows, strict=True)]
        else:
            self._items.setHorizontalHeaderLabels(titles)
        tips = [self._tableNode.GetColumnDescription(column.GetName()) for column in columns]
        for row in rows:
            self._items.appendRow([QtGui.QStandardItem(text) for text in row])
            for index, tip in enumerate(tips if not self.transposed else ()):
                self._items.item(self._items.rowCount() - 1, index).setToolTip(tip)

    _onTransposed = _onFirstRowLocked = _onFirstColumnLocked = _fill

    def mrmlScene(self):
        return self._scene

    def setMRMLScene(self, scene) -> None:
        if scene is not self._scene:
            self._scene = scene
            self._batches.observe(scene)
            self.mrmlSceneChanged.emit(scene)

    def mrmlTableNode(self):
        return self._tableNode

    def tableModel(self):
        return self._items

    def setMRMLTableNode(self, node) -> None:
        self._tableNode = node
        self._observer.observe(node)
        self._fill()

    def mrmlTableViewNode(self):
        return self._viewNode

    def setMRMLTableViewNode(self, node) -> None:
        self._viewNode = node
        self.setMRMLTableNode(node.GetTableNode() if node is not None else None)

    def setTransposed(self, value: bool) -> None:
        self.transposed = value

    def setFirstRowLocked(self, value: bool) -> None:
        self.firstRowLocked = value

    def setFirstColumnLocked(self, value: bool) -> None:
        self.firstColumnLocked = value


@standIn
class qMRMLPlotView(QtWidgets.QWidget):
    mrmlSceneChanged = Signal(object)
    vars().update(stored("qMRMLPlotView", title=""))

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._scene = self._viewNode = None

    def setMRMLScene(self, scene) -> None:
        if scene is not self._scene:
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)

    def setMRMLPlotViewNode(self, node) -> None:
        self._viewNode = node

    def fitToContent(self) -> None:
        """Nothing is drawn."""


@standIn
class qMRMLSegmentsTableView(qMRMLWidget):
    selectionChanged = Signal("QItemSelection", "QItemSelection")
    segmentAboutToBeModified = Signal(str)
    vars().update(
        stored(
            "qMRMLSegmentsTableView",
            selectionMode=3,
            headerVisible=True,
            visibilityColumnVisible=True,
            colorColumnVisible=True,
            opacityColumnVisible=True,
            statusColumnVisible=False,
            layerColumnVisible=False,
            readOnly=False,
            filterBarVisible=False,
            textFilter="",
            jumpToSelectedSegmentEnabled=False,
            useTerminologySelector=True,
        )
    )

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._node = None
        self._ids: list[str] = []
        self._table = QtWidgets.QTableWidget()
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._table)
        self._table.selectionModel().selectionChanged.connect(self.selectionChanged.emit)
        events = (slicer.vtkSegmentation.SegmentAdded, slicer.vtkSegmentation.SegmentRemoved,
                  slicer.vtkSegmentation.SegmentModified, MODIFIED)  # fmt: skip
        self._observer = NodeObserver(self, self._fill, events)

    def _fill(self) -> None:
        selected = self.selectedSegmentIDs()
        segmentation = self._node.GetSegmentation() if self._node is not None else None
        self._ids = list(segmentation.GetSegmentIDs()) if segmentation is not None else []
        self._table.setColumnCount(1)
        self._table.setRowCount(len(self._ids))
        for row, segmentID in enumerate(self._ids):
            self._table.setItem(row, 0, QtWidgets.QTableWidgetItem(segmentation.GetSegment(segmentID).GetName()))
        self.setSelectedSegmentIDs([segmentID for segmentID in selected if segmentID in self._ids])

    segmentCount = Property(int, lambda self: len(self._ids))

    def segmentationNode(self):
        return self._node

    def setSegmentationNode(self, node) -> None:
        self._node = node
        self._observer.observe(node.GetSegmentation() if node is not None else None)
        self._fill()

    def tableWidget(self) -> QtWidgets.QTableWidget:
        return self._table

    def displayedSegmentIDs(self) -> tuple[str, ...]:
        return tuple(self._ids)

    def selectedSegmentIDs(self) -> tuple[str, ...]:
        rows = sorted({index.row() for index in self._table.selectedIndexes()})
        return tuple(self._ids[row] for row in rows if row < len(self._ids))

    def setSelectedSegmentIDs(self, segmentIDs) -> None:
        self._table.clearSelection()
        for segmentID in segmentIDs:
            self._table.selectRow(self._ids.index(segmentID))

    def clearSelection(self) -> None:
        self._table.clearSelection()

    def rowForSegmentID(self, segmentID: str) -> int:
        return self._ids.index(segmentID) if segmentID in self._ids else -1

    def segmentIDForRow(self, row: int) -> str:
        return self._ids[row]


@standIn
class qMRMLSegmentationShow3DButton(ctkMenuButton):
    vars().update(stored("qMRMLSegmentationShow3DButton", locked=False))

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._node = None
        self.text = "Show 3D"
        self.checkable = True
        self.toggled.connect(self._onToggled)

    def _onToggled(self, shown: bool) -> None:
        if self._node is None:
            return
        if shown:
            self._node.CreateClosedSurfaceRepresentation()
        else:
            self._node.RemoveClosedSurfaceRepresentation()

    def segmentationNode(self):
        return self._node

    def setSegmentationNode(self, node) -> None:
        self._node = node
        self.enabled = node is not None

    def setLocked(self, locked: bool) -> None:
        self.locked = locked


@standIn
class qMRMLSegmentEditorWidget(qMRMLWidget):
    segmentationNodeChanged = Signal(object)
    sourceVolumeNodeChanged = Signal(object)
    currentSegmentIDChanged = Signal(str)

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._editorNode = self._segmentation = self._volume = None
        self._segmentID = ""
        self._effectName = ""

    def mrmlSegmentEditorNode(self):
        return self._editorNode

    def setMRMLSegmentEditorNode(self, node) -> None:
        self._editorNode = node

    def segmentationNode(self):
        return self._segmentation

    def setSegmentationNode(self, node) -> None:
        self._segmentation = node
        self.segmentationNodeChanged.emit(node)

    def sourceVolumeNode(self):
        return self._volume

    def setSourceVolumeNode(self, node) -> None:
        self._volume = node
        self.sourceVolumeNodeChanged.emit(node)

    def currentSegmentID(self) -> str:
        return self._segmentID

    def setCurrentSegmentID(self, segmentID: str) -> None:
        if self._segmentation is None or self._segmentation.GetSegmentation().GetSegment(segmentID) is None:
            raise ValueError(f"The segmentation in the Segment Editor has no segment {segmentID!r}.")
        self._segmentID = segmentID
        self.currentSegmentIDChanged.emit(segmentID)

    def setActiveEffectByName(self, name: str) -> None:
        self._effectName = name


@standIn
class qMRMLSequenceBrowserSeekWidget(qMRMLWidget):
    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._browser = None
        self._slider = QtWidgets.QSlider(self)
        self._slider.orientation = 1
        self._slider.toolTip = "Frame"
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._slider)
        self._observer = NodeObserver(self, self._follow, (MODIFIED,))
        self._slider.valueChanged.connect(self.setSelectedItemNumber)

    def _follow(self) -> None:
        """The slider has the browser's items and is at the selected one; what it says meanwhile does not count."""
        node = self._browser
        self._slider.blockSignals(True)
        self._slider.maximum = max(node.GetNumberOfItems() - 1, 0) if node is not None else 0
        self._slider.value = max(node.GetSelectedItemNumber(), 0) if node is not None else 0
        self._slider.blockSignals(False)

    def slider(self) -> QtWidgets.QSlider:
        return self._slider

    def setMRMLSequenceBrowserNode(self, node) -> None:
        self._browser = node
        self._observer.observe(node)
        self._follow()

    def setSelectedItemNumber(self, number: int) -> None:
        if self._browser is not None:
            self._browser.SetSelectedItemNumber(number)


@standIn
class qMRMLSequenceBrowserPlayWidget(qMRMLWidget):
    vars().update(stored("qMRMLSequenceBrowserPlayWidget", RecordingControlsVisible=True))

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._browser = None
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._button = QtWidgets.QPushButton("Play")
        self._button.checkable = True
        self._button.toolTip = "Play or pause"
        layout.addWidget(self._button)
        self._observer = NodeObserver(self, self._follow, (MODIFIED,))
        self._button.clicked.connect(lambda: self.onVcrPlayPause())

    def _follow(self) -> None:
        self.enabled = self._browser is not None
        self._button.checked = self._browser is not None and self._browser.GetPlaybackActive()

    def setMRMLSequenceBrowserNode(self, node) -> None:
        self._browser = node
        self._observer.observe(node)
        self._follow()

    def setPlaybackEnabled(self, play: bool) -> None:
        if self._browser is not None:
            self._browser.SetPlaybackActive(play)

    def onVcrPlayPause(self) -> None:
        """Says in the node that it plays; the frames do not run by themselves here."""
        self.setPlaybackEnabled(not self._browser.GetPlaybackActive())

    def onVcrNext(self) -> None:
        self._browser.SelectNextItem(1)

    def onVcrPrevious(self) -> None:
        self._browser.SelectNextItem(-1)

    def onVcrFirst(self) -> None:
        self._browser.SelectFirstItem()

    def onVcrLast(self) -> None:
        self._browser.SelectLastItem()


__all__ = [name for name in dir() if name.startswith("qMRML")]
