"""The cases of a batch in the application's own scene, one at a time, beside what the user has there."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .. import scene
from ..errors import Cancelled, InputError, WorkerError
from ..reporting.outputs import SCENE
from ..scene.temporary import TemporaryNodes
from ..single_case import open_case, sources_of
from ..worker import Worker
from .journal import entry_of, failure
from .orders import ended, inputs_of, system_of


class ScenePool:
    """A pool (see pools.py) for Slicer, where no scene of its own can be had: images and results are nodes for the
    time of their case, hidden from selectors, and are removed when it ends.

    It has a worker process of its own, so that the user can go on. scene.mrb is never written, since the scene holds
    the user's data.
    """

    def __init__(self) -> None:
        self._worker = Worker()
        self._order: Mapping[str, Any] | None = None
        self._logic: Any = None
        self._inputs: dict[str, Any] = {}
        self._nodes = TemporaryNodes()
        self._entry: dict[str, Any] | None = None
        self._start = self.progress = 0.0

    @property
    def room(self) -> int:
        return int(self._order is None)

    def submit(self, order: Mapping[str, Any]) -> None:
        self._order, self._start, self.progress = order, time.perf_counter(), 0.0
        with self._failing():
            self._inputs = inputs_of(order)
            segmentation = self._inputs.pop("segmentation_file")
            bundle = Path(order["bundle"]) if order["bundle"] else None
            with self._nodes.collecting():
                self._logic, nodes = open_case(system_of(order), **self._inputs, bundle=bundle)
                self._logic.ownWorker = self._worker
                if segmentation is None:
                    self._logic.startProcess(nodes, self._inputs["clinical"], order["settings"])
                    return
                drawn = scene.loadSegmentation(segmentation)
                result = self._logic.measure(nodes, drawn, self._inputs["clinical"], order["settings"])
            self._write(result, sources_of(self._inputs["images"], segmentation))

    def poll(self) -> list[tuple[str, dict[str, Any] | None]]:
        if self._order is None:
            return []
        if self._entry is None:
            try:
                with self._failing(), self._nodes.collecting():
                    result = self._logic.pollProcess(self._note)
                    if result is not None:
                        self._write(result, sources_of(self._inputs["images"], None))
            except Cancelled:
                return [self._end(None)]
        return [] if self._entry is None else [self._end(self._entry)]

    def cancel(self) -> None:
        if self._logic is not None:
            self._logic.cancelProcess()

    def close(self) -> None:
        self._nodes.remove()
        self._worker.close()

    def _note(self, fraction: float, message: str) -> None:
        self.progress = 0.9 * fraction

    def _write(self, result: Any, sources: Mapping[str, Path]) -> None:
        files = [name for name in self._order["files"] if name != SCENE]
        self._logic.writeOutputs(result, Path(self._order["folder"]), sources, self._inputs["clinical"], files)
        entry, columns = entry_of(result.findings)
        model = self._logic.pipeline.bundle.identity["sha256"]
        self._entry = ended({**entry, "bundle": model, "columns": columns}, self._start)

    def _end(self, entry: dict[str, Any] | None) -> tuple[str, dict[str, Any] | None]:
        case = self._order["case"]
        self._nodes.remove()
        self._order = self._logic = self._entry = None
        return case, entry

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """What goes wrong in the block is this case's failure, and not the end of the batch."""
        try:
            yield
        except Cancelled:
            raise
        except (InputError, WorkerError) as error:
            self._entry = ended(failure(error), self._start)
        except Exception as error:
            message = f"The case failed ({type(error).__name__}: {error}); please report it with the log."
            self._entry = ended(failure(WorkerError(message)), self._start)
