"""The parameters that every module's parameter node has."""

from __future__ import annotations

import enum

import slicer


class Device(enum.Enum):
    """Where the networks run; the values are those of the pipelines' setting "device"."""

    AUTO = "auto"
    CPU = "cpu"
    GPU = "gpu"

    def label(self) -> str:
        """What the combo box shows."""
        return {"auto": "Automatic", "cpu": "CPU", "gpu": "GPU"}[self.value]


class SystemParameters:
    """Base of the modules' `@parameterNodeWrapper` classes; each adds one volume for every role of its system.

    Args:
        existingSegmentation: measured in place of a run of the networks, where one is chosen.
        segmentation: the segments that the results are of.
        resultsTable: the results, also after the scene was saved and loaded.
        framesTable: one row for each frame, after a run on all frames of a sequence.
        clinical: clinical values as the user gave them, a JSON object as in the command line's file.
        device: where the networks run.
        allFrames: run on every frame of the sequence that the volume belongs to.
        bundle: folder of the user's own model bundle; empty for the one that ships with the module.
    """

    existingSegmentation: slicer.vtkMRMLSegmentationNode
    segmentation: slicer.vtkMRMLSegmentationNode
    resultsTable: slicer.vtkMRMLTableNode
    framesTable: slicer.vtkMRMLTableNode
    clinical: str = "{}"
    device: Device = Device.AUTO
    allFrames: bool = False
    bundle: str = ""
