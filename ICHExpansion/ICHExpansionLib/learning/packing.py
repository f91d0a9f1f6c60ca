"""From a trained network to the model bundle: export, attention, risk models, figures on patients kept out, card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from PrognosisLib.bundles.backends import OnnxNetwork
from PrognosisLib.bundles.bundle import Bundle, image_format, segmentation_format, write_bundle
from PrognosisLib.bundles.export import network_files
from PrognosisLib.bundles.facts import file_id, training_facts
from PrognosisLib.cohort import CohortCase, read_cohort
from PrognosisLib.learning.border import UNMEASURED, calibrated_interval
from PrognosisLib.risk import readable_json
from PrognosisLib.slicewise.lattice import MULTIPLE

from ..labels import CLASSES
from ..outcomes import cohort_table, fit_models
from ..segmenting.network import CHANNELS, NAME, OUTPUTS, WIDTHS
from ..simulation.patients import TRAINING_PIXEL_MM, write_bloodless, write_cohort
from .attention_training import PatientFeatures, out_of_fold, score_of, train_attention
from .calibration import hematoma_shift
from .card import DATA_LICENSE, make_card
from .collecting import Collected, collect
from .fitting import FILES, load_case
from .real_outcomes import with_outcome
from .validation import summarize

if TYPE_CHECKING:
    from torch import nn

EXAMPLE = (2, CHANNELS, 2 * MULTIPLE, 3 * MULTIPLE)  # shape of an input, for the export
VERSIONS_OF = ("torch", "numpy", "scipy", "SimpleITK", "onnxruntime", "statsmodels")
BLOODLESS_TESTS = 60
CLINICAL_DRAWS = 20  # rows for each image from which the clinical values' own optimum is learned


def write_ich_bundle(
    output: Path,
    network: nn.Module,
    record: dict[str, Any],
    with_blood: tuple[Sequence[CohortCase], Sequence[CohortCase]],
    held_out: Sequence[CohortCase],
    work: Path,
    draws: int,
    tests: tuple[int, int],
) -> list[Path]:
    """Export, verify and measure; the bundle appears at `output` only when all of it is done.

    Args:
        record: how the network was trained, for the metadata and the model card.
        with_blood: simulated patients, and real training cases, on whose images outcomes are simulated: they teach
            attention and risk models.
        held_out: real cases that measure and calibrate; they must not be in the training.
        draws: clinical values and outcomes drawn for each simulated image.
        tests: first seed and number of the simulated test patients.
    """
    files = network_files(network, work / "models", NAME, EXAMPLE, OUTPUTS, DATA_LICENSE)
    facts = describe(record)
    draft = _written(work / "draft", facts, files, "Draft, not measured yet.\n").path
    facts["interval"] = calibrate(draft, held_out)
    logit, seed = facts["interval"]["logit"], record["seed"]
    simulated, real = with_blood
    # Kept apart by the training that the network came from.
    found = work / f"found-{file_id(work / 'network' / 'checkpoint.pt')}"
    patients = [*simulated, *filter(None, map(with_outcome, real))]
    known = [one.features for one in collect(draft, patients, found / "training", logit)]
    attention = train_attention(known, seed)
    test_cases = _test_cases(work, *tests)
    unseen = collect(draft, test_cases, found / "test", logit)
    train = _table(patients, known, out_of_fold(known, seed), draws, seed)
    scores = [score_of(attention, one.features) for one in unseen]
    test = _table(test_cases, [one.features for one in unseen], scores, 1, seed)
    test["oracle_clinical"] = clinical_optimum(patients, known, test, seed)
    models = fit_models(
        train, test, {"function": "ICHExpansionLib.outcomes.fit_models", **_seeds(record, draws, tests)}
    )
    files |= {f"models/{name}.json": readable_json(model) for name, model in models.items()}
    files["models/attention.json"] = readable_json(attention.to_dict())
    facts["measured"], rows = measure(draft, held_out, unseen, (work, found), tests, logit)
    return [_written(output, facts, files, make_card(facts, rows, models)).path]


def _written(folder: Path, facts: Mapping[str, Any], files: Mapping[str, Path | str], card: str) -> Bundle:
    return write_bundle(folder, facts, {**files, "docs/README.md": card}, channels=CHANNELS, classes=len(CLASSES))


def describe(record: dict[str, Any]) -> dict[str, Any]:
    """The bundle's metadata, without hashes and figures."""
    simulated = {"segmentation": not record["training"], "risk": True}
    return {
        "name": "Prognosis ICHExpansion",
        "version": "1.0.0",
        "system": "ich",
        "task": "Hematoma, intraventricular blood and edema on head CT; risk of expansion (simulated cohort)",
        "intended_use": "Research and teaching, not for clinical use. The weights are for non-commercial use only.",
        "network_data_format": {
            "inputs": {"image": image_format("CT", ["slice below", "slice", "slice above"], MULTIPLE, [-1, 1])},
            "outputs": {"pred": segmentation_format(CLASSES, MULTIPLE)},
        },
        "network": {"pixel_mm": 1.0, "widths": WIDTHS},
        "interval": dict(UNMEASURED),
        "training": training_facts(record, simulated, VERSIONS_OF),
    }


def _seeds(record: Mapping[str, Any], draws: int, tests: tuple[int, int]) -> dict[str, Any]:
    return {"seed": record["seed"], "draws": draws, "test_seed": tests[0], "test_patients": tests[1]}


def _test_cases(work: Path, seed: int, count: int) -> list[CohortCase]:
    made = write_cohort(work / "simulated-test", range(seed, seed + count), TRAINING_PIXEL_MM, followup=False)
    return read_cohort(made, FILES)


def _table(
    cases: Sequence[CohortCase], features: Sequence[PatientFeatures], scores: Sequence[float], draws: int, seed: int
) -> Any:
    names = [one.case for one in features]
    return cohort_table(names, scores, [case.values for case in cases], draws, seed)


def clinical_optimum(
    cases: Sequence[CohortCase], features: Sequence[PatientFeatures], test: Any, seed: int
) -> np.ndarray:
    """The best that clinical values can tell of the test patients (n,), learned from many draws for known images."""
    from ..outcomes import CLINICAL, clinical_probability

    many = _table(cases, features, np.zeros(len(cases)), CLINICAL_DRAWS, seed + 1)
    return clinical_probability(many, test, [one.name for one in CLINICAL])


def calibrate(bundle: Path, cases: Sequence[CohortCase]) -> dict[str, Any]:
    """How far the network's border of the hematoma lies from the truth on held-out scans; see border.py.

    Single slices and scans whose hematoma was missed count for nothing.
    """
    network = OnnxNetwork(Bundle.load(bundle, "ich", CHANNELS, len(CLASSES)), NAME, threads=0)
    return calibrated_interval([hematoma_shift(network, *load_case(case)) for case in cases])


def measure(
    bundle: Path,
    held_out: Sequence[CohortCase],
    tests: Sequence[Collected],
    folders: tuple[Path, Path],
    seeds: tuple[int, int],
    logit: float,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Figures of real cases kept out, of simulated test patients, and of simulated heads without hemorrhage."""
    work, found = folders
    few = min(BLOODLESS_TESTS, seeds[1])
    without = read_cohort(write_bloodless(work / "bloodless-test", range(seeds[0], seeds[0] + few)), FILES)
    real = collect(bundle, held_out, found / "real", logit)
    scans = [one for one in real if len(one.slabs) > 1] or real
    slices = [one for one in real if one not in scans]
    made = [*tests, *collect(bundle, without, found / "test", logit)]
    groups = {"real": scans, "real_slices": slices, "simulated": made}
    figures = {
        name: summarize([one.row for one in group], [row for one in group for row in one.slabs])
        for name, group in groups.items()
        if group
    }
    return figures, [one.row for one in real]
