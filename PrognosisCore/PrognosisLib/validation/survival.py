"""Endpoints in time: C-index, Kaplan-Meier curves, best cut-offs; AUC, calibration and net benefit until a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..evaluation.calibration import calibration_at, calibration_groups_at
from ..evaluation.cutoff import best_survival_cutoff
from ..evaluation.decision import net_benefit_at
from ..evaluation.survival import auc_at, brier_at, c_index, compare_c_index, hazard_ratio, kaplan_meier, log_rank
from . import figures
from .binary import FEW, TOLD_THRESHOLDS, thresholds_for
from .section import Run, Section, risk_of, used_scores
from .study import Endpoint, Score
from .table import Table

FEWEST_EVENTS = 2
FEWEST_CALIBRATED = 10


@dataclass(frozen=True)
class Followed:
    """The complete patients of one score: time, event, risk, and the column's own values, all (n,)."""

    score: Score
    rows: np.ndarray
    time: np.ndarray
    event: np.ndarray
    risk: np.ndarray
    values: np.ndarray

    @property
    def count(self) -> tuple[int, int]:
        return len(self.time), int(self.event.sum())


def judge_survival(endpoint: Endpoint, table: Table, run: Run) -> Section:
    """All that the table's columns allow; the first case of each patient counts."""
    section = Section(endpoint, run)
    time, event = table.numbers(endpoint.time), table.event(endpoint.outcome)
    first = _first_rows(section, table)
    known = first & np.isfinite(time) & np.isfinite(event)
    cases = []
    for score in used_scores(section, table):
        values = table.numbers(score.column)
        rows = np.flatnonzero(known & np.isfinite(values))
        one = Followed(score, rows, time[rows], event[rows], risk_of(score, values)[rows], values[rows])
        if one.count[1] < FEWEST_EVENTS:
            section.remarks.append(
                f"{score.label} is not judged: {one.count[1]} of {one.count[0]} patients have the event, and "
                f"{FEWEST_EVENTS} are needed."
            )
        else:
            cases.append(one)
    if not cases:
        return section
    run.say("complete")
    for one in cases:
        _concordance(section, one)
        _areas(section, one)
    _groups(section, cases)
    for one in cases:
        if not one.score.best_possible:
            _search(section, one)
    _calibration(section, [one for one in cases if one.score.until and not one.score.best_possible])
    main = cases[0]
    if main.score == endpoint.scores[0]:
        for other in cases[1:]:
            _compare(section, main, other)
        _subgroups(section, main, table)
    return section


def _first_rows(section: Section, table: Table) -> np.ndarray:
    patients = table.patients
    first = np.zeros(len(patients), bool)
    first[np.unique(patients, return_index=True)[1]] = True
    if not first.all():
        section.remarks.append(
            f"{(~first).sum()} further cases of the same patients are left out; a patient counts once, with the first."
        )
    return first


def _note(events: int) -> str:
    return f"only {events} events" if events < FEW else ""


def _concordance(section: Section, one: Followed) -> None:
    run = section.run
    found = section.attempt(
        f"C-index of {one.score.label}",
        lambda: c_index(one.time, one.event, one.risk, repeats=run.repeats, seed=run.seed),
    )
    if found is not None:
        run.say("c_index")
        section.add("c_index", one.score, found, *one.count, note=_note(one.count[1]))


def _areas(section: Section, one: Followed) -> None:
    """The area until the time that a chance is of; of other scores, until each time that a chance here is of."""
    run, unit = section.run, section.endpoint.time_unit
    times = dict.fromkeys(score.until for score in section.endpoint.scores if score.until)
    for until in (one.score.until,) if one.score.until else times:
        note = f"until {until:g} {unit}"
        found = section.attempt(
            f"AUC of {one.score.label} {note}",
            lambda until=until: auc_at(one.time, one.event, one.risk, until, repeats=run.repeats, seed=run.seed),
        )
        if found is not None:
            run.say("auc_until")
            events = int(one.event[one.time <= until].sum())
            told = "; ".join(filter(None, (note, _note(events))))
            section.add("auc_until", one.score, found, len(one.time), events, note=told)


# --- groups -----------------------------------------------------------------------------------------------------------


def _groups(section: Section, cases: Sequence[Followed]) -> None:
    """Kaplan-Meier curves by the columns that the endpoint names, or by its main score."""
    wanted = section.endpoint.groups or (cases[0].score.column,)
    for one in cases:
        if one.score.column in wanted:
            _split(section, one)


def _split(section: Section, one: Followed) -> None:
    score, endpoint = one.score, section.endpoint
    cut = float(np.median(one.values)) if score.point is None else score.point
    high = one.values > cut
    if min(high.sum(), (~high).sum()) < 2:
        section.remarks.append(f"No groups by {score.label}: hardly a patient is on one side of {cut:g} {score.unit}.")
        return
    section.run.say("kaplan_meier")
    told = f"set before{f' ({score.source})' if score.source else ''}" if score.point is not None else "the median here"
    chi2, p = log_rank(one.time, one.event, high)
    note = f"over {cut:.4g} {score.unit}".strip() + f" against the others; cut-off {told}"
    section.add("log_rank", score, chi2, *one.count, p=p, note=note)
    ratio = section.attempt(
        f"Hazard ratio of {score.label}", lambda: hazard_ratio(one.time, one.event, high.astype(float))
    )
    if ratio is not None:
        section.add("hazard_ratio", score, ratio, *one.count, note=note)
    groups = []
    for inside, sign in ((high, ">"), (~high, "≤")):
        curve = kaplan_meier(one.time[inside], one.event[inside])
        name = f"{sign} {cut:.4g} {score.unit}".strip()
        n, events = int(inside.sum()), int(one.event[inside].sum())
        who = f"{score.label} {name}"
        section.add("median_survival", score, curve.median, n, events, who=who, unit=endpoint.time_unit, note=note)
        groups.append(figures.Group(name, curve, one.time[inside], events))
    title = section.run.titled(f"{endpoint.title}: {score.label}", score)
    shown = f"Log-rank p {'< 0.001' if p < 0.001 else f'= {p:.3f}'}"
    figure = figures.survival_figure(groups, title, f"Time ({endpoint.time_unit})", shown)
    section.draw(f"survival_{score.column}", figure, f"Kaplan-Meier curves with 95 % intervals; {note}.")


def _search(section: Section, one: Followed) -> None:
    score, run = one.score, section.run
    found = section.attempt(
        f"Best cut-off of {score.label}",
        lambda: best_survival_cutoff(one.time, one.event, one.values, run.permutations, run.seed),
    )
    if found is not None:
        run.say("cutoff")
        worse = "worse" if found.z > 0 else "better"
        note = (
            f"the {found.n_high} patients over it do {worse} than the {found.n_low} others; p counts the search in, "
            f"without it {found.p_uncorrected:.2g}"
        )
        section.add("best_cutoff", score, found.cutoff, *one.count, p=found.p, unit=score.unit, note=note)


# --- probabilities until a time ---------------------------------------------------------------------------------------


def _calibration(section: Section, cases: Sequence[Followed]) -> None:
    """Calibration, Brier score and net benefit of chances until a time."""
    panels, curves, run = [], {}, section.run
    for one in cases:
        score, until = one.score, float(one.score.until)
        events = int(one.event[one.time <= until].sum())
        if events < FEWEST_CALIBRATED or not (one.time >= until).any():
            section.remarks.append(
                f"No calibration of {score.label}: {events} events until {until:g} {section.endpoint.time_unit} "
                f"({FEWEST_CALIBRATED} are needed), or nobody followed so long."
            )
            continue
        run.say("survival_calibration")
        count, note = (len(one.time), events), f"until {until:g} {section.endpoint.time_unit}"
        found = section.attempt(
            f"Calibration of {score.label}",
            lambda one=one, until=until: calibration_at(one.time, one.event, one.risk, until),
        )
        for name, value in (found or {}).items():
            key = name if name == "observed_to_expected" else f"calibration_{name}"
            section.add(key, score, value, *count, note=note)
        section.add("brier", score, brier_at(one.time, one.event, one.risk, until), *count, note=note)
        groups = int(np.clip(len(one.time) // 30, 2, 10))
        panels.append(
            (score.label, calibration_groups_at(one.time, one.event, one.risk, until, groups), None, one.risk)
        )
        curves.setdefault(until, []).append(one)
    scores = [one.score for one in cases]
    if panels:
        title = run.titled(f"{section.endpoint.title}: calibration", *scores)
        caption = "Kaplan-Meier share of events against the predicted one, in groups, with 95 % intervals."
        section.draw("calibration", figures.calibration_figure(panels, title), caption)
    for until, judged in curves.items():
        _decision(section, until, judged)


def _decision(section: Section, until: float, cases: Sequence[Followed]) -> None:
    run, unit = section.run, section.endpoint.time_unit
    run.say("survival_decision")
    thresholds = thresholds_for([one.risk for one in cases])
    curves = []
    for one in cases:
        curves.append((one.score.label, net_benefit_at(one.time, one.event, one.risk, until, thresholds)))
        for threshold, value, everybody in zip(
            *net_benefit_at(one.time, one.event, one.risk, until, TOLD_THRESHOLDS), strict=True
        ):
            note = (
                f"until {until:g} {unit}, at a threshold of {100 * threshold:.0f} %; treating everybody {everybody:.3f}"
            )
            section.add("net_benefit", one.score, value, *one.count, note=note)
    title = run.titled(f"{section.endpoint.title}: decision curves, {until:g} {unit}", *(one.score for one in cases))
    section.draw(
        f"decision_{until:g}",
        figures.decision_figure(curves, title),
        f"Net benefit of acting on the event until {until:g} {unit}.",
    )


# --- comparisons ------------------------------------------------------------------------------------------------------


def _compare(section: Section, main: Followed, other: Followed) -> None:
    run = section.run
    common = np.intersect1d(main.rows, other.rows)
    first, second = np.isin(main.rows, common), np.isin(other.rows, common)
    found = section.attempt(
        f"{main.score.label} against {other.score.label}",
        lambda: compare_c_index(
            main.time[first],
            main.event[first],
            main.risk[first],
            other.risk[second],
            repeats=run.repeats,
            seed=run.seed,
        ),
    )
    if found is not None:
        count = (len(common), int(main.event[first].sum()))
        section.add("c_index_difference", main.score, found, *count, against=other.score)


def _subgroups(section: Section, main: Followed, table: Table) -> None:
    run = section.run
    for subgroup in section.endpoint.subgroups:
        if subgroup.column not in table:
            section.remarks.append(f"No subgroups by {subgroup.label.lower()}: no column '{subgroup.column}'.")
            continue
        run.say("subgroups")
        for name, inside in table.bands(subgroup).items():
            here, who = inside[main.rows], f"{subgroup.label}: {name}"
            events = int(main.event[here].sum())
            if events < FEWEST_EVENTS:
                section.remarks.append(f"{who}: {events} events among {here.sum()} patients, too few for a C-index.")
                continue
            found = section.attempt(
                who,
                lambda here=here: c_index(
                    main.time[here], main.event[here], main.risk[here], repeats=run.repeats, seed=run.seed
                ),
            )
            if found is not None:
                section.add("c_index", main.score, found, int(here.sum()), events, who=who, note=_note(events))
