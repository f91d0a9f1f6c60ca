"""The rows of a section as tables that a person reads: scores down, figures across; comparisons; subgroups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..findings import SIMULATED
from .methods import FIGURES
from .section import EVERYBODY, Row, Section

# Headings, and the figures of each table in the order of its columns.
BLOCKS = (
    ("Discrimination", ("auc", "c_index", "log_rank", "hazard_ratio")),
    ("Discrimination until a time", ("auc_until",)),
    ("Best cut-off", ("best_cutoff",)),
    ("At a point", ("point", "sensitivity", "specificity", "accuracy", "precision", "negative_predictive_value")),
    ("At a point, averages", ("f1", "precision_macro", "recall_macro", "f1_macro")),
    ("Median survival", ("median_survival",)),
    (
        "Calibration",
        (
            *("brier", "scaled_brier", "calibration_slope", "calibration_intercept", "observed_to_expected"),
            "calibration_index",
        ),
    ),
    ("Agreement with the truth", ("bias", "lower_limit", "upper_limit", "intraclass")),
    ("Errors", ("mean_absolute_error", "median_absolute_percent", "coverage")),
    ("Quality", ("mean", "sd", "median", "worst", "missed")),
    ("Visual review", ("accepted",)),
    ("Refitted to this cohort", ("apparent", "optimism", "corrected", "out_of_sample")),
    (
        "Comparisons on the same patients",
        (
            *("auc_difference", "c_index_difference", "integrated_discrimination", "net_reclassification"),
            *("net_reclassification_events", "net_reclassification_others"),
        ),
    ),
)
BY_NOTE = ("auc_until", "apparent", "out_of_sample")  # figures with a line for each note
SHARES = (
    "sensitivity",
    "specificity",
    "accuracy",
    "precision",
    "negative_predictive_value",
    "coverage",
    "missed",
    "accepted",
)


@dataclass
class Line:
    """One line of a table: its heading, tags, and a text for each column."""

    heading: str
    simulated: bool
    count: str
    cells: list[str]
    notes: list[str] = field(default_factory=list)


@dataclass
class Block:
    """A table: heading, columns, lines."""

    heading: str
    columns: list[str]
    lines: list[Line]


def blocks_of(section: Section) -> list[Block]:
    """All tables that have something in them; subgroups come last, with the whole cohort on top."""
    whole = [row for row in section.rows if not _is_subgroup(row)]
    parts = [row for row in section.rows if _is_subgroup(row)]
    found = [_block(heading, names, whole) for heading, names in BLOCKS]
    if parts:
        names = tuple(dict.fromkeys(row.figure for row in parts))
        main = parts[0].score
        all_of_main = [row for row in whole if row.score == main and row.figure in names and row.who == EVERYBODY]
        found.append(_block("Subgroups", names, [*all_of_main, *parts], by_patients=True))
    return [block for block in found if block.lines]


def _is_subgroup(row: Row) -> bool:
    return ": " in row.who


def _block(heading: str, names: Sequence[str], rows: Sequence[Row], by_patients: bool = False) -> Block:
    wanted = [row for row in rows if row.figure in names]
    present = [name for name in names if any(row.figure == name for row in wanted)]
    lines: dict[tuple[str, str, str], Line] = {}
    for row in wanted:
        key = (row.score, row.who, row.note if row.figure in BY_NOTE else "")
        title = row.who if by_patients or row.who != EVERYBODY else row.score
        line = lines.setdefault(key, Line(title, SIMULATED in row.note, _count(row), [""] * len(present)))
        line.cells[present.index(row.figure)] = cell(row)
        note = row.note.removeprefix(SIMULATED).removeprefix("; ")
        if note and note not in line.notes:
            line.notes.append(note)
    return Block(heading, [FIGURES[name] for name in present], list(lines.values()))


def _count(row: Row) -> str:
    return f"{row.n}" if row.events is None else f"{row.n} ({row.events})"


def cell(row: Row) -> str:
    """Value, interval and p value as a text: "0.82 (0.76 to 0.88)"; shares in percent."""
    scale, unit = (100.0, "%") if row.figure in SHARES else (1.0, row.unit)
    if not np.isfinite(row.value):
        return "not reached" if row.value > 0 else "not available"
    ends = np.isfinite(row.lower) and np.isfinite(row.upper)
    decimals = _decimals(scale * row.value, ends)
    text = _number(scale * row.value, decimals)
    if ends:
        text += f" ({_number(scale * row.lower, decimals)} to {_number(scale * row.upper, decimals)})"
    if unit:
        text += f" {unit}"
    return f"{text}, {p_text(row.p)}" if np.isfinite(row.p) else text


def _decimals(value: float, has_interval: bool) -> int:
    """What leaves about three digits; a whole number without an interval stays one."""
    if not has_interval and value == round(value):
        return 0
    size = abs(value)
    return 3 if size < 1 else 2 if size < 10 else 1 if size < 100 else 0


def _number(value: float, decimals: int) -> str:
    text = f"{value:.{decimals}f}"
    return text.replace("-", "−") if float(text) else text.lstrip("-")


def p_text(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"
