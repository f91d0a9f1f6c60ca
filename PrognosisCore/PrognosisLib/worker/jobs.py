"""Work beside the segmentation that would block the application: making a demo case and writing a report.

Both look like pipelines, so that the worker runs them with progress, cancel and a clear error after a crash.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from ..findings import Findings, Mask
from ..images.cine.cine import Cine
from ..pipeline import Case, Progress, silent
from ..volume import Volume


@dataclass(frozen=True)
class Demo(Findings):
    """A simulated patient: `volumes` (a Cine for a film) by role and `clinical` values by key."""

    volumes: Mapping[str, Volume | Cine] = field(default_factory=dict)
    clinical: Mapping[str, Any] = field(default_factory=dict)


class DemoJob:
    """Makes the demo case of `settings["system"]` with `demo_case` of the module that `settings["demo"]` names."""

    system = "demo"
    path = f"{__name__}:DemoJob"

    def __init__(self, bundle: Path) -> None:
        self._made: Demo | None = None

    def segment(self, case: Case, progress: Progress = silent) -> Findings:
        name = case.settings["system"]
        progress(0.05, "Making the simulated patient")
        volumes, clinical = import_module(case.settings["demo"]).demo_case(**case.settings.get("options", {}))
        self._made = Demo(name, volumes=volumes, clinical=clinical)
        return Findings(name)

    def measure(self, case: Case, masks: Mapping[str, Mask]) -> Findings:
        made, self._made = self._made, None
        return made


class ReportJob:
    """Writes report.html: `settings["folder"]` is where, and `settings["report"]` holds write_report's arguments."""

    system = "report"
    path = f"{__name__}:ReportJob"

    def __init__(self, bundle: Path) -> None:
        pass

    def segment(self, case: Case, progress: Progress = silent) -> Findings:
        from ..reporting.report import write_report

        progress(0.1, "Drawing the report's pictures")
        (_role, volume), *others = case.volumes.items()
        films = {role: one for role, one in others if isinstance(one, Cine)}
        file = write_report(Path(case.settings["folder"]), volume=volume, others=films, **case.settings["report"])
        return Findings(self.system, provenance={"file": str(file)})

    def measure(self, case: Case, masks: Mapping[str, Mask]) -> Findings:
        return Findings(self.system)
