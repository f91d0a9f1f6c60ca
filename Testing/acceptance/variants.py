"""A labeled scan as other scanners would give it: the same patient on other lattices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from PrognosisLib.volume import Grid, Volume, resample

Pair = tuple[Volume, Volume]


def on_grid(pair: Pair, grid: Grid, fill: float = -1000.0) -> Pair:
    image, labels = pair
    hu = np.round(resample(image.array, image.ijk_to_ras, grid, fill)).astype(np.int16)
    truth = resample(labels.array, labels.ijk_to_ras, grid, nearest=True)
    return replace(image, array=hu, ijk_to_ras=grid.ijk_to_ras), Volume(truth, grid.ijk_to_ras, "labels")


def slices_of(pair: Pair, distance: float, fill: float = -1000.0) -> Pair:
    """The same scan with slices `distance` mm apart: averaged where thicker, interpolated where thinner."""
    image = pair[0]
    step = image.grid.slice_distance
    count = max(8, int(image.array.shape[0] * step / distance))
    matrix = image.ijk_to_ras.copy()
    matrix[:3, 3] += matrix[:3, 2] * (0.5 * distance / step - 0.5)
    matrix[:3, 2] *= distance / step
    parts = max(1, round(distance / 2.0))
    total: np.ndarray | None = None
    for part in range(parts):
        shifted = matrix.copy()
        shifted[:3, 3] += matrix[:3, 2] * ((part + 0.5) / parts - 0.5)
        hu = resample(image.array, image.ijk_to_ras, Grid((count, *image.array.shape[1:]), shifted), fill)
        total = hu if total is None else total + hu
    _, truth = on_grid(pair, Grid((count, *image.array.shape[1:]), matrix), fill)
    return replace(image, array=np.round(total / parts).astype(np.int16), ijk_to_ras=matrix), truth


def upside_down(pair: Pair) -> Pair:
    """Slices stored from head to feet."""
    image, labels = pair
    matrix = image.ijk_to_ras.copy()
    matrix[:3, 3] += matrix[:3, 2] * (image.array.shape[0] - 1)
    matrix[:3, 2] *= -1
    turned = replace(image, array=np.ascontiguousarray(image.array[::-1]), ijk_to_ras=matrix)
    return turned, Volume(np.ascontiguousarray(labels.array[::-1]), matrix, "labels")


def finer(pair: Pair, factor: int, fill: float = -1000.0) -> Pair:
    """Pixels a whole number of times smaller, the same field of view."""
    image = pair[0]
    k, j, i = image.array.shape
    matrix = image.ijk_to_ras.copy()
    matrix[:3, :2] /= factor
    matrix[:3, 3] -= matrix[:3, :2].sum(axis=1) * (factor - 1) / 2.0
    return on_grid(pair, Grid((k, j * factor, i * factor), matrix), fill)


def tilted(pair: Pair, degrees: float, fill: float = -1000.0) -> Pair:
    """Slices turned about the patient's R-L axis and stacked along the old direction, as a tilted gantry does."""
    image = pair[0]
    matrix = image.ijk_to_ras.copy()
    angle = np.radians(degrees)
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    middle = (np.array(image.array.shape[::-1]) - 1) / 2.0
    center = matrix[:3, :3] @ middle + matrix[:3, 3]
    matrix[:3, :2] = turn @ matrix[:3, :2]
    matrix[:3, 3] = center - matrix[:3, :3] @ middle
    return on_grid(pair, Grid(image.array.shape, matrix), fill)
