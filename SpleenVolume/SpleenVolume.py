"""SpleenVolume: fully automatic spleen volumetry on CT before TACE, as a 3D Slicer module."""

from __future__ import annotations

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


class SpleenVolume(ScriptedLoadableModule):
    """The module as Slicer lists it."""

    def __init__(self, parent) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Spleen Volume")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Quantification")]
        self.parent.dependencies = ["PrognosisCore"]
        self.parent.contributors = ["Prognosis developers"]
        self.parent.helpText = (
            _(
                "Segments the spleen on CT, measures its volume and the published 2D surrogates, and shows risk groups "
                "and clinical scores before TACE. Research and teaching, not for clinical use."
            )
            + self.getDefaultModuleDocumentationLink()
        )
        self.parent.acknowledgementText = _(
            "Reimplements the idea of Mueller et al., Eur Radiol 2022;32:6302-6313, doi 10.1007/s00330-022-08737-z. "
            "The networks were trained on the BTCV set (Synapse syn3193805) and on simulated CT."
        )
        slicer.app.connect("startupCompleted()", self.registerSampleData)

    def registerSampleData(self) -> None:
        """Adds the simulated patient to the Sample Data module."""
        from PrognosisLib.panel.sample_data import registerDemo

        registerDemo("SpleenVolumeDemo", self.resourcePath("Icons/SpleenVolumeDemo.png"), SpleenVolumeLogic)


@parameterNodeWrapper
class SpleenVolumeParameterNode(SystemParameters):
    """The panel's state, saved with the scene; see SystemParameters for what all systems share.

    Args:
        ct: the CT to segment and measure.
        useCutoff: sort into a high and a low group.
        cutoff: mL, used only with `useCutoff`. 532 mL is the median of Cancers 2022;14:3574, not a published cut-off.
    """

    ct: slicer.vtkMRMLScalarVolumeNode
    useCutoff: bool = False
    cutoff: Annotated[float, WithinRange(1.0, 5000.0)] = 532.0


class SpleenVolumeLogic(SystemLogic):
    """`process(volumeNode, clinical=..., settings=...)` returns findings and nodes; see PrognosisLib.logic."""

    system = SYSTEMS["spleen"]

    def getParameterNode(self) -> SpleenVolumeParameterNode:
        return SpleenVolumeParameterNode(super().getParameterNode())


class SpleenVolumeWidget(SystemWidget):
    """The panel: Resources/UI/SpleenVolume.ui between the shared sections."""

    logicClass = SpleenVolumeLogic

    def settings(self) -> dict[str, Any]:
        node = self.parameterNode
        return {**super().settings(), "cutoff_mL": node.cutoff if node.useCutoff else None}


class SpleenVolumeTest(ScriptedLoadableModuleTest):
    """Self test: a simulated patient from image to table, an edit, and a scan without a spleen."""

    def setUp(self) -> None:
        slicer.mrmlScene.Clear(0)

    def runDemo(self, **settings: Any) -> tuple[SpleenVolumeLogic, Any, Any]:
        """Logic, volume node and result of a small simulated patient; skips where the networks cannot run."""
        from PrognosisLib.panel.dependencies import missingPackages
        from PrognosisLib.panel.sample_data import loadDemo

        logic = SpleenVolumeLogic()
        missing = missingPackages()
        if missing:
            raise unittest.SkipTest(f"not installed: {', '.join(missing)}")
        if not (logic.currentBundle / "configs" / "metadata.json").is_file():
            raise unittest.SkipTest("the model bundle is not there; train it first")
        volumeNode = loadDemo(logic, {"max_size": 96})[0]
        return logic, volumeNode, logic.process(volumeNode, settings=settings)

    def test_fromImageToTable(self) -> None:
        _logic, _volumeNode, result = self.runDemo(cutoff_mL=532.0)
        size = result.findings.value("spleen_volume")
        assert 576.0 < size < 704.0, size
        assert result.findings.value("spleen_group") == "high"
        assert result.nodes.table.GetTable().GetValueByName(0, "value").ToDouble() == size
        assert result.nodes.plotCharts

    def test_editedSegmentation(self) -> None:
        logic, volumeNode, result = self.runDemo()
        segmentation = result.nodes.segmentation
        segmentID = segmentation.GetSegmentation().GetSegmentIdBySegmentName("Spleen")
        array = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segmentID, volumeNode)
        half = array.copy()
        half[: array.nonzero()[0].mean().astype(int)] = 0
        slicer.util.updateSegmentBinaryLabelmapFromArray(half, segmentation, segmentID, volumeNode)
        again = logic.measure(volumeNode, segmentation)
        share = again.findings.value("spleen_volume") / result.findings.value("spleen_volume")
        assert abs(share - half.sum() / array.sum()) < 0.001, share

    def test_noSpleen(self) -> None:
        logic, volumeNode, _result = self.runDemo()
        array = slicer.util.arrayFromVolume(volumeNode)
        array[:] = array.min()
        slicer.util.arrayFromVolumeModified(volumeNode)
        with self.assertRaises(ValueError):
            logic.process(volumeNode)
