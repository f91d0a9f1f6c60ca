# ruff: noqa: E402
"""Edits of a film's segmentation are reported, playing it is not; results are all there or none, and soon."""

from __future__ import annotations

import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from PrognosisLib import headless

headless.start()

import slicer
from film_cases import COUNT, a_cine, coarse, draw, erase, film_digest, film_findings, items_of, same_masks, show
from scene_cases import add_transform, clear_scene, fail_at

from PrognosisLib import scene
from PrognosisLib.findings import Findings, HeatMap, Mask
from PrognosisLib.images.cine.cine import ArrayFrames, Cine
from PrognosisLib.scene import film_segments, films, heat_maps, plots, results
from PrognosisLib.scene.films import trackOf


@pytest.fixture(autouse=True)
def empty_scene(monkeypatch):
    """Without an event loop every change is reported at once, whatever another test file has started before."""
    monkeypatch.setitem(sys.modules, "qt", None)
    clear_scene()
    yield
    headless.vtkErrorRecorder().check()
    clear_scene()


@pytest.fixture
def film():
    return scene.fromCine(a_cine())


@pytest.fixture
def watched(film):
    nodes = scene.fromFindings(film_findings(coarse(scene.toCine(film.volume).grid)), film.volume)
    calls: list[int] = []
    observer = scene.observeSegmentation(nodes.segmentation, lambda: calls.append(film.browser.GetSelectedItemNumber()))
    yield nodes.segmentation, calls
    scene.removeObserver(observer)


# --- edits are noticed, frames are not --------------------------------------------------------------------------------


def test_another_frame_is_no_edit(film, watched):
    node, calls = watched
    for number in (3, 4, 0, COUNT - 1, 3):
        show(film.browser, number)
    node.GetDisplayNode().SetSegmentVisibility("Vessel", True)
    node.GetSegmentation().GetSegment("Liver").SetColor(0, 0, 1)
    show(film.browser, 2)
    node.CreateClosedSurfaceRepresentation()
    show(film.browser, 3)
    assert calls == []


def test_a_film_that_plays_is_not_edited(film, watched):
    _node, calls = watched
    film.browser.SetPlaybackRateFps(500)
    film.browser.SetPlaybackActive(True)
    seen = set()
    for _ in range(20):
        time.sleep(0.005)
        slicer.modules.sequences.logic().UpdateAllProxyNodes()
        seen.add(film.browser.GetSelectedItemNumber())
    film.browser.SetPlaybackActive(False)
    assert len(seen) > 3
    assert calls == []


def test_edits_of_any_frame_are_reported_once(film, watched):
    node, calls = watched
    edits = [
        (0, lambda: draw(node, film.volume, "Liver", (slice(0, 9), slice(0, 9)))),
        (5, lambda: draw(node, film.volume, "Vessel", (slice(0, 9), slice(0, 9)))),
        (5, lambda: erase(node, "Liver")),
        (2, lambda: node.GetSegmentation().GetSegment("Liver").SetName("Leber")),
        (7, lambda: node.GetSegmentation().AddEmptySegment("new", "New")),
        (7, lambda: node.SetAndObserveTransformNodeID(add_transform(np.diag([1.0, 1.0, 2.0, 1.0])).GetID())),
    ]
    wanted = []
    for number, edit in edits:
        show(film.browser, number)
        assert calls == wanted
        edit()
        wanted.append(number)
        assert calls == wanted
        for other in (number + 1, number):
            show(film.browser, other)
        assert calls == wanted


def test_an_edit_while_the_film_plays_is_reported_and_kept(film, watched):
    node, calls = watched
    show(film.browser, 6)
    film.browser.SetPlaybackActive(True)
    before = scene.toMasks(node, film.volume)["Liver"].full()
    draw(node, film.volume, "Liver", (slice(40, 46), slice(40, 45)))
    film.browser.SetPlaybackActive(False)
    assert calls == [6]
    changed = scene.toMasks(node, film.volume)["Liver"].full() != before
    assert np.unique(np.argwhere(changed)[:, 0]).tolist() == [6]


def test_after_loading_a_scene_frames_are_no_edits_and_edits_are_reported(film, watched, tmp_path):
    show(film.browser, 3)
    scene.saveScene(tmp_path / "case.mrb")
    slicer.mrmlScene.Clear(0)
    assert slicer.mrmlScene.ReadFromMRB(str(tmp_path / "case.mrb"), True)
    (sequence,) = (one for one in slicer.util.getNodesByClass("vtkMRMLSequenceNode") if one.GetName() == "liver")
    again = scene.filmOf(sequence)
    node = scene.findResults("film", sequence).segmentation
    assert again.browser.GetSelectedItemNumber() == 3
    calls: list[int] = []
    observer = scene.observeSegmentation(node, lambda: calls.append(1))
    for number in (4, 3, 5):
        show(again.browser, number)
    assert calls == []
    erase(node, "Liver")
    assert calls == [1]
    show(again.browser, 6)
    assert calls == [1]
    liver, before = scene.toMasks(node, sequence)["Liver"], film_findings(coarse(again.grid)).masks[0]
    assert liver.full().sum() == before.full().sum() - 1
    assert np.argwhere(liver.full() != before.full())[:, 0].tolist() == [5]
    scene.removeObserver(observer)


# --- all or nothing ---------------------------------------------------------------------------------------------------

FAILURES = [
    (films, "newSequence", 1),
    (film_segments, "setPlace", 1),
    (film_segments, "newSequence", 1),
    (film_segments, "play", 1),
    (film_segments, "_rebuilt", 3),
    (film_segments, "_setKnown", 1),
    (film_segments, "show", 2),
    (results, "updateTable", 1),
    (plots, "_fillChart", 1),
    (heat_maps, "newSequence", 1),
    (heat_maps, "setImage", 4),
    (heat_maps, "play", 1),
]
AT_FIRST = ("newSequence", "setPlace", "play", "show")


@pytest.mark.parametrize(("module", "name", "call"), FAILURES[1:])
def test_a_failure_leaves_the_film_as_it_was(monkeypatch, film, module, name, call):
    show(film.browser, 3)
    before = film_digest()
    grid = scene.toCine(film.volume).grid
    with monkeypatch.context() as patch:
        fail_at(patch, module, name, call)
        with pytest.raises(MemoryError):
            scene.fromFindings(film_findings(coarse(grid)), film.volume)
    assert film_digest() == before
    assert not slicer.mrmlScene.IsBatchProcessing()
    findings = film_findings(coarse(grid))
    result = scene.fromFindings(findings, film.volume)
    assert same_masks(scene.toMasks(result.segmentation, film.volume), findings.masks)


@pytest.mark.parametrize(("module", "name", "call"), [one for one in FAILURES if one[1] not in AT_FIRST])
def test_a_failure_leaves_earlier_results_as_they_were(monkeypatch, film, module, name, call):
    grid = scene.toCine(film.volume).grid
    nodes = scene.fromFindings(film_findings(coarse(grid)), film.volume)
    show(film.browser, 5)
    erase(nodes.segmentation, "Liver")
    before = film_digest()
    changed = film_findings(coarse(grid), shift=2)
    with monkeypatch.context() as patch:
        fail_at(patch, module, name, call)
        with pytest.raises(MemoryError):
            scene.fromFindings(changed, film.volume, nodes.segmentation)
    assert film_digest() == before
    assert nodes.segmentation.GetSegmentation() is items_of(nodes.segmentation)[5].GetSegmentation()
    assert scene.fromFindings(changed, film.volume, nodes.segmentation) == nodes
    assert same_masks(scene.toMasks(nodes.segmentation, film.volume), changed.masks)


def test_a_failure_leaves_an_empty_segmentation_of_the_user_as_it_was(monkeypatch, film):
    film.volume.SetAndObserveTransformNodeID(add_transform(np.diag([1.0, 2.0, 1.0, 1.0])).GetID())
    mine = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Mine")
    before = film_digest()
    fail_at(monkeypatch, results, "updateTable", 1)
    with pytest.raises(MemoryError):
        scene.fromFindings(film_findings(coarse(scene.toCine(film.volume).grid)), film.volume, mine)
    assert film_digest() == before
    assert trackOf(mine) is None
    assert mine.GetParentTransformNode() is None


def test_findings_that_contradict_themselves_change_nothing(film):
    lattice = coarse(scene.toCine(film.volume).grid)
    good, before = film_findings(lattice), film_digest()
    too_bright = HeatMap("Heat", np.full(lattice.shape, 2.0), lattice)
    outside = Mask("Liver", np.ones((3, 3, 3), dtype=bool), (COUNT - 1, 0, 0), lattice)
    for change in ({"heat_maps": (too_bright,)}, {"masks": (outside,)}):
        with pytest.raises(ValueError, match=r"from 0 to 1|leaves its grid"):
            scene.fromFindings(replace(good, **change), film.volume)
        assert film_digest() == before


# --- speed ------------------------------------------------------------------------------------------------------------


def test_a_hundred_frames_are_written_and_read_in_a_moment():
    frames = np.zeros((100, 593, 739), np.uint8)
    cine = Cine(ArrayFrames(frames), np.arange(100) / 25.0, (0.2, 0.2), name="long")
    node = scene.fromCine(cine).volume
    lattice = coarse(cine.grid, (593 / 160, 739 / 192), (160, 192))
    mask = np.zeros(lattice.shape, dtype=bool)
    mask[:, 30:120, 40:150] = True
    heat = HeatMap("Heat", np.zeros(lattice.shape, np.uint8), lattice)
    findings = Findings("film", (Mask.from_full("Liver", mask, lattice),), heat_maps=(heat,))
    start = time.perf_counter()
    result = scene.fromFindings(findings, node, grid=cine.grid)
    written = time.perf_counter()
    assert same_masks(scene.toMasks(result.segmentation, node, grid=cine.grid), findings.masks)
    assert written - start < 2.0
    assert time.perf_counter() - written < 2.0
