"""A batch on a Dask cluster with a real scheduler and two worker processes, of which one is killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("distributed")

from batch_fixtures import *  # noqa: F403
from batch_fixtures import inline, journaled, run, table, write_cohort
from distributed import LocalCluster
from foreign_module import foreign_module

from PrognosisLib import cli
from PrognosisLib.batch import BatchRun, start_batch
from PrognosisLib.errors import Cancelled, InputError, WorkerError
from PrognosisLib.systems import find_system

QUIET = {"threads_per_worker": 1, "dashboard_address": ":0", "silence_logs": 50}


@pytest.fixture(scope="module")
def cluster(moody_folder: Path) -> Iterator[LocalCluster]:
    with foreign_module(moody_folder), LocalCluster(n_workers=2, **QUIET) as running:
        yield running


def poll(batch: BatchRun, until, seconds: float = 120.0):
    end = time.monotonic() + seconds
    while not until() and (summary := batch.pollProcess()) is None:
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)
    return None if until() else summary


def test_the_same_rows_as_without_a_cluster(cluster: LocalCluster, moody: Path, image: Path, tmp_path: Path):
    cohort = write_cohort(tmp_path / "cohort", image, {"a": 50, "crash": 101, "b": 85, "no": 103})
    out, there = tmp_path / "out", tmp_path / "there"
    assert run("--cohort", cohort, "--output", there, "--dask", cluster.scheduler_address) == cli.SOME_FAILED
    inline(cohort, out)
    here = {case: {**row, "seconds": ""} for case, row in table(out).items()}
    assert {case: {**row, "seconds": ""} for case, row in table(there).items()} == here
    assert sorted(journaled(there)) == ["a", "b", "crash", "no"]
    assert {path.name for path in (there / "cases").iterdir()} == {"a", "b"}


def test_a_worker_that_is_killed_loses_no_case(cluster: LocalCluster, moody: Path, image: Path, tmp_path: Path):
    cohort = write_cohort(tmp_path / "cohort", image, {f"case {n}": 20 + n for n in range(6)})
    out, settings = tmp_path / "out", {"seconds": 0.5}
    batch = start_batch(find_system("moody"), cohort, out, settings, dask=cluster.scheduler_address)
    poll(batch, lambda: len(journaled(out)) == 1)
    victim = cluster.workers[0].pid
    os.kill(victim, signal.SIGKILL)
    summary = poll(batch, lambda: False)
    assert (summary.done, summary.failed) == (6, 0)
    assert sorted(journaled(out)) == [f"case {n}" for n in range(6)]
    assert {row["status"] for row in table(out).values()} == {"done"}
    assert cluster.workers[0].pid != victim


def test_a_cancelled_batch_takes_its_cases_back(cluster: LocalCluster, moody: Path, image: Path, tmp_path: Path):
    cohort = write_cohort(tmp_path / "cohort", image, {f"case {n}": 20 + n for n in range(12)})
    out = tmp_path / "out"
    batch = start_batch(find_system("moody"), cohort, out, {"seconds": 0.2}, dask=cluster.scheduler_address)
    poll(batch, lambda: len(journaled(out)) == 2)
    batch.cancelProcess()
    with pytest.raises(Cancelled):
        poll(batch, lambda: False, 20.0)
    ended = journaled(out)
    assert 2 <= len(ended) < 12
    assert list(table(out)) == sorted(ended, key=lambda case: int(case.split()[1]))


def test_a_lost_scheduler_is_told(moody: Path, image: Path, tmp_path: Path):
    cohort = write_cohort(tmp_path / "cohort", image, {f"case {n}": 20 + n for n in range(4)})
    with LocalCluster(n_workers=1, **QUIET) as short:
        settings = {"seconds": 0.5}
        batch = start_batch(find_system("moody"), cohort, tmp_path / "out", settings, dask=short.scheduler_address)
        poll(batch, lambda: len(journaled(tmp_path / "out")) == 1)
    with pytest.raises(WorkerError, match="is gone; run again to go on"):
        poll(batch, lambda: False, 60.0)
    assert inline(cohort, tmp_path / "out", settings).done == 4


def test_without_a_scheduler_nothing_is_run(moody: Path, image: Path, tmp_path: Path, monkeypatch):
    from PrognosisLib.batch import dask_cluster

    monkeypatch.setattr(dask_cluster, "CONNECT_SECONDS", 0.5)
    cohort = write_cohort(tmp_path / "cohort", image, {"a": 20})
    batch = start_batch(find_system("moody"), cohort, tmp_path / "out", dask="tcp://127.0.0.1:1")
    with pytest.raises(InputError, match="There is no Dask scheduler at"):
        poll(batch, lambda: False)
    assert not (tmp_path / "out" / "batch.lock").exists()
