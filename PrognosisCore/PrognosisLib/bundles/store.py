"""The user's own bundles: verify, import from a folder or a zip archive, list, find by name, remove.

A system verifies what is meant for it, by `System.load_bundle`, so that panels and command line refuse the same.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..errors import BundleError
from .bundle import METADATA, Bundle, read_metadata

PLACE = "PROGNOSIS_BUNDLES"
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


def own_bundles_folder(settings: Path | None = None) -> Path:
    """Where imported bundles are kept, for panels and command line alike: beside the user's settings of Slicer, or in
    the folder that the environment variable PROGNOSIS_BUNDLES names.

    Args:
        settings: folder of those settings, as Slicer tells it; without it, where Slicer's documentation says that they
            are unless the application carries its own with it.
    """
    if os.environ.get(PLACE):
        return Path(os.environ[PLACE])
    if settings is None:
        of_user = os.environ.get("APPDATA" if os.name == "nt" else "XDG_CONFIG_HOME")
        home = Path.home() / ("AppData/Roaming" if os.name == "nt" else ".config")
        settings = (Path(of_user) if of_user else home) / "slicer.org"
    return settings / "Prognosis" / "Bundles"


def verify_bundle(source: Path, load: Callable[[Path], Bundle]) -> Bundle:
    """A bundle in a folder, or in a zip archive, whose files are gone when this returns.

    Args:
        load: opens a folder as the system's pipeline does; see `System.load_bundle`.

    Raises:
        BundleError: what `load` says, or an unfit archive.
    """
    source = Path(source)
    if source.is_dir():
        return load(source)
    with tempfile.TemporaryDirectory(prefix="prognosis-") as temporary:
        copy = Path(temporary) / source.stem
        _unpack(source, copy)
        return load(copy)


def import_bundle(source: Path, root: Path, load: Callable[[Path], Bundle]) -> Bundle:
    """Copy or unpack `source` (folder or .zip), verify the copy and put it into `root`.

    Args:
        load: as `verify_bundle` has it.

    Raises:
        BundleError: what `load` says, an unfit archive, or another bundle of the same name and version is there
            already; nothing was changed.
    """
    source, root = Path(source), Path(root)
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".prognosis-", dir=root) as temporary:
        copy = Path(temporary) / "bundle"
        if source.is_dir():
            load(source)
            shutil.copytree(source, copy, symlinks=True)
        else:
            _unpack(source, copy)
        bundle = load(copy)
        facts = bundle.metadata
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{facts['system']}-{facts['name']}-{facts['version']}")
        target = root / name.strip(".")
        if target.exists():
            known = load(target)
            if known.identity != bundle.identity:
                raise BundleError(f"Another bundle '{target.name}' is already imported; remove it first.")
            return known
        os.replace(copy, target)
    return load(target)


def list_bundles(root: Path, system: str = "") -> list[Listed]:
    """The bundles in a folder of the user's own, by name; not verified, which is left to `Bundle.load`.

    Args:
        system: only those made for it, and damaged ones, which do not tell; all where it is left out.
    """
    found = []
    for path in sorted(Path(root).iterdir()) if Path(root).is_dir() else []:
        if path.is_symlink() or not (path / METADATA).is_file():
            continue
        try:
            metadata, _ = read_metadata(path)
            found.append(Listed(path, metadata["name"], metadata["version"], metadata["system"]))
        except BundleError as error:
            found.append(Listed(path, name=path.name, problem=str(error)))
    return [one for one in found if not system or one.system in ("", system)]


def find_bundle(given: Path, system: str, root: Path) -> Path:
    """The folder of a bundle that is given by its path, or by the name under which it was imported.

    Raises:
        BundleError: neither; which ones are imported for the system is told.
    """
    if given.exists():
        return given
    imported = {one.path.name: one.path for one in list_bundles(root, system)}
    if str(given) not in imported:
        told = f"the imported ones are {', '.join(imported)}" if imported else f"none is imported for '{system}'"
        raise BundleError(f"There is no model bundle at '{given}'; name a bundle's folder, or an imported one: {told}.")
    return imported[str(given)]


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
