"""Cines as sequences of the scene and back: frames, times, playing rate, pixel size, under transforms, from files."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
from cine_cases import film, in_color, region, save, ultrasound
from scene_cases import clear_scene, slicer, vtk

from PrognosisLib import headless
from PrognosisLib.errors import InputError
from PrognosisLib.images.cine.cine import ArrayFrames, Cine
from PrognosisLib.images.cine.reading import read_cine
from PrognosisLib.scene import fromCine, toCine

GRAY = film()
COLOR = in_color(GRAY)
COLOR[:, 40:60, 50:70, 0] = 200
TIMES = np.array([0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.4, 0.45])


@pytest.fixture(autouse=True)
def empty_scene():
    clear_scene()
    yield
    headless.vtkErrorRecorder().check()


def cine_of(frames=GRAY, pixel=(0.4, 0.3), **more) -> Cine:
    return Cine(ArrayFrames(frames), TIMES[: len(frames)], pixel, name="liver", **more)


def all_frames(cine: Cine) -> np.ndarray:
    return np.stack(list(cine.frames()))


@pytest.mark.parametrize("frames", [GRAY, COLOR, GRAY.astype(np.uint16) * 200, GRAY[:1]])
def test_a_cine_comes_back_as_it_was(frames):
    nodes = fromCine(cine_of(frames))
    for node in nodes:
        back = toCine(node)
        assert np.array_equal(all_frames(back), frames)
        assert back.frame(0).dtype == frames.dtype
        assert back.times_s == pytest.approx(TIMES[: len(frames)])
        assert back.pixel_mm == pytest.approx((0.4, 0.3))
        assert back.notes == ()


def test_the_browser_plays_at_the_right_rate_and_shows_each_frame():
    nodes = fromCine(cine_of())
    assert nodes.browser.GetPlaybackRateFps() == pytest.approx(20)
    assert nodes.browser.GetNumberOfItems() == 8
    assert (nodes.sequence.GetIndexName(), nodes.sequence.GetIndexUnit()) == ("time", "s")
    assert [float(nodes.sequence.GetNthIndexValue(n)) for n in range(8)] == pytest.approx(TIMES)
    assert nodes.volume.GetSpacing() == pytest.approx((0.3, 0.4, 1.0))
    assert nodes.volume.GetDisplayNode().GetWindow() == 255
    for number in (5, 0, 7):
        nodes.browser.SetSelectedItemNumber(number)
        slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(nodes.browser)
        assert np.array_equal(slicer.util.arrayFromVolume(nodes.volume)[0], GRAY[number])


def test_color_frames_are_shown_as_vector_volumes():
    nodes = fromCine(cine_of(COLOR))
    assert nodes.volume.IsA("vtkMRMLVectorVolumeNode")
    assert np.array_equal(slicer.util.arrayFromVolume(nodes.volume)[0], COLOR[0])
    assert nodes.volume.GetDisplayNode() is not None


def test_names_are_unique():
    first, second = fromCine(cine_of()), fromCine(cine_of())
    names = [node.GetName() for node in (*first, *second)]
    assert len(set(names)) == 6
    assert first.sequence.GetName() == "liver"


def test_what_only_the_file_knows_is_kept(tmp_path):
    dataset = ultrasound(GRAY, SequenceOfUltrasoundRegions=[region((20, 0, 110, 90))], BurnedInAnnotation="YES")
    cine = read_cine(save(dataset, tmp_path / "cine.dcm"))
    back = toCine(fromCine(cine).volume)
    assert back.regions == cine.regions
    assert back.burned_in is True
    unknown = toCine(fromCine(replace(cine, pixel_mm=None, notes=("no size",))).browser)
    assert unknown.pixel_mm is None
    assert unknown.notes == ("no size",)


def test_a_scaling_transform_scales_the_pixels():
    nodes = fromCine(cine_of())
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode")
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 0, 2.0)
    transform.SetMatrixTransformToParent(matrix)
    nodes.volume.SetAndObserveTransformNodeID(transform.GetID())
    assert toCine(nodes.volume).pixel_mm == pytest.approx((0.4, 0.6))


def test_a_saved_scene_and_a_saved_sequence_come_back(tmp_path):
    nodes = fromCine(cine_of(COLOR, notes=("a note",)))
    assert slicer.util.saveNode(nodes.sequence, str(tmp_path / "cine.seq.nrrd"))
    assert np.array_equal(all_frames(read_cine(tmp_path / "cine.seq.nrrd")), COLOR)
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    clear_scene()
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    (sequence,) = slicer.util.getNodesByClass("vtkMRMLSequenceNode")
    back = toCine(sequence)
    assert np.array_equal(all_frames(back), COLOR)
    assert back.times_s == pytest.approx(TIMES)
    assert back.notes == ("a note",)
    clear_scene()
    slicer.util.loadSequence(str(tmp_path / "cine.seq.nrrd"))
    (sequence,) = slicer.util.getNodesByClass("vtkMRMLSequenceNode")
    assert np.array_equal(all_frames(toCine(sequence)), COLOR)


def test_a_cine_of_the_scene_can_be_sent_to_the_worker_and_outlives_its_nodes():
    cine = toCine(fromCine(cine_of()).volume)
    clear_scene()
    assert np.array_equal(all_frames(pickle.loads(pickle.dumps(cine))), GRAY)


def test_a_multi_frame_volume_is_taken_slice_by_slice():
    node = slicer.util.addVolumeFromArray(GRAY)
    cine = toCine(node)
    assert np.array_equal(all_frames(cine), GRAY)
    assert cine.pixel_mm is None
    assert any("slices of a volume" in note for note in cine.notes)
    color = slicer.util.addVolumeFromArray(COLOR, nodeClassName="vtkMRMLVectorVolumeNode")
    assert np.array_equal(all_frames(toCine(color)), COLOR)


def test_index_values_that_are_no_times():
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "counted")
    sequence.SetIndexName("frame")
    sequence.SetIndexUnit("")
    for number, frame in enumerate(GRAY):
        sequence.SetDataNodeAtValue(slicer.util.addVolumeFromArray(frame[None]), str(number))
    cine = toCine(sequence)
    assert np.array_equal(all_frames(cine), GRAY)
    assert cine.times_s == pytest.approx(np.arange(8) / 25)
    assert any("no times" in note for note in cine.notes)


def test_what_is_no_cine_is_refused():
    def refusal(node) -> str:
        with pytest.raises(InputError) as error:
            toCine(node)
        assert str(error.value).endswith(".")
        return str(error.value)

    assert "No cine is chosen" in refusal(None)
    empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "empty")
    assert "no frame" in refusal(empty)
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "idle")
    assert "plays no sequence" in refusal(browser)
    texts = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "texts")
    texts.SetDataNodeAtValue(slicer.vtkMRMLTextNode(), "0")
    assert "no images" in refusal(texts)
    nodes = fromCine(cine_of())
    nodes.sequence.GetNthDataNode(3).SetSpacing(0.3, 0.5, 1)
    assert "size of their pixels" in refusal(nodes.sequence)
    nodes.sequence.SetDataNodeAtValue(slicer.util.addVolumeFromArray(GRAY[:1, :50]), "0.0")
    assert "differs from the first" in refusal(nodes.sequence)
    volumes = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "volumes")
    volumes.SetDataNodeAtValue(slicer.util.addVolumeFromArray(GRAY), "0")
    assert "volumes of 8 slices" in refusal(volumes)
    assert "no gray values" in refusal(slicer.util.addVolumeFromArray(GRAY - 0.5))
