"""Learning curves of a training run: its log as a figure."""

from __future__ import annotations

import csv
from pathlib import Path

from ..findings import SIMULATED
from ..reporting.output import write_atomic

NAME = "learning"


def write_learning_curve(log: Path, title: str, best_step: int | None = None, simulated: bool = False) -> list[Path]:
    """Draw the log of a training run, which has a step at least, as learning.svg and learning.png beside it.

    Args:
        title: what was trained; best_step: of the weights that were kept, where a watched run chose them.
        simulated: all patients were.
    """
    from ..validation.figures import as_files, learning_figure

    with log.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    curves = {"training": "loss", "held-out patients": "validation_loss"}
    points = {
        name: [(int(row["step"]), float(row[column])) for row in rows if row.get(column)]
        for name, column in curves.items()
    }
    figure = learning_figure(points, f"{title} ({SIMULATED})" if simulated else title, best_step)
    return [write_atomic(log.parent / f"{NAME}.{kind}", data) for kind, data in as_files(figure).items()]
