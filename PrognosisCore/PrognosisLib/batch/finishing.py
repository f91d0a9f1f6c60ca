"""What is made of a batch's journal and its review: results.csv, review.html and summary.json."""

from __future__ import annotations

import json
from pathlib import Path

from ..errors import InputError
from ..reporting.output import write_atomic
from ..systems import System
from .journal import DONE, FAILED, Journal, check_same
from .journal import NAME as JOURNAL_NAME
from .lock import FolderLock
from .results import ResultsTable, cohort_of
from .review import Review, write_page

NAME = "summary.json"
PICTURE = "picture.png"


def write_tables(system: System, folder: Path, journal: Journal, table: ResultsTable) -> str:
    """Writes all of them anew; gives in words what was reviewed."""
    table.write()
    order = list(table.order())
    write_page(folder, f"{system.module}: review of {len(order)} cases", journal, order, PICTURE)
    counts = Review.read(folder).counts(journal)
    states = [journal.state(case)[1] for case in order]
    review = {"accepted": counts.accepted, "rejected": counts.rejected, "open": counts.open}
    content = {
        **journal.run,
        "done": states.count(DONE),
        "failed": states.count(FAILED),
        "review": {**review, "accepted_of_reviewed": counts.figure()},
    }
    write_atomic(folder / NAME, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    return counts.text()


def take_review(system: System, folder: Path, review: Path | None = None) -> str:
    """Takes decisions over into review.csv and all that is made of it; gives the figure in words. Needs no cohort.

    Args:
        review: a review.csv that was saved from review.html; None where that in the folder was changed.

    Raises:
        InputError: the folder holds no batch of this system, one is under way in it, or the file is no review of it.
    """
    folder = Path(folder).absolute()
    if not (folder / JOURNAL_NAME).is_file():
        raise InputError(f"'{folder}' holds no batch; give its output folder.")
    with FolderLock(folder):
        journal = Journal(folder)
        try:
            check_same(journal.run, {**journal.run, "system": system.name}, folder)
            if review is not None:
                Review.read(folder).take(review, journal)
            return write_tables(system, folder, journal, ResultsTable(folder, journal, cohort_of(folder, journal)))
        finally:
            journal.close()
