"""`make bench`: seconds and memory of LiverStiffness on a simulated T2 and T1 examination: printed, not asserted."""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

from warm import describe, warm

from LiverStiffnessLib.simulation.patients import draw_examination, examine
from PrognosisLib.images.writers import write_volume

SEED = 1
# As a common protocol has them: about 320 columns, 5 mm and 3 mm slices.
PIXEL_MM, STEP_MM = (1.2, 1.2), (5.0, 3.0)


def make_images(folder: Path) -> dict[str, Path]:
    """Files of a simulated examination by role."""
    examination = draw_examination(SEED)
    protocol = replace(examination.protocol, pixel_mm=PIXEL_MM, step_mm=STEP_MM, thickness_mm=STEP_MM)
    t2, t1 = examine(replace(examination, protocol=protocol))
    return {
        "t2": write_volume(t2.volume, folder / "t2.nii.gz"),
        "t1": write_volume(t1.volume, folder / "t1.nii.gz"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--t2", type=Path, help="another T2-weighted image than the simulated one, with --t1 if any")
    parser.add_argument("--t1", type=Path, help="another T1-weighted image than the simulated one")
    parser.add_argument("--only", choices=("t2", "t1"), help="with this one of the simulated images")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        given = {"t2": arguments.t2, "t1": arguments.t1}
        paths = {role: path for role, path in given.items() if path is not None}
        paths = paths or make_images(Path(temporary))
        paths = {role: path for role, path in paths.items() if arguments.only in (None, role)}
        for path in paths.values():
            describe(path)
        warm("stiffness", paths, arguments.rounds)


if __name__ == "__main__":
    main()
