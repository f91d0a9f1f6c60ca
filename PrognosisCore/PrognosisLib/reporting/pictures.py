"""Pictures for the report: slices with outlines, a 3D view, a montage, curves, and one page with all of them.

Every panel of a figure has the same millimeters per inch in both directions. Figures are made without pyplot, so that
they hold no global state and can be drawn in any thread.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..colors import dash, segment_color
from ..findings import SIMULATED, Curve, Findings, Mask
from ..volume import Volume
from .charts import draw_chart, group_charts
from .panels import (
    AXIAL,
    CORONAL,
    INK,
    LARGE,
    NORMAL,
    SAGITTAL,
    SMALL,
    draw_slice,
    draw_surface,
    field_of_view,
    padded,
    window_note,
    window_of,
)

NOTICE = "Research and teaching, not for clinical use"


def slice_pictures(
    volume: Volume, masks: Sequence[Mask], window: tuple[float, float] | None = (400, 40), width: float = 10.0
) -> Figure:
    """Axial, coronal and sagittal slices with outlines, side by side.

    They cut the first mask that is not empty at its median voxel along each axis, which is always inside it.

    Args:
        masks: outlined in their own colors; thin and dashed where not visible by default.
        window: (width, level) in the image's own unit, or None for the middle 98 % of the image's values.
        width: of the figure, in inches.
    """
    window = window_of(volume, window)
    center, low, high = field_of_view(volume, masks)
    side = high - low
    edge, gap, title, foot = 0.12, 0.15, 0.28, 0.30 + 0.2 * _legend_rows(masks, width)
    scale = (width - 2 * edge - 2 * gap) / (2 * side[0] + side[1])
    tallest = scale * max(side[1], side[2])
    figure = new_figure(width, tallest + title + foot)
    x = edge
    for view in (AXIAL, CORONAL, SAGITTAL):
        size = scale * side[view.horizontal], scale * side[view.vertical]
        axes = place_axes(figure, x, foot + tallest - size[1], *size)
        draw_slice(axes, volume, masks, view, float(center[view.normal]), low, high, window)
        x += size[0] + gap
    footer(figure, masks, window_note(volume, window), edge)
    return figure


def montage(volume: Volume, mask: Mask, window: tuple[float, float] | None = (400, 40), width: float = 10.0) -> Figure:
    """Twelve axial slices evenly through the mask, superior first; through the whole image where it is empty."""
    window = window_of(volume, window)
    columns, rows, edge, gap, title, foot = 4, 3, 0.12, 0.1, 0.26, 0.5
    corners = volume.grid.corners_ras() if mask.is_empty else mask.cropped_grid.corners_ras()
    bottom, top = corners[:, 2].min(), corners[:, 2].max()
    low, high = padded(corners.min(axis=0), corners.max(axis=0), 0.0 if mask.is_empty else 25.0)
    side = high - low
    tile = (width - 2 * edge - (columns - 1) * gap) / columns
    scale = tile / side[0]
    height = scale * side[1]
    figure = new_figure(width, rows * (height + title) + (rows - 1) * gap + foot)
    count = columns * rows
    positions = top - (np.arange(count) + 0.5) * (top - bottom) / count
    for n, position in enumerate(positions):
        row, column = divmod(n, columns)
        y = foot + (rows - 1 - row) * (height + title + gap)
        axes = place_axes(figure, edge + column * (tile + gap), y, tile, height)
        draw_slice(axes, volume, [mask], AXIAL, float(position), low, high, window, named=False)
    footer(figure, [mask], window_note(volume, window), edge)
    return figure


def surface_figure(masks: Sequence[Mask], inches: float = 3.6) -> Figure:
    """3D view from anterior-left with orientation letters."""
    figure = new_figure(inches, inches + 0.28)
    draw_surface(place_axes(figure, 0, 0, inches, inches), masks)
    return figure


def surface_picture(masks: Sequence[Mask], inches: float = 3.6, dpi: int = 150) -> np.ndarray:
    """`surface_figure` as uint8 (row, column, RGB), row 0 at the top."""
    return to_image(surface_figure(masks, inches), dpi)


def survival_picture(curves: Sequence[Curve], width: float = 7.0) -> Figure:
    """Curves with their bands, one panel for each chart; says "simulated cohort" where a curve is simulated."""
    charts = group_charts(curves)
    figure = Figure(figsize=(width, 4.4 * max(1, len(charts))), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    parts = figure.subfigures(max(1, len(charts)), 1, squeeze=False)[:, 0]
    for part, chart in zip(parts, charts, strict=False):
        handles = draw_chart(part.subplots(), chart)
        legend = part.legend(handles=handles, loc="outside lower left", fontsize=SMALL, frameon=False, ncols=1)
        for text in legend.get_texts():
            text.set_parse_math(False)
    return figure


def overview(
    volume: Volume, findings: Findings, window: tuple[float, float] | None = (400, 40), title: str = ""
) -> Figure:
    """One A4 page: three slices, the 3D view, and the first chart of the findings."""
    page, edge, gap, head, band, foot = (8.27, 11.69), 0.45, 0.2, 0.85, 0.28, 0.95
    window = window_of(volume, window)
    charts = group_charts(findings.curves)
    chart_height = 3.1 if charts else 0.0
    center, low, high = field_of_view(volume, findings.masks)
    side = high - low
    room = page[1] - head - 2 * band - foot - chart_height - gap
    scale = min((page[0] - 2 * edge - gap) / (side[0] + side[1]), room / (side[1] + side[2]))
    left = (page[0] - gap - scale * (side[0] + side[1])) / 2.0
    figure = new_figure(*page)
    _heading(figure, title or findings.system, page, edge, findings.is_simulated)
    top = page[1] - head - band
    bottom = top - scale * side[1] - band - scale * side[2]
    right = left + scale * side[0] + gap
    places = {AXIAL: (left, top - scale * side[1]), CORONAL: (left, bottom), SAGITTAL: (right, bottom)}
    for view, place in places.items():
        axes = place_axes(figure, *place, scale * side[view.horizontal], scale * side[view.vertical])
        draw_slice(axes, volume, findings.masks, view, float(center[view.normal]), low, high, window)
    square = scale * side[1]
    draw_surface(place_axes(figure, right, top - square, square, square), findings.masks)
    footer(figure, findings.masks, window_note(volume, window), edge, bottom - 0.1)
    if charts:
        _chart_panel(figure, charts[0], page, edge)
    return figure


def to_image(figure: Figure, dpi: int = 150) -> np.ndarray:
    """The figure as uint8 (row, column, RGB)."""
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def new_figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def place_axes(figure: Figure, x: float, y: float, width: float, height: float) -> Axes:
    """Axes placed in inches."""
    w, h = figure.get_size_inches()
    return figure.add_axes((x / w, y / h, width / w, height / h))


def _legend_rows(masks: Sequence[Mask], width: float) -> int:
    return -(-len(masks) // _legend_columns(masks, width))


def _legend_columns(masks: Sequence[Mask], width: float) -> int:
    """As many as fit, at a generous 0.085 inch for each letter of the longest name."""
    longest = max((len(mask.name) for mask in masks), default=1)
    return max(1, min(len(masks), int((width - 0.5) / (0.55 + 0.085 * longest))))


def footer(figure: Figure, masks: Sequence[Mask], note: str, edge: float, top: float | None = None) -> None:
    """Which color is which segment, and the note; they hang from `top` inches or stand at the lower edge."""
    width, height = figure.get_size_inches()
    rows = _legend_rows(masks, width)
    base = 0.08 if top is None else top - 0.3 - 0.2 * rows
    figure.text(edge / width, base / height, note, fontsize=SMALL, color=INK, va="bottom")
    if not masks:
        return
    handles = [
        Line2D([], [], color=segment_color(mask.name), linewidth=3 if mask.visible else 1.8, linestyle=dash(index))
        for index, mask in enumerate(masks)
    ]
    legend = figure.legend(
        handles,
        [mask.name.lstrip("_") for mask in masks],
        loc="lower left",
        bbox_to_anchor=((edge + 0.04) / width, (base + 0.19) / height),
        ncols=_legend_columns(masks, width),
        fontsize=SMALL,
        frameon=False,
        borderpad=0.0,
        borderaxespad=0.0,
        labelcolor=INK,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def _heading(figure: Figure, title: str, page: tuple[float, float], edge: float, simulated: bool) -> None:
    notice = f"{NOTICE}; estimates from a {SIMULATED}" if simulated else NOTICE
    for text, y, size, weight in (
        (textwrap.shorten(title, 64), 0.45, LARGE, "bold"),
        (notice + ".", 0.68, NORMAL, "normal"),
    ):
        figure.text(
            edge / page[0],
            1 - y / page[1],
            text,
            fontsize=size,
            fontweight=weight,
            color=INK,
            va="baseline",
            parse_math=False,
        )


def _chart_panel(figure: Figure, chart: Sequence[Curve], page: tuple[float, float], edge: float) -> None:
    axes = place_axes(figure, edge + 0.6, 0.75, 4.2, 2.0)
    handles = draw_chart(axes, chart, wrap=28)
    legend = axes.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(1.02, 1.0), fontsize=SMALL, frameon=False, borderaxespad=0.0
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
