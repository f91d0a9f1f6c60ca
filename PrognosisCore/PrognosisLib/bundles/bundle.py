"""Model bundles in the MONAI Bundle layout: verified as a whole before anything in them is opened.

    configs/metadata.json    name, version, system, network_data_format, training, files {path: sha256}
    models/*.safetensors     weights, once
    models/*.onnx            graphs whose weights are external data in the safetensors file beside them
    models/*.json            risk models, readable
    docs/README.md           model card;  docs/data_license.txt and LICENSE

Nothing in a bundle is ever executed: no pickle, no MONAI `_target_` or `$` expression, no custom operator.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ..errors import BundleError
from .network_checks import AGAIN, UNET_LAYERS, Layers, check_count, check_networks
from .tensors import read_weights

METADATA = "configs/metadata.json"
CARD = "docs/README.md"
REQUIRED_FILES = (CARD, "docs/data_license.txt", "LICENSE")
REQUIRED_KEYS = ("name", "version", "system", "network_data_format", "training", "files")
SUFFIXES = (".json", ".safetensors", ".onnx", ".md", ".txt")
MOST_JSON_BYTES = 5 * 2**20
# What MONAI's configuration parser would run, resolve or load.
EXECUTABLE = re.compile(r"_target_|_requires_|_mode_|^\s*[$@%]")
CODE_STARTS = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
FROM_SOURCE = "get it again from its source"


class Bundle:
    """A verified bundle; made by `Bundle.load`."""

    def __init__(self, path: Path, metadata: dict[str, Any], sha256: str) -> None:
        self.path, self.metadata, self._sha256 = path, metadata, sha256
        self._checks: dict[str, Any] = {}

    @classmethod
    def load(
        cls,
        path: Path,
        system: str,
        channels: int = 1,
        classes: int = 3,
        layers: Layers | None = UNET_LAYERS,
        others: Mapping[str, tuple[int, int]] | None = None,
    ) -> Bundle:
        """Verify everything, open nothing else.

        Args:
            path: folder of the bundle.
            system: "spleen", "ich", ...; the bundle must be made for it.
            channels, classes: of every network's input and output, background included.
            layers: where the weights show them; None for networks that are checked by metadata and graph only.
            others: networks by name with channels and classes of their own, which the graph alone tells; each must be
                there.

        Raises:
            BundleError: one sentence that says what is wrong and how to mend it; nothing was executed.
        """
        path = Path(path)
        present = _files_in(path)
        metadata, sha256 = read_metadata(path)
        _check_system(metadata, system)
        _check_listing(metadata, present)
        for name, expected in metadata["files"].items():
            _check_file(path / name, name, expected)
        _check_format(metadata, channels, classes)
        check_networks(path, present, (channels, classes), layers, others or {})
        bundle = cls(path, metadata, sha256)
        bundle._checks = {"channels": channels, "classes": classes, "layers": layers, "others": others}
        return bundle

    def file(self, name: str) -> Path:
        """Path of a listed file, e.g. "models/fine.onnx"."""
        if name not in self.metadata["files"]:
            raise BundleError(f"The bundle '{self.path.name}' has no '{name}'; {AGAIN}.")
        return self.path / name

    def weights(self, name: str) -> dict[str, np.ndarray]:
        """Tensors of "models/<name>.safetensors" by name, in the type they are stored in, read-only."""
        return read_weights(self.file(f"models/{name}.safetensors"))

    def json(self, name: str) -> Any:
        """Content of "models/<name>.json"."""
        return json.loads(self.file(f"models/{name}.json").read_text(encoding="utf-8"))

    @property
    def card(self) -> str:
        """The model card, Markdown."""
        return self.file(CARD).read_text(encoding="utf-8")

    @property
    def is_simulated(self) -> bool:
        """Whether any part was trained on a simulated cohort."""
        told = self.metadata["training"]["cohort"]["simulated"]
        return any(told.values()) if isinstance(told, dict) else told

    def is_part_simulated(self, part: str) -> bool:
        """Whether one part ("segmentation", "risk", ...) was; the whole bundle's answer where parts are not told."""
        told = self.metadata["training"]["cohort"]["simulated"]
        return told.get(part, self.is_simulated) if isinstance(told, dict) else told

    @property
    def identity(self) -> dict[str, str]:
        """For the provenance; the SHA-256 is that of the metadata, which holds those of all files."""
        return {"name": self.metadata["name"], "version": self.metadata["version"], "sha256": self._sha256}

    def copy_with(self, folder: Path, metadata: Mapping[str, Any], files: Mapping[str, str]) -> Bundle:
        """A bundle of the same files but for those given (by path, as text), verified as this one was.

        Raises:
            BundleError: what `Bundle.load` would say of it; nothing was written.
        """
        mine = {name: self.path / name for name in self.metadata["files"]}
        told = {key: value for key, value in metadata.items() if key != "files"}
        return write_bundle(folder, told, {**mine, **files}, **self._checks)


def image_format(modality: str, channels: Sequence[str], multiple: int, value_range: Sequence[float]) -> dict[str, Any]:
    """One input for `network_data_format` in MONAI's schema; every spatial axis is a multiple of `multiple`."""
    return {
        "type": "image",
        "format": "hounsfield" if modality == "CT" else "magnitude",
        "modality": modality,
        "num_channels": len(channels),
        "spatial_shape": [f"{multiple}*n"] * 3,
        "dtype": "float32",
        "value_range": list(value_range),
        "is_patch_data": False,
        "channel_def": {str(number): name for number, name in enumerate(channels)},
    }


def segmentation_format(classes: Sequence[str], multiple: int) -> dict[str, Any]:
    """One output (logits) for `network_data_format` in MONAI's schema; background first."""
    return {**image_format("none", classes, multiple, []), "format": "segmentation"}


def write_bundle(
    folder: Path,
    metadata: Mapping[str, Any],
    files: Mapping[str, Path | str | bytes],
    channels: int = 1,
    classes: int = 3,
    layers: Layers | None = UNET_LAYERS,
    others: Mapping[str, tuple[int, int]] | None = None,
) -> Bundle:
    """Write a bundle, verify it and only then put it in place of `folder`.

    Args:
        metadata: everything but "files", which is computed here.
        files: by path in the bundle: a file to copy, or its content.

    Raises:
        BundleError: what `Bundle.load` would say of it; nothing was changed.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".prognosis-", dir=folder.parent) as temporary:
        made = Path(temporary) / folder.name
        for name, content in files.items():
            target = made / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, Path):
                shutil.copyfile(content, target)
            else:
                target.write_bytes(content.encode() if isinstance(content, str) else content)
        listing = {name: _sha256(made / name) for name in sorted(files)}
        (made / METADATA).parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({**metadata, "files": listing}, indent=2, ensure_ascii=False)
        (made / METADATA).write_text(text + "\n", encoding="utf-8", newline="\n")
        Bundle.load(made, metadata.get("system", ""), channels, classes, layers, others)
        if folder.exists():
            os.replace(folder, Path(temporary) / "replaced")
        os.replace(made, folder)
    return Bundle.load(folder, metadata["system"], channels, classes, layers, others)


def _files_in(path: Path) -> set[str]:
    """All files of the folder as POSIX paths; refuses links and kinds of files that can hold code."""
    if path.is_symlink() or not path.is_dir():
        raise BundleError(f"There is no model bundle at '{path}'; choose the folder that holds configs and models.")
    files = set()
    for entry in _walk(path):
        name = entry.relative_to(path).as_posix()
        if entry.is_symlink() or not (entry.is_dir() or entry.is_file()) or _is_elsewhere(entry, path):
            raise BundleError(f"The bundle's '{name}' is a link, not a file; put the file itself there.")
        if entry.is_dir():
            continue
        if entry.suffix.lower() not in SUFFIXES and name != "LICENSE":
            raise BundleError(
                f"The bundle holds '{name}', a kind of file that may run code when it is opened; {AGAIN}, which writes "
                "safetensors, ONNX and JSON only."
            )
        files.add(name)
    return files


def _walk(folder: Path) -> Iterator[Path]:
    for entry in sorted(folder.iterdir()):
        yield entry
        if entry.is_dir() and not entry.is_symlink():
            yield from _walk(entry)


def _is_elsewhere(entry: Path, root: Path) -> bool:
    """Junctions of Windows are no symbolic links, but lead away as well."""
    return not entry.resolve().is_relative_to(root.resolve())


def read_metadata(path: Path) -> tuple[dict[str, Any], str]:
    """The checked metadata of a bundle's folder and the SHA-256 of their file."""
    file = path / METADATA
    if not file.is_file():
        raise BundleError(
            f"The bundle '{path.name}' has no {METADATA}; choose the folder that holds configs and models."
        )
    metadata = _read_json(file, METADATA)
    missing = [key for key in REQUIRED_KEYS if not isinstance(metadata, dict) or key not in metadata]
    if missing:
        raise BundleError(f"The bundle's {METADATA} lacks '{missing[0]}'; {AGAIN}.")
    simulated = _inside(metadata, "training", "cohort", "simulated")
    told = list(simulated.values()) if isinstance(simulated, dict) else [simulated]
    if not told or not all(isinstance(value, bool) for value in told):
        raise BundleError(f"The bundle's {METADATA} does not say whether its cohort was simulated; {AGAIN}.")
    kinds = {"name": str, "version": str, "system": str, "network_data_format": dict, "files": dict}
    for key, kind in kinds.items():
        if not isinstance(metadata[key], kind) or not metadata[key]:
            raise BundleError(f"The bundle's {METADATA} has an unusable '{key}'; {AGAIN}.")
    return metadata, _sha256(file)


def _inside(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _read_json(file: Path, name: str) -> Any:
    """Parsed JSON without anything that MONAI's parser would execute."""
    if file.stat().st_size > MOST_JSON_BYTES:
        raise BundleError(f"The bundle's '{name}' is larger than any metadata; {FROM_SOURCE}.")
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
        bad = next((text for text in _strings(value) if EXECUTABLE.search(text)), None)
    except (ValueError, RecursionError):
        raise BundleError(f"The bundle's '{name}' is not valid JSON, perhaps cut short; {FROM_SOURCE}.") from None
    if bad is not None:
        raise BundleError(
            f"The bundle's '{name}' holds an executable entry ('{bad[:60]}'), which is never run here; {AGAIN}."
        )
    return value


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)


def _check_system(metadata: dict[str, Any], system: str) -> None:
    if metadata["system"] != system:
        raise BundleError(
            f"The bundle '{metadata['name']}' is made for '{metadata['system']}', not for '{system}'; "
            "choose a bundle of this system."
        )


def _check_listing(metadata: dict[str, Any], present: set[str]) -> None:
    for name in metadata["files"]:
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts or re.search(r"[\\:\0]", name):
            raise BundleError(f"The bundle lists '{name}', which lies outside its folder; {FROM_SOURCE}.")
        if name not in present:
            raise BundleError(f"The bundle's '{name}' is missing; {FROM_SOURCE}.")
    extra = sorted(present - set(metadata["files"]) - {METADATA})
    if extra:
        raise BundleError(f"The bundle holds '{extra[0]}', which its metadata does not list; remove it or {AGAIN}.")
    for name in REQUIRED_FILES:
        if name not in present:
            raise BundleError(f"The bundle lacks '{name}'; {AGAIN}.")


def _check_file(file: Path, name: str, expected: Any) -> None:
    with file.open("rb") as stream:
        start = stream.read(9)
    # A safetensors file may start with these bytes by chance: its header's length. Then '{' follows.
    if start.startswith(CODE_STARTS) and not (file.suffix == ".safetensors" and start[6:] == b"\0\0{"):
        raise BundleError(f"The bundle's '{name}' is a pickle or archive under another name and may run code; {AGAIN}.")
    if _sha256(file) != expected:
        raise BundleError(
            f"The bundle's '{name}' was changed after it was written (its SHA-256 differs); {FROM_SOURCE}."
        )
    if file.suffix == ".json":
        _read_json(file, name)
    elif file.suffix in (".md", ".txt") or name == "LICENSE":
        try:
            file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise BundleError(f"The bundle's '{name}' is not a UTF-8 text; {FROM_SOURCE}.") from None


def _check_format(metadata: dict[str, Any], channels: int, classes: int) -> None:
    for side, count, what in (("inputs", channels, "input channels"), ("outputs", classes, "output classes")):
        ports = metadata["network_data_format"].get(side)
        if not isinstance(ports, dict) or not ports:
            raise BundleError(f"The bundle's metadata describes no network {side}; {AGAIN}.")
        for port in ports.values():
            check_count(METADATA, _inside(port, "num_channels"), count, what)


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
