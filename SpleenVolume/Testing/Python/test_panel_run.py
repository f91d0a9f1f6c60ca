"""A person runs SpleenVolume from its panel: pick, Apply, watch, cancel, and what can go wrong in between."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import types

import pytest

pytest.importorskip("slicer")
pytest.importorskip("PySide6")

from panel_cases import add_segmentation, add_volume, true_ml
from panel_fixtures import *  # noqa: F403
from panel_kit import finish, value

import host
from PrognosisLib.worker import shared_worker


def node_ids() -> set[str]:
    import slicer

    scene = slicer.mrmlScene
    return {scene.GetNthNode(number).GetID() for number in range(scene.GetNumberOfNodes())}


def start_slow(panel, name: str = "Slow CT"):
    node = add_volume(name)
    panel.ui.ctSelector.setCurrentNode(node)
    panel.ui.applyButton.click()
    host.pump(60, until=lambda: panel.ui.progressBar.value >= 20)
    return node


def test_apply_says_what_is_missing(a_panel):
    assert not a_panel.ui.applyButton.enabled
    assert a_panel.ui.applyButton.toolTip == "The CT is missing; choose a volume for it."


def test_the_volume_in_view_is_chosen_on_entering(a_panel, host_scene):
    import slicer

    assert a_panel.parameterNode.ct is None
    shown, newest = add_volume("Shown"), add_volume("Newest")
    slicer.util.selectModule("Volumes")
    slicer.util.selectModule("SpleenVolume")
    assert a_panel.parameterNode.ct is newest
    a_panel.ui.ctSelector.setCurrentNode(None)
    slicer.app.applicationLogic().GetSelectionNode().SetActiveVolumeID(shown.GetID())
    slicer.util.selectModule("Volumes")
    slicer.util.selectModule("SpleenVolume")
    assert a_panel.ui.ctSelector.currentNode() is shown
    assert a_panel.ui.applyButton.enabled


def test_a_run_from_volume_to_results(a_panel, a_volume_node, run_to_end):
    ui, node = a_panel.ui, a_panel.parameterNode
    ui.ctSelector.setCurrentNode(a_volume_node)
    run_to_end()
    assert value(a_panel, "spleen_volume") == pytest.approx(true_ml(), rel=0.05)
    assert f"{value(a_panel, 'spleen_volume'):.0f} mL" in ui.summaryLabel.text
    assert "simulated cohort" in ui.cohortLabel.text
    assert ui.cohortLabel.isVisible()
    assert ui.resultsTableView.model().rowCount() == node.resultsTable.GetTable().GetNumberOfRows() > 15
    assert node.segmentation.GetSegmentation().GetSegmentIdBySegmentName("Spleen")
    for button in (ui.show3DButton, ui.editButton, ui.plotButton, ui.exportButton, ui.reportButton):
        assert button.enabled, button.objectName
    assert not ui.progressBar.isVisible()


def test_progress_is_shown_and_cancel_is_quick(a_panel):
    ui = a_panel.ui
    start_slow(a_panel)
    before = node_ids()
    assert ui.applyButton.text == "Cancel"
    assert ui.progressBar.isVisible()
    assert not ui.inputsSection.enabled
    host.pump(20, until=lambda: " left" in ui.statusLabel.text)
    assert "Drawing the spleen's border, about" in ui.statusLabel.text
    began = time.monotonic()
    ui.applyButton.click()
    assert not ui.applyButton.enabled
    finish(a_panel, 10)
    assert time.monotonic() - began < 1.0
    assert ui.statusLabel.text == "Canceled; nothing was changed."
    assert ui.applyButton.enabled
    assert node_ids() == before


def test_cancel_stops_a_run_that_does_not_listen_and_the_next_one_works(a_panel, a_volume_node, run_to_end):
    node = add_volume("Deaf CT")
    a_panel.ui.ctSelector.setCurrentNode(node)
    a_panel.ui.applyButton.click()
    host.pump(60, until=lambda: a_panel.ui.progressBar.value >= 50)
    began = time.monotonic()
    a_panel.ui.applyButton.click()
    finish(a_panel, 10)
    assert time.monotonic() - began < 1.5
    a_panel.ui.ctSelector.setCurrentNode(a_volume_node)
    run_to_end()
    assert a_panel.parameterNode.resultsTable is not None


def test_a_second_apply_starts_nothing(a_panel):
    from PrognosisLib.runs import startDemo

    start_slow(a_panel)
    pid, run = shared_worker().pid, a_panel.runControl._run
    a_panel.runControl.start(lambda: startDemo(a_panel.logic), lambda result: None, "")
    a_panel.onDemo()
    assert a_panel.runControl._run is run
    assert shared_worker().pid == pid
    a_panel.onApply()  # the same button: cancels
    finish(a_panel, 10)


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")
def test_a_killed_worker_is_named_and_the_next_run_works(a_panel, a_volume_node, run_to_end):
    start_slow(a_panel)
    before = node_ids()
    os.kill(shared_worker().pid, signal.SIGKILL)
    finish(a_panel, 20)
    (dialog,) = host.dialogs()
    assert "killed" in dialog.text
    assert "memory" in dialog.text
    assert "killed" in a_panel.ui.statusLabel.text
    assert node_ids() == before
    a_panel.ui.ctSelector.setCurrentNode(a_volume_node)
    run_to_end()
    assert value(a_panel, "spleen_volume") == pytest.approx(true_ml(), rel=0.05)


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")
def test_a_worker_killed_between_runs_is_replaced(a_panel, a_volume_node, run_to_end):
    a_panel.ui.ctSelector.setCurrentNode(a_volume_node)
    run_to_end()
    first = a_panel.parameterNode.resultsTable.GetID()
    os.kill(shared_worker().pid, signal.SIGKILL)
    time.sleep(0.2)
    run_to_end()
    assert a_panel.parameterNode.resultsTable.GetID() == first
    assert host.dialogs() == []


def test_an_unfit_volume_is_refused_in_words(a_panel, host_scene, run_to_end):
    import numpy as np
    import slicer

    node = slicer.util.addVolumeFromArray(np.random.default_rng(0).integers(0, 255, (20, 30, 30), np.int16), name="MR")
    a_panel.ui.ctSelector.setCurrentNode(node)
    before = node_ids()
    run_to_end()
    (dialog,) = host.dialogs()
    assert "'MR' has values from 0 to 254" in dialog.text
    assert node_ids() == before


def test_no_spleen_is_a_flag_and_not_a_table_of_nonsense(a_panel, host_scene, run_to_end):
    a_panel.ui.ctSelector.setCurrentNode(add_volume("Chest", spleen=False))
    run_to_end()
    assert "No spleen was found" in a_panel.ui.summaryLabel.text
    texts = [child.text for child in a_panel.ui.flagsWidget.children() if child.className() == "QLabel"]
    assert any(text.startswith("No spleen found") for text in texts)
    assert value(a_panel, "spleen_volume") is None


def test_closing_the_scene_during_a_run_is_safe(a_panel, host_scene):
    start_slow(a_panel)
    host_scene.Clear(0)
    finish(a_panel, 10)
    assert a_panel.ui.statusLabel.text == "The scene was closed, so the run was stopped."
    assert a_panel.ui.summaryLabel.text == "No results yet."
    assert not a_panel.ui.applyButton.enabled


def test_deleting_the_volume_during_a_run_stops_it(a_panel, host_scene):
    node = start_slow(a_panel)
    host_scene.RemoveNode(node)
    finish(a_panel, 10)
    assert "removed" in a_panel.ui.statusLabel.text
    assert host.dialogs() == []


def test_deleting_old_results_during_a_run_makes_new_ones(a_panel, a_volume_node, run_to_end, host_scene):
    a_panel.ui.ctSelector.setCurrentNode(a_volume_node)
    run_to_end()
    a_panel.ui.applyButton.click()
    host_scene.RemoveNode(a_panel.parameterNode.segmentation)
    host_scene.RemoveNode(a_panel.parameterNode.resultsTable)
    finish(a_panel)
    assert a_panel.parameterNode.segmentation is not None
    assert value(a_panel, "spleen_volume") == pytest.approx(true_ml(), rel=0.05)


def test_the_users_layout_and_colors_stay(a_panel, a_volume_node, run_to_end):
    import slicer

    manager = slicer.app.layoutManager()
    layout, view = manager.layout, slicer.util.getNodesByClass("vtkMRMLViewNode")
    colors = [node.GetBackgroundColor() for node in view]
    a_panel.ui.ctSelector.setCurrentNode(a_volume_node)
    run_to_end()
    assert manager.layout == layout
    assert [node.GetBackgroundColor() for node in view] == colors
    a_panel.ui.plotButton.click()
    assert manager.layout != layout
    assert manager.plotViewCount >= 1
    a_panel.ui.plotButton.click()
    assert manager.layout == layout


def test_measuring_a_segmentation_runs_no_network(a_panel, a_volume_node):
    ui = a_panel.ui
    ui.ctSelector.setCurrentNode(a_volume_node)
    ui.existingSelector.setCurrentNode(add_segmentation(a_volume_node))
    assert ui.applyButton.text.replace("&", "") == "Measure segmentation"
    shared_worker().close()
    ui.applyButton.click()
    assert shared_worker().pid is None
    assert value(a_panel, "spleen_volume") == pytest.approx(true_ml(), rel=0.05)
    assert a_panel.parameterNode.segmentation.GetName() == "Drawn"


@pytest.fixture
def installer(monkeypatch, request):
    """Two packages are missing; `request.param` says whether Slicer has slicer.packaging.pip_ensure (5.12) or not."""
    import slicer

    from PrognosisLib.panel import dependencies

    lacking = ["onnxruntime>=1.17,<2", "Jinja2>=3.1,<4"]
    missing, installed = list(lacking), []

    def install(text: str) -> None:
        installed.append(text)
        missing.clear()

    def pip_ensure(names: list[str], requester: str) -> None:
        if not slicer.util.confirmYesNoDisplay(f"{requester}: {names}"):
            raise RuntimeError("User declined package installation")
        install(" ".join(names))

    module = types.ModuleType("slicer.packaging")
    if request.param == "pip_ensure":
        module.pip_ensure = pip_ensure
    monkeypatch.setitem(sys.modules, "slicer.packaging", module)
    monkeypatch.setattr(slicer, "packaging", module, raising=False)
    monkeypatch.setattr(slicer.util, "pip_install", install)
    monkeypatch.setattr(dependencies, "missingPackages", lambda path=None: list(missing))
    return types.SimpleNamespace(installed=installed, wanted=[" ".join(lacking)], install=install)


both_ways = pytest.mark.parametrize("installer", ["pip_ensure", "pip_install"], indirect=True)


@both_ways
def test_declining_the_installation_leaves_measuring(a_panel, a_volume_node, installer):
    a_panel.ui.ctSelector.setCurrentNode(a_volume_node)
    host.answer("no")
    a_panel.ui.applyButton.click()
    (question,) = host.dialogs()
    assert "onnxruntime>=1.17,<2" in question.text
    assert not a_panel.runControl.isBusy
    assert installer.installed == []
    assert a_panel.ui.statusLabel.text.startswith("Not installed: onnxruntime")
    a_panel.ui.existingSelector.setCurrentNode(add_segmentation(a_volume_node))
    a_panel.ui.applyButton.click()
    assert value(a_panel, "spleen_volume") == pytest.approx(true_ml(), rel=0.05)


@both_ways
def test_accepting_installs_what_is_missing_once(a_panel, a_volume_node, installer, run_to_end):
    a_panel.ui.ctSelector.setCurrentNode(a_volume_node)
    host.answer("yes")
    run_to_end()
    run_to_end()
    assert installer.installed == installer.wanted
    assert len(host.dialogs()) == 1


@pytest.mark.parametrize("installer", ["pip_install"], indirect=True)
def test_a_failed_installation_is_said(a_panel, a_volume_node, installer, monkeypatch):
    import slicer

    def fail(text: str) -> None:
        raise subprocess.CalledProcessError(1, "pip")

    monkeypatch.setattr(slicer.util, "pip_install", fail)
    a_panel.ui.ctSelector.setCurrentNode(a_volume_node)
    host.answer("yes")
    a_panel.ui.applyButton.click()
    assert "could not be installed" in a_panel.ui.statusLabel.text
    assert not a_panel.runControl.isBusy
    host.dialogs()


def test_the_requirements_are_ranges_without_torch():
    from packaging.requirements import Requirement

    from PrognosisLib.panel import dependencies

    lines = [line for line in dependencies.REQUIREMENTS.read_text().splitlines() if not line.startswith("#")]
    requirements = [Requirement(line) for line in lines]
    assert "torch" not in {one.name for one in requirements}
    assert all({">=", "<"} <= {part.operator for part in one.specifier} for one in requirements)
    assert dependencies.missingPackages() == []


def test_a_gpu_needs_the_pytorch_extension(a_panel, a_volume_node, monkeypatch):
    from PrognosisLib.panel import dependencies

    monkeypatch.setattr(dependencies, "find_spec", lambda name: None)
    a_panel.ui.ctSelector.setCurrentNode(a_volume_node)
    a_panel.ui.deviceComboBox.setCurrentText("GPU")
    a_panel.ui.applyButton.click()
    assert not a_panel.runControl.isBusy
    assert "PyTorch extension" in a_panel.ui.statusLabel.text
