"""Trained networks to files of a bundle: one safetensors file and an ONNX graph that reads its weights from there.

Kernels are stored as float16, vectors (biases, normalization) as float32. The graph widens the kernels at once, so a
runtime folds Cast and batch normalization into the convolutions when it opens the graph and computes in float32.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper
from safetensors.numpy import save_file
from torch import nn

from ..systems import EXTENSION_FOLDER
from .tensors import Header, read_header

OPSET = 17


def save_weights(network: nn.Module, path: Path) -> None:
    """The state dict as safetensors: tensors of two and more axes in float16, everything else in its own type.

    Raises:
        ValueError: a kernel holds a value that float16 cannot hold.
    """
    tensors = {}
    for name, value in network.state_dict().items():
        array = value.detach().cpu().contiguous().numpy()
        if array.ndim >= 2 and array.dtype == np.float32:
            if not np.all(np.abs(array) < np.finfo(np.float16).max):
                raise ValueError(f"The weight '{name}' is not finite or too large for float16; train again.")
            array = array.astype(np.float16)
        tensors[name] = array
    save_file(tensors, path)


def load_weights(network: nn.Module, weights: Mapping[str, np.ndarray]) -> nn.Module:
    """Put the arrays of `Bundle.weights` into a network of the same layout; returns it in evaluation mode."""
    state = {name: torch.from_numpy(np.array(value)) for name, value in weights.items()}
    network.load_state_dict(state)
    return network.eval()


def export_onnx(
    network: nn.Module,
    path_onnx: Path,
    path_safetensors: Path,
    example_shape: Sequence[int],
    inputs: Sequence[str] = ("image",),
    outputs: Sequence[str] = ("logits",),
) -> None:
    """Write both files of a network; `path_onnx` holds no weight of its own and must stay beside `path_safetensors`.

    Args:
        network: in float32 on the CPU; exported in evaluation mode.
        example_shape: (n, channels, k, j, i) or (n, channels, j, i) of every input; the spatial axes stay dynamic, and
            so does the first where the example has n over 1.
        inputs, outputs: names in the graph, in the order of `forward`. An output of three and more axes is spatial.
    """
    if path_onnx.parent != path_safetensors.parent:
        raise ValueError("The graph and its weights must be in one folder.")
    network.eval()
    save_weights(network, path_safetensors)
    graph = _trace(network, example_shape, inputs, outputs)
    _point_outside(graph, read_header(path_safetensors), path_safetensors.name)
    path_onnx.write_bytes(graph.SerializeToString())
    onnx.checker.check_model(str(path_onnx))


def network_files(
    network: nn.Module, folder: Path, name: str, example_shape: Sequence[int], outputs: Sequence[str], data_license: str
) -> dict[str, Path | str]:
    """Both files of a network, written into `folder`, and the licenses: what `write_bundle` takes, without the card."""
    folder.mkdir(parents=True, exist_ok=True)
    graph, weights = folder / f"{name}.onnx", folder / f"{name}.safetensors"
    export_onnx(network, graph, weights, example_shape, outputs=outputs)
    return {
        f"models/{graph.name}": graph,
        f"models/{weights.name}": weights,
        "LICENSE": EXTENSION_FOLDER / "LICENSE.txt",
        "docs/data_license.txt": data_license,
    }


def _trace(
    network: nn.Module, example_shape: Sequence[int], inputs: Sequence[str], outputs: Sequence[str]
) -> onnx.ModelProto:
    """The graph with batch normalization unfolded, so that its initializers are the state dict's tensors."""
    examples = tuple(torch.zeros(*example_shape) for _ in inputs)
    with torch.no_grad():
        found = network(*examples)
    shapes = dict.fromkeys(inputs, example_shape)
    found = found if isinstance(found, tuple) else (found,)
    shapes |= {name: tuple(value.shape) for name, value in zip(outputs, found, strict=True)}
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            network,
            examples,
            content,
            dynamo=False,  # the newer exporter renames and folds the weights
            opset_version=OPSET,
            training=torch.onnx.TrainingMode.PRESERVE,
            do_constant_folding=False,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes={
                name: {axis: "n" if axis == 0 else f"{name}_{axis}" for axis in _dynamic_axes(shape)}
                for name, shape in shapes.items()
                if _dynamic_axes(shape)
            },
        )
    return onnx.load_from_string(content.getvalue())


def _dynamic_axes(shape: Sequence[int]) -> list[int]:
    return [*([0] if shape[0] > 1 else []), *range(2, len(shape))]


def _point_outside(model: onnx.ModelProto, header: Header, location: str) -> None:
    """Replace the initializers that the safetensors file holds by references into it."""
    kinds = {"F16": TensorProto.FLOAT16, "F32": TensorProto.FLOAT, "I64": TensorProto.INT64}
    widen = []
    for tensor in model.graph.initializer:
        entry = header.get(tensor.name)
        if entry is None:
            continue
        name, kind = tensor.name, kinds[entry.kind]
        if kind == TensorProto.FLOAT16:
            tensor.name = f"{name}.half"
            widen.append(helper.make_node("Cast", [tensor.name], [name], name=f"{name}.widen", to=TensorProto.FLOAT))
        tensor.data_type = kind
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", location), ("offset", entry.start), ("length", entry.length)):
            tensor.external_data.add(key=key, value=str(value))
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*widen, *nodes])
