"""Cines from video files (.mp4, .avi, .h264 and what else FFmpeg reads), through OpenCV."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InputError
from ..pixels import quiet
from .cine import Cine, colored, steady_times, to_gray

if TYPE_CHECKING:
    import cv2

SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".wmv", ".mpg", ".mpeg", ".h264", ".264")
STREAM_SUFFIXES = (".h264", ".264")
NOMINAL_RATE = 25.0
# FFmpeg's pixel formats whose first plane is the luma in 8 bits: gray, and planar YUV of any subsampling.
LUMA_FIRST = ("Y800", "GREY", "I420", "IYUV", "YV12", "NV12", "NV21", "422P", "Y42B", "444P", "411P", "Y41B", "410P")
LOOK_EVERY = 16
RANGE_FRAMES = 64
COLORED_SHARE = 5e-4
# Video range: black is 16, white 235. Players stretch it to 0..255, and so is it done here.
STRETCHED = np.clip(np.rint((np.arange(256) - 16.0) * 255.0 / 219.0), 0, 255).astype(np.uint8)


@dataclass
class _Survey:
    """What one pass over a video found."""

    count: int
    times_ms: list[float]
    shape: tuple[int, int]
    colored: float
    has_luma: bool
    is_stretched: bool
    rate: float
    announced: int
    aspect: float


class VideoFrames:
    """Frames of a video file, decoded one after the other; a frame before the last one read starts from the beginning.

    Gray values are the luma as stored where the video stores one, stretched to 0..255 where it is in video range;
    color is red, green, blue as FFmpeg makes it. Frames of a video without color are the gray values.
    """

    def __init__(self, path: Path, found: _Survey) -> None:
        self.path, self._has_luma, self._is_stretched = path, found.has_luma, found.is_stretched
        is_color = found.colored > COLORED_SHARE
        self.shape = (found.count, *found.shape, *((3,) if is_color else ()))
        self.dtype = np.dtype(np.uint8)
        # By whether they give the luma: a capture, and the number of the frame that it reads next.
        self._captures: dict[bool, tuple[cv2.VideoCapture, int]] = {}

    def iterate(self, indices: range, gray: bool = False) -> Iterator[np.ndarray]:
        """The frames of these numbers, ascending, one after the other."""
        gray = gray or len(self.shape) == 3
        for index in indices:
            yield self._read(index, gray)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_captures": {}}

    def _read(self, index: int, gray: bool) -> np.ndarray:
        is_raw = gray and self._has_luma
        with quiet():
            capture, place = self._captures.pop(is_raw, (None, 0))
            if capture is None or index < place:
                capture, place = _open(self.path, is_raw), 0
            while place < index and capture.grab():
                place += 1
            done, frame = capture.read() if place == index else (False, None)
        if not done or frame.shape[:2] != self.shape[1:3]:
            raise InputError(f"Frame {index + 1} of '{self.path.name}' cannot be decoded; copy the video again.")
        self._captures[is_raw] = capture, index + 1
        if frame.ndim == 2:
            return STRETCHED[frame] if is_raw and self._is_stretched else frame.copy()
        frame = np.ascontiguousarray(frame[..., ::-1])
        return to_gray(frame) if gray else frame


def read_video(path: Path) -> Cine:
    """A video file: all of its frames with their times. The size of a pixel is never in a video.

    Raises:
        InputError: no video, no frame in it, damaged, or OpenCV is missing.
    """
    found = _survey(path)
    if not found.count:
        raise InputError(f"'{path.name}' has no frame that can be decoded; copy or export the video again.")
    if found.announced > found.count + max(1, found.announced // 100):
        raise InputError(
            f"'{path.name}' is cut short or damaged: {found.count} of its {found.announced} frames can be decoded; "
            "copy the video again."
        )
    frames = VideoFrames(path, found)
    times, notes = _times(found, path)
    notes += ("A video does not tell the size of a pixel.",)
    if found.is_stretched:
        notes += ("The gray values of the video were stretched from 16..235 to 0..255, as players do.",)
    if abs(found.aspect - 1) > 0.01:
        notes += (f"The pixels of the video are not square ({found.aspect:.3g} times as wide as high).",)
    return Cine(frames, times, None, (), path.name, notes)


def _times(found: _Survey, path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    times = np.array(found.times_ms) / 1000.0
    is_stream = path.name.lower().endswith(STREAM_SUFFIXES)
    if not is_stream and found.count > 1 and np.all(np.diff(times) > 0):
        return times - times[0], ()
    rate = found.rate if 0.1 <= found.rate <= 1000 else NOMINAL_RATE
    note = f"The video has no times of its frames; {rate:g} per second are assumed."
    return steady_times(found.count, 1 / rate), (note,) if found.count > 1 else ()


def _open(path: Path, raw: bool = False) -> cv2.VideoCapture:
    """A capture at the first frame. `raw`: it gives the first plane as stored, rather than blue, green, red.

    A capture cannot change between the two: its next frame would be garbage.
    """
    try:
        import cv2
    except ImportError as error:
        raise InputError(
            f"'{path.name}' is a video, for which OpenCV is missing; install opencv-python-headless or export the cine "
            "as DICOM."
        ) from error
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    # One thread: a second one buys little and would take cores from the application.
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    if not capture.isOpened():
        raise InputError(f"'{path.name}' is no video that can be read, or damaged; copy or export it again.")
    capture.set(cv2.CAP_PROP_CONVERT_RGB, 0 if raw else 1)
    return capture


def _survey(path: Path) -> _Survey:
    """One pass over the video: containers do not tell reliably how many frames they hold, and streams not at all."""
    import math

    with quiet():
        capture = _open(path)
        import cv2

        code = int(capture.get(cv2.CAP_PROP_CODEC_PIXEL_FORMAT)) & 0xFFFFFFFF
        announced = capture.get(cv2.CAP_PROP_FRAME_COUNT)
        wide, high = capture.get(cv2.CAP_PROP_SAR_NUM), capture.get(cv2.CAP_PROP_SAR_DEN)
        found = _Survey(
            count=0,
            times_ms=[],
            shape=(0, 0),
            colored=0.0,
            has_luma=code.to_bytes(4, "little").decode("latin-1") in LUMA_FIRST,
            is_stretched=False,
            rate=float(capture.get(cv2.CAP_PROP_FPS)),
            announced=int(announced) if math.isfinite(announced) and 0 < announced < 1e7 else 0,
            aspect=wide / high if wide > 0 and high > 0 else 1.0,
        )
        while capture.grab():
            found.times_ms.append(float(capture.get(cv2.CAP_PROP_POS_MSEC)))
            if found.count % LOOK_EVERY == 0:
                _look(capture, found)
            found.count += 1
    if found.has_luma:
        _look_at_range(path, found)
    return found


def _look(capture: cv2.VideoCapture, found: _Survey) -> None:
    """Size and color of the frame just grabbed."""
    done, shown = capture.retrieve()
    if done and shown.ndim == 3:
        found.shape = shown.shape[:2]
        found.colored = max(found.colored, float(colored(shown[..., :3]).mean()))


def _look_at_range(path: Path, found: _Survey) -> None:
    """Whether the luma can be had, and whether FFmpeg stretches it for display, from the first frame with contrast."""
    with quiet():
        shown, raw = _open(path), _open(path, raw=True)
        for _ in range(min(found.count, RANGE_FRAMES)):
            done, color = shown.read()
            raw_done, luma = raw.read()
            found.has_luma = done and raw_done and luma.shape == found.shape and luma.dtype == np.uint8
            if not found.has_luma or np.ptp(luma) > 32:
                break
    if found.has_luma:
        gray = to_gray(color[..., ::-1]).astype(np.int16)
        stored, stretched = (float(np.abs(gray - values).mean()) for values in (luma, STRETCHED[luma]))
        found.is_stretched = stretched < stored
