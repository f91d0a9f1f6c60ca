"""The house test: the system that docs/adding-a-system.md builds, taken from the page, is small and works as others do.

Its files are written into an extension folder of their own; nothing of it is left in this process afterwards.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import cmake_lists
import numpy as np
import pytest

pytest.importorskip("slicer")
pytest.importorskip("PySide6")

from foreign_module import foreign_module

import host
from host.fixtures import *  # noqa: F403
from PrognosisLib import systems

PAGE = cmake_lists.ROOT / "docs" / "adding-a-system.md"
BLOCK = re.compile(r"^<!-- file: (\S+) -->\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MOST_LINES = 300
MOST_COLUMNS = 120


def blocks() -> dict[str, str]:
    """Content by file name, as the page has them."""
    return dict(BLOCK.findall(PAGE.read_text("utf-8")))


def python(*arguments: object, folder: Path) -> None:
    """A fresh interpreter in a folder that knows this repository's library."""
    environment = {**os.environ, "PYTHONPATH": str(cmake_lists.ROOT / "PrognosisCore")}
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def extension(tmp_path_factory) -> Path:
    """The page's files with the bundle that the page's command writes, and an icon."""
    from PySide6 import QtGui

    folder = tmp_path_factory.mktemp("LungAirExtension")
    for name, text in blocks().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    python("-m", "LungAirLib.packing", folder=folder / "LungAir")
    icon = QtGui.QImage(128, 128, QtGui.QImage.Format.Format_RGB32)
    icon.fill(QtGui.QColor("steelblue"))
    (folder / "LungAir/Resources/Icons").mkdir(parents=True)
    assert icon.save(str(folder / "LungAir/Resources/Icons/LungAir.png"))
    return folder


@pytest.fixture
def module_path(extension):
    """The module's folder on the import path, as Slicer has it; every trace of it goes after the test."""
    with foreign_module(extension / "LungAir") as folder:
        yield folder


@pytest.fixture
def a_panel(module_path, make_widget, monkeypatch):
    from PrognosisLib.panel import dependencies

    monkeypatch.setattr(dependencies, "missingPackages", lambda path=None: [])
    return make_widget("LungAir", module_path)


@pytest.fixture
def a_loaded_panel(a_panel):
    """The panel with the demo case chosen, as its button does it."""
    a_panel.ui.demoButton.click()
    wait_for_end(a_panel)
    assert a_panel.parameterNode.ct is not None
    return a_panel


def wait_for_end(panel, seconds: float = 60.0) -> None:
    host.pump(seconds, until=lambda: not panel.runControl.isBusy)


def value(panel, key: str) -> float:
    from PrognosisLib import scene

    return scene.readTable(panel.parameterNode.resultsTable).value(key)


def true_ml() -> float:
    from LungAirLib.demo import TRUE_ML

    return TRUE_ML


def lungs(panel) -> np.ndarray:
    import slicer

    node = panel.parameterNode.segmentation
    segment = node.GetSegmentation().GetSegmentIdBySegmentName("Lungs")
    return slicer.util.arrayFromSegmentBinaryLabelmap(node, segment, panel.parameterNode.ct)


def set_lungs(panel, array: np.ndarray) -> None:
    import slicer

    node = panel.parameterNode.segmentation
    segment = node.GetSegmentation().GetSegmentIdBySegmentName("Lungs")
    slicer.util.updateSegmentBinaryLabelmapFromArray(array, node, segment, panel.parameterNode.ct)


# --- the page ---------------------------------------------------------------------------------------------------------


def test_the_recipe_is_short():
    counts = {name: len(text.splitlines()) for name, text in blocks().items()}
    assert {"LungAir/LungAir.py", "LungAir/LungAirLib/pipeline.py", "LungAir/Resources/UI/LungAir.ui"} <= set(counts)
    assert sum(counts.values()) < MOST_LINES, counts
    wide = [name for name, text in blocks().items() if max(map(len, text.splitlines())) > MOST_COLUMNS]
    assert not wide


def test_the_python_files_are_clean(extension):
    sources = sorted((extension / "LungAir").rglob("*.py"))
    settings = cmake_lists.ROOT / "pyproject.toml"
    first_party = 'lint.isort.known-first-party = ["PrognosisLib", "LungAirLib"]'
    for command in (("check", "--config", first_party), ("format", "--check")):
        python("-m", "ruff", *command, "--config", settings, "--no-cache", *sources, folder=extension)


def test_every_file_is_listed_for_packaging(extension):
    assert cmake_lists.module_names(extension) == ["LungAir"]
    assert cmake_lists.listed_files("LungAir", extension) == cmake_lists.packaged_files("LungAir", extension)
    assert cmake_lists.write_lists("LungAir", extension) is False


# --- the panel --------------------------------------------------------------------------------------------------------


def test_a_run_from_the_demo_case_to_results(a_loaded_panel):
    ui = a_loaded_panel.ui
    shown: list[int] = []
    ui.progressBar.connect("valueChanged(int)", shown.append)
    ui.applyButton.click()
    assert ui.applyButton.text == "Cancel"
    assert ui.progressBar.isVisible()
    host.pump(60, until=lambda: not a_loaded_panel.runControl.isBusy)
    assert any(0 < value < ui.progressBar.maximum for value in shown), shown
    assert value(a_loaded_panel, "lung_volume") == pytest.approx(true_ml(), rel=0.02)
    assert value(a_loaded_panel, "lung_density") == pytest.approx(-860, abs=3)
    assert f"{value(a_loaded_panel, 'lung_volume'):.0f} mL" in ui.summaryLabel.text
    assert not ui.cohortLabel.isVisible()
    for button in (ui.show3DButton, ui.editButton, ui.plotButton, ui.exportButton, ui.reportButton):
        assert button.enabled, button.objectName
    ui.aboutSection.collapsed = False
    assert "Air inside the body" in ui.cardBrowser.toPlainText()
    assert host.clippedTexts(a_loaded_panel) == []


def test_an_edit_and_a_setting_are_followed(a_loaded_panel):
    a_loaded_panel.ui.applyButton.click()
    wait_for_end(a_loaded_panel)
    whole, before = value(a_loaded_panel, "lung_volume"), lungs(a_loaded_panel).copy()
    edited = before.copy()
    edited[: before.shape[0] // 2] = 0
    set_lungs(a_loaded_panel, edited)
    share = edited.sum() / before.sum()
    host.pump(5, until=lambda: value(a_loaded_panel, "lung_volume") == pytest.approx(share * whole, rel=1e-3))
    assert value(a_loaded_panel, "emphysema") == pytest.approx(0.0, abs=0.1)
    a_loaded_panel.ui.emphysemaSpinBox.value = -860
    host.pump(5, until=lambda: value(a_loaded_panel, "emphysema") == pytest.approx(50.0, abs=3.0))
    edited[:] = 1
    set_lungs(a_loaded_panel, edited)
    host.pump(5, until=lambda: "end of the scan" in _flags(a_loaded_panel))


def _flags(panel) -> str:
    import slicer

    return " ".join(label.text for label in slicer.util.findChildren(panel.ui.flagsWidget, className="QLabel") if label)


def test_cancel_changes_nothing(a_loaded_panel, host_scene):
    count = host_scene.GetNumberOfNodes()
    a_loaded_panel.ui.applyButton.click()
    a_loaded_panel.ui.applyButton.click()
    wait_for_end(a_loaded_panel, 5)
    assert a_loaded_panel.ui.statusLabel.text == "Canceled; nothing was changed."
    assert host_scene.GetNumberOfNodes() == count


def test_an_existing_segmentation_is_measured(a_loaded_panel):
    node = a_loaded_panel.parameterNode
    a_loaded_panel.ui.applyButton.click()
    wait_for_end(a_loaded_panel)
    node.existingSegmentation = node.segmentation
    assert a_loaded_panel.ui.applyButton.text == "&Measure segmentation"
    a_loaded_panel.ui.applyButton.click()
    assert value(a_loaded_panel, "lung_volume") == pytest.approx(true_ml(), rel=0.02)


def test_a_scan_without_lungs_is_told(a_loaded_panel):
    import slicer

    array = slicer.util.arrayFromVolume(a_loaded_panel.parameterNode.ct)
    array[(array < -500) & (np.abs(np.arange(array.shape[2]) - 49.5) < 44)] = 40
    slicer.util.arrayFromVolumeModified(a_loaded_panel.parameterNode.ct)
    a_loaded_panel.ui.applyButton.click()
    wait_for_end(a_loaded_panel)
    assert "No lungs were found" in a_loaded_panel.ui.summaryLabel.text
    assert "covers the chest" in _flags(a_loaded_panel)


def test_the_modules_own_test_runs(a_panel):
    import slicer

    slicer.selfTests["LungAir"]()
    assert "LungAirDemo" in {sample["sampleName"] for sample in host.registeredSamples()}


# --- the command line -------------------------------------------------------------------------------------------------


def test_the_command_line_finds_and_runs_it(extension, module_path, host_scene, tmp_path, capsys):
    from PrognosisLib import cli
    from PrognosisLib.images.writers import write_volume

    python("-c", "import setuptools; setuptools.setup()", "-q", "egg_info", "-e", tmp_path, folder=extension)
    sys.path.append(str(tmp_path))
    assert "lung" not in systems.SYSTEMS
    systems.import_installed()
    from LungAirLib.demo import demo_case

    write_volume(demo_case()[0]["ct"], tmp_path / "ct.nii.gz")
    output = tmp_path / "output"
    code = cli.main(["lung", "--ct", str(tmp_path / "ct.nii.gz"), "--emphysema-hu", "-860", "--output", str(output)])
    assert code == 0, capsys.readouterr().err
    names = {"scene.mrb", "segmentation.seg.nrrd", "results.csv", "provenance.json", "report.html"}
    assert {path.name for path in output.iterdir()} == names
    provenance = json.loads((output / "provenance.json").read_text("utf-8"))
    assert provenance["settings"] == {"emphysema_HU": -860.0}
    assert provenance["bundle"]["name"] == "LungAir threshold"
    assert "Lung volume" in (output / "results.csv").read_text("utf-8")
    assert cli.main(["simulate", "lung", "--output", str(output)]) == cli.BAD_INPUT
    assert "no simulation" in capsys.readouterr().err


def test_two_modules_cannot_share_a_name(module_path):
    from dataclasses import replace

    from PrognosisLib.errors import InputError

    with pytest.raises(InputError, match="SpleenVolume and LungAir"):
        systems.register(replace(systems.SYSTEMS["spleen"], module="LungAir"))
    assert systems.SYSTEMS["spleen"].module == "SpleenVolume"


def test_nothing_is_left_behind():
    assert not [name for name in sys.modules if name.startswith("LungAir")]
    assert not [place for place in sys.path if "LungAir" in place]
    assert "lung" not in systems.SYSTEMS
