"""Writing results so that a reader sees all of them or none: temporary names first, moved into place when complete."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from ..errors import InputError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR)
# Writers that are not Python report a full disk in their own words; below this many free bytes it is the cause.
NO_ROOM_BYTES = 1 << 20


def disk_full_error(folder: Path) -> InputError:
    return InputError(f"The disk that holds '{folder}' is full; free some space or choose another output folder.")


def write_error(error: OSError, folder: Path) -> Exception:
    """The InputError that says what a user can do about a failed write; other errors as they are."""
    if error.errno in FULL:
        return disk_full_error(folder)
    if error.errno in REFUSED:
        return InputError(f"Cannot write to '{folder}' ({error.strerror}); choose a folder that you may write to.")
    return error


def write_atomic(path: Path, data: str | bytes) -> Path:
    """Write a whole file (text as UTF-8, line ends as given): afterwards it is complete or as it was before.

    Raises:
        InputError: the disk is full or the folder cannot be written to.
    """
    with move_into_place(path) as file:
        file.write(data.encode("utf-8") if isinstance(data, str) else data)
    return Path(path)


@contextlib.contextmanager
def move_into_place(path: Path) -> Iterator[BinaryIO]:
    """A file to write into piece by piece, which takes the place of `path` when the block succeeds.

    Raises:
        InputError: the disk is full or the folder cannot be written to; an older file is then still there.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise write_error(error, path.parent) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


class OutputFolder:
    """All outputs of one run, or none of them.

    `with OutputFolder(target) as folder:` gives an empty sibling folder to write into. When the block succeeds, its
    content is moved into `target`, where other files stay and files of the same name are replaced; when it fails,
    `target` is as it was and the sibling is gone. If a move fails halfway, the moves already made are undone.

    Raises:
        InputError: `target` is a file, cannot be written to, or its disk is full.
    """

    def __init__(self, target: Path) -> None:
        self.target = Path(target).absolute()
        self.folder = self.target.with_name(f".{self.target.name}.{secrets.token_hex(4)}")
        self._created: list[Path] = []

    def __enter__(self) -> Path:
        if self.target.exists() and not self.target.is_dir():
            raise InputError(f"'{self.target}' is a file; name a folder for the output.")
        try:
            for parent in reversed(self.target.parents):
                if not parent.exists():
                    parent.mkdir()
                    self._created.append(parent)
            self.folder.mkdir()
        except OSError as error:
            self._clean(failed=True)
            raise write_error(error, self.target.parent) from error
        return self.folder

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        done = False
        try:
            if error is None:
                self._move()
                done = True
            elif self._is_full_disk(error):
                raise disk_full_error(self.target) from error
        except OSError as problem:
            raise write_error(problem, self.target) from problem
        finally:
            self._clean(failed=not done)

    def _is_full_disk(self, error: BaseException) -> bool:
        cause = error.__cause__ if isinstance(error, InputError) else error
        if isinstance(cause, OSError) and cause.errno in FULL:
            return True
        return isinstance(cause, RuntimeError) and shutil.disk_usage(self.folder).free < NO_ROOM_BYTES

    def _move(self) -> None:
        """Move every file into place; on failure put back what was there."""
        if not self.target.exists():
            os.rename(self.folder, self.target)
            return
        undo: list[tuple[Path, Path]] = []
        backup = self.folder.with_name(self.folder.name + ".replaced")
        made: list[Path] = []
        try:
            for source in sorted(self.folder.rglob("*")):
                relative = source.relative_to(self.folder)
                place = self.target / relative
                if source.is_dir():
                    if not place.exists():
                        place.mkdir()
                        made.append(place)
                    continue
                if place.is_dir():
                    raise IsADirectoryError(errno.EISDIR, "a folder has the name of an output file", str(place))
                if place.exists() or place.is_symlink():
                    kept = backup / relative
                    kept.parent.mkdir(parents=True, exist_ok=True)
                    os.replace(place, kept)
                    undo.append((kept, place))
                os.replace(source, place)
                undo.append((place, source))
        except OSError:
            for now, before in reversed(undo):
                os.replace(now, before)
            for folder in reversed(made):
                folder.rmdir()
            raise
        finally:
            shutil.rmtree(backup, ignore_errors=True)

    def _clean(self, failed: bool) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        if failed:
            for parent in reversed(self._created):
                with contextlib.suppress(OSError):  # somebody else may have put a file there meanwhile
                    parent.rmdir()
