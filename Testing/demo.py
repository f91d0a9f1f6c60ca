"""`make demo`: every system on a simulated patient and, where real images lie beside the checkout, on a real one."""

from __future__ import annotations

import sys
import time
from importlib.util import find_spec
from pathlib import Path

from PrognosisLib import cli
from PrognosisLib.systems import SYSTEMS

ROOT = Path(__file__).resolve().parents[1]
REAL = ROOT.parent / "shared" / "data"
SPLEEN_SEED, ICH_SEED, HEPATO_SEED = 25, 12, 3
STIFFNESS_SEED, FIBROSIS_SEED = 50_007, 50_004  # who neither taught nor tested a bundle


def run(*arguments: object) -> None:
    start = time.perf_counter()
    code = cli.main([str(one) for one in arguments])
    if code != cli.DONE:
        sys.exit(code)
    print(f"  ({time.perf_counter() - start:.0f} s)", flush=True)


def simulate(system: str, seed: int, output: Path, suffix: str = ".nii.gz") -> Path:
    """Folder of a simulated patient; each has the image of the system's first role."""
    folder = output / "simulated-patients" / system
    run("simulate", system, "--cases", 1, "--seed", seed, "--output", folder)
    image = f"{SYSTEMS[system].roles[0].name}{suffix}"
    return next(path.parent for path in folder.glob(f"*{seed:04d}/{image}"))


def has_bundle(system: str) -> bool:
    """Says so where the networks are not in the repository yet."""
    if SYSTEMS[system].default_bundle().is_dir():
        return True
    module = SYSTEMS[system].module
    print(f"{module} has no model bundle yet: prognosis train {system} --output DIR makes one.", flush=True)
    return False


def fibrosis(output: Path) -> list[Path]:
    """FibrosisVideo's part."""
    if not has_bundle("fibrosis"):
        return []
    print("FibrosisVideo on a simulated patient", flush=True)
    case = simulate("fibrosis", FIBROSIS_SEED, output, ".dcm")
    folders = [output / "fibrosis"]
    run("fibrosis", "--cine", case / "cine.dcm", "--clinical", case / "clinical.json", "--output", folders[-1])
    sweeps = sorted((REAL / "liver-us" / "cine-imfusion").glob("*.h264"))
    if sweeps and find_spec("cv2"):  # which reads videos
        print("FibrosisVideo on a real liver sweep", flush=True)
        folders.append(output / "fibrosis-real")
        run("fibrosis", "--cine", sweeps[0], "--output", folders[-1])
    return folders


def hepato(output: Path) -> list[Path]:
    """HepatoPrognosis's part: both images, and that of admission alone."""
    if not has_bundle("hepato"):
        return []
    case = simulate("hepato", HEPATO_SEED, output, ".dcm")
    known = ("--t0", case / "t0.dcm", "--clinical", case / "clinical.json")
    folders = [output / "hepato", output / "hepato-t0"]
    print("HepatoPrognosis on a simulated patient", flush=True)
    run("hepato", *known, "--t1", case / "t1.dcm", "--output", folders[0])
    print("HepatoPrognosis on the image of admission alone", flush=True)
    run("hepato", *known, "--output", folders[1])
    return folders


def main(output: Path) -> None:
    print("SpleenVolume on a simulated patient", flush=True)
    case = simulate("spleen", SPLEEN_SEED, output)
    folders = [output / "spleen"]
    run(
        "spleen", "--ct", case / "ct.nii.gz", "--clinical", case / "clinical.json", "--cutoff-ml", 532,
        "--output", folders[-1],
    )  # fmt: skip
    real = REAL / "abdomen-ct" / "totalsegmentator" / "example_ct.nii.gz"
    if real.exists():
        print("SpleenVolume on a real CT", flush=True)
        folders.append(output / "spleen-real")
        run("spleen", "--ct", real, "--output", folders[-1])
    print("ICHExpansion on a simulated patient with a follow-up", flush=True)
    case = simulate("ich", ICH_SEED, output)
    folders.append(output / "ich")
    run(
        "ich", "--ct", case / "ct.nii.gz", "--followup", case / "followup.nii.gz",
        "--clinical", case / "clinical.json", "--output", folders[-1],
    )  # fmt: skip
    print("LiverStiffness on a simulated patient", flush=True)
    case = simulate("stiffness", STIFFNESS_SEED, output)
    folders.append(output / "stiffness")
    run(
        "stiffness", "--t2", case / "t2.nii.gz", "--t1", case / "t1.nii.gz",
        "--clinical", case / "clinical.json", "--output", folders[-1],
    )  # fmt: skip
    print("LiverStiffness on its T2-weighted image alone", flush=True)
    folders.append(output / "stiffness-t2")
    run("stiffness", "--t2", case / "t2.nii.gz", "--clinical", case / "clinical.json", "--output", folders[-1])
    folders += fibrosis(output)
    folders += hepato(output)
    print("\nOpen these:")
    for folder in folders:
        for name in ("report.html", "scene.mrb", "results.csv"):
            print(folder / name)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo-output"))
