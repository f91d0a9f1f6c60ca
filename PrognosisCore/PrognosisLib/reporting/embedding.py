"""Figures of the report as PNG, to be embedded in its page."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 180
PAGE_INCHES = 7.15  # what A4 holds between its margins, so that 8 points print as 8 points


@dataclass(frozen=True)
class Picture:
    """One embedded picture: PNG bytes, size in CSS pixels, what it shows; `wide` ones scroll on a narrow screen."""

    png: bytes
    width: int
    height: int
    alt: str
    caption: str = ""
    wide: bool = False

    @property
    def base64(self) -> str:
        return base64.b64encode(self.png).decode("ascii")


def embedded(figure: Figure, caption: str, wide: bool = False, dpi: int = DPI) -> Picture:
    """A figure as PNG."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=dpi, facecolor="white")
    width, height = (round(side * 96) for side in figure.get_size_inches())
    return Picture(file.getvalue(), width, height, alt=caption, caption=caption, wide=wide)
