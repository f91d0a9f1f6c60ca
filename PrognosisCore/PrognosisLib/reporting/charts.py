"""Line charts of curves: survival steps with bands, the patient's own curve in bold."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ..colors import BLACK, BLUE, GREEN, PURPLE, VERMILION, dash
from ..findings import SIMULATED, Curve

SMALL, NORMAL, TITLE = 8, 9, 11  # points
INK = "#1a1a1a"
PALETTE = (BLUE, VERMILION, GREEN, PURPLE)


def group_charts(curves: Iterable[Curve]) -> list[list[Curve]]:
    """Curves of the same chart together, in the order given."""
    charts: dict[str, list[Curve]] = {}
    for curve in curves:
        charts.setdefault(curve.chart, []).append(curve)
    return list(charts.values())


def draw_chart(axes: Axes, curves: Sequence[Curve], wrap: int = 80) -> list[Line2D]:
    """Draw the curves of one chart; gives the handles for a legend, labels wrapped at `wrap` letters.

    A simulated curve is named so in the legend, and the title says "simulated cohort".
    """
    handles = []
    others = 0
    for curve in curves:
        color, pattern = (BLACK, "-") if curve.emphasized else (PALETTE[others % len(PALETTE)], dash(others))
        others += not curve.emphasized
        x, y = np.asarray(curve.x, dtype=float), np.asarray(curve.y, dtype=float)
        draw = "steps-post" if curve.step else "default"
        look = {"color": color, "linestyle": pattern, "linewidth": 2.8 if curve.emphasized else 1.6}
        axes.plot(x, y, drawstyle=draw, zorder=4 if curve.emphasized else 3, **look)
        if curve.lower is not None and curve.upper is not None:
            step = "post" if curve.step else None
            axes.fill_between(x, curve.lower, curve.upper, step=step, color=color, alpha=0.15, linewidth=0)
        # Matplotlib leaves names that start with an underscore out of a legend.
        handles.append(Line2D([], [], label=textwrap.fill(_name(curve), wrap).lstrip("_"), **look))
    _dress(axes, curves, wrap)
    return handles


def _name(curve: Curve) -> str:
    if curve.simulated and SIMULATED not in curve.name:
        return f"{curve.name} ({SIMULATED})"
    return curve.name


def _dress(axes: Axes, curves: Sequence[Curve], wrap: int) -> None:
    title = curves[0].chart
    if any(curve.simulated for curve in curves) and SIMULATED not in title:
        title = f"{title} ({SIMULATED})"
    axes.set_title(textwrap.fill(title, max(wrap, 50) - 10), fontsize=TITLE, color=INK, loc="left", parse_math=False)
    axes.set_xlabel(curves[0].x_label, fontsize=NORMAL, color=INK, parse_math=False)
    axes.set_ylabel(curves[0].y_label, fontsize=NORMAL, color=INK, parse_math=False)
    axes.tick_params(labelsize=SMALL, colors=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.margins(x=0)
    values = np.concatenate([np.ravel(part) for c in curves for part in (c.y, c.lower, c.upper) if part is not None])
    highest, lowest = np.nanmax(values, initial=0.0), np.nanmin(values, initial=0.0)
    if lowest >= 0:
        whole = next((full for full in (1.0, 100.0) if 0.3 * full <= highest <= full), highest or 1.0)
        axes.set_ylim(0.0, 1.02 * whole)
