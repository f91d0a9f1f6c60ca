"""What a validation has found: rows of figures, pictures and remarks of each endpoint, and how it was done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..evaluation.estimates import Comparison, Estimate
from ..findings import SIMULATED
from .methods import SENTENCES
from .study import Endpoint, Score
from .table import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EVERYBODY = "all"
NAN = float("nan")


@dataclass(frozen=True)
class Row:
    """One figure (a key of methods.FIGURES) of a score, of the patients `who`; NaN where there is no number.

    `n` counts cases and `events` those with the event, None where there is none.
    """

    endpoint: str
    figure: str
    score: str
    who: str
    value: float
    lower: float = NAN
    upper: float = NAN
    p: float = NAN
    n: int = 0
    events: int | None = None
    unit: str = ""
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For CSV and JSON: numbers have six significant digits, those that are not finite become None."""
        return {
            "endpoint": self.endpoint,
            "figure": self.figure,
            "score": self.score,
            "patients": self.who,
            **{name: _short(getattr(self, name)) for name in ("value", "lower", "upper", "p")},
            "n": self.n,
            "events": self.events,
            "unit": self.unit,
            "note": self.note,
        }


def _short(value: float) -> float | None:
    return float(f"{value:.6g}") if np.isfinite(value) else None


@dataclass(frozen=True)
class Drawing:
    """A figure with the name of its files (without suffix) and what it shows."""

    name: str
    figure: Figure
    caption: str


@dataclass
class Run:
    """How a validation is run, and what it notes on the way.

    Args:
        simulated_columns: of values of models that were trained on a simulated cohort.
        simulated_cohort: the patients are simulated, and so is every outcome.
        repeats: bootstrap samples; permutations: of outcomes, for best cut-offs.
        methods: sentences of the methods by key, as they were needed.
    """

    simulated_columns: frozenset[str] = frozenset()
    simulated_cohort: bool = False
    repeats: int = 200
    permutations: int = 2000
    seed: int = 0
    methods: dict[str, str] = field(default_factory=dict)

    def say(self, key: str) -> None:
        """Notes that a method was used."""
        self.methods.setdefault(key, SENTENCES[key].format(repeats=self.repeats, permutations=self.permutations))

    def is_simulated(self, *scores: Score) -> bool:
        return self.simulated_cohort or any(one.column in self.simulated_columns for one in scores)

    def titled(self, text: str, *scores: Score) -> str:
        """A figure's title, which says "simulated cohort" where anything in it is."""
        return f"{text} ({SIMULATED})" if self.is_simulated(*scores) else text


@dataclass
class Section:
    """All that was found about one endpoint; `remarks` say what was left out and why."""

    endpoint: Endpoint
    run: Run
    rows: list[Row] = field(default_factory=list)
    drawings: list[Drawing] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def add(
        self,
        figure: str,
        score: Score,
        value: float | Estimate | Comparison,
        n: int,
        events: int | None = None,
        *,
        against: Score | None = None,
        who: str = EVERYBODY,
        p: float = NAN,
        unit: str = "",
        note: str = "",
    ) -> None:
        """One row. A Comparison brings its p value, and `against` names the score that was subtracted."""
        scores = (score,) if against is None else (score, against)
        numbers = value[:3] if isinstance(value, tuple) else (value, NAN, NAN)
        p = value.p if isinstance(value, Comparison) else p
        note = "; ".join(part for part in (SIMULATED if self.run.is_simulated(*scores) else "", note) if part)
        label = " − ".join(one.label for one in scores)
        numbers = tuple(float(number) for number in numbers)
        self.rows.append(Row(self.endpoint.key, figure, label, who, *numbers, p, n, events, unit, note))

    def draw(self, name: str, figure: Figure, caption: str) -> None:
        self.drawings.append(Drawing(f"{self.endpoint.key}_{name}", figure, caption))

    def attempt(self, what: str, step: Callable[[], Any]) -> Any:
        """What the step gives; None where it cannot be done, which is remarked."""
        try:
            return step()
        except (InputError, np.linalg.LinAlgError) as error:
            self.remarks.append(f"{what}: not possible; {str(error).rstrip('.')}.")
            return None


def used_scores(section: Section, table: Table) -> list[Score]:
    """The endpoint's scores that the table has; what is missing is remarked."""
    found = []
    for score in section.endpoint.scores:
        if score.best_possible and not section.run.simulated_cohort:
            continue
        if score.column in table:
            found.append(score)
        elif not score.best_possible:
            section.remarks.append(f"{score.label} is left out: the table has no values in a column '{score.column}'.")
    return found


def risk_of(score: Score, values: np.ndarray) -> np.ndarray:
    """A score's column (n,) as a risk that rises with the event; a chance goes from 0 to 1."""
    if score.chance:
        chance = values / 100 if score.unit == "%" else values
        return 1 - chance if score.falls else chance
    return -values if score.falls else values


def remark_on_repeats(section: Section, patients: np.ndarray) -> None:
    """Says where patients have several cases, which intervals without a bootstrap do not know."""
    extra = len(patients) - len(np.unique(patients))
    if extra:
        section.remarks.append(
            f"{extra} cases are further ones of the same patients; intervals of areas and proportions take each case "
            "as independent and are too narrow. Bootstraps draw whole patients."
        )
