"""What is judged, as plain data: a system's endpoints, their scores, and what was published about them.

Columns are those of a results table: keys of measurements, and columns of the cohort file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

BINARY, SURVIVAL, CONTINUOUS, QUALITY = "binary", "survival", "continuous", "quality"


@dataclass(frozen=True)
class Score:
    """A column that says something about an endpoint.

    Args:
        column: in the results table.
        label: what the reader sees.
        unit: of the column; "%" means that a chance goes from 0 to 100.
        chance: it is the probability of the event, and so has a calibration and a decision curve. Of a survival
            endpoint it is that of an event until `until`, in the endpoint's unit of time.
        falls: a higher value means less risk; a chance that falls is that of no event.
        point: from which value on (over which, in survival) the event is called, as decided before; None for the point
            with the best sum of sensitivity and specificity in this cohort, or the median in survival.
        source: where `point` comes from.
        best_possible: it is known of simulated patients only, and bounds what a score can reach.
    """

    column: str
    label: str
    unit: str = ""
    chance: bool = False
    falls: bool = False
    until: float | None = None
    point: float | None = None
    source: str = ""
    best_possible: bool = False


@dataclass(frozen=True)
class Subgroup:
    """Patients apart: by the words of a column, or by its numbers at `cuts`, each from the cut on."""

    column: str
    label: str
    cuts: tuple[float, ...] = ()
    unit: str = ""


@dataclass(frozen=True)
class Published:
    """A published figure, shown beside this cohort's: its value with what it is of, the patients, and the source."""

    what: str
    value: str
    n: str
    source: str


@dataclass(frozen=True)
class Endpoint:
    """One question that the cohort can answer.

    Args:
        key: begins the names of its figures; snake_case.
        title: heading of its section.
        kind: BINARY (event or not), SURVIVAL (time to an event), CONTINUOUS (a quantity beside its truth) or QUALITY (a
            quantity that speaks for itself, such as Dice).
        scores: the first is the main one, to which others are compared. Of CONTINUOUS each is a way to measure the
            quantity; `COLUMN_lower` and `COLUMN_upper` are the ends of its interval where they are there.
        outcome: column of the event (1 or 0, yes or no), or of the true quantity; of QUALITY there is none.
        at_least: the event of a BINARY endpoint is an `outcome` of so much or more.
        time, time_unit: column and unit of the time to the event or the end of follow-up; SURVIVAL.
        groups: scores' columns by which Kaplan-Meier curves are drawn; the main score's by default.
        classes: probabilities that part risk classes, for net reclassification; none for any change of risk.
        quantity, unit: what is measured, CONTINUOUS and QUALITY.
        lowest_is_worst: of QUALITY: True for Dice, False for a distance.
        subgroups: rows of the main score's figure in each.
        published: figures to quote.
    """

    key: str
    title: str
    kind: str
    scores: tuple[Score, ...]
    outcome: str = ""
    at_least: float | None = None
    time: str = ""
    time_unit: str = "months"
    groups: tuple[str, ...] = ()
    classes: tuple[float, ...] = ()
    quantity: str = ""
    unit: str = ""
    lowest_is_worst: bool = True
    subgroups: tuple[Subgroup, ...] = ()
    published: tuple[Published, ...] = ()

    def __post_init__(self) -> None:
        needs = {BINARY: ("outcome",), SURVIVAL: ("outcome", "time"), CONTINUOUS: ("outcome",), QUALITY: ()}
        if self.kind not in needs:
            raise ValueError(f"'{self.kind}' is no kind of endpoint.")
        lacking = [name for name in ("key", "scores", *needs[self.kind]) if not getattr(self, name)]
        if lacking:
            raise ValueError(f"The endpoint '{self.key}' needs '{lacking[0]}'.")


@dataclass(frozen=True)
class RiskModel:
    """A model of the bundle that a results table can fit anew.

    Args:
        name: of its file in the bundle, models/<name>.json; its kind (Cox or logistic) and predictors stay.
        endpoint: key of the endpoint whose outcome it predicts.
        predictors: from a row of the results table (text or numbers) to the model's predictors; what is not known is
            left out, and such a row does not teach.
    """

    name: str
    endpoint: str
    predictors: Callable[[Mapping[str, Any]], Mapping[str, float]]


@dataclass(frozen=True)
class Study:
    """All that a system has to be judged by.

    Args:
        system: its name on the command line; title: of the report.
        models: those that a results table can fit anew.
        more_files: from the rows that taught, with the models fitted to them (JSON by name), to further JSON files of
            the bundle's models folder that must change with them.
        notes: sentences that whoever reads the figures must know.
    """

    system: str
    title: str
    endpoints: tuple[Endpoint, ...]
    models: tuple[RiskModel, ...] = ()
    more_files: Callable[[list[Mapping[str, Any]], Mapping[str, Any]], Mapping[str, Any]] | None = None
    notes: tuple[str, ...] = ()

    def endpoint(self, key: str) -> Endpoint:
        return next(one for one in self.endpoints if one.key == key)
