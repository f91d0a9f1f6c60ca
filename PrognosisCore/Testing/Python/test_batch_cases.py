"""What a batch finds to run: cohort files, folders of images, trees of DICOM studies."""

from __future__ import annotations

import os
import string
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dicom_cases import along_z, write_series
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import generate_uid

from PrognosisLib.batch.cases import BatchCase, Found, find_cases, folder_names, read_csv
from PrognosisLib.errors import InputError
from PrognosisLib.images.readers import read_volume
from PrognosisLib.systems import SYSTEMS, Role, System

SPLEEN, ICH, STIFFNESS = SYSTEMS["spleen"], SYSTEMS["ich"], SYSTEMS["stiffness"]
FILM = System("film", "Film", "P", (Role("cine", "Cine", "US", film=True),), ("Liver",))


def find(system: System, source: Path) -> Found:
    steps = find_cases(system, source)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def by_name(found: Found) -> dict[str, BatchCase]:
    assert len({case.name for case in found.cases}) == len(found.cases)
    return {case.name: case for case in found.cases}


def csv_of(folder: Path, text: str) -> Path:
    path = folder / "cohort.csv"
    path.write_text(text, "utf-8")
    return path


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


# --- cohort files -----------------------------------------------------------------------------------------------------


def test_paths_series_and_values_are_taken_from_their_columns(tmp_path: Path):
    path = csv_of(
        tmp_path,
        "case,patient,ct,series,followup,followup_series,clinical,segmentation,age,glucose [mmol/L],diabetes,site\n"
        f"one,p1,a/ct.nii,1.2,/far/b,3.4,a/c.json,a/s.seg.nrrd,61.5,8,yes,A\ntwo,,{tmp_path}/x,,,,,,,,,B\n",
    )
    one, two = by_name(read_csv(ICH, path)).values()
    assert one.images == {"ct": str(tmp_path / "a" / "ct.nii"), "followup": "/far/b"}
    assert one.series == {"ct": "1.2", "followup": "3.4"}
    assert (one.patient, two.patient) == ("p1", "two")
    assert one.clinical == {"age": 61.5, "glucose": {"value": 8.0, "unit": "mmol/L"}, "diabetes": True}
    assert one.clinical_file == str(tmp_path / "a" / "c.json")
    assert one.segmentation == str(tmp_path / "a" / "s.seg.nrrd")
    assert (one.columns, two.columns) == ({"site": "A"}, {"site": "B"})
    assert (two.images, two.series, two.clinical, two.clinical_file) == ({"ct": f"{tmp_path}/x"}, {}, {}, "")


def test_what_is_missing_or_odd_is_told_when_the_case_is_run(tmp_path: Path):
    path = csv_of(tmp_path, "case,t2,t1,age,platelets\na,,,NA,nan\nb,x,,old,\nc,,y,1e2,12\n")
    a, b, c = by_name(read_csv(STIFFNESS, path)).values()
    assert (a.images, a.clinical) == ({}, {})
    assert b.clinical == {"age": "old"}
    assert (set(c.images), c.clinical) == ({"t1"}, {"age": 100.0, "platelets": 12.0})


def test_the_word_none_is_a_choice_where_the_field_has_it(tmp_path: Path):
    path = csv_of(tmp_path, "case,ct,anticoagulant,age\na,x,none,none\n")
    (case,) = read_csv(ICH, path).cases
    assert case.clinical == {"anticoagulant": "none"}


def test_a_column_that_may_be_misspelled_is_pointed_out(tmp_path: Path):
    found = read_csv(SPLEEN, csv_of(tmp_path, "case,ct,billirubin,outcome\na,x,3,1\n"))
    assert found.notices == ["The column 'billirubin' is not used; rename it if 'bilirubin' was meant."]
    assert found.cases[0].columns == {"billirubin": "3", "outcome": "1"}


@pytest.mark.parametrize(
    ("system", "text", "says"),
    [
        (SPLEEN, "case,image\na,x\n", "has no column 'ct'"),
        (STIFFNESS, "case,ct\na,x\n", "has no column of an image; add 't2' or 't1'"),
        (SPLEEN, "case,ct\na,x\na,y\n", "stands twice"),
        (SPLEEN, "ct\nx\n", "has no column 'case'"),
    ],
)
def test_a_cohort_that_cannot_be_meant_is_refused(tmp_path: Path, system: System, text: str, says: str):
    with pytest.raises(InputError, match=says):
        read_csv(system, csv_of(tmp_path, text))


def test_simulated_cohorts_are_read_unchanged(tmp_path: Path):
    from ICHExpansionLib.workbench import simulate

    path = simulate(tmp_path, cases=1, seed=3)[-1]
    (case,) = read_csv(ICH, path).cases
    assert set(case.images) == {"ct", "followup"}
    assert all(Path(place).is_file() for place in (*case.images.values(), case.clinical_file))
    assert {"age", "gcs"} <= set(case.clinical)
    assert {"expansion", "labels"} <= set(case.columns)


def test_the_fingerprint_is_that_of_what_is_run(tmp_path: Path):
    case = BatchCase("a", {"ct": str(tmp_path / "ct.nii")}, "p", clinical={"age": 3})
    moved = replace(case, images={"ct": "/elsewhere/ct.nii"})
    assert case.fingerprint(tmp_path) == moved.fingerprint(Path("/elsewhere"))
    assert case.fingerprint(tmp_path) == replace(case, patient="q", columns={"x": "1"}).fingerprint(tmp_path)
    others = [
        replace(case, images={"ct": str(tmp_path / "other.nii")}),
        replace(case, images={"followup": str(tmp_path / "ct.nii")}),
        replace(case, clinical={"age": 4}),
        replace(case, clinical_file=str(tmp_path / "c.json")),
        replace(case, segmentation=str(tmp_path / "c.json")),
        replace(case, series={"ct": "1.2"}),
    ]
    assert len({one.fingerprint(tmp_path) for one in (case, *others)}) == 7


NAMES = st.lists(st.text(string.printable + "äß漢", min_size=1, max_size=100), unique=True, max_size=8)


@given(NAMES)
def test_folders_are_safe_and_never_shared(names: list[str]):
    folders = folder_names(names)
    assert len({folder.lower() for folder in folders.values()}) == len(names)
    for folder in folders.values():
        assert set(folder) <= set(string.ascii_letters + string.digits + "._-")
        assert folder[0] not in "._-"[:2]
        assert len(folder) < 100


def test_ordinary_names_stay_as_they_are():
    assert folder_names(["case-001", "P2.b", "a b", "con"]) == {
        **{name: name for name in ("case-001", "P2.b")},
        **{name: folder for name, folder in folder_names(["a b", "con"]).items() if folder != name},
    }
    assert folder_names(["A", "a"])["a"] != folder_names(["a"])["a"] == "a"


# --- folders of images ------------------------------------------------------------------------------------------------


def test_every_image_of_a_flat_folder_is_a_case(tmp_path: Path):
    touch(tmp_path, "p1.nii.gz", "p2.nrrd", "sub/p1.mha", "notes.txt", "p1_seg.nii.gz", "p1.seg.nrrd", ".hidden.nii")
    found = by_name(find(SPLEEN, tmp_path))
    assert list(found) == ["p1", "p2", "sub/p1"]
    assert found["sub/p1"].images == {"ct": str(tmp_path / "sub" / "p1.mha")}
    assert found["sub/p1"].patient == "sub/p1"


def test_files_are_named_after_the_roles(tmp_path: Path):
    touch(tmp_path, "a/ct.nii.gz", "a/followup.nii.gz", "a/labels.nii.gz", "b/CT.nii", "both/x_ct.nii", "both/y-ct.nii")
    touch(tmp_path, "both/y_followup.nii", "z/one.nii.gz")
    found = by_name(find(ICH, tmp_path))
    assert {name: sorted(case.images) for name, case in found.items()} == {
        "a": ["ct", "followup"],
        "b": ["ct"],
        "both/x": ["ct"],
        "both/y": ["ct", "followup"],
        "z/one": ["ct"],
    }


def test_where_any_of_two_images_may_be_given_names_must_say_which(tmp_path: Path):
    touch(tmp_path, "a/t2.nii", "b/t1.nii", "c/t1.nii", "c/t2.nii", "d/scan.nii")
    assert {name: sorted(case.images) for name, case in by_name(find(STIFFNESS, tmp_path)).items()} == {
        "a": ["t2"],
        "b": ["t1"],
        "c": ["t1", "t2"],
    }
    touch(tmp_path / "other", "scan.nii")
    with pytest.raises(InputError, match=r"CASE/t2\.nii\.gz, or give a CSV"):
        find(STIFFNESS, tmp_path / "other")


def test_films_are_videos_pictures_and_sequences(tmp_path: Path):
    touch(tmp_path, "a.mp4", "b/cine.avi", "c.seq.nrrd", "d.nii.gz", "e.png")
    assert list(by_name(find(FILM, tmp_path))) == ["a", "b", "c", "e"]


# --- DICOM ------------------------------------------------------------------------------------------------------------


def series(folder: Path, **tags: object) -> str:
    uid = generate_uid()
    count = tags.pop("count", 6)
    write_series(folder, along_z(range(0, 3 * count, 3)), SeriesInstanceUID=uid, **tags)
    return uid


def test_every_series_of_slices_is_a_case(tmp_path: Path):
    first = series(tmp_path / "A" / "1", PatientID="x", SeriesDescription="portal")
    second = series(tmp_path / "A" / "2", PatientID="x", names=[f"IM{n}" for n in range(6)])
    third = series(tmp_path / "B", PatientID="y")
    series(tmp_path / "A" / "scout", PatientID="x", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    series(tmp_path / "A" / "few", PatientID="x", count=2)
    series(tmp_path / "A" / "mr", PatientID="x", Modality="MR", SOPClassUID="1.2.840.10008.5.1.4.1.1.4")
    (tmp_path / "A" / "1" / "readme.txt").write_text("hello")
    found = by_name(find(SPLEEN, tmp_path))
    assert {name: case.series for name, case in found.items()} == {
        "A/1": {"ct": first},
        "A/2": {"ct": second},
        "B": {"ct": third},
    }
    assert found["A/1"].images == {"ct": str(tmp_path / "A" / "1")}
    assert found["A/1"].columns == {"ct_description": "portal"}
    assert found["A/1"].patient == found["A/2"].patient != found["B"].patient
    assert "x" not in found["A/1"].patient  # identifiers of the header stay in it


def test_series_of_one_folder_are_told_apart(tmp_path: Path):
    uids = [
        series(tmp_path / "S", names=[f"{n}-{k}.dcm" for k in range(6)], SeriesNumber=n + 1, RescaleIntercept=-1000 - n)
        for n in range(2)
    ]
    found = by_name(find(SPLEEN, tmp_path))
    assert {name: case.series["ct"] for name, case in found.items()} == {"S": uids[0], "S #2": uids[1]}
    arrays = [read_volume(case.images["ct"], "CT", case.series["ct"]).array for case in found.values()]
    assert np.all(arrays[0] == arrays[1] + 1)


def test_sequences_of_a_study_go_together_by_their_description(tmp_path: Path):
    mr = {"Modality": "MR", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.4"}
    uids: Mapping[str, str] = {
        name: series(tmp_path / study / name, StudyInstanceUID=study, SeriesDescription=text, count=count, **mr)
        for study, name, text, count in (
            ("1.1", "a", "T2 HASTE tra", 6),
            ("1.1", "b", "ax t1_vibe in", 6),
            ("1.1", "c", "t1 vibe", 8),
            ("1.1", "d", "DWI", 9),
            ("1.1", "e", "T2 few", 2),
            ("1.2", "f", "T1W", 6),
            ("1.3", "g", "t12 spine", 6),
        )
    }
    found = by_name(find(STIFFNESS, tmp_path))
    assert {name: case.series for name, case in found.items()} == {
        "1.1": {"t2": uids["a"], "t1": uids["c"]},
        "1.2/f": {"t1": uids["f"]},
    }
    assert found["1.1"].columns == {"t2_description": "T2 HASTE tra", "t1_description": "t1 vibe"}


def test_damaged_files_are_counted_and_stop_nothing(tmp_path: Path):
    """The series that a damaged file belongs to is a case all the same, which will fail; it does not drop out."""
    series(tmp_path / "A")
    series(tmp_path / "B")
    path = tmp_path / "A" / "003.dcm"
    path.write_bytes(path.read_bytes()[:132] + b"\xff" * 60)
    found = find(SPLEEN, tmp_path)
    assert found.notices == ["Damaged, or may not be read: 1 files or folders, such as '003.dcm'."]
    whole = by_name(found)
    assert list(whole) == ["A", "B"]
    read_volume(whole["B"].images["ct"], "CT", whole["B"].series["ct"])
    with pytest.raises(InputError, match=r"003\.dcm"):
        read_volume(whole["A"].images["ct"], "CT", whole["A"].series["ct"])


def test_ultrasound_films_of_a_tree_are_cases(tmp_path: Path):
    from cine_cases import film, save, ultrasound

    uid = generate_uid()
    for name, frames in (("A/clip.dcm", 4), ("A/still.dcm", 1), ("B/IM1", 5)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        save(ultrasound(film(frames), SeriesInstanceUID=uid if name[0] == "A" else generate_uid()), tmp_path / name)
    assert {name: case.images for name, case in by_name(find(FILM, tmp_path)).items()} == {
        "A/clip": {"cine": str(tmp_path / "A" / "clip.dcm")},
        "B/IM1": {"cine": str(tmp_path / "B" / "IM1")},
    }


def test_a_folder_that_may_not_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    touch(tmp_path, "a/ct.nii", "secret/ct.nii")
    scan = os.scandir

    def refuse(path):
        if Path(path).name == "secret":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = find(SPLEEN, tmp_path)
    assert list(by_name(found)) == ["a"]
    assert found.notices == ["Damaged, or may not be read: 1 files or folders, such as 'secret'."]


def test_it_tells_how_many_files_it_has_looked_at(tmp_path: Path):
    touch(tmp_path, "a.nii", "b.txt", "c/d.nii", "c/e", "c/f")
    assert [*find_cases(SPLEEN, tmp_path)] == [1, 2, 3, 4, 5]


def test_an_empty_folder_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match=r"holds no image for SpleenVolume \(CT\)"):
        find(SPLEEN, tmp_path)
