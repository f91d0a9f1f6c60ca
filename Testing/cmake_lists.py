"""The file lists of every module's CMakeLists.txt: a file that is not listed is not packaged by Slicer.

`python Testing/cmake_lists.py` writes the lists anew from the files that git tracks; PrognosisCore's test_packaging.py
holds the lists to them.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS, RESOURCES = "MODULE_PYTHON_SCRIPTS", "MODULE_PYTHON_RESOURCES"
NOT_PACKAGED = ("CMakeLists.txt", "Testing/")


def tracked_files() -> list[str]:
    """Files of the repository relative to its root; all files where it is no git checkout."""
    try:
        found = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
        names = [name for name in found.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        paths = (path.relative_to(ROOT) for path in ROOT.rglob("*"))
        names = [path.as_posix() for path in paths if not any(p.startswith((".", "__pycache__")) for p in path.parts)]
    return sorted(name for name in names if (ROOT / name).is_file())


def module_names() -> list[str]:
    """Folders at the top whose CMakeLists.txt builds a scripted module."""
    places = sorted(ROOT.glob("*/CMakeLists.txt"))
    return [path.parent.name for path in places if "slicerMacroBuildScriptedModule" in path.read_text("utf-8")]


def packaged_files(module: str) -> dict[str, list[str]]:
    """What belongs into each list of a module, relative to its folder: Python files, and everything else."""
    names = [name.removeprefix(f"{module}/") for name in tracked_files() if name.startswith(f"{module}/")]
    names = [name for name in names if not name.startswith(NOT_PACKAGED)]
    return {
        SCRIPTS: [name for name in names if name.endswith(".py")],
        RESOURCES: [name for name in names if not name.endswith(".py")],
    }


def listed_files(module: str) -> dict[str, list[str]]:
    """What the module's CMakeLists.txt lists."""
    text = (ROOT / module / "CMakeLists.txt").read_text("utf-8")
    return {name: _block(name).search(text)[2].split() for name in (SCRIPTS, RESOURCES)}


def write_lists(module: str) -> bool:
    """Write both lists of a module; returns whether they changed."""
    path = ROOT / module / "CMakeLists.txt"
    text = before = path.read_text("utf-8")
    for name, files in packaged_files(module).items():
        lines = "".join(f"  {file}\n" for file in files)
        text = _block(name).sub(lambda found, lines=lines: f"{found[1]}\n{lines}  )", text)
    if text != before:
        path.write_text(text, "utf-8")
    return text != before


def _block(name: str) -> re.Pattern[str]:
    return re.compile(rf"(set\({name})\s([^)]*)\)")


if __name__ == "__main__":
    for module in module_names():
        print(f"{module}: {'written' if write_lists(module) else 'as it was'}")
