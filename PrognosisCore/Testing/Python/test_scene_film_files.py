# ruff: noqa: E402
"""A film's results in files: whole scenes, and segmentations whose slices are the frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from PrognosisLib import headless

headless.start()

import SimpleITK as sitk
import slicer
from film_cases import COUNT, a_cine, coarse, erase, film_findings, same_masks, show
from scene_cases import clear_scene, fail_at

from PrognosisLib import scene
from PrognosisLib.errors import InputError
from PrognosisLib.findings import Findings, Mask
from PrognosisLib.scene import film_segments
from PrognosisLib.scene.films import trackOf


@pytest.fixture(autouse=True)
def empty_scene():
    clear_scene()
    yield
    headless.vtkErrorRecorder().check()
    clear_scene()


@pytest.fixture
def film():
    return scene.fromCine(a_cine())


@pytest.fixture
def findings(film):
    return film_findings(coarse(scene.toCine(film.volume).grid), dtype=np.uint8)


def reload(path) -> None:
    scene.saveScene(path)
    clear_scene()
    assert slicer.mrmlScene.ReadFromMRB(str(path), True)


def cine_sequence():
    return next(one for one in slicer.util.getNodesByClass("vtkMRMLSequenceNode") if one.GetName() == "liver")


@pytest.mark.parametrize("shown", [0, 6])
def test_a_saved_scene_has_everything_and_plays(film, findings, tmp_path, shown):
    scene.fromFindings(findings, film.volume)
    show(film.browser, shown)
    reload(tmp_path / "case.mrb")
    again = scene.filmOf(cine_sequence())
    found = scene.findResults("film", again.volume)
    assert same_masks(scene.toMasks(found.segmentation, again.volume), findings.masks)
    assert scene.toMasks(found.segmentation, again.volume)["Liver"].volume_ml == findings.masks[0].volume_ml
    (heat,) = scene.readHeatMaps(found.heatMaps, again.volume)
    assert np.array_equal(heat.array, findings.heat_maps[0].array)
    assert heat.array.dtype == np.uint8
    assert np.array_equal(heat.grid.ijk_to_ras, findings.heat_maps[0].grid.ijk_to_ras)
    assert scene.readTable(found.table).measurements == findings.measurements
    assert len(found.plotCharts) == 1
    for number in (8, 4, 1):
        show(again.browser, number)
        assert np.array_equal(slicer.util.arrayFromVolume(found.heatMaps[0])[0], heat.array[number])
        count = slicer.util.arrayFromSegmentBinaryLabelmap(found.segmentation, "Liver", found.heatMaps[0]).sum()
        assert count == findings.masks[0].full()[number].sum()


def test_the_next_run_in_a_loaded_scene_replaces_what_is_untouched(film, findings, tmp_path):
    scene.fromFindings(findings, film.volume)
    reload(tmp_path / "case.mrb")
    sequence = cine_sequence()
    first, count = scene.findResults("film", sequence), slicer.mrmlScene.GetNumberOfNodes()
    second = film_findings(findings.masks[0].grid, shift=3, dtype=np.uint8)
    assert scene.fromFindings(second, sequence) == first
    assert slicer.mrmlScene.GetNumberOfNodes() == count
    assert same_masks(scene.toMasks(first.segmentation, sequence), second.masks)
    show(scene.filmOf(sequence).browser, 5)
    erase(first.segmentation, "Liver")
    reload(tmp_path / "edited.mrb")
    sequence = cine_sequence()
    edited = scene.findResults("film", sequence).segmentation
    liver = scene.toMasks(edited, sequence)["Liver"]
    assert (liver.volume_ml, liver.evidence) == (None, second.masks[0].evidence)
    assert scene.fromFindings(second, sequence).segmentation is not edited


def test_a_segmentation_file_has_the_frames_as_slices_and_comes_back(film, findings, tmp_path):
    result = scene.fromFindings(findings, film.volume)
    count = slicer.mrmlScene.GetNumberOfNodes()
    scene.saveSegmentation(result.segmentation, tmp_path / "a.seg.nrrd")
    assert slicer.mrmlScene.GetNumberOfNodes() == count
    image = sitk.ReadImage(tmp_path / "a.seg.nrrd")
    assert image.GetSize() == (24, 16, COUNT)
    assert image.GetSpacing() == pytest.approx((0.75, 1.2, 1.0))
    clear_scene()
    other = scene.fromCine(a_cine())
    node = scene.loadSegmentation(tmp_path / "a.seg.nrrd", other.volume)
    assert len(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")) == 1
    assert trackOf(node).browser is other.browser
    assert node.GetName() == "a"
    found = scene.toMasks(node, other.volume)
    assert same_masks(found, findings.masks)
    assert found["Liver"].evidence == findings.masks[0].evidence
    assert found["Liver"].confidence == findings.masks[0].confidence
    show(other.browser, 3)
    assert node.GetSegmentation() is trackOf(node).items[3].GetSegmentation()


def test_a_stack_is_measured_as_it_is(film, findings, tmp_path):
    """As when a user drops the file into Slicer, and as other programs write it."""
    result = scene.fromFindings(findings, film.volume)
    scene.saveSegmentation(result.segmentation, tmp_path / "a.seg.nrrd")
    stack = scene.loadSegmentation(tmp_path / "a.seg.nrrd")
    assert trackOf(stack) is None
    assert same_masks(scene.toMasks(stack, film.volume), findings.masks)
    array = (np.random.default_rng(0).random((COUNT, *scene.toCine(film.volume).frame_shape)) > 0.7).astype(np.uint8)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((0.3, 0.4, 1.0))
    image.SetDirection(np.diag([1.0, 1.0, 1.0]).ravel().tolist())
    sitk.WriteImage(image, tmp_path / "labels.nrrd")
    labels = scene.loadSegmentation(tmp_path / "labels.nrrd", film.volume)
    (mask,) = scene.toMasks(labels, film.volume).values()
    assert np.array_equal(mask.full(), array)


@pytest.mark.parametrize("filled", [[], [0], [5]])
def test_few_filled_frames_keep_their_number(film, tmp_path, filled):
    lattice = coarse(scene.toCine(film.volume).grid)
    array = np.zeros(lattice.shape, dtype=bool)
    array[filled, 2:5, 3:9] = True
    empty = Mask("Liver", np.zeros((0, 0, 0), dtype=bool), (0, 0, 0), lattice, evidence="seen")
    mask = replace(Mask.from_full("Liver", array, lattice), evidence="seen") if filled else empty
    result = scene.fromFindings(Findings("film", (mask,)), film.volume)
    scene.saveSegmentation(result.segmentation, tmp_path / "a.seg.nrrd")
    for node in (
        scene.loadSegmentation(tmp_path / "a.seg.nrrd"),
        scene.loadSegmentation(tmp_path / "a.seg.nrrd", film.volume),
    ):
        found = scene.toMasks(node, film.volume)["Liver"]
        assert np.array_equal(found.full(), array)
        assert found.evidence == "seen"
    reload(tmp_path / "case.mrb")
    found = scene.toMasks(scene.findResults("film", cine_sequence()).segmentation, cine_sequence())["Liver"]
    assert np.array_equal(found.full(), array)
    assert found.evidence == "seen"


def test_a_file_that_is_no_segmentation_of_the_film_leaves_no_node(film, findings, tmp_path, monkeypatch):
    result = scene.fromFindings(findings, film.volume)
    scene.saveSegmentation(result.segmentation, tmp_path / "a.seg.nrrd")
    sitk.WriteImage(sitk.GetImageFromArray(np.ones((1, 48, 60), np.uint8)), tmp_path / "flat.nrrd")
    count = slicer.mrmlScene.GetNumberOfNodes()
    with pytest.raises(InputError, match="drawn on one image"):
        scene.loadSegmentation(tmp_path / "flat.nrrd", film.volume)
    assert slicer.mrmlScene.GetNumberOfNodes() == count
    fail_at(monkeypatch, film_segments, "play", 1)
    with pytest.raises(MemoryError):
        scene.loadSegmentation(tmp_path / "a.seg.nrrd", film.volume)
    assert slicer.mrmlScene.GetNumberOfNodes() == count
