"""Torch and ONNX Runtime agree on weights that are stored once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from torch import nn

from PrognosisLib.bundles.bundle import Bundle, image_format, segmentation_format, write_bundle
from PrognosisLib.bundles.export import export_onnx, load_weights
from PrognosisLib.bundles.tensors import read_graph, read_weights
from PrognosisLib.learning.unet import HalfResolutionUNet

WIDTHS = (8, 16, 24)


@pytest.fixture
def network() -> nn.Module:
    """Small, with normalization statistics that are not those of an untrained one."""
    torch.manual_seed(0)
    made = HalfResolutionUNet(1, 3, WIDTHS)
    for module in made.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
    with torch.no_grad():
        for _ in range(3):
            made(torch.randn(2, 1, 24, 24, 24))
    return made.eval()


@pytest.fixture
def exported(network: nn.Module, tmp_path: Path) -> tuple[Path, Path]:
    graph, weights = tmp_path / "fine.onnx", tmp_path / "fine.safetensors"
    export_onnx(network, graph, weights, (1, 1, 16, 16, 16))
    return graph, weights


@pytest.mark.parametrize("shape", [(16, 24, 32), (40, 8, 16)])
def test_onnxruntime_and_torch_agree(network: nn.Module, exported: tuple[Path, Path], shape: tuple[int, ...]) -> None:
    graph, weights = exported
    image = np.random.default_rng(0).normal(size=(1, 1, *shape)).astype(np.float32)
    session = ort.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    (found,) = session.run(["logits"], {"image": image})
    twin = load_weights(HalfResolutionUNet(1, 3, WIDTHS), read_weights(weights))
    with torch.no_grad():
        expected = twin(torch.from_numpy(image)).numpy()
        original = network(torch.from_numpy(image)).numpy()
    assert found.shape == (1, 3, *shape)
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert 0 < np.abs(expected - original).max() < 0.02 * np.abs(original).max()


def test_weights_are_stored_once_in_two_bytes(network: nn.Module, exported: tuple[Path, Path]) -> None:
    graph, weights = exported
    count = sum(parameter.numel() for parameter in network.parameters())
    assert weights.stat().st_size < 2.2 * count + 10_000
    assert graph.stat().st_size < 0.2 * weights.stat().st_size


def test_runtime_folds_the_graph_into_plain_convolutions(exported: tuple[Path, Path], tmp_path: Path) -> None:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    ort.InferenceSession(str(exported[0]), options, providers=["CPUExecutionProvider"])
    kinds = {node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node}
    assert "Conv" in kinds or "FusedConv" in kinds
    assert not kinds & {"Cast", "BatchNormalization", "Identity"}


def test_graph_shape_is_read_without_onnx(exported: tuple[Path, Path]) -> None:
    graph = read_graph(exported[0])
    assert graph.inputs == {"image": (1, 1, None, None, None)}
    assert graph.outputs == {"logits": (1, 3, None, None, None)}
    assert {keys["location"] for keys, _, _ in graph.external} == {"fine.safetensors"}


def test_exported_network_makes_a_sound_bundle_that_moves(exported: tuple[Path, Path], tmp_path: Path) -> None:
    metadata = {
        "name": "Test",
        "version": "1",
        "system": "spleen",
        "network_data_format": {
            "inputs": {"image": image_format("CT", ["image"], 8, [-1.0, 1.0])},
            "outputs": {"pred": segmentation_format(["background", "spleen", "liver"], 8)},
        },
        "training": {"cohort": {"simulated": False}},
    }
    files = {f"models/{path.name}": path for path in exported}
    files |= {"docs/README.md": "card", "docs/data_license.txt": "none", "LICENSE": "Apache-2.0"}
    folder = write_bundle(tmp_path / "bundle", metadata, files).path.rename(tmp_path / "moved")
    bundle = Bundle.load(folder, "spleen", channels=1, classes=3)
    assert not bundle.is_simulated
    session = ort.InferenceSession(str(bundle.file("models/fine.onnx")), providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].shape[:2] == [1, 1]


class TwoImages(nn.Module):
    """Two 2D inputs, a map and a pooled score."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, 4, 3, padding=1)
        self.score = nn.Linear(4, 2)

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.layer(a) - self.layer(b)
        return features, self.score(features.mean((2, 3)))


def test_several_inputs_and_outputs(tmp_path: Path) -> None:
    network = TwoImages().eval()
    graph = tmp_path / "a.onnx"
    export_onnx(network, graph, tmp_path / "a.safetensors", (1, 1, 16, 16), ("t1", "t2"), ("map", "score"))
    session = ort.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    a, b = np.random.default_rng(0).normal(size=(2, 1, 1, 20, 24)).astype(np.float32)
    found = session.run(["map", "score"], {"t1": a, "t2": b})
    with torch.no_grad():
        expected = network(torch.from_numpy(a), torch.from_numpy(b))
    assert found[0].shape == (1, 4, 20, 24)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other.numpy(), atol=5e-3)


def test_weight_too_large_for_float16_is_refused(network: nn.Module, tmp_path: Path) -> None:
    with torch.no_grad():
        network.stem.weight[0, 0, 0, 0, 0] = 1e6
    with pytest.raises(ValueError, match=r"stem\.weight.*float16"):
        export_onnx(network, tmp_path / "a.onnx", tmp_path / "a.safetensors", (1, 1, 16, 16, 16))
    assert list(tmp_path.iterdir()) == []
