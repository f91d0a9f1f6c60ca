"""A heat map over the scan: a row of axial slices where it is strongest, with a color bar."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from ..findings import HeatMap, Mask
from ..volume import Volume
from .panels import AXIAL, INK, SMALL, draw_slice, field_of_view, plane_grid, sample, window_note, window_of

# As in the scene: below this the scan alone is seen.
THRESHOLD = 0.1
OPACITY = 0.5
COLORS = "inferno"
COLUMNS = 4


def heat_map_picture(
    volume: Volume,
    heat_map: HeatMap,
    masks: Sequence[Mask] = (),
    window: tuple[float, float] | None = (400, 40),
    width: float = 10.0,
) -> Figure:
    """Up to four axial slices with the heat map half transparent over them, superior first.

    Args:
        masks: outlined in their own colors.
        window: (width, level) in the image's own unit, or None for the middle 98 % of the image's values.
        width: of the figure, in inches.
    """
    window = window_of(volume, window)
    _center, low, high = field_of_view(volume, masks)
    positions = strongest_slices(heat_map)
    edge, gap, title, foot = 0.12, 0.1, 0.26, 0.82
    tile = (width - 2 * edge - (COLUMNS - 1) * gap) / COLUMNS
    height = tile * (high[1] - low[1]) / (high[0] - low[0])
    size = width, height + title + foot
    figure = Figure(figsize=size, facecolor="white")
    FigureCanvasAgg(figure)
    for column, position in enumerate(positions):
        left = edge + column * (tile + gap)
        axes = figure.add_axes((left / size[0], foot / size[1], tile / size[0], height / size[1]))
        draw_slice(axes, volume, masks, AXIAL, position, low, high, window, named=False)
        draw_heat(axes, heat_map, position, low, high)
    color_bar(figure, heat_map.name, edge)
    figure.text(edge / size[0], 0.08 / size[1], window_note(volume, window), fontsize=SMALL, color=INK, va="bottom")
    return figure


def color_bar(figure: Figure, name: str, edge: float) -> None:
    """At the lower left, over the note about the window, with words beside it."""
    width, height = figure.get_size_inches()
    bar = figure.add_axes(((edge + 0.05) / width, 0.58 / height, 2.0 / width, 0.13 / height))
    scale = figure.colorbar(ScalarMappable(Normalize(0.0, 1.0), COLORS), bar, orientation="horizontal")
    scale.set_ticks([0.0, 0.5, 1.0], labels=["0", "0.5", "1"])
    bar.tick_params(labelsize=SMALL, colors=INK, length=2, pad=1)
    bar.axvspan(0.0, THRESHOLD, color="white")
    room = int((width - 2.5) / 0.075)
    words = textwrap.fill(f"{name}: 0 nothing, 1 most; below {THRESHOLD:g} not colored", room, max_lines=2)
    beside = (edge + 2.25) / width, 0.645 / height
    figure.text(*beside, words, fontsize=SMALL, color=INK, va="center", parse_math=False)


def draw_heat(axes: Axes, heat_map: HeatMap, position: float, low: np.ndarray, high: np.ndarray) -> None:
    """The heat map's axial plane at `position` over the box, under the outlines; nothing below the threshold."""
    step = max(0.5 * float(heat_map.grid.spacing.min()), float((high - low).max()) / 640.0)
    target = plane_grid(AXIAL, position, low, high, step)
    plane = sample(np.asarray(heat_map.array, dtype=np.float32), heat_map.grid, target, 0.0)[0]
    ends = target.corners_ras()
    extent = (ends[:, 0].min(), ends[:, 0].max(), ends[:, 1].min(), ends[:, 1].max())
    hot = np.ma.masked_less(plane, THRESHOLD)
    limits = axes.get_xlim(), axes.get_ylim()
    axes.imshow(hot, COLORS, origin="lower", extent=extent, vmin=0.0, vmax=1.0, alpha=OPACITY, zorder=1.5)
    axes.set(xlim=limits[0], ylim=limits[1])


def strongest_slices(heat_map: HeatMap) -> list[float]:
    """S of at most four slices through voxel centers, superior first: the strongest one, and spread over the heat.

    A heat map that is nowhere above the threshold is shown at its middle.
    """
    array, matrix = np.asarray(heat_map.array), heat_map.grid.ijk_to_ras
    kji = np.argwhere(array >= THRESHOLD)
    if not len(kji):
        return [float(heat_map.grid.corners_ras()[:, 2].mean())]
    levels, of = np.unique(np.round(kji[:, ::-1] @ matrix[2, :3] + matrix[2, 3], 2), return_inverse=True)
    heat = np.bincount(of.reshape(-1), array[tuple(kji.T)])
    share = np.cumsum(heat) / heat.sum()
    spread = np.searchsorted(share, (np.arange(COLUMNS) + 0.5) / COLUMNS)
    wanted = dict.fromkeys([int(heat.argmax()), *spread.tolist(), *np.argsort(-heat).tolist()])
    return sorted((float(levels[index]) for index in list(wanted)[:COLUMNS]), reverse=True)
