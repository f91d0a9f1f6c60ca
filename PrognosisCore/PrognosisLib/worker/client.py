"""One warm process per application that runs pipelines, so that a crash, a lack of memory or a slow import never
reaches the application.

No thread and no event loop is needed here (PythonQt starves threads): a timer that calls `Worker.take` is enough.
"""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import BundleError, Cancelled, InputError, MissingPackage, WorkerError
from ..findings import Findings
from ..images.cine.cine import Cine
from ..pipeline import Case
from . import payload
from .process import Child, Ended, default_executable, import_paths

# A cooperative pipeline stops at its next progress report; after this many seconds the process is killed.
CANCEL_SECONDS = 0.6
CANCELLED = "The run was cancelled; nothing was changed."


@dataclass(frozen=True)
class Progress:
    """Fraction done (0..1) and what is being done."""

    fraction: float
    message: str


@dataclass(frozen=True)
class Done:
    findings: Findings


@dataclass(frozen=True)
class Failed:
    """`error` is an InputError, BundleError, Cancelled or WorkerError; a traceback, if any, is in its notes."""

    error: InputError | Cancelled | WorkerError


Event = Progress | Done | Failed


class Worker:
    """Runs pipelines in a warm child process, one at a time.

    Args:
        executable: Python interpreter of the child; None takes `default_executable()`.

    The child starts on first use, keeps its pipelines between runs and is replaced after a crash. `pid` and
    `peak_memory_mb` tell about the latest child; both are also in `Findings.provenance["worker"]`.
    """

    def __init__(self, executable: str | None = None) -> None:
        self.executable = executable
        self.peak_memory_mb: float | None = None
        self._child: Child | None = None
        self._run: _Run | None = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_busy(self) -> bool:
        """From `start_run` until `poll` has given Done or Failed."""
        return self._run is not None

    @property
    def pid(self) -> int | None:
        """Process id of the child; None while there is none."""
        return self._child.pid if self._child else None

    def start_run(self, pipeline: str, bundle: Path, case: Case) -> None:
        """Start a run and return at once; the arrays of `case` are copied and may change afterwards.

        Args:
            pipeline: "package.module:Class"; constructed with the bundle's path and kept warm until that changes.
            bundle: folder of the model bundle.
            case: `settings["threads"]`, where given, limits the threads of the child's libraries.

        Raises:
            WorkerError: a run is in progress, the child cannot be started, or there is no room for the input.
        """
        if self.is_busy:
            raise WorkerError("A computation is already running; wait for it to end or cancel it first.")
        threads = case.settings.get("threads")
        if self._child and (self._child.is_dead or self._child.threads != threads or self._has_new_paths()):
            self.close()
        if self._child is None:
            self._child = Child(self.executable or default_executable(), threads)
        try:
            path = payload.save(case, self._child.folders)
        except OSError as error:
            raise WorkerError(
                f"There is no room in the temporary folder for the input ({_describe(case)}); free disk space and "
                f"run again ({error.strerror})."
            ) from error
        order = {"type": "run", "pipeline": pipeline, "bundle": str(Path(bundle).absolute()), "payload": str(path)}
        self._run = _Run(order, _describe(case))

    def poll(self) -> list[Event]:
        """What happened since the last call, in order, without waiting; Done or Failed comes once and last."""
        events: list[Event] = []
        while self._run is not None:
            event = self._next_event(self._run)
            if event is None:
                break
            events.append(event)
            if not isinstance(event, Progress):
                self._run = None
        return events

    def take(self, on_progress: Callable[[float, str], None] | None = None) -> Findings | None:
        """The findings once they are there, else None; never waits. For a timer; gives them once.

        Raises:
            InputError, BundleError: as the pipeline raised it.
            Cancelled: `cancel` was called or `on_progress` raised it.
            WorkerError: the child failed.
        """
        for event in self.poll():
            if isinstance(event, Done):
                return event.findings
            if isinstance(event, Failed):
                raise event.error
            self._report(event, on_progress)
        return None

    def wait(self, on_progress: Callable[[float, str], None] | None = None) -> Findings:
        """Wait for the end of the run; `on_progress` may raise Cancelled to stop it.

        Raises:
            InputError, BundleError, Cancelled, WorkerError: as `take` does; WorkerError where nothing was started, too.
        """
        if not self.is_busy:
            raise WorkerError("No computation is running; start one first.")
        try:
            while (findings := self.take(on_progress)) is None:
                if self._child:
                    self._child.wait(0.05)
            return findings
        finally:
            if self.is_busy:  # an exception of the caller's own, such as Ctrl-C
                self.close()

    def cancel(self) -> None:
        """Ask the run to stop; `poll` or `wait` answers with Cancelled within a second. Without a run, does nothing."""
        if self._run is not None and self._run.kill_at is None:
            self._run.kill_at = time.monotonic() + CANCEL_SECONDS
            if self._child and self._run.is_sent:
                self._child.send({"type": "cancel"})

    def close(self) -> None:
        """End the child and drop a run in progress; the next `start_run` starts anew."""
        self._run = None
        if self._child is not None:
            self._child.destroy()
            self._child = None

    def _report(self, event: Progress, on_progress: Callable[[float, str], None] | None) -> None:
        if on_progress is None or (self._run and self._run.kill_at is not None):
            return
        try:
            on_progress(event.fraction, event.message)
        except Cancelled:
            self.cancel()

    def _next_event(self, run: _Run) -> Event | None:
        child = self._child
        if child is None:
            return Failed(WorkerError("The worker was closed during the run; run again."))
        if run.kill_at is not None and not run.is_sent:
            Path(run.order["payload"]).unlink(missing_ok=True)
            return Failed(Cancelled(CANCELLED))
        try:
            message = child.receive()
            if child.is_connected and not run.is_sent:
                run.is_sent = True
                child.send(run.order)
        except Ended:
            return self._ended(run, child)
        if message is not None:
            return self._event(message, run, child)
        if run.kill_at is not None and time.monotonic() > run.kill_at:
            self._drop_child()
            return Failed(Cancelled(CANCELLED))
        return None

    def _event(self, message: dict, run: _Run, child: Child) -> Event:
        if message["type"] == "progress":
            return Progress(message["fraction"], message["message"])
        if message["type"] == "failed":
            if message["kind"] == "memory":
                self._drop_child()  # gives the memory back
            error = _error_of(message, run.size, child.executable)
            return Failed(Cancelled(CANCELLED) if run.kill_at is not None else error)
        self.peak_memory_mb = message["peak_memory_mb"]
        findings = payload.load(child.own_file(message["payload"]))
        return Failed(Cancelled(CANCELLED)) if run.kill_at is not None else Done(findings)

    def _ended(self, run: _Run, child: Child) -> Failed:
        code = child.exit_code()
        words = child.last_words()
        self._drop_child()
        if run.kill_at is not None:
            return Failed(Cancelled(CANCELLED))
        return Failed(_crash_error(code, words, run.size, child.executable))

    def _has_new_paths(self) -> bool:
        """Whether this process imports from folders that the child does not know, as of a module added meanwhile."""
        return not set(import_paths()) <= set(self._child.paths)

    def _drop_child(self) -> None:
        if self._child is not None:
            self._child.destroy()
            self._child = None


@dataclass
class _Run:
    order: dict[str, str]
    size: str
    is_sent: bool = False
    kill_at: float | None = None


def _describe(case: Case) -> str:
    """Size of the input in words, for messages about memory."""
    parts = []
    for role, volume in case.volumes.items():
        shape = " x ".join(str(n) for n in volume.grid.shape[::-1])
        unit = "pixels and frames" if isinstance(volume, Cine) else "voxels"
        parts.append(f"{role} of {shape} {unit}, {volume.nbytes / 1e6:.0f} MB")
    return "; ".join(parts) or "no volume"


def _memory_error(what: str, size: str) -> WorkerError:
    return WorkerError(
        f"{what} (input: {size}); close other programs or crop the volume to the region of interest, then run again."
    )


def _import_error(name: str, executable: str, text: str) -> MissingPackage:
    return MissingPackage(
        f"The Python package '{name}' is missing or broken in {executable} ({text}); install it and run again."
    )


def _error_of(message: dict, size: str, executable: str) -> InputError | Cancelled | WorkerError:
    """The exception that the child reported, as the same type where it is one of ours."""
    kind, text = message["kind"], message["text"]
    ours = {"InputError": InputError, "BundleError": BundleError, "Cancelled": Cancelled}
    if kind in ours:
        return ours[kind](text)
    if kind == "memory":
        error = _memory_error(f"The computation ran out of memory: {text or 'an allocation failed'}", size)
    elif kind == "import":
        error = _import_error(message["package"] or "unknown", executable, text)
    else:
        error = WorkerError(f"The computation failed ({text}); please report it with the log.")
    error.add_note(message["traceback"])
    return error


def _crash_error(code: int | None, words: str, size: str, executable: str) -> WorkerError:
    """Why the process ended, from its exit code and what it wrote last."""
    missing = re.search(r"ModuleNotFoundError: (No module named '([\w.]+)')", words)
    if code == 1 and missing:
        return _import_error(missing[2], executable, missing[1])
    number = -code if code is not None and code < 0 else (code or 0) - 128  # a launcher passes 128 + signal on
    if number == 9:
        return _memory_error("The system killed the computation, most likely because memory ran out", size)
    if code is None:
        cause = "stopped answering"
    elif 0 < number < 65:
        cause = f"crashed with {signal.Signals(number).name} ({signal.strsignal(number)})"
    elif code > 255:
        cause = f"crashed with Windows error 0x{code & 0xFFFFFFFF:08X}"
    else:
        cause = f"ended with exit code {code}"
    return WorkerError(f"The worker process {cause}; run again, and report it if it recurs. Its last words:\n{words}")


_shared: Worker | None = None


def shared_worker() -> Worker:
    """The application's one worker; its process ends with the application at the latest."""
    global _shared
    if _shared is None:
        _shared = Worker()
    return _shared
