"""`prognosis simulate|train|evaluate fibrosis`: from cohort files to a model bundle and its figures."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PrognosisLib.cohort import read_cohort, write_rows
from PrognosisLib.errors import InputError
from PrognosisLib.reporting.output import write_atomic

from .simulation.cohort import simulate

if TYPE_CHECKING:
    from torch import nn

__all__ = ["evaluate", "simulate", "train"]

LIVER_STEPS_EACH, ENCODER_STEPS_EACH, VARIANTS = 9, 8, 3


def train(
    output: Path,
    cohort: Path | None = None,
    steps: int = 400,
    simulated: int = 200,
    seed: int = 0,
    validation: str = "",
    threads: int = 0,
    risk_patients: int = 300,
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

    Raises:
        InputError: the cohort is unfit.
    """
    import torch

    from .learning import groups
    from .learning.encoding import encode
    from .learning.fitting import fit_models
    from .learning.judging import measured_figures
    from .learning.packing import write_fibrosis_bundle

    if threads:
        torch.set_num_threads(threads)
    work = output.with_name(output.name + "-training")
    segmenter, encoder = _single_frame_networks(work, steps, simulated, seed)
    if cohort is None:
        taught, unseen = groups.simulated_teachers(work, simulated, seed, segmenter), None
    else:
        taught, unseen = groups.own_groups(cohort, validation, segmenter)
    fitted = fit_models(encode(taught, encoder, VARIANTS, seed), work, steps, seed)
    tests, measured = groups.simulated_tests(work, risk_patients, seed, segmenter)
    unseen = tests if unseen is None else unseen
    measured |= measured_figures(fitted, [cine.stage for cine in taught], unseen, encode(unseen.cines, encoder))
    record = {
        "command": " ".join(command or ["prognosis", *sys.argv[1:]]),
        "seed": seed,
        "steps": steps,
        "liver_steps": LIVER_STEPS_EACH * steps,
        "encoder_steps": ENCODER_STEPS_EACH * steps,
        "stills": groups.STILLS_EACH * simulated,
        "simulated": simulated,
        "cines_each": groups.CINES_EACH,
        "cohort_cines": 0 if cohort is None else len(taught),
        "tests": len(unseen.cines),
        "note": note,
    }
    return write_fibrosis_bundle(output, segmenter, encoder, fitted, record, measured, work)


def _single_frame_networks(work: Path, steps: int, simulated: int, seed: int) -> tuple[nn.Module, nn.Module]:
    """The trained liver network and encoder."""
    from .learning.cases import load
    from .learning.encoder_training import train_encoder
    from .learning.groups import single_frames
    from .learning.liver_training import train_segmenter
    from .learning.teaching import teach_stills

    stills, views = single_frames(work, simulated, seed)
    frames = ([load(file) for file in group] for group in (stills, views))
    segmenter = train_segmenter(*frames, work / "liver", LIVER_STEPS_EACH * steps, seed)
    taught = teach_stills(stills, segmenter, work / "taught")
    return segmenter, train_encoder(taught, work / "encoder", ENCODER_STEPS_EACH * steps, seed)


def evaluate(output: Path, cohort: Path, bundle: Path | None = None) -> list[Path]:
    """P(F >= 2) of each cine against its stage, beside FIB-4, APRI and SWE, with the same metrics.

    The columns are case, cine, stage and, where known, clinical (a JSON file), patient and true_significant.

    Raises:
        InputError: the cohort is unfit.
    """
    from .learning.evaluating import evaluate_cohort

    cases = read_cohort(cohort, ("cine",), optional=("clinical", "labels"))
    if not any(str(case.values.get("stage", "")).strip() for case in cases):
        raise InputError(f"'{cohort.name}' has no column 'stage' with values; add the biopsy stage of each case.")
    rows, figures = evaluate_cohort(cases, bundle)
    output.mkdir(parents=True, exist_ok=True)
    return [
        write_rows(output / "cases.csv", rows),
        write_atomic(output / "summary.json", json.dumps(figures, indent=2) + "\n"),
    ]
