"""When an examination began and whether two films are of one patient: from DICOM headers, through files and scene."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from cine_cases import film, save, ultrasound
from scene_cases import clear_scene

from PrognosisLib.images.cine.cine import Cine
from PrognosisLib.images.cine.dicom_cine import patient_of
from PrognosisLib.images.cine.reading import read_cine
from PrognosisLib.images.cine.writing import write_dicom
from PrognosisLib.scene import fromCine, toCine

GRAY = film(2)


def read(folder: Path, **tags) -> Cine:
    return read_cine(save(ultrasound(GRAY, **tags), folder / "film.dcm"))


@pytest.mark.parametrize(
    ("tags", "taken"),
    [
        ({"StudyDate": "20260107", "StudyTime": "101500"}, datetime(2026, 1, 7, 10, 15)),
        ({"StudyDate": "20260107", "StudyTime": "101500.25", "ContentDate": "20260301"}, datetime(2026, 1, 7, 10, 15)),
        ({"StudyDate": "20260107"}, datetime(2026, 1, 7)),
        ({"StudyDate": "", "SeriesDate": "20260108", "StudyTime": "101500"}, datetime(2026, 1, 8)),
        ({"ContentDate": "20260109", "ContentTime": "235959"}, datetime(2026, 1, 9, 23, 59, 59)),
        ({"StudyTime": "101500"}, None),
        ({}, None),
    ],
)
def test_the_date_of_the_examination(tmp_path, tags, taken):
    assert read(tmp_path, **tags).taken == taken


def test_patients_are_told_apart_by_their_ids(tmp_path):
    """One that has no ID is told by the name."""
    tags = [{"PatientID": "p1"}, {"PatientID": "p2"}, {"PatientID": "", "PatientName": "Doe^Jane"}]
    found = [read(tmp_path, **one).patient for one in tags]
    assert len(set(found)) == 3
    same = [{"PatientID": " P1 ", "PatientName": "X"}, {"PatientID": "", "PatientName": "DOE^JANE"}]
    assert [read(tmp_path, **one).patient for one in same] == [found[0], found[2]]
    assert read(tmp_path, PatientID="", PatientName="").patient == ""


def test_what_is_kept_of_a_patient_names_nobody(tmp_path):
    """So few bits that many a patient has the same ones."""
    dataset = ultrasound(GRAY)
    seen = set()
    for number in itertools.count():
        dataset.PatientID = f"{number:07d}"
        text = patient_of(dataset)
        if text in seen:
            break
        seen.add(text)
    assert number < 3000
    assert len(text.split()[1]) == 4


def test_both_pass_through_the_scene_and_through_a_written_file(tmp_path):
    clear_scene()
    cine = read(tmp_path, StudyDate="20260107", StudyTime="101500", PatientID="p1")
    back = toCine(fromCine(cine).volume)
    assert (back.taken, back.patient) == (cine.taken, cine.patient)
    plain = toCine(fromCine(replace(cine, taken=None, patient="")).volume)
    assert (plain.taken, plain.patient) == (None, "")
    again = read_cine(write_dicom(cine, tmp_path / "again.dcm", patient="p1"))
    assert (again.taken, again.patient) == (cine.taken, cine.patient)


def test_single_images_have_those_of_the_first(tmp_path):
    for number, frame in enumerate(GRAY):
        dataset = ultrasound(frame[None], SeriesInstanceUID="1.2", InstanceNumber=number, StudyDate="20260107")
        save(dataset, tmp_path / f"{number}.dcm")
    cine = read_cine(tmp_path)
    assert len(cine) == 2
    assert cine.taken == datetime(2026, 1, 7)
    assert cine.patient.startswith("PatientID ")
