"""The panel of a system: scene, parameter node and logic on one side, the sections on the other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleWidget
from slicer.util import VTKObservationMixin

from ..errors import InputError
from ..logic import Result
from ..scene.choosing import findInput
from .batch_section import BatchSection
from .bundle_section import BundleSection
from .clinical_form import ClinicalForm
from .dependencies import ensurePackages, ensureTorch
from .follower import ResultsFollower
from .form import loadForm, orderKeys
from .parameters import Device
from .player import Player
from .run_control import RunControl


class SystemWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Base of the modules' widgets. A subclass sets `logicClass` and, for its own settings, overrides `settings`.

    The module's .ui holds a node selector for every role of the system and binds its widgets to the parameter node,
    whose class derives from `SystemParameters` and has a volume parameter named after each role.
    """

    logicClass: type

    def __init__(self, parent=None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic: Any = None
        self._parameterNode: Any = None
        self._guiTag: int | None = None
        self._isEntered = False
        self._runVolumes: dict[str, Any] = {}
        self._frameRun: Any = None

    # What a module may change

    def settings(self) -> dict[str, Any]:
        """The pipeline's settings, read from the parameter node."""
        return {"device": self._parameterNode.device.value}

    def patientText(self, clinical: Mapping[str, Any]) -> str:
        """What is shown below the scores, as rich text, while clinical values are entered."""
        return ""

    # Life of the panel

    def setup(self) -> None:
        ScriptedLoadableModuleWidget.setup(self)
        self.logic = self.logicClass()
        self.system = self.logic.system
        panel, self.ui = loadForm(self.resourcePath(f"UI/{self.moduleName}.ui"), self.system)
        self.layout.addWidget(panel)
        self.runControl = RunControl(self.ui, self._checkCanApply)
        self.clinicalForm = ClinicalForm(self.ui, self.system, self._onClinicalChanged, self.patientText)
        self.results = ResultsFollower(self)
        self.player = Player(self.ui.playerSection, self.ui.playWidget, self.ui.seekWidget, self.ui.frameLabel)
        self._hideWhatFilmsLack()
        self.about = BundleSection(self.ui, self.logic, self._onBundleChosen, self.runControl.showError)
        self.batch = BatchSection(self)
        orderKeys(self.ui, self.clinicalForm.editors)
        self.ui.applyButton.connect("clicked(bool)", self.onApply)
        self.ui.demoButton.connect("clicked(bool)", self.onDemo)
        self.ui.reportButton.connect("clicked(bool)", self.onReport)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndImportEvent, self.onSceneEndClose)
        self.initializeParameterNode()

    def cleanup(self) -> None:
        """Ends the run and the worker process, unless another module is using it, and every observation."""
        wasBusy = self.runControl.isBusy
        self.runControl.close()
        self.batch.close()
        self.setParameterNode(None)
        self.player.close()
        self.removeObservers()
        if wasBusy or not self.logic.worker.is_busy:
            self.logic.worker.close()

    def enter(self) -> None:
        self._isEntered = True
        self.initializeParameterNode()

    def exit(self) -> None:
        """The panel is hidden; segments are still watched, since they are edited in another module."""
        self._isEntered = False
        if self._parameterNode is not None:
            self._disconnectGui()

    def onSceneStartClose(self, caller=None, event=None) -> None:
        self.runControl.cancel(_("The scene was closed, so the run was stopped."))
        self.batch.cancel(_("The scene was closed, so the batch was stopped; run it again to go on."))
        self.setParameterNode(None)

    def onSceneEndClose(self, caller=None, event=None) -> None:
        if self._isEntered:
            self.initializeParameterNode()

    # Parameter node

    def initializeParameterNode(self) -> None:
        """The scene's parameter node, with a sensible volume where none was chosen yet."""
        node = self.logic.getParameterNode()
        volumes = self._volumesOf(node)
        primary = self.system.primary_of(volumes).name
        if self._isEntered and primary not in volumes and not self.runControl.isBusy:
            candidate = findInput()
            if candidate is not None:
                setattr(node, primary, candidate)
        self.setParameterNode(node)

    def setParameterNode(self, node: Any) -> None:
        if self._parameterNode is not None:
            self._disconnectGui()
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._onParametersModified)
        self._parameterNode = node
        self.results.reset()
        self.player.setVolume(self.playedVolume())
        if node is not None:
            self._guiTag = node.connectGui(self.ui)
            self.addObserver(node, vtk.vtkCommand.ModifiedEvent, self._onParametersModified)
            self._onParametersModified()
        self._checkCanApply()

    def _disconnectGui(self) -> None:
        if self._guiTag is not None:
            self._parameterNode.disconnectGui(self._guiTag)
            self._guiTag = None

    def _onParametersModified(self, caller=None, event=None) -> None:
        node = self._parameterNode
        if node is None:
            return
        self.logic.bundlePath = Path(node.bundle) if node.bundle else None
        self.clinicalForm.setText(node.clinical)
        self.about.setBundle(node.bundle)
        self.results.update()
        self.player.setVolume(self.playedVolume())
        if self.runControl.isBusy and self._runVolumes != self.volumes():
            self.runControl.cancel(_("The volume was removed or changed, so the run was stopped."))
        self._checkCanApply()

    def volumes(self) -> dict[str, Any]:
        """The chosen volumes by role."""
        return self._volumesOf(self._parameterNode)

    def primaryVolume(self) -> Any:
        """The chosen volume that carries segmentation and results; None where it is not chosen."""
        volumes = self.volumes()
        return volumes.get(self.system.primary_of(volumes).name)

    def playedVolume(self) -> Any:
        """The volume whose film the player plays; None where the system takes none, or none is chosen."""
        if self._parameterNode is None or not self.system.primary_of(self.volumes()).film:
            return None
        return self.primaryVolume()

    def _hideWhatFilmsLack(self) -> None:
        """A film is one image, whose frames are not run one by one, and flat."""
        isFilm = any(role.film for role in self.system.roles)
        for widget in (self.ui.allFramesCheckBox, self.ui.show3DButton):
            widget.visible = not isFilm

    def _volumesOf(self, parameterNode: Any) -> dict[str, Any]:
        chosen = {role.name: getattr(parameterNode, role.name) for role in self.system.roles}
        return {role: node for role, node in chosen.items() if node is not None}

    @property
    def parameterNode(self) -> Any:
        """The wrapped parameter node; None while the scene is closing."""
        return self._parameterNode

    # What can be done now

    def missing(self) -> list[str]:
        """What Apply waits for, a sentence each; empty when it can run."""
        if self._parameterNode is None:
            return [_("The scene is closing.")]
        texts = self.clinicalForm.problems()
        try:
            self.system.check_roles(self.volumes())
        except InputError as error:
            texts.insert(0, str(error))
        return texts

    def _checkCanApply(self) -> None:
        busy, button = self.runControl.isBusy, self.ui.applyButton
        missing = self.missing()
        measures = self._parameterNode is not None and self._parameterNode.existingSegmentation is not None
        if busy:
            button.text, button.enabled = _("Cancel"), not self.runControl.isCancelling
            button.toolTip = _("Stop the run. Nothing is changed.")
        else:
            button.text = _("&Measure segmentation") if measures else _("&Apply")
            button.enabled = not missing
            ready = _("Measure the chosen segmentation.") if measures else _("Segment and measure.")
            button.toolTip = "\n".join(missing) or ready
        for section in (self.ui.inputsSection, self.ui.patientSection, self.ui.settingsSection, self.ui.bundleWidget):
            section.enabled = not busy
        self.ui.bundleButtons.enabled = not busy
        self.results.view.setEnabled(not busy)
        self._checkFrames()

    def _checkFrames(self) -> None:
        if self._parameterNode is None:
            return
        from ..runs import findBrowser

        browser = findBrowser(self.primaryVolume())
        box = self.ui.allFramesCheckBox
        box.enabled = browser is not None
        none = _("The volume is not part of a sequence with several frames.")
        some = _("Run on each frame of the sequence, with one row for each in a table of its own.")
        box.toolTip = none if browser is None else some

    # Buttons

    def onApply(self) -> None:
        """Starts the run, or cancels the one under way."""
        if self.runControl.isBusy:
            self.runControl.cancel()
            return
        node = self._parameterNode
        if node is None or self.missing():
            return
        if node.existingSegmentation is not None:
            self.results.measure(node.existingSegmentation)
            return
        try:
            ensurePackages(self.moduleName)
            if node.device == Device.GPU:
                ensureTorch()
        except InputError as error:
            self.runControl.say(str(error))
            return
        self.results.pause()
        self._runVolumes = self.volumes()
        self.runControl.start(self._beginRun, self._onRunDone, _("Starting"))

    def _beginRun(self) -> Any:
        from ..runs import FrameRun, findBrowser

        node, volumes, clinical = self._parameterNode, self.volumes(), self.clinicalForm.values()
        if node.allFrames and findBrowser(self.primaryVolume()) is not None:
            self._frameRun = FrameRun(self.logic, volumes, clinical, self.settings(), node.framesTable)
            return self._frameRun
        self._frameRun = None
        self.logic.startProcess(volumes, clinical, self.settings())
        return self.logic

    def _onRunDone(self, result: Result) -> None:
        self.results.show(result, self._frameRun and self._frameRun.framesTable)

    def onDemo(self) -> None:
        """Makes and loads the simulated patient."""
        from ..runs import startDemo

        self._runVolumes = self.volumes()
        self.runControl.start(lambda: startDemo(self.logic), self._onDemoDone, _("Making the simulated patient"))

    def _onDemoDone(self, loaded: tuple[dict[str, Any], dict[str, Any]]) -> None:
        volumes, clinical = loaded
        with slicer.util.NodeModify(self._parameterNode):
            for role in self.system.roles:
                setattr(self._parameterNode, role.name, volumes.get(role.name))
            self._parameterNode.existingSegmentation = None
            self._parameterNode.clinical = json.dumps(clinical)
        selection = slicer.app.applicationLogic().GetSelectionNode()
        selection.SetActiveVolumeID(self.primaryVolume().GetID())
        slicer.app.applicationLogic().PropagateVolumeSelection()
        self.runControl.say(_("The simulated patient is loaded; press Apply."))

    def onReport(self) -> None:
        """Writes the report into a folder that the user chooses, and opens it."""
        from ..runs import startReport

        folder = qt.QFileDialog.getExistingDirectory(None, _("Folder for report.html"))
        if not folder:
            return
        self._runVolumes = self.volumes()
        clinical = self.clinicalForm.values()

        def begin() -> Any:
            ensurePackages(self.moduleName)
            return startReport(self.logic, self.results.current(), Path(folder), clinical)

        self.runControl.start(begin, self._onReportDone, _("Writing the report"))

    def _onReportDone(self, path: Path) -> None:
        self.runControl.say(_("The report is in {path}.").format(path=path))
        qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(path)))

    def _onClinicalChanged(self) -> None:
        if self._parameterNode is not None:
            self._parameterNode.clinical = self.clinicalForm.text()
        self._checkCanApply()

    def _onBundleChosen(self, path: str) -> None:
        if self._parameterNode is not None:
            self._parameterNode.bundle = path
        self.logic.bundlePath = Path(path) if path else None
