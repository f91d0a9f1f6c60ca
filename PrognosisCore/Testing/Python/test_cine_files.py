"""Cines from video, NRRD sequences and numbered images: exact gray values, times, what is refused."""

from __future__ import annotations

import builtins
import pickle
import tracemalloc

import numpy as np
import pytest
import SimpleITK as sitk
from cine_cases import film, h264, in_color, save, ultrasound, write_video
from PIL import Image

from PrognosisLib.errors import InputError
from PrognosisLib.images.cine.cine import ArrayFrames, Cine, to_gray
from PrognosisLib.images.cine.reading import read_cine

pytest.importorskip("cv2", reason="video needs OpenCV, which is not installed on macOS")

GRAY = film()
COLOR = in_color(GRAY)
COLOR[:, 40:60, 50:70, 0] = 200


def refusal(path) -> str:
    with pytest.raises(InputError) as error:
        list(read_cine(path).frames())
    text = str(error.value)
    assert "\n" not in text
    assert text.endswith(".")
    return text


# --- video ------------------------------------------------------------------------------------------------------------


def test_a_lossless_gray_video_is_exact(tmp_path):
    cine = read_cine(write_video(tmp_path / "cine.avi", GRAY))
    assert cine.source.shape == GRAY.shape
    assert np.array_equal(np.stack(list(cine.frames())), GRAY)
    assert cine.times_s == pytest.approx(np.arange(8) / 12.5)
    assert cine.frame_rate == pytest.approx(12.5)
    assert cine.pixel_mm is None
    assert any("size of a pixel" in note for note in cine.notes)


def test_a_color_video_keeps_its_color_for_the_viewer(tmp_path):
    cine = read_cine(write_video(tmp_path / "cine.avi", COLOR))
    assert cine.is_color
    assert np.array_equal(np.stack(list(cine.frames())), COLOR)
    assert np.array_equal(cine.window(0, 8), to_gray(COLOR))


@pytest.mark.parametrize(("code", "suffix", "most"), [("MJPG", "avi", 6), ("mp4v", "mp4", 8)])
def test_lossy_videos_are_close_and_gray(tmp_path, code, suffix, most):
    cine = read_cine(write_video(tmp_path / f"cine.{suffix}", in_color(GRAY), code))
    assert cine.source.shape == GRAY.shape
    assert np.abs(cine.window(0, 8).astype(int) - GRAY).mean() < most
    assert cine.window(0, 8)[:, -4:].mean() < 2  # black stays black in both ranges
    assert any("stretched" in note for note in cine.notes) == (code == "mp4v")


@pytest.mark.parametrize("full_range", [True, False])
def test_the_luma_of_h264_is_exact(tmp_path, full_range):
    stored = np.clip(GRAY, 16, 235)
    (tmp_path / "cine.h264").write_bytes(h264(stored, full_range))
    cine = read_cine(tmp_path / "cine.h264")
    stretched = np.clip(np.rint((stored.astype(float) - 16) * 255 / 219), 0, 255)
    assert np.array_equal(cine.window(0, 8), stored if full_range else stretched)
    assert any("stretched" in note for note in cine.notes) != full_range
    assert any("25 per second are assumed" in note for note in cine.notes)


def test_frames_in_any_order_and_of_two_readers_at_once(tmp_path):
    cine = read_cine(write_video(tmp_path / "cine.avi", COLOR))
    for index in (6, 2, 3, -1, 0):
        assert np.array_equal(cine.frame(index), COLOR[index])
        assert np.array_equal(cine.frame(index, gray=True), to_gray(COLOR[index]))
    for number, (one, other) in enumerate(zip(cine.frames(), cine.frames(1), strict=False)):
        assert np.array_equal(one, COLOR[number])
        assert np.array_equal(other, COLOR[number + 1])
    assert len(list(cine.frames(0, 8, 3))) == 3
    assert np.array_equal(pickle.loads(pickle.dumps(cine)).frame(4), COLOR[4])


def test_memory_does_not_grow_with_the_length_of_a_video(tmp_path):
    frames = np.tile(film(4, (200, 256)), (40, 1, 1))
    cine = read_cine(write_video(tmp_path / "cine.avi", frames))
    next(cine.frames())
    tracemalloc.start()
    total = sum(int(frame.sum()) for frame in cine.gray_frames())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == int(frames.sum())
    assert peak < 10 * 200 * 256


def test_videos_that_cannot_be_read_are_refused(tmp_path, capfd):
    whole = write_video(tmp_path / "cine.avi", in_color(GRAY), "MJPG").read_bytes()
    (tmp_path / "cine.avi").write_bytes(whole[: len(whole) // 2])
    assert "cut short" in refusal(tmp_path / "cine.avi")
    (tmp_path / "cine.mp4").write_bytes(write_video(tmp_path / "c.mp4", in_color(GRAY), "mp4v").read_bytes()[:4000])
    assert "no video that can be read" in refusal(tmp_path / "cine.mp4")
    (tmp_path / "text.mp4").write_text("not a video")
    assert "no video that can be read" in refusal(tmp_path / "text.mp4")
    (tmp_path / "empty.h264").write_bytes(b"")
    assert "empty" in refusal(tmp_path / "empty.h264")
    assert capfd.readouterr().err == ""


def test_without_opencv_the_message_says_what_to_install(tmp_path, monkeypatch):
    path = write_video(tmp_path / "cine.avi", GRAY)
    usual = builtins.__import__

    def without(name, *arguments, **options):
        if name == "cv2":
            raise ImportError(name)
        return usual(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    assert "opencv-python-headless" in refusal(path)


# --- NRRD -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frames", [GRAY, GRAY[:3], GRAY[:1], COLOR, GRAY.astype(np.uint16) * 200])
def test_a_sequence_that_slicer_wrote(tmp_path, frames):
    from PrognosisLib import headless

    headless.start()
    import slicer
    import vtk
    from vtk.util.numpy_support import numpy_to_vtk

    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "cine")
    sequence.SetIndexName("time")
    sequence.SetIndexUnit("s")
    for number, frame in enumerate(frames):
        node = slicer.vtkMRMLVectorVolumeNode() if frame.ndim == 3 else slicer.vtkMRMLScalarVolumeNode()
        image = vtk.vtkImageData()
        image.SetDimensions(frame.shape[1], frame.shape[0], 1)
        flat = frame.reshape(-1, 3) if frame.ndim == 3 else frame.reshape(-1)
        image.GetPointData().SetScalars(numpy_to_vtk(flat, deep=True))
        node.SetAndObserveImageData(image)
        node.SetSpacing(0.3, 0.4, 1.0)
        sequence.SetDataNodeAtValue(node, str(1 + number * 0.05))
    assert slicer.util.saveNode(sequence, str(tmp_path / "cine.seq.nrrd"))
    slicer.mrmlScene.Clear(0)
    cine = read_cine(tmp_path / "cine.seq.nrrd")
    assert np.array_equal(np.stack(list(cine.frames())), frames)
    assert cine.pixel_mm == pytest.approx((0.4, 0.3))
    assert cine.times_s == pytest.approx(np.arange(len(frames)) * 0.05)


@pytest.mark.parametrize("frames", [GRAY, GRAY.astype(np.int16), GRAY.astype(np.float32), COLOR])
def test_the_slices_of_a_volume_are_frames(tmp_path, frames):
    image = sitk.GetImageFromArray(frames, isVector=frames.ndim == 4)
    sitk.WriteImage(image, str(tmp_path / "cine.nrrd"))
    cine = read_cine(tmp_path / "cine.nrrd")
    assert np.array_equal(np.stack(list(cine.frames())), frames)
    assert cine.frame(0).dtype == np.uint8
    assert cine.pixel_mm is None
    assert any("25 per second are assumed" in note for note in cine.notes)


@pytest.mark.parametrize("values", [GRAY - 0.5, GRAY.astype(np.int16) - 20, GRAY.astype(np.int32) + 70000])
def test_what_are_no_gray_values_is_refused(tmp_path, values):
    sitk.WriteImage(sitk.GetImageFromArray(values), str(tmp_path / "cine.nrrd"))
    assert "no gray values" in refusal(tmp_path / "cine.nrrd")


def test_a_four_dimensional_volume_is_refused(tmp_path):
    sitk.WriteImage(sitk.GetImageFromArray(GRAY.reshape(2, 4, *GRAY.shape[1:])), str(tmp_path / "cine.nrrd"))
    assert "no sequence of flat images" in refusal(tmp_path / "cine.nrrd")


# --- images -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
@pytest.mark.parametrize("frames", [GRAY, COLOR], ids=["gray", "color"])
def test_numbered_images_come_in_the_order_of_their_numbers(tmp_path, frames, suffix):
    for number, frame in enumerate(np.concatenate([frames, frames])[:12]):
        Image.fromarray(frame).save(tmp_path / f"frame_{number}.{suffix}")
    (tmp_path / "notes.txt").write_text("not an image")
    cine = read_cine(tmp_path)
    expected = np.concatenate([frames, frames])[:12]
    if suffix == "bmp":  # always has a palette
        assert np.array_equal(cine.window(0, 12), to_gray(expected))
    else:
        assert np.array_equal(np.stack(list(cine.frames())), expected)
    assert not any("missing" in note for note in cine.notes)


def test_sixteen_bit_images_stay_exact(tmp_path):
    deep = GRAY.astype(np.uint16) * 250
    for number, frame in enumerate(deep):
        sitk.WriteImage(sitk.GetImageFromArray(frame), str(tmp_path / f"{number:03d}.png"))
    assert np.array_equal(read_cine(tmp_path).window(0, 8), deep)


def test_missing_numbers_are_noted(tmp_path):
    for number in (1, 2, 3, 5, 6):
        Image.fromarray(GRAY[number]).save(tmp_path / f"{number}.png")
    assert any("the first is 4" in note for note in read_cine(tmp_path).notes)


def test_images_of_different_size_or_kind_are_refused(tmp_path):
    for number in range(3):
        Image.fromarray(GRAY[number]).save(tmp_path / f"{number}.png")
    Image.fromarray(GRAY[3, :50]).save(tmp_path / "3.png")
    assert "'3.png' has 128 x 50 pixels where '0.png' has 128 x 96" in refusal(tmp_path)
    Image.fromarray(COLOR[3]).save(tmp_path / "3.png")
    assert "another kind" in refusal(tmp_path)
    (tmp_path / "3.png").write_bytes((tmp_path / "2.png").read_bytes()[:200])
    assert "'3.png'" in refusal(tmp_path)


def test_one_image_is_a_cine_of_one_frame(tmp_path):
    Image.fromarray(COLOR[0]).save(tmp_path / "one.png")
    cine = read_cine(tmp_path / "one.png")
    assert (len(cine), cine.frame_rate) == (1, None)
    assert np.array_equal(cine.frame(0), COLOR[0])


# --- folders and the rest ---------------------------------------------------------------------------------------------


def test_folders(tmp_path):
    assert "holds no cine" in refusal(tmp_path)
    save(ultrasound(GRAY), tmp_path / "a.dcm")
    assert np.array_equal(read_cine(tmp_path).window(0, 8), GRAY)
    write_video(tmp_path / "b.avi", GRAY)
    assert "holds 2 cines" in refusal(tmp_path)


def test_what_is_no_cine_is_refused(tmp_path):
    assert "There is no file" in refusal(tmp_path / "missing.dcm")
    (tmp_path / "notes.txt").write_text("words " * 50)
    assert "no cine that can be read" in refusal(tmp_path / "notes.txt")


@pytest.mark.parametrize(
    ("frames", "times", "fragment"),
    [
        (GRAY[:0], [], "no frame"),
        (GRAY.astype(float), np.arange(8), "no film"),
        (GRAY[..., None], np.arange(8), "no film"),
        (GRAY, np.arange(7), "times"),
        (GRAY, np.zeros(8), "times"),
    ],
)
def test_a_cine_refuses_what_it_cannot_be(frames, times, fragment):
    with pytest.raises(InputError, match=fragment):
        Cine(ArrayFrames(frames), times)


def test_there_is_no_frame_beyond_the_last():
    with pytest.raises(IndexError, match="8 frames"):
        Cine(ArrayFrames(GRAY), np.arange(8)).frame(8)


@pytest.mark.parametrize("pixel", [(0.3, 0.2), None])
def test_the_grid_of_a_cine_counts_frames_along_k(pixel):
    cine = Cine(ArrayFrames(GRAY), np.arange(8), pixel)
    row, column = pixel or (1.0, 1.0)
    assert cine.modality == "US"
    assert cine.grid.shape == GRAY.shape
    assert cine.grid.to_ras(np.array([[5, 3, 2]])) == pytest.approx(np.array([[-2 * column, -3 * row, 5.0]]))
