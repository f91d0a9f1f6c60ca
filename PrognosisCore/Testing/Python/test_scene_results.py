# ruff: noqa: E402
"""Findings in the scene: segments, results table, charts, heat maps; all or nothing; found again."""

from __future__ import annotations

import gc
import sys
import types
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("slicer")

from PrognosisLib import headless

headless.start()

import slicer
import vtk
from scene_cases import add_transform, clear_scene, small_findings

from PrognosisLib import scene
from PrognosisLib.errors import InputError
from PrognosisLib.findings import Curve, Findings, HeatMap, Interval, Mask
from PrognosisLib.scene import known, plots, results, segments
from PrognosisLib.scene.terminology import ENTRIES, recognize
from PrognosisLib.volume import Grid, Volume

GRID = Grid((14, 15, 16), np.diag([-0.9, -0.8, 2.5, 1.0]))


@pytest.fixture(autouse=True)
def empty_scene():
    clear_scene()
    yield
    headless.vtkErrorRecorder().check()
    clear_scene()


@pytest.fixture
def a_volume_node():
    return scene.fromVolume(Volume(np.zeros(GRID.shape, dtype=np.int16), GRID.ijk_to_ras, name="CT"))


# Volumes


def test_a_volume_is_read_without_copying_and_survives_its_node():
    voxels = np.arange(14 * 15 * 16, dtype=np.int16).reshape(14, 15, 16)
    node = scene.fromVolume(Volume(voxels, GRID.ijk_to_ras, "CT", "Scan"))
    volume = scene.toVolume(node)
    assert np.shares_memory(volume.array, slicer.util.arrayFromVolume(node))
    assert (volume.name, volume.modality, volume.array.flags.writeable) == ("Scan", "CT", False)
    slicer.mrmlScene.RemoveNode(node)
    del node
    slicer.mrmlScene.Clear(0)
    gc.collect()
    np.testing.assert_array_equal(volume.array, voxels)


@pytest.mark.parametrize("dtype", [bool, np.float16, np.uint8, np.int32, ">i2", np.float64])
def test_any_voxel_type_is_shown(dtype):
    voxels = (np.arange(24).reshape(2, 3, 4) % 2).astype(dtype)
    node = scene.fromVolume(Volume(voxels, np.eye(4)))
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(node), voxels.astype(float))


def test_the_window_fits_the_modality():
    voxels = np.random.default_rng(0).normal(500, 100, (8, 9, 10)).astype(np.float32)
    windows = {}
    for modality in ("CT", "MR", "US"):
        display = scene.fromVolume(Volume(voxels, np.eye(4), modality)).GetDisplayNode()
        windows[modality] = (display.GetWindow(), display.GetLevel())
    assert windows["CT"] == (400, 40)
    assert windows["US"] == (255, 127.5)
    assert windows["MR"][1] == pytest.approx(500, abs=40)
    display = scene.fromVolume(Volume(voxels, np.eye(4)), window=(80, 35)).GetDisplayNode()
    assert (display.GetWindow(), display.GetLevel()) == (80, 35)


def _changed(node, change):
    change(node)
    return node


def _refused_nodes():
    def volume(array):
        return slicer.util.addVolumeFromArray(np.asarray(array))

    infinite = np.zeros((3, 4, 5), dtype=np.float32)
    infinite[1, 1, 1] = np.inf
    not_numbers = np.full((3, 4, 5), np.nan)
    add = slicer.mrmlScene.AddNewNodeByClass
    return {
        "No volume is chosen": lambda: None,
        "is not a volume": lambda: add("vtkMRMLModelNode"),
        "is a label map": lambda: slicer.util.addVolumeFromArray(
            np.zeros((3, 4, 5), np.uint8), nodeClassName="vtkMRMLLabelMapVolumeNode"
        ),
        "several values per voxel": lambda: slicer.util.addVolumeFromArray(
            np.zeros((3, 4, 5, 3), np.uint8), nodeClassName="vtkMRMLVectorVolumeNode"
        ),
        "holds no image": lambda: add("vtkMRMLScalarVolumeNode"),
        "is a sequence": lambda: add("vtkMRMLSequenceNode"),
        "NaN or infinite": lambda: volume(infinite),
        "not numbers": lambda: volume(not_numbers),
        "spacing of zero": lambda: _changed(volume(np.zeros((3, 4, 5))), lambda node: node.SetSpacing(1, 0, 1)),
        "no valid IJK-to-RAS matrix": lambda: _changed(
            volume(np.zeros((3, 4, 5))),
            lambda node: node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(np.diag([1.0, 0.0, 1.0, 1.0]))),
        ),
    }


@pytest.mark.parametrize("message", list(_refused_nodes()))
def test_an_unfit_node_is_refused_in_words(message):
    node = _refused_nodes()[message]()
    with pytest.raises(InputError, match=message):
        scene.toVolume(node)


# Segments


def test_segments_have_codes_colors_and_a_place_in_the_hierarchy(a_volume_node):
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "Study")
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(a_volume_node), study)
    nodes = scene.fromFindings(small_findings(GRID), a_volume_node)
    for node in (nodes.segmentation, nodes.table, *nodes.plotCharts, *nodes.heatMaps):
        assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == study
    segmentation = nodes.segmentation.GetSegmentation()
    spleen = segmentation.GetSegment(scene.findSegmentID(nodes.segmentation, "Spleen"))
    assert spleen.GetColor() == pytest.approx((157 / 255, 108 / 255, 162 / 255))
    assert "SCT^123037004^Anatomical Structure~SCT^78961009^Spleen" in spleen.GetTerminology()
    display = nodes.segmentation.GetDisplayNode()
    visible = {
        name: display.GetSegmentVisibility(scene.findSegmentID(nodes.segmentation, name))
        for name in ("Spleen", "Liver")
    }
    assert visible == {"Spleen": True, "Liver": False}
    role = nodes.segmentation.GetReferenceImageGeometryReferenceRole()
    assert nodes.segmentation.GetNodeReference(role) is a_volume_node


def test_every_standard_segment_is_recognized_by_its_codes_in_both_editions():
    by_code = [("x", entry.serialized()) for entry in ENTRIES.values()]
    assert recognize(by_code) == [name if entry.recognized else None for name, entry in ENTRIES.items()]
    current = [(name, text.replace("SCT^123037004^", "SCT^91723000^")) for name, text in by_code]
    assert recognize(current)[:2] == ["Spleen", "Liver"]
    assert recognize([("milz", by_code[0][1]), ("SPLEEN ", "")]) == [None, "Spleen"]
    assert recognize([("tumor", ""), ("tumor", "broken^text")]) == [None, None]


def test_all_standard_segments_are_written_and_read_back(a_volume_node):
    array = np.zeros(GRID.shape, dtype=bool)
    array[4:6, 5:9, 5:9] = True
    masks = tuple(Mask.from_full(name, array, GRID) for name in ENTRIES)
    nodes = scene.fromFindings(Findings("ich", masks), a_volume_node)
    again = scene.toMasks(nodes.segmentation, a_volume_node)
    assert {name: mask.checksum for name, mask in again.items()} == {mask.name: mask.checksum for mask in masks}
    assert list(scene.toMasks(nodes.segmentation, a_volume_node, names=["Hematoma"])) == ["Hematoma"]


def test_a_segment_is_found_by_codes_when_it_has_another_name(a_volume_node):
    nodes = scene.fromFindings(small_findings(GRID), a_volume_node)
    segment_id = scene.findSegmentID(nodes.segmentation, "Spleen")
    nodes.segmentation.GetSegmentation().GetSegment(segment_id).SetName("Milz")
    assert scene.findSegmentID(nodes.segmentation, "Spleen") == segment_id
    assert set(scene.toMasks(nodes.segmentation, a_volume_node)) == {"Spleen", "Liver"}


def test_two_spleens_are_refused_and_other_twins_told_apart(a_volume_node):
    nodes = scene.fromFindings(small_findings(GRID), a_volume_node)
    segmentation = nodes.segmentation.GetSegmentation()
    segmentation.AddEmptySegment("note", "note")
    segmentation.AddEmptySegment("note2", "note")
    masks = scene.toMasks(nodes.segmentation, a_volume_node)
    assert set(masks) == {"Spleen", "Liver", "note", "note (note2)"}
    assert masks["note"].is_empty
    segmentation.AddEmptySegment("second", "spleen")
    with pytest.raises(InputError, match="two segments named 'Spleen'"):
        scene.toMasks(nodes.segmentation, a_volume_node)


def test_an_edit_drops_the_networks_evidence_of_that_segment_only(a_volume_node):
    findings = small_findings(GRID)
    nodes = scene.fromFindings(findings, a_volume_node)
    before = scene.toMasks(nodes.segmentation, a_volume_node)
    assert before["Spleen"].volume_ml == findings.masks[0].volume_ml
    assert before["Spleen"].confidence == 0.912345678
    assert before["Liver"].visible is False
    edit(nodes.segmentation, "Spleen", a_volume_node)
    after = scene.toMasks(nodes.segmentation, a_volume_node)
    assert (after["Spleen"].volume_ml, after["Spleen"].confidence) == (None, None)
    assert after["Spleen"].array.sum() == before["Spleen"].array.sum() - 1
    assert after["Liver"].confidence == 0.75


def edit(segmentation_node, name: str, volume_node) -> None:
    """Takes one voxel away, as Segment Editor would."""
    segment_id = scene.findSegmentID(segmentation_node, name)
    array = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation_node, segment_id, volume_node)
    array[tuple(np.argwhere(array)[0])] = 0
    slicer.util.updateSegmentBinaryLabelmapFromArray(array, segmentation_node, segment_id, volume_node)


def test_an_empty_mask_makes_an_empty_segment(a_volume_node):
    mask = Mask.from_full("Spleen", np.zeros(GRID.shape, dtype=bool), GRID)
    nodes = scene.fromFindings(Findings("spleen", (mask,)), a_volume_node)
    assert scene.toMasks(nodes.segmentation, a_volume_node)["Spleen"].is_empty


def test_segments_of_the_user_are_kept_and_ours_replaced_in_place(a_volume_node):
    nodes = scene.fromFindings(small_findings(GRID), a_volume_node)
    segmentation = nodes.segmentation.GetSegmentation()
    note_id = segmentation.AddEmptySegment("note", "My note")
    note = np.zeros(GRID.shape, dtype=np.uint8)
    note[0, 0, 0] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(note, nodes.segmentation, note_id, a_volume_node)
    spleen_id = scene.findSegmentID(nodes.segmentation, "Spleen")
    segmentation.GetSegment(spleen_id).SetColor(0, 1, 0)
    # All in one labelmap, as after loading from a file.
    segmentation.CollapseBinaryLabelmaps(False)
    assert segmentation.GetNumberOfLayers() == 1
    nodes.segmentation.CreateClosedSurfaceRepresentation()

    findings = small_findings(GRID, shift=3)
    again = scene.fromFindings(findings, a_volume_node, nodes.segmentation)
    assert again.segmentation is nodes.segmentation
    assert list(segmentation.GetSegmentIDs()) == [spleen_id, scene.findSegmentID(nodes.segmentation, "Liver"), note_id]
    masks = scene.toMasks(nodes.segmentation, a_volume_node)
    assert masks["Spleen"].checksum == findings.masks[0].checksum
    np.testing.assert_array_equal(masks["My note"].full(), note)
    assert segmentation.GetSegment(spleen_id).GetColor() == (0, 1, 0)
    assert segmentation.GetSegment(spleen_id).GetRepresentation("Closed surface") is not None


def test_an_edited_segmentation_is_not_overwritten_unless_given(a_volume_node):
    findings = small_findings(GRID)
    first = scene.fromFindings(findings, a_volume_node)
    same = scene.fromFindings(findings, a_volume_node)
    assert same == first
    edit(first.segmentation, "Spleen", a_volume_node)
    third = scene.fromFindings(findings, a_volume_node)
    assert third.segmentation is not first.segmentation
    assert third.table is not first.table
    assert scene.findResults("spleen", a_volume_node, first.segmentation) == first


def test_a_segmentation_of_surfaces_is_refused_as_output(a_volume_node):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Surfaces")
    ball = vtk.vtkSphereSource()
    ball.Update()
    node.SetSourceRepresentationToClosedSurface()
    node.AddSegmentFromClosedSurfaceRepresentation(ball.GetOutput(), "ball", [1.0, 0.0, 0.0], "ball")
    with pytest.raises(InputError, match="are surfaces"):
        scene.fromFindings(small_findings(GRID), a_volume_node, node)


# Table


def test_the_table_is_typed_and_says_what_it_holds(a_volume_node):
    table_node = scene.fromFindings(small_findings(GRID), a_volume_node).table
    table = table_node.GetTable()
    assert table.GetColumnByName("value").GetDataTypeAsString() == "double"
    values = [table.GetColumnByName("value").GetValue(row) for row in range(3)]
    assert values[0] == 312.456789012345
    assert np.isnan(values[1:]).all()
    texts = [table.GetColumnByName("text").GetValue(row) for row in range(3)]
    assert texts == ["312 mL (298 to 326)", "high", "not available"]
    assert "simulated cohort" in table.GetColumnByName("note").GetValue(1)
    assert table_node.GetColumnUnitLabel("value")
    assert table_node.GetColumnDescription("method")
    assert table_node.GetLocked()


def test_the_table_reads_back_exactly(a_volume_node):
    findings = small_findings(GRID)
    again = scene.readTable(scene.fromFindings(findings, a_volume_node).table)
    assert again.measurements == findings.measurements
    assert (again.flags, again.summary, again.system) == (findings.flags, findings.summary, "spleen")
    assert again.provenance == {"seconds": {"coarse": 0.25}, "bundle": "1.0"}
    with pytest.raises(InputError, match="not a results table"):
        scene.readTable(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", "Other"))


def test_measuring_again_updates_the_table_and_leaves_segments_and_heat_maps(a_volume_node):
    findings = small_findings(GRID)
    nodes = scene.fromFindings(findings, a_volume_node)
    edit(nodes.segmentation, "Spleen", a_volume_node)
    measured = replace(small_findings(GRID, volume=5.0), masks=(), heat_maps=(), curves=findings.curves[:2])
    again = scene.fromFindings(measured, a_volume_node, nodes.segmentation, nodes.table)
    assert (again.table, again.segmentation) == (nodes.table, nodes.segmentation)
    assert scene.readTable(nodes.table).value("spleen_volume") == 5.0
    assert again.plotCharts == nodes.plotCharts[:1]
    found = scene.findResults("spleen", a_volume_node)
    assert len(found.plotCharts) == 1
    assert found.heatMaps == nodes.heatMaps


# Charts and heat maps


def test_charts_show_steps_bands_the_patient_and_what_is_simulated(a_volume_node):
    nodes = scene.fromFindings(small_findings(GRID), a_volume_node)
    survival, growth = nodes.plotCharts
    assert survival.GetTitle() == "Survival (simulated cohort)"
    assert growth.GetTitle() == "Growth"
    assert (survival.GetXAxisTitle(), survival.GetYAxisTitle()) == ("Years", "Survival")
    series = {node.GetName(): node for node in nodes.plotSeries}
    assert list(series) == ["High", "This patient", "This patient lower", "This patient upper", "Published"]
    assert survival.GetNumberOfPlotSeriesNodes() == 4
    assert series["This patient"].GetLineWidth() > series["High"].GetLineWidth()
    assert series["This patient lower"].GetLineStyle() == slicer.vtkMRMLPlotSeriesNode.LineStyleDash
    x, y = (points(series["High"], name) for name in ("GetXColumnName", "GetYColumnName"))
    np.testing.assert_allclose(x, [0, 1, 1, 2, 2, 5, 5])
    np.testing.assert_allclose(y, [1, 1, 0.9, 0.9, 0.8, 0.8, 0.5])
    np.testing.assert_allclose(points(series["This patient"], "GetXColumnName"), [0, 1, 2, 2, 2, 2, 2])


def points(series_node, column) -> np.ndarray:
    return slicer.util.arrayFromTableColumn(series_node.GetTableNode(), getattr(series_node, column)())


def test_a_simulated_curve_beside_a_published_one_says_so_in_the_legend(a_volume_node):
    x = np.array([0.0, 1.0])
    curves = (
        Curve("Survival", "Model", x, x, "Years", "Survival", simulated=True),
        Curve("Survival", "Published", x, x, "Years", "Survival"),
    )
    nodes = scene.fromFindings(Findings("spleen", curves=curves), a_volume_node)
    assert [node.GetName() for node in nodes.plotSeries] == ["Model (simulated cohort)", "Published"]


def test_running_again_adds_no_nodes(a_volume_node):
    nodes = scene.fromFindings(small_findings(GRID), a_volume_node)
    count = slicer.mrmlScene.GetNumberOfNodes()
    again = scene.fromFindings(small_findings(GRID, shift=2, volume=9.0), a_volume_node)
    assert again == nodes
    assert slicer.mrmlScene.GetNumberOfNodes() == count
    other = scene.fromFindings(replace(small_findings(GRID), system="hepato"), a_volume_node)
    assert other.table is not nodes.table


def test_a_heat_map_lies_on_its_voxels_and_lets_the_scan_show_through(a_volume_node):
    a_volume_node.SetAndObserveTransformNodeID(add_transform(np.diag([1.0, -1.0, 1.2, 1.0])).GetID())
    grid = scene.worldGrid(a_volume_node)
    coarse = Grid((7, 8, 8), grid.ijk_to_ras @ np.diag([2.0, 2.0, 2.0, 1.0]))
    heat = HeatMap("Evidence", np.linspace(0, 1, 7 * 8 * 8).reshape(7, 8, 8), coarse)
    node = scene.fromFindings(Findings("spleen", heat_maps=(heat,)), a_volume_node).heatMaps[0]
    assert node.GetParentTransformNode() is a_volume_node.GetParentTransformNode()
    assert scene.worldGrid(node).same_as(coarse)
    display = node.GetDisplayNode()
    assert display.GetApplyThreshold()
    assert display.GetLowerThreshold() == pytest.approx(0.1)
    assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == (0, 1)


# All or nothing


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
                inside, start = segments._filledBox(
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


FAILURES = [
    (segments, "_setPlace", 1),
    (segments, "setKnown", 2),
    (results, "updateTable", 1),
    (plots, "_fillPoints", 2),
    (plots, "_fillChart", 1),
    (plots, "_fillChart", 2),
    (results, "setImage", 1),
]


@pytest.mark.parametrize(("module", "name", "call"), FAILURES)
def test_a_failure_leaves_a_fresh_scene_as_it_was(monkeypatch, a_volume_node, module, name, call):
    before = digest()
    fail_at(monkeypatch, module, name, call)
    with pytest.raises(MemoryError):
        scene.fromFindings(small_findings(GRID), a_volume_node)
    assert digest() == before
    assert not slicer.mrmlScene.IsBatchProcessing()


@pytest.mark.parametrize(("module", "name", "call"), [one for one in FAILURES if one[1] != "_setPlace"])
def test_a_failure_leaves_earlier_results_as_they_were(monkeypatch, a_volume_node, module, name, call):
    nodes = scene.fromFindings(small_findings(GRID), a_volume_node)
    nodes.segmentation.GetSegmentation().CollapseBinaryLabelmaps(False)
    edit(nodes.segmentation, "Liver", a_volume_node)
    before = digest()
    changed = small_findings(GRID, shift=4, volume=1.0)
    changed = replace(
        changed,
        curves=tuple(replace(curve, y=curve.y * 0.5) for curve in changed.curves),
        heat_maps=tuple(replace(heat, array=heat.array * 0.5) for heat in changed.heat_maps),
    )
    with monkeypatch.context() as patch:
        fail_at(patch, module, name, call)
        with pytest.raises(MemoryError):
            scene.fromFindings(changed, a_volume_node, nodes.segmentation)
    assert digest() == before
    assert scene.fromFindings(changed, a_volume_node, nodes.segmentation) == nodes
    assert digest() != before


def test_a_failure_leaves_an_empty_segmentation_of_the_user_as_it_was(monkeypatch, a_volume_node):
    a_volume_node.SetAndObserveTransformNodeID(add_transform(np.diag([1.0, -1.0, 1.2, 1.0])).GetID())
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Mine")
    before = digest()
    fail_at(monkeypatch, results, "updateTable", 1)
    with pytest.raises(MemoryError):
        scene.fromFindings(small_findings(GRID), a_volume_node, node)
    assert digest() == before
    assert node.GetParentTransformNode() is None


@pytest.mark.parametrize(
    "change",
    [
        {"curves": (Curve("Survival", "A", np.zeros(3), np.zeros(2), "x", "y"),)},
        {"curves": (Curve("S", "A", np.zeros(2), np.zeros(2), "x", "y"),) * 2},
        {"heat_maps": (HeatMap("Evidence", np.full(GRID.shape, 2.0), GRID),)},
        {"masks": (Mask("Spleen", np.ones((3, 3, 3), dtype=bool), (13, 0, 0), GRID),)},
    ],
)
def test_findings_that_contradict_themselves_change_nothing(a_volume_node, change):
    before = digest()
    with pytest.raises(ValueError, match=r"the same length|same name|from 0 to 1|leaves its grid"):
        scene.fromFindings(replace(small_findings(GRID), **change), a_volume_node)
    assert digest() == before


def test_nodes_deleted_during_a_run_are_named_and_nothing_is_written(a_volume_node):
    findings = small_findings(GRID)
    nodes = scene.fromFindings(findings, a_volume_node)
    slicer.mrmlScene.RemoveNode(nodes.table)
    with pytest.raises(InputError, match="no table of this scene"):
        scene.fromFindings(findings, a_volume_node, nodes.segmentation, nodes.table)
    slicer.mrmlScene.RemoveNode(a_volume_node)
    before = digest()
    with pytest.raises(InputError, match="no longer in the scene"):
        scene.fromFindings(findings, a_volume_node, nodes.segmentation)
    assert digest() == before
    slicer.mrmlScene.Clear(0)
    with pytest.raises(InputError, match="no longer in the scene"):
        scene.fromFindings(findings, a_volume_node)


def test_a_volume_with_other_dimensions_after_the_run_is_refused(a_volume_node):
    grid = scene.worldGrid(a_volume_node)
    slicer.util.updateVolumeFromArray(a_volume_node, np.zeros((3, 4, 5), np.int16))
    with pytest.raises(InputError, match="changed during the run"):
        scene.fromFindings(small_findings(grid), a_volume_node, grid=grid)


# Observation


@pytest.fixture
def watched(a_volume_node, monkeypatch):
    """Without an event loop every change is reported at once, whatever another test file has started before."""
    monkeypatch.setitem(sys.modules, "qt", None)
    nodes = scene.fromFindings(small_findings(GRID), a_volume_node)
    calls: list[int] = []
    observer = scene.observeSegmentation(nodes.segmentation, lambda: calls.append(1))
    yield nodes.segmentation, calls, observer
    scene.removeObserver(observer)


def test_edits_are_reported_once_and_display_is_not(watched, a_volume_node):
    node, calls, _observer = watched
    segment = node.GetSegmentation().GetSegment(scene.findSegmentID(node, "Spleen"))
    segment.SetColor(0, 0, 1)
    node.GetDisplayNode().SetSegmentVisibility(scene.findSegmentID(node, "Liver"), True)
    node.CreateClosedSurfaceRepresentation()
    assert not calls
    edits = [
        lambda: edit(node, "Spleen", a_volume_node),
        lambda: segment.SetName("Milz"),
        lambda: node.GetSegmentation().AddEmptySegment("new", "New"),
        lambda: node.SetAndObserveTransformNodeID(add_transform(np.diag([1.0, 1.0, 2.0, 1.0])).GetID()),
        lambda: node.GetParentTransformNode().SetMatrixTransformToParent(vtk.vtkMatrix4x4()),
    ]
    for number, one in enumerate(edits, start=1):
        one()
        assert len(calls) == number
    # Slicer clears the voxels before it removes the segment: two changes where no event loop joins them.
    node.GetSegmentation().RemoveSegment("new")
    assert len(calls) > len(edits)


def test_own_changes_are_not_reported_while_paused(watched, a_volume_node):
    node, calls, observer = watched
    with observer.paused():
        edit(node, "Spleen", a_volume_node)
        scene.fromFindings(small_findings(GRID, shift=1), a_volume_node, node)
    assert not calls
    edit(node, "Spleen", a_volume_node)
    assert len(calls) == 1


def test_an_ended_observation_and_a_deleted_node_are_silent(watched, a_volume_node):
    node, calls, observer = watched
    slicer.mrmlScene.RemoveNode(node)
    node.GetSegmentation().RemoveAllSegments()
    assert not calls
    scene.removeObserver(observer)
    scene.removeObserver(observer)
    scene.removeObserver(None)
    slicer.mrmlScene.AddNode(node)
    node.GetSegmentation().AddEmptySegment("new", "New")
    assert not calls


def test_a_burst_of_edits_is_one_call_when_there_is_an_event_loop(watched, monkeypatch, a_volume_node):
    node, calls, _observer = watched
    timers: list = []
    qt = types.SimpleNamespace(QTimer=types.SimpleNamespace(singleShot=lambda _ms, function: timers.append(function)))
    monkeypatch.setitem(sys.modules, "qt", qt)
    for _ in range(3):
        edit(node, "Spleen", a_volume_node)
    assert len(timers) >= 3
    assert not calls
    for function in timers:
        function()
    assert len(calls) == 1


def test_what_was_segmented_by_hand_has_no_evidence_to_lose(a_volume_node):
    findings = small_findings(GRID)
    by_hand = tuple(replace(mask, volume_ml=None, confidence=None) for mask in findings.masks)
    nodes = scene.fromFindings(replace(findings, masks=by_hand), a_volume_node)
    mask = scene.toMasks(nodes.segmentation, a_volume_node)["Spleen"]
    assert (mask.volume_ml, mask.confidence) == (None, None)
    again = scene.fromFindings(findings, a_volume_node, nodes.segmentation)
    assert scene.toMasks(again.segmentation, a_volume_node)["Spleen"].volume_ml == Interval(300.125, 1 / 3 + 320)
