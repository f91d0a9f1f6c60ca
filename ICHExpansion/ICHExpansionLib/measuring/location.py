"""Where in the head a hematoma lies: side, distance from the midline, depth, and lobar, deep or infratentorial.

An estimate from the skull alone (head_frame.py): the brain's own structures are not looked at, so a hematoma that
pushes them aside is placed by where it is now. The user's own entry "infratentorial" always goes before it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from PrognosisLib.errors import InputError
from PrognosisLib.findings import Mask
from PrognosisLib.volume import Volume

from ..head.brain import Brain, find_brain
from ..head.head_frame import HeadFrame, find_head_frame

Point = tuple[float, float, float]

LOBAR, DEEP, INFRATENTORIAL = "lobar", "deep", "infratentorial"
LEFT, RIGHT, MIDLINE = "left", "right", "midline"

MIDLINE_MM = 4.0  # the plane itself is good to about 2 mm
ONE_SIDED = 0.7  # at least this share on one side of the plane
# In standard coordinates (mm, see head_frame.py). Deep: basal ganglia, thalamus, internal capsule, and what lies
# between them and the insula. Tentorium: apex behind the midbrain, falling to either side and backward.
DEEP_CENTER, DEEP_SEMI = np.array([0.0, -8.0, 8.0]), np.array([50.0, 40.0, 30.0])
BRAIN_STEM = ((-16.0, 16.0), (-45.0, -10.0), (-200.0, -9.0))
TENT_APEX, TENT_SIDE, TENT_BACK, TENT_EDGE = 2.0, 0.7, 0.3, -24.0
TENT_Y, PETROUS_Y, PETROUS_SIDE = -50.0, -38.0, 0.25
SURE, LIKELY = 0.85, 0.65  # share of the voxels in the class
GOOD_FIT_MM, POOR_FIT_MM = 3.5, 5.0
POINTS = 4000


@dataclass(frozen=True)
class Location:
    """Where a hematoma lies; RAS mm.

    Args:
        side: "left", "right" (of the patient) or "midline".
        midline_mm: signed distance of the center from the midsagittal plane, positive on the patient's right.
        crosses_midline: at least a tenth of it lies on either side of the plane.
        depth_mm: shortest distance from the hematoma's surface to the inside of the skull, good to about 3 mm.
        region: "lobar", "deep" or "infratentorial", where most of its voxels lie.
        lobar_share, deep_share, infratentorial_share: of its voxels, 0..1.
        confidence: "high", "moderate" or "low".
        explanation: one sentence: how the region was estimated and how sure it is.
        center_ras: center of the hematoma.
        head_mm: that center in standard head coordinates (right, front, top).
        plane_point, plane_normal: the midsagittal plane; the normal points to the patient's right.
        turns_deg: turn of the head about R (chin up positive), A and S.
        fit_mm: how well a standard head fits, see HeadFrame.
    """

    side: str
    midline_mm: float
    crosses_midline: bool
    depth_mm: float
    region: str
    lobar_share: float
    deep_share: float
    infratentorial_share: float
    confidence: str
    explanation: str
    center_ras: Point
    head_mm: Point
    plane_point: Point
    plane_normal: Point
    turns_deg: tuple[float, float, float]
    fit_mm: float


def locate(volume: Volume, hematoma: Mask, brain: Brain | None = None) -> Location:
    """Where a hematoma lies in a head CT.

    Args:
        volume: the CT that the mask lies on, any lattice.
        hematoma: not empty.
        brain: from find_brain(volume), where the caller has it already.

    Raises:
        InputError: the mask is empty or on another grid, or the image shows no closed skull.
    """
    if not hematoma.grid.same_as(volume.grid, tolerance_mm=0.1):
        raise InputError("The hematoma segment is not on the CT's voxels; choose the CT it was drawn on.")
    if hematoma.is_empty:
        raise InputError("The hematoma segment is empty; draw it in Segment Editor or run the segmentation again.")
    brain = find_brain(volume) if brain is None else brain
    return place_in_head(hematoma, brain, find_head_frame(brain))


def place_in_head(hematoma: Mask, brain: Brain, frame: HeadFrame) -> Location:
    """Where a hematoma (not empty) lies in a head whose frame is known."""
    points = _sample(hematoma)
    center = points.mean(axis=0)
    right = frame.right_mm(points)
    middle, right_share = float(right.mean()), float((right > 0).mean())
    shares = dict(zip((LOBAR, DEEP, INFRATENTORIAL), _shares(frame.from_ras(points)), strict=True))
    region = max(shares, key=shares.get)
    confidence = _confidence(shares[region], frame.fit_mm)
    return Location(
        side=_side(middle, right_share),
        midline_mm=middle,
        crosses_midline=0.1 <= right_share <= 0.9,
        depth_mm=_depth(points, brain),
        region=region,
        lobar_share=shares[LOBAR],
        deep_share=shares[DEEP],
        infratentorial_share=shares[INFRATENTORIAL],
        confidence=confidence,
        explanation=_explanation(region, shares[region], confidence, frame.fit_mm),
        center_ras=_point(center),
        head_mm=_point(frame.from_ras(center[None])[0]),
        plane_point=_point(frame.point),
        plane_normal=_point(frame.normal),
        turns_deg=frame.turns_deg,
        fit_mm=frame.fit_mm,
    )


def is_infratentorial(points: np.ndarray) -> np.ndarray:
    """Which points (n, 3) in standard head coordinates lie in the brain stem or below the tentorium; bool (n,)."""
    x, y, z = np.abs(points[:, 0]), points[:, 1], points[:, 2]
    tent = np.maximum(TENT_APEX - TENT_SIDE * x + TENT_BACK * np.minimum(0.0, y - TENT_Y), TENT_EDGE)
    behind = y < PETROUS_Y - PETROUS_SIDE * np.maximum(0.0, x - BRAIN_STEM[0][1])
    stem = np.ones(len(points), dtype=bool)
    for value, (low, high) in zip(points.T, BRAIN_STEM, strict=True):
        stem &= (value >= low) & (value <= high)
    return stem | (behind & (z < tent))


def is_deep(points: np.ndarray) -> np.ndarray:
    """Which points (n, 3) in standard head coordinates lie in the region of the deep nuclei; bool (n,)."""
    return (((points - DEEP_CENTER) / DEEP_SEMI) ** 2).sum(axis=1) <= 1.0


def _shares(points: np.ndarray) -> tuple[float, float, float]:
    below = is_infratentorial(points)
    deep = is_deep(points) & ~below
    return float((~deep & ~below).mean()), float(deep.mean()), float(below.mean())


def _sample(mask: Mask) -> np.ndarray:
    """Up to POINTS voxel centers (n, 3) RAS, evenly picked."""
    flat = np.flatnonzero(mask.array)
    flat = flat[:: max(1, len(flat) // POINTS)]
    return mask.cropped_grid.to_ras(np.stack(np.unravel_index(flat, mask.array.shape), axis=1))


def _side(middle: float, right_share: float) -> str:
    if abs(middle) < MIDLINE_MM or max(right_share, 1.0 - right_share) < ONE_SIDED:
        return MIDLINE
    return RIGHT if middle > 0 else LEFT


def _depth(points: np.ndarray, brain: Brain) -> float:
    """Shortest distance in mm from the points (n, 3) RAS to the outside of the brain, 0 where they touch it."""
    from scipy import ndimage

    low, high = brain.grid.ijk_to_ras[:3, 3], brain.grid.spacing
    distance = ndimage.distance_transform_edt(np.pad(brain.mask, 1), sampling=high[::-1])
    place = ((points - low) / high).T[::-1] + 1.0
    found = ndimage.map_coordinates(distance.astype(np.float32), place, order=1, mode="constant")
    return max(0.0, float(found.min()) - 0.5 * float(high.mean()))


def _confidence(share: float, fit_mm: float) -> str:
    if share < LIKELY or fit_mm > POOR_FIT_MM:
        return "low"
    return "high" if share >= SURE and fit_mm <= GOOD_FIT_MM else "moderate"


def _explanation(region: str, share: float, confidence: str, fit_mm: float) -> str:
    return (
        f"Estimated {region} ({confidence} confidence): {100 * share:.0f} % of the hematoma lies there on a standard "
        f"head fitted to this skull (off by {fit_mm:.1f} mm), whatever the hematoma pushed aside; enter it yourself "
        "where you see it otherwise."
    )


def _point(values: np.ndarray) -> Point:
    return tuple(float(x) for x in values)
