"""The file lists of every module's CMakeLists.txt: a file that is not listed is not packaged by Slicer.

`python Testing/cmake_lists.py [FOLDER]` writes the lists anew from the files that git tracks, here or in another
extension's folder; PrognosisCore's test_packaging.py holds the lists to them.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS, RESOURCES = "MODULE_PYTHON_SCRIPTS", "MODULE_PYTHON_RESOURCES"
NOT_PACKAGED = ("CMakeLists.txt", "Testing/")


def tracked_files(root: Path = ROOT) -> list[str]:
    """Files of the repository relative to its root; all files where it is no git checkout."""
    try:
        found = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, check=True, text=True).stdout
        names = [name for name in found.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        paths = (path.relative_to(root) for path in root.rglob("*"))
        names = [path.as_posix() for path in paths if not any(p.startswith((".", "__pycache__")) for p in path.parts)]
    return sorted(name for name in names if (root / name).is_file())


def module_names(root: Path = ROOT) -> list[str]:
    """Folders at the top whose CMakeLists.txt builds a scripted module."""
    places = sorted(root.glob("*/CMakeLists.txt"))
    return [path.parent.name for path in places if "slicerMacroBuildScriptedModule" in path.read_text("utf-8")]


def packaged_files(module: str, root: Path = ROOT) -> dict[str, list[str]]:
    """What belongs into each list of a module, relative to its folder: Python files, and everything else."""
    names = [name.removeprefix(f"{module}/") for name in tracked_files(root) if name.startswith(f"{module}/")]
    names = [name for name in names if not name.startswith(NOT_PACKAGED)]
    return {
        SCRIPTS: [name for name in names if name.endswith(".py")],
        RESOURCES: [name for name in names if not name.endswith(".py")],
    }


def listed_files(module: str, root: Path = ROOT) -> dict[str, list[str]]:
    """What the module's CMakeLists.txt lists."""
    text = (root / module / "CMakeLists.txt").read_text("utf-8")
    return {name: _block(name).search(text)[2].split() for name in (SCRIPTS, RESOURCES)}


def write_lists(module: str, root: Path = ROOT) -> bool:
    """Write both lists of a module; returns whether they changed."""
    path = root / module / "CMakeLists.txt"
    text = before = path.read_text("utf-8")
    for name, files in packaged_files(module, root).items():
        lines = "".join(f"  {file}\n" for file in files)
        text = _block(name).sub(lambda found, lines=lines: f"{found[1]}\n{lines}  )", text)
    if text != before:
        path.write_text(text, "utf-8")
    return text != before


def _block(name: str) -> re.Pattern[str]:
    return re.compile(rf"(set\({name})\s([^)]*)\)")


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT).resolve()
    for module in module_names(folder):
        print(f"{module}: {'written' if write_lists(module, folder) else 'as it was'}")
