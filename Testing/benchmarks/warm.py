"""What the benchmarks share: seconds by stage of a system whose worker is warm, from files to nodes and table."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PrognosisLib import headless
from PrognosisLib.images.readers import read_volume
from PrognosisLib.pipeline import Case
from PrognosisLib.single_case import add_nodes, read_images
from PrognosisLib.systems import SYSTEMS
from PrognosisLib.worker import Worker


def describe(path: Path) -> None:
    """Prints what is measured, and on how many cores."""
    shape = read_volume(path).array.shape
    print(f"{shape[2]} x {shape[1]} x {shape[0]}, {path.stat().st_size / 1e6:.0f} MB, {os.cpu_count()} cores")


def warm(
    name: str,
    paths: Mapping[str, Path],
    rounds: int,
    bundle: Path | None = None,
    changed: Mapping[str, Any] | None = None,
) -> float:
    """Prints the median of some rounds after one that loads the networks, and returns that of the whole in seconds.

    Args:
        name: of the system.
        paths: an image file for each role.
        bundle: another one than that which ships.
        changed: settings that are not the default ones.
    """
    headless.start()
    import slicer

    from PrognosisLib import scene

    system = SYSTEMS[name]
    rows: list[dict[str, float]] = []
    with Worker() as worker:
        for _ in range(rounds + 1):
            slicer.mrmlScene.Clear(0)
            start = time.perf_counter()
            volumes = read_images(system, paths)
            read = time.perf_counter()
            settings = {**system.library("pipeline").default_settings(), **(changed or {})}
            worker.start_run(system.pipeline_path, bundle or system.default_bundle(), Case(volumes, settings=settings))
            found = worker.wait()
            back = time.perf_counter()
            first, nodes = system.primary_of(volumes).name, add_nodes(system, volumes)
            others = {r: scene.OtherImage(node, volumes[r].grid) for r, node in nodes.items() if r != first}
            scene.fromFindings(found, nodes[first], grid=volumes[first].grid, others=others)
            end = time.perf_counter()
            stages = found.provenance["seconds"]
            rows.append(
                {
                    "read the file": read - start,
                    **stages,
                    "to and from the worker": back - read - sum(stages.values()),
                    "nodes and table": end - back,
                    "total": end - start,
                }
            )
        print(f"\nWarm, from file to nodes and table (median of {rounds} after one):")
        for stage in rows[-1]:
            print(f"  {stage:26s}{statistics.median(row[stage] for row in rows[1:]):7.2f} s")
        print(f"  {'peak memory of the worker':26s}{worker.peak_memory_mb:7.0f} MB")
    return statistics.median(row["total"] for row in rows[1:])
