"""The About section: which model bundle is in use, its card and license, and bundles of the user's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from ..bundles.store import import_bundle, list_bundles, own_bundles_folder, remove_bundle
from ..errors import InputError
from ..findings import SIMULATED
from ..logic import SystemLogic


def ownBundlesFolder() -> Path:
    return own_bundles_folder(Path(slicer.app.userSettings().fileName()).parent)


class BundleSection:
    """Chooses a bundle and shows what it is; the bundle is read only when the section is open.

    Args:
        ui: holds aboutSection and what is in it.
        logic: its pipeline holds the verified bundle in use.
        onChosen: called with the bundle's folder, or "" for the shipped one, when the person chose another.
        onError: called with the exception of an import or removal that failed.
    """

    def __init__(
        self, ui: Any, logic: SystemLogic, onChosen: Callable[[str], None], onError: Callable[[Exception], None]
    ) -> None:
        self._ui, self._logic, self._onChosen, self._onError = ui, logic, onChosen, onError
        self._paths = [""]
        self._shown: str | None = None
        self._isSetting = False
        ui.bundleComboBox.connect("currentIndexChanged(int)", self._onIndex)
        ui.importBundleButton.connect("clicked()", self._onImport)
        ui.removeBundleButton.connect("clicked()", self._onRemove)
        ui.aboutSection.connect("contentsCollapsed(bool)", lambda collapsed: None if collapsed else self._describe())
        self._list("")

    def setBundle(self, path: str) -> None:
        """Shows the bundle that the parameter node names; one that is not here any more counts as chosen but lost."""
        if path != self._paths[max(0, self._ui.bundleComboBox.currentIndex)]:
            self._list(path)

    def _list(self, chosen: str) -> None:
        own = list_bundles(ownBundlesFolder(), self._logic.system.name)
        labels = {"": _("Shipped with the module")}
        labels |= {str(one.path): (one.problem and one.path.name) or f"{one.name} {one.version}" for one in own}
        if chosen not in labels:
            labels[chosen] = _("{name} (not found)").format(name=Path(chosen).name)
        self._paths = list(labels)
        self._isSetting = True
        self._ui.bundleComboBox.clear()
        for label in labels.values():
            self._ui.bundleComboBox.addItem(label)
        self._ui.bundleComboBox.currentIndex = self._paths.index(chosen)
        self._isSetting = False
        self._ui.removeBundleButton.enabled = chosen != ""
        self._shown = None
        if not self._ui.aboutSection.collapsed:
            self._describe()

    def _onIndex(self, index: int) -> None:
        if self._isSetting or index < 0:
            return
        self._onChosen(self._paths[index])
        self._list(self._paths[index])

    def _describe(self) -> None:
        """Verifies the bundle and shows card, data license and license."""
        path = str(self._logic.currentBundle)
        if path == self._shown:
            return
        self._shown = path
        try:
            bundle = self._logic.pipeline.bundle
            dataLicense = bundle.file("docs/data_license.txt").read_text(encoding="utf-8")
            license_ = bundle.file("LICENSE").read_text(encoding="utf-8")
        except InputError as error:
            self._ui.modelNoticeLabel.text = str(error)
            self._ui.cardBrowser.setPlainText("")
            return
        notice = _("Research and teaching, not for clinical use.")
        if bundle.is_simulated:
            notice = _("Parts of this model were trained on a {simulated}. {notice}").format(
                simulated=SIMULATED, notice=notice
            )
        self._ui.modelNoticeLabel.text = notice
        parts = [bundle.card, _("## Data license"), dataLicense, _("## License"), f"```\n{license_}\n```"]
        self._ui.cardBrowser.setMarkdown("\n\n".join(parts))

    def _onImport(self) -> None:
        kinds = _("Model bundles (*.zip);;Metadata of an unpacked bundle (metadata.json)")
        chosen = qt.QFileDialog.getOpenFileName(None, _("Import a model bundle"), "", kinds)
        if not chosen:
            return
        source = Path(chosen)
        if source.name == "metadata.json":  # configs/metadata.json of an unpacked bundle
            source = source.parents[1]
        try:
            bundle = import_bundle(source, ownBundlesFolder(), self._logic.system.load_bundle)
        except (InputError, OSError) as error:
            self._onError(error)
            return
        self._onChosen(str(bundle.path))
        self._list(str(bundle.path))

    def _onRemove(self) -> None:
        path = self._paths[self._ui.bundleComboBox.currentIndex]
        question = _("Delete the imported model '{name}' from this computer?").format(name=Path(path).name)
        if not path or not slicer.util.confirmYesNoDisplay(question):
            return
        try:
            if Path(path).is_dir():
                remove_bundle(Path(path), ownBundlesFolder())
        except (InputError, OSError) as error:
            self._onError(error)
            return
        self._onChosen("")
        self._list("")
