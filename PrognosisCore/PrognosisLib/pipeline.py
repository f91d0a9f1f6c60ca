"""The contract between a system and the house: pure functions from Volumes and Cines to Findings.

A pipeline holds no MRML, no Qt and no open file; it can be pickled and runs in any process. `segment` may need the
networks of its bundle and runs in the worker; `measure` needs masks only, takes well under a second, and runs again
whenever a mask is edited.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

from .findings import Findings, Mask
from .images.cine.cine import Cine
from .volume import Volume

# fraction done 0..1 and what is being done; raises Cancelled when the user has asked to stop
Progress = Callable[[float, str], None]


def silent(fraction: float, message: str) -> None:
    """A progress callback for scripts that do not watch."""


@dataclass(frozen=True)
class Case:
    """All input of one run.

    Args:
        volumes: by role ("ct", "followup", "t1", "t2", ...); a Cine for a role that is a film.
        clinical: checked clinical values by key (see clinical.py); empty when none are known.
        settings: the system's settings by name, complete with defaults.
    """

    volumes: Mapping[str, Volume | Cine]
    clinical: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


@runtime_checkable
class Pipeline(Protocol):
    """One system. Constructed with the path of its bundle; loads the networks at first use and keeps them warm."""

    system: str

    def segment(self, case: Case, progress: Progress = silent) -> Findings:
        """Masks with their uncertainty, flags about the input, seconds per stage in the provenance.

        Raises:
            InputError: the images are unfit for this system.
            Cancelled: raised by `progress`.
        """
        ...

    def measure(self, case: Case, masks: Mapping[str, Mask]) -> Findings:
        """Measurements, flags, curves and summary of the masks given, whoever drew them; no network is run."""
        ...


def run(pipeline: Pipeline, case: Case, progress: Progress = silent) -> Findings:
    """Segment and measure: the whole way from images to findings."""
    found = pipeline.segment(case, progress)
    start = time.perf_counter()
    measured = pipeline.measure(case, {mask.name: mask for mask in found.masks})
    seconds = {**found.provenance.get("seconds", {}), "measure": round(time.perf_counter() - start, 3)}
    return replace(
        measured,
        masks=found.masks,
        heat_maps=(*found.heat_maps, *measured.heat_maps),
        flags=(*(replace(flag, lasting=True) for flag in found.flags), *measured.flags),
        provenance={**found.provenance, **measured.provenance, "seconds": seconds},
    )


class Stopwatch:
    """Seconds per stage, for the provenance: `with watch("coarse"): ...`."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[stage] = round(self.seconds.get(stage, 0.0) + time.perf_counter() - start, 3)
