"""From trained networks to the model bundle: export, readouts, figures on patients kept out, card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PrognosisLib.bundles.bundle import Bundle, image_format, segmentation_format, write_bundle
from PrognosisLib.bundles.export import network_files
from PrognosisLib.bundles.facts import training_facts
from PrognosisLib.framewise.lattice import PIXEL_MM, SHAPE
from PrognosisLib.risk import readable_json

from ..labels import LIVER, MODELS, PRODUCT
from ..measuring.readout import FibrosisReadout
from ..networks import catalog
from ..networks.catalog import FILM, FRAMES, SEGMENTER
from ..networks.lattice import CELLS, FRAME_RATE, WINDOW
from .card import DATA_LICENSE, OWN_DATA_LICENSE, make_card
from .fitting import Fitted

if TYPE_CHECKING:
    from torch import nn

VERSIONS_OF = ("torch", "numpy", "scipy", "onnxruntime")


def write_fibrosis_bundle(
    output: Path,
    segmenter: nn.Module,
    encoder: nn.Module,
    fitted: Fitted,
    record: dict[str, Any],
    measured: dict[str, Any],
    work: Path,
) -> list[Path]:
    """Export and verify; the bundle appears at `output` only when all of it is done.

    Args:
        record: how the networks were trained; `measured`: figures, see workbench.train.
    """
    folder, terms = work / "models", OWN_DATA_LICENSE if record["cohort_cines"] else DATA_LICENSE
    film, channels = fitted.classifiers[PRODUCT].film, catalog.shapes()[FILM][0]
    files = network_files(segmenter, folder, SEGMENTER, (2, 1, *SHAPE), ("logits",), terms)
    files |= network_files(encoder, folder, FRAMES, (2, 2, *SHAPE), ("pooled", "cells", "weights"), terms)
    files |= network_files(film, folder, FILM, (1, channels, WINDOW, *CELLS), ("pooled", "cells"), terms)
    heads = {model: classifier.head().to_dict() for model, classifier in fitted.classifiers.items()}
    files["models/heads.json"] = readable_json(heads)
    readout = FibrosisReadout(
        fitted.readouts, readout_figures(measured), measured["decision"], record["cohort_cines"] == 0
    )
    files["models/readout.json"] = readable_json(readout.to_dict())
    facts = describe(record, measured)
    files["docs/README.md"] = make_card(facts)
    return [_written(output, facts, files).path]


def _written(folder: Path, facts: Mapping[str, Any], files: Mapping[str, Path | str]) -> Bundle:
    return write_bundle(folder, facts, files, channels=1, classes=1, others=catalog.shapes())


def readout_figures(measured: Mapping[str, Any]) -> dict[str, Any]:
    """Of the figures, those that are shown beside a result."""
    names = ("n", "positive", "auc", "auc_oracle", "sensitivity", "specificity")
    tests = measured.get("test", {})
    return {model: {k: v for k, v in tests.get(model, {}).items() if k in names} for model in MODELS}


def describe(record: dict[str, Any], measured: Mapping[str, Any]) -> dict[str, Any]:
    """The bundle's metadata, without hashes."""
    simulated = {"segmentation": True, "risk": record["cohort_cines"] == 0}
    return {
        "name": "Prognosis FibrosisVideo",
        "version": "1.0.0",
        "system": "fibrosis",
        "task": "Liver on B-mode cines; stage of liver fibrosis from a cine",
        "intended_use": "Research and teaching, not for clinical use.",
        "network_data_format": {
            "inputs": {"image": image_format("US", ["frame"], SHAPE[0], [-1, 2])},
            "outputs": {"pred": segmentation_format([LIVER], SHAPE[0])},
        },
        "network": {
            "pixel_mm": PIXEL_MM,
            "frames_per_second": FRAME_RATE,
            "window": WINDOW,
            "liver_widths": catalog.LIVER_WIDTHS,
            "frame_widths": catalog.FRAME_WIDTHS,
            "film_units": catalog.FILM_UNITS,
            "lstm_units": catalog.LSTM_UNITS,
        },
        "measured": dict(measured),
        "training": training_facts(record, simulated, VERSIONS_OF),
    }
