"""The user's own bundles: import from a folder or a zip archive, list, remove."""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..errors import BundleError
from .bundle import METADATA, UNET_LAYERS, Bundle, Layers, read_metadata

MOST_FILES = 200
MOST_BYTES = 2 * 2**30


@dataclass(frozen=True)
class Listed:
    """One of the user's own bundles; `problem` is empty where its metadata could be read."""

    path: Path
    name: str = ""
    version: str = ""
    system: str = ""
    problem: str = ""


def import_bundle(
    source: Path,
    root: Path,
    system: str,
    channels: int = 1,
    classes: int = 3,
    layers: Layers | None = UNET_LAYERS,
) -> Bundle:
    """Copy or unpack `source` (folder or .zip), verify the copy and put it into `root`.

    Raises:
        BundleError: what `Bundle.load` says, an unfit archive, or another bundle of the same name and version is
            there already; nothing was changed.
    """
    source, root = Path(source), Path(root)
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".prognosis-", dir=root) as temporary:
        copy = Path(temporary) / "bundle"
        if source.is_dir():
            Bundle.load(source, system, channels, classes, layers)
            shutil.copytree(source, copy, symlinks=True)
        else:
            _unpack(source, copy)
        bundle = Bundle.load(copy, system, channels, classes, layers)
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{system}-{bundle.identity['name']}-{bundle.identity['version']}")
        target = root / name.strip(".")
        if target.exists():
            known = Bundle.load(target, system, channels, classes, layers)
            if known.identity != bundle.identity:
                raise BundleError(f"Another bundle '{target.name}' is already imported; remove it first.")
            return known
        os.replace(copy, target)
    return Bundle.load(target, system, channels, classes, layers)


def list_bundles(root: Path) -> list[Listed]:
    """The bundles in a folder of the user's own, by name; not verified, which is left to `Bundle.load`."""
    found = []
    for path in sorted(Path(root).iterdir()) if Path(root).is_dir() else []:
        if path.is_symlink() or not (path / METADATA).is_file():
            continue
        try:
            metadata, _ = read_metadata(path)
            found.append(Listed(path, metadata["name"], metadata["version"], metadata["system"]))
        except BundleError as error:
            found.append(Listed(path, name=path.name, problem=str(error)))
    return found


def remove_bundle(path: Path, root: Path) -> None:
    """Delete one of the user's own bundles.

    Raises:
        BundleError: `path` is not a bundle directly inside `root`; nothing was deleted.
    """
    if Path(path).absolute() not in [one.path.absolute() for one in list_bundles(root)]:
        raise BundleError(f"'{path}' is not an imported bundle; choose one from the list.")
    shutil.rmtree(path)


def _unpack(source: Path, target: Path) -> None:
    """Unpack a zip archive; nothing in it can land outside `target`, be a link, or grow beyond the limits."""
    try:
        with zipfile.ZipFile(source) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            for member in members:
                _check_member(member)
            if len(members) > MOST_FILES or sum(member.file_size for member in members) > MOST_BYTES:
                raise BundleError(
                    f"The archive '{source.name}' is larger than any bundle; get it again from its source."
                )
            top = _top_folder([member.filename for member in members], source.name)
            for member in members:
                file = target / PurePosixPath(member.filename).relative_to(top)
                file.parent.mkdir(parents=True, exist_ok=True)
                # zipfile never gives more than file_size bytes, whatever the compressed data hold.
                with archive.open(member) as stream, file.open("xb") as out:
                    shutil.copyfileobj(stream, out)
    except FileNotFoundError:
        raise BundleError(f"There is no file '{source}'; choose a bundle's folder or .zip archive.") from None
    except (
        zipfile.BadZipFile,
        zlib.error,
        NotImplementedError,
        RuntimeError,
        FileExistsError,
        ValueError,
        EOFError,
    ) as error:
        if isinstance(error, BundleError):
            raise
        raise BundleError(f"'{source.name}' is not a readable .zip archive; get it again from its source.") from None


def _check_member(member: zipfile.ZipInfo) -> None:
    name = member.filename
    mode = member.external_attr >> 16
    is_outside = name.startswith("/") or ".." in PurePosixPath(name).parts or re.search(r"[\\:\0]", name)
    if is_outside or (mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG)):
        raise BundleError(f"The archive holds '{name}', which leads outside the bundle; get it again from its source.")


def _top_folder(names: list[str], archive: str) -> str:
    """The folder in the archive that is the bundle: its top, or the only folder there."""
    tops = {name.split("/")[0] for name in names}
    if METADATA in names:
        return "."
    if len(tops) == 1 and f"{next(iter(tops))}/{METADATA}" in names:
        return tops.pop()
    raise BundleError(f"The archive '{archive}' has no {METADATA}; choose an archive of a whole bundle.")
