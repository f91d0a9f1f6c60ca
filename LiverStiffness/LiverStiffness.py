"""LiverStiffness: class of liver stiffness by MR elastography from plain abdominal MR, as a 3D Slicer module."""

from __future__ import annotations

import enum
import unittest
from typing import Annotated, Any

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleTest

from PrognosisLib.logic import SystemLogic
from PrognosisLib.panel import SystemParameters, SystemWidget
from PrognosisLib.systems import SYSTEMS


class LiverStiffness(ScriptedLoadableModule):
    """The module as Slicer lists it."""

    def __init__(self, parent) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Liver Stiffness")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Quantification")]
        self.parent.dependencies = ["PrognosisCore"]
        self.parent.contributors = ["Prognosis developers"]
        self.parent.helpText = (
            _(
                "Estimates from T2- and T1-weighted MR images of the abdomen without contrast how probable it is that "
                "MR elastography would find the liver stiff, segments liver and spleen, and shows FIB-4, APRI and the "
                "NAFLD fibrosis score beside it. Research and teaching, not for clinical use."
            )
            + self.getDefaultModuleDocumentationLink()
        )
        self.parent.acknowledgementText = _(
            "Reimplements the idea of Ali et al. (DeepLiverNet 2.0), Eur Radiol 2025, doi 10.1007/s00330-024-11312-3, "
            "without using the authors' code."
        )
        slicer.app.connect("startupCompleted()", self.registerSampleData)

    def registerSampleData(self) -> None:
        """Adds the simulated patient to the Sample Data module."""
        from PrognosisLib.panel.sample_data import registerDemo

        registerDemo("LiverStiffnessDemo", self.resourcePath("Icons/LiverStiffnessDemo.png"), LiverStiffnessLogic)


class Threshold(enum.Enum):
    """Stiffness that the summary is about, kPa; the values are those of the setting "decision_kpa"."""

    KPA_2_5 = 2.5
    KPA_3_0 = 3.0
    KPA_3_5 = 3.5
    KPA_4_0 = 4.0
    KPA_5_0 = 5.0

    def label(self) -> str:
        """What the combo box shows."""
        return f"{self.value:g} kPa or more"


@parameterNodeWrapper
class LiverStiffnessParameterNode(SystemParameters):
    """The panel's state, saved with the scene; see SystemParameters for what all systems share.

    Args:
        t2: the T2-weighted image; may be left out where there is a T1-weighted one.
        t1: the T1-weighted image of the same examination; may be left out where there is a T2-weighted one.
        decisionKPa: the threshold that the summary is about.
        sweF2KPa: a measured SWE stiffness from here on counts as stage F2, kPa.
        sweF3KPa: the same for stage F3, kPa.
    """

    t2: slicer.vtkMRMLScalarVolumeNode
    t1: slicer.vtkMRMLScalarVolumeNode
    decisionKPa: Threshold = Threshold.KPA_3_0
    sweF2KPa: Annotated[float, WithinRange(1.0, 75.0)] = 8.4
    sweF3KPa: Annotated[float, WithinRange(1.0, 75.0)] = 9.1


class LiverStiffnessLogic(SystemLogic):
    """`process({"t2": node, "t1": node}, clinical=..., settings=...)`, one of both suffices; see PrognosisLib.logic."""

    system = SYSTEMS["stiffness"]

    def getParameterNode(self) -> LiverStiffnessParameterNode:
        return LiverStiffnessParameterNode(super().getParameterNode())


class LiverStiffnessWidget(SystemWidget):
    """The panel: Resources/UI/LiverStiffness.ui between the shared sections."""

    logicClass = LiverStiffnessLogic

    def settings(self) -> dict[str, Any]:
        node = self.parameterNode
        return {
            **super().settings(),
            "decision_kpa": node.decisionKPa.value,
            "swe_f2_kpa": node.sweF2KPa,
            "swe_f3_kpa": node.sweF3KPa,
        }

    def missing(self) -> list[str]:
        node, texts = self.parameterNode, super().missing()
        if node is not None and node.sweF3KPa <= node.sweF2KPa:
            texts.append(_("Choose an SWE cut-off for F3 above that for F2."))
        return texts


class LiverStiffnessTest(ScriptedLoadableModuleTest):
    """Self test: a simulated patient from images to table, one image alone, an edit, and a blank image."""

    def setUp(self) -> None:
        slicer.mrmlScene.Clear(0)

    def loadDemo(self) -> tuple[LiverStiffnessLogic, dict[str, Any]]:
        """Logic and the images of the simulated patient by role; skips where the network cannot run."""
        from PrognosisLib.panel.dependencies import missingPackages
        from PrognosisLib.panel.sample_data import loadDemo

        logic = LiverStiffnessLogic()
        missing = missingPackages()
        if missing:
            raise unittest.SkipTest(f"not installed: {', '.join(missing)}")
        if not (logic.currentBundle / "configs" / "metadata.json").is_file():
            raise unittest.SkipTest("the model bundle is not there; train it first")
        return logic, dict(zip(("t2", "t1"), loadDemo(logic), strict=True))

    def test_fromImagesToTable(self) -> None:
        from LiverStiffnessLib.demo import CLINICAL
        from LiverStiffnessLib.measuring.readout import PROBABILITIES

        logic, nodes = self.loadDemo()
        result = logic.process(nodes, CLINICAL)
        chances = [result.findings.value(key) for key in PROBABILITIES]
        assert chances == sorted(chances, reverse=True), chances
        assert 0.0 <= chances[-1] <= chances[0] <= 100.0, chances
        assert 300.0 < result.findings.value("liver_volume") < 4000.0
        for role in ("t2", "t1"):
            alone = logic.process({role: nodes[role]}, CLINICAL)
            assert alone.findings.value(PROBABILITIES[1]) is not None

    def test_editedSegmentation(self) -> None:
        logic, nodes = self.loadDemo()
        result = logic.process(nodes)
        segmentation, image = result.nodes.segmentation, nodes["t2"]
        segmentID = segmentation.GetSegmentation().GetSegmentIdBySegmentName("Liver")
        array = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segmentID, image)
        half = array.copy()
        half[: round(array.nonzero()[0].mean())] = 0
        slicer.util.updateSegmentBinaryLabelmapFromArray(half, segmentation, segmentID, image)
        again = logic.measure(nodes, segmentation)
        share = again.findings.value("liver_volume") / result.findings.value("liver_volume")
        assert abs(share - half.sum() / array.sum()) < 0.001, share

    def test_blankImage(self) -> None:
        logic, nodes = self.loadDemo()
        array = slicer.util.arrayFromVolume(nodes["t2"])
        array[:] = array.min()
        slicer.util.arrayFromVolumeModified(nodes["t2"])
        with self.assertRaises(ValueError):
            logic.process(nodes)
