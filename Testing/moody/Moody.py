"""The scripted module of MoodyLib, for tests: its logic, and no panel of its own."""

from __future__ import annotations

from MoodyLib import SYSTEM
from slicer.ScriptedLoadableModule import ScriptedLoadableModule

from PrognosisLib.logic import SystemLogic


class Moody(ScriptedLoadableModule):
    def __init__(self, parent) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = "Moody"


class MoodyLogic(SystemLogic):
    system = SYSTEM
