"""A batch from its cohort to its table: what is run, what was run before, and what is written as each case ends."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import Cancelled, InputError, WorkerError
from ..pipeline import Progress, silent
from ..reporting.output import write_error
from ..systems import System
from .cases import BatchCase, Found, find_cases, folder_names
from .finishing import PICTURE, write_tables
from .journal import DONE, FAILED, Journal, check_same
from .journal import NAME as JOURNAL_NAME
from .lock import FolderLock
from .orders import CASES_FOLDER, make_order
from .pools import Pool
from .results import ResultsTable

SHORT_FILES = ("segmentation.seg.nrrd", "results.csv", "provenance.json", PICTURE)
FULL_FILES = (*SHORT_FILES, "report.html", "scene.mrb")
# Settings that say how a case is computed, not what: a batch may go on with others.
HOW = ("device", "threads")
# A step of looking for cases takes about so long.
LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class BatchSummary:
    """How a batch ended.

    Args:
        cases: in the cohort.
        done, failed: of them, those of earlier runs into the same folder included.
        run: how many this run has run.
        seconds: that this run took.
        review: what has been reviewed, in words.
    """

    folder: Path
    cases: int
    done: int
    failed: int
    run: int
    seconds: float
    review: str

    @property
    def text(self) -> str:
        earlier = self.cases - self.run
        before = f", {earlier} of them by earlier runs" if earlier else ""
        return f"{self.cases} cases: {self.done} done, {self.failed} failed{before}."


class BatchRun:
    """Runs every case of a cohort that is not done yet; poll it until it gives its summary.

    `pollProcess(onProgress)` and `cancelProcess()` are those of SystemLogic and of runs.py. Rows are on the disk as
    soon as a case has ended, whatever happens to this process; the same call into the same folder goes on from there.

    Args:
        source: CSV, folder of images or tree of DICOM studies, see cases.py.
        output: folder of the batch; what it holds is listed in docs/batch.md.
        settings: of the system; what is missing takes its default.
        bundle: an own model bundle.
        make_pool: gives the pool that the cases run in, see pools.py; called once it is known that there are any.
        files: which files each case gets, SHORT_FILES or FULL_FILES.
        retry: run cases again that have failed before.
        on_notice: called with a sentence about the cohort that the user should know.
        on_case: called with the name and the entry of each case that has ended.

    Raises:
        InputError: settings, bundle or folder are unfit, or another batch is under way in the folder.
    """

    def __init__(
        self,
        system: System,
        source: Path,
        output: Path,
        settings: Mapping[str, Any] | None = None,
        bundle: Path | None = None,
        *,
        make_pool: Callable[[], Pool],
        files: tuple[str, ...] = SHORT_FILES,
        retry: bool = False,
        on_notice: Callable[[str], None] = lambda text: None,
        on_case: Callable[[str, Mapping[str, Any]], None] = lambda name, entry: None,
    ) -> None:
        self._system, self._files, self._retry, self._make_pool = system, files, retry, make_pool
        self._on_notice, self._on_case = on_notice, on_case
        self._bundle = None if bundle is None else Path(bundle).absolute()
        self._settings = system.complete_settings(settings or {})
        self._identity = {
            "system": system.name,
            "model": system.load_bundle(self._bundle).identity,
            "settings": {key: value for key, value in self._settings.items() if key not in HOW},
        }
        self._start = time.monotonic()
        self._looking: Iterator[int] | None = find_cases(system, Path(source))
        self._pool: Pool | None = None
        self._journal: Journal | None = None
        self._table: ResultsTable | None = None
        self._plan = _Plan({}, {}, {}, {})
        self._waiting: list[str] = []
        self._under_way: set[str] = set()
        self._is_cancelled = False
        self._folder = _Folder(Path(output).absolute())
        try:
            self._folder.open()
            if (self._folder.path / JOURNAL_NAME).exists():
                self._open_journal()
        except BaseException:
            self.close()
            raise

    def pollProcess(self, onProgress: Progress = silent) -> BatchSummary | None:
        """One step; the summary once every case has ended, else None. Never waits.

        Raises:
            InputError: there is no such cohort, or no case in it; or the folder cannot be written any more.
            Cancelled: after `cancelProcess`; what has ended is kept.
            WorkerError: cases cannot be run at all.
        """
        try:
            return self._look(onProgress) if self._looking is not None else self._step(onProgress)
        except BaseException:
            self.close()
            raise

    def cancelProcess(self) -> None:
        """Ask for the end; `pollProcess` raises Cancelled once the cases under way have stopped."""
        self._is_cancelled = True
        if self._pool is not None:
            self._pool.cancel()

    def close(self) -> None:
        """Drops everything that is under way at once and gives the folder back; rows that are written stay."""
        self._looking = None
        if self._pool is not None:
            self._pool.close()
            self._pool = None
        if self._journal is not None:
            self._journal.close()
        self._folder.close()

    # Steps

    def _look(self, onProgress: Progress) -> None:
        """Looks for cases for a moment; then makes ready to run those that are to be run."""
        if self._is_cancelled:
            raise Cancelled("The batch was cancelled; nothing was run.")
        until, count = time.monotonic() + LOOK_SECONDS, 0
        try:
            while time.monotonic() < until:
                count = next(self._looking)
        except StopIteration as end:
            self._looking = None
            self._prepare(end.value)
        else:
            onProgress(0.0, f"Looking for cases: {count} files")

    def _prepare(self, found: Found) -> None:
        for notice in found.notices:
            self._on_notice(notice)
        self._plan = _Plan.of(found)
        if self._journal is None:
            self._open_journal()
        self._journal.begin(self._identity)
        self._waiting = [case for case in self._plan.cases if self._is_to_run(case)]
        self._table = ResultsTable(self._folder.path, self._journal, self._plan.cohort, self._waiting)
        self._table.write()
        self._to_run = len(self._waiting)
        self._waiting.reverse()
        if self._waiting:
            self._pool = self._make_pool()

    def _is_to_run(self, case: str) -> bool:
        known, status = self._journal.state(case)
        return known != self._plan.prints[case] or (self._retry and status == FAILED)

    def _step(self, onProgress: Progress) -> BatchSummary | None:
        for case, entry in self._pool.poll() if self._pool else ():
            self._under_way.discard(case)
            if entry is not None:
                self._take(case, entry)
        if self._is_cancelled:
            if self._under_way:
                return None
            write_tables(self._system, self._folder.path, self._journal, self._table)
            raise Cancelled("The batch was cancelled; what had ended is kept, and the same batch goes on from there.")
        while self._waiting and self._pool.room > 0:
            self._submit(self._plan.cases[self._waiting.pop()])
        if not self._waiting and not self._under_way:
            return self._finish()
        ended = self._to_run - len(self._waiting) - len(self._under_way)
        onProgress(min(1.0, (ended + self._pool.progress) / self._to_run), f"{ended} of {self._to_run} cases")
        return None

    def _submit(self, case: BatchCase) -> None:
        order = make_order(
            self._system,
            case,
            output=self._folder.path,
            folder=self._plan.folders[case.name],
            settings=self._settings,
            bundle=self._bundle,
            files=self._files,
        )
        self._pool.submit(order)
        self._under_way.add(case.name)

    def _take(self, case: str, entry: dict[str, Any]) -> None:
        """Writes what came of a case: into the journal first, then into the table."""
        if entry.get("machine"):  # it would fail every case that is left
            raise WorkerError(entry["reason"])
        columns, model = entry.pop("columns"), entry.pop("bundle", None)
        if model not in (None, self._identity["model"]["sha256"]):
            raise InputError("A Dask worker has another version of the model; install the same one on all machines.")
        place = {"case": case, "print": self._plan.prints[case], "folder": self._plan.folders[case]}
        entry = {**place, **entry, "cohort": self._plan.cohort[case]}
        self._journal.add(entry, columns)
        self._table.add(case)
        self._on_case(case, entry)

    def _finish(self) -> BatchSummary:
        review = write_tables(self._system, self._folder.path, self._journal, self._table)
        states = [self._journal.state(case)[1] for case in self._plan.cases]
        summary = BatchSummary(
            folder=self._folder.path,
            cases=len(states),
            done=states.count(DONE),
            failed=states.count(FAILED),
            run=self._to_run,
            seconds=round(time.monotonic() - self._start, 1),
            review=review,
        )
        self.close()
        return summary

    def _open_journal(self) -> None:
        self._journal = Journal(self._folder.path)
        check_same(self._journal.run, self._identity, self._folder.path)


def wait(run: BatchRun, on_progress: Progress = silent, seconds: float = 0.05) -> BatchSummary:
    """Polls a batch until it ends; `on_progress` may raise Cancelled to stop it at once.

    Raises:
        InputError, WorkerError, Cancelled: as `pollProcess` does.
    """
    try:
        while (summary := run.pollProcess(on_progress)) is None:
            time.sleep(seconds)
        return summary
    finally:
        run.close()


@dataclass(frozen=True)
class _Plan:
    """The cases of a cohort in its order, and by case its fingerprint, its folder, and what the cohort says of it."""

    cases: Mapping[str, BatchCase]
    prints: Mapping[str, str]
    folders: Mapping[str, str]
    cohort: Mapping[str, Mapping[str, str]]

    @classmethod
    def of(cls, found: Found) -> _Plan:
        cases = {case.name: case for case in found.cases}
        return cls(
            cases,
            {name: case.fingerprint(found.root) for name, case in cases.items()},
            {name: f"{CASES_FOLDER}/{folder}" for name, folder in folder_names(list(cases)).items()},
            {name: {"patient": case.patient or name, **case.columns} for name, case in cases.items()},
        )


class _Folder:
    """The output folder, held by this process; one that it has made for nothing is removed again."""

    def __init__(self, path: Path) -> None:
        self.path, self._lock = path, FolderLock(path)
        self._made: list[Path] = []

    def open(self) -> None:
        if self.path.is_file():
            raise InputError(f"The output '{self.path}' is a file; name a folder.")
        self._made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise write_error(error, self.path.parent) from error
        self._lock.acquire()
        for stale in self.path.glob(f"{CASES_FOLDER}/.*"):  # what a killed run had not finished
            shutil.rmtree(stale, ignore_errors=True)

    def close(self) -> None:
        self._lock.release()
        for folder in self._made:
            with contextlib.suppress(OSError):  # it is in use
                folder.rmdir()
        self._made = []
