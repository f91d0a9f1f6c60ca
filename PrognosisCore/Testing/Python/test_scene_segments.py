# ruff: noqa: E402
"""Segments in the scene: codes, names and colors; the user's own and edited ones; the network's evidence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("slicer")

from PrognosisLib import headless

headless.start()

import slicer
import vtk
from scene_cases import GRID, edit, small_findings
from scene_fixtures import *  # noqa: F403

from PrognosisLib import scene
from PrognosisLib.errors import InputError
from PrognosisLib.findings import Findings, Interval, Mask
from PrognosisLib.scene.terminology import ENTRIES, recognize


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


def test_what_was_segmented_by_hand_has_no_evidence_to_lose(a_volume_node):
    findings = small_findings(GRID)
    by_hand = tuple(replace(mask, volume_ml=None, confidence=None) for mask in findings.masks)
    nodes = scene.fromFindings(replace(findings, masks=by_hand), a_volume_node)
    mask = scene.toMasks(nodes.segmentation, a_volume_node)["Spleen"]
    assert (mask.volume_ml, mask.confidence) == (None, None)
    again = scene.fromFindings(findings, a_volume_node, nodes.segmentation)
    assert scene.toMasks(again.segmentation, a_volume_node)["Spleen"].volume_ml == Interval(300.125, 1 / 3 + 320)
