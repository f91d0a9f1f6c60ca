"""What the panel's tests share: a phantom CT, a quick bundle, and a pipeline that finds the spleen by brightness.

The pipeline stands in for the networks only, so that a run takes a moment or, if told, longer: a volume named
"Slow..." reports progress for half a minute, one named "Deaf..." sleeps without ever looking up.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from PrognosisLib.findings import Findings, Interval, Mask
from PrognosisLib.images.checks import check_ct
from PrognosisLib.pipeline import Case, Progress, silent
from PrognosisLib.systems import SYSTEMS
from SpleenVolumeLib.pipeline import SpleenPipeline, no_spleen_flag

SPLEEN_HU = (100, 140)
SPACING = np.array([3.0, 3.0, 4.0])
SHAPE = (40, 64, 64)
SEMI_MM = np.array([42.0, 36.0, 48.0])


class BrightnessPipeline(SpleenPipeline):
    """Measures as the real one; segments by HU."""

    def segment(self, case: Case, progress: Progress = silent) -> Findings:
        volume = case.volumes["ct"]
        progress(0.0, "Checking the image")
        check_ct(volume)
        if volume.name.startswith("Slow"):
            for step in range(300):
                progress(0.2 + 0.002 * step, "Drawing the spleen's border")
                time.sleep(0.1)
        if volume.name.startswith("Deaf"):
            progress(0.5, "Not listening")
            time.sleep(60)
        inside = (volume.array >= SPLEEN_HU[0]) & (volume.array <= SPLEEN_HU[1])
        provenance = {"bundle": self.bundle.identity, "device": "test", "seconds": {"threshold": 0.01}}
        if not inside.any():
            return Findings(self.system, flags=(no_spleen_flag(),), provenance=provenance)
        size = float(inside.sum()) * volume.grid.voxel_volume_ml
        ends = Interval(0.95 * size, 1.05 * size)
        mask = Mask.from_full("Spleen", inside, volume.grid, volume_ml=ends, confidence=0.97)
        return Findings(self.system, masks=(mask,), provenance=provenance)


def write_test_bundle(folder: Path) -> Path:
    """A bundle without networks, with the risk models of the shipped one, or quick ones where that is not there yet."""
    from PrognosisLib.bundles.bundle import write_bundle
    from SpleenVolumeLib.network import CLASSES
    from SpleenVolumeLib.packing import describe

    files: dict[str, Any] = {
        "docs/README.md": "# Test model\n\nA bundle without networks.\n",
        "docs/data_license.txt": "Simulated.\n",
        "LICENSE": "Apache-2.0\n",
    }
    shipped = SYSTEMS["spleen"].default_bundle() / "models"
    if shipped.is_dir():
        files |= {f"models/{path.name}": path for path in shipped.glob("*.json")}
    else:
        from PrognosisLib.risk import readable_json
        from SpleenVolumeLib.outcomes import fit_outcomes

        models = fit_outcomes(n=400, oracle_n=2000)
        files |= {f"models/{name}.json": readable_json(model) for name, model in models.items()}
    facts = describe({"training": [], "command": "test", "seed": 0, "steps": 0})
    return write_bundle(folder, facts, files, classes=len(CLASSES)).path


def phantom(spleen: bool = True, seed: int = 0) -> np.ndarray:
    """A body of fat and soft tissue in air with an ellipsoid spleen of 304 mL, HU int16 (k, j, i)."""
    rng = np.random.default_rng(seed)
    k, j, i = np.meshgrid(*(np.arange(n, dtype=float) for n in SHAPE), indexing="ij")
    x, y, z = (
        (axis - center) * step for axis, center, step in zip((i, j, k), np.array(SHAPE[::-1]) / 2, SPACING, strict=True)
    )
    hu = np.full(SHAPE, -1000.0)
    body = (x / 90) ** 2 + (y / 80) ** 2 < 1
    hu[body] = -100.0
    hu[(x / 78) ** 2 + (y / 68) ** 2 < 1] = 45.0
    if spleen:
        hu[(x / SEMI_MM[0]) ** 2 + (y / SEMI_MM[1]) ** 2 + (z / SEMI_MM[2]) ** 2 < 1] = 120.0
    return np.rint(hu + rng.normal(0, 3, SHAPE)).astype(np.int16)


def true_ml() -> float:
    return float(4 / 3 * np.pi * SEMI_MM.prod() / 1000)


def add_volume(name: str = "CT", spleen: bool = True) -> Any:
    """The phantom as a volume node, oriented as a patient lying on the back."""
    import slicer
    import vtk

    node = slicer.util.addVolumeFromArray(phantom(spleen), name=name)
    matrix = vtk.vtkMatrix4x4()
    for axis, step in enumerate(SPACING * (-1, -1, 1)):
        matrix.SetElement(axis, axis, step)
    node.SetIJKToRASMatrix(matrix)
    return node


def add_segmentation(volumeNode: Any, name: str = "Drawn", share: float = 1.0) -> Any:
    """A segmentation with a hand-made Spleen: the lower `share` of the phantom's."""
    import slicer

    array = slicer.util.arrayFromVolume(volumeNode)
    mask = ((array >= SPLEEN_HU[0]) & (array <= SPLEEN_HU[1])).astype(np.uint8)
    filled = np.flatnonzero(mask.any(axis=(1, 2)))
    mask[filled[0] + round(share * len(filled)) :] = 0
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volumeNode)
    segmentID = node.GetSegmentation().AddEmptySegment("", "Spleen")
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, segmentID, volumeNode)
    return node


def keep_lower_half(segmentationNode: Any, volumeNode: Any) -> None:
    """What a user's scissors would do."""
    import slicer

    segmentID = segmentationNode.GetSegmentation().GetSegmentIdBySegmentName("Spleen")
    array = slicer.util.arrayFromSegmentBinaryLabelmap(segmentationNode, segmentID, volumeNode).copy()
    array[SHAPE[0] // 2 :] = 0
    slicer.util.updateSegmentBinaryLabelmapFromArray(array, segmentationNode, segmentID, volumeNode)
