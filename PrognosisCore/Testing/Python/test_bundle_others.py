"""Bundles with networks of their own channels: each must be there and be what its graph says."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from bundle_cases import *  # noqa: F403
from bundle_cases import GRAPH, WEIGHTS, save_model, the_files, the_metadata

from PrognosisLib.bundles.bundle import UNET_LAYERS, Bundle, Layers, write_bundle
from PrognosisLib.errors import BundleError

ENCODER = {"encoder": (2, 5)}


def with_encoder(folder: Path, channels: int = 2, classes: int = 5, name: str = "encoder") -> dict:
    """Files of a bundle with a second network of other channels."""
    save_model(folder / "made")
    save_model(folder / "other", channels, classes, location=f"{name}.safetensors")
    files = the_files(folder / "made")
    for kind in (WEIGHTS, GRAPH):
        suffix = Path(kind).suffix
        renamed = shutil.copyfile(folder / "other" / f"fine{suffix}", folder / "other" / f"{name}{suffix}")
        files[f"models/{name}{suffix}"] = Path(renamed)
    return files


def write(folder: Path, files: dict, others=ENCODER, layers: Layers = UNET_LAYERS) -> Bundle:
    return write_bundle(folder / "bundle", the_metadata(), files, layers=layers, others=others)


def test_a_network_of_other_channels_is_accepted_where_it_is_named(tmp_path: Path):
    bundle = write(tmp_path, with_encoder(tmp_path))
    assert set(bundle.weights("encoder")) == set(bundle.weights("fine"))
    assert Bundle.load(bundle.path, "spleen", others=ENCODER).identity == bundle.identity
    with pytest.raises(BundleError, match=r"encoder.* has 2 input channels where 1 are needed"):
        Bundle.load(bundle.path, "spleen")


def test_its_weights_need_not_have_the_usual_layers(tmp_path: Path):
    files = with_encoder(tmp_path)
    with pytest.raises(BundleError, match=r"no layer 'first\.weight'"):
        write(tmp_path, files, layers=Layers(("first.weight", 1), ("head.weight", 1)))
    alone = {name: file for name, file in files.items() if "fine" not in name}
    assert write(tmp_path, alone, layers=Layers(("first.weight", 1), ("last.weight", 1))).path.is_dir()


@pytest.mark.parametrize(("channels", "classes", "what"), [(3, 5, "3 input channels"), (2, 4, "4 output classes")])
def test_a_network_of_the_wrong_size_is_refused(tmp_path: Path, channels: int, classes: int, what: str):
    files = with_encoder(tmp_path, channels, classes)
    with pytest.raises(BundleError, match=what):
        write(tmp_path, files)
    assert not (tmp_path / "bundle").exists()


def test_a_missing_network_is_refused(tmp_path: Path):
    save_model(tmp_path / "made")
    with pytest.raises(BundleError, match=r"no network 'models/encoder.onnx'; choose"):
        write(tmp_path, the_files(tmp_path / "made"))


def test_a_copy_is_checked_as_the_bundle_was(tmp_path: Path):
    bundle = write(tmp_path, with_encoder(tmp_path))
    copy = bundle.copy_with(tmp_path / "copy", {**bundle.metadata, "version": "2"}, {"models/risk.json": "{}"})
    assert copy.json("risk") == {}
    assert copy.identity["version"] == "2"
    assert (copy.path / "models" / "encoder.onnx").is_file()
