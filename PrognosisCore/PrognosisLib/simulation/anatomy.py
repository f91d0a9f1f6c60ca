"""Procedural anatomy of the abdomen: a random patient as layers of soft-edged tissues, and a label map."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .organs import Patient, Space
from .painting import paint_organs, paint_surroundings
from .shapes import Grid, Slices, coverage

LABELS: dict[str, int] = {
    "background": 0,
    "spleen": 1,
    "right kidney": 2,
    "left kidney": 3,
    "gallbladder": 4,
    "esophagus": 5,
    "liver": 6,
    "stomach": 7,
    "aorta": 8,
    "inferior vena cava": 9,
    "portal and splenic vein": 10,
    "pancreas": 11,
    "lung": 20,
    "bone": 21,
    "muscle": 22,
    "fat": 23,
    "skin": 24,
    "bowel": 25,
    "gas": 26,
    "ascites": 27,
    "heart": 28,
    "pleural effusion": 29,
    "vessel": 30,
    "bladder": 31,
    "table": 32,
}
PHASES = ("none", "arterial", "portal venous", "delayed")
COVERAGES = ("chest-abdomen-pelvis", "abdomen", "tight", "pelvis", "chest")


@dataclass(frozen=True)
class AbdomenParameters:
    """One patient and one scan. Volumes in mL, lengths in mm; shares and grades from 0 to 1 unless stated."""

    width_scale: float = 1.0
    depth_scale: float = 1.0
    height_scale: float = 1.0
    subcutaneous_fat_mm: float = 16.0
    visceral_fat: float = 0.5
    spleen_mL: float = 200.0  # 0 after splenectomy
    spleen_lobulation: float = 0.2
    spleen_tip: float = 0.0  # upper tip reaching forward to the left liver lobe
    spleen_cleft: float = 0.0
    liver_mL: float = 1500.0
    left_lobe_reach: float = 0.2
    cirrhosis: float = 0.0
    lobe_shift: float | None = None  # caudate and left lobe over right lobe; None: as the cirrhosis has it
    nodularity_mm: float | None = None  # of the liver's surface; None: as the cirrhosis has it
    portal_hypertension: float = 0.0
    steatosis_hu: float = 0.0  # lowers the liver's HU
    ascites_mL: float = 0.0
    effusion: float = 0.0
    breath_mm: float = 0.0
    stomach_fill: float = 0.5
    stomach_content: str = "water"  # water, food, contrast, gas
    warp_mm: float = 3.5
    tilt_degrees: tuple[float, float, float] = (0.0, 0.0, 0.0)  # of the patient on the table
    phase: str = "portal venous"
    enhancement: float = 1.0  # of every organ, relative to a typical patient
    noise_hu: float = 12.0
    kernel_mm: float = 0.7  # sigma of the point-spread function in plane
    streak_hu: float = 0.0
    table: bool = True
    slice_spacing_mm: float = 3.0
    slice_thickness_mm: float = 3.0
    field_of_view_mm: float = 400.0
    matrix: int = 256
    coverage: str = "abdomen"
    coverage_jitter_mm: tuple[float, float] = (0.0, 0.0)  # of the lower and the upper end
    flips: tuple[bool, bool, bool] = (False, False, False)  # of i, j, k from right-to-left, front-to-back, feet-to-head
    oblique_degrees: tuple[float, float, float] = (0.0, 0.0, 0.0)  # of the scan in the scanner's frame
    origin_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @staticmethod
    def sample(rng: np.random.Generator) -> AbdomenParameters:
        """A random patient and scan; splenomegaly and cirrhosis come together more often than alone."""
        u = rng.uniform
        cirrhosis = float(rng.beta(1.6, 1.4)) if u() < 0.35 else 0.0
        hypertension = float(np.clip(cirrhosis * u(0.3, 1.3), 0, 1))
        size = rng.normal(0, 0.06)
        scales = [float(np.clip(1.02 + size + rng.normal(0, 0.035), 0.82, 1.2)) for _ in range(3)]
        spacing = float(rng.choice([0.5, 0.8, 1.0, 1.25, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0]))
        subcutaneous = float(np.clip(rng.gamma(3.2, 6.0), 4, 60))
        body = 2 * (142 * scales[0] + 16 + subcutaneous)
        matrix = int(rng.choice([256, 512], p=[0.3, 0.7]))
        content = str(rng.choice(["water", "food", "contrast", "gas"], p=[0.35, 0.3, 0.2, 0.15]))
        return AbdomenParameters(
            *scales,
            subcutaneous_fat_mm=subcutaneous,
            visceral_fat=float(rng.beta(2, 2)),
            spleen_mL=_sample_spleen(rng, hypertension),
            spleen_lobulation=float(u() ** 2),
            spleen_tip=float(u(0.3, 1.0)) if u() < 0.25 else 0.0,
            spleen_cleft=float(u(0.2, 1.0)) if u() < 0.25 else 0.0,
            liver_mL=float(
                np.clip(1500 * np.prod(scales) * np.exp(rng.normal(0, 0.2)) * (1 - 0.35 * cirrhosis), 650, 3200)
            ),
            left_lobe_reach=float(u(0, 1) if u() < 0.6 else 0.15),
            cirrhosis=cirrhosis,
            portal_hypertension=hypertension,
            steatosis_hu=float(rng.gamma(2, 12)) if u() < 0.25 else 0.0,
            ascites_mL=float(np.exp(u(np.log(60), np.log(4000)))) if u() < 0.04 + 0.5 * cirrhosis else 0.0,
            effusion=float(u(0.1, 0.8)) if u() < 0.08 + 0.2 * cirrhosis else 0.0,
            breath_mm=float(rng.normal(0, 9)),
            stomach_fill=float(rng.beta(1.5, 1.8)),
            stomach_content=content,
            warp_mm=float(u(2, 5.5)),
            tilt_degrees=tuple(float(a) for a in rng.normal(0, (2, 2.5, 3))),
            phase=str(rng.choice(PHASES, p=[0.25, 0.15, 0.45, 0.15])),
            enhancement=float(np.exp(rng.normal(0, 0.2))),
            noise_hu=float(np.exp(u(np.log(5), np.log(40)))),
            kernel_mm=float(u(0.35, 1.1)),
            streak_hu=float(u(2, 14)) if u() < 0.3 else 0.0,
            table=bool(u() < 0.85),
            slice_spacing_mm=spacing,
            slice_thickness_mm=float(spacing * u(0.9, 1.3)),
            field_of_view_mm=float(np.clip(body * (u(1.02, 1.25) if u() < 0.75 else u(0.78, 0.98)), 260, 520)),
            matrix=matrix,
            coverage=str(rng.choice(COVERAGES, p=[0.25, 0.45, 0.2, 0.06, 0.04])),
            coverage_jitter_mm=tuple(float(a) for a in rng.normal(0, 15, 2)),
            flips=tuple(bool(b) for b in rng.integers(0, 2, 3)),
            oblique_degrees=tuple(float(a) for a in rng.normal(0, 3, 3)) if u() < 0.2 else (0.0, 0.0, 0.0),
            origin_mm=tuple(float(a) for a in rng.uniform(-600, 600, 3)),
        )


def _sample_spleen(rng: np.random.Generator, hypertension: float) -> float:
    """Normal spleens dominate (median 190 mL); splenomegaly is log-uniform from 350 mL to 3 L; 2 % have no spleen."""
    kind = rng.uniform()
    if kind < 0.02:
        return 0.0
    if kind < 0.3 + 0.5 * hypertension:
        return float(np.exp(rng.uniform(np.log(350), np.log(3000))))
    return float(np.clip(np.exp(rng.normal(np.log(190), 0.45)), 50, 600))


@dataclass
class Layer:
    """One painted tissue: `coverage` is uint8 (255 = the voxel is full of it) over `slices` of the grid."""

    material: str
    label: int
    slices: Slices
    coverage: np.ndarray


@dataclass
class Anatomy:
    """Layers in painting order, and the label map (k, j, i) that they add up to.

    `context` is the label map before the organs were painted: what lies where an organ ends.
    """

    space: Space
    patient: Patient
    voxel_mL: float
    labels: np.ndarray
    context: np.ndarray | None = None
    layers: list[Layer] = field(default_factory=list)

    def paint(self, material: str, label: str, distance: np.ndarray, slices: Slices | None = None) -> None:
        slices = slices or tuple(slice(0, n) for n in self.labels.shape)
        share = (coverage(distance, self.space.grid.spacing) * 255 + 0.5).astype(np.uint8)
        if not share.any():
            return
        self.layers.append(Layer(material, LABELS[label], slices, share))
        self.labels[slices][share > 127] = LABELS[label]

    def volumes(self, names: tuple[str, ...]) -> dict[str, float]:
        """Volume in mL of each named label within the grid, with partial voxels counted as such."""
        codes = [LABELS[n] for n in names]
        share = np.zeros((len(codes), *self.labels.shape), np.float32)
        started = [False] * len(codes)
        for layer in self.layers:
            a = None
            for n, code in enumerate(codes):
                if layer.label != code and not started[n]:
                    continue
                started[n] = True
                a = layer.coverage.astype(np.float32) / 255 if a is None else a
                view = share[n][layer.slices]
                view += a * ((1.0 if layer.label == code else 0.0) - view)
        return {n: float(s.sum(dtype=np.float64)) * self.voxel_mL for n, s in zip(names, share, strict=True)}


def build_anatomy(patient: Patient, grid: Grid, voxel_mL: float) -> Anatomy:
    """Paint `patient` on `grid` (canonical frame, see organs.py); `voxel_mL` is the true volume of a voxel."""
    space = patient.space(grid)
    anatomy = Anatomy(space, patient, voxel_mL, np.zeros(grid.shape, np.uint8))
    paint_surroundings(anatomy, space)
    anatomy.context = anatomy.labels.copy()
    paint_organs(anatomy, space)
    return anatomy
