"""`prognosis batch`: many cases from the command line."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..bundles.command import BUNDLE_HELP, BUNDLE_METAVAR, chosen_bundle
from ..errors import Cancelled, InputError
from ..systems import SYSTEMS, System
from ..wording import duration_text
from . import start_batch
from .runner import BatchRun, BatchSummary

DONE, SOME_FAILED, CANCELLED = 0, 3, 130
POLL_SECONDS = 0.05
STOPS = (signal.SIGINT, signal.SIGTERM)
# Before this share is done an estimate of the time left would be a guess.
KNOWN_FRACTION = 0.02


def add_batch(
    commands: argparse._SubParsersAction,
    parser_class: type[argparse.ArgumentParser],
    add_settings: Callable[[argparse.ArgumentParser, System], None],
) -> None:
    """Adds the command, with the settings of each system."""
    text = "run a system on every case of a cohort, or take over a review of one"
    batch = commands.add_parser("batch", help=text, description=text)
    systems = batch.add_subparsers(dest="system", required=True, parser_class=parser_class, metavar="SYSTEM")
    for system in SYSTEMS.values():
        one = systems.add_parser(system.name, help=f"run {system.module} on every case of a cohort")
        one.add_argument("--cohort", type=Path, metavar="COHORT", help="CSV, folder of images, or DICOM tree")
        one.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of the batch")
        one.add_argument("--jobs", type=int, default=1, metavar="N", help="processes (1)")
        one.add_argument("--dask", metavar="ADDRESS", help="run on the workers of this Dask scheduler instead")
        one.add_argument("--bundle", type=Path, metavar=BUNDLE_METAVAR, help=BUNDLE_HELP)
        one.add_argument("--full", action="store_true", help="scene.mrb and report.html of each case, too")
        one.add_argument("--retry", action="store_true", help="run cases again that have failed before")
        one.add_argument("--review", type=Path, metavar="CSV", help="take over the decisions of a saved review.csv")
        add_settings(one, system)
        one.set_defaults(run=run_batch)


def run_batch(arguments: argparse.Namespace) -> int:
    """Runs the cohort, then takes over the review, as far as either is given."""
    system = SYSTEMS[arguments.system]
    if arguments.cohort is None and arguments.review is None:
        raise InputError("Nothing is to be done; give --cohort, --review or both.")
    code = DONE
    if arguments.cohort is not None:
        summary = _run(system, arguments)
        if summary is None:
            return CANCELLED
        code = SOME_FAILED if summary.failed else DONE
    if arguments.review is not None:
        from .finishing import take_review

        print(take_review(system, arguments.output, arguments.review))
    return code


def _run(system: System, arguments: argparse.Namespace) -> BatchSummary | None:
    """None where it was cancelled."""
    given = vars(arguments)
    settings = {key.removeprefix("setting_"): value for key, value in given.items() if key.startswith("setting_")}
    screen = _Screen()
    run = start_batch(
        system,
        arguments.cohort,
        arguments.output,
        settings,
        chosen_bundle(arguments.bundle, system),
        jobs=arguments.jobs,
        dask=arguments.dask,
        full=arguments.full,
        retry=arguments.retry,
        on_notice=screen.say,
        on_case=screen.note,
    )
    try:
        summary = _wait(run, screen)
    except Cancelled as error:
        screen.say(str(error))
        return None
    finally:
        run.close()
        screen.clear()
    screen.say(f"{summary.text} {summary.review}")
    print(summary.folder / "results.csv")
    print(summary.folder / "review.html")
    return summary


def _wait(run: BatchRun, screen: _Screen) -> BatchSummary:
    """Ctrl-C, and the end that a job scheduler announces, stop the cases under way; asked again, at once."""
    with _stops() as asked:
        while (summary := run.pollProcess(screen.show)) is None:
            if asked and not screen.is_stopping:
                screen.is_stopping = True
                run.cancelProcess()
            if len(asked) > 1:
                raise Cancelled("The batch was stopped at once; what had ended is kept.")
            time.sleep(POLL_SECONDS)
        return summary


@contextmanager
def _stops() -> Iterator[list[int]]:
    """Collects the signals that ask for an end: an exception in the middle of a write would cut a line short."""
    asked: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    former = {one: signal.signal(one, lambda number, _frame: asked.append(number)) for one in STOPS}
    try:
        yield asked
    finally:
        for one, handler in former.items():
            signal.signal(one, handler)


class _Screen:
    """Progress on standard error: one line that changes on a terminal, a line for each case elsewhere."""

    def __init__(self) -> None:
        self.is_stopping = False
        self._is_terminal = sys.stderr.isatty()
        self._start: float | None = None
        self._count = 0
        self._left = ""

    def show(self, fraction: float, message: str) -> None:
        now = time.monotonic()
        self._start = now if self._start is None or fraction == 0 else self._start
        elapsed = now - self._start
        self._left = ""
        if fraction >= KNOWN_FRACTION and elapsed > 1:
            self._left = f", about {duration_text(elapsed * (1 - fraction) / fraction)} left"
        if self._is_terminal:
            text = "Stopping" if self.is_stopping else f"{100 * fraction:3.0f} % {message}{self._left}"
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)

    def note(self, case: str, entry: Mapping[str, Any]) -> None:
        """A case has ended; on a terminal only a failure has a line of its own."""
        self._count += 1
        if entry["status"] != "done":
            self.say(f"{case} failed: {entry['reason']}")
        elif not self._is_terminal:
            self.say(f"{case} done in {entry['seconds']:.1f} s ({self._count}{self._left})")

    def say(self, text: str) -> None:
        self.clear()
        print(f"prognosis: {text}", file=sys.stderr, flush=True)

    def clear(self) -> None:
        if self._is_terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
