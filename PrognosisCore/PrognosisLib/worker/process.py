"""The worker's child process as its parent sees it: start, messages, last words and a certain end."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import site
import subprocess
import sys
import time
import weakref
from collections.abc import Sequence
from multiprocessing.connection import Client, Connection, wait
from pathlib import Path

from ..errors import WorkerError
from . import payload

# Environment variable that carries the address, key and folders to the child.
ORDER_VARIABLE = "PROGNOSIS_WORKER"
START_SECONDS = 60.0
END_SECONDS = 2.0
STDERR_LINES = 8


class Ended(Exception):
    """The child process closed its connection or ended."""


def default_executable() -> str:
    """The Python that runs the worker: in Slicer the PythonSlicer beside it, elsewhere this interpreter."""
    if "slicer" in sys.modules:
        home = os.environ.get("SLICER_HOME")
        beside = shutil.which("PythonSlicer", path=os.path.join(home, "bin")) if home else None
        return beside or shutil.which("PythonSlicer") or sys.executable
    return sys.executable


class Child:
    """The process, its connection and its private folders; all of them go together, at the latest when the
    interpreter ends or the object is collected."""

    def __init__(self, executable: str, threads: int | None) -> None:
        self.executable, self.threads, self.paths = executable, threads, import_paths()
        self.folders = payload.make_folders()
        shortest = min(self.folders, key=lambda folder: len(str(folder)))  # a socket's path may have 104 bytes
        name = f"prognosis-{secrets.token_hex(8)}"
        self._address = rf"\\.\pipe\{name}" if sys.platform == "win32" else str(shortest / "socket")
        self._key = secrets.token_bytes(32)
        self._connection: Connection | None = None
        self._give_up_at = time.monotonic() + START_SECONDS
        self._stderr = self.folders[-1] / "stderr.txt"
        order = {"address": self._address, "key": self._key.hex(), "folders": [str(f) for f in self.folders]}
        try:
            self._process = self._start({**_environment(self.paths, threads), ORDER_VARIABLE: json.dumps(order)})
        except OSError as error:
            payload.remove_folders(self.folders)
            raise WorkerError(
                f"The Python interpreter '{executable}' cannot be started ({error.strerror}); "
                "reinstall 3D Slicer or choose another interpreter."
            ) from error
        self._pids = {self._process.pid}
        self._finalizer = weakref.finalize(self, _destroy, self._process, self._pids, self.folders, os.getpid())

    def _start(self, environment: dict[str, str]) -> subprocess.Popen:
        # A session of its own, so that the whole tree (a launcher, too) can be killed and Ctrl-C stays with the parent.
        flags = {"creationflags": subprocess.CREATE_NO_WINDOW} if sys.platform == "win32" else {}
        with self._stderr.open("ab") as stream:
            return subprocess.Popen(
                [self.executable, "-m", "PrognosisLib.worker.child"],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                env=environment,
                start_new_session=True,
                **flags,
            )

    @property
    def pid(self) -> int:
        """Of the Python process; of its launcher until it has answered."""
        others = self._pids - {self._process.pid}
        return others.pop() if others else self._process.pid

    @property
    def is_dead(self) -> bool:
        return self._process.poll() is not None

    @property
    def is_connected(self) -> bool:
        return self._connection is not None

    def send(self, message: dict) -> None:
        with contextlib.suppress(OSError):  # where the child is gone, receive() finds out and says why
            self._connection.send_bytes(json.dumps(message).encode())

    def receive(self) -> dict | None:
        """The next message, or None where there is none yet.

        Raises:
            Ended: the child is gone and all its messages have been read.
        """
        try:
            if self._connection is None and not self._connect():
                return None
            if not self._connection.poll():
                return None
            message = json.loads(self._connection.recv_bytes())
        except (EOFError, ConnectionError, BrokenPipeError) as error:
            raise Ended from error
        if message["type"] == "hello":
            self._pids.add(message["pid"])
            return self.receive()
        return message

    def _connect(self) -> bool:
        was_dead = self.is_dead
        try:
            self._connection = Client(self._address, authkey=self._key)
        except (FileNotFoundError, ConnectionRefusedError):
            if was_dead or time.monotonic() > self._give_up_at:
                raise Ended from None
            return False
        return True

    def wait(self, seconds: float) -> None:
        """Sleep until something may have happened, at most `seconds`."""
        if self._connection is None:
            time.sleep(min(seconds, 0.01))
        else:
            wait([self._connection], seconds)

    def own_file(self, path: str) -> Path:
        if Path(path).parent not in self.folders:
            raise WorkerError("The worker answered with a file that is not its own; run again.")
        return Path(path)

    def exit_code(self) -> int | None:
        """Exit code of the ended process (negative: signal); None where it had to be killed."""
        try:
            return self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            return None

    def last_words(self) -> str:
        """The last lines of its stderr; of a fatal signal the first ones, which say where it happened."""
        text = self._stderr.read_bytes()[-20000:].decode(errors="replace").replace("\0", "")
        before, fatal, after = text.rpartition("Fatal Python error")
        lines = [line for line in (fatal + after if fatal else before + after).splitlines() if line.strip()]
        return "\n".join(lines[:STDERR_LINES] if fatal else lines[-STDERR_LINES:]) or "(none)"

    def destroy(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._finalizer()


def _destroy(process: subprocess.Popen, pids: set[int], folders: Sequence[Path], owner: int) -> None:
    """Kill the process tree and remove its files; does nothing in a fork of the owner."""
    if os.getpid() != owner:
        return
    if sys.platform == "win32":
        for pid in pids:
            command = ["taskkill", "/F", "/T", "/PID", str(pid)]
            subprocess.run(command, capture_output=True, creationflags=subprocess.CREATE_NO_WINDOW, check=False)
    else:
        for kill, pid in [(os.killpg, process.pid), *((os.kill, pid) for pid in pids - {process.pid})]:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # it has ended already
                kill(pid, signal.SIGKILL)
    process.kill()
    process.wait()
    payload.remove_folders(folders)


def import_paths() -> list[str]:
    """Folders that this process imports from and that a child does not have by itself."""
    library = os.path.dirname(os.__file__)
    # What the child's interpreter has by itself must keep its place behind the standard library.
    own = {library, os.path.join(library, "lib-dynload"), site.getusersitepackages(), *site.getsitepackages()}
    entries = [os.path.abspath(entry) for entry in sys.path if os.path.isdir(entry or ".")]
    return [entry for entry in dict.fromkeys(entries) if entry not in own]


def _environment(paths: Sequence[str], threads: int | None) -> dict[str, str]:
    """The parent's environment and import path, with libraries that sleep, not spin, between their parallel parts."""
    changes = {
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONSAFEPATH": "1",
        "PYTHONIOENCODING": "utf-8",
        "OMP_WAIT_POLICY": "PASSIVE",
        "KMP_BLOCKTIME": "0",
    }
    if threads:
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")
        changes |= dict.fromkeys(names, str(int(threads)))
    return {**os.environ, **changes}
