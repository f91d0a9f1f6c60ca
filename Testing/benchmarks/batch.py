"""`make bench`: memory of a batch over many cases, and cases per hour at 1 and 2 workers: printed, not asserted.

Memory is measured on small scans with networks that do no more than compare with a threshold; everything else is as
for a patient: files, scene, runtime of the networks, tables, curves, pictures. Speed is measured on a simulated
512 x 512 x 200 CT with the networks that ship, which lies in the file cache after its first reading.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from spleen import make_scan

from PrognosisLib.batch import start_batch, wait
from PrognosisLib.cohort import write_rows
from PrognosisLib.images.writers import write_volume
from PrognosisLib.systems import SYSTEMS
from PrognosisLib.volume import Volume
from PrognosisLib.wording import duration_text

TESTING = Path(__file__).resolve().parents[1]
SYSTEM = SYSTEMS["spleen"]
CLUSTER_WORKERS, CLUSTER_CASES = 50, 10_000
KINDS = ("batch", "scenes", "networks")


def parents() -> dict[int, int]:
    """The parent of every process (Linux)."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            found[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
    return found


def resident_mb(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def memory() -> dict[str, float]:
    """Resident MB of this process, and on average of its scenes' processes and of those that compute for them."""
    tree = parents()
    scenes = [pid for pid, parent in tree.items() if parent == os.getpid()]
    networks = [pid for pid, parent in tree.items() if parent in scenes]
    groups = zip(KINDS, ([os.getpid()], scenes, networks), strict=True)
    return {kind: sum(map(resident_mb, pids)) / max(1, len(pids)) for kind, pids in groups}


def write_cohort(folder: Path, image: Path, cases: int) -> Path:
    values = {"ct": image, "age": 60, "bilirubin": 20, "albumin": 36}
    rows = [{"case": f"case-{number:05d}", **values} for number in range(cases)]
    return write_rows(folder / f"cohort-{cases}.csv", rows)


def run(cohort: Path, output: Path, jobs: int, note: Callable[[int, float], None], **more: Any) -> None:
    """Runs a batch; `note` is called with the number of cases that have ended and the seconds since its start."""
    start, ended = time.perf_counter(), 0

    def on_case(case: str, entry: Mapping[str, Any]) -> None:
        nonlocal ended
        if entry["status"] != "done":
            sys.exit(f"{case} failed: {entry['reason']}")
        ended += 1
        note(ended, time.perf_counter() - start)

    wait(start_batch(SYSTEM, cohort, output, jobs=jobs, on_case=on_case, **more), seconds=0.01)


def make_bundle(folder: Path) -> Path:
    """Networks that compare with a threshold; made by another process, since torch would count as this one's memory."""
    code = f"import sys, pathlib; sys.path[:0] = {[str(TESTING), *sys.path]!r}; import phantoms; "
    code += f"phantoms.threshold_bundle(pathlib.Path({str(folder)!r}))"
    subprocess.run([sys.executable, "-c", code], check=True)
    return folder


def measure_memory(folder: Path, cases: int, jobs: int) -> None:
    spacing = np.diag([6.0, 6.0, 8.0, 1.0])
    small = np.full((24, 32, 48), -1000, np.int16)
    small[:, 3:-3, 3:-3] = 0
    small[6:18, 8:20, 4:16] = 140  # what the threshold takes for a spleen
    image = write_volume(Volume(small, spacing, "CT", "small"), folder / "small.nii.gz")
    print(f"Memory over {cases} cases, {jobs} jobs, small scans (resident MB; scenes and networks: mean of a process):")
    print(f"{'cases':>8s}" + "".join(f"{kind:>10s}" for kind in KINDS))
    seen: dict[int, dict[str, float]] = {}
    seconds = 0.0

    def note(number: int, now: float) -> None:
        nonlocal seconds
        seconds = now
        if number in (2 * jobs, 20) or number % max(1, cases // 10) == 0:
            seen[number] = memory()
            print(f"{number:8d}" + "".join(f"{seen[number][kind]:10.1f}" for kind in KINDS), flush=True)

    cohort = write_cohort(folder, image, cases)
    run(cohort, folder / "memory", jobs, note, bundle=make_bundle(folder / "bundle"))
    first, last = min((n for n in seen if n >= cases // 10), default=min(seen)), max(seen)
    for kind in KINDS:
        print(f"  {kind}: {seen[last][kind] - seen[first][kind]:+.1f} MB from case {first} to {last}")
    print(f"  {3600 * cases / seconds:.0f} of these small cases an hour\n")


def measure_speed(folder: Path, ct: Path, cases: int) -> None:
    print(f"Cases per hour on {ct.name}, {os.cpu_count()} cores; the first case of each process is left out:")
    rates: dict[tuple[int, int], float] = {}
    for jobs, threads in ((1, 1), (1, 2), (2, 1)):
        count, times = cases * jobs, {}
        cohort, output = write_cohort(folder, ct, count), folder / f"speed-{jobs}-{threads}"
        held: dict[str, float] = {}

        def note(number: int, now: float, times: dict = times, held: dict = held) -> None:
            times[number] = now
            held |= memory()

        run(cohort, output, jobs, note, settings={"threads": threads})
        rates[jobs, threads] = 3600 * (count - jobs) / (times[count] - times[jobs])
        told = f"; scene {held['scenes']:.0f} MB, networks {held['networks']:.0f} MB for each"
        print(f"  {jobs} processes with {threads} threads each: {rates[jobs, threads]:.0f}{told}", flush=True)
    alone = rates[1, 1]
    print(f"  2 processes of 1 thread do {rates[2, 1] / alone:.2f} times as many as one")
    storage = CLUSTER_WORKERS * alone * ct.stat().st_size / 3600 / 1e6
    print(
        f"On paper: {CLUSTER_CASES:,} such CT on {CLUSTER_WORKERS} Dask workers of one such core each take "
        f"{duration_text(CLUSTER_CASES / CLUSTER_WORKERS * 3600 / alone)}, if the storage gives {storage:.0f} MB a "
        "second and cores and memory are not shared."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=1000, help="small cases for the memory; 0 leaves it out")
    parser.add_argument("--jobs", type=int, default=2, help="processes for the memory")
    parser.add_argument("--speed-cases", type=int, default=6, help="CT for each process; 0 leaves the speed out")
    parser.add_argument("--ct", type=Path, help="another CT than the simulated one")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if arguments.cases:
            measure_memory(folder, arguments.cases, arguments.jobs)
        if arguments.speed_cases:
            measure_speed(folder, arguments.ct or make_scan(folder), arguments.speed_cases)


if __name__ == "__main__":
    main()
