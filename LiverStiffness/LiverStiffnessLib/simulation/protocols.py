"""How sites examine: vendors, field strengths and sequences; what differs between them and over the years."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .tissues import Sequence

SITES = ("A", "B", "C", "D")
YEARS = (2012, 2022)


@dataclass(frozen=True)
class Site:
    """One hospital: what it prefers, and the case mix that it sees."""

    share: float  # of the cohort
    three_tesla: float  # share of examinations at 3 T
    fat_suppressed: float  # share of T2 images with fat suppression
    t1_opposed: float  # share of T1 images in opposed phase
    t1_suppressed: float  # share of T1 images with fat suppression, of the others
    thick_mm: float  # usual slice step of the T2
    shading: float  # usual strength of the coil's shading
    noise: float  # usual noise over the liver's signal
    children: float  # share of patients under 18
    diseased: float  # share of livers with fibrosing disease


HOSPITALS: dict[str, Site] = {
    "A": Site(0.40, 0.30, 0.85, 0.20, 0.50, 7.0, 0.15, 0.06, 0.05, 0.52),
    "B": Site(0.25, 0.80, 0.60, 0.10, 0.80, 6.0, 0.30, 0.05, 0.05, 0.60),
    "C": Site(0.20, 0.05, 0.95, 0.50, 0.20, 8.0, 0.10, 0.09, 0.02, 0.45),
    "D": Site(0.15, 0.50, 0.70, 0.15, 0.60, 5.5, 0.20, 0.06, 0.70, 0.42),
}


@dataclass(frozen=True)
class Protocol:
    """One examination. Lengths in mm; `noise` over the liver's signal, `shading` the field's log amplitude."""

    site: str
    year: int
    tesla: float
    t2: Sequence
    t1: Sequence
    pixel_mm: tuple[float, float]  # T2, T1
    step_mm: tuple[float, float]
    thickness_mm: tuple[float, float]
    field_of_view_mm: tuple[float, float]
    noise: float
    shading: float
    ghost: float  # share of the body's signal that breathing throws along the phase-encoding axis
    breathing_mm: tuple[float, float, float]  # from the T2 to the T1, R A S

    @staticmethod
    def sample(rng: np.random.Generator, site: str, year: int, width_mm: float) -> Protocol:
        """A protocol of a site; later years have more 3 T, thinner slices and less noise."""
        place, u = HOSPITALS[site], rng.uniform
        modern = (year - YEARS[0]) / (YEARS[1] - YEARS[0])
        tesla = 3.0 if u() < np.clip(place.three_tesla + 0.35 * (modern - 0.5), 0.02, 0.98) else 1.5
        suppressed = float(u(0.85, 0.97)) if u() < place.fat_suppressed else 0.0
        t2 = Sequence(
            "T2",
            float(u(2000, 6000)),
            float(u(68, 105)),
            90.0,
            False,
            suppressed,
            float(u(0.05, 0.4)),
            float(u(0.3, 1)),
        )
        opposed = u() < place.t1_opposed
        fat = float(u(0.8, 0.95)) if not opposed and u() < place.t1_suppressed else 0.0
        echo = (1.15 if opposed else 2.3) * (1.0 if tesla > 2 else 2.0) if not fat else float(u(1.2, 2.2))
        spoiled = (float(u(3.5, 6)), float(u(9, 14))) if u() < 0.6 else (float(u(110, 200)), float(u(60, 80)))
        t1 = Sequence("T1", spoiled[0], echo, spoiled[1], opposed, fat, float(u(0.6, 1.6)), float(u(0.6, 1.3)))
        step = float(np.clip(place.thick_mm + rng.normal(0, 0.6) - 1.2 * (modern - 0.5), 4.0, 9.0))
        t1_step = float(u(3.0, 4.5)) if spoiled[0] < 10 else float(u(5.0, 8.0))
        wide = width_mm * u(1.0, 1.15)
        return Protocol(
            site,
            year,
            tesla,
            t2,
            t1,
            (float(u(1.1, 1.6)), float(u(1.1, 1.7))),
            (step, t1_step),
            (step * float(u(0.8, 1.0)), t1_step * float(u(0.95, 1.1))),
            (float(wide), float(width_mm * u(1.0, 1.15))),
            float(place.noise * np.exp(rng.normal(-0.25 * (modern - 0.5), 0.3)) * (0.8 if tesla > 2 else 1.0)),
            float(np.clip(place.shading * np.exp(rng.normal(0, 0.4)) * (1.5 if tesla > 2 else 1.0), 0, 0.6)),
            float(u(0.0, 0.06)) if u() < 0.5 else 0.0,
            tuple(float(v) for v in rng.normal(0, (1.5, 2.5, 7.0))),
        )

    def another(self, rng: np.random.Generator) -> Sequence:
        """A sequence that is neither T1 nor T2 weighting: diffusion."""
        return replace(
            self.t2, kind="other", echo=float(rng.uniform(55, 85)), fat_suppression=0.95, artery=0.05, vein=0.1
        )
