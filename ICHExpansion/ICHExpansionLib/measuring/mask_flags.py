"""Reasons to look at a hematoma's mask again, each one sentence with what to do."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from PrognosisLib.findings import Flag, Mask
from PrognosisLib.volume import Volume

from .location import MIDLINE, Location
from .signs import Signs

HEMATOMA = "Hematoma"
MINIMUM_CONFIDENCE = 0.80
DENSITY_HU = (38.0, 90.0)  # mean of the inside; acute clots have 50 to 80
LARGE_ML = 150.0
SMALL_ML = 1.0


def mask_flags(volume: Volume, hematoma: Mask, signs: Signs, place: Location, masks: Mapping[str, Mask]) -> list[Flag]:
    """Flags of a hematoma that is not empty, on the volume's grid."""
    found = [_touches_edge(hematoma), _density(signs), _confidence(hematoma), _size(signs), _crossing(place)]
    return [one for one in found if one is not None]


def _flag(key: str, message: str, severity: str = "warning") -> Flag:
    return Flag(key, severity, message, HEMATOMA)


def _touches_edge(mask: Mask) -> Flag | None:
    stop = np.add(mask.start, mask.array.shape)
    axes = [a for a in range(3) if mask.start[a] == 0 or stop[a] == mask.grid.shape[a]]
    if not axes:
        return None
    return _flag(
        "cut", "The hematoma reaches the edge of the scan, so its volume is a lower bound: check the coverage."
    )


def _density(signs: Signs) -> Flag | None:
    low, high = DENSITY_HU
    if low <= signs.hu_mean <= high:
        return None
    what = "brain or old blood" if signs.hu_mean < low else "calcification, contrast medium or metal"
    return _flag(
        "unusual_density",
        f"The hematoma's mean density of {signs.hu_mean:.0f} HU is unusual for fresh blood and looks like {what}: "
        "check the mask.",
    )


def _confidence(mask: Mask) -> Flag | None:
    if mask.confidence is None or mask.confidence >= MINIMUM_CONFIDENCE:
        return None
    return _flag(
        "low_confidence",
        f"The network is unsure about this hematoma (mean probability {mask.confidence:.2f}): check every slice.",
    )


def _size(signs: Signs) -> Flag | None:
    if signs.volume_ml > LARGE_ML:
        return _flag("large", f"A hematoma of {signs.volume_ml:.0f} mL is unusually large: check the mask.")
    if signs.volume_ml < SMALL_ML:
        return _flag(
            "small",
            f"A hematoma of {signs.volume_ml:.1f} mL is near what the network can find: check that it is blood and no "
            "calcification, and that no slice is missed.",
        )
    return None


def _crossing(place: Location) -> Flag | None:
    if place.side == MIDLINE or not place.crosses_midline:
        return None
    return _flag(
        "crosses_midline",
        "The hematoma crosses the midline: check that blood in a ventricle was not taken for it.",
        "info",
    )
