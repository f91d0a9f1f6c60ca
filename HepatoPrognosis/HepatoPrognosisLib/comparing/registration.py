"""T1 laid over T0 by a rotation, a scale and a shift, found from livers and gray values; always the same ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import SimpleITK as sitk

SMOOTH_PIXELS = 2.0
AROUND_PIXELS = 8  # beyond the liver's border: capsule, diaphragm and vessels beside it help
WIDEST_DEG, LARGEST_SCALE = 25.0, 1.25
ROUNDS = 60
FIRST_TURNS = (0.0, -4.0, 4.0, -8.0, 8.0)  # degrees
MAY_COST = 0.03  # of the outlines' overlap, where gray values fit better


@dataclass(frozen=True)
class Registration:
    """From the lattice's pixels of T0 to those of T1.

    Args:
        matrix: (2, 3), from (x, y, 1) of T0 to (x, y) of T1.
        overlap: Dice of both livers, 0 to 1, once T1's is laid over T0.
    """

    matrix: np.ndarray
    overlap: float

    @property
    def degrees(self) -> float:
        return float(np.degrees(np.arctan2(self.matrix[1, 0], self.matrix[0, 0])))

    @property
    def scale(self) -> float:
        return float(np.hypot(self.matrix[0, 0], self.matrix[1, 0]))

    def onto_first(self, plane: np.ndarray) -> np.ndarray:
        """A plane (j, i) of T1 where it lies over T0, float32; 0 outside."""
        return _onto(plane, self.matrix)


def register(first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]) -> Registration:
    """Lay T1 over T0; each image is gray values (j, i) on the lattice and bool (j, i) of its liver, not empty.

    It starts with the livers' centers on each other, and lays first the livers' outlines over each other and then the
    gray values in and around them (mutual information, which does not mind gain). A step that makes livers fit less, or
    turns or scales more than a probe is moved, is not taken.
    """
    start = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    start[:, 2] = _middle(second[1]) - _middle(first[1])
    best = Registration(start, _overlap(first[1], second[1], start))
    outlines = tuple(_distance(liver) for _gray, liver in (first, second))
    best = _better(best, _refined(*outlines, first[1], best.matrix, False)[0], first[1], second[1], 0.0)
    grays = tuple(_smoothed(gray) for gray, _liver in (first, second))
    # A round outline hardly tells of a turn, so the gray values are tried from several.
    tried = [_refined(*grays, first[1], _turned(best.matrix, first[1], turn), True) for turn in FIRST_TURNS]
    return _better(best, min(tried, key=lambda one: one[1])[0], first[1], second[1], MAY_COST)


def _better(
    best: Registration, matrix: np.ndarray, first: np.ndarray, second: np.ndarray, may_cost: float
) -> Registration:
    """The one with this matrix, where it is sound and the livers' overlap does not fall by more than `may_cost`."""
    found = Registration(matrix, _overlap(first, second, matrix))
    is_sound = abs(found.degrees) <= WIDEST_DEG and 1 / LARGEST_SCALE <= found.scale <= LARGEST_SCALE
    return found if is_sound and found.overlap >= best.overlap - may_cost else best


def _turned(matrix: np.ndarray, liver: np.ndarray, degrees: float) -> np.ndarray:
    """A matrix (2, 3) after a turn about the middle of the first liver."""
    angle, middle = np.radians(degrees), _middle(liver)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    first = np.vstack([np.column_stack([turn, middle - turn @ middle]), [0, 0, 1]])
    return matrix @ first


def _refined(
    fixed: np.ndarray, moving: np.ndarray, liver: np.ndarray, start: np.ndarray, by_gray: bool
) -> tuple[np.ndarray, float]:
    """The matrix after an optimization from `start` and what it cost, or `start` and infinity where it fails."""
    import SimpleITK as sitk
    from scipy.ndimage import binary_dilation

    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)  # sums in the same order each time
    if by_gray:
        method.SetMetricAsMattesMutualInformation(32)
    else:
        method.SetMetricAsMeanSquares()
    around = binary_dilation(liver, iterations=AROUND_PIXELS).astype(np.uint8)
    method.SetMetricFixedMask(sitk.GetImageFromArray(around))
    method.SetMetricSamplingStrategy(method.NONE)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(2.0, 0.02, ROUNDS, 0.6)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([4, 2])
    method.SetSmoothingSigmasPerLevel([2.0, 1.0])
    transform = _transform(start, _middle(liver))
    method.SetInitialTransform(transform, inPlace=True)
    try:
        method.Execute(sitk.GetImageFromArray(fixed), sitk.GetImageFromArray(moving))
    except RuntimeError:  # too little of both images lies over each other
        return start, np.inf
    matrix = np.array(transform.GetMatrix()).reshape(2, 2)
    center = np.array(transform.GetCenter())
    shift = np.array(transform.GetTranslation()) + center - matrix @ center
    return np.column_stack([matrix, shift]), float(method.GetMetricValue())


def _transform(matrix: np.ndarray, center: np.ndarray) -> sitk.Similarity2DTransform:
    import SimpleITK as sitk

    transform = sitk.Similarity2DTransform()
    transform.SetCenter([float(part) for part in center])
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    transform.SetAngle(float(np.arctan2(matrix[1, 0], matrix[0, 0])))
    transform.SetScale(scale)
    shift = matrix[:, 2] - center + matrix[:, :2] @ center
    transform.SetTranslation([float(part) for part in shift])
    return transform


def _onto(plane: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    from scipy.ndimage import affine_transform

    # From (x, y) to array axes (j, i).
    swapped = matrix[::-1, [1, 0, 2]]
    return affine_transform(plane.astype(np.float32), swapped[:, :2], swapped[:, 2], order=1)


def _overlap(first: np.ndarray, second: np.ndarray, matrix: np.ndarray) -> float:
    moved = _onto(second, matrix) > 0.5
    return 2.0 * float((first & moved).sum()) / max(float(first.sum() + moved.sum()), 1.0)


def _middle(liver: np.ndarray) -> np.ndarray:
    """(x, y) of the center of a liver."""
    return np.argwhere(liver).mean(axis=0)[::-1]


def _distance(liver: np.ndarray) -> np.ndarray:
    """Distance from the border in pixels, positive inside, up to 20."""
    from scipy.ndimage import distance_transform_edt

    far = distance_transform_edt(liver) - distance_transform_edt(~liver)
    return np.clip(far, -20.0, 20.0).astype(np.float32)


def _smoothed(gray: np.ndarray) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(gray.astype(np.float32), SMOOTH_PIXELS)
