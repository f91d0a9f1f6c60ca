"""Many cases: `prognosis batch`, `SystemLogic.processBatch`, and the Batch section of the panels; see docs/batch.md."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .. import headless
from ..errors import InputError
from ..systems import System
from .pools import Pool, ProcessPool
from .runner import FULL_FILES, SHORT_FILES, BatchRun, BatchSummary, wait

__all__ = ["BatchRun", "BatchSummary", "start_batch", "wait"]


def start_batch(
    system: System,
    cohort: Path,
    output: Path,
    settings: Mapping[str, Any] | None = None,
    bundle: Path | None = None,
    *,
    jobs: int = 1,
    dask: str | None = None,
    full: bool = False,
    **more: Any,
) -> BatchRun:
    """A batch run where it fits: on a Dask cluster, in Slicer's scene, or else in so many processes.

    Args:
        jobs: processes on this computer, which share its threads unless the settings say how many each has.
        dask: address of a Dask scheduler.
        full: scene and report of each case, too.
        more: as BatchRun has it.

    Raises:
        InputError: as BatchRun, and where both `jobs` and `dask` are given, or `jobs` is no number of processes.
    """
    settings = dict(settings or {})
    make_pool = _pool_of(jobs, dask)
    threads = system.library("pipeline").default_settings().get("threads")
    if threads is not None and not settings.get("threads"):
        # On a cluster, threads are for Dask to give out: one for each case.
        settings["threads"] = 1 if dask else max(1, (os.cpu_count() or 1) // jobs) if jobs > 1 else 0
    files = FULL_FILES if full else SHORT_FILES
    return BatchRun(system, cohort, output, settings, bundle, make_pool=make_pool, files=files, **more)


def _pool_of(jobs: int, dask: str | None) -> Callable[[], Pool]:
    if jobs < 1:
        raise InputError(f"The number of processes is {jobs}; give 1 or more.")
    if dask:
        if jobs != 1:
            raise InputError("A Dask cluster has its own processes; give a number of processes or a cluster, not both.")
        return lambda: _dask_pool(dask)
    if not headless.isRunningInSlicer():
        return lambda: ProcessPool(jobs)
    if jobs != 1:
        raise InputError("In Slicer cases are run one after the other; for more at a time use the prognosis command.")
    return _scene_pool


def _dask_pool(address: str) -> Pool:
    from .dask_cluster import DaskPool

    return DaskPool(address)


def _scene_pool() -> Pool:
    from .in_scene import ScenePool

    return ScenePool()
