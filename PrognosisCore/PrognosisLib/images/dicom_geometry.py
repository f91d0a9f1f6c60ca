"""The geometry of DICOM slices: where each lies, in which order, and whether they make one regular lattice.

DICOM is in LPS (x to the left, y to the back); Volumes are in RAS. i runs along a row, j down the columns, k along the
slice normal, so that neighbors in k are neighbors in the patient. Source: DICOM PS3.3 C.7.6.2 (Image Plane) and
C.7.6.16 (Multi-frame Functional Groups).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError

if TYPE_CHECKING:
    import pydicom

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])
SAME_POSITION_MM = 0.01
SAME_DIRECTION = 2e-3  # difference of direction cosines; scanners round to 3 decimals at worst
ROUNDING_MM = 0.1  # positions are stored with at least one decimal
HOLE = 1.9  # a gap of this many steps is a missing slice, not an irregular step
COMMON = 0.2  # a step is a series' own step when at least this part of its gaps has it


@dataclass(frozen=True)
class Slice:
    """One frame: its place in the patient (LPS, mm) and how its stored values become real ones.

    `axes` holds the unit vectors along i (a row) and j (a column), `pixel` the spacing along i and j.
    """

    path: Path
    frame: int
    frames: int
    shape: tuple[int, int]
    position: np.ndarray
    axes: np.ndarray
    pixel: tuple[float, float]
    thickness: float | None
    step: float | None
    slope: float
    intercept: float
    padding: float | None

    @property
    def label(self) -> str:
        return f"frame {self.frame + 1} of '{self.path.name}'" if self.frames > 1 else f"'{self.path.name}'"


@dataclass(frozen=True)
class Stack:
    """Slices in order along k, and the regular lattice they give.

    `depths` are the slices' places along the normal; `lattice` those of the volume's slices, or None where they are
    the same.
    """

    slices: tuple[Slice, ...]
    depths: np.ndarray
    lattice: np.ndarray | None
    ijk_to_ras: np.ndarray
    notes: tuple[str, ...]

    def resample(self, array: np.ndarray) -> np.ndarray:
        """Values (slice, j, i) on the regular lattice: linear between neighboring slices, the same type."""
        if self.lattice is None:
            return array
        result = np.empty((len(self.lattice), *array.shape[1:]), array.dtype)
        below = np.clip(np.searchsorted(self.depths, self.lattice, side="right") - 1, 0, len(self.depths) - 2)
        weight = (self.lattice - self.depths[below]) / (self.depths[below + 1] - self.depths[below])
        for k, (index, part) in enumerate(zip(below, np.clip(weight, 0.0, 1.0), strict=True)):
            plane = array[index] * np.float32(1.0 - part) + array[index + 1] * np.float32(part)
            result[k] = np.rint(plane) if array.dtype.kind in "iu" else plane
        return result


def slices_of(header: pydicom.Dataset) -> list[Slice]:
    """The frames of a file with their geometry, from its top level or its functional groups.

    Raises:
        InputError: no or impossible position, orientation or pixel spacing.
    """
    path = Path(header.filename)
    frames = int(header.get("NumberOfFrames") or 1)
    grouped = "PerFrameFunctionalGroupsSequence" in header or "SharedFunctionalGroupsSequence" in header
    if frames > 1 and not grouped:
        raise InputError(
            f"'{path.name}' holds {frames} frames without a position in the patient (a cine or capture), "
            "so it is no volume; give a volume."
        )
    if grouped and len(header.get("PerFrameFunctionalGroupsSequence") or []) not in (0, frames):
        raise InputError(f"'{path.name}' does not describe each of its {frames} frames; export it again.")
    return [_slice(header, path, frame, frames, grouped) for frame in range(frames)]


def _slice(header: pydicom.Dataset, path: Path, frame: int, frames: int, grouped: bool) -> Slice:
    measures = _group(header, frame, "PixelMeasuresSequence") if grouped else header
    values = _group(header, frame, "PixelValueTransformationSequence") if grouped else header
    position = _numbers(
        _group(header, frame, "PlanePositionSequence") if grouped else header, "ImagePositionPatient", 3
    )
    plane = _group(header, frame, "PlaneOrientationSequence") if grouped else header
    directions = _numbers(plane, "ImageOrientationPatient", 6)
    if position is None or directions is None:
        raise InputError(
            f"'{path.name}' has no position in the patient (it is a projection, a capture or an ultrasound picture), "
            "so it is no slice of a volume; give a CT or MR series."
        )
    axes = directions.reshape(2, 3)
    lengths = np.linalg.norm(axes, axis=1)
    if np.any(np.abs(lengths - 1.0) > 0.02) or abs(float(axes[0] @ axes[1])) > 0.01:
        raise InputError(f"'{path.name}' has an impossible orientation in its header; export the series again.")
    pixel = _numbers(measures, "PixelSpacing", 2)
    if pixel is None or np.any(pixel <= 0):
        raise InputError(f"'{path.name}' has no valid pixel spacing (missing, zero or negative); export it again.")
    slope = _number(values, "RescaleSlope", 1.0)
    if slope == 0:
        raise InputError(f"'{path.name}' has a rescale slope of 0, so that all values are lost; export it again.")
    padding = _number(header, "PixelPaddingValue", None)
    if padding is not None and header.get("PixelRepresentation") == 1 and padding >= 2 ** (header.BitsAllocated - 1):
        padding -= 2.0**header.BitsAllocated  # stored with the wrong sign, as some scanners do
    return Slice(
        path,
        frame,
        frames,
        (int(header.Rows), int(header.Columns)),
        position,
        axes / lengths[:, None],
        (float(pixel[1]), float(pixel[0])),  # DICOM gives the spacing of rows first, which is along j
        _number(measures, "SliceThickness", None),
        _number(measures, "SpacingBetweenSlices", None),
        slope,
        _number(values, "RescaleIntercept", 0.0),
        padding,
    )


def _group(header: pydicom.Dataset, frame: int, keyword: str) -> pydicom.Dataset | dict:
    """The item of a functional group that holds for this frame: its own or the shared one."""
    for sequence, index in (("PerFrameFunctionalGroupsSequence", frame), ("SharedFunctionalGroupsSequence", 0)):
        items = header.get(sequence) or []
        if index < len(items) and items[index].get(keyword):
            return items[index].get(keyword)[0]
    return {}


def _numbers(source: pydicom.Dataset | dict, keyword: str, count: int) -> np.ndarray | None:
    value = source.get(keyword)
    if value is None:
        return None
    try:
        numbers = np.array([float(v) for v in value])
    except (TypeError, ValueError):
        return None
    return numbers if numbers.shape == (count,) and np.all(np.isfinite(numbers)) else None


def _number(source: pydicom.Dataset | dict, keyword: str, default: float | None) -> float | None:
    try:
        return float(source.get(keyword))
    except (TypeError, ValueError):
        return default


def stack(slices: list[Slice], name: str) -> Stack:
    """Order the slices along their normal and find the lattice they lie on.

    A gantry tilt stays in the matrix as shear. An irregular step gives a lattice of the finest step.

    Raises:
        InputError: several orientations, sizes or images at one position; missing or shifted slices.
    """
    first = slices[0]
    _refuse_mixture(slices, name)
    normal = np.cross(*first.axes)
    depths = np.array([one.position @ normal for one in slices])
    order = np.argsort(depths, kind="stable")
    slices, depths = [slices[n] for n in order], depths[order]
    notes: list[str] = []
    lattice = None
    if len(slices) == 1:
        thickness = first.step if first.step and first.step > 0 else first.thickness
        if not thickness or thickness <= 0:
            raise InputError(f"'{name}' is a single slice without a thickness; give the whole series.")
        vector = normal * thickness
        notes.append("a single slice, its thickness taken as the step")
    else:
        gaps = np.diff(depths)
        _refuse_copies(slices, gaps, name)
        _refuse_holes(slices, gaps, name)
        extent = slices[-1].position - slices[0].position
        length = depths[-1] - depths[0]
        _refuse_shift(slices, depths, extent / length, name)
        count = len(slices)
        lattice = _lattice(depths, gaps, min(first.pixel))
        if lattice is not None:
            count = len(lattice)
            notes.append(
                f"the slice step varies from {gaps.min():.2f} to {gaps.max():.2f} mm: interpolated linearly to "
                f"{length / (count - 1):.2f} mm"
            )
        vector = extent / (count - 1)
        notes.extend(_tilt_note(vector, normal))
    matrix = np.eye(4)
    columns = [first.axes[0] * first.pixel[0], first.axes[1] * first.pixel[1], vector]
    matrix[:3, :3] = LPS_TO_RAS @ np.column_stack(columns)
    matrix[:3, 3] = LPS_TO_RAS @ slices[0].position
    return Stack(tuple(slices), depths, lattice, matrix, tuple(notes))


def _tilt_note(vector: np.ndarray, normal: np.ndarray) -> list[str]:
    angle = np.degrees(np.arccos(np.clip(vector @ normal / np.linalg.norm(vector), -1.0, 1.0)))
    return [f"gantry tilt of {angle:.1f} degrees, kept in the geometry"] if angle > 0.5 else []


def _refuse_mixture(slices: list[Slice], name: str) -> None:
    kinds: list[np.ndarray] = []
    for one in slices:
        if not any(np.abs(one.axes - axes).max() < SAME_DIRECTION for axes in kinds):
            kinds.append(one.axes)
    if len(kinds) > 1:
        raise InputError(
            f"'{name}' holds slices in {len(kinds)} orientations (a localizer or projections), which make no volume; "
            "choose another series."
        )
    shapes = Counter((one.shape, tuple(np.round(one.pixel, 3))) for one in slices)
    if len(shapes) > 1:
        sizes = ", ".join(f"{n} of {s[1]} x {s[0]} at {p[0]:g} mm" for (s, p), n in shapes.most_common(3))
        raise InputError(f"'{name}' mixes slices of different sizes ({sizes}); give the slices of one size.")


def _refuse_copies(slices: list[Slice], gaps: np.ndarray, name: str) -> None:
    same = np.flatnonzero(gaps < SAME_POSITION_MM)
    if len(same):
        one, two = slices[same[0]], slices[same[0] + 1]
        places = len(slices) - len(same)
        raise InputError(
            f"'{name}' holds {len(slices)} images at {places} position{'' if places == 1 else 's'} (copies, or several "
            f"times, echoes or image types; for example {one.label} and {two.label}); give one image for each position."
        )


def _refuse_holes(slices: list[Slice], gaps: np.ndarray, name: str) -> None:
    """Refuse missing slices: a gap of about two steps or more, where the step is that of the slices' own thickness.

    A series may go on with another step where the thickness changes too; the gap between such parts must stay within
    the larger of both steps.
    """
    pairs = [(slices[n].thickness, slices[n + 1].thickness) for n in range(len(gaps))]
    steps = {}
    for thickness in {a for a, b in pairs if a == b}:
        own = gaps[[pair == (thickness, thickness) for pair in pairs]]
        common = [g for g in own if np.mean(np.abs(own - g) < 0.05 * g + ROUNDING_MM / 10) >= COMMON]
        steps[thickness] = min(common, default=float(np.median(own)))
    holes = []
    for n, (pair, gap) in enumerate(zip(pairs, gaps, strict=True)):
        step = max((steps[t] for t in pair if t in steps), default=None)
        if step is not None and gap > HOLE * step:
            holes.append((n, max(1, round(gap / step) - 1), step))
    if holes:
        missing = sum(count for _, count, _ in holes)
        where = ", ".join(
            f"{count} between {slices[n].label} and {slices[n + 1].label} ({gaps[n]:.1f} mm where the step is "
            f"{step:.1f} mm)"
            for n, count, step in holes[:3]
        )
        more = " and more" if len(holes) > 3 else ""
        raise InputError(
            f"'{name}' lacks {missing} slice{'' if missing == 1 else 's'}: {where}{more}; "
            "export or copy the whole series again."
        )


def _refuse_shift(slices: list[Slice], depths: np.ndarray, direction: np.ndarray, name: str) -> None:
    """Refuse slices that do not lie on one line: the table or the tilt moved within the series."""
    straight = slices[0].position + (depths - depths[0])[:, None] * direction
    shifts = np.linalg.norm(np.array([one.position for one in slices]) - straight, axis=1)
    worst = int(np.argmax(shifts))
    if shifts[worst] > max(ROUNDING_MM, 0.5 * min(slices[0].pixel)):
        raise InputError(
            f"'{name}' has slices shifted against each other by up to {shifts[worst]:.1f} mm "
            f"(at {slices[worst].label}: the table or tilt moved); give a series of one table and tilt position."
        )


def _lattice(depths: np.ndarray, gaps: np.ndarray, pixel: float) -> np.ndarray | None:
    """Depths of a regular lattice from the first to the last slice, or None where the slices are regular.

    Its step is the finest one, though no finer than the pixels where the common step is coarser than those.
    """
    regular = np.linspace(depths[0], depths[-1], len(depths))
    tolerance = max(ROUNDING_MM, 0.02 * float(np.median(gaps)))
    if np.abs(depths - regular).max() <= min(tolerance, 0.2 * float(gaps.min())):
        return None
    step = max(float(gaps.min()), min(pixel, float(np.median(gaps))))
    count = int(np.ceil((depths[-1] - depths[0]) / step - 1e-3)) + 1
    return np.linspace(depths[0], depths[-1], count)
