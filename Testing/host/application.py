"""``slicer.app`` with a GUI: the headless application over a real QApplication, with layout manager and main window."""

from __future__ import annotations

import tempfile
from typing import Any

import slicer
from PySide6 import QtCore, QtWidgets

from PrognosisLib.headless.application import Application

from . import pythonqt
from .qmrml_views import qMRMLPlotView, qMRMLTableView

__all__ = ["HostApplication", "LayoutManager", "MainWindow", "ModuleSelector"]


class _ViewWidget:
    """``layoutManager().tableWidget(0)`` and ``plotWidget(0)``."""

    def __init__(self, view: QtWidgets.QWidget, viewNode: Any) -> None:
        self._view, self._viewNode = view, viewNode

    def tableView(self) -> QtWidgets.QWidget:
        return self._view

    def plotView(self) -> QtWidgets.QWidget:
        return self._view


class LayoutManager:
    """``slicer.app.layoutManager()`` over the real layout logic: view nodes are real, views are not drawn."""

    def __init__(self, scene: Any) -> None:
        self._logic = slicer.vtkMRMLLayoutLogic()
        self._logic.SetMRMLScene(scene)
        self._scene = scene

    def layoutLogic(self) -> Any:
        return self._logic

    @property
    def layout(self) -> int:
        return self._logic.GetLayoutNode().GetViewArrangement()

    @layout.setter
    def layout(self, value: int) -> None:
        self._logic.GetLayoutNode().SetViewArrangement(int(value))

    def setLayout(self, value: int) -> None:
        self.layout = value

    def _viewNodes(self, className: str) -> list[Any]:
        nodes = self._logic.GetViewNodes()
        items = [nodes.GetItemAsObject(index) for index in range(nodes.GetNumberOfItems())]
        return [node for node in items if node.IsA(className)]

    @property
    def tableViewCount(self) -> int:
        return len(self._viewNodes("vtkMRMLTableViewNode"))

    @property
    def plotViewCount(self) -> int:
        return len(self._viewNodes("vtkMRMLPlotViewNode"))

    @property
    def threeDViewCount(self) -> int:
        return len(self._viewNodes("vtkMRMLViewNode"))

    def tableWidget(self, index: int) -> _ViewWidget | None:
        nodes = self._viewNodes("vtkMRMLTableViewNode")
        if index >= len(nodes):
            return None
        view = qMRMLTableView()
        view.setMRMLTableViewNode(nodes[index])
        return _ViewWidget(view, nodes[index])

    def plotWidget(self, index: int) -> _ViewWidget | None:
        nodes = self._viewNodes("vtkMRMLPlotViewNode")
        if index >= len(nodes):
            return None
        view = qMRMLPlotView()
        view.setMRMLPlotViewNode(nodes[index])
        return _ViewWidget(view, nodes[index])

    def sliceViewNames(self) -> tuple[str, ...]:
        return tuple(node.GetLayoutName() for node in self._viewNodes("vtkMRMLSliceNode"))

    def sliceWidget(self, name: str) -> Any:
        raise NotImplementedError("The host draws no slice views.")

    def threeDWidget(self, index: int | str) -> Any:
        raise NotImplementedError("The host draws no 3D views.")

    def resetThreeDViews(self) -> None:
        """Nothing is drawn."""

    def resetSliceViews(self) -> None:
        """Nothing is drawn."""


class ModuleSelector:
    """``slicer.util.moduleSelector()``: enters and exits the widgets that the host made."""

    def __init__(self) -> None:
        self.selectedModule = ""

    def selectModule(self, name: str) -> None:
        """Shows a module's panel.

        :raises RuntimeError: if there is no such module; Slicer only prints that.
        """
        manager = slicer.app.moduleManager()
        if manager.module(name) is None:
            raise RuntimeError(f"There is no module {name!r} to select.")
        for moduleName, method in ((self.selectedModule, "exit"), (name, "enter")):
            widget = getattr(slicer.modules, f"{moduleName}Widget", None)
            if widget is not None and moduleName != "SegmentEditor":
                getattr(widget, method, lambda: None)()
        self.selectedModule = name


class MainWindow(QtWidgets.QMainWindow):
    """The window that slicer.util.mainWindow() finds; never shown."""

    def __init__(self) -> None:
        super().__init__()
        self.objectName = "qSlicerMainWindow"
        self._selector = ModuleSelector()

    def moduleSelector(self) -> ModuleSelector:
        return self._selector


class HostApplication(Application):
    """``slicer.app``: our members first, then the QApplication's."""

    def _becomeGui(self) -> None:
        self._settingsFolder = tempfile.TemporaryDirectory(prefix="prognosis-settings-")
        for scope in (QtCore.QSettings.Scope.UserScope, QtCore.QSettings.Scope.SystemScope):
            QtCore.QSettings.setPath(QtCore.QSettings.Format.IniFormat, scope, self._settingsFolder.name)
        QtCore.QSettings.setDefaultFormat(QtCore.QSettings.Format.IniFormat)
        # PySide6's enumerations are needed where PythonQt's ints are not converted: before the patches.
        self._qt = QtWidgets.QApplication.instance() or QtWidgets.QApplication(["Slicer"])
        QtWidgets.QApplication.setOrganizationName("Prognosis tests")
        QtWidgets.QApplication.setApplicationName("Slicer")

    def _finishGui(self) -> None:
        self._layoutManager = LayoutManager(self._scene)
        self._mainWindow = MainWindow()

    def layoutManager(self) -> LayoutManager:
        return self._layoutManager

    def topLevelWidgets(self) -> tuple[QtWidgets.QWidget, ...]:
        return tuple(QtWidgets.QApplication.topLevelWidgets())

    def processEvents(self) -> None:
        QtWidgets.QApplication.processEvents()

    def settings(self) -> QtCore.QSettings:
        return QtCore.QSettings()

    userSettings = revisionUserSettings = settings

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        from . import facts

        if facts.memberKind("qSlicerApplication", name):
            raise NotImplementedError(f"The host does not stand in for slicer.app.{name}.")
        return getattr(self._qt, name)


def install() -> HostApplication:
    """Turns the headless ``slicer.app`` into the GUI application, in place, and makes the QApplication."""
    app = slicer.app
    app.__class__ = HostApplication
    app._becomeGui()
    pythonqt.install()
    app._finishGui()
    return app
