"""Bundles are imported, listed and removed; a bad one leaves nothing behind."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest
from bundle_cases import *  # noqa: F403
from bundle_cases import METADATA, WEIGHTS, the_files, the_metadata

from PrognosisLib.bundles.bundle import Bundle, write_bundle
from PrognosisLib.bundles.store import find_bundle, import_bundle, list_bundles, remove_bundle, verify_bundle
from PrognosisLib.errors import BundleError


def load(path: Path) -> Bundle:
    return Bundle.load(path, "spleen")


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
    bundle = import_bundle(source, root, load)
    assert bundle.path.parent == root
    assert bundle.path.name == "spleen-Test-spleen-1.2.3"
    assert import_bundle(source, root, load).path == bundle.path
    (one,) = list_bundles(root)
    assert (one.name, one.version, one.system, one.problem) == ("Test spleen", "1.2.3", "spleen", "")
    remove_bundle(one.path, root)
    assert list_bundles(root) == []
    assert list(root.iterdir()) == []
    assert good.exists()


def test_another_bundle_of_the_same_name_is_not_overwritten(good: Path, tmp_path: Path) -> None:
    import_bundle(good, tmp_path / "own", load)
    other = write_bundle(good, {**the_metadata(), "note": "other"}, the_files(tmp_path / "made"))
    with pytest.raises(BundleError, match="already imported; remove it first"):
        import_bundle(other.path, tmp_path / "own", load)


def test_bad_imports_leave_nothing(good: Path, tmp_path: Path) -> None:
    root = tmp_path / "own"
    (tmp_path / "text.zip").write_text("hello")
    cut = zipped(good, tmp_path / "cut.zip")
    cut.write_bytes(cut.read_bytes()[:-400])
    (good / WEIGHTS).write_bytes(b"x")
    tampered = zipped(good, tmp_path / "tampered.zip")
    for source in (tmp_path / "text.zip", cut, good, tampered, tmp_path / "absent.zip"):
        with pytest.raises(BundleError):
            import_bundle(source, root, load)
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("name", ["../evil.json", "/tmp/evil.json", "configs/../../evil.json", "..\\evil.json"])
def test_zip_slip_is_refused(good: Path, tmp_path: Path, name: str) -> None:
    source = zipped(good, tmp_path / "a.zip")
    with zipfile.ZipFile(source, "a") as archive:
        member = zipfile.ZipInfo("x")
        member.filename = name
        archive.writestr(member, "{}")
    with pytest.raises(BundleError, match="leads outside the bundle"):
        import_bundle(source, tmp_path / "own", load)
    assert not list(tmp_path.rglob("*evil.json"))


def test_link_in_a_zip_is_refused(good: Path, tmp_path: Path) -> None:
    source = zipped(good, tmp_path / "a.zip")
    with zipfile.ZipFile(source, "a") as archive:
        member = zipfile.ZipInfo("models/link.json")
        member.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(member, "/etc/passwd")
    with pytest.raises(BundleError, match="leads outside the bundle"):
        import_bundle(source, tmp_path / "own", load)


def test_zip_bomb_is_refused(good: Path, tmp_path: Path) -> None:
    source = zipped(good, tmp_path / "a.zip")
    with zipfile.ZipFile(source, "a") as archive:
        for number in range(300):
            archive.writestr(f"docs/{number}.txt", "")
    with pytest.raises(BundleError, match="larger than any bundle"):
        import_bundle(source, tmp_path / "own", load)


@pytest.mark.parametrize("path", ["../good", ".", "..", "nowhere"])
def test_only_imported_bundles_can_be_removed(good: Path, tmp_path: Path, path: str) -> None:
    import_bundle(good, tmp_path / "own", load)
    with pytest.raises(BundleError, match="not an imported bundle"):
        remove_bundle(tmp_path / "own" / path, tmp_path / "own")
    assert good.exists()


def test_damaged_bundle_is_listed_with_its_problem_and_can_be_removed(good: Path, tmp_path: Path) -> None:
    path = import_bundle(good, tmp_path / "own", load).path
    (path / METADATA).write_text("{")
    (one,) = list_bundles(tmp_path / "own")
    assert "not valid JSON" in one.problem
    remove_bundle(one.path, tmp_path / "own")
    assert not path.exists()


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_a_bundle_is_verified_where_it_lies(good: Path, tmp_path: Path, form: str) -> None:
    source = good if form == "folder" else zipped(good, tmp_path / "a.zip")
    before = sorted(tmp_path.rglob("*"))
    assert verify_bundle(source, load).metadata["version"] == "1.2.3"
    assert sorted(tmp_path.rglob("*")) == before
    with pytest.raises(BundleError, match="made for 'spleen', not for 'ich'"):
        verify_bundle(source, lambda path: Bundle.load(path, "ich"))


def test_a_bundle_is_found_by_path_or_by_name_of_its_system(good: Path, tmp_path: Path) -> None:
    root = tmp_path / "own"
    assert find_bundle(good, "spleen", root) == good
    with pytest.raises(BundleError, match="none is imported for 'spleen'"):
        find_bundle(Path("mine"), "spleen", root)
    imported = import_bundle(good, root, load)
    name = Path(imported.path.name)
    assert find_bundle(name, "spleen", root) == imported.path
    with pytest.raises(BundleError, match=r"the imported ones are spleen-Test-spleen-1\.2\.3"):
        find_bundle(Path("mine"), "spleen", root)
    with pytest.raises(BundleError, match="none is imported for 'ich'"):
        find_bundle(name, "ich", root)
