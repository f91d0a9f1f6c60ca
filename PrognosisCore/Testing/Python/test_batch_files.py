"""A batch's files: the journal and what a kill does to it, the results table, the lock, the review."""

from __future__ import annotations

import csv
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from PrognosisLib.batch.finishing import take_review
from PrognosisLib.batch.journal import DONE, Journal, check_same, entry_of, failure
from PrognosisLib.batch.lock import FolderLock
from PrognosisLib.batch.results import ResultsTable
from PrognosisLib.batch.review import Counts, Review, read_decisions, write_page
from PrognosisLib.errors import InputError, WorkerError
from PrognosisLib.findings import Findings, Flag, Interval, Measurement
from PrognosisLib.systems import SYSTEMS
from PrognosisLib.wording import duration_text


def findings(**values: object) -> Findings:
    rows = [
        Measurement(key, key.title(), value[0] if isinstance(value, tuple) else value, "mL",
                    Interval(*value[1:]) if isinstance(value, tuple) else None, simulated=key == "risk")
        for key, value in values.items()
    ]  # fmt: skip
    return Findings("spleen", (), tuple(rows), (Flag("cut", "warning", "It is cut."),), summary="All is well.")


def add(journal: Journal, case: str, found: Findings | Exception, **cohort: str) -> bool:
    entry, columns = (failure(found), {}) if isinstance(found, Exception) else entry_of(found)
    place = {"case": case, "print": f"print of {case}", "folder": f"cases/{case}", "seconds": 1.5}
    return journal.add({**place, **entry, "cohort": {"patient": case, **cohort}}, columns)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


# --- journal ----------------------------------------------------------------------------------------------------------


def test_what_was_noted_is_there_again(tmp_path: Path):
    journal = Journal(tmp_path)
    journal.begin({"system": "spleen"})
    assert add(journal, "a", findings(size=(np.float32(2.5), 1, 3), kind="high", none=None))
    assert not add(journal, "b", findings(size=(float("nan"), 0.0, float("inf")), kind=np.int64(4)))
    assert add(journal, "c", findings(size=2.0, risk=0.1))
    add(journal, "d", WorkerError("It crashed.\nIts last words:\nnone"))
    journal.close()
    again = Journal(tmp_path)
    assert list(again) == ["a", "b", "c", "d"]
    assert again.run == {"system": "spleen"}
    assert again.entry("a")["values"] == {"size": [2.5, 1, 3], "kind": ["high"], "none": [None]}
    assert again.entry("b")["values"] == {"size": [None, 0.0, "inf"], "kind": [4]}
    assert again.entry("d")["reason"] == "It crashed."
    assert again.entry("d")["detail"] == "Its last words:\nnone"
    assert again.state("a") == ("print of a", DONE)
    assert again.state("e") == ("", "")
    assert again.columns["risk"]["simulated"]
    assert "e" not in again


def test_the_last_line_of_a_case_counts(tmp_path: Path):
    journal = Journal(tmp_path)
    add(journal, "a", InputError("no"))
    add(journal, "b", findings(size=1.0))
    add(journal, "a", findings(size=2.0))
    for one in (journal, Journal(tmp_path)):
        assert list(one) == ["a", "b"]
        assert one.entry("a")["values"]["size"] == [2.0]
        assert one.state("a")[1] == DONE


@settings(max_examples=40, deadline=None)
@given(st.integers(min_value=0, max_value=1400))
def test_wherever_a_kill_cuts_it_whole_lines_stay_and_new_ones_are_found(tmp_path_factory, cut: int):
    folder = tmp_path_factory.mktemp("journal")
    journal = Journal(folder)
    for case in "abc":
        add(journal, case, findings(size=1.0))
    journal.close()
    path = folder / "journal.jsonl"
    content = path.read_bytes()[:cut]
    path.write_bytes(content)
    whole = [json.loads(line).get("case") for line in content.split(b"\n")[:-1]]
    again = Journal(folder)
    assert list(again) == [case for case in whole if case]
    add(again, "d", findings(size=3.0))
    again.close()
    last = Journal(folder)
    assert list(last) == [*(case for case in whole if case), "d"]
    assert last.entry("d")["values"] == {"size": [3.0]}
    assert set(last.columns) == {"size"}


def test_a_line_is_on_the_disk_when_the_case_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda number: synced.append((tmp_path / "journal.jsonl").read_bytes()))
    add(Journal(tmp_path), "a", findings(size=1.0))
    assert b'"case": "a"' in synced[-1]


def test_results_of_different_kinds_are_not_mixed(tmp_path: Path):
    before = {"system": "spleen", "model": {"name": "A", "version": "1"}, "settings": {"x": 1, "y": 2}}
    check_same(before, {**before, "more": 1}, tmp_path)
    check_same({}, before, tmp_path)
    with pytest.raises(InputError, match=r"other settings \(y 2, now 3\)"):
        check_same(before, {**before, "settings": {"x": 1, "y": 3}}, tmp_path)
    with pytest.raises(InputError, match=r"another system \(spleen, now ich\)"):
        check_same(before, {**before, "system": "ich"}, tmp_path)


# --- table ------------------------------------------------------------------------------------------------------------


def test_rows_are_appended_and_columns_stand_in_the_order_of_the_cohort(tmp_path: Path):
    journal, path = Journal(tmp_path), tmp_path / "results.csv"
    cohort = {case: {"patient": f"p{case}", "site": case.upper()} for case in "abc"}
    table = ResultsTable(tmp_path, journal, cohort, "abc")
    table.write()
    assert rows_of(path) == []
    seen = []
    for case, found in (
        ("c", findings(size=1.0, late=2.0, end=1)),
        ("a", findings(size=(1.5, 1, 2), end=1)),
        ("b", findings(size=1.0, early=4.0, end=1)),
    ):
        add(journal, case, found)
        table.add(case)
        seen.append([row["case"] for row in rows_of(path)])
    assert [sorted(names) for names in seen] == [["c"], ["a", "c"], ["a", "b", "c"]]
    table.write()
    rows = rows_of(path)
    assert [row["case"] for row in rows] == ["a", "b", "c"]
    assert [row["site"] for row in rows] == ["A", "B", "C"]
    assert [row["patient"] for row in rows] == ["pa", "pb", "pc"]
    values = [name for name in rows[0] if name not in ("site", *list(rows[0])[:11])]
    assert values == ["size", "size_lower", "size_upper", "late", "early", "end"]
    assert [row["early"] for row in rows] == ["", "4.0", ""]


def test_the_table_is_the_same_in_whatever_order_cases_end(tmp_path: Path):
    found = {"a": findings(x=1.0, y=2.0), "b": findings(x=1.0, z=(3.0, 2, 4)), "c": InputError("no")}
    texts = []
    for order in ("abc", "cba", "bca"):
        folder = tmp_path / order
        folder.mkdir()
        journal = Journal(folder)
        table = ResultsTable(folder, journal, {case: {"patient": case} for case in "abc"}, order)
        for case in order:
            add(journal, case, found[case])
            table.add(case)
        table.write()
        texts.append((folder / "results.csv").read_text() + (folder / "columns.csv").read_text())
    assert texts[0] == texts[1] == texts[2]


def test_a_value_of_the_cohort_does_not_hide_one_of_the_system(tmp_path: Path):
    journal = Journal(tmp_path)
    table = ResultsTable(tmp_path, journal, {"a": {"patient": "a", "size": "7", "flags": "mine"}}, "a")
    add(journal, "a", findings(size=1.0))
    table.add("a")
    (row,) = rows_of(tmp_path / "results.csv")
    assert (row["size"], row["cohort_size"], row["flags"], row["cohort_flags"]) == ("1.0", "7", "cut", "mine")


def test_durations_are_told_as_a_person_says_them():
    told = [duration_text(seconds) for seconds in (0.2, 4.4, 89, 91, 5000, 5401, 36000, 400_000)]
    assert told == ["1 s", "4 s", "89 s", "2 min", "83 min", "1.5 h", "10 h", "111 h"]


# --- lock -------------------------------------------------------------------------------------------------------------


def test_only_one_holds_the_folder(tmp_path: Path):
    with FolderLock(tmp_path):
        holder = json.loads((tmp_path / "batch.lock").read_text())
        assert (holder["pid"], holder["host"]) == (os.getpid(), socket.gethostname())
        with pytest.raises(InputError, match=rf"A batch is under way .*process {os.getpid()} on "):
            FolderLock(tmp_path).acquire()
        assert (tmp_path / "batch.lock").exists()
    assert not (tmp_path / "batch.lock").exists()
    with FolderLock(tmp_path):
        pass


def test_the_lock_of_a_dead_process_is_taken_over(tmp_path: Path):
    code = "import sys, os; from PrognosisLib.batch.lock import FolderLock; from pathlib import Path; "
    code += f"lock = FolderLock(Path({str(tmp_path)!r})); lock.acquire(); os._exit(9)"
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert (tmp_path / "batch.lock").exists()
    # Its number may be another process's by now: that of this very one.
    holder = json.loads((tmp_path / "batch.lock").read_text())
    (tmp_path / "batch.lock").write_text(json.dumps({**holder, "pid": os.getpid()}))
    with FolderLock(tmp_path):
        assert json.loads((tmp_path / "batch.lock").read_text())["pid"] == os.getpid()


def test_a_lock_of_another_computer_is_not_taken_over(tmp_path: Path):
    (tmp_path / "batch.lock").write_text(json.dumps({"pid": 5, "host": "far", "since": "2026-01-01"}))
    with pytest.raises(InputError, match=r"process 5 on far, since 2026-01-01\); if that has ended, delete"):
        FolderLock(tmp_path).acquire()
    (tmp_path / "batch.lock").write_text("")
    with FolderLock(tmp_path):
        pass


def test_on_a_file_system_without_locks_a_living_process_is_respected(tmp_path: Path, monkeypatch):
    import fcntl

    def refuse(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    (tmp_path / "batch.lock").write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
    with pytest.raises(InputError, match="if that has ended, delete"):
        FolderLock(tmp_path).acquire()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    (tmp_path / "batch.lock").write_text(json.dumps({"pid": ended.pid, "host": socket.gethostname()}))
    with FolderLock(tmp_path):
        pass


# --- review -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def batch(tmp_path: Path) -> Path:
    """A folder with five cases, of which one failed."""
    journal = Journal(tmp_path)
    journal.begin({"system": "spleen", "model": {"name": "M"}, "settings": {}})
    for case in ("a", "b", "<c> & 'd'", "e"):
        add(journal, case, findings(size=1.0, risk=0.5), site=case)
        (tmp_path / "cases" / case).mkdir(parents=True)
        (tmp_path / "cases" / case / "picture.png").write_bytes(b"png")
    add(journal, "f", InputError("It is <b>no</b> CT."))
    cohort = {case: {"patient": case, "site": case} for case in ("f", "e", "<c> & 'd'", "b", "a")}
    ResultsTable(tmp_path, journal, cohort).write()
    journal.close()
    return tmp_path


def test_the_published_figure_comes_with_its_interval():
    """223 of 227 masks accepted on review, in Eur Radiol 2022;32:6302; interval by statsmodels' Wilson method."""
    from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(223, 227, method="wilson")
    counts = Counts(accepted=223, rejected=4, open=1, failed=2)
    assert counts.text() == (
        f"Accepted on review: 223 of 227 (98.2 %, 95 % interval {100 * low:.1f} to {100 * high:.1f} %). "
        "Not reviewed: 1. Failed: 2."
    )
    assert Counts(0, 0, 3, 0).text() == "Not reviewed: 3. Failed: 0."


def test_decisions_are_kept_at_once_and_can_be_taken_back(batch: Path):
    review = Review.read(batch)
    review.decide("a", "accepted")
    review.decide("b", "rejected", "leaks, into the stomach")
    assert Review.read(batch).decisions == {"a": ("accepted", ""), "b": ("rejected", "leaks, into the stomach")}
    review.decide("b", "accepted")
    review.decide("a", "")
    assert Review.read(batch).decisions == {"b": ("accepted", "leaks, into the stomach")}


def test_a_saved_review_goes_into_all_tables_without_the_cohort(batch: Path, tmp_path: Path):
    saved = tmp_path / "download.csv"
    saved.write_text('\ufeffcase,review,comment\r\n"a","Accepted",""\r\n"<c> & \'d\'","rejected","no, ""too"" big"\r\n')
    text = take_review(SYSTEMS["spleen"], batch, saved)
    assert text.startswith("Accepted on review: 1 of 2 (50.0 %, 95 % interval 9.5 to 90.5 %). Not reviewed: 2.")
    rows = {row["case"]: row for row in rows_of(batch / "results.csv")}
    assert list(rows) == ["f", "e", "<c> & 'd'", "b", "a"]  # the table's order stays
    assert (rows["a"]["review"], rows["a"]["site"]) == ("accepted", "a")
    assert rows["<c> & 'd'"]["review_comment"] == 'no, "too" big'
    told = json.loads((batch / "summary.json").read_text())["review"]
    assert (told["accepted"], told["rejected"], told["open"]) == (1, 1, 2)
    assert told["accepted_of_reviewed"]["percent"] == 50.0
    assert 'value="rejected" checked' in (batch / "review.html").read_text()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("case,review\nx,accepted\n", "names the case 'x', which this batch has not"),
        ("case,review\na,perhaps\n", "says 'perhaps' of case 'a'; write accepted or rejected"),
        ("name,review\na,accepted\n", "has no columns 'case' and 'review'"),
    ],
)
def test_a_review_that_does_not_fit_is_refused(batch: Path, tmp_path: Path, text: str, says: str):
    (tmp_path / "r.csv").write_text(text)
    before = (batch / "results.csv").read_bytes()
    with pytest.raises(InputError, match=says):
        take_review(SYSTEMS["spleen"], batch, tmp_path / "r.csv")
    assert not (batch / "review.csv").exists()
    assert (batch / "results.csv").read_bytes() == before


def test_a_review_needs_its_batch(batch: Path, tmp_path: Path):
    with pytest.raises(InputError, match="holds no batch"):
        take_review(SYSTEMS["spleen"], tmp_path / "nowhere", None)
    with pytest.raises(InputError, match="results of another system"):
        take_review(SYSTEMS["ich"], batch, None)
    with FolderLock(batch), pytest.raises(InputError, match="under way"):
        take_review(SYSTEMS["spleen"], batch, None)
    with pytest.raises(InputError, match="There is no review"):
        read_decisions(tmp_path / "nothing.csv")


def test_the_page_shows_every_case_and_runs_nothing_from_outside(batch: Path):
    journal = Journal(batch)
    text = write_page(batch, "Review", journal, list(journal), "picture.png").read_text()
    assert text.count("<article") == 5
    assert text.count("<img") == 4
    assert 'src="cases/a/picture.png"' in text
    assert "&lt;c&gt; &amp; &#39;d&#39;" in text
    assert "<b>no</b>" not in text
    assert "It is cut." in text
    assert "Simulated cohort." in text
    assert "http" not in text.replace("http-equiv", "")
    assert "default-src 'none'" in text


# As much of a browser as the page's script needs; then a person accepts the first case and saves.
BROWSER = """
const kept = {}, made = {}, saved = [];
class Element {
  constructor() { this.on = {}; this.value = "all"; this.textContent = ""; }
  addEventListener(name, handler) { this.on[name] = handler; }
  click() { if (this.href) saved.push([this.download, this.href.text]); }
}
const articles = CASES.map(([name, failed]) => {
  const radios = ["accepted", "rejected", ""].map(value => ({value, checked: value === ""})), text = {value: ""};
  return Object.assign(new Element(), {
    dataset: failed ? {case: name, failed: ""} : {case: name}, classList: {toggle() {}}, contains: () => false,
    querySelector: what => failed ? null : what.includes("radio") ? radios.find(one => one.checked) : text,
    querySelectorAll: () => radios});
});
globalThis.document = {querySelectorAll: () => articles, getElementById: id => made[id] ??= new Element(),
  createElement: () => new Element()};
globalThis.localStorage = {getItem: key => kept[key] ?? null, setItem: (key, value) => { kept[key] = value; }};
globalThis.Blob = class { constructor(parts) { this.text = parts.join(""); } };
URL.createObjectURL = blob => blob;
SCRIPT
articles[0].querySelectorAll()[0].checked = true; articles[0].querySelectorAll()[2].checked = false;
articles[0].querySelector("text").value = 'says "so"';
articles[0].on.input();
made.save.on.click();
console.log(JSON.stringify([made.counts.textContent, saved, Object.values(kept)]));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_the_page_counts_and_saves_what_the_command_takes_over(batch: Path, tmp_path: Path):
    journal = Journal(batch)
    text = write_page(batch, "Review", journal, list(journal), "picture.png").read_text()
    script = text.split("<script>")[1].split("</script>")[0]
    cases = json.dumps([[case, journal.state(case)[1] != DONE] for case in journal])
    program = BROWSER.replace("CASES", cases).replace("SCRIPT", f"{{{script}}}")
    told = subprocess.run(["node", "-"], input=program, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    counts, ((name, content),), (kept,) = json.loads(told.stdout)
    assert counts == "Accepted 1 of 1 (100.0 %); not reviewed 3; failed 1"
    made = {"decision": "accepted", "comment": 'says "so"'}
    before = json.dumps({"decision": "", "comment": ""}, separators=(",", ":"))
    assert json.loads(kept) == {"a": {**made, "base": before}}
    (tmp_path / name).write_text(content)
    assert read_decisions(tmp_path / name) == {"a": ("accepted", 'says "so"')}
