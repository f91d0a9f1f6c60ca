"""What FibrosisVideo's panel tests share: a film in the scene and a pipeline that finds a round liver in it.

The pipeline stands in for the networks; what is measured is measured by the module's own code.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from fibrosis_cases import FRAMES, evidence, film, lattice, liver, readout

from FibrosisVideoLib.measuring.measurements import measure_cine
from FibrosisVideoLib.settings import FibrosisSettings
from PrognosisLib.bundles.bundle import Bundle, image_format, segmentation_format, write_bundle
from PrognosisLib.findings import Findings, Flag, HeatMap, Mask
from PrognosisLib.pipeline import Case, Progress, silent
from PrognosisLib.volume import Grid


class EchoPipeline:
    system = "fibrosis"

    def __init__(self, bundle: Path) -> None:
        self.bundle = Bundle.load(bundle, self.system, channels=1, classes=2)

    def segment(self, case: Case, progress: Progress = silent) -> Findings:
        cine, settings = case.volumes["cine"], FibrosisSettings(**case.settings)
        provenance = {"bundle": self.bundle.identity, "device": "test", "seconds": {}}
        if cine.frame(0).max() < 100:
            flags = (Flag("no_liver", "error", "No liver found.", "Liver"),)
            return Findings(self.system, flags=flags, provenance=provenance)
        seen = evidence() if settings.heat_map else evidence(attention=None)
        array = np.zeros((FRAMES, 20, 24), np.uint8)
        array[:, 5:12] = np.linspace(40, 255, FRAMES)[:, None, None]
        cells = lattice((cine.frame_shape[0] / 20, cine.frame_shape[1] / 24), cine.pixel_mm)
        maps = (HeatMap("Grad-CAM", array, Grid(array.shape, cells)),) if settings.heat_map else ()
        masks = (liver(seen, cine.pixel_mm),)
        return Findings(self.system, masks=masks, heat_maps=maps, provenance=provenance)

    def measure(self, case: Case, masks: Mapping[str, Mask]) -> Findings:
        settings = FibrosisSettings(**case.settings)
        return measure_cine(masks.get("Liver"), case.clinical, readout(), settings, case.volumes["cine"])


def add_film(color: bool = False) -> Any:
    """Sequence, browser and volume node of the film."""
    from PrognosisLib import scene

    return scene.fromCine(film(color=color))


def write_test_bundle(folder: Path) -> Path:
    """A bundle without a network."""
    metadata = {
        "name": "Test model",
        "version": "1.0.0",
        "system": "fibrosis",
        "network_data_format": {
            "inputs": {"image": image_format("US", ["US"], 1, [0, 1])},
            "outputs": {"pred": segmentation_format(["background", "Liver"], 1)},
        },
        "training": {"cohort": {"simulated": {"segmentation": True, "risk": True}}},
    }
    files = {"docs/README.md": "# Test model\n", "docs/data_license.txt": "Simulated.\n", "LICENSE": "Apache-2.0\n"}
    return write_bundle(folder, metadata, files, classes=2).path
