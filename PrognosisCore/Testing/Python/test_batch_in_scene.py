"""A batch in the application's own scene, as in Slicer: the user's nodes stay, and nothing of the cases is left."""

from __future__ import annotations

from pathlib import Path

import pytest

from PrognosisLib import headless

headless.start()

import slicer  # noqa: E402
from batch_fixtures import *  # noqa: E402, F403
from batch_fixtures import FILES, inline, journaled, table, write_cohort  # noqa: E402

from PrognosisLib.batch import BatchRun, start_batch, wait  # noqa: E402
from PrognosisLib.batch.in_scene import ScenePool  # noqa: E402
from PrognosisLib.batch.runner import FULL_FILES  # noqa: E402
from PrognosisLib.errors import Cancelled, InputError  # noqa: E402
from PrognosisLib.systems import find_system  # noqa: E402


@pytest.fixture
def in_slicer(moody: Path, monkeypatch: pytest.MonkeyPatch):
    """The scene is the user's, as it is in Slicer; modules are loaded already."""
    slicer.mrmlScene.Clear(0)
    headless.loadModule("Moody")
    monkeypatch.setattr(headless, "isRunningInSlicer", lambda: True)
    yield
    monkeypatch.undo()
    slicer.mrmlScene.Clear(0)


def nodes() -> dict[str, str]:
    scene = slicer.mrmlScene
    found = [scene.GetNthNode(index) for index in range(scene.GetNumberOfNodes())]
    return {node.GetID(): node.GetName() for node in found}


def test_the_users_scene_is_as_it_was_and_the_rows_are_the_same(in_slicer, image: Path, tmp_path: Path, monkeypatch):
    ages = {"a": 50, "crash": 101, "b": 85, "no": 103, "senseless": 400}
    cohort, out = write_cohort(tmp_path / "cohort", image, ages), tmp_path / "out"
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Mine")
    before = nodes()
    during: set[str] = set()
    run = start_batch(find_system("moody"), cohort, out)
    while run.pollProcess() is None:
        scene = slicer.mrmlScene
        new = [scene.GetNodeByID(one) for one in nodes() if one not in before]
        during |= {node.GetName() for node in new}
        assert all(node.GetHideFromEditors() for node in new if node.IsA("vtkMRMLDisplayableNode"))
    assert nodes() == before
    assert "ct.nii.gz" in during
    assert {path.name for path in (out / "cases" / "a").iterdir()} == FILES
    monkeypatch.setattr(headless, "isRunningInSlicer", lambda: False)
    inline(cohort, tmp_path / "there")
    here, there = (
        {case: {**row, "seconds": ""} for case, row in table(folder).items()} for folder in (out, tmp_path / "there")
    )
    assert here == there


def test_no_scene_is_saved_that_holds_the_users_data(in_slicer, image: Path, tmp_path: Path):
    cohort = write_cohort(tmp_path / "cohort", image, {"a": 50})
    wait(BatchRun(find_system("moody"), cohort, tmp_path / "out", make_pool=ScenePool, files=FULL_FILES))
    names = {path.name for path in (tmp_path / "out" / "cases" / "a").iterdir()}
    assert names == FILES | {"report.html"}


def test_corrected_segmentations_are_measured(in_slicer, image: Path, tmp_path: Path):
    cohort, before = write_cohort(tmp_path / "cohort", image, {"a": 50}), nodes()
    system = find_system("moody")
    wait(start_batch(system, cohort, tmp_path / "out"))
    drawn = tmp_path / "out" / "cases" / "a" / "segmentation.seg.nrrd"
    again = write_cohort(tmp_path / "again", image, {"a": 101, "b": 3}, segmentation=[str(drawn), "nothing.seg.nrrd"])
    wait(start_batch(system, again, tmp_path / "second"))  # at 101 the network would crash
    rows = table(tmp_path / "second")
    assert rows["a"]["status"] == "done"
    assert float(rows["a"]["bright"]) == pytest.approx(float(table(tmp_path / "out")["a"]["bright"]))
    assert "There is no segmentation file" in rows["b"]["reason"]
    assert set(nodes()) <= set(before) | {one for one in nodes() if slicer.mrmlScene.GetNodeByID(one).IsSingleton()}


def test_it_can_be_cancelled_and_goes_on_elsewhere(in_slicer, image: Path, tmp_path: Path):
    cohort, out = write_cohort(tmp_path / "cohort", image, {"a": 20, "long": 104}), tmp_path / "out"
    before = set(nodes())
    run = start_batch(find_system("moody"), cohort, out)
    while len(journaled(out)) < 1:
        run.pollProcess()
    for _ in range(50):
        run.pollProcess()
    run.cancelProcess()
    with pytest.raises(Cancelled):
        wait(run)
    assert list(table(out)) == ["a"]
    assert {one for one in nodes() if not slicer.mrmlScene.GetNodeByID(one).IsSingleton()} <= before


def test_in_slicer_there_is_one_process(in_slicer, image: Path, tmp_path: Path):
    cohort = write_cohort(tmp_path / "cohort", image, {"a": 20})
    with pytest.raises(InputError, match="In Slicer cases are run one after the other"):
        start_batch(find_system("moody"), cohort, tmp_path / "out", jobs=2)
