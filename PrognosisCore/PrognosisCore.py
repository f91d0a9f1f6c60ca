"""PrognosisCore: a hidden module that carries the shared library of the Prognosis modules."""

from __future__ import annotations

import qt
import slicer
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)


class PrognosisCore(ScriptedLoadableModule):
    """Hidden from the module list; `slicer.util.selectModule("PrognosisCore")` shows it."""

    def __init__(self, parent) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Prognosis Core")
        self.parent.categories = [""]
        self.parent.hidden = True
        self.parent.contributors = ["Prognosis developers"]
        self.parent.helpText = _(
            "Shared library of the Prognosis modules. Research and teaching, not for clinical use."
        )
        self.parent.acknowledgementText = _("Written from the published descriptions of the systems.")


class PrognosisCoreLogic(ScriptedLoadableModuleLogic):
    """What can be told of the models that ship with the modules."""

    def modelCards(self) -> dict[str, str]:
        """The model card (Markdown) of each system by module name, or why it cannot be read."""
        from PrognosisLib.errors import InputError
        from PrognosisLib.systems import SYSTEMS

        cards = {}
        for system in SYSTEMS.values():
            try:
                cards[system.module] = system.make_pipeline().bundle.card
            except (InputError, ImportError) as error:
                cards[system.module] = str(error)
        return cards


class PrognosisCoreWidget(ScriptedLoadableModuleWidget):
    """About the models."""

    def setup(self) -> None:
        ScriptedLoadableModuleWidget.setup(self)
        self.logic = PrognosisCoreLogic()
        self.browser = qt.QTextBrowser()
        self.browser.openExternalLinks = True
        self.browser.minimumHeight = 400
        self.browser.toolTip = _("The model cards of all Prognosis modules.")
        self.layout.addWidget(self.browser)

    def enter(self) -> None:
        parts = [f"# {module}\n\n{card}" for module, card in self.logic.modelCards().items()]
        self.browser.setMarkdown("\n\n---\n\n".join(parts))


class PrognosisCoreTest(ScriptedLoadableModuleTest):
    """Every system can be told about."""

    def setUp(self) -> None:
        slicer.mrmlScene.Clear(0)

    def test_modelCards(self) -> None:
        from PrognosisLib.systems import SYSTEMS

        cards = PrognosisCoreLogic().modelCards()
        assert set(cards) == {system.module for system in SYSTEMS.values()}
        assert all(cards.values())
