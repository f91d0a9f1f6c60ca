"""How sure the volume of a mask is, for the network's own masks and for those drawn or edited by hand."""

from __future__ import annotations

from . import shape
from .findings import Interval, Mask

COUNTED = "voxel count x voxel volume"


def volume_interval(mask: Mask, boundary_mm: float) -> tuple[Interval, str]:
    """The interval of a mask's volume, and in words where it comes from."""
    if mask.volume_ml is not None:
        return mask.volume_ml, f"{COUNTED}; interval from the network's own uncertainty about the border"
    grid = mask.cropped_grid
    area = shape.border(mask.array, grid).area(grid)
    value, reach = mask.voxel_volume_ml, area * boundary_mm / 1000.0
    how = f"{COUNTED}; interval from surface area x boundary uncertainty of {boundary_mm:.2g} mm"
    return Interval(max(0.0, value - reach), value + reach), how
