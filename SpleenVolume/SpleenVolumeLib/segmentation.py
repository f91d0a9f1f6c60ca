"""Coarse-to-fine spleen segmentation: arrays and geometry only, the networks are handed in.

1. The whole scan on a RAS-aligned 4 mm lattice: spleen and liver, roughly.
2. The box around the spleen at 1.75 mm: its border, and the liver's where the two meet.
3. One logit margin per organ is interpolated onto the scan's own voxels inside the organ's box, then thresholded;
   no full-grid array of floats is ever made.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from PrognosisLib.bundles.backends import Network
from PrognosisLib.findings import Interval, Mask
from PrognosisLib.pipeline import Progress, Stopwatch
from PrognosisLib.volume import AIR_HU, Grid, Volume, bin_shrink, ras_grid, resample, to_ras_grid, to_sitk_index_space

from .network import COARSE, FINE, normalize

SPLEEN, LIVER = 1, 2
MARGIN_MM = 16.0
# Below this the coarse pass has found a speck, not an organ; the smallest spleen asked for has 50 mL.
SMALLEST_ML = 12.0
LARGEST_FINE_VOXELS = 3_500_000
FAR_OUTSIDE = -20.0
# A plane belongs to the body when this many voxels of 4 mm are denser than lung.
BODY_HU, BODY_VOXELS = -300.0, 6


@dataclass(frozen=True)
class LogitMap:
    """Margin of one organ over all other classes (float32, positive inside) on a RAS-aligned lattice.

    `seen` (bool) is where the scan reached; elsewhere the network was shown air. None: everywhere.
    """

    margin: np.ndarray
    grid: Grid
    seen: np.ndarray | None = None

    @property
    def volume_ml(self) -> float:
        return float(np.count_nonzero(self.margin > 0)) * self.grid.voxel_volume_ml


def margin_of(logits: np.ndarray, organ: int) -> np.ndarray:
    """Log-odds of one class against all others; `logits` (classes, k, j, i)."""
    others = np.delete(logits, organ, axis=0)
    top = others.max(axis=0)
    return logits[organ] - top - np.log(np.exp(others - top).sum(axis=0))


def keep_organ(margin: np.ndarray, share: float) -> np.ndarray:
    """The margin with every component below `share` of the largest one pushed outside; one pass, no copy of labels."""
    import SimpleITK as sitk

    labels = sitk.GetArrayFromImage(sitk.ConnectedComponent(to_sitk_index_space((margin > 0).astype(np.uint8))))
    sizes = np.bincount(labels.ravel())
    if len(sizes) <= 2:
        return margin
    sizes[0] = 0
    drop = sizes < share * sizes.max()
    drop[0] = False
    return np.where(drop[labels], np.float32(FAR_OUTSIDE), margin)


def coarse_pass(volume: Volume, network: Network) -> dict[int, LogitMap]:
    """Spleen and liver margins at 4 mm, of the part of the scan that holds more than air."""
    image = to_ras_grid(volume, COARSE.spacing, fill=np.nan, multiple=COARSE.multiple)
    box = body_box(image.array)
    return _margins(np.ascontiguousarray(image.array[box]), image.grid.sub_grid(box), network)


def body_box(hu: np.ndarray) -> tuple[slice, slice, slice]:
    """The box of what is denser than lung, its sides multiples of what the network needs; everything if all is air."""
    body = hu > BODY_HU
    box = []
    for axis, length in enumerate(hu.shape):
        filled = np.flatnonzero(np.count_nonzero(body, axis=tuple(a for a in range(3) if a != axis)) >= BODY_VOXELS)
        if not len(filled):
            return tuple(slice(0, n) for n in hu.shape)
        wanted = -(-(int(filled[-1]) + 1 - int(filled[0])) // COARSE.multiple) * COARSE.multiple
        start = max(0, min(int(filled[0]), length - wanted))
        box.append(slice(start, start + wanted))
    return tuple(box)


def _margins(hu: np.ndarray, grid: Grid, network: Network) -> dict[int, LogitMap]:
    """One pass of a network; `hu` is NaN outside the scan and filled with air here."""
    seen = ~np.isnan(hu)
    hu[~seen] = AIR_HU
    logits = network(normalize(hu)[None, None])[0]
    return {organ: LogitMap(margin_of(logits, organ), grid, seen) for organ in (SPLEEN, LIVER)}


def fine_box(coarse: LogitMap) -> Grid | None:
    """The 1.75 mm lattice around the coarse spleen with a margin; None where there is no spleen.

    A spleen of several liters would make the box too large for the memory that is promised: its lattice is coarser.
    """
    found = keep_organ(coarse.margin, share=0.2) > 0
    if np.count_nonzero(found) * coarse.grid.voxel_volume_ml < SMALLEST_ML:
        return None
    mask = Mask.from_full("Spleen", found, coarse.grid)
    corners = mask.cropped_grid.corners_ras()
    corners = np.stack([corners.min(axis=0) - MARGIN_MM, corners.max(axis=0) + MARGIN_MM])
    grid = ras_grid(corners, FINE.spacing, FINE.multiple)
    excess = np.prod(grid.shape) / LARGEST_FINE_VOXELS
    return grid if excess <= 1 else ras_grid(corners, FINE.spacing * excess ** (1 / 3), FINE.multiple)


def fine_pass(volume: Volume, grid: Grid, network: Network) -> dict[int, LogitMap]:
    """Spleen and liver margins inside the fine lattice."""
    box = volume.grid.box_around(grid)
    part = Volume(volume.array[box], volume.grid.sub_grid(box).ijk_to_ras, volume.modality, volume.name)
    part = bin_shrink(part, float(grid.spacing.min()))
    return _margins(resample(part.array, part.ijk_to_ras, grid, fill=np.nan), grid, network)


def onto_scan(parts: list[LogitMap], grid: Grid, name: str, visible: bool) -> Mask:
    """Threshold the margins on the scan's own voxels; later parts overrule earlier ones inside their lattice."""
    occupied = [part for part in parts if part.volume_ml > 0]
    if not occupied:
        return Mask(name, np.zeros((0, 0, 0), dtype=bool), (0, 0, 0), grid, visible)
    ends = np.concatenate([_corners(part) for part in occupied])
    box = grid.box_around(ras_grid(ends, 1.0))
    if box is None:
        return Mask(name, np.zeros((0, 0, 0), dtype=bool), (0, 0, 0), grid, visible)
    inside = np.zeros(tuple(s.stop - s.start for s in box), dtype=bool)
    for part in parts:
        shared = grid.box_around(part.grid)
        if shared is None:
            continue
        both = tuple(slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(box, shared, strict=True))
        if any(s.start >= s.stop for s in both):
            continue
        local = tuple(slice(s.start - a.start, s.stop - a.start) for s, a in zip(both, box, strict=True))
        at_edge = any(s.start == 0 or s.stop == n for s, n in zip(both, grid.shape, strict=True))
        drawn = _carried_outward(part) if at_edge else part.margin
        margin = resample(drawn, part.grid.ijk_to_ras, grid.sub_grid(both), fill=FAR_OUTSIDE)
        inside[local] = np.where(margin > FAR_OUTSIDE, margin > 0, inside[local])
    cropped = Mask.from_full(name, inside, grid.sub_grid(box))
    start = tuple(a + s.start for a, s in zip(cropped.start, box, strict=True))
    return Mask(name, cropped.array, start, grid, visible)


def _corners(part: LogitMap) -> np.ndarray:
    """RAS ends of what is inside, wider by the two steps that `_carried_outward` may add."""
    ends = Mask.from_full("", part.margin > 0, part.grid).cropped_grid.corners_ras()
    step = 2.0 * part.grid.spacing
    return np.stack([ends.min(axis=0) - step, ends.max(axis=0) + step])


def _carried_outward(part: LogitMap) -> np.ndarray:
    """The margin with its values at the scan's edge repeated two steps beyond it.

    What a network says about the air outside would otherwise pull the border inward, and the mask of an organ that the
    scan cuts would end short of the last slice. Two steps, since whole blocks are averaged and may leave a rest.
    """
    if part.seen is None or part.seen.all():
        return part.margin
    margin, known = part.margin.copy(), part.seen.copy()
    for _ in range(2):
        for axis in range(3):
            for step in (1, -1):
                values, there = (np.moveaxis(one, axis, 0)[::step] for one in (margin, known))
                fresh = there[:-1] & ~there[1:]
                values[1:][fresh] = values[:-1][fresh]
                there[1:] |= fresh
    return margin


def volume_interval(fine: LogitMap, volume_ml: float, logit: float) -> Interval:
    """Volume (mL) between the borders at log-odds +logit and -logit, scaled to the volume on the scan's voxels.

    `logit` comes from the bundle: its interval held the true volume on held-out patients as often as stated there.
    """
    center = max(1, np.count_nonzero(fine.margin > 0))
    inner, outer = (np.count_nonzero(fine.margin > t) / center for t in (logit, -logit))
    return Interval(volume_ml * float(inner), volume_ml * float(outer))


def segment_spleen(
    volume: Volume, networks: dict[str, Network], interval_logit: float, progress: Progress, watch: Stopwatch
) -> tuple[Mask, ...]:
    """Spleen and liver masks on the scan's grid; only the liver's (or nothing) where no spleen is found."""
    progress(0.1, "Finding the spleen")
    with watch("coarse"):
        coarse = coarse_pass(volume, networks[COARSE.name])
        liver_parts = [replace(coarse[LIVER], margin=keep_organ(coarse[LIVER].margin, share=0.1))]
        grid = fine_box(coarse[SPLEEN])
    spleen = None
    if grid is not None:
        progress(0.35, "Drawing the spleen's border")
        with watch("fine"):
            fine = fine_pass(volume, grid, networks[FINE.name])
            outline = replace(fine[SPLEEN], margin=keep_organ(fine[SPLEEN].margin, share=0.1))
        if outline.volume_ml >= SMALLEST_ML:
            liver_parts.append(fine[LIVER])
            progress(0.75, "Putting the masks onto the scan")
            with watch("paste"):
                spleen = onto_scan([outline], volume.grid, "Spleen", visible=True)
                spleen = _with_evidence(spleen, outline, interval_logit)
    with watch("paste"):
        liver = onto_scan(liver_parts, volume.grid, "Liver", visible=False)
    return tuple(mask for mask in (spleen, liver) if mask is not None and not mask.is_empty)


def _with_evidence(mask: Mask, outline: LogitMap, interval_logit: float) -> Mask:
    inside = outline.margin[outline.margin > 0]
    confidence = float(np.mean(1.0 / (1.0 + np.exp(-inside)))) if inside.size else 0.0
    interval = volume_interval(outline, mask.voxel_volume_ml, interval_logit)
    return Mask(mask.name, mask.array, mask.start, mask.grid, mask.visible, interval, confidence)
