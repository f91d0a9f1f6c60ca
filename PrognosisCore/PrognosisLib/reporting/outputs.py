"""The files of one run: scene, segmentation, table, provenance and report, all of them or none."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import scene
from ..images.readers import sha256_of
from ..systems import find_system
from . import report
from .output import OutputFolder

if TYPE_CHECKING:
    from ..bundles.bundle import Bundle
    from ..logic import Result

VERSIONS_OF = ("numpy", "SimpleITK", "onnxruntime", "torch", "vtk", "slicer-core")


def provenance_of(result: Result, bundle: Bundle, sources: Mapping[str, Path], clinical: Mapping[str, Any]) -> dict:
    """Everything needed to run the case again: inputs with SHA-256, settings, bundle, versions, device, seconds."""
    versions = {"python": platform.python_version()}
    for name in VERSIONS_OF:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "system": result.findings.system,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "inputs": {role: {"name": Path(path).name, "sha256": sha256_of(Path(path))} for role, path in sources.items()},
        "settings": dict(result.case.settings),
        "clinical": dict(clinical),
        "bundle": bundle.identity,
        "versions": versions,
        "platform": platform.platform(),
        **result.findings.provenance,
    }


def write_outputs(
    result: Result, bundle: Bundle, folder: Path, sources: Mapping[str, Path], clinical: Mapping[str, Any]
) -> list[Path]:
    """Write scene.mrb, segmentation.seg.nrrd (where there is one), results.csv, provenance.json and report.html.

    Raises:
        InputError: the folder cannot be written or the disk is full; nothing is left behind.
    """
    system = find_system(result.findings.system)
    primary = system.primary_of(result.case.volumes)
    provenance = provenance_of(result, bundle, sources, clinical)
    with OutputFolder(folder) as draft:
        if result.nodes.segmentation is not None:
            scene.saveSegmentation(result.nodes.segmentation, draft / "segmentation.seg.nrrd")
        report.write_results_csv(draft / "results.csv", result.findings)
        report.write_provenance(draft / "provenance.json", provenance)
        shown = {"wanted": system.clinical_fields, "window": primary.window}
        volume = result.case.volumes[primary.name]
        report.write_report(draft, result.findings, volume, provenance, clinical, bundle.card, **shown)
        scene.saveScene(draft / "scene.mrb")
        names = sorted(path.name for path in draft.iterdir())
    return [Path(folder) / name for name in names]
