"""Weights and graphs of a bundle: sound ones are read, every other one is refused, with nothing executed."""

from __future__ import annotations

import os
import pickle
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from bundle_cases import *  # noqa: F403
from bundle_cases import GRAPH, WEIGHTS, edit_metadata, list_again, refused, save_model, the_files, the_metadata
from onnx import helper
from safetensors.numpy import save_file

from PrognosisLib.bundles.bundle import Bundle, write_bundle
from PrognosisLib.bundles.tensors import FormatError, read_graph, read_weights


def test_weights_read_equal_the_library_s(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    arrays = {
        "half": rng.normal(size=(3, 4)).astype(np.float16),
        "single": rng.normal(size=(2, 2, 2)).astype(np.float32),
        "count": np.array(7, dtype=np.int64),
        "none": np.zeros((0, 3), dtype=np.float32),
    }
    save_file(arrays, tmp_path / "a.safetensors", metadata={"note": "x"})
    found = read_weights(tmp_path / "a.safetensors")
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_tampered_weights_are_refused(good: Path) -> None:
    content = bytearray((good / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (good / WEIGHTS).write_bytes(content)
    refused(good, "fine.safetensors' was changed.*SHA-256")


class Exploit:
    """Pickled code: unpickling it writes the marker."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("name", ["models/model.pt", "models/model.PTH", WEIGHTS, GRAPH, "models/risk.json"])
def test_exploit_pickle_is_refused_and_not_run(good: Path, tmp_path: Path, name: str, protocol: int) -> None:
    marker = tmp_path / "marker"
    exploit = pickle.dumps(Exploit(marker), protocol=protocol)
    (good / name).write_bytes(exploit)
    list_again(good)
    refused(good, name.replace(".", r"\."))
    assert not marker.exists()
    pickle.loads(exploit)
    assert marker.exists(), "the exploit must be a real one"


def test_zip_under_another_name_is_refused(good: Path) -> None:
    with zipfile.ZipFile(good / WEIGHTS, "w") as archive:
        archive.writestr("data.pkl", "x")
    list_again(good)
    refused(good, "fine.safetensors' is a pickle or archive under another name")


def test_weights_whose_header_length_looks_like_a_pickle_load(good: Path) -> None:
    content = (good / WEIGHTS).read_bytes()
    length = int.from_bytes(content[:8], "little")
    text = content[8 : 8 + length].ljust(0x280)  # 80 02 00 ...
    (good / WEIGHTS).write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])
    (good / GRAPH).unlink()
    list_again(good)
    assert Bundle.load(good, "spleen").weights("fine")["head.weight"].shape == (4, 3, 4, 4, 4)


@pytest.mark.parametrize(("channels", "classes", "words"), [(2, 3, "2 input channels"), (1, 5, "5 output classes")])
def test_wrong_counts_are_refused_wherever_they_show(tmp_path: Path, channels: int, classes: int, words: str) -> None:
    save_model(tmp_path / "made", channels, classes)
    files = the_files(tmp_path / "made")
    bundle = write_bundle(tmp_path / "b", the_metadata(channels, classes), files, channels, classes).path
    refused(bundle, f"metadata.json' has {words}")
    honest = the_metadata()["network_data_format"]
    edit_metadata(bundle, network_data_format=honest)
    refused(bundle, f"fine.safetensors' has {words}")
    save_model(tmp_path / "other")
    shutil.copyfile(tmp_path / "other" / "fine.safetensors", bundle / WEIGHTS)
    model = onnx.load(bundle / GRAPH, load_external_data=False)
    del model.graph.initializer[:]
    (bundle / GRAPH).write_bytes(model.SerializeToString())
    list_again(bundle)
    refused(bundle, f"fine.onnx' has {words}")


def test_weights_of_another_network_are_refused(good: Path) -> None:
    save_file({"layer": np.zeros((2, 2), dtype=np.float32)}, good / WEIGHTS)
    (good / GRAPH).unlink()
    list_again(good)
    refused(good, "no layer 'stem.weight'")


@pytest.mark.parametrize("damage", ["short", "long", "text", "empty"])
def test_damaged_weights_are_refused(good: Path, damage: str) -> None:
    content = (good / WEIGHTS).read_bytes()
    changed = {"short": content[:-4], "long": content + b"1234", "text": b"hello" * 10, "empty": b""}[damage]
    (good / WEIGHTS).write_bytes(changed)
    list_again(good)
    refused(good, "fine.safetensors' (is not a|is longer|has a) ?")


@pytest.mark.parametrize(
    "place",
    [
        {"location": "../../../etc/passwd"},
        {"location": "/etc/passwd"},
        {"location": "risk.json"},
        {"location": "*/_ORT_MEM_ADDR_/*"},
        {"offset": 0},
        {"length": 16},
    ],
)
def test_graph_that_reads_elsewhere_is_refused(good: Path, place: dict[str, Any]) -> None:
    save_model(good / "models", **place)
    list_again(good)
    refused(good, "fine.onnx' takes weights from a place that is not in the bundle")


def test_graph_with_custom_operators_is_refused(good: Path) -> None:
    save_model(good / "models", domain="evil.corp")
    list_again(good)
    refused(good, "operators of 'evil.corp'")


def test_custom_operator_inside_a_branch_is_found(tmp_path: Path) -> None:
    branch = helper.make_graph([helper.make_node("Evil", [], ["y"], domain="evil.corp")], "b", [], [])
    node = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    model = helper.make_model(helper.make_graph([node], "g", [], []), opset_imports=[helper.make_opsetid("", 17)])
    (tmp_path / "a.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(FormatError, match=r"evil\.corp"):
        read_graph(tmp_path / "a.onnx")


def test_damaged_graphs_never_raise_anything_else(good: Path) -> None:
    content = (good / GRAPH).read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(400):
        changed = bytearray(content[: rng.integers(1, len(content) + 1)])
        for place in rng.integers(0, len(changed), 3):
            changed[place] = rng.integers(0, 256)
        (good / GRAPH).write_bytes(changed)
        try:
            read_graph(good / GRAPH)
        except FormatError as error:
            assert str(error)  # noqa: PT017
