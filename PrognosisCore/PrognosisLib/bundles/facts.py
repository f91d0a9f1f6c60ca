"""What every bundle's metadata says about its training."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata as packages
from pathlib import Path
from typing import Any


def training_facts(
    record: Mapping[str, Any], simulated: bool | Mapping[str, bool], versions_of: Sequence[str]
) -> dict[str, Any]:
    """The metadata's "training": the record of the run, whether the cohort was simulated, and versions.

    Args:
        record: command, seed, steps, cases; see the systems' workbench.py.
        simulated: for the whole, or by part ("segmentation", "risk").
        versions_of: distribution names of the libraries that made a difference.
    """
    versions = {name: packages.version(name) for name in versions_of}
    cohort = {"simulated": dict(simulated) if isinstance(simulated, Mapping) else simulated}
    return {**record, "cohort": cohort, "versions": {"python": platform.python_version(), **versions}}


def file_id(file: Path) -> str:
    """The beginning of a file's SHA-256, to name what was made from it."""
    return hashlib.sha256(file.read_bytes()).hexdigest()[:12]
