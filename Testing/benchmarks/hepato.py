"""`make bench`: seconds and memory of HepatoPrognosis on its simulated demo pair: printed, not asserted."""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from warm import warm

from PrognosisLib.images.cine.reading import read_cine
from PrognosisLib.images.cine.writing import write_dicom


def make_images(folder: Path) -> dict[str, Path]:
    """DICOM files of the demo case by role."""
    from HepatoPrognosisLib.demo import demo_case

    cines, _clinical = demo_case()
    return {role: write_dicom(cine, folder / f"{role}.dcm", "demo") for role, cine in cines.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--t0", type=Path, help="another image of T0 than the simulated one, with --t1 if any")
    parser.add_argument("--t1", type=Path, help="another image of T1 than the simulated one")
    parser.add_argument("--bundle", type=Path, help="another bundle than the one that ships")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        given = {"t0": arguments.t0, "t1": arguments.t1}
        paths = {role: path for role, path in given.items() if path is not None}
        paths = paths or make_images(Path(temporary))
        for path in paths.values():
            cine = read_cine(path)
            print(f"{len(cine)} x {cine.frame_shape[1]} x {cine.frame_shape[0]}, {os.cpu_count()} cores")
        warm("hepato", paths, arguments.rounds, arguments.bundle)


if __name__ == "__main__":
    main()
