"""Python objects with big arrays handed from one process to another through a memory-mapped file.

Everything but the arrays is pickled (protocol 5); the arrays follow as raw, aligned bytes and are mapped, not copied,
by the receiver. A payload is only ever read by the process it was written for: both ends belong to one worker.
"""

from __future__ import annotations

import io
import json
import mmap
import os
import pickle
import shutil
import struct
import sys
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

ALIGNMENT = 64
# Smaller arrays cost less inside the pickle than as a block of their own.
SMALLEST_BLOCK = 16 * 1024
SPARE_BYTES = 64 * 2**20


class _Pickler(pickle.Pickler):
    """Makes every array plain and contiguous, so that its bytes stay outside the pickle."""

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
    blocks: list[memoryview] = []

    def keep_inside(buffer: pickle.PickleBuffer) -> bool:
        view = buffer.raw()
        if view.nbytes < SMALLEST_BLOCK:
            return True
        blocks.append(view)
        return False

    head = io.BytesIO()
    _Pickler(head, protocol=5, buffer_callback=keep_inside).dump(value)
    parts = [head.getbuffer(), *blocks]
    index = json.dumps([part.nbytes for part in parts]).encode()
    size = sum(part.nbytes for part in parts)
    folder = next((f for f in folders if shutil.disk_usage(f).free > size + SPARE_BYTES), folders[-1])
    path = folder / uuid.uuid4().hex
    try:
        with path.open("wb") as stream:
            stream.write(struct.pack("<Q", len(index)) + index)
            for part in parts:
                stream.write(bytes(-stream.tell() % ALIGNMENT))
                stream.write(part)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    return path


def load(path: Path) -> Any:
    """Read what `save` wrote and delete the file. Arrays are writable and private to the receiver."""
    try:
        with path.open("rb") as stream:
            if sys.platform == "win32":  # a mapped file cannot be deleted there
                content = memoryview(bytearray(stream.read()))
            else:
                content = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY))
    finally:
        path.unlink(missing_ok=True)
    (length,) = struct.unpack_from("<Q", content)
    position = 8 + length
    parts = []
    for size in json.loads(bytes(content[8:position])):
        position += -position % ALIGNMENT
        parts.append(content[position : position + size])
        position += size
    return pickle.loads(parts[0], buffers=parts[1:])
