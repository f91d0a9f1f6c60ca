"""The files of a validation: whole, readable, private, and saying what is simulated, published or left out."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from validation_cases import EVENT, MASKS, STUDY, rows_of

from PrognosisLib.errors import InputError
from PrognosisLib.findings import SIMULATED
from PrognosisLib.validation.checklist import FOR_THE_AUTHORS, ITEMS
from PrognosisLib.validation.report import Subject, run_of, write_validation
from PrognosisLib.validation.table import Table, read_table

BUNDLE = {"name": "Prognosis Test", "version": "1.0.0", "sha256": "ab" * 32}
SUBJECT = Subject(BUNDLE, {"training": ["secret-1", "secret-2"]}, "# The card", frozenset({"chance"}))
ROWS = rows_of(120)


def quick(subject: Subject = SUBJECT):
    return run_of(subject, repeats=10, permutations=50)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("report") / "out"
    tables = {"cases.csv": ROWS}
    return folder, write_validation(folder, STUDY, ROWS, SUBJECT, {"own": {"figure": 1}}, tables, run=quick())


def page(folder: Path) -> str:
    return (folder / "validation.html").read_text(encoding="utf-8")


def test_all_files_are_there_and_no_others(written):
    folder, paths = written
    assert sorted(path.relative_to(folder) for path in paths) == sorted(
        path.relative_to(folder) for path in folder.rglob("*") if path.is_file()
    )
    names = [path.name for path in paths]
    assert names[:4] == ["cases.csv", "statistics.csv", "summary.json", "validation.html"]
    stems = {path.stem for path in paths if path.parent.name == "figures"}
    assert {f"{stem}.{kind}" for stem in stems for kind in ("svg", "png")} == {p.name for p in paths[4:]}
    assert {"event_roc", "event_calibration", "event_decision", "death_survival_points", "size_agreement"} <= stems


def test_figures_are_readable_and_sharp(written):
    folder, _ = written
    for path in (folder / "figures").glob("*.svg"):
        assert ElementTree.parse(path).getroot().tag.endswith("svg")
    for path in (folder / "figures").glob("*.png"):
        data = path.read_bytes()
        assert data[:8] == b"\x89PNG\r\n\x1a\n"
        assert int.from_bytes(data[16:20]) >= 800


def test_the_same_cases_give_the_same_files(written, tmp_path):
    _, paths = written
    again = write_validation(
        tmp_path / "two", STUDY, ROWS, SUBJECT, {"own": {"figure": 1}}, {"cases.csv": ROWS}, run=quick()
    )
    for one, other in zip(paths, again, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name


def test_the_page_stands_alone_and_names_nobody(written):
    html = page(written[0])
    assert "<script" not in html
    assert not re.search(r'(?:src|href)="(?!data:|#)', html)
    assert "secret-" not in html
    assert "person-" not in html
    assert "default-src 'none'" in html
    assert html.count("data:image/svg+xml;base64,") == len(list((written[0] / "figures").glob("*.svg")))


def test_tables_are_those_of_the_statistics(written):
    folder, _ = written
    rows = list(csv.DictReader((folder / "statistics.csv").open(newline="", encoding="utf-8")))
    assert {row["endpoint"] for row in rows} == {one.key for one in STUDY.endpoints}
    area = next(row for row in rows if row["figure"] == "auc" and row["score"] == "Model" and row["patients"] == "all")
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    stored = summary["endpoints"]["event"]["figures"][0]
    assert (stored["figure"], stored["value"]) == ("auc", float(area["value"]))
    assert summary["own"] == {"figure": 1}
    assert summary["bundle"] == BUNDLE
    assert summary["cohort"] == {"cases": 120, "patients": 120, "failed": 0, "simulated": False}
    value, lower, upper = (float(area[name]) for name in ("value", "lower", "upper"))
    shown = " ".join(re.sub(r"<[^>]+>", " ", page(folder)).split())
    assert f"{value:.3f} ({lower:.3f} to {upper:.3f})" in shown


def test_what_is_simulated_and_what_was_published_says_so(written):
    html = page(written[0])
    assert "model that was trained on a simulated cohort" in html
    assert "published, other data" in html
    assert "0.80" in html
    assert "A et al., B 2020" in html
    rows = list(csv.DictReader((written[0] / "statistics.csv").open(newline="", encoding="utf-8")))
    for row in rows:
        assert (SIMULATED in row["note"]) == ("Model" in row["score"].split(" − ")), row


def test_a_simulated_cohort_is_named_on_top_and_in_every_row(tmp_path):
    subject = replace(SUBJECT, simulated_cohort=True, simulated_columns=frozenset())
    study = replace(STUDY, endpoints=(MASKS,))
    folder = tmp_path / "out"
    write_validation(folder, study, ROWS, subject, run=quick(subject))
    assert "The patients, their images and their outcomes are simulated" in page(folder)
    rows = list(csv.DictReader((folder / "statistics.csv").open(newline="", encoding="utf-8")))
    assert all(SIMULATED in row["note"] for row in rows)
    methods = json.loads((folder / "summary.json").read_text(encoding="utf-8"))["methods"]
    assert "of a simulated cohort" in methods


def test_the_methods_tell_what_was_done_and_nothing_else(written, tmp_path):
    methods = json.loads((written[0] / "summary.json").read_text(encoding="utf-8"))["methods"]
    for words in (
        "120 cases of 120 patients",
        "DeLong",
        "10 bootstrap samples",
        "50 permutations",
        "lifelines",
        "Wilson",
    ):
        assert words in methods, words
    folder = tmp_path / "out"
    write_validation(folder, replace(STUDY, endpoints=(MASKS,)), ROWS, SUBJECT, run=quick())
    short = json.loads((folder / "summary.json").read_text(encoding="utf-8"))["methods"]
    assert "DeLong" not in short
    assert "Kaplan" not in short


def test_the_checklist_has_every_item_and_says_what_is_for_the_authors(written):
    summary = json.loads((written[0] / "summary.json").read_text(encoding="utf-8"))
    items = {one["item"]: one["answer"] for one in summary["checklist"]}
    assert list(items) == [one.number for one in ITEMS]
    assert {int(re.match(r"\d+", number)[0]) for number in items} == set(range(1, 28))
    assert items["17"] == items["18a"] == FOR_THE_AUTHORS
    assert items["6a"] == "3 sites (column site)"
    assert items["5b"] == "Years 2015 to 2020 (column year)"
    assert "column happened" in items["8a"]
    assert "by sex" in items["14"]
    assert items["20a"] == "120 cases of 120 patients, 0 failed"
    assert 15 < sum(answer != FOR_THE_AUTHORS for answer in items.values()) < len(items)


def test_cases_that_taught_the_model_are_warned_of(written):
    assert "2 of 120 cases taught the networks of this bundle" in page(written[0])


def test_failed_cases_are_counted(tmp_path):
    rows = [*ROWS[:60], {"case": "broken", "status": "failed", "reason": "no CT"}, {"case": "other", "error": "bad"}]
    write_validation(tmp_path / "out", replace(STUDY, endpoints=(EVENT,)), rows, SUBJECT, run=quick())
    summary = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    assert summary["cohort"]["failed"] == 2
    assert any("2 of 62 cases failed" in text for text in summary["warnings"])


def test_masks_that_a_reader_accepted_are_counted(tmp_path):
    words = ["accepted"] * 55 + ["rejected"] + [""] * 63 + ["maybe"]
    rows = [{**row, "review": word} for row, word in zip(ROWS, words, strict=True)]
    write_validation(tmp_path / "out", replace(STUDY, endpoints=(MASKS,)), rows, SUBJECT, run=quick())
    (figure,) = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))["endpoints"]["review"][
        "figures"
    ]
    assert (figure["value"], figure["n"]) == (pytest.approx(55 / 56, abs=1e-5), 56)
    assert "1 cases are neither accepted nor rejected" in page(tmp_path / "out")


def test_a_cohort_without_the_outcome_says_what_is_missing(tmp_path):
    rows = [{key: value for key, value in row.items() if key not in ("happened", "died")} for row in ROWS]
    write_validation(tmp_path / "out", STUDY, rows, SUBJECT, run=quick())
    html = page(tmp_path / "out")
    assert "Not judged: the cohort has no values in a column &#39;happened&#39;." in html
    assert "Not judged: the cohort has no values in a column &#39;died&#39;." in html


def test_names_in_a_table_cannot_write_html(tmp_path):
    rows = [{**row, "sex": "<b>x</b>"} for row in ROWS]
    write_validation(tmp_path / "out", replace(STUDY, endpoints=(EVENT,)), rows, SUBJECT, run=quick())
    assert "<b>x</b>" not in page(tmp_path / "out")
    assert "&lt;b&gt;x&lt;/b&gt;" in page(tmp_path / "out")


def test_no_cases_and_unusable_values_write_nothing(tmp_path):
    with pytest.raises(InputError, match="no case to judge"):
        write_validation(tmp_path / "out", STUDY, [], SUBJECT)
    with pytest.raises(InputError, match="happened is '7'"):
        write_validation(tmp_path / "out", STUDY, [{**ROWS[0], "happened": 7}, *ROWS[1:]], SUBJECT, run=quick())
    assert not (tmp_path / "out").exists()


# --- tables -----------------------------------------------------------------------------------------------------------


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_cohort_fills_what_the_results_lack(tmp_path):
    results = write(tmp_path / "results.csv", "case,patient,volume,age\na,p1,10,\nb,p2,20,50\n")
    cohort = write(tmp_path / "cohort.csv", "case,age,died,volume\nb,99,0,7\na,41,1,8\nc,1,1,1\n")
    rows = read_table(results, cohort)
    assert [(row["case"], row["volume"], row["age"], row["died"]) for row in rows] == [
        ("a", "10", "41", "1"),
        ("b", "20", "50", "0"),
    ]
    assert Table(rows).patients.tolist() == ["p1", "p2"]
    other = write(tmp_path / "other.csv", "case,died\nx,1\n")
    with pytest.raises(InputError, match=r"'other\.csv' has none of the cases of 'results\.csv'"):
        read_table(results, other)


def test_words_are_numbers_where_numbers_are_meant():
    table = Table([{"case": n, "x": text} for n, text in enumerate(("yes", "No", "true", "", "NA", "inf", 3, None))])
    assert table.numbers("x").tolist()[:3] == [1, 0, 1]
    assert [n != n for n in table.numbers("x")] == [False, False, False, True, True, False, False, True]
    assert "x" in table
    assert "y" not in table
