"""The Batch section of a real panel: running, cancelling, resuming and reviewing, without any dialog."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest

pytest.importorskip("slicer")
pytest.importorskip("PySide6")

from panel_kit import check_made_for_designer, texts_that_do_not_fit, without_tool_tip
from two_scans_cases import *  # noqa: F403
from two_scans_cases import LATER, SPOT, ml, scan

import host
from PrognosisLib import headless
from PrognosisLib.batch.review import Review
from PrognosisLib.cohort import write_rows
from PrognosisLib.images.writers import write_volume

FORM = Path(__file__).resolve().parents[3] / "PrognosisCore" / "Resources" / "UI" / "BatchSection.ui"


@pytest.fixture
def cohort(tmp_path: Path) -> Path:
    """Four cases, of which the third has no image."""
    folder = tmp_path / "cohort"
    folder.mkdir()
    write_volume(scan(SPOT), folder / "first.nii.gz")
    write_volume(scan(LATER), folder / "later.nii.gz")
    rows = [
        {"case": "a", "ct": "first.nii.gz", "followup": "later.nii.gz", "age": 40},
        {"case": "b", "ct": "later.nii.gz", "age": 85},
        {"case": "c", "ct": "lost.nii.gz"},
        {"case": "d", "ct": "first.nii.gz"},
    ]
    return write_rows(folder / "cohort.csv", rows)


@pytest.fixture
def panel(make_widget, module, host_scene, monkeypatch: pytest.MonkeyPatch):
    from PrognosisLib.panel import batch_section, dependencies

    monkeypatch.setattr(batch_section, "missingPackages", lambda: [])
    monkeypatch.setattr(dependencies, "missingPackages", lambda path=None: [])
    made = make_widget("TwoScans", str(module))
    made.ui.batchSection.collapsed = False
    return made


@pytest.fixture
def in_slicer(monkeypatch: pytest.MonkeyPatch):
    """Cases pass through the panel's own scene."""
    monkeypatch.setattr(headless, "isRunningInSlicer", lambda: True)


def choose(panel, cohort: Path, output: Path) -> None:
    panel.ui.batchCohortEdit.text = str(cohort)
    panel.ui.batchOutputEdit.text = str(output)


def finish(panel) -> None:
    host.pump(90, until=lambda: not panel.batch.isBusy)


def rows(output: Path) -> dict[str, dict[str, str]]:
    with (output / "results.csv").open(newline="", encoding="utf-8") as stream:
        return {row["case"]: row for row in csv.DictReader(stream)}


def test_a_batch_runs_to_its_end_and_is_reviewed(panel, cohort: Path, tmp_path: Path, in_slicer, host_scene):
    ui, out = panel.ui, tmp_path / "out"
    assert not ui.batchButton.enabled
    assert not ui.batchReviewWidget.visible
    choose(panel, cohort, out)
    assert (ui.batchButton.text, ui.batchButton.enabled) == ("Run batch", True)
    count = host_scene.GetNumberOfNodes()
    ui.batchButton.click()
    assert ui.batchButton.text == "Cancel batch"
    assert not ui.batchForm.enabled
    assert ui.applyButton.text != "Cancel"  # the patient in the panel is another matter
    finish(panel)
    assert ui.batchStatusLabel.text == f"4 cases: 3 done, 1 failed. The table is {out / 'results.csv'}."
    assert {case: row["status"] for case, row in rows(out).items()} == {
        "a": "done",
        "b": "done",
        "c": "failed",
        "d": "done",
    }
    assert float(rows(out)["b"]["bright"]) == pytest.approx(ml(LATER))
    assert host_scene.GetNumberOfNodes() == count
    assert panel.volumes() == {}

    assert ui.batchReviewWidget.visible
    assert "Case 1 of 3: a" in ui.batchCaseLabel.text
    assert not ui.batchPictureLabel.pixmap.isNull()
    assert (ui.batchPreviousButton.enabled, ui.batchNextButton.enabled) == (False, True)
    ui.batchCommentEdit.text = "leaks"
    ui.batchRejectButton.click()
    assert "Case 2 of 3: b" in ui.batchCaseLabel.text
    assert "The patient is old." in ui.batchCaseLabel.text
    assert Review.read(out).decisions == {"a": ("rejected", "leaks")}
    ui.batchAcceptButton.click()
    ui.batchAcceptButton.click()
    assert ui.batchCountsLabel.text.startswith("Accepted on review: 2 of 3 (66.7 %, 95 % interval ")
    ui.batchPreviousButton.click()
    ui.batchPreviousButton.click()
    assert "Case 1 of 3: a</b> (rejected)" in ui.batchCaseLabel.text
    assert ui.batchCommentEdit.text == "leaks"
    assert rows(out)["a"]["review"] == ""
    ui.batchSection.collapsed = True  # the review is left
    assert [row["review"] for row in rows(out).values()] == ["rejected", "accepted", "", "accepted"]
    assert host.dialogs() == []


def test_it_is_cancelled_and_goes_on(panel, cohort: Path, tmp_path: Path):
    ui, out = panel.ui, tmp_path / "out"
    choose(panel, cohort, out)
    ui.batchButton.click()
    host.pump(90, until=lambda: (out / "results.csv").exists() and bool(rows(out)))
    ui.batchButton.click()
    finish(panel)
    assert ui.batchStatusLabel.text == "Canceled. What had ended is kept; run the batch again to go on."
    first = list(rows(out))
    shutil.copy(cohort.parent / "first.nii.gz", cohort.parent / "lost.nii.gz")
    ui.batchButton.click()
    finish(panel)
    ui.batchRetryCheckBox.checked = True
    ui.batchButton.click()
    finish(panel)
    assert 1 <= len(first) <= 4
    assert {row["status"] for row in rows(out).values()} == {"done"}
    assert "4 cases: 4 done, 0 failed" in ui.batchStatusLabel.text
    assert host.dialogs() == []


def test_what_is_wrong_is_said_without_a_dialog(panel, cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    ui = panel.ui
    choose(panel, tmp_path / "nothing.csv", tmp_path / "out")
    ui.batchButton.click()
    finish(panel)
    assert "There is no cohort file" in ui.batchStatusLabel.text
    (tmp_path / "file").write_text("mine")
    choose(panel, cohort, tmp_path / "file")
    ui.batchButton.click()
    assert not panel.batch.isBusy
    assert "is a file; name a folder" in ui.batchStatusLabel.text
    from PrognosisLib.panel import batch_section

    monkeypatch.setattr(batch_section, "missingPackages", lambda: ["onnxruntime"])
    ui.batchButton.click()
    assert "Not installed: onnxruntime. Press Apply once" in ui.batchStatusLabel.text
    assert host.dialogs() == []


def test_a_scene_that_is_closed_stops_the_batch_and_loses_nothing(panel, cohort, tmp_path: Path, in_slicer, host_scene):
    out = tmp_path / "out"
    choose(panel, cohort, out)
    panel.ui.batchButton.click()
    host.pump(90, until=lambda: (out / "results.csv").exists() and bool(rows(out)))
    host_scene.Clear(0)
    finish(panel)
    assert "The scene was closed, so the batch was stopped" in panel.ui.batchStatusLabel.text
    assert {row["status"] for row in rows(out).values()} == {"done"}
    panel.ui.batchButton.click()
    finish(panel)
    assert len(rows(out)) == 4


def test_a_panel_that_goes_away_ends_its_batch(panel, cohort: Path, tmp_path: Path):
    out = tmp_path / "out"
    choose(panel, cohort, out)
    panel.ui.batchButton.click()
    host.pump(90, until=lambda: (out / "batch.lock").exists())
    host.close(panel)  # fails where a process or timer is left
    assert not (out / "batch.lock").exists()


def test_folders_are_chosen_with_a_button(panel, tmp_path: Path):
    host.answer(str(tmp_path / "tree"), str(tmp_path / "c.csv"), str(tmp_path / "out"))
    panel.ui.batchFolderButton.click()
    assert panel.ui.batchCohortEdit.text == str(tmp_path / "tree")
    panel.ui.batchFileButton.click()
    assert panel.ui.batchCohortEdit.text == str(tmp_path / "c.csv")
    panel.ui.batchOutputButton.click()
    assert panel.ui.batchOutputEdit.text == str(tmp_path / "out")
    host.dialogs()


def test_the_form_is_sound(panel):
    check_made_for_designer(FORM)
    assert without_tool_tip(panel) == []
    assert texts_that_do_not_fit(panel) == []
