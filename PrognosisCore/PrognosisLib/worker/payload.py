"""Python objects with big arrays handed from one process to another through a memory-mapped file.

Everything but the arrays is pickled (protocol 5); the arrays follow as raw, aligned bytes and are mapped, not copied,
by the receiver. The frames of cines that are in memory come last and are not even mapped: the receiver reads each when
it is asked for, so that its memory does not grow with a cine's length. Cines in files travel as their description.
A payload is only ever read by the process it was written for: both ends belong to one worker.
"""

from __future__ import annotations

import io
import json
import math
import mmap
import os
import pickle
import shutil
import struct
import sys
import tempfile
import threading
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..images.cine.cine import ArrayFrames, to_gray

ALIGNMENT = 64
# Smaller arrays cost less inside the pickle than as a block of their own.
SMALLEST_BLOCK = 16 * 1024
SPARE_BYTES = 64 * 2**20


class StoredFrames:
    """Frames at the end of a payload file, which has no name any more: each is read when it is asked for."""

    def __init__(self, file: BinaryIO, start: int, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self._file, self._start, self._lock = file, start, threading.Lock()
        self.shape, self.dtype = shape, dtype

    def iterate(self, indices: range, gray: bool = False) -> Iterator[np.ndarray]:
        """The frames of these numbers, ascending, one after the other."""
        for index in indices:
            frame = np.empty(self.shape[1:], self.dtype)
            with self._lock:
                self._file.seek(self._start + index * frame.nbytes)
                self._file.readinto(frame.data.cast("B"))
            yield to_gray(frame) if gray else frame


def _size_of(frames: ArrayFrames | StoredFrames) -> int:
    return math.prod(frames.shape) * frames.dtype.itemsize


class _Pickler(pickle.Pickler):
    """Makes every array plain and contiguous, so that its bytes stay outside the pickle; keeps frames out, too."""

    def __init__(self, head: io.BytesIO) -> None:
        super().__init__(head, protocol=5, buffer_callback=self._keep_inside)
        self.blocks: list[memoryview] = []
        self.films: list[ArrayFrames | StoredFrames] = []

    def _keep_inside(self, buffer: pickle.PickleBuffer) -> bool:
        view = buffer.raw()
        if view.nbytes < SMALLEST_BLOCK:
            return True
        self.blocks.append(view)
        return False

    def persistent_id(self, value: Any) -> tuple[int, tuple[int, ...], str] | None:
        if not isinstance(value, ArrayFrames | StoredFrames):
            return None
        self.films.append(value)
        return sum(map(_size_of, self.films[:-1])), value.shape, value.dtype.str

    def reducer_override(self, value: Any) -> Any:
        if not isinstance(value, np.ndarray) or value.dtype.hasobject:
            return NotImplemented
        plain = np.asarray(value)
        if not plain.flags.c_contiguous and not plain.flags.f_contiguous:
            plain = np.ascontiguousarray(plain)
        return plain.__reduce_ex__(5)


def make_folders() -> list[Path]:
    """New private folders for payloads, fastest first: in memory where the system has such a place, and on disk."""
    roots = [Path("/dev/shm")] if os.access("/dev/shm", os.W_OK) else []
    prefix = f"prognosis-worker-{os.getpid()}-"
    return [Path(tempfile.mkdtemp(prefix=prefix, dir=root)) for root in [*roots, None]]


def remove_folders(folders: Sequence[Path]) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def save(value: Any, folders: Sequence[Path]) -> Path:
    """Write `value` into the first folder with room for it.

    Raises:
        OSError: the disk is full; nothing is left behind.
    """
    head = io.BytesIO()
    pickler = _Pickler(head)
    pickler.dump(value)
    parts = [head.getbuffer(), *pickler.blocks]
    index = json.dumps([part.nbytes for part in parts]).encode()
    size = sum(part.nbytes for part in parts) + sum(map(_size_of, pickler.films))
    folder = next((f for f in folders if shutil.disk_usage(f).free > size + SPARE_BYTES), folders[-1])
    path = folder / uuid.uuid4().hex
    try:
        with path.open("wb") as stream:
            stream.write(struct.pack("<Q", len(index)) + index)
            for part in parts:
                stream.write(bytes(-stream.tell() % ALIGNMENT))
                stream.write(part)
            for frames in pickler.films:
                for frame in frames.iterate(range(frames.shape[0])):
                    stream.write(np.ascontiguousarray(frame).data)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    return path


class _Unpickler(pickle.Unpickler):
    """Gives frames that lie at the end of the file: `films_start` is where they begin."""

    def __init__(self, head: memoryview, buffers: Sequence[memoryview], file: BinaryIO, films_start: int) -> None:
        super().__init__(io.BytesIO(head), buffers=buffers)
        self._file, self._films_start = file, films_start

    def persistent_load(self, pid: tuple[int, tuple[int, ...], str]) -> StoredFrames:
        offset, shape, dtype = pid
        return StoredFrames(self._file, self._films_start + offset, shape, np.dtype(dtype))


def load(path: Path) -> Any:
    """Read what `save` wrote and delete the file. Arrays are writable and private to the receiver."""
    file: BinaryIO = path.open("rb", buffering=0)
    try:
        if sys.platform == "win32":  # an open file cannot be deleted there
            with file:
                file = io.BytesIO(file.read())
            content = file.getbuffer()
        else:
            content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    finally:
        path.unlink(missing_ok=True)
    (length,) = struct.unpack_from("<Q", content)
    position = 8 + length
    parts = []
    for size in json.loads(bytes(content[8:position])):
        position += -position % ALIGNMENT
        parts.append(content[position : position + size])
        position += size
    return _Unpickler(parts[0], parts[1:], file, position).load()
