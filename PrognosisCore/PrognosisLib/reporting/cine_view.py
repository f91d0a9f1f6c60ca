"""One frame of a cine as a picture: blanked, cropped to the ultrasound image, with outlines and heat map.

Row 0 is the top of the frame, as on the screen of the device, and pixels are square in mm. What lies outside the
sector may name the patient and is never shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np
from PIL import Image

from ..colors import segment_color
from ..errors import InputError
from ..findings import HeatMap, Mask
from ..images.cine.cine import Cine
from ..images.cine.screen import Screen, find_screen

MARGIN = 0.015  # of the sector's longer side, on every side
HEAT_THRESHOLD = 0.1  # as in the scene: below this the image alone is seen
HEAT_OPACITY = 0.5
HEAT_COLORS = "inferno"
BRIGHTNESS_FRAMES = 8
READABLE = 480  # pixels along the longer side, to which smaller films are enlarged


@dataclass(frozen=True)
class CineView:
    """The part of a cine's frames that is shown, and how large.

    Args:
        cine: the film.
        screen: its sector; everything outside is black.
        size: rows and columns of a picture.
        to_frame: 3x3, from the corner coordinates (x, y, 1) of the picture to those of the frame.
        brightest: gray value that is shown white.
    """

    cine: Cine
    screen: Screen
    size: tuple[int, int]
    to_frame: np.ndarray
    brightest: float = 255.0

    @classmethod
    def of(cls, cine: Cine, longest: int = 800, screen: Screen | None = None) -> CineView:
        """The sector with a small margin, its longer side READABLE to `longest` pixels; sides are even, for video.

        Args:
            screen: of this cine, where it is at hand.

        Raises:
            InputError: nothing in the frames looks like an ultrasound image, or it cannot be told from text.
        """
        screen = screen or find_screen(cine)
        if screen.sector.kind == "irregular" and screen.may_name_patient:
            raise InputError("The ultrasound image cannot be told from text that may name the patient.")
        sides = np.array([(side.start, side.stop) for side in screen.sector.box], float)
        margin = MARGIN * float(np.ptp(sides, axis=1).max())
        low = np.maximum(sides[:, 0] - margin, 0.0)
        high = np.minimum(sides[:, 1] + margin, cine.frame_shape)
        pixel = np.array(cine.pixel_mm or (1.0, 1.0))
        extent = (high - low) * pixel
        step = np.clip(pixel.min(), extent.max() / longest, extent.max() / min(READABLE, longest))
        size = np.maximum(2 * np.rint(extent / step / 2).astype(int), 2)
        scale = (high - low) / size
        matrix = np.array([[scale[1], 0.0, low[1]], [0.0, scale[0], low[0]], [0.0, 0.0, 1.0]])
        view = cls(cine, screen, (int(size[0]), int(size[1])), matrix)
        if cine.source.dtype == np.uint8:
            return view
        return replace(view, brightest=max(1.0, float(cine.sample(BRIGHTNESS_FRAMES).max())))

    @property
    def width_mm(self) -> float | None:
        """Of a picture; None where the size of a pixel is not known."""
        if self.cine.pixel_mm is None:
            return None
        return float(self.to_frame[0, 0]) * self.size[1] * self.cine.pixel_mm[1]

    def picture(self, frame: np.ndarray) -> np.ndarray:
        """A frame (j, i) or (j, i, 3) as uint8 (row, column, RGB)."""
        blanked = self.screen.blanked(frame)
        if blanked.dtype != np.uint8:
            blanked = np.clip(np.rint(blanked * (255.0 / self.brightest)), 0, 255).astype(np.uint8)
        return np.array(self._transformed(blanked, self.to_frame).convert("RGB"))

    def laid(self, plane: np.ndarray, plane_to_frame: np.ndarray) -> np.ndarray:
        """A uint8 (j, i) plane on the picture (row, column), linearly interpolated; 0 outside it.

        Args:
            plane_to_frame: 3x3, from indices (i, j, 1) of the plane to those of the frame.
        """
        # A rim of zeros, so that the plane fades out; corners of pixels lie half a pixel before their centers.
        half = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]])
        rim = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0], [0.0, 0.0, 1.0]])
        to_plane = rim @ half @ np.linalg.inv(plane_to_frame) @ np.linalg.inv(half) @ self.to_frame
        return np.array(self._transformed(np.pad(plane, 1), to_plane))

    def _transformed(self, array: np.ndarray, matrix: np.ndarray) -> Image.Image:
        image = Image.fromarray(np.ascontiguousarray(array))
        coefficients = tuple(float(part) for part in matrix[:2].ravel())
        size = self.size[::-1]
        return image.transform(size, Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)

    def drawn(
        self, number: int, frame: np.ndarray, masks: Sequence[Mask] = (), heat_map: HeatMap | None = None
    ) -> np.ndarray:
        """The picture of frame `number`, with the heat map inside the sector, under the outlines of visible masks."""
        picture = self.picture(frame)
        if heat_map is not None:
            self._heat(picture, number, heat_map)
        for mask in masks:
            if mask.visible and 0 <= number - mask.start[0] < len(mask.array):
                self._outline(picture, number, mask)
        return picture

    def _heat(self, picture: np.ndarray, number: int, heat_map: HeatMap) -> None:
        plane = heat_plane(heat_map, number)
        heat = self.laid(plane, self._to_frame(heat_map.grid.ijk_to_ras))
        hot = (heat >= 255 * HEAT_THRESHOLD) & self._inside
        below, above = heat_tables()
        picture[hot] = below[picture[hot]] + above[heat[hot]]

    @cached_property
    def _inside(self) -> np.ndarray:
        """The sector on the picture (row, column)."""
        return self.laid(self.screen.sector.mask.astype(np.uint8) * 255, np.eye(3)) >= 128

    def _outline(self, picture: np.ndarray, number: int, mask: Mask) -> None:
        plane = mask.array[number - mask.start[0]].astype(np.uint8) * 255
        inside = self.laid(plane, self._to_frame(mask.cropped_grid.ijk_to_ras)) >= 128
        edge = np.zeros_like(inside)
        for axis in (0, 1):
            here, there = (tuple(part if a == axis else slice(None) for a in (0, 1)) for part in _NEIGHBORS)
            crossing = inside[here] != inside[there]
            edge[here] |= crossing
            edge[there] |= crossing
        picture[edge] = np.rint(255 * np.array(segment_color(mask.name))).astype(np.uint8)

    def _to_frame(self, ijk_to_ras: np.ndarray) -> np.ndarray:
        """3x3 from indices (i, j, 1) of a lattice in the cine's coordinates to those of the frame."""
        flat = np.ix_([0, 1, 3], [0, 1, 3])
        return np.linalg.inv(self.cine.ijk_to_ras[flat]) @ ijk_to_ras[flat]


_NEIGHBORS = (slice(None, -1), slice(1, None))


def heat_plane(heat_map: HeatMap, number: int) -> np.ndarray:
    """The heat map of a frame as uint8 (j, i), 255 for 1."""
    plane = np.asarray(heat_map.array[number])
    return plane if plane.dtype == np.uint8 else np.rint(255 * np.clip(plane, 0, 1)).astype(np.uint8)


@cache
def heat_tables() -> tuple[np.ndarray, np.ndarray]:
    """What a gray value (256,) and a heat (256, red green blue) add to a pixel, uint8."""
    from matplotlib import colormaps

    colors = colormaps[HEAT_COLORS](np.linspace(0, 1, 256))[:, :3]
    below = np.floor((1 - HEAT_OPACITY) * np.arange(256)).astype(np.uint8)
    return below, np.floor(HEAT_OPACITY * 255 * colors).astype(np.uint8)


def frame_words(cine: Cine, number: int) -> str:
    """ "Frame 12, 0.55 s"; frames are counted from 1, and the only one of a still is not."""
    if len(cine) == 1:
        return "Still image"
    return f"Frame {number + 1}, {cine.times_s[number]:.2f} s"
