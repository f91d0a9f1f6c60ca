"""Simulated ultrasound frames on disk, and views that nobody would choose."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from PrognosisLib.framewise.lattice import SHAPE
from PrognosisLib.learning.frame_files import FINE, halved, on_lattice, read_frames, simulated, write_frames
from PrognosisLib.simulation.ultrasound.formation import LiverState
from PrognosisLib.simulation.ultrasound.odd_views import odd_scan
from PrognosisLib.simulation.ultrasound.recording import Frame


def write_job(job: int, files: list[Path]) -> None:
    for file in files:
        file.write_text(f"{job} {os.getpid()}")


def test_means_of_two_by_two_pixels():
    image = np.array([[0, 1, 10, 10], [2, 3, 20, 21]], np.uint8)
    assert halved(image).tolist() == [[2, 15]]  # 1.5 and 15.25, to the nearest even or whole number


def test_frames_come_back_as_they_were(tmp_path):
    rng = np.random.default_rng(1)
    frames = [Frame(rng.integers(0, 256, FINE.shape).astype(np.uint8), rng.random(FINE.shape) > 0.5) for _ in range(3)]
    gray, liver = on_lattice(frames)
    assert gray.shape == liver.shape == (3, *SHAPE)
    assert gray[1, 5, 7] == np.rint(frames[1].gray[10:12, 14:16].mean())
    assert liver[2, 5, 7] == (frames[2].liver[10:12, 14:16].mean() >= 0.5)
    write_frames(tmp_path / "frames.npz", gray, liver, seeds=np.arange(3))
    with np.load(tmp_path / "frames.npz") as stored:
        again = read_frames(stored)
        assert stored["seeds"].tolist() == [0, 1, 2]
    assert np.array_equal(again[0], gray)
    assert np.array_equal(again[1], liver)
    assert [path.name for path in tmp_path.iterdir()] == ["frames.npz"]


def test_only_what_is_missing_is_made(tmp_path):
    jobs = {number: [tmp_path / "made" / f"{number}_{part}" for part in "ab"] for number in range(3)}
    jobs[1][0].parent.mkdir()
    for file in jobs[1]:
        file.write_text("kept")
    files = simulated(write_job, tmp_path / "made", jobs)
    assert files == [file for group in jobs.values() for file in group]
    assert jobs[1][1].read_text() == "kept"
    made, process = jobs[2][0].read_text().split()
    assert made == "2"
    assert int(process) != os.getpid()


@pytest.mark.parametrize("seed", [1, 2])
def test_odd_scans_are_drawn_from_patient_and_number(seed):
    state = LiverState(backscatter=1.0, attenuation=0.5, texture=0.3, irregular=0.2)
    first, again, other = (odd_scan(seed, number, state, 1.0) for number in (0, 0, 1))
    assert first == again
    assert first[2].window != other[2].window
    assert first[3].texture == state.texture
    assert first[3].around != state.around
    shown = [odd_scan(seed, number, state, 8.0)[3].backscatter for number in range(40)]
    assert np.mean(shown) == pytest.approx(8.0, abs=1.2)
