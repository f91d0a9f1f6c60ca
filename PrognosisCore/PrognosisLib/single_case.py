"""One patient from files to files, through the scene and the module's own Logic."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from . import headless
from .clinical import check_clinical, read_clinical
from .errors import InputError
from .images.readers import read_volume
from .pipeline import Progress, silent
from .systems import Role, System, series_option
from .volume import Volume


def run_case(
    system: System,
    images: Mapping[str, Path],
    output: Path,
    *,
    clinical_file: Path | None = None,
    segmentation_file: Path | None = None,
    settings: Mapping[str, Any] | None = None,
    bundle: Path | None = None,
    series: Mapping[str, str | None] | None = None,
    on_progress: Progress = silent,
) -> list[Path]:
    """Read images {role: file or DICOM folder}, run the system (or measure a segmentation), write the outputs.

    `series` has the SeriesInstanceUID of roles whose folder holds several series.

    Raises:
        InputError: one sentence that says what is wrong and how to mend it; nothing was written.
    """
    if Path(output).is_file():
        raise InputError(f"The output '{output}' is a file; name a folder.")
    system.check_roles(images)
    clinical = read_clinical(clinical_file) if clinical_file else {}
    check_clinical(clinical, system.clinical_fields)
    on_progress(0.0, "Reading the images")
    volumes = {
        role.name: _read(system, role, images[role.name], (series or {}).get(role.name))
        for role in system.roles
        if role.name in images
    }
    headless.start()
    import slicer

    from . import scene

    if not headless.isRunningInSlicer():
        slicer.mrmlScene.Clear(0)  # the saved scene holds this patient only

    headless.loadModule(system.module)
    logic = getattr(import_module(system.module), f"{system.module}Logic")()
    logic.bundlePath = bundle
    windows = {role.name: role.window for role in system.roles}
    nodes = {name: scene.fromVolume(volume, window=windows[name]) for name, volume in volumes.items()}
    if segmentation_file is None:
        result = logic.process(nodes, clinical, settings, onProgress=on_progress)
    else:
        segmentation = scene.loadSegmentation(segmentation_file)
        result = logic.measure(nodes, segmentation, clinical, settings)
    on_progress(0.95, "Writing the results")
    sources = dict(images) | ({"segmentation": segmentation_file} if segmentation_file else {})
    return logic.writeOutputs(result, output, sources, clinical)


def _read(system: System, role: Role, path: Path, series: str | None) -> Volume:
    """One image; a system with several says which of them is unfit."""
    try:
        return read_volume(path, role.modality, series=series)
    except InputError as error:
        if len(system.roles) == 1:
            raise
        message = str(error).replace("(--series)", f"({series_option(system, role)})")
        raise InputError(f"{role.title}: {message}") from error
