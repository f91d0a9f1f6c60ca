"""Cines on their way to the worker: files as a description, frames in memory without growing anybody's memory."""

from __future__ import annotations

import os
import pickle
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from cine_cases import film, in_color, jpeg, save, ultrasound, write_video
from PIL import Image

from PrognosisLib.errors import WorkerError
from PrognosisLib.images.cine.cine import ArrayFrames, Cine, steady_times
from PrognosisLib.images.cine.reading import read_cine
from PrognosisLib.pipeline import Case
from PrognosisLib.worker import Worker, payload

GRAY = film()
COLOR = in_color(GRAY)
COLOR[:, 40:60, 50:70, 0] = 200


def in_memory(frames, name: str = "cine") -> Cine:
    return Cine(ArrayFrames(frames), steady_times(len(frames), 0.04), (0.3, 0.3), name=name)


def all_frames(cine: Cine) -> np.ndarray:
    return np.stack(list(cine.frames()))


def sent(value, folder: Path):
    return payload.load(payload.save(value, [folder]))


def video(folder: Path) -> Path:
    pytest.importorskip("cv2")
    return write_video(folder / "cine.avi", GRAY)


def stills(folder: Path, write) -> Path:
    (folder / "stills").mkdir()
    for number, frame in enumerate(GRAY):
        write(folder / "stills" / f"frame{number:02d}", frame)
    return folder / "stills"


FILES = {
    "DICOM": lambda folder: save(ultrasound(GRAY, BurnedInAnnotation="NO"), folder / "a.dcm"),
    "JPEG DICOM": lambda folder: save(jpeg(COLOR), folder / "a.dcm"),
    "video": video,
    "images": lambda folder: stills(folder, lambda path, frame: Image.fromarray(frame).save(f"{path}.png")),
    "DICOM images": lambda folder: stills(
        folder,
        lambda path, frame: save(
            ultrasound(frame[None], SeriesInstanceUID="1.2.3", InstanceNumber=int(path.name[-2:])), path
        ),
    ),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_cine_in_a_file_travels_as_a_description(tmp_path, kind):
    cine = read_cine(FILES[kind](tmp_path))
    frames = all_frames(cine)
    next(cine.gray_frames())  # which may leave a file open
    path = payload.save(cine, [tmp_path])
    assert path.stat().st_size < 4000 + len(cine) * (4000 if kind == "DICOM images" else 0)
    assert path.stat().st_size < frames.nbytes / 2
    got = payload.load(path)
    assert type(got.source) is type(cine.source)
    assert np.array_equal(all_frames(got), frames)
    assert (got.pixel_mm, got.notes, got.burned_in) == (cine.pixel_mm, cine.notes, cine.burned_in)
    assert np.array_equal(all_frames(pickle.loads(pickle.dumps(cine))), frames)


def test_a_cine_is_found_from_another_folder(tmp_path, monkeypatch):
    FILES["DICOM"](tmp_path)
    monkeypatch.chdir(tmp_path)
    cine = read_cine("a.dcm")
    monkeypatch.chdir(tmp_path.parent)
    assert np.array_equal(all_frames(sent(cine, tmp_path)), GRAY)


@pytest.mark.parametrize(
    "frames",
    [GRAY, COLOR, list(GRAY), GRAY[:, ::-1, ::2], np.asfortranarray(GRAY), GRAY.astype(np.uint16) * 200, GRAY[:1]],
)
def test_frames_in_memory_come_as_they_are_and_one_at_a_time(tmp_path, frames):
    cine = in_memory(frames)
    path = payload.save({"a": cine, "array": np.arange(9000), "b": in_memory(frames)}, [tmp_path])
    assert path.stat().st_size >= 2 * cine.nbytes
    got = payload.load(path)
    assert not path.exists()
    for name in "ab":
        back = got[name]
        assert back.source.shape == cine.source.shape
        assert back.source.dtype == cine.source.dtype
        assert np.array_equal(all_frames(back), all_frames(cine))
        for number in (len(cine) - 1, 0):
            frame = back.frame(number)
            frame += 1  # it belongs to the caller
            assert np.array_equal(back.frame(number), cine.frame(number))
            assert np.array_equal(back.frame(number, gray=True), cine.frame(number, gray=True))
    assert np.array_equal(got["array"], np.arange(9000))
    assert np.array_equal(all_frames(sent(got["b"], tmp_path)), all_frames(cine))


def test_where_open_files_cannot_be_deleted_frames_come_with_the_rest(tmp_path, monkeypatch):
    path = payload.save([in_memory(COLOR), np.ones((60, 60))], [tmp_path])
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", "win32")
        cine, ones = payload.load(path)
    assert list(tmp_path.iterdir()) == []
    assert np.array_equal(all_frames(cine), COLOR)
    assert np.array_equal(ones, np.ones((60, 60)))


def test_sending_and_receiving_needs_the_memory_of_a_few_frames(tmp_path):
    frames = [np.full((400, 500), number % 250, np.uint8) for number in range(80)]
    cine = in_memory(frames)
    tracemalloc.start()
    got = payload.load(payload.save(cine, [tmp_path]))
    assert sum(int(frame[0, 0]) for frame in got.frames()) == sum(range(80))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * frames[0].nbytes


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    (tmp_path / "bundle").mkdir()
    return tmp_path / "bundle"


@pytest.fixture
def a_worker() -> Iterator[Worker]:
    with Worker() as running:
        yield running


@pytest.mark.parametrize("kind", ["memory", "DICOM"])
def test_the_workers_memory_does_not_grow_with_a_cine(tmp_path, bundle, kind):
    peaks = []
    for count in (20, 300):
        frames = np.empty((count, 400, 500), np.uint8)
        frames[:] = np.arange(count, dtype=np.uint8)[:, None, None]
        cine = in_memory(frames)
        if kind == "DICOM":
            cine = read_cine(save(ultrasound(frames), tmp_path / f"{count}.dcm"))
        with Worker() as running:
            running.start_run("worker_pipelines:Film", bundle, Case({"cine": cine}))
            found = running.wait().provenance
        assert found["mean"] == [float(number % 256) for number in range(count)]
        assert found["source"] == {"memory": "StoredFrames", "DICOM": "DicomFrames"}[kind]
        peaks.append(found["worker"]["peak_memory_mb"])
    assert peaks[0] is None or peaks[1] - peaks[0] < 20  # the frames more are 56 MB


def test_messages_about_memory_name_the_cine(a_worker, bundle, monkeypatch):
    def no_space(*_):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(payload, "save", no_space)
    with pytest.raises(WorkerError, match=r"\(cine of 128 x 96 x 8 pixels and frames, 0 MB\)"):
        a_worker.start_run("worker_pipelines:Film", bundle, Case({"cine": in_memory(GRAY)}))
