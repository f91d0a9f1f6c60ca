"""Pipelines for test_worker.py, imported by the worker's process: well-behaved, stubborn and fatal ones."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from PrognosisLib.errors import BundleError, InputError
from PrognosisLib.findings import Findings, HeatMap, Mask, Measurement
from PrognosisLib.pipeline import Case, Progress, silent


class Doubling:
    """Doubles the image into a heat map and marks what is above 10; counts how often it was built and run."""

    system = "test"
    built = 0

    def __init__(self, bundle: Path) -> None:
        Doubling.built += 1
        self.bundle, self.runs = bundle, 0

    def segment(self, case: Case, progress: Progress = silent) -> Findings:
        self.runs += 1
        image = case.volumes["ct"]
        for step in range(5):
            progress(step / 5, f"step {step}")
        mask = Mask.from_full("Spleen", image.array > 10, image.grid)
        about = {
            "built": self.built,
            "runs": self.runs,
            "threads": os.environ.get("OMP_NUM_THREADS"),
            "heavy": [name for name in ("torch", "onnxruntime", "SimpleITK") if name in sys.modules],
        }
        return Findings("test", (mask,), heat_maps=(HeatMap("double", 2 * image.array, image.grid),), provenance=about)

    def measure(self, case: Case, masks: Mapping[str, Mask]) -> Findings:
        return Findings("test", measurements=(Measurement("volume", "Volume", masks["Spleen"].voxel_volume_ml, "mL"),))


class Misbehaving(Doubling):
    """Does what settings["act"] says, in the middle of the run."""

    def segment(self, case: Case, progress: Progress = silent) -> Findings:
        progress(0.1, "misbehaving")
        getattr(self, case.settings["act"])(case, progress)
        return super().segment(case, progress)

    def refuse(self, case: Case, progress: Progress) -> None:
        raise InputError("The image is upside down; turn it round.")

    def refuse_bundle(self, case: Case, progress: Progress) -> None:
        raise BundleError("The bundle is damaged; export it again.")

    def fail(self, case: Case, progress: Progress) -> None:
        raise ZeroDivisionError("one over nothing")

    def import_missing(self, case: Case, progress: Progress) -> None:
        import a_package_that_nobody_has.inside  # noqa: F401

    def cooperate(self, case: Case, progress: Progress) -> None:
        for step in range(3000):
            progress(step / 3000, "working")
            time.sleep(0.01)

    def sleep(self, case: Case, progress: Progress) -> None:
        time.sleep(60)

    def sleep_holding_the_interpreter(self, case: Case, progress: Progress) -> None:
        ctypes.PyDLL(None).usleep(60_000_000)

    def exit(self, case: Case, progress: Progress) -> None:
        print("about to leave", file=sys.stderr, flush=True)
        os._exit(3)

    def segfault(self, case: Case, progress: Progress) -> None:
        ctypes.string_at(0)

    def exhaust_memory(self, case: Case, progress: Progress) -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (2 * 10**9, 2 * 10**9))
        self.hoard = [np.ones(25_000_000) for _ in range(100)]

    def have_a_child(self, case: Case, progress: Progress) -> None:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        progress(0.5, f"child {child.pid}")
        time.sleep(60)

    def chatter(self, case: Case, progress: Progress) -> None:
        for _ in range(40):
            print("x" * 100_000, file=sys.stderr, flush=True)
            time.sleep(0.05)


class Film(Doubling):
    """Goes through all frames of a cine, one at a time."""

    def segment(self, case: Case, progress: Progress = silent) -> Findings:
        cine = case.volumes["cine"]
        mean = [float(frame.mean()) for frame in cine.gray_frames()]
        about = {"mean": mean, "frames": list(cine.source.shape), "source": type(cine.source).__name__}
        return Findings("test", provenance=about)

    def measure(self, case: Case, masks: Mapping[str, Mask]) -> Findings:
        return Findings("test")
