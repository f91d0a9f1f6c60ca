"""Moody's pipeline: what is bright, after what the age asks for: a crash, an error, a long time, or nothing."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PrognosisLib.bundles.bundle import Bundle
from PrognosisLib.errors import InputError
from PrognosisLib.findings import Findings, Flag, Interval, Mask, Measurement
from PrognosisLib.pipeline import Case, Progress, silent

CRASHES, FAILS, REFUSES, LINGERS, KILLS_ITS_SCENE = 101, 102, 103, 104, 105
LIMIT_HU = 60


def default_settings() -> dict[str, Any]:
    return {"seconds": 0.0, "threads": 0}


class MoodyPipeline:
    system = "moody"

    def __init__(self, bundle: Path) -> None:
        self.bundle = Bundle.load(bundle, self.system, channels=1, classes=2)

    def segment(self, case: Case, progress: Progress = silent) -> Findings:
        ct, age = case.volumes["ct"], case.clinical.get("age")
        progress(0.1, "Looking for what is bright")
        time.sleep(case.settings["seconds"])
        if age == CRASHES:
            ctypes.string_at(0)
        elif age == FAILS:
            raise ZeroDivisionError("one over nothing")
        elif age == REFUSES:
            raise InputError("The image is upside down; turn it round.")
        elif age == LINGERS:
            for step in range(600):
                progress(step / 600, "Lingering")
                time.sleep(0.05)
        elif age == KILLS_ITS_SCENE:
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(30)
        masks = (Mask.from_full("Bright", ct.array >= LIMIT_HU, ct.grid),)
        about = {"bundle": self.bundle.identity, "device": "cpu", "threads": os.environ.get("OMP_NUM_THREADS", "")}
        return Findings(self.system, masks, provenance={**about, "seconds": {"threshold": 0.0}})

    def measure(self, case: Case, masks: Mapping[str, Mask]) -> Findings:
        size, age = masks["Bright"].voxel_volume_ml, case.clinical.get("age")
        ends = Interval(0.9 * size, 1.1 * size)
        rows = [Measurement("bright", "Bright volume", size, "mL", ends, "voxels times voxel volume")]
        if age is not None:
            rows.append(Measurement("risk", "Risk", age / 200, "", method="age over 200", simulated=True))
        rows.append(Measurement("size", "Size", "large" if size > 1 else "small"))
        flags = (Flag("old", "warning", "The patient is old, so look twice."),) if age is not None and age > 80 else ()
        return Findings(self.system, (), tuple(rows), flags, summary=f"{size:.1f} mL are bright.")
