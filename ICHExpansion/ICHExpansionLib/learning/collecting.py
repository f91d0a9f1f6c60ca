"""One pass of the finished network over many cases, in as many processes as there are cores, kept on disk.

An interrupted run goes on with the cases that are missing; the folder belongs to one network.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from PrognosisLib.bundles.bundle import Bundle
from PrognosisLib.cohort import CohortCase
from PrognosisLib.errors import InputError
from PrognosisLib.images.readers import read_volume
from PrognosisLib.reporting.output import write_atomic

from ..labels import CLASSES
from ..outcomes import expected_outcome
from ..segmenting.network import CHANNELS, NAME
from ..simulation.causes import ImageCauses
from .attention_training import PatientFeatures

_network: Any = None


@dataclasses.dataclass(frozen=True)
class Collected:
    """What a case gave: features for the slice attention, a row of figures, and rows of its slabs."""

    features: PatientFeatures
    row: dict[str, Any]
    slabs: list[dict[str, Any]]


def collect(bundle: Path, cases: Sequence[CohortCase], store: Path, logit: float) -> list[Collected]:
    """Segment every case with the network of a bundle.

    Args:
        bundle: needs no more than the network.
        store: folder for what was found.
        logit: shift of the log-odds for the volumes' intervals.
    """
    store.mkdir(parents=True, exist_ok=True)
    missing = [case for case in cases if not (store / f"{case.case}.json").exists()]
    if missing:
        # A new interpreter each: forking a process in which torch has threads may hang.
        with ProcessPoolExecutor(os.cpu_count(), get_context("spawn"), _open, (bundle,)) as pool:
            list(pool.map(_run, missing, [store] * len(missing), [logit] * len(missing)))
    return [_read(store, case) for case in cases]


def _open(bundle: Path) -> None:
    """Opens the network once for a process, on one thread."""
    global _network
    from PrognosisLib.bundles.backends import OnnxNetwork

    _network = OnnxNetwork(Bundle.load(bundle, "ich", CHANNELS, len(CLASSES)), NAME, threads=1)


def _run(case: CohortCase, store: Path, logit: float) -> None:
    from .validation import features_of, figures_of_case, segmented

    image, labels = (read_volume(case.files[name], kind) for name, kind in (("ct", "CT"), ("labels", "labels")))
    try:
        found = segmented(_network, image, logit)
    except InputError as error:
        raise InputError(f"Case '{case.case}': {error}") from error
    features = features_of(case.case, found, 0.0)
    row, slabs = figures_of_case(case, found, image, labels)
    partial = store / f"{case.case}.part.npz"
    np.savez(partial, **{k: v for k, v in dataclasses.asdict(features).items() if k not in ("case", "expected")})
    os.replace(partial, store / f"{case.case}.npz")
    write_atomic(store / f"{case.case}.json", json.dumps({"row": row, "slabs": slabs}))


def _read(store: Path, case: CohortCase) -> Collected:
    with np.load(store / f"{case.case}.npz") as stored:
        numbers = (float(stored["volume_ml"]), float(stored["ventricular_ml"]))
        arrays = (stored["features"], stored["areas_mm2"])
    expected = expected_outcome(ImageCauses.from_row(case.values)) if "true_volume_ml" in case.values else 0.0
    told = json.loads((store / f"{case.case}.json").read_text(encoding="utf-8"))
    return Collected(PatientFeatures(case.case, *arrays, *numbers, expected), told["row"], told["slabs"])
