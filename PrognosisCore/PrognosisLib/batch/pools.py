"""Where the cases of a batch are run: processes of this computer. All pools are polled and never wait.

A pool has `room` (how many more cases it takes now), `submit(order)`, `poll()`, which gives the entries of cases that
have ended, `progress` (what the cases under way add up to, in cases), `cancel()` and `close()`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..errors import Cancelled, InputError, WorkerError
from ..worker import Worker
from .journal import failure
from .orders import CaseJob, ended, job_of

# A worker needs a bundle's folder, of which it looks whether it has changed; orders name their own.
NO_BUNDLE = Path(__file__).parent / "none"


class Pool(Protocol):
    """Takes orders and gives (case, entry) of those that have ended; a cancelled case has no entry."""

    @property
    def room(self) -> int: ...

    @property
    def progress(self) -> float: ...

    def submit(self, order: Mapping[str, Any]) -> None: ...

    def poll(self) -> list[tuple[str, dict[str, Any] | None]]: ...

    def cancel(self) -> None: ...

    def close(self) -> None: ...


@dataclass
class _Seat:
    """One process and the case that it is running."""

    worker: Worker
    case: str | None = None
    start: float = 0.0
    fraction: float = 0.0

    def note(self, fraction: float, message: str) -> None:
        self.fraction = fraction


class ProcessPool:
    """So many processes, each with a scene of its own and warm networks.

    A process that crashes takes its case along only; the next case gets a new one.
    """

    def __init__(self, jobs: int) -> None:
        self._seats = [_Seat(Worker()) for _ in range(jobs)]

    @property
    def room(self) -> int:
        return sum(seat.case is None for seat in self._seats)

    @property
    def progress(self) -> float:
        return sum(seat.fraction for seat in self._seats if seat.case is not None)

    @property
    def pids(self) -> list[int]:
        """Process ids of those that have been started."""
        return [seat.worker.pid for seat in self._seats if seat.worker.pid is not None]

    def submit(self, order: Mapping[str, Any]) -> None:
        seat = next(seat for seat in self._seats if seat.case is None)
        seat.worker.start_run(CaseJob.path, NO_BUNDLE, job_of(order))
        seat.case, seat.start, seat.fraction = order["case"], time.perf_counter(), 0.0

    def poll(self) -> list[tuple[str, dict[str, Any] | None]]:
        found = []
        for seat in self._seats:
            if seat.case is None:
                continue
            try:
                findings = seat.worker.take(seat.note)
                entry = None if findings is None else findings.provenance["entry"]
            except Cancelled:
                found.append((seat.case, None))
                seat.case = None
                continue
            except (InputError, WorkerError) as error:
                entry = ended(failure(error), seat.start)
            if entry is not None:
                found.append((seat.case, entry))
                seat.case = None
        return found

    def cancel(self) -> None:
        for seat in self._seats:
            seat.worker.cancel()

    def close(self) -> None:
        for seat in self._seats:
            seat.worker.close()
