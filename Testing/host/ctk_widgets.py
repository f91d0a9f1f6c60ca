"""Stand-ins for CTK's buttons, boxes and path widgets, held to their facts."""

from __future__ import annotations

from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import Property, Signal

from . import dialog_recorder
from .standin import standIn, stored


class _Collapser:
    """Hides and shows a container's children; a child that was hidden by itself stays hidden."""

    def __init__(self, owner: QtWidgets.QWidget) -> None:
        self._owner = owner
        self._hidden: list[QtWidgets.QWidget] = []

    def setCollapsed(self, collapsed: bool) -> None:
        owner = self._owner
        if collapsed:
            children = [child for child in owner.children() if child.isWidgetType()]
            self._hidden += [child for child in children if not child.isHidden()]
            for child in self._hidden:
                child.setVisible(False)
        else:
            for child in self._hidden:
                child.setVisible(True)
            self._hidden = []
        owner.updateGeometry()


@standIn
class ctkCollapsibleButton(QtWidgets.QAbstractButton):
    contentsCollapsed = Signal(bool)
    vars().update(
        stored(
            "ctkCollapsibleButton",
            collapsedHeight=10,
            flat=False,
            contentsFrameShape=0,
            contentsFrameShadow=16,
            contentsLineWidth=1,
            contentsMidLineWidth=0,
            buttonTextAlignment=129,
            indicatorAlignment=129,
        )
    )

    def __init__(self, textOrParent=None, parent=None) -> None:
        isText = type(textOrParent) is str
        super().__init__(parent if isText else textOrParent)
        self._collapser = _Collapser(self)
        self.checkable = True
        self.checked = True
        self.setSizePolicy(QtWidgets.QSizePolicy.Policy.Expanding, QtWidgets.QSizePolicy.Policy.Preferred)
        self.setContentsMargins(0, self._headerHeight(), 0, 0)
        self.toggled.connect(self._onToggled)
        if isText:
            self.text = textOrParent

    def _headerHeight(self) -> int:
        return self.fontMetrics().height() + 8

    def _setCollapsed(self, collapsed: bool) -> None:
        self.checked = not collapsed

    collapsed = Property(bool, lambda self: not self.checked, _setCollapsed)

    def _onToggled(self, expanded: bool) -> None:
        self._collapser.setCollapsed(not expanded)
        self.contentsCollapsed.emit(not expanded)

    def showEvent(self, _event: QtGui.QShowEvent) -> None:
        # A form may say that it is collapsed before it has children.
        if not self.checked:
            self._collapser.setCollapsed(True)

    def hitButton(self, position: QtCore.QPoint) -> bool:
        return position.y() < self._headerHeight()

    def paintEvent(self, _event: QtGui.QPaintEvent) -> None:
        painter = QtWidgets.QStylePainter(self)
        option = QtWidgets.QStyleOptionButton()
        option.initFrom(self)
        rectangle = QtCore.QRect(0, 0, self.width, self._headerHeight())
        painter.fillRect(rectangle, self.palette.button())
        painter.drawText(rectangle.adjusted(24, 0, -4, 0), 129, self.text)
        painter.drawText(rectangle.adjusted(8, 0, 0, 0), 129, "▾" if self.checked else "▸")
        painter.end()


@standIn
class ctkCollapsibleGroupBox(QtWidgets.QGroupBox):
    vars().update(stored("ctkCollapsibleGroupBox", collapsedHeight=14))

    def __init__(self, titleOrParent=None, parent=None) -> None:
        isText = type(titleOrParent) is str
        super().__init__(parent if isText else titleOrParent)
        self._collapser = _Collapser(self)
        self.checkable = True
        self.checked = True
        self.toggled.connect(lambda expanded: self._collapser.setCollapsed(not expanded))
        if isText:
            self.title = titleOrParent

    def _setCollapsed(self, collapsed: bool) -> None:
        self.checked = not collapsed

    collapsed = Property(bool, lambda self: not self.checked, _setCollapsed)


@standIn
class ctkMenuButton(QtWidgets.QPushButton):
    pass


@standIn
class ctkPushButton(QtWidgets.QPushButton):
    vars().update(stored("ctkPushButton", buttonTextAlignment=132, iconAlignment=129, elideMode=3))


@standIn
class ctkCheckablePushButton(ctkPushButton):
    checkBoxToggled = Signal(bool)
    checkStateChanged = Signal(int)
    vars().update(
        stored(
            "ctkCheckablePushButton",
            indicatorAlignment=129,
            checkState=0,
            checkBoxControlsButton=True,
            checkBoxControlsButtonToggleState=False,
            checkBoxUserCheckable=True,
        )
    )

    def _onCheckState(self) -> None:
        if self.checkBoxControlsButtonToggleState:
            self.checkable = bool(self.checkState)
        self.checkStateChanged.emit(self.checkState)
        self.checkBoxToggled.emit(bool(self.checkState))


@standIn
class ctkComboBox(QtWidgets.QComboBox):
    returnRelease = Signal()
    vars().update(
        stored("ctkComboBox", defaultText="", defaultIcon=None, forceDefault=False, elideMode=3, scrollWheelEffect=1)
    )

    def setCurrentUserDataAsString(self, text: str) -> None:
        self.setCurrentIndex(self.findData(text))

    currentUserDataAsString = Property(
        str,
        lambda self: str(self.currentData or "") if self.currentIndex >= 0 else "",
        setCurrentUserDataAsString,
    )


@standIn
class ctkFittedTextBrowser(QtWidgets.QTextBrowser):
    vars().update(stored("ctkFittedTextBrowser", disableMouseScroll=False, collapsed=True))
    vars().update(stored("ctkFittedTextBrowser", showDetailsText="Show details...", hideDetailsText="Hide details."))

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._text = ""

    def collapsibleText(self) -> str:
        return self._text

    def setCollapsibleText(self, text: str) -> None:
        self._text = text
        self.setText(text)

    def setCollapsibleHtml(self, text: str) -> None:
        self._text = text
        self.setHtml(text)

    def setCollapsiblePlainText(self, text: str) -> None:
        self._text = text
        self.setPlainText(text)


@standIn
class ctkMessageBox(QtWidgets.QMessageBox):
    vars().update(
        stored(
            "ctkMessageBox",
            dontShowAgain=False,
            dontShowAgainSettingsKey="",
            dontShowAgainVisible=False,
        )
    )

    def setDontShowAgain(self, value: bool) -> None:
        self.dontShowAgain = value


@standIn
class ctkColorPickerButton(QtWidgets.QPushButton):
    colorChanged = Signal("QColor")
    colorNameChanged = Signal(str)
    vars().update(stored("ctkColorPickerButton", color=QtGui.QColor(), displayColorName=True))

    def __init__(self, parent=None) -> None:
        super().__init__(parent)

    def _onColor(self) -> None:
        self.colorChanged.emit(self.color)
        self.colorNameChanged.emit(self.color.name())

    def setColor(self, color: QtGui.QColor) -> None:
        self.color = color

    def setDisplayColorName(self, display: bool) -> None:
        self.displayColorName = display


@standIn
class ctkPathLineEdit(QtWidgets.QWidget):
    validInputChanged = Signal(bool)
    currentPathChanged = Signal(str)
    vars().update(
        stored(
            "ctkPathLineEdit",
            label="",
            filters=0x001 | 0x002,
            options=0,
            settingKey="",
            showBrowseButton=True,
            showHistoryButton=True,
            sizeAdjustPolicy=2,
            minimumContentsLength=0,
            nameFilters=(),
        )
    )

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._comboBox = QtWidgets.QComboBox()
        self._comboBox.editable = True
        self._button = QtWidgets.QToolButton()
        self._button.text = "..."
        layout.addWidget(self._comboBox)
        layout.addWidget(self._button)
        self.setSizePolicy(QtWidgets.QSizePolicy.Policy.Expanding, QtWidgets.QSizePolicy.Policy.Fixed)
        self._comboBox.editTextChanged.connect(self.currentPathChanged.emit)
        self._button.clicked.connect(lambda: self.browse())

    def _onShowBrowseButton(self) -> None:
        self._button.setVisible(self.showBrowseButton)

    def comboBox(self) -> QtWidgets.QComboBox:
        return self._comboBox

    def setCurrentPath(self, path: str) -> None:
        self._comboBox.setEditText(path)

    currentPath = Property(str, lambda self: self._comboBox.currentText, setCurrentPath)

    def browse(self) -> None:
        path = dialog_recorder.askForPath(f"browse in {self.objectName}")
        if path:
            self.setCurrentPath(path)

    def addCurrentPathToHistory(self) -> None:
        path = self._comboBox.currentText
        if path and self._comboBox.findText(path) < 0:
            self._comboBox.insertItem(0, path)
            self._comboBox.setEditText(path)

    def retrieveHistory(self) -> None:
        """The host keeps no history between runs."""


@standIn
class ctkDirectoryButton(QtWidgets.QWidget):
    directoryChanged = Signal(str)
    directorySelected = Signal(str)
    vars().update(stored("ctkDirectoryButton", acceptMode=0, caption="", text="", icon=None, elideMode=3, options=1))

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._button = QtWidgets.QPushButton()
        layout.addWidget(self._button)
        self._directory = ""
        self._button.clicked.connect(lambda: self.browse())

    def _setDirectory(self, path: str) -> None:
        if path != self._directory:
            self._directory = path
            self._button.text = self.text or path
            self.directoryChanged.emit(path)

    directory = Property(str, lambda self: self._directory, _setDirectory)

    def browse(self) -> None:
        path = dialog_recorder.askForPath(f"browse in {self.objectName}")
        if path:
            self._setDirectory(path)
            self.directorySelected.emit(path)


__all__ = [name for name in dir() if name.startswith("ctk")]
