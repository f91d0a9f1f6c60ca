"""The report: self-contained, inert, honest about what is simulated; the table and provenance exact."""

from __future__ import annotations

import base64
import csv
import io
import json
import os
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from PrognosisLib import wording
from PrognosisLib.clinical_fields import fields_of
from PrognosisLib.errors import InputError
from PrognosisLib.findings import Curve, Findings, Flag, Interval, Mask, Measurement
from PrognosisLib.reporting import output, report
from PrognosisLib.volume import Volume

EVIL = '<script>alert(1)</script><img src=http://x.example/a.png onerror=alert(2)>" onload="x'


def make_volume(name: str = "phantom") -> Volume:
    array = np.full((20, 40, 40), -1000, dtype=np.int16)
    array[4:16, 5:35, 5:35] = 40
    return Volume(array, np.diag([-5.0, -5.0, 8.0, 1.0]), "CT", name)


def make_findings(text: str = "", **more) -> Findings:
    volume = make_volume()
    inside = np.zeros(volume.array.shape, dtype=bool)
    inside[6:12, 20:30, 22:32] = True
    x = np.linspace(0, 60, 10)
    content = {
        "masks": (Mask.from_full(f"Spleen{text}", inside, volume.grid),),
        "measurements": (
            Measurement("spleen_volume", f"Spleen volume{text}", 1234.56789, "mL", Interval(1180.4, 1290.6), "voxels",
                        group=f"Spleen size{text}"),
            Measurement("risk", "Decompensation", 0.1 + 0.2, "", Interval(0.0123456, 0.4), "logistic model",
                        group="Risk", simulated=True),
            Measurement("median", "Median survival", 9.4, "months", None, "printed", "published, other data", "Risk"),
            Measurement("class", "Group", "high", "", None, 'cut-off, "a setting"', "", "Risk"),
            Measurement("meld", "MELD", None, "points", None, "UNOS", f"sodium is missing{text}", "Clinical scores"),
        ),
        "flags": (
            Flag("coarse", "info", "Slices are 8 mm apart."),
            Flag("edge", "warning", f"It touches the edge{text}.", "Spleen"),
            Flag("liver", "error", "It touches the liver.", "Spleen"),
        ),
        "curves": (
            Curve("Survival", f"This patient{text}", x, np.exp(-x / 40), "Months", "Survival", step=True,
                  emphasized=True, simulated=True),
        ),
        "summary": f"The spleen measures 1235 mL{text}.",
    }  # fmt: skip
    return Findings("spleen", **{**content, **more})


PROVENANCE = {
    "date": "2026-02-03T10:00:00+00:00",
    "inputs": {"ct": {"name": "DOE_JANE_ct.nii.gz", "sha256": "ab" * 32}},
    "bundle": {"name": "spleen", "version": "0.1.0"},
    "versions": {"numpy": np.__version__},
    "device": "cpu",
    "seconds": {"coarse": 0.5, "load networks": 0.25},
}


class Page(HTMLParser):
    """Tags with attributes, and text, of a page."""

    def __init__(self, path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.tags: list[tuple[str, dict]] = []
        self.words: list[str] = []
        self.feed(self.source)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        if not self.tags or self.tags[-1][0] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    clinical = {"bilirubin": 17.0, "albumin": {"value": 4.0, "unit": "g/dL"}, "dialysis": False, "inr": None}
    path = report.write_report(
        folder, make_findings(), make_volume(), PROVENANCE, clinical, "# Model card\nTrained on 24 < 30 patients",
        wanted=fields_of(["bilirubin", "sodium", "inr"]),
    )  # fmt: skip
    assert path == folder / "report.html"
    assert os.listdir(folder) == ["report.html"]
    return Page(path)


@pytest.fixture(scope="module")
def evil_page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evil")
    provenance = {**PROVENANCE, "inputs": {EVIL: {"name": EVIL, "sha256": EVIL}}, EVIL: [EVIL, {EVIL: EVIL}]}
    path = report.write_report(
        folder, make_findings(EVIL), make_volume(EVIL), provenance, {"sex": EVIL, EVIL: 1}, EVIL, EVIL,
        case_label=EVIL, show_names=True,
    )  # fmt: skip
    return Page(path)


@pytest.mark.parametrize("which", ["page", "evil_page"])
def test_the_page_is_inert_and_self_contained(which, request):
    page = request.getfixturevalue(which)
    assert {tag for tag, _ in page.tags}.isdisjoint(
        {"script", "link", "iframe", "object", "embed", "a", "base", "form"}
    )
    for _, attributes in page.tags:
        assert not any(name.startswith("on") or name in ("href", "srcset") for name in attributes)
        assert attributes.get("src", "data:image/png;base64,").startswith("data:image/png;base64,")
    style = page.source[page.source.index("<style>") : page.source.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    policy = next(a["content"] for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy


def test_foreign_text_is_shown_as_text(evil_page):
    assert "<script>" in evil_page.text
    assert "<script" not in evil_page.source


def test_pictures_are_embedded_and_described(page):
    pictures = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(pictures) == 4
    for attributes in pictures:
        image = Image.open(io.BytesIO(base64.b64decode(attributes["src"].split(",")[1])))
        shape = int(attributes["width"]) / int(attributes["height"])
        assert image.width / image.height == pytest.approx(shape, rel=0.01)
        assert len(attributes["alt"]) > 20
    assert "simulated cohort" in pictures[-1]["alt"]


def test_what_the_reader_must_know_is_said(page):
    text = page.text
    assert "Research and teaching, not for clinical use" in text
    assert "trained on a simulated cohort" in text
    assert "The spleen measures 1235 mL" in text
    row = re.search(r"Decompensation.*?Median", text).group()
    assert "simulated cohort" in row
    assert "published" in re.search(r"Median survival.*? Group ", text).group()
    assert "Total bilirubin 17 umol/L" in text.replace("\xa0", " ")
    assert "Albumin 4.0 g/dL" in text.replace("\xa0", " ") or "Albumin 4 g/dL" in text.replace("\xa0", " ")
    assert "Not given: INR, Sodium" in text
    assert "sodium is missing" in text
    assert "ab" * 32 in text
    assert "Trained on 24 < 30 patients" in text
    assert "Total 0.75" in text


def test_nobody_is_named(page):
    assert "DOE_JANE" not in page.source
    assert "phantom" not in page.source


def test_names_are_shown_when_asked_for(evil_page):
    assert evil_page.text.count("alert(1)") > 10


def test_flags_have_words_and_icons_and_the_worst_comes_first(page):
    text = page.text
    places = [text.index(word) for word in ("Error:", "Warning:", "Note:")]
    assert places == sorted(places)
    assert "Error: Spleen. It touches the liver." in text
    assert sum(tag == "svg" for tag, _ in page.tags) == 3


def test_groups_are_headings_in_order(page):
    text = page.text
    places = [text.index(f" {group} ") for group in ("Spleen size", "Risk", "Clinical scores")]
    assert places == sorted(places)
    assert "1230\xa0mL" in page.source
    assert "1180 to 1290\xa0mL" in page.source


def test_the_model_card_is_folded(page):
    (details,) = [attributes for tag, attributes in page.tags if tag == "details"]
    assert "open" not in details


def test_a_report_without_anything_found(tmp_path):
    flag = Flag("no_spleen", "error", "No spleen found.")
    findings = Findings("spleen", flags=(flag,))
    page = Page(report.write_report(tmp_path, findings, make_volume(), {}, {}))
    assert "No spleen found." in page.text
    assert "No measurements." in page.text
    assert "simulated" not in page.text.lower()
    assert sum(tag == "img" for tag, _ in page.tags) == 1


def test_csv_is_exact(tmp_path):
    path = report.write_results_csv(tmp_path / "results.csv", make_findings())
    content = path.read_bytes()
    assert content.startswith(b"quantity,value,unit,lower,upper,method,note\r\n")
    assert content.endswith(b"\r\n")
    assert b'"cut-off, ""a setting"""' in content
    rows = list(csv.DictReader(io.StringIO(content.decode("utf-8"), newline="")))
    assert [row["quantity"] for row in rows] == [row.label for row in make_findings().measurements]
    assert float(rows[0]["value"]) == 1234.56789
    assert float(rows[1]["value"]) == 0.1 + 0.2
    assert float(rows[1]["lower"]) == 0.0123456
    assert rows[1]["note"] == "simulated cohort"
    assert rows[3]["value"] == "high"
    assert (rows[4]["value"], rows[4]["lower"]) == ("", "")


def test_csv_of_awkward_values(tmp_path):
    values = [np.float32(0.5), np.int64(7), 3, float("nan"), 1e-20, "Größe\nzwei"]
    rows = tuple(Measurement(f"k{n}", "µ", value) for n, value in enumerate(values))
    path = report.write_results_csv(tmp_path / "r.csv", Findings("spleen", measurements=rows))
    read = [row["value"] for row in csv.DictReader(io.StringIO(path.read_bytes().decode(), newline=""))]
    assert read == ["0.5", "7", "3", "", "1e-20", "Größe\nzwei"]


def test_provenance_is_json(tmp_path):
    mixed = {"array": np.arange(3), "number": np.float32(0.5), "path": tmp_path, "nan": float("nan"), "name": "Ö"}
    path = report.write_provenance(tmp_path / "provenance.json", {**PROVENANCE, "more": mixed})
    read = json.loads(path.read_text(encoding="utf-8"))
    assert read["inputs"] == PROVENANCE["inputs"]
    assert read["more"] == {"array": [0, 1, 2], "number": 0.5, "path": str(tmp_path), "nan": None, "name": "Ö"}


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(output.os, "replace", full)
    for write in (
        lambda: report.write_results_csv(tmp_path / "results.csv", make_findings()),
        lambda: report.write_provenance(tmp_path / "provenance.json", PROVENANCE),
    ):
        with pytest.raises(InputError, match="full"):
            write()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("value", "like", "text"),
    [
        (1234.5, None, "1230"),
        (312.44, None, "312"),
        (99.96, None, "100"),
        (9.996, None, "10.0"),
        (0.05134, None, "0.0513"),
        (9.4, None, "9.4"),
        (7.0, None, "7"),
        (-2.6031, None, "−2.60"),
        (-0.0, None, "0"),
        (0.0, None, "0"),
        (1234, None, "1234"),
        (float("nan"), None, "not available"),
        (float("inf"), None, "∞"),
        (0.0011, 0.0513, "0.0011"),
        (0.0112345, 0.5, "0.011"),
        (298.51, 309.8, "299"),
        (980.3, 1250.0, "980"),
        (0.00004, 0.5, "0"),
        (12.345, 0.0, "12.3"),
    ],
)
def test_numbers_for_display(value, like, text):
    assert wording.format_number(value, like) == text
