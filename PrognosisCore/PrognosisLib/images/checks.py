"""Whether an image can be what its role says, before a network sees it."""

from __future__ import annotations

import numpy as np

from ..errors import InputError
from ..volume import Volume

MIN_SLICES = 8
MIN_EXTENT_MM = 20.0
MIN_SPACING_MM, MAX_SPACING_MM = 0.05, 15.0
MAX_SAMPLES = 4_000_000


def check_geometry(volume: Volume) -> None:
    """Refuse volumes that are too thin or whose voxels cannot be those of a patient scan.

    Raises:
        InputError: with one sentence that says what is wrong and how to mend it.
    """
    grid, name = volume.grid, volume.name
    for axis, step in zip("ijk", grid.spacing, strict=True):
        if not MIN_SPACING_MM <= step <= MAX_SPACING_MM:
            raise InputError(
                f"'{name}' has a voxel spacing of {step:.4g} mm along {axis}, which no scan of a patient has; "
                "check its units (mm) and export it again."
            )
    steps = [grid.spacing[0], grid.spacing[1], grid.slice_distance]
    for count, step in zip(grid.shape[::-1], steps, strict=True):
        if count < MIN_SLICES or count * step < MIN_EXTENT_MM:
            raise InputError(
                f"'{name}' has only {count} slices over {count * step:.1f} mm (a scout or a part of a series); "
                f"give a volume of at least {MIN_SLICES} slices and {MIN_EXTENT_MM:g} mm."
            )


def check_ct(volume: Volume) -> None:
    """Refuse what cannot be a CT in Hounsfield units: geometry, NaN, constant images, other value ranges.

    A CT cropped to the body and clipped to a soft-tissue window such as [-125, 275] HU passes; it still holds fat and
    air below -20 HU, which an MR image, an 8-bit export or a CT without its rescale intercept does not.

    Raises:
        InputError: with one sentence that says what is wrong and how to mend it.
    """
    check_geometry(volume)
    array, name = volume.array, volume.name
    bad = array.size - int(np.count_nonzero(np.isfinite(array))) if array.dtype.kind == "f" else 0
    if bad:
        raise InputError(f"'{name}' has {bad} voxels that are NaN or infinite; export the CT again.")
    low, high = float(array.min()), float(array.max())
    if low == high:
        raise InputError(f"'{name}' has the same value ({low:g}) in every voxel; choose another image.")
    if array.dtype.kind in "iu" and ((low >= 0 and high <= 255) or (low >= -128 and high <= 127)):
        raise InputError(
            f"'{name}' has values from {low:g} to {high:g}, so it is an 8-bit export, not a CT in Hounsfield units; "
            "export the original DICOM series."
        )
    if high - low < 150.0:
        raise InputError(
            f"'{name}' has values from {low:g} to {high:g} only, so it was normalized or windowed; "
            "give the CT in Hounsfield units."
        )
    if low < -10000.0 or high > 40000.0:
        raise InputError(
            f"'{name}' has values from {low:g} to {high:g}, which are not Hounsfield units; export the CT with its "
            "rescale slope and intercept."
        )
    sample = array.reshape(-1)[:: max(1, array.size // MAX_SAMPLES)]
    if np.mean(sample < -20) < 0.01:
        raise InputError(
            f"'{name}' has no air or fat below 0 HU (values from {low:g} to {high:g}), so it is an MR image or a CT "
            "without its rescale intercept; give the CT in Hounsfield units."
        )
    if np.mean((sample > -150) & (sample < 250)) < 0.02:
        raise InputError(
            f"'{name}' has hardly a voxel with the Hounsfield units of soft tissue (values from {low:g} to {high:g}); "
            "check the rescale slope and intercept of the export."
        )
