"""A validation as files: statistics.csv, summary.json, validation.html, and every figure as SVG and PNG.

The report is one HTML file without scripts or links and names no patient.
"""

from __future__ import annotations

import base64
import platform
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata as packages
from pathlib import Path
from typing import Any

import numpy as np

from ..bundles.bundle import Bundle
from ..cohort import CohortCase, write_rows
from ..errors import InputError
from ..findings import SIMULATED
from ..reporting.output import OutputFolder, write_atomic
from ..reporting.report import write_provenance
from .binary import judge_binary
from .checklist import filled
from .figures import as_files
from .known import known_items
from .methods import SENTENCES
from .quantity import judge_continuous, judge_quality, judge_review
from .section import Run, Section
from .study import BINARY, CONTINUOUS, QUALITY, SURVIVAL, Endpoint, Study
from .survival import judge_survival
from .table import Table
from .tables import blocks_of

JUDGES = {
    BINARY: judge_binary,
    SURVIVAL: judge_survival,
    CONTINUOUS: judge_continuous,
    QUALITY: judge_quality,
}
VERSIONS_OF = ("numpy", "scipy", "pandas", "lifelines", "statsmodels", "matplotlib")
STATISTICS, SUMMARY, REPORT, FIGURES = "statistics.csv", "summary.json", "validation.html", "figures"
NOTICE = "Research and teaching, not for clinical use"


@dataclass(frozen=True)
class Subject:
    """What was validated, and on whom.

    Args:
        bundle: identity of the model bundle; {} where it is not known.
        training: the metadata's "training" of the bundle.
        card: its model card.
        simulated_columns: of values of models that were trained on a simulated cohort.
        simulated_cohort: the cohort's patients are simulated.
        settings: of the system, which the predictions were made with.
    """

    bundle: Mapping[str, str] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    card: str = ""
    simulated_columns: frozenset[str] = frozenset()
    simulated_cohort: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)


def subject_of(
    bundle: Bundle, cases: Sequence[CohortCase], simulated_columns: Collection[str], settings: Mapping[str, Any]
) -> Subject:
    """The subject of a validation with a bundle on the cases of a cohort file.

    The cohort is simulated where any of its cases is; whoever mixes them with real ones gets the label, too.
    """
    return Subject(
        bundle.identity,
        bundle.metadata["training"],
        bundle.card,
        frozenset(simulated_columns),
        any(case.is_simulated for case in cases),
        settings,
    )


def run_of(subject: Subject, **more: Any) -> Run:
    """How a validation is run, with what the subject says of simulation."""
    return Run(subject.simulated_columns, subject.simulated_cohort, **more)


def write_validation(
    output: Path,
    study: Study,
    rows: Sequence[Mapping[str, Any]],
    subject: Subject,
    own: Mapping[str, Any] | None = None,
    tables: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    extra: Sequence[Section] = (),
    run: Run | None = None,
) -> list[Path]:
    """Judge every endpoint of a study on a cohort and write all files, or none.

    Args:
        rows: of the cohort's cases: "case", "patient", predictions, outcomes; see study.py.
        own: the system's own figures, JSON-able, which go into summary.json beside the endpoints.
        tables: further CSV files by name, such as {"cases.csv": rows}.
        extra: sections that others have made, such as refitted models.
        run: as `run_of` gives it; needed where `extra` sections were made with it.

    Raises:
        InputError: no rows, a value that is no number, or a folder that cannot be written.
    """
    if not rows:
        raise InputError("The cohort has no case to judge; add rows.")
    table = Table(rows)
    run = run or run_of(subject)
    sections = [_judged(one, table, run) for one in study.endpoints]
    if "review" in table:
        sections.insert(0, judge_review(table, run))
    sections = [one for one in [*sections, *extra] if one.rows or one.remarks]
    methods = methods_text(study, table, subject, run)
    warnings = _warnings(table, subject)
    with OutputFolder(output) as folder:
        written = [write_rows(folder / name, lines) for name, lines in (tables or {}).items()]
        written.append(write_rows(folder / STATISTICS, [row.as_dict() for one in sections for row in one.rows]))
        summary = _summary(study, table, subject, sections, methods, warnings)
        written.append(write_provenance(folder / SUMMARY, {**summary, **(own or {})}))
        pictures, files = _pictures(folder, sections)
        html = _html(study, table, subject, sections, pictures, (methods, warnings))
        written += [write_atomic(folder / REPORT, html), *files]
        names = [path.relative_to(folder) for path in written]
    return [Path(output) / name for name in names]


def _judged(endpoint: Endpoint, table: Table, run: Run) -> Section:
    """The section of an endpoint; without its columns it has a remark only."""
    lacking = [column for column in (endpoint.outcome, endpoint.time) if column and column not in table]
    if not lacking:
        return JUDGES[endpoint.kind](endpoint, table, run)
    return Section(endpoint, run, remarks=[f"Not judged: the cohort has no values in a column '{lacking[0]}'."])


def methods_text(study: Study, table: Table, subject: Subject, run: Run) -> str:
    """The methods in sentences, from what was done."""
    bundle = subject.bundle
    model = f"{bundle['name']} {bundle['version']}" if bundle else study.title
    patients = len(np.unique(table.patients))
    whose = f" of a {SIMULATED}" if subject.simulated_cohort else ""
    parts = [f"{len(table)} cases of {patients} patients{whose} were evaluated with {model}."]
    if table.failed:
        parts.append(f"{len(table.failed)} cases failed and lack predictions.")
    versions = ", ".join(f"{name} {version}" for name, version in _versions().items())
    told = [run.methods[key] for key in SENTENCES if key in run.methods]
    return " ".join([*parts, *told, f"Intervals are 95 %. Random seed {run.seed}. Software: {versions}."])


def _versions() -> dict[str, str]:
    return {"Python": platform.python_version(), **{name: packages.version(name) for name in VERSIONS_OF}}


def _warnings(table: Table, subject: Subject) -> list[str]:
    """What makes the figures worth less than they look."""
    found = []
    taught = set(map(str, subject.training.get("training", ())))
    seen = [row for row in table.rows if str(row["case"]) in taught or str(row.get("patient", "")) in taught]
    if seen:
        found.append(
            f"{len(seen)} of {len(table)} cases taught the networks of this bundle, so figures on them are too good; "
            "leave them out."
        )
    kept = set(map(str, subject.training.get("validation", ())))
    tuned = [row for row in table.rows if str(row["case"]) in kept or str(row.get("patient", "")) in kept]
    if tuned:
        found.append(
            f"{len(tuned)} of {len(table)} cases set this bundle's intervals: the networks never saw them, but "
            "coverage on them is too good."
        )
    if table.failed:
        found.append(f"{len(table.failed)} of {len(table)} cases failed; what they lack counts nowhere.")
    return found


def _summary(
    study: Study,
    table: Table,
    subject: Subject,
    sections: Sequence[Section],
    methods: str,
    warnings: Sequence[str],
) -> dict[str, Any]:
    return {
        "system": study.system,
        "bundle": dict(subject.bundle),
        "cohort": {
            "cases": len(table),
            "patients": len(np.unique(table.patients)),
            "failed": len(table.failed),
            "simulated": subject.simulated_cohort,
        },
        "warnings": list(warnings),
        "endpoints": {
            one.endpoint.key: {
                "title": one.endpoint.title,
                "kind": one.endpoint.kind,
                "figures": [{k: v for k, v in row.as_dict().items() if k != "endpoint"} for row in one.rows],
                "remarks": one.remarks,
                "published": [asdict(part) for part in one.endpoint.published],
            }
            for one in sections
        },
        "methods": methods,
        "checklist": [
            {"item": number, "about": about, "answer": answer}
            for number, about, answer in filled(known_items(study, table, subject, sections, methods))
        ],
        "versions": _versions(),
    }


def _pictures(folder: Path, sections: Sequence[Section]) -> tuple[dict[str, str], list[Path]]:
    """Figures as data for the page, by name, and the files that were written."""
    (folder / FIGURES).mkdir()
    found, files = {}, []
    for drawing in (one for section in sections for one in section.drawings):
        made = as_files(drawing.figure)
        files += [write_atomic(folder / FIGURES / f"{drawing.name}.{kind}", data) for kind, data in made.items()]
        found[drawing.name] = base64.b64encode(made["svg"]).decode("ascii")
    return found, files


def _html(
    study: Study,
    table: Table,
    subject: Subject,
    sections: Sequence[Section],
    pictures: Mapping[str, str],
    texts: tuple[str, Sequence[str]],
) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parents[1] / "reporting" / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    methods, warnings = texts
    return environment.get_template("validation.html").render(
        title=f"Validation: {study.title}",
        notice=NOTICE,
        cases=len(table),
        patients=len(np.unique(table.patients)),
        simulated_cohort=subject.simulated_cohort,
        simulated_model=bool(subject.simulated_columns),
        warnings=warnings,
        notes=study.notes,
        sections=[
            {"section": one, "blocks": blocks_of(one), "drawings": [(d, pictures[d.name]) for d in one.drawings]}
            for one in sections
        ],
        methods=methods,
        checklist=filled(known_items(study, table, subject, sections, methods)),
        bundle=subject.bundle,
        settings=subject.settings,
        card=subject.card.strip(),
        statistics=STATISTICS,
    )
