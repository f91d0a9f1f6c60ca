"""Examinations on a real anatomy: a fat-suppressed T2 image, outlined by hand, given the signs of a stiffness.

The outlines become distance maps. Signs are added to the distances, so that the liver's surface turns nodular, its left
side grows over its right one, the spleen grows, and fluid lies around both; the T2's own pixels stay wherever tissue
stays. The T1 image is made from the T2's gray values: what is bright fluid there is dark here. Only a T1 with fat
suppression can be made so, since suppressed fat and muscle can't be told apart by gray values alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import ndimage

from PrognosisLib.simulation.shapes import Grid as FieldGrid
from PrognosisLib.simulation.shapes import RandomField
from PrognosisLib.volume import Grid, Volume, resample

from ..labels import ASCITES, LIVER, SPLEEN
from .patients import Examination
from .scan import SEPTA_MM, SimulatedImage, disturb, septal_net
from .tissues import TISSUES, LiverState, tissue_signal

NODULES_MM, SHIFT_MM, LOBES_MM = (13, 26), 6.0, 35.0
FAR_MM = 40.0
SPLEEN_GROWTH_MM = 32.0


@dataclass(frozen=True)
class RealAnatomy:
    """A T2 image (spectrally fat suppressed) and its labels: LIVER, SPLEEN, any other number for other organs."""

    name: str
    image: Volume
    labels: Volume

    @cached_property
    def distances(self) -> dict[int, np.ndarray]:
        """Signed distance (mm, negative inside) to liver and spleen, (k, j, i), cut at 40 mm."""
        return {label: self._distance(self.labels.array == label) for label in (LIVER, SPLEEN)}

    @cached_property
    def body(self) -> np.ndarray:
        """Distance (mm) from the outside of the body, within slices."""
        image = self.image.array.astype(np.float32)
        bright = ndimage.gaussian_filter(image, (0, 2, 2)) > 0.05 * np.percentile(image, 99)
        filled = np.stack([ndimage.binary_fill_holes(ndimage.binary_closing(one, iterations=4)) for one in bright])
        step = self.image.grid.spacing
        return np.stack([ndimage.distance_transform_edt(one, (step[1], step[0])) for one in filled]).astype(np.float32)

    @cached_property
    def emptied(self) -> np.ndarray:
        """The image with liver and spleen replaced by the nearest other tissue, float32."""
        organs = np.isin(self.labels.array, (LIVER, SPLEEN))
        near = ndimage.binary_dilation(organs, np.ones((1, 3, 3), bool), iterations=2)
        return _filled(self.image.array.astype(np.float32), near, self.image.grid.spacing)

    @cached_property
    def organs(self) -> dict[int, np.ndarray]:
        """The image of liver and of spleen, each spread over the whole grid from its nearest pixel, float32."""
        image = self.image.array.astype(np.float32)
        inner = {n: ndimage.binary_erosion(self.labels.array == n, np.ones((1, 3, 3), bool)) for n in (LIVER, SPLEEN)}
        return {n: _filled(image, ~one, self.image.grid.spacing, smooth=6.0) for n, one in inner.items()}

    def _distance(self, mask: np.ndarray) -> np.ndarray:
        step = tuple(self.image.grid.spacing[::-1])
        outside, inside = ndimage.distance_transform_edt(~mask, step), ndimage.distance_transform_edt(mask, step)
        edge = 0.5 * step[-1]
        signed = np.where(mask, edge - inside, outside - edge)
        return np.clip(signed, -FAR_MM, FAR_MM).astype(np.float32)


def _filled(image: np.ndarray, holes: np.ndarray, spacing: np.ndarray, smooth: float = 1.2) -> np.ndarray:
    """Pixels in the holes take the nearest one outside, smoothed over so many pixels."""
    places = ndimage.distance_transform_edt(holes, tuple(spacing[::-1]), return_distances=False, return_indices=True)
    spread = image[tuple(places)]
    return np.where(holes, ndimage.gaussian_filter(spread, (0, smooth, smooth)), image)


def examine_real(anatomy: RealAnatomy, examination: Examination) -> list[SimulatedImage]:
    """T2 and T1 image of the anatomy with the signs of an examination; its own body size and protocol of T2 stay."""
    rng = np.random.default_rng([examination.seed, 61])
    signs, grid = examination.signs, anatomy.image.grid
    fields = FieldGrid(grid.shape, grid.ijk_to_ras)
    liver = _liver_distance(anatomy, signs.lobe_shift - 0.05, signs.log_nodularity, fields, rng)
    spleen = _spleen_distance(anatomy, signs.log_spleen, liver)
    fluid = None
    if signs.ascites:
        width = 2.5 + 8 * rng.random() + 2.5 * RandomField(rng, (50, 110), 24).on(fields)
        others = np.isin(anatomy.labels.array, (0, LIVER, SPLEEN))
        fluid = np.maximum(np.minimum(liver, spleen) - width, (12.0 - anatomy.body) * 1.0)
        fluid = np.where(others, fluid, FAR_MM)
    shares = {n: _share(d, grid) for n, d in ((ASCITES, fluid), (LIVER, liver), (SPLEEN, spleen)) if d is not None}
    texture = 1 + np.float32(examination.look.texture) * septal_net(RandomField(rng, SEPTA_MM, 64).on(fields))
    t2 = _compose(anatomy, shares, examination, texture)
    t1 = _compose_t1(anatomy, shares, examination, 2 - texture, rng)
    labels = np.zeros(grid.shape, np.uint8)
    for label, share in shares.items():
        labels[share > 0.5] = label
    first = SimulatedImage(
        Volume(np.clip(np.rint(t2), 0, 32000).astype(np.int16), grid.ijk_to_ras, "MR"),
        Volume(labels, grid.ijk_to_ras, "labels"),
    )
    return [first, _sample_t1(t1, labels, grid, examination, rng)]


def _share(distance: np.ndarray, grid: Grid) -> np.ndarray:
    return np.clip(0.5 - distance / np.float32(1.3 * grid.spacing[0]), 0, 1)


def _liver_distance(
    anatomy: RealAnatomy, shift: float, log_nodularity: float, fields: FieldGrid, rng: np.random.Generator
) -> np.ndarray:
    distance, grid = anatomy.distances[LIVER], anatomy.image.grid
    where = np.argwhere(anatomy.labels.array == LIVER)
    middle = float((grid.ijk_to_ras[:3, :3] @ where.mean(axis=0)[::-1] + grid.ijk_to_ras[:3, 3])[0])
    right = fields.points()[0] - np.float32(middle)
    growth = -np.float32(SHIFT_MM * shift) * np.tanh(right / np.float32(LOBES_MM))
    nodules = np.float32(np.exp(log_nodularity)) * RandomField(rng, NODULES_MM, 48).on(fields)
    return _kept_in(anatomy, distance + nodules - growth, LIVER)


def _spleen_distance(anatomy: RealAnatomy, log_ratio: float, liver: np.ndarray) -> np.ndarray:
    """The spleen grown or shrunk evenly until its volume is the normal one times exp(log_ratio)."""
    distance = anatomy.distances[SPLEEN]
    wanted = np.count_nonzero(distance < 0) * float(np.exp(np.clip(log_ratio, -0.7, 1.6)))
    low, high = -8.0, SPLEEN_GROWTH_MM
    room = (_kept_in(anatomy, np.full_like(distance, -1.0), SPLEEN) < 0) & (liver > 1.0)
    free, grid = distance[room], anatomy.image.grid
    for _ in range(12):
        middle = 0.5 * (low + high)
        # Distances come in steps of whole voxels, shares do not.
        low, high = (middle, high) if _share(free - np.float32(middle), grid).sum() < wanted else (low, middle)
    return np.maximum(distance - np.float32(low), np.maximum(1.0 - liver, np.where(room, -FAR_MM, 3.0)))


def _kept_in(anatomy: RealAnatomy, distance: np.ndarray, label: int) -> np.ndarray:
    """Growth stops at other labeled organs and at the wall of the trunk."""
    others = ~np.isin(anatomy.labels.array, (0, label))
    own = anatomy.labels.array == label
    blocked = (others | (anatomy.body < 14.0)) & ~own
    return np.where(blocked, np.maximum(distance, np.float32(1.0)), distance)


def _relative(examination: Examination, name: str, first: bool) -> float:
    """Signal of the liver over that of the plain liver, or of another tissue over the plain liver's."""
    sequence, tesla = (examination.protocol.t2 if first else examination.protocol.t1), examination.protocol.tesla
    sequence = replace(sequence, fat_suppression=0.92, opposed=False)
    proton, t1, t2, fat, _ = TISSUES["liver"]
    plain = tissue_signal(proton, t1, t2, fat, sequence, tesla)
    state: LiverState = examination.look.state
    if name == "liver":
        longer = 1 + state.t2_prolongation
        t1 = t1 * (1 + 0.8 * state.t2_prolongation)
        return tissue_signal(proton, t1, t2 * longer, state.fat, sequence, tesla, state.iron) / plain
    return tissue_signal(*TISSUES[name][:4], sequence, tesla) / plain


def _compose(
    anatomy: RealAnatomy, shares: dict[int, np.ndarray], examination: Examination, texture: np.ndarray
) -> np.ndarray:
    image = anatomy.emptied.copy()
    liver = float(np.median(anatomy.image.array[anatomy.labels.array == LIVER]))
    for label, share in shares.items():
        if label == ASCITES:
            value = np.float32(liver * min(6.0, _relative(examination, "ascites", True)))
        elif label == LIVER:
            value = anatomy.organs[LIVER] * np.float32(_relative(examination, "liver", True)) * texture
        else:
            value = anatomy.organs[SPLEEN]
        image += share * (value - image)
    return image


def _compose_t1(
    anatomy: RealAnatomy,
    shares: dict[int, np.ndarray],
    examination: Examination,
    texture: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """A T1 image with fat suppression; the plain liver is 1."""
    liver = float(np.median(anatomy.image.array[anatomy.labels.array == LIVER]))
    muscle, fluid = _relative(examination, "muscle", False), _relative(examination, "water", False)
    knots = np.array([0.0, 0.12, 0.45, 1.0, 1.6, 3.0, 8.0])
    values = np.array([0.0, 0.2, muscle, 0.9 * muscle, 0.8 * muscle, 0.5 * (muscle + fluid), fluid])
    values = values * np.exp(rng.normal(0, 0.08, len(values)))

    def darkened(image: np.ndarray) -> np.ndarray:
        return np.interp(image / liver, knots, values).astype(np.float32)

    image = darkened(anatomy.emptied)
    mottled = anatomy.organs[LIVER] / np.float32(liver)
    vessels = np.clip(1.15 - 0.25 * mottled, 0.5, 1.1)  # bright vessels of the T2 are dark
    for label, share in shares.items():
        if label == LIVER:
            value = vessels * np.float32(_relative(examination, "liver", False)) * texture
        else:
            value = np.float32(_relative(examination, "ascites" if label == ASCITES else "spleen", False))
        image += share * (value - image)
    return image


def _sample_t1(
    t1: np.ndarray, labels: np.ndarray, grid: Grid, examination: Examination, rng: np.random.Generator
) -> SimulatedImage:
    """The T1 on a grid of its own, after the breathing shift, shaded and noisy."""
    protocol = examination.protocol
    step = np.array([protocol.pixel_mm[1], protocol.pixel_mm[1], protocol.step_mm[1]])
    corners = grid.corners_ras()
    extent = np.abs(grid.ijk_to_ras[:3, :3] @ np.array(grid.shape[::-1]))
    size = np.maximum(2, np.floor(extent / step)).astype(int)
    matrix = np.diag([-step[0], -step[1], step[2], 1.0])
    matrix[:3, 3] = corners.mean(axis=0) - matrix[:3, :3] @ ((size - 1) / 2)
    target = Grid(tuple(int(n) for n in size[::-1]), matrix)
    moved = grid.ijk_to_ras.copy()
    moved[:3, 3] += protocol.breathing_mm
    image = disturb(resample(t1, moved, target), matrix, protocol, rng)
    truth = resample(labels, moved, target, nearest=True)
    stored = np.clip(np.rint(image * rng.uniform(80, 500)), 0, 32000).astype(np.int16)
    return SimulatedImage(Volume(stored, matrix, "MR"), Volume(truth, matrix, "labels"))
