"""What the tests of batches share: the module Moody, its scans, and cohorts of them; `from batch_fixtures import *`."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from foreign_module import foreign_module

from PrognosisLib import cli
from PrognosisLib.batch import BatchRun, BatchSummary, wait
from PrognosisLib.batch.orders import carry_out
from PrognosisLib.cohort import write_rows
from PrognosisLib.images.writers import write_volume
from PrognosisLib.systems import find_system
from PrognosisLib.volume import Volume

__all__ = ["image", "moody", "moody_folder"]

ROOT = Path(__file__).resolve().parents[3]
SHAPE, SPACING = (8, 12, 10), (2.0, 2.0, 4.0)
BRIGHT = (slice(2, 6), slice(3, 9), slice(2, 8))
BRIGHT_ML = 4 * 6 * 6 * 16.0 / 1000.0
FILES = {"segmentation.seg.nrrd", "results.csv", "provenance.json", "picture.png"}


def scan() -> Volume:
    array = np.full(SHAPE, -50, np.int16)
    array[BRIGHT] = 100
    return Volume(array, np.diag([*SPACING, 1.0]), "CT", "scan")


@pytest.fixture(scope="session")
def moody_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The module's folder with a bundle."""
    copy = tmp_path_factory.mktemp("extension") / "Moody"
    shutil.copytree(ROOT / "Testing" / "moody", copy, ignore=shutil.ignore_patterns("__pycache__"))
    write_moody_bundle(copy / "Resources/Bundle/Moody")
    return copy


def write_moody_bundle(folder: Path, version: str = "1.0.0") -> Path:
    from PrognosisLib.bundles.bundle import image_format, segmentation_format, write_bundle

    metadata = {
        "name": "Moody",
        "version": version,
        "system": "moody",
        "network_data_format": {
            "inputs": {"image": image_format("CT", ["CT"], 1, [-1024, 3071])},
            "outputs": {"pred": segmentation_format(["background", "Bright"], 1)},
        },
        "training": {"cohort": {"simulated": True}},
    }
    files = {"docs/README.md": "# Moody\n", "docs/data_license.txt": "None.\n", "LICENSE": "Apache-2.0\n"}
    return write_bundle(folder, metadata, files, classes=2).path


@pytest.fixture
def moody(moody_folder: Path) -> Iterator[Path]:
    """Until the test ends, there is a system "moody"."""
    with foreign_module(moody_folder) as folder:
        import MoodyLib  # noqa: F401 - registers the system

        yield folder


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_volume(scan(), tmp_path_factory.mktemp("image") / "ct.nii.gz")


def write_cohort(folder: Path, image: Path, ages: Mapping[str, object], **more: Sequence[object]) -> Path:
    """A cohort of one image, with the age of each case and further columns."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(image, folder / "ct.nii.gz")
    rows = [{"case": case, "ct": "ct.nii.gz", "age": age} for case, age in ages.items()]
    for column, values in more.items():
        for row, value in zip(rows, values, strict=True):
            row[column] = value
    return write_rows(folder / "cohort.csv", rows)


class Inline:
    """A pool without processes of its own: cases are run in this process and scene, one after the other."""

    progress = 0.0

    def __init__(self) -> None:
        self._order: Mapping[str, object] | None = None

    @property
    def room(self) -> int:
        return int(self._order is None)

    def submit(self, order: Mapping[str, object]) -> None:
        self._order = order

    def poll(self) -> list[tuple[str, dict | None]]:
        order, self._order = self._order, None
        return [] if order is None else [(order["case"], carry_out(order))]

    def cancel(self) -> None:
        self._order = None

    def close(self) -> None:
        pass


def inline(cohort: Path, output: Path, settings: Mapping[str, object] | None = None, **more: object) -> BatchSummary:
    """A batch of Moody in this process."""
    return wait(BatchRun(find_system("moody"), cohort, output, settings, make_pool=Inline, **more), seconds=0.0)


def run(*arguments: object) -> int:
    return cli.main(["batch", "moody", *(str(one) for one in arguments)])


def table(folder: Path, name: str = "results.csv", key: str = "case") -> dict[str, dict[str, str]]:
    """The rows of a table by case; none stands twice."""
    with (folder / name).open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    found = {row[key]: row for row in rows}
    assert len(found) == len(rows), "a row stands twice"
    return found


def journaled(folder: Path) -> list[str]:
    """The cases in the journal, line by line; lines that were cut short are left out."""
    path, cases = folder / "journal.jsonl", []
    for line in path.read_text("utf-8").splitlines() if path.exists() else ():
        try:
            cases.append(json.loads(line).get("case"))
        except ValueError:
            continue
    return [case for case in cases if case is not None]


def start_command(moody_folder: Path, *arguments: object) -> subprocess.Popen:
    """`prognosis batch moody ...` in a process of its own, which knows Moody."""
    code = f"import sys; sys.path.insert(0, {str(moody_folder)!r}); import MoodyLib; "
    code += f"from PrognosisLib.cli import main; sys.exit(main({['batch', 'moody', *map(str, arguments)]!r}))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, **pipes)


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)


def kill(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
