"""What the program knows of the items of the checklist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..findings import SIMULATED
from .section import Section
from .study import BINARY, SURVIVAL, Endpoint, Score, Study
from .table import Table

if TYPE_CHECKING:
    from .report import Subject


def known_items(
    study: Study, table: Table, subject: Subject, sections: Sequence[Section], methods: str
) -> Mapping[str, str]:
    """Answers by the keys of checklist.ITEMS; an item without one is for the authors."""
    outcomes = [one.endpoint for one in sections if one.endpoint.kind in (BINARY, SURVIVAL)]
    refitted = any(row.figure == "corrected" for one in sections for row in one.rows)
    found = {
        "title": f"Validation of {study.title}: {', '.join(one.endpoint.title for one in sections)}",
        "use": "Research and teaching, not for clinical use; see the model card",
        "aim": "Evaluation" + (", and models fitted anew to the cohort" if refitted else ""),
        "preparation": "Images are checked and refused in words where they are unfit; see the system's documentation",
        "outcome": "; ".join(f"{one.title}: {_outcome(one)}" for one in outcomes),
        "size": "No calculation was made; rows tell cases and events, and say where they are few",
        "missing": _missing(study, table, sections),
        "split": _split(table, subject),
        "model": "See the model card",
        "measures": methods,
        "predictions": "By the bundle named above" if subject.bundle else "",
        "output": _output(outcomes),
        "imbalance": "None was corrected; rows tell how many cases have the event" if outcomes else "",
        "fairness": _subgroups(sections),
        "code": f"Prognosis, Apache-2.0{_bundle(subject)}",
        "flow": f"{len(table)} cases of {len(np.unique(table.patients))} patients, {len(table.failed)} failed",
        "numbers": "In every row: n and events",
        "specification": _specification(subject),
        "performance": f"Tables and figures above{'; ' + _subgroups(sections) if _subgroups(sections) else ''}",
        "updating": "Refitted to this cohort; see the section" if refitted else "None",
        "published": _published(sections),
        "limits": "; ".join([*study.notes, *([f"The cohort is a {SIMULATED}"] if subject.simulated_cohort else [])]),
        "poor_input": "Unfit images are refused in words; what is missing widens intervals, and the row says so",
    }
    found["predictors"] = "See the model card and the system's documentation"
    if subject.simulated_cohort:
        found["data"] = f"A {SIMULATED}, from a causal model that is written down in full; no real patients"
    found |= _places(table)
    return {key: text for key, text in found.items() if text}


def _outcome(endpoint: Endpoint) -> str:
    text = f"column {endpoint.outcome}"
    if endpoint.at_least is not None:
        text += f" of {endpoint.at_least:g} or more"
    return f"{text}, time {endpoint.time} in {endpoint.time_unit}" if endpoint.time else text


def _missing(study: Study, table: Table, sections: Sequence[Section]) -> str:
    """Complete cases, and how many values each column lacks."""
    scores: dict[str, Score] = {s.column: s for one in sections for s in one.endpoint.scores if s.column in table}
    lacking = {s.label: sum(not text for text in table.texts(column)) for column, s in scores.items()}
    told = [f"{label} {count}" for label, count in lacking.items() if count]
    return "Complete cases for each figure" + (
        f"; without a value: {', '.join(told)}" if told else "; none are missing"
    )


def _split(table: Table, subject: Subject) -> str:
    taught = subject.training.get("training", ())
    text = "All cases were used for the evaluation"
    return f"{text}; the bundle was trained on {len(taught)} named cases, see its card" if subject.training else text


def _output(outcomes: Sequence[Endpoint]) -> str:
    told = []
    for endpoint in outcomes:
        for score in endpoint.scores:
            if score.point is not None:
                told.append(f"{score.label} {score.point:g} {score.unit}".strip())
    return f"Points set before: {', '.join(dict.fromkeys(told))}" if told else "Probabilities; no point was set before"


def _subgroups(sections: Sequence[Section]) -> str:
    names = dict.fromkeys(row.who.partition(":")[0].lower() for one in sections for row in one.rows if ": " in row.who)
    return f"Subgroups by {', '.join(names)}" if names else ""


def _specification(subject: Subject) -> str:
    return "The bundle has all coefficients and weights, readable and with SHA-256" if subject.bundle else ""


def _bundle(subject: Subject) -> str:
    return f"; bundle SHA-256 {subject.bundle['sha256'][:16]}…" if subject.bundle else ""


def _published(sections: Sequence[Section]) -> str:
    count = sum(len(one.endpoint.published) for one in sections)
    return f"{count} published figures stand beside this cohort's (published, other data)" if count else ""


def _places(table: Table) -> dict[str, str]:
    """What the columns "site" and "year" tell."""
    found = {}
    sites = sorted(set(table.texts("site")) - {""}) if "site" in table else []
    if sites:
        found["sites"] = f"{len(sites)} sites (column site)"
        found["clusters"] = "By site, in the subgroups or the protocols" if len(sites) > 1 else "One site"
    if "year" in table:
        years = table.numbers("year")
        found["dates"] = f"Years {np.nanmin(years):.0f} to {np.nanmax(years):.0f} (column year)"
    return found
