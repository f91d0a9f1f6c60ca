"""A cine with outlines and heat map as a film that players show: .mp4 where OpenCV can write one, else animated .gif.

Frames are read, drawn and written one at a time, so that memory does not grow with the cine's length.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..findings import HeatMap, Mask
from ..images.pixels import quiet
from .cine_view import CineView, frame_words
from .output import NO_ROOM_BYTES, disk_full_error

MP4, GIF = "cine.mp4", "cine.gif"
CODEC = "mp4v"
NOMINAL_RATE = 25.0
# A .gif is held whole by its writer: fewer and smaller frames.
GIF_FRAMES, GIF_LONGEST = 100, 480
FONT_SIZE, LINE_ROWS, CAPTION_EDGE = 13, 18, 6
NOTICE = "Research and teaching, not for clinical use"
INK, PAPER = (26, 26, 26), (255, 255, 255)


def write_cine(
    folder: Path, view: CineView, masks: Sequence[Mask] = (), heat_map: HeatMap | None = None, label: str = ""
) -> Path:
    """Write cine.mp4 or, where no video can be written, cine.gif into an existing folder; gives its path.

    Args:
        view: of the film; see `CineView.of`.
        label: said in every frame beside the heat map's name, such as "simulated cohort".

    Raises:
        InputError: the disk is full.
    """
    temporary = Path(folder) / f".{secrets.token_hex(4)}.mp4"
    try:
        if _write_mp4(temporary, view, masks, heat_map, label):
            return _moved(temporary, Path(folder) / MP4)
    finally:
        temporary.unlink(missing_ok=True)
    temporary = temporary.with_suffix(".gif")
    try:
        small = CineView.of(view.cine, GIF_LONGEST, view.screen)
        _write_gif(temporary, small, masks, heat_map, label)
        return _moved(temporary, Path(folder) / GIF)
    finally:
        temporary.unlink(missing_ok=True)


def _moved(temporary: Path, target: Path) -> Path:
    """The finished file in its place; what is too small to be a film was cut short by a full disk."""
    if not temporary.is_file() or not temporary.stat().st_size or shutil.disk_usage(target.parent).free < NO_ROOM_BYTES:
        raise disk_full_error(target.parent)
    os.replace(temporary, target)
    return target


def _write_mp4(path: Path, view: CineView, masks: Sequence[Mask], heat_map: HeatMap | None, label: str) -> bool:
    """Whether OpenCV is there and can write it."""
    try:
        import cv2
    except ImportError:
        return False
    caption = _Caption(view, masks, heat_map, label)
    # MPEG-4 counts time in at most 65,535 parts of a second.
    rate = round(view.cine.frame_rate or NOMINAL_RATE, 2)
    rows, columns = view.size[0] + caption.rows, view.size[1]
    with quiet():  # not around the loop: reading a video is quiet by itself, one at a time
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*CODEC), rate, (columns, rows))
    try:
        if not writer.isOpened():
            return False
        for picture in _pictures(view, masks, heat_map, caption, 1):
            writer.write(np.ascontiguousarray(picture[..., ::-1]))
    finally:
        with quiet():
            writer.release()
    return True


def _write_gif(path: Path, view: CineView, masks: Sequence[Mask], heat_map: HeatMap | None, label: str) -> None:
    """At most GIF_FRAMES frames, evenly chosen, shown for as long as the whole cine takes."""
    step = -(-len(view.cine) // GIF_FRAMES)
    caption = _Caption(view, masks, heat_map, label)
    pictures = _pictures(view, masks, heat_map, caption, step)
    first, *others = (Image.fromarray(picture) for picture in pictures)
    shown_ms = round(1000 * step / (view.cine.frame_rate or NOMINAL_RATE))
    first.save(path, save_all=True, append_images=others, duration=shown_ms, loop=0)


def _pictures(
    view: CineView, masks: Sequence[Mask], heat_map: HeatMap | None, caption: _Caption, step: int
) -> Iterator[np.ndarray]:
    """Every `step`-th frame with its caption, uint8 (row, column, RGB)."""
    numbers = range(0, len(view.cine), step)
    for number, frame in zip(numbers, view.cine.frames(step=step), strict=True):
        yield np.concatenate([view.drawn(number, frame, masks, heat_map), caption.drawn(number)])


class _Caption:
    """The lines below the picture: the frame's number and time, what is drawn, and the notice."""

    def __init__(self, view: CineView, masks: Sequence[Mask], heat_map: HeatMap | None, label: str) -> None:
        self._cine, self._columns = view.cine, view.size[1]
        names = [mask.name for mask in masks if mask.visible and not mask.is_empty]
        texts = [f"Outline: {', '.join(names)}"] if names else []
        if heat_map is not None:
            texts.append(f"{heat_map.name}{f' ({label})' if label else ''}: what drove the score")
        lines = [line for text in (*texts, NOTICE) for line in _wrapped(text, self._columns - 2 * CAPTION_EDGE)]
        self.rows = 2 * -(-(LINE_ROWS * (1 + len(lines)) + 2 * CAPTION_EDGE) // 2)
        self._still = Image.new("RGB", (self._columns, self.rows), PAPER)
        draw = ImageDraw.Draw(self._still)
        for place, line in enumerate(lines, start=1):
            draw.text((CAPTION_EDGE, CAPTION_EDGE + place * LINE_ROWS), line, INK, _font())

    def drawn(self, number: int) -> np.ndarray:
        image = self._still.copy()
        ImageDraw.Draw(image).text((CAPTION_EDGE, CAPTION_EDGE), frame_words(self._cine, number), INK, _font())
        return np.asarray(image)


@cache
def _font() -> ImageFont.FreeTypeFont:
    """The font of the report's pictures."""
    import matplotlib

    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), FONT_SIZE)


def _wrapped(text: str, width: int) -> list[str]:
    """Lines that fit into so many pixels, where words allow it."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and _font().getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
