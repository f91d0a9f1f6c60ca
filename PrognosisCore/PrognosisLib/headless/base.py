"""``slicer.ScriptedLoadableModule`` outside Slicer: the four base classes of a scripted module.

Written from the documented behavior of Slicer's classes; what is left out is listed in README.md.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
import unittest

import slicer

from .i18n import tr as _

__all__ = [
    "ScriptedLoadableModule",
    "ScriptedLoadableModuleLogic",
    "ScriptedLoadableModuleTest",
    "ScriptedLoadableModuleWidget",
]


def _hasGui() -> bool:
    return not getattr(sys.modules.get("qt"), "isPlaceholder", True)


def _withoutSuffix(instance: object, suffix: str) -> str:
    return type(instance).__name__.removesuffix(suffix)


class ScriptedLoadableModule:
    """Describes a module; ``parent`` is the object that ``slicer.modules.<name>`` gives."""

    def __init__(self, parent) -> None:
        self.parent = parent
        self.moduleName = type(self).__name__
        parent.title = ""
        parent.categories = []
        parent.dependencies = []
        parent.contributors = []
        parent.helpText = ""
        parent.acknowledgementText = ""
        if _hasGui():
            import qt

            paths = (self.resourcePath(f"Icons/{self.moduleName}{suffix}") for suffix in (".svg", ".png"))
            path = next((path for path in paths if os.path.isfile(path)), None)
            if path:
                parent.icon = qt.QIcon(path)
        slicer.selfTests[self.moduleName] = self.runTest

    def resourcePath(self, filename: str) -> str:
        """The path of a file in the module's Resources folder."""
        return os.path.join(os.path.dirname(self.parent.path), "Resources", filename)

    def getDefaultModuleDocumentationLink(self, docPage: str | None = None) -> str:
        """A paragraph with a link to the module's documentation."""
        app = slicer.app
        url = app.documentationBaseUrl + docPage if docPage else app.moduleDocumentationUrl(self.moduleName)
        text = _("For more information, see the {url_start}online documentation{url_end}.")
        return "<p>" + text.format(url_start=f'<a href="{url}">', url_end="</a>") + "</p>"

    def runTest(self, msec: int = 100, **kwargs) -> None:
        """Runs the module's ``<Name>Test``.

        :raises AssertionError: if the module has no such class.
        """
        module = importlib.import_module(type(self).__module__)
        testClass = getattr(module, f"{self.moduleName}Test", None)
        if testClass is None:
            raise AssertionError(f"{type(self).__module__} has no class {self.moduleName}Test.")
        test = testClass()
        test.messageDelay = msec
        test.runTest(**kwargs)


class ScriptedLoadableModuleWidget:
    """A module's panel; its ``layout`` receives what ``setup`` makes."""

    def __init__(self, parent=None) -> None:
        super().__init__()
        import qt

        self.moduleName = _withoutSuffix(self, "Widget")
        self.developerMode = slicer.util.settingsValue("Developer/DeveloperMode", False, converter=slicer.util.toBool)
        self.parent = parent
        if parent is None:
            self.parent = slicer.qMRMLWidget()
            self.parent.setLayout(qt.QVBoxLayout())
            self.parent.setMRMLScene(slicer.mrmlScene)
        self.layout = self.parent.layout()
        if parent is None:
            self.setup()
            self.parent.show()
        manager = slicer.app.moduleManager()
        manager.connect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)

    def resourcePath(self, filename: str) -> str:
        """The path of a file in the module's Resources folder."""
        return os.path.join(os.path.dirname(slicer.util.modulePath(self.moduleName)), "Resources", filename)

    def setup(self) -> None:
        """Makes the panel; the module's own setup() calls this first. There is no "Reload & Test" section here."""

    def cleanup(self) -> None:
        """Called before the module is unloaded or reloaded."""

    def _onModuleAboutToBeUnloaded(self, moduleName: str) -> None:
        if moduleName == self.moduleName:
            self.cleanup()
            manager = slicer.app.moduleManager()
            manager.disconnect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)

    def onReload(self) -> None:
        """Reloads the module's source and remakes the panel."""
        slicer.util.reloadScriptedModule(self.moduleName)


class ScriptedLoadableModuleLogic:
    """A module's computation, with a parameter node in the scene."""

    def __init__(self, parent=None) -> None:
        super().__init__()
        self.moduleName = _withoutSuffix(self, "Logic")
        self.isSingletonParameterNode = True

    def getParameterNode(self):
        """The module's vtkMRMLScriptedModuleNode, made on first use."""
        if self.isSingletonParameterNode:
            node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
            # Closing the scene resets a singleton node, which drops its attribute.
            if node is not None and node.GetAttribute("ModuleName") != self.moduleName:
                node.SetAttribute("ModuleName", self.moduleName)
        else:
            node = next(iter(self.getAllParameterNodes()), None)
        return node if node is not None else slicer.mrmlScene.AddNode(self.createParameterNode())

    def getAllParameterNodes(self) -> list:
        """All parameter nodes of this module in the scene."""
        nodes = slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode")
        return [node for node in nodes if node.GetAttribute("ModuleName") == self.moduleName]

    def createParameterNode(self):
        """A new parameter node, not yet in the scene."""
        if slicer.mrmlScene is None:
            return None
        node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
        node.UnRegister(None)
        if self.isSingletonParameterNode:
            node.SetSingletonTag(self.moduleName)
        node.SetAttribute("ModuleName", self.moduleName)
        node.SetName(slicer.mrmlScene.GenerateUniqueName(self.moduleName))
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    """A module's self test: ``runTest`` runs every method with ``test`` in its name, with ``setUp`` before each."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.moduleTestNames = [name for name in dir(self) if "test" in name and callable(getattr(self, name))]
        self.enableScreenshots = False
        self.screenshotScaleFactor = 1.0

    def delayDisplay(self, message: str, requestedDelay: int | None = None, msec: int | None = None) -> None:
        """Logs a message and lets the event loop run."""
        delay = getattr(self, "messageDelay", msec if msec is not None else requestedDelay)
        slicer.util.delayDisplay(message, 100 if delay is None else delay)

    def runTest(self) -> None:
        """Runs the test methods one after the other; the first failure ends it."""
        if not self.moduleTestNames:
            logging.warning("No test is defined in %s", type(self).__name__)
            return
        self.setUpClass()
        for name in self.moduleTestNames:
            self.setUp()
            logging.info("Running %s", name)
            getattr(self, name)()
            self.tearDown()
        self.tearDownClass()
