"""Endpoints that are quantities: agreement with the truth (volumes, stiffness), and quality figures such as Dice."""

from __future__ import annotations

import numpy as np

from ..evaluation.agreement import bland_altman, intraclass
from ..evaluation.estimates import Estimate, bootstrap, wilson
from . import figures
from .section import Run, Section, remark_on_repeats, used_scores
from .study import QUALITY, Endpoint, Score
from .table import Table

FEWEST = 3
MOST_PANELS = 4


def judge_continuous(endpoint: Endpoint, table: Table, run: Run) -> Section:
    """Each way of measuring against the truth."""
    section = Section(endpoint, run)
    truth = table.numbers(endpoint.outcome)
    panels, errors, judged = [], [], []
    for score in used_scores(section, table):
        values = table.numbers(score.column)
        rows = np.flatnonzero(np.isfinite(truth) & np.isfinite(values))
        if len(rows) < FEWEST:
            section.remarks.append(f"{score.label} is not judged: {len(rows)} cases, {FEWEST} are needed.")
            continue
        run.say("complete")
        run.say("agreement")
        found, true = values[rows], truth[rows]
        agreement = bland_altman(found, true)
        for name in ("bias", "lower_limit", "upper_limit"):
            section.add(name, score, getattr(agreement, name), len(rows), unit=endpoint.unit)
        correlation = section.attempt(
            f"Intraclass correlation of {score.label}", lambda f=found, t=true: intraclass(f, t)
        )
        if correlation is not None:
            section.add("intraclass", score, correlation, len(rows))
        section.add("mean_absolute_error", score, np.abs(found - true).mean(), len(rows), unit=endpoint.unit)
        if (true > 0).all():
            percent = 100 * np.abs(found / true - 1)
            section.add("median_absolute_percent", score, np.median(percent), len(rows), unit="%")
        _coverage(section, score, table, rows, true)
        panels.append((score.label, found, true, agreement))
        errors.append((score.label, found - true))
        judged.append((score, rows, found - true))
    if panels:
        remark_on_repeats(section, table.patients[judged[0][1]])
        scores = [score for score, _, _ in judged]
        title = run.titled(f"{endpoint.title}: agreement with the truth", *scores)
        section.draw(
            "agreement",
            figures.agreement_figure(panels[:MOST_PANELS], title, endpoint.unit),
            "Bland-Altman plots: bias (black) and 95 % limits of agreement (dashed), each with its interval (shaded).",
        )
        title = run.titled(f"{endpoint.title}: errors", *scores)
        figure = figures.spread_figure(errors, title, f"Found − true ({endpoint.unit})", zero=True)
        section.draw("errors", figure, "Errors: median, quartiles, and single cases.")
        _subgroups(section, table, judged[0])
    return section


def _coverage(section: Section, score: Score, table: Table, rows: np.ndarray, truth: np.ndarray) -> None:
    """How often the interval beside the value holds the truth."""
    ends = [f"{score.column}_{end}" for end in ("lower", "upper")]
    if not all(end in table for end in ends):
        return
    lower, upper = (table.numbers(end)[rows] for end in ends)
    told = np.isfinite(lower) & np.isfinite(upper)
    if told.any():
        inside = (lower <= truth) & (truth <= upper) & told
        section.add("coverage", score, wilson(int(inside.sum()), int(told.sum())), int(told.sum()))


def _subgroups(section: Section, table: Table, main: tuple[Score, np.ndarray, np.ndarray]) -> None:
    score, rows, error = main
    for subgroup in section.endpoint.subgroups:
        if subgroup.column not in table:
            section.remarks.append(f"No subgroups by {subgroup.label.lower()}: no column '{subgroup.column}'.")
            continue
        section.run.say("subgroups")
        for name, inside in table.bands(subgroup).items():
            part = error[inside[rows]]
            if len(part) >= FEWEST:
                found = bland_altman(part, np.zeros(len(part)))
                who = f"{subgroup.label}: {name}"
                section.add("bias", score, found.bias, len(part), who=who, unit=section.endpoint.unit)


def judge_review(table: Table, run: Run) -> Section:
    """How many masks a reader accepted (column "review" of a batch, which is empty where nobody looked)."""
    score = Score("review", "Masks")
    section = Section(Endpoint("review", "Masks on visual review", QUALITY, (score,)), run)
    words = [word.lower() for word in table.texts(score.column) if word]
    accepted = words.count("accepted")
    strange = len(words) - accepted - words.count("rejected")
    if strange:
        section.remarks.append(f"{strange} cases are neither accepted nor rejected and do not count.")
    if len(words) > strange:
        run.say("review")
        section.add("accepted", score, wilson(accepted, len(words) - strange), len(words) - strange)
    return section


def judge_quality(endpoint: Endpoint, table: Table, run: Run) -> Section:
    """Mean, median and worst of each column; what is infinite was missed altogether."""
    section = Section(endpoint, run)
    columns, judged = [], []
    for score in used_scores(section, table):
        values = table.numbers(score.column)
        told = ~np.isnan(values)
        finite = np.isfinite(values)
        if not finite.any():
            section.remarks.append(f"{score.label} is not judged: no case has a number.")
            continue
        run.say("quality")
        part, patients = values[finite], table.patients[finite]
        n, unit = len(part), endpoint.unit
        ends = bootstrap(lambda rows, part=part: float(part[rows].mean()), patients, run.repeats, run.seed)
        section.add("mean", score, Estimate(float(part.mean()), *ends), n, unit=unit)
        if n > 1:
            section.add("sd", score, part.std(ddof=1), n, unit=unit)
        section.add("median", score, np.median(part), n, unit=unit)
        section.add("worst", score, part.min() if endpoint.lowest_is_worst else part.max(), n, unit=unit)
        missed = int((told & ~finite).sum())
        if missed:
            section.add("missed", score, wilson(missed, int(told.sum())), int(told.sum()))
        columns.append((score.label, part))
        judged.append(score)
    if columns:
        unit = f" ({endpoint.unit})" if endpoint.unit else ""
        figure = figures.spread_figure(columns, run.titled(endpoint.title, *judged), f"{endpoint.quantity}{unit}")
        section.draw("spread", figure, "Median, quartiles, whiskers of 1.5 times their distance, and single cases.")
    return section
