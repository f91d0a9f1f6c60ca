"""BrightFilm: a module for tests whose inputs are films; without a panel."""

from __future__ import annotations

from BrightFilmLib import SYSTEM
from slicer.ScriptedLoadableModule import ScriptedLoadableModule

from PrognosisLib.logic import SystemLogic


class BrightFilm(ScriptedLoadableModule):
    def __init__(self, parent) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = "Bright Film"
        self.parent.categories = ["Testing"]
        self.parent.contributors = ["Prognosis developers"]


class BrightFilmLogic(SystemLogic):
    system = SYSTEM
