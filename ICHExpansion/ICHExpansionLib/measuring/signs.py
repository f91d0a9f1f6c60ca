"""Signs in a non-contrast CT that a hematoma may expand: black hole, swirl, islands, irregular shape, uneven density.

Everything is measured on sections of about 5 mm (sections.py). Thresholds marked "published" are from the papers named
with them; all others are ours, and what has no confirmed threshold is given as a number only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from PrognosisLib.errors import InputError
from PrognosisLib.findings import Mask
from PrognosisLib.volume import Grid, Volume

from .sections import RIM_MM, Sections, cut_sections

Point = tuple[float, float, float]

BLACK_HOLE_HU = 28.0  # published: Li et al., Stroke 2016;47:1777
ISLANDS, ISLANDS_WITH_BUDS = 3, 4  # published: Li et al., Stroke 2017;48:3019
SWIRL_MM = 10.0  # published as two contiguous sections of 5 mm
BRAIN_HU = 35.0  # gray and white matter together
SWIRL_MARGIN_HU = 5.0  # up to this above brain still counts as the brain's density
HYPODENSE_HU = 12.0  # below the hematoma's dense part; ours

DROPS_HU = (10.0, 14.0, 20.0, 28.0)  # levels below the dense part at which a dark region's border is looked for
SMALLEST_HOLE_MM2 = 6.0
SMALLEST_ISLAND_ML, SMALLEST_BUD_ML = 0.05, 0.1
LARGEST_ISLAND_SHARE = 0.25  # of the main part; a larger second part is no island
BUD_SHARE = 0.35  # of the largest inscribed circle: what the opening's disc does not fit into may be a bud
BUD_MM = (2.5, 6.0)  # limits of that disc's radius
BUD_HEIGHT_MM, BUD_HALF_WIDTH_MM = 3.0, 2.0  # over the opened outline; of the largest circle inside


@dataclass(frozen=True)
class Signs:
    """What a hematoma shows. A point is RAS mm, where the sign is seen best, or None where nothing was found.

    Args:
        volume_ml: voxel count x voxel volume of the mask as segmented.
        largest_area_mm2, largest_ras: largest section, and a point in its middle.
        hu_mean: mean HU of the inside (without a rim of 2 mm).
        hu_sd: standard deviation in HU of the inside after the noise's variance was taken off; 0 if even.
        hu_cv_percent: hu_sd in percent of hu_mean.
        noise_hu: the image's noise that was taken off, in HU for a 5 mm section.
        dense_hu: 75th percentile of the smoothed inside: the density of the hematoma's dense part.
        black_hole: a dark region encapsulated in its section with black_hole_hu >= 28.
        black_hole_hu: largest difference in HU of an encapsulated dark region to what surrounds it; 0 if none.
        black_hole_area_mm2, black_hole_ml: size of that region in its section, and over all sections it reaches.
        hypodense_percent: part of the inside that is darker than dense_hu by at least 12 HU (our limit).
        swirl: a region as dark as brain over at least 10 mm and two sections.
        swirl_mm, swirl_ml: through-plane extent and volume of the largest such region; 0 if none.
        islands: small parts away from the main one. buds: small lobes connected with it.
        island_sign: at least 3 islands, or at least 4 islands and buds together, some of which are connected.
        irregularity: the primary number for shape: perimeter^2 / (4 pi area) of the sections' smoothed outlines,
            weighted by area; 1.0 for discs, 1.2 for ellipses 2:1, 2 or more for ragged or split hematomas.
        solidity: area / area of the convex hull, over all sections; 1.0 if convex.
        fluid_level_hu: how much denser the back of a section is than its front, at the level that splits it best.
        fluid_level_share: part (0..1) of that section's variance which the split explains; near 1 for a fluid level.
    """

    volume_ml: float
    largest_area_mm2: float
    largest_ras: Point
    hu_mean: float
    hu_sd: float
    hu_cv_percent: float
    noise_hu: float
    dense_hu: float
    black_hole: bool
    black_hole_hu: float
    black_hole_area_mm2: float
    black_hole_ml: float
    black_hole_ras: Point | None
    hypodense_percent: float
    hypodense_ras: Point | None
    swirl: bool
    swirl_mm: float
    swirl_ml: float
    swirl_ras: Point | None
    islands: int
    buds: int
    island_sign: bool
    islands_ras: tuple[Point, ...]
    buds_ras: tuple[Point, ...]
    irregularity: float
    solidity: float
    fluid_level_hu: float
    fluid_level_share: float
    fluid_level_ras: Point | None


def measure_signs(volume: Volume, hematoma: Mask) -> Signs:
    """All signs of a hematoma in the CT that its mask lies on.

    Raises:
        InputError: the mask is empty or lies on another grid.
    """
    if not hematoma.grid.same_as(volume.grid, tolerance_mm=0.1):
        raise InputError("The hematoma segment is not on the CT's voxels; choose the CT it was drawn on.")
    if hematoma.is_empty:
        raise InputError("The hematoma segment is empty; draw it in Segment Editor or run the segmentation again.")
    return signs_of_arrays(volume.array[hematoma.box], hematoma.array, hematoma.cropped_grid)


def signs_of_arrays(hu: np.ndarray, mask: np.ndarray, grid: Grid) -> Signs:
    """All signs on plain arrays, e.g. of a noise-free simulated hematoma.

    Args:
        hu: image (k, j, i) in HU, any box that holds the mask; nothing outside the mask and its holes is used.
        mask: bool (k, j, i), same shape.
        grid: lattice of both.

    Raises:
        InputError: the mask is empty or the shapes differ.
    """
    sections = cut_sections(hu, mask, grid)
    areas = np.count_nonzero(sections.filled, axis=(1, 2)) * sections.pixel_mm2
    largest = np.zeros_like(sections.filled)
    largest[int(np.argmax(areas))] = sections.filled[int(np.argmax(areas))]
    return Signs(
        volume_ml=float(np.count_nonzero(mask)) * grid.voxel_volume_ml,
        largest_area_mm2=float(areas.max()),
        largest_ras=sections.center_ras(largest),
        **_density(sections),
        **_black_hole(sections),
        **_swirl(sections),
        **_islands(sections),
        **_shape(sections),
        **_fluid_level(sections),
    )


def _density(s: Sections) -> dict:
    inside = s.inside
    values = s.hu[inside].astype(np.float64)
    mean = float(values.mean())
    sd = math.sqrt(max(0.0, float(values.var()) - s.noise_hu**2))
    dense = float(np.percentile(s.smooth[inside], 75.0))
    dark = inside & (s.smooth <= dense - HYPODENSE_HU)
    return {
        "hu_mean": mean,
        "hu_sd": sd,
        "hu_cv_percent": 100.0 * sd / max(abs(mean), 1.0),
        "noise_hu": s.noise_hu,
        "dense_hu": dense,
        "hypodense_percent": float(100.0 * np.count_nonzero(dark) / np.count_nonzero(inside)),
        "hypodense_ras": s.center_ras(dark) if dark.any() else None,
    }


def _black_hole(s: Sections) -> dict:
    """The encapsulated dark region with the largest difference to its surroundings, over all sections and levels."""
    best, place = 0.0, None
    regions = np.zeros(s.filled.shape, dtype=bool)
    levels = np.zeros(len(regions), dtype=np.float32)
    for index in np.flatnonzero(s.filled.any(axis=(1, 2))):
        inner = s.depth[index] > 0.5 * SMALLEST_HOLE_MM2**0.5
        if not inner.any():
            continue
        levels[index] = dense = float(np.percentile(s.smooth[index][inner], 75.0))
        for drop in DROPS_HU:
            dark = s.filled[index] & (s.smooth[index] < dense - drop)
            if not dark.any():
                break
            for region in _encapsulated(dark, s.filled[index], SMALLEST_HOLE_MM2 / s.pixel_mm2):
                difference = _difference(s, int(index), region, dark)
                regions[index] |= region
                if difference > best:
                    best, place = difference, (int(index), region)
    if place is None:
        return {"black_hole": False, "black_hole_hu": 0.0, "black_hole_area_mm2": 0.0, "black_hole_ml": 0.0} | {
            "black_hole_ras": None
        }
    index, region = place
    # Its border lies where half the difference is reached.
    regions &= s.smooth < (levels - 0.5 * best)[:, None, None]
    whole = _connected(regions, index, region)
    only = np.zeros_like(regions)
    only[index] = whole[index] if whole.any() else region
    return {
        "black_hole": best >= BLACK_HOLE_HU,
        "black_hole_hu": best,
        "black_hole_area_mm2": float(np.count_nonzero(only)) * s.pixel_mm2,
        "black_hole_ml": float(np.count_nonzero(whole | only)) * s.grid.voxel_volume_ml,
        "black_hole_ras": s.center_ras(only),
    }


def _encapsulated(dark: np.ndarray, filled: np.ndarray, smallest: float) -> list[np.ndarray]:
    """Parts of one section's dark pixels that do not touch the outside and are large enough (pixels)."""
    from scipy import ndimage

    labels, count = ndimage.label(dark)
    if not count:
        return []
    outside = ndimage.binary_dilation(~filled, np.ones((3, 3), dtype=bool))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    touching = np.unique(labels[outside])
    return [labels == n for n in range(1, count + 1) if sizes[n] >= smallest and n not in touching]


def _difference(s: Sections, index: int, region: np.ndarray, dark: np.ndarray) -> float:
    """Mean HU of a ring around a dark region minus that of the region's core, as two drawn circles would give."""
    from scipy import ndimage

    pixel = float(s.pixel_mm.mean())
    near = ndimage.binary_dilation(region, iterations=max(1, round(1.0 / pixel)))
    ring = ndimage.binary_dilation(near, iterations=max(1, round(3.0 / pixel))) & ~near & ~dark
    if (ring & (s.depth[index] > RIM_MM)).any():
        ring &= s.depth[index] > RIM_MM
    ring &= s.filled[index]
    if not ring.any():
        ring = ndimage.binary_dilation(region) & ~region
    # The core is found by place, not by value: the darkest pixels of a noisy region would be too dark.
    depth = ndimage.distance_transform_edt(region)
    core = depth >= 0.3 * depth.max()
    return float(s.hu[index][ring].mean() - s.hu[index][core].mean())


def _connected(regions: np.ndarray, index: int, region: np.ndarray) -> np.ndarray:
    """The part of `regions` (section, row, column) that a region of one section belongs to."""
    from scipy import ndimage

    labels, _ = ndimage.label(regions)
    found = np.bincount(labels[index][region], minlength=1)
    found[0] = 0
    return labels == found.argmax() if found.any() else np.zeros_like(regions)


def _swirl(s: Sections) -> dict:
    """The largest region as dark as brain inside the hematoma that reaches over two sections of 5 mm."""
    from scipy import ndimage

    dark = s.inside & (s.smooth <= BRAIN_HU + SWIRL_MARGIN_HU)
    labels, _ = ndimage.label(dark, structure=np.ones((3, 3, 3), dtype=bool))
    needed = max(2, math.ceil((SWIRL_MM - 0.05 * SWIRL_MM) / s.thickness))
    found, run, most = False, 0, 0
    where = None
    for n, box in enumerate(ndimage.find_objects(labels), start=1):
        part = labels[box] == n
        full = np.count_nonzero(part, axis=(1, 2)) * s.pixel_mm2 >= SMALLEST_HOLE_MM2
        length, size = int(np.count_nonzero(full)), int(np.count_nonzero(part))
        if length and (length >= needed, size) > (found, most):
            found, run, most, where = length >= needed, length, size, n
    return {
        "swirl": found,
        "swirl_mm": run * s.thickness,
        "swirl_ml": most * s.grid.voxel_volume_ml,
        "swirl_ras": None if where is None else s.center_ras(labels == where),
    }


def _islands(s: Sections) -> dict:
    """Small parts away from the main one, and lobes of the main one that a disc does not fit into."""
    from scipy import ndimage

    solid = np.ones((3, 3, 3), dtype=bool)
    labels, count = ndimage.label(s.filled, structure=solid)
    ml = np.bincount(labels.ravel(), minlength=count + 1) * s.grid.voxel_volume_ml
    main = 1 + int(np.argmax(ml[1:]))
    small = [
        n for n in range(1, count + 1) if n != main and SMALLEST_ISLAND_ML <= ml[n] <= LARGEST_ISLAND_SHARE * ml[main]
    ]
    buds = _buds(s, labels == main)
    islands = len(small)
    return {
        "islands": islands,
        "buds": len(buds),
        "island_sign": islands >= ISLANDS or islands + len(buds) >= ISLANDS_WITH_BUDS,
        "islands_ras": tuple(s.center_ras(labels == n) for n in small),
        "buds_ras": tuple(s.center_ras(bud) for bud in buds),
    }


def _buds(s: Sections, main: np.ndarray) -> list[np.ndarray]:
    from scipy import ndimage

    depth = np.where(main, s.depth, np.float32(0.0))
    radius = float(np.clip(BUD_SHARE * depth.max(), *BUD_MM))
    core = depth >= radius
    # A section without a core is a cap of the hematoma, where everything is thin.
    has_core = core.any(axis=(1, 2))
    if not has_core.any():
        return []
    beyond = ndimage.distance_transform_edt(~core[has_core], sampling=(1e3, *s.pixel_mm)) - radius
    height = np.zeros(main.shape, dtype=np.float32)
    height[has_core] = np.where(main[has_core], beyond, 0.0)
    # Half a pixel at the core's border, and as much at the outline.
    rest = height > float(s.pixel_mm.mean())
    labels, count = ndimage.label(rest, structure=np.ones((3, 3, 3), dtype=bool))
    if not count:
        return []
    ml = np.bincount(labels.ravel(), minlength=count + 1) * s.grid.voxel_volume_ml
    tall, wide = (ndimage.maximum(x, labels, np.arange(1, count + 1)) for x in (height, depth))
    main_ml = np.count_nonzero(main) * s.grid.voxel_volume_ml
    return [
        labels == n
        for n in range(1, count + 1)
        if tall[n - 1] >= BUD_HEIGHT_MM
        and wide[n - 1] >= BUD_HALF_WIDTH_MM
        and SMALLEST_BUD_ML <= ml[n] <= LARGEST_ISLAND_SHARE * main_ml
    ]


def _shape(s: Sections) -> dict:
    from scipy import ndimage

    # The length of a smoothed mask's edge is the sum of its slopes (co-area formula): no voxel staircase enters.
    sigma = np.maximum(1.2 / s.pixel_mm, 1.0)
    soft = ndimage.gaussian_filter(s.filled.astype(np.float32), (0.0, *sigma))
    slopes = np.hypot(*(np.gradient(soft, axis=a) / s.pixel_mm[a - 1] for a in (1, 2)))
    perimeter = slopes.sum(axis=(1, 2), dtype=np.float64) * s.pixel_mm2
    area = np.count_nonzero(s.filled, axis=(1, 2)) * s.pixel_mm2
    present = area > 0
    # No outline is rounder than a disc; smoothing makes the smallest ones shorter than they are.
    index = np.maximum(1.0, perimeter[present] ** 2 / (4.0 * np.pi * area[present]))
    hull = sum(_hull_mm2(plane, s) for plane in s.filled[present])
    return {
        "irregularity": float(np.average(index, weights=area[present])),
        "solidity": min(1.0, float(area.sum()) / hull),
    }


def _hull_mm2(plane: np.ndarray, s: Sections) -> float:
    """Area in mm2 of the convex hull of one section's pixels."""
    from scipy.spatial import ConvexHull

    rows = np.flatnonzero(plane.any(axis=1))
    first = np.argmax(plane[rows], axis=1)
    last = plane.shape[1] - 1 - np.argmax(plane[rows, ::-1], axis=1)
    # The outline runs a quarter of a pixel outside the outermost centers on average (see shape.AxialStack).
    ends = np.concatenate([np.stack([rows, first - 0.25], 1), np.stack([rows, last + 0.25], 1)])
    row = np.array([0.25, 0.0])
    ends = np.concatenate([ends + row, ends - row])
    return float(ConvexHull(ends).volume) * s.pixel_mm2


def _fluid_level(s: Sections) -> dict:
    """The horizontal line (of a patient on the back) that splits a section best into a dark front and a dense back."""
    best = (0.0, 0.0, None)
    k, j, i = np.ogrid[tuple(slice(n) for n in s.filled.shape)]
    row = s.grid.ijk_to_ras[1]
    anterior = row[0] * i + row[1] * j + (row[2] * k + row[3])
    for index, inside in enumerate(s.inside):
        if np.count_nonzero(inside) * s.pixel_mm2 < 100.0:
            continue
        place, values = anterior[index][inside], s.smooth[index][inside].astype(np.float64)
        order = np.argsort(place)
        values, n = values[order], len(values)
        behind = np.arange(1, n)
        total = np.cumsum(values)
        step = total[:-1] / behind - (total[-1] - total[:-1]) / (n - behind)
        share = step**2 * behind * (n - behind) / n**2 / max(float(values.var()), 1e-6)
        place = place[order]
        # Between pixels of one row there is no level.
        same_row = np.diff(place) < 0.01
        share[same_row | (step <= 0) | (behind < 0.15 * n) | (behind > 0.85 * n)] = 0.0
        at = int(np.argmax(share))
        # Small differences are explained best by chance: the product favors the level a reader would see.
        if share[at] > 0 and step[at] * share[at] > best[0] * best[1]:
            line = inside & (np.abs(anterior[index] - place[at]) <= 1.0)
            best = (float(step[at]), float(share[at]), (index, line))
    region = np.zeros_like(s.filled)
    if best[2] is not None:
        region[best[2][0]] = best[2][1]
    return {
        "fluid_level_hu": best[0],
        "fluid_level_share": best[1],
        "fluid_level_ras": s.center_ras(region) if region.any() else None,
    }
