"""`make bench`: seconds, memory and ratios of SpleenVolume on a simulated 512 x 512 x 200 CT: printed, not asserted."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from warm import describe, warm

from PrognosisLib.images.writers import write_volume
from PrognosisLib.simulation.anatomy import AbdomenParameters
from PrognosisLib.simulation.ct import simulate_abdomen
from PrognosisLib.volume import Volume

HERE = Path(__file__).resolve().parent
# 0.78 mm pixels, 1.6 mm slices: 400 mm wide, 320 mm long.
SCAN = AbdomenParameters(spleen_mL=320, matrix=512, field_of_view_mm=400, slice_spacing_mm=1.6, slice_thickness_mm=2)
SLICES = 200


def make_scan(folder: Path) -> Path:
    path = folder / "ct.nii.gz"
    made = simulate_abdomen(replace(SCAN, coverage="chest-abdomen-pelvis"), seed=1)
    middle = int(np.argwhere(made.labels == 1)[:, 0].mean())
    start = min(max(0, middle - SLICES // 2), len(made.hu) - SLICES)
    matrix = made.ijk_to_ras.copy()
    matrix[:3, 3] += matrix[:3, 2] * start
    return write_volume(Volume(made.hu[start : start + SLICES], matrix, "CT", "benchmark"), path)


# A process starts with the peak memory of the one that made it, so a small one stands between the benchmark and it.
MEASURE = """
import resource, subprocess, sys, time
start = time.perf_counter()
code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
print(code, time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
"""


def fresh(command: list[str]) -> tuple[float, float]:
    """Wall seconds and peak MB of a command as a whole process."""
    done = subprocess.run([sys.executable, "-c", MEASURE, *command], capture_output=True, text=True, check=True)
    code, seconds, megabytes = done.stdout.split()
    if code != "0":
        sys.exit(f"{command[1]} failed:\n{done.stderr[-2000:]}")
    return float(seconds), float(megabytes)


def compare(path: Path, folder: Path, rounds: int) -> None:
    """Fresh processes in turn, so that a drifting machine meets both."""
    ours = [sys.executable, str(HERE / "spleen_file_to_file.py"), str(path), str(folder / "ours.nii.gz")]
    theirs = [sys.executable, str(HERE / "monai_recipe.py"), str(path), str(folder / "theirs.nii.gz")]
    a, b = [], []
    for number in range(rounds):
        a.append(fresh(ours))
        b.append(fresh(theirs))
        print(f"  round {number + 1}: {a[-1][0]:.1f} s, {a[-1][1]:.0f} MB; MONAI {b[-1][0]:.1f} s, {b[-1][1]:.0f} MB")
    seconds = [statistics.median(one[0] for one in group) for group in (a, b)]
    memory = [statistics.median(one[1] for one in group) for group in (a, b)]
    print(f"File to file, fresh process (median of {rounds}): {seconds[0]:.1f} s and {memory[0]:.0f} MB")
    print(f"MONAI's spleen recipe, random weights:         {seconds[1]:.1f} s and {memory[1]:.0f} MB")
    print(f"Ratio: {seconds[1] / seconds[0]:.1f} times faster, {memory[0] / memory[1]:.2f} of the memory")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ct", type=Path, help="another CT than the simulated one")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        path = arguments.ct or make_scan(Path(temporary))
        describe(path)
        warm("spleen", {"ct": path}, arguments.rounds)
        print()
        compare(path, Path(temporary), arguments.rounds)


if __name__ == "__main__":
    main()
