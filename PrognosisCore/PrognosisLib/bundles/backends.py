"""Running a bundled network: ONNX Runtime on the CPU (no torch needed), torch on a GPU where both are there.

ONNX Runtime was chosen over OpenVINO on figures: nearly as fast end to end, less memory, less than half the download,
and no telemetry package (see Testing/benchmarks). The two backends are held to each other by tests.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ..errors import InputError

if TYPE_CHECKING:
    from torch import nn

    from .bundle import Bundle

DEVICES = ("auto", "cpu", "gpu")


class Network(Protocol):
    """A loaded network: (n, channels, ...) float32 to (n, classes, ...) float32 logits, of planes or volumes.

    A call gives the first output; `outputs` gives all of a network of several tasks, in their order in the graph.
    """

    device: str

    def __call__(self, image: np.ndarray) -> np.ndarray: ...

    def outputs(self, image: np.ndarray) -> list[np.ndarray]: ...


class OnnxNetwork:
    """CPU inference by ONNX Runtime; the session frees its memory between runs so that a warm worker stays small."""

    def __init__(self, bundle: Bundle, name: str, threads: int) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise InputError(
                "ONNX Runtime is not installed; accept the installation on Apply, or run: pip install onnxruntime"
            ) from error
        onnxruntime.disable_telemetry_events()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        options.enable_mem_pattern = False
        self._run_options = onnxruntime.RunOptions()
        self._run_options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        self._session = onnxruntime.InferenceSession(
            str(bundle.file(f"models/{name}.onnx")), options, providers=["CPUExecutionProvider"]
        )
        self.device = "CPU (ONNX Runtime)"

    def __call__(self, image: np.ndarray) -> np.ndarray:
        return self.outputs(image)[0]

    def outputs(self, image: np.ndarray) -> list[np.ndarray]:
        feed = {self._session.get_inputs()[0].name: np.ascontiguousarray(image, dtype=np.float32)}
        return self._session.run(None, feed, self._run_options)


class TorchNetwork:
    """Inference by torch on CUDA (or, for comparison, on the CPU), from the same weights as the ONNX graph."""

    def __init__(self, bundle: Bundle, name: str, build: Callable[[], nn.Module], device: str) -> None:
        import torch

        self._torch = torch
        self._target = torch.device(device)
        network = build()
        network.load_state_dict({key: torch.from_numpy(np.array(value)) for key, value in bundle.weights(name).items()})
        self._network = network.eval().to(self._target)
        self.device = torch.cuda.get_device_name() if device == "cuda" else "CPU (torch)"

    def __call__(self, image: np.ndarray) -> np.ndarray:
        return self.outputs(image)[0]

    def outputs(self, image: np.ndarray) -> list[np.ndarray]:
        torch = self._torch
        layout = torch.channels_last if image.ndim == 4 else torch.channels_last_3d
        try:
            with torch.inference_mode():
                tensor = torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32)).to(self._target)
                found = self._network.to(memory_format=layout)(tensor.contiguous(memory_format=layout))
                found = found if isinstance(found, tuple) else (found,)
                return [one.float().cpu().numpy() for one in found]
        except torch.cuda.OutOfMemoryError as error:
            message = "The GPU has too little free memory for this scan; set Device to CPU and apply again."
            raise InputError(message) from error


def gpu_available() -> bool:
    """Whether torch is installed and sees a CUDA device.

    torch takes seconds and hundreds of MB to import, so the driver is looked for first.
    """
    from importlib.util import find_spec

    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    if find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available()


def load_network(
    bundle: Bundle, name: str, build: Callable[[], nn.Module], device: str = "auto", threads: int = 0
) -> Network:
    """The network `name` of a verified bundle on the device asked for.

    Args:
        build: makes the untrained torch network; only called for a GPU.
        device: "auto" takes a GPU when torch sees one, "cpu", or "gpu".
        threads: CPU threads; 0 takes every core that this process may use.

    Raises:
        InputError: "gpu" was asked for and there is none, or the runtime is not installed.
    """
    if device not in DEVICES:
        raise InputError(f"The device '{device}' is not known; choose one of: {', '.join(DEVICES)}.")
    if device == "gpu" and not gpu_available():
        raise InputError("No CUDA GPU can be used here (torch with CUDA is needed); set Device to auto or CPU.")
    if device == "gpu" or (device == "auto" and gpu_available()):
        return TorchNetwork(bundle, name, build, "cuda")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return OnnxNetwork(bundle, name, threads or cores)
