"""Cohort files are read as written, split by patient, and refused in a sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from PrognosisLib.cohort import CohortCase, read_cohort, split_by_patient, write_rows
from PrognosisLib.errors import InputError
from PrognosisLib.images.readers import read_volume
from PrognosisLib.images.writers import write_volume
from PrognosisLib.volume import Volume


def cohort(folder: Path, text: str, *files: str) -> Path:
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    path = folder / "cohort.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_rows_come_back_as_they_were_written(tmp_path: Path):
    rows = [
        {"case": "a", "ct": "a/ct.nii", "note": 'says "high", perhaps'},
        {"case": "b", "ct": "b/ct.nii", "age": 61.5},
    ]
    for row in rows:
        (tmp_path / row["ct"]).parent.mkdir()
        (tmp_path / row["ct"]).write_bytes(b"x")
    first, second = read_cohort(write_rows(tmp_path / "cohort.csv", rows), ["ct"])
    assert (first.case, first.patient) == ("a", "a")
    assert first.files["ct"] == (tmp_path / "a" / "ct.nii").resolve()
    assert first.values == {"note": 'says "high", perhaps', "age": ""}
    assert second.values == {"note": "", "age": "61.5"}
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_file_from_a_spreadsheet_is_read(tmp_path: Path):
    """With a byte order mark, spaces around names and Windows line ends."""
    path = cohort(
        tmp_path, "\ufeffcase,patient,ct,simulated\r\n one ,p1,a.nii,Yes\r\ntwo,p1,b.nii,no\r\n", "a.nii", "b.nii"
    )
    one, two = read_cohort(path, ["ct"])
    assert (one.case, one.patient, two.patient) == ("one", "p1", "p1")
    assert one.is_simulated
    assert not two.is_simulated


def test_absolute_paths_are_kept(tmp_path: Path):
    (tmp_path / "elsewhere").mkdir()
    image = tmp_path / "elsewhere" / "ct.nii"
    image.write_bytes(b"x")
    (tmp_path / "here").mkdir()
    (case,) = read_cohort(cohort(tmp_path / "here", f"case,ct\none,{image}\n"), ["ct"])
    assert case.files["ct"] == image


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("case,ct\n", "has no rows"),
        ("", "has no rows"),
        ("name,ct\none,a.nii\n", "no column 'case'"),
        ("case,image\none,a.nii\n", "no column 'ct'"),
        ("case,ct\none,a.nii\none,a.nii\n", "'one' stands twice"),
        ("case,ct\n,a.nii\n", "has no name"),
        ("case,ct\none,\n", "Case 'one': there is no file ''"),
        ("case,ct\none,b.nii\n", "there is no file 'b.nii'"),
        ("case,ct\none\n", "Case 'one': there is no file"),
        ("case,ct\none,a.nii,Smith, John\n", "Case 'one' has more values"),
    ],
)
def test_unfit_cohorts_are_refused_in_one_sentence(tmp_path: Path, text: str, words: str):
    with pytest.raises(InputError, match=words) as caught:
        read_cohort(cohort(tmp_path, text, "a.nii"), ["ct"])
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="no cohort file"):
        read_cohort(tmp_path / "nowhere.csv", ["ct"])
    binary = tmp_path / "cohort.csv"
    binary.write_bytes(b"PK\x03\x04\xff\xfe\x00\x81case,ct\n")
    with pytest.raises(InputError, match=r"cohort\.csv"):
        read_cohort(binary, ["ct"])


def cases(*pairs: tuple[str, str]) -> list[CohortCase]:
    return [CohortCase(case, patient, {}) for case, patient in pairs]


def test_all_cases_of_a_patient_fall_on_one_side():
    known = cases(("a1", "a"), ("a2", "a"), ("b1", "b"), ("c1", "c"))
    training, held = split_by_patient(known, ["a"])
    assert [case.case for case in held] == ["a1", "a2"]
    assert [case.case for case in training] == ["b1", "c1"]
    assert split_by_patient(known, []) == (known, [])


@pytest.mark.parametrize(("names", "words"), [(["d"], "'d' is not in the cohort"), (["a", "b"], "Every patient")])
def test_unfit_splits_are_refused(names: list[str], words: str):
    with pytest.raises(InputError, match=words):
        split_by_patient(cases(("a1", "a"), ("b1", "b")), names)


# --- writing images ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_a_written_image_is_read_back_in_its_place(tmp_path: Path, suffix: str):
    angle = np.radians(20.0)
    matrix = np.eye(4)
    matrix[:3, :3] = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    matrix[:3, :3] = matrix[:3, :3] @ np.diag([-0.8, 0.9, 2.5])
    matrix[:3, 3] = (12.0, -34.0, 56.0)
    array = np.random.default_rng(0).integers(-1000, 1000, (5, 6, 7)).astype(np.int16)
    path = write_volume(Volume(array, matrix), tmp_path / f"ct{suffix}")
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
    again = read_volume(path)
    np.testing.assert_array_equal(again.array, array)
    np.testing.assert_allclose(again.ijk_to_ras, matrix, atol=1e-4)


def test_a_sheared_image_is_refused_and_leaves_no_file(tmp_path: Path):
    matrix = np.eye(4)
    matrix[1, 2] = 0.3
    with pytest.raises(InputError, match="sheared"):
        write_volume(Volume(np.zeros((4, 4, 4), dtype=np.int16), matrix), tmp_path / "ct.nii.gz")
    assert list(tmp_path.iterdir()) == []


def test_optional_files_may_be_missing_but_not_wrong(tmp_path: Path):
    for name in ("a.nii", "b.nii"):
        (tmp_path / name).write_bytes(b"x")
    file = write_rows(
        tmp_path / "cohort.csv", [{"case": "1", "t2": "a.nii", "t1": ""}, {"case": "2", "t2": "", "t1": "b.nii"}]
    )
    one, two = read_cohort(file, (), optional=("t2", "t1", "labels"))
    assert (set(one.files), set(two.files)) == ({"t2"}, {"t1"})
    assert one.files["t2"] == (tmp_path / "a.nii").resolve()
    assert "t1" not in one.values
    write_rows(file, [{"case": "1", "t2": "gone.nii"}])
    with pytest.raises(InputError, match=r"gone\.nii"):
        read_cohort(file, (), optional=("t2",))
