"""The only place that knows MRML: nodes to Volumes and Masks, Findings to nodes, nodes to files.

Import it only where Slicer or `PrognosisLib.headless` has started a scene. Everything works on `slicer.mrmlScene`.

Coordinates: a Volume is in world RAS, as the user sees the node. Findings come back to the voxels they were computed
on: the nodes get the volume's own IJK-to-RAS matrix and the same parent transform.
"""

from ..wording import result_text as resultText
from .files import loadSegmentation, saveScene, saveSegmentation, saveTable
from .films import Film, filmOf, shownVolume
from .heat_maps import readHeatMaps
from .masks import readEvidence, toMasks
from .observe import SegmentationObserver, observeSegmentation, removeObserver
from .places import worldGrid
from .results import Nodes, OtherImage, findResults, fromFindings, putBeside, resultsOf
from .segments import findSegmentID
from .sequences import CineNodes, fromCine, fromImage, toCine
from .side_by_side import SideBySide
from .tables import readTable, updateTable
from .views import jumpTo
from .volumes import fromVolume, toVolume

__all__ = [
    "CineNodes",
    "Film",
    "Nodes",
    "OtherImage",
    "SegmentationObserver",
    "SideBySide",
    "filmOf",
    "findResults",
    "findSegmentID",
    "fromCine",
    "fromFindings",
    "fromImage",
    "fromVolume",
    "jumpTo",
    "loadSegmentation",
    "observeSegmentation",
    "putBeside",
    "readEvidence",
    "readHeatMaps",
    "readTable",
    "removeObserver",
    "resultText",
    "resultsOf",
    "saveScene",
    "saveSegmentation",
    "saveTable",
    "shownVolume",
    "toCine",
    "toMasks",
    "toVolume",
    "updateTable",
    "worldGrid",
]
