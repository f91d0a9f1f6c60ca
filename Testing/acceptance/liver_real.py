"""A liver network, trained on simulation only, on real B-mode frames with an outline: Dice by frame and subject.

python Testing/acceptance/liver_real.py fibrosis|hepato [BUNDLE]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from FibrosisVideoLib.networks import catalog as fibrosis
from HepatoPrognosisLib.networks import catalog as hepato
from PrognosisLib.bundles.backends import load_network
from PrognosisLib.bundles.bundle import Bundle
from PrognosisLib.evaluation.estimates import bootstrap
from PrognosisLib.evaluation.segmentation import dice
from PrognosisLib.framewise.frames import keep_pieces, lattice_frames
from PrognosisLib.framewise.lattice import FrameLattice, to_input
from PrognosisLib.images.cine.screen import find_screen
from PrognosisLib.systems import SYSTEMS

sys.path.insert(0, str(Path(__file__).parent))
from ultrasound_outlines import outlined_frames


def overlaps(segment: Callable[[np.ndarray], np.ndarray]) -> list[dict[str, Any]]:
    """One row a frame; `segment` takes input (n, 1, j, i) to log-odds of liver of the same shape."""
    rows = []
    for subject, cine, outline in outlined_frames():
        screen = find_screen(cine)
        lattice = FrameLattice.of(cine, screen)
        _, gray = next(lattice_frames(cine, screen, lattice))
        found = keep_pieces(segment(to_input(gray)[:, None])[0, 0] > 0)
        truth = lattice(outline.astype(np.float32)) > 0.5
        rows.append({"frame": cine.name, "subject": subject, "dice": round(dice(found, truth), 4)})
    return rows


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean with a bootstrap over frames (there are few subjects), median, worst, and means by subject."""
    values = np.array([row["dice"] for row in rows])
    lower, upper = bootstrap(lambda chosen: float(values[chosen].mean()), np.arange(len(values)), 1000)
    subjects = sorted({row["subject"] for row in rows})
    return {
        "n": len(values),
        "subjects": len(subjects),
        "dice_mean": round(float(values.mean()), 4),
        "dice_lower": round(lower, 4),
        "dice_upper": round(upper, 4),
        "dice_median": round(float(np.median(values)), 4),
        "dice_worst": round(float(values.min()), 4),
        "by_subject": {
            one: round(float(np.mean([row["dice"] for row in rows if row["subject"] == one])), 4) for one in subjects
        },
    }


def segmenter(system: str, bundle: Bundle) -> Callable[[np.ndarray], np.ndarray]:
    """From input (n, 1, j, i) to log-odds of liver of the same shape."""
    if system == "fibrosis":
        return load_network(bundle, fibrosis.SEGMENTER, fibrosis.build_segmenter, "cpu")
    network = load_network(bundle, hepato.NAME, hepato.build, "cpu")

    def log_odds(image: np.ndarray) -> np.ndarray:
        logits = network.outputs(image)[0]
        return logits[:, hepato.LIVER_CLASS :] - logits[:, : hepato.LIVER_CLASS]

    return log_odds


def main(system: str, path: Path | None) -> None:
    bundle = SYSTEMS[system].load_bundle(path)
    found = overlaps(segmenter(system, bundle))
    for row in found:
        print(row["frame"], row["dice"])
    print(json.dumps(summary(found), indent=2))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]) if len(sys.argv) > 2 else None)
