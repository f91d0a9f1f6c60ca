"""Contact sheets of a cine for the report: a few frames with outlines, and the same frames with each heat map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from ..findings import HeatMap, Mask
from .cine_view import CineView, frame_words
from .heat_maps import color_bar
from .panels import INK, NORMAL, SMALL, draw_scale_bar
from .pictures import footer, new_figure, place_axes

TILES, COLUMNS = 6, 3


def shown_frames(view: CineView, masks: Sequence[Mask], count: int = TILES) -> list[int]:
    """Numbers of up to `count` frames, evenly from those that show the first mask; from all where none does."""
    numbers = np.arange(len(view.cine))
    main = next((mask for mask in masks if not mask.is_empty), None)
    if main is not None:
        numbers = main.start[0] + np.flatnonzero(main.array.any(axis=(1, 2)))
    places = (np.arange(count) + 0.5) / count * len(numbers)
    return sorted({int(numbers[int(place)]) for place in places})


def contact_sheet(
    view: CineView, masks: Sequence[Mask] = (), heat_map: HeatMap | None = None, width: float = 10.0
) -> Figure:
    """Six frames in the order of time, with outlines, and with the heat map where one is given.

    Args:
        width: of the figure, in inches.
    """
    numbers = shown_frames(view, masks)
    columns = min(COLUMNS, len(numbers))
    rows = -(-len(numbers) // columns)
    edge, gap, title = 0.12, 0.1, 0.26
    foot = 0.82 if heat_map is not None else 0.55
    tile = (width - 2 * edge - (COLUMNS - 1) * gap) / COLUMNS
    height = tile * view.size[0] / view.size[1]
    figure = new_figure(width, rows * (height + title) + (rows - 1) * gap + foot)
    for place, number in enumerate(numbers):
        row, column = divmod(place, columns)
        y = foot + (rows - 1 - row) * (height + title + gap)
        axes = place_axes(figure, edge + column * (tile + gap), y, tile, height)
        axes.imshow(view.drawn(number, view.cine.frame(number), masks, heat_map), aspect="auto")
        axes.set(xticks=[], yticks=[])
        axes.set_title(frame_words(view.cine, number), fontsize=NORMAL, color=INK, pad=3)
        if view.width_mm is not None:
            draw_scale_bar(axes, view.width_mm)
    if heat_map is not None:
        color_bar(figure, heat_map.name, edge)
    _note(figure, view, edge)
    if heat_map is None:
        footer(figure, [mask for mask in masks if mask.visible], "", edge)
    return figure


@dataclass(frozen=True)
class Side:
    """One of several images that are shown beside each other: its name, its film, and what is drawn on it."""

    title: str
    view: CineView
    masks: Sequence[Mask]
    heat_map: HeatMap | None = None


def side_by_side(sides: Sequence[Side], width: float = 10.0) -> Figure:
    """One frame of each image, of a film one that shows its mask, with outlines, and with its heat map if it has one.

    Args:
        width: of the figure, in inches.
    """
    hot = [side.heat_map for side in sides if side.heat_map is not None]
    edge, gap, title, foot = 0.12, 0.15, 0.26, 0.82 if hot else 0.55
    tile = (width - 2 * edge - (len(sides) - 1) * gap) / len(sides)
    heights = [tile * side.view.size[0] / side.view.size[1] for side in sides]
    figure = new_figure(width, max(heights) + title + foot)
    for column, (side, height) in enumerate(zip(sides, heights, strict=True)):
        view, number = side.view, shown_frames(side.view, side.masks, 1)[0]
        axes = place_axes(figure, edge + column * (tile + gap), foot + max(heights) - height, tile, height)
        axes.imshow(view.drawn(number, view.cine.frame(number), side.masks, side.heat_map), aspect="auto")
        axes.set(xticks=[], yticks=[])
        words = f"{side.title}: {frame_words(view.cine, number)}" if len(view.cine) > 1 else side.title
        axes.set_title(words, fontsize=NORMAL, color=INK, pad=3)
        if view.width_mm is not None:
            draw_scale_bar(axes, view.width_mm)
    if hot:
        color_bar(figure, " and ".join(one.name for one in hot), edge)
    else:
        footer(figure, [mask for side in sides for mask in side.masks if mask.visible], "", edge)
    figure_height = figure.get_size_inches()[1]
    text = "Outside the ultrasound images all is black."
    figure.text(edge / width, 0.08 / figure_height, text, fontsize=SMALL, color=INK, va="bottom")
    return figure


def _note(figure: Figure, view: CineView, edge: float) -> None:
    """How much of the cine this is; what lies outside the sector is not shown."""
    cine = view.cine
    film = f"{len(cine)} frames over {cine.times_s[-1]:.1f} s; o" if len(cine) > 1 else "O"
    size = "" if cine.pixel_mm is not None else " The size of a pixel is not known."
    width, height = figure.get_size_inches()
    text = f"{film}utside the ultrasound image all is black.{size}"
    figure.text(edge / width, 0.08 / height, text, fontsize=SMALL, color=INK, va="bottom", parse_math=False)
