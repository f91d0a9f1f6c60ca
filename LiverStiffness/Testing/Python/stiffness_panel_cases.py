"""What LiverStiffness's panel tests share: images of a few voxels and a pipeline that takes bright voxels for liver.

The pipeline stands in for the network and the models. Its rows tell which settings and volumes it was given.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from LiverStiffnessLib.pipeline import StiffnessSettings
from PrognosisLib.bundles.bundle import Bundle, image_format, segmentation_format, write_bundle
from PrognosisLib.findings import Findings, Mask, Measurement
from PrognosisLib.pipeline import Case, Progress, silent
from PrognosisLib.volume import Volume

SHAPE = (10, 24, 20)
T2_SPOT, T1_SPOT = (slice(4, 7), slice(10, 16), slice(8, 14)), (slice(4, 8), slice(9, 17), slice(8, 14))


class EchoPipeline:
    system = "stiffness"

    def __init__(self, bundle: Path) -> None:
        self.bundle = Bundle.load(bundle, self.system, channels=1, classes=2)

    def segment(self, case: Case, progress: Progress = silent) -> Findings:
        name = "t2" if "t2" in case.volumes else "t1"
        first = case.volumes[name]
        masks = [Mask.from_full("Liver", first.array > 50, first.grid, evidence=f'"{name}"')]
        if name == "t2" and "t1" in case.volumes:
            # Both have the same lattice here.
            masks.append(Mask.from_full("Liver on T1", case.volumes["t1"].array > 50, first.grid, visible=False))
        provenance = {"bundle": self.bundle.identity, "device": "test", "seconds": {}}
        return Findings(self.system, masks=tuple(masks), provenance=provenance)

    def measure(self, case: Case, masks: Mapping[str, Mask]) -> Findings:
        settings = StiffnessSettings(**case.settings)
        sizes = {name: mask.voxel_volume_ml for name, mask in masks.items()}
        rows = (
            Measurement("liver_volume", "Liver volume", sizes["Liver"], "mL"),
            Measurement("t1_volume", "Volume on T1", sizes.get("Liver on T1"), "mL", note="-"),
            Measurement("images", "Images", " and ".join(sorted(case.volumes))),
            Measurement("decision", "Main threshold", settings.decision_kpa, "kPa"),
            Measurement("cutoffs", "SWE cut-offs", f"{settings.swe_f2_kpa:g} {settings.swe_f3_kpa:g}"),
        )
        return Findings(self.system, measurements=rows, summary=f"Liver of {sizes['Liver']:.1f} mL.")


def ml(spot: tuple[slice, ...]) -> float:
    return float(np.prod([part.stop - part.start for part in spot])) * 5.0 / 1000.0


def add_image(spot: tuple[slice, ...] = T2_SPOT, name: str = "T2") -> Any:
    """A volume node of 1 x 1 x 5 mm voxels with a bright spot."""
    from PrognosisLib import scene

    array = np.full(SHAPE, 20, np.int16)
    array[spot] = 70
    return scene.fromVolume(Volume(array, np.diag([-1.0, -1.0, 5.0, 1.0]), "MR", name))


def write_test_bundle(folder: Path) -> Path:
    """A bundle without a network."""
    metadata = {
        "name": "Test model",
        "version": "1.0.0",
        "system": "stiffness",
        "network_data_format": {
            "inputs": {"image": image_format("MR", ["MR"], 1, [0, 1])},
            "outputs": {"pred": segmentation_format(["background", "Liver"], 1)},
        },
        "training": {"cohort": {"simulated": {"segmentation": True, "risk": True}}},
    }
    files = {"docs/README.md": "# Test model\n", "docs/data_license.txt": "Simulated.\n", "LICENSE": "Apache-2.0\n"}
    return write_bundle(folder, metadata, files, classes=2).path
