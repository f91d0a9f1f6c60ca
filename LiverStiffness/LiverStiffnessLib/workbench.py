"""`prognosis simulate|train|evaluate stiffness`: from cohort files to a model bundle and its figures."""

from __future__ import annotations

import logging
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PrognosisLib.cohort import CohortCase, read_cohort, split_by_patient
from PrognosisLib.cohort_checks import refuse_shared_images

from .labels import THRESHOLDS_KPA
from .simulation.patients import simulate

__all__ = ["evaluate", "simulate", "train"]

logger = logging.getLogger(__name__)

IMAGES = ("t2", "t1")

# Seeds of simulated examinations, added to the run's; none is in two groups.
TEACHER_SEED, TEST_SEED = 10_000, 20_000
MOST_TESTS = 400
# So large a share of the examinations has an image of a third sequence.
OTHER_SHARE, OTHER_TEST_SHARE = 0.3, 0.06
FEWEST_MEASURED = 60  # patients with a measured stiffness, to fit the readings to them instead of simulated ones


def train(
    output: Path,
    cohort: Path | None = None,
    steps: int = 6000,
    simulated: int = 500,
    seed: int = 0,
    validation: str = "",
    threads: int = 0,
    risk_patients: int = 300,
    patience: int = 0,
    command: Sequence[str] | None = None,
) -> list[Path]:
    """Train the network, fit the readings, measure them on patients kept out, and write the bundle.

    Work in progress lies beside the bundle in `<output>-training`; the same call resumes it.

    Args:
        output: folder of the bundle to write.
        cohort: CSV with the columns case, t2, labels (and t1, patient, mre_kpa, age, site, year); None trains on
            simulated patients only. With 60 measured stiffnesses (mre_kpa) the readings are fitted to these.
        steps: of the network's training.
        simulated: simulated examinations that the network is trained on.
        validation: patients held out, separated by commas.
        threads: CPU threads; 0 leaves it to torch.
        risk_patients: simulated examinations that the readings are fitted to; twice as many, up to 400, test them.
        patience: ends the network's training after so many measurements in a row without a lower loss on the patients
            held out, of which there are 40 in all steps; 0 trains to the last step.

    Returns:
        the bundle, and the network's learning curve.

    Raises:
        InputError: the cohort is unfit, or there is nobody for the patience to go by.
    """
    import torch

    from PrognosisLib.learning.stopping import check_patience, stopping_facts

    from .learning.cases import load, simulate_stacks
    from .learning.fitting import (
        KEPT_OUT_SEED,
        ON_REAL_SEED,
        ON_REAL_TEST,
        ON_REAL_TRAINING,
        stack_cases,
        train_network,
    )
    from .learning.outcomes import measured_kpa, simulated_values
    from .learning.packing import Groups, write_stiffness_bundle
    from .learning.protocols import check_measured
    from .segmenting.network import NAME

    if threads:
        torch.set_num_threads(threads)
    work = output.with_name(output.name + "-training")
    held = [name.strip() for name in validation.split(",") if name.strip()]
    cases = read_cohort(cohort, ("labels",), optional=IMAGES) if cohort else []
    real, kept_out = split_by_patient(cases, held, IMAGES) if cases else ([], [])
    check_patience(patience, len(kept_out))
    made = simulate_stacks(work / "simulated", range(seed, seed + simulated), OTHER_SHARE)
    rows = {id(case): row for row, case in enumerate(cases)}
    teaching, keeping = ({rows[id(case)]: case for case in part} for part in (real, kept_out))
    taught = stack_cases(teaching, work / "real", ON_REAL_TRAINING, seed + ON_REAL_SEED)
    kept = stack_cases(keeping, work / "kept-out", ON_REAL_TEST, seed + KEPT_OUT_SEED)
    plain = {case.case for case in cases}
    watching = [load(path) for path in kept if path.stem in plain] if patience else []
    teaching_stacks = [load(path) for path in (*made, *taught)]
    network, run = train_network(teaching_stacks, work / "network", steps, seed, watching, patience)
    curve = run.draw_curve("LiverStiffness, slice network", not taught)
    known = [measured_kpa(case.values, case.case) for case in real]
    measured = [case for case, kpa in zip(real, known, strict=True) if kpa is not None]
    own = len(measured) >= FEWEST_MEASURED
    if own:
        check_measured([kpa for kpa in known if kpa is not None])
        teachers = [(work / "real" / f"{case.case}.npz", _values(case)) for case in measured]
        tests = [(work / "kept-out" / f"{case.case}.npz", _values(case)) for case in kept_out]
    else:
        counts = {TEACHER_SEED: risk_patients, TEST_SEED: min(MOST_TESTS, 2 * risk_patients)}
        groups = [range(seed + first, seed + first + count) for first, count in counts.items()]
        folders = (work / "teachers", work / "tests")
        teachers, tests = (
            [(path, simulated_values(path.stem)) for path in simulate_stacks(folder, seeds, OTHER_TEST_SHARE)]
            for folder, seeds in zip(folders, groups, strict=True)
        )
    record = {
        "command": " ".join(command or ["prognosis", *sys.argv[1:]]),
        "seed": seed,
        "steps": run.step,
        "training": [case.case for case in real],
        "training_simulated": len(made),
        "training_on_real": len(taught) - sum(path.stem in plain for path in taught),
        "validation": [case.case for case in kept_out],
        **stopping_facts({NAME: run.stopping}),
        "measured_patients": len(measured) if own else 0,
        "teachers": len(teachers),
        "tests": len(tests),
    }
    on_real = [path for path in kept if path.stem not in plain]
    real_kept = [path for path in kept if path.stem in plain]
    files = Groups(*_columns(teachers), *_columns(tests), on_real, real_kept)
    return [*write_stiffness_bundle(output, network, record, files, work), *curve]


def _values(case: CohortCase) -> dict[str, Any]:
    return {**case.values, "patient": case.patient}


def _columns(pairs: Sequence[tuple[Path, Mapping[str, Any]]]) -> tuple[list[Path], list[Mapping[str, Any]]]:
    """Files and values of pairs of both."""
    return [file for file, _ in pairs], [values for _, values in pairs]


def evaluate(output: Path, cohort: Path, bundle: Path | None = None) -> list[Path]:
    """Masks, sequence and stiffness against the truth of a cohort, and the paper's three protocols where it has enough;
    see docs/validation.md.

    The columns are case, patient, t2, t1 (one of both suffices), labels, clinical, mre_kpa, age, site and year; all but
    case and an image may be missing, and what needs them is then left out.

    Raises:
        InputError: the cohort is unfit.
    """
    from PrognosisLib.systems import SYSTEMS
    from PrognosisLib.validation.cases import clinical_values
    from PrognosisLib.validation.report import run_of, subject_of, write_validation

    from .endpoints import study_of
    from .learning.collecting import collect
    from .learning.fitting import stacks_of_cases
    from .learning.judging import judged_rows, protocol_section
    from .learning.outcomes import with_outcomes
    from .learning.protocols import FEWEST, run_protocols
    from .learning.validation import shipped_figures, summarize_masks
    from .pipeline import default_settings

    system = SYSTEMS["stiffness"]
    pipeline = system.make_pipeline(bundle)
    cases = read_cohort(cohort, (), optional=(*IMAGES, "labels", "clinical"))
    refuse_shared_images(cases, IMAGES)
    clinical = clinical_values(system, cohort)
    with tempfile.TemporaryDirectory() as folder:
        files = stacks_of_cases(cases, Path(folder) / "stacks")
        found = collect(pipeline.bundle.path, files, Path(folder) / "found")
    images = [row for one in found for row in one.rows]
    figures: dict[str, Any] = {"masks": summarize_masks(images)}
    patients, outcomes = with_outcomes(found, [_values(case) for case in cases])
    rows, simulated = judged_rows(found, cases, clinical, pipeline.readout)
    subject = subject_of(pipeline.bundle, cases, simulated, default_settings())
    run, extra = run_of(subject), []
    if patients:
        figures["as shipped"] = shipped_figures(pipeline.readout, patients, outcomes)
    if len(patients) >= FEWEST:
        figures["protocols"] = run_protocols(patients, outcomes, basis=pipeline.readout.basis)
        extra.append(protocol_section(figures["protocols"], run))
    else:
        logger.warning("no protocols: %d patients with T2, T1 and mre_kpa, %d are needed", len(patients), FEWEST)
    points = {kpa: pipeline.readout.figure("both", kpa).get("point") for kpa in THRESHOLDS_KPA}
    study = study_of({kpa: point for kpa, point in points.items() if point is not None})
    tables = {"cases.csv": images, "patients.csv": rows, "protocols.csv": _flat(figures.get("protocols", {}))}
    return write_validation(output, study, rows, subject, own=figures, tables=tables, extra=extra, run=run)


def _flat(protocols: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row for each protocol, group of patients and threshold."""
    rows = []
    for name, groups in protocols.items():
        for group in ("all", "adults", "children"):
            for threshold, one in groups.get(group, {}).items():
                row: dict[str, Any] = {"protocol": name, "patients": group, "kpa": threshold}
                for key, value in one.items():
                    ends = value if isinstance(value, dict) else {"value": value}
                    row |= {key if part == "value" else f"{key}_{part}": number for part, number in ends.items()}
                rows.append(row)
    return rows
