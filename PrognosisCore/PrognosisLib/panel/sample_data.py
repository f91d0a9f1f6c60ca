"""The simulated demo patient in the Sample Data module: made on this computer, nothing is downloaded."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _

from ..errors import InputError, WorkerError
from ..logic import SystemLogic


def registerDemo(sampleName: str, thumbnail: str, makeLogic: Callable[[], SystemLogic]) -> None:
    """Adds a sample whose "download" makes the system's demo case; its node is the volume of the first role.

    Args:
        sampleName: what the button says.
        thumbnail: path of a picture, about 260 x 280.
        makeLogic: gives the module's logic; called when the sample is asked for.
    """
    import SampleData

    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="Prognosis",
        sampleName=sampleName,
        thumbnailFileName=thumbnail,
        customDownloader=lambda source: loadDemo(makeLogic()),
    )


def loadDemo(logic: SystemLogic, options: dict[str, Any] | None = None) -> list[Any]:
    """Makes and loads the demo case while the application stays responsive; gives the volume nodes."""
    from ..runs import startDemo

    try:
        run = startDemo(logic, options)
        while (loaded := run.pollProcess(_tell)) is None:
            slicer.app.processEvents()
            time.sleep(0.02)
    except (InputError, WorkerError) as error:
        slicer.util.errorDisplay(str(error))
        return []
    slicer.util.showStatusMessage(_("The simulated patient is loaded."), 3000)
    return list(loaded[0].values())


def _tell(fraction: float, message: str) -> None:
    slicer.util.showStatusMessage(message, 1000)
