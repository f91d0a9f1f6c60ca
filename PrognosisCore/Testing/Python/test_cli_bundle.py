# ruff: noqa: E402
"""`prognosis bundle`: what is imported is listed, used by name and removed, and the panels keep theirs at one place."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from PrognosisLib import headless

headless.start()

from bundle_cases import list_again
from cli_cases import *  # noqa: F403
from cli_cases import ALL_FILES, run

from PrognosisLib import cli
from PrognosisLib.bundles.bundle import METADATA, Bundle
from PrognosisLib.bundles.store import own_bundles_folder

NAME = "spleen-Threshold-1.0.0"


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of imported bundles, not that of the person who runs the tests."""
    monkeypatch.setenv("PROGNOSIS_BUNDLES", str(tmp_path / "own"))
    return tmp_path / "own"


@pytest.fixture
def named(bundle: Path, tmp_path: Path) -> Path:
    """The tests' bundle under a name that is known here."""
    copy = shutil.copytree(bundle, tmp_path / "named")
    metadata = json.loads((copy / METADATA).read_text())
    (copy / METADATA).write_text(json.dumps({**metadata, "name": "Threshold", "version": "1.0.0"}))
    return copy


@pytest.fixture
def says(capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs `prognosis bundle`; it must end with the code, and one line on the stream that belongs to it."""

    def call(*arguments: object, code: int = cli.DONE) -> str:
        capfd.readouterr()
        assert run("bundle", *arguments) == code
        told = capfd.readouterr()
        line, silent = (told.out, told.err) if code == cli.DONE else (told.err, told.out)
        assert silent == ""
        assert line.count("\n") == 1, line
        return line.strip()

    return call


def test_a_bundle_is_verified_imported_listed_used_by_name_and_removed(
    named: Path, ct: Path, own: Path, tmp_path: Path, says: Callable[..., str]
) -> None:
    archive = shutil.make_archive(str(tmp_path / "named"), "zip", named)
    for source in (named, archive):
        told = says("verify", source)
        assert told.startswith("The bundle 'Threshold 1.0.0' for 'spleen' is sound")
    assert not own.exists() or list(own.iterdir()) == []
    assert says("list") == "No bundle is imported; import one with: prognosis bundle import SYSTEM PATH"
    assert says("import", "spleen", archive).startswith(f"The bundle is imported as '{NAME}'")
    assert says("import", "spleen", named).startswith(f"The bundle was imported already as '{NAME}'")
    assert says("list", "spleen") == f"{NAME}: Threshold 1.0.0, for spleen"
    assert "for 'ich'" in says("list", "ich")

    assert run("spleen", "--ct", ct, "--bundle", NAME, "--output", tmp_path / "out") == cli.DONE
    assert {path.name for path in (tmp_path / "out").iterdir()} == ALL_FILES
    used = json.loads((tmp_path / "out" / "provenance.json").read_text())["bundle"]
    assert used["sha256"] == Bundle.load(own / NAME, "spleen").identity["sha256"]

    assert says("remove", "spleen", NAME) == f"The imported bundle '{NAME}' is removed."
    assert list(own.iterdir()) == []


def test_a_batch_takes_an_imported_bundle_by_its_name(
    named: Path, ct: Path, own: Path, tmp_path: Path, says: Callable[..., str]
) -> None:
    says("import", "spleen", named)
    cohort = tmp_path / "cohort.csv"
    cohort.write_text(f"case,ct\nA,{ct}\n")
    assert run("batch", "spleen", "--cohort", cohort, "--bundle", NAME, "--output", tmp_path / "out") == cli.DONE
    model = json.loads((tmp_path / "out" / "summary.json").read_text())["model"]
    assert model["sha256"] == Bundle.load(own / NAME, "spleen").identity["sha256"]


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("verify", "nowhere"), "There is no file 'nowhere'"),
        (("import", "ich", "named"), "made for 'spleen', not for 'ich'"),
        (("import", "spleen", "nowhere"), "There is no file 'nowhere'"),
        (("import", "lungs", "named"), "invalid choice: 'lungs'"),
        (("remove", "spleen", "mine"), "No bundle 'mine' is imported for 'spleen'"),
        (("remove", "spleen", ".."), "No bundle '..' is imported for 'spleen'"),
    ],
)
def test_refusals_are_one_line(
    named: Path, own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: Callable[..., str], arguments, match
) -> None:
    monkeypatch.chdir(tmp_path)
    told = says(*arguments, code=cli.BAD_INPUT)
    assert told.startswith("prognosis: ")
    assert match in told
    assert named.exists()
    assert not own.exists() or list(own.iterdir()) == []


def test_tampered_and_foreign_bundles_are_refused(named: Path, own: Path, says: Callable[..., str]) -> None:
    (named / "LICENSE").write_text("mine now\n")
    assert "was changed after it was written" in says("verify", named, code=cli.BAD_INPUT)
    (named / "models" / "run.py").write_text("print()")
    assert "run.py" in says("import", "spleen", named, code=cli.BAD_INPUT)
    (named / "models" / "run.py").unlink()
    list_again(named)
    says("verify", named)
    metadata = json.loads((named / METADATA).read_text())
    (named / METADATA).write_text(json.dumps({**metadata, "system": "lungs"}))
    assert "The system 'lungs' is not known" in says("verify", named, code=cli.BAD_INPUT)
    assert not own.exists() or list(own.iterdir()) == []


def test_a_bundle_of_another_system_is_not_removed(named: Path, own: Path, says: Callable[..., str]) -> None:
    says("import", "spleen", named)
    assert "for 'ich'" in says("remove", "ich", NAME, code=cli.BAD_INPUT)
    assert (own / NAME).is_dir()


def test_the_place_is_beside_the_settings_of_slicer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PROGNOSIS_BUNDLES")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("APPDATA", str(tmp_path))
    assert own_bundles_folder() == tmp_path / "slicer.org" / "Prognosis" / "Bundles"
    assert own_bundles_folder(tmp_path / "portable") == tmp_path / "portable" / "Prognosis" / "Bundles"
