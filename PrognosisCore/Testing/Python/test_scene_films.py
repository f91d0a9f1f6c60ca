# ruff: noqa: E402
"""Findings of a cine in the scene: they lie on its frames, play with it, follow edits, and come back as they were."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from PrognosisLib import headless

headless.start()

import slicer
from film_cases import (
    COLUMNS,
    COUNT,
    EMPTY_FRAMES,
    ROWS,
    a_cine,
    coarse,
    draw,
    erase,
    film_findings,
    items_of,
    lattices,
    same_masks,
    segments_matrix,
    show,
)
from scene_cases import add_transform, clear_scene, linear_transforms

from PrognosisLib import scene
from PrognosisLib.errors import InputError
from PrognosisLib.findings import Findings, Mask
from PrognosisLib.scene.editing import segmentToEdit
from PrognosisLib.scene.films import trackOf
from PrognosisLib.scene.segments import imageMatrix
from PrognosisLib.volume import Grid


@pytest.fixture(autouse=True)
def empty_scene():
    clear_scene()
    yield
    headless.vtkErrorRecorder().check()
    clear_scene()


@pytest.fixture
def film():
    return scene.fromCine(a_cine())


def grid_of(node) -> Grid:
    return scene.toCine(node).grid


# --- where findings are -----------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(st.data(), linear_transforms(), st.sampled_from(["sequence", "browser", "volume"]))
def test_masks_and_heat_maps_come_back_as_they_were(data, parent, chosen):
    clear_scene()
    nodes = scene.fromCine(a_cine())
    nodes.volume.SetAndObserveTransformNodeID(add_transform(parent).GetID())
    node = getattr(nodes, chosen)
    grid = grid_of(node)
    lattice = data.draw(lattices(grid))
    findings = film_findings(lattice, dtype=data.draw(st.sampled_from([np.uint8, np.float32])))
    result = scene.fromFindings(findings, node, grid=grid)
    show(nodes.browser, data.draw(st.integers(0, COUNT - 1)))
    found = scene.toMasks(result.segmentation, node, grid=grid)
    assert same_masks(found, findings.masks)
    liver = found["Liver"]
    assert (liver.volume_ml, liver.confidence, liver.evidence) == (
        findings.masks[0].volume_ml,
        findings.masks[0].confidence,
        findings.masks[0].evidence,
    )
    assert (liver.visible, found["Vessel"].visible) == (True, False)
    (heat,) = scene.readHeatMaps(result.heatMaps, node, grid)
    assert heat.array.dtype == findings.heat_maps[0].array.dtype
    assert np.array_equal(heat.array, findings.heat_maps[0].array)
    assert np.array_equal(heat.grid.ijk_to_ras, lattice.ijk_to_ras)


@settings(max_examples=25, deadline=None)
@given(st.data(), linear_transforms())
def test_each_pixel_lies_on_the_pixels_of_its_frame(data, parent):
    """Frames may lie elsewhere each, as of a tracked probe."""
    clear_scene()
    nodes = scene.fromCine(a_cine())
    for number in range(COUNT):
        nodes.sequence.GetNthDataNode(number).SetOrigin(5.0 * number, -3.0, 2.0 * number)
    nodes.volume.SetAndObserveTransformNodeID(add_transform(parent).GetID())
    grid = grid_of(nodes.volume)
    lattice = data.draw(lattices(grid))
    result = scene.fromFindings(film_findings(lattice), nodes.volume, grid=grid)
    number = data.draw(st.integers(0, COUNT - 1))
    show(nodes.browser, number)
    in_frame = np.linalg.inv(grid.ijk_to_ras) @ lattice.ijk_to_ras
    in_frame[2] = in_frame[:, 2] = (0, 0, 1, 0)
    wanted = segments_matrix(nodes.volume) @ in_frame
    assert segments_matrix(result.heatMaps[0]) == pytest.approx(wanted, abs=1e-9)
    image = result.segmentation.GetSegmentation().GetSegment("Liver").GetRepresentation("Binary labelmap")
    assert imageMatrix(image) == pytest.approx(wanted, abs=1e-9)
    for node in (result.segmentation, result.heatMaps[0]):
        assert node.GetParentTransformNode() is nodes.volume.GetParentTransformNode()


def test_a_transform_changed_during_the_run_takes_findings_along(film):
    grid = grid_of(film.volume)
    findings = film_findings(coarse(grid))
    film.volume.SetAndObserveTransformNodeID(add_transform(np.diag([2.0, 1.0, 1.0, 1.0])).GetID())
    result = scene.fromFindings(findings, film.volume, grid=grid)
    assert same_masks(scene.toMasks(result.segmentation, film.volume, grid=grid), findings.masks)
    now = grid_of(film.volume)
    moved = scene.toMasks(result.segmentation, film.volume)["Liver"].grid
    assert moved.ijk_to_ras == pytest.approx(coarse(now).ijk_to_ras)


def test_color_cines_and_stills_have_findings_too():
    for cine in (a_cine(color=True), a_cine(count=1), a_cine(pixel=None)):
        clear_scene()
        nodes = scene.fromCine(cine)
        findings = film_findings(coarse(cine.grid))
        result = scene.fromFindings(findings, nodes.volume, grid=cine.grid)
        assert same_masks(scene.toMasks(result.segmentation, nodes.volume, grid=cine.grid), findings.masks)


def test_a_sequence_without_a_browser_gets_one(film):
    slicer.mrmlScene.RemoveNode(film.browser)
    slicer.mrmlScene.RemoveNode(film.volume)
    findings = film_findings(coarse(grid_of(film.sequence)))
    result = scene.fromFindings(findings, film.sequence)
    found = scene.filmOf(film.sequence)
    assert trackOf(result.segmentation).browser is found.browser
    assert scene.shownVolume(film.sequence) is found.volume
    assert same_masks(scene.toMasks(result.segmentation, film.sequence), findings.masks)


def test_the_slices_of_a_volume_have_findings_as_slices():
    """A multi-frame file as Slicer loads it without the Sequences module, and a still."""
    for frames in (a_cine(), a_cine(count=1)):
        node = slicer.util.addVolumeFromArray(np.stack(list(frames.frames())), name="slices")
        node.SetSpacing(0.3, 0.4, 7.0)
        grid = grid_of(node)
        findings = film_findings(coarse(grid))
        result = scene.fromFindings(findings, node, grid=grid)
        assert trackOf(result.segmentation) is None
        assert same_masks(scene.toMasks(result.segmentation, node, grid=grid), findings.masks)
        (heat,) = scene.readHeatMaps(result.heatMaps, node, grid)
        assert heat.grid.ijk_to_ras == pytest.approx(coarse(grid).ijk_to_ras)


# --- playing ----------------------------------------------------------------------------------------------------------


def test_everything_plays_in_step(film):
    findings = film_findings(coarse(grid_of(film.volume)), dtype=np.uint8)
    result = scene.fromFindings(findings, film.volume)
    liver = findings.masks[0].full()
    assert film.browser.GetNumberOfSynchronizedSequenceNodes(True) == 3
    for number in (3, 0, COUNT - 1, 4):
        show(film.browser, number)
        assert slicer.util.arrayFromVolume(film.volume)[0, 0, 0] == number
        assert np.array_equal(slicer.util.arrayFromVolume(result.heatMaps[0])[0], findings.heat_maps[0].array[number])
        segment = result.segmentation.GetSegmentation().GetSegment("Liver")
        image = segment.GetRepresentation("Binary labelmap")
        filled = 0 if image.IsEmpty() else int(image.GetPointData().GetScalars().GetRange()[1] > 0)
        assert filled == liver[number].any()
    for name in ("segmentation", "heat"):
        node = result.segmentation if name == "segmentation" else result.heatMaps[0]
        track = trackOf(node)
        values = [track.sequence.GetNthIndexValue(n) for n in range(COUNT)]
        assert values == [film.sequence.GetNthIndexValue(n) for n in range(COUNT)]
        assert (track.sequence.GetIndexName(), track.sequence.GetIndexUnit()) == ("time", "s")


def test_frames_without_mask_have_their_item_and_segments_look_alike_in_all(film):
    result = scene.fromFindings(film_findings(coarse(grid_of(film.volume))), film.volume)
    looks = set()
    for item in items_of(result.segmentation):
        segmentation = item.GetSegmentation()
        assert list(segmentation.GetSegmentIDs()) == ["Liver", "Vessel"]
        looks.add(tuple(segmentation.GetSegment(key).GetColor() for key in ("Liver", "Vessel")))
    assert len(looks) == 1
    assert len(items_of(result.segmentation)) == COUNT
    assert len(EMPTY_FRAMES) == 2
    display = result.segmentation.GetDisplayNode()
    for number in range(COUNT):
        show(film.browser, number)
        assert display.GetSegmentVisibility("Liver")
        assert not display.GetSegmentVisibility("Vessel")


def test_heat_maps_are_transparent_below_a_tenth(film):
    for dtype, highest in ((np.uint8, 255.0), (np.float32, 1.0)):
        findings = replace(film_findings(coarse(grid_of(film.volume)), dtype=dtype), system=np.dtype(dtype).name)
        display = scene.fromFindings(findings, film.volume).heatMaps[0].GetDisplayNode()
        assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == (0, highest)
        assert display.GetApplyThreshold()
        assert display.GetLowerThreshold() == pytest.approx(highest / 10)


def test_the_segments_are_edited_on_the_lattice_of_the_masks(film):
    result = scene.fromFindings(film_findings(coarse(grid_of(film.volume))), film.volume)
    image = slicer.vtkOrientedImageData()
    for number in (0, 5):
        show(film.browser, number)
        text = result.segmentation.GetSegmentation().GetConversionParameter("Reference image geometry")
        assert slicer.vtkSegmentationConverter.DeserializeImageGeometry(text, image, False)
        assert image.GetDimensions() == (24, 16, 1)
        assert image.GetSpacing() == pytest.approx((0.75, 1.2, 1.0))


def test_a_place_is_shown_in_its_frame(film):
    film.volume.SetAndObserveTransformNodeID(add_transform(np.diag([-2.0, 1.0, 1.0, 1.0])).GetID())
    grid = grid_of(film.volume)
    view = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceNode", "Red")
    view.SetOrientation("Sagittal")
    scene.jumpTo(grid.to_ras(np.array([[6, 20, 10]]))[0], film.sequence)
    assert film.browser.GetSelectedItemNumber() == 6
    assert view.GetSliceToRAS().GetElement(0, 3) == pytest.approx(2.0 * 0.3 * 10)
    slices = slicer.util.addVolumeFromArray(np.zeros((COUNT, ROWS, COLUMNS), np.uint8))
    slices.SetSpacing(0.5, 0.4, 7.0)
    view.SetOrientation("Axial")
    scene.jumpTo(grid_of(slices).to_ras(np.array([[6, 20, 10]]))[0], slices)
    assert view.GetSliceToRAS().GetElement(2, 3) == pytest.approx(6 * 7.0)


# --- edits ------------------------------------------------------------------------------------------------------------


def test_an_edit_of_one_frame_stays_there_and_is_read(film):
    grid = grid_of(film.volume)
    findings = film_findings(coarse(grid))
    result = scene.fromFindings(findings, film.volume)
    show(film.browser, 4)
    draw(result.segmentation, film.volume, "Liver", (slice(30, 36), slice(40, 45)))
    show(film.browser, 7)
    found = scene.toMasks(result.segmentation, film.volume)
    wanted = findings.masks[0].full()
    wanted[4, 10:12, 16:18] = 1
    assert np.array_equal(found["Liver"].full(), wanted)
    assert np.array_equal(found["Liver"].grid.ijk_to_ras, coarse(grid).ijk_to_ras)
    assert (found["Liver"].volume_ml, found["Liver"].confidence) == (None, None)
    assert found["Liver"].evidence == findings.masks[0].evidence
    assert found["Vessel"].checksum == findings.masks[1].checksum
    show(film.browser, 4)
    assert slicer.util.arrayFromSegmentBinaryLabelmap(result.segmentation, "Liver", film.volume).sum() == 30


def test_the_next_run_replaces_what_is_untouched_and_keeps_what_was_edited(film):
    grid = grid_of(film.volume)
    first = scene.fromFindings(film_findings(coarse(grid)), film.volume)
    count = slicer.mrmlScene.GetNumberOfNodes()
    show(film.browser, 3)
    second = film_findings(coarse(grid), shift=1)
    assert scene.fromFindings(second, film.browser) == first
    assert slicer.mrmlScene.GetNumberOfNodes() == count
    assert same_masks(scene.toMasks(first.segmentation, film.volume), second.masks)
    (heat,) = scene.readHeatMaps(first.heatMaps, film.volume)
    assert np.array_equal(heat.array, second.heat_maps[0].array)
    assert np.array_equal(slicer.util.arrayFromVolume(first.heatMaps[0])[0], heat.array[3])
    erase(first.segmentation, "Vessel")
    show(film.browser, 0)
    third = scene.fromFindings(second, film.volume)
    assert third.segmentation is not first.segmentation
    assert scene.findResults("film", film.sequence).segmentation is third.segmentation
    assert scene.resultsOf("film", film.browser, first.segmentation).heatMaps == first.heatMaps
    assert film.browser.GetNumberOfSynchronizedSequenceNodes(True) == 5


def test_what_a_run_no_longer_has_is_removed_with_its_sequence(film):
    grid = grid_of(film.volume)
    scene.fromFindings(film_findings(coarse(grid)), film.volume)
    before = slicer.mrmlScene.GetNumberOfNodes()
    again = scene.fromFindings(replace(film_findings(coarse(grid)), heat_maps=()), film.volume)
    assert again.heatMaps == ()
    assert film.browser.GetNumberOfSynchronizedSequenceNodes(True) == 2
    assert before - slicer.mrmlScene.GetNumberOfNodes() == 3  # volume, display, sequence


def test_a_given_segmentation_keeps_its_other_segments(film):
    grid = grid_of(film.volume)
    first = scene.fromFindings(film_findings(coarse(grid)), film.volume)
    finer = coarse(grid, (1.5, 1.5), (30, 40))
    liver = Mask.from_full("liver", np.ones(finer.shape, dtype=bool), finer)
    second = scene.fromFindings(Findings("film", (liver,)), film.volume, first.segmentation)
    assert second.segmentation is first.segmentation
    found = scene.toMasks(first.segmentation, film.volume)
    assert set(found) == {"Liver", "Vessel"}
    assert found["Liver"].array.all()
    assert found["Liver"].grid.shape == finer.shape
    assert found["Vessel"].checksum == film_findings(coarse(grid)).masks[1].checksum


def test_an_empty_segmentation_of_the_user_takes_the_masks(film):
    mine = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Mine")
    findings = film_findings(coarse(grid_of(film.volume)))
    assert scene.fromFindings(findings, film.volume, mine).segmentation is mine
    show(film.browser, 5)
    assert same_masks(scene.toMasks(mine, film.volume), findings.masks)


def test_a_segment_can_be_drawn_where_there_is_none(film):
    node, segmentID = segmentToEdit(film.sequence, None, "Liver")
    assert trackOf(node).browser is film.browser
    assert scene.toMasks(node, film.volume)["Liver"].is_empty
    show(film.browser, 2)
    draw(node, film.volume, "Liver", (slice(3, 9), slice(5, 9)))
    show(film.browser, 3)
    again = segmentToEdit(film.volume, node, "Liver")
    assert again == (node, segmentID)
    other = segmentToEdit(film.volume, node, "Vessel")[1]
    assert other != segmentID
    draw(node, film.volume, "Vessel", (slice(0, 1), slice(0, 1)))
    found = scene.toMasks(node, film.volume)
    wanted = np.zeros((COUNT, ROWS, COLUMNS), np.uint8)
    wanted[2, 3:9, 5:9] = 1
    assert np.array_equal(found["Liver"].full(), wanted)
    assert np.argwhere(found["Vessel"].full()).tolist() == [[3, 0, 0]]


def test_a_segment_that_the_user_adds_is_read_on_the_lattice_of_the_others(film):
    lattice = coarse(grid_of(film.volume))
    result = scene.fromFindings(film_findings(lattice), film.volume)
    show(film.browser, 6)
    result.segmentation.GetSegmentation().AddEmptySegment("random_id", "Cyst")
    draw(result.segmentation, film.volume, "Cyst", (slice(0, 6), slice(0, 5)))
    cyst = scene.toMasks(result.segmentation, film.volume, ["Cyst"])["Cyst"]
    assert np.array_equal(cyst.grid.ijk_to_ras, lattice.ijk_to_ras)
    assert np.argwhere(cyst.full()).tolist() == [[6, 0, 0], [6, 0, 1], [6, 1, 0], [6, 1, 1]]


# --- what cannot be ---------------------------------------------------------------------------------------------------


def test_findings_of_other_frames_are_refused(film):
    grid = grid_of(film.volume)
    shorter = Grid((COUNT - 1, *grid.shape[1:]), grid.ijk_to_ras)
    tilted = Grid(grid.shape, grid.ijk_to_ras @ np.array([[1, 0, 0, 0], [0, 1, 0.1, 0], [0, 0, 1, 0], [0, 0, 0, 1]]))
    later = Grid(grid.shape, grid.ijk_to_ras @ np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 1]]))
    for lattice in (shorter, tilted, later):
        with pytest.raises(ValueError, match="its frames along k"):
            scene.fromFindings(film_findings(lattice), film.volume)
    with pytest.raises(InputError, match="changed during the run"):
        scene.fromFindings(film_findings(shorter), film.volume, grid=shorter)


def test_a_segmentation_of_one_image_or_another_film_is_refused(film):
    flat = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Flat")
    flat.SetReferenceImageGeometryParameterFromVolumeNode(film.volume)
    flat.GetSegmentation().AddEmptySegment("a", "Liver")
    draw(flat, film.volume, "Liver", (slice(0, 5), slice(0, 5)))
    findings = film_findings(coarse(grid_of(film.volume)))
    for use in (lambda: scene.toMasks(flat, film.volume), lambda: scene.fromFindings(findings, film.volume, flat)):
        with pytest.raises(InputError, match="drawn on one image and not on the frames of 'liver"):
            use()
    other = scene.fromCine(a_cine(count=5))
    theirs = scene.fromFindings(film_findings(coarse(grid_of(other.volume))), other.volume).segmentation
    with pytest.raises(InputError, match="has 5 frames where"):
        scene.toMasks(theirs, film.volume)


def test_a_volume_of_a_sequence_of_scans_is_no_film():
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "scans")
    for number in range(3):
        sequence.SetDataNodeAtValue(slicer.util.addVolumeFromArray(np.zeros((4, 5, 6), np.int16)), str(number))
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "browser")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    assert scene.filmOf(browser.GetProxyNode(sequence)) is None
    assert scene.filmOf(sequence) is None
    assert scene.filmOf(None) is None
