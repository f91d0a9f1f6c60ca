"""The documents say what the code does: quoted messages, options, columns, clinical values, keys, links."""

from __future__ import annotations

import argparse
import ast
import inspect
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from PrognosisLib import cli
from PrognosisLib.clinical_fields import FIELDS, ClinicalField
from PrognosisLib.reporting.report import COLUMNS
from PrognosisLib.systems import SYSTEMS, System

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SOURCES = [*ROOT.glob("*/*Lib/**/*.py"), *ROOT.glob("*/*.py")]


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


# --- clinical values --------------------------------------------------------------------------------------------------


def clinical_table() -> str:
    """The table of docs/command-line.md, from the registry."""
    rows = ["| key | value | unit | range | other units | what it is |", "|---|---|---|---|---|---|"]
    rows += [_row(one) for one in FIELDS.values()]
    return "\n".join(rows) + "\n"


def _row(one: ClinicalField) -> str:
    span = f"{one.low:g} to {one.high:g}" if one.kind in ("number", "whole") else ""
    if one.kind == "choice":
        kind = " or ".join(f'`"{choice}"`' for choice in one.choices)
    else:
        kind = {"number": "number", "whole": "whole number", "yes/no": "`true` or `false`"}[one.kind]
    tip = one.tip
    if one.sure:
        tip += f" A plain number must be from {one.sure[0]:g} to {one.sure[1]:g}; beyond, write its unit."
    return f"| `{one.key}` | {kind} | {one.unit} | {span} | {', '.join(one.units)} | {tip} |"


def test_clinical_table_is_that_of_the_registry():
    assert clinical_table() in read("docs/command-line.md"), f"docs/command-line.md needs:\n{clinical_table()}"


# --- commands and files -----------------------------------------------------------------------------------------------


def choices_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parsers of a parser's commands by name; none where it has no commands."""
    found = (action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return next(found, {})


def options_of(parser: argparse.ArgumentParser) -> set[str]:
    return {option for action in parser._actions for option in action.option_strings if option.startswith("--")}


def options_by_command() -> dict[str, set[str]]:
    """The options of each command; of one that has the settings of each system, those that are its own."""
    found = {}
    for name, parser in choices_of(cli.make_parser()).items():
        below = [options_of(one) for one in choices_of(parser).values()]
        found[name] = set.intersection(*below) if below else options_of(parser)
    return found


def test_every_command_and_option_is_documented():
    text = read("docs/command-line.md")
    for command, options in options_by_command().items():
        section = re.search(rf"^## prognosis {command}$(.*?)(?=^## )", text, re.DOTALL | re.MULTILINE)
        assert section, f"docs/command-line.md has no section 'prognosis {command}'"
        missing = sorted(option for option in options - {"--help"} if not re.search(rf"{option}\b", section[1]))
        assert not missing, f"prognosis {command}: not documented: {missing}"


def test_documents_name_no_option_that_is_not_there():
    parsers = [
        one for parser in choices_of(cli.make_parser()).values() for one in (parser, *choices_of(parser).values())
    ]
    known = set().union(*map(options_of, parsers))
    for path in DOCUMENTS:
        for line in path.read_text("utf-8").splitlines():
            if "prognosis " in line or line.startswith("| `--"):
                strange = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", line)) - known
                assert not strange, f"{path.name}: {sorted(strange)} in: {line}"


def with_workbench() -> list[System]:
    """The systems that simulate, train and evaluate; one may have none (see adding-a-system.md)."""
    return [system for system in SYSTEMS.values() if find_spec(f"{system.module}Lib.workbench") is not None]


def test_defaults_of_training_are_those_of_the_systems():
    names = ("steps", "simulated", "seed", "threads", "risk_patients")
    options = " | ".join(f"`--{name.replace('_', '-')}`" for name in names)
    table = f"| SYSTEM | {options} |\n|{'---|' * (len(names) + 1)}\n"
    for system in with_workbench():
        taken = inspect.signature(system.library("workbench").train).parameters
        table += f"| `{system.name}` | {' | '.join(str(taken[name].default) for name in names)} |\n"
        assert taken["validation"].default == ""
    assert table in read("docs/command-line.md"), f"docs/command-line.md needs:\n{table}"


def test_columns_are_documented():
    from SpleenVolumeLib.simulation import CLINICAL, OUTCOMES

    text = read("docs/command-line.md")
    columns = (*COLUMNS, *CLINICAL, *OUTCOMES, "case", "patient", "ct", "labels", "clinical", "simulated")
    missing = [name for name in columns if f"`{name}`" not in text]
    assert not missing, f"docs/command-line.md does not name the columns {missing}"


def test_exit_codes_are_documented():
    text = read("docs/command-line.md")
    for code in (cli.DONE, cli.BAD_INPUT, cli.SOME_FAILED, 130):
        assert f"**{code}**" in text


# --- messages ---------------------------------------------------------------------------------------------------------


def templates() -> list[str]:
    """Every text of the code with "…" for what is filled in."""
    found = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
                found.append("".join(parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(re.sub(r"\{\w+\}", "…", node.value))
    return found


def quoted_messages() -> list[str]:
    section = re.search(r"^## Troubleshooting$(.*?)(?=^## )", read("README.md"), re.DOTALL | re.MULTILINE)[1]
    return re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)


@pytest.fixture(scope="module")
def all_templates():
    return templates()


@pytest.mark.parametrize("message", quoted_messages())
def test_quoted_message_occurs_in_the_code(message, all_templates):
    pieces = [re.escape(piece) for piece in re.split("…", message)]
    wanted = re.compile(".*".join(pieces), re.DOTALL)
    assert any(wanted.search(text) for text in all_templates if len(text) > 20), f"no code says: {message}"


# --- SpleenVolume -----------------------------------------------------------------------------------------------------


def test_every_row_of_the_results_is_documented():
    import numpy as np

    from PrognosisLib.findings import Mask
    from PrognosisLib.scores import score_rows
    from PrognosisLib.systems import SYSTEMS
    from PrognosisLib.volume import Volume
    from SpleenVolumeLib.measurements import size_rows
    from SpleenVolumeLib.outlook import SURVIVAL_MONTHS, group_rows

    volume = Volume(np.full((20, 40, 40), 50, dtype=np.int16), np.diag([-3.0, -3.0, 5.0, 1.0]), "CT", "ct")
    masks = []
    for name, places in (("Spleen", slice(5, 15)), ("Liver", slice(22, 35))):
        inside = np.zeros(volume.array.shape, dtype=bool)
        inside[4:16, 8:30, places] = True
        masks.append(Mask.from_full(name, inside, volume.grid))
    rows = [*size_rows(volume, masks[0], {}, masks[1]), *group_rows(300.0, None, {"cutoff_mL": 532})]
    rows += score_rows({}, SYSTEMS["spleen"].scores)
    keys = {row.key for row in rows} | {f"survival_{months}_months" for months in SURVIVAL_MONTHS}
    text = read("docs/spleen-volume.md")
    missing = sorted(key for key in keys | {"decompensation_risk"} if f"`{key}`" not in text)
    assert not missing, f"docs/spleen-volume.md does not name the rows {missing}"


def test_every_flag_is_documented():
    flags = set()
    for path in (ROOT / "SpleenVolume" / "SpleenVolumeLib").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("_flag", "Flag") and node.args:
                flags |= {node.args[0].value} if isinstance(node.args[0], ast.Constant) else set()
    assert len(flags) > 8
    missing = sorted(key for key in flags if f"`{key}`" not in read("docs/spleen-volume.md"))
    assert not missing, f"docs/spleen-volume.md does not name the flags {missing}"


def test_limits_of_the_flags_are_those_of_the_code():
    from SpleenVolumeLib import flags, outlook

    text = " ".join(read("docs/spleen-volume.md").split())
    for said in (
        f"{flags.HU_RANGE[0]:g} to {flags.HU_RANGE[1]:g} HU",
        f"over {flags.HU_SPREAD:g} HU",
        f"{flags.CONTACT_MM2:g} mm²",
        f"{100 * flags.CONTACT_SHARE:g} % of its surface",
        f"under {100 * flags.SOLIDITY:g} %",
        f"{flags.ELONGATION[0]:g} to {flags.ELONGATION[1]:g}",
        f"under {flags.MINIMUM_CONFIDENCE:g}",
        f"over {flags.COARSE_SLICES_MM:g} mm",
        f"over {flags.COARSE_PIXELS_MM:g} mm",
        f"{flags.PLAUSIBLE_ML[0]:g} to {flags.PLAUSIBLE_ML[1]:g} mL",
        f"{outlook.PUBLISHED_MONTHS['high']} months",
    ):
        assert said in text, f"docs/spleen-volume.md does not say: {said}"


# --- README -----------------------------------------------------------------------------------------------------------


def test_readme_names_what_a_reader_must_know():
    text = read("README.md")
    for said in (
        "make demo",
        "make test",
        "not for clinical",
        "syn3193805",
        "Nothing leaves your machine",
        "Apache-2.0",
    ):
        assert said in text
    for name in ("SpleenVolume", "HepatoPrognosis", "ICHExpansion", "LiverStiffness", "FibrosisVideo"):
        assert f"**{name}**" in text
    for system in SYSTEMS.values():
        assert f"prognosis {system.name} " in text


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    links = re.findall(r"\]\(([^)\s]+)\)", document.read_text("utf-8"))
    local = [link.partition("#")[0] for link in links if not link.startswith(("https://", "#"))]
    lost = sorted({link for link in local if not (document.parent / link).exists()})
    assert not lost, f"{document.name} links to what is not there: {lost}"
