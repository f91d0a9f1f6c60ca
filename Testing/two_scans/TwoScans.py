"""TwoScans: a module for tests, with an optional second scan, places, evidence and a heat map."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.parameterNodeWrapper import parameterNodeWrapper
from slicer.ScriptedLoadableModule import ScriptedLoadableModule
from TwoScansLib import SYSTEM

from PrognosisLib.logic import SystemLogic
from PrognosisLib.panel import SystemParameters, SystemWidget


class TwoScans(ScriptedLoadableModule):
    def __init__(self, parent) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = "Two Scans"
        self.parent.categories = ["Testing"]
        self.parent.contributors = ["Prognosis developers"]


@parameterNodeWrapper
class TwoScansParameterNode(SystemParameters):
    ct: slicer.vtkMRMLScalarVolumeNode
    followup: slicer.vtkMRMLScalarVolumeNode


class TwoScansLogic(SystemLogic):
    system = SYSTEM

    def getParameterNode(self) -> TwoScansParameterNode:
        return TwoScansParameterNode(super().getParameterNode())


class TwoScansWidget(SystemWidget):
    logicClass = TwoScansLogic

    def settings(self) -> dict[str, Any]:
        return {}
