"""`prognosis train SYSTEM --from-results`: a bundle whose risk models were fitted to a table, without images.

Networks and everything else are those of the bundle it comes from. What the new models are worth is in the bundle's
card, and in a report beside it.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..bundles.bundle import CARD, Bundle
from ..bundles.facts import training_facts
from ..cohort_checks import SPLIT, held_out
from ..errors import InputError
from ..findings import SIMULATED
from ..risk import CoxModel, LogisticModel, readable_json
from ..systems import System
from .cases import joined_rows
from .from_results import study_of_system
from .refitting import Teaching, check_enough, fit_again, judge_inside, risk_by, teaching_of, worth
from .report import Subject, run_of, write_validation
from .section import Run, Section
from .study import RiskModel, Score, Study
from .table import Table

logger = logging.getLogger(__name__)

REPORT_SUFFIX = "-validation"


@dataclass(frozen=True)
class Refitted:
    """A model as it was fitted anew, who taught it, and its section of the report."""

    model: CoxModel | LogisticModel
    teaching: Teaching
    section: Section


def refit_bundle(
    system: System,
    results: Path,
    output: Path,
    cohort: Path | None = None,
    base: Path | None = None,
    validation: str = "",
    seed: int = 0,
    repeats: int = 200,
    command: Sequence[str] = (),
) -> list[Path]:
    """Fit a system's risk models to a table of results and write a bundle with them, and a report beside it.

    Args:
        results: a batch's results.csv, or any table with the columns that the models need; cases that failed or were
            rejected on review are left out.
        cohort: what it says of the same cases (outcomes, clinical values, site, year) is added.
        base: the bundle that everything else is taken from; the system's own by default.
        validation: patients held out, with commas; beside those whose column "split" is not "train".
        repeats: bootstrap samples.

    Raises:
        InputError: the system has no such model, or the table cannot teach it; see refitting.check_enough. A patient on
            both sides of the split is refused, too.
    """
    study = study_of_system(system)
    if not study.models:
        raise InputError(f"{system.module} has no risk model that a table of results can teach; train it on images.")
    bundle = system.load_bundle(base)
    rows = _usable(joined_rows(system, results, cohort))
    table = Table(rows)
    simulated = any(str(row.get("simulated", "")).lower() in ("yes", "true", "1") for row in rows)
    held = _held_out(table, validation)
    run = run_of(Subject(simulated_cohort=simulated), repeats=repeats, seed=seed)
    about = {
        "function": "PrognosisLib.validation.refit_bundle",
        "results_sha256": hashlib.sha256(Path(results).read_bytes()).hexdigest(),
        "seed": seed,
    }
    name = f"{SIMULATED} of a table of results" if simulated else "own cohort"
    found = {
        one.name: _refit(table, study, one, (bundle, system), run, held, {"name": name, "simulated": simulated}, about)
        for one in study.models
    }
    written = _write(output, bundle, study, table, found, {**about, "command": " ".join(command)}, simulated)
    subject = Subject(written.identity, written.metadata["training"], written.card, frozenset(), simulated)
    sections = [one.section for one in found.values()]
    report = output.with_name(output.name + REPORT_SUFFIX)
    only_refits = replace(study, endpoints=(), title=f"{study.title}, risk models fitted anew")
    return [written.path, *write_validation(report, only_refits, rows, subject, extra=sections, run=run)]


def _usable(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    kept = [row for row in rows if row.get("status") != "failed" and row.get("review") != "rejected"]
    if len(kept) < len(rows):
        logger.warning("%d cases failed or were rejected on review and are left out", len(rows) - len(kept))
    if not kept:
        raise InputError("Every case of the results failed or was rejected; there is nothing to learn from.")
    return kept


def _held_out(table: Table, validation: str) -> np.ndarray:
    """Rows (n,) that must not teach.

    Raises:
        InputError: a named patient is not there, a patient is on both sides, or nobody is left to teach.
    """
    sides = table.texts(SPLIT) if SPLIT in table else [""] * len(table)
    named = list(filter(None, map(str.strip, validation.split(","))))
    return np.array(held_out(table.patients.tolist(), sides, named, "results"))


def _refit(
    table: Table,
    study: Study,
    wanted: RiskModel,
    source: tuple[Bundle, System],
    run: Run,
    held: np.ndarray,
    cohort: Mapping[str, Any],
    about: Mapping[str, Any],
) -> Refitted:
    bundle, system = source
    every = teaching_of(table, study, wanted, bundle, system.clinical_fields)
    teaching = every.only(np.flatnonzero(~held[every.rows]))
    warnings = [*teaching.warnings, *check_enough(teaching)]
    for warning in warnings:
        logger.warning("%s: %s", wanted.name, warning)
    endpoint = study.endpoint(wanted.endpoint)
    endpoint = replace(endpoint, key=wanted.name, title=f"{endpoint.title}: {wanted.name}", published=())
    section = Section(endpoint, run, remarks=warnings)
    model = fit_again(teaching, cohort, about)
    facts = judge_inside(section, teaching, table, run)
    performance = {**_inside(facts, cohort["name"]), "inside": facts, "warnings": warnings}
    if held.any():
        outside = _judge_held_out(section, model, every.only(np.flatnonzero(held[every.rows])), run)
        if outside:
            performance |= {**outside, "test_cohort": f"patients held out of the {cohort['name']}"}
    return Refitted(replace(model, performance=performance), teaching, section)


def _inside(facts: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What rows of results quote: the figure of the folds, where there is one."""
    folds = next((one for key, one in facts.items() if key.endswith("-fold")), None)
    if folds is None:
        return {}
    figures = {key: value for key, value in folds.items() if isinstance(value, Mapping)}
    return {**figures, "test_n": folds["n"], "test_cohort": f"{name}, each judged by a model of the other folds"}


def _judge_held_out(
    section: Section, model: CoxModel | LogisticModel, others: Teaching, run: Run
) -> dict[str, Any] | None:
    n, events = len(others.frame), others.events
    found = None
    if n:
        found = section.attempt("Patients held out", lambda: worth(others, risk_by(model, others.frame), run))
    if found is None:
        return None
    name = "c_index" if others.is_survival else "auc"
    section.add(name, Score("", f"{model.name}, fitted anew: held out"), found, n, events)
    return {name: found.rounded(), "test_n": n, "test_events": events}


# --- the bundle -------------------------------------------------------------------------------------------------------


def _write(
    output: Path,
    bundle: Bundle,
    study: Study,
    table: Table,
    found: Mapping[str, Refitted],
    about: Mapping[str, Any],
    simulated: bool,
) -> Bundle:
    models = {name: one.model.to_dict() for name, one in found.items()}
    contents = dict(models)
    if study.more_files is not None:
        teachers = np.unique(np.concatenate([one.teaching.rows for one in found.values()]))
        contents |= study.more_files([table.rows[row] for row in teachers], models)
    told = bundle.metadata["training"]["cohort"]["simulated"]
    parts = dict(told) if isinstance(told, dict) else {"segmentation": told}
    record = {key: value for key, value in bundle.metadata["training"].items() if key not in ("cohort", "versions")}
    record["risk"] = {
        **about,
        "models": {name: {"n": one.model.n, "events": one.model.events} for name, one in found.items()},
    }
    facts = training_facts(record, {**parts, "risk": simulated}, ("numpy", "lifelines", "statsmodels"))
    facts["versions"] = {**bundle.metadata["training"]["versions"], **facts["versions"]}
    metadata = {**bundle.metadata, "training": facts, "version": f"{bundle.metadata['version']}+refit"}
    files = {f"models/{name}.json": readable_json(content) for name, content in contents.items()}
    card = _card(bundle.card, found, simulated)
    return bundle.copy_with(output, metadata, {**files, CARD: card})


def _card(card: str, found: Mapping[str, Refitted], simulated: bool) -> str:
    """The card of the bundle that it comes from, with what is new in front of it."""
    whom = f"a {SIMULATED}" if simulated else "the user's own cohort"
    lines = [f"# Risk models fitted anew to {whom}", ""]
    lines.append("Research and teaching, not for clinical use.")
    lines += ["", "The card below is that of the bundle that networks and predictors come from.", ""]
    lines += ["| model | n | events | optimism-corrected | protocols |", "|---|---|---|---|---|"]
    for name, one in found.items():
        inside = one.model.performance["inside"]
        told = [
            f"{key} {figure['value']:.2f} ({figure['lower']:.2f} to {figure['upper']:.2f})"
            for key, value in inside.items()
            if isinstance(value, Mapping)
            for figure in [value.get("auc") or value["c_index"]]
        ]
        lines.append(
            f"| {name} | {one.model.n} | {one.model.events} | {inside['optimism_corrected']:.2f} | {'; '.join(told)} |"
        )
    lines += ["", "Figures are AUC for logistic and C-index for Cox models.", ""]
    lines += [f"- {name}: {text}" for name, one in found.items() for text in one.model.performance["warnings"]]
    return "\n".join([*lines, "", card.strip(), ""])
