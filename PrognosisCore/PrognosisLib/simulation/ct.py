"""CT image formation: a simulated abdomen as a scanner would deliver it, with its label map and its true volumes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ..errors import InputError
from .anatomy import COVERAGES, PHASES, AbdomenParameters, Anatomy, Layer, build_anatomy
from .organs import ABOVE, BELOW, Patient
from .sampling import apply_weights, centered, label_by_weights, slab_weights, to_canonical
from .shapes import Grid, RandomField, rotation

# HU without contrast, then in the arterial, portal venous and delayed phases, and the texture's standard deviation.
HU: dict[str, tuple[float, float, float, float, float]] = {
    "air": (-1000, -1000, -1000, -1000, 0),
    "table": (-120, -120, -120, -120, 30),
    "skin": (20, 20, 25, 25, 10),
    "fat": (-105, -105, -104, -104, 6),
    "visceral fat": (-100, -99, -98, -98, 7),
    "muscle": (54, 58, 64, 63, 8),
    "lung": (-860, -858, -855, -856, 25),
    "effusion": (8, 8, 9, 9, 2),
    "bone": (620, 620, 630, 630, 110),
    "marrow": (185, 190, 205, 198, 16),
    "disc": (75, 76, 80, 80, 8),
    "cord": (28, 28, 30, 30, 4),
    "bowel wall": (38, 78, 84, 72, 8),
    "bowel content": (18, 18, 20, 20, 22),
    "feces": (10, 10, 12, 14, 60),
    "gas": (-960, -960, -960, -960, 10),
    "water": (6, 6, 6, 14, 2),
    "ascites": (9, 9, 11, 12, 3),
    "myocardium": (44, 105, 112, 95, 6),
    "esophagus wall": (36, 55, 62, 58, 6),
    "stomach water": (10, 10, 11, 11, 5),
    "stomach food": (42, 42, 44, 44, 26),
    "stomach contrast": (230, 230, 230, 230, 25),
    "stomach gas": (22, 22, 22, 22, 12),
    "aorta": (42, 300, 158, 112, 3),
    "vena cava": (40, 92, 142, 110, 6),
    "portal vein": (40, 112, 168, 116, 3),
    "hepatic vein": (40, 52, 158, 114, 3),
    "pancreas": (38, 98, 92, 74, 12),
    "liver": (57, 70, 108, 88, 4),
    "gallbladder wall": (32, 45, 58, 50, 4),
    "bile": (8, 8, 9, 10, 2),
    "renal cortex": (33, 172, 182, 145, 6),
    "renal medulla": (31, 70, 160, 150, 8),
    "urine": (4, 4, 12, 420, 4),
    "spleen": (48, 122, 122, 94, 4),
}
FINEST_MM = (1.8, 1.8, 2.2)  # the anatomy is drawn on a grid no finer than this (i, j, k) and then interpolated
SLAB_VOXELS = 400_000


@dataclass(frozen=True)
class SimulatedCT:
    """`hu` int16 and `labels` uint8 on one grid (k, j, i); `ijk_to_ras` takes (i, j, k, 1) to mm; `truth` by name."""

    hu: np.ndarray
    labels: np.ndarray
    ijk_to_ras: np.ndarray
    truth: dict[str, float]
    parameters: AbdomenParameters


def simulate_abdomen(
    parameters: AbdomenParameters,
    seed: int,
    *,
    spacing: tuple[float, float, float] | None = None,
    max_size: int | None = None,
) -> SimulatedCT:
    """Simulate one abdominal CT; equal arguments give equal results.

    `spacing` (i, j, k) in mm overrides the scan's pixel size and slice spacing, its field of view and coverage kept.
    `max_size` bounds the number of voxels along any axis: the spacing grows to meet it.
    `truth` holds spleen_mL, liver_mL and ascites_mL within the scan (partial voxels counted), spleen_whole_mL and
    liver_whole_mL as asked for, and cirrhosis grade 0 to 4. Raises InputError when a parameter is out of range.
    """
    _check(parameters, spacing, max_size)
    patient = Patient(parameters, seed)
    low, high = _z_range(parameters, patient)
    size, step = _acquisition(parameters, low, high, spacing, max_size)
    fine_size, fine_step = _drawing_grid(size, step)
    pose = rotation(parameters.tilt_degrees) @ np.diag(patient.scale)
    center = pose @ np.array([0.0, -14.0, 0.0])
    center[2] = 0.5 * (low + high)
    fine = centered(fine_size, fine_step, center)
    rng = np.random.default_rng([seed, 2])
    grid = Grid(tuple(int(n) for n in fine_size[::-1]), to_canonical(fine, pose))
    hu, labels, context, truth = _draw(patient, grid, float(np.prod(fine_step)) / 1000, Tissues(parameters, rng))
    blur = np.sqrt(max(parameters.kernel_mm**2 - 0.15 * fine_step[0] ** 2, 0.2**2))  # drawing has blurred a little
    for axis in (1, 2):
        hu = ndimage.gaussian_filter1d(hu, blur / fine_step[2 - axis], axis=axis, mode="nearest")
    weights = [
        _resampling(size[a], step[a], fine_size[a], fine_step[a], parameters.slice_thickness_mm * (a == 2))
        for a in range(3)
    ]
    hu = apply_weights(hu, weights)
    labels = label_by_weights(labels, context, weights)
    _add_noise(hu, parameters, step, rng)
    truth |= {
        "spleen_whole_mL": float(parameters.spleen_mL),
        "liver_whole_mL": float(parameters.liver_mL),
        "cirrhosis_grade": float(round(4 * parameters.cirrhosis)),
    }
    hu = np.clip(np.rint(hu), -1024, 3071).astype(np.int16)
    turn = np.eye(4)
    turn[:3, :3] = rotation(parameters.oblique_degrees)
    turn[:3, 3] = parameters.origin_mm
    return _flip(hu, labels, turn @ centered(size, step, center), parameters, truth)


def _check(par: AbdomenParameters, spacing, max_size) -> None:
    if par.phase not in PHASES:
        raise InputError(f"The contrast phase '{par.phase}' is unknown: choose one of {', '.join(PHASES)}.")
    if par.coverage not in COVERAGES:
        raise InputError(f"The coverage '{par.coverage}' is unknown: choose one of {', '.join(COVERAGES)}.")
    if f"stomach {par.stomach_content}" not in HU:
        raise InputError(
            f"The stomach content '{par.stomach_content}' is unknown: choose water, food, contrast or gas."
        )
    if not 0 <= par.spleen_mL <= 3500 or not 300 <= par.liver_mL <= 4000:
        raise InputError("The volumes cannot be drawn: choose a spleen of 0 to 3500 mL and a liver of 300 to 4000 mL.")
    if spacing is not None and (len(spacing) != 3 or min(spacing) <= 0):
        raise InputError("The spacing must be three positive lengths in mm, along i, j and k.")
    if max_size is not None and max_size < 8:
        raise InputError("The largest size must be 8 voxels or more.")


def _z_range(par: AbdomenParameters, patient: Patient) -> tuple[float, float]:
    """Lower and upper end of the scan, mm; pelvis and chest scans stay clear of the spleen."""
    spleen_low, spleen_high = patient.spleen_z if par.spleen_mL > 0 else (60.0, 60.0)
    a, b = par.coverage_jitter_mm
    low, high = {
        "chest-abdomen-pelvis": (BELOW + 15 + a, ABOVE - 35 + b),
        "abdomen": (-165 + a, 165 + b),
        "tight": (min(-80 + 0.5 * a, spleen_low - 12), max(135 + 0.5 * b, spleen_high + 10)),
        "pelvis": (BELOW + 5, min(-140 + b, spleen_low - 30)),
        "chest": (max(175 + a, spleen_high + 30), ABOVE),
    }[par.coverage]
    return max(low, BELOW) * par.height_scale, min(high, ABOVE) * par.height_scale


def _acquisition(par, low, high, spacing, max_size) -> tuple[np.ndarray, np.ndarray]:
    """Size and spacing (i, j, k) of the scan."""
    pixel = par.field_of_view_mm / par.matrix
    step = np.array(spacing if spacing is not None else (pixel, pixel, par.slice_spacing_mm), float)
    extent = np.array([par.field_of_view_mm, par.field_of_view_mm, high - low])
    if max_size is not None:
        step = np.maximum(step, extent / max_size)
    return np.maximum(np.floor(extent / step + 1e-6), 1).astype(int), step


def _drawing_grid(size: np.ndarray, step: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Size and spacing (i, j, k) of the grid of the drawing: not too fine, and thick slices in three."""
    extent = size * step
    target = np.maximum(step, FINEST_MM)
    fine = np.where(np.abs(target - step) < 1e-9, size, np.ceil(extent / target)).astype(int)
    if step[2] > max(3.0, 1.5 * step[0]):
        fine[2] = 3 * size[2]  # an odd number, so that a label never has exactly half a slice
    return fine, extent / fine


# -- tissues ----------------------------------------------------------------------------------------------------------


def _draw(patient: Patient, grid: Grid, voxel_mL: float, tissues: Tissues):
    """Noise-free HU, labels, labels without the organs, and volumes by name; slabs save memory and time."""
    hu = np.empty(grid.shape, np.float32)
    labels, context = np.empty(grid.shape, np.uint8), np.empty(grid.shape, np.uint8)
    truth = dict.fromkeys(("spleen_mL", "liver_mL", "ascites_mL"), 0.0)
    nk, nj, ni = grid.shape
    depth = max(SLAB_VOXELS // (nj * ni), 4)
    for start in range(0, nk, depth):
        slab = slice(start, min(start + depth, nk))
        anatomy = build_anatomy(patient, grid.crop((slab, slice(0, nj), slice(0, ni))), voxel_mL)
        labels[slab], context[slab] = anatomy.labels, anatomy.context
        hu[slab] = tissues.on(anatomy)
        for name, volume in anatomy.volumes(("spleen", "liver", "ascites")).items():
            truth[f"{name}_mL"] += volume
    return hu, labels, context, truth


class Tissues:
    """One patient's HU by material, and the textures within."""

    def __init__(self, parameters: AbdomenParameters, rng: np.random.Generator):
        self.par = parameters
        self.column = PHASES.index(parameters.phase)
        self.coarse, self.mottle = RandomField(rng, (24, 70), 36), RandomField(rng, (7, 16), 60)
        self.means = {}
        for name, row in HU.items():
            contrast = (row[self.column] - row[0]) * parameters.enhancement * np.exp(0.06 * rng.standard_normal())
            self.means[name] = row[0] + contrast + 0.02 * abs(row[0]) * rng.standard_normal() * (-200 < row[0] < 200)
        self.means["liver"] -= parameters.steatosis_hu
        if parameters.stomach_content == "contrast":
            self.means["bowel content"] = 170.0

    def on(self, anatomy: Anatomy) -> np.ndarray:
        """HU (k, j, i), float32, of the painted layers."""
        hu = np.full(anatomy.labels.shape, -1000, np.float32)
        for layer in anatomy.layers:
            view = hu[layer.slices]
            share = layer.coverage.astype(np.float32)
            share *= np.float32(1 / 255)
            share *= self._texture(anatomy, layer) - view
            view += share
        return hu

    def _texture(self, anatomy: Anatomy, layer: Layer) -> np.ndarray | np.float32:
        """HU of one layer: a number, or an array with the tissue's own variation."""
        name, patient = layer.material, anatomy.patient
        mean, sd = np.float32(self.means[name]), np.float32(HU[name][4])

        def texture(field: RandomField) -> np.ndarray:
            return anatomy.space.value(field)[layer.slices]

        if name in ("fat", "skin", "table", "gas"):
            return mean
        if name == "lung":
            vessels = 420 * np.clip(texture(patient.fine) - 1.35, 0, 1.2) + 650 * np.clip(
                texture(self.mottle) - 2.0, 0, 0.8
            )
            return mean + vessels + 25 * texture(self.coarse)
        if name == "visceral fat":
            return mean + 110 * np.clip(texture(self.mottle) - 1.75, 0, 1)
        if name == "liver":
            contrast = (HU["portal vein"][self.column] - HU["liver"][self.column]) * self.par.enhancement
            vessels = np.float32(0.7 * contrast + 8) * np.clip(texture(self.mottle) - 1.9, 0, 0.8)
            return mean + sd * texture(self.coarse) + vessels
        if name == "spleen" and self.column == 1:
            return mean + np.float32(24 * self.par.enhancement) * np.sin(2.2 * texture(patient.fine))
        if name in ("feces", "stomach food", "bone", "marrow", "pancreas", "muscle"):
            return mean + sd * texture(self.mottle)
        return mean + sd * (texture(self.coarse) if sd > 5 else np.float32(0.7) * texture(self.mottle))


# -- sampling and noise -----------------------------------------------------------------------------------------------


def _resampling(size: int, step: float, fine_size: int, fine_step: float, thickness: float) -> np.ndarray | None:
    """Weights (size, fine_size) that average linear interpolation over `thickness`; None where nothing changes."""
    if size == fine_size and thickness <= step * 1.4:
        return None
    return slab_weights((np.arange(size) + 0.5) * step, max(thickness, step), fine_size, fine_step)


def _add_noise(hu: np.ndarray, par: AbdomenParameters, step: np.ndarray, rng: np.random.Generator) -> None:
    """Quantum noise shaped in plane by the kernel, stronger at the axis, and horizontal streaks; in place."""
    sigma = par.kernel_mm / step[:2]
    nk, nj, ni = hu.shape
    y, x = np.linspace(-1, 1, nj)[:, None], np.linspace(-1, 1, ni)[None, :]
    where = (par.noise_hu * (1.15 - 0.5 * np.minimum(x * x + y * y, 1))).astype(np.float32)
    # the probe's energy is what the kernel leaves of white noise's variance
    probe = np.zeros((65, 65), np.float32)
    probe[32, 32] = 1
    gain = np.float32(1 / np.sqrt((_kernel(probe, sigma) ** 2).sum()))
    for k in range(nk):
        noise = _kernel(rng.standard_normal((nj, ni), dtype=np.float32), sigma)
        hu[k] += noise * gain * where
        if par.streak_hu > 0:
            rows = ndimage.gaussian_filter1d(rng.standard_normal((nj, 9)), 0.8, axis=0)
            hu[k] += (par.streak_hu * ndimage.zoom(rows, (1, ni / 9), order=1)[:, :ni]).astype(np.float32)


def _kernel(image: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Band-pass of a reconstruction kernel along j and i: a blur less half of a wider one."""
    order = tuple(sigma[::-1])
    soft = ndimage.gaussian_filter(image, order, truncate=3)
    return soft - np.float32(0.5) * ndimage.uniform_filter(soft, tuple(int(2 * round(1.5 * s) + 3) for s in order))


def _flip(hu, labels, matrix, par: AbdomenParameters, truth) -> SimulatedCT:
    """Store the axes in the directions asked for; the anatomy stays where it is."""
    axes = []
    for axis, flipped in enumerate(par.flips):
        if flipped:
            n = hu.shape[2 - axis]
            matrix = matrix.copy()
            matrix[:3, 3] += matrix[:3, axis] * (n - 1)
            matrix[:3, axis] *= -1
            axes.append(2 - axis)
    hu, labels = (np.ascontiguousarray(np.flip(a, axes)) if axes else a for a in (hu, labels))
    return SimulatedCT(hu, labels, matrix, truth, par)
