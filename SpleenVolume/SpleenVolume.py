"""SpleenVolume: fully automatic spleen volumetry on CT before TACE, as a 3D Slicer module."""

from __future__ import annotations

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleTest

from PrognosisLib.logic import SystemLogic
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


class SpleenVolumeLogic(SystemLogic):
    """`process(volumeNode, clinical=..., settings=...)` returns findings and nodes; see PrognosisLib.logic."""

    system = SYSTEMS["spleen"]


class SpleenVolumeTest(ScriptedLoadableModuleTest):
    """Self test: a simulated patient from image to table."""

    def setUp(self) -> None:
        slicer.mrmlScene.Clear(0)
