"""What ICHExpansion's panel tests share: heads of a few voxels and a pipeline that takes bright voxels for hematoma.

The pipeline stands in for the network and the models. Its rows tell which settings and volumes it was given.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ICHExpansionLib.pipeline import ICHSettings
from PrognosisLib.bundles.bundle import Bundle, image_format, segmentation_format, write_bundle
from PrognosisLib.findings import Findings, Mask, Measurement
from PrognosisLib.pipeline import Case, Progress, silent
from PrognosisLib.volume import Volume

SHAPE = (10, 24, 20)
SPOT, LATER = (slice(4, 7), slice(10, 16), slice(8, 14)), (slice(4, 8), slice(9, 17), slice(8, 14))


class EchoPipeline:
    system = "ich"

    def __init__(self, bundle: Path) -> None:
        self.bundle = Bundle.load(bundle, self.system, channels=1, classes=2)

    def segment(self, case: Case, progress: Progress = silent) -> Findings:
        masks = [_bright("Hematoma", case.volumes["ct"])]
        if "followup" in case.volumes:
            masks.append(_bright("Hematoma at follow-up", case.volumes["followup"]))
        provenance = {"bundle": self.bundle.identity, "device": "test", "seconds": {}}
        return Findings(self.system, masks=tuple(masks), provenance=provenance)

    def measure(self, case: Case, masks: Mapping[str, Mask]) -> Findings:
        settings = ICHSettings(**case.settings)
        sizes = {name: mask.voxel_volume_ml for name, mask in masks.items()}
        rows = (
            Measurement("hematoma_volume", "Hematoma volume", sizes["Hematoma"], "mL"),
            Measurement("followup_volume", "Volume at follow-up", sizes.get("Hematoma at follow-up"), "mL", note="-"),
            Measurement("definition", "Definition", str(settings.definition)),
            Measurement("window", "Window", f"{settings.window_width} {settings.window_level}"),
        )
        return Findings(self.system, measurements=rows, summary=f"Hematoma of {sizes['Hematoma']:.1f} mL.")


def _bright(name: str, volume: Volume) -> Mask:
    return Mask.from_full(name, volume.array > 50, volume.grid)


def ml(spot: tuple[slice, ...]) -> float:
    return float(np.prod([part.stop - part.start for part in spot])) * 5.0 / 1000.0


def add_head(spot: tuple[slice, ...] = SPOT, name: str = "CT") -> Any:
    """A volume node of 1 x 1 x 5 mm voxels with a bright spot."""
    from PrognosisLib import scene

    array = np.full(SHAPE, 30, np.int16)
    array[0] = -1000
    array[spot] = 70
    return scene.fromVolume(Volume(array, np.diag([-1.0, -1.0, 5.0, 1.0]), "CT", name))


def write_test_bundle(folder: Path) -> Path:
    """A bundle without a network."""
    metadata = {
        "name": "Test model",
        "version": "1.0.0",
        "system": "ich",
        "network_data_format": {
            "inputs": {"image": image_format("CT", ["CT"], 1, [-1024, 3071])},
            "outputs": {"pred": segmentation_format(["background", "hematoma"], 1)},
        },
        "training": {"cohort": {"simulated": {"segmentation": True, "risk": True}}},
    }
    files = {"docs/README.md": "# Test model\n", "docs/data_license.txt": "Simulated.\n", "LICENSE": "Apache-2.0\n"}
    return write_bundle(folder, metadata, files, classes=2).path
