"""What tests of HepatoPrognosis's training share: painted pairs in place of simulated ones, and a small network.

The brightness of the painted livers tells the best possible log hazards, so that a head has something to find in the
features of a network that was hardly trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from training_kit import Inline, QuickRun

from HepatoPrognosisLib.learning import fitting, groups, pairs, siamese_training
from HepatoPrognosisLib.learning.outcomes_table import as_log_hazard
from HepatoPrognosisLib.learning.pairs import Pairs
from HepatoPrognosisLib.networks import catalog
from HepatoPrognosisLib.predictors import CANDIDATES
from HepatoPrognosisLib.simulation.causes import draw_seeds
from HepatoPrognosisLib.simulation.cohort import film_of
from HepatoPrognosisLib.simulation.oracle import expected_mortality
from PrognosisLib.cohort import write_rows
from PrognosisLib.framewise.lattice import FACE, PIXEL_MM, SHAPE
from PrognosisLib.images.cine.writing import write_dicom
from PrognosisLib.images.writers import write_volume
from PrognosisLib.learning import frame_files, training
from PrognosisLib.learning.frame_files import write_frames
from PrognosisLib.simulation.ultrasound.recording import Frame
from PrognosisLib.volume import Volume

CANDIDATES_KEPT = ("age", "log_inr", "log_lactate")


def sector() -> tuple[np.ndarray, np.ndarray]:
    """Bool (160, 192): the sector, and a liver in it."""
    j, i = np.indices(SHAPE)
    down, across = j - FACE[0] + 55, i - FACE[1]
    inside = (np.abs(np.arctan2(across, down)) < 0.55) & (np.hypot(down, across) > 55) & (np.hypot(down, across) < 195)
    return inside, inside & (np.hypot(j - 85, i - 75) < 36)


def painted(level: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Gray values and liver of an image on the lattice whose liver is so bright."""
    inside, liver = sector()
    speckle = np.random.default_rng([seed, 4]).normal(0, 3, SHAPE)
    gray = np.where(liver, level, 45.0) * inside + speckle * inside
    return np.clip(np.rint(gray), 0, 255).astype(np.uint8), liver


def paint_pairs(seeds: Sequence[int], files: list[Path]) -> None:
    """In place of pairs._simulate."""
    columns = draw_seeds(seeds)
    first, both = (np.clip(as_log_hazard(expected_mortality(columns, when, False)), -4, 3) for when in ("t0", "both"))
    images = [
        painted(float(level), 2 * seed + when)
        for row, seed in enumerate(seeds)
        for when, level in ((0, 110 + 10 * first[row]), (1, 110 + 10 * first[row] + 12 * (both - first)[row]))
    ]
    gray, liver = (np.stack(one).reshape(len(seeds), 2, *SHAPE) for one in zip(*images, strict=True))
    write_frames(files[0], gray, liver, seeds=np.array(seeds))


def paint_views(seed: int, files: list[Path]) -> None:
    """In place of pairs._simulate_views: one with a liver, and one without."""
    gray, liver = painted(100.0, seed)
    bare = np.where(liver, 45, gray).astype(np.uint8)
    write_frames(files[0], np.stack([gray, bare]), np.stack([liver, np.zeros_like(liver)]))


def painted_pairs(folder: Path, seeds: Sequence[int]) -> Pairs:
    """Such pairs, as load_pairs gives them."""
    paint_pairs(seeds, [folder / "pairs.npz"])
    return pairs.load_pairs([folder / "pairs.npz"])


def write_own(folder: Path, count: int, **changed: str) -> Path:
    """A cohort file of painted stills: two of three patients died, the older and the brighter the sooner.

    Every second one has outlines; `changed` are values of the second row.
    """
    screen, rows = SimpleNamespace(pixel_mm=PIXEL_MM), []
    for number in range(count):
        died = int(number % 3 > 0)
        age = (36 if died else 26) + 13 * number % 37
        soon = 0.5 * (110 - age) + 2 * (number % 4)
        row = {"case": f"c{number}", "patient": f"p{number}", "age": age, "died": died, "days": soon if died else 60}
        for when, role in enumerate(("t0", "t1")):
            gray, liver = painted(150 - row["days"] + 4 * when, 2 * number + when)
            film = film_of([Frame(gray, liver)], screen, 0.0, name=f"{number} {role}")
            row[role] = write_dicom(film, folder / f"{number}_{role}.dcm", row["patient"]).name
            if number % 2 == 0:
                labels = Volume(liver[None].astype(np.uint8), film.ijk_to_ras, "labels")
                row[f"{role}_labels"] = write_volume(labels, folder / f"{number}_{role}.nii.gz").name
        rows.append({**row, **(changed if number == 1 else {})})
    return write_rows(folder / "cohort.csv", rows)


def make_quick(patch: pytest.MonkeyPatch) -> None:
    """Painted images, a small network and few repeats, until the patch is undone."""
    patch.setattr(frame_files, "ProcessPoolExecutor", Inline)
    patch.setattr(pairs, "_simulate", paint_pairs)
    patch.setattr(pairs, "_simulate_views", paint_views)
    patch.setattr(catalog, "WIDTHS", (6, 8, 8))
    patch.setattr(catalog, "FEATURES", 6)
    for name, value in {"PAIRS": 2, "VIEWS": 1, "EMPTY": 1, "FEATURES": 6, "TrainingRun": QuickRun}.items():
        patch.setattr(siamese_training, name, value)
    patch.setattr(training, "fast_type", lambda device: None)
    patch.setattr(groups, "REPEATS", 5)
    patch.setattr(groups, "EMPTY_OF_A_KIND", 4)
    patch.setattr(fitting, "CANDIDATES", tuple(one for one in CANDIDATES if one.name in CANDIDATES_KEPT))
