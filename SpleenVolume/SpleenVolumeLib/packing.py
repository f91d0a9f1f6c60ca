"""From trained networks to the model bundle: export, measure on held-out patients, calibrate, write the card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from PrognosisLib.bundles.bundle import image_format, segmentation_format, write_bundle
from PrognosisLib.bundles.export import export_onnx
from PrognosisLib.bundles.facts import training_facts
from PrognosisLib.cohort import CohortCase
from PrognosisLib.learning.border import UNMEASURED, border_shift, calibrated_interval
from PrognosisLib.risk import readable_json
from PrognosisLib.systems import EXTENSION_FOLDER

from .card import DATA_LICENSE, make_card
from .network import CLASSES, COARSE, FINE
from .outcomes import fit_outcomes
from .pipeline import SpleenPipeline
from .segmentation import SPLEEN as SPLEEN_CLASS
from .segmentation import coarse_pass, fine_box, fine_pass, keep_organ
from .training import SPLEEN
from .workbench import load_case, segment_case, summarize

if TYPE_CHECKING:
    from torch import nn

RISK_PATIENTS = 10_000
ORACLE_SHARE = 20  # patients for the oracle to each one for the models
VERSIONS_OF = ("torch", "numpy", "SimpleITK", "onnxruntime", "lifelines", "statsmodels")


def write_spleen_bundle(
    output: Path,
    networks: Mapping[str, nn.Module],
    record: dict[str, Any],
    held_out: Sequence[CohortCase],
    work: Path,
    risk_patients: int = RISK_PATIENTS,
) -> list[Path]:
    """Export, verify and measure; the bundle appears at `output` only when all of it is done.

    Args:
        record: how the networks were trained, for the metadata and the model card.
        held_out: cases that measure and calibrate; they must not be in the training.
        work: folder for what is made on the way.
        risk_patients: simulated patients that the risk models are fitted to.
    """
    models = work / "models"
    models.mkdir(parents=True, exist_ok=True)
    files: dict[str, Path | str] = {}
    for stage in (COARSE, FINE):
        graph, weights = models / f"{stage.name}.onnx", models / f"{stage.name}.safetensors"
        export_onnx(networks[stage.name], graph, weights, (1, 1, 64, 64, 64))
        files |= {f"models/{graph.name}": graph, f"models/{weights.name}": weights}
    outcomes = fit_outcomes(n=risk_patients, oracle_n=ORACLE_SHARE * risk_patients)
    for name, model in outcomes.items():
        files[f"models/{name}.json"] = readable_json(model)
    files["LICENSE"] = EXTENSION_FOLDER / "LICENSE.txt"
    files["docs/data_license.txt"] = DATA_LICENSE
    facts = describe(record)
    draft = work / "draft"
    write_bundle(draft, facts, {**files, "docs/README.md": "Draft, not measured yet.\n"}, classes=len(CLASSES))
    rows: list[dict[str, Any]] = []
    if held_out:
        facts["interval"] = calibrate(SpleenPipeline(draft), held_out)
        write_bundle(draft, facts, {**files, "docs/README.md": "Draft.\n"}, classes=len(CLASSES))
        rows = [segment_case(SpleenPipeline(draft), case)[0] for case in held_out]
    facts["measured"] = summarize(rows)
    bundle = write_bundle(output, facts, {**files, "docs/README.md": make_card(facts, rows)}, classes=len(CLASSES))
    return [bundle.path]


def describe(record: dict[str, Any]) -> dict[str, Any]:
    """The bundle's metadata, without hashes and figures."""
    simulated = {"segmentation": not record["training"], "risk": True}
    return {
        "name": "Prognosis SpleenVolume",
        "version": "1.0.0",
        "system": "spleen",
        "task": "Spleen and liver segmentation on CT; survival and decompensation after TACE (simulated cohort)",
        "intended_use": "Research and teaching, not for clinical use.",
        "network_data_format": {
            "inputs": {"image": image_format("CT", ["CT"], FINE.multiple, [-1, 1])},
            "outputs": {"pred": segmentation_format(CLASSES, FINE.multiple)},
        },
        "stages": {stage.name: {"spacing_mm": stage.spacing, "widths": stage.widths} for stage in (COARSE, FINE)},
        "interval": dict(UNMEASURED),
        "training": training_facts(record, simulated, VERSIONS_OF),
    }


def calibrate(pipeline: SpleenPipeline, cases: Sequence[CohortCase]) -> dict[str, Any]:
    """How far the network's border of the spleen lies from the truth on held-out patients; see border.py."""
    networks = pipeline.load_networks()
    found = []
    for case in cases:
        image, labels = load_case(case)
        true_ml = float(np.count_nonzero(labels.array == SPLEEN)) * image.grid.voxel_volume_ml
        grid = fine_box(coarse_pass(image, networks["coarse"])[SPLEEN_CLASS])
        if grid is None:
            continue
        margin = keep_organ(fine_pass(image, grid, networks["fine"])[SPLEEN_CLASS].margin, share=0.1)
        found.append(border_shift(margin, true_ml, grid))
    return calibrated_interval(found)
