"""What FibrosisVideo's tests share: a film of a round liver in a sector, its mask, and evidence by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from FibrosisVideoLib.labels import MODELS
from FibrosisVideoLib.measuring.evidence import AttentionMaps, CineEvidence, Plane, Window
from FibrosisVideoLib.measuring.measurements import measure_cine
from FibrosisVideoLib.measuring.readout import FORMAT, FibrosisReadout
from FibrosisVideoLib.settings import FibrosisSettings
from PrognosisLib.findings import Findings, Mask
from PrognosisLib.images.cine.cine import ArrayFrames, Cine, steady_times
from PrognosisLib.volume import Grid

FRAMES, SHAPE, PIXEL_MM, RATE = 40, (120, 160), (1.25, 1.0), 20.0
MASK_STEP = 2  # of frame pixels, for one of the mask
APEX, RADII, HALF_ANGLE = (80.0, -15.0), (30.0, 130.0), 0.7
LIVER_MIDDLE, LIVER_RADIUS_MM = (65.0, 80.0), 36.0
READOUT = {
    "format": FORMAT,
    "models": {
        "3d": {"slope": 1.2, "thresholds": [-1.5, 0.0, 1.2, 2.4], "window_sd": 0.6, "residual_sd": 0.3},
        "lstm": {"slope": 0.9, "thresholds": [-1.2, 0.1, 1.1, 2.0], "window_sd": 0.9, "residual_sd": 0.4},
        "2d": {"slope": 0.7, "thresholds": [-1.0, 0.2, 1.0, 1.9], "window_sd": 1.1, "residual_sd": 0.5},
    },
    "figures": {
        "3d": {
            "auc": {"value": 0.871, "lower": 0.83, "upper": 0.91},
            "auc_oracle": 0.93,
            "n": 320,
            "positive": 170,
            "sensitivity": {"value": 0.81, "lower": 0.75, "upper": 0.86},
            "specificity": {"value": 0.79, "lower": 0.72, "upper": 0.85},
        },
        "lstm": {"auc": {"value": 0.80, "lower": 0.75, "upper": 0.85}, "n": 320, "positive": 170},
    },
    "decision": 0.55,
}
WINDOWS = tuple(
    Window(start, start + 16, {"3d": 0.8 + 0.02 * start, "lstm": 0.2, "2d": -0.4}) for start in range(0, 25, 8)
)


def readout(simulated: bool = True) -> FibrosisReadout:
    return FibrosisReadout.from_dict(READOUT, simulated)


def sector_mask(shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """Bool (j, i) of the sector on a lattice that covers the frame."""
    j, i = (np.indices(shape).T + 0.5).T * np.array(SHAPE).reshape(2, 1, 1) / np.array(shape).reshape(2, 1, 1)
    x, y = i - APEX[0], j - APEX[1]
    radius, angle = np.hypot(x, y), np.arctan2(x, y)
    return (radius >= RADII[0]) & (radius <= RADII[1]) & (np.abs(angle) <= HALF_ANGLE)


def lattice(step: tuple[float, float] | float, pixel_mm: tuple[float, float] | None = PIXEL_MM) -> np.ndarray:
    """Matrix of a lattice of cells of so many frame pixels (along j, i), whose corner is that of the frame."""
    row, column = pixel_mm or (1.0, 1.0)
    down, across = (step, step) if isinstance(step, (int, float)) else step
    matrix = np.diag([-column * across, -row * down, 1.0, 1.0])
    matrix[0, 3], matrix[1, 3] = -column * (across - 1) / 2, -row * (down - 1) / 2
    return matrix


def film(count: int = FRAMES, pixel_mm: tuple[float, float] | None = PIXEL_MM, color: bool = False) -> Cine:
    """Speckle in a sector with a darker round liver, and a corner of bright text."""
    rng = np.random.default_rng(5)
    frames = np.where(sector_mask(), np.clip(rng.rayleigh(40, (count, *SHAPE)) + 12, 4, 230), 0).astype(np.uint8)
    frames[:, round_liver(SHAPE)] //= 2
    frames[:, 3:9, 4:40] = np.uint8(220) * ((np.indices((6, 36)).sum(0) % 3) > 0)
    if color:
        frames = np.repeat(frames[..., None], 3, axis=-1)
    return Cine(ArrayFrames(frames), steady_times(count, 1 / RATE), pixel_mm, name="Film")


def round_liver(shape: tuple[int, int], radius_mm: float = LIVER_RADIUS_MM) -> np.ndarray:
    """Bool (j, i): a disk in mm on a lattice that covers the frame."""
    j, i = ((np.indices(shape).T + 0.5).T * np.array(SHAPE).reshape(2, 1, 1) / np.array(shape).reshape(2, 1, 1)) - 0.5
    return np.hypot((j - LIVER_MIDDLE[0]) * PIXEL_MM[0], (i - LIVER_MIDDLE[1]) * PIXEL_MM[1]) <= radius_mm


def liver(
    evidence: CineEvidence | None = None,
    pixel_mm: tuple[float, float] | None = PIXEL_MM,
    radius_mm: float = LIVER_RADIUS_MM,
    frames: slice = slice(None),
    count: int = FRAMES,
) -> Mask:
    """The mask of the round liver on a lattice half as fine as the frames."""
    shape = tuple(n // MASK_STEP for n in SHAPE)
    array = np.zeros((count, *shape), bool)
    array[frames] = round_liver(shape, radius_mm)
    text = "" if evidence is None else evidence.to_text()
    return Mask.from_full("Liver", array, Grid(array.shape, lattice(MASK_STEP, pixel_mm)), evidence=text)


def attention(
    inside: np.ndarray | None = None, frames: int = 8, pixel_mm: tuple[float, float] | None = PIXEL_MM
) -> AttentionMaps:
    """Coarse maps of 20 x 24 cells: even, or hot where `inside` (20, 24) says so."""
    hot = np.ones((20, 24)) if inside is None else inside.astype(float)
    maps = np.rint(200 * np.repeat(hot[None], frames, axis=0)).astype(np.uint8)
    cells = lattice((SHAPE[0] / 20, SHAPE[1] / 24), pixel_mm)
    numbers = np.unique(np.rint(np.linspace(0, FRAMES - 1, frames)).astype(int))
    return AttentionMaps(numbers, dict.fromkeys(MODELS, maps), cells)


def evidence(**changes) -> CineEvidence:
    """Four windows, curves that rise, two unusable frames, sector and even Grad-CAM."""
    rising = np.linspace(-0.5, 1.5, FRAMES)
    rising[[3, 4]] = np.nan
    found = CineEvidence(
        FRAMES,
        WINDOWS,
        {"3d": rising, "lstm": 0.5 * rising, "2d": 0.2 * rising},
        {3: "too dark", 4: "too dark"},
        Plane(sector_mask(), lattice(1)),
        attention(),
    )
    return replace(found, **changes)


def measured(mask: Mask | None = None, clinical=None, cine: Cine | None = None, **settings) -> Findings:
    """`measure_cine` of the round liver with its evidence, or of another mask."""
    mask = liver(evidence()) if mask is None else mask
    return measure_cine(mask, clinical or {}, readout(), FibrosisSettings(**settings), cine or film())
