"""A batch that goes on where another one ended: what runs again, what is refused, what is kept. One process."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from PrognosisLib import headless

headless.start()

from batch_fixtures import *  # noqa: E402, F403
from batch_fixtures import FILES, Inline, inline, journaled, table, write_cohort, write_moody_bundle  # noqa: E402

from PrognosisLib.batch.runner import FULL_FILES, BatchRun, wait  # noqa: E402
from PrognosisLib.errors import Cancelled, InputError  # noqa: E402
from PrognosisLib.systems import find_system  # noqa: E402


@pytest.fixture
def cohort(moody: Path, image: Path, tmp_path: Path) -> Path:
    return write_cohort(tmp_path / "cohort", image, {"a": 50, "b": 103, "c": 60})


def test_what_has_ended_is_not_run_again(cohort: Path, tmp_path: Path):
    out = tmp_path / "out"
    first = inline(cohort, out)
    assert (first.cases, first.done, first.failed, first.run) == (3, 2, 1, 3)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    again = inline(cohort, out)
    assert (again.cases, again.done, again.failed, again.run) == (3, 2, 1, 0)
    assert again.text == "3 cases: 2 done, 1 failed, 3 of them by earlier runs."
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_other_settings_and_other_models_are_refused(cohort: Path, tmp_path: Path):
    out = tmp_path / "out"
    inline(cohort, out)
    with pytest.raises(InputError, match=r"results of other settings \(seconds 0.0, now 0.01\)"):
        inline(cohort, out, {"seconds": 0.01})
    other = write_moody_bundle(tmp_path / "bundle", "2.0.0")
    with pytest.raises(InputError, match=r"results of another model \(version 1.0.0, now 2.0.0"):
        inline(cohort, out, bundle=other)
    assert inline(cohort, out, {"threads": 1}).run == 0  # how it is computed may change
    assert not (out / "batch.lock").exists()


def test_mended_cases_run_again_and_failed_ones_when_asked(cohort: Path, image: Path, tmp_path: Path):
    out, scan = tmp_path / "out", tmp_path / "cohort" / "ct.nii.gz"
    scan.unlink()
    assert inline(cohort, out).failed == 3
    shutil.copy(image, scan)
    assert inline(cohort, out).run == 0
    cohort.write_text(cohort.read_text().replace("b,ct.nii.gz,103", "b,ct.nii.gz,30"))
    assert inline(cohort, out).done == 1
    assert journaled(out) == ["a", "b", "c", "b"]
    assert inline(cohort, out, retry=True).done == 3
    assert journaled(out) == ["a", "b", "c", "b", "a", "c"]
    assert list(table(out)) == ["a", "b", "c"]
    assert {row["status"] for row in table(out).values()} == {"done"}


def test_a_cohort_may_move_and_grow(cohort: Path, image: Path, tmp_path: Path):
    out = tmp_path / "out"
    inline(cohort, out)
    moved = tmp_path / "elsewhere"
    shutil.move(cohort.parent, moved)
    longer = moved / "cohort.csv"
    longer.write_text(longer.read_text().replace("a,ct", "new,ct.nii.gz,40\r\na,ct"))
    summary = inline(longer, out)
    assert (summary.cases, summary.run) == (4, 1)
    assert list(table(out)) == ["new", "a", "b", "c"]


def test_rows_of_another_cohort_in_the_same_folder_are_kept(cohort: Path, image: Path, tmp_path: Path):
    out = tmp_path / "out"
    inline(cohort, out)
    summary = inline(write_cohort(tmp_path / "second", image, {"d": 20, "a": 50}), out)
    assert (summary.cases, summary.done, summary.failed, summary.run) == (2, 2, 0, 1)
    assert list(table(out)) == ["d", "a", "b", "c"]


def test_full_outputs_have_scene_and_report(cohort: Path, tmp_path: Path):
    inline(cohort, tmp_path / "out", files=FULL_FILES)
    for case in ("a", "c"):
        names = {path.name for path in (tmp_path / "out" / "cases" / case).iterdir()}
        assert names == FILES | {"report.html", "scene.mrb"}


def test_a_cancelled_batch_keeps_what_has_ended(cohort: Path, tmp_path: Path):
    out = tmp_path / "out"
    run = None

    def stop(case: str, entry: object) -> None:
        run.cancelProcess()

    run = BatchRun(find_system("moody"), cohort, out, make_pool=Inline, on_case=stop)
    with pytest.raises(Cancelled, match="goes on from there"):
        wait(run, seconds=0.0)
    assert list(table(out)) == ["a"]
    assert inline(cohort, out).run == 2


def test_what_was_never_run_leaves_nothing(cohort: Path, tmp_path: Path):
    run = BatchRun(find_system("moody"), cohort, tmp_path / "new" / "out", make_pool=Inline)
    run.cancelProcess()
    with pytest.raises(Cancelled, match="nothing was run"):
        run.pollProcess()
    with pytest.raises(InputError, match="no cohort file"):
        inline(tmp_path / "nothing.csv", tmp_path / "new" / "out")
    with pytest.raises(InputError, match="The setting 'speed' is not known"):
        inline(cohort, tmp_path / "new" / "out", {"speed": 1})
    assert not (tmp_path / "new").exists()


def test_a_file_is_no_output_folder(cohort: Path, tmp_path: Path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(InputError, match="is a file; name a folder"):
        inline(cohort, tmp_path / "out")


def test_from_python_without_the_command(moody: Path, image: Path, tmp_path: Path):
    """As from Slicer's console: the logic's own method."""
    headless.loadModule("Moody")
    from Moody import MoodyLogic

    cohort = write_cohort(tmp_path / "cohort", image, {"a": 20, "b": 103, "c": 40})
    told = []
    summary = MoodyLogic().processBatch(
        cohort, tmp_path / "out", {"seconds": 0.05}, onProgress=lambda *a: told.append(a)
    )
    assert (summary.cases, summary.done, summary.failed, summary.run) == (3, 2, 1, 3)
    assert [fraction for fraction, _ in told] == sorted(fraction for fraction, _ in told)
    assert told[-1][1] in ("2 of 3 cases", "3 of 3 cases")
