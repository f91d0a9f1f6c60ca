"""Five folds and a final training of each classifier, alike, and the readouts from the folds' scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from PrognosisLib.evaluation.protocols import k_fold
from PrognosisLib.learning.stopping import Stopping

from ..labels import MODELS
from ..measuring.readout import OrdinalReadout
from .encoding import EncodedCine
from .head_training import Classifier, train_classifier
from .scoring import Scored, fit_readout, score_cines

FOLDS = 5


@dataclass
class Fitted:
    """The final networks and readouts by key of labels.MODELS.

    `out_of_fold` has the probability of F2 or higher (cines,) that the folds' networks gave to patients whom they never
    saw, by model, NaN where no window was usable; `stopping` how the final trainings ended, None where nobody watched;
    `curves` the pictures of their losses.
    """

    classifiers: dict[str, Classifier] = field(default_factory=dict)
    readouts: dict[str, OrdinalReadout] = field(default_factory=dict)
    out_of_fold: dict[str, np.ndarray] = field(default_factory=dict)
    stopping: dict[str, Stopping | None] = field(default_factory=dict)
    curves: list[Path] = field(default_factory=list)


def fit_models(
    cines: Sequence[EncodedCine],
    work: Path,
    steps: int,
    seed: int,
    watching: Sequence[EncodedCine] = (),
    patience: int = 0,
) -> Fitted:
    """Train everything; resumes what lies in `work`.

    The readout of a final network is fitted to the folds' scores: loss, steps and all but a fifth of the patients are
    the same, so the scores are on one scale. A patience ends the final trainings alone: those of the folds have nobody
    to go by but the patients whom they are to score.

    Args:
        watching: cines held out, and `patience` as stopping.watch_of has them.
    """
    found = Fitted()
    folds = k_fold([cine.patient for cine in cines], FOLDS, seed)
    stages = [cine.stage for cine in cines]
    is_simulated = all(np.isfinite(cine.signs).all() for cine in cines)  # nobody knows those of real patients
    for model in MODELS:
        final = work / f"{model}-final"
        found.classifiers[model], run = train_classifier(cines, model, final, steps, seed, watching, patience)
        found.stopping[model] = run.stopping
        found.curves += run.draw_curve(f"FibrosisVideo, {MODELS[model]}", is_simulated)
        scored = out_of_fold(cines, folds, model, work, steps, seed)
        readout = fit_readout(scored, stages, 0.0)
        readout = replace(readout, residual_sd=between_cines(scored, cines, readout.window_sd))
        found.readouts[model] = readout
        found.out_of_fold[model] = chances_of(readout, scored)
    return found


def out_of_fold(
    cines: Sequence[EncodedCine], folds: np.ndarray, model: str, work: Path, steps: int, seed: int
) -> list[Scored]:
    """Scores of every cine by the network of the fold that did not see its patient."""
    scored: dict[int, Scored] = {}
    for fold in range(FOLDS):
        teachers = [cine for cine, number in zip(cines, folds, strict=True) if number != fold]
        unseen = np.flatnonzero(folds == fold)
        network, _ = train_classifier(teachers, model, work / f"{model}-fold{fold}", steps, seed + fold + 1)
        scored |= dict(zip(unseen.tolist(), score_cines(network, [cines[n] for n in unseen]), strict=True))
    return [scored[number] for number in range(len(cines))]


def chances_of(readout: OrdinalReadout, scored: Sequence[Scored]) -> np.ndarray:
    """Probability of F2 or higher (cines,), NaN where no window was usable."""
    return np.array([readout.significant(one.score) if len(one.windows) else np.nan for one in scored], float)


def between_cines(scored: Sequence[Scored], cines: Sequence[EncodedCine], window_sd: float) -> float:
    """SD of a score between cines of one patient, beyond what the windows' own spread explains; 0 without any pair."""
    by_patient: dict[str, list[Scored]] = {}
    for one, cine in zip(scored, cines, strict=True):
        if len(one.windows):
            by_patient.setdefault(cine.patient, []).append(one)
    pairs = [(group[0], group[1]) for group in by_patient.values() if len(group) > 1]
    if not pairs:
        return 0.0
    apart = np.mean([0.5 * (first.score - second.score) ** 2 for first, second in pairs])
    explained = np.mean([0.5 * window_sd**2 * (1 / len(a.windows) + 1 / len(b.windows)) for a, b in pairs])
    return float(np.sqrt(max(apart - explained, 0.0)))
