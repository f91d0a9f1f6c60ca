"""`prognosis simulate|train|evaluate hepato`: from cohort files to a model bundle and its figures."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from PrognosisLib.cohort import read_cohort

from .simulation.causes import COHORT_NAME
from .simulation.cohort import simulate

if TYPE_CHECKING:
    from torch import nn

    from .learning.groups import Group
    from .learning.pairs import Pairs

__all__ = ["evaluate", "simulate", "train"]

# Seeds of simulated patients, added to the run's; none is in two groups.
RISK_SEED, TEST_SEED, VIEWS_SEED, TEST_VIEWS_SEED = 10_000, 20_000, 30_000, 40_000
PATIENTS_A_VIEWER, TEST_VIEWERS = 20, 8  # odd views are of so many times fewer patients; of tests, of so many


def train(
    output: Path,
    cohort: Path | None = None,
    steps: int = 2500,
    simulated: int = 1200,
    seed: int = 0,
    validation: str = "",
    threads: int = 0,
    risk_patients: int = 400,
    tests: int = 400,
    command: Sequence[str] | None = None,
    note: str = "",
    liver_real: Mapping[str, Any] | None = None,
) -> list[Path]:
    """Train the network, fit head and Cox models, measure all on patients kept out, and write the bundle.

    Work in progress lies beside the bundle in `<output>-training`; the same call resumes it.

    Args:
        output: folder of the bundle to write.
        cohort: CSV of learning.own_cohort.own_pairs; None trains on simulated patients only.
        steps: of the network's training.
        simulated: simulated patients that the network learns from.
        validation: patients of the cohort held out for testing, separated by commas.
        threads: CPU threads; 0 leaves it to torch.
        risk_patients: other simulated patients, to whom head and Cox models are fitted where there is no cohort.
        tests: simulated patients that test all of it where there is no cohort, and the outlines.
        note: goes into the card; liver_real: figures of the outlines on real images (groups.dice_figures), for it too.

    Raises:
        InputError: the cohort is unfit.
    """
    import torch

    from .learning.groups import fit_group, judge
    from .learning.own_cohort import check_outcomes, for_network, own_pairs
    from .learning.packing import write_hepato_bundle
    from .learning.pairs import load_views, simulate_views
    from .learning.siamese_training import train_siamese
    from .learning.targets import taught

    if threads:
        torch.set_num_threads(threads)
    work = output.with_name(output.name + "-training")
    own, kept = own_pairs(cohort, validation) if cohort else (None, None)
    teaching = for_network(own.table, seed) if own else np.zeros(0, bool)
    if own:
        check_outcomes(own.rows(~teaching).table)
    pairs = _simulated(work, seed, simulated)
    viewers = max(1, simulated // PATIENTS_A_VIEWER)
    views = simulate_views(work / "views", range(seed + VIEWS_SEED, seed + VIEWS_SEED + viewers))
    network = train_siamese(
        taught(pairs), load_views(views), work / "network", steps, seed, own.taught(teaching) if own else None
    )
    del pairs
    risk, unseen, drawn = _groups(network, work, seed, (risk_patients, tests), (own, kept, teaching))
    named = {"name": Path(cohort).stem if cohort else COHORT_NAME, "simulated": cohort is None}
    fitted = fit_group(network, risk, named, seed)
    readout, figures = judge(fitted, unseen)
    measured = {
        **_of_images(network, drawn, load_views(_test_views(work, seed))),
        "head": fitted.head.notes
        | {key: round(getattr(fitted.head.head, key), 4) for key in ("spread_t0", "spread_pair")},
        "deaths": int((risk.table["status"] == 1).sum()),
        "test": figures,
    }
    if liver_real:
        measured["liver_real"] = dict(liver_real)
    record = {
        "command": " ".join(command or ["prognosis", *sys.argv[1:]]),
        "seed": seed,
        "steps": steps,
        "simulated": simulated,
        "views": viewers,
        "cohort_pairs": len(own.table) if own else 0,
        "outlined": int(own.outlined.sum()) if own else 0,
        "own_outcomes": int(teaching.sum()),
        "risk_patients": risk.table["patient"].nunique(),
        "tests": unseen.table["patient"].nunique(),
        "training": own.table["patient"].tolist() if own else [],
        "note": note,
    }
    return write_hepato_bundle(output, network, fitted.head.head, readout, record, measured, work)


def _simulated(work: Path, first: int, count: int) -> Pairs:
    """Pairs of the patients whose seeds begin at `first`."""
    from .learning.pairs import load_pairs, simulate_pairs

    return load_pairs(simulate_pairs(work / "pairs", range(first, first + count)))


def _test_views(work: Path, seed: int) -> list[Path]:
    from .learning.pairs import simulate_views

    first = seed + TEST_VIEWS_SEED
    return simulate_views(work / "views", range(first, first + TEST_VIEWERS))


def _groups(
    network: nn.Module, work: Path, seed: int, counts: tuple[int, int], cohort: tuple[Any, Any, np.ndarray]
) -> tuple[Group, Group, Group]:
    """Whom head and Cox models are fitted to, who tests them, and whose simulated images test the outlines."""
    from .learning.groups import simulated_group

    own, kept, teaching = cohort
    drawn = simulated_group(network, _simulated(work, seed + TEST_SEED, counts[1]))
    if own is None:
        return simulated_group(network, _simulated(work, seed + RISK_SEED, counts[0])), drawn, drawn
    return own.rows(~teaching).group(network), kept.group(network), drawn


def _of_images(network: nn.Module, tests: Group, views: Any) -> dict[str, Any]:
    from .learning.groups import empty_figures, liver_figures

    return {"liver": liver_figures(tests), "empty": empty_figures(network, tests, views)}


def evaluate(output: Path, cohort: Path, bundle: Path | None = None) -> list[Path]:
    """Masks against outlines, and the three models and the field's scores against outcomes; see docs/validation.md.

    The columns are those of learning.own_cohort.own_pairs; t1 may be missing, and so may outcomes and labels, which
    leaves out what needs them.

    Raises:
        InputError: the cohort is unfit.
    """
    from PrognosisLib.cohort_checks import refuse_shared_images
    from PrognosisLib.systems import SYSTEMS
    from PrognosisLib.validation.cases import clinical_values
    from PrognosisLib.validation.report import subject_of, write_validation

    from .endpoints import STUDY
    from .learning.evaluating import judged_case, paper_figures
    from .learning.own_cohort import LABELS, ROLES
    from .pipeline import default_settings

    system = SYSTEMS["hepato"]
    pipeline = system.make_pipeline(bundle)
    cases = read_cohort(cohort, ROLES[:1], optional=(*ROLES[1:], *LABELS, "clinical"))
    refuse_shared_images(cases, ROLES)
    clinical = clinical_values(system, cohort)
    rows, simulated = [], set()
    for case in cases:
        row, columns = judged_case(pipeline, case, clinical[case.case])
        rows.append(row)
        simulated |= columns
    subject = subject_of(pipeline.bundle, cases, simulated, default_settings())
    own = paper_figures(pipeline.readout, rows, cases, clinical)
    return write_validation(output, STUDY, rows, subject, own=own, tables={"cases.csv": rows})
