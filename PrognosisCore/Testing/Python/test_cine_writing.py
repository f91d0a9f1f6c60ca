"""A cine as ultrasound DICOM and back: gray values, times and the size of a pixel stay as they were."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from PrognosisLib.errors import InputError
from PrognosisLib.images.cine.cine import ArrayFrames, Cine, steady_times
from PrognosisLib.images.cine.reading import read_cine
from PrognosisLib.images.cine.writing import write_dicom


def cine(shape=(4, 30, 41), dtype=np.uint8, seed: int = 0, **facts) -> Cine:
    top = 256 if dtype == np.uint8 else 4096
    frames = np.random.default_rng(seed).integers(0, top, shape).astype(dtype)
    return Cine(ArrayFrames(frames), **{"times_s": steady_times(shape[0], 0.04), "pixel_mm": (0.5, 0.5), **facts})


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(1, 7),
    st.integers(16, 65),
    st.integers(16, 65),
    st.lists(st.floats(0.002, 2.0), min_size=6, max_size=6),
    st.tuples(st.floats(0.05, 1.5), st.floats(0.05, 1.5)),
    st.integers(0, 1000),
)
def test_everything_comes_back(tmp_path, count, rows, columns, steps, pixel_mm, seed):
    times = np.concatenate([[0.0], np.cumsum(steps)])[:count]
    written = cine((count, rows, columns), seed=seed, times_s=times, pixel_mm=pixel_mm, name="Sweep", burned_in=False)
    again = read_cine(write_dicom(written, tmp_path / "film.dcm", "patient one"))
    assert again.source.shape == (count, rows, columns)
    assert again.source.dtype == np.uint8
    assert not again.is_color
    for number in range(count):
        np.testing.assert_array_equal(again.frame(number), written.frame(number))
    np.testing.assert_allclose(again.times_s, times, atol=1e-6)
    assert again.burned_in is False
    if min(pixel_mm) > 0.05 and max(rows * pixel_mm[0], columns * pixel_mm[1]) > 30:  # else no ultrasound has it
        np.testing.assert_allclose(again.pixel_mm, pixel_mm, rtol=1e-9)


def test_what_is_not_known_stays_unknown(tmp_path: Path):
    again = read_cine(write_dicom(cine(pixel_mm=None), tmp_path / "film.dcm"))
    assert again.pixel_mm is None
    assert again.taken is None
    assert again.burned_in is True, "what may name a patient is said to"


def test_examination_and_patient_come_back(tmp_path: Path):
    taken = datetime(2026, 3, 4, 15, 16, 17)
    first = read_cine(write_dicom(cine(taken=taken), tmp_path / "a.dcm", "one"))
    second = read_cine(write_dicom(cine(seed=3), tmp_path / "b.dcm", "one"))
    third = read_cine(write_dicom(cine(), tmp_path / "c.dcm", "two"))
    assert first.taken == taken
    assert first.patient == second.patient != third.patient


def test_equal_films_are_equal_files(tmp_path: Path):
    first, second = (write_dicom(cine(), tmp_path / f"{name}.dcm", "one").read_bytes() for name in "ab")
    assert first == second


@pytest.mark.parametrize("kind", ["color", "deep"])
def test_what_is_no_gray_film_of_eight_bits_is_refused(tmp_path: Path, kind):
    film = cine((3, 20, 20, 3)) if kind == "color" else cine(dtype=np.uint16)
    with pytest.raises(InputError, match="8-bit gray"):
        write_dicom(film, tmp_path / "film.dcm")
    assert not list(tmp_path.iterdir())


def test_a_failure_leaves_the_file_that_was_there(tmp_path: Path):
    class Broken(ArrayFrames):
        def iterate(self, indices, gray=False):
            yield from super().iterate(indices[:2], gray)
            raise OSError("the disk is gone")

    target = write_dicom(cine(), tmp_path / "film.dcm")
    before = target.read_bytes()
    broken = Cine(Broken(np.zeros((4, 30, 41), np.uint8)), steady_times(4, 0.04))
    with pytest.raises(OSError, match="disk"):
        write_dicom(broken, target)
    assert target.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["film.dcm"]
