"""Both runtimes compute what the weights say, and devices that are not there are refused."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import phantoms
import pytest

from PrognosisLib.bundles import backends
from PrognosisLib.bundles.backends import OnnxNetwork, TorchNetwork, gpu_available, load_network
from PrognosisLib.bundles.bundle import Bundle
from PrognosisLib.errors import BundleError, InputError


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle.load(phantoms.threshold_bundle(tmp_path_factory.mktemp("backends") / "bundle"), "spleen")


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (1, 1, 16, 24, 32)).astype(np.float32)


def test_runtimes_agree_with_each_other_and_with_the_formula(bundle: Bundle, image: np.ndarray):
    expected = phantoms.Thresholds()(image)
    onnx = OnnxNetwork(bundle, "fine", threads=1)
    torch = TorchNetwork(bundle, "fine", phantoms.thresholding_network, "cpu")
    np.testing.assert_allclose(onnx(image), expected, atol=2e-3)
    np.testing.assert_allclose(torch(image), expected, atol=2e-3)
    assert onnx(image).dtype == torch(image).dtype == np.float32
    assert onnx.device == "CPU (ONNX Runtime)"
    assert torch.device == "CPU (torch)"


def test_images_of_any_memory_layout_and_type_are_taken(bundle: Bundle, image: np.ndarray):
    network = OnnxNetwork(bundle, "coarse", threads=1)
    turned = image.transpose(0, 1, 4, 3, 2)
    np.testing.assert_allclose(network(turned), network(np.ascontiguousarray(turned)))
    np.testing.assert_allclose(network(image.astype(np.float64)), network(image))


def test_a_session_takes_other_shapes_from_call_to_call(bundle: Bundle, image: np.ndarray):
    network = OnnxNetwork(bundle, "fine", threads=1)
    for shape in ((16, 16, 16), (32, 16, 48)):
        assert network(np.zeros((1, 1, *shape), dtype=np.float32)).shape == (1, 3, *shape)


def test_auto_takes_the_cpu_where_there_is_no_gpu(bundle: Bundle, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(backends, "gpu_available", lambda: False)

    def build() -> None:
        raise AssertionError("torch is not needed on the CPU")

    assert isinstance(load_network(bundle, "fine", build), OnnxNetwork)
    assert isinstance(load_network(bundle, "fine", build, "cpu", threads=2), OnnxNetwork)
    with pytest.raises(InputError, match="No CUDA GPU can be used here"):
        load_network(bundle, "fine", build, "gpu")


def test_a_device_or_network_that_is_not_known_is_refused(bundle: Bundle):
    with pytest.raises(InputError, match="'abacus' is not known; choose one of: auto, cpu, gpu"):
        load_network(bundle, "fine", phantoms.thresholding_network, "abacus")
    with pytest.raises(BundleError, match=r"models/medium\.onnx"):
        load_network(bundle, "medium", phantoms.thresholding_network, "cpu")


def test_without_onnxruntime_the_message_says_how_to_get_it(bundle: Bundle, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match="pip install onnxruntime"):
        load_network(bundle, "fine", phantoms.thresholding_network, "cpu")


def test_without_a_driver_torch_is_not_imported(monkeypatch: pytest.MonkeyPatch):
    def no_driver(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(backends.ctypes, "CDLL", no_driver)
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it would raise
    assert gpu_available() is False


@pytest.mark.skipif(not Path("/proc/driver/nvidia").exists(), reason="no NVIDIA GPU on this machine")
def test_a_gpu_gives_the_same_logits(bundle: Bundle, image: np.ndarray):
    network = load_network(bundle, "fine", phantoms.thresholding_network, "gpu")
    np.testing.assert_allclose(network(image), phantoms.Thresholds()(image), atol=2e-2)
