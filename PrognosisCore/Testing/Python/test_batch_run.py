"""`prognosis batch` on a toy system: tables, failures of every kind, resuming after a kill, the lock, cancelling."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from PrognosisLib import headless

headless.start()

from batch_fixtures import *  # noqa: E402, F403
from batch_fixtures import (  # noqa: E402
    BRIGHT_ML,
    FILES,
    journaled,
    kill,
    run,
    start_command,
    table,
    wait_until,
    write_cohort,
)
from foreign_module import foreign_module  # noqa: E402

from PrognosisLib import cli  # noqa: E402

AGES = {
    "plain": "",
    "old": 85,
    "crash": 101,
    "B/2 ü": 40,
    "fails": 102,
    "upside down": 103,
    "killed": 105,
    "senseless": 400,
    "last": 50,
}
FAILED = {"crash", "fails", "upside down", "killed", "senseless", "missing"}


@pytest.fixture(scope="module")
def batch(moody_folder: Path, image: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One whole run in two processes; its folder, with the cohort beside it."""
    folder = tmp_path_factory.mktemp("batch")
    cohort = write_cohort(folder / "cohort", image, AGES, outcome=range(len(AGES)), bright=["x"] * len(AGES))
    with cohort.open("a", newline="") as stream:
        csv.writer(stream).writerow(["missing", "nothing.nii.gz", "", 1, "x"])
    with foreign_module(moody_folder):
        import MoodyLib  # noqa: F401

        code = run("--cohort", cohort, "--output", folder / "out", "--jobs", 2)
    assert code == cli.SOME_FAILED
    return folder / "out"


def test_every_case_has_a_row_in_the_order_of_the_cohort(batch: Path):
    rows = table(batch)
    assert list(rows) == [*AGES, "missing"]
    assert {case for case, row in rows.items() if row["status"] == "failed"} == FAILED
    assert {case for case, row in rows.items() if row["status"] == "done"} == {"plain", "old", "B/2 ü", "last"}


def test_reasons_say_what_went_wrong(batch: Path):
    reasons = {case: row["reason"] for case, row in table(batch).items()}
    assert "SIGSEGV" in reasons["crash"]
    assert "ZeroDivisionError: one over nothing" in reasons["fails"]
    assert reasons["upside down"] == "The image is upside down; turn it round."
    assert reasons["killed"].startswith("The system killed the computation, most likely because memory ran out")
    assert "400" in reasons["senseless"]
    assert "nothing.nii.gz" in reasons["missing"]
    assert all("\n" not in reason for reason in reasons.values())
    assert reasons["plain"] == reasons["last"] == ""


def test_values_have_their_columns(batch: Path):
    rows = table(batch)
    for case in ("plain", "old", "B/2 ü", "last"):
        assert float(rows[case]["bright"]) == pytest.approx(BRIGHT_ML)
        assert float(rows[case]["bright_lower"]) == pytest.approx(0.9 * BRIGHT_ML)
        assert float(rows[case]["bright_upper"]) == pytest.approx(1.1 * BRIGHT_ML)
        assert rows[case]["size"] == "large"
        assert float(rows[case]["seconds"]) > 0
    assert rows["crash"]["bright"] == ""
    assert (rows["plain"]["risk"], rows["old"]["risk"]) == ("", "0.425")
    assert rows["old"]["flags"] == "old"
    assert rows["old"]["flag_messages"] == "The patient is old, so look twice."
    assert rows["old"]["simulated_cohort"] == "risk"
    assert rows["plain"]["simulated_cohort"] == ""


def test_columns_of_the_cohort_are_carried_along(batch: Path):
    rows = table(batch)
    assert [row["outcome"] for row in rows.values()] == [*map(str, range(len(AGES))), "1"]
    assert rows["old"]["cohort_bright"] == "x"
    assert "age" not in rows["old"]


def test_every_column_is_explained(batch: Path):
    about = table(batch, "columns.csv", "column")
    assert list(about) == list(next(iter(table(batch).values())))
    assert (about["bright"]["quantity"], about["bright"]["unit"]) == ("Bright volume", "mL")
    assert about["bright"]["method"] == "voxels times voxel volume"
    assert about["risk"]["note"] == "simulated cohort"
    assert about["outcome"]["quantity"] == "Column 'outcome' of the cohort"


def test_each_case_has_its_files(batch: Path):
    for row in table(batch).values():
        if row["status"] == "failed":
            assert row["folder"] == ""
        else:
            assert {path.name for path in (batch / row["folder"]).iterdir()} == FILES
    assert len([*(batch / "cases").iterdir()]) == 4
    assert {path.name for path in batch.iterdir()} == {
        *("cases", "journal.jsonl", "results.csv", "columns.csv", "review.html", "summary.json")
    }


def test_the_processes_share_the_threads(batch: Path):
    told = json.loads((batch / table(batch)["plain"]["folder"] / "provenance.json").read_text("utf-8"))
    assert told["threads"] == str(max(1, os.cpu_count() // 2))


# --- kills, locks, cancelling -----------------------------------------------------------------------------------------


def test_a_killed_batch_goes_on_without_repeating_or_losing_a_row(moody_folder: Path, image: Path, tmp_path: Path):
    ages = {f"case {n}": 20 + n for n in range(8)}
    cohort, out = write_cohort(tmp_path / "cohort", image, ages), tmp_path / "out"
    arguments = ["--cohort", cohort, "--output", out, "--jobs", 2, "--seconds", 0.2]
    killed = start_command(moody_folder, *arguments)
    wait_until(lambda: len(journaled(out)) >= 3)
    family = _descendants(killed.pid)
    kill(killed)
    assert len(family) >= 4  # the processes of two scenes, and the two that compute
    wait_until(lambda: not any(_is_running(pid) for pid in family), 10.0)
    first = journaled(out)
    assert (out / "batch.lock").exists()
    assert 3 <= len(first) < 8
    assert set(table(out)) <= set(first)  # rows are in the table as cases end
    assert len(table(out)) >= len(first) - 1
    with (out / "journal.jsonl").open("ab") as stream:  # a line that the kill cut short
        stream.write(b'{"case": "case 7", "print": "')
    leftover = out / "cases" / ".case_6.1234"
    leftover.mkdir(parents=True)
    again = start_command(moody_folder, *arguments)
    told = again.communicate(timeout=60)[1]
    assert again.returncode == cli.DONE, told
    assert sorted(journaled(out)) == sorted(ages)
    assert journaled(out)[: len(first)] == first
    assert list(table(out)) == list(ages)
    assert not leftover.exists()
    assert not (out / "batch.lock").exists()


def test_a_second_batch_is_refused_and_the_first_one_stops_in_order(
    moody_folder: Path, moody: Path, image: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    cohort, out = write_cohort(tmp_path / "cohort", image, {"a": 20, "long": 104, "b": 30}), tmp_path / "out"
    first = start_command(moody_folder, "--cohort", cohort, "--output", out)
    wait_until(lambda: len(journaled(out)) == 1)
    before = (out / "journal.jsonl").read_bytes()
    assert run("--cohort", cohort, "--output", out) == cli.BAD_INPUT
    assert f"A batch is under way in '{out}' (process {first.pid} on " in capfd.readouterr().err
    assert (out / "journal.jsonl").read_bytes() == before
    first.send_signal(signal.SIGTERM)
    told = first.communicate(timeout=20)[1]
    assert first.returncode == 130
    assert told.splitlines()[-1].endswith("the same batch goes on from there.")
    assert list(table(out)) == ["a"]
    assert (out / "review.html").exists()
    assert not (out / "batch.lock").exists()


def test_a_machine_that_lacks_a_package_ends_the_batch_and_fails_no_case(
    moody: Path, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    """Else it would take in one case after the other, and fail them all."""
    cohort = write_cohort(tmp_path / "cohort", image, {f"case {n}": 20 + n for n in range(4)})
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one != str(moody)])
    assert run("--cohort", cohort, "--output", tmp_path / "out") == cli.SOME_FAILED
    assert "The Python package 'MoodyLib' is missing or broken" in capfd.readouterr().err
    assert journaled(tmp_path / "out") == []


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--jobs", "0"], "The number of processes is 0"),
        (["--jobs", "2", "--dask", "tcp://127.0.0.1:1"], "not both"),
        (["--cohort", "nothing.csv"], "There is no cohort file"),
        (["--seconds", "long"], "is not a number"),
    ],
)
def test_unfit_calls_are_refused_and_leave_nothing(moody: Path, image: Path, tmp_path: Path, capfd, options, says):
    cohort = write_cohort(tmp_path / "cohort", image, {"a": 20})
    assert run("--cohort", cohort, "--output", tmp_path / "new" / "out", *options) == cli.BAD_INPUT
    told = capfd.readouterr()
    assert says in told.err
    assert told.err.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_without_a_cohort_or_a_review_nothing_is_done(moody: Path, tmp_path: Path, capfd):
    assert run("--output", tmp_path / "out") == cli.BAD_INPUT
    assert "give --cohort, --review or both" in capfd.readouterr().err


def _descendants(pid: int) -> list[int]:
    told = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = {int(one): int(parent) for one, parent in (line.split() for line in told.splitlines())}
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found[1:]


def _is_running(pid: int) -> bool:
    told = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    return bool(told) and not told.startswith("Z")
