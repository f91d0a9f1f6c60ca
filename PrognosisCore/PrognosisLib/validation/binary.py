"""Endpoints that happen or do not: discrimination, points, calibration, decision curve, reclassification, subgroups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..evaluation.calibration import (
    brier,
    calibration,
    calibration_groups,
    calibration_index,
    observed_to_expected,
    scaled_brier,
    smooth_calibration,
)
from ..evaluation.cutoff import best_binary_cutoff
from ..evaluation.decision import net_benefit
from ..evaluation.discrimination import auc, compare_auc, roc
from ..evaluation.reclassification import integrated_discrimination, net_reclassification
from ..evaluation.thresholds import best_point, point_figures
from . import figures
from .section import Run, Section, remark_on_repeats, risk_of, used_scores
from .study import Endpoint, Score
from .table import Table

FEWEST = 2  # cases of both kinds, for an area
FEW = 10  # below, a row says so
FEWEST_CALIBRATED = 5
TOLD_THRESHOLDS = (0.1, 0.2, 0.3)


@dataclass(frozen=True)
class Judged:
    """The complete cases of one score: outcome, risk, the column's own values, patients, all (n,)."""

    score: Score
    rows: np.ndarray
    y: np.ndarray
    risk: np.ndarray
    values: np.ndarray
    patients: np.ndarray

    @property
    def count(self) -> tuple[int, int]:
        return len(self.y), int(self.y.sum())

    @property
    def fewest(self) -> int:
        return int(min(self.y.sum(), len(self.y) - self.y.sum()))


def judge_binary(endpoint: Endpoint, table: Table, run: Run) -> Section:
    """All that the table's columns allow."""
    section = Section(endpoint, run)
    y = table.event(endpoint.outcome, endpoint.at_least)
    cases = []
    for score in used_scores(section, table):
        values = table.numbers(score.column)
        rows = np.flatnonzero(np.isfinite(y) & np.isfinite(values))
        one = Judged(score, rows, y[rows].astype(int), risk_of(score, values)[rows], values[rows], table.patients[rows])
        if one.fewest < FEWEST:
            n, events = one.count
            section.remarks.append(
                f"{score.label} is not judged: {events} of {n} cases have the event, and {FEWEST} with and without it "
                "are needed."
            )
        else:
            cases.append(one)
    if not cases:
        return section
    run.say("complete")
    remark_on_repeats(section, cases[0].patients)
    for one in cases:
        _discrimination(section, one)
    _roc(section, cases)
    for one in cases:
        if not one.score.best_possible:
            _point(section, one)
    chances = [one for one in cases if one.score.chance and not one.score.best_possible]
    _calibration(section, chances)
    _decision(section, chances)
    main = cases[0]
    if main.score == endpoint.scores[0]:
        for other in cases[1:]:
            _compare(section, main, other)
        _subgroups(section, main, table)
    return section


def _note(one: Judged) -> str:
    return f"only {one.fewest} cases of the rarer kind" if one.fewest < FEW else ""


def _discrimination(section: Section, one: Judged) -> None:
    section.run.say("auc")
    section.add("auc", one.score, auc(one.y, one.risk), *one.count, note=_note(one))


def _roc(section: Section, cases: Sequence[Judged]) -> None:
    curves = []
    for one in cases:
        area = auc(one.y, one.risk)
        curves.append(
            (f"{one.score.label}: {area.value:.2f} ({area.lower:.2f} to {area.upper:.2f})", roc(one.y, one.risk))
        )
    title = section.run.titled(f"{section.endpoint.title}: ROC curves", *(one.score for one in cases))
    n, events = cases[0].count
    caption = f"ROC curves with AUC and 95 % interval; {events} of {n} cases with the event."
    section.draw("roc", figures.roc_figure(curves, title), caption)


def _point(section: Section, one: Judged) -> None:
    """Figures at the point that was decided before, or at the best one here, with what the search is worth."""
    score, run = one.score, section.run
    run.say("point")
    sign = -1 if score.falls else 1
    if score.point is None:
        run.say("youden")
        values = sign * one.values
        # The smallest value that occurs and is called, so that points of a score stay points.
        point = sign * float(values[values >= best_point(one.y, values)].min())
        note = "point chosen on these patients, so too hopeful"
        _search(section, one)
    else:
        point, note = score.point, f"point set before{f' ({score.source})' if score.source else ''}"
    called = (sign * one.values >= sign * point).astype(int)
    section.add("point", score, point, *one.count, unit=score.unit, note=note)
    for name, value in point_figures(one.y, called, one.patients, run.repeats, run.seed).items():
        section.add(name, score, value, *one.count, note=note)


def _search(section: Section, one: Judged) -> None:
    score, run = one.score, section.run
    found = section.attempt(
        f"Best cut-off of {score.label}",
        lambda: best_binary_cutoff(one.y, one.values, run.permutations, run.seed),
    )
    if found is not None:
        run.say("cutoff")
        note = (
            f"{found.n_high} cases over it, {found.n_low} not; p counts the search in, without it "
            f"{found.p_uncorrected:.2g}"
        )
        section.add("best_cutoff", score, found.cutoff, *one.count, p=found.p, unit=score.unit, note=note)


def _calibration(section: Section, cases: Sequence[Judged]) -> None:
    panels = []
    for one in cases:
        if one.fewest < FEWEST_CALIBRATED:
            section.remarks.append(
                f"No calibration of {one.score.label}: {one.fewest} cases of the rarer kind, {FEWEST_CALIBRATED} are "
                "needed."
            )
            continue
        label, y, p = one.score.label, one.y, one.risk
        found = section.attempt(f"Calibration of {label}", lambda y=y, p=p: calibration(y, p))
        if found is None:
            continue
        section.run.say("calibration")
        note = _note(one)
        for name in ("slope", "intercept"):
            section.add(f"calibration_{name}", one.score, found[name], *one.count, note=note)
        for name, figure in (
            ("observed_to_expected", observed_to_expected),
            ("brier", brier),
            ("scaled_brier", scaled_brier),
            ("calibration_index", calibration_index),
        ):
            section.add(name, one.score, figure(y, p), *one.count, note=note)
        groups = calibration_groups(y, p, int(np.clip(len(y) // 20, 2, 10)))
        smooth = smooth_calibration(y, p) if len(np.unique(p)) > 10 else None
        panels.append((label, groups, smooth, p))
    if panels:
        title = section.run.titled(f"{section.endpoint.title}: calibration", *(one.score for one in cases))
        caption = (
            "Observed against predicted probability: groups of about equal size with 95 % intervals, a lowess curve, "
            "and the distribution of the predictions."
        )
        section.draw("calibration", figures.calibration_figure(panels, title), caption)


def thresholds_for(risks: Sequence[np.ndarray]) -> np.ndarray:
    """Threshold probabilities from 1 % to where next to nobody is treated any more, at least to 30 %."""
    highest = max(float(np.quantile(risk, 0.99)) for risk in risks)
    return np.arange(0.01, min(0.99, max(0.3, highest)) + 1e-9, 0.01)


def _decision(section: Section, cases: Sequence[Judged]) -> None:
    if not cases:
        return
    section.run.say("decision")
    thresholds = thresholds_for([one.risk for one in cases])
    common = _common(cases)
    curves = []
    for one in cases:
        here = np.isin(one.rows, common)
        y, p = one.y[here], one.risk[here]
        if len(np.unique(y)) < 2:
            return
        curves.append((one.score.label, net_benefit(y, p, thresholds)))
        told = net_benefit(y, p, TOLD_THRESHOLDS)
        for threshold, value, everybody in zip(*told, strict=True):
            note = f"at a threshold of {100 * threshold:.0f} %; treating everybody {everybody:.3f}"
            section.add("net_benefit", one.score, value, len(y), int(y.sum()), note=note)
    title = section.run.titled(f"{section.endpoint.title}: decision curves", *(one.score for one in cases))
    caption = f"Net benefit on the {len(common)} cases that have all scores."
    section.draw("decision", figures.decision_figure(curves, title), caption)


def _common(cases: Sequence[Judged]) -> np.ndarray:
    rows = cases[0].rows
    for one in cases[1:]:
        rows = np.intersect1d(rows, one.rows)
    return rows


def _compare(section: Section, main: Judged, other: Judged) -> None:
    """Both scores on the cases that have both."""
    rows = _common([main, other])
    first, second = np.isin(main.rows, rows), np.isin(other.rows, rows)
    y = main.y[first]
    if min(y.sum(), len(y) - y.sum()) < FEWEST:
        section.remarks.append(f"{main.score.label} and {other.score.label} have too few cases in common.")
        return
    count, pair = (len(y), int(y.sum())), {"against": other.score}
    new, old = main.risk[first], other.risk[second]
    section.add("auc_difference", main.score, compare_auc(y, new, old), *count, **pair)
    if other.score.best_possible or not (main.score.chance and other.score.chance):
        return
    section.run.say("reclassification")
    classes = section.endpoint.classes
    found = net_reclassification(y, old, new, classes)
    note = (
        f"classes part at {', '.join(f'{100 * one:g} %' for one in classes)}" if classes else "any rise or fall counts"
    )
    section.add("net_reclassification", main.score, found.total, *count, note=note, **pair)
    section.add("net_reclassification_events", main.score, found.events, *count, note=note, **pair)
    section.add("net_reclassification_others", main.score, found.others, *count, note=note, **pair)
    section.add("integrated_discrimination", main.score, integrated_discrimination(y, old, new), *count, **pair)


def _subgroups(section: Section, main: Judged, table: Table) -> None:
    for subgroup in section.endpoint.subgroups:
        if subgroup.column not in table:
            section.remarks.append(f"No subgroups by {subgroup.label.lower()}: no column '{subgroup.column}'.")
            continue
        section.run.say("subgroups")
        for name, inside in table.bands(subgroup).items():
            here = inside[main.rows]
            y, risk = main.y[here], main.risk[here]
            who, count = f"{subgroup.label}: {name}", (len(y), int(y.sum()))
            rarer = min(count[1], count[0] - count[1])
            if rarer < FEWEST:
                section.remarks.append(f"{who}: {count[1]} of {count[0]} cases with the event, too few for an area.")
                continue
            note = f"only {rarer} cases of the rarer kind" if rarer < FEW else ""
            section.add("auc", main.score, auc(y, risk), *count, who=who, note=note)
            if main.score.chance:
                ratio = observed_to_expected(y, risk)
                section.add("observed_to_expected", main.score, ratio, *count, who=who, note=note)
