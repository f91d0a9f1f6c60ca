"""The logic that all systems share: nodes in, findings and nodes out, through the worker; no dialog, no widget.

Used by the panel (start, poll, cancel), by scripts (process), by the command line and after every edit (measure).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import slicer
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic
from slicer.util import VTKObservationMixin

from . import scene
from .clinical import check_clinical
from .errors import InputError
from .findings import Findings, Mask
from .images.cine.cine import Cine
from .pipeline import Case, Pipeline, silent
from .pipeline import Progress as ProgressCallback
from .scene.places import volumeOf
from .scene.tables import isResultsTable, lackOf, noteLack
from .systems import Role, System
from .volume import Volume

if TYPE_CHECKING:
    from .batch.runner import BatchRun, BatchSummary
    from .worker import Worker

# Key of the flag that stands in place of results which could not be brought up to date.
NOT_MEASURED = "not_measured"


@dataclass
class Result:
    """What one run gave: the findings and the nodes that show them."""

    findings: Findings
    nodes: scene.Nodes
    case: Case


@dataclass
class _Pending:
    """A run in the worker. The user may delete a node meanwhile; its ID may then be given to another one."""

    nodes: dict[str, Any]
    case: Case
    segmentationNode: Any = None
    tableNode: Any = None


class SystemLogic(ScriptedLoadableModuleLogic, VTKObservationMixin):
    """Base of every module's logic. A subclass sets `system`.

    Volumes are given as one node for the system's first role or as a mapping of role names to nodes. Segmentation and
    results belong to the first one given (System.primary_of); segments of another one (Mask.role) have a segmentation
    of their own there. A role that is a film takes the sequence, its browser or
    the volume that shows it.
    """

    system: System

    def __init__(self) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        VTKObservationMixin.__init__(self)
        self.bundlePath: Path | None = None
        # A batch has a worker of its own, so that the user can go on with the application's.
        self.ownWorker: Worker | None = None
        self._pending: _Pending | None = None
        self._pipelines: dict[Path, Pipeline] = {}

    # Running

    def process(
        self,
        volumes: Any,
        clinical: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
        segmentationNode: Any = None,
        tableNode: Any = None,
        onProgress: ProgressCallback = silent,
    ) -> Result:
        """Run the system and wait for it: for the Python console, batch and tests. Opens no dialog.

        Args:
            volumes: a volume node, or that of a film, or {role: node}.
            clinical: clinical values, as in the panel or in the command line's JSON file.
            settings: the system's settings by name; what is missing takes its default.
            segmentationNode: receives the segments; a new one is made where None.
            tableNode: receives the results; a new one is made where None.
            onProgress: called with (fraction, message).

        Raises:
            InputError: unfit images or values; one sentence says what to do.
            WorkerError: the worker failed; the scene is as it was.
        """
        self.startProcess(volumes, clinical, settings, segmentationNode, tableNode)
        try:
            findings = self.worker.wait(onProgress)
        except BaseException:
            self._pending = None
            raise
        return self._finish(findings)

    def startProcess(
        self,
        volumes: Any,
        clinical: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
        segmentationNode: Any = None,
        tableNode: Any = None,
    ) -> None:
        """Start a run and return at once; call `pollProcess` from a timer until it returns a Result."""
        if self.isBusy:
            raise InputError("A run is under way; wait for it or cancel it first.")
        nodes = self._nodesByRole(volumes)
        case = self.makeCase(nodes, clinical, settings)
        self.worker.start_run(self.system.pipeline_path, self.currentBundle, case)
        self._pending = _Pending(nodes, case, segmentationNode, tableNode)

    def pollProcess(self, onProgress: ProgressCallback = silent) -> Result | None:
        """The result once it is there, else None; never waits. Raises what the run raised."""
        if self._pending is None:
            return None
        try:
            findings = self.worker.take(onProgress)
        except BaseException:
            if not self.worker.is_busy:
                self._pending = None
            raise
        return None if findings is None else self._finish(findings)

    def cancelProcess(self) -> None:
        """Ask the run to stop; `pollProcess` raises Cancelled within a second. Does nothing when none is under way."""
        if self._pending is not None:
            self.worker.cancel()

    @property
    def isBusy(self) -> bool:
        return self._pending is not None

    @property
    def worker(self) -> Worker:
        from .worker import shared_worker

        return shared_worker() if self.ownWorker is None else self.ownWorker

    # Many cases

    def startBatch(
        self,
        cohort: Path,
        output: Path,
        settings: Mapping[str, Any] | None = None,
        *,
        jobs: int = 1,
        dask: str | None = None,
        full: bool = False,
        retry: bool = False,
        onNotice: Callable[[str], None] = lambda text: None,
    ) -> BatchRun:
        """Start a batch and return at once; call its `pollProcess` from a timer until it gives a BatchSummary.

        Args:
            cohort: a CSV, a folder of images, or a tree of DICOM studies (docs/batch.md).
            output: folder of the batch; one that was interrupted goes on.
            settings: the system's settings by name.
            jobs: processes. In Slicer it is one: the cases pass through the scene, beside what the user has there.
            dask: address of a Dask scheduler, on whose workers the cases run instead.
            full: scene and report of each case, too; in Slicer the report only.
            retry: run cases again that have failed.
            onNotice: called with sentences about the cohort.

        Raises:
            InputError: settings, bundle or folder are unfit, or a batch is under way in the folder.
        """
        from .batch import start_batch

        where = {"jobs": jobs, "dask": dask}
        how = {"full": full, "retry": retry, "on_notice": onNotice}
        return start_batch(self.system, cohort, output, settings, self.bundlePath, **where, **how)

    def processBatch(
        self, cohort: Path, output: Path, *args: Any, onProgress: ProgressCallback = silent, **kwargs: Any
    ) -> BatchSummary:
        """Run a batch and wait for it; arguments and errors as `startBatch` has them. Opens no dialog."""
        from .batch import wait

        return wait(self.startBatch(cohort, output, *args, **kwargs), onProgress)

    # Measuring what is in the scene

    def measure(
        self,
        volumes: Any,
        segmentationNode: Any,
        clinical: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
        tableNode: Any = None,
        *,
        again: bool = False,
    ) -> Result:
        """Measure the segments as they are now, whoever drew them; no network is run.

        Args:
            again: `tableNode` has earlier results, which are brought up to date. Where these were made without the
                system's first segment, it may still be missing, and so may the whole segmentation.

        Raises:
            InputError: the segmentation has no filled segment named as the system's first one.
        """
        nodes = self._nodesByRole(volumes)
        case = self.makeCase(nodes, clinical, settings)
        return self._measureCase(case, nodes, segmentationNode, tableNode, again)

    def _measureCase(
        self, case: Case, nodesByRole: Mapping[str, Any], segmentationNode: Any, tableNode: Any, again: bool
    ) -> Result:
        name = self.system.segments[0]
        mayLack = again and lackOf(tableNode) == name
        volumeNode, grid = self._primary(nodesByRole), self._primary(case.volumes).grid
        others = self._others(nodesByRole, case)
        masks: dict[str, Mask] = {}
        if segmentationNode is not None or not mayLack:
            masks = scene.toMasks(segmentationNode, volumeNode, self.system.segments, grid)
            beside = scene.resultsOf(self.system.name, volumeNode, segmentationNode).others
            masks = {**self._masksBeside(beside, others), **masks}
        isLacking = name not in masks or masks[name].is_empty
        if isLacking and not mayLack:
            raise InputError(
                f"The segmentation '{segmentationNode.GetName()}' has no filled segment named '{name}'; "
                "draw or rename it in Segment Editor."
            )
        if isLacking:
            masks.pop(name, None)
        measured = self.pipeline.measure(case, masks)
        earlier = tableNode or scene.resultsOf(self.system.name, volumeNode, segmentationNode).table
        if earlier is not None and isResultsTable(earlier):
            measured = _withLastingFlags(scene.readTable(earlier), measured, masks)
        nodes = scene.fromFindings(measured, volumeNode, segmentationNode, tableNode, grid, others)
        noteLack(nodes.table, name if isLacking else None)
        ofRun = scene.resultsOf(self.system.name, volumeNode, nodes.segmentation).heatMaps
        heatMaps = scene.readHeatMaps(ofRun, volumeNode, grid)
        for role, other in others.items():
            heatMaps += scene.readHeatMaps(ofRun, *other, role)
        return Result(replace(measured, masks=tuple(masks.values()), heat_maps=heatMaps), nodes, case)

    def _masksBeside(self, segmentations: Mapping[str, Any], others: Mapping[str, scene.OtherImage]) -> dict[str, Mask]:
        """The segments of other images, where these are still the ones that were measured."""
        masks = {}
        for role, node in segmentations.items():
            if role in others and volumeOf(node) is scene.shownVolume(others[role].node):
                found = scene.toMasks(node, others[role].node, self.system.segments, others[role].grid)
                masks |= {name: replace(mask, role=role) for name, mask in found.items()}
        return masks

    def makeCase(
        self, nodes: Mapping[str, Any], clinical: Mapping[str, Any] | None, settings: Mapping[str, Any] | None
    ) -> Case:
        """Check roles, clinical values and settings, and read the volumes, which the case has in the roles' order."""
        self.system.check_roles(nodes)
        values = check_clinical(clinical or {}, self.system.clinical_fields)
        given = [role for role in self.system.roles if role.name in nodes]
        volumes = {role.name: _read(nodes[role.name], role) for role in given}
        return Case(volumes, values, self.checkSettings(settings or {}))

    def checkSettings(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The settings given over the system's defaults; an unknown name is refused."""
        return self.system.complete_settings(settings)

    @property
    def currentBundle(self) -> Path:
        return Path(self.bundlePath or self.system.default_bundle())

    @property
    def pipeline(self) -> Pipeline:
        """The pipeline in this process, for measuring; its networks are never loaded here."""
        path = self.currentBundle
        if path not in self._pipelines:
            self._pipelines = {path: self.system.make_pipeline(path)}
        return self._pipelines[path]

    # Files

    def writeOutputs(
        self,
        result: Result,
        folder: Path,
        sources: Mapping[str, Path] | None = None,
        clinical: Mapping[str, Any] | None = None,
        files: Collection[str] | None = None,
    ) -> list[Path]:
        """Write scene, segmentation, table, provenance and report of a result; all of them or none.

        Args:
            sources: files or folders that the volumes came from, for their SHA-256 in the provenance.
            clinical: the clinical values as the user gave them.
            files: names of those that are wanted (see reporting/outputs.py); None for all but "picture.png".
        """
        from .reporting import outputs

        wanted = outputs.ALL_FILES if files is None else files
        return outputs.write_outputs(result, self.pipeline.bundle, Path(folder), sources or {}, clinical or {}, wanted)

    # Helpers

    def _nodesByRole(self, volumes: Any) -> dict[str, Any]:
        nodes = dict(volumes) if isinstance(volumes, Mapping) else {self.system.roles[0].name: volumes}
        nodes = {role: node for role, node in nodes.items() if node is not None}
        unknown = set(nodes) - {role.name for role in self.system.roles}
        if unknown:
            raise InputError(f"There is no input named '{unknown.pop()}' in {self.system.module}.")
        return nodes

    def _primary(self, images: Mapping[str, Any]) -> Any:
        """Of images by role, the one that carries segmentation and results."""
        return images[self.system.primary_of(images).name]

    def _others(self, nodes: Mapping[str, Any], case: Case) -> dict[str, scene.OtherImage]:
        """The images beside the one that carries the results, by role."""
        primary = self.system.primary_of(nodes).name
        return {
            role: scene.OtherImage(node, case.volumes[role].grid) for role, node in nodes.items() if role != primary
        }

    def _finish(self, findings: Findings) -> Result:
        pending, self._pending = self._pending, None
        needed = {self.system.primary_of(pending.nodes).name, *findings.other_roles}
        if any(ifInScene(pending.nodes[role]) is None for role in needed):
            raise InputError("The volume was removed from the scene during the run; its results were dropped.")
        nodes = scene.fromFindings(
            findings,
            self._primary(pending.nodes),
            ifInScene(pending.segmentationNode),
            ifInScene(pending.tableNode),
            self._primary(pending.case.volumes).grid,
            self._others(pending.nodes, pending.case),
        )
        mask = findings.mask(self.system.segments[0])
        noteLack(nodes.table, self.system.segments[0] if mask is None or mask.is_empty else None)
        return Result(findings, nodes, pending.case)


def _read(node: Any, role: Role) -> Volume | Cine:
    return scene.toCine(node) if role.film else scene.toVolume(node, role.modality)


def _withLastingFlags(earlier: Findings, measured: Findings, masks: Mapping[str, Mask]) -> Findings:
    """The run's flags about the images, and about segments that it did not find and that are still missing."""
    known = {flag.key for flag in measured.flags}
    filled = {name for name, mask in masks.items() if not mask.is_empty}
    kept = tuple(f for f in earlier.flags if f.lasting and f.segment not in filled and f.key not in known)
    return replace(measured, flags=kept + measured.flags)


def ifInScene(node: Any) -> Any:
    """The node, or None where the user has removed it or closed the scene."""
    return node if node is not None and slicer.mrmlScene.IsNodePresent(node) else None
