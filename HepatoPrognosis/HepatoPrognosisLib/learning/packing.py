"""From a trained network, its head and its Cox models to the model bundle, with figures on patients kept out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PrognosisLib.bundles.bundle import image_format, segmentation_format, write_bundle
from PrognosisLib.bundles.export import network_files
from PrognosisLib.bundles.facts import training_facts
from PrognosisLib.framewise.lattice import PIXEL_MM, SHAPE
from PrognosisLib.risk import readable_json

from ..labels import LIVER
from ..measuring.readout import FILE
from ..networks.catalog import CHANNELS, CLASSES, FEATURES, HEADS, NAME, OUTPUTS, WIDTHS
from .card import DATA_LICENSE, OWN_DATA_LICENSE, make_card

if TYPE_CHECKING:
    from torch import nn

    from ..measuring.readout import HepatoReadout
    from ..networks.head import PairHead

VERSIONS_OF = ("torch", "numpy", "scipy", "lifelines", "onnxruntime")


def write_hepato_bundle(
    output: Path,
    network: nn.Module,
    head: PairHead,
    readout: HepatoReadout,
    record: Mapping[str, Any],
    measured: Mapping[str, Any],
    work: Path,
) -> list[Path]:
    """Export and verify; the bundle appears at `output` only when all of it is done.

    Args:
        record: how it was trained; `measured`: figures, see workbench.train.
        work: folder for what the export leaves.
    """
    terms = OWN_DATA_LICENSE if record["cohort_pairs"] else DATA_LICENSE
    files: dict[str, Path | str] = dict(network_files(network, work / "models", NAME, (2, 1, *SHAPE), OUTPUTS, terms))
    files[f"models/{HEADS}.json"] = readable_json(head.to_dict())
    files[f"models/{FILE}.json"] = readable_json(readout.to_dict())
    facts = describe(record, measured)
    files["docs/README.md"] = make_card(facts)
    return [write_bundle(output, facts, files, channels=CHANNELS, classes=CLASSES).path]


def describe(record: Mapping[str, Any], measured: Mapping[str, Any]) -> dict[str, Any]:
    """The bundle's metadata, without hashes."""
    simulated = {"segmentation": True, "risk": record["cohort_pairs"] == 0}
    return {
        "name": "Prognosis HepatoPrognosis",
        "version": "1.0.0",
        "system": "hepato",
        "task": "Liver in ultrasound images of admission and day 5; 30-day mortality in HBV-ACLF",
        "intended_use": "Research and teaching, not for clinical use.",
        "network_data_format": {
            "inputs": {"image": image_format("US", ["frame"], SHAPE[0], [-1, 2])},
            "outputs": {"pred": segmentation_format(["background", LIVER], SHAPE[0])},
        },
        "network": {"pixel_mm": PIXEL_MM, "widths": WIDTHS, "features": FEATURES},
        "measured": dict(measured),
        "training": training_facts(record, simulated, VERSIONS_OF),
    }
