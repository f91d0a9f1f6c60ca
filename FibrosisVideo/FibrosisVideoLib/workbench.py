"""`prognosis simulate|train|evaluate fibrosis`: from cohort files to a model bundle and its figures."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from PrognosisLib.cohort import read_cohort
from PrognosisLib.cohort_checks import refuse_shared_images

from .simulation.cohort import simulate

__all__ = ["evaluate", "simulate", "train"]


def train(
    output: Path,
    cohort: Path | None = None,
    steps: int = 400,
    simulated: int = 200,
    seed: int = 0,
    validation: str = "",
    threads: int = 0,
    risk_patients: int = 300,
    patience: int = 0,
    command: Sequence[str] | None = None,
    note: str = "",
) -> list[Path]:
    """Train liver network, encoder and the three classifiers, measure them on patients kept out, write the bundle.

    Work in progress lies beside the bundle in `<output>-training`; the same call resumes it.

    Args:
        output: folder of the bundle to write.
        cohort: CSV with the columns case, cine, stage (0 to 4 or F0 to F4), patient; None trains on simulated patients.
        steps: of each classifier's training; liver network and encoder take several times as many.
        simulated: simulated patients with two cines each; 16 times as many are seen in a single frame.
        validation: patients of the cohort held out for testing, separated by commas.
        threads: CPU threads; 0 leaves it to torch.
        risk_patients: simulated patients that test the classifiers where there is no cohort.
        patience: ends the final training of each classifier after so many measurements in a row without a lower loss on
            the patients held out, of which there are 40 in all steps; 0 trains to the last step.

    Raises:
        InputError: the cohort is unfit, or there is nobody for the patience to go by.
    """
    import torch

    from PrognosisLib.learning.stopping import check_patience

    from .learning.course import Plan, train_bundle
    from .learning.own_cohort import own_cases

    if threads:
        torch.set_num_threads(threads)
    own = None if cohort is None else own_cases(cohort, validation)
    check_patience(patience, len(own.keeping) if own else 0)
    facts = {"command": " ".join(command or ["prognosis", *sys.argv[1:]]), "note": note}
    return train_bundle(output, Plan(steps, simulated, risk_patients, seed, patience), own, facts)


def evaluate(output: Path, cohort: Path, bundle: Path | None = None) -> list[Path]:
    """Stages by the three networks against biopsy, beside FIB-4, APRI and SWE; masks against outlines; readouts fitted
    anew in three protocols; see docs/validation.md.

    The columns are case, cine, stage (0 to 4 or F0 to F4) and, where known, patient, labels, clinical, clinical values,
    site and year; what is missing leaves out what needs it.

    Raises:
        InputError: the cohort is unfit.
    """
    from PrognosisLib.systems import SYSTEMS
    from PrognosisLib.validation.cases import clinical_values
    from PrognosisLib.validation.report import run_of, subject_of, write_validation

    from .endpoints import study_of
    from .learning.evaluating import check_stages, judged_case, paper_figures, points_of
    from .learning.protocols import protocol_section
    from .pipeline import default_settings

    system = SYSTEMS["fibrosis"]
    pipeline = system.make_pipeline(bundle)
    cases = read_cohort(cohort, ("cine",), optional=("clinical", "labels"))
    check_stages(cases, cohort.name)
    refuse_shared_images(cases, ("cine",))
    clinical = clinical_values(system, cohort)
    judged = [judged_case(pipeline, case, clinical[case.case]) for case in cases]
    rows, columns = [one.row for one in judged], set().union(*(one.simulated for one in judged))
    subject = subject_of(pipeline.bundle, cases, columns, default_settings())
    run, points = run_of(subject), points_of(pipeline)
    own = {"networks and clinical tests": paper_figures(judged, points)}
    extra, tables = [protocol_section(judged, run)], {"cases.csv": rows}
    return write_validation(output, study_of(points), rows, subject, own=own, tables=tables, extra=extra, run=run)
