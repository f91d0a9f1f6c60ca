"""From a trained network to the model bundle: export, interval, readings, figures on patients kept out, card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from PrognosisLib.bundles.backends import OnnxNetwork
from PrognosisLib.bundles.bundle import Bundle, image_format, segmentation_format, write_bundle
from PrognosisLib.bundles.export import network_files
from PrognosisLib.bundles.facts import file_id, training_facts
from PrognosisLib.learning.border import UNMEASURED, border_shift, calibrated_interval
from PrognosisLib.risk import readable_json
from PrognosisLib.slicewise.lattice import MULTIPLE
from PrognosisLib.volume import Volume

from ..labels import CLASSES, LIVER, SPLEEN, THRESHOLDS_KPA
from ..measuring.ordinal import OrdinalModel
from ..measuring.readout import MODELS
from ..segmenting.network import CHANNELS, NAME, OUTPUTS, PIXEL_MM, SLAB_MM, WIDTHS
from ..segmenting.reading import read_slices
from ..segmenting.segmentation import keep_pieces
from .card import DATA_LICENSE, make_card
from .cases import load
from .collecting import Collected, collect
from .ordinal_training import PatientFeatures, fit_reading, score_of
from .outcomes import simulated_values, with_outcomes
from .protocols import FEWEST, Outcomes, run_protocols
from .validation import choose_points, reading_figures, summarize_masks

if TYPE_CHECKING:
    from torch import nn

EXAMPLE = (2, CHANNELS, 2 * MULTIPLE, 3 * MULTIPLE)  # shape of an input, for the export
VERSIONS_OF = ("torch", "numpy", "scipy", "SimpleITK", "onnxruntime", "scikit-learn")


@dataclass(frozen=True)
class Groups:
    """Files of cases.store, by what they are for.

    Args:
        teachers: examinations with an outcome that the readings are fitted to, and values: their cohort columns.
        tests: examinations with an outcome that nothing was fitted to, and test_values: their cohort columns.
        on_real: simulated examinations on anatomies kept out; real: the labeled real cases kept out.
    """

    teachers: Sequence[Path]
    values: Sequence[Mapping[str, Any]]
    tests: Sequence[Path]
    test_values: Sequence[Mapping[str, Any]]
    on_real: Sequence[Path]
    real: Sequence[Path]


def write_stiffness_bundle(
    output: Path, network: tuple[nn.Module, np.ndarray], record: dict[str, Any], groups: Groups, work: Path
) -> list[Path]:
    """Export, verify and measure; the bundle appears at `output` only when all of it is done.

    Args:
        network: and the basis of its features, as fitting.train_network gives both.
        record: how the network was trained, for the metadata and the model card.
    """
    module, basis = network
    files = network_files(module, work / "models", NAME, EXAMPLE, OUTPUTS, DATA_LICENSE)
    facts = describe(record)
    draft = _written(work / "draft", facts, files, "Draft, not measured yet.\n").path
    facts["interval"] = calibrated_interval(shifts_of(draft, groups.real))
    # Kept apart by the training that the network came from.
    found = work / f"found-{file_id(work / 'network' / 'checkpoint.pt')}"
    known = with_outcomes(collect(draft, groups.teachers, found), groups.values)
    tests = collect(draft, groups.tests, found)
    unseen = with_outcomes(tests, groups.test_values)
    on_real = collect(draft, groups.on_real, found)
    unseen_real = with_outcomes(on_real, [simulated_values(one.case) for one in on_real])
    models, readings = fit_models(known, unseen, record["seed"], basis)
    files["models/stiffness.json"] = readable_json(
        {
            "models": {name: model.to_dict() for name, model in models.items()},
            "figures": readings,
            "basis": np.round(basis, 6).tolist(),
        }
    )
    real = collect(draft, groups.real, found)
    facts["measured"] = measure(
        models, readings, known, (unseen, unseen_real), (tests, on_real, real), (record["seed"], basis)
    )
    rows = [row for one in real for row in one.rows]
    return [_written(output, facts, files, make_card(facts, rows)).path]


def fit_models(
    known: tuple[list[PatientFeatures], Outcomes],
    unseen: tuple[list[PatientFeatures], Outcomes],
    seed: int,
    basis: np.ndarray | None = None,
) -> tuple[dict[str, OrdinalModel], dict[str, Any]]:
    """A reading for each choice of sequences, and its figures by threshold on patients kept out.

    Where none were kept out, figures are left empty.
    """
    models, readings = {}, {}
    for name, sequences in MODELS.items():
        models[name] = fit_reading(known[0], sequences, seed, basis=basis)
        if name != "both":
            models[name] = widened(models[name], models["both"], known[0])
        points = choose_points(models[name], *known)
        readings[name] = reading_figures(models[name], points, *unseen) if unseen[0] else {}
    return models, readings


def widened(single: OrdinalModel, both: OrdinalModel, patients: Sequence[PatientFeatures]) -> OrdinalModel:
    """The reading of one sequence with what the other one would change added to the error of its score."""
    seen = [one for one in patients if set(both.sequences) <= set(one.slices)]
    middle = THRESHOLDS_KPA.index(3.0)
    apart = [score_of(single, p) - single.offsets[middle] - score_of(both, p) + both.offsets[middle] for p in seen]
    return replace(single, error_sd=float(np.hypot(single.error_sd, np.std(apart))))


def measure(
    models: Mapping[str, OrdinalModel],
    readings: Mapping[str, Any],
    known: tuple[list[PatientFeatures], Outcomes],
    unseen: tuple[tuple[list[PatientFeatures], Outcomes], tuple[list[PatientFeatures], Outcomes]],
    found: tuple[Sequence[Collected], Sequence[Collected], Sequence[Collected]],
    fit: tuple[int, np.ndarray],
) -> dict[str, Any]:
    """Everything that the card shows: masks, readings, those on real anatomies, and the three protocols."""
    masks = {
        name: summarize_masks([row for one in group for row in one.rows])
        for name, group in zip(("simulated", "on_real", "real"), found, strict=True)
        if group
    }
    (patients, outcomes), (real_patients, real_outcomes) = unseen
    on_real = {}
    if real_patients:
        points = choose_points(models["both"], *known)
        on_real = reading_figures(models["both"], points, real_patients, real_outcomes)
    everyone = [*known[0], *patients]
    protocols = run_protocols(everyone, joined(known[1], outcomes), *fit) if len(everyone) >= FEWEST else {}
    return {"masks": masks, "readings": dict(readings), "on_real_anatomies": on_real, "protocols": protocols}


COLUMNS = ("kpa", "age", "site", "year", "patient")


def joined(first: Outcomes, second: Outcomes) -> Outcomes:
    """The outcomes of both, in order."""
    if not len(second.kpa):
        return first
    pairs = {name: np.concatenate([getattr(first, name), getattr(second, name)]) for name in COLUMNS}
    both = first.oracle is not None and second.oracle is not None
    return Outcomes(**pairs, oracle=np.concatenate([first.oracle, second.oracle]) if both else None)


def _written(folder: Path, facts: Mapping[str, Any], files: Mapping[str, Path | str], card: str) -> Bundle:
    return write_bundle(folder, facts, {**files, "docs/README.md": card}, channels=CHANNELS, classes=len(CLASSES))


def describe(record: dict[str, Any]) -> dict[str, Any]:
    """The bundle's metadata, without hashes and figures."""
    simulated = {"segmentation": not record["training"], "risk": not record["measured_patients"]}
    return {
        "name": "Prognosis LiverStiffness",
        "version": "1.0.0",
        "system": "stiffness",
        "task": "Liver and spleen on T1- and T2-weighted MR; class of stiffness by MR elastography",
        "intended_use": "Research and teaching, not for clinical use.",
        "network_data_format": {
            "inputs": {"image": image_format("MR", ["slice below", "slice", "slice above"], MULTIPLE, [-1, 3])},
            "outputs": {"pred": segmentation_format(CLASSES, MULTIPLE)},
        },
        "network": {"pixel_mm": PIXEL_MM, "slab_mm": SLAB_MM, "widths": WIDTHS},
        "interval": UNMEASURED,
        "training": training_facts(record, simulated, VERSIONS_OF),
    }


def shifts_of(bundle: Path, files: Sequence[Path]) -> list[tuple[float, float] | None]:
    """How far the borders of liver and spleen lie from those outlined in real images kept out."""
    network = OnnxNetwork(Bundle.load(bundle, "stiffness", CHANNELS, len(CLASSES)), NAME, threads=0)
    found = []
    for stack in (one for file in files for one in load(file)):
        read = read_slices(Volume(stack.values, stack.ijk_to_ras, "MR"), network, (LIVER, SPLEEN))
        for label, margin in read.margins.items():
            true_ml = float(np.count_nonzero(stack.labels == label)) * read.slices.grid.voxel_volume_ml
            found.append(border_shift(keep_pieces(margin, read.slices.grid, label), true_ml, read.slices.grid))
    return found
