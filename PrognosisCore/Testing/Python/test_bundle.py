"""Bundles that are sound load; everything else is refused in one sentence, with nothing executed."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import stat
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from safetensors.numpy import save_file

from PrognosisLib.bundles.bundle import Bundle, image_format, segmentation_format, write_bundle
from PrognosisLib.bundles.store import import_bundle, list_bundles, remove_bundle
from PrognosisLib.bundles.tensors import FormatError, read_graph, read_header, read_weights
from PrognosisLib.errors import BundleError

WEIGHTS = "models/fine.safetensors"
GRAPH = "models/fine.onnx"
METADATA = "configs/metadata.json"
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")


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


def test_a_sound_bundle_loads(good: Path) -> None:
    bundle = Bundle.load(good, "spleen", channels=1, classes=3)
    assert bundle.weights("fine")["stem.weight"].shape == (4, 1, 4, 4, 4)
    assert bundle.json("risk") == {"age": 0.5}
    assert bundle.card == "# Model card\n"
    assert bundle.file(GRAPH) == good / GRAPH
    assert bundle.is_simulated
    assert bundle.is_part_simulated("risk")
    assert not bundle.is_part_simulated("segmentation")
    sha256 = hashlib.sha256((good / METADATA).read_bytes()).hexdigest()
    assert bundle.identity == {"name": "Test spleen", "version": "1.2.3", "sha256": sha256}


def test_a_file_that_is_not_there_is_named(good: Path) -> None:
    with pytest.raises(BundleError, match=r"no 'models/coarse\.onnx'"):
        Bundle.load(good, "spleen").file("models/coarse.onnx")


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


@pytest.mark.parametrize(
    "entry",
    [
        {"network_def": {"_target_": "os.system", "command": "touch marker"}},
        {"deep": [{"er": [{"_requires_": "$__import__('os')"}]}]},
        {"_mode_": "debug"},
        {"value": "$__import__('os').system('true')"},
        {"value": " @network"},
        {"value": "%configs/other.json#a"},
    ],
)
@pytest.mark.parametrize("name", [METADATA, "models/risk.json", "configs/inference.json"])
def test_executable_config_is_refused(good: Path, name: str, entry: dict[str, Any]) -> None:
    if name == METADATA:
        edit_metadata(good, **entry)
    else:
        (good / name).write_text(json.dumps(entry))
        list_again(good)
    refused(good, f"'{name}' holds an executable entry")


@pytest.mark.parametrize("name", ["../outside.json", "/etc/passwd", "models/../../outside.json", "..\\outside.json"])
def test_listed_path_outside_is_refused(good: Path, name: str) -> None:
    (good.parent / "outside.json").write_text("{}")
    files = json.loads((good / METADATA).read_text())["files"]
    edit_metadata(good, files={**files, name: "0" * 64})
    refused(good, "lies outside its folder")


@posix_only
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_link_is_refused(good: Path, tmp_path: Path, kind: str) -> None:
    if kind == "file":
        shutil.move(good / "LICENSE", tmp_path / "LICENSE")
        (good / "LICENSE").symlink_to(tmp_path / "LICENSE")
    else:
        shutil.move(good / "models", tmp_path / "elsewhere")
        (good / "models").symlink_to(tmp_path / "elsewhere")
    refused(good, "is a link")


def test_unlisted_file_is_refused(good: Path) -> None:
    (good / "docs" / "more.md").write_text("x")
    refused(good, "'docs/more.md', which its metadata does not list")


def test_missing_file_is_refused(good: Path) -> None:
    (good / WEIGHTS).unlink()
    refused(good, "fine.safetensors' is missing")


@pytest.mark.parametrize("name", ["docs/README.md", "docs/data_license.txt", "LICENSE"])
def test_card_and_licenses_are_required(good: Path, name: str) -> None:
    (good / name).unlink()
    list_again(good)
    refused(good, f"lacks '{name}'")


@pytest.mark.parametrize("keep", [0, 1, 100, -3])
def test_truncated_metadata_is_refused(good: Path, keep: int) -> None:
    content = (good / METADATA).read_bytes()
    (good / METADATA).write_bytes(content[:keep])
    refused(good, "not valid JSON")


def test_bottomless_and_huge_json_are_refused(good: Path) -> None:
    (good / METADATA).write_text("[" * 200_000)
    refused(good, "not valid JSON")
    (good / METADATA).write_text("[" + "1," * 4_000_000 + "1]")
    refused(good, "larger than any metadata")


@pytest.mark.parametrize("key", ["name", "version", "system", "network_data_format", "training", "files"])
def test_required_keys(good: Path, key: str) -> None:
    metadata = json.loads((good / METADATA).read_text())
    del metadata[key]
    (good / METADATA).write_text(json.dumps(metadata))
    refused(good, f"lacks '{key}'")


@pytest.mark.parametrize(
    "training", [{}, {"cohort": {}}, {"cohort": {"simulated": "no"}}, {"cohort": {"simulated": {}}}]
)
def test_the_cohort_must_be_told(good: Path, training: dict[str, Any]) -> None:
    edit_metadata(good, training=training)
    refused(good, "does not say whether its cohort was simulated")


def test_metadata_that_are_not_an_object_are_refused(good: Path) -> None:
    (good / METADATA).write_text("[1]")
    refused(good, "lacks 'name'")


def test_other_system_is_refused(good: Path) -> None:
    edit_metadata(good, system="ich")
    refused(good, "made for 'ich', not for 'spleen'")


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


def test_no_bundle_at_all(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", "no model bundle")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "has no configs/metadata.json")


def test_writing_a_bad_bundle_changes_nothing(good: Path, tmp_path: Path) -> None:
    before = (good / METADATA).read_bytes()
    with pytest.raises(BundleError):
        write_bundle(good, the_metadata(channels=2), the_files(tmp_path / "made"))
    assert (good / METADATA).read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"good", "made"}


def test_writing_again_replaces(good: Path, tmp_path: Path) -> None:
    files = {**the_files(tmp_path / "made"), "docs/README.md": "# New card\n"}
    assert write_bundle(good, the_metadata(), files).card == "# New card\n"
    assert {path.name for path in tmp_path.iterdir()} == {"good", "made"}


def zipped(bundle: Path, target: Path, prefix: str = "") -> Path:
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(bundle.rglob("*")):
            if path.is_file():
                archive.write(path, prefix + path.relative_to(bundle).as_posix())
    return target


@pytest.mark.parametrize("form", ["folder", "zip", "zip with a top folder"])
def test_import_list_remove(good: Path, tmp_path: Path, form: str) -> None:
    root = tmp_path / "own"
    source = good if form == "folder" else zipped(good, tmp_path / "a.zip", "top/" if "top" in form else "")
    bundle = import_bundle(source, root, "spleen")
    assert bundle.path.parent == root
    assert bundle.path.name == "spleen-Test-spleen-1.2.3"
    assert import_bundle(source, root, "spleen").path == bundle.path
    (one,) = list_bundles(root)
    assert (one.name, one.version, one.system, one.problem) == ("Test spleen", "1.2.3", "spleen", "")
    remove_bundle(one.path, root)
    assert list_bundles(root) == []
    assert list(root.iterdir()) == []
    assert good.exists()


def test_another_bundle_of_the_same_name_is_not_overwritten(good: Path, tmp_path: Path) -> None:
    import_bundle(good, tmp_path / "own", "spleen")
    other = write_bundle(good, {**the_metadata(), "note": "other"}, the_files(tmp_path / "made"))
    with pytest.raises(BundleError, match="already imported; remove it first"):
        import_bundle(other.path, tmp_path / "own", "spleen")


def test_bad_imports_leave_nothing(good: Path, tmp_path: Path) -> None:
    root = tmp_path / "own"
    (tmp_path / "text.zip").write_text("hello")
    cut = zipped(good, tmp_path / "cut.zip")
    cut.write_bytes(cut.read_bytes()[:-400])
    (good / WEIGHTS).write_bytes(b"x")
    tampered = zipped(good, tmp_path / "tampered.zip")
    for source in (tmp_path / "text.zip", cut, good, tampered, tmp_path / "absent.zip"):
        with pytest.raises(BundleError):
            import_bundle(source, root, "spleen")
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("name", ["../evil.json", "/tmp/evil.json", "configs/../../evil.json", "..\\evil.json"])
def test_zip_slip_is_refused(good: Path, tmp_path: Path, name: str) -> None:
    source = zipped(good, tmp_path / "a.zip")
    with zipfile.ZipFile(source, "a") as archive:
        member = zipfile.ZipInfo("x")
        member.filename = name
        archive.writestr(member, "{}")
    with pytest.raises(BundleError, match="leads outside the bundle"):
        import_bundle(source, tmp_path / "own", "spleen")
    assert not list(tmp_path.rglob("*evil.json"))


def test_link_in_a_zip_is_refused(good: Path, tmp_path: Path) -> None:
    source = zipped(good, tmp_path / "a.zip")
    with zipfile.ZipFile(source, "a") as archive:
        member = zipfile.ZipInfo("models/link.json")
        member.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(member, "/etc/passwd")
    with pytest.raises(BundleError, match="leads outside the bundle"):
        import_bundle(source, tmp_path / "own", "spleen")


def test_zip_bomb_is_refused(good: Path, tmp_path: Path) -> None:
    source = zipped(good, tmp_path / "a.zip")
    with zipfile.ZipFile(source, "a") as archive:
        for number in range(300):
            archive.writestr(f"docs/{number}.txt", "")
    with pytest.raises(BundleError, match="larger than any bundle"):
        import_bundle(source, tmp_path / "own", "spleen")


@pytest.mark.parametrize("path", ["../good", ".", "..", "nowhere"])
def test_only_imported_bundles_can_be_removed(good: Path, tmp_path: Path, path: str) -> None:
    import_bundle(good, tmp_path / "own", "spleen")
    with pytest.raises(BundleError, match="not an imported bundle"):
        remove_bundle(tmp_path / "own" / path, tmp_path / "own")
    assert good.exists()


def test_damaged_bundle_is_listed_with_its_problem_and_can_be_removed(good: Path, tmp_path: Path) -> None:
    path = import_bundle(good, tmp_path / "own", "spleen").path
    (path / METADATA).write_text("{")
    (one,) = list_bundles(tmp_path / "own")
    assert "not valid JSON" in one.problem
    remove_bundle(one.path, tmp_path / "own")
    assert not path.exists()
