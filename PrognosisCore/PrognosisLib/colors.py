"""One color per segment, the same in pictures and in the scene, told apart by color-blind readers.

The colors are those of Okabe and Ito (Color Universal Design, 2008), as red, green, blue in 0..1.
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

SEGMENT_COLORS = {
    "Spleen": SKY_BLUE,
    "Liver": ORANGE,
    "Hematoma": VERMILION,
    "Intraventricular hemorrhage": SKY_BLUE,
    "Perihematomal edema": YELLOW,
    "Hematoma growth": PURPLE,
}
# Readable as a thin line on gray; for segments of other names.
_OTHERS = (GREEN, YELLOW, PURPLE, SKY_BLUE, VERMILION, ORANGE)


def segment_color(name: str) -> tuple[float, float, float]:
    """Color of a segment, always the same for the same name."""
    return SEGMENT_COLORS.get(name, _OTHERS[zlib.crc32(name.encode()) % len(_OTHERS)])
