"""The figures of a validation report: ROC, calibration, decision and survival curves, agreement, spread; and learning
curves.

Drawn without pyplot. Curves differ in dashes as well as in color.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..colors import BLACK, BLUE, GREEN, ORANGE, PURPLE, SKY_BLUE, VERMILION, dash
from ..evaluation.agreement import Agreement
from ..evaluation.calibration import CalibrationGroup
from ..evaluation.decision import NetBenefit
from ..evaluation.discrimination import Roc
from ..evaluation.survival import SurvivalCurve, at_risk
from ..reporting.charts import INK, NORMAL, SMALL, TITLE

PALETTE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY_BLUE, BLACK)
GRAY, PALE = "#8b929a", "#dddddd"
WIDTH = 7.0  # inches
DPI = 180
WRAP = 46  # letters of a legend's line
MOST_POINTS = 3000  # drawn in a scatter


def as_files(figure: Figure) -> dict[str, bytes]:
    """The figure as "svg" and "png"; equal figures give equal bytes."""
    figure.draw_without_rendering()  # lays everything out once for both
    figure.set_layout_engine("none")
    found = {}
    with rc_context({"svg.hashsalt": "prognosis", "svg.fonttype": "path"}):
        for kind in ("svg", "png"):
            file = io.BytesIO()
            metadata = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
            figure.savefig(file, format=kind, dpi=DPI, facecolor="white", metadata=metadata)
            found[kind] = file.getvalue()
    return found


def roc_figure(curves: Sequence[tuple[str, Roc]], title: str) -> Figure:
    """ROC curves of scores with their labels."""
    figure, axes = _figure(0.78 * WIDTH, 5.4 + 0.2 * len(curves))
    axes.plot([0, 1], [0, 1], color=GRAY, linewidth=0.8, linestyle=":")
    for number, (label, curve) in enumerate(curves):
        look = {**_look(number), "linewidth": 1.8, "zorder": 3}
        axes.plot(curve.false_positives, curve.sensitivity, label=_wrapped(label, 90), **look)
    _dress(axes, "1 − specificity", "Sensitivity")
    _headline(figure, title, 58)
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    _legend(figure, axes, columns=1)
    return figure


def calibration_figure(
    panels: Sequence[tuple[str, Sequence[CalibrationGroup], tuple[np.ndarray, np.ndarray] | None, np.ndarray]],
    title: str,
) -> Figure:
    """Observed against predicted: groups with intervals, the smoothed curve, and how the predictions are spread.

    Args:
        panels: of each score its label, groups, smoothed curve (None for none) and predictions (n,).
    """
    columns = min(2, len(panels))
    lines = -(-len(panels) // columns)
    width = WIDTH if columns > 1 else 0.66 * WIDTH
    figure = Figure(figsize=(width, 0.5 + 4.1 * lines), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2 * lines, columns, height_ratios=[4, 1] * lines)
    for number, (label, groups, smooth, predicted) in enumerate(panels):
        row, column = divmod(number, columns)
        axes = figure.add_subplot(grid[2 * row, column])
        axes.plot([0, 1], [0, 1], color=GRAY, linewidth=0.8, linestyle=":")
        if smooth is not None:
            axes.plot(*smooth, color=VERMILION, linewidth=1.6)
        x = np.array([one.expected for one in groups])
        y, low, high = np.array([one.observed for one in groups]).T
        axes.errorbar(x, y, [y - low, high - y], fmt="o", color=BLUE, markersize=3.5, linewidth=1, zorder=3)
        _dress(axes, "", "Observed share" if column == 0 else "")
        axes.set_title(_wrapped(label, 44), fontsize=NORMAL, color=INK, loc="left", parse_math=False)
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        below = figure.add_subplot(grid[2 * row + 1, column], sharex=axes)
        below.hist(predicted, bins=np.linspace(0, 1, 41), color=GRAY)
        _dress(below, "Predicted probability", "Patients" if column == 0 else "")
    _headline(figure, title, 78 if columns > 1 else 50)
    return figure


def decision_figure(curves: Sequence[tuple[str, NetBenefit]], title: str) -> Figure:
    """Net benefit of each score, of treating everybody and of treating nobody."""
    figure, axes = _figure(WIDTH, 4.6)
    thresholds = 100 * curves[0][1].thresholds
    axes.plot(thresholds, curves[0][1].treat_all, color=GRAY, linewidth=1.2, label="Treat everybody")
    axes.axhline(0, color=BLACK, linewidth=0.8, label="Treat nobody")
    for number, (label, curve) in enumerate(curves):
        axes.plot(thresholds, curve.model, label=_wrapped(label), linewidth=1.8, **_look(number), zorder=3)
    best = max(float(np.nanmax(curve.model)) for _, curve in curves)
    best = max(best, float(curves[0][1].treat_all[0]), 0.01)
    axes.set(xlim=(thresholds[0], thresholds[-1]), ylim=(-0.25 * best, 1.1 * best))
    _dress(axes, "Threshold probability (%)", "Net benefit")
    _headline(figure, title)
    _legend(figure, axes)
    return figure


class Group(NamedTuple):
    """Patients of one survival curve: their name, the curve, follow-up times (n,), and how many had the event."""

    name: str
    curve: SurvivalCurve
    times: np.ndarray
    events: int


def survival_figure(groups: Sequence[Group], title: str, time_label: str, note: str = "") -> Figure:
    """Kaplan-Meier curves with 95 % bands, and the patients at risk below; `note` stands inside the plot."""
    figure = Figure(figsize=(WIDTH, 4.8 + 0.22 * len(groups)), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes, table = figure.subplots(2, 1, sharex=True, height_ratios=[16, 1 + len(groups)])
    last = max(float(group.times.max()) for group in groups)
    for number, (name, curve, times, events) in enumerate(groups):
        look, label = _look(number), f"{name}, n = {len(times)}, {events} events"
        axes.step(curve.times, curve.survival, where="post", label=_wrapped(label), linewidth=1.8, **look, zorder=3)
        axes.fill_between(
            curve.times, curve.lower, curve.upper, step="post", color=look["color"], alpha=0.15, linewidth=0
        )
    _dress(axes, time_label, "Survival")
    _headline(figure, title)
    axes.set(xlim=(0, last), ylim=(0, 1.02))
    if note:
        axes.text(0.02, 0.04, note, transform=axes.transAxes, fontsize=SMALL, color=INK, parse_math=False)
    _risk_table(axes, table, groups, last)
    _legend(figure, axes)
    return figure


def _risk_table(axes: Axes, table: Axes, groups: Sequence[Group], last: float) -> None:
    """How many patients of each group are still followed, below the ticks of the curves."""
    ticks = [float(tick) for tick in axes.get_xticks() if 0 <= tick <= last]
    for number, group in enumerate(groups):
        color = PALETTE[number % len(PALETTE)]
        for tick, count in zip(ticks, at_risk(group.times, ticks), strict=True):
            table.text(tick, -number, str(count), ha="center", va="center", fontsize=SMALL, color=color)
    table.set_ylim(-len(groups) + 0.4, 0.6)
    table.set_yticks([-n for n in range(len(groups))], [_wrapped(group.name, 22) for group in groups])
    table.tick_params(labelsize=SMALL, colors=INK, length=0, labelbottom=False)
    table.tick_params(axis="y", pad=14)
    axes.tick_params(labelbottom=True)
    table.set_title("At risk", fontsize=SMALL, color=INK, loc="left")
    table.spines[:].set_visible(False)
    for text in table.get_yticklabels():
        text.set_parse_math(False)


def agreement_figure(panels: Sequence[tuple[str, np.ndarray, np.ndarray, Agreement]], title: str, unit: str) -> Figure:
    """Bland-Altman plots: difference against mean, with bias and limits of agreement and their intervals.

    Args:
        panels: of each way to measure its label, what was found (n,), the truth (n,) and the agreement.
    """
    columns = min(2, len(panels))
    lines = -(-len(panels) // columns)
    figure = Figure(figsize=(WIDTH, 0.5 + 3.2 * lines), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    every = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes in every[len(panels) :]:
        axes.set_axis_off()
    for number, (axes, (label, found, truth, agreement)) in enumerate(zip(every, panels, strict=False)):
        shown = np.linspace(0, len(found) - 1, min(MOST_POINTS, len(found))).astype(int)
        mean, difference = (found + truth)[shown] / 2, (found - truth)[shown]
        axes.scatter(mean, difference, s=10, color=BLUE, alpha=0.6, linewidths=0, zorder=3)
        axes.axhline(0, color=GRAY, linewidth=0.8, linestyle=":")
        for estimate, color in (
            (agreement.bias, BLACK),
            (agreement.lower_limit, VERMILION),
            (agreement.upper_limit, VERMILION),
        ):
            axes.axhline(estimate.value, color=color, linewidth=1.2, linestyle="-" if color == BLACK else (0, (6, 2)))
            axes.axhspan(estimate.lower, estimate.upper, color=color, alpha=0.08, linewidth=0)
            axes.annotate(
                f"{estimate.value:.3g}".replace("-", "−"),
                (1.0, estimate.value),
                xycoords=("axes fraction", "data"),
                xytext=(2, 0),
                textcoords="offset points",
                fontsize=SMALL,
                color=INK,
                va="center",
                annotation_clip=False,
            )
        _dress(axes, f"Mean of both ({unit})", f"Found − true ({unit})" if number % columns == 0 else "")
        axes.set_title(_wrapped(label, 44), fontsize=NORMAL, color=INK, loc="left", parse_math=False)
    _headline(figure, title)
    return figure


def spread_figure(columns: Sequence[tuple[str, np.ndarray]], title: str, y_label: str, zero: bool = False) -> Figure:
    """Box plots with the single values beside them: median, quartiles, whiskers of 1.5 times their distance.

    Args:
        zero: draw a line at 0, for differences.
    """
    figure, axes = _figure(WIDTH, 3.8)
    rng = np.random.default_rng(0)
    if zero:
        axes.axhline(0, color=GRAY, linewidth=0.8, linestyle=":")
    for number, (_, values) in enumerate(columns):
        color = PALETTE[number % len(PALETTE)]
        axes.boxplot(
            values,
            positions=[number],
            widths=0.35,
            showfliers=False,
            medianprops={"color": BLACK, "linewidth": 1.4},
            boxprops={"color": color},
            whiskerprops={"color": color},
            capprops={"color": color},
        )
        shown = rng.permutation(len(values))[:MOST_POINTS]
        aside = number + 0.32 + rng.uniform(-0.08, 0.08, len(shown))
        axes.scatter(aside, values[shown], s=8, color=color, alpha=0.6, linewidths=0)
    _dress(axes, "", y_label)
    _headline(figure, title)
    wide = max(12, 72 // len(columns))
    names = [f"{_wrapped(label, wide)}\nn = {len(values)}" for label, values in columns]
    axes.set_xticks(range(len(columns)), names)
    axes.set_xlim(-0.5, len(columns) - 0.3)
    for text in axes.get_xticklabels():
        text.set_parse_math(False)
    return figure


def learning_figure(
    curves: Mapping[str, Sequence[tuple[int, float]]], title: str, best_step: int | None = None
) -> Figure:
    """Losses over the steps of a training, of its patients and of those held out, and where the best weights are from.

    Args:
        curves: (step, loss) by name; those without a point are left out.
    """
    figure, axes = _figure(0.78 * WIDTH, 4.0)
    for number, (label, points) in enumerate(curves.items()):
        if points:
            axes.plot(*zip(*points, strict=True), label=label, linewidth=1.6, **_look(number))
    if best_step is not None:
        axes.axvline(best_step, color=GRAY, linewidth=0.9, linestyle=":", label=f"weights kept: step {best_step}")
    _dress(axes, "Steps", "Loss")
    _headline(figure, title, 58)
    _legend(figure, axes)
    return figure


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure, figure.subplots()


def _look(number: int) -> dict[str, object]:
    return {"color": PALETTE[number % len(PALETTE)], "linestyle": dash(number)}


def _wrapped(text: str, width: int = WRAP) -> str:
    # Matplotlib leaves names that start with an underscore out of a legend.
    return textwrap.fill(text, width).lstrip("_")


def _dress(axes: Axes, x_label: str, y_label: str) -> None:
    axes.set_xlabel(x_label, fontsize=NORMAL, color=INK, parse_math=False)
    axes.set_ylabel(y_label, fontsize=NORMAL, color=INK, parse_math=False)
    axes.tick_params(labelsize=SMALL, colors=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=PALE, linewidth=0.6)
    axes.set_axisbelow(True)


def _headline(figure: Figure, title: str, width: int = 78) -> None:
    text = figure.suptitle(_wrapped(title, width), fontsize=TITLE, color=INK, x=0.01, ha="left")
    text.set_parse_math(False)


def _legend(figure: Figure, axes: Axes, columns: int = 2) -> None:
    handles, labels = axes.get_legend_handles_labels()
    legend = figure.legend(handles, labels, loc="outside lower left", fontsize=SMALL, frameon=False, ncols=columns)
    for text in legend.get_texts():
        text.set_parse_math(False)
