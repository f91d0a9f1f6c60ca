"""A pipeline for test_logic.py, imported by the worker's process: it goes on until it is stopped."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from PrognosisLib.findings import Findings, Mask
from PrognosisLib.pipeline import Case, Progress, silent


class Slow:
    system = "spleen"

    def __init__(self, bundle: Path) -> None:
        pass

    def segment(self, case: Case, progress: Progress = silent) -> Findings:
        for step in range(3000):
            progress(step / 3000, "going on")
            time.sleep(0.02)
        return Findings(self.system)

    def measure(self, case: Case, masks: Mapping[str, Mask]) -> Findings:
        return Findings(self.system)
