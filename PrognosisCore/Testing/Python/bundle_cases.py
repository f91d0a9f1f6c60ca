"""A sound bundle of a tiny network for tests, and what damages it: `from bundle_cases import *` for the fixture."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from safetensors.numpy import save_file

from PrognosisLib.bundles.bundle import Bundle, image_format, segmentation_format, write_bundle
from PrognosisLib.bundles.tensors import read_header
from PrognosisLib.errors import BundleError

__all__ = ["good"]

WEIGHTS = "models/fine.safetensors"
GRAPH = "models/fine.onnx"
METADATA = "configs/metadata.json"


def save_model(
    folder: Path, channels: int = 1, classes: int = 3, location: str = "fine.safetensors", domain: str = "", **more: Any
) -> None:
    """A graph of one convolution and one transposed one, its weights outside, and those weights."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    arrays = {
        "stem.weight": rng.normal(size=(4, channels, 4, 4, 4)).astype(np.float32),
        "head.weight": rng.normal(size=(4, classes, 4, 4, 4)).astype(np.float32),
    }
    save_file(arrays, folder / "fine.safetensors")
    header = read_header(folder / "fine.safetensors")
    initializers = []
    for name, array in arrays.items():
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=array.shape)
        tensor.data_location = TensorProto.EXTERNAL
        place = {"location": location, "offset": header[name].start, "length": header[name].length} | more
        for key, value in place.items():
            tensor.external_data.add(key=key, value=str(value))
        initializers.append(tensor)
    shape = {"pads": [1] * 6, "strides": [2] * 3}
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["image", "stem.weight"], ["deep"], domain=domain, **shape),
            helper.make_node("ConvTranspose", ["deep", "head.weight"], ["logits"], **shape),
        ],
        "test",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, channels, "k", "j", "i"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, classes, "k", "j", "i"])],
        initializers,
    )
    opsets = [helper.make_opsetid("", 17)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    (folder / "fine.onnx").write_bytes(helper.make_model(graph, opset_imports=opsets).SerializeToString())


def the_metadata(channels: int = 1, classes: int = 3) -> dict[str, Any]:
    return {
        "name": "Test spleen",
        "version": "1.2.3",
        "system": "spleen",
        "network_data_format": {
            "inputs": {"image": image_format("CT", [f"channel {n}" for n in range(channels)], 16, [-1.0, 1.0])},
            "outputs": {"pred": segmentation_format([f"class {n}" for n in range(classes)], 16)},
        },
        "training": {"cohort": {"simulated": {"segmentation": False, "risk": True}}, "seeds": [0]},
    }


def the_files(models: Path) -> dict[str, Path | str]:
    return {
        WEIGHTS: models / "fine.safetensors",
        GRAPH: models / "fine.onnx",
        "models/risk.json": json.dumps({"age": 0.5}),
        "docs/README.md": "# Model card\n",
        "docs/data_license.txt": "CC BY 4.0\n",
        "LICENSE": "Apache-2.0\n",
    }


@pytest.fixture
def good(tmp_path: Path) -> Path:
    save_model(tmp_path / "made")
    return write_bundle(tmp_path / "good", the_metadata(), the_files(tmp_path / "made")).path


def edit_metadata(bundle: Path, **changes: Any) -> None:
    file = bundle / METADATA
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def list_again(bundle: Path) -> None:
    """What a clever attacker does: fit the hashes to the changed files."""
    files = [p for p in bundle.rglob("*") if p.is_file() and p.relative_to(bundle).as_posix() != METADATA]
    hashes = {p.relative_to(bundle).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
    edit_metadata(bundle, files=hashes)


def refused(bundle: Path, match: str) -> str:
    with pytest.raises(BundleError, match=match) as caught:
        Bundle.load(bundle, system="spleen", channels=1, classes=3)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    assert any(word in sentence for word in ("again", "choose", "remove", "put the file")), "must say how to mend it"
    return sentence
