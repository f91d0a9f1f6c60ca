"""Cohorts that would give figures too good, or models of nothing, are refused with the numbers."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from PrognosisLib.cohort import CohortCase, read_cohort, split_by_patient
from PrognosisLib.cohort_checks import (
    FEWEST_EACH,
    WISHED_EACH,
    check_events,
    check_kinds,
    held_out,
    refuse_leakage,
    refuse_shared_images,
)
from PrognosisLib.errors import InputError

# --- both sides of a split --------------------------------------------------------------------------------------------


def test_a_patient_on_both_sides_is_refused_with_the_number():
    refuse_leakage(["a", "a", "b"], ["train", "train", "test"])
    with pytest.raises(InputError, match=r"2 patients have rows on more than one side of the split \(first: 'a'\)"):
        refuse_leakage(["b", "a", "a", "b", "c"], ["train", "test", "train", "test", "test"])
    with pytest.raises(InputError, match=r"1 patient has rows on more than one side"):
        refuse_leakage(["a", "a"], ["1", "2"])


SIDES = st.sampled_from(["", "train", "Training", "test", "validation", "2"])


@given(st.dictionaries(st.sampled_from("abcdefgh"), SIDES, min_size=2), st.randoms(use_true_random=False))
def test_a_split_never_parts_a_patient(side_of: dict[str, str], random):
    patients = [name for name in side_of for _ in range(random.randint(1, 3))]
    random.shuffle(patients)
    named = random.sample(sorted(side_of), random.randint(0, len(side_of) - 1))
    sides = [side_of[name] for name in patients]
    kept = {name for name in side_of if name in named or side_of[name] in ("test", "validation", "2")}
    if kept == set(side_of):
        with pytest.raises(InputError, match="Every patient is held out"):
            held_out(patients, sides, named, "cohort")
    else:
        assert held_out(patients, sides, named, "cohort") == [name in kept for name in patients]


def cohort(folder: Path, text: str) -> Path:
    path = folder / "cohort.csv"
    path.write_text(text)
    return path


def test_a_column_split_holds_patients_out_in_training(tmp_path: Path):
    (tmp_path / "x.nii").write_bytes(b"x")
    rows = "case,patient,ct,split\na1,a,x.nii,train\na2,a,x.nii,{}\nb1,b,x.nii,test\nc1,c,x.nii,\n"
    cases = read_cohort(cohort(tmp_path, rows.format("train")), ["ct"])
    training, held = split_by_patient(cases, ["c"])
    assert [case.case for case in training] == ["a1", "a2"]
    assert [case.case for case in held] == ["b1", "c1"]
    with pytest.raises(InputError, match=r"1 patient has rows on more than one side .*'a'"):
        split_by_patient(read_cohort(cohort(tmp_path, rows.format("test")), ["ct"]), [])


# --- one image, two patients ------------------------------------------------------------------------------------------


def packed(path: Path, content: bytes, name: str) -> Path:
    with path.open("wb") as stream, gzip.GzipFile(name, "wb", fileobj=stream, mtime=len(name)) as archive:
        archive.write(content)
    return path


def series(folder: Path, *contents: bytes) -> Path:
    folder.mkdir()
    for number, content in enumerate(contents):
        (folder / f"{folder.name}{number}.dcm").write_bytes(content)
    return folder


@pytest.fixture
def images(tmp_path: Path) -> dict[str, Path]:
    """Images of which "one" and "again" are the same under other names, and "other" is of the same length."""
    plain = {"one": b"scan-1", "again": b"scan-1", "other": b"scan-2"}
    found = {}
    for name, content in plain.items():
        found[f"{name}.nii"] = tmp_path / f"{name}.nii"
        found[f"{name}.nii"].write_bytes(content)
        found[f"{name}.gz"] = packed(tmp_path / f"{name}.nii.gz", content, f"{name}.nii")
    found["one.dicom"] = series(tmp_path / "one", b"slice-1", b"slice-2")
    found["again.dicom"] = series(tmp_path / "again", b"slice-2", b"slice-1")
    found["other.dicom"] = series(tmp_path / "other", b"slice-1", b"slice-3")
    return found


@pytest.mark.parametrize("form", ["nii", "gz", "dicom"])
def test_one_image_under_two_patients_is_refused(images: dict[str, Path], form: str):
    def case(name: str, patient: str, column: str = "ct") -> CohortCase:
        return CohortCase(f"{patient}-{name}", patient, {column: images[f"{name}.{form}"]})

    refuse_shared_images([case("one", "p"), case("other", "q")], ("ct",))
    refuse_shared_images([case("one", "p"), case("again", "p")], ("ct",))
    refuse_shared_images([case("one", "p"), case("again", "q", "labels")], ("ct",))
    told = r"'p-one' and 'q-again' have the same image under the patients 'p' and 'q'; give them one patient"
    with pytest.raises(InputError, match=told):
        refuse_shared_images([case("one", "p"), case("other", "r"), case("again", "q", "followup")], ("ct", "followup"))
    with pytest.raises(InputError, match="'r'; so do 1 more"):
        refuse_shared_images([case("one", "p"), case("one", "r"), case("again", "q")], ("ct",))
    with pytest.raises(InputError, match="have the same image"):
        split_by_patient([case("one", "p"), case("again", "q")], ["q"], ("ct",))


def test_a_damaged_archive_is_left_to_whoever_reads_it(tmp_path: Path):
    (tmp_path / "a.nii.gz").write_bytes(b"no archive at all")
    (tmp_path / "b.nii.gz").write_bytes(b"yes archive at all")
    cases = [CohortCase(name, name, {"ct": tmp_path / f"{name}.nii.gz"}) for name in "ab"]
    refuse_shared_images(cases, ("ct",))


# --- outcomes ---------------------------------------------------------------------------------------------------------


@given(st.integers(0, 30), st.integers(1, 12))
def test_events_bear_so_many_predictors(events: int, predictors: int):
    if events < FEWEST_EACH * predictors:
        with pytest.raises(InputError, match=f"bear {events // FEWEST_EACH} at 5 .* until {5 * predictors}, or better"):
            check_events(events, predictors, "the model")
    else:
        assert bool(check_events(events, predictors, "the model")) == (events < WISHED_EACH * predictors)


def test_seven_deaths_cannot_carry_five_predictors():
    with pytest.raises(InputError) as caught:
        check_events(7, 5, "the Cox model")
    assert str(caught.value) == (
        "7 events are too few for the 5 predictors of the Cox model; they bear 1 at 5 events each; add patients until "
        "25, or better 50, have the rarer outcome."
    )


@pytest.mark.parametrize(
    ("events", "fewest", "words"),
    [
        (0, 1, r"All 60 patients have not the event \(died\); a model needs both kinds\."),
        (60, 1, "All 60 patients have the event"),
        (4, 5, "4 of 60 patients have the event .* at least 5 with it and 5 without"),
        (56, 5, "56 of 60 patients"),
    ],
)
def test_one_kind_of_patients_is_refused(events: int, fewest: int, words: str):
    with pytest.raises(InputError, match=words):
        check_kinds(events, 60, "died", "a model", fewest)
    check_kinds(int(np.clip(events, 5, 55)), 60, "died", "a model", fewest)
