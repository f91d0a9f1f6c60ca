"""Acoustic properties of the tissues that the simulator knows.

Orders of magnitude as in textbooks of medical ultrasound; they are this project's choice within the published spread,
set so that simulated frames look and measure like real ones (see docs/ultrasound.md).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Tissue(NamedTuple):
    """Backscatter in dB over normal liver, attenuation in dB/cm/MHz, share of scatterers (1: fully developed speckle).

    `uneven` is the spread, in dB, of backscatter over a few mm.
    """

    backscatter: float
    attenuation: float
    density: float = 1.0
    uneven: float = 0.0


TISSUES: dict[str, Tissue] = {
    "outside": Tissue(-60, 0.1),
    "skin": Tissue(8, 0.9),
    "fat": Tissue(-3, 0.55, 0.5, 3.0),
    "muscle": Tissue(-3, 0.9, 0.5, 3.0),
    "deep fat": Tissue(4, 0.5, 0.5, 3.0),
    "liver": Tissue(0, 0.5),
    "spleen": Tissue(1, 0.5),
    "kidney": Tissue(-4, 0.6, 1.0, 2.0),
    "renal sinus": Tissue(7, 0.6, 0.4, 4.0),
    "blood": Tissue(-34, 0.15),
    "fluid": Tissue(-48, 0.02),
    "pancreas": Tissue(3, 0.6, 0.7, 3.0),
    "bowel": Tissue(2, 0.9, 0.3, 6.0),
    "stomach": Tissue(-2, 0.7, 0.3, 6.0),
    "heart": Tissue(-6, 0.5, 1.0, 4.0),
    "bone": Tissue(6, 14.0, 0.6),
    "gas": Tissue(9, 12.0, 0.3, 4.0),
    "lung": Tissue(-4, 2.6, 0.4, 3.0),
}
CODES = {name: number for number, name in enumerate(TISSUES)}
BACKSCATTER, ATTENUATION, DENSITY, UNEVEN = (
    np.array([tissue[column] for tissue in TISSUES.values()], np.float32) for column in range(4)
)
