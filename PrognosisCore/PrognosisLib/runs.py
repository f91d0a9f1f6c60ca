"""What a panel starts and polls beside a plain run of its logic: all frames of a sequence, a demo case, a report.

Each has `pollProcess(onProgress)`, which never waits and gives the result once, and `cancelProcess()`, as SystemLogic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import slicer

from . import scene
from .errors import InputError
from .findings import Findings
from .logic import Result, SystemLogic, ifInScene
from .pipeline import Case, silent
from .pipeline import Progress as ProgressCallback


class JobRun:
    """One job of worker/jobs.py; its findings are handed to `onDone`, whose result `pollProcess` gives."""

    def __init__(
        self, logic: SystemLogic, path: str, case: Case, onDone: Callable[[Findings], Any] = lambda found: found
    ) -> None:
        self._logic, self._onDone = logic, onDone
        logic.worker.start_run(path, logic.currentBundle, case)

    def pollProcess(self, onProgress: ProgressCallback = silent) -> Any:
        findings = self._logic.worker.take(onProgress)
        return None if findings is None else self._onDone(findings)

    def cancelProcess(self) -> None:
        self._logic.worker.cancel()


def _jobSettings(logic: SystemLogic, **settings: Any) -> dict[str, Any]:
    # The same number of threads as a run, or the worker would start anew.
    return {"threads": logic.checkSettings({}).get("threads"), **settings}


def startDemo(logic: SystemLogic, options: Mapping[str, Any] | None = None) -> JobRun:
    """Makes the system's simulated patient; gives ({role: volume node}, clinical values)."""
    from .worker.jobs import DemoJob

    def load(demo: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        windows = {role.name: role.window for role in system.roles}
        nodes = {name: scene.fromImage(image, windows[name]) for name, image in demo.volumes.items()}
        return nodes, dict(demo.clinical)

    system = logic.system
    settings = _jobSettings(logic, system=system.name, demo=f"{system.module}Lib.demo", options=dict(options or {}))
    return JobRun(logic, DemoJob.path, Case({}, settings=settings), load)


def startReport(logic: SystemLogic, result: Result, folder: Path, clinical: Mapping[str, Any]) -> JobRun:
    """Writes report.html of a result into a folder; gives its path."""
    from .reporting.outputs import films_of, provenance_of
    from .worker.jobs import ReportJob

    bundle = logic.pipeline.bundle
    report = {
        "findings": result.findings,
        "provenance": provenance_of(result, bundle, {}, clinical),
        "clinical": dict(clinical),
        "bundle_card": bundle.card,
        "wanted": logic.system.clinical_fields,
        "window": logic.system.primary_of(result.case.volumes).window,
        "titles": films_of(logic.system, result.case.volumes)["titles"],
    }
    case = Case(dict(result.case.volumes), settings=_jobSettings(logic, folder=str(folder), report=report))
    return JobRun(logic, ReportJob.path, case, lambda found: Path(found.provenance["file"]))


def findBrowser(volumeNode: Any) -> Any:
    """The browser whose frames are volumes to run on one by one, of which this one is shown; None where there is none.

    A film is one image: a system that takes it has all of its frames in each run.
    """
    if volumeNode is None or scene.filmOf(volumeNode) is not None:
        return None
    browser = slicer.modules.sequences.logic().GetFirstBrowserNodeForProxyNode(volumeNode)
    return browser if browser is not None and browser.GetNumberOfItems() > 1 else None


class FrameRun:
    """Runs a system on every frame of a sequence, the selected one last: nodes are written for that one only.

    The selected frame is restored however the run ends. `pollProcess` gives the Result of the selected frame;
    `framesTable` then holds a row for each frame.
    """

    def __init__(
        self,
        logic: SystemLogic,
        volumes: Mapping[str, Any],
        clinical: Mapping[str, Any],
        settings: Mapping[str, Any],
        framesTable: Any = None,
    ) -> None:
        # Nodes, not IDs: the next patient's nodes take the IDs of a scene that was closed.
        self._volumes = {role: node for role, node in volumes.items() if node is not None}
        logic.system.check_roles(self._volumes)
        self._primary = logic.system.primary_of(self._volumes).name
        volumeNode = self._volumes[self._primary]
        browser = findBrowser(volumeNode)
        if browser is None:
            raise InputError(f"'{volumeNode.GetName()}' belongs to no sequence; switch off 'All frames'.")
        self.framesTable = framesTable
        self._logic, self._clinical, self._settings = logic, dict(clinical), dict(settings)
        self._browserNode = browser
        self._selected = max(browser.GetSelectedItemNumber(), 0)  # none is selected before the first is shown
        count = browser.GetNumberOfItems()
        self._order = [*(n for n in range(count) if n != self._selected), self._selected]
        self._found: dict[int, Findings] = {}
        self._next()

    def pollProcess(self, onProgress: ProgressCallback = silent) -> Result | None:
        number, count = self._order[len(self._found)], len(self._order)

        def tell(fraction: float, message: str) -> None:
            onProgress((len(self._found) + fraction) / count, f"Frame {number + 1} of {count}: {message}")

        try:
            if number == self._selected:
                result = self._logic.pollProcess(tell)
                if result is not None:
                    self._found[number] = result.findings
                    self._writeTable()
                return result
            findings = self._logic.worker.take(tell)
            if findings is not None:
                self._found[number] = findings
                self._next()
        except BaseException:
            self._restore()
            raise
        return None

    def cancelProcess(self) -> None:
        self._logic.worker.cancel()

    def _browser(self) -> Any:
        browser = ifInScene(self._browserNode)
        if browser is None:
            raise InputError("The sequence was removed from the scene during the run; its results were dropped.")
        return browser

    def _next(self) -> None:
        """Shows the next frame and starts the run on it."""
        number = self._order[len(self._found)]
        self._browser().SetSelectedItemNumber(number)
        slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(self._browser())
        volumes = {role: ifInScene(node) for role, node in self._volumes.items()}
        try:
            if None in volumes.values():
                raise InputError("a volume was removed from the scene during the run; its results were dropped.")
            if number == self._selected:
                self._logic.startProcess(volumes, self._clinical, self._settings)
            else:
                case = self._logic.makeCase(volumes, self._clinical, self._settings)
                self._logic.worker.start_run(self._logic.system.pipeline_path, self._logic.currentBundle, case)
        except InputError as error:
            self._restore()
            raise InputError(f"Frame {number + 1}: {error}") from error
        except BaseException:
            self._restore()
            raise

    def _restore(self) -> None:
        browser = ifInScene(self._browserNode)
        if browser is not None:
            browser.SetSelectedItemNumber(self._selected)

    def _writeTable(self) -> None:
        from .scene.frames import updateFramesTable

        volumeNode = ifInScene(self._volumes[self._primary])
        self.framesTable = updateFramesTable(
            [self._found[number] for number in sorted(self._found)], self._browser(), volumeNode, self.framesTable
        )
