"""Colors of pictures: segments as in the scene, curves in a palette that color-blind readers can tell apart.

Red, green, blue in 0..1. The palette is that of Okabe and Ito (Color Universal Design, 2008). Segments and curves also
differ in their dashes, so that no picture depends on color alone.
"""

from __future__ import annotations

import zlib

ORANGE = (0.902, 0.624, 0.000)
SKY_BLUE = (0.337, 0.706, 0.914)
GREEN = (0.000, 0.620, 0.451)
YELLOW = (0.941, 0.894, 0.259)
BLUE = (0.000, 0.447, 0.698)
VERMILION = (0.835, 0.369, 0.000)
PURPLE = (0.800, 0.475, 0.655)
BLACK = (0.0, 0.0, 0.0)

# 0..255, as 3D Slicer's General Anatomy list has them; the scene takes them from here.
SEGMENT_COLORS = {
    "Spleen": (157, 108, 162),
    "Liver": (221, 130, 101),
    "Liver on T1": (180, 212, 88),
    "Liver at T1": (104, 190, 236),
    "Ascites": (85, 188, 255),
    "Hematoma": (188, 65, 28),
    "Intraventricular hemorrhage": (233, 137, 64),
    "Perihematomal edema": (140, 224, 228),
    "Hematoma at follow-up": (160, 120, 232),
    "Hematoma growth": (244, 214, 49),
}
# Readable as a thin line on gray; for segments of other names.
_OTHERS = (GREEN, YELLOW, PURPLE, SKY_BLUE, VERMILION, ORANGE)
# Line pattern of the first, second, ... segment or curve of a picture.
DASHES = ("-", (0, (6, 1.5)), (0, (2, 1.2)), (0, (6, 1.5, 1.5, 1.5)))


def segment_color(name: str) -> tuple[float, float, float]:
    """Color of a segment, always the same for the same name."""
    if name in SEGMENT_COLORS:
        return tuple(part / 255.0 for part in SEGMENT_COLORS[name])
    return _OTHERS[zlib.crc32(name.encode()) % len(_OTHERS)]


def dash(index: int) -> str | tuple:
    return DASHES[index % len(DASHES)]
