"""One batch at a time in a folder: a lock that the system gives back when its process dies, however it dies."""

from __future__ import annotations

import contextlib
import datetime
import errno
import json
import os
import socket
from pathlib import Path
from typing import BinaryIO

from ..errors import InputError
from ..reporting.output import write_error

NAME = "batch.lock"
# The byte that is locked lies behind the text, which others must be able to read (Windows forbids it for locked bytes).
PLACE = 1 << 20
BUSY = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK)


class FolderLock:
    """`with FolderLock(folder):` holds the folder; the file `batch.lock` in it says by whom.

    The lock is the operating system's (flock, on Windows a locked byte), so that of a killed process is free at once,
    whoever has its number now. Where the file was left by a process of another computer, or the file system knows no
    locks, it is not taken over while that process may be alive.

    Raises:
        InputError: another process holds it, or the folder cannot be written to.
    """

    def __init__(self, folder: Path) -> None:
        self.path = Path(folder) / NAME
        self._file: BinaryIO | None = None

    def __enter__(self) -> FolderLock:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def acquire(self) -> None:
        while self._file is None:
            try:
                file = open(self.path, "a+b")  # noqa: SIM115 - held until release
            except OSError as error:
                raise write_error(error, self.path.parent) from error
            try:
                is_sure = _lock(file)
                if not _is_still_there(file, self.path):  # its holder has just removed it
                    file.close()
                    continue
                self._refuse_living(file, is_sure)
                _write_holder(file)
            except BlockingIOError:
                holder = _read_holder(file)
                file.close()
                raise InputError(_refusal(self.path.parent, holder, "wait for it or choose another folder")) from None
            except BaseException:
                file.close()
                raise
            self._file = file

    def release(self) -> None:
        """Removes the file and gives the lock back; does nothing where it is not held."""
        file, self._file = self._file, None
        if file is None:
            return
        if os.name != "nt":
            self.path.unlink(missing_ok=True)
        file.close()
        if os.name == "nt":  # an open file cannot be removed there
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)

    def _refuse_living(self, file: BinaryIO, is_sure: bool) -> None:
        """What the lock itself cannot tell: a holder on another computer, or on a file system without locks."""
        holder = _read_holder(file)
        if not holder:
            return
        is_here = holder.get("host") == socket.gethostname()
        if is_here and (is_sure or not _is_alive(holder.get("pid"))):
            return
        how = f"if that has ended, delete '{self.path}' and run again"
        raise InputError(_refusal(self.path.parent, holder, how))


def _refusal(folder: Path, holder: dict, how: str) -> str:
    who = f"process {holder.get('pid', '?')} on {holder.get('host', '?')}, since {holder.get('since', '?')}"
    return f"A batch is under way in '{folder}' ({who}); {how}."


def _lock(file: BinaryIO) -> bool:
    """Whether the lock is had for sure; False where the file system has no locks.

    Raises:
        BlockingIOError: another process has it.
    """
    try:
        if os.name == "nt":
            import msvcrt

            file.seek(PLACE)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in BUSY:
            raise BlockingIOError(error.errno, error.strerror) from error
        return False
    return True


def _is_still_there(file: BinaryIO, path: Path) -> bool:
    if os.name == "nt":
        return True
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def _read_holder(file: BinaryIO) -> dict:
    file.seek(0)
    try:
        holder = json.loads(file.read(4096))
    except ValueError:
        return {}
    return holder if isinstance(holder, dict) else {}


def _write_holder(file: BinaryIO) -> None:
    since = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    file.truncate(0)
    file.write(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": since}).encode())
    file.flush()


def _is_alive(pid: object) -> bool:
    if not isinstance(pid, int) or pid <= 0:
        return False
    if os.name == "nt":
        return True  # os.kill would end it
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
