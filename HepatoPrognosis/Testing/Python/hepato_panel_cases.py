"""What HepatoPrognosis's panel tests share: a pipeline whose run needs no network, a bundle, and films in the scene.

The run finds a liver of known pixels; what is measured is measured by the module's own code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from hepato_images import film, frame, liver_area, quick_readout

from HepatoPrognosisLib.comparing.maps import CHANGE_NAME, RISK_NAMES
from HepatoPrognosisLib.comparing.pair_checks import check_files
from HepatoPrognosisLib.labels import LIVER, LIVER_AT_T1
from HepatoPrognosisLib.measuring.evidence import LiverFacts, PairEvidence
from HepatoPrognosisLib.measuring.measurements import measure_pair
from HepatoPrognosisLib.measuring.readout import HepatoReadout
from HepatoPrognosisLib.settings import HepatoSettings
from PrognosisLib.bundles.bundle import Bundle, image_format, segmentation_format, write_bundle
from PrognosisLib.findings import Findings, Flag, HeatMap, Mask
from PrognosisLib.images.cine.cine import Cine
from PrognosisLib.pipeline import Case, Progress, silent
from PrognosisLib.volume import Grid

NAMES = {"t0": LIVER, "t1": LIVER_AT_T1}


class EchoPairPipeline:
    system = "hepato"

    def __init__(self, bundle: Path) -> None:
        self.bundle = Bundle.load(bundle, self.system, channels=1, classes=2)
        self.readout = HepatoReadout.from_bundle(self.bundle)

    def segment(self, case: Case, progress: Progress = silent) -> Findings:
        settings, flags = HepatoSettings(**case.settings), []
        settings.check()
        if len(case.volumes) == 2:
            flags += check_files(case.volumes["t0"], case.volumes["t1"])
        provenance = {"bundle": self.bundle.identity, "device": "test", "seconds": {}}
        if case.volumes["t0"].frame(0).max() < 100:
            dark = Flag("no_liver_t0", "error", "No liver found.", LIVER)
            return Findings(self.system, flags=(*flags, dark), provenance=provenance)
        masks, heat = [], []
        for role, cine in case.volumes.items():
            number = settings.frame_of(role) or 0
            masks.append(self._mask(role, cine, number))
            heat.append(_heat(RISK_NAMES[role], cine, number, "" if role == "t0" else role))
        if len(case.volumes) == 2:
            heat.append(_heat(CHANGE_NAME, case.volumes["t0"], masks[0].start[0], ""))
        text = _evidence(masks, list(case.volumes.values())).to_text()
        first = Mask(LIVER, masks[0].array, masks[0].start, masks[0].grid, confidence=0.9, evidence=text)
        return Findings(
            self.system, (first, *masks[1:]), flags=tuple(flags), heat_maps=tuple(heat), provenance=provenance
        )

    def _mask(self, role: str, cine: Cine, number: int) -> Mask:
        inside = np.zeros((len(cine), *cine.frame_shape), bool)
        inside[number] = liver_area(1.0 if role == "t0" else 0.9, shape=cine.frame_shape)
        return Mask.from_full(NAMES[role], inside, cine.grid, role="" if role == "t0" else role)

    def measure(self, case: Case, masks: Mapping[str, Mask]) -> Findings:
        frames = {role: len(cine) for role, cine in case.volumes.items()}
        return measure_pair(masks, case.clinical, self.readout, HepatoSettings(**case.settings), frames)


def _evidence(masks: list[Mask], cines: list[Cine]) -> PairEvidence:
    facts = []
    for mask, cine in zip(masks, cines, strict=True):
        count, pixel = int(mask.array.sum()), cine.pixel_mm
        facts.append(LiverFacts(count, pixel and count * pixel[0] * pixel[1], 100.0, 5.0, mask.start[0]))
    second = facts[1] if len(facts) == 2 else None
    return PairEvidence(-0.4, None if second is None else 0.6, facts[0], second, 0.5, 0.3)


def _heat(name: str, cine: Cine, number: int, role: str) -> HeatMap:
    array = np.zeros((len(cine), 24, 32), np.uint8)
    array[number, 8:16] = 200
    step = np.diag([cine.frame_shape[1] / 32, cine.frame_shape[0] / 24, 1.0, 1.0])
    return HeatMap(name, array, Grid(array.shape, cine.ijk_to_ras @ step), role)


def add_images(count: int = 1, second: bool = True, **more: Any) -> dict[str, Any]:
    """The volume nodes of T0 and T1, films of so many frames, by role."""
    from PrognosisLib import scene

    frames = {"t0": [frame(seed=n) for n in range(count)], "t1": [frame(seed=50 + n, size=0.9) for n in range(count)]}
    wanted = ("t0", "t1") if second else ("t0",)
    return {role: scene.fromCine(film(*frames[role], name=role.upper(), **more)).volume for role in wanted}


def write_test_bundle(folder: Path) -> Path:
    """A bundle without a network."""
    metadata = {
        "name": "Test model",
        "version": "1.0.0",
        "system": "hepato",
        "network_data_format": {
            "inputs": {"image": image_format("US", ["US"], 1, [0, 1])},
            "outputs": {"pred": segmentation_format(["background", "Liver"], 1)},
        },
        "training": {"cohort": {"simulated": {"segmentation": True, "risk": True}}},
    }
    files = {
        "docs/README.md": "# Test model\n",
        "docs/data_license.txt": "Simulated.\n",
        "LICENSE": "Apache-2.0\n",
        "models/prognosis.json": json.dumps(quick_readout().to_dict()),
    }
    return write_bundle(folder, metadata, files, classes=2).path
