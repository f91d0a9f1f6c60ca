"""Where in the frame the ultrasound image is: the sector of a convex probe, or the strip of a linear one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...errors import InputError
from .cine import Cine, colored

SAMPLES, COLOR_SAMPLES = 24, 5
# A pixel belongs to the image when it is this much brighter than black somewhere, or changes by more than this.
LIT, CHANGES = 5, 3
# Parts of the frame that must change before it counts as a moving image rather than a still with noise.
MOVING_SHARE = 0.02
SMALLEST_SHARE = 0.015
# Sides steeper than this many degrees from the vertical are those of a sector.
STRAIGHT_DEG, SIDE_WINDOW_DEG, WIDEST_DEG = 4.0, 4.0, 75.0
# Sectors are symmetric about the vertical within this; where the lit area is not, one side lies in the shadow.
SKEW_DEG = 3.0
COVERED, FILLED = 0.93, 0.55


@dataclass(frozen=True)
class Sector:
    """The image inside the frame.

    Args:
        kind: "convex" (a sector of rings), "linear" (a strip), or "irregular" (what is lit, without a model).
        mask: bool (j, i), True inside.
        apex: (x, y) in pixels where the sides of a convex sector meet; None otherwise.
        radii: shortest and longest distance from the apex in pixels; None otherwise.
        angles_deg: of the left and the right side from straight down, negative to the left; None otherwise.
    """

    kind: str
    mask: np.ndarray
    apex: tuple[float, float] | None = None
    radii: tuple[float, float] | None = None
    angles_deg: tuple[float, float] | None = None

    @property
    def box(self) -> tuple[slice, slice]:
        """The smallest (row, column) box around it."""
        rows, columns = np.flatnonzero(self.mask.any(axis=1)), np.flatnonzero(self.mask.any(axis=0))
        return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


@dataclass(frozen=True)
class _Side:
    """A line x = at(y), and its angle from straight down in degrees, negative to the left."""

    x0: float
    slope: float

    @property
    def angle_deg(self) -> float:
        return float(np.degrees(np.arctan(self.slope)))

    def at(self, y: np.ndarray | float) -> np.ndarray | float:
        return self.x0 + self.slope * y


def find_sector(cine: Cine, sample: np.ndarray | None = None) -> Sector:
    """The sector of a cine, from up to 24 of its frames; what changes or is lit, without thin overlays.

    In DICOM it is looked for inside the calibrated B-mode region, where there is one.

    Args:
        sample: gray frames (n, j, i) of the cine, where they are at hand already.

    Raises:
        InputError: nothing in the frames looks like an ultrasound image.
    """
    lit = lit_area(cine.sample(SAMPLES) if sample is None else sample) & ~colored_area(cine)
    tissue = [region for region in cine.regions if region.is_tissue]
    if tissue:
        inside = np.zeros_like(lit)
        inside[max(tissue, key=lambda region: region.area).slices] = True
        lit &= inside
    part = largest_part(lit)
    if part.sum() < SMALLEST_SHARE * part.size:
        raise InputError(
            f"'{cine.name}' shows no ultrasound image (at most {100 * part.mean():.0f} % of the frame is lit); choose "
            "a B-mode cine."
        )
    return fit_sector(part)


def colored_area(cine: Cine) -> np.ndarray:
    """Where (j, i) at least half of some frames have color: bars and frames of the screen, flow that stays."""
    if not cine.is_color:
        return np.zeros(cine.frame_shape, bool)
    numbers = cine.sampled(COLOR_SAMPLES)
    return sum(colored(cine.frame(number)).astype(int) for number in numbers) * 2 >= len(numbers)


def lit_area(frames: np.ndarray) -> np.ndarray:
    """Where (j, i) an image is rather than black or thin overlays, from gray frames (n, j, i)."""
    from scipy.ndimage import uniform_filter

    scale = 1 if frames.dtype == np.uint8 else max(1, int(frames.max()) // 255)
    low, high = frames.min(axis=0) // scale, frames.max(axis=0) // scale
    black = int(np.argmax(np.bincount(low.ravel().astype(np.int64), minlength=17)[:17]))
    lit = high > black + LIT
    changes = high - low > CHANGES
    if changes.mean() > MOVING_SHARE:  # overlays stand still
        lit &= uniform_filter(changes.astype(np.float32), _size(lit, 0.02)) > 0.15
    return uniform_filter(lit.astype(np.float32), _size(lit, 0.02)) > 0.5


def largest_part(area: np.ndarray) -> np.ndarray:
    """The largest connected part, after bridges thinner than about 2 % of the frame are cut, its holes filled."""
    from scipy.ndimage import binary_fill_holes, binary_opening, label

    size = _size(area, 0.02)
    # Beyond the border the image may go on, so that the border itself does not erode.
    padded = np.pad(area, size, mode="edge")
    opened = binary_opening(padded, np.ones((size, size), bool))[size:-size, size:-size]
    parts, count = label(opened)
    if not count:
        return np.zeros_like(area)
    sizes = np.bincount(parts.ravel())
    return binary_fill_holes(parts == 1 + int(np.argmax(sizes[1:])))


def _size(area: np.ndarray, share: float) -> int:
    """An odd number of pixels, at least 3, of about this share of the shorter side."""
    return max(3, int(share * min(area.shape)) | 1)


def fit_sector(part: np.ndarray) -> Sector:
    """The sector or strip that fits a lit area (j, i); the area itself where neither does.

    Shadows only take from the area, so the sides are lines of its convex hull. Where one side is dark, that of the
    other is mirrored.
    """
    left, right = _sides(part)
    if left is None or right is None:
        return Sector("irregular", _filled_columns(part))
    middle = _middle_of_top(part)
    both = [(left, right)]
    mirrored = [(left, _mirrored(left, middle)), (_mirrored(right, middle), right)]
    is_skewed = abs(left.angle_deg + right.angle_deg) > SKEW_DEG
    for pairs in (mirrored, both) if is_skewed else (both, mirrored):
        found = [one for pair in pairs if (one := _model(part, *pair)) is not None and _fits(part, one.mask)]
        if found:
            return max(found, key=lambda one: _agreement(part, one.mask))
    return Sector("irregular", _filled_columns(part))


def _fits(part: np.ndarray, mask: np.ndarray) -> bool:
    both = np.count_nonzero(part & mask)
    return both >= COVERED * np.count_nonzero(part) and both >= FILLED * np.count_nonzero(mask)


def _agreement(part: np.ndarray, mask: np.ndarray) -> float:
    """Dice overlap, where lit pixels outside count three times: shadows are common, light outside is not."""
    both, missed = np.count_nonzero(part & mask), np.count_nonzero(part & ~mask)
    return 2 * both / (2 * both + 3 * missed + np.count_nonzero(mask & ~part) + 1)


def _sides(part: np.ndarray) -> tuple[_Side | None, _Side | None]:
    """The left and the right side: the direction with the longest edges of the convex hull, within 4 degrees."""
    from scipy.spatial import ConvexHull, QhullError

    rows = np.flatnonzero(part.any(axis=1))
    first, last = np.argmax(part[rows], axis=1), part.shape[1] - 1 - np.argmax(part[rows, ::-1], axis=1)
    points = np.concatenate([np.stack([first - 0.5, rows], 1), np.stack([last + 0.5, rows], 1)]).astype(float)
    try:
        hull = points[ConvexHull(points).vertices]
    except QhullError:
        return None, None
    steps = np.roll(hull, -1, axis=0) - hull
    height = len(rows)
    sides = []
    for direction in (-1, 1):  # the hull goes up (to smaller rows) on the left and down on the right
        steep = steps[:, 1] * direction > 0
        lengths = np.hypot(*steps.T) * steep
        with np.errstate(divide="ignore", invalid="ignore"):
            angles = np.degrees(np.arctan(steps[:, 0] / steps[:, 1]))
        steep &= np.abs(angles) <= WIDEST_DEG
        angles = np.where(steep, angles, 0.0)
        near = (np.abs(angles[:, None] - angles[None]) <= SIDE_WINDOW_DEG) & steep[:, None] & steep[None]
        totals = near @ lengths
        best = int(np.argmax(totals))
        if totals[best] < 0.2 * height or not near[best].any():
            return None, None
        chosen = np.flatnonzero(near[best])
        ends = np.concatenate([hull[chosen], np.roll(hull, -1, axis=0)[chosen]])
        weights = np.sqrt(np.concatenate([lengths[chosen], lengths[chosen]]))
        slope, x0 = np.polyfit(ends[:, 1], ends[:, 0], 1, w=weights)
        sides.append(_Side(float(x0), float(slope)))
    return sides[0], sides[1]


def _middle_of_top(part: np.ndarray) -> float:
    """Column of the middle of the probe's face: half way between the ends of the upper tenth of the area."""
    rows = np.flatnonzero(part.any(axis=1))
    top = part[rows[0] : rows[0] + max(2, len(rows) // 10)]
    columns = np.flatnonzero(top.any(axis=0))
    return float(columns[0] + columns[-1]) / 2


def _mirrored(side: _Side, middle: float) -> _Side:
    return _Side(2 * middle - side.x0, -side.slope)


def _model(part: np.ndarray, left: _Side, right: _Side) -> Sector | None:
    """Sector or strip between two sides, as long as the lit area."""
    rows = np.flatnonzero(part.any(axis=1))
    y, x = np.indices(part.shape)
    between = (x >= left.at(y)) & (x <= right.at(y)) & (y <= rows[-1])
    if abs(right.angle_deg - left.angle_deg) <= STRAIGHT_DEG or max(-left.angle_deg, right.angle_deg) <= STRAIGHT_DEG:
        return Sector("linear", between & (y >= rows[0]))
    if left.angle_deg > 0 or right.angle_deg < 0:
        return None
    apex_y = (right.x0 - left.x0) / (left.slope - right.slope)
    apex = float(left.at(apex_y)), float(apex_y)
    if apex_y > rows[0] + 0.1 * len(rows):
        return None
    radius = np.hypot(x - apex[0], y - apex[1])
    inside = part & between
    if not inside.any():
        return None
    shortest = _shortest(radius, np.arctan2(x - apex[0], y - apex[1]), inside)
    longest = float(np.percentile(radius[inside], 99.9)) + 0.5
    mask = between & (radius >= shortest) & (radius <= longest)
    return Sector("convex", mask, apex, (shortest, longest), (left.angle_deg, right.angle_deg))


def _shortest(radius: np.ndarray, angle: np.ndarray, inside: np.ndarray) -> float:
    """Radius of the probe's face: the median over the angles of where the lit area begins."""
    angles, radii = angle[inside], radius[inside]
    bins = np.clip(((angles - angles.min()) / max(np.ptp(angles), 1e-6) * 32).astype(int), 0, 31)
    first = np.full(32, np.inf)
    np.minimum.at(first, bins, radii)
    return max(0.0, float(np.median(first[np.isfinite(first)])) - 0.5)


def _filled_columns(part: np.ndarray) -> np.ndarray:
    """Every column filled from the first to the last row of the area."""
    down = np.logical_or.accumulate(part, axis=0)
    up = np.logical_or.accumulate(part[::-1], axis=0)[::-1]
    return down & up
