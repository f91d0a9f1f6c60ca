"""`prognosis simulate|train|evaluate ich`: from cohort files to a model bundle and its figures."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PrognosisLib.cohort import read_cohort, split_by_patient
from PrognosisLib.cohort_checks import refuse_shared_images

from .simulation.patients import simulate

__all__ = ["evaluate", "simulate", "train"]

logger = logging.getLogger(__name__)

TEST_PATIENTS = 900
TEST_SEED = 5000  # of the first simulated test patient, added to the run's seed
MOST_DRAWS = 5


def train(
    output: Path,
    cohort: Path | None = None,
    steps: int = 4000,
    simulated: int = 400,
    seed: int = 0,
    validation: str = "",
    threads: int = 0,
    risk_patients: int = 2000,
    patience: int = 0,
    command: Sequence[str] | None = None,
) -> list[Path]:
    """Train network, slice attention and risk models, measure them on patients kept out, and write the bundle.

    Work in progress lies beside the bundle in `<output>-training`; the same call resumes it.

    Args:
        output: folder of the bundle to write.
        cohort: CSV with the columns case, ct, labels (and patient); None trains on simulated patients only.
        steps: of the network's training.
        simulated: simulated patients with hemorrhage; a quarter as many heads without are added.
        validation: patients held out, separated by commas.
        threads: CPU threads; 0 leaves it to torch.
        risk_patients: simulated patients that slice attention and risk models are fitted to, up to 5 for each image;
            images beyond those that trained the network are simulated for it.
        patience: ends the network's training after so many measurements in a row without a lower loss on the patients
            held out, of which there are 40 in all steps; 0 trains to the last step.

    Returns:
        the bundle, and the network's learning curve.

    Raises:
        InputError: the cohort is unfit, or there is nobody for the patience to go by.
    """
    import torch

    from PrognosisLib.learning.stopping import check_patience, stopping_facts

    from .learning.fitting import FILES, simulate_for_training, simulate_more, slice_cases, train_network
    from .learning.packing import write_ich_bundle
    from .segmenting.network import NAME

    if threads:
        torch.set_num_threads(threads)
    work = output.with_name(output.name + "-training")
    held = [name.strip() for name in validation.split(",") if name.strip()]
    real, kept_out = split_by_patient(read_cohort(cohort, FILES), held, FILES[:1]) if cohort else ([], [])
    check_patience(patience, len(kept_out))
    with_blood, without = simulate_for_training(work, simulated, seed)
    cases = slice_cases([*real, *with_blood, *without])
    watching = slice_cases(kept_out) if patience else []
    network, run = train_network(cases, work / "network", steps, seed, watching, patience)
    curve = run.draw_curve("ICHExpansion, slice network", all(case.simulated for case in cases))
    record = {
        "command": " ".join(command or ["prognosis", *sys.argv[1:]]),
        "seed": seed,
        "steps": run.step,
        "training": [case.case for case in real if not case.is_simulated],
        "training_simulated": len(with_blood) + len(without) + sum(case.is_simulated for case in real),
        "validation": [case.case for case in kept_out],
        **stopping_facts({NAME: run.stopping}),
    }
    draws = min(MOST_DRAWS, max(1, risk_patients // max(1, simulated)))
    images = max(simulated, risk_patients // MOST_DRAWS)
    more = simulate_more(work, seed, simulated, images - simulated)
    tests = min(TEST_PATIENTS, max(20, images))
    teachers = ([*with_blood, *more], [case for case in real if not case.is_simulated])
    written = write_ich_bundle(output, network, record, teachers, kept_out, work, draws, (seed + TEST_SEED, tests))
    return [*written, *curve]


def evaluate(output: Path, cohort: Path, bundle: Path | None = None) -> list[Path]:
    """Masks, volumes and detection against labels, and the three models against outcomes, as far as the cohort has
    them; see docs/validation.md.
    """
    from PrognosisLib.systems import SYSTEMS
    from PrognosisLib.validation.cases import clinical_values
    from PrognosisLib.validation.refitting import refit_sections
    from PrognosisLib.validation.report import run_of, subject_of, write_validation

    from .endpoints import STUDY
    from .learning.validation import case_row, summarize
    from .pipeline import default_settings

    system = SYSTEMS["ich"]
    pipeline = system.make_pipeline(bundle)
    cases = read_cohort(cohort, ("ct",), optional=("labels", "clinical", "followup", "followup_labels"))
    refuse_shared_images(cases, ("ct", "followup"))
    clinical = clinical_values(system, cohort)
    rows: list[dict[str, Any]] = []
    slices: list[dict[str, Any]] = []
    simulated: set[str] = set()
    for case in cases:
        row, slabs, columns = case_row(pipeline, case, clinical[case.case])
        logger.info("%s", row)
        rows.append(row)
        slices += slabs
        simulated |= columns
    subject = subject_of(pipeline.bundle, cases, simulated, default_settings())
    run = run_of(subject)
    extra = refit_sections(rows, STUDY, pipeline.bundle, run, system.clinical_fields)
    own, tables = summarize(rows, slices), {"cases.csv": rows, "slices.csv": slices}
    return write_validation(output, STUDY, rows, subject, own=own, tables=tables, extra=extra, run=run)
