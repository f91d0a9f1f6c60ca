"""Reasons to look at the masks of liver and spleen again, each one sentence with what to do."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from PrognosisLib.findings import Flag, Mask
from PrognosisLib.slicewise.lattice import through_plane

MINIMUM_CONFIDENCE = 0.85
LIVER_ML, SPLEEN_ML = (350.0, 3500.0), (30.0, 2500.0)
CUT_CM2 = 12.0  # a tip of the organ in the last slice is no loss


def mask_flags(masks: Mapping[str, Mask]) -> list[Flag]:
    """Flags of the liver and spleen that are not empty."""
    flags = []
    for name, (low, high) in (("Liver", LIVER_ML), ("Spleen", SPLEEN_ML)):
        mask = masks.get(name)
        if mask is None or mask.is_empty:
            continue
        flags += [one for one in (_cut(mask), _size(mask, low, high), _confidence(mask)) if one is not None]
    return flags


def _cut(mask: Mask) -> Flag | None:
    """The organ fills a part of the first or the last slice."""
    axis = 2 - through_plane(mask.grid)
    stop = mask.start[axis] + mask.array.shape[axis]
    ends = [number for number, at in ((0, mask.start[axis] == 0), (-1, stop == mask.grid.shape[axis])) if at]
    pixel_cm2 = mask.grid.voxel_volume_ml * 10.0 / float(mask.grid.spacing[2 - axis])
    areas = [np.count_nonzero(np.take(mask.array, number, axis)) * pixel_cm2 for number in ends]
    if not areas or max(areas) < CUT_CM2:
        return None
    name = mask.name
    return Flag(
        f"cut_{name.lower()}",
        "warning",
        f"The {name.lower()} reaches an end of the image, so its volume is a lower bound: check the coverage.",
        name,
    )


def _size(mask: Mask, low: float, high: float) -> Flag | None:
    volume = mask.voxel_volume_ml
    if low <= volume <= high:
        return None
    word = "small" if volume < low else "large"
    message = f"A {mask.name.lower()} of {volume:.0f} mL is unusually {word}: check the mask."
    return Flag(f"size_{mask.name.lower()}", "warning", message, mask.name)


def _confidence(mask: Mask) -> Flag | None:
    if mask.confidence is None or mask.confidence >= MINIMUM_CONFIDENCE:
        return None
    return Flag(
        f"low_confidence_{mask.name.lower()}",
        "warning",
        f"The network is unsure about the {mask.name.lower()} (mean probability {mask.confidence:.2f}): check every "
        "slice.",
        mask.name,
    )
