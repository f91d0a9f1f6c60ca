"""`make bench`: seconds and memory of FibrosisVideo on its simulated demo cine: printed, not asserted.

100 frames of 800 x 600 with and without Grad-CAM, and the peak of memory on a film ten times as long.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from warm import warm

from PrognosisLib.images.cine.cine import Cine, JoinedFrames, steady_times
from PrognosisLib.images.cine.reading import read_cine
from PrognosisLib.images.cine.writing import write_dicom
from PrognosisLib.pipeline import Case
from PrognosisLib.systems import SYSTEMS
from PrognosisLib.worker import Worker

TIMES_LONGER = 10


def longer(cine: Cine, times: int) -> Cine:
    """The film so many times in a row."""
    step = 1 / (cine.frame_rate or 25.0)
    times_s = steady_times(times * len(cine), step)
    return Cine(JoinedFrames([cine.source] * times), times_s, cine.pixel_mm, name=cine.name, burned_in=False)


def peak_mb(path: Path, bundle: Path, threads: int) -> float:
    """Of a worker that reads one film and nothing else."""
    system = SYSTEMS["fibrosis"]
    settings = {**system.library("pipeline").default_settings(), "threads": threads}
    with Worker() as worker:
        worker.start_run(system.pipeline_path, bundle, Case({"cine": read_cine(path)}, settings=settings))
        worker.wait()
        return worker.peak_memory_mb


def compare_memory(short: Path, folder: Path, bundle: Path, threads: int) -> None:
    """Prints the peak for a film and one that is much longer."""
    cine = read_cine(short)
    many = write_dicom(longer(cine, TIMES_LONGER), folder / "long.dcm", "demo")
    counts = (len(cine), TIMES_LONGER * len(cine))
    first, second = (peak_mb(path, bundle, threads) for path in (short, many))
    print(f"\nPeak memory of the worker: {first:.0f} MB at {counts[0]} frames, {second:.0f} MB at {counts[1]}")
    print(f"Ratio: {second / first:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cine", type=Path, help="another uncompressed gray cine than the simulated one")
    parser.add_argument("--bundle", type=Path, help="another bundle than the one that ships")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    bundle = arguments.bundle or SYSTEMS["fibrosis"].default_bundle()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if arguments.cine is None:
            from FibrosisVideoLib.demo import demo_case

            short = write_dicom(demo_case()[0]["cine"], folder / "demo.dcm", "demo")
        else:
            short = arguments.cine
        cine = read_cine(short)
        rows, columns = cine.frame_shape
        print(f"{len(cine)} x {columns} x {rows}, {arguments.threads} threads on {os.cpu_count()} cores")
        seconds = []
        for on in (False, True):
            print(f"\nGrad-CAM {'on' if on else 'off'}")
            changed = {"threads": arguments.threads, "heat_map": on}
            seconds.append(warm("fibrosis", {"cine": short}, arguments.rounds, bundle, changed))
        print(f"\nWith Grad-CAM {100 * (seconds[1] / seconds[0] - 1):+.1f} % of the time")
        compare_memory(short, folder, bundle, arguments.threads)


if __name__ == "__main__":
    main()
