"""MR signal of the abdomen's tissues: proton density, relaxation times and fat, through the two sequences' equations.

Relaxation times at 1.5 T are near those of de Bazelaire et al., Radiology 2004;230:652 (liver, spleen, kidney, muscle,
fat, marrow); fluids, gut and vessels are rounded values of ours. At 3 T T1 is longer and T2 a little shorter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Proton density, T1 and T2 in ms at 1.5 T, share of fat, and the texture's relative standard deviation.
TISSUES: dict[str, tuple[float, float, float, float, float]] = {
    "air": (0.0, 1000, 50, 0.0, 0.0),
    "table": (0.0, 1000, 50, 0.0, 0.0),
    "skin": (0.55, 700, 35, 0.1, 0.1),
    "fat": (0.9, 343, 58, 1.0, 0.05),
    "visceral fat": (0.88, 343, 58, 0.95, 0.08),
    "muscle": (0.78, 856, 32, 0.04, 0.08),
    "lung": (0.08, 1100, 20, 0.0, 0.4),
    "effusion": (1.0, 3200, 900, 0.0, 0.03),
    "bone": (0.1, 900, 20, 0.1, 0.1),
    "marrow": (0.8, 549, 49, 0.45, 0.08),
    "disc": (0.85, 1000, 85, 0.0, 0.1),
    "cord": (0.85, 950, 95, 0.0, 0.06),
    "bowel wall": (0.85, 1000, 55, 0.03, 0.08),
    "bowel content": (0.85, 1500, 190, 0.05, 0.45),
    "feces": (0.6, 800, 60, 0.1, 0.4),
    "gas": (0.0, 1000, 50, 0.0, 0.0),
    "water": (1.0, 3000, 900, 0.0, 0.03),
    "ascites": (1.0, 3300, 1000, 0.0, 0.03),
    "myocardium": (0.82, 1030, 42, 0.02, 0.06),
    "esophagus wall": (0.8, 1000, 50, 0.03, 0.08),
    "stomach water": (1.0, 2600, 600, 0.0, 0.1),
    "stomach food": (0.75, 900, 90, 0.1, 0.35),
    "stomach contrast": (1.0, 700, 120, 0.0, 0.1),
    "stomach gas": (0.3, 1500, 100, 0.0, 0.2),
    "aorta": (0.9, 1440, 180, 0.0, 0.05),
    "vena cava": (0.9, 1440, 160, 0.0, 0.05),
    "portal vein": (0.9, 1440, 170, 0.0, 0.05),
    "hepatic vein": (0.9, 1440, 160, 0.0, 0.05),
    "pancreas": (0.85, 584, 50, 0.12, 0.1),
    "liver": (0.8, 586, 46, 0.02, 0.04),
    "gallbladder wall": (0.85, 900, 60, 0.0, 0.05),
    "bile": (1.0, 1800, 500, 0.0, 0.05),
    "renal cortex": (0.88, 966, 87, 0.0, 0.06),
    "renal medulla": (0.92, 1412, 95, 0.0, 0.08),
    "urine": (1.0, 3200, 900, 0.0, 0.03),
    "spleen": (0.85, 1057, 79, 0.0, 0.04),
    "cyst": (1.0, 2800, 500, 0.0, 0.03),
    "solid lesion": (0.85, 1000, 85, 0.0, 0.06),
}
FAT_T1, FAT_T2 = 343.0, 58.0
ARTERIES, VEINS = ("aorta",), ("vena cava", "portal vein", "hepatic vein")
SEQUENCES = ("T2", "T1", "other")


@dataclass(frozen=True)
class Sequence:
    """How one image is taken; times in ms.

    Args:
        kind: "T2" spin echo, "T1" spoiled gradient echo, or "other" (diffusion-weighted echo-planar).
        flip_degrees: of the gradient echo; opposed: fat and water in opposite phase.
        fat_suppression: share of the fat's signal that is gone.
        artery, vein: what is left of (or added to) flowing blood's signal.
    """

    kind: str
    repetition: float
    echo: float
    flip_degrees: float = 90.0
    opposed: bool = False
    fat_suppression: float = 0.0
    artery: float = 1.0
    vein: float = 1.0


@dataclass(frozen=True)
class LiverState:
    """What changes the liver's own signal: share of fat, iron (0 to 1), and T2 and T1 prolonged by fibrosis."""

    fat: float = 0.02
    iron: float = 0.0
    t2_prolongation: float = 0.0


def tissue_signal(
    proton: float, t1: float, t2: float, fat: float, sequence: Sequence, tesla: float = 1.5, iron: float = 0.0
) -> float:
    """Signal in units of a voxel full of water protons without relaxation.

    Spin echo: PD (1 - exp(-TR/T1)) exp(-TE/T2). Spoiled gradient echo (Ernst): PD sin a (1 - E1) / (1 - E1 cos a)
    exp(-TE/T2*), with E1 = exp(-TR/T1); T2* is half of T2, and iron shortens both. Diffusion weighting takes away what
    moves freely, which is what has a long T2.
    """
    if tesla > 2:
        t1, t2 = t1 * 1.25, t2 * 0.93
    t2 = t2 / (1 + 1.6 * iron)
    if sequence.kind == "T2":
        water = _spin_echo(t1, t2, sequence)
        lipid = _spin_echo(FAT_T1, FAT_T2, sequence) * (1 - sequence.fat_suppression)
        return proton * ((1 - fat) * water + fat * lipid)
    if sequence.kind == "other":
        free = np.exp(-1.8 * min(1.0, t2 / 400.0))
        return proton * (1 - fat) * _spin_echo(t1, t2, sequence) * free
    star = 1 / (1 / (0.5 * t2) + iron / 12.0)
    water = _gradient_echo(t1, star, sequence)
    lipid = _gradient_echo(FAT_T1, 0.5 * FAT_T2, sequence) * (1 - sequence.fat_suppression)
    parts = ((1 - fat) * water, fat * lipid)
    return proton * (abs(parts[0] - parts[1]) if sequence.opposed else sum(parts))


def _spin_echo(t1: float, t2: float, sequence: Sequence) -> float:
    return float((1 - np.exp(-sequence.repetition / t1)) * np.exp(-sequence.echo / t2))


def _gradient_echo(t1: float, t2_star: float, sequence: Sequence) -> float:
    angle, remains = np.deg2rad(sequence.flip_degrees), np.exp(-sequence.repetition / t1)
    steady = np.sin(angle) * (1 - remains) / (1 - remains * np.cos(angle))
    return float(steady * np.exp(-sequence.echo / t2_star))


def signals(
    sequence: Sequence, tesla: float, liver: LiverState, variation: dict[str, tuple[float, float, float]]
) -> dict[str, float]:
    """Signal of every tissue; `variation` multiplies proton density, T1 and T2 of each, one patient's."""
    out = {}
    for name, (proton, t1, t2, fat, _) in TISSUES.items():
        a, b, c = variation[name]
        iron = 0.0
        if name == "liver":
            fat, iron = liver.fat, liver.iron
            t2, t1 = t2 * (1 + liver.t2_prolongation), t1 * (1 + 0.8 * liver.t2_prolongation)
        value = tissue_signal(proton * a, t1 * b, t2 * c, fat, sequence, tesla, iron)
        if name in ARTERIES:
            value *= sequence.artery
        elif name in VEINS:
            value *= sequence.vein
        out[name] = value
    return out


def draw_variation(rng: np.random.Generator) -> dict[str, tuple[float, float, float]]:
    """One patient's tissues: proton density within 4 %, T1 and T2 within 6 %."""
    return {name: tuple(float(v) for v in np.exp(rng.normal(0, (0.04, 0.06, 0.06)))) for name in TISSUES}
