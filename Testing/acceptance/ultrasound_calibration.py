"""Simulated beside real B-mode frames: sector, gray values, speckle and depth profile, as a table and a picture.

    python Testing/acceptance/ultrasound_calibration.py OUTPUT

Real: frames with a liver outline of `liver-us/rus`, and the sweep of `liver-us/cine-imfusion` in ../shared/data. The
picture shows real frames and so stays out of the repository. Nothing is trained here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from FibrosisVideoLib.simulation.patients import draw_examination, frames_of
from PrognosisLib.cohort import write_rows
from PrognosisLib.framewise.lattice import PIXEL_MM, SHAPE, FrameLattice
from PrognosisLib.images.cine.cine import Cine
from PrognosisLib.images.cine.reading import read_cine
from PrognosisLib.images.cine.screen import find_screen
from PrognosisLib.simulation.ultrasound.probe import ScreenGeometry

sys.path.insert(0, str(Path(__file__).parent))
import itertools

from ultrasound_outlines import DATA, outlined_frames

SEEDS, FRAMES_EACH = range(60_000, 60_024), 3
PATCH = 21  # pixels along a side, 23 mm
BANDS = np.linspace(0, 1, 9)


def real_frames() -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(set, gray (160, 192), liver bool) of real frames on the networks' lattice."""
    for _, cine, outline in outlined_frames():
        screen = find_screen(cine)
        lattice = FrameLattice.of(cine, screen)
        liver = lattice(outline.astype(np.float32)) > 0.5
        yield "rus", lattice(screen.seen(cine.frame(0, gray=True))), liver


def sweep_frames() -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """The sweep has no outlines: its whole sector below the abdominal wall stands for the liver."""
    from dataclasses import replace

    file = DATA / "liver-us" / "cine-imfusion" / "derived_liver_sweep_140f_739x593.h264"
    cine: Cine = replace(read_cine(file), pixel_mm=(0.3148, 0.3148))
    screen = find_screen(cine)
    lattice = FrameLattice.of(cine, screen)
    inside = lattice(screen.sector.mask.astype(np.float32)) > 0.99
    inside[:45] = inside[100:] = False
    for number in range(30, 130, 8):
        yield "imfusion sweep", lattice(screen.seen(cine.frame(number, gray=True))), inside


def simulated_frames() -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Frames of simulated patients on the same lattice, by way of a screen of 640 x 480."""
    from PrognosisLib.images.cine.cine import ArrayFrames, steady_times

    for seed in SEEDS:
        one = draw_examination(seed)
        screen_shape = ScreenGeometry.around(one.probe, (480, 640))
        frames = list(frames_of(one, screen_shape, FRAMES_EACH))
        pixel = (screen_shape.pixel_mm, screen_shape.pixel_mm)
        stack = np.stack([frame.gray for frame in frames])
        cine = Cine(ArrayFrames(stack), steady_times(FRAMES_EACH, 0.5), pixel, name=str(seed), burned_in=False)
        screen = find_screen(cine)
        lattice = FrameLattice.of(cine, screen)
        for frame in frames:
            yield "simulated", lattice(screen.seen(frame.gray)), lattice(frame.liver.astype(np.float32)) > 0.5


def speckle(gray: np.ndarray, liver: np.ndarray) -> list[dict[str, float]]:
    """Of patches wholly in the liver: mean gray, contrast (SD / mean), and correlation lengths in mm."""
    found = []
    for j in range(0, SHAPE[0] - PATCH, PATCH // 2):
        for i in range(0, SHAPE[1] - PATCH, PATCH // 2):
            part = (slice(j, j + PATCH), slice(i, i + PATCH))
            values = gray[part]
            if not liver[part].all() or values.mean() < 8:
                continue
            away = values - values.mean()
            power = np.abs(np.fft.fft2(away, (2 * PATCH, 2 * PATCH))) ** 2
            correlation = np.fft.ifft2(power).real
            overlap = PATCH * np.arange(PATCH, 0, -1)
            down = correlation[:PATCH, 0] / overlap * PATCH**2 / correlation[0, 0]
            across = correlation[0, :PATCH] / overlap * PATCH**2 / correlation[0, 0]
            found.append(
                {
                    "gray": float(values.mean()),
                    "contrast": float(values.std() / values.mean()),
                    "axial_mm": _half_width(down),
                    "lateral_mm": _half_width(across),
                }
            )
    return found


def _half_width(correlation: np.ndarray) -> float:
    """Where a correlation falls to a half, mm."""
    below = int(np.argmax(correlation < 0.5))
    high, low = correlation[below - 1], correlation[below]
    return float((below - 1 + (high - 0.5) / max(high - low, 1e-6)) * PIXEL_MM)


def profile(gray: np.ndarray, liver: np.ndarray) -> np.ndarray:
    """Mean gray of the liver in eighths of the lattice's depth, over its mean; NaN where there is none."""
    rows = np.arange(SHAPE[0]) / SHAPE[0]
    means = []
    for low, high in itertools.pairwise(BANDS):
        part = gray[(rows >= low) & (rows < high)][liver[(rows >= low) & (rows < high)]]
        means.append(part.mean() if len(part) > 50 else np.nan)
    return np.array(means) / np.nanmean(means) if np.isfinite(means).any() else np.array(means)


def main(output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    patches: dict[str, list[dict[str, float]]] = {}
    profiles: dict[str, list[np.ndarray]] = {}
    shown: dict[str, list[np.ndarray]] = {}
    for frames in (real_frames(), sweep_frames(), simulated_frames()):
        for name, gray, liver in frames:
            patches.setdefault(name, []).extend(speckle(gray, liver))
            profiles.setdefault(name, []).append(profile(gray, liver))
            shown.setdefault(name, []).append(gray)
    rows = []
    for name, found in patches.items():
        row: dict[str, object] = {"set": name, "frames": len(shown[name]), "patches": len(found)}
        for key in ("gray", "contrast", "axial_mm", "lateral_mm"):
            values = [one[key] for one in found]
            low, middle, high = np.percentile(values, (10, 50, 90))
            row[key] = f"{middle:.2f} ({low:.2f} to {high:.2f})"
        row["profile"] = " ".join(f"{v:.2f}" for v in np.nanmedian(profiles[name], axis=0))
        rows.append(row)
        print(row)
    write_rows(output / "calibration.csv", rows)
    draw(output / "calibration.png", patches, profiles, shown)


def draw(path: Path, patches: dict, profiles: dict, shown: dict) -> None:
    """Four frames of each set, and the distributions under them."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(len(shown) + 1, 4, figsize=(13, 3.0 * (len(shown) + 1)))
    for row, (name, frames) in zip(axes, shown.items(), strict=False):
        for axis, number in zip(row, np.linspace(0, len(frames) - 1, 4).astype(int), strict=True):
            axis.imshow(frames[number], cmap="gray", vmin=0, vmax=255)
            axis.set_axis_off()
        row[0].set_title(name, loc="left")
    for axis, (key, title) in zip(
        axes[-1],
        (("gray", "mean gray"), ("contrast", "SD / mean"), ("lateral_mm", "lateral half width, mm")),
        strict=False,
    ):
        values = {name: np.array([one[key] for one in found]) for name, found in patches.items()}
        most = max(float(np.percentile(one, 95)) for one in values.values())
        for name, one in values.items():
            axis.hist(np.minimum(one, most), np.linspace(0, most, 25), density=True, histtype="step", label=name)
        axis.set_title(f"liver patches: {title}", fontsize=9)
    axes[-1][0].legend(fontsize=8)
    for name, found in profiles.items():
        axes[-1][3].plot(100 * (BANDS[:-1] + BANDS[1:]) / 2, np.nanmedian(found, axis=0), "o-", label=name)
    axes[-1][3].set_title("gray over its mean, by depth (% of 176 mm)", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
