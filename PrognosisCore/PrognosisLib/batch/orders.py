"""One case of a batch as an order that any process can carry out, and what comes back of it as the journal's entry."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from ..clinical import read_clinical
from ..errors import InputError, WorkerError
from ..findings import Findings, Mask
from ..pipeline import Case, Progress, silent
from ..systems import SYSTEMS, System, find_system
from .cases import BatchCase
from .journal import entry_of, failure

CASES_FOLDER = "cases"


def make_order(
    system: System,
    case: BatchCase,
    *,
    output: Path,
    folder: str,
    settings: Mapping[str, Any],
    bundle: Path | None,
    files: Collection[str],
) -> dict[str, Any]:
    """Everything that a process must know to run a case, as plain data.

    Args:
        output: of the batch.
        folder: of the case, relative to it.
        bundle: a bundle of the user's own; None for the one that ships, which lies elsewhere on each machine.
        files: names of the files to write, see reporting/outputs.py.
    """
    return {
        "system": system.name,
        "module": system.module,
        "case": case.name,
        "images": dict(case.images),
        "series": dict(case.series),
        "clinical": dict(case.clinical),
        "clinical_file": case.clinical_file,
        "segmentation": case.segmentation,
        "settings": dict(settings),
        "bundle": None if bundle is None else str(bundle),
        "folder": str(output / folder),
        "files": list(files),
    }


def system_of(order: Mapping[str, Any]) -> System:
    """The order's system; that of another extension is registered by the import of its library."""
    if order["system"] not in SYSTEMS:
        import_module(f"{order['module']}Lib")
    return find_system(order["system"])


def inputs_of(order: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `single_case.compute_case` that name a case's files and values.

    Raises:
        InputError: the file with clinical values cannot be read.
    """
    clinical = read_clinical(order["clinical_file"]) if order["clinical_file"] else {}
    return {
        "images": {role: Path(path) for role, path in order["images"].items()},
        "clinical": {**clinical, **order["clinical"]},
        "segmentation_file": Path(order["segmentation"]) if order["segmentation"] else None,
        "series": order["series"],
    }


def carry_out(order: Mapping[str, Any], progress: Progress = silent) -> dict[str, Any]:
    """Runs a case in this process's own scene and writes its files; gives its part of the journal.

    What is wrong with the case is told there. Raises what is wrong with the process: Cancelled, lack of memory, errors
    that nobody foresaw.
    """
    from ..single_case import compute_case, sources_of

    start = time.perf_counter()
    try:
        system, inputs = system_of(order), inputs_of(order)
        bundle = Path(order["bundle"]) if order["bundle"] else None
        logic, result = compute_case(
            system, **inputs, settings=order["settings"], bundle=bundle, on_progress=lambda f, m: progress(0.9 * f, m)
        )
        progress(0.95, "Writing the results")
        sources = sources_of(inputs["images"], inputs["segmentation_file"])
        logic.writeOutputs(result, Path(order["folder"]), sources, inputs["clinical"], order["files"])
    except (InputError, WorkerError) as error:
        return ended(failure(error), start)
    entry, columns = entry_of(result.findings)
    return ended({**entry, "bundle": logic.pipeline.bundle.identity["sha256"], "columns": columns}, start)


def ended(entry: Mapping[str, Any], start: float) -> dict[str, Any]:
    """An entry with the seconds since `start`."""
    return {"columns": {}, **entry, "seconds": round(time.perf_counter() - start, 2)}


class CaseJob:
    """Looks like a pipeline, so that a worker carries out orders with progress, cancel and a clear error (see jobs.py).

    The worker's process has a scene of its own, and starts another process for the networks, as every scene does.
    """

    system = "batch"
    path = f"{__name__}:CaseJob"

    def __init__(self, bundle: Path) -> None:
        pass

    def segment(self, case: Case, progress: Progress = silent) -> Findings:
        return Findings(self.system, provenance={"entry": carry_out(case.settings["order"], progress)})

    def measure(self, case: Case, masks: Mapping[str, Mask]) -> Findings:
        return Findings(self.system)


def job_of(order: Mapping[str, Any]) -> Case:
    """The case of a CaseJob."""
    threads = order["settings"].get("threads")
    return Case({}, settings={"order": dict(order), **({"threads": threads} if threads else {})})
