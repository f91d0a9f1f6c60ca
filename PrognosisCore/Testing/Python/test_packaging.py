"""The repository as Slicer packages it: what is missing from a list, a module or the law of imports is named here.

None of this replaces a build with Slicer: it checks that the lists are complete and that the packaged files work when
they lie flat in one folder, as an installed extension has them.
"""

from __future__ import annotations

import ast
import collections
import re
import shutil
import struct
import subprocess
import sys
import tomllib
from pathlib import Path

import cmake_lists
import pytest

ROOT = cmake_lists.ROOT
MODULES = cmake_lists.module_names()
TRACKED = cmake_lists.tracked_files()
HEAVY = ("torch", "monai", "SimpleITK", "scipy", "pandas", "matplotlib", "lifelines", "onnxruntime", "pydicom", "cv2")
MOST_LINES, MOST_TEST_LINES = 450, 600
MOST_BUNDLE_BYTES = 40 * 2**20
START = "from PrognosisLib import headless; headless.start(); "


def run_python(code: str, *search_path: Path, cwd: Path) -> str:
    """Output of a fresh interpreter that imports from `search_path` first."""
    code = f"import sys; sys.path[:0] = {[str(path) for path in search_path]!r}; {code}"
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def top_level_imports(path: Path) -> set[str]:
    """First name of everything imported at file scope, not inside functions or `if TYPE_CHECKING`."""
    found: set[str] = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(node.module.split(".")[0])
    return found


@pytest.fixture(scope="session")
def installed(tmp_path_factory) -> Path:
    """All listed files in one folder, at the places where Slicer's macro installs them."""
    folder = tmp_path_factory.mktemp("qt-scripted-modules")
    for module in MODULES:
        for names in cmake_lists.listed_files(module).values():
            for name in names:
                if (ROOT / module / name).is_file():
                    (folder / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(ROOT / module / name, folder / name)
    return folder


# --- lists ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", MODULES)
def test_every_file_of_a_module_is_listed(module):
    listed, wanted = cmake_lists.listed_files(module), cmake_lists.packaged_files(module)
    for name in (cmake_lists.SCRIPTS, cmake_lists.RESOURCES):
        missing = sorted(set(wanted[name]) - set(listed[name]))
        surplus = sorted(set(listed[name]) - set(wanted[name]))
        assert not missing, f"{module}/CMakeLists.txt lacks in {name}: {missing}; run Testing/cmake_lists.py"
        assert not surplus, f"{module}/CMakeLists.txt lists in {name} what git does not track: {surplus}"
        assert listed[name] == sorted(listed[name]), f"{name} of {module} is not in alphabetical order"


def test_modules_do_not_overwrite_each_other():
    """Installed modules share one folder, so that `Resources/Bundle` of two modules would be mixed."""
    places = collections.Counter(
        name for module in MODULES for names in cmake_lists.packaged_files(module).values() for name in names
    )
    twice = sorted(name for name, count in places.items() if count > 1)
    assert not twice, f"several modules install a file at the same place: {twice}"


def test_top_cmake_builds_every_module():
    text = (ROOT / "CMakeLists.txt").read_text("utf-8")
    folders = {path.parent.name for path in ROOT.glob("*/*.py") if path.stem == path.parent.name}
    assert set(re.findall(r"add_subdirectory\((\w+)\)", text)) == folders | set(MODULES)
    assert "project(Prognosis)" in text
    assert 'set(EXTENSION_DEPENDS "PyTorch")' in text
    for name in ("HOMEPAGE", "ICONURL", "SCREENSHOTURLS"):
        (urls,) = re.findall(rf'set\(EXTENSION_{name} "([^"]+)"\)', text)
        assert all(url.startswith("https://") for url in urls.split())
        for place in re.findall(r"/main/(\S+)", urls):
            assert (ROOT / place).is_file(), f"EXTENSION_{name} names {place}, which is not there"
    order = ["find_package(Slicer", "include(${Slicer_USE_FILE})", "add_subdirectory("]
    order += ["include(${Slicer_EXTENSION_GENERATE_CONFIG})", "include(${Slicer_EXTENSION_CPACK})"]
    places = [text.index(part) for part in order]
    assert places == sorted(places)


@pytest.mark.skipif(shutil.which("cmake") is None, reason="needs CMake")
def test_cmake_accepts_the_files(tmp_path):
    """Configured and installed with a small stand-in for Slicer's macros, as strict as they are about arguments."""
    stand_in = """
        set(Slicer_USE_FILE ${CMAKE_CURRENT_LIST_DIR}/use.cmake)
        set(Slicer_EXTENSION_GENERATE_CONFIG ${CMAKE_CURRENT_LIST_DIR}/empty.cmake)
        set(Slicer_EXTENSION_CPACK ${CMAKE_CURRENT_LIST_DIR}/empty.cmake)
    """
    use = """
        enable_testing()
        set(BUILD_TESTING ON)
        macro(slicerMacroBuildScriptedModule)
          cmake_parse_arguments(MY "WITH_GENERIC_TESTS" "NAME" "SCRIPTS;RESOURCES" ${ARGN})
          if(MY_UNPARSED_ARGUMENTS OR NOT MY_NAME OR NOT MY_WITH_GENERIC_TESTS)
            message(FATAL_ERROR "wrong arguments: ${ARGN}")
          endif()
          foreach(file ${MY_SCRIPTS} ${MY_RESOURCES})
            if(NOT EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${file})
              message(FATAL_ERROR "no file ${file}")
            endif()
            get_filename_component(folder ${file} DIRECTORY)
            install(FILES ${file} DESTINATION modules/${folder})
          endforeach()
        endmacro()
        macro(slicer_add_python_unittest)
          cmake_parse_arguments(MY "" "SCRIPT" "" ${ARGN})
          if(NOT EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${MY_SCRIPT})
            message(FATAL_ERROR "no test ${MY_SCRIPT}")
          endif()
        endmacro()
    """
    for name, text in (("SlicerConfig", stand_in), ("use", use), ("empty", "")):
        (tmp_path / f"{name}.cmake").write_text(text)
    build, target = tmp_path / "build", tmp_path / "installed"
    configure = ["cmake", "-S", ROOT, "-B", build, f"-DSlicer_DIR={tmp_path}", f"-DCMAKE_INSTALL_PREFIX={target}"]
    for command in (configure, ["cmake", "--install", build]):
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=300)
        if "No CMAKE_CXX_COMPILER could be found" in done.stderr:
            pytest.skip("needs a C++ compiler, as every CMake project of Slicer does")
        assert done.returncode == 0, done.stderr[-2000:]
    found = {path.relative_to(target / "modules").as_posix() for path in target.rglob("*") if path.is_file()}
    assert found == {name for m in MODULES for names in cmake_lists.packaged_files(m).values() for name in names}


def test_pyproject_finds_every_package():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    libraries = {
        Path(name).parts[:2] for name in TRACKED if re.fullmatch(r"(\w+)/(\1|Prognosis)Lib/__init__\.py", name)
    }
    assert set(settings["packages"]["find"]["where"]) == {module for module, _ in libraries}
    for name in TRACKED:
        parts = Path(name).parts
        if parts[:2] in libraries and name.endswith(".py"):
            package = ROOT.joinpath(*parts[:-1])
            assert (package / "__init__.py").is_file(), f"{package.relative_to(ROOT)} has no __init__.py"
    templates = settings["package-data"]["PrognosisLib"]
    used = [name for name in TRACKED if name.startswith("PrognosisCore/PrognosisLib/") and name.endswith(".html")]
    assert used
    assert all(any(Path(name).match(f"PrognosisLib/{pattern}") for pattern in templates) for name in used)


# --- modules ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", MODULES)
def test_module_is_complete(module):
    folder = ROOT / module
    source = folder / f"{module}.py"
    assert source.is_file(), f"{module} has no module file {module}.py"
    text = source.read_text("utf-8")
    classes = {node.name for node in ast.parse(text).body if isinstance(node, ast.ClassDef)}
    missing = [] if f"{module}Test" in classes else [f"class {module}Test"]
    hidden = re.search(r"parent\.hidden = True", text)
    for kind, suffix in (("Icons", "png"), *(() if hidden else (("UI", "ui"),))):
        if not (folder / "Resources" / kind / f"{module}.{suffix}").is_file():
            missing.append(f"Resources/{kind}/{module}.{suffix}")
    missing += [f"parent.{part}" for part in ("title", "contributors", "helpText") if f"parent.{part} =" not in text]
    if not list((folder / "Testing" / "Python").glob("test_*.py")):
        missing.append("Testing/Python/test_*.py")
    assert not missing, f"{module} lacks: {missing}"
    header = (folder / "Resources" / "Icons" / f"{module}.png").read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", header[16:24]) == (128, 128), f"the icon of {module} is not 128 pixels wide and high"


@pytest.mark.parametrize("module", MODULES)
def test_module_file_imports_nothing_heavy(module):
    allowed = {"slicer", "vtk", "qt", "ctk", "PrognosisLib", f"{module}Lib", *sys.stdlib_module_names}
    strange = top_level_imports(ROOT / module / f"{module}.py") - allowed
    assert not strange, f"{module}.py imports at file scope: {sorted(strange)}"


def test_loading_every_module_imports_nothing_heavy(installed):
    """As at Slicer's start: the module files, and what their panels and logics import."""
    names = [module for module in MODULES if (installed / f"{module}.py").is_file()]
    code = START + "import importlib, PrognosisLib.clinical, PrognosisLib.findings, PrognosisLib.logic; "
    code += "import PrognosisLib.systems; "
    code += f"[importlib.import_module(name) for name in {names!r}]; "
    code += f"print(*[name for name in {HEAVY!r} if name in sys.modules])"
    assert run_python(code, installed, cwd=installed).split() == []


def test_the_light_modules_need_no_scene(installed):
    code = "import PrognosisLib.systems, PrognosisLib.clinical, PrognosisLib.findings, PrognosisLib.scores; "
    code += f"print(*[name for name in ('slicer', 'vtk', 'qt', *{HEAVY!r}) if name in sys.modules])"
    assert run_python(code, installed, cwd=installed).split() == []


def test_every_library_file_imports_once_installed(installed):
    """All of the libraries but what needs torch, from the flat folder: a file that was forgotten is found here."""
    names = []
    for path in sorted(installed.glob("*Lib/**/*.py")):
        if not top_level_imports(path) & {"torch", "onnx"}:
            names.append(".".join(path.relative_to(installed).with_suffix("").parts).removesuffix(".__init__"))
    assert len(names) > 20
    trained = "('training', 'workbench', 'packing')"
    code = START + f"import importlib; names = [n for n in {names!r} if n.split('.')[-1] not in {trained}]; "
    code += "files = [importlib.import_module(name).__file__ for name in names]; "
    code += f"print(*[file for file in files if not file.startswith({str(installed)!r})])"
    assert run_python(code, installed, cwd=installed).split() == []


def test_installed_bundles_and_templates_are_found(installed):
    code = (
        "from pathlib import Path; from PrognosisLib.reporting import report; "
        "from PrognosisLib.systems import SYSTEMS; "
        "shipped = [one for one in SYSTEMS.values() if one.default_bundle().is_dir()]; "
        "[one.make_pipeline() for one in shipped]; "
        "print(len(shipped), (Path(report.__file__).parent / 'templates' / 'report.html').is_file())"
    )
    bundles = {name.split("/")[0] for name in TRACKED if "/Resources/Bundle/" in name}
    assert bundles
    assert run_python(code, installed, cwd=installed).split() == [str(len(bundles)), "True"]


def test_bundles_stay_small():
    bundles = [ROOT / name for name in TRACKED if "/Resources/Bundle/" in name]
    size = sum(path.stat().st_size for path in bundles)
    assert size <= MOST_BUNDLE_BYTES, f"the bundles have {size / 2**20:.1f} MB"
    assert any(path.name == "metadata.json" for path in bundles), "no module has its bundle in Resources/Bundle"


# --- texts ------------------------------------------------------------------------------------------------------------


def texts() -> list[tuple[str, str]]:
    suffixes = (".py", ".md", ".txt", ".toml", ".json", ".html", ".ui", ".sh", ".cmake", "Makefile", ".ci/run")
    return [(name, (ROOT / name).read_text("utf-8")) for name in TRACKED if name.endswith(suffixes)]


def test_nothing_names_a_place_of_one_machine():
    folders = "|".join(("work", "home", "root", "Users", "mnt"))
    place = re.compile(rf"(?<![\w./-])/(?:{folders})/\w|[A-Z]:\\\\?{'Users'}")
    host = re.compile(r"https?://[\w.:-]*(?:artifactory|proxy|mirror|pypi|localhost|registry)", re.IGNORECASE)
    found = [
        f"{name}:{number}: {line.strip()[:80]}"
        for name, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        if place.search(line) or host.search(line)
    ]
    assert not found, "\n".join(found)


def test_files_stay_readable():
    long = []
    for name in TRACKED:
        if name.endswith(".py"):
            lines = len((ROOT / name).read_text("utf-8").splitlines())
            if lines > (MOST_TEST_LINES if Path(name).name.startswith("test_") else MOST_LINES):
                long.append(f"{name} ({lines} lines)")
    assert not long, f"too long: {long}"


def test_license_is_apache():
    text = (ROOT / "LICENSE.txt").read_text("utf-8")
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
