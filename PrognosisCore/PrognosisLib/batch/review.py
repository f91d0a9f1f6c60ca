"""Visual review of a batch: review.html with a picture of each case, and decisions that are kept in review.csv.

A page cannot write a file, so that of a browser offers its decisions as a download, which `Review.take` takes over.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..cohort import write_rows
from ..errors import InputError
from ..reporting.output import move_into_place
from .journal import DONE, Journal

NAME, PAGE_NAME = "review.csv", "review.html"
COLUMNS = ("case", "review", "comment")
ACCEPTED, REJECTED = "accepted", "rejected"
TEMPLATES = Path(__file__).resolve().parents[1] / "reporting" / "templates"


@dataclass(frozen=True)
class Counts:
    """How many cases were accepted and rejected, how many were not reviewed yet, and how many failed."""

    accepted: int
    rejected: int
    open: int
    failed: int

    @property
    def reviewed(self) -> int:
        return self.accepted + self.rejected

    def figure(self) -> dict[str, float] | None:
        """Percent accepted of those reviewed, with Wilson's interval of 95 %; None before the first review."""
        from ..evaluation.estimates import wilson

        if not self.reviewed:
            return None
        share = wilson(self.accepted, self.reviewed)
        return {"percent": 100 * share.value, "lower": 100 * share.lower, "upper": 100 * share.upper}

    def text(self) -> str:
        """ "Accepted on review: 223 of 227 (98.2 %, 95 % interval 95.6 to 99.3 %). Not reviewed: 0. Failed: 2." """
        figure = self.figure()
        rest = f"Not reviewed: {self.open}. Failed: {self.failed}."
        if figure is None:
            return rest
        share = "{percent:.1f} %, 95 % interval {lower:.1f} to {upper:.1f} %".format(**figure)
        return f"Accepted on review: {self.accepted} of {self.reviewed} ({share}). {rest}"


@dataclass
class Review:
    """The decisions on a batch's cases: ("accepted" or "rejected", comment) by case."""

    folder: Path
    decisions: dict[str, tuple[str, str]] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Review:
        """What review.csv of a batch's folder says; nothing where there is none."""
        path = Path(folder) / NAME
        return cls(Path(folder), read_decisions(path) if path.exists() else {})

    def of(self, case: str) -> tuple[str, str]:
        return self.decisions.get(case, ("", ""))

    def decide(self, case: str, decision: str, comment: str | None = None) -> None:
        """Keeps a decision at once; "" takes it back. Without a comment, an earlier one stays."""
        words = self.of(case)[1] if comment is None else comment
        self.decisions[case] = (decision, words)
        self._write()

    def take(self, path: Path, known: Iterable[str]) -> None:
        """Takes over the decisions of another review.csv, which replace earlier ones.

        Raises:
            InputError: it is no review, or it names a case that the batch has not.
        """
        decisions, known = read_decisions(path), set(known)
        strange = next((case for case in decisions if case not in known), None)
        if strange is not None:
            raise InputError(f"'{path}' names the case '{strange}', which this batch has not; give its own review.")
        self.decisions |= decisions
        self._write()

    def counts(self, journal: Journal) -> Counts:
        done = [case for case in journal if journal.state(case)[1] == DONE]
        made = [self.of(case)[0] for case in done]
        accepted, rejected = made.count(ACCEPTED), made.count(REJECTED)
        return Counts(accepted, rejected, len(done) - accepted - rejected, sum(1 for _ in journal) - len(done))

    def _write(self) -> None:
        kept = {case: made for case, made in self.decisions.items() if any(made)}
        rows = [dict(zip(COLUMNS, (case, *made), strict=True)) for case, made in kept.items()]
        write_rows(self.folder / NAME, rows or [dict.fromkeys(COLUMNS, "")])


def read_decisions(path: Path) -> dict[str, tuple[str, str]]:
    """The decisions in a review.csv; rows without a case are left out.

    Raises:
        InputError: no such file, a column is missing, or a decision is neither "accepted" nor "rejected".
    """
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.DictReader(stream, restval=""))
    except FileNotFoundError:
        raise InputError(f"There is no review '{path}'; save it from review.html.") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"'{path}' cannot be read as a review ({error}); save it anew from review.html.") from error
    found: dict[str, tuple[str, str]] = {}
    for row in rows:
        if row.get("case") is None or row.get("review") is None:
            raise InputError(f"'{path.name}' has no columns 'case' and 'review'; save it from review.html.")
        decision = row["review"].strip().lower()
        if decision not in ("", ACCEPTED, REJECTED):
            raise InputError(f"'{path.name}' says '{decision}' of case '{row['case']}'; write accepted or rejected.")
        if row["case"]:
            found[row["case"]] = (decision, row.get("comment") or "")
    return found


def write_page(folder: Path, title: str, journal: Journal, order: Sequence[str], picture: str) -> Path:
    """Writes review.html case by case: pictures stay in their own files, and nothing is kept in memory.

    Args:
        order: the cases from top to bottom.
        picture: name of the picture in each case's folder.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    review = Review.read(folder)
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    page = environment.get_template("review.html").stream(
        title=title,
        notice="Research and teaching, not for clinical use",
        simulated=any(about["simulated"] for about in journal.columns.values()),
        name=str(Path(folder).absolute()),
        file_name=NAME,
        cases=_shown(journal, order, review, picture),
    )
    page.enable_buffering(20)
    path = Path(folder) / PAGE_NAME
    with move_into_place(path) as file:
        page.dump(file, encoding="utf-8")
    return path


def _shown(journal: Journal, order: Iterable[str], review: Review, picture: str) -> Iterator[Mapping[str, Any]]:
    for case in order:
        entry = journal.entry(case)
        decision, comment = review.of(case)
        place = f"{entry['folder']}/{picture}"
        yield {
            "name": case,
            "is_done": entry["status"] == DONE,
            "picture": place if (review.folder / place).is_file() else "",
            "text": entry["summary"] or entry["reason"],
            "flags": entry["flags"],
            "decision": decision,
            "comment": comment,
        }
