"""Rigid registration of a follow-up head CT to a baseline head CT by the skull, for measuring hematoma growth.

Blood, edema and midline shift change between two scans, the skull does not: only bone drives the fit. A grid of starts
(head turned, lifted, cut) is scored on the coarse level, the best are refined by Gauss-Newton steps in both directions
with robust weights (Lucas and Kanade 1981; Baker and Matthews 2004; Geman and McClure 1987), and the distance of the
skulls' surfaces afterwards says whether the result can be trusted. There is no randomness left to the caller: the same
input gives the same matrix.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import numpy as np

from PrognosisLib.pipeline import Progress, silent
from PrognosisLib.volume import Grid, Volume, resample

from .skull import FIELD_MARGIN, Level, Skull, common_window, find_skull, thinned_kji

# Starts: turns in degrees about R (nodding), A (ear to shoulder), S (shaking), and shifts in mm along the head's axis.
NOD, TILT, SHAKE = (-30, -15, 0, 15, 30), (-20, 0, 20), (-30, -15, 0, 15, 30)
SHIFTS = (-75, -50, -25, 0, 25, 50, 75)
# Level, steps, scale of the robust weights in units of bone (0..1), candidates kept, fraction done.
COARSE = ((2, 12, 1.0, 12, 0.5), (1, 12, 0.4, 4, 0.65))
FINE_STEPS, FINE_SCALE, FINE_TRIES = 15, 0.25, 3  # a jaw or a neck that moved loses its say
SURFACE_POINTS, BRAIN_POINTS = 5000, 20000  # for the quality
MIN_OVERLAP = 0.4  # part of the shorter skull that must be seen in the other scan
# One patient, slices up to 5 mm, moved, cut, tilted, clipped: up to 1.05 and 2.1 mm; two patients: from 1.6 and 3.9 mm.
MAX_MEAN_MM, MAX_95_MM = 1.35, 3.0
MAX_95_SLICES = 0.55  # of the slice distance: one patient came to 3.9 mm on slices of 8 mm


@dataclass(frozen=True)
class Registration:
    """Where baseline points are in the follow-up scan.

    Args:
        matrix: 4x4 rigid, takes baseline RAS points to follow-up RAS points, mm; identity where nothing was found.
        quality: surface_mean_mm, surface_95_mm (symmetric distance of the skulls), bone_dice, skull_correlation,
            brain_correlation, overlap (part of the shorter skull, 0..1), slice_mm (of the coarser scan); empty where
            nothing was found.
        succeeded: the skulls match.
        reason: one sentence for the user where they do not, else "".
        rotation_degrees: angle of the rotation.
        translation_mm: distance that the center of the head moved.
    """

    matrix: np.ndarray
    quality: dict[str, float] = field(default_factory=dict)
    succeeded: bool = False
    reason: str = ""
    rotation_degrees: float = 0.0
    translation_mm: float = 0.0


def register_followup(baseline: Volume, followup: Volume, progress: Progress = silent) -> Registration:
    """Lay the follow-up's skull on the baseline's.

    Args:
        baseline, followup: head CT in HU, any lattice each; both may be clipped to a display window (0 to 80 HU).
        progress: called with the fraction done and what is being done.

    Raises:
        Cancelled: raised by `progress`. Unfit images raise nothing; see `Registration.reason`.
    """
    progress(0.0, "Finding the skulls")
    window = common_window(baseline, followup)
    skulls = []
    for done, volume, word in ((0.2, baseline, "baseline"), (0.4, followup, "follow-up")):
        skull = find_skull(volume, window)
        if skull is None:
            return Registration(np.eye(4), reason=f"No skull was found in the {word} scan; choose a CT of the head.")
        skulls.append(skull)
        progress(done, "Finding the skulls")
    one, two = skulls
    matrix, quality = _fit(one, two, progress)
    progress(1.0, "Registered")
    reason = judge(quality)
    angle = np.degrees(np.arccos(np.clip((np.trace(matrix[:3, :3]) - 1) / 2, -1, 1)))
    moved = np.linalg.norm(moved_points(matrix, one.center[None])[0] - one.center)
    return Registration(matrix, quality, not reason, reason, float(angle), float(moved))


def _fit(one: Skull, two: Skull, progress: Progress) -> tuple[np.ndarray, dict[str, float]]:
    """The first of the best candidates whose skulls match, or the best one where none does; with its quality."""
    candidates = _starts(one, two)
    for level, steps, scale, kept, done in COARSE:
        progress(done, "Laying the follow-up on the baseline")
        fits = [_refine(one, two, level, matrix, steps, scale) for matrix in candidates[:kept]]
        fits.sort(key=lambda fit: -fit[1])
        candidates = _distinct([matrix for matrix, _ in fits], one.center)
    tried = []
    for matrix in candidates[:FINE_TRIES]:
        progress(0.75, "Laying the follow-up on the baseline")
        matrix, _ = _refine(one, two, 0, matrix, FINE_STEPS, FINE_SCALE)
        tried.append((matrix, measure_quality(one, two, matrix)))
        if not judge(tried[-1][1]):
            return tried[-1]
    return min(tried, key=lambda pair: pair[1].get("surface_mean_mm", np.inf))


def _distinct(matrices: list[np.ndarray], center: np.ndarray) -> list[np.ndarray]:
    """Without those that put points on a head's surface within 5 mm of where an earlier one puts them."""
    points = center + 80.0 * np.concatenate([np.eye(3), -np.eye(3)])
    kept: list[np.ndarray] = []
    for matrix in matrices:
        place = moved_points(matrix, points)
        if all(np.abs(moved_points(other, points) - place).max() > 5.0 for other in kept):
            kept.append(matrix)
    return kept


def resample_to_baseline(
    array: np.ndarray,
    followup_grid: Grid,
    registration: Registration,
    baseline_grid: Grid,
    fill: float,
    nearest: bool = False,
) -> np.ndarray:
    """Follow-up values at the voxel centers of the baseline's lattice (k, j, i); where it has none, `fill`.

    Args:
        array: (k, j, i) on `followup_grid`: HU, or a mask with `nearest`.
    """
    to_baseline = np.linalg.inv(registration.matrix) @ followup_grid.ijk_to_ras
    return resample(array, to_baseline, baseline_grid, fill, nearest)


def moved_points(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (n, 3) through a 4x4 matrix."""
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def rotation_matrix(vector: np.ndarray) -> np.ndarray:
    """Rotation (3x3) about the vector by its length in radians (Rodrigues)."""
    angle = float(np.linalg.norm(vector))
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def _starts(one: Skull, two: Skull) -> list[np.ndarray]:
    """Matrices from baseline to follow-up, the best shift of every rotation, best first."""
    # Points of the shorter scan: all of them should be found in the other one.
    swap = np.count_nonzero(two.bone) < np.count_nonzero(one.bone)
    small, large = (two, one) if swap else (one, two)
    level = small.levels[-1]
    scored = []
    for nod, tilt, shake in itertools.product(NOD, TILT, SHAKE):
        turn = np.eye(3)
        for axis, degrees in zip(np.eye(3), (nod, tilt, shake), strict=True):
            turn = rotation_matrix(axis * np.deg2rad(degrees)) @ turn
        turned = (level.points - small.center) @ turn.T + large.center
        # A cut scan misplaces the center of the head along its own axis.
        shifts = np.multiply.outer(SHIFTS, turn[:, 2])
        scores = [_score(level.values, turned + shift, large) for shift in shifts]
        best = int(np.argmax(scores))
        matrix = np.eye(4)
        matrix[:3, :3] = turn
        matrix[:3, 3] = large.center + shifts[best] - turn @ small.center
        scored.append((scores[best], np.linalg.inv(matrix) if swap else matrix))
    scored.sort(key=lambda pair: -pair[0])
    return [matrix for _, matrix in scored]


def _score(values: np.ndarray, points: np.ndarray, large: Skull) -> float:
    """Correlation (-1..1) of coarse values with the larger skull at `points`; -1 where too few points are scanned."""
    inside = large.covers(points)
    if inside.mean() < MIN_OVERLAP:
        return -1.0
    return _correlation(values[inside], large.levels[-1].sample(points[inside])[:, 0])


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    if not len(first):
        return 0.0
    first, second = first - first.mean(), second - second.mean()
    norm = float(np.sqrt((first @ first) * (second @ second)))
    return float(first @ second) / norm if norm > 0 else 0.0


def _refine(
    one: Skull, two: Skull, index: int, matrix: np.ndarray, steps: int, scale: float
) -> tuple[np.ndarray, float]:
    """Gauss-Newton on the sum of robust squared differences in both directions; the matrix and its score."""
    for _ in range(steps):
        center = moved_points(matrix, one.center[None])[0]
        normal, right, overlaps = np.zeros((6, 6)), np.zeros(6), []
        for forth in (True, False):
            jacobian, residual, overlap = _linearized(one, two, index, matrix, center, forth)
            overlaps.append(overlap)
            weight = 1.0 / (1.0 + (residual / scale) ** 2) ** 2
            weighted = jacobian * weight[:, None]
            normal += weighted.T @ jacobian
            right += weighted.T @ residual
        if max(overlaps) < MIN_OVERLAP:
            return matrix, -1.0
        step = -np.linalg.solve(normal + 1e-4 * np.diag(np.diag(normal) + 1e-6), right)
        # Beyond some degrees and a voxel or two the differences are not linear.
        step *= min(1.0, 0.15 / max(np.linalg.norm(step[:3]), 1e-9), 10.0 / max(np.linalg.norm(step[3:]), 1e-9))
        change = np.eye(4)
        change[:3, :3] = rotation_matrix(step[:3])
        change[:3, 3] = center + step[3:] - change[:3, :3] @ center
        matrix = change @ matrix
        if np.linalg.norm(step[:3]) < 2e-5 and np.linalg.norm(step[3:]) < 2e-3:
            break
    return matrix, _mutual_correlation(one, two, index, matrix)


def _linearized(
    one: Skull, two: Skull, index: int, matrix: np.ndarray, center: np.ndarray, forth: bool
) -> tuple[np.ndarray, np.ndarray, float]:
    """Derivatives (n, 6) by a turn about `center` and a shift, differences (n,), and the part of points scanned.

    `forth` compares baseline points in the follow-up; else follow-up points in the baseline.
    """
    level: Level = (one if forth else two).levels[index]
    other = two if forth else one
    points = moved_points(matrix if forth else np.linalg.inv(matrix), level.points)
    inside = other.covers(points)
    points = points[inside]
    sampled = other.levels[index].sample(points).astype(float)
    residual = sampled[:, 0] - level.values[inside]
    # Either way the derivative is taken in the follow-up's space, where turn and shift are defined.
    slope = sampled[:, 1:] if forth else -sampled[:, 1:] @ matrix[:3, :3].T
    arms = (points if forth else level.points[inside]) - center
    return np.concatenate([np.cross(arms, slope), slope], axis=1), residual, float(inside.mean())


def _mutual_correlation(one: Skull, two: Skull, index: int, matrix: np.ndarray) -> float:
    """Correlation of the skulls at the points of both, -1..1."""
    pairs = []
    for level, other, way in ((one.levels[index], two, matrix), (two.levels[index], one, np.linalg.inv(matrix))):
        points = moved_points(way, level.points)
        inside = other.covers(points)
        pairs.append((level.values[inside], other.levels[index].sample(points[inside])[:, 0]))
    return _correlation(*(np.concatenate(values) for values in zip(*pairs, strict=True)))


def measure_quality(one: Skull, two: Skull, matrix: np.ndarray) -> dict[str, float]:
    """How well two skulls match under a matrix from the first to the second; keys as in `Registration.quality`."""
    from scipy.spatial import cKDTree

    fractions, distances = [], []
    (first, own), (second, own_too) = one.surfaces(), two.surfaces()
    for points, target, other, way in (
        (first[own], second, two, matrix),
        (second[own_too], first, one, np.linalg.inv(matrix)),
    ):
        points = moved_points(way, points[:: max(1, len(points) // SURFACE_POINTS)])
        seen = other.covers(points, FIELD_MARGIN)
        fractions.append(float(seen.mean()) if len(seen) else 0.0)
        if np.count_nonzero(seen) < 100:
            return {"overlap": max(fractions)}
        distances.append(cKDTree(target).query(points[seen])[0])
    return {
        "surface_mean_mm": float(np.mean([np.mean(d) for d in distances])),
        "surface_95_mm": float(max(np.percentile(d, 95) for d in distances)),
        "bone_dice": _bone_dice(one, two, matrix),
        "skull_correlation": _mutual_correlation(one, two, 0, matrix),
        "brain_correlation": _brain_correlation(one, two, matrix),
        "overlap": max(fractions),
        "slice_mm": max(one.coarsest_mm, two.coarsest_mm),
    }


def _values_at(skull: Skull, points: np.ndarray) -> np.ndarray:
    """HU at RAS points (n, 3)."""
    from scipy import ndimage

    kji = (points - skull.grid.ijk_to_ras[:3, 3])[:, ::-1] / skull.grid.spacing[::-1]
    return ndimage.map_coordinates(skull.hu, kji.T, order=1, mode="nearest", prefilter=False)


def _bone_dice(one: Skull, two: Skull, matrix: np.ndarray) -> float:
    """Dice overlap of the bone that both scans cover, from sample points."""
    hits, total = 0, 0
    for here, other, way in ((one, two, matrix), (two, one, np.linalg.inv(matrix))):
        points = here.grid.to_ras(thinned_kji(here.bone & (here.hu >= here.edge), BRAIN_POINTS))
        points = moved_points(way, points)
        points = points[other.covers(points)]
        hits += np.count_nonzero(_values_at(other, points) >= other.edge)
        total += len(points)
    return float(hits) / max(1, total)


def _brain_correlation(one: Skull, two: Skull, matrix: np.ndarray) -> float:
    """Correlation of what the baseline's skull encloses, 0 to 80 HU, with the follow-up; blood that grew lowers it."""
    kji = thinned_kji(one.enclosed(), BRAIN_POINTS)
    points = moved_points(matrix, one.grid.to_ras(kji))
    inside = two.covers(points)
    first = np.clip(one.hu[tuple(kji[inside].T)], 0, 80)
    return _correlation(first, np.clip(_values_at(two, points[inside]), 0, 80))


def judge(quality: dict[str, float]) -> str:
    """Why a registration of this quality is not to be trusted, in one sentence; "" where it is."""
    if "surface_mean_mm" not in quality or quality["overlap"] < MIN_OVERLAP:
        return "The two scans share too little of the skull; choose scans that cover the same part of the head."
    limit = max(MAX_95_MM, MAX_95_SLICES * quality["slice_mm"])
    if quality["surface_mean_mm"] > MAX_MEAN_MM or quality["surface_95_mm"] > limit:
        return (
            f"The skulls in the two scans do not match ({quality['surface_mean_mm']:.1f} mm apart on average); "
            "check that both are of the same patient and show the whole head."
        )
    return ""
