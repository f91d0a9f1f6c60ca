"""The only place that knows MRML: nodes to Volumes and Masks, Findings to nodes, nodes to files.

Import it only where Slicer or `PrognosisLib.headless` has started a scene. Everything works on `slicer.mrmlScene`.

Coordinates: a Volume is in world RAS, as the user sees the node. Findings come back to the voxels they were computed
on: the nodes get the volume's own IJK-to-RAS matrix and the same parent transform.
"""

from ..wording import result_text as resultText
from .files import loadSegmentation, saveScene, saveSegmentation, saveTable
from .observe import SegmentationObserver, observeSegmentation, removeObserver
from .places import worldGrid
from .results import Nodes, findResults, fromFindings, readHeatMaps, resultsOf
from .segments import findSegmentID, toMasks
from .sequences import CineNodes, fromCine, toCine
from .tables import readTable, updateTable
from .views import jumpTo
from .volumes import fromVolume, toVolume

__all__ = [
    "CineNodes",
    "Nodes",
    "SegmentationObserver",
    "findResults",
    "findSegmentID",
    "fromCine",
    "fromFindings",
    "fromVolume",
    "jumpTo",
    "loadSegmentation",
    "observeSegmentation",
    "readHeatMaps",
    "readTable",
    "removeObserver",
    "resultText",
    "resultsOf",
    "saveScene",
    "saveSegmentation",
    "saveTable",
    "toCine",
    "toMasks",
    "toVolume",
    "updateTable",
    "worldGrid",
]
