# ruff: noqa: E402
"""What the tests of PrognosisLib.scene share: random geometry, analytic ellipsoids, and findings to write."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from PrognosisLib import headless

headless.start()

import slicer
import vtk

from PrognosisLib import scene
from PrognosisLib.findings import Curve, Findings, Flag, HeatMap, Interval, Mask, Measurement
from PrognosisLib.scene import known, segments
from PrognosisLib.volume import Grid, Volume

GRID = Grid((14, 15, 16), np.diag([-0.9, -0.8, 2.5, 1.0]))


def clear_scene() -> None:
    slicer.mrmlScene.Clear(0)
    headless.vtkErrorRecorder().clear()


def rotation(angles) -> np.ndarray:
    """3x3 rotation by angles about R, A and S, in degrees."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.radians(angles)):
        a, b = [(1, 2), (0, 2), (0, 1)][axis]
        turn = np.eye(3)
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix


@st.composite
def ijk_to_ras_matrices(draw) -> np.ndarray:
    """Oblique, with axes in any order and direction, anisotropic, and sheared as by a tilted gantry."""
    order = draw(st.permutations(range(3)))
    signs = draw(st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3))
    spacing = draw(st.tuples(st.floats(0.6, 1.2), st.floats(0.6, 1.2), st.floats(0.6, 3.0)))
    matrix = np.eye(4)
    axes = rotation(draw(st.tuples(*[st.floats(-45, 45)] * 3)))[:, order] * signs
    tilt = np.tan(np.radians(draw(st.sampled_from([0.0, 0.0, 12.0, -25.0]))))
    axes[:, 2] += tilt * axes[:, 1]
    matrix[:3, :3] = axes * spacing
    matrix[:3, 3] = draw(st.tuples(*[st.floats(-200, 200)] * 3))
    return matrix


@st.composite
def linear_transforms(draw) -> np.ndarray:
    """An affine parent transform, with some scale and shear."""
    matrix = np.eye(4)
    shear = np.eye(3)
    shear[0, 1] = draw(st.floats(-0.2, 0.2))
    scale = draw(st.tuples(*[st.floats(0.85, 1.2)] * 3))
    matrix[:3, :3] = rotation(draw(st.tuples(*[st.floats(-90, 90)] * 3))) @ shear * scale
    matrix[:3, 3] = draw(st.tuples(*[st.floats(-100, 100)] * 3))
    return matrix


@dataclass(frozen=True)
class Ellipsoid:
    """In world RAS: center, and the symmetric matrix whose quadratic form is at most 1 inside."""

    center: np.ndarray
    form: np.ndarray

    @classmethod
    def make(cls, center, radii, angles) -> Ellipsoid:
        axes = rotation(angles)
        return cls(np.asarray(center, dtype=float), axes @ np.diag(1.0 / np.square(radii)) @ axes.T)

    @property
    def volume_ml(self) -> float:
        return 4.0 / 3.0 * np.pi / np.sqrt(np.linalg.det(self.form)) / 1000.0

    @property
    def bounds(self) -> np.ndarray:
        """(3, 2): lowest and highest R, A and S."""
        half = np.sqrt(np.diag(np.linalg.inv(self.form)))
        return np.stack([self.center - half, self.center + half], axis=1)

    def contains(self, points: np.ndarray) -> np.ndarray:
        away = points - self.center
        return np.einsum("...a,ab,...b->...", away, self.form, away) <= 1.0

    def draw(self, grid: Grid) -> np.ndarray:
        """The voxels whose centers are inside, bool (k, j, i)."""
        return self.contains(grid.to_ras(np.argwhere(np.ones(grid.shape, dtype=bool)))).reshape(grid.shape)


def grid_around(ellipsoid: Ellipsoid, ijk_to_ras: np.ndarray, margin: int = 3) -> Grid:
    """The lattice with these axes that holds the ellipsoid with a margin, its origin moved accordingly."""
    inverse = np.linalg.inv(ijk_to_ras[:3, :3])
    half = np.sqrt(np.diag(inverse @ np.linalg.inv(ellipsoid.form) @ inverse.T))
    count = 2 * (np.ceil(half).astype(int) + margin) + 1
    matrix = ijk_to_ras.copy()
    # Off the voxel centers, as anatomy is.
    matrix[:3, 3] = ellipsoid.center - matrix[:3, :3] @ ((count - 1) / 2.0 + (0.2, -0.3, 0.1))
    return Grid(tuple(int(n) for n in count[::-1]), matrix)


def add_volume(grid: Grid, parent_to_world: np.ndarray | None = None, name: str = "CT"):
    """A volume node that lies on this world lattice, under a linear transform if one is given."""
    to_local = np.eye(4) if parent_to_world is None else np.linalg.inv(parent_to_world)
    node = scene.fromVolume(Volume(np.zeros(grid.shape, dtype=np.int16), to_local @ grid.ijk_to_ras, name=name))
    if parent_to_world is not None:
        node.SetAndObserveTransformNodeID(add_transform(parent_to_world).GetID())
    return node


def add_transform(matrix: np.ndarray):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Registration")
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    return node


def add_warp(center, shift):
    """A smooth non-linear transform that moves the center and leaves points 80 mm away nearly where they are."""
    warp = vtk.vtkThinPlateSplineTransform()
    source, target = vtk.vtkPoints(), vtk.vtkPoints()
    for offset in [np.zeros(3), *(80.0 * np.eye(3)), *(-80.0 * np.eye(3))]:
        source.InsertNextPoint(*(center + offset))
        target.InsertNextPoint(*(center + offset + (0 if offset.any() else np.asarray(shift))))
    warp.SetSourceLandmarks(source)
    warp.SetTargetLandmarks(target)
    warp.SetBasisToR()
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode", "Warp")
    node.SetAndObserveTransformToParent(warp)
    return node


def half_voxel(grid: Grid) -> np.ndarray:
    """Half the size of a voxel along R, A and S."""
    return 0.5 * np.abs(grid.ijk_to_ras[:3, :3]).sum(axis=1)


def surface_in_world(segmentation_node, segment_id: str) -> vtk.vtkPolyData:
    """The segment's unsmoothed surface in world RAS, made by Slicer's own conversion."""
    segmentation_node.GetSegmentation().SetConversionParameter("Smoothing factor", "0.0")
    segmentation_node.CreateClosedSurfaceRepresentation()
    surface = vtk.vtkPolyData()
    assert segmentation_node.GetClosedSurfaceRepresentation(segment_id, surface)
    slicer.vtkSlicerSegmentationsModuleLogic.ApplyParentTransformToPolyData(segmentation_node, surface)
    return surface


def labelmap_in_world(segmentation_node, segment_id: str) -> tuple[np.ndarray, np.ndarray]:
    """Voxel centers (n, 3) in world RAS of a segment as Slicer exports it, and the voxel-to-world matrix."""
    image = slicer.vtkOrientedImageData()
    assert segmentation_node.GetBinaryLabelmapRepresentation(segment_id, image)
    label = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
    assert slicer.vtkSlicerSegmentationsModuleLogic.CreateLabelmapVolumeFromOrientedImageData(image, label)
    label.SetAndObserveTransformNodeID(segmentation_node.GetTransformNodeID())
    grid = scene.worldGrid(label)
    points = grid.to_ras(np.argwhere(slicer.util.arrayFromVolume(label) > 0))
    slicer.mrmlScene.RemoveNode(label)
    return points, grid.ijk_to_ras


def small_findings(grid: Grid, shift: int = 0, volume: float = 312.456789012345) -> Findings:
    """Two masks, three rows, a flag, three curves on two charts and a heat map, on at least 12 voxels each way."""
    spleen, liver = np.zeros((2, *grid.shape), dtype=bool)
    spleen[3:9, 2 + shift : 8 + shift, 4:10] = True
    liver[2:7, 1:5, 1:4] = True
    time = np.array([0.0, 1.0, 2.0, 5.0])
    return Findings(
        system="spleen",
        masks=(
            Mask.from_full(
                "Spleen",
                spleen,
                grid,
                volume_ml=Interval(300.125, 1 / 3 + 320),
                confidence=0.912345678,
                evidence='{"slices": [0.25]}',
            ),
            Mask.from_full("Liver", liver, grid, visible=False, confidence=0.75),
        ),
        measurements=(
            Measurement(
                "spleen_volume",
                "Spleen volume",
                volume,
                "mL",
                Interval(298.1, 326.2),
                "Voxel count",
                group="Size",
                place=(-3.5, np.float64(1 / 3), 12),
            ),
            Measurement("risk_group", "Risk group", "high", method="Cut-off", simulated=True),
            Measurement("albi", "ALBI", None, note='bilirubin is missing: "total"'),
        ),
        flags=(Flag("edge", "warning", 'Touches the edge; "cut": 3 µm', "Spleen"),),
        curves=(
            Curve("Survival", "High", time, 1 - time / 10, "Years", "Survival", step=True, simulated=True),
            Curve(
                "Survival",
                "This patient",
                time[:3],
                1 - time[:3] / 12,
                "Years",
                "Survival",
                lower=0.9 - time[:3] / 12,
                upper=1 - time[:3] / 14,
                emphasized=True,
                simulated=True,
            ),
            Curve("Growth", "Published", time, time**2, "Hours", "mL"),
        ),
        heat_maps=(HeatMap("Evidence", np.linspace(0, 1, np.prod(grid.shape)).reshape(grid.shape), grid),),
        summary="Spleen 312 mL.",
        provenance={"seconds": {"coarse": np.float64(0.25)}, "bundle": "1.0"},
    )


def edit(segmentation_node, name: str, volume_node) -> None:
    """Takes one voxel away, as Segment Editor would."""
    segment_id = scene.findSegmentID(segmentation_node, name)
    array = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation_node, segment_id, volume_node)
    array[tuple(np.argwhere(array)[0])] = 0
    slicer.util.updateSegmentBinaryLabelmapFromArray(array, segmentation_node, segment_id, volume_node)


def digest() -> dict:
    """Everything of the scene that a user could miss, by node ID."""
    state = {}
    for index in range(slicer.mrmlScene.GetNumberOfNodes()):
        node = slicer.mrmlScene.GetNthNode(index)
        roles: list[str] = []
        node.GetNodeReferenceRoles(roles)
        parts = [node.GetName(), {name: node.GetAttribute(name) for name in node.GetAttributeNames()}]
        parts.append({role: node.GetNodeReferenceID(role) for role in roles if node.GetNodeReferenceID(role)})
        if node.IsA("vtkMRMLTableNode"):
            table = node.GetTable()
            columns = [table.GetColumn(index) for index in range(table.GetNumberOfColumns())]
            rows = range(table.GetNumberOfRows())
            parts += [[one.GetName(), *(one.GetVariantValue(row).ToString() for row in rows)] for one in columns]
        elif node.IsA("vtkMRMLSegmentationNode"):
            segmentation = node.GetSegmentation()
            for key in segmentation.GetSegmentIDs():
                segment = segmentation.GetSegment(key)
                tags = [known.tagOf(segment, tag) for tag in known.KNOWN_TAGS]
                inside, start = segments.filledBox(
                    segment.GetRepresentation("Binary labelmap"), segment.GetLabelValue()
                )
                parts.append((key, segment.GetName(), tags, known.checksum(inside, start)))
            parts.append(segmentation.GetConversionParameter("Reference image geometry"))
        elif node.IsA("vtkMRMLScalarVolumeNode"):
            parts.append(slicer.util.arrayFromVolume(node).tobytes())
        elif node.IsA("vtkMRMLPlotChartNode"):
            ids: list[str] = []
            node.GetPlotSeriesNodeIDs(ids)
            parts += [node.GetTitle(), ids]
        elif node.IsA("vtkMRMLPlotSeriesNode"):
            parts += [node.GetYColumnName(), node.GetLineWidth(), node.GetColor()]
        if not node.IsA("vtkMRMLSubjectHierarchyNode"):
            state[node.GetID()] = parts
    return state


def fail_at(monkeypatch, module, name: str, call: int) -> None:
    """Makes the n-th call of a function fail after it has done its work."""
    original, calls = getattr(module, name), []

    def broken(*args, **kwargs):
        original(*args, **kwargs)
        calls.append(name)
        if len(calls) == call:
            raise MemoryError(f"{name} ran out of memory")

    monkeypatch.setattr(module, name, broken)
