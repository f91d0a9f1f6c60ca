"""One patient from files to files, through the scene and the module's own Logic."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import headless
from .clinical import check_clinical, read_clinical
from .errors import InputError
from .images.cine.reading import read_cine
from .images.readers import read_volume
from .pipeline import Progress, silent
from .systems import Role, System, series_option
from .volume import Volume

if TYPE_CHECKING:
    from .images.cine.cine import Cine
    from .logic import Result, SystemLogic


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
    other_segmentations: Mapping[str, Path] | None = None,
    on_progress: Progress = silent,
) -> list[Path]:
    """Read images {role: file or DICOM folder}, run the system (or measure a segmentation), write the outputs.

    `series` has the SeriesInstanceUID of roles whose folder holds several series; `other_segmentations` has those of
    other images than the first, by role, to be measured with `segmentation_file`.

    Raises:
        InputError: one sentence that says what is wrong and how to mend it; nothing was written.
    """
    if Path(output).is_file():
        raise InputError(f"The output '{output}' is a file; name a folder.")
    system.check_roles(images)
    clinical = read_clinical(clinical_file) if clinical_file else {}
    logic, result = compute_case(
        system,
        images,
        clinical,
        segmentation_file=segmentation_file,
        settings=settings,
        bundle=bundle,
        series=series,
        other_segmentations=other_segmentations,
        on_progress=on_progress,
    )
    on_progress(0.95, "Writing the results")
    sources = sources_of(images, segmentation_file, other_segmentations or {})
    return logic.writeOutputs(result, output, sources, clinical)


def compute_case(
    system: System,
    images: Mapping[str, Path],
    clinical: Mapping[str, Any],
    *,
    segmentation_file: Path | None = None,
    settings: Mapping[str, Any] | None = None,
    bundle: Path | None = None,
    series: Mapping[str, str | None] | None = None,
    other_segmentations: Mapping[str, Path] | None = None,
    on_progress: Progress = silent,
) -> tuple[SystemLogic, Result]:
    """Images to nodes and results, in a scene that outside Slicer holds this patient only; writes nothing.

    Args:
        clinical: clinical values, as in the command line's JSON file.
        other_segmentations: as `run_case` has them.

    Raises:
        InputError: unfit images, values or settings.
        WorkerError: the computation failed.
    """
    others = other_segmentations or {}
    if others and segmentation_file is None:
        raise InputError("The segmentation of another image is measured with that of the first (--segmentation) only.")
    missing = next((role for role in others if role not in images), None)
    if missing is not None:
        raise InputError(f"There is a segmentation for '{missing}', and no such image (--{missing}); give both.")
    logic, nodes = open_case(system, images, clinical, bundle=bundle, series=series, on_progress=on_progress)
    if segmentation_file is None:
        return logic, logic.process(nodes, clinical, settings, onProgress=on_progress)
    from . import scene

    segmentation = scene.loadSegmentation(segmentation_file, nodes[system.primary_of(nodes).name])
    for role, file in others.items():
        node = scene.loadSegmentation(file, nodes[role])
        scene.putBeside(node, role, system.name, nodes[role], segmentation)
    return logic, logic.measure(nodes, segmentation, clinical, settings)


def open_case(
    system: System,
    images: Mapping[str, Path],
    clinical: Mapping[str, Any],
    *,
    bundle: Path | None = None,
    series: Mapping[str, str | None] | None = None,
    on_progress: Progress = silent,
) -> tuple[SystemLogic, dict[str, Any]]:
    """The module's logic, and a node by role for each image, in a scene as `compute_case` has it.

    Raises:
        InputError: unfit images or values.
    """
    system.check_roles(images)
    check_clinical(clinical, system.clinical_fields)
    on_progress(0.0, "Reading the images")
    volumes = read_images(system, images, series)
    headless.start()
    if not headless.isRunningInSlicer():
        import slicer

        slicer.mrmlScene.Clear(0)
    headless.loadModule(system.module)
    logic = getattr(import_module(system.module), f"{system.module}Logic")()
    logic.bundlePath = bundle
    return logic, add_nodes(system, volumes)


def sources_of(
    images: Mapping[str, Path], segmentation_file: Path | None, other_segmentations: Mapping[str, Path] | None = None
) -> dict[str, Path]:
    """The files and folders of a case by what they are, for the provenance."""
    drawn = {"segmentation": segmentation_file} if segmentation_file else {}
    return {**images, **drawn, **{f"{role}_segmentation": file for role, file in (other_segmentations or {}).items()}}


def read_images(
    system: System, images: Mapping[str, Path], series: Mapping[str, str | None] | None = None
) -> dict[str, Volume | Cine]:
    """The images by role, in the order of the system's roles."""
    given = [role for role in system.roles if role.name in images]
    return {role.name: _read(system, role, images[role.name], (series or {}).get(role.name)) for role in given}


def add_nodes(system: System, volumes: Mapping[str, Volume | Cine]) -> dict[str, Any]:
    """A volume node in the scene for each image, by role."""
    from . import scene

    windows = {role.name: role.window for role in system.roles}
    return {name: scene.fromImage(image, windows[name]) for name, image in volumes.items()}


def _read(system: System, role: Role, path: Path, series: str | None) -> Volume | Cine:
    """One image; a system with several says which of them is unfit."""
    try:
        if role.film:
            return read_cine(path)
        return read_volume(path, role.modality, series=series)
    except InputError as error:
        if len(system.roles) == 1:
            raise
        message = str(error).replace("(--series)", f"({series_option(system, role)})")
        raise InputError(f"{role.title}: {message}") from error
