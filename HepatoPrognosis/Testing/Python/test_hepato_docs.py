"""docs/hepato-prognosis.md names every row, flag and limit of the module."""

from __future__ import annotations

import ast
from pathlib import Path

from hepato_images import pair, quick_readout
from hepato_panel_cases import EchoPairPipeline, write_test_bundle

from HepatoPrognosisLib.comparing import look, maps, pair_checks, same_image
from HepatoPrognosisLib.measuring import change, outlook
from HepatoPrognosisLib.networks import choosing
from HepatoPrognosisLib.settings import default_settings
from PrognosisLib.framewise import frames, lattice
from PrognosisLib.pipeline import Case, run

ROOT = Path(__file__).resolve().parents[3]
TEXT = " ".join((ROOT / "docs" / "hepato-prognosis.md").read_text("utf-8").split())


def test_every_row_is_documented(tmp_path):
    pipeline = EchoPairPipeline(write_test_bundle(tmp_path / "Bundle"))
    rows = run(pipeline, Case(pair(), {"age": 50.0}, default_settings())).measurements
    assert len(rows) > 20
    keys = {row.key for row in rows if not row.key.startswith("points_") or row.key == "points_total"}
    missing = sorted(key for key in keys | {"points_", "frame_t0", "frame_t1"} if f"`{key}`" not in TEXT)
    assert not missing, f"docs/hepato-prognosis.md does not name the rows {missing}"
    assert quick_readout().simulated


def test_every_flag_is_documented():
    found = set()
    for path in (ROOT / "HepatoPrognosis" / "HepatoPrognosisLib").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Flag" and node.args:
                found |= set(_keys(node.args[0]))
    assert len(found) >= 10
    missing = sorted(key for key in found if f"`{key}`" not in TEXT)
    assert not missing, f"docs/hepato-prognosis.md does not name the flags {missing}"


def _keys(node: ast.expr) -> list[str]:
    """A flag's key as it is written, or with both roles at the end."""
    if isinstance(node, ast.Constant):
        return [node.value]
    if isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
        return [f"{node.values[0].value}{role}" for role in ("t0", "t1")]
    return []


def test_limits_are_those_of_the_code():
    for said in (
        f"lattice of {lattice.PIXEL_MM:g} mm pixels",
        f"less than {pair_checks.NEAR_DAYS[0]} or more than {pair_checks.NEAR_DAYS[1]} days apart",
        f"not {pair_checks.NEAR_DAYS[0]} to {pair_checks.NEAR_DAYS[1]} days later",
        f"a correlation of {same_image.SAME:g} or more",
        f"area under {frames.FEWEST_LIVER_CM2:g} cm²",
        f"up to {choosing.MOST_FRAMES} frames",
        f"at least {100 * choosing.SHARP:g} % of the median",
        f"{maps.FULL_CHANGE:g} gray levels or more are full",
        f"{look.WALL_MM[0]:g} to {look.WALL_MM[1]:g} mm under the probe",
        f"{default_settings()['mortality_days']:g} by default",
        f"{outlook.PUBLISHED_N} patients of the validation set",
    ):
        assert said in TEXT, f"docs/hepato-prognosis.md does not say: {said}"
    assert change.LARGE_CHANGE == 0.5
    assert "by more than half" in TEXT
