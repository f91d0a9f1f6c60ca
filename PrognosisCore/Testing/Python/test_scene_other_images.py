"""Findings on other images than the first: a segmentation and heat maps there, which belong to the run's own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from film_cases import a_cine, coarse, draw, erase, film_digest, film_findings, same_masks, show, slicer
from scene_cases import clear_scene

from PrognosisLib import headless, scene
from PrognosisLib.findings import Findings, HeatMap, Mask
from PrognosisLib.images.cine.cine import Cine
from PrognosisLib.scene import OtherImage, fromCine, fromFindings, readHeatMaps, resultsOf, toMasks

OTHER = "t1"


@pytest.fixture(autouse=True)
def empty_scene():
    clear_scene()
    yield
    headless.vtkErrorRecorder().check()


def pair(count: int = 5) -> tuple:
    """The nodes of two films of other sizes, and their cines."""
    cines = a_cine(), a_cine(count, pixel=(0.5, 0.6))
    return *(fromCine(one) for one in cines), *cines


def both(first: Cine, second: Cine, shift: int = 0) -> Findings:
    """Findings on the first, and a mask and a heat map on the second."""
    own, there = film_findings(coarse(first.grid), shift), film_findings(coarse(second.grid), shift + 1)
    beside = replace(there.masks[0], name="Liver later", role=OTHER, evidence="")
    heat = replace(there.heat_maps[0], name="Heat later", role=OTHER)
    return replace(own, masks=(*own.masks, beside), heat_maps=(*own.heat_maps, heat))


def masks_of(findings: Findings, role: str) -> tuple[Mask, ...]:
    return tuple(mask for mask in findings.masks if mask.role == role)


@pytest.mark.parametrize("count", [5, 1])
def test_each_image_has_its_own_segments_and_heat_maps(count):
    first, second, *cines = pair(count)
    findings = both(*cines)
    assert findings.other_roles == [OTHER]
    nodes = fromFindings(findings, first.volume, others={OTHER: OtherImage(second.sequence)})
    beside = nodes.others[OTHER]
    assert same_masks(toMasks(nodes.segmentation, first.volume), masks_of(findings, ""))
    assert same_masks(toMasks(beside, second.browser), masks_of(findings, OTHER))
    (own,) = readHeatMaps(nodes.heatMaps, first.volume)
    (later,) = readHeatMaps(nodes.heatMaps, second.volume, role=OTHER)
    assert (own.role, later.role, later.name) == ("", OTHER, "Heat later")
    for found, wanted in zip((own, later), findings.heat_maps, strict=True):
        assert np.array_equal(found.array, wanted.array)
        assert found.grid.same_as(wanted.grid)
    logic = slicer.modules.sequences.logic()
    assert logic.GetFirstBrowserNodeForProxyNode(beside) is second.browser
    assert [logic.GetFirstBrowserNodeForProxyNode(one) for one in nodes.heatMaps] == [first.browser, second.browser]


def test_the_nodes_are_found_again_also_in_a_reloaded_scene(tmp_path):
    first, second, *cines = pair()
    findings = both(*cines)
    nodes = fromFindings(findings, first.volume, others={OTHER: OtherImage(second.volume)})
    assert scene.findResults("film", first.volume) == nodes
    assert resultsOf("film", first.volume, nodes.segmentation) == nodes
    names = [one.GetName() for one in (nodes.segmentation, first.volume, second.volume, nodes.others[OTHER])]
    scene.saveScene(tmp_path / "scene.mrb")
    clear_scene()
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    segmentation, volume, later, beside = (slicer.util.getNode(name) for name in names)
    found = scene.findResults("film", volume)
    assert (found.segmentation, found.others) == (segmentation, {OTHER: beside})
    assert same_masks(toMasks(beside, later), masks_of(findings, OTHER))


def test_the_next_run_uses_the_nodes_again_and_removes_what_it_has_not():
    first, second, *cines = pair()
    others = {OTHER: OtherImage(second.volume)}
    nodes = fromFindings(both(*cines), first.volume, others=others)
    again = fromFindings(both(*cines, shift=2), first.volume, others=others)
    assert again == nodes
    alone = fromFindings(film_findings(coarse(cines[0].grid)), first.volume)
    assert alone.segmentation is nodes.segmentation
    assert alone.others == {}
    assert len(alone.heatMaps) == 1
    assert not slicer.mrmlScene.IsNodePresent(nodes.others[OTHER])
    assert not slicer.mrmlScene.IsNodePresent(nodes.heatMaps[1])
    assert second.browser.GetNumberOfSynchronizedSequenceNodes(True) == 1


def test_an_edit_on_the_other_image_is_kept_by_the_next_run():
    first, second, *cines = pair()
    others = {OTHER: OtherImage(second.volume)}
    nodes = fromFindings(both(*cines), first.volume, others=others)
    show(second.browser, 1)
    erase(nodes.others[OTHER], "Liver later")
    edited = toMasks(nodes.others[OTHER], second.volume)["Liver later"]
    again = fromFindings(both(*cines), first.volume, others=others)
    assert again.segmentation is not nodes.segmentation
    assert again.others[OTHER] is not nodes.others[OTHER]
    assert toMasks(nodes.others[OTHER], second.volume)["Liver later"].checksum == edited.checksum


def test_measured_again_leaves_both_alone():
    first, second, *cines = pair()
    findings, others = both(*cines), {OTHER: OtherImage(second.volume)}
    nodes = fromFindings(findings, first.volume, others=others)
    show(second.browser, 2)
    draw(nodes.others[OTHER], second.volume, "Liver later", (slice(0, 4), slice(0, 4)))
    before = toMasks(nodes.others[OTHER], second.volume)
    measured = replace(findings, masks=(), heat_maps=())
    again = fromFindings(measured, first.volume, nodes.segmentation, others=others)
    assert again.others == nodes.others
    assert same_masks(toMasks(nodes.others[OTHER], second.volume), tuple(before.values()))


def test_if_it_fails_the_scene_is_as_it_was():
    first, second, *cines = pair()
    findings, others = both(*cines), {OTHER: OtherImage(second.volume)}
    fromFindings(findings, first.volume, others=others)
    before = film_digest()
    wrong = HeatMap("Wrong", np.full(cines[1].grid.shape, 2.0, np.float32), cines[1].grid, OTHER)
    with pytest.raises(ValueError, match="Wrong"):
        fromFindings(replace(findings, heat_maps=(*findings.heat_maps, wrong)), first.volume, others=others)
    assert film_digest() == before
    lonely = replace(findings, masks=masks_of(findings, OTHER))
    clear_scene()
    first, second, *_cines = pair()
    with pytest.raises(ValueError, match="belong to no segmentation"):
        fromFindings(lonely, first.volume, others={OTHER: OtherImage(second.volume)})
