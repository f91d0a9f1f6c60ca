"""One pass of the finished network over many examinations, in as many processes as there are cores, kept on disk.

An interrupted run goes on with the examinations that are missing; the folder belongs to one network.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from PrognosisLib.bundles.bundle import Bundle
from PrognosisLib.evaluation.segmentation import dice
from PrognosisLib.reporting.output import write_atomic
from PrognosisLib.volume import Volume

from ..labels import ASCITES, CLASSES, LIVER, SEGMENTS, SPLEEN
from ..measuring.ordinal import SliceInput, covariates_of
from ..segmenting.network import CHANNELS, NAME, SEQUENCES
from ..segmenting.reading import ReadImage, read_slices
from ..segmenting.segmentation import keep_pieces
from .cases import SliceStack, load

_network: Any = None


@dataclass(frozen=True)
class Collected:
    """What an examination gave, by sequence: slices' features, covariates, and a row of figures of its masks."""

    case: str
    slices: dict[str, SliceInput]
    covariates: dict[str, np.ndarray]
    rows: list[dict[str, Any]]


def collect(bundle: Path, files: Sequence[Path], store: Path) -> list[Collected]:
    """Read every examination (files of cases.store) with the network of a bundle; `store` keeps what was found."""
    store.mkdir(parents=True, exist_ok=True)
    missing = [file for file in files if not (store / f"{file.stem}.json").exists()]
    if missing:
        # A new interpreter each: forking a process in which torch has threads may hang.
        with ProcessPoolExecutor(os.cpu_count(), get_context("spawn"), _open, (bundle,)) as pool:
            list(pool.map(_run, missing, [store] * len(missing), chunksize=4))
    return [_read(store, file.stem) for file in files]


def _open(bundle: Path) -> None:
    """Opens the network once for a process, on one thread."""
    global _network
    from PrognosisLib.bundles.backends import OnnxNetwork

    _network = OnnxNetwork(Bundle.load(bundle, "stiffness", CHANNELS, len(CLASSES)), NAME, threads=1)


def _run(file: Path, store: Path) -> None:
    arrays, rows = {}, []
    for stack in load(file):
        sequence = SEQUENCES[stack.sequence]
        read = read_slices(Volume(stack.values, stack.ijk_to_ras, "MR"), _network, tuple(SEGMENTS))
        inside = {label: keep_pieces(margin, read.slices.grid, label) > 0 for label, margin in read.margins.items()}
        arrays[f"features_{sequence}"] = read.evidence.features
        arrays[f"areas_{sequence}"] = inside[LIVER].sum(axis=(1, 2)) * float(np.prod(read.slices.grid.spacing[:2]))
        arrays[f"covariates_{sequence}"] = covariates_of_masks(inside, read.slices.grid.voxel_volume_ml)
        rows.append(_figures(stack, read, inside))
    partial = store / f"{file.stem}.part.npz"
    np.savez(partial, **arrays)
    os.replace(partial, store / f"{file.stem}.npz")
    write_atomic(store / f"{file.stem}.json", json.dumps(rows))


def covariates_of_masks(inside: dict[int, np.ndarray], voxel_ml: float) -> np.ndarray:
    """Covariates (c,) of the ordinal reading from masks on the slice lattice."""
    sizes = {label: float(np.count_nonzero(mask)) * voxel_ml for label, mask in inside.items()}
    return covariates_of(sizes[SPLEEN] or None, sizes[LIVER], sizes[ASCITES])


def _figures(stack: SliceStack, read: ReadImage, inside: dict[int, np.ndarray]) -> dict[str, Any]:
    """Dice and volumes of the masks against the truth, and whether the sequence was told."""
    ml = read.slices.grid.voxel_volume_ml
    row: dict[str, Any] = {"case": stack.name, "sequence": SEQUENCES[stack.sequence], "simulated": stack.simulated}
    row["sequence_probability"] = round(float(read.sequence[stack.sequence]), 4)
    for label, name in SEGMENTS.items():
        truth = stack.labels == label
        row[f"{name.lower()}_true_ml"] = round(float(np.count_nonzero(truth)) * ml, 2)
        row[f"{name.lower()}_ml"] = round(float(np.count_nonzero(inside[label])) * ml, 2)
        if truth.any():
            row[f"{name.lower()}_dice"] = round(dice(inside[label], truth), 4)
    return row


def _read(store: Path, name: str) -> Collected:
    rows = json.loads((store / f"{name}.json").read_text(encoding="utf-8"))
    with np.load(store / f"{name}.npz") as content:
        found = [key.split("_", 1)[1] for key in content if key.startswith("features_")]
        used = [one for one in found if one in ("T2", "T1") and content[f"areas_{one}"].any()]
        slices = {one: SliceInput(content[f"features_{one}"], content[f"areas_{one}"]) for one in used}
        covariates = {one: content[f"covariates_{one}"] for one in used}
    return Collected(name, slices, covariates, rows)
