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

    from PrognosisLib.learning.training import TrainingRun

    from .learning.groups import Group
    from .learning.own_cohort import OwnCohort
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
    patience: int = 0,
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
        patience: ends the network's training after so many measurements in a row without a lower loss on the patients
            held out, of which there are 40 in all steps; 0 trains to the last step.
        tests: simulated patients that test all of it where there is no cohort, and the outlines.
        note: goes into the card; liver_real: figures of the outlines on real images (groups.dice_figures), for it too.

    Returns:
        the bundle, and the network's learning curve.

    Raises:
        InputError: the cohort is unfit, or there is nobody for the patience to go by.
    """
    import torch

    from PrognosisLib.learning.stopping import check_patience, stopping_facts

    from .learning.groups import fit_group, judge
    from .learning.own_cohort import NO_COHORT, read_own
    from .learning.packing import write_hepato_bundle
    from .networks.catalog import NAME

    if threads:
        torch.set_num_threads(threads)
    work = output.with_name(output.name + "-training")
    own = read_own(cohort, validation, seed) if cohort else None
    check_patience(patience, len(own.kept.table) if own else 0)
    network, trained = _trained(work, seed, simulated, steps, own, patience)
    curve = trained.draw_curve("HepatoPrognosis, Siamese network", own is None)
    risk, unseen, drawn = _groups(network, work, seed, (risk_patients, tests), own)
    named = {"name": Path(cohort).stem if cohort else COHORT_NAME, "simulated": cohort is None}
    fitted = fit_group(network, risk, named, seed)
    readout, figures = judge(fitted, unseen)
    measured = {
        **_of_images(network, drawn, work, seed),
        **fitted.facts,
        "deaths": int((risk.table["status"] == 1).sum()),
        "test": figures,
        **({"liver_real": dict(liver_real)} if liver_real else {}),
    }
    record = {
        "command": " ".join(command or ["prognosis", *sys.argv[1:]]),
        "seed": seed,
        "steps": trained.step,
        **stopping_facts({NAME: trained.stopping}),
        "simulated": simulated,
        "views": _viewers(simulated),
        **(own.facts() if own else NO_COHORT),
        "risk_patients": risk.table["patient"].nunique(),
        "tests": unseen.table["patient"].nunique(),
        "note": note,
    }
    return [*write_hepato_bundle(output, network, fitted.head.head, readout, record, measured, work), *curve]


def _trained(
    work: Path, seed: int, simulated: int, steps: int, own: OwnCohort | None, patience: int
) -> tuple[nn.Module, TrainingRun]:
    """The network and its training, on simulated patients and a user's own."""
    from .learning.pairs import load_views
    from .learning.siamese_training import train_siamese
    from .learning.targets import taught

    shown = (
        taught(_simulated(work, seed, simulated)),
        load_views(_views(work, seed + VIEWS_SEED, _viewers(simulated))),
    )
    teaching = own.pairs.taught(own.by_outcome) if own else None
    watching = own.kept.taught(np.ones(len(own.kept.table), bool)) if patience else None
    return train_siamese(*shown, work / "network", steps, seed, teaching, watching, patience)


def _viewers(simulated: int) -> int:
    return max(1, simulated // PATIENTS_A_VIEWER)


def _views(work: Path, first: int, count: int) -> list[Path]:
    """Odd views of the patients whose seeds begin at `first`."""
    from .learning.pairs import simulate_views

    return simulate_views(work / "views", range(first, first + count))


def _simulated(work: Path, first: int, count: int) -> Pairs:
    """Pairs of the patients whose seeds begin at `first`."""
    from .learning.pairs import load_pairs, simulate_pairs

    return load_pairs(simulate_pairs(work / "pairs", range(first, first + count)))


def _groups(
    network: nn.Module, work: Path, seed: int, counts: tuple[int, int], own: OwnCohort | None
) -> tuple[Group, Group, Group]:
    """Whom head and Cox models are fitted to, who tests them, and whose simulated images test the outlines."""
    from .learning.groups import simulated_group

    drawn = simulated_group(network, _simulated(work, seed + TEST_SEED, counts[1]))
    if own is None:
        return simulated_group(network, _simulated(work, seed + RISK_SEED, counts[0])), drawn, drawn
    return own.pairs.rows(~own.by_outcome).group(network), own.kept.group(network), drawn


def _of_images(network: nn.Module, tests: Group, work: Path, seed: int) -> dict[str, Any]:
    """How well the liver is drawn, and that none is seen where there is none."""
    from .learning.groups import empty_figures, liver_figures
    from .learning.pairs import load_views

    views = load_views(_views(work, seed + TEST_VIEWS_SEED, TEST_VIEWERS))
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
