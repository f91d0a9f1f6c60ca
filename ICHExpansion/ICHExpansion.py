"""ICHExpansion: hematoma of intracerebral hemorrhage on head CT and its risk of expansion, as a 3D Slicer module."""

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


class ICHExpansion(ScriptedLoadableModule):
    """The module as Slicer lists it."""

    def __init__(self, parent) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("ICH Expansion")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Quantification")]
        self.parent.dependencies = ["PrognosisCore"]
        self.parent.contributors = ["Prognosis developers"]
        self.parent.helpText = (
            _(
                "Segments the hematoma of intracerebral hemorrhage on unenhanced head CT, measures its volume and the "
                "published signs, gives its risk of expansion, and compares it with a follow-up CT where there is one. "
                "Research and teaching, not for clinical use."
            )
            + self.getDefaultModuleDocumentationLink()
        )
        self.parent.acknowledgementText = _(
            "Reimplements the idea of a paper in Neuroradiology 2024, doi 10.1007/s00234-024-03298-y. The network was "
            "trained on PHE-SICH-CT-IDS (Ma et al., arXiv 2308.10521), on slices of BHSD (Wu et al., 2023; CT of the "
            "RSNA 2019 challenge) and on simulated CT. The terms of both sets are non-commercial, so the weights are "
            "for non-commercial use only."
        )
        slicer.app.connect("startupCompleted()", self.registerSampleData)

    def registerSampleData(self) -> None:
        """Adds the simulated patient to the Sample Data module."""
        from PrognosisLib.panel.sample_data import registerDemo

        registerDemo("ICHExpansionDemo", self.resourcePath("Icons/ICHExpansionDemo.png"), ICHExpansionLogic)


class Operator(enum.Enum):
    """How growth compares with a limit; the values are those of the setting "expansion_operator"."""

    OVER = ">"
    AT_LEAST = ">="

    def label(self) -> str:
        """What the combo box shows."""
        return {">": "growth over a limit (>)", ">=": "growth at or over a limit (≥)"}[self.value]


@parameterNodeWrapper
class ICHExpansionParameterNode(SystemParameters):
    """The panel's state, saved with the scene; see SystemParameters for what all systems share.

    Args:
        ct: the first CT, to segment and measure.
        followup: a later CT of the same patient; may be left out.
        operator: how growth compares with the limits.
        useAmount: growth by `amount` mL counts as expansion.
        usePercent: growth by `percent` of the first volume counts as expansion.
        useWindow: the images are 8-bit exports of a window of `windowWidth` around `windowLevel`, HU.
    """

    ct: slicer.vtkMRMLScalarVolumeNode
    followup: slicer.vtkMRMLScalarVolumeNode
    operator: Operator = Operator.OVER
    useAmount: bool = True
    amount: Annotated[float, WithinRange(0.1, 100.0)] = 6.0
    usePercent: bool = True
    percent: Annotated[float, WithinRange(1.0, 500.0)] = 33.0
    useWindow: bool = False
    windowWidth: Annotated[float, WithinRange(1.0, 4000.0)] = 80.0
    windowLevel: Annotated[float, WithinRange(-1000.0, 3000.0)] = 40.0


class ICHExpansionLogic(SystemLogic):
    """`process({"ct": node, "followup": node}, clinical=..., settings=...)`; see PrognosisLib.logic."""

    system = SYSTEMS["ich"]

    def getParameterNode(self) -> ICHExpansionParameterNode:
        return ICHExpansionParameterNode(super().getParameterNode())


class ICHExpansionWidget(SystemWidget):
    """The panel: Resources/UI/ICHExpansion.ui between the shared sections."""

    logicClass = ICHExpansionLogic

    def settings(self) -> dict[str, Any]:
        node = self.parameterNode
        return {
            **super().settings(),
            "expansion_ml": node.amount if node.useAmount else None,
            "expansion_percent": node.percent if node.usePercent else None,
            "expansion_operator": node.operator.value,
            "window_width": node.windowWidth if node.useWindow else None,
            "window_level": node.windowLevel if node.useWindow else None,
        }

    def missing(self) -> list[str]:
        node, texts = self.parameterNode, super().missing()
        if node is not None and not (node.useAmount or node.usePercent):
            texts.append(_("Choose a limit of expansion: an amount, a percentage or both."))
        return texts


class ICHExpansionTest(ScriptedLoadableModuleTest):
    """Self test: a simulated patient from image to table, an edit, and a blank image."""

    def setUp(self) -> None:
        slicer.mrmlScene.Clear(0)

    def runDemo(self) -> tuple[ICHExpansionLogic, Any, Any]:
        """Logic, node of the first CT and result of the simulated patient; skips where the network cannot run."""
        from ICHExpansionLib.demo import CLINICAL
        from PrognosisLib.panel.dependencies import missingPackages
        from PrognosisLib.panel.sample_data import loadDemo

        logic = ICHExpansionLogic()
        missing = missingPackages()
        if missing:
            raise unittest.SkipTest(f"not installed: {', '.join(missing)}")
        if not (logic.currentBundle / "configs" / "metadata.json").is_file():
            raise unittest.SkipTest("the model bundle is not there; train it first")
        first = loadDemo(logic, {"max_size": 128})[0]
        return logic, first, logic.process(first, CLINICAL)

    def test_fromImageToTable(self) -> None:
        from ICHExpansionLib.demo import FIRST_ML

        _logic, _first, result = self.runDemo()
        size = result.findings.value("hematoma_volume")
        assert 0.85 * FIRST_ML < size < 1.15 * FIRST_ML, size
        assert 0.0 < result.findings.value("integrated_expansion") < 100.0
        assert result.nodes.table.GetTable().GetValueByName(0, "value").ToDouble() == size

    def test_editedSegmentation(self) -> None:
        logic, first, result = self.runDemo()
        segmentation = result.nodes.segmentation
        segmentID = segmentation.GetSegmentation().GetSegmentIdBySegmentName("Hematoma")
        array = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segmentID, first)
        half = array.copy()
        half[: round(array.nonzero()[0].mean())] = 0
        slicer.util.updateSegmentBinaryLabelmapFromArray(half, segmentation, segmentID, first)
        again = logic.measure(first, segmentation)
        share = again.findings.value("hematoma_volume") / result.findings.value("hematoma_volume")
        assert abs(share - half.sum() / array.sum()) < 0.001, share

    def test_blankImage(self) -> None:
        logic, first, _result = self.runDemo()
        array = slicer.util.arrayFromVolume(first)
        array[:] = array.min()
        slicer.util.arrayFromVolumeModified(first)
        with self.assertRaises(ValueError):
            logic.process(first)
