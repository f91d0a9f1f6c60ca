"""What makes a cohort unfit to learn from or to be judged on, whatever the system; each refusal names the numbers.

Who asks: `split_by_patient` of every system's training, `train` and `evaluate` for the images, fits of risk models for
their events. Folds of patients are refused by evaluation.protocols, which makes them.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from .errors import InputError

if TYPE_CHECKING:
    from .cohort import CohortCase

FEWEST_EACH, WISHED_EACH = 5, 10  # events for each predictor: fewer are refused, or warned of
SPLIT = "split"  # column of a cohort or of a table of results
TEACHING_WORDS = ("train", "training")
PIECE_BYTES = 2**20
GZIP_END_BYTES = 8  # CRC-32 and length of what was compressed


# --- both sides of a split --------------------------------------------------------------------------------------------


def held_out(patients: Sequence[str], sides: Sequence[str], validation: Sequence[str], where: str) -> list[bool]:
    """Which rows must not teach: those of patients named in `validation`, and those on another side than "train".

    Args:
        patients: of each row; sides: what the column "split" says of it, "" where it says nothing.
        where: what the rows are of, in words ("cohort").

    Raises:
        InputError: a named patient is not there, a patient is on both sides, or nobody is left to teach.
    """
    refuse_leakage(patients, sides)
    known, named = set(patients), set(validation)
    for name in validation:
        if name not in known:
            raise InputError(f"The validation patient '{name}' is not in the {where}; correct the name.")
    held = [
        patient in named or side.lower() not in ("", *TEACHING_WORDS)
        for patient, side in zip(patients, sides, strict=True)
    ]
    if all(held):
        raise InputError("Every patient is held out for validation; leave some for training.")
    return held


def refuse_leakage(patients: Sequence[str], sides: Sequence[str]) -> None:
    """Raises InputError where a patient has rows on more than one side ("train", "test", a fold's number ...)."""
    seen: dict[str, set[str]] = {}
    for patient, side in zip(patients, sides, strict=True):
        seen.setdefault(patient, set()).add(side)
    both = sorted(patient for patient, found in seen.items() if len(found) > 1)
    if both:
        raise InputError(
            f"{len(both)} patient{'s have' if len(both) > 1 else ' has'} rows on more than one side of the split "
            f"(first: '{both[0]}'), which would make every figure too good; put all rows of a patient on one side."
        )


def refuse_shared_images(cases: Sequence[CohortCase], columns: Sequence[str]) -> None:
    """Refuse the same image under two patients, which would put one patient on both sides of a split or of folds.

    Files are the same where their contents are, whatever their names; of .gz files what was compressed counts. Only
    files of one length are read.

    Args:
        columns: of the images ("ct", "followup"); cases may lack some.

    Raises:
        InputError: it names both cases, and how many more there are.
    """
    alike: dict[tuple, list[tuple[CohortCase, Path]]] = {}
    for case in cases:
        for file in (case.files[column] for column in columns if column in case.files):
            alike.setdefault(_glance(file), []).append((case, file))
    shared = []
    for group in alike.values():
        if len({case.patient for case, _ in group}) < 2:
            continue
        first: dict[str, CohortCase] = {}
        for case, file in group:
            other = first.setdefault(_content(file), case)
            if other.patient != case.patient:
                shared.append((other, case))
    if shared:
        one, other = shared[0]
        more = f"; so do {len(shared) - 1} more" if len(shared) > 1 else ""
        raise InputError(
            f"The cases '{one.case}' and '{other.case}' have the same image under the patients '{one.patient}' and "
            f"'{other.patient}'{more}; give them one patient, or leave one case out."
        )


def _glance(path: Path) -> tuple:
    """What two images must have in common to be the same, without reading them."""
    if path.is_dir():
        return tuple(sorted(_glance(file) for file in _files(path)))
    size = path.stat().st_size
    if path.suffix.lower() != ".gz" or size < GZIP_END_BYTES:
        return ("", size)
    with path.open("rb") as stream:
        stream.seek(-GZIP_END_BYTES, 2)
        return ("gz", int.from_bytes(stream.read(), "little"))


def _content(path: Path) -> str:
    """SHA-256 of an image: of a file's bytes, decompressed, or of all files of a folder in any order."""
    if path.is_dir():
        return hashlib.sha256("".join(sorted(_content(file) for file in _files(path))).encode()).hexdigest()
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as stream:
            return _digest(stream)
    except (OSError, EOFError):  # a damaged archive, which reading the image will refuse
        with path.open("rb") as stream:
            return _digest(stream)


def _digest(stream: BinaryIO) -> str:
    found = hashlib.sha256()
    while piece := stream.read(PIECE_BYTES):
        found.update(piece)
    return found.hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    return (file for file in folder.rglob("*") if file.is_file())


# --- outcomes ---------------------------------------------------------------------------------------------------------


def check_kinds(events: int, patients: int, event: str, purpose: str, fewest: int = 1) -> None:
    """Refuse outcomes that are the same for all patients, or for all but too few.

    Args:
        event: the outcome, in words or by its column; purpose: what needs both kinds, as a sentence's subject.

    Raises:
        InputError: fewer than `fewest` patients are of one kind.
    """
    rarer = min(events, patients - events)
    if rarer >= fewest:
        return
    if rarer == 0:
        kind = "have" if events else "have not"
        raise InputError(f"All {patients} patients {kind} the event ({event}); {purpose} needs both kinds.")
    raise InputError(
        f"{events} of {patients} patients have the event ({event}); {purpose} needs at least {fewest} with it and "
        f"{fewest} without, so add patients."
    )


def check_events(events: int, predictors: int, model: str) -> list[str]:
    """Refuse more predictors than the events can bear; one warning where they hardly can, else none.

    Args:
        events: of the rarer outcome; of a survival model those who had the event.
        model: which model it is, in words.

    Raises:
        InputError: under 5 events for each predictor; how many predictors they bear, and how many are asked.
    """
    several = f"{predictors} predictor{'s' * (predictors > 1)}"
    if events < FEWEST_EACH * predictors:
        raise InputError(
            f"{events} events are too few for the {several} of {model}; they bear {events // FEWEST_EACH} at "
            f"{FEWEST_EACH} events each; add patients until {FEWEST_EACH * predictors}, or better "
            f"{WISHED_EACH * predictors}, have the rarer outcome."
        )
    if events < WISHED_EACH * predictors:
        each = f"{events} events for {several} are {events / predictors:.1f} for each"
        return [f"{each}; under {WISHED_EACH} for each, predictions are likely too extreme."]
    return []
