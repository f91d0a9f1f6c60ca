"""What the panel tests of all systems share: a system with a test's pipeline, values of a panel, checks of forms."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from dataclasses import dataclass, fields
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import host
from PrognosisLib import systems

WIDTHS = (350, 400, 420, 500)
NEED_SCENE = ("qMRMLNodeComboBox", "qMRMLSequenceBrowserPlayWidget", "qMRMLSequenceBrowserSeekWidget")


@dataclass(frozen=True)
class StandInSystem(systems.System):
    """A system with another pipeline ("module:class") and the bundle at `bundle_path`."""

    stand_in: str = ""
    bundle_path: str = ""

    @property
    def pipeline_path(self) -> str:
        return self.stand_in

    def default_bundle(self) -> Path:
        return Path(self.bundle_path)

    def make_pipeline(self, bundle: Path | None = None) -> Any:
        module, name = self.stand_in.split(":")
        return getattr(import_module(module), name)(Path(bundle or self.default_bundle()))


def stand_in(monkeypatch: pytest.MonkeyPatch, name: str, pipeline: str, bundle: Path) -> None:
    """Until the test ends, a system runs another pipeline, and no Python package is missing."""
    from PrognosisLib.panel import dependencies, widget

    real = systems.SYSTEMS[name]
    known = {field.name: getattr(real, field.name) for field in fields(systems.System)}
    monkeypatch.setitem(systems.SYSTEMS, name, StandInSystem(**known, stand_in=pipeline, bundle_path=str(bundle)))
    monkeypatch.setattr(dependencies, "missingPackages", lambda path=None: [])
    assert widget.ensurePackages is dependencies.ensurePackages


def finish(panel: Any, seconds: float = 60.0) -> None:
    """Waits until the panel's run has ended."""
    host.pump(seconds, until=lambda: not panel.runControl.isBusy)


def value(panel: Any, key: str) -> Any:
    """A value of the results table."""
    from PrognosisLib import scene

    return scene.readTable(panel.parameterNode.resultsTable).value(key)


def editor(panel: Any, key: str, part: str = "Editor") -> Any:
    """The widget in which a clinical value is entered, or its "Unit"."""
    return next(one for one in panel.clinicalForm.editors if one.objectName == f"{key}{part}")


def texts_that_do_not_fit(panel: Any) -> list[str]:
    return [text for width in WIDTHS for text in host.clippedTexts(panel, width)]


def without_tool_tip(panel: Any) -> list[str]:
    """What takes the keyboard but does not say what it is for."""
    import qt

    found = []
    for child in panel.parent.findChildren(qt.QWidget):
        takes_keys = child.focusPolicy != qt.Qt.NoFocus and child.objectName and not child.objectName.startswith("qt_")
        if takes_keys and not child.toolTip:
            found.append(child.objectName)
    return found


def keyboard_order(panel: Any, wanted: Iterable[str]) -> list[str]:
    """Which of the named widgets Tab reaches, from the inputs on."""
    wanted, seen, widget = set(wanted), [], panel.ui.inputsSection
    for _step in range(400):
        name = widget.objectName or widget.parent().objectName
        if name in wanted and name not in seen:
            seen.append(name)
        widget = widget.nextInFocusChain()
    start = seen.index("inputsSection")
    return seen[start:] + seen[:start]


def check_made_for_designer(path: Path) -> None:
    """A form opens in Qt Designer, and all that needs the scene gets it."""
    root = ElementTree.parse(path).getroot()
    top = root.find("widget")
    assert top.get("class") == "qMRMLWidget"
    assert top.get("name") == root.findtext("class")
    used = {widget.get("class") for widget in root.iter("widget")}
    declared = {one.findtext("class") for one in root.iter("customwidget")}
    assert {name for name in used if name.startswith(("ctk", "qMRML"))} <= declared
    # A table view with a scene empties itself after every batch of scene changes, unless a view node feeds it.
    mrml = {w.get("name") for w in root.iter("widget") if w.get("class") in NEED_SCENE}
    wired = {c.findtext("receiver") for c in root.iter("connection") if c.findtext("slot").startswith("setMRMLScene")}
    assert mrml == wired


def accelerators(*paths: Path) -> dict[str, list[str]]:
    """The texts of forms by the key that Alt and a letter reach them with."""
    found: dict[str, list[str]] = {}
    for path in paths:
        for item in ElementTree.parse(path).getroot().iter("property"):
            before, mark, after = (item.findtext("string") or "").partition("&")
            if item.get("name") == "text" and mark:
                found.setdefault(after[0].lower(), []).append(before + after)
    return found


def bound_parameters(*paths: Path) -> set[str]:
    """The parameters that widgets of forms are bound to."""
    return {
        item.findtext("string")
        for path in paths
        for item in ElementTree.parse(path).getroot().iter("property")
        if item.get("name") == "SlicerParameterName"
    }
