"""The files of one run: scene, segmentation, table, provenance and report, all of them or none."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Collection, Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import scene
from ..images.readers import sha256_of
from ..systems import System, find_system
from . import report
from .output import OutputFolder, write_atomic

if TYPE_CHECKING:
    from ..bundles.bundle import Bundle
    from ..images.cine.cine import Cine
    from ..logic import Result
    from ..volume import Volume

SEGMENTATION, TABLE, PROVENANCE = "segmentation.seg.nrrd", "results.csv", "provenance.json"
REPORT, SCENE, PICTURE = "report.html", "scene.mrb", "picture.png"
ALL_FILES = (SEGMENTATION, TABLE, PROVENANCE, REPORT, SCENE)
PICTURE_DPI = 100  # small files: a batch has thousands of them
VERSIONS_OF = ("numpy", "SimpleITK", "onnxruntime", "opencv-python-headless", "torch", "vtk", "slicer-core")


def segmentation_of(role: str) -> str:
    """Name of the file with the segments of another image than the first."""
    return SEGMENTATION.replace("segmentation", f"segmentation-{role}")


def films_of(system: System, volumes: Mapping[str, Volume | Cine]) -> dict[str, Any]:
    """What the report takes of several films: their titles by role (that of the first is ""), and all but the first."""
    first = system.primary_of(volumes).name
    films = {role.name: role.title for role in system.roles if role.film and role.name in volumes}
    titles = {"" if name == first else name: title for name, title in films.items()}
    return {"titles": titles, "others": {name: volumes[name] for name in films if name != first}}


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
    result: Result,
    bundle: Bundle,
    folder: Path,
    sources: Mapping[str, Path],
    clinical: Mapping[str, Any],
    files: Collection[str] = ALL_FILES,
) -> list[Path]:
    """Write the files that are asked for: the segmentation where there is one, table, provenance, report, scene.

    Segments of another image than the first are in a file of their own.

    The report of a cine has a film beside it; see cine_file.py.

    Args:
        files: names of them; also "picture.png", the report's first picture, where there may be one.

    Raises:
        InputError: the folder cannot be written or the disk is full; nothing is left behind.
    """
    system = find_system(result.findings.system)
    primary = system.primary_of(result.case.volumes)
    volume, window = result.case.volumes[primary.name], primary.window
    provenance = provenance_of(result, bundle, sources, clinical)
    with OutputFolder(folder) as draft:
        if SEGMENTATION in files and result.nodes.segmentation is not None:
            scene.saveSegmentation(result.nodes.segmentation, draft / SEGMENTATION)
            for role, node in result.nodes.others.items():
                scene.saveSegmentation(node, draft / segmentation_of(role))
        if TABLE in files:
            report.write_results_csv(draft / TABLE, result.findings)
        if PROVENANCE in files:
            report.write_provenance(draft / PROVENANCE, provenance)
        if REPORT in files:
            shown = {"wanted": system.clinical_fields, "window": window, **films_of(system, result.case.volumes)}
            report.write_report(draft, result.findings, volume, provenance, clinical, bundle.card, **shown)
        picture = report.first_picture(result.findings, volume, window, PICTURE_DPI) if PICTURE in files else None
        if picture is not None:
            write_atomic(draft / PICTURE, picture.png)
        if SCENE in files:
            scene.saveScene(draft / SCENE)
        names = sorted(path.name for path in draft.iterdir())
    return [Path(folder) / name for name in names]
