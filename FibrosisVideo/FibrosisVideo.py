"""FibrosisVideo: significant liver fibrosis and its stage from an ultrasound cine, as a 3D Slicer module."""

from __future__ import annotations

import unittest
from typing import Annotated, Any

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import Decimals, WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleTest

from PrognosisLib.logic import SystemLogic
from PrognosisLib.panel import SystemParameters, SystemWidget
from PrognosisLib.systems import SYSTEMS


class FibrosisVideo(ScriptedLoadableModule):
    """The module as Slicer lists it."""

    def __init__(self, parent) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Fibrosis Video")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Quantification")]
        self.parent.dependencies = ["PrognosisCore", "Sequences"]
        self.parent.contributors = ["Prognosis developers"]
        self.parent.helpText = (
            _(
                "Estimates from an ultrasound cine of the liver how probable significant fibrosis (F2 or higher) and "
                "each stage are, draws the liver in every frame, shows where the network looked, and sets FIB-4, APRI "
                "and a measured stiffness beside it. Research and teaching, not for clinical use."
            )
            + self.getDefaultModuleDocumentationLink()
        )
        self.parent.acknowledgementText = _(
            "Reimplements the idea of the 3D network on ultrasound cines of doi 10.12464/j.issn.0253-9802.2026-0255, "
            "without the authors' code or data."
        )
        slicer.app.connect("startupCompleted()", self.registerSampleData)

    def registerSampleData(self) -> None:
        """Adds the simulated patient to the Sample Data module."""
        from PrognosisLib.panel.sample_data import registerDemo

        registerDemo("FibrosisVideoDemo", self.resourcePath("Icons/FibrosisVideoDemo.png"), FibrosisVideoLogic)


@parameterNodeWrapper
class FibrosisVideoParameterNode(SystemParameters):
    """The panel's state, saved with the scene; see SystemParameters for what all systems share.

    Args:
        cine: the volume that shows the film's frames, gray or color (its sequence browser plays it), or one whose
            slices are the frames.
        heatMap: make the Grad-CAM.
        decisionPercent: probability of F2 or higher from which on the answer is yes; 0 for the model's own.
        sweF2KPa: a measured SWE stiffness from here on counts as stage F2, kPa.
        sweF3KPa: the same for stage F3, kPa.
    """

    cine: slicer.vtkMRMLScalarVolumeNode
    heatMap: bool = True
    decisionPercent: Annotated[float, WithinRange(0.0, 99.0), Decimals(0)] = 0.0
    sweF2KPa: Annotated[float, WithinRange(1.0, 75.0)] = 8.4
    sweF3KPa: Annotated[float, WithinRange(1.0, 75.0)] = 9.1


class FibrosisVideoLogic(SystemLogic):
    """`process(node, clinical=..., settings=...)` with any node that `scene.toCine` takes; see PrognosisLib.logic."""

    system = SYSTEMS["fibrosis"]

    def getParameterNode(self) -> FibrosisVideoParameterNode:
        return FibrosisVideoParameterNode(super().getParameterNode())


class FibrosisVideoWidget(SystemWidget):
    """The panel: Resources/UI/FibrosisVideo.ui between the shared sections, with a player for the cine."""

    logicClass = FibrosisVideoLogic

    def settings(self) -> dict[str, Any]:
        node = self.parameterNode
        return {
            **super().settings(),
            "heat_map": node.heatMap,
            "decision_percent": node.decisionPercent or None,
            "swe_f2_kpa": node.sweF2KPa,
            "swe_f3_kpa": node.sweF3KPa,
        }

    def missing(self) -> list[str]:
        node, texts = self.parameterNode, super().missing()
        if node is not None and node.sweF3KPa <= node.sweF2KPa:
            texts.append(_("Choose an SWE cut-off for F3 above that for F2."))
        return texts


class FibrosisVideoTest(ScriptedLoadableModuleTest):
    """Self test: a simulated patient from cine to table, an edit of one frame, and a cine that stands still."""

    def setUp(self) -> None:
        slicer.mrmlScene.Clear(0)

    def loadDemo(self) -> tuple[FibrosisVideoLogic, Any]:
        """Logic and the volume that shows the simulated cine; skips where the networks cannot run."""
        from PrognosisLib.panel.dependencies import missingPackages
        from PrognosisLib.panel.sample_data import loadDemo

        logic = FibrosisVideoLogic()
        missing = missingPackages()
        if missing:
            raise unittest.SkipTest(f"not installed: {', '.join(missing)}")
        if not (logic.currentBundle / "configs" / "metadata.json").is_file():
            raise unittest.SkipTest("the model bundle is not there; train it first")
        return logic, loadDemo(logic)[0]

    def test_fromCineToTable(self) -> None:
        from FibrosisVideoLib.demo import CLINICAL
        from FibrosisVideoLib.labels import STAGES

        logic, node = self.loadDemo()
        found = logic.process(node, CLINICAL).findings
        stages = [found.value(f"stage_{stage.lower()}") for stage in STAGES]
        assert abs(sum(stages) - 100.0) < 0.01, stages
        assert abs(sum(stages[2:]) - found.value("significant_fibrosis")) < 0.01, stages
        assert found.value("usable_frames") > 0
        assert found.value("liver_frames") > 50.0

    def test_editedFrame(self) -> None:
        from PrognosisLib import scene

        logic, node = self.loadDemo()
        result = logic.process(node)
        segmentation, browser = result.nodes.segmentation, scene.filmOf(node).browser
        browser.SetSelectedItemNumber(browser.GetNumberOfItems() // 2)
        slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
        segmentID = segmentation.GetSegmentation().GetSegmentIdBySegmentName("Liver")
        array = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segmentID, node)
        slicer.util.updateSegmentBinaryLabelmapFromArray(0 * array, segmentation, segmentID, node)
        again = logic.measure(node, segmentation)
        assert again.findings.value("liver_frames") < result.findings.value("liver_frames")
        assert again.findings.value("significant_fibrosis") == result.findings.value("significant_fibrosis")

    def test_frozenCine(self) -> None:
        from PrognosisLib import scene
        from PrognosisLib.images.cine.cine import ArrayFrames, Cine

        logic, node = self.loadDemo()
        cine = scene.toCine(node)
        still = Cine(ArrayFrames([cine.frame(0)] * 30), cine.times_s[:30], cine.pixel_mm, name="Still")
        with self.assertRaises(ValueError):
            logic.process(scene.fromCine(still).volume)
