"""TwoScans' pipeline: no network; what is bright on the scan, what is bright on the second one only, and their rows.

The scan is the first one given: the follow-up stands for the CT where that may be left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from PrognosisLib.bundles.bundle import Bundle
from PrognosisLib.findings import Findings, Flag, HeatMap, Mask, Measurement
from PrognosisLib.pipeline import Case, Progress, silent

NOTHING = Flag("nothing_bright", "error", "Nothing bright was found; check that the scan is the right one.", "Bright")


def default_settings() -> dict[str, Any]:
    return {
        "limit_HU": 60,
        "growth_ml": 6.0,
        "growth_operator": ">=",
        "bias_HU": None,
        "count_slices": True,
    }


class TwoScansPipeline:
    system = "two"

    def __init__(self, bundle: Path) -> None:
        self.bundle = Bundle.load(bundle, self.system, channels=1, classes=2)

    def segment(self, case: Case, progress: Progress = silent) -> Findings:
        progress(0.1, "Looking for what is bright")
        (ct, *later), limit = case.volumes.values(), case.settings["limit_HU"]
        bright = ct.array >= limit
        provenance = {"bundle": self.bundle.identity, "device": "cpu", "seconds": {"threshold": 0.01}}
        if not bright.any():
            return Findings(self.system, flags=(NOTHING,), provenance=provenance)
        evidence = json.dumps({"says": 'ä "quoted" | text', "means": ct.array.mean(axis=(1, 2)).tolist()})
        masks = [Mask.from_full("Bright", bright, ct.grid, evidence=evidence)]
        masks += [Mask.from_full("Growth", (one.array >= limit) & ~bright, ct.grid) for one in later]
        heat = HeatMap("Brightness", np.clip(ct.array / 100.0, 0.0, 1.0).astype(np.float32), ct.grid)
        return Findings(self.system, tuple(masks), heat_maps=(heat,), provenance=provenance)

    def measure(self, case: Case, masks: Mapping[str, Mask]) -> Findings:
        age, mask = case.clinical.get("age"), masks.get("Bright")
        rows = [Measurement("age_points", "Age points", None if age is None else age // 10, "points")]
        flags = (Flag("old", "info", "The patient is old."),) if age is not None and age >= 80 else ()
        if mask is None:
            return Findings(self.system, (), tuple(rows), flags, summary="Nothing bright was measured.")
        size = mask.voxel_volume_ml
        center = mask.cropped_grid.to_ras(np.argwhere(mask.array)).mean(axis=0)
        rows.append(Measurement("bright", "Bright volume", size, "mL", place=center))
        known = json.loads(mask.evidence) if mask.evidence else {}
        rows.append(Measurement("slices", "Slices known", len(known.get("means", [])) or None, place=center))
        _, *later = case.volumes.values()
        mean = float(later[0].array[mask.box][mask.array].mean()) if later else None
        rows.append(Measurement("later", "Mean density later", mean, "HU", note="" if later else "no follow-up"))
        rows.append(Measurement("given", "Scans given", " and ".join(case.volumes)))
        grown = masks["Growth"].voxel_volume_ml if "Growth" in masks else None
        limit, operator = case.settings["growth_ml"], case.settings["growth_operator"]
        if grown is not None and limit is not None:
            has = grown >= limit if operator == ">=" else grown > limit
            rows.append(Measurement("grown", "Growth", "yes" if has else "no", note=str(case.settings["bias_HU"])))
        return Findings(self.system, (), tuple(rows), flags, summary=f"{size:.1f} mL are bright.")
