"""The networks of a bundle by the shapes in their files, before any of them is opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import BundleError
from .tensors import FormatError, read_graph, read_header

AGAIN = "export it again with 'prognosis train'"


@dataclass(frozen=True)
class Layers:
    """Tensors that show the channels: (name, axis) of the input and of the output layer in every weight file.

    The default is that of unet.HalfResolutionUNet.
    """

    input: tuple[str, int] = ("stem.weight", 1)
    output: tuple[str, int] = ("head.weight", 1)


UNET_LAYERS = Layers()


def check_networks(
    path: Path,
    present: set[str],
    usual: tuple[int, int],
    layers: Layers | None,
    others: Mapping[str, tuple[int, int]],
) -> None:
    """Weights and graphs directly in "models", with the channels and classes that the system needs.

    Args:
        present: all files of the bundle, as POSIX paths.
        usual: channels and classes of every network that `others` does not name; see `Bundle.load`.

    Raises:
        BundleError: the first thing that is wrong.
    """
    tensors = {}
    for name in sorted(others):
        if f"models/{name}.onnx" not in present:
            raise BundleError(
                f"The bundle has no network 'models/{name}.onnx'; choose a bundle of this system or {AGAIN}."
            )
    for name in sorted(name for name in present if name.endswith((".safetensors", ".onnx"))):
        if not name.startswith("models/") or name.count("/") != 1:
            raise BundleError(f"The bundle's '{name}' is not directly in 'models'; {AGAIN}.")
    for name in sorted(name for name in present if name.endswith(".safetensors")):
        try:
            tensors[Path(name).name] = header = read_header(path / name)
        except FormatError as error:
            raise BundleError(f"The bundle's '{name}' {error}; {AGAIN}.") from None
        if layers is not None and Path(name).stem not in others:
            _check_layer(name, header, layers.input, usual[0], "input channels")
            _check_layer(name, header, layers.output, usual[1], "output classes")
    for name in sorted(name for name in present if name.endswith(".onnx")):
        _check_graph(path, name, tensors, *others.get(Path(name).stem, usual))


def _check_layer(name: str, header: dict, layer: tuple[str, int], expected: int, what: str) -> None:
    entry = header.get(layer[0])
    if entry is None or len(entry.shape) <= layer[1]:
        raise BundleError(f"The bundle's '{name}' has no layer '{layer[0]}' and is of another network; {AGAIN}.")
    check_count(name, entry.shape[layer[1]], expected, what)


def _check_graph(path: Path, name: str, tensors: dict[str, dict], channels: int, classes: int) -> None:
    try:
        graph = read_graph(path / name)
    except FormatError as error:
        raise BundleError(f"The bundle's '{name}' {error}; {AGAIN}.") from None
    for keys, kind, shape in graph.external:
        header = tensors.get(keys.get("location", ""), {})
        place = (kind, shape, keys.get("offset", "0"), keys.get("length"))
        if place not in {(e.kind, e.shape, str(e.start), str(e.length)) for e in header.values()}:
            raise BundleError(f"The bundle's '{name}' takes weights from a place that is not in the bundle; {AGAIN}.")
    sides = ((graph.inputs, channels, "input channels"), (graph.outputs, classes, "output classes"))
    for ports, count, what in sides:
        shape = next(iter(ports.values()), ())
        check_count(name, shape[1] if len(shape) > 1 else None, count, what)


def check_count(name: str, found: Any, expected: int, what: str) -> None:
    """Raises BundleError where a number of channels or classes is not the one expected; None is an open one."""
    if found != expected or isinstance(found, bool):
        raise BundleError(
            f"The bundle's '{name}' has {'no fixed number of' if found is None else found} {what} where {expected} are "
            f"needed; choose a bundle of this system or {AGAIN}."
        )
