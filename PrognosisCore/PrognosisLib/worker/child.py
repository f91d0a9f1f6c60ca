"""The worker's own process: builds pipelines, keeps them warm and runs one case after the other.

Started by PrognosisLib.worker as `python -m PrognosisLib.worker.child`; ends when its parent ends. Messages are small
JSON texts; cases and findings travel as payload files.
"""

from __future__ import annotations

import dataclasses
import faulthandler
import gc
import importlib
import json
import os
import queue
import re
import sys
import threading
import time
import traceback
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from typing import Any

from ..errors import BundleError, Cancelled, InputError
from ..pipeline import run
from . import payload
from .process import ORDER_VARIABLE

CONNECT_SECONDS = 60.0
MOST_STDERR_BYTES = 2**20
# Progress is shown, not recorded: 25 a second are enough, and a parent that is not listening must not block the run.
PROGRESS_SECONDS = 0.04
OUT_OF_MEMORY = re.compile(
    r"out of memory|bad_alloc|bad allocation|(can't|cannot|failed to|unable to) allocate|CUBLAS_STATUS_ALLOC_FAILED",
    re.IGNORECASE,
)


def peak_memory_mb() -> float | None:
    """Highest resident memory of this process so far in MB (10^6 bytes); None where the system does not tell."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count the memory of the parent, before exec, on Linux
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) * 1024 / 1e6, 1)
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 1)


def bundle_stamp(bundle: Path) -> list[list[Any]]:
    """Names, sizes and times of a bundle's files: a pipeline is built anew when any of them changes."""
    files = sorted(path for path in bundle.rglob("*") if path.is_file())
    return [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in files]


def describe_failure(error: BaseException) -> dict[str, Any]:
    """The message to the parent about an exception: its kind, its sentence and the traceback."""
    text = str(error)
    kind, package = "other", ""
    if isinstance(error, BundleError | InputError | Cancelled):
        kind = next(ours.__name__ for ours in (BundleError, InputError, Cancelled) if isinstance(error, ours))
    elif isinstance(error, MemoryError) or OUT_OF_MEMORY.search(text):
        kind = "memory"
    elif isinstance(error, ImportError):
        kind, package = "import", (error.name or "").split(".")[0]
    if kind == "other":
        text = f"{type(error).__name__}: {text}"
    lines = traceback.format_exception(error)
    return {"type": "failed", "kind": kind, "text": text, "package": package, "traceback": "".join(lines)[-20000:]}


class Server:
    """Answers the parent until it goes away."""

    def __init__(self, connection: Connection, folders: list[Path]) -> None:
        self.connection, self.folders = connection, folders
        self.runs: queue.Queue[dict[str, Any]] = queue.Queue()
        self.cancelled = threading.Event()
        self.warm: dict[str, tuple[Any, Any]] = {}
        self.last_progress = (0.0, "")

    def serve(self) -> None:
        threading.Thread(target=self._listen, daemon=True).start()
        self._send({"type": "hello", "pid": os.getpid()})
        while True:
            order = self.runs.get()
            self.last_progress = (0.0, "")
            answer = self._answer(order)
            gc.collect()
            self._send(answer)

    def _listen(self) -> None:
        """Thread: takes orders while a run is busy; ends the process when the parent is gone."""
        try:
            while True:
                while not self.connection.poll(1.0):
                    self._bound_stderr()
                order = json.loads(self.connection.recv_bytes())
                if order["type"] == "cancel":
                    self.cancelled.set()
                else:
                    self.cancelled.clear()
                    self.runs.put(order)
        except (EOFError, OSError):
            payload.remove_folders(self.folders)
            os._exit(0)

    def _bound_stderr(self) -> None:
        if os.fstat(2).st_size > MOST_STDERR_BYTES:
            os.ftruncate(2, 0)

    def _send(self, message: dict[str, Any]) -> None:
        self.connection.send_bytes(json.dumps(message).encode())

    def _answer(self, order: dict[str, Any]) -> dict[str, Any]:
        try:
            case = payload.load(Path(order["payload"]))
            start = time.perf_counter()
            pipeline, was_warm = self._pipeline(order["pipeline"], Path(order["bundle"]))
            seconds = round(time.perf_counter() - start, 3)
            findings = run(pipeline, case, self._progress)
            about = {"pid": os.getpid(), "warm": was_warm, "load_seconds": seconds, "peak_memory_mb": peak_memory_mb()}
            findings = dataclasses.replace(findings, provenance={**findings.provenance, "worker": about})
            return {"type": "done", "payload": str(payload.save(findings, self.folders)), **about}
        except Exception as error:
            message = describe_failure(error)
            if message["kind"] in ("memory", "import", "other"):
                self.warm.clear()  # its state may be half made
            return message

    def _pipeline(self, name: str, bundle: Path) -> tuple[Any, bool]:
        stamp = (str(bundle), bundle_stamp(bundle))
        known, pipeline = self.warm.get(name, (None, None))
        if known == stamp:
            return pipeline, True
        self.warm.pop(name, None)
        importlib.invalidate_caches()  # a package may have been installed since this process began
        module, _, attribute = name.partition(":")
        pipeline = getattr(importlib.import_module(module), attribute)(bundle)
        self.warm[name] = (stamp, pipeline)
        return pipeline, False

    def _progress(self, fraction: float, message: str) -> None:
        if self.cancelled.is_set():
            raise Cancelled("The run was cancelled.")
        now = time.monotonic()
        before, said = self.last_progress
        if message != said or now - before >= PROGRESS_SECONDS:
            self.last_progress = (now, message)
            self._send({"type": "progress", "fraction": min(1.0, max(0.0, float(fraction))), "message": message})


def main() -> None:
    faulthandler.enable(all_threads=False)  # a crash leaves the Python line where it happened in stderr
    order = json.loads(os.environ.pop(ORDER_VARIABLE))
    folders = [Path(folder) for folder in order["folders"]]

    def give_up() -> None:
        payload.remove_folders(folders)
        os._exit(1)

    timer = threading.Timer(CONNECT_SECONDS, give_up)
    timer.daemon = True
    timer.start()
    with Listener(order["address"], authkey=bytes.fromhex(order["key"])) as listener:
        connection = listener.accept()
    timer.cancel()
    Server(connection, folders).serve()


if __name__ == "__main__":
    main()
