"""One panel of a picture: a RAS-aligned slice with outlines, or the 3D view, with letters and a scale bar.

Radiological convention: patient right (and, in sagittal slices, anterior) on the viewer's left, superior or anterior
up. A slice is sampled on its plane through the IJK-to-RAS matrix, so any geometry is shown without distortion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib.patheffects as effects
import numpy as np
from matplotlib.axes import Axes

from ..colors import dash, segment_color
from ..findings import Mask
from ..volume import Grid, Volume, ras_grid, resample
from .surface import SurfaceView, render

SMALL, NORMAL, LARGE = 8, 9, 13  # points
INK = "#1a1a1a"
MAX_FIELD_MM = 520.0
MIN_SIDE = 0.45  # shortest side of a panel, as part of the longest: room for the letters
LETTERS = (("R", "L"), ("A", "P"), ("S", "I"))  # positive and negative end of each RAS axis
HALO = (effects.withStroke(linewidth=2.0, foreground="black"),)


@dataclass(frozen=True)
class View:
    """A RAS-aligned plane: its name and which RAS axis (0 R, 1 A, 2 S) is normal, horizontal and vertical."""

    name: str
    normal: int
    horizontal: int
    vertical: int


AXIAL, CORONAL, SAGITTAL = View("Axial", 2, 0, 1), View("Coronal", 1, 0, 2), View("Sagittal", 0, 1, 2)


def window_of(volume: Volume, window: tuple[float, float] | None) -> tuple[float, float]:
    if window is not None:
        return float(window[0]), float(window[1])
    step = [max(1, n // 64) for n in volume.array.shape]
    values = volume.array[:: step[0], :: step[1], :: step[2]]
    low, high = np.nanpercentile(values.astype(float), (1, 99))
    return max(float(high - low), 1e-6), float(high + low) / 2.0


def window_note(volume: Volume, window: tuple[float, float]) -> str:
    unit = " HU" if volume.modality == "CT" else ""
    return f"Window {window[0]:.4g}{unit}, level {window[1]:.4g}{unit}. Patient right is on the viewer's left."


def field_of_view(volume: Volume, masks: Sequence[Mask]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where to cut, and the lower and upper end of the RAS box to show, each (3,) in mm.

    The box is the whole image, but no longer than MAX_FIELD_MM, and no taller than wide unless the mask is.
    """
    corners = volume.grid.corners_ras()
    low, high = corners.min(axis=0), corners.max(axis=0)
    center = (low + high) / 2.0
    least = np.zeros(3)
    main = next((mask for mask in masks if not mask.is_empty), None)
    if main is not None:
        points = main.cropped_grid.to_ras(np.argwhere(main.array))
        center = np.quantile(points, 0.5, axis=0, method="nearest")
        # twice the longer half, so that the box around the cutting point holds the mask
        least = 2.0 * np.maximum(points.max(axis=0) - center, center - points.min(axis=0)) + 20.0
    side = np.minimum(high - low, MAX_FIELD_MM)
    side[2] = min(side[2], max(side[0], side[1]))
    side = np.minimum(np.maximum(side, least), high - low)
    start = np.clip(center - side / 2.0, low, high - side)
    return (center, *padded(start, start + side, 0.0))


def padded(low: np.ndarray, high: np.ndarray, margin: float) -> tuple[np.ndarray, np.ndarray]:
    """A box widened by the margin, no side shorter than MIN_SIDE of the longest."""
    side = high - low + 2 * margin
    side = np.maximum(side, MIN_SIDE * side.max())
    middle = (low + high) / 2.0
    return middle - side / 2.0, middle + side / 2.0


def plane_grid(view: View, position: float, low: np.ndarray, high: np.ndarray, step: float) -> Grid:
    """A lattice one voxel thick at `position` (mm along the normal) over the box from `low` to `high`."""
    low, high = low.copy(), high.copy()
    low[view.normal], high[view.normal] = position - step / 2.0, position + step / 2.0
    return ras_grid(np.stack([low, high]), step)


def draw_slice(
    axes: Axes,
    volume: Volume,
    masks: Sequence[Mask],
    view: View,
    position: float,
    low: np.ndarray,
    high: np.ndarray,
    window: tuple[float, float],
    named: bool = True,
) -> None:
    across, up = view.horizontal, view.vertical
    step = max(0.5 * float(volume.grid.spacing.min()), float((high - low).max()) / 640.0)
    target = plane_grid(view, position, low, high, step)
    darkest = window[1] - window[0] / 2.0
    plane = sample(volume.array, volume.grid, target, darkest).squeeze(2 - view.normal)
    ends = target.corners_ras()
    extent = (ends[:, across].min(), ends[:, across].max(), ends[:, up].min(), ends[:, up].max())
    axes.imshow(plane, "gray", origin="lower", extent=extent, vmin=darkest, vmax=darkest + window[0])
    for index, mask in enumerate(masks):
        if mask.is_empty:
            continue
        inside = sample(mask.array, mask.cropped_grid, target, 0.0).squeeze(2 - view.normal)
        if inside.max() <= 0.5:
            continue
        x, y = (
            np.linspace(a + step / 2, b - step / 2, n)
            for a, b, n in zip(extent[::2], extent[1::2], inside.shape[::-1], strict=True)
        )
        lines = axes.contour(x, y, inside, levels=[0.5], colors=[segment_color(mask.name)])
        width = 2.0 if mask.visible and mask.solid else 1.2
        lines.set(linewidth=width, linestyle=dash(index))
        # a dark rim, so that no color is lost on tissue of its own brightness
        lines.set_path_effects([effects.withStroke(linewidth=width + 1.2, foreground="#00000099")])
    axes.set(xlim=(high[across], low[across]), ylim=(low[up], high[up]), facecolor="black", xticks=[], yticks=[])
    draw_letters(axes, view)
    draw_scale_bar(axes, float(high[across] - low[across]))
    letter = LETTERS[view.normal][0 if position >= 0 else 1]
    place = f"{letter} {abs(position):.1f} mm"
    axes.set_title(f"{view.name}, {place}" if named else place, fontsize=NORMAL, color=INK, pad=3)


def sample(array: np.ndarray, grid: Grid, target: Grid, fill: float) -> np.ndarray:
    """As resample, but of the part of the image that the plane meets."""
    box = grid.box_around(target)
    if box is None:
        return np.full(target.shape, fill, dtype=np.float32)
    return resample(array[box], grid.sub_grid(box).ijk_to_ras, target, fill)


def draw_letters(axes: Axes, view: View) -> None:
    left, right = LETTERS[view.horizontal]
    top, bottom = LETTERS[view.vertical]
    inset = 6.0  # points
    for letter, x, y, dx, dy in (
        (left, 0, 0.5, 1, 0),
        (right, 1, 0.5, -1, 0),
        (top, 0.5, 1, 0, -1),
        (bottom, 0.5, 0, 0, 1),
    ):
        axes.annotate(
            letter,
            (x, y),
            (dx * inset, dy * inset),
            xycoords="axes fraction",
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=NORMAL,
            fontweight="bold",
            color="white",
            path_effects=HALO,
        )


def draw_scale_bar(axes: Axes, width_mm: float, color: str = "white", halo: tuple = HALO) -> None:
    """A bar of a round length near a fifth of the panel, in the lower left corner."""
    lengths = np.outer(10.0 ** np.arange(-1, 4), (1, 2, 5)).ravel()
    length = float(lengths[lengths <= 0.3 * width_mm].max(initial=lengths[0]))
    bar = axes.plot([0.04, 0.04 + length / width_mm], [0.04, 0.04], transform=axes.transAxes, color=color, linewidth=2)
    text = axes.annotate(
        f"{length:g} mm",
        (0.04, 0.04),
        (0, 3),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=SMALL,
        color=color,
        ha="left",
        va="bottom",
    )
    if halo:
        text.set_path_effects(halo)
        bar[0].set_path_effects([effects.withStroke(linewidth=3.5, foreground="black")])
    bar[0].set_clip_on(False)


def draw_surface(axes: Axes, masks: Sequence[Mask]) -> None:
    """The 3D view in a square panel, letters where the patient's axes leave it."""
    axes.set(xticks=[], yticks=[])
    axes.set_axis_off()
    axes.set_title("3D from anterior-left", fontsize=NORMAL, color=INK, pad=3)
    view = render(masks)
    if view is None:
        axes.text(
            0.5, 0.5, "No segment", ha="center", va="center", fontsize=NORMAL, color=INK, transform=axes.transAxes
        )
        return
    half = view.half_width
    axes.imshow(view.image, origin="lower", extent=(-half, half, -half, half), interpolation="hanning")
    axes.set(xlim=(-half, half), ylim=(-half, half))
    for place, letter in surface_letters(view):
        axes.text(
            *(place * half), letter, ha="center", va="center", fontsize=NORMAL, fontweight="bold", color="#444444"
        )
    draw_scale_bar(axes, 2 * half, color=INK, halo=())


def surface_letters(view: SurfaceView) -> list[tuple[np.ndarray, str]]:
    """Place of each letter in the panel, -1..1 to the right and up."""
    found = []
    for axis, (positive, negative) in enumerate(LETTERS):
        across = view.viewpoint.axes[:2, axis]
        place = 0.9 * across / np.abs(across).max()
        found += [(place, positive), (-place, negative)]
    return found
