"""Whether a cine can be a B-mode cine, before a network sees it; what can go on is flagged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...errors import InputError
from ...findings import Flag
from .cine import M_MODE, SPECTRAL, Cine, Region, colored
from .screen import Screen
from .sector import COLOR_SAMPLES, colored_area, lit_area

# Frames that differ by less than this many gray values on average are the same picture, lossy compression or not.
SAME = 0.15
DOPPLER_SHARE = 0.02
SECOND_IMAGE_SHARE = 0.4
SWEEP_COLUMNS, SWEEP_FRAMES = 0.25, 8
MAX_LISTED = 4


@dataclass(frozen=True)
class _Steps:
    """What one pass over a cine found: frozen runs (first, last frame, from 1) and the part of columns that changes."""

    frozen: tuple[tuple[int, int], ...]
    columns: np.ndarray


def check_cine(cine: Cine, screen: Screen, min_frames: int = 2) -> tuple[Flag, ...]:
    """Refuse what is no B-mode cine; flag what a reader of the result must know.

    Args:
        screen: of this cine, from `find_screen`.
        min_frames: fewer are refused; 1 where a single image will do.

    Raises:
        InputError: too few frames, all frames the same, M-mode, spectral Doppler or color Doppler.
    """
    if len(cine) < min_frames:
        plural = "" if len(cine) == 1 else "s"
        raise InputError(
            f"'{cine.name}' has {len(cine)} frame{plural} where a cine of at least {min_frames} is needed; choose one."
        )
    flags = [Flag("cine_note", "info", note) for note in cine.notes]
    flags += _check_regions(cine)
    flags += _check_color(cine, screen)
    flags += _check_images(cine, screen)
    if len(cine) > 1:
        flags += _check_steps(cine, screen)
    if screen.may_name_patient:
        message = "Text is burned into the frames, which may name the patient; only blanked frames may be exported."
        flags.append(Flag("cine_text", "info", message))
    return tuple(flags)


def _check_regions(cine: Cine) -> list[Flag]:
    """What the calibrated regions of DICOM say."""
    others = [one for one in cine.regions if one.spatial_format in (M_MODE, SPECTRAL)]
    tissue = [one for one in cine.regions if one.is_tissue]
    if others and not tissue:
        raise InputError(f"'{cine.name}' shows {others[0].kind}, not a B-mode image; choose a B-mode cine.")
    flags = []
    if others:
        message = f"The screen shows {others[0].kind} beside the B-mode image; only the B-mode image is used."
        flags.append(Flag("cine_other_region", "warning", message))
    if len(tissue) > 1 and _are_beside(tissue):
        flags.append(_two_images())
    return flags


def _are_beside(tissue: list[Region]) -> bool:
    """Whether the two largest regions are different places of similar size."""
    first, second = sorted(tissue, key=lambda one: -one.area)[:2]
    (ax0, ay0, ax1, ay1), (bx0, by0, bx1, by1) = first.box, second.box
    overlap = max(0, min(ax1, bx1) - max(ax0, bx0)) * max(0, min(ay1, by1) - max(ay0, by0))
    return second.area >= SECOND_IMAGE_SHARE * first.area and overlap < 0.5 * second.area


def _two_images() -> Flag:
    message = "The screen shows two images side by side; only the larger is used."
    return Flag("cine_dual", "warning", message)


def _check_color(cine: Cine, screen: Screen) -> list[Flag]:
    """Color inside the sector: Doppler covers the gray values, calipers are few pixels."""
    if not cine.is_color:
        return []
    shares = [float(colored(cine.frame(number))[screen.sector.mask].mean()) for number in cine.sampled(COLOR_SAMPLES)]
    share = max(shares)
    if share > DOPPLER_SHARE:
        raise InputError(
            f"'{cine.name}' has color over {100 * share:.0f} % of the image (color Doppler or a colored map); choose "
            "a gray B-mode cine."
        )
    return []


def _check_images(cine: Cine, screen: Screen) -> list[Flag]:
    """What the picture itself shows: a second image, no sector, marks, no size of a pixel."""
    from scipy.ndimage import label

    flags = []
    mask = screen.sector.mask
    if screen.sector.kind == "irregular":
        message = "No sector of a convex or linear probe was found; what is lit in the frame is used."
        flags.append(Flag("cine_no_sector", "warning", message))
    lit = lit_area(cine.sample(COLOR_SAMPLES)) & ~colored_area(cine) & ~mask
    parts, count = label(lit[screen.sector.box[0]])  # beside it, not above or below
    if count and np.bincount(parts.ravel())[1:].max() > SECOND_IMAGE_SHARE * mask.sum():
        flags.append(_two_images())
    if screen.marks.any():
        share = 100.0 * screen.marks.sum() / mask.sum()
        message = (
            f"Marks are burned into the image ({share:.1f} % of it); they are filled in before the network sees it."
        )
        flags.append(Flag("cine_marks", "info", message))
    if cine.pixel_mm is None:
        message = "The size of a pixel is not known, so nothing is measured in mm."
        flags.append(Flag("cine_pixel_size", "warning", message))
    return flags


def _check_steps(cine: Cine, screen: Screen) -> list[Flag]:
    """What changes from frame to frame."""
    steps = _steps(cine, screen)
    if steps.frozen and steps.frozen[0] == (1, len(cine)):
        raise InputError(f"All {len(cine)} frames of '{cine.name}' are the same (frozen); choose a moving cine.")
    flags = []
    if steps.frozen:
        runs = [f"{first} to {last}" for first, last in steps.frozen[:MAX_LISTED]]
        more = f" and {len(steps.frozen) - MAX_LISTED} more runs" if len(steps.frozen) > MAX_LISTED else ""
        message = f"The image stands still (frozen) in the frames {', '.join(runs)}{more}."
        flags.append(Flag("cine_frozen", "warning", message))
    moving = steps.columns[steps.columns > 0]
    if len(moving) >= SWEEP_FRAMES and np.median(moving) < SWEEP_COLUMNS:
        message = "Only a few columns change from frame to frame, as in M-mode or spectral Doppler; check the cine."
        flags.append(Flag("cine_sweep", "warning", message))
    return flags


def _steps(cine: Cine, screen: Screen) -> _Steps:
    """One pass over all frames inside the sector, two of which are in memory at a time."""
    rows, columns = screen.sector.box
    mask = screen.sector.mask[rows, columns]
    per_column = np.maximum(mask.sum(axis=0), 1)
    same, changing = [], []
    before: np.ndarray | None = None
    for frame in cine.gray_frames():
        now = frame[rows, columns].astype(np.int32) * mask
        if before is not None:
            apart = np.abs(now - before)
            same.append(bool(apart.sum() < SAME * mask.sum()))
            changing.append(0.0 if same[-1] else float(np.mean(apart.sum(axis=0) > per_column)))
        before = now
    return _Steps(_runs(same), np.array(changing))


def _runs(same: list[bool]) -> tuple[tuple[int, int], ...]:
    """Runs of frames (first, last; from 1) of which each is the same as the one before it."""
    runs, first = [], None
    for number, is_same in enumerate([*same, False], start=1):
        if is_same and first is None:
            first = number
        elif not is_same and first is not None:
            runs.append((first, number))
            first = None
    return tuple(runs)
