"""`prognosis simulate|train|evaluate fibrosis`: from cohort files to a model bundle and its figures."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from PrognosisLib.cohort import read_cohort, write_rows
from PrognosisLib.errors import InputError
from PrognosisLib.reporting.output import write_atomic

from .labels import MODELS, PRODUCT, SIGNIFICANT
from .simulation.cohort import simulate

__all__ = ["evaluate", "simulate", "train"]

# Seeds of simulated patients, added to the run's; none is in two groups.
TEST_SEED, VIEWS_SEED, STILLS_SEED = 20_000, 30_000, 40_000
CINES_EACH, STILLS_EACH = 2, 16  # cines of a patient; patients with a single frame for each with cines
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

    from .learning.cases import load, simulate_cines
    from .learning.encoder_training import train_encoder
    from .learning.encoding import encode
    from .learning.fitting import chances_of, fit_models
    from .learning.liver_training import train_segmenter
    from .learning.own_cohort import own_cines
    from .learning.packing import write_fibrosis_bundle
    from .learning.scoring import score_cines
    from .learning.teaching import liver_figures, teach, teach_stills

    if threads:
        torch.set_num_threads(threads)
    work = output.with_name(output.name + "-training")
    liver_steps, encoder_steps = LIVER_STEPS_EACH * steps, ENCODER_STEPS_EACH * steps
    stills, views = _single_frames(work, simulated, seed)
    segmenter = train_segmenter(
        *([load(file) for file in group] for group in (stills, views)), work / "liver", liver_steps, seed
    )
    encoder = train_encoder(teach_stills(stills, segmenter, work / "taught"), work / "encoder", encoder_steps, seed)
    if cohort is None:
        files = simulate_cines(work / "simulated", range(seed, seed + simulated), CINES_EACH)
        taught, own = teach(files, segmenter, work / "taught"), 0
    else:
        taught, kept, values = own_cines(cohort, validation, segmenter)
        own = len(taught)
    fitted = fit_models(encode(taught, encoder, VARIANTS, seed), work, steps, seed)
    tests = simulate_cines(work / "tests", range(seed + TEST_SEED, seed + TEST_SEED + risk_patients))
    unseen = teach(tests, segmenter, work / "taught")
    measured: dict[str, Any] = {"liver": liver_figures(tests, unseen)} if tests else {}
    if cohort is None:
        truths = [load(file).truth for file in tests]
        oracle, clinical = np.array([one["true_significant"] for one in truths]), [one["clinical"] for one in truths]
    else:
        unseen, oracle, clinical = kept, None, values
    seen = encode(unseen, encoder)
    scored = {model: score_cines(fitted.classifiers[model], seen) for model in MODELS}
    chances = {model: chances_of(fitted.readouts[model], scored[model]) for model in MODELS}
    measured |= measure(fitted, taught, unseen, chances, oracle, clinical)
    record = {
        "command": " ".join(command or ["prognosis", *sys.argv[1:]]),
        "seed": seed,
        "steps": steps,
        "liver_steps": liver_steps,
        "encoder_steps": encoder_steps,
        "stills": STILLS_EACH * simulated,
        "simulated": simulated,
        "cines_each": CINES_EACH,
        "cohort_cines": own,
        "tests": len(unseen),
        "note": note,
    }
    return write_fibrosis_bundle(output, segmenter, encoder, fitted, record, measured, work)


def _single_frames(work: Path, simulated: int, seed: int) -> tuple[list[Path], list[Path]]:
    """Files of frames of sweeps, one of each patient, and of odd views."""
    from .learning.cases import simulate_stills, simulate_views

    first = seed + STILLS_SEED
    stills = simulate_stills(work / "stills", range(first, first + STILLS_EACH * simulated))
    return stills, simulate_views(work / "views", range(seed + VIEWS_SEED, seed + VIEWS_SEED + max(1, simulated // 3)))


def measure(
    fitted: Any,
    taught: Sequence[Any],
    unseen: Sequence[Any],
    chances: dict[str, np.ndarray],
    oracle: np.ndarray | None,
    clinical: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    """Everything that the card shows of the classifiers."""
    from PrognosisLib.evaluation.calibration import brier, calibration

    from .learning.validation import decision_point, figures

    stages = np.array([cine.stage for cine in taught])
    points = {
        model: decision_point({PRODUCT: fitted.out_of_fold[model]}, stages) for model in MODELS
    }  # chosen on patients that the folds' networks never saw
    found: dict[str, Any] = {"decision": points[PRODUCT], "folds": figures(fitted.out_of_fold, stages, points)}
    if len(unseen):
        truth = np.array([cine.stage for cine in unseen])
        found["test"] = figures(chances, truth, points, oracle, clinical)
        have = np.isfinite(chances[PRODUCT])
        found["unusable"] = {"n": len(unseen), "cines": int((~have).sum())}
        y, p = (truth[have] >= SIGNIFICANT).astype(float), chances[PRODUCT][have]
        if found["test"]:
            ends = {
                name: {part: round(getattr(one, part), 4) for part in ("value", "lower", "upper")}
                for name, one in calibration(y, p).items()
            }
            found["calibration"] = {**ends, "brier": round(brier(y, p), 4)}
    return found


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
