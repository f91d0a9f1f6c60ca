"""BrightFilm's pipeline: no network; what is bright in each frame, on a lattice half as fine, and its size over time.

Evidence is the mean of each frame, so that `measure` reads no frame.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from PrognosisLib.bundles.bundle import Bundle
from PrognosisLib.errors import InputError
from PrognosisLib.findings import Curve, Findings, Flag, HeatMap, Mask, Measurement
from PrognosisLib.images.cine.cine import Cine
from PrognosisLib.pipeline import Case, Progress, silent
from PrognosisLib.volume import Grid

NOTHING = Flag("nothing_bright", "error", "Nothing bright was found; check that the cine is the right one.", "Bright")
HALF = np.array([[2.0, 0, 0, 0.5], [0, 2.0, 0, 0.5], [0, 0, 1, 0], [0, 0, 0, 1]])


def default_settings() -> dict[str, Any]:
    return {"limit": 200}


class BrightPipeline:
    system = "bright"

    def __init__(self, bundle: Path) -> None:
        self.bundle = Bundle.load(bundle, self.system, channels=1, classes=2)

    def segment(self, case: Case, progress: Progress = silent) -> Findings:
        cine = case.volumes["t0"]
        if len(cine) < 3:
            raise InputError(f"'{cine.name}' has {len(cine)} frames where 3 are needed; give a longer cine.")
        halves = []
        for number, frame in enumerate(cine.gray_frames()):
            progress(number / len(cine), f"Frame {number + 1}")
            halves.append(_half(frame))
        values = np.stack(halves)
        lattice = Grid(values.shape, cine.ijk_to_ras @ HALF)
        bright = values >= case.settings["limit"]
        provenance = {"bundle": self.bundle.identity, "device": "cpu", "seconds": {"threshold": 0.01}}
        if not bright.any():
            return Findings(self.system, flags=(NOTHING,), provenance=provenance)
        evidence = json.dumps({"means": values.mean(axis=(1, 2)).tolist()})
        mask = Mask.from_full("Bright", bright, lattice, evidence=evidence)
        heat = HeatMap("Brightness", values, lattice)
        return Findings(self.system, (mask,), heat_maps=(heat,), provenance=provenance)

    def measure(self, case: Case, masks: Mapping[str, Mask]) -> Findings:
        cine, later, mask = case.volumes["t0"], case.volumes.get("t1"), masks.get("Bright")
        rows = [Measurement("frames", "Frames", len(cine))]
        if later is not None:
            rows.append(Measurement("later", "Frames later", len(later)))
        if mask is None:
            return Findings(self.system, (), tuple(rows), summary="Nothing bright was measured.")
        areas = mask.full().sum(axis=(1, 2)) * mask.grid.voxel_volume_ml * 10.0
        number = int(areas.argmax())
        place = cine.grid.to_ras(np.array([[number, 0, 0]]))[0]
        rows.append(Measurement("area", "Bright area", float(areas.mean()), "cm²", place=place))
        means = json.loads(mask.evidence)["means"] if mask.evidence else []
        rows.append(Measurement("known", "Frames known", len(means)))
        curve = Curve("Bright area over time", "Area", cine.times_s, areas, "s", "cm²")
        return Findings(self.system, (), tuple(rows), curves=(curve,), summary=f"{areas.mean():.1f} cm² are bright.")


def _half(frame: np.ndarray) -> np.ndarray:
    """Mean of two by two pixels, uint8 (j, i)."""
    rows, columns = (n // 2 for n in frame.shape)
    even = frame[: 2 * rows, : 2 * columns]
    return even.reshape(rows, 2, columns, 2).mean(axis=(1, 3)).astype(np.uint8)


def bright_cine(count: int = 6, start: int = 0) -> Cine:
    """Speckle with a bright square that moves by two pixels a frame and is missing in the second."""
    from PrognosisLib.images.cine.cine import ArrayFrames, steady_times

    rng = np.random.default_rng(start)
    frames = rng.integers(0, 60, (count, 40, 50), dtype=np.uint8)
    for number in range(count):
        if number != 1:
            left = 2 * number + start
            frames[number, 10:22, left : left + 10] = 250
    return Cine(ArrayFrames(frames), steady_times(count, 0.04), (0.5, 0.4), name="bright")
