"""HepatoPrognosis: 30-day mortality in HBV-ACLF from ultrasound of the liver at T0 and T1, as a 3D Slicer module."""

from __future__ import annotations

import unittest
from collections.abc import Mapping
from typing import Annotated, Any

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import Decimals, WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleTest

from PrognosisLib import scene
from PrognosisLib.errors import InputError
from PrognosisLib.findings import Measurement
from PrognosisLib.logic import Result, SystemLogic
from PrognosisLib.panel import SystemParameters, SystemWidget
from PrognosisLib.systems import SYSTEMS

ROLES = ("t0", "t1")


class HepatoPrognosis(ScriptedLoadableModule):
    """The module as Slicer lists it."""

    def __init__(self, parent) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Hepato Prognosis")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Quantification")]
        self.parent.dependencies = ["PrognosisCore", "Sequences"]
        self.parent.contributors = ["Prognosis developers"]
        self.parent.helpText = (
            _(
                "Estimates 30-day mortality in acute-on-chronic liver failure by hepatitis B from ultrasound images of "
                "the liver on admission (T0) and on day 5 (T1) and from clinical values, by three models side by side, "
                "draws the liver in both, shows what changed, and sets MELD, CLIF-C ACLF, COSSH-ACLF II and other "
                "scores beside it. Research and teaching, not for clinical use."
            )
            + self.getDefaultModuleDocumentationLink()
        )
        self.parent.acknowledgementText = _(
            "Reimplements the idea of Huang et al., Ann Med 2025, doi 10.1080/07853890.2025.2551819, without the "
            "authors' code or data."
        )
        slicer.app.connect("startupCompleted()", self.registerSampleData)

    def registerSampleData(self) -> None:
        """Adds the simulated patient to the Sample Data module."""
        from PrognosisLib.panel.sample_data import registerDemo

        registerDemo("HepatoPrognosisDemo", self.resourcePath("Icons/HepatoPrognosisDemo.png"), HepatoPrognosisLogic)


@parameterNodeWrapper
class HepatoPrognosisParameterNode(SystemParameters):
    """The panel's state, saved with the scene; see SystemParameters for what all systems share.

    Args:
        t0: the volume that shows the image of admission, or the frames of its cine.
        t1: the same of day 5; may be left out.
        frameT0: number of the frame to read of T0, from 1; 0 for the best one.
        frameT1: the same of T1.
        mortalityDays: the mortality that is told is that until so many days after T0.
    """

    t0: slicer.vtkMRMLScalarVolumeNode
    t1: slicer.vtkMRMLScalarVolumeNode
    frameT0: Annotated[int, WithinRange(0, 99999)] = 0
    frameT1: Annotated[int, WithinRange(0, 99999)] = 0
    mortalityDays: Annotated[float, WithinRange(6.0, 90.0), Decimals(0)] = 30.0


class HepatoPrognosisLogic(SystemLogic):
    """`process({"t0": node, "t1": node}, clinical=..., settings=...)`, T0 alone suffices; see PrognosisLib.logic."""

    system = SYSTEMS["hepato"]

    def getParameterNode(self) -> HepatoPrognosisParameterNode:
        return HepatoPrognosisParameterNode(super().getParameterNode())

    def points(
        self,
        clinical: Mapping[str, Any],
        segmentationNode: Any = None,
        settings: Mapping[str, Any] | None = None,
    ) -> list[Measurement]:
        """The nomogram's points of clinical values, and of what a run read, as rows; no voxel is looked at.

        Args:
            segmentationNode: that of a run, which keeps what the network read; None tells the clinical values alone.

        Raises:
            InputError: a clinical value or a setting cannot be used, or the model bundle is not there.
        """
        from HepatoPrognosisLib.measuring.evidence import PairEvidence
        from HepatoPrognosisLib.measuring.outlook import Patient
        from HepatoPrognosisLib.measuring.points import points_rows
        from PrognosisLib.clinical import check_clinical

        values = check_clinical(clinical, self.system.clinical_fields)
        evidence = PairEvidence.from_text(scene.readEvidence(segmentationNode, self.system.segments[0]))
        days = self.checkSettings(settings or {})["mortality_days"]
        return points_rows(Patient.of(values, evidence), self.pipeline.readout, days)


class HepatoPrognosisWidget(SystemWidget):
    """The panel: Resources/UI/HepatoPrognosis.ui between the shared sections, with a player for each image."""

    logicClass = HepatoPrognosisLogic

    def setup(self) -> None:
        from PrognosisLib.panel.player import Player

        self.pair = scene.SideBySide()
        self.players: dict[str, Any] = {}
        super().setup()
        ui = self.ui
        for role in ROLES:
            parts = ("Widget", "PlayWidget", "SeekWidget", "TimeLabel")
            self.players[role] = Player(*(getattr(ui, f"{role}{part}") for part in parts))
            getattr(ui, f"{role}FrameButton").connect("clicked()", lambda role=role: self.onUseFrame(role))
        ui.pairButton.connect("toggled(bool)", self.onPair)
        self._followImages()

    def cleanup(self) -> None:
        self.pair.hide()
        for player in self.players.values():
            player.close()
        super().cleanup()

    def onSceneStartClose(self, caller=None, event=None) -> None:
        self.ui.pairButton.checked = False  # views and layout outlive the scene
        super().onSceneStartClose(caller, event)

    def setParameterNode(self, node: Any) -> None:
        super().setParameterNode(node)
        self._followImages()

    def _onParametersModified(self, caller=None, event=None) -> None:
        super()._onParametersModified(caller, event)
        self._followImages()

    def _checkCanApply(self) -> None:
        super()._checkCanApply()
        self.ui.framesSection.enabled = not self.runControl.isBusy

    def playedVolume(self) -> Any:
        """None: each image has a player of its own."""
        return None

    def settings(self) -> dict[str, Any]:
        node = self.parameterNode
        return {
            **super().settings(),
            "mortality_days": node.mortalityDays,
            "frame_t0": float(node.frameT0) if node.frameT0 else None,
            "frame_t1": float(node.frameT1) if node.frameT1 else None,
        }

    def patientText(self, clinical: Mapping[str, Any]) -> str:
        """The nomogram, which follows every value that is entered."""
        from PrognosisLib.panel.nomogram import nomogramText

        node = self.parameterNode
        if node is None or not (clinical or node.segmentation):
            return ""
        try:
            return nomogramText(self.logic.points(clinical, node.segmentation, self.settings()))
        except InputError:  # said where it is in the way
            return ""

    # Both images

    def _followImages(self) -> None:
        """Players, frame numbers and views keep up with the images that are chosen."""
        volumes = {} if self.parameterNode is None else self.volumes()
        for role, player in self.players.items():
            player.setVolume(volumes.get(role))
        if not self.players:
            return
        self.ui.framesSection.visible = any(player.browser is not None for player in self.players.values())
        self.ui.pairButton.enabled = len(volumes) == len(ROLES)
        if not self.ui.pairButton.enabled:
            self.ui.pairButton.checked = False
        elif self.ui.pairButton.checked:
            self.pair.show([volumes[role] for role in ROLES])

    def onPair(self, shown: bool) -> None:
        """Shows T0 and T1 beside each other; unchecked, what was there before comes back."""
        if shown:
            self.pair.show([self.volumes()[role] for role in ROLES])
        else:
            self.pair.hide()

    def onUseFrame(self, role: str) -> None:
        """The frame that is shown is the one to read."""
        browser = self.players[role].browser
        if browser is not None:
            setattr(self.parameterNode, f"frame{role.upper()}", browser.GetSelectedItemNumber() + 1)

    def _onRunDone(self, result: Result) -> None:
        super()._onRunDone(result)
        volumes = self.volumes()
        for mask in result.findings.masks:
            scene.jumpTo(mask.middle_ras, volumes[mask.role or ROLES[0]])


class HepatoPrognosisTest(ScriptedLoadableModuleTest):
    """Self test: a simulated patient from images to table, T0 alone, an edit of T1, and one image given twice."""

    def setUp(self) -> None:
        slicer.mrmlScene.Clear(0)

    def loadDemo(self) -> tuple[HepatoPrognosisLogic, dict[str, Any]]:
        """Logic and the images of the simulated patient by role; skips where the network cannot run."""
        from PrognosisLib.panel.dependencies import missingPackages
        from PrognosisLib.panel.sample_data import loadDemo

        logic = HepatoPrognosisLogic()
        missing = missingPackages()
        if missing:
            raise unittest.SkipTest(f"not installed: {', '.join(missing)}")
        if not (logic.currentBundle / "configs" / "metadata.json").is_file():
            raise unittest.SkipTest("the model bundle is not there; train it first")
        return logic, dict(zip(ROLES, loadDemo(logic), strict=True))

    def test_fromImagesToTable(self) -> None:
        from HepatoPrognosisLib.demo import CLINICAL
        from HepatoPrognosisLib.labels import MODELS

        logic, nodes = self.loadDemo()
        both = logic.process(nodes, CLINICAL).findings
        alone = logic.process(nodes["t0"], CLINICAL).findings
        for name in MODELS:
            for found in (both, alone):
                row = found.measurement(f"{name}_mortality")
                assert 0.0 <= row.interval.lower <= row.value <= row.interval.upper <= 100.0, row
        assert both.value("area_change") is not None
        assert alone.value("area_change") is None

    def test_editedT1(self) -> None:
        logic, nodes = self.loadDemo()
        result = logic.process(nodes)
        segmentation = result.nodes.others["t1"]
        segmentID = scene.findSegmentID(segmentation, "Liver at T1")
        array = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segmentID, nodes["t1"])
        half = array.copy()
        half[:, : round(array.nonzero()[1].mean())] = 0
        slicer.util.updateSegmentBinaryLabelmapFromArray(half, segmentation, segmentID, nodes["t1"])
        again = logic.measure(nodes, result.nodes.segmentation)
        share = again.findings.value("liver_area_t1") / result.findings.value("liver_area_t1")
        assert abs(share - half.sum() / array.sum()) < 0.01, share
        assert again.findings.value("siamese_score") == result.findings.value("siamese_score")

    def test_oneImageTwice(self) -> None:
        logic, nodes = self.loadDemo()
        with self.assertRaises(ValueError):
            logic.process({"t0": nodes["t0"], "t1": nodes["t0"]})
