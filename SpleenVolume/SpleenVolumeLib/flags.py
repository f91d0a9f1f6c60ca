"""Reasons to look at a spleen mask again, each one sentence with what to do.

Limits on shape and density hold what 24 patients of the BTCV collection (portal venous CT, manual labels) show, with
room around it; the figures measured there stand beside each limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from PrognosisLib import shape
from PrognosisLib.findings import Flag, Mask
from PrognosisLib.volume import Volume

SPLEEN = "Spleen"
MINIMUM_CONFIDENCE = 0.85  # where settings have no "minimum_confidence"
LARGEST_PART = 0.97
CONTACT_SHARE = 0.03  # measured: 23 of 24 below 0.014; 0.07 in one, whose left liver lobe lies on the spleen
CONTACT_MM2 = 300.0
HU_RANGE = (25.0, 250.0)  # mean inside the border; measured: 57 to 194, portal venous; without contrast 40 to 60
HU_SPREAD = 35.0  # SD of 5 mm cubes' means; measured: 6 to 19
HU_CUBE_MM = 5.0
SOLIDITY = 0.50  # volume over convex hull; measured: 0.58 to 0.81
ELONGATION = (1.35, 4.0)  # longest over shortest principal SD; measured: 1.85 to 3.01
SLENDERNESS = 2.7  # longest over middle principal SD; measured: 1.19 to 1.93
COARSE_SLICES_MM, COARSE_PIXELS_MM = 5.0, 2.0
PLAUSIBLE_ML = (50.0, 3000.0)
HULL_POINTS = 8000
PADDING_HU = -1000.0
PADDED_BORDER_MM2 = 100.0


def quality_flags(volume: Volume, spleen: Mask, liver: Mask | None, settings: Mapping[str, Any]) -> list[Flag]:
    """Every flag that the masks (spleen not empty, on the volume's grid) and the scan call for, worst first."""
    surface = shape.border(spleen.array, spleen.cropped_grid)
    found = [
        _laterality(spleen, liver),
        _touches_edge(volume, spleen),
        _touches_liver(spleen, liver, surface),
        _several_components(spleen),
        _implausible_volume(spleen),
        _unusual_hu(volume, spleen),
        _unusual_shape(spleen, surface),
        _low_confidence(spleen, settings),
        _too_coarse(volume),
    ]
    return [flag for flag in found if flag is not None]


def _flag(key: str, message: str, severity: str = "warning") -> Flag:
    return Flag(key, severity, message, SPLEEN)


def cut_sides(volume: Volume, mask: Mask) -> list[str]:
    """Where the scan's edge cuts the mask: sides of the patient ("top", "left side", ...) or "padded border"."""
    sides = []
    for axis in range(3):
        for last in (False, True):
            touches = (
                mask.start[axis] + mask.array.shape[axis] == mask.grid.shape[axis] if last else not mask.start[axis]
            )
            if touches and mask.array.take(-1 if last else 0, axis=axis).any():
                outward = shape.face_vectors(mask.grid)[2 - axis] * (1 if last else -1)
                sides.append(_side(outward))
    if _padded_border(volume, mask) > PADDED_BORDER_MM2:
        sides.append("padded border")
    return sides


def _side(outward: np.ndarray) -> str:
    names = (("left side", "right side"), ("back", "front"), ("bottom", "top"))
    axis = int(np.argmax(np.abs(outward)))
    return names[axis][int(outward[axis] > 0)]


def _padded_border(volume: Volume, mask: Mask) -> float:
    """Area in mm2 of the mask's faces within two voxels of padding (what a scanner or a resampler fills corners with).

    Padding has the value of the volume's corners, exactly, and is at least as dark as air. Images whose values were
    clipped above that have none that can be told from lung.
    """
    values = volume.array[:: max(1, volume.array.shape[0] - 1), :: max(1, volume.array.shape[1] - 1), [0, -1]]
    padding = float(values.min())
    if padding > PADDING_HU or np.count_nonzero(values == padding) < 2:
        return 0.0
    box = tuple(slice(max(0, s.start - 2), min(n, s.stop + 2)) for s, n in zip(mask.box, mask.grid.shape, strict=True))
    outside = volume.array[box] == padding
    if not outside.any():
        return 0.0
    inside = shape.crop(mask, box)
    sides = np.linalg.norm(shape.face_vectors(mask.grid), axis=1)
    area = 0.0
    for axis in range(3):
        one, dark = np.moveaxis(inside, axis, 0), np.moveaxis(outside, axis, 0)
        for step in (1, -1):
            here, there = one[::step], dark[::step]
            area += np.count_nonzero(here[:-2] & ~here[1:-1] & there[2:]) * sides[2 - axis]
    return float(area)


def _touches_edge(volume: Volume, spleen: Mask) -> Flag | None:
    sides = cut_sides(volume, spleen)
    if not sides:
        return None
    return _flag(
        "touches_edge",
        f"The spleen reaches the scan's edge ({', '.join(sides)}), so part of it may be missing and its volume is a "
        "lower bound: use a scan that covers the whole spleen.",
    )


def _several_components(spleen: Mask) -> Flag | None:
    from scipy import ndimage

    labels, count = ndimage.label(spleen.array, structure=np.ones((3, 3, 3)))
    if count < 2:
        return None
    sizes = np.sort(np.bincount(labels.ravel())[1:])[::-1]
    if sizes[0] >= LARGEST_PART * sizes.sum():
        return None
    parts = sizes * spleen.grid.voxel_volume_ml
    listed = ", ".join(f"{size:.3g}" for size in parts[:3]) + (", ..." if count > 3 else "")
    return _flag(
        "several_components",
        f"The spleen mask has {count} separate parts ({listed} mL): erase what is not spleen; a round part of a few mL "
        "near the hilum may be an accessory spleen.",
    )


def _touches_liver(spleen: Mask, liver: Mask | None, surface: shape.Border) -> Flag | None:
    if liver is None or liver.is_empty:
        return None
    grid = spleen.cropped_grid
    area = shape.leveled_area(*shape.contact(spleen, liver), grid)
    share = area / surface.area(grid)
    if area < CONTACT_MM2 or share < CONTACT_SHARE:
        return None
    return _flag(
        "touches_liver",
        f"Spleen and liver masks share {area:.0f} mm² of border ({100 * share:.0f} % of the spleen's surface): check "
        "that the upper spleen is not fused with the left liver lobe, the published failure (4 of 227 masks; "
        "published, other data), and correct the mask if it is.",
    )


def _unusual_hu(volume: Volume, spleen: Mask) -> Flag | None:
    inner = shape.eroded(spleen.array)
    inner = inner if inner.any() else spleen.array
    values = volume.array[spleen.box]
    mean = float(values[inner].mean(dtype=np.float64))
    if not HU_RANGE[0] <= mean <= HU_RANGE[1]:
        return _flag(
            "unusual_hu",
            f"The mask's mean density of {mean:.0f} HU is outside {HU_RANGE[0]:.0f} to {HU_RANGE[1]:.0f} HU, where the "
            "spleen lies without contrast and in every contrast phase: check that the mask is on the spleen and that "
            "the scan is in HU.",
        )
    spread = _spread(values, inner, spleen)
    if spread <= HU_SPREAD:
        return None
    return _flag(
        "unusual_hu",
        f"Density varies by {spread:.0f} HU (SD of {HU_CUBE_MM:.0f} mm cubes) inside the mask, more than the "
        f"{HU_SPREAD:.0f} HU of spleen alone: check for fat, stomach, infarcts, cysts or the mottled arterial phase.",
    )


def _spread(values: np.ndarray, inner: np.ndarray, spleen: Mask) -> float:
    """SD of the means of HU_CUBE_MM cubes: anatomy rather than the noise of thin slices."""
    total, count = np.where(inner, values, 0).astype(np.float32), inner.astype(np.float32)
    for axis in (2, 1, 0):
        # Sums of runs of voxels as a matrix product, which is much faster than adding short runs up.
        step = max(1, round(HU_CUBE_MM / float(spleen.grid.spacing[2 - axis])))
        size = inner.shape[axis]
        runs = np.repeat(np.eye(-(-size // step), dtype=np.float32), step, axis=0)[:size]
        total, count = (np.tensordot(a, runs, axes=(2, 0)).transpose(2, 0, 1) for a in (total, count))
    full = count >= 0.5 * count.max()
    return float((total[full] / count[full]).std())


def _unusual_shape(spleen: Mask, surface: shape.Border) -> Flag | None:
    from scipy.spatial import ConvexHull, QhullError

    # Thinned: qhull is slow on smooth surfaces, where every point is a corner of the hull.
    points = surface.points[:: max(1, len(surface.points) // HULL_POINTS)]
    try:
        hull_ml = ConvexHull(points).volume / 1000.0
    except QhullError:
        return _flag("unusual_shape", "The mask is flat, which no spleen is: draw it on more slices.")
    solidity = spleen.voxel_volume_ml / hull_ml
    first, middle, last = principal_sd(spleen)
    reasons = []
    if solidity < SOLIDITY:
        reasons.append(f"it fills {100 * solidity:.0f} % of its convex hull (usually over {100 * SOLIDITY:.0f} %)")
    if not ELONGATION[0] <= first / last <= ELONGATION[1] or first / middle > SLENDERNESS:
        reasons.append(
            f"it is {first / last:.1f} times as long as thick and {first / middle:.1f} times as long as wide "
            f"(usually {ELONGATION[0]:.1f} to {ELONGATION[1]:.1f} and under {SLENDERNESS:.1f})"
        )
    if not reasons:
        return None
    return _flag(
        "unusual_shape", f"The mask has an unusual shape for a spleen, since {' and '.join(reasons)}: check its border."
    )


def principal_sd(mask: Mask) -> np.ndarray:
    """Standard deviations in mm of the mask's voxels along its three principal axes, longest first."""
    counts = [mask.array.sum(axis=tuple(a for a in range(3) if a != axis), dtype=np.int64) for axis in (2, 1, 0)]
    total = counts[0].sum()
    places = [np.arange(len(c)) - (np.arange(len(c)) @ c) / total for c in counts]
    covariance = np.diag([p**2 @ c / total for p, c in zip(places, counts, strict=True)])
    for a, b in ((0, 1), (0, 2), (1, 2)):
        plane = mask.array.sum(axis=2 - ({0, 1, 2} - {a, b}).pop(), dtype=np.int64)  # (later axis, earlier axis)
        covariance[a, b] = covariance[b, a] = places[b] @ plane @ places[a] / total
    covariance += np.eye(3) / 12.0  # a voxel has a width
    matrix = mask.grid.ijk_to_ras[:3, :3]
    return np.sqrt(np.linalg.eigvalsh(matrix @ covariance @ matrix.T))[::-1]


def centroid(mask: Mask) -> np.ndarray:
    """Center of the mask in RAS mm."""
    counts = [mask.array.sum(axis=tuple(a for a in range(3) if a != axis), dtype=np.int64) for axis in range(3)]
    return mask.cropped_grid.to_ras(np.array([[np.arange(len(c)) @ c / c.sum() for c in counts]]))[0]


def _low_confidence(spleen: Mask, settings: Mapping[str, Any]) -> Flag | None:
    limit = settings.get("minimum_confidence") or MINIMUM_CONFIDENCE
    if spleen.confidence is None or spleen.confidence >= limit:
        return None
    return _flag(
        "low_confidence",
        f"The network's mean probability inside the mask is {spleen.confidence:.2f}, below {limit:.2f}: "
        "check the border on every slice before using the volume.",
    )


def _too_coarse(volume: Volume) -> Flag | None:
    # The widest of the three distances between lattice planes is the slices', wherever their axis is stored.
    *pixels, slices = np.sort(1.0 / np.linalg.norm(np.linalg.inv(volume.ijk_to_ras[:3, :3]), axis=1))
    pixels = float(max(pixels))
    reasons = []
    if slices > COARSE_SLICES_MM + 0.01:
        reasons.append(f"slices are {slices:.1f} mm apart")
    if pixels > COARSE_PIXELS_MM + 0.01:
        reasons.append(f"pixels are {pixels:.1f} mm wide")
    if not reasons:
        return None
    return _flag(
        "too_coarse",
        f"The scan is coarse, since {' and '.join(reasons)}, which makes lengths across "
        f"them uncertain by ± {max(slices, pixels):.1f} mm and widens the interval of a drawn mask's volume: use a "
        "finer reconstruction if there is one.",
    )


def _implausible_volume(spleen: Mask) -> Flag | None:
    volume = spleen.voxel_volume_ml
    low, high = PLAUSIBLE_ML
    if low <= volume <= high:
        return None
    reason = (
        f"below {low:.0f} mL, so part of the spleen may be missing (or was removed)"
        if volume < low
        else f"above {high:.0f} mL, so the mask may hold other organs, unless the spleen is massively enlarged"
    )
    return _flag("implausible_volume", f"The spleen mask has {volume:.0f} mL, {reason}: check it on every slice.")


def _laterality(spleen: Mask, liver: Mask | None) -> Flag | None:
    if liver is None or liver.is_empty or centroid(spleen)[0] <= centroid(liver)[0]:
        return None
    return _flag(
        "laterality",
        "The spleen lies to the right of the liver: check the scan's orientation and that the masks are not swapped; "
        "in situs inversus this is as it should be.",
        severity="error",
    )
