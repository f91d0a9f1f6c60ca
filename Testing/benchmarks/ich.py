"""`make bench`: seconds and memory of ICHExpansion on a simulated 512 x 512 x 32 head CT: printed, not asserted."""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

from warm import describe, warm

from ICHExpansionLib.demo import BLEED, HEAD, LATER_SCAN, SCAN
from ICHExpansionLib.simulation.scan import ScanParameters, simulate_head
from PrognosisLib.images.writers import write_volume

MATRIX, PIXEL_MM = 512, 0.45


def make_scan(path: Path, scan: ScanParameters) -> Path:
    scan = replace(scan, pixel_mm=PIXEL_MM, columns=MATRIX, rows=MATRIX, slice_mm=5.0, bottom_mm=-78.0, top_mm=82.0)
    return write_volume(simulate_head(HEAD, BLEED, scan, seed=1).volume(), path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ct", type=Path, help="another CT than the simulated one")
    parser.add_argument("--followup", action="store_true", help="with a simulated follow-up")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        paths = {"ct": arguments.ct or make_scan(Path(temporary) / "ct.nii.gz", SCAN)}
        if arguments.followup:
            paths["followup"] = make_scan(Path(temporary) / "followup.nii.gz", LATER_SCAN)
        describe(paths["ct"])
        warm("ich", paths, arguments.rounds)


if __name__ == "__main__":
    main()
