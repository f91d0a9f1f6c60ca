"""Reviewing a batch case by case, as the Batch section of a panel does; decisions are on the disk at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from ..systems import System
from .finishing import PICTURE, take_review
from .journal import DONE, Journal
from .journal import NAME as JOURNAL_NAME
from .review import Review


@dataclass(frozen=True)
class Sheet:
    """What is shown of one case. `picture` is None where there is none."""

    case: str
    number: int
    count: int
    picture: Path | None
    text: str
    decision: str
    comment: str


class ReviewDesk:
    """The cases of a batch that are done, one of which lies on the desk: the first that was not reviewed yet.

    Raises:
        InputError: the folder holds no batch of this system, or none of its cases is done.
    """

    def __init__(self, system: System, folder: Path) -> None:
        if not (Path(folder) / JOURNAL_NAME).is_file():
            raise InputError(f"'{folder}' holds no batch; run one, or choose its output folder.")
        self._system, self._folder = system, Path(folder)
        self._journal = Journal(self._folder, writable=False)
        self._review = Review.read(self._folder)
        self._cases = [case for case in self._journal if self._journal.state(case)[1] == DONE]
        self._is_changed = False
        if self._journal.run.get("system") != system.name or not self._cases:
            self._journal.close()
            raise InputError(f"'{folder}' holds no case of {system.module} to review.")
        self._index = self._next_open(0) or 0

    def sheet(self) -> Sheet:
        """The case on the desk."""
        case = self._cases[self._index]
        entry = self._journal.entry(case)
        picture = self._folder / entry["folder"] / PICTURE
        text = " ".join([entry["summary"], *(flag["message"] for flag in entry["flags"])])
        shown = picture if picture.is_file() else None
        return Sheet(case, self._index + 1, len(self._cases), shown, text.strip(), *self._review.of(case))

    def move(self, step: int) -> None:
        """To the next case or the one before; stays at the ends."""
        self._index = min(max(self._index + step, 0), len(self._cases) - 1)

    def decide(self, decision: str, comment: str) -> None:
        """Keeps a decision about the case on the desk and goes on to the next one that is open, if there is any."""
        self._review.decide(self._cases[self._index], decision, comment)
        self._is_changed = True
        following = self._next_open(self._index + 1)
        self._index = self._index if following is None else following

    def counts_text(self) -> str:
        return self._review.counts(self._journal).text()

    def leave(self) -> None:
        """Takes the decisions over into the batch's tables, unless a batch is writing them just now."""
        if self._is_changed:
            self._is_changed = False
            try:
                take_review(self._system, self._folder)
            except InputError:  # the batch that holds the folder will do it when it ends
                self._is_changed = True

    def close(self) -> None:
        self.leave()
        self._journal.close()

    def _next_open(self, start: int) -> int | None:
        """The first case without a decision from `start` on, and then from the first one."""
        order = [*range(start, len(self._cases)), *range(start)]
        return next((index for index in order if not self._review.of(self._cases[index])[0]), None)
