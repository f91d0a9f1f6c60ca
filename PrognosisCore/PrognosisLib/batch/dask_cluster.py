"""The cases of a batch on a Dask cluster: its workers compute, this process alone writes journal and tables.

Every machine needs this program, and the cohort and the output folder at the same paths.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Mapping
from typing import Any

from ..errors import InputError, WorkerError
from ..worker import Worker
from .journal import failure
from .orders import CaseJob, ended, job_of
from .pools import NO_BUNDLE

CONNECT_SECONDS = 20
# Cases that wait at the scheduler, for each thread of the cluster and at least: its workers never run dry, an adaptive
# cluster sees that there is work, and nothing grows with the cohort.
AHEAD, LEAST_AHEAD = 2, 8
ASK_SECONDS = 5.0
_local = threading.local()


def carry_out_there(order: Mapping[str, Any]) -> dict[str, Any]:
    """On a Dask worker: a case in a process of its own, one for each thread, so that a crash does not end Dask.

    Raises:
        WorkerError: no such process can be started.
    """
    start = time.perf_counter()
    worker = _local.__dict__.setdefault("worker", Worker())
    worker.start_run(CaseJob.path, NO_BUNDLE, job_of(order))
    try:
        return worker.wait().provenance["entry"]
    except (InputError, WorkerError) as error:
        return ended(failure(error), start)


class DaskPool:
    """A pool (see pools.py) of the workers of a Dask scheduler.

    A worker that dies loses nothing: the scheduler gives its case to another one. A case that was there when several
    workers died (Dask's "allowed-failures") is a failed one.

    Raises:
        InputError: `distributed` is not installed, or there is no scheduler at the address.
    """

    def __init__(self, address: str) -> None:
        try:
            from distributed import Client
        except ImportError as error:
            raise InputError("Dask is not installed; run: pip install distributed") from error
        self.address, self._run = address, uuid.uuid4().hex[:8]
        self._futures: dict[str, Any] = {}
        self._is_cancelled = False
        self._threads, self._asked = 0, -ASK_SECONDS
        try:
            self._client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False, name="prognosis")
        except (OSError, ValueError) as error:
            raise InputError(
                f"There is no Dask scheduler at '{address}' ({error}); start one with 'dask scheduler' and give its "
                "address, such as tcp://server:8786."
            ) from error

    @property
    def room(self) -> int:
        if time.monotonic() > self._asked + ASK_SECONDS:  # a cluster may grow
            self._threads, self._asked = sum(self._client.nthreads().values()), time.monotonic()
        return max(LEAST_AHEAD, AHEAD * self._threads) - len(self._futures)

    @property
    def progress(self) -> float:
        return 0.0  # a case's own progress stays on its machine

    def submit(self, order: Mapping[str, Any]) -> None:
        key = f"prognosis-{self._run}-{order['case']}"
        self._futures[order["case"]] = self._client.submit(carry_out_there, dict(order), key=key, pure=False)

    def poll(self) -> list[tuple[str, dict[str, Any] | None]]:
        found = []
        for case, future in list(self._futures.items()):
            if future.done():
                found.append((case, self._entry(future)))
                del self._futures[case]
        if self._futures and not found and self._client.status == "closed":
            raise WorkerError(f"The Dask scheduler at '{self.address}' is gone; run again to go on.")
        return found

    def _entry(self, future: Any) -> dict[str, Any] | None:
        if future.status == "finished":
            return future.result()
        if future.status == "cancelled":
            if self._is_cancelled:
                return None
            raise WorkerError(f"The Dask scheduler at '{self.address}' is gone; run again to go on.")
        error = future.exception()
        if isinstance(error, ImportError):
            raise InputError(f"The Dask workers lack this program ({error}); install the same version there.")
        if isinstance(error, WorkerError):
            raise error
        if type(error).__name__ == "KilledWorker":
            error = WorkerError("Several Dask workers died while they ran this case, maybe for want of memory.")
        return ended(failure(error), time.perf_counter())

    def cancel(self) -> None:
        """Takes back the cases that wait; those under way end on their machines, and nobody takes them in."""
        self._is_cancelled = True
        self._client.cancel(list(self._futures.values()))

    def close(self) -> None:
        self._client.close()
