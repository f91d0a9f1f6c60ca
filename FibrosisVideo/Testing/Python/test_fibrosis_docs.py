"""docs/fibrosis-video.md names every row, flag and limit of the module."""

from __future__ import annotations

import ast
from pathlib import Path

from fibrosis_cases import evidence, liver, measured

from FibrosisVideoLib.measuring import capsule, flags, measurements
from PrognosisLib.reporting.cine_file import GIF_FRAMES

ROOT = Path(__file__).resolve().parents[3]
TEXT = " ".join((ROOT / "docs" / "fibrosis-video.md").read_text("utf-8").split())


def test_every_row_is_documented():
    rows = measured(liver(evidence()), {"swe_kpa": 8.0}).measurements
    assert len(rows) > 15
    missing = sorted({row.key for row in rows if f"`{row.key}`" not in TEXT})
    assert not missing, f"docs/fibrosis-video.md does not name the rows {missing}"


def test_every_flag_is_documented():
    found = set()
    for path in (ROOT / "FibrosisVideo" / "FibrosisVideoLib").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Flag" and node.args:
                found |= {node.args[0].value} if isinstance(node.args[0], ast.Constant) else set()
    assert len(found) >= 5
    missing = sorted(key for key in found if f"`{key}`" not in TEXT)
    assert not missing, f"docs/fibrosis-video.md does not name the flags {missing}"


def test_limits_are_those_of_the_code():
    for said in (
        f"within {capsule.BAND_MM:g} mm of the liver's capsule",
        f"{100 * capsule.BAND_SHARE:g} % of the sector's height",
        f"warning over {100 * flags.MANY_UNUSABLE:g} %",
        f"fewer than {flags.FEW_WINDOWS} windows",
        f"at most {GIF_FRAMES} smaller frames",
        *(f"{auc:g} of the" for auc in measurements.PUBLISHED_AUC.values()),
        f"{measurements.PUBLISHED_N} test patients of 110; published, other data",
    ):
        assert said in TEXT, f"docs/fibrosis-video.md does not say: {said}"
