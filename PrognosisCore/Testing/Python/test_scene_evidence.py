# ruff: noqa: E402
"""A mask's evidence about the image: kept whatever is edited, replaced by the next run, and whole in every file."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("slicer")

from PrognosisLib import headless

headless.start()

import slicer
from scene_cases import GRID, digest, edit, fail_at, small_findings
from scene_fixtures import *  # noqa: F403

from PrognosisLib import scene
from PrognosisLib.scene import results
from PrognosisLib.scene.known import EVIDENCE_TAG

LETTERS = "abc 012\"'{}[]:,;=|#~^\\\n\r\t\0é漢\U0001f9e0"


@pytest.fixture
def text() -> str:
    """60 kB that no file format likes, and that does not compress well."""
    letters = random.Random(0)
    return json.dumps({"about": "".join(letters.choice(LETTERS) for _ in range(60_000))}, ensure_ascii=False)


def with_evidence(text: str):
    findings = small_findings(GRID)
    return replace(findings, masks=(replace(findings.masks[0], evidence=text), findings.masks[1]))


def evidence(node, volume_node, name: str = "Spleen") -> str:
    return scene.toMasks(node, volume_node)[name].evidence


def test_evidence_survives_edits_and_an_emptied_segment(a_volume_node, text):
    node = scene.fromFindings(with_evidence(text), a_volume_node).segmentation
    assert evidence(node, a_volume_node) == text
    assert evidence(node, a_volume_node, "Liver") == ""
    edit(node, "Spleen", a_volume_node)
    edited = scene.toMasks(node, a_volume_node)["Spleen"]
    assert (edited.confidence, edited.evidence) == (None, text)
    segment = scene.findSegmentID(node, "Spleen")
    empty = np.zeros(GRID.shape, np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(empty, node, segment, a_volume_node)
    emptied = scene.toMasks(node, a_volume_node)["Spleen"]
    assert (emptied.is_empty, emptied.evidence) == (True, text)


def test_the_next_run_replaces_it_and_a_failed_one_does_not(a_volume_node, monkeypatch):
    node = scene.fromFindings(with_evidence("first"), a_volume_node).segmentation
    before = digest()
    with monkeypatch.context() as patch:
        fail_at(patch, results, "updateTable", 1)
        with pytest.raises(MemoryError):
            scene.fromFindings(with_evidence("second"), a_volume_node, node)
    assert digest() == before
    assert evidence(node, a_volume_node) == "first"
    scene.fromFindings(with_evidence("second"), a_volume_node, node)
    assert evidence(node, a_volume_node) == "second"
    scene.fromFindings(with_evidence(""), a_volume_node, node)
    assert evidence(node, a_volume_node) == ""


def test_evidence_is_whole_in_a_scene_and_in_a_segmentation_file(a_volume_node, text, tmp_path):
    node = scene.fromFindings(with_evidence(text), a_volume_node).segmentation
    edit(node, "Spleen", a_volume_node)
    scene.saveSegmentation(node, tmp_path / "edited.seg.nrrd")
    scene.saveScene(tmp_path / "case.mrb")
    loaded = scene.loadSegmentation(tmp_path / "edited.seg.nrrd")
    assert evidence(loaded, a_volume_node) == text
    slicer.mrmlScene.Clear(0)
    assert slicer.mrmlScene.ReadFromMRB(str(tmp_path / "case.mrb"), True)
    volume_node = slicer.util.getNode("CT")
    assert evidence(scene.findResults("spleen", volume_node).segmentation, volume_node) == text


def test_a_damaged_tag_is_no_evidence(a_volume_node):
    node = scene.fromFindings(with_evidence("first"), a_volume_node).segmentation
    segment = node.GetSegmentation().GetSegment(scene.findSegmentID(node, "Spleen"))
    for value in ("not base64!", "AAAA", "é"):
        segment.SetTag(EVIDENCE_TAG, value)
        assert evidence(node, a_volume_node) == ""


def test_an_empty_mask_keeps_its_evidence_in_files(a_volume_node, tmp_path):
    """As of a second scan that could not be aligned: no voxel, but what was measured on it."""
    findings = with_evidence("")
    empty = replace(findings.masks[1], array=np.zeros((0, 0, 0), bool), start=(0, 0, 0), evidence='{"ml": 12.5}')
    node = scene.fromFindings(replace(findings, masks=(findings.masks[0], empty)), a_volume_node).segmentation
    scene.saveSegmentation(node, tmp_path / "empty.seg.nrrd")
    scene.saveScene(tmp_path / "case.mrb")
    loaded = scene.loadSegmentation(tmp_path / "empty.seg.nrrd")
    mask = scene.toMasks(loaded, a_volume_node)["Liver"]
    assert (mask.is_empty, mask.evidence) == (True, '{"ml": 12.5}')
    slicer.mrmlScene.Clear(0)
    assert slicer.mrmlScene.ReadFromMRB(str(tmp_path / "case.mrb"), True)
    volume_node = slicer.util.getNode("CT")
    mask = scene.toMasks(scene.findResults("spleen", volume_node).segmentation, volume_node)["Liver"]
    assert (mask.is_empty, mask.evidence) == (True, '{"ml": 12.5}')
