"""Reads safetensors files and looks into ONNX graphs with nothing but numpy, and runs nothing of what it reads.

Formats: safetensors is an 8-byte length, a JSON header and raw little-endian tensors; ONNX is protocol buffers, of
which only the fields that decide about safety and shape are read (field numbers from the public onnx.proto).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

TYPES = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
ONNX_TYPES = {1: "F32", 2: "U8", 3: "I8", 5: "I16", 6: "I32", 7: "I64", 9: "BOOL", 10: "F16", 11: "F64"}
LONGEST_HEADER = 10 * 2**20
STANDARD_DOMAINS = ("", "ai.onnx")


class FormatError(ValueError):
    """The file is not what its name says; the message completes the sentence 'the file ...'."""


@dataclass(frozen=True)
class Entry:
    """One tensor in a safetensors file: type name, shape, first byte in the file and length in bytes."""

    kind: str
    shape: tuple[int, ...]
    start: int
    length: int


Header = dict[str, Entry]


def read_header(path: Path) -> Header:
    """The tensors of a safetensors file by name.

    Raises:
        FormatError: it is not one, or its header does not fit its content.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 2 <= length <= min(LONGEST_HEADER, size - 8):
            raise FormatError("is not a safetensors file")
        text = stream.read(length)
    try:
        header = json.loads(text)
        items = [(name, value) for name, value in header.items() if name != "__metadata__"]
        entries = {name: _entry(value, 8 + length) for name, value in items}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise FormatError("is not a safetensors file") from None
    position = 8 + length
    for entry in sorted(entries.values(), key=lambda one: (one.start, one.length)):
        if entry.start != position or entry.length != math.prod(entry.shape) * TYPES[entry.kind].itemsize:
            raise FormatError("has a safetensors header that does not fit its content")
        position += entry.length
    if position != size:
        raise FormatError("is longer or shorter than its safetensors header says")
    return entries


def _entry(value: dict, origin: int) -> Entry:
    first, last = (int(offset) for offset in value["data_offsets"])
    shape = tuple(int(n) for n in value["shape"])
    if value["dtype"] not in TYPES or min(shape, default=0) < 0:
        raise ValueError
    return Entry(value["dtype"], shape, origin + first, last - first)


def read_weights(path: Path) -> dict[str, np.ndarray]:
    """All tensors of a safetensors file, in the type they are stored in, read-only."""
    content = path.read_bytes()
    return {
        name: np.frombuffer(content, TYPES[entry.kind], math.prod(entry.shape), entry.start).reshape(entry.shape)
        for name, entry in read_header(path).items()
    }


@dataclass
class Graph:
    """What an ONNX file asks for. Shapes hold None for a dynamic axis."""

    inputs: dict[str, tuple[int | None, ...]] = field(default_factory=dict)
    outputs: dict[str, tuple[int | None, ...]] = field(default_factory=dict)
    external: list[tuple[dict[str, str], str, tuple[int, ...]]] = field(default_factory=list)


def read_graph(path: Path) -> Graph:
    """Inputs, outputs and external data (its keys, type name and shape) of an ONNX file.

    Raises:
        FormatError: it is not one, is damaged, or holds functions or operators beyond the ONNX standard.
    """
    try:
        return _read_model(memoryview(path.read_bytes()))
    except (IndexError, UnicodeDecodeError, RecursionError):
        raise FormatError("is not a readable ONNX graph") from None


def _read_model(content: memoryview) -> Graph:
    graph, found = Graph(), 0
    for number, value in _fields(content):
        if number == 7:
            found += 1
            _read_graph(_bytes(value), graph, is_top=True)
        elif number == 8:
            _check_domain(_bytes(value), 1)
        elif number in (20, 25):  # training steps, functions
            raise FormatError("holds functions of its own")
    if found != 1:
        raise FormatError("is not a readable ONNX graph")
    return graph


def _read_graph(content: memoryview, graph: Graph, is_top: bool = False) -> None:
    initialized = set()
    for number, value in _fields(content):
        if number == 1:
            _read_node(_bytes(value), graph)
        elif number == 5:
            initialized.add(_read_tensor(_bytes(value), graph))
        elif number == 15:
            raise FormatError("holds sparse tensors")
        elif number in (11, 12) and is_top:
            name, shape = _read_value(_bytes(value))
            (graph.inputs if number == 11 else graph.outputs)[name] = shape
    for name in initialized & graph.inputs.keys():
        del graph.inputs[name]


def _read_node(content: memoryview, graph: Graph) -> None:
    _check_domain(content, 7)
    for number, value in _fields(content):
        if number != 5:
            continue
        for part, inner in _fields(_bytes(value)):
            if part in (5, 10):
                _read_tensor(_bytes(inner), graph)
            elif part in (6, 11):
                _read_graph(_bytes(inner), graph)
            elif part in (22, 23):
                raise FormatError("holds sparse tensors")


def _check_domain(content: memoryview, place: int) -> None:
    for number, value in _fields(content):
        if number == place and _text(value) not in STANDARD_DOMAINS:
            raise FormatError(f"uses operators of '{_text(value)}', which are not part of the ONNX standard")


def _read_tensor(content: memoryview, graph: Graph) -> str:
    shape: list[int] = []
    name, kind, is_external = "", 0, False
    keys: list[tuple[str, str]] = []
    for number, value in _fields(content):
        if number == 1:
            shape += [value] if isinstance(value, int) else list(_packed(value))
        elif number == 2:
            kind = value
        elif number == 8:
            name = _text(value)
        elif number == 13:
            pair = dict(_fields(_bytes(value)))
            keys.append((_text(pair.get(1, b"")), _text(pair.get(2, b""))))
        elif number == 14:
            is_external = is_external or value != 0
    if is_external or keys:
        if len(dict(keys)) != len(keys):
            raise FormatError("names the place of a weight twice")
        graph.external.append((dict(keys), ONNX_TYPES.get(kind, ""), tuple(shape)))
    return name


def _read_value(content: memoryview) -> tuple[str, tuple[int | None, ...]]:
    """Name and shape of a ValueInfo: type (2), tensor type (1), shape (2), dimensions (1) with a value (1) or not."""
    name, shape = "", []
    for number, value in _fields(content):
        if number == 1:
            name = _text(value)
        elif number == 2:
            for dimension in _children(_bytes(value), (1, 2, 1)):
                sizes = dict(_fields(dimension))
                shape.append(sizes[1] if isinstance(sizes.get(1), int) else None)
    return name, tuple(shape)


def _children(content: memoryview, path: tuple[int, ...]) -> Iterator[memoryview]:
    for number, value in _fields(content):
        if number == path[0]:
            if len(path) == 1:
                yield _bytes(value)
            else:
                yield from _children(_bytes(value), path[1:])


def _fields(content: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """(field number, value) of a protocol-buffers message: int for a varint, bytes for everything else."""
    position = 0
    while position < len(content):
        key, position = _varint(content, position)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, position = _varint(content, position)
            yield number, value
            continue
        if wire == 2:
            length, position = _varint(content, position)
        else:
            length = {1: 8, 5: 4}.get(wire, len(content))
        if number == 0 or position + length > len(content):
            raise FormatError("is not a readable ONNX graph")
        yield number, content[position : position + length]
        position += length


def _varint(content: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position
        if shift > 63:
            raise FormatError("is not a readable ONNX graph")


def _packed(content: memoryview) -> Iterator[int]:
    position = 0
    while position < len(content):
        value, position = _varint(content, position)
        yield value


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise FormatError("is not a readable ONNX graph")
    return value


def _text(value: int | memoryview) -> str:
    return bytes(_bytes(value)).decode()
