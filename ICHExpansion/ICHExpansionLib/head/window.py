"""Gray values of an 8-bit export back to Hounsfield units, where the user knows the window."""

from __future__ import annotations

import numpy as np

from PrognosisLib.errors import InputError
from PrognosisLib.volume import Volume


def to_hounsfield(volume: Volume, width: float | None, level: float | None) -> Volume:
    """The volume itself, or with gray values 0 to 255 turned into HU from `level - width / 2` to `level + width / 2`.

    Raises:
        InputError: only one of width and level is given, the width is not over 0, or the image is not of 8 bits.
    """
    if width is None and level is None:
        return volume
    if width is None or level is None:
        raise InputError("A window needs its width and its level; give both, or none for a CT in Hounsfield units.")
    if not 1.0 <= width <= 4000.0:
        raise InputError(
            f"A window width of {width:g} HU is not possible; give the width of the export, for example 80."
        )
    low, high = float(volume.array.min()), float(volume.array.max())
    if low < 0 or high > 255:
        raise InputError(
            f"'{volume.name}' has values from {low:g} to {high:g}, so it is no 8-bit export; leave window width and "
            "level empty."
        )
    hu = volume.array.astype(np.float32) * np.float32(width / 255.0) + np.float32(level - width / 2.0)
    return volume.with_array(hu)
