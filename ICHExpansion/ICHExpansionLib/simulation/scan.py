"""CT image formation: a simulated head as a scanner delivers it, with labels, the noise-free image and true volumes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from scipy import ndimage

from PrognosisLib.simulation.shapes import Grid, rotation
from PrognosisLib.volume import Volume

from ..labels import BACKGROUND, EDEMA, EXTRA_AXIAL, HEMATOMA, VENTRICULAR
from .bleed import BleedParameters, draw_bleed, draw_extra_axial, pushed
from .head import Canvas, HeadParameters, draw_head

FINEST_MM = 0.9  # the anatomy is not drawn finer than this
FINEST_SLICE_MM = 2.6


@dataclass(frozen=True)
class ScanParameters:
    """How the head lies and how it is scanned.

    Args:
        pixel_mm, columns, rows: in plane; slice_mm: distance and thickness of the slices.
        tilt: of the gantry, degrees: slices are turned about the R-L axis, their stack is not.
        turn: of the head about R, A, S in degrees; shift: of its middle, mm.
        bottom_mm, top_mm: what is covered, from the middle of the brain.
        blur_mm: of the kernel (sigma); noise_hu: standard deviation at the slices.
        beam_hardening: HU of dark bands between the petrous bones and of cupping under the vault.
        motion: pixels by which single slices are doubled.
        flips: axes i, j, k stored the other way.
    """

    pixel_mm: float = 0.9
    columns: int = 224
    rows: int = 256
    slice_mm: float = 5.0
    tilt: float = 0.0
    turn: tuple[float, float, float] = (0.0, 0.0, 0.0)
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)
    bottom_mm: float = -78.0
    top_mm: float = 84.0
    blur_mm: float = 0.7
    noise_hu: float = 3.5
    beam_hardening: float = 6.0
    motion: float = 0.0
    flips: tuple[bool, bool, bool] = (False, True, False)

    @classmethod
    def sample(cls, rng: np.random.Generator, pixel_mm: float = 0.9) -> ScanParameters:
        """A random scan; most have 5 mm slices. The gantry is never tilted, since few file formats keep that: the
        head is turned instead."""
        slice_mm = float(rng.choice([5.0, 5.0, 5.0, 4.5, 6.0, 7.0, 3.0]))
        return cls(
            pixel_mm=pixel_mm,
            columns=int(np.ceil(176 / pixel_mm / 16) * 16),
            rows=int(np.ceil(216 / pixel_mm / 16) * 16),
            slice_mm=slice_mm,
            turn=tuple(float(v) for v in rng.normal(0, (8, 4, 7))),
            shift=tuple(float(v) for v in rng.normal(0, (4, 5, 4))),
            bottom_mm=float(rng.uniform(-82, -66)),
            top_mm=float(rng.uniform(78, 90)),
            blur_mm=float(rng.uniform(0.45, 1.0)),
            noise_hu=float(rng.uniform(1.8, 6.0) * np.sqrt(5.0 / max(3.0, slice_mm))),
            beam_hardening=float(rng.uniform(0, 12)),
            motion=float(rng.uniform(1, 4)) if rng.random() < 0.08 else 0.0,
        )


@dataclass(frozen=True)
class SimulatedHead:
    """One scan. `hu` int16 and `labels` uint8 (k, j, i); `clean` float32, without noise and artifacts.

    `truth` has the volumes in mL within the scan, partial voxels counted: "hematoma", "ventricular", "edema",
    "extra_axial".
    """

    hu: np.ndarray
    labels: np.ndarray
    clean: np.ndarray
    ijk_to_ras: np.ndarray
    truth: dict[str, float]
    head: HeadParameters
    bleed: BleedParameters | None
    scan: ScanParameters = field(default_factory=ScanParameters)

    def volume(self, name: str = "Simulated head CT") -> Volume:
        return Volume(self.hu, self.ijk_to_ras, "CT", name)

    def label_volume(self) -> Volume:
        return Volume(self.labels, self.ijk_to_ras, "labels", "labels")


def simulate_head(
    head: HeadParameters,
    bleed: BleedParameters | None,
    scan: ScanParameters,
    seed: int,
    extra_axial: str = "",
) -> SimulatedHead:
    """One scan of one head; equal arguments give equal results.

    Args:
        bleed: None for a head without parenchymal hemorrhage.
        seed: of anatomy and noise. The anatomy of a seed is the same for every scan and bleeding.
        extra_axial: "" or one of bleed.EXTRA_AXIAL.
    """
    matrix, count = _lattice(scan)
    grid, parts, enlarge = _drawing_grid(scan, matrix, count)
    raw = grid.points() / np.asarray(head.scale, np.float32)[:, None, None, None]
    moved = raw if bleed is None else pushed(raw, bleed)
    canvas = draw_head(head, grid, np.random.default_rng([seed, 1]), raw, moved)
    zero = np.zeros(grid.shape, np.float32)
    shares = {HEMATOMA: zero, VENTRICULAR: zero, EDEMA: zero, EXTRA_AXIAL: zero}
    if bleed is not None:
        blood = draw_bleed(canvas, bleed, raw)
        shares = {HEMATOMA: blood.hematoma, VENTRICULAR: blood.ventricular, EDEMA: blood.edema, EXTRA_AXIAL: zero}
    if extra_axial:
        shares[EXTRA_AXIAL] = draw_extra_axial(canvas, extra_axial, raw, np.random.default_rng([seed, 4]))
    hu = _merge(canvas.hu, parts, enlarge, scan)
    shares = {label: _merge(share, parts, enlarge, scan) if share.any() else None for label, share in shares.items()}
    rng = np.random.default_rng([seed, 2, round(100 * scan.slice_mm), round(10 * scan.tilt) % 997])
    clean = _blur(hu, scan)
    noisy = _artifacts(clean, canvas, parts, enlarge, scan, rng)
    labels = _labels(shares, hu.shape)
    voxel_ml = abs(np.linalg.det(matrix[:3, :3])) / 1000.0
    names = {HEMATOMA: "hematoma", VENTRICULAR: "ventricular", EDEMA: "edema", EXTRA_AXIAL: "extra_axial"}
    truth = {names[label]: 0.0 if s is None else float(s.sum() * voxel_ml) for label, s in shares.items()}
    noisy = np.clip(np.rint(noisy), -1024, 3071).astype(np.int16)
    return _flipped(noisy, labels, clean, matrix, truth, head, bleed, scan)


def _lattice(scan: ScanParameters) -> tuple[np.ndarray, tuple[int, int, int]]:
    """IJK-to-RAS of the scan (before flips) and its shape (k, j, i)."""
    count = max(8, round((scan.top_mm - scan.bottom_mm) / scan.slice_mm))
    angle = np.radians(scan.tilt)
    matrix = np.eye(4)
    matrix[:3, 0] = (scan.pixel_mm, 0, 0)
    matrix[:3, 1] = (0, scan.pixel_mm * np.cos(angle), scan.pixel_mm * np.sin(angle))
    matrix[:3, 2] = (0, 0, scan.slice_mm)
    middle = np.array([(scan.columns - 1) / 2, (scan.rows - 1) / 2, 0.0])
    matrix[:3, 3] = np.array([0, 0, scan.bottom_mm + scan.slice_mm / 2]) - matrix[:3, :3] @ middle
    return matrix, (count, scan.rows, scan.columns)


def _pose(scan: ScanParameters) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3] = rotation(scan.turn)
    pose[:3, 3] = scan.shift
    return pose


def _drawing_grid(scan: ScanParameters, matrix: np.ndarray, count: tuple[int, int, int]) -> tuple[Grid, int, int]:
    """Grid in the anatomy's frame, the planes that make a slice, and the pixels that a drawn one stands for."""
    parts = max(1, int(np.ceil(scan.slice_mm / FINEST_SLICE_MM)))
    enlarge = max(1, int(FINEST_MM / scan.pixel_mm + 0.01))
    fine = matrix.copy()
    fine[:3, 2] /= parts
    fine[:3, :2] *= enlarge
    fine[:3, 3] += matrix[:3, :3] @ np.array([(enlarge - 1) / 2, (enlarge - 1) / 2, 0.0])
    fine[:3, 3] -= fine[:3, 2] * (parts - 1) / 2
    shape = (count[0] * parts, count[1] // enlarge, count[2] // enlarge)
    return Grid(shape, np.linalg.inv(_pose(scan)) @ fine), parts, enlarge


def _merge(fine: np.ndarray, parts: int, enlarge: int, scan: ScanParameters) -> np.ndarray:
    """Planes averaged to slices (partial volume), and drawn pixels interpolated to the scan's."""
    slices = fine.reshape(-1, parts, *fine.shape[1:]).mean(axis=1)
    if enlarge > 1:
        slices = ndimage.zoom(slices, (1, enlarge, enlarge), order=1, grid_mode=True, mode="nearest")
    return slices.astype(np.float32)


def _blur(hu: np.ndarray, scan: ScanParameters) -> np.ndarray:
    sigma = scan.blur_mm / scan.pixel_mm
    return ndimage.gaussian_filter(hu, (0, sigma, sigma), mode="nearest")


def _artifacts(
    clean: np.ndarray, canvas: Canvas, parts: int, enlarge: int, scan: ScanParameters, rng: np.random.Generator
) -> np.ndarray:
    """Beam hardening, motion and noise."""
    hu = clean.copy()
    if scan.beam_hardening:
        x, y, z = canvas.points
        band = np.exp(-(((y + 22) / 9) ** 2) - ((z + 46) / 9) ** 2) * (np.abs(x) < 34) * np.cos(x / 5)
        rim = np.exp(-np.clip(canvas.regions["depth"], 0, None) / 9.0) * (canvas.regions["depth"] > 0)
        change = scan.beam_hardening * (-2.0 * band + 0.8 * rim)
        hu += _merge(change.astype(np.float32), parts, enlarge, scan)
    if scan.motion:
        for k in rng.choice(len(hu), max(2, len(hu) // 4), replace=False):
            shift = rng.normal(0, scan.motion / 2, 2)
            hu[k] = 0.6 * hu[k] + 0.4 * ndimage.shift(hu[k], shift, order=1, mode="nearest")
    noise = rng.standard_normal(hu.shape, dtype=np.float32)
    sigma = max(0.35, 0.6 * scan.blur_mm / scan.pixel_mm)
    noise = ndimage.gaussian_filter(noise, (0, sigma, sigma))
    return hu + noise * np.float32(scan.noise_hu / noise[:: max(1, len(noise) // 4)].std())


def _labels(shares: dict[int, np.ndarray | None], shape: tuple[int, ...]) -> np.ndarray:
    labels = np.full(shape, BACKGROUND, np.uint8)
    for label in (EDEMA, EXTRA_AXIAL, VENTRICULAR, HEMATOMA):
        if shares[label] is not None:
            labels[shares[label] > 0.5] = label
    return labels


def _flipped(
    hu: np.ndarray,
    labels: np.ndarray,
    clean: np.ndarray,
    matrix: np.ndarray,
    truth: dict[str, float],
    head: HeadParameters,
    bleed: BleedParameters | None,
    scan: ScanParameters,
) -> SimulatedHead:
    matrix = matrix.copy()
    shape = np.array(hu.shape)[::-1]
    for axis, flip in enumerate(scan.flips):
        if flip:
            hu, labels, clean = (np.flip(one, 2 - axis) for one in (hu, labels, clean))
            matrix[:3, 3] += matrix[:3, axis] * (shape[axis] - 1)
            matrix[:3, axis] *= -1
    hu, labels, clean = (np.ascontiguousarray(one) for one in (hu, labels, clean))
    return SimulatedHead(hu, labels, clean, matrix, truth, head, bleed, scan)


def followup_of(scan: ScanParameters, rng: np.random.Generator) -> ScanParameters:
    """Another examination of the same head: it lies elsewhere and is scanned with other slices and tilt."""
    other = ScanParameters.sample(rng, scan.pixel_mm)
    return replace(other, turn=tuple(float(v) for v in np.add(scan.turn, rng.normal(0, 5, 3))))
