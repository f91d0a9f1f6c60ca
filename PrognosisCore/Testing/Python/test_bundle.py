"""Bundles that are sound load; everything else is refused in one sentence, with nothing executed."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from bundle_cases import *  # noqa: F403
from bundle_cases import GRAPH, METADATA, WEIGHTS, edit_metadata, list_again, refused, the_files, the_metadata

from PrognosisLib.bundles.bundle import Bundle, write_bundle
from PrognosisLib.errors import BundleError

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")


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
